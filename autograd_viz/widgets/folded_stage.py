"""A folded graph for the page: a picture with all of its frames, and what is known of each box."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autograd_viz import functions_view, svg, text
from autograd_viz.networks import view
from autograd_viz.networks.folding import Folded
from autograd_viz.networks.known import Item
from autograd_viz.networks.scene import Flow
from autograd_viz.picture import Box, Picture, Style
from autograd_viz.typeset import Line, Run, plain
from autograd_viz.widgets.folded_names import Names

Json = dict[str, Any]
VIEW = "network"
COUNTED = 20_000  # functions or leaves up to which those in a group are counted
SAID = 6  # gradients that the details of a box tell of


def scene(folded: Folded, names: Names, number: int, when: Mapping[int, int]) -> tuple[Json, Json]:
    """Lay out what is seen; return the scene and its state, as explorer.js describes them.

    Args:
        folded: what is seen of the graph.
        names: of its groups.
        number: the scene's id.
        when: for each node its place in the engine's order; empty without a backward pass.
    """
    before, after = view.ends(folded, Style())
    ran = _frames_of_boxes(folded)
    alarms = [box.id for box in after.boxes if "alarm" in box.marks]
    boxes = {box.id: box for box in after.boxes}
    titles = view.titles(folded)
    picture = _live(before, after, ran)
    frames = [
        {
            "lit": [f"item-{position}", *_around(after, position)],
            "lines": [],
            "rules": [],
            "words": _words(folded, position, titles, boxes),
            "time": min(when[node] for node in folded.known.members(item).tolist() if node in when),
        }
        for position, item in _in_order(folded)
    ]
    opened = names.codes(folded)
    details = {
        **_details_of_items(folded, names, titles, boxes),
        **_details_of_others(folded, titles, boxes),
        **{f"group-{~code}": _detail_of_opened(folded, names, code) for code in opened if code < 0},
    }
    made = {
        "id": number,
        "opened": [names.name(code) for code in opened],
        "title": after.title,
        "views": [
            {
                "name": VIEW,
                "label": "Network",
                "svg": svg.live(picture),
                "frames": frames or [_only(after)],
            }
        ],
        "keys": [],
        "source": [],
        "note": "",
        "details": details,
        "paths": [],
        "groups": [_chip(folded, names, code, opened) for code in opened],
    }
    state = {"scene": number, "texts": [], "alarms": alarms, "words": _trouble(folded, after)}
    return made, state


# The picture


def _frames_of_boxes(folded: Folded) -> dict[str, int]:
    """For each box the frame in which its numbers are there."""
    shown, last = folded.scene, len(folded.scene.ranks)
    first = {position: rank + 1 for position, rank in shown.ranks.items()}
    ran = {f"item-{position}": first.get(position, last) for position in shown.items}
    for number, flow in enumerate(shown.flows):
        ran[f"flow-{number}"] = first.get(flow.source, last)
    for leaf, positions in shown.uses.items():
        frame = max((first.get(position, last) for position in positions), default=1)
        ran |= {f"leaf-{leaf}-{use}": frame for use in range(max(len(positions), 1))}
    return ran


def _live(before: Picture, after: Picture, ran: Mapping[str, int]) -> Picture:
    """All frames in one: what the pass changed says from which frame on it is so."""
    earlier = {box.id: box for box in before.boxes}
    boxes = [_box(earlier[box.id], box, ran.get(box.id, 1)) for box in after.boxes]
    arrows = []
    for number, (old, new) in enumerate(zip(before.arrows, after.arrows, strict=True)):
        data: dict[str, int | str] = {**new.data, "box": f"arrow-{number}"}
        frame = ran.get(new.source, 1)
        if old != new and frame > 1:
            data["fills"] = frame
        arrows.append(replace(new, data=data))
    clusters = (
        replace(
            cluster,
            title=(*cluster.title, Run("  ×")),  # a click closes it
            data={**cluster.data, "box": f"group-{cluster.data['group']}"},
        )
        for cluster in after.clusters
    )
    return replace(
        after,
        words="",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        legend=before.legend,
        clusters=tuple(clusters),
    )


def _box(before: Box, after: Box, frame: int) -> Box:
    data: dict[str, int | str] = {**after.data, "box": after.id}
    if frame > 1 and "empty" in before.marks and "empty" not in after.marks:
        data["fills"] = frame
    old, new = ((*box.upper, *(box.lower or ())) for box in (before, after))
    changed = [n for n, line in enumerate(new) if n >= len(old) or old[n] != line]
    marks = tuple(mark for mark in after.marks if mark != "alarm")  # State.alarms says it
    fills = dict.fromkeys(changed, frame) if frame > 1 else {}
    return replace(after, data=data, marks=marks, fills=fills)


# The frames


def _in_order(folded: Folded) -> list[tuple[int, Item]]:
    items = folded.scene.items
    return [(position, items[position]) for position in folded.scene.ranks]


def _around(picture: Picture, position: int) -> Iterator[str]:
    """The gradients that leave an item, and their arrows."""
    own = f"item-{position}"
    sent = {arrow.target for arrow in picture.arrows if arrow.source == own}
    for number, arrow in enumerate(picture.arrows):
        if arrow.source == own:
            yield from (f"arrow-{number}", arrow.target)
        elif arrow.source in sent:
            yield f"arrow-{number}"


def _words(
    folded: Folded, position: int, titles: Mapping[int, str], boxes: Mapping[str, Box]
) -> str:
    sent = [
        f"{_said(box.upper)} to {titles[flow.target]}"
        for flow, box in _gradients(folded, boxes)
        if flow.source == position
    ]
    own = _said(boxes[f"item-{position}"].lower or ())
    begin = f"{titles[position]} ({own})" if own else titles[position]
    return f"{begin} sends {text.joined(sent)}" if sent else begin


def _gradients(folded: Folded, boxes: Mapping[str, Box]) -> Iterator[tuple[Flow, Box]]:
    """What goes from item to item, as far as it is drawn."""
    for number, flow in enumerate(folded.scene.flows):
        if (box := boxes.get(f"flow-{number}")) is not None:
            yield flow, box


def _only(picture: Picture) -> Json:
    return {"lit": [], "lines": [], "rules": [], "words": picture.title, "time": 0}


def _trouble(folded: Folded, picture: Picture) -> str:
    """Where NaN or inf begins."""
    boxes = {box.id: box for box in picture.boxes if "alarm" in box.marks}
    bad = {flow.source for flow, _ in _gradients(folded, boxes)}
    bad |= {position for position in folded.scene.items if f"item-{position}" in boxes}
    first = next((position for position in folded.scene.ranks if position in bad), None)
    return "" if first is None else f"NaN or inf begins at {view.titles(folded)[first]}."


# The details


def _said(lines: Sequence[Line]) -> str:
    return ", ".join(said for line in lines if (said := plain(line).strip()))


def _details_of_items(
    folded: Folded, names: Names, titles: Mapping[int, str], boxes: Mapping[str, Box]
) -> dict[str, Json]:
    gradients: dict[int, list[str]] = defaultdict(list)
    for flow, box in _gradients(folded, boxes):
        said = _said(box.upper)
        gradients[flow.target].append(f"arrives from {titles[flow.source]}: {said}")
        gradients[flow.source].append(f"leaves to {titles[flow.target]}: {said}")
    found: dict[str, Json] = {}
    for position, item in folded.scene.items.items():
        box = boxes[f"item-{position}"]
        told = gradients[position]
        more = [f"… {len(told) - SAID:,} gradients more"] if len(told) > SAID else []
        if item.node >= 0:
            inside = names.known.groups[names.known.owner.get(item.node, 0)].name
            lines = [f"in {inside}"] if inside else []
            detail: Json = {"title": _said((*box.upper, *(box.lower or ()))), "opens": None}
        else:
            group = folded.known.groups[item.group]
            choice = names.choice(item)
            lines = [plain(line) for line in (*box.upper[1:], *(box.lower or ()))]
            lines += _functions(folded, item)
            opens = names.name(~group.id) if choice is None else group.name
            detail = {"title": text.clean(opens), "opens": opens}
            if choice is not None:
                detail["choice"] = choice._asdict()
        found[box.id] = {**detail, "lines": [*filter(str.strip, lines), *told[:SAID], *more]}
    return found


def _functions(folded: Folded, item: Item) -> list[str]:
    """Which functions are inside, the most frequent first."""
    inside = folded.functions(item)
    if len(inside) > COUNTED:
        return []
    counts = Counter(folded.known.outline.names[node] for node in inside)
    said = [f"{name} × {count:,}" if count > 1 else name for name, count in counts.most_common()]
    return [text.joined(said, most=4)]


def _details_of_others(
    folded: Folded, titles: Mapping[int, str], boxes: Mapping[str, Box]
) -> dict[str, Json]:
    """What is known of gradients and of leaves."""
    found: dict[str, Json] = {}
    for flow, box in _gradients(folded, boxes):
        lines = [plain(line) for line in box.upper]
        title = f"Gradient from {titles[flow.source]} to {titles[flow.target]}"
        found[box.id] = {"title": title, "lines": lines, "opens": None}
    for leaf, positions in folded.scene.uses.items():
        users = text.joined([titles[position] for position in positions])
        for use in range(max(len(positions), 1)):
            if (drawn := boxes.get(f"leaf-{leaf}-{use}")) is not None:
                label = folded.graph.nodes[leaf].label or "leaf"
                lines = ["leaf", *(plain(line) for line in drawn.lower or ())]
                lines += [f"used by {users}"] if users else []
                found[drawn.id] = {"title": text.clean(label), "lines": lines, "opens": None}
    return found


def _detail_of_opened(folded: Folded, names: Names, code: int) -> Json:
    group = folded.known.groups[~code]
    inside, kind = folded.known.item(code), folded.kind(group)
    count = len(folded.functions(inside))
    lines = [kind] if kind and group.kind != group.name else []
    lines += [f"{count:,} function{'s' * (count != 1)}", *_functions(folded, inside)]
    leaves: Sequence[int] = folded.known.leaves if len(folded.known.leaves) < COUNTED else ()
    leaves = [leaf for leaf in leaves if code in folded.known.around(leaf)]
    numbers = sum(math.prod(folded.graph.nodes[leaf].shape or ()) for leaf in leaves)
    if numbers:
        lines.append(f"{numbers:,} parameter{'s' * (numbers != 1)}")
    name = names.name(code)
    return {"title": text.clean(name), "opens": name, "lines": lines}


def _chip(folded: Folded, names: Names, code: int, opened: Sequence[int]) -> Json:
    """An opened group, and all that closes with it."""
    around = folded.known.around
    closes = [names.name(one) for one in opened if one == code or code in around(one)]
    inside = (
        position
        for position, item in reversed([*folded.scene.items.items()])
        if code in (item.node, *around(item.node if item.node >= 0 else ~item.group))
    )
    top = next(inside, None)  # None: it is left out
    return {
        "name": names.name(code),
        "closes": closes,
        "box": f"group-{~code}",
        "top": None if top is None else f"item-{top}",
    }


# What is looked for


def title(folded: Folded) -> str:
    """What the picture is called."""
    return functions_view.title(folded.graph, folded.trace, len(folded.known.leaves))


def box_of(folded: Folded, codes: Sequence[int]) -> str | None:
    """The box that stands for one of these, or around it: a node, a leaf, or `~id` of a group."""
    known = folded.known
    for wanted in codes:
        around = [wanted, *known.around(wanted)]
        if wanted in folded.scene.uses:
            return f"leaf-{wanted}-0"
        if wanted < 0 and wanted in folded.opened and known.groups[~wanted].times == 1:
            return f"group-{~wanted}"
        for position, item in folded.scene.items.items():
            code = item.node if item.node >= 0 else ~item.group
            if code not in around:
                continue
            group = known.groups[item.group]
            inner = around[around.index(code) - 1] if code != wanted else None
            if (
                item.node >= 0
                or group.times == 1
                or inner is None
                or item.first <= group.items.index(inner) < item.end
            ):
                return f"item-{position}"
    return None
