"""The range and the step of a slider for which only a part of them was given."""

from __future__ import annotations

import math
from collections.abc import Iterator

POSITIONS = 40  # about as many a slider has, if its range is not given


def around(value: float, whole: bool = False) -> tuple[float, float, float]:
    """The (min, max, step) for a number, which lies on their grid.

    A positive number goes from just above 0 to four times it, so that logarithms, roots and
    quotients stay in their domain. A negative one goes from three times it to its opposite, and
    0 from -2 to 2.

    >>> around(2.0)
    (0.25, 8.0, 0.25)
    >>> around(-2.0)
    (-6.0, 2.0, 0.25)
    >>> around(0.0)
    (-2.0, 2.0, 0.1)
    >>> around(3, whole=True)
    (1, 12, 1)
    """
    if value == 0:
        return (-5, 5, 1) if whole else (-2.0, 2.0, 0.1)
    size = abs(value)
    step = _step(size / 8, [size], whole)
    grid = 0.0 if _divides(step, size) else size % step  # of a number with many digits
    low, high = (grid or step, 4 * size) if value > 0 else (-(3 * size), size)
    if value > 0:
        high = low + math.floor((high - low) / step + 1e-9) * step
    elif grid:
        low, high = value - 2 * size // step * step, value + 2 * size // step * step
    return _rounded(low, whole), _rounded(high, whole), _rounded(step, whole)


def step_between(low: float, high: float, whole: bool = False, start: float | None = None) -> float:
    """The step for a range, such that both of its ends and where it starts lie on the grid.

    >>> step_between(0.5, 8.0)
    0.25
    >>> step_between(0, 1)
    0.025
    """
    width = high - low
    wanted = [width] if start is None else [width, start - low]
    step = _step(width / POSITIONS * 1.6, wanted, whole)
    return _rounded(step, whole)


def coarser(step: float, factor: float, whole: bool = False) -> float:
    """The next nice step that is at least `factor` times as large.

    >>> coarser(0.1, 2.3)
    0.25
    """
    exponent = math.floor(math.log10(step * factor)) - 1
    for power in range(exponent, exponent + 4):
        for digit in (1.0, 2.0, 2.5, 5.0):
            made = float(f"{digit}e{power}")
            if made >= step * factor * (1 - 1e-9) and not (whole and made != int(made)):
                return _rounded(made, whole)
    raise AssertionError("one of four decades holds it")


def _step(most: float, wanted: list[float], whole: bool) -> float:
    """The largest nice step up to `most` that divides what is wanted, if one is not too small."""
    for step in _nice(most, whole):
        if all(_divides(step, one) for one in wanted):
            return step
    return next(_nice(most, whole))


def _nice(most: float, whole: bool) -> Iterator[float]:
    """Yield 1, 2, 2.5 and 5 times powers of ten, from `most` down to a fifteenth of it.

    With smaller ones a slider would have more positions than anybody can tell apart.
    """
    exponent = math.floor(math.log10(most))
    if whole and most < 1:
        yield 1.0
        return
    for power in (exponent, exponent - 1):
        for digit in (5.0, 2.5, 2.0, 1.0):
            step = float(f"{digit}e{power}")
            if most / 15 <= step <= most * (1 + 1e-9) and not (whole and step != int(step)):
                yield step


def _divides(step: float, value: float) -> bool:
    times = value / step
    return abs(times - round(times)) < 1e-6


def _rounded(value: float, whole: bool) -> float:
    return round(value) if whole else float(f"{value:.12g}")
