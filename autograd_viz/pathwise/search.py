"""Paths along the edges of a graph: how many there are, what they add up to, which come first.

Nothing here visits a path that is not listed, since a graph of some hundred nodes may have more
paths than there are atoms; each number is found once a node, from the inputs to the output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import NamedTuple

from autograd_viz.model import Edge, Graph, Slot

Route = tuple[Edge, ...]  # edge by edge, from the output on
SEVERAL = 100  # where counts need not be exact, they stop here: exact ones have many digits


@dataclass(frozen=True)
class Found:
    """How many paths lead from one slot to another."""

    count: int
    nodes: frozenset[int]  # that the paths lead through, their ends included
    edges: tuple[Edge, ...]  # that the paths lead along


def inputs_first(graph: Graph) -> list[int]:
    """Ids of all nodes, each after the nodes that its edges lead to."""
    following = {
        node: [edge.target for edge in edges] for node, edges in enumerate(graph.out_edges)
    }
    return list(TopologicalSorter(following).static_order())


def found(graph: Graph, order: Sequence[int], start: Slot, goal: Slot) -> Found:
    """Count the paths from `start` to `goal`; `order` is inputs_first(graph).

    >>> import torch, autograd_viz as av
    >>> y = torch.tensor(1.0, requires_grad=True)
    >>> for _ in range(200):
    ...     y = y * y
    >>> graph = av.graph(y)
    >>> found(graph, inputs_first(graph), Slot(0, 0), Slot(200, 0)).count == 2**200
    True
    """
    counts: dict[int, int] = {}
    leading: set[int] = set()
    uses = [len(edges) for edges in graph.in_edges]
    for node in order:
        count = sum(
            1 if _arrives(edge, goal) else counts.get(edge.target, 0)
            for edge in graph.out_edges[node]
            if _arrives(edge, goal) or edge.target != goal.node
        )
        if count and node != goal.node:
            counts[node] = count
            leading.add(node)
        for edge in graph.out_edges[node]:  # a count may have 10,000 digits: keep it while needed
            uses[edge.target] -= 1
            if not uses[edge.target] and edge.target != start.node:
                counts.pop(edge.target, None)
    if start == goal:
        return Found(1, frozenset({start.node}), ())
    if not counts.get(start.node):
        return Found(0, frozenset(), ())
    reached = {start.node}
    edges: list[Edge] = []
    for node in reversed(order):
        if node in reached and node != goal.node:
            for edge in graph.out_edges[node]:
                if _arrives(edge, goal) or (edge.target in leading and edge.target != goal.node):
                    edges.append(edge)
                    reached.add(edge.target)
    return Found(counts[start.node], frozenset(reached), tuple(edges))


def _arrives(edge: Edge, goal: Slot) -> bool:
    return edge.target == goal.node and edge.output_nr == goal.output_nr


def added(
    order: Iterable[int], paths: Found, start: Slot, goal: Slot, weights: Mapping[Edge, float]
) -> tuple[float, float]:
    """The sum over all paths of the product along each, and the same of the magnitudes."""
    sums = {goal.node: (1.0, 1.0)}
    leaving = _leaving(paths)
    for node in order:
        if node in leaving:
            total = magnitude = 0.0
            for edge in leaving[node]:
                below, above = sums[edge.target]
                total += weights[edge] * below
                magnitude += abs(weights[edge]) * above
            sums[node] = total, magnitude
    return sums[start.node]


class _Tail(NamedTuple):
    """The rest of a path from some node on: its first edge, and which tail of its target follows.

    A tail of the goal itself has no edge.
    """

    product: float
    edge: Edge | None
    following: int


def listed(
    order: Iterable[int],
    paths: Found,
    start: Slot,
    goal: Slot,
    most: int,
    weights: Mapping[Edge, float] | None = None,
) -> list[Route]:
    """At most `most` of the paths: with weights the largest products first, else left to right."""
    tails = {goal.node: [_Tail(1.0, None, 0)]}
    leaving = _leaving(paths)
    for node in order:
        if node in leaving:
            candidates = _candidates(leaving[node], tails, weights)
            if weights is not None:  # the sort is stable: equal ones stay in the program's order
                tails[node] = sorted(candidates, key=_largest_first)[:most]
            else:
                tails[node] = [tail for tail, _ in zip(candidates, range(most), strict=False)]
    routes = []
    for tail in tails.get(start.node, ()) if paths.count else ():
        route: list[Edge] = []
        while tail.edge is not None:
            route.append(tail.edge)
            tail = tails[tail.edge.target][tail.following]
        routes.append(tuple(route))
    return routes


def _candidates(
    edges: Iterable[Edge],
    tails: Mapping[int, Sequence[_Tail]],
    weights: Mapping[Edge, float] | None,
) -> Iterator[_Tail]:
    for edge in edges:
        weight = 1.0 if weights is None else weights[edge]
        for position, tail in enumerate(tails[edge.target]):
            yield _Tail(weight * tail.product, edge, position)


def _largest_first(tail: _Tail) -> float:
    return -math.inf if math.isnan(tail.product) else -abs(tail.product)


def _leaving(paths: Found) -> dict[int, list[Edge]]:
    """The edges by the node that they leave from, left to right."""
    leaving: dict[int, list[Edge]] = {}
    for edge in paths.edges:
        leaving.setdefault(edge.source, []).append(edge)
    return leaving


def shared(order: Iterable[int], paths: Found, start: Slot) -> frozenset[int]:
    """The nodes at which several of the paths from `start` meet, and all nodes after them."""
    arriving = {start.node: 1}
    leaving = _leaving(paths)
    for node in reversed(list(order)):
        for edge in leaving.get(node, ()):
            arriving[edge.target] = min(2, arriving.get(edge.target, 0) + arriving[node])
    return frozenset(node for node, count in arriving.items() if count > 1)


def way(graph: Graph, members: Sequence[int], route: Route) -> tuple[int, int] | None:
    """Which of the ways inside one variable a route takes: its number from 1, and how many.

    `members` are the variable's nodes, those that use a value before the one that makes it. None
    where there are too many ways to number them.
    """
    goal = Slot(route[-1].target, route[-1].output_nr)
    inside = set(members)
    ways: dict[int, int] = {}

    def along(edge: Edge) -> int:
        if edge.target in inside:
            return ways.get(edge.target, 0)
        return 1 if _arrives(edge, goal) else 0

    for node in reversed(members):
        ways[node] = min(SEVERAL, sum(map(along, graph.out_edges[node])))
    if ways[route[0].source] >= SEVERAL:
        return None
    before = sum(
        along(other)
        for edge in route
        for other in graph.out_edges[edge.source]
        if other.input_index < edge.input_index
    )
    return 1 + before, ways[route[0].source]
