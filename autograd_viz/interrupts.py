"""Keeps Ctrl-C from striking where it would leave something half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")


class Held(list[int]):
    """Each Ctrl-C that is held back; a second one strikes at once.

    Attributes:
        open: the user's own code runs, which Ctrl-C ends at once.
    """

    def __init__(self, usual: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.open = False
        self._usual = usual

    def hears(self, number: int, frame: FrameType | None) -> None:
        """Do what is to be done when Ctrl-C is pressed."""
        self.append(number)
        # A block begins and ends in contextlib, where a KeyboardInterrupt would undo nothing.
        between = frame is not None and frame.f_code.co_filename == contextlib.__file__
        if len(self) > 1 or (self.open and not between):
            self.strike()

    def strike(self) -> None:
        """Let one that was held back strike now; the work goes on if the user's handler does."""
        if self and self._usual is not None:
            self.clear()
            self._usual(signal.SIGINT, None)

    def through(self, call: Callable[[], Result]) -> Result:
        """Call what is the user's own; there Ctrl-C strikes at once."""
        try:
            self.open = True
            self.strike()
            return call()
        finally:
            self.open = False


_now: list[Held] = []  # what holds Ctrl-C now: one at most


@contextmanager
def interrupts_held() -> Iterator[Held]:
    """Hold Ctrl-C back until the block ends; the list is empty as long as there was none.

    Whatever has to be put back is changed within such a block: a KeyboardInterrupt may strike
    between any two steps of Python, also before the first one of an `__exit__`. Long work calls
    `strike` now and then, where it can end. A second Ctrl-C strikes at once, so that code of the
    user's which never returns can be stopped. Python raises KeyboardInterrupt in the main thread
    only; in other threads there is nothing to hold.

    >>> with interrupts_held() as pressed:
    ...     bool(pressed)
    False
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield Held()
        return
    if _now and usual == _now[0].hears:  # within another such block, or the user's code in it
        held = _now[0]
        was_open, held.open = held.open, False
        try:
            yield held
        finally:
            held.open = was_open
            if was_open:
                held.strike()
        return
    before, _now[:] = _now[:], [held := Held(usual)]
    signal.signal(signal.SIGINT, held.hears)
    try:
        yield held
    finally:
        _now[:] = before
        if signal.getsignal(signal.SIGINT) == held.hears:  # the user's code may have set its own
            signal.signal(signal.SIGINT, usual)
        held.strike()  # in place of what was raised to end the work
