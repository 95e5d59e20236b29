"""The walk of `next_functions`: all nodes that lead to some outputs, each found once."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.graph import Node

from autograd_viz.interrupts import interrupts_held
from autograd_viz.progress import progress
from autograd_viz.release import NextFunctions, protect

CHUNK = 50_000  # nodes that are walked at once; between chunks the reader is told


@dataclass(frozen=True)
class Walk:
    """All nodes that the outputs lead to, each once, and PyTorch's own next_functions of each."""

    functions: list[Node]
    nexts: list[NextFunctions]
    index: dict[Node, int]

    @cached_property
    def accumulators(self) -> list[int]:
        """Positions of the AccumulateGrad nodes."""
        return [
            position
            for position, following in enumerate(self.nexts)
            if not following and is_accumulator(self.functions[position])
        ]

    @cached_property
    def customs(self) -> frozenset[int]:
        """Positions of the backwards of custom Functions, which may do anything."""
        functions = enumerate(self.functions)
        return frozenset(position for position, function in functions if is_custom(function))

    @cached_property
    def leaves(self) -> dict[int, Tensor]:
        """The leaf of each AccumulateGrad node, by its position."""
        return {place: self.functions[place].variable for place in self.accumulators}  # type: ignore[attr-defined]


def walk_from(roots: Sequence[Node]) -> Walk:
    """Walk `next_functions` breadth first, without recursion.

    Garbage collection is paused: each new wrapper counts as an allocation, and the collector's
    passes over the growing graph cost more than the walk.
    """
    functions: list[Node] = []
    nexts: list[NextFunctions] = []
    index: dict[Node, int] = {}
    # Ctrl-C is held, a second for a million nodes, or a deep graph were left unprotected.
    with (
        garbage_collection_paused(),
        interrupts_held(),
        progress("walking the graph") as advance,
    ):
        for root in roots:
            if index.setdefault(root, len(functions)) == len(functions):
                functions.append(root)
                _extend(functions, nexts, index)
                while len(nexts) < len(functions):
                    advance(CHUNK)
                    _extend(functions, nexts, index)
        protect(functions, nexts, index, {index[root] for root in roots})
    return Walk(functions, nexts, index)


def _extend(functions: list[Node], nexts: list[NextFunctions], index: dict[Node, int]) -> None:
    """Go on with a walk by CHUNK nodes, or to its end."""
    count = len(functions)
    for position in range(len(nexts), len(nexts) + CHUNK):
        if position == count:
            return
        following = functions[position].next_functions
        nexts.append(following)
        for function, _ in following:
            if function is not None and index.setdefault(function, count) == count:
                functions.append(function)
                count += 1


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Many new objects set the collector off again and again, over a graph that only grows."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def is_accumulator(function: Node) -> bool:
    """Whether it is an AccumulateGrad node, which adds into the `.grad` of its leaf."""
    return function.name() == "torch::autograd::AccumulateGrad"


def is_custom(function: Node) -> bool:
    """Whether it is the backward of a torch.autograd.Function, which may do anything."""
    return isinstance(function, torch.autograd.function.BackwardCFunction)
