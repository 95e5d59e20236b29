"""A FunctionCheck in words and as a picture: the Function, and each derivative twice."""

from __future__ import annotations

from collections.abc import Sequence

from autograd_viz import text
from autograd_viz.custom_functions.data import FunctionCheck, Part, Row, nudged_number
from autograd_viz.picture import Arrow, Box, Drawing, Mark, Picture, Style
from autograd_viz.typeset import Frac, Line, Run, math

LISTED = 24  # rows of the table
DRAWN = 4  # derivatives in one rectangle
_LEGEND = {
    "group": "the Function",
    "oval": "an output",
    "leaf": "an input that is nudged",
    "constant": "an input without gradient",
    "rect": "derivatives, by the rule and by the nudge",
    "alarm": "here the two differ",
}


def words(check: FunctionCheck) -> str:
    """The derivatives as a table, and what was found."""
    shown = _told(check.rows)
    rows = [["", "rule", "nudge", ""]]
    rows += [[row.name, *row.texts, _said(row)] for row in shown[:LISTED]]
    if not any(row[3] for row in rows):
        rows = [row[:3] for row in rows]
    lines = text.table(rows) if shown else []
    return "\n".join([_title(check), *lines, *_notes(check)])


def _title(check: FunctionCheck) -> str:
    wrong = [row for row in check.rows if row.agrees is False]
    name, count = check.name, f"{len(check.rows):,}"
    if not check.rows:
        return f"{name}: nothing could be compared"
    if all(row.rule is None for row in check.rows):
        return f"{name}: the rule gives no gradient"
    if wrong:
        where = "" if len(check.rows) == 1 else f" in {len(wrong):,} of {count} elements"
        return f"{name}: rule and nudge differ{where}"
    if all(row.agrees is None for row in check.rows):
        return f"{name}: nothing could be compared"
    title = f"{name}: rule and nudge agree" + (f" in {count} elements" if count != "1" else "")
    return title if check else f"{title}, but there is something else"


def _notes(check: FunctionCheck) -> list[str]:
    notes = [str(finding) for finding in check.findings]
    shown = _told(check.rows)
    if len(shown) > LISTED:
        notes.append(f"{len(shown) - LISTED:,} further elements are in .rows.")
    zeros = len(check.rows) - len(shown)
    if zeros and shown:
        notes.append(f"In {zeros:,} further element{'s' * (zeros != 1)} both are 0.")
    return [*notes, *check.notes]


def _told(rows: Sequence[Row]) -> list[Row]:
    """The rows that say something, those first that differ."""
    told = [row for row in rows if row.rule or row.nudge or row.agrees is not True]
    return sorted(told or rows[:1], key=_agreement)


def _agreement(row: Row) -> int:
    return (False, None, True).index(row.agrees)


def _said(row: Row) -> str:
    if row.slopes is not None:
        left, right = map(nudged_number, row.slopes)
        kink = f"a kink: {left} on the left, {right} on the right"
        return kink if row.agrees else f"differs; {kink}"
    return {True: "", False: "differs", None: "not compared"}[row.agrees]


def drawing(check: FunctionCheck, *, style: Style | None = None) -> Drawing:
    """Draw the Function between its outputs and its inputs, each derivative twice."""
    boxes = [_value(f"output-{place}", part, ()) for place, part in enumerate(check.outputs)]
    arrows = [Arrow(box.id, "function") for box in boxes]
    boxes.append(Box("function", "group", ((Run(check.name, "code"),),), ((Run("backward"),),)))
    for place, part in enumerate(check.inputs):
        mark: Mark = "leaf" if part.checked else "constant"
        twice = _twice(check, place)
        boxes += [*twice, _value(f"input-{place}", part, (mark,))]
        arrows += [Arrow("function", box.id) for box in twice]
        arrows += [Arrow(box.id, f"input-{place}") for box in twice]
        if not twice:
            marks: tuple[Mark, ...] = () if part.checked else ("constant",)
            arrows.append(Arrow("function", f"input-{place}", marks))
    kinds = {box.shape for box in boxes} | {mark for box in boxes for mark in box.marks}
    return Picture(
        title=_title(check),
        words=words(check),
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        notes=tuple(note.replace("*", "∗") for note in _notes(check)),  # code, no product's dot
        legend={kind: meaning for kind, meaning in _LEGEND.items() if kind in kinds},
        style=style or Style(),
    )


def _value(name: str, part: Part, marks: tuple[Mark, ...]) -> Box:
    value = text.clean(part.value)
    return Box(name, "oval", ((*math(part.name), Run(f" = {value}")),), marks=marks)


def _twice(check: FunctionCheck, place: int) -> list[Box]:
    """The rectangles of one input: those that differ, and the rest; by the rule, by the nudge."""
    own = [row for row in _told(check.rows) if row.part == place and check.rows]
    boxes = []
    for name, rows in (
        ("differ", [row for row in own if row.agrees is False]),
        ("agree", [row for row in own if row.agrees is not False]),
    ):
        marks: tuple[Mark, ...] = ("alarm",) if name == "differ" else ()
        for kind in ("rule", "nudge") if rows else ():
            lines = [_line(row, row.texts[kind == "nudge"]) for row in rows[:DRAWN]]
            if len(rows) > DRAWN:
                lines.append((Run(f"… {len(rows) - DRAWN:,} more"),))
            upper: tuple[Line, ...] = ((Run(f"{kind}:"),), *lines)
            boxes.append(Box(f"{kind}-{place}-{name}", "rect", upper, marks=marks))
    return boxes


def _line(row: Row, value: str) -> Line:
    slope = Frac((Run("∂"), *math(row.output)), (Run("∂"), *math(row.input)))
    return (slope, Run(f" = {value}"))
