"""Slopes by central differences, each with how far off it may be, and what to do at a kink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from autograd_viz.custom_functions.runs import Place, Run

POWERS = range(4)  # sizes of a step that are tried, each a tenth of the one before
_NOISE = 32  # roundings that an output may have gone through


@dataclass(frozen=True, eq=False)
class Nudged:
    """How all numbers of all outputs move with one number of an input, in float64."""

    slope: Tensor
    error: Tensor  # how far off it may be; inf: not known
    noise: float  # what rounding alone may bring

    @cached_property
    def largest(self) -> float:
        """The largest of these slopes: next to it, what the rule gives may be only rounding."""
        return float(self.slope.nan_to_num(0, 0, 0).abs().max())

    @cached_property
    def settled(self) -> Tensor:
        """By output number, whether smaller steps gave the same slope."""
        return self.error <= (0.05 * self.slope.abs()).clamp(min=self.noise)


@dataclass(frozen=True)
class Sides:
    """What stands on the two sides of a number at which a slope did not settle, or is disputed."""

    kind: Literal["kink", "jump", "edge", "steep", "smooth"]
    left: float
    right: float


def tolerance(eps: float) -> float:
    """How far apart rule and nudge may be, in parts of the larger: 5e-7 in float64.

    >>> [f"{tolerance(torch.finfo(dtype).eps):.0e}" for dtype in (torch.float64, torch.float32)]
    ['5e-07', '2e-03']
    """
    return float(eps**0.4)


def nudged(run: Run, place: Place, numbers: Callable[..., Tensor]) -> Nudged:
    """The slopes of `numbers` by one number of an input.

    Central differences with a step and its half, extrapolated; the step shrinks until the two
    agree, and each element keeps the slope of its best step.
    """
    steps = [run.eps**0.2 * 10.0**-power * size for size in _sizes(run, place) for power in POWERS]
    slope = error = noise = torch.zeros(0)
    for number, step in enumerate(steps):
        wide, _ = _central(run, place, step, numbers)
        narrow, largest = _central(run, place, step / 2, numbers)
        rounding = _NOISE * run.eps * largest / step
        value, off = narrow + (narrow - wide) / 3, (narrow - wide).abs() / 3 + rounding
        off = torch.where(off.isfinite(), off, torch.inf)
        if not number:
            slope, error, noise = value, off, rounding
        better = off < error
        slope, error = torch.where(better, value, slope), torch.where(better, off, error)
        noise = torch.where(better, rounding, noise)
        if bool((error <= torch.maximum(tolerance(run.eps) * slope.abs(), 2 * noise)).all()):
            break
    known = noise[noise.isfinite()]
    return Nudged(slope, error, 2 * known.max().item() if known.numel() else 0.0)


def _central(
    run: Run, place: Place, step: float, numbers: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """The quotient of a step to both sides, and how large the outputs are."""
    above, upper = run.shifted(place, step)
    below, lower = run.shifted(place, -step)
    up, down = numbers(above), numbers(below)
    return (up - down) / (upper - lower), torch.maximum(up.abs(), down.abs())


def sides(run: Run, place: Place, at: int, numbers: Callable[..., Tensor]) -> Sides:
    """Look at both sides of a number, from farther off and from near."""
    seen = Sides("smooth", 0.0, 0.0)
    for size in _sizes(run, place):
        seen = _sides(run, place, at, numbers, size)
        if seen.kind == "smooth":
            break
    return seen


def _sides(run: Run, place: Place, at: int, numbers: Callable[..., Tensor], size: float) -> Sides:
    here = numbers(list(run.given))[at].item()
    changes, slopes = [], []
    for step in (run.eps**0.3 * size, run.eps**0.3 * size / 8):
        for sign in (-1, 1):
            values, where = run.shifted(place, sign * step)
            change = numbers(values)[at].item() - here
            changes.append(abs(change))
            slopes.append(change / (where - run.moved_value(place)))
    left, right = slopes[2:]
    if not all(map(_finite, (*changes, *slopes))):
        return Sides("edge", left, right)
    noise = _NOISE * run.eps * abs(here)
    grown = [near / far for far, near in zip(changes, changes[2:], strict=False) if near > noise]
    if any(each > 0.7 for each in grown):
        return Sides("jump", left, right)
    if any(each > 0.2 for each in grown):  # 1/8 is a straight line; a square root has 0.35
        return Sides("steep", left, right)
    gap, near = abs(slopes[1] - slopes[0]), abs(right - left)
    least = max(run.eps**0.2 * max(abs(left), abs(right)), 4 * noise / (run.eps**0.3 * size / 8))
    if near > 0.5 * gap and near > least:
        return Sides("kink", left, right)
    return Sides("smooth", left, right)


def _sizes(run: Run, place: Place) -> tuple[float, ...]:
    """In what units a number is moved: its own size, and 1."""
    size = abs(run.moved_value(place))
    if 0.1 <= size <= 10 or not size:
        return (max(1.0, size),)
    return (size, 1.0) if size > 1 else (1.0, size)


def _finite(value: float) -> bool:
    return abs(value) < float("inf")
