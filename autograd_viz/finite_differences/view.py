"""The picture of a Nudge: what moves is lit, with its values before and after the step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from autograd_viz import text, variables_view
from autograd_viz.finite_differences.data import Nudge, Value
from autograd_viz.picture import Arrow, Box, Drawing, Mark, Picture, Style, marked
from autograd_viz.typeset import Line, Run, derivative, math

LIT: tuple[Mark, ...] = ("lit",)
DIM: tuple[Mark, ...] = ("dim",)


def drawing(shown: Nudge, *, style: Style | None = None) -> Drawing:
    """Draw the computation with the values that move lit, and the quotient below."""
    whole = variables_view.variables(shown.variables, view="computation", style=style)
    assert isinstance(whole, Picture)
    rows: dict[str, list[Value]] = defaultdict(list)
    for row in shown.rows:
        rows[f"variable-{row.variable}"].append(row)
    moving = {box for box, values in rows.items() if any(row.moves for row in values)}
    boxes = tuple(_with_values(box, rows.get(box.id, ())) for box in whole.boxes)
    arrows = {
        (arrow.source, arrow.target): LIT
        for arrow in whole.arrows
        if {arrow.source, arrow.target} <= moving
    }
    picture = marked(replace(whole, boxes=boxes), dict.fromkeys(moving, LIT), arrows, DIM)
    return replace(
        picture,
        title=_title(shown),
        words=words(shown),
        arrows=tuple(map(_without_two_marks, picture.arrows)),
        statements=(),
        formulas=(shown.formula.line, shown.gradient_formula.line),
        notes=(*picture.notes, *shown.remarks),
        legend={"lit": "moves: before → after, and by how much"} if moving else {},
    )


def words(shown: Nudge) -> str:
    """The values before and after as a table, with the quotient and the gradient below."""
    table = [["variable", "before", "after", "change", "change / step"]]
    table += [[row.name, *row.texts] for row in shown.rows]
    gradient = f"and the gradient is {shown.gradient_formula.words}"
    if shown.gradient is None:
        gradient = f"and autograd brings no gradient to {shown.name}"
    return "\n".join(
        [
            _title(shown),
            *text.table(table),
            f"{shown.formula.words}, {gradient}",
            *shown.remarks,
        ]
    )


def _title(shown: Nudge) -> str:
    return f"{shown.output} as {shown.name} moves by {text.as_written(shown.step)}"


def _with_values(box: Box, rows: Sequence[Value]) -> Box:
    """The same oval with what the step does to its values."""
    if not any(row.moves for row in rows):
        return box
    lines: list[Line] = []
    for row in rows:
        before, after, change, _ = row.texts
        name = math(row.name)
        if row.moves:
            lines.append((*name, Run(f" = {before} → {after}")))
            delta = derivative(row.name, row.name).above[1:]  # in brackets where it needs them
            lines.append((Run("Δ"), *delta, Run(f" = {change.removeprefix('+')}")))
        else:
            lines.append((*name, Run(f" = {before}")))
    return replace(box, lower=tuple(lines), reserve=())


def _without_two_marks(arrow: Arrow) -> Arrow:
    """An arrow from a constant has a look of its own already."""
    if "constant" in arrow.marks:
        return replace(arrow, marks=("constant", "dim"))
    return arrow
