"""A folded graph as a page without a kernel: what can be opened, as far as its limit goes."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autograd_viz.widgets import page
from autograd_viz.widgets.controls import Value, count_of, inputs_of, tick_of
from autograd_viz.widgets.folded_states import FoldedStates

Json = dict[str, Any]
Opened = tuple[str, ...]
MOST_SCENES = 100  # that are drawn for a page, which takes some ten seconds
ROOM = 200  # bytes for each scene's place in the grids


def packed_folded(
    states: FoldedStates,
    *,
    inputs: Mapping[str, Value],
    step: int,
    opened: Sequence[str],
    limit: int,
) -> str:
    """Return the page of a folded graph, as `folded_data` fills it."""
    bare = len(page.page({}, states.title).encode())
    data = folded_data(states, inputs=inputs, step=step, opened=opened, limit=limit, taken=bare)
    return page.page(data, states.title)


def folded_data(
    states: FoldedStates,
    *,
    inputs: Mapping[str, Value],
    step: int,
    opened: Sequence[str],
    limit: int,
    taken: int = 0,
) -> Json:
    """Return what a page shows: the graph as it is now, and what clicks lead to, nearest first.

    Args:
        states: the states of the graph.
        inputs: what is hidden.
        step: the step that it begins with.
        opened: what is open at the beginning.
        limit: bytes of JSON that may be taken.
        taken: bytes that are taken already.

    Raises:
        ValueError: it would be larger with one picture alone.
    """
    begin: Json = {
        "controls": [control.json for control in states.controls],
        "inputs": dict(inputs),
        "step": step,
        "view": states.views[0],
        "opened": list(opened),
    }
    scenes: list[Json] = []
    grids: dict[Opened, list[tuple[str, Json]]] = {}
    taken += len(page.as_json(_data(states, begin, scenes, grids)).encode())
    for wanted, tick in _wanted(states, tuple(opened), tick_of(states.controls, inputs)):
        state = states.at(inputs_of(states.controls, tick), wanted).state
        if state is None:
            continue
        scene = states.scenes[state["scene"]]
        size = len(page.as_json(scene).encode()) + 2 * len(page.as_json(wanted).encode()) + ROOM
        if taken + size > limit and not scenes:
            whole = (taken + size) / 1e6
            raise ValueError(
                f"the page would take about {whole:,.1f} MB with one picture alone, but "
                f"limit={limit:,} bytes; close some groups, or allow more: "
                f"save_html(path, limit={math.ceil(whole * 1.2) * 1_000_000:_})"
            )
        if taken + size > limit or len(scenes) >= MOST_SCENES:
            break
        taken += size
        scenes.append(scene)
        grids.setdefault(wanted, []).append((tick, state))
    return _data(states, begin, scenes, grids)


def _wanted(states: FoldedStates, opened: Opened, tick: str) -> Iterator[tuple[Opened, str]]:
    """What is open and hidden, as few clicks away as possible first."""
    yield opened, tick
    positions = itertools.product(*(range(count_of(one)) for one in states.controls))
    others = ["|".join(map(str, one)) for one in positions]
    waiting = deque([opened])
    known = {opened}
    while waiting:
        here = waiting.popleft()
        state = states.at(inputs_of(states.controls, tick), here).state
        scene = None if state is None else states.scenes[state["scene"]]
        for further in states.openings(scene) if scene else ():
            if further not in known:
                known.add(further)
                waiting.append(further)
                yield further, tick
        if here == opened:
            yield from ((opened, other) for other in others if other != tick)


def _data(
    states: FoldedStates,
    begin: Json,
    scenes: Sequence[Json],
    grids: Mapping[Opened, Sequence[tuple[str, Json]]],
) -> Json:
    strings: dict[str, int] = {}
    packed = [page.grid(opened, some, strings) for opened, some in grids.items()]
    names = {detail["title"]: None for scene in scenes for detail in scene["details"].values()}
    return {
        "scenes": list(scenes),
        **begin,
        "grids": packed,
        "strings": list(strings),
        "names": [name for name in states.listed() if name in names],
    }
