"""Lets deep autograd graphs die without overflowing the C stack.

A node that Python has seen owns its Python object, and that object owns the node. When the last
edge to the node goes, the destructor of the object calls that of the node, which drops the node's
own edges, and so on: one nest of C calls a node, about 195 bytes of stack each. Measured with
PyTorch 2.13: a walked chain of 200,000 nodes overflows a stack of 8 MB when its tensor is deleted,
one of 4,000 overflows 512 KB (a thread's on macOS). Nodes that Python never saw die in a loop.

So every so many levels a node gets a guard: an object in its `metadata` that holds its successors.
The guard dies with the node, but after the node's edges, and so decides when the successors die.
The first guard to die releases its successors in a loop; a guard that dies within that loop, nested
in C, only adds its own successors to it. Then the stack is never deeper than two spans, and the
last node is gone when the user's `del` returns.

A guard holds only what its node holds anyway. So nothing lives longer than without it, no reference
cycle arises, and graphs that share nodes share their guards. When Python exits, PyTorch no longer
clears `metadata`: what the guards hold is then left to the operating system. If Ctrl-C strikes
within the release (half a second for a million nodes), Python reports it as ignored.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, cast

from torch.autograd.graph import Node

NextFunctions = tuple[tuple[Node | None, int], ...]
_KEY = "autograd_viz.release"  # in Node.metadata
SAFE = 1_000  # nodes: a graph of no more is left as it is; 2,400 levels fit into 512 KB
_SPAN = 100  # levels from guard to guard, 20 KB of stack


def protect(
    functions: Sequence[Node],
    nexts: Sequence[NextFunctions],
    index: Mapping[Node, int],
    roots: Iterable[int] = (0,),
) -> None:
    """Make a walked graph safe to delete, in any order and in any thread.

    Call it once after a walk along `next_functions`. Small graphs are left as they are.

    Args:
        functions: All nodes that the walk found. If a node stands after those that use it, as in a
            breadth-first walk it mostly does, fewer guards are needed.
        nexts: The `next_functions` of each of them.
        index: The position of each of them.
        roots: Positions at which the walk began.

    >>> import torch
    >>> y = torch.tensor(1.0, requires_grad=True)
    >>> for _ in range(2_000):
    ...     y = y.sin()
    >>> functions = [y.grad_fn]
    >>> for node in functions:
    ...     functions += [successor for successor, _ in node.next_functions]
    >>> nexts = [node.next_functions for node in functions]
    >>> protect(functions, nexts, {node: place for place, node in enumerate(functions)})
    >>> sum("autograd_viz.release" in node.metadata for node in functions)
    21
    """
    if len(functions) <= SAFE:
        return
    # A guard says that all below its node was walked and protected once. The roots get one too.
    guarded = set(roots)
    if all(_KEY in _metadata(functions[root]) for root in guarded):
        return
    levels = [1] * len(functions)  # nested destructors when the node dies, down to the next guards
    place = len(functions)
    for following in reversed(nexts):
        place -= 1
        level = 0
        for successor, _ in following:
            if successor is not None:
                below = index[successor]
                if below > place or not nexts[below]:
                    if levels[below] > level:  # no max(): this runs for each edge of any graph
                        level = levels[below]
                else:  # it stands before its user, so its level is not known yet
                    guarded.add(below)
        level += 1
        if level >= _SPAN or place in guarded:
            _guard(functions[place], following)
            level = 0
        levels[place] = level


def _guard(node: Node, following: NextFunctions) -> None:
    metadata = _metadata(node)
    if _KEY not in metadata:
        metadata[_KEY] = _Guard([successor for successor, _ in following if successor is not None])


def _metadata(node: Node) -> dict[str, object]:
    return cast(dict[str, object], node.metadata)  # PyTorch's stub calls it a method


class _Released(threading.local):
    """What the current thread has still to release."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.running = False


class _Guard:
    """Holds the successors of the node whose metadata it is in."""

    __slots__ = ("_successors",)
    _released: ClassVar = _Released()  # here, since a module's names may be gone before a guard

    def __init__(self, successors: Sequence[Node]) -> None:
        self._successors = successors

    def __del__(self) -> None:
        released = self._released
        nodes = released.nodes
        nodes += self._successors
        self._successors = ()
        if released.running:
            return
        released.running = True
        try:
            self._let_go(nodes)
        finally:
            released.running = False
            if nodes:  # a signal handler raised: a new guard releases the rest as it dies
                type(self)(())

    @staticmethod  # within the class for the same reason
    def _let_go(nodes: list[Node]) -> None:
        """Empty the list, in a frame of its own: on Python 3.13 a signal skips `finally` otherwise.

        It does so where it strikes at a loop's jump back directly within the `try`.
        """
        while nodes:
            nodes.pop()
