"""Keeps Ctrl-C from striking where it would leave something half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[list[int]]:
    """Hold Ctrl-C back until the block ends; the list is empty as long as there was none.

    Long work looks at the list now and then and ends itself. A second Ctrl-C strikes at once, so
    that code of the user's which never returns can be stopped. Python raises KeyboardInterrupt in
    the main thread only; in other threads there is nothing to hold.

    >>> with interrupts_held() as pressed:
    ...     bool(pressed)
    False
    """
    pressed: list[int] = []
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield pressed
        return

    def hold(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            usual(number, frame)

    signal.signal(signal.SIGINT, hold)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, usual)
        if len(pressed) == 1:
            usual(signal.SIGINT, None)  # in place of what was raised to end the work
