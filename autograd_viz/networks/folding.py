"""What of a large graph is seen at once: groups that are closed, and what stands in open ones."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autograd_viz.model import Edge, Graph
from autograd_viz.networks.groups import Group, Groups

MOST = 60  # boxes that a person can read at once


class Item(NamedTuple):
    """One box: a node, a group, or some of the repetitions in a group."""

    node: int = -1  # the node; -1 for a group
    group: int = -1
    first: int = 0  # of the repetitions
    end: int = 0


class Flow(NamedTuple):
    """All edges from one item to another."""

    source: Item
    target: Item
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Opened:
    """Which groups are open; of one that repeats, which of its repetitions are."""

    groups: Mapping[int, tuple[int, ...]]

    def items(self, groups: Groups, group: Group) -> Iterator[Item]:
        """The items that an open group shows, oldest first."""
        if group.times == 1:
            yield from (item_of(groups, item) for item in group.items)
            return
        begin = 0
        per = len(group.items) // group.times
        for index in (*sorted(self.groups[group.id]), group.times):
            if begin < index:
                yield Item(group=group.id, first=begin, end=index)
            if index < group.times:
                for item in group.items[index * per : (index + 1) * per]:
                    yield item_of(groups, item)
            begin = index + 1


def item_of(groups: Groups, item: int) -> Item:
    """A node or a group as an item."""
    if item >= 0:
        return Item(node=item)
    return Item(group=~item, end=groups.all[~item].times)


def fitting(groups: Groups, most: int = MOST) -> Opened:
    """Open the groups nearest to the top, and of these the largest, while it stays readable."""
    opened: dict[int, tuple[int, ...]] = {0: ()}
    shown = len(groups.all[0].items)
    waiting = [(1, -groups.all[~item].size, ~item) for item in groups.all[0].items if item < 0]
    heapq.heapify(waiting)
    while waiting:
        depth, _, number = heapq.heappop(waiting)
        group = groups.all[number]
        inner = any(item < 0 for item in group.items)  # else nothing but functions would be seen
        if group.times > 1 or not inner or shown - 1 + len(group.items) > most:
            continue
        opened[number] = ()
        shown += len(group.items) - 1
        for item in group.items:
            if item < 0:
                heapq.heappush(waiting, (depth + 1, -groups.all[~item].size, ~item))
    return Opened(opened)


def shown_items(groups: Groups, opened: Opened) -> tuple[Item, ...]:
    """All boxes, oldest first; the leaves of the graph are not among them."""
    found: list[Item] = []
    stack = list(reversed([*opened.items(groups, groups.all[0])]))
    while stack:
        item = stack.pop()
        if (
            item.node < 0
            and item.group in opened.groups
            and (item.end - item.first) == (groups.all[item.group].times)
        ):
            stack += reversed([*opened.items(groups, groups.all[item.group])])
        else:
            found.append(item)
    return tuple(found)


def places(groups: Groups, items: Sequence[Item]) -> dict[int, int]:
    """The position of the item that each node is in."""
    place: dict[int, int] = {}
    for position, item in enumerate(items):
        if item.node >= 0:
            place[item.node] = position
            continue
        group = groups.all[item.group]
        per = len(group.items) // group.times
        waiting = list(group.items[item.first * per : item.end * per])
        while waiting:
            part = waiting.pop()
            if part >= 0:
                place[part] = position
            else:
                waiting += groups.all[~part].items
    return place


def flows(graph: Graph, items: Sequence[Item], place: Mapping[int, int]) -> tuple[Flow, ...]:
    """The edges between different items, those between the same two together."""
    between: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        source, target = place.get(edge.source), place.get(edge.target)
        if source is not None and target is not None and source != target:
            between[source, target].append(edge)
    return tuple(
        Flow(items[source], items[target], tuple(edges))
        for (source, target), edges in between.items()
    )


def leaves_inside(
    graph: Graph, items: Sequence[Item], place: Mapping[int, int]
) -> dict[int, list[int]]:
    """The leaves that only one item uses, by its position; others stand by themselves."""
    inside: dict[int, list[int]] = defaultdict(list)
    for leaf in graph.leaves:
        users = {place[edge.source] for edge in graph.in_edges[leaf.id] if edge.source in place}
        if len(users) == 1:
            (user,) = users
            if items[user].node < 0:
                inside[user].append(leaf.id)
    return inside
