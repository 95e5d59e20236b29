"""From a tensor to its Trace: one real backward pass by the engine, recorded."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from types import FrameType
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from autograd_viz import names as naming
from autograd_viz.capture import (
    HOOKED,
    Saved,
    Walk,
    capture,
    captured_values,
    checked_outputs,
    copied,
    garbage_collection_paused,
    is_custom,
    saved_by,
)
from autograd_viz.engines.protocol import engine_values
from autograd_viz.errors import GradError, GraphFreedError, NotATensorError
from autograd_viz.interrupts import interrupts_held
from autograd_viz.model import Edge, Graph, Step, Trace
from autograd_viz.side_effects import contained
from autograd_viz.text import has_numbers

if TYPE_CHECKING:
    from autograd_viz.engines.protocol import Value

COPIED = 1_024  # elements; a larger gradient is kept as it is, where nothing can change it
SCALAR_NODES = 500  # local derivatives are computed for graphs up to this size

Grads = tuple[Tensor | None, ...]


def trace(
    output: Tensor | Value | Sequence[Tensor | Value],
    grad: Tensor | Sequence[Tensor | None] | float | None = None,
    *,
    names: Mapping[str, Any] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> Trace:
    """Run one backward pass and return what happened, leaving everything as it was.

    The engine really runs: every step is recorded in its order, with the hooks that you have
    registered. No `.grad` is written (that of a tensor with `retain_grad()` is put back) and the
    graph stays usable. The recorded tensors are copies, or the engine's own that it has let go.

    Args:
        output: a tensor, or a sequence of tensors, as for `graph`. Of a value of another engine
            the engine's own backward steps run, and its gradients are put back.
        grad: the gradient to start from, with the output's shape; for several outputs a sequence
            of them. May be left out for real outputs of one element, as in PyTorch: it is 1. For
            a value of another engine a number or an array.
        names: as for `graph`.
        params: as for `graph`.

    Raises:
        NotATensorError, NoGraphError: as for `graph`.
        GradError: `grad` is missing for an output of several elements, or does not fit.
        GraphFreedError: an earlier `backward()` has freed the graph.
        Exception: whatever a backward formula or a hook of yours raises.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> b = torch.tensor(4.0, requires_grad=True)
    >>> e = (a + b) * (torch.log2(a) * torch.log2(b))
    >>> [(leaf.item(), grad) for leaf, grad in av.trace(e).leaf_grads]
    [(2.0, tensor(10.6562)), (4.0, tensor(4.1640))]
    >>> a.grad is None
    True
    """
    return recorded_from(output, grad, sys._getframe(1), names, params, call="trace")


def recorded_from(
    output: object,
    grad: Any,
    frame: FrameType,
    names: Mapping[str, Any] | None,
    params: torch.nn.Module | Mapping[str, Tensor] | None,
    call: str,
) -> Trace:
    """Return the trace of what the reader gave; names come from `frame`."""
    values = None if naming.is_tensor(output) else engine_values(output)
    if values is not None:
        from autograd_viz.engines import backward_pass  # tensors do not need it

        found = captured_values(values, frame, names)
        with garbage_collection_paused():
            return backward_pass.traced(found, grad)
    return recorded(checked_outputs(output, call), grad, frame, names, params)


def recorded(
    outputs: Sequence[Tensor],
    grad: Tensor | Sequence[Tensor | None] | None,
    frame: FrameType,
    names: Mapping[str, Tensor] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> Trace:
    """Return the trace of checked outputs; names come from `frame`."""
    with torch.inference_mode(False):  # copies made in that mode would be of no use outside
        starts = starting_grads(outputs, grad)
        graph, walk, saved = capture(outputs, frame, names, params)
        return traced(graph, walk, saved, outputs, starts, frame)


def traced(
    graph: Graph,
    walk: Walk,
    saved: Sequence[Saved],
    outputs: Sequence[Tensor],
    starts: Sequence[Tensor],
    frame: FrameType | None,
) -> Trace:
    """Run the engine over a graph that was captured before."""
    with torch.inference_mode(False):
        custom = any(map(is_custom, walk.functions))
        with garbage_collection_paused(), interrupts_held() as pressed:
            try:
                large = len(walk.functions) > SCALAR_NODES and not custom
                kept: _Copies | _Originals = _Originals() if large else _Copies(custom)
                events, leaf_grads = _run(walk, outputs, starts, frame, kept, pressed)
            except _ChangedInPlaceError:
                kept = _Copies(everything=True)
                events, leaf_grads = _run(walk, outputs, starts, frame, kept, pressed)
        steps = _Steps(graph, walk, starts, events)
        with torch.no_grad():
            local = _local_derivatives(graph, walk, saved, steps)
    return Trace(graph, steps, leaf_grads, tuple(starts), local)


def starting_grads(outputs: Sequence[Tensor], grad: object) -> list[Tensor]:
    """The gradients that a pass begins with, one an output, or an error that names the remedy."""
    single = len(outputs) == 1
    if grad is None:
        grads: list[Any] = [None] * len(outputs)
    elif naming.is_tensor(grad):
        grads = [grad]
    elif isinstance(grad, Sequence) and not isinstance(grad, str):
        grads = list(grad)
    else:
        raise NotATensorError(
            f"grad is a {type(grad).__name__}, not a tensor; give a tensor of the output's shape: "
            f"av.trace(y, torch.full({list(outputs[0].shape)}, {grad!r}))"
        )
    if len(grads) != len(outputs):
        raise GradError(
            f"{len(outputs)} outputs need {len(outputs)} gradients, but {len(grads)} were given; "
            "give a list with one for each: av.trace([y1, y2], [grad1, grad2])"
        )
    for position, (output, start) in enumerate(zip(outputs, grads, strict=True)):
        which = "the output" if single else f"output {position}"
        shape = list(output.shape)
        if start is None:
            if output.numel() != 1 or output.is_complex():
                kind = "complex" if output.is_complex() else f"a tensor of shape {shape}"
                raise GradError(
                    f"{which} is {kind}, so the backward pass needs a gradient to start from; "
                    "reduce it to a real scalar, av.trace(y.sum()), or give one of its shape: "
                    "av.trace(y, torch.ones_like(y))"
                )
            grads[position] = torch.ones_like(output, requires_grad=False)
        elif not naming.is_tensor(start):
            raise NotATensorError(
                f"the gradient for {which} is a {type(start).__name__}, not a tensor; "
                "give one of the output's shape: av.trace(y, torch.ones_like(y))"
            )
        elif start.shape != output.shape:
            raise GradError(
                f"{which} has shape {shape}, but the gradient given has shape "
                f"{list(start.shape)}; give one of the output's shape: "
                "av.trace(y, torch.ones_like(y))"
            )
        elif start.dtype != output.dtype and (start.is_complex() or output.is_complex()):
            raise GradError(
                f"{which} has dtype {output.dtype}, but the gradient given has dtype "
                f"{start.dtype}; give one of the output's dtype: av.trace(y, grad.to(y.dtype))"
            )
        else:  # as the engine does
            grads[position] = start.detach().to(output.device, output.dtype, copy=True)
    return grads


Event = tuple[int, Grads, Grads]  # node position, grad_inputs, grad_outputs


def _run(
    walk: Walk,
    outputs: Sequence[Tensor],
    starts: Sequence[Tensor],
    frame: FrameType | None,
    copies: _Copies | _Originals,
    pressed: Sequence[int],
) -> tuple[list[Event], tuple[tuple[Tensor, Tensor | None], ...]]:
    """Run the engine with a hook on each node; return the events and the leaves' gradients.

    Ctrl-C is held by the caller, so that it cannot strike between a hook and its removal; what has
    to end then looks at `pressed`.
    """
    events: list[Event] = []
    entered: dict[int, Grads] = {}

    def enters(position: int, grad_outputs: Grads) -> None:
        entered[position] = copies.of(grad_outputs)

    def ran(position: int, grad_inputs: Grads, grad_outputs: Grads) -> None:
        if pressed:
            raise KeyboardInterrupt
        before = entered.get(position) or copies.of(grad_outputs)
        events.append((position, copies.of(grad_inputs), before))

    def arrived(position: int, grad: Tensor) -> None:
        if elsewhere():  # within a checkpoint, whose inner graph is not this one
            return
        events.append((position, (), copies.of((grad,))))

    accumulators = walk.accumulators
    leaves = list(walk.leaves.values())
    hooks: list[Any] = []
    try:
        # A leaf's node does not run under autograd.grad, so its hook sits on the tensor.
        for position, leaf in zip(accumulators, leaves, strict=True):
            if leaf.requires_grad:
                hooks.append(leaf.register_hook(partial(arrived, position)))
        is_leaf = set(accumulators)
        for position, function in enumerate(walk.functions):
            if pressed:
                raise KeyboardInterrupt
            if position not in is_leaf:
                if is_custom(function):  # it may change in place what it is given
                    hooks.append(function.register_prehook(partial(enters, position)))
                hooks.append(function.register_hook(partial(ran, position)))
        with _grads_kept(frame), contained(walk.functions) as elsewhere:
            grads = torch.autograd.grad(
                [get_gradient_edge(output) for output in outputs],
                [GradientEdge(walk.functions[i], 0) for i in accumulators] or outputs,
                grad_outputs=list(map(copied, starts)),  # a hook may change them in place
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
    copies.check()
    seen = {event[0] for event in events}
    for position, grad in zip(accumulators, grads, strict=False):
        if grad is not None and position not in seen:  # a leaf that no longer requires grad
            events.append((position, (), copies.of((grad,))))
    return events, tuple(zip(leaves, copies.of(grads[: len(leaves)]), strict=True))


class _ChangedInPlaceError(Exception):
    """A gradient that was kept, not copied, has been changed in place since."""


_Kept = tuple[Tensor, int, Tensor]  # the engine's, its version then, the copy


class _Originals:
    """The gradients themselves, of a large graph: to copy them takes as long as to compute them.

    They are the engine's own, and the engine lets them go.
    """

    def __init__(self) -> None:
        self._seen: list[Grads] = []
        self._versions = 0  # the sum of all: a version only grows, so a change shows in the sum

    def of(self, tensors: Grads) -> Grads:
        self._seen.append(tensors)
        for tensor in tensors:
            if tensor is not None:
                self._versions += tensor._version
        return tensors

    def check(self) -> None:
        """Raise if a gradient has been changed since."""
        versions = 0
        for tensors in self._seen:
            for tensor in tensors:
                if tensor is not None:
                    versions += tensor._version
        if versions != self._versions:
            raise _ChangedInPlaceError


class _Copies:
    """Copies of tensors, one for each tensor however often it is seen.

    The originals are held meanwhile, so that their ids stay theirs, and copied again when they
    were changed in place (a custom backward or a hook may do that). Copying all gradients of a
    network takes as long as computing them; so unless `everything` is asked for, a large one is
    kept as it is: it is the engine's own, and the engine lets it go.
    """

    def __init__(self, everything: bool) -> None:
        self._everything = everything
        self._known: dict[int, _Kept] = {}

    def of(self, tensors: Sequence[Tensor | None]) -> Grads:
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

    def _new(self, tensor: Tensor, before: _Kept | None) -> _Kept:
        if before is not None and before[2] is tensor:
            raise _ChangedInPlaceError
        large = tensor.numel() > COPIED and not self._everything
        known = tensor, tensor._version, tensor if large else tensor.clone()
        self._known[id(tensor)] = known
        return known

    def check(self) -> None:
        """Raise if a gradient that was kept has been changed since."""
        for tensor, version, kept in self._known.values():
            if kept is tensor and tensor._version != version:
                raise _ChangedInPlaceError


@contextmanager
def _grads_kept(frame: FrameType | None) -> Iterator[None]:
    """Put back the `.grad` of tensors with `retain_grad()`, into which every pass adds.

    A graph does not know these tensors, so they are looked for where the caller's variables lead.
    """
    tensors = naming.reachable_tensors(frame)
    kept = {id(tensor): (tensor, tensor.grad) for tensor in tensors if tensor.retains_grad}
    try:
        yield
    finally:
        for tensor, grad in kept.values():
            tensor.grad = grad


class _Steps(Sequence[Step]):
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


def _local_derivatives(
    graph: Graph, walk: Walk, saved: Sequence[Saved], steps: Sequence[Step]
) -> dict[Edge, float]:
    """The derivative of source by target along each edge whose two ends hold one number.

    PyTorch's own functions are called by hand with 1, which is the lecture's way and exact. The
    backward of a custom Function may do anything when called, and where saved tensors have hooks
    (checkpointing) the forward would run again; so there the recorded quotient
    grad_input / grad_output is taken, if there is one.
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
        if not has_numbers(arrived):
            continue
        kept = saved[step.node] if saved else saved_by(function)
        if is_custom(function) or any(value is HOOKED for value in kept.values()):
            derivatives = _quotients(arrived, step.grad_inputs)
        else:
            derivatives = _called_with_one(function, arrived) or (None,) * len(step.grad_inputs)
        for edge in edges:
            value = derivatives[edge.input_index]
            if value is not None and value.numel() == 1 and not value.is_complex():
                local[edge] = value.item()
    return local


def _quotients(arrived: Tensor, sent: Grads) -> Grads:
    if not arrived.item():
        return (None,) * len(sent)
    return tuple(None if value is None else value.double() / arrived for value in sent)


def _called_with_one(function: Any, arrived: Tensor) -> Grads | None:
    try:
        result = function(torch.ones_like(arrived))
    except RuntimeError:  # freed or changed in place meanwhile, by a hook of the user
        return None
    return result if isinstance(result, tuple) else (result,)
