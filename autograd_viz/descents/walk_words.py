"""What a walk of gradient descent says: one step with its numbers, and how the walk behaves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from autograd_viz.descents.walks import Descent, Point
from autograd_viz.text import as_written, joined, number

NOISE = 1e-5  # of the largest change: what is smaller may be rounding
ROWS = 41  # that a table has at most, but for the last
Limits = tuple[tuple[float, float], ...]  # of the picture, to the right and upwards


def heading(walk: Descent) -> str:
    """As in `Gradient descent of loss over w, learning rate 0.1`."""
    over = " and ".join(walk.names) if len(walk.names) < 3 else f"{len(walk.names)} inputs"
    rate = as_written(walk.learning_rate)
    return f"Gradient descent of {walk.output} over {over}, learning rate {rate}"


def here(walk: Descent, step: int) -> str:
    """As in `step 3: w = 1.4880, loss = 0.2621, gradient = -1.0240`."""
    at = [f"{n} = {number(v)}" for n, v in zip(walk.names, walk.points[step], strict=True)]
    loss = f"{walk.output} = {number(walk.losses[step])}"
    return f"step {step}: {joined(at, most=4)}, {loss}, gradient = {_point(walk.gradients[step])}"


def update(walk: Descent, step: int) -> str:
    """The rule with its numbers: `next w = w − learning rate × gradient = 1.4880 − ... = ...`."""
    names = _named(walk)
    rule = f"next {names} = {names} − learning rate × gradient"
    if len(walk.names) == 1:
        (at,), (slope,) = walk.points[step], walk.gradients[step]
        signed = f"({number(slope)})" if slope < 0 else number(slope)
        rule += f" = {number(at)} − {as_written(walk.learning_rate)} × {signed}"
    return f"{rule} = {_point(walk.next_point(step))}"


def _point(values: Point) -> str:
    listed = joined([number(value) for value in values], most=4)
    return listed if len(values) == 1 else f"({listed})"


def _named(walk: Descent) -> str:
    return walk.names[0] if len(walk.names) == 1 else f"({joined(walk.names, most=4)})"


def behaviour(walk: Descent) -> str:
    """How the loss and the inputs went over the whole walk, in one sentence."""
    known = [loss for loss in walk.losses if math.isfinite(loss)]
    if len(walk.points) < 2 or not known or not math.isfinite(walk.losses[0]):
        return ""
    first, last = walk.losses[0], walk.losses[-1]
    ends = f"from {number(first)} to {number(last)}"
    spread = max(known) - min(known)
    noise = NOISE * (first - min(known))  # of a loss that only grows there is none
    rises = [k for k in range(1, len(known)) if known[k] - known[k - 1] > noise]
    name = "The loss" if walk.output == "loss" else walk.output
    if len(known) == len(walk.losses) and spread <= NOISE * abs(first):
        said = f"{name} stays at {number(first)}"
    elif math.isnan(last):
        step = len(walk.losses) - 1
        said = f"{name} is NaN at step {step}: the walk has left where the function has a value"
    elif not math.isfinite(last) or last > first:
        always = " at every step" if len(rises) == len(known) - 1 else ""
        said = f"{name} grows{always}, {ends}: the learning rate is too large"
    elif not rises:
        always = " at every step," if all(b < a for a, b in itertools.pairwise(known)) else ""
        said = f"{name} falls{always} {ends}"
    else:
        where = joined([str(step) for step in rises], most=4)
        said = f"{name} falls {ends}, but rises at step{'s' * (len(rises) > 1)} {where}"
    jumping: dict[str, list[str]] = {}
    for place, each in enumerate(walk.names):
        how = _jumps([gradient[place] for gradient in walk.gradients])
        if how is not None:
            jumping.setdefault(how, []).append(each)
    for how, names in jumping.items():
        verb, *rest = how.split(" ", 1)
        many = len(names) > 1
        said += f"; {' and '.join(names)} jump{'s' * (not many)} from side to side"
        said += f" and {verb}{'s' * (not many)} {rest[0]}" if rest else ""
    return f"{said}."


def _jumps(gradients: Sequence[float]) -> str | None:
    """How an input jumps, if its gradient changes its sign at each step; else None."""
    finite = [gradient for gradient in gradients if math.isfinite(gradient)]
    most = max(map(abs, finite), default=0.0)
    # What comes after the first gradient that may be rounding says nothing.
    count = next((k for k, g in enumerate(finite) if abs(g) <= NOISE * most), len(finite))
    told = finite[:count]
    if len(told) < 3 or any(a * b > 0 for a, b in itertools.pairwise(told)):
        return None
    sizes = [abs(gradient) for gradient in told]
    if max(sizes) - min(sizes) <= NOISE * most:
        return "come no closer"
    if all(b < a for a, b in itertools.pairwise(sizes)):
        return "close in"
    if all(b > a for a, b in itertools.pairwise(sizes)):
        return "move away"
    return ""


def outside(walk: Descent, step: int, limits: Limits) -> str:
    """Where the present point lies outside of the picture: `w = 35.2 is outside to the right`."""
    sides = (("to the left", "to the right"), ("below", "above"))
    said = []
    for place, (low, high) in enumerate(limits):
        name, value = (*walk.names, walk.output)[place], place_of(walk, step)[place]
        if not low <= value <= high and math.isfinite(value):
            side = sides[place][value > high]
            said.append(f"{name} = {number(value)} is outside {side}")
    return joined(said[:1] if len(walk.names) == 1 else said)


def place_of(walk: Descent, step: int) -> Point:
    """Where a step's point stands in the picture: of one input the loss is the height."""
    at = walk.points[step]
    return (*at, walk.losses[step]) if len(at) == 1 else at


def words(walk: Descent, step: int, limits: Limits) -> str:
    """All of it, with a table of the walk."""
    now = f"{here(walk, step)}, next {_named(walk)} = {_point(walk.next_point(step))}"
    lines = [heading(walk), now, behaviour(walk), outside(walk, step, limits)]
    return "\n".join([*filter(None, lines), *walk.lines(every=1 + walk.last // ROWS)])
