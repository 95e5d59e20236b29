"""A bar on stderr for work that takes long; what is quick leaves no output."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

DELAY = 2.0  # seconds; what takes less needs no bar


@contextmanager
def progress(
    doing: str, total: int | None = None, unit: str = "nodes"
) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of units done since its last call.

    Once DELAY seconds are over, such a call shows a bar of tqdm's, which is cleared when the block
    ends. The environment variable TQDM_DISABLE=1 silences it, and so does a stderr that is gone.

    Args:
        doing: what is being done, in the words of the bar.
        total: the number of all units, if it is known.
        unit: what is counted.

    >>> with progress("adding", total=10) as advance:
    ...     for number in range(0, 10, 5):
    ...         advance(5)
    """
    start, done, bar = time.monotonic(), 0, None

    def advance(count: int) -> None:
        nonlocal done, bar
        done += count
        with suppress(OSError, ValueError):  # nobody reads stderr any more; the work goes on
            if bar is not None:
                bar.update(count)
            elif time.monotonic() - start >= DELAY:
                bar = _bar(doing, total, unit, done, time.monotonic() - start)

    try:
        yield advance
    finally:
        with suppress(OSError, ValueError):
            if bar is not None:
                bar.close()


def _bar(doing: str, total: int | None, unit: str, done: int, elapsed: float) -> Any:
    from tqdm import tqdm  # here: what is quick does not load it

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # or it would start a thread

    # tqdm itself reads the environment only once, when it is loaded.
    silent = bool(os.environ.get("TQDM_DISABLE")) or sys.stderr is None
    looks = {"unit": f" {unit}", "unit_scale": True, "leave": False}
    bar = Bar(desc=doing, total=total, delay=DELAY, disable=silent, **looks)
    if not bar.disable:  # the work began before: so that the rate is right
        bar.start_t -= elapsed
    bar.update(done)
    return bar
