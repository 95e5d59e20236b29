"""All frames of a view in one picture, whose parts say from which frame on they are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autograd_viz.picture import Arrow, Box, Picture
from autograd_viz.typeset import Line, Run, plain
from autograd_viz.widgets.live_lines import LiveLines
from autograd_viz.widgets.live_numbers import Atom, Pattern
from autograd_viz.widgets.timelines import Since, Timeline


@dataclass(frozen=True, eq=False)
class Live:
    """A view with all of its frames in one picture, and places for the numbers."""

    name: str
    picture: Picture
    lit: tuple[tuple[str, ...], ...]  # for each frame the boxes and arrows that it is about
    ovals: tuple[tuple[str, ...], ...]  # those of them that are ovals: their code is lit too
    words: tuple[str, ...]  # what each frame says, with {key} for the numbers


def live(name: str, timeline: Timeline, lines: LiveLines) -> Live:
    """Put the frames of a view into one picture."""
    boxes = [_box(box, timeline.boxes[box.id], lines) for box in timeline.picture.boxes]
    arrows: list[Arrow] = []
    for number, (arrow, there) in enumerate(
        zip(timeline.picture.arrows, timeline.arrows, strict=True)
    ):
        data: dict[str, int | str] = {"box": f"arrow-{number}"}
        if there > 1:
            data["from"] = there
        marks = tuple(mark for mark in arrow.marks if mark != "hidden")
        arrows.append(replace(arrow, marks=marks, data=data))
    if name == "functions":
        lit, ovals, words = _engine_order(boxes, arrows, timeline.count)
    else:
        lit, ovals, words = _waves(boxes, arrows, timeline, name == "backward")
    for number, frame_words in enumerate(words):
        if not frame_words:  # arrows alone: say what stands on them
            for box in boxes:
                if box.shape == "rect" and box.id in lit[number]:
                    frame_words += _said(box.upper)
    legend = timeline.picture.legend
    picture = replace(
        timeline.picture,
        words="",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        statements=(),
        # Whether there is an alarm changes from run to run; State.words says it.
        legend={kind: said for kind, said in legend.items() if kind != "alarm"},
    )
    return Live(
        name,
        picture,
        tuple(map(tuple, lit)),
        tuple(map(tuple, ovals)),
        tuple("; ".join(frame_words) for frame_words in words),
    )


def _box(box: Box, since: Since, lines: LiveLines) -> Box:
    """A box with places for numbers, and with the frames in which it and its lines appear."""
    made, moved = lines.box(box)
    fills: dict[int, int] = {}
    for position, frame in since.lines.items():
        fills |= dict.fromkeys(moved.get(position, ()), frame)
    data: dict[str, int | str] = {**box.data, "box": box.id}
    if since.there > 1:
        data["from"] = since.there
    if since.full > 1 and "empty" not in box.marks:
        data["fills"] = since.full
    marks = tuple(mark for mark in box.marks if mark not in ("alarm", "hidden"))
    return replace(made, marks=marks, data=data, fills=fills)


Parts = tuple[list[dict[str, None]], list[list[str]], list[list[str]]]


def _waves(
    boxes: Sequence[Box],
    arrows: Sequence[Arrow],
    timeline: Timeline,
    backward: bool,
) -> Parts:
    """For each frame what is new in it: what is lit, the ovals among it, the words."""
    count = timeline.count
    lit: list[dict[str, None]] = [{} for _ in range(count)]
    ovals: list[list[str]] = [[] for _ in range(count)]
    words: list[list[str]] = [[] for _ in range(count)]
    for box in reversed(boxes):  # they begin at the output, but are read as they are computed
        news = max([int(box.data.get("from", 1)), *box.fills.values()])
        if box.shape == "oval" and box.lower:
            lit[news - 1][box.id] = None
            ovals[news - 1].append(box.id)
            words[news - 1].append(" ".join(_said(box.lower)))
        elif box.shape == "rect" and news > 1:
            lit[news - 1][box.id] = None
    shape_of = {box.id: box.shape for box in boxes}
    for arrow, there in zip(arrows, timeline.arrows, strict=True):
        if there > 1:
            lit[there - 1][str(arrow.data["box"])] = None
            for end in (arrow.source, arrow.target) if backward else ():
                if end not in lit[there - 1]:
                    lit[there - 1][end] = None
                    if shape_of[end] == "oval":
                        ovals[there - 1].append(end)
    return lit, ovals, words


def _engine_order(boxes: Sequence[Box], arrows: Sequence[Arrow], count: int) -> Parts:
    """For each step of the engine its oval, the edges that its outputs leave by, and their ends."""
    by_id = {box.id: box for box in boxes}
    after: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for arrow in arrows:
        after[arrow.source].append((str(arrow.data["box"]), arrow.target))
    lit: list[dict[str, None]] = [{} for _ in range(count)]
    ovals: list[list[str]] = [[] for _ in range(count)]
    words: list[list[str]] = [[] for _ in range(count)]
    for box in boxes:
        if box.shape != "oval" or "step" not in box.data:
            continue
        frame = int(box.data["step"]) - 1
        ovals[frame].append(box.id)
        lit[frame][box.id] = None
        sent = []
        for name, end in after[box.id]:
            lit[frame] |= {name: None, end: None}
            lit[frame] |= dict.fromkeys(further for further, _ in after[end])
            sent += _said(by_id[end].upper)
        what = plain(box.upper[0])
        said = ", ".join(sent) if sent else "; ".join(_said(box.lower or ()))
        words[frame].append(f"{what} sends {said}" if sent else f"{what}: {said}")
    return lit, ovals, words


def atoms_of(lives: Sequence[Live], patterns: Mapping[str, Pattern]) -> dict[str, tuple[Atom, ...]]:
    """Which numbers each box shows, in any of the views."""
    found: dict[str, dict[Atom, None]] = defaultdict(dict)
    for box in (box for one in lives for box in one.picture.boxes):
        for line in (*box.upper, *(box.lower or ())):
            for part in line:
                if isinstance(part, Run) and part.key is not None:
                    found[box.id] |= dict.fromkeys(patterns[part.key].atoms)
    return {box: tuple(atoms) for box, atoms in found.items()}


def _said(lines: Sequence[Line]) -> list[str]:
    said = [pattern(line) for line in lines]
    return [one for one in said if one.strip()]


def pattern(line: Line) -> str:
    """The line as text with {key} for a number."""
    return "".join(
        f"{{{part.key}}}" if isinstance(part, Run) and part.key is not None else plain((part,))
        for part in line
    )
