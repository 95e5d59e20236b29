"""A Reason as a picture: the computation, and the place where the gradient stops."""

from __future__ import annotations

from dataclasses import replace

from autograd_viz import functions_view, text, variables_view
from autograd_viz.diagnosis.gradient_stops import on_the_way
from autograd_viz.diagnosis.reason import Reason
from autograd_viz.model import Edge, Link, Variables
from autograd_viz.picture import Arrow, Box, Mark, Picture, Style, marked
from autograd_viz.typeset import Line, Run, math

MANY = 25  # variables from which PyTorch's graph near the output is drawn instead
NEAR = 8  # nodes of it that are drawn then
_BECOMES = {"zero": "here it becomes 0", "nan": "here it becomes NaN or inf"}
_KEPT = ("well", "accumulated", "other_passes", "zero", "vanishing", "nan", "not_differentiable")


def diagnosis(reason: Reason, *, style: Style | None = None) -> Picture:
    """Draw where a gradient stops, or what a .grad is made of; the paragraph stands below."""
    style = style or Style()
    shown = _opened(reason)
    if shown is None or not shown.nodes:
        picture = _small(reason)
    elif len(shown.nodes) > MANY:
        picture = _large(shown)
    else:
        picture = _whole(shown)
    picture = _with_stop(picture, reason, shown)
    marks = [part.marks for part in picture.boxes] + [part.marks for part in picture.arrows]
    cut = any("cut" in each for each in marks)
    legend = {"cut": _BECOMES.get(reason.cause, "the gradient stops here")} if cut else {}
    title = f"Why {reason.tensor}.grad is as it is"
    return replace(
        picture,
        title=title,
        words="\n".join([title, reason.text, *picture.words.splitlines()[1:]]),
        statements=(),
        notes=(reason.text.replace("*", "∗"), *picture.notes),  # it is code, not a product's dot
        legend={**picture.legend, **legend},
        style=style,
    )


def _opened(reason: Reason) -> Variables | None:
    """The variables, with the one opened inside of which the gradient stops."""
    shown = reason.variables
    if shown is None or reason.stop is None:
        return shown
    inside = [
        variable.name
        for variable in shown.nodes
        if variable.name and {reason.stop.source, reason.stop.target} <= {*variable.members}
    ]
    # Also where the operation that stops it is not the one its variable is named after.
    inside += [
        variable.name
        for variable in shown.nodes
        if variable.name
        and reason.stop.source in variable.members
        and reason.stop.source != variable.node
    ]
    return shown.open(inside[0]) if inside else shown


def _small(reason: Reason) -> Picture:
    """Where the output has no graph: the output alone, or nothing."""
    boxes = []
    if reason.output is not None:
        lines: tuple[Line, ...] = ((Run("no graph"),),)
        boxes.append(Box("output", "oval", (math(text.clean(reason.output)),), lines))
    marks: tuple[Mark, ...] = ("constant",)
    boxes = [replace(box, marks=marks) for box in boxes]
    legend = {"oval": "a variable", "constant": "needs no gradient"}
    return Picture("", "", tuple(boxes), (), legend=legend)


def _whole(shown: Variables) -> Picture:
    drawn = variables_view.variables(shown)
    assert isinstance(drawn, Picture)  # not one of its frames
    return drawn


def _large(shown: Variables) -> Picture:
    drawn = functions_view.functions(shown.graph, shown.trace, limit=NEAR)
    left_out = (
        f"{len(shown.graph.nodes) - NEAR:,} of {len(shown.graph.nodes):,} nodes are left out."
    )
    notes = [note for note in drawn.notes if "limit=" not in note]  # which this picture has not
    return replace(drawn, notes=(*notes, left_out))


def _with_stop(picture: Picture, reason: Reason, shown: Variables | None) -> Picture:
    if reason.node is None:
        return _outside(picture, reason, shown)
    if reason.stop is not None:
        picture = _cut_edge(picture, reason.stop, shown)
    place = _box_of(picture, reason.node, shown)
    return _with_grad(picture, reason, place, shown)


def _cut_edge(picture: Picture, edge: Edge, shown: Variables | None) -> Picture:
    """Mark the way on which the gradient ends."""
    link = _link_of(edge, shown)
    number = None if link is None or shown is None else shown.links.index(link)
    ends = {(arrow.source, arrow.target) for arrow in picture.arrows}
    if link is not None and (f"variable-{link.source}", f"link-{number}") in ends:
        middle = f"link-{number}"
        return marked(
            picture,
            {f"variable-{link.source}": ("lit",)},
            {(middle, f"variable-{link.target}"): ("cut",)},
        )
    if link is not None and (f"variable-{link.target}", f"variable-{link.source}") in ends:
        return marked(
            picture,
            {f"variable-{link.source}": ("lit",)},
            {(f"variable-{link.target}", f"variable-{link.source}"): ("cut",)},
        )
    place = _box_of(picture, edge.source, shown)
    return marked(picture, {place: ("cut",)}, {}) if place else picture


def _link_of(edge: Edge, shown: Variables | None) -> Link | None:
    for link in shown.links if shown else ():
        if edge in link.arrivals:
            return link
    return None


def _box_of(picture: Picture, node: int, shown: Variables | None) -> str | None:
    """The box that stands for a node of the graph, or for the variable that it helps to compute."""
    for box in picture.boxes:
        if box.shape == "oval" and box.data.get("node") == node:
            return box.id
    for variable in shown.nodes if shown else ():
        if node in variable.members:
            name = f"variable-{variable.id}"
            return name if any(box.id == name for box in picture.boxes) else None
    return None


def _with_grad(
    picture: Picture, reason: Reason, place: str | None, shown: Variables | None
) -> Picture:
    """The tensor's .grad as a box of its own, behind a cut where nothing is written into it."""
    lines: list[Line] = []
    name = math(f"{text.clean(reason.tensor)}.grad") if " " not in reason.tensor else ()
    label = (*name, Run(" = ")) if name else (Run(".grad = "),)
    if reason.grad is None:
        lines.append((*label, Run("None")))
    else:
        first, *rest = text.summary(reason.grad)
        lines += [(*label, Run(first)), *((Run(line),) for line in rest)]
    kept = reason.grad is not None and reason.cause in _KEPT
    marks: tuple[Mark, ...] = ("lit",) if kept else ("empty",)
    if reason.grad is not None and text.trouble(reason.grad):
        marks = ("alarm",)
    box = Box("grad", "rect", tuple(lines), marks=marks)
    if place is None:  # it lies behind what is left out
        way = on_the_way(shown.graph, reason.node) if shown and reason.node is not None else ()
        leading = {f"more-{node}" for node in way}
        more = [each.id for each in picture.boxes if each.id in leading]
        tensor = Box("tensor", "oval", (math(text.clean(reason.tensor)),), marks=("leaf",))
        ways = [_arrow(picture, each, "tensor")[0] for each in more or [picture.boxes[0].id]]
        picture = replace(picture, boxes=(*picture.boxes, tensor), arrows=(*picture.arrows, *ways))
        place = "tensor"
    cut = reason.grad is None and reason.stop is None
    plain: tuple[Mark, ...] = ("constant",) if picture.upward else ()
    arrows = _arrow(picture, place, "grad", ("cut",) if cut else plain)
    boxes = tuple(
        replace(each, marks=(*each.marks, "lit")) if each.id == place else each
        for each in picture.boxes
    )
    return replace(picture, boxes=(*boxes, box), arrows=(*picture.arrows, *arrows))


def _outside(picture: Picture, reason: Reason, shown: Variables | None) -> Picture:
    """The tensor beside the graph, and the statement at which the way to it breaks off."""
    marks: tuple[Mark, ...] = ("leaf",) if reason.leaf else ("constant", "empty")
    value = text.summary(reason.value) if reason.value is not None else []
    upper: list[Line] = [math(text.clean(reason.tensor))]
    if value:
        upper = [(*math(text.clean(reason.tensor)), Run(f" = {value[0]}"))]
    state = "None" if reason.grad is None else text.summary(reason.grad)[0]
    tensor = Box("tensor", "oval", tuple(upper), ((Run(f".grad: {state}"),),), marks=marks)
    boxes: list[Box] = [tensor]
    arrows: list[Arrow] = []
    above = _user(picture, reason, shown)
    if reason.broken is not None:
        lines: list[Line] = [(Run(text.clean(reason.broken.text, 60), "code"),)]
        lines.append((Run(reason.broken.where),))
        boxes.append(Box("broken", "rect", tuple(lines), marks=("lit",)))
        above_broken = above
        cut_off = "tensor"
        if reason.broken.source is not None:  # the tensor asked about is what the statement made
            name = math(text.clean(reason.broken.source))
            boxes.append(Box("source", "oval", (name,)))
            above_broken, cut_off = "tensor", "source"
            arrows += _arrow(picture, above, "tensor", ("constant",)) if above else ()
        arrows += _arrow(picture, "broken", cut_off, ("cut",))
        if above_broken is not None:
            arrows += _arrow(picture, above_broken, "broken", ("constant",))
    elif above is not None:
        arrows += _arrow(picture, above, "tensor", ("cut",))
    else:
        boxes = [replace(tensor, marks=(*tensor.marks, "cut"))]
    return replace(picture, boxes=(*picture.boxes, *boxes), arrows=(*picture.arrows, *arrows))


def _user(picture: Picture, reason: Reason, shown: Variables | None) -> str | None:
    """The variable that the tensor would have to be reached from: the nearest, or the output."""
    wanted = reason.broken.user if reason.broken else None
    for variable in shown.nodes if shown else ():
        if wanted is not None and variable.name == wanted:
            return f"variable-{variable.id}"
    root = f"variable-{shown.root.id}" if shown else "output"
    ids = [box.id for box in picture.boxes]
    return root if root in ids else next(iter(ids), None)


def _arrow(
    picture: Picture, above: str, below: str, marks: tuple[Mark, ...] = ()
) -> tuple[Arrow, ...]:
    """An arrow in the direction of a gradient; drawn upwards where the picture's arrows go up."""
    return (Arrow(below, above, marks) if picture.upward else Arrow(above, below, marks),)
