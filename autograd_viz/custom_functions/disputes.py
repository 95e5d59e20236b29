"""Where rule and nudge differ, in sentences: which element, by how much, and in what way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from autograd_viz.custom_functions.comparing import Compared, Nudges
from autograd_viz.custom_functions.data import Finding, Row, nudged_number
from autograd_viz.custom_functions.runs import Pass, Run, reals
from autograd_viz.custom_functions.slopes import sides, tolerance
from autograd_viz.text import as_written, joined, number

_NO_SLOPE = {
    "jump": "the output jumps",
    "edge": "the output is a number on one side alone, or on none",
    "steep": "the output gets ever steeper",
    "smooth": "smaller steps give other slopes",
}


def of_rows(run: Run, rows: Sequence[Compared]) -> Iterator[Finding]:
    """What the comparison of all elements says."""
    wrong = [each for each in rows if each.row.agrees is False and each.row.rule is not None]
    ordered = _swapped(run, rows) if wrong else None
    if ordered is not None:
        yield ordered
    else:
        for part, position in enumerate(run.moved):
            own = [each for each in rows if each.input.part == part]
            if any(each in wrong for each in own):
                yield _differs(run.names[position], [each.row for each in own], wrong, part)
    yield from _kinks(rows)
    yield from _not_compared(rows)


def _differs(name: str, own: Sequence[Row], wrong: Sequence[Compared], part: int) -> Finding:
    """One input whose derivatives are wrong."""
    rows = [each.row for each in wrong if each.input.part == part]
    worst = max(rows, key=_apart)
    assert worst.rule is not None
    count = f"in {len(rows)} of {len(own)} elements" if len(own) > 1 else "wrong"
    begin = f"The rule for {name} differs from the nudge {count}: "
    if len(own) == 1:
        begin = f"The rule for {name} differs from the nudge: "
    text = f"{begin}{worst.name} is {worst.texts[0]} by the rule, {_by_nudge(worst)}."
    factor = _factor(own)
    if factor is not None:
        text += f" Each is {as_written(factor)} times what the nudge gives."
        mended = f"-grad_{name}" if factor == -1 else f"grad_{name} / {as_written(factor)}"
        return Finding("constant factor", text, f"grad_{name} = {mended}")
    if all(row.nudge == 0 for row in own):
        text += (
            " The output does not move at all with it at this point. A straight-through estimator "
            "does so on purpose."
        )
    return Finding("differs", text)


def _by_nudge(row: Row) -> str:
    if row.slopes is None:
        return f"{row.texts[1]} by the nudge"
    left, right = map(nudged_number, row.slopes)
    return f"and the slopes are {left} on the left and {right} on the right"


def _apart(row: Row) -> float:
    difference = abs((row.rule or 0.0) - row.nudge)
    return difference if difference == difference else float("inf")


def _factor(rows: Sequence[Row]) -> float | None:
    """By which one number all of the rule's derivatives are too large, if there is one."""
    moving = [row for row in rows if row.agrees is not None and (row.nudge or row.rule)]
    if len(moving) < 2 or any(not row.nudge or not row.rule or row.slopes for row in moving):
        return None
    ratios = [(row.rule or 0.0) / row.nudge for row in moving]
    spread = max(ratios) - min(ratios)
    factor = float(f"{ratios[0]:.7g}")
    return factor if spread <= 1e-5 * abs(factor) else None


def _swapped(run: Run, rows: Sequence[Compared]) -> Finding | None:
    """Where two inputs have each other's gradients."""
    table = {(each.input.part, each.input.index, each.output): each.row for each in rows}
    parts = range(len(run.moved))
    for one in parts:
        for other in parts[one + 1 :]:
            pairs = [
                (row, table.get((other, index, output)))
                for (part, index, output), row in table.items()
                if part == one
            ]
            if run.leaves[one].shape != run.leaves[other].shape or not pairs:
                continue
            if all(_crossed(run, here, there) for here, there in pairs):
                here, there = run.names[run.moved[one]], run.names[run.moved[other]]
                names = [f"grad_{name}" if place in run.moved else "None"
                         for place, name in enumerate(run.names)]  # fmt: skip
                return Finding(
                    "other order",
                    f"The gradients stand in the wrong order: what backward returns for {here} is "
                    f"what the nudge gives for {there}, and the other way round.",
                    f"return {', '.join(names)}",
                )
    return None


def _crossed(run: Run, here: Row, there: Row | None) -> bool:
    if there is None or here.rule is None or there.rule is None:
        return False
    pairs = ((here.rule, there.nudge), (there.rule, here.nudge))
    return all(abs(a - b) <= 100 * tolerance(run.eps) * max(abs(a), abs(b), 1e-6) for a, b in pairs)


def _kinks(rows: Sequence[Compared]) -> Iterator[Finding]:
    kinks = [each.row for each in rows if each.row.slopes is not None and each.row.agrees]
    if kinks:
        row = kinks[0]
        assert row.slopes is not None
        left, right = map(nudged_number, row.slopes)
        more = f" (and {len(kinks) - 1} more)" if len(kinks) > 1 else ""
        yield Finding(
            "kink",
            f"At {row.input} the output has a kink{more}: the slope is {left} on the left and "
            f"{right} on the right, so there is no derivative. The rule's "
            f"{number(row.rule or 0.0)} is not wrong: it is one of them, or between them.",
            wrong=False,
        )


def _not_compared(rows: Sequence[Compared]) -> Iterator[Finding]:
    open_ones = [each for each in rows if each.row.agrees is None]
    for kind, why in _NO_SLOPE.items():
        names = [each.row.input for each in open_ones if each.sides and each.sides.kind == kind]
        if names:
            yield Finding(
                "not compared",
                f"Not compared at {joined(list(dict.fromkeys(names)))}: there {why}, so a nudge "
                "finds no slope. Check at another point.",
                wrong=len(open_ones) == len(rows),
            )


def of_all_at_once(
    run: Run, known: Nudges, starts: Sequence[Tensor | None], found: Pass
) -> Iterator[Finding]:
    """Whether the rule agrees too where a gradient arrives at all elements at once."""
    arriving = torch.cat(
        [reals(each).cpu().double().reshape(-1) for each in starts if each is not None]
    )

    def weighted(values: Sequence[Any]) -> Tensor:
        return (run.at(values) * arriving).sum().reshape(1)

    for place, column in zip(known.moved, known.columns, strict=True):
        gradient = found.gradients[place.part]
        rule = 0.0 if gradient is None else reals(gradient.detach())[place.index].item()
        nudge = (column.slope * arriving).sum().item()
        size = (column.slope * arriving).abs().sum().item()
        slack = (column.error * arriving.abs()).sum().item()
        differ = slack <= 0.05 * size and abs(rule - nudge) > 4 * tolerance(run.eps) * size + slack
        if differ and sides(run, place, 0, weighted).kind == "smooth":
            yield Finding(
                "not linear",
                "With a gradient arriving at all elements of the output at once, the rule gives "
                f"{number(rule)} for {run.input_name(place)}, and the nudge "
                f"{nudged_number(nudge)}.",
            )
            return
