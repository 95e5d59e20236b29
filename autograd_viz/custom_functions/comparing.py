"""The Jacobian by the rule and by the nudge, element by element; of a large one a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autograd_viz.custom_functions.data import Row
from autograd_viz.custom_functions.runs import Place, Run, places, reals
from autograd_viz.custom_functions.slopes import Nudged, Sides, nudged, sides, tolerance

ARRIVING = 2.0  # the gradient with which the rule runs; 1 would hide a rule that does not use it
MOST_INPUTS = 24  # elements of an input that are moved
LARGE, FEW_INPUTS = 1 << 15, 6  # from so many numbers of the outputs on, fewer are moved
MOST_OUTPUTS = 24  # elements of an output that are compared


@dataclass(frozen=True, eq=False)
class Nudges:
    """What moves with each element that was moved."""

    moved: tuple[Place, ...]
    columns: tuple[Nudged, ...]  # how all numbers of all outputs move with it
    compared: tuple[tuple[Place, int], ...]  # elements of outputs, each with its place among all


@dataclass(frozen=True, eq=False)
class Compared:
    """A Row, with where it stands and what was seen on both sides."""

    row: Row
    input: Place
    output: Place
    sides: Sides | None = None


def nudges(run: Run) -> Nudges:
    """Move the elements of the inputs, and choose which elements of the outputs to compare."""
    large = sum(output.numel() for output in run.outputs) >= LARGE
    most = FEW_INPUTS if large else MOST_INPUTS
    moved = [
        place
        for part, leaf in enumerate(run.leaves)
        for place in places(run.leaves, part, _spread(reals(leaf.detach()).numel(), most))
    ]
    columns = [nudged(run, place, run.at) for place in moved]
    compared: list[tuple[Place, int]] = []
    begin = 0
    for part, output in enumerate(run.outputs):
        size = reals(output.detach()).numel()
        chosen = {*_spread(size, MOST_OUTPUTS)}
        if size > MOST_OUTPUTS:  # and those that move at all, which are few in a large output
            own = [column.slope[begin : begin + size].abs().nan_to_num() for column in columns]
            chosen |= {int(each.argmax()) for each in own if each.max() > 0}
        at = sorted(chosen)
        for place, position in zip(places(run.outputs, part, at), at, strict=True):
            compared.append((place, begin + position))
        begin += size
    return Nudges(tuple(moved), tuple(columns), tuple(compared))


def sampled(run: Run, known: Nudges) -> str:
    """A sentence where not all elements were compared, else nothing."""
    every = sum(reals(each.detach()).numel() for each in run.leaves)
    outputs = sum(reals(each.detach()).numel() for each in run.outputs)
    if len(known.moved) == every and len(known.compared) == outputs:
        return ""
    return (
        f"A sample was compared: {len(known.moved):,} of {every:,} numbers of the inputs, and "
        f"{len(known.compared):,} of {outputs:,} of the outputs."
    )


def compared(run: Run, known: Nudges) -> Iterator[Compared]:
    """Each element of the Jacobian twice, as far as the rule gives gradients."""
    for output, at in known.compared:
        found = run.back(one_hot(run, output, ARRIVING))
        for place, column in zip(known.moved, known.columns, strict=True):
            gradient = found.gradients[place.part] if found.error is None else None
            rule = None
            if gradient is not None:
                rule = reals(gradient.detach())[place.index].item() / ARRIVING
            yield _compared(run, place, output, at, rule, column)


def one_hot(run: Run, output: Place, arriving: float) -> list[Tensor | None]:
    """Gradients for the outputs: a number for one element, and 0 for all others."""
    starts: list[Tensor | None] = [*map(torch.zeros_like, run.outputs)]
    start = starts[output.part]
    assert start is not None
    reals(start)[output.index] = arriving
    return starts


def _compared(
    run: Run, place: Place, output: Place, at: int, rule: float | None, column: Nudged
) -> Compared:
    nudge, error = column.slope[at].item(), column.error[at].item()
    if abs(nudge) <= error:
        nudge = 0.0  # it is not told from 0
    said = 0.0 if rule is None else rule  # no gradient is right where nothing moves
    settled = bool(column.settled[at])

    def compared(agrees: bool | None, seen: Sides | None = None) -> Compared:
        slopes = (_told(seen.left), _told(seen.right)) if seen and seen.kind == "kink" else None
        names = run.output_name(output), run.input_name(place)
        row = Row(*names, rule, nudge, agrees, slopes, run.moved[place.part])
        return Compared(row, place, output, seen)

    off = tolerance(run.eps) * max(abs(said), abs(nudge)) + error + 64 * run.eps * column.largest
    close = abs(said - nudge) <= off
    if settled and close:
        return compared(True)
    if said != said and not bool(column.settled.all()):
        steep = int(column.error.nan_to_num(torch.inf).argmax())  # 0 * inf, from its slope
        return compared(None, sides(run, place, steep, run.at))
    seen = sides(run, place, at, run.at)
    if seen.kind == "kink":
        slack = run.eps**0.2 * max(abs(seen.left), abs(seen.right))
        least, most = sorted((seen.left, seen.right))
        return compared(least - slack <= said <= most + slack, seen)
    return compared(False if seen.kind == "smooth" and settled else None, seen)


def _told(slope: float) -> float:
    """Of a slope on one side four digits are known."""
    return float(f"{slope:.4g}")


def _spread(count: int, most: int) -> Sequence[int]:
    """Positions among so many, at random but the same each time, with the first and the last."""
    if count <= most:
        return range(count)
    chosen = torch.randint(count, (most - 2,), generator=torch.Generator().manual_seed(0))
    return sorted({0, count - 1, *chosen.tolist()})
