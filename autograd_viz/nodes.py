"""The nodes and edges of a walk as data, each made when it is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from itertools import chain, repeat
from operator import itemgetter
from typing import overload

import numpy as np
from torch.autograd.graph import GradientEdge

from autograd_viz.model import Edge, Graph, Node, Output, Slot, Variables
from autograd_viz.saved import Saved, constants_in, has_constants, saved_by, shape_of
from autograd_viz.walk import Walk, is_accumulator, is_custom

SMALL_GRAPH = 60  # nodes; of larger graphs what the operations saved is not read at once
_NEVER = 2**62  # PyTorch's number of a node without age is the largest there is
# The reader's names and the numbers of inputs that the graph does not keep, by PyTorch's words.
InputFacts = tuple[Mapping[str, str], Mapping[str, float]]


def nodes_of(
    walk: Walk, labels: Mapping[Slot, str], inputs: Mapping[int, InputFacts]
) -> Sequence[Node]:
    """The nodes of a walk, with what is known of their inputs; who asks keeps the outputs."""
    small = len(walk.functions) <= SMALL_GRAPH
    saved = [saved_by(function) for function in walk.functions] if small else []
    return Nodes(walk, (), saved, lambda: labels, inputs)


class Nodes(Sequence[Node]):
    """The nodes of a walk, each made when it is asked for: that costs ten times its walk."""

    def __init__(
        self,
        walk: Walk,
        edges: Sequence[GradientEdge],
        saved: Sequence[Saved],
        labels: Callable[[], Mapping[Slot, str]],
        inputs: Mapping[int, InputFacts] | None = None,
    ) -> None:
        self._walk = walk
        self._inputs = inputs or {}
        self._edges = edges  # they keep a custom Function's node alive; its Python object does not
        self._constants = {
            position: constants_in(values)  # now: a backward pass frees what they are read from
            for position, values in enumerate(saved)
            if has_constants(walk.functions[position], walk.nexts[position])
        }
        self._labelled = labels
        self._made: dict[int, Node] = {}

    @cached_property
    def _labels(self) -> Mapping[int, Mapping[int, str]]:
        """The label of each output that has one, by node and output."""
        labels: dict[int, dict[int, str]] = defaultdict(dict)
        for slot, label in sorted(self._labelled().items()):
            labels[slot.node][slot.output_nr] = label
        return labels

    def __len__(self) -> int:
        return len(self._walk.functions)

    @overload
    def __getitem__(self, key: int) -> Node: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Node, ...]: ...
    def __getitem__(self, key: int | slice) -> Node | tuple[Node, ...]:
        positions = range(len(self))[key]
        if isinstance(positions, range):
            return tuple(self._node(position) for position in positions)
        return self._node(positions)

    def _node(self, position: int) -> Node:
        node = self._made.get(position)
        if node is None:
            node = self._made[position] = self._new_node(position)
        return node

    def _new_node(self, position: int) -> Node:
        function = self._walk.functions[position]
        following = self._walk.nexts[position]
        labels = self._labels.get(position, {})
        outputs = tuple(
            Output(
                shape_of(meta),
                str(meta.dtype).removeprefix("torch."),
                str(meta.device),
                labels.get(slot),
            )
            for slot, meta in enumerate(function._input_metadata)
        )
        constants = self._constants.get(position)
        if constants is None:
            known = has_constants(function, following)
            constants = constants_in(saved_by(function)) if known else {}
        symbols, numbers = self._inputs.get(position, ({}, {}))
        return Node(
            id=position,
            kind="accumulate" if is_accumulator(function) else "function",
            name=_without_package(function.name()),
            outputs=outputs,
            inputs=len(following),
            constants={**numbers, **constants} if numbers else constants,
            symbols=symbols,
            custom=is_custom(function),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def walk_of(variables: Variables) -> Walk | None:
    """PyTorch's own nodes behind a graph that was captured from tensors or from a program.

    A program keeps the nodes of its own run; its graph shares all else with earlier runs.
    """
    if variables.program is not None:
        return variables.program._walk
    return getattr(variables.graph.nodes, "_walk", None)


class Edges(Sequence[Edge]):
    """The edges of a walk, made all at once when the first is asked for."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    @cached_property
    def _edges(self) -> tuple[Edge, ...]:
        index = self._walk.index
        return tuple(
            Edge(source, input_index, index[target], output_nr)
            for source, following in enumerate(self._walk.nexts)
            for input_index, (target, output_nr) in enumerate(following)
            if target is not None
        )

    def __len__(self) -> int:
        return len(self._edges)

    @overload
    def __getitem__(self, key: int) -> Edge: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Edge, ...]: ...
    def __getitem__(self, key: int | slice) -> Edge | tuple[Edge, ...]:
        return self._edges[key]

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._edges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._edges == tuple(other)

    def __hash__(self) -> int:
        return hash(self._edges)

    def __repr__(self) -> str:
        return repr(self._edges)


@dataclass(frozen=True)
class Outline:
    """What folding a graph needs to know of all of its nodes, read without making them."""

    names: list[str]
    ages: np.ndarray  # PyTorch's sequence number: a later operation has a larger one; -1: a leaf
    labels: dict[int, str]
    edges: np.ndarray  # a row for each Edge


def outline_of(graph: Graph) -> Outline:
    """The outline of a graph of PyTorch's or of another engine."""
    nodes = graph.nodes
    if isinstance(nodes, Nodes):
        walk = nodes._walk
        ages = np.fromiter((node._sequence_nr() for node in walk.functions), np.uint64)
        ages = np.where(ages > _NEVER, 0, ages).astype(np.int64)
        ages[walk.accumulators] = -1
        labels = {node: ", ".join(named.values()) for node, named in nodes._labels.items() if named}
        names = [_without_package(node.name()) for node in walk.functions]
        return Outline(names, ages, labels, _edge_rows(walk))
    before: dict[int, list[int]] = {node.id: [] for node in nodes}
    for edge in graph.edges:
        before[edge.source].append(edge.target)
    ages = np.zeros(len(nodes), dtype=np.int64)
    for age, position in enumerate(TopologicalSorter(before).static_order()):
        ages[position] = -1 if nodes[position].kind == "accumulate" else age
    labels = {node.id: node.label for node in nodes if node.label}
    edges = np.array(graph.edges, dtype=np.int64).reshape(-1, 4)
    return Outline([node.name for node in nodes], ages, labels, edges)


@lru_cache(4096)  # also so that a million nodes of one kind share one text
def _without_package(name: str) -> str:
    return name.rpartition("::")[2]


def _edge_rows(walk: Walk) -> np.ndarray:
    """The edges as rows of numbers: a million Edges take seconds to make."""
    counts = np.fromiter(map(len, walk.nexts), np.int64)
    source = np.repeat(np.arange(len(counts)), counts)
    input_index = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    following = list(chain.from_iterable(walk.nexts))
    found = map(walk.index.get, map(itemgetter(0), following), repeat(-1))
    target = np.fromiter(found, np.int64, len(following))
    output_nr = np.fromiter(map(itemgetter(1), following), np.int64, len(following))
    return np.stack((source, input_index, target, output_nr), axis=1)[target >= 0]
