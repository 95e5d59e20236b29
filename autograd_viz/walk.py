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

from autograd_viz.interrupts import Held, interrupts_held
from autograd_viz.progress import progress
from autograd_viz.release import SAFE, NextFunctions, protect

_ACCUMULATOR: type[Node] = vars(torch._C._functions)["AccumulateGrad"]
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

    @cached_property
    def leaf_ids(self) -> dict[int, int]:
        """The position of each leaf, by its `id()`."""
        return {id(leaf): position for position, leaf in self.leaves.items()}


def walk_from(roots: Sequence[Node]) -> Walk:
    """Walk `next_functions` breadth first, without recursion.

    Garbage collection is paused: each new wrapper counts as an allocation, and the collector's
    passes over the growing graph cost more than the walk.
    """
    walk = Walk([], [], {})
    with garbage_collection_paused():
        if not _completed(walk, roots, SAFE):
            # Ctrl-C is held, a second for a million nodes, or a deep graph were left unprotected.
            with progress("walking the graph") as advance:
                while not _completed(walk, roots, CHUNK):
                    advance(CHUNK)
                tops = {walk.index[root] for root in roots}
                protect(walk.functions, walk.nexts, walk.index, tops)
    return walk


def walk_quickly(roots: Sequence[Node]) -> Walk:
    """The same walk without what a large one needs, if the graph is small."""
    walk = Walk([], [], {})
    return walk if _completed(walk, roots, SAFE) else walk_from(roots)


def _completed(walk: Walk, roots: Sequence[Node], most: int) -> bool:
    """Go on with a walk, root after root, by so many nodes at most; say whether it is done."""
    functions, nexts, index = walk.functions, walk.nexts, walk.index
    end = len(nexts) + most
    for root in roots:
        count = len(functions)
        if index.setdefault(root, count) == count:
            functions.append(root)
            count += 1
        for position in range(len(nexts), end):
            if position == count:
                break
            following = functions[position].next_functions
            nexts.append(following)
            for function, _ in following:
                if function is not None and index.setdefault(function, count) == count:
                    functions.append(function)
                    count += 1
        if len(nexts) < count:
            return False
    return True


@contextmanager
def garbage_collection_paused() -> Iterator[Held]:
    """Many new objects set the collector off again and again, over a graph that only grows.

    Ctrl-C is held, or the collector would stay off where it strikes between the block and its end.
    """
    with interrupts_held() as held:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield held
        finally:
            if enabled:
                gc.enable()


def is_accumulator(function: Node) -> bool:
    """Whether it is an AccumulateGrad node, which adds into the `.grad` of its leaf."""
    return type(function) is _ACCUMULATOR


def is_custom(function: Node) -> bool:
    """Whether it is the backward of a torch.autograd.Function, which may do anything."""
    return isinstance(function, torch.autograd.function.BackwardCFunction)
