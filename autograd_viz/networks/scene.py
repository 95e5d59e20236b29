"""What is seen of a folded graph: its boxes, and what goes between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autograd_viz.model import Edge
from autograd_viz.networks.groups import Group
from autograd_viz.networks.known import VIEWS, Item, Known
from autograd_viz.steps import order_of

if TYPE_CHECKING:
    from autograd_viz.networks.folding import Folded


class Flow(NamedTuple):
    """All edges from one item to another, by the positions of the items."""

    source: int
    target: int
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Scene:
    """What is seen of a folded graph."""

    items: Mapping[int, Item]  # by position, oldest first
    flows: tuple[Flow, ...]
    inside: Mapping[int, Sequence[int]]  # the leaves that only the group at a position uses
    uses: Mapping[int, Sequence[int]]  # the items that use a leaf that stands by itself
    ranks: Mapping[int, int]  # of an item of a trace: which of them ran first


def _items(known: Known, opened: frozenset[int]) -> list[Item]:
    """All items, oldest first; leaves are not among them."""
    groups = known.groups
    alone: dict[int, list[int]] = defaultdict(list)  # which repetitions stand by themselves
    for code in opened - {~0}:
        outer = groups[~known.around(code)[0]]
        if outer.times > 1:
            alone[outer.id].append(outer.items.index(code))
    found: list[Item] = []
    stack = [Item(group=0, end=1)]
    while stack:
        item = stack.pop()
        group = groups[item.group]
        if item.node >= 0 or item.end - item.first < group.times:
            found.append(item)
        elif group.times == 1 and ~group.id in opened:
            stack += [_item(groups, part) for part in reversed(group.items)]
        elif group.id not in alone:
            found.append(item)
        else:
            parts, begin = [], 0
            for index in (*sorted(alone[group.id]), group.times):
                if begin < index:
                    parts.append(Item(group=group.id, first=begin, end=index))
                if index < group.times:
                    parts.append(_item(groups, group.items[index]))
                begin = index + 1
            stack += reversed(parts)
    return found


def _item(groups: Sequence[Group], item: int) -> Item:
    return Item(node=item) if item >= 0 else Item(group=~item, end=groups[~item].times)


def scene_of(folded: Folded) -> Scene:
    """The scene of a folded graph."""
    known = folded.known
    items = dict(enumerate(_items(known, folded.opened)))
    place = np.full(len(known.outline.names), -1)
    for position, item in items.items():
        place[known.members(item)] = position
    source, target = place[known.outline.edges[:, 0]], place[known.outline.edges[:, 2]]
    between: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    apart = np.flatnonzero((source != target) & (source >= 0) & (target >= 0))
    for row, *ends in zip(
        known.outline.edges[apart].tolist(),
        source[apart].tolist(),
        target[apart].tolist(),
        strict=True,
    ):
        between[ends[0], ends[1]].append(Edge(*row))
    users: dict[int, dict[int, None]] = {leaf: {} for leaf in known.leaves}
    to_leaf = np.flatnonzero(np.isin(known.outline.edges[:, 2], known.leaves))
    for leaf, position in zip(
        known.outline.edges[to_leaf, 2].tolist(), source[to_leaf].tolist(), strict=True
    ):
        users[leaf][position] = None
    if "views" in folded.hidden:
        _without_views(folded, items, between, users)
    kept = _kept(folded, items, between, users)
    inside: dict[int, list[int]] = defaultdict(list)
    uses: dict[int, list[int]] = {}
    for leaf, positions in users.items():
        seen = [position for position in positions if position in kept]
        if len(positions) == 1 and seen and items[seen[0]].node < 0:
            inside[seen[0]].append(leaf)
        elif (seen or not positions) and "leaves" not in folded.hidden:
            uses[leaf] = seen
    ranks: dict[int, int] = {}
    if folded.trace is not None:
        ran = place[order_of(folded.trace.steps)]
        for position in dict.fromkeys(ran[ran >= 0].tolist()):
            if position in kept:
                ranks[position] = len(ranks)
    return Scene(
        {position: item for position, item in items.items() if position in kept},
        tuple(
            Flow(*ends, tuple(edges)) for ends, edges in between.items() if kept.issuperset(ends)
        ),
        inside,
        uses,
        ranks,
    )


def _without_views(
    folded: Folded,
    items: dict[int, Item],
    between: dict[tuple[int, int], list[Edge]],
    users: Mapping[int, dict[int, None]],
) -> None:
    """Lead each gradient past the views that stand by themselves, to where it goes next."""
    outline = folded.known.outline
    outputs = {slot.node for slot in folded.graph.outputs}
    for position, item in list(items.items()):
        node = item.node
        if node < 0 or outline.names[node] not in VIEWS or {node} & ({*outline.labels} | outputs):
            continue
        before = [ends[0] for ends in between if ends[1] == position]
        after = {ends[1]: edges for ends, edges in between.items() if ends[0] == position}
        for source in before:
            del between[source, position]
            for target, edges in after.items():
                between[source, target].extend(edges)
        for target in after:
            del between[position, target]
        for positions in users.values():
            if position in positions:
                del positions[position]
                positions.update(dict.fromkeys(before))
        del items[position]


def _kept(
    folded: Folded,
    items: Mapping[int, Item],
    between: Iterable[tuple[int, int]],
    users: Mapping[int, Iterable[int]],
) -> set[int]:
    """The positions of what stays seen."""
    known, kept = folded.known, set(items)
    back: dict[int, set[int]] = defaultdict(set)
    around: dict[int, set[int]] = defaultdict(set)
    for source, target in between:
        back[target].add(source)
        around[target].add(source)
        around[source].add(target)

    def places(name: str) -> set[int]:
        found: set[int] = set()
        for wanted in known.named(name):
            if wanted in users:
                found.update(users[wanted])
                continue
            chain = [wanted, *known.around(wanted)]
            for position, item in items.items():
                code = item.node if item.node >= 0 else ~item.group
                if code == wanted or wanted in known.around(code):
                    found.add(position)
                elif code in chain:  # closed, with what is wanted in it; or some repetitions
                    group = known.groups[item.group]
                    inner = chain[chain.index(code) - 1]
                    if group.times == 1 or item.first <= group.items.index(inner) < item.end:
                        found.add(position)
        return found

    def reached(start: set[int], nexts: Mapping[int, set[int]], steps: int) -> set[int]:
        found = new = set(start)
        while new and steps:
            new = {each for position in new for each in nexts.get(position, ())} - found
            found, steps = found | new, steps - 1
        return found

    if folded.goal is not None:
        kept &= reached(places(folded.goal), back, -1)
    if folded.near is not None:
        name, steps = folded.near
        kept &= reached(places(name), around, steps)
    return kept
