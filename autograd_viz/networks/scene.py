"""What is seen of a folded graph: its boxes, and what goes between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autograd_viz.model import Edge
from autograd_viz.networks.known import Item, Known
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
            stack += [known.item(part) for part in reversed(group.items)]
        elif group.id not in alone:
            found.append(item)
        else:
            parts, begin = [], 0
            for index in (*sorted(alone[group.id]), group.times):
                if begin < index:
                    parts.append(Item(group=group.id, first=begin, end=index))
                if index < group.times:
                    parts.append(known.item(group.items[index]))
                begin = index + 1
            stack += reversed(parts)
    return found


def scene_of(folded: Folded) -> Scene:
    """The scene of a folded graph."""
    known, edges = folded.known, folded.known.outline.edges
    items: dict[int, Item] = {}
    place = np.full(len(known.outline.names), -1)
    gone = np.zeros(len(place), dtype=bool)
    for position, item in enumerate(_items(known, folded.opened)):
        members = known.members(item)
        if len(folded.functions(item)):
            items[position] = item
            place[members] = position
        else:
            gone[members] = True
    arrives = _past(edges, gone)[edges[:, 2]]
    source, target = place[edges[:, 0]], place[arrives]
    between: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    apart = np.flatnonzero((source != target) & (source >= 0) & (target >= 0))
    for row, *ends in zip(
        edges[apart].tolist(),
        source[apart].tolist(),
        target[apart].tolist(),
        strict=True,
    ):
        between[ends[0], ends[1]].append(Edge(*row))
    users: dict[int, dict[int, None]] = {leaf: {} for leaf in known.leaves}
    to_leaf = np.flatnonzero(np.isin(arrives, known.leaves) & (source >= 0))
    for leaf, position in zip(arrives[to_leaf].tolist(), source[to_leaf].tolist(), strict=True):
        users[leaf][position] = None
    kept = _kept(folded, items, between, users)
    inside: dict[int, list[int]] = defaultdict(list)
    uses: dict[int, list[int]] = {}
    goal = set(known.named(folded.goal)) if folded.goal is not None else set(users)
    for leaf, positions in users.items():
        seen = [position for position in positions if position in kept]
        if len(positions) == 1 and seen and items[seen[0]].node < 0:
            inside[seen[0]].append(leaf)
        elif goal.isdisjoint((leaf, *known.around(leaf))) or "leaves" in folded.hidden:
            continue
        elif seen or not positions:
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


def _past(edges: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Where a gradient to each node is seen to arrive: past views that are gone, at what is next.

    What is seen of it is what left its source: on its way it only changes its shape.
    """
    onward = np.arange(len(gone))
    leaving = edges[gone[edges[:, 0]]]
    onward[leaving[:, 0]] = leaving[:, 2]  # a view sends to one node alone
    while gone.any():
        further = onward[onward]
        if np.array_equal(further, onward):
            break
        onward = further
    return onward


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
