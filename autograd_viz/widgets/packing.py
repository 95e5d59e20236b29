"""All points of the sliders' grid in one page, or an error that says what to make coarser."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from autograd_viz.text import as_written
from autograd_viz.widgets import page
from autograd_viz.widgets.controls import Control, Value, count_of, inputs_of
from autograd_viz.widgets.ranges import coarser
from autograd_viz.widgets.states import States, openable, unnoticed

Json = dict[str, Any]
Opened = tuple[str, ...]
SAMPLES = 48  # points, by which the size is estimated
SLACK = 1.5  # by which an estimate must be over the limit to count
MOST_POINTS = 60_000  # that are computed, which takes about a minute


def packed(
    states: States,
    *,
    inputs: Mapping[str, Value],
    step: int,
    view: str,
    opened: Sequence[str],
    limit: int,
) -> str:
    """Return the page of an Explorer, with nothing opened and with each variable opened.

    Where this takes more than `limit`, only the first of the opened variables is kept.

    Args:
        states: the states of the function.
        inputs: where it begins; a page without Python holds only what is on the grid.
        step: the step that it begins with.
        view: the view that it begins with.
        opened: what is opened at the beginning.
        limit: bytes that the page may take.

    Raises:
        ValueError: the page would be larger.
    """
    states = states.copied()  # the widget's own scenes are not to be forgotten for those of a page
    sets = opened_sets(states, inputs, tuple(opened))
    needed = _needed(sets, tuple(opened))
    begin = {"inputs": dict(inputs), "step": step, "view": view, "opened": list(opened)}
    points = math.prod(map(count_of, states.controls))
    with unnoticed():
        size = _size(states, needed, begin, points)
        if size.of(points) > SLACK * limit or points > MOST_POINTS:
            raise _too_large(states, size, points, limit)
        for some in (sets, needed):
            if some is sets and _size(states, sets, begin, points).of(points) > SLACK * limit:
                continue
            html = _page(states, some, begin, ticks_of(states.controls))
            length = len(html.encode())
            if length <= limit:
                return html
    raise _too_large(states, size.through(points, length), points, limit)


class _Size(NamedTuple):
    """What a page takes, in bytes."""

    base: float
    point: float  # more for each point of the grid

    def of(self, points: int) -> float:
        return self.base + self.point * points

    def through(self, points: int, length: int) -> _Size:
        """As it was found for that many points."""
        return _Size(self.base, max(length - self.base, 0) / points)


def opened_sets(states: States, inputs: Mapping[str, Value], opened: Opened) -> tuple[Opened, ...]:
    """Nothing opened, what is opened now, and each variable opened alone."""
    scene = states.scene_at(inputs)
    single = [(name,) for name in openable(scene)] if scene else []
    return tuple(dict.fromkeys([(), tuple(sorted(opened)), *single]))


def _needed(sets: Sequence[Opened], opened: Opened) -> tuple[Opened, ...]:
    """Those without which the page would not do: with nothing opened, as it is now, and one."""
    return tuple(sets[: 3 if opened and len(opened) > 1 else 2])


def ticks_of(controls: Sequence[Control]) -> Iterator[str]:
    """All ticks of the grid."""
    for positions in itertools.product(*(range(count_of(one)) for one in controls)):
        yield "|".join(map(str, positions))


def _page(states: States, sets: Sequence[Opened], begin: Json, ticks: Iterable[str]) -> str:
    return page.page(data(states, sets, begin, ticks, states.controls), states.title)


def data(
    states: States,
    sets: Sequence[Opened],
    begin: Json,
    ticks: Iterable[str],
    controls: Sequence[Control],
) -> Json:
    """What `Data` in explorer.js describes: the states at some ticks of the controls' grid.

    Args:
        states: where they come from.
        sets: of opened variables, for each of which there are states.
        begin: the inputs, step, view and opened variables that the page begins with.
        ticks: of the grid.
        controls: the states' own, or some with fewer positions.
    """
    strings: dict[str, int] = {}
    found: dict[Opened, list[tuple[str, Json]]] = {opened: [] for opened in sets}
    errors: dict[Opened, dict[str, Json]] = {opened: {} for opened in sets}
    scenes: dict[int, Json] = {}
    for tick in ticks:
        inputs = inputs_of(controls, tick)
        for opened in sets:
            entry = states.at(inputs, opened)
            if entry.state is not None:
                number = entry.state["scene"]
                scenes[number] = states.scenes[number]
                found[opened].append((tick, entry.state))
            elif entry.problem is not None:
                errors[opened][tick] = entry.problem
    columns = page.columns(state for states_ in found.values() for _, state in states_)
    return {
        "scenes": list(scenes.values()),
        "controls": [control.json for control in controls],
        **begin,
        "grids": [
            page.grid(opened, found[opened], strings, errors[opened], columns) for opened in sets
        ],
        "columns": columns,
        "strings": list(strings),
    }


def _size(states: States, sets: Sequence[Opened], begin: Json, points: int) -> _Size:
    """The size of the page, estimated from some of the points."""
    counts = list(map(count_of, states.controls))
    chance = random.Random(0)
    ticks = list(
        dict.fromkeys(
            "|".join(str(chance.randrange(one)) for one in counts)
            for _ in range(min(SAMPLES, points))
        )
    )
    half = ticks[: len(ticks) // 2]
    few, many = (len(_page(states, sets, begin, some).encode()) for some in (half, ticks))
    point = max(many - few, 0) / (len(ticks) - len(half))
    return _Size(many - point * len(ticks), point)


def _too_large(states: States, size: _Size, points: int, limit: int) -> ValueError:
    whole = size.of(points)
    said = (
        f"the page would take about {whole / 1e6:,.1f} MB for the {points:,} points of the grid, "
        f"but limit={limit:,} bytes"
    )
    more = f"allow more: save_html(path, limit={math.ceil(whole / 1e6 * 1.2) * 1_000_000:_})"
    wanted = min(0.9 * (limit - size.base) / max(size.point, 1.0), MOST_POINTS)
    coarse = _coarser(states.controls, wanted)
    if not coarse:
        return ValueError(f"{said}; {more}")
    called = states.called if states.called.isidentifier() else "f"
    names = " and ".join(control.name for control in coarse)
    ends = [map(as_written, (control.min, control.max, control.step)) for control in coarse]
    line = ", ".join(
        f"{control.parameter}=({', '.join(each)})"
        for control, each in zip(coarse, ends, strict=True)
    )
    return ValueError(f"{said}; make {names} coarser: av.explore({called}, {line}, ...), or {more}")


def _coarser(controls: Sequence[Control], wanted: float) -> list[Control]:
    """The sliders that must be coarser for a grid of at most so many points; [] if they cannot.

    Those of a vector are not changed, since there is no line to type for them.
    """
    made = [one for one in controls if one.kind == "slider" and one.like is None]
    left = wanted / math.prod(count_of(one) for one in controls if one not in made)
    changed: dict[str, Control] = {}
    while math.prod(map(count_of, made)) > left:
        finest = max(made, key=count_of, default=None)
        if finest is None or count_of(finest) <= 3:
            return []
        wider = replace(finest, step=coarser(finest.step, 1.01, finest.whole))
        made[made.index(finest)] = changed[finest.name] = wider
    return list(changed.values())
