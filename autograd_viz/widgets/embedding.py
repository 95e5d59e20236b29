"""The Explorer's data for a page that holds several of them, each within a limit."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from autograd_viz import text
from autograd_viz.widgets import packing, page
from autograd_viz.widgets.controls import Control, Value, count_of, position_of, value_at
from autograd_viz.widgets.folded_page import folded_data
from autograd_viz.widgets.folded_states import FoldedStates
from autograd_viz.widgets.states import unnoticed

if TYPE_CHECKING:
    from autograd_viz.widgets.explorer import Explorer

Json = dict[str, Any]
FEW = 5  # positions, from which on a slider is not made coarser while others move
CHOSEN = 2  # times as many for a slider whose range was chosen
SAMPLES = 12  # points, by which a grid much too large is found out without computing it
PACKING = 4  # times at least the pictures of a folded graph become smaller by compression
SLACK = 2.0  # by which their estimate must be over the limit to count


class Embedded(NamedTuple):
    """What a page without a kernel shows of an Explorer."""

    # As `page.compressed` packs what `Data` in explorer.js describes, but for the scenes: each is a
    # row of positions in "pieces", which joined are its JSON.
    data: str
    note: str  # how it differs from the live one; "" if it does not


def embedded(w: Explorer, *, limit: int = 1_000_000, most: int = 10_000) -> Embedded:
    """Pack an Explorer as it is now, with the finest grid of its sliders that fits.

    Where all of their positions would be too much, sliders take coarser steps, those first whose
    range nobody chose; where this does not do, some stay where they are.

    Args:
        w: the Explorer.
        limit: bytes of the packed data.
        most: states that are computed, at some milliseconds each.

    >>> import autograd_viz as av
    >>> w = av.explore(lambda x: x * x, x=(0.0, 4.0, 0.5))
    >>> embedded(w).note
    ''
    >>> embedded(w, most=5).note
    'Here x takes every 2nd position of its slider only.'
    """
    if isinstance(w._states, FoldedStates):
        now: Json = {"inputs": w._good, "step": w.step, "opened": w.opened}
        folded = folded_data(w._states, **now, limit=limit * PACKING)
        return Embedded(page.compressed(_without_repetition(folded)), "")
    states, at = w._states.copied(), w._good
    sets = packing.opened_sets(states, at, tuple(w.opened))
    begin = {"inputs": dict(at), "step": w.step, "view": w.view, "opened": list(w.opened)}

    def packed(ticks: Sequence[str]) -> str:
        data = packing.data(states, sets, begin, _by_form(ticks, controls), controls)
        return page.compressed(_without_repetition(_without_fixed(data)))

    base = states.controls
    points = room = max(most // len(sets), 1)
    with unnoticed():
        while True:
            controls = thinned(base, at, points)
            if _fixed(controls) > _fixed(base):  # which makes room for the others
                pairs = zip(base, controls, strict=True)
                base = tuple(after if count_of(after) == 1 else before for before, after in pairs)
                points = room
                continue
            ticks = list(packing.ticks_of(controls))
            points = len(ticks)
            if points > 2 * SAMPLES:
                some = random.Random(0).sample(ticks, SAMPLES)
                half = len(packed(some[: SAMPLES // 2]))
                each = max(len(packed(some)) - half, 1) / (SAMPLES - SAMPLES // 2)
                if half + each * points > SLACK * limit:
                    points = max(min(points - 1, int((SLACK * limit - half) / each)), 1)
                    continue
            made = packed(ticks)
            if len(made) <= limit or points == 1:
                return Embedded(made, _note(states.controls, controls))
            points = max(min(points - 1, int(points * limit / len(made))), 1)


def _fixed(controls: Sequence[Control]) -> int:
    """How many of them cannot move."""
    return sum(count_of(one) == 1 for one in controls)


def thinned(controls: Sequence[Control], at: Mapping[str, Value], most: int) -> tuple[Control, ...]:
    """The controls with so few positions that their grid has at most so many points.

    Each position is one that the slider had, and the present one stays, if it is on the grid.

    >>> a = Control("a", "slider", 2.0, 0.0, 8.0, 1.0)
    >>> [(one.min, one.max, one.step) for one in thinned([a], {"a": 3.0}, 5)]
    [(1.0, 7.0, 2.0)]
    """
    moving = [one for one in controls if one.kind == "slider" and count_of(one) > 1]
    while True:
        made = _coarser(controls, at, moving, most)
        if math.prod(map(count_of, made)) <= most or not moving:
            return made
        # With fewer positions they would be no sliders any more: the last one stays where it is.
        moving.remove(next((one for one in reversed(moving) if not _chosen(one)), moving[-1]))


def _coarser(
    controls: Sequence[Control], at: Mapping[str, Value], moving: Sequence[Control], most: int
) -> tuple[Control, ...]:
    """Coarser steps for the moving sliders, as long as enough is left; one position for others."""
    strides = {one.name: 1 for one in moving}
    few = FEW if len(moving) > 1 else 1
    alike = len(set(map(_chosen, moving))) == 1

    def left(one: Control, stride: int) -> float:
        """How many positions, those of a chosen range counting less beside others."""
        return count_of(one) / stride / (CHOSEN if _chosen(one) and not alike else 1)

    while True:
        made = tuple(
            _every(one, at, strides.get(one.name, count_of(one))) if one.kind == "slider" else one
            for one in controls
        )
        many = [one for one in moving if left(one, _after(strides[one.name])) >= few]
        if math.prod(map(count_of, made)) <= most or not many:
            return made
        finest = max(many, key=lambda one: left(one, strides[one.name])).name
        strides[finest] = _after(strides[finest])


def _chosen(control: Control) -> bool:
    """Whether somebody gave its range; that of a tensor's element follows from its value."""
    return control.like is None


def _after(stride: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 and so on."""
    return stride * 5 // 2 if str(stride)[0] == "2" else stride * 2


def _every(control: Control, at: Mapping[str, Value], stride: int) -> Control:
    """Every so many positions of a slider, among them the present one."""
    first = position_of(control, at.get(control.name, control.value)) % stride
    last = first + (count_of(control) - 1 - first) // stride * stride
    low, high = (float(value_at(control, one)) for one in (first, last))
    return replace(control, min=low, max=high, step=control.step * stride)


def _without_fixed(data: Json) -> Json:
    """Take away the sliders of one position, and their part of each tick."""
    places = [
        place
        for place, control in enumerate(data["controls"])
        if control["kind"] != "slider" or control["min"] < control["max"]
    ]

    def shorter(tick: str) -> str:
        parts = tick.split("|")
        return "|".join(parts[place] for place in places)

    grids = [
        {
            **grid,
            "ticks": [shorter(tick) for tick in grid["ticks"]],
            "errors": {shorter(tick): problem for tick, problem in grid["errors"].items()},
        }
        for grid in data["grids"]
    ]
    return {**data, "controls": [data["controls"][place] for place in places], "grids": grids}


def _by_form(ticks: Sequence[str], controls: Sequence[Control]) -> list[str]:
    """The same ticks, with the tensors' sliders moving last.

    A value that no gradient is sent to is a part of the graph, so that each has a scene of its
    own, and only some forms of a computation are kept.
    """
    slow = [place for place, control in enumerate(controls) if not _chosen(control)]

    def order(tick: str) -> list[int]:
        parts = tick.split("|")
        return [int(parts[place]) for place in slow]

    return sorted(ticks, key=order)


def _without_repetition(data: Json) -> Json:
    """Keep each piece of the scenes' JSON once: several scenes differ in few of them."""
    pieces: dict[str, int] = {}
    scenes = [
        [pieces.setdefault(piece, len(pieces)) for piece in re.split(r"(?<=>)", json.dumps(scene))]
        for scene in data["scenes"]
    ]
    return {**data, "scenes": scenes, "pieces": list(pieces)}


def _note(controls: Sequence[Control], made: Sequence[Control]) -> str:
    """What a reader should know of the sliders."""
    coarse: dict[str, list[str]] = {}
    fixed = []
    for before, after in zip(controls, made, strict=True):
        if count_of(after) == 1 < count_of(before):
            fixed.append(before.name)
        elif count_of(after) < count_of(before):
            stride = round(after.step / before.step)
            ending = {2: "nd"}.get(stride, "th")
            coarse.setdefault(f"every {stride}{ending} position", []).append(before.name)
    parts = [
        f"{text.joined(names)} {'take' if len(names) > 1 else 'takes'} {what} of "
        f"{'their sliders' if len(names) > 1 else 'its slider'} only"
        for what, names in coarse.items()
    ]
    if fixed:
        parts.append(f"{text.joined(fixed)} {'stay' if len(fixed) > 1 else 'stays'} as set")
    return f"Here {'; '.join(parts)}." if parts else ""
