"""The static picture of what a widget shows: one view, one step, some inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from autograd_viz import text, variables_view
from autograd_viz.model import Trace
from autograd_viz.picture import Box, Picture
from autograd_viz.programs.forward import Program
from autograd_viz.typeset import Line, Run
from autograd_viz.widgets import timelines
from autograd_viz.widgets.controls import Value
from autograd_viz.widgets.timelines import Since

View = Literal["computation", "derivatives", "backward", "functions"]
LABELS = {
    "computation": "computation",
    "derivatives": "derivatives",
    "backward": "backward pass",
    "functions": "functions",
}


def snapshot(
    shown: Program | Trace,
    view: View,
    step: int,
    frames: int,
    opened: Sequence[str] = (),
    inputs: Mapping[str, Value] | None = None,
    note: str = "",
) -> Picture:
    """Return the picture of a view at a step.

    Args:
        shown: the run.
        view: one of the four.
        step: its frame, from 1.
        frames: how many it has.
        opened: the variables whose inner operations are shown.
        inputs: as they are said in its title and words.
        note: what else is to be said.
    """
    if view == "functions":
        picture = _functions(shown if isinstance(shown, Trace) else shown.trace(), step)
    else:
        drawing = variables_view.variables(shown.variables(open=opened), view=view, frame=step)
        assert isinstance(drawing, Picture)
        picture = drawing
    where = f"{LABELS[view]}, step {step} of {frames}"
    given = inputs_text(inputs or {})
    title = f"{where} at {given}" if given else where
    words = "\n".join(filter(None, (f"{title[0].upper()}{title[1:]}", note, picture.words)))
    return replace(picture, title=f"{picture.title}: {title}", words=words)


def _functions(trace: Trace, step: int) -> Picture:
    """PyTorch's graph when the engine has made that many steps."""
    timeline = timelines.by_step(trace)
    whole = timeline.picture
    boxes = tuple(_until(box, timeline.boxes[box.id], step) for box in whole.boxes)
    title, head, *rows = whole.words.splitlines()  # one row a step, in their order
    if step < timeline.count:
        rows = rows[:step]
    return replace(whole, words="\n".join((title, head, *rows)), boxes=boxes)


def _until(box: Box, since: Since, step: int) -> Box:
    """The box as it is at a step, in its final size."""
    if since.full <= step and all(frame <= step for frame in since.lines.values()):
        return box
    upper, lower = box.upper, box.lower or ()

    def shown(lines: tuple[Line, ...], first: int) -> tuple[Line, ...]:
        return tuple(
            line if since.lines.get(number, 1) <= step else (Run(" "),)
            for number, line in enumerate(lines, start=first)
        )

    marks = box.marks
    if since.full > step:
        marks = ("empty",)
    elif since.lines:
        marks = tuple(mark for mark in marks if mark != "alarm")
    return replace(
        box,
        upper=shown(upper, 0),
        lower=None if box.lower is None else shown(lower, len(upper)),
        reserve=(*box.reserve, upper if box.shape == "rect" else lower),
        marks=marks,
    )


def inputs_text(inputs: Mapping[str, Value]) -> str:
    """The inputs in a row: "a = 2, b = 4"."""
    return ", ".join(f"{name} = {_value(value)}" for name, value in inputs.items())


def _value(value: Value) -> str:
    if isinstance(value, bool | str):
        return str(value)
    return text.number(value)
