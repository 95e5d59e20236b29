"""The picture of Paths: the backward pass with one path after the other lit, and their sum."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from autograd_viz import text, variables_view
from autograd_viz.pathwise.data import Path, Paths, counted
from autograd_viz.picture import Drawing, Mark, Picture, Strip, Style, marked
from autograd_viz.typeset import Line, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

ON_IT: tuple[Mark, ...] = ("lit",)
OFF_IT: tuple[Mark, ...] = ("dim",)


def drawing(
    shown: Paths,
    *,
    path: int | Literal["all"] = "all",
    style: Style | None = None,
    columns: int = 2,
) -> Drawing:
    """Draw the listed paths side by side, or one of them (counted from 1).

    Paths through the same variables, which differ in how one enters the other, share a frame.
    """
    if path == "all":
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, one in enumerate(shown.listed):
            alike.setdefault(one.variables, []).append(place)
        frames = [_picture(shown, places, style) for places in alike.values() or [[]]]
        if len(frames) == 1:
            return replace(frames[0], words=words(shown))
        return Strip(_title(shown), words(shown), tuple(frames), columns)
    if isinstance(path, bool) or not isinstance(path, int) or not 1 <= path <= len(shown.listed):
        listed = f"the paths 1 to {len(shown.listed)}" if shown.listed else "no paths"
        raise ValueError(f'path={path!r}: listed are {listed}; path="all" shows them side by side')
    return _picture(shown, [path - 1], style)


def words(shown: Paths) -> str:
    """The paths as a table, with their sum below."""
    if not shown.count:
        return "\n".join([f"{_title(shown)}: none", *_conclusion(shown)])
    rows = [["#", "path", "product"]]
    rows += [
        [str(number), _route(path), path.written]
        for number, path in enumerate(shown.listed, start=1)
    ]
    count = counted(shown.count).partition(" ")[0]
    table = text.table(rows) if shown.listed else []
    return "\n".join([f"{_title(shown)}: {count}", *table, *_conclusion(shown), *shown.remarks])


def _title(shown: Paths) -> str:
    return f"Paths from {shown.output} to {shown.leaf}"


def _route(path: Path) -> str:
    """The variables of a path, and which way it takes where there are several."""
    ways = [f"{way[0]} of {way[1]}" for way in path.ways if way is not None and way[1] > 1]
    return f"{path.route} (way {text.joined(ways, most=3)})" if ways else path.route


def _conclusion(shown: Paths) -> list[str]:
    """The sum, and what autograd says to it."""
    if not shown.count:
        return [
            f"No path leads from {shown.output} to {shown.leaf}, so its gradient is not changed by "
            f"a backward pass from {shown.output}. av.why(tensor, output) says why."
        ]
    return [f"{shown.sum.words}{_verdict(shown)}"]


def _verdict(shown: Paths) -> str:
    """What autograd says to the sum; its data type may not be able to hold it."""
    gradient, total = shown.gradient, shown.total
    if gradient is None:
        return ", but autograd brought no gradient."
    own = "; ".join(text.summary(gradient))
    engine = shown.variables.graph.engine
    if shown.agrees is None:
        return ". Without values it cannot be compared with the gradient."
    if not shown.agrees:
        return f", but {engine}'s gradient is {own}: {_difference(shown)}."
    if isinstance(total, float) and text.trouble(gradient) and text.number(total) != own:
        dtype = str(gradient.dtype).removeprefix("torch.")
        return f", and {engine}'s gradient is {own}, since {dtype} holds no number so large."
    return f", and {engine}'s gradient is the same."


def _difference(shown: Paths) -> str:
    if shown.gradient is not None and text.trouble(shown.gradient):
        return "a number on the way is too large, or is no number"
    if shown.variables.graph.engine != "autograd":
        return "a backward step does more or less than to add what its value contributes"
    if shown.hooked:
        return text.joined(list(shown.hooked), most=3)
    return "the backward of a custom Function does not give a derivative"


def _picture(shown: Paths, places: Sequence[int], style: Style | None) -> Picture:
    """The backward pass with the paths at some places lit: all lead through the same variables.

    Below it stand their products, and under the last one the sum.
    """
    whole = variables_view.variables(shown.variables, view="backward", style=style)
    assert isinstance(whole, Picture)
    chosen = [shown.listed[place] for place in places]
    picture = _lit(whole, chosen[0]) if chosen else marked(whole, {}, {}, OFF_IT)
    lines = _formulas(chosen)
    ends = not chosen or places[-1] == len(shown.listed) - 1
    if ends and shown.count:
        lines.append(shown.sum.line)
    title = _title(shown)
    if len(chosen) < len(shown.listed):
        title += f", path {text.joined([str(place + 1) for place in places])}"
    described = [f"{_route(path)}: {path.formula.words}" for path in chosen]
    return replace(
        picture,
        title=title,
        words="\n".join([title, *described, *(_conclusion(shown) if ends else ()), *shown.remarks]),
        formulas=tuple(lines),
        notes=(*picture.notes, *_notes(shown), *shown.remarks),
        legend={**whole.legend, "lit": "on the path"} if chosen else whole.legend,
    )


def _notes(shown: Paths) -> list[str]:
    """What the formulas below the drawing do not say."""
    if not shown.count:
        return _conclusion(shown)
    return [f"The sum is {shown.sum.words.rpartition('= ')[2]}{_verdict(shown)}"]


def _formulas(chosen: Sequence[Path]) -> list[Line]:
    """The products of some paths, equal ones in one line."""
    times: dict[Line, int] = {}
    for path in chosen:
        times[path.formula.line] = times.get(path.formula.line, 0) + 1
    return [
        line if count == 1 else (*line, Run(f"   ({count} paths)")) for line, count in times.items()
    ]


def _lit(whole: Picture, path: Path) -> Picture:
    """The picture with the boxes and arrows of a path lit, and all others dim.

    Of a large computation only a part is drawn, with rectangles numbered anew; so they are found
    by the arrows that lead through them.
    """
    ovals = [f"variable-{variable}" for variable in path.variables]
    drawn = {(arrow.source, arrow.target) for arrow in whole.arrows}
    into: dict[str, str] = {}  # a rectangle -> the oval it leads to
    out_of: dict[str, list[str]] = {}  # an oval -> its rectangles
    for source, target in drawn:
        if target.startswith("link-"):
            out_of.setdefault(source, []).append(target)
        elif source.startswith("link-"):
            into[source] = target
    lit: list[str] = list(ovals)
    arrows: dict[tuple[str, str], Sequence[Mark]] = {}
    for source, target in pairwise(ovals):
        for rectangle in out_of.get(source, ()):
            if into.get(rectangle) == target:
                lit.append(rectangle)
                arrows[source, rectangle] = arrows[rectangle, target] = ON_IT
    return marked(whole, dict.fromkeys(lit, ON_IT), arrows, OFF_IT)
