"""One pass of the engine, with a hook on each node that keeps what comes by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from autograd_viz import names as naming
from autograd_viz.errors import GraphFreedError
from autograd_viz.interrupts import Held
from autograd_viz.progress import progress
from autograd_viz.side_effects import Own, contained, current_task
from autograd_viz.steps import SCALAR_NODES, Event, Grads
from autograd_viz.summaries import SMALL, Room
from autograd_viz.walk import Walk, garbage_collection_paused

ROOM = 2**26  # bytes of gradients that are kept whole, but for small ones and the leaves';
SHARE = 3 / 8  # or this share of what the leaves take, where that is more
LAG = 4  # events
MOST_WAITING = 50  # events whose numbers may wait for their room

LeafGrads = tuple[tuple[Tensor, Tensor | None], ...]


class Recorded(NamedTuple):
    """What a pass brought."""

    events: list[Event]  # what each node got and sent, in the engine's order
    leaf_grads: LeafGrads
    notes: tuple[str, ...]  # what struck, in sentences
    hooked: frozenset[int]  # nodes that have hooks of others, which may change what they send


def recorded_pass(
    walk: Walk,
    outputs: Sequence[Tensor],
    starts: Sequence[Tensor],
    frame: FrameType | None,
    memory: float | None = None,
) -> Recorded:
    """Run the engine, and record it.

    Nothing of the user's is changed, as far as tensors with `retain_grad()` are found from `frame`.
    The leaves' gradients are kept whole; of others so many bytes, and then summaries.
    """
    if memory is None:
        leaves = sum(leaf.numel() * leaf.itemsize for leaf in walk.leaves.values())
        memory = max(ROOM, leaves * SHARE)
    large = len(walk.functions) > SCALAR_NODES and not walk.customs
    # Ctrl-C is held, so that it cannot strike between a hook and its removal.
    with garbage_collection_paused() as pressed:
        kept: _Originals | _Copies = (
            _Originals(walk, memory) if large else _Copies(walk, memory, bool(walk.customs))
        )
        try:
            return _run(walk, outputs, starts, frame, kept, pressed)
        except _ChangedInPlaceError:
            kept = _Copies(walk, memory, everything=True)
            return _run(walk, outputs, starts, frame, kept, pressed)


def _run(
    walk: Walk,
    outputs: Sequence[Tensor],
    starts: Sequence[Tensor],
    frame: FrameType | None,
    kept: _Originals | _Copies,
    pressed: Held,
) -> Recorded:
    """Run the engine with a hook on each node."""
    accumulators, leaves = walk.accumulators, list(walk.leaves.values())
    own = kept.own = Own(starts)
    with (
        _grads_kept(walk, frame),
        contained(walk, own),
        progress("recording the backward pass", len(walk.functions)) as advance,
    ):
        hooks: list[Any] = []
        begins: Any = [*map(get_gradient_edge, outputs), *own.marks]
        ends: Any = [GradientEdge(walk.functions[place], 0) for place in accumulators]
        ends = [*(ends or outputs), *own.marks]
        try:
            for hook in _hooks(walk, kept, pressed, advance):
                hooks.append(hook)
            grads = torch.autograd.grad(
                begins,
                ends,
                grad_outputs=[*map(copied, starts), *own.ones],  # a hook may change them in place
                retain_graph=True,
                allow_unused=True,
            )
        except RuntimeError as error:
            if "backward through the graph a second time" in str(error):
                raise GraphFreedError(
                    "the graph was freed by an earlier backward pass, so there is nothing left to "
                    "trace; compute the output again, or call backward(retain_graph=True) before"
                ) from error
            raise
        finally:
            for hook in hooks:
                hook.remove()
        kept.let_go()
        kept.check()
        seen = {event[0] for event in kept.events}
        for position, grad in zip(accumulators, grads, strict=False):
            if grad is not None and position not in seen:  # a leaf that no longer requires grad
                kept.add(position, (), (grad,))
        # While what a custom Function has written over still stands in them.
        found = kept.of(grads[: len(leaves)])
    return Recorded(
        kept.events,
        tuple(zip(leaves, found, strict=True)),
        tuple(own.notes),
        frozenset(kept.hooked),
    )


def _hooks(
    walk: Walk, kept: _Originals | _Copies, pressed: Held, advance: Callable[[int], None]
) -> Iterator[Any]:
    """Put a hook on each node and leaf, one after the other.

    They fire in passes of other threads too, where they do nothing and never raise.
    """
    own, keep = kept.own, kept.ran
    chunk = min(len(walk.functions) // 200 + 1, MOST_WAITING)  # so often the reader may stop

    def ran(position: int, grad_inputs: Grads, grad_outputs: Grads) -> None:
        keep(position, grad_inputs, grad_outputs)
        if current_task() == own.task:
            kept.let_go(LAG)
            advance(chunk)
            pressed.strike()

    # A leaf's node does not run under autograd.grad, so its hook sits on the tensor.
    for position, leaf in walk.leaves.items():
        if leaf.requires_grad:
            yield leaf.register_hook(partial(kept.arrived, position))
    is_leaf = set(walk.accumulators)
    for position, function in enumerate(walk.functions):
        pressed.strike()
        if position not in is_leaf:
            if position in walk.customs:  # it may change in place what it is given
                yield function.register_prehook(partial(kept.enters, position))
            hook = ran if position % chunk == chunk - 1 else keep  # each call more counts
            handle = function.register_hook(partial(hook, position))
            yield handle
            if len(handle.hooks_dict_ref() or ()) > 1:
                kept.hooked.add(position)


def copied(tensor: Tensor) -> Tensor:
    """A copy that shares neither memory nor graph with the tensor."""
    return tensor.detach().clone()


class _ChangedInPlaceError(Exception):
    """A gradient that was kept, not copied, has been changed in place since."""


class _Kept(ABC):
    """What came by, in the engine's order, and the room for its numbers."""

    own: Own  # the pass; what comes by in another one is not kept

    def __init__(self, walk: Walk, room: float) -> None:
        self.events: list[Event] = []
        self.hooked: set[int] = set()
        self._leaves = frozenset(walk.accumulators)
        self._room = Room(room)
        self._limit = room
        self._seen = self._done = 0  # events whose size is known, and that were given their room
        self._size = 0  # bytes that arrived, as if each needed memory of its own

    def arrived(self, position: int, grad: Tensor) -> None:
        """Keep what arrived at a leaf."""
        self.ran(position, (), (grad,))

    def ran(self, position: int, grad_inputs: Grads, grad_outputs: Grads) -> None:
        """Keep what a node got and sent. It is called for each node, so it does nothing else."""
        if current_task() == self.own.task:
            self.add(position, grad_inputs, grad_outputs)

    @abstractmethod
    def add(self, position: int, grad_inputs: Grads, grad_outputs: Grads) -> None:
        """Keep what a node of our own pass got and sent."""

    def let_go(self, lag: int = 0) -> None:
        """Put summaries in the place of numbers for which there is no room; not in the last events.

        A leaf's gradient often comes by under other shapes, some events before its own.
        """
        for _, _, grad_outputs in self.events[self._seen :]:  # what is sent arrives somewhere
            for tensor in grad_outputs:
                if tensor is not None:
                    self._size += tensor.numel() * tensor.itemsize
        self._seen = len(self.events)
        if self._size <= self._limit:
            return
        fresh = range(self._done, max(self._done, self._seen - lag))
        self._done = fresh.stop
        for position, _, grad_outputs in self.events[fresh.start :]:
            if position in self._leaves:  # the pass returns it, so it stays in any case
                for tensor in grad_outputs:
                    if tensor is not None:
                        self._room.takes(tensor)
        for place in fresh:
            position, sent, arrived = self.events[place]
            self.events[place] = position, self._with_room(sent), self._with_room(arrived)

    def _with_room(self, tensors: Grads) -> Grads:
        found: list[Tensor | None] = []
        for tensor in tensors:
            kept = tensor if tensor is None else self._room.kept(tensor)
            if tensor is not None and kept is not tensor:
                self.forget(tensor)
            found.append(kept)
        return tuple(found)

    @abstractmethod
    def forget(self, tensor: Tensor) -> None:
        """Hold a tensor no longer, for which a summary stands from now on."""


class _Originals(_Kept):
    """The gradients themselves, of a large graph: to copy them takes as long as to compute them.

    They are the engine's own, and the engine lets them go.
    """

    def __init__(self, walk: Walk, room: float) -> None:
        super().__init__(walk, room)
        self._versions = 0  # the sum of all: a version only grows, so a change shows in the sum

    def add(self, position: int, grad_inputs: Grads, grad_outputs: Grads) -> None:
        """Keep what a node got and sent, and the tensors' versions."""
        versions = 0
        for tensor in grad_inputs:
            if tensor is not None:
                versions += tensor._version
        for tensor in grad_outputs:
            if tensor is not None:
                versions += tensor._version
        self._versions += versions
        self.events.append((position, grad_inputs, grad_outputs))

    def enters(self, position: int, grad_outputs: Grads) -> None:
        """Keep what a custom Function got: where there is one, everything is copied."""
        raise AssertionError("a graph with a custom Function needs copies")

    def forget(self, tensor: Tensor) -> None:
        """Hold a tensor no longer; if it has changed since it came, the sum is not right now."""
        self._versions -= tensor._version

    def of(self, tensors: Grads) -> Grads:
        """The tensors themselves."""
        return tensors

    def check(self) -> None:
        """Raise if a gradient has been changed since."""
        versions = 0
        for _, grad_inputs, grad_outputs in self.events:
            for tensor in grad_inputs:
                if tensor is not None:
                    versions += tensor._version
            for tensor in grad_outputs:
                if tensor is not None:
                    versions += tensor._version
        if versions != self._versions:
            raise _ChangedInPlaceError


_Copy = tuple[Tensor, int, Tensor]  # the engine's, its version then, the copy


class _Copies(_Kept):
    """Copies of tensors, one for each tensor however often it is seen.

    The originals are held meanwhile, so that their ids stay theirs, and copied again when they
    were changed in place (a custom backward or a hook may do that). Copying all gradients of a
    network takes as long as computing them; so unless `everything` is asked for, a large one is
    kept as it is: it is the engine's own, and the engine lets it go.
    """

    def __init__(self, walk: Walk, room: float, everything: bool) -> None:
        super().__init__(walk, room)
        self._everything = everything
        self._entered: dict[int, Grads] = {}
        self._known: dict[int, _Copy] = {}
        self._original: dict[int, int] = {}  # the id of a copy -> that of its original

    def enters(self, position: int, grad_outputs: Grads) -> None:
        """Keep what a custom Function got, before it can change it."""
        if current_task() == self.own.task:
            self._entered[position] = self.of(grad_outputs)
            for tensor in grad_outputs:  # a kernel changes no version, so it is copied anew later
                self._known.pop(id(tensor), None)

    def add(self, position: int, grad_inputs: Grads, grad_outputs: Grads) -> None:
        """Keep what a node got and sent."""
        before = self._entered.pop(position, None) or self.of(grad_outputs)
        self.events.append((position, self.of(grad_inputs), before))

    def forget(self, tensor: Tensor) -> None:
        """Hold a copy and its original no longer."""
        known = self._known.pop(self._original.pop(id(tensor), 0), None)
        if known is not None:
            _check(known)

    def of(self, tensors: Sequence[Tensor | None]) -> Grads:
        """Copies of some tensors."""
        copies: list[Tensor | None] = []
        for tensor in tensors:
            if tensor is None:
                copies.append(None)
                continue
            known = self._known.get(id(tensor))
            if known is None or known[1] != tensor._version:
                known = self._new(tensor, known)
            copies.append(known[2])
        return tuple(copies)

    def _new(self, tensor: Tensor, before: _Copy | None) -> _Copy:
        if before is not None and before[2] is tensor:
            raise _ChangedInPlaceError
        large = tensor.numel() > SMALL and not self._everything
        known = tensor, tensor._version, tensor if large else tensor.clone()
        self._known[id(tensor)] = known
        self._original[id(known[2])] = id(tensor)
        return known

    def check(self) -> None:
        """Raise if a gradient that was kept has been changed since."""
        for known in self._known.values():
            _check(known)


def _check(known: _Copy) -> None:
    tensor, version, kept = known
    if kept is tensor and tensor._version != version:
        raise _ChangedInPlaceError


@contextmanager
def _grads_kept(walk: Walk, frame: FrameType | None) -> Iterator[None]:
    """Put back the `.grad` of tensors with `retain_grad()`, into which every pass adds.

    A graph does not know these tensors, so they are looked for where the caller's variables lead.
    Those of other graphs are left alone: another thread may be adding to them.
    """
    kept = {
        id(tensor): (tensor, tensor.grad)
        for tensor in naming.reachable_tensors(frame)
        if tensor.retains_grad and tensor.grad_fn in walk.index
    }
    try:
        yield
    finally:
        for tensor, grad in kept.values():
            tensor.grad = grad
