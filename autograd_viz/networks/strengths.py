"""How large gradients are beside each other: a logarithmic scale over all that are seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from autograd_viz.picture import Mark

LEAST = 2  # decades of a scale, so that gradients that are nearly equal look nearly equal
STEPS = 4  # between the samples in the legend, at most
MEANING: Mapping[str, str] = {  # what no logarithmic scale has a place for
    "absent": "None, no gradient",
    "zero": "0 everywhere",
    "inf": "inf",
    "nan": "NaN",
}


class Scale(NamedTuple):
    """From a norm to a strength, 0.0 to 1.0.

    >>> scale = scale_of([1e-6, 0.5, 0.0, None])
    >>> scale.strength(1e-6), scale.strength(1e-3), scale.strength(1.0), scale.strength(0.0)
    (0.0, 0.5, 1.0, None)
    >>> [text for text, _ in scale.samples]
    ['1e-06', '0.0001', '0.01', '1']
    """

    high: int  # power of ten
    step: int  # decades between two samples
    steps: int

    @property
    def low(self) -> int:
        """The power of ten where it begins."""
        return self.high - self.step * self.steps

    def strength(self, norm: float | None) -> float | None:
        """None for what has no place on the scale."""
        if norm is None or mark_of(norm):
            return None
        along = (math.log10(norm) - self.low) / (self.high - self.low)
        return round(min(1.0, max(0.0, along)), 3)

    @property
    def samples(self) -> list[tuple[str, float]]:
        """Three to five numbers of the scale with their strengths."""
        powers = [self.low + number * self.step for number in range(self.steps + 1)]
        return [
            (f"{10.0**power:g}" if abs(power) < 5 else f"1e{power:+03d}", number / self.steps)
            for number, power in enumerate(powers)
        ]


def scale_of(norms: Iterable[float | None]) -> Scale | None:
    """The scale over some norms, in whole powers of ten; None where none has a place on it."""
    logs = [math.log10(norm) for norm in norms if norm is not None and not mark_of(norm)]
    if not logs:
        return None
    high = math.ceil(max(logs))
    decades = max(high - math.floor(min(logs)), LEAST)
    step = math.ceil(decades / STEPS)
    return Scale(high, step, math.ceil(decades / step))


def mark_of(norm: float | None) -> Mark | None:
    """How a gradient is marked that has no place on the scale."""
    if norm is None:
        return "absent"
    if math.isnan(norm):
        return "nan"
    if math.isinf(norm):
        return "inf"
    return None if norm else "zero"
