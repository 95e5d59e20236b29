"""Lets deep autograd graphs die without overflowing the C stack.

A node that Python has seen owns its Python object, and that object owns the node. When the last
edge to the node goes, the destructor of the object calls that of the node, which drops the node's
own edges, and so on: one nest of C calls a node, about 195 bytes of stack each. Measured with
PyTorch 2.13: a walked chain of 200,000 nodes overflows a stack of 8 MB when its tensor is deleted,
one of 4,000 overflows the 512 KB of a thread on macOS. Nodes that Python never saw die in a loop.

So a node in every so many levels gets a guard: an object in the node's `metadata` that holds the
node's successors. It dies with the node, after the edges of the node, and so decides when the
successors die. The first guard to die releases its successors in a loop; a guard that dies within
that loop, nested in C, only adds its own successors to it. Then the stack is never deeper than
two spans, and the last node is gone when the user's `del` returns.

A guard holds only what its node holds anyway. So nothing lives longer than without it, no reference
cycle arises, and graphs that share nodes share their guards. When Python exits, PyTorch no
longer clears `metadata`: what the guards hold is then left to the operating system.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, cast

from torch.autograd.graph import Node

_KEY = "autograd_viz.release"  # in Node.metadata
_SAFE = 1_000  # nodes: a smaller graph is left as it is; 2,400 levels fit into 512 KB
_SPAN = 100  # levels from guard to guard, 20 KB of stack


def protect(root: Node, nodes: Sequence[Node]) -> None:
    """Make a walked graph safe to delete, in any order and in any thread.

    Call it after a walk along `next_functions`. Small graphs are left as they are.

    Args:
        root: A node where the walk began.
        nodes: All other nodes that the walk found, in any order. Further roots are among them.

    >>> import torch
    >>> y = torch.tensor(1.0, requires_grad=True)
    >>> for _ in range(2_000):
    ...     y = y.sin()
    >>> nodes = [y.grad_fn]
    >>> for node in nodes:
    ...     nodes += [successor for successor, _ in node.next_functions]
    >>> protect(nodes[0], nodes[1:])
    >>> sum("autograd_viz.release" in node.metadata for node in nodes)
    20
    """
    if len(nodes) < _SAFE:
        return
    levels: dict[Node, int] = {}  # nested destructors when the node dies, as far as the next guards
    pending = [root, *nodes]
    while pending:  # successors first: depth first, without recursion
        node = pending[-1]
        if node in levels:
            pending.pop()
            continue
        below = 0
        known = True
        for successor, _ in node.next_functions:
            if successor is None:
                continue
            level = levels.get(successor)
            if level is None:
                pending.append(successor)
                known = False
            elif level > below:
                below = level
        if known:
            if below + 1 == _SPAN:
                _guard(node)
                below = -1
            levels[node] = below + 1
            pending.pop()


def _guard(node: Node) -> None:
    metadata = cast(dict[str, object], node.metadata)  # PyTorch's stub calls it a method
    if _KEY not in metadata:
        metadata[_KEY] = _Guard([node for node, _ in node.next_functions if node is not None])


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
        interrupted = False
        while nodes:
            try:
                while nodes:
                    nodes.pop()
            except KeyboardInterrupt:
                interrupted = True
        released.running = False
        if interrupted:  # Ctrl-C is for the user's code, where an exception can be raised
            with suppress(RuntimeError):
                _thread.start_new_thread(_thread.interrupt_main, ())
