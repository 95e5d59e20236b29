"""A ModelReason as a picture: the folded graph in the colours of what its parameters do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autograd_viz import text
from autograd_viz.diagnosis.model_reason import SAID, ModelReason, Row, State
from autograd_viz.diagnosis.model_table import Part
from autograd_viz.model import Graph
from autograd_viz.networks import view
from autograd_viz.networks.coarser import coarser
from autograd_viz.networks.folding import Folded, folded
from autograd_viz.networks.known import Item
from autograd_viz.picture import Arrow, Box, Mark, Picture, Style, marked
from autograd_viz.typeset import Line, Run

MOST = 24  # boxes of the graph, of which each has a place on a page
MOST_BESIDE = 8  # boxes of what the graph does not lead to
MOST_NAMES = 6  # in one of them
MOST_NOTES = 8
_MARKS: Mapping[State, Mark] = {  # the first of a box's states decides
    "NaN": "alarm", "inf": "alarm", "trains": "leaf", "waits": "leaf", "zero": "empty",
    "None": "empty", "left out": "unused", "cut": "unused", "not reached": "unused",
    "unused": "unused", "no parameter": "unused", "frozen": "constant",
}  # fmt: skip
_LEGEND: Mapping[str, str] = {
    "leaf": "trains, or has parameters that train",
    "empty": "the gradient is 0 or None",
    "alarm": "the gradient is NaN or inf",
    "constant": "frozen",
    "unused": "no gradient arrives, or no optimizer has it",
    "group": "a module or functions that pass the gradient on",
    "oval": "gradient function",
    "stack": "repeats",
    "lit": "the gradient goes on to what trains",
    "rect": "the statement that cuts the way off",
    "cut": "the gradient stops here",
}


def drawn(reason: ModelReason, style: Style, open: str | None = None) -> Picture:
    """Draw which parts of a model train; what there is to say stands below."""
    shown: set[str] = set()
    picture, notes = Picture("", "", (), ()), list(reason.sentences)
    if reason.graph is not None:
        found = _folded(reason.graph, style, open)
        base = view.drawn(found, style, None)
        assert isinstance(base, Picture)  # not one of its frames
        picture, shown = _coloured(base, found, reason)
        notes[MOST_NOTES:] = ["print() says more."] * (len(notes) > MOST_NOTES)
        notes += [*_openable(found, picture), *found.notes]
    elif open is not None:
        raise ValueError(f"open={open!r}: {reason.output or 'a model alone'} has no graph")
    if "frozen" in reason.states:  # else nearly all of them would be
        picture = _lit(picture)
    picture = _beside(picture, reason, shown)
    kinds: set[str] = {mark for box in picture.boxes for mark in box.marks}
    kinds |= {mark for each in picture.arrows for mark in each.marks if mark in ("lit", "cut")}
    kinds |= {box.shape for box in picture.boxes if not {*_MARKS.values()} & {*box.marks}}
    return replace(
        picture,
        title=f"What trains in {reason.model}",
        words=reason.words,
        notes=tuple(note.replace("*", "∗") for note in (reason.title, *reason.notes, *notes)),
        legend={kind: meaning for kind, meaning in _LEGEND.items() if kind in kinds},
        scale={},
        style=style,
    )


def _folded(graph: Graph, style: Style, open: str | None) -> Folded:
    """The graph in so few boxes that they have a place on a page."""
    found = folded(graph, None, ()).hide("views")
    while len(found.scene.items) > MOST and found.opened - {~0}:
        fewer = coarser(found, 1 / 3)
        assert fewer is not None  # as long as something is open
        found = fewer
    return view.bounded(found if open is None else found.open(open), style)


def _openable(found: Folded, picture: Picture) -> list[str]:
    """The line that opens a closed module whose parameters are in several states."""
    for box in picture.boxes:
        if box.shape == "group" and box.id.startswith("item-") and len(box.lower or ()) > 1:
            item = found.scene.items[int(box.id.removeprefix("item-"))]
            group = found.known.groups[item.group]
            if group.items[item.first] < 0 and group.times > 1:
                group = found.known.groups[~group.items[item.first]]
            return [f"picture(open={group.name!r}) opens a module."]
    return []


def _coloured(base: Picture, found: Folded, reason: ModelReason) -> tuple[Picture, set[str]]:
    """The folded graph without the gradients between, and the names of the rows that it shows."""
    by_name = {name: row for row in reason.rows for name in row.names}
    boxes, shown = [], set()
    for box in base.boxes:
        kind, _, rest = box.id.partition("-")
        if kind == "item":
            rows = _rows_of(found, found.scene.items[int(rest)], int(rest), reason, by_name)
            boxes.append(_box(box, rows))
        elif kind == "leaf":
            label = found.graph.nodes[int(rest.partition("-")[0])].label or ""
            rows = [by_name[label]] if label in by_name else []
            boxes.append(_leaf(box, rows))
        elif kind == "flow":
            continue
        else:
            rows = []
            boxes.append(box)
        shown |= {row.name for row in rows}
    ends: dict[str, str] = {
        arrow.target: arrow.source for arrow in base.arrows if arrow.target.startswith("flow-")
    }
    arrows = [
        replace(arrow, source=ends.get(arrow.source, arrow.source), marks=(), strength=None)
        for arrow in base.arrows
        if arrow.target not in ends
    ]
    clusters = [
        replace(each, boxes=tuple(name for name in each.boxes if not name.startswith("flow-")))
        for each in base.clusters
    ]
    return replace(base, boxes=tuple(boxes), arrows=tuple(arrows), clusters=tuple(clusters)), shown


def _lit(picture: Picture) -> Picture:
    """With the arrows in colour that lead on to what trains."""
    above: dict[str, list[str]] = {}
    for arrow in picture.arrows:
        above.setdefault(arrow.target, []).append(arrow.source)
    stopped = {"empty", "alarm", "unused"}
    trains = {
        box.id
        for box in picture.boxes
        if "leaf" in box.marks and not stopped.intersection(box.marks)
    }
    waiting = [*trains]
    while waiting:
        for source in above.get(waiting.pop(), ()):
            if source not in trains:
                trains.add(source)
                waiting.append(source)
    ways: dict[tuple[str, str], tuple[Mark, ...]] = {
        (each.source, each.target): ("lit",) for each in picture.arrows if each.target in trains
    }
    return marked(picture, {}, ways)


def _rows_of(
    found: Folded, item: Item, position: int, reason: ModelReason, by_name: Mapping[str, Row]
) -> list[Row]:
    """The rows of an item: of a module all parameters, also those that the graph has not."""
    if item.node >= 0:
        return []
    groups = found.known.groups
    group = groups[item.group]
    parts = [group]
    if group.times > 1:
        parts = [groups[~code] for code in group.items[item.first : item.end] if code < 0]
    labels = [found.graph.nodes[leaf].label for leaf in found.scene.inside.get(position, ())]
    rows = {row.name: row for label in labels if label and (row := by_name.get(label))}
    prefixes = tuple(f"{part.name}." for part in parts)
    rows |= {
        row.name: row
        for row in reason.rows
        if row.state != "no parameter" and any(name.startswith(prefixes) for name in row.names)
    }
    return [*rows.values()]


def _mark(rows: Iterable[Row]) -> Mark | None:
    states = {row.state for row in rows}
    return next((mark for state, mark in _MARKS.items() if state in states), None)


def _counted(rows: Sequence[Row]) -> list[str]:
    """`24 train`, `24 get 0`, a line each."""
    count = Counter(row.state for row in rows)
    return [f"{count[state]:,} {SAID[state][count[state] != 1]}" for state in SAID if count[state]]


def _box(box: Box, rows: Sequence[Row]) -> Box:
    if box.shape != "group":
        return box
    mark = _mark(rows)
    kept = tuple(each for each in box.marks if each == "stack")
    lines = _lines(_counted(rows)) or None
    return replace(box, lower=lines, reserve=(), marks=(*kept, *([mark] if mark else [])))


def _leaf(box: Box, rows: Sequence[Row]) -> Box:
    mark = _mark(rows)
    lower = box.lower or ()
    if rows:
        lower = (*lower, *_lines([SAID[rows[0].state][0]]))
    marks: tuple[Mark, ...] = ("leaf",) if mark in (None, "leaf") else ("leaf", mark)
    return replace(box, lower=lower, reserve=(), marks=marks)


def _beside(picture: Picture, reason: ModelReason, shown: set[str]) -> Picture:
    """With what the graph does not lead to, and what cuts it off."""
    boxes, arrows = [*picture.boxes], [*picture.arrows]
    root = boxes[0].id if boxes else None
    last = next((box.id for box in reversed(boxes) if box.id.startswith("item-")), None)
    left = _left(reason, shown, has_graph=root is not None)
    for number, ((state, where), parts) in enumerate(left.items()):
        own = f"beside-{number}"
        rows = [row for part in parts for row in part.rows]
        names = [part.name for part in parts[:MOST_NAMES]]
        more = [f"… {len(parts) - MOST_NAMES:,} more"] * (len(parts) > MOST_NAMES)
        upper = (*((Run(name, "code"),) for name in names), *_lines(more))
        mark = _mark(rows)
        marks: tuple[Mark, ...] = (mark,) if mark else ()
        boxes.append(Box(own, "group", upper, _lines(_counted(rows)), marks=marks))
        above = root
        looks: tuple[Mark, ...] = ("hidden",)
        if state == "not reached":
            looks = ("cut",)
        elif state == "cut" and where is not None:
            above, looks = f"cut-{number}", ("cut",)
            boxes.append(Box(above, "rect", _statement(where)))
            if root is not None:
                arrows.append(Arrow(root, above, ("constant",)))
        elif state != "unused":
            above = last
        if above is not None:
            arrows.append(Arrow(above, own, looks))
    return replace(picture, boxes=tuple(boxes), arrows=tuple(arrows))


def _statement(where: str) -> tuple[Line, ...]:
    """A statement over its place, as they stand in a sentence."""
    place, _, statement = where.partition(": `")
    below: Line = (Run(text.clean(place, 60)),)
    return ((Run(text.clean(statement[:-1], 60), "code"),), below) if statement else (below,)


def _left(
    reason: ModelReason, shown: set[str], has_graph: bool
) -> Mapping[tuple[State, str | None], list[Part]]:
    """What no box of the graph stands for, by state and, of what is cut, by the statement.

    What the graph does not lead to is told in any case.
    """
    told = {"cut", "unused", "not reached"}
    found: dict[tuple[State, str | None], list[Part]] = {}
    for part in reason.parts:
        row = part.rows[0]
        if has_graph and row.state not in told and {each.name for each in part.rows} & shown:
            continue
        key = (row.state, row.where if row.state == "cut" else None)
        if key not in found and len(found) == MOST_BESIDE:
            key = [*found][-1]
        found.setdefault(key, []).append(part)
    return found


def _lines(texts: Iterable[str]) -> tuple[Line, ...]:
    return tuple((Run(each),) for each in texts)
