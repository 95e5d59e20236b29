"""An Explanation as a picture: the computation, what was saved and changed, what failed."""

from __future__ import annotations

from dataclasses import replace

from autograd_viz import functions_view, text, variables_view
from autograd_viz.diagnosis.explanation import Explanation, Note
from autograd_viz.diagnosis.view import MANY, NEAR
from autograd_viz.model import Variables
from autograd_viz.picture import Arrow, Box, Mark, Picture, Style, marked
from autograd_viz.typeset import Line, Run, math

_LEGEND = {
    "dim": "freed by an earlier pass",
    "cut": "no gradient can pass here",
    "empty": "saved, and changed since",
}


def explanation(reason: Explanation, *, style: Style | None = None) -> Picture:
    """Draw what failed; the paragraph stands below."""
    shown = _opened(reason)
    picture = _base(reason, shown)
    picture = _with_marks(picture, reason, shown)
    for number, note in enumerate(reason.beside):
        picture = _with_note(picture, reason, shown, number, note)
    parts = [each.marks for each in picture.boxes] + [each.marks for each in picture.arrows]
    used = {mark for marks in parts for mark in marks}
    legend: dict[str, str] = {
        kind: said for kind, said in {**_LEGEND, **reason.legend}.items() if kind in used
    }
    title = reason.title
    return replace(
        picture,
        title=title,
        words="\n".join([title, reason.text, *picture.words.splitlines()[1:]]),
        statements=(),
        notes=(reason.text.replace("*", "∗"), *picture.notes),
        legend={**picture.legend, **legend},
        style=style or Style(),
    )


def _opened(reason: Explanation) -> Variables | None:
    """The variables, with the first one opened in which some functions are marked and some not."""
    shown = reason.variables
    if shown is None or len(shown.nodes) > MANY:
        return shown
    for variable in shown.nodes:
        kinds = {reason.marks.get(node, ()) for node in variable.members}
        if variable.name and len(kinds) > 1 and len(variable.members) > 1:
            return shown.open(variable.name)
    return shown


def _base(reason: Explanation, shown: Variables | None) -> Picture:
    if shown is None or not shown.nodes:
        boxes = []
        if reason.output is not None and not any(each.kind == "tensor" for each in reason.beside):
            name = math(text.clean(reason.output))
            boxes.append(Box("output", "oval", (name,), ((Run("no graph"),),), marks=("constant",)))
        legend = {"oval": "a variable", "constant": "needs no gradient"}
        return Picture("", "", tuple(boxes), (), legend=legend if boxes else {})
    if len(shown.nodes) > MANY:
        drawn = functions_view.functions(shown.graph, shown.trace, limit=NEAR)
        notes = [note for note in drawn.notes if "limit=" not in note]
        total = len(shown.graph.nodes)
        return replace(drawn, notes=(*notes, f"{total - NEAR:,} of {total:,} nodes are left out."))
    picture = variables_view.variables(shown)
    assert isinstance(picture, Picture)
    return picture


def _with_marks(picture: Picture, reason: Explanation, shown: Variables | None) -> Picture:
    boxes: dict[str, tuple[Mark, ...]] = {}
    for node, marks in reason.marks.items():
        place = _box_of(picture, node, shown)
        if place is not None:
            own = tuple(mark for mark in marks if mark != "cut")
            boxes[place] = (*boxes.get(place, ()), *own)
    arrows: dict[tuple[str, str], tuple[Mark, ...]] = {}
    for node, marks in reason.marks.items():
        place = _box_of(picture, node, shown) if "cut" in marks else None
        for arrow in picture.arrows:
            ends = (arrow.target, arrow.source) if picture.upward else (arrow.source, arrow.target)
            if place is not None and ends[1] == place:
                arrows[arrow.source, arrow.target] = ("cut",)
    return marked(picture, {box: tuple(dict.fromkeys(each)) for box, each in boxes.items()}, arrows)


def _box_of(picture: Picture, node: int | None, shown: Variables | None) -> str | None:
    """The box that stands for a node, or for the variable that it helps to compute."""
    if node is None:
        return None
    for box in picture.boxes:
        if box.shape == "oval" and box.data.get("node") == node:
            return box.id
    for variable in shown.nodes if shown is not None else ():
        if node in variable.members:
            name = f"variable-{variable.id}"
            return name if any(box.id == name for box in picture.boxes) else None
    return None


def _with_note(
    picture: Picture, reason: Explanation, shown: Variables | None, number: int, note: Note
) -> Picture:
    first: Line = (Run(text.clean(note.lines[0], 60), "code" if note.code else "text"),)
    name = f"note-{number}"
    if note.kind == "tensor":
        upper: tuple[Line, ...] = (math(text.clean(note.lines[0])),)
        lower = tuple((Run(line),) for line in note.lines[1:])
        marks: tuple[Mark, ...] = ("leaf",) if reason.leaf else ("constant",)
        box = Box(name, "oval", upper, lower or None, marks=marks)
    else:
        lines = (first, *((Run(line),) for line in note.lines[1:]))
        kinds: tuple[Mark, ...] = ("empty", "struck") if note.kind == "saved" else ("lit",)
        box = Box(name, "rect", lines, marks=kinds)
    above = f"note-{number - 1}" if note.below else _box_of(picture, note.about, shown)
    if above is None and shown is not None and not note.below:
        above = _box_of(picture, shown.root.node, shown)
    ids = {each.id for each in picture.boxes}
    if above is None or above not in ids:
        above = next((each for each in ("output",) if each in ids), None)
    arrows: tuple[Arrow, ...] = ()
    if above is not None:
        cut: tuple[Mark, ...] = ("cut",) if note.cut or note.below else ("constant",)
        arrows = ((Arrow(name, above, cut) if picture.upward else Arrow(above, name, cut)),)
    return replace(picture, boxes=(*picture.boxes, box), arrows=(*picture.arrows, *arrows))
