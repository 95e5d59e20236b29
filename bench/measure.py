"""Measures alternatives in turn, so that a noisy machine disturbs them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def medians(
    alternatives: Mapping[str, Callable[[Any], object]],
    prepare: Callable[[], Any] = lambda: None,
    clean_up: Callable[[Any], object] = lambda prepared: None,
    rounds: int = 9,
    repeats: int = 1,
) -> dict[str, float]:
    """Return the median seconds of each alternative; each run gets a newly prepared argument.

    `prepare` and `clean_up` are not timed. One unmeasured round comes first. What takes less than a
    millisecond is better measured as the mean of several `repeats` in a row.
    """
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for turn in range(rounds + 1):
        for name, run in alternatives.items():
            prepared = prepare()
            gc.collect()
            start = time.perf_counter()
            for _ in range(repeats):
                result = run(prepared)
            elapsed = (time.perf_counter() - start) / repeats
            clean_up(prepared)
            del result, prepared
            if turn:
                seconds[name].append(elapsed)
    return {name: statistics.median(times) for name, times in seconds.items()}


def milliseconds(seconds: float) -> str:
    """A duration for a table."""
    return f"{seconds * 1000:.3g} ms"
