"""The steps of a backward pass, and the local derivatives along them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from autograd_viz.model import Edge, Graph, Step
from autograd_viz.saved import HOOKED, Saved, saved_by
from autograd_viz.text import has_numbers
from autograd_viz.walk import Walk, is_custom

SCALAR_NODES = 500  # local derivatives are computed for graphs up to this size

Grads = tuple[Tensor | None, ...]
Event = tuple[int, Grads, Grads]  # node position, grad_inputs, grad_outputs


class Steps(Sequence[Step]):
    """The steps of a pass, each made when it is asked for: that takes a third of a plain pass."""

    def __init__(
        self, graph: Graph, walk: Walk, starts: Sequence[Tensor], events: Sequence[Event]
    ) -> None:
        self._starts = list(zip(graph.outputs, starts, strict=True))
        self._walk = walk
        self._events = events
        self._made: dict[int, Step] = {}

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, key: int) -> Step: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Step, ...]: ...
    def __getitem__(self, key: int | slice) -> Step | tuple[Step, ...]:
        places = range(len(self))[key]
        if isinstance(places, range):
            return tuple(map(self._step, places))
        return self._step(places)

    def __iter__(self) -> Iterator[Step]:
        return map(self._step, range(len(self)))

    def _step(self, place: int) -> Step:
        step = self._made.get(place)
        if step is None:
            node, grad_inputs, grad_outputs = self._events[place]
            leaf = self._walk.leaves.get(node)
            brought = () if leaf is None else tuple(self._brought[node])
            step = Step(node, grad_outputs, grad_inputs, leaf, brought)
            self._made[place] = step
        return step

    @cached_property
    def _brought(self) -> Mapping[int, list[Tensor]]:
        """What each edge brought to each leaf, in order of arrival."""
        leaves = self._walk.leaves
        brought: dict[int, list[Tensor]] = defaultdict(list)
        for slot, start in self._starts:
            brought[slot.node].append(start)
        for node, grad_inputs, _ in self._events:
            for value, (target, _) in zip(grad_inputs, self._walk.nexts[node], strict=False):
                if value is not None and target is not None:
                    below = self._walk.index[target]
                    if below in leaves:
                        brought[below].append(value)
        return brought


def order_of(steps: Sequence[Step]) -> list[int]:
    """The nodes of some steps; a million Steps need not be made for it."""
    if isinstance(steps, Steps):
        return [event[0] for event in steps._events]
    return [step.node for step in steps]


def computed_by(
    walk: Walk, saved: Sequence[Saved], steps: Sequence[Step], hooked: Collection[int]
) -> dict[int, Grads]:
    """What functions compute for the gradients that arrived, where hooks may change it.

    Not of the backward of a custom Function, nor where saved tensors have hooks: see
    `local_derivatives`. A module's backward hooks sit on a function that changes nothing itself.
    """
    computed: dict[int, Grads] = {}
    for step in steps if hooked else ():
        function: Any = walk.functions[step.node]
        if step.node not in hooked:
            continue
        if "BackwardHookFunction" in function.name():
            computed[step.node] = step.grad_outputs
        elif not is_custom(function) and not _is_hooked(function, step.node, saved):
            found = _called(function, step.grad_outputs)
            if found is not None:
                computed[step.node] = tuple(map(_reduced, found, step.grad_inputs))
    return computed


def _reduced(found: Tensor | None, sent: Tensor | None) -> Tensor | None:
    """A gradient as the engine sends it: summed where an operand was broadcast."""
    if found is None or sent is None or found.is_nested:
        return found
    return found.sum_to_size(sent.shape).to(sent.dtype)


def _is_hooked(function: Any, node: int, saved: Sequence[Saved]) -> bool:
    kept = saved[node] if saved else saved_by(function)
    return any(value is HOOKED for value in kept.values())


def local_derivatives(
    graph: Graph,
    walk: Walk,
    saved: Sequence[Saved],
    steps: Sequence[Step],
    computed: Mapping[int, Grads],
) -> dict[Edge, float]:
    """The derivative of source by target along each edge whose two ends hold one number.

    PyTorch's own functions are called by hand with 1, which is the lecture's way and exact. The
    backward of a custom Function may do anything when called, and where saved tensors have hooks
    (checkpointing) the forward would run again; so there the recorded quotient
    grad_input / grad_output is taken, if there is one; of grad_inputs those that were `computed`,
    before hooks changed them.
    """
    local: dict[Edge, float] = {}
    if len(walk.functions) > SCALAR_NODES:
        return local
    for step in steps:
        function, edges = walk.functions[step.node], graph.out_edges[step.node]
        if not edges or len(step.grad_outputs) != 1:
            continue
        (arrived,) = step.grad_outputs
        if arrived is None or arrived.numel() != 1 or arrived.is_complex():
            continue
        if not has_numbers(arrived) or arrived.layout is not torch.strided:
            continue
        if is_custom(function) or _is_hooked(function, step.node, saved):
            derivatives = _quotients(arrived, computed.get(step.node, step.grad_inputs))
        else:
            derivatives = _called(function, [torch.ones_like(arrived)]) or (None,) * len(
                step.grad_inputs
            )
        for edge in edges:
            value = derivatives[edge.input_index]
            if value is not None and value.numel() == 1 and not value.is_complex():
                local[edge] = value.to_dense().item()
    return local


def _quotients(arrived: Tensor, sent: Grads) -> Grads:
    if not arrived.item():
        return (None,) * len(sent)
    return tuple(None if value is None else value.double() / arrived for value in sent)


def _called(function: Any, arrived: Sequence[Tensor | None]) -> Grads | None:
    try:
        result = function(*arrived)
    except RuntimeError:  # freed or changed in place meanwhile, by a hook of the user
        return None
    return result if isinstance(result, tuple) else (result,)
