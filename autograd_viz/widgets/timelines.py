"""From which frame on each part of a view is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from autograd_viz import frames, functions_view, text, variables_view
from autograd_viz.formulas.recipes import is_to_constant
from autograd_viz.model import Trace, Variables
from autograd_viz.picture import Box, Picture


@dataclass(frozen=True)
class Since:
    """When a box appears, its lines, and its outline if it is drawn as empty before."""

    there: int = 1
    lines: Mapping[int, int] = field(default_factory=dict)  # those that come later
    full: int = 1


@dataclass(frozen=True, eq=False)
class Timeline:
    """A whole picture, and when its parts appear."""

    picture: Picture
    count: int  # of frames
    boxes: Mapping[str, Since]
    arrows: tuple[int, ...]  # in the picture's order


def by_variable(shown: Variables, view: variables_view.View) -> Timeline:
    """The frames of the computation, of the derivatives or of the backward pass."""
    picture = variables_view.variables(shown, view=view)
    assert isinstance(picture, Picture)
    nodes, links = frames.drawn(shown)
    backward = view == "backward"
    appears = (frames.backward if backward else frames.forward)(nodes, links)
    boxes: dict[str, Since] = {}
    for box in picture.boxes:
        if "variable" in box.data:
            when, upper = appears[box.data["variable"]], len(box.upper)
            below = range(upper, upper + len(box.lower or ()))
            later = dict.fromkeys(below, when) if backward and when > 1 else {}
            boxes[box.id] = Since(1, later) if backward else Since(when)
        else:
            number = int(box.data["link"])
            link = links[number]
            if not backward:
                boxes[box.id] = Since(appears[link.source])
                continue
            brought = 0
            if link.contribution is not None and box.reserve and len(box.reserve) == 1:
                brought = len(text.summary(link.contribution))
            lines = range(len(box.upper) - brought, len(box.upper))
            boxes[box.id] = Since(1, dict.fromkeys(lines, appears[number, 1]))
    arrows: list[int] = []
    for number, link in enumerate(links):
        constant = is_to_constant(shown, link)
        if backward:
            arrows += [1] if constant else [appears[number, 0], appears[number, 1]]
        else:
            halves = 1 if constant or view == "computation" else 2
            arrows += [appears[link.source]] * halves
    return Timeline(picture, max(appears.values()), boxes, tuple(arrows))


def by_step(trace: Trace) -> Timeline:
    """PyTorch's graph, one frame a step of the engine, as far as the nodes are drawn."""
    picture = functions_view.functions(trace.graph, trace)
    drawn = {int(box.data["node"]) for box in picture.boxes if box.shape == "oval"}
    order = [step.node for step in trace.steps if step.node in drawn]
    frame_of = {node: number for number, node in enumerate(order, start=1)}
    boxes = {box.id: _since(box, frame_of) for box in picture.boxes}
    stepped = tuple(
        replace(box, data={**box.data, "step": frame_of[int(box.data["node"])]})
        if box.shape == "oval" and int(box.data["node"]) in frame_of
        else box
        for box in picture.boxes
    )
    arrows = (1,) * len(picture.arrows)
    return Timeline(replace(picture, boxes=stepped), max(len(order), 1), boxes, arrows)


def _since(box: Box, frame_of: Mapping[int, int]) -> Since:
    """A rectangle is empty until its function has run, a leaf's lower half until its gradient."""
    if box.shape == "rect" and int(box.data.get("source", -1)) in frame_of:
        frame = frame_of[int(box.data["source"])]
        later = dict.fromkeys(range(len(box.upper)), frame) if frame > 1 else {}
        return Since(1, later, frame)
    if "leaf" in box.marks and int(box.data["node"]) in frame_of:
        upper = len(box.upper)
        below = range(upper, upper + len(box.lower or ()))
        return Since(1, dict.fromkeys(below, frame_of[int(box.data["node"])]))
    return Since()
