"""From a tensor to its Trace: one real backward pass by the engine, recorded."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from autograd_viz import names as naming
from autograd_viz.capture import Walk, capture, checked_outputs, copied, is_custom, runs_hooks
from autograd_viz.errors import GradError, GraphFreedError, NotATensorError
from autograd_viz.model import Edge, Graph, Step, Trace

SCALAR_NODES = 500  # local derivatives are computed for graphs up to this size
SEARCH_NODES = 300  # from this size on, tensors with retain_grad() are looked for everywhere

Grads = tuple[Tensor | None, ...]


def trace(
    output: Tensor | Sequence[Tensor],
    grad: Tensor | Sequence[Tensor | None] | None = None,
    *,
    names: Mapping[str, Tensor] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> Trace:
    """Run one backward pass and return what happened, leaving everything as it was.

    The engine really runs: every step is recorded in its order, with the hooks that you have
    registered. No `.grad` is written (that of a tensor with `retain_grad()` is put back) and the
    graph stays usable. The recorded tensors are copies.

    Args:
        output: a tensor, or a sequence of tensors, as for `graph`.
        grad: the gradient to start from, with the output's shape; for several outputs a sequence
            of them. May be left out for real outputs of one element, as in PyTorch: it is 1.
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
    outputs = checked_outputs(output, call="trace")
    frame = sys._getframe(1)
    with torch.inference_mode(False):  # copies made in that mode would be of no use outside
        starts = _starting_grads(outputs, grad)
        graph, walk = capture(outputs, frame, names, params)
        # The engine gets copies: a custom backward may change its gradient in place.
        events, leaf_grads = _run(walk, outputs, list(map(copied, starts)), frame)
        steps = tuple(_steps(graph, walk, starts, events))
        local = _local_derivatives(graph, walk, steps)
    return Trace(graph, steps, leaf_grads, tuple(starts), local)


def _starting_grads(outputs: Sequence[Tensor], grad: object) -> list[Tensor]:
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
    walk: Walk, outputs: Sequence[Tensor], starts: Sequence[Tensor], frame: FrameType
) -> tuple[list[Event], tuple[tuple[Tensor, Tensor | None], ...]]:
    """Run the engine with a hook on each node; return the events and the leaves' gradients."""
    events: list[Event] = []
    copies = _Copies()
    entered: dict[int, Grads] = {}

    def enters(position: int, grad_outputs: Grads) -> None:
        entered[position] = copies.of(grad_outputs)

    def ran(position: int, grad_inputs: Grads, grad_outputs: Grads) -> None:
        before = entered.get(position) or copies.of(grad_outputs)
        events.append((position, copies.of(grad_inputs), before))

    def arrived(position: int, grad: Tensor) -> None:
        events.append((position, (), copies.of((grad,))))

    accumulators = walk.accumulators
    leaves: list[Tensor] = [walk.functions[i].variable for i in accumulators]  # type: ignore[attr-defined]
    hooks: list[Any] = []
    try:
        # A leaf's node does not run under autograd.grad, so its hook sits on the tensor.
        for position, leaf in zip(accumulators, leaves, strict=True):
            if leaf.requires_grad:
                hooks.append(leaf.register_hook(partial(arrived, position)))
        is_leaf = set(accumulators)
        for position, function in enumerate(walk.functions):
            if position not in is_leaf:
                if is_custom(function):  # it may change in place what it is given
                    hooks.append(function.register_prehook(partial(enters, position)))
                hooks.append(function.register_hook(partial(ran, position)))
        with _grads_kept(walk, frame):
            grads = torch.autograd.grad(
                [get_gradient_edge(output) for output in outputs],
                [GradientEdge(walk.functions[i], 0) for i in accumulators] or outputs,
                grad_outputs=starts,
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
    seen = {event[0] for event in events}
    for position, grad in zip(accumulators, grads, strict=False):
        if grad is not None and position not in seen:  # a leaf that no longer requires grad
            events.append((position, (), copies.of((grad,))))
    return events, tuple(zip(leaves, copies.of(grads[: len(leaves)]), strict=True))


class _Copies:
    """Copies of tensors, one for each tensor however often it is seen.

    The originals are held meanwhile, so that their ids stay theirs, and copied again when they
    were changed in place (a custom backward or a hook may do that).
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Tensor, int, Tensor]] = {}

    def of(self, tensors: Sequence[Tensor | None]) -> Grads:
        return tuple([None if tensor is None else self._copy(tensor) for tensor in tensors])

    def _copy(self, tensor: Tensor) -> Tensor:
        known = self._known.get(id(tensor))
        if known is None or known[1] != tensor._version:
            known = (tensor, tensor._version, tensor.clone())
            self._known[id(tensor)] = known
        return known[2]


@contextmanager
def _grads_kept(walk: Walk, frame: FrameType) -> Iterator[None]:
    """Put back the `.grad` of tensors with `retain_grad()`, into which every pass adds.

    A graph does not know these tensors. In a small one they are looked for in the caller's
    variables (and the containers and objects there), in a large one among all objects, which
    takes some 20 ms.
    """
    candidates: Any = naming.reachable_tensors(frame)
    if len(walk.functions) >= SEARCH_NODES:
        import gc

        candidates = filter(naming.is_tensor, gc.get_objects())
    kept = {id(tensor): (tensor, tensor.grad) for tensor in candidates if tensor.retains_grad}
    try:
        yield
    finally:
        for tensor, grad in kept.values():
            tensor.grad = grad


def _steps(
    graph: Graph, walk: Walk, starts: Sequence[Tensor], events: Sequence[Event]
) -> Iterator[Step]:
    accumulators = set(walk.accumulators)
    brought: dict[int, list[Tensor]] = defaultdict(list)
    for slot, start in zip(graph.outputs, starts, strict=True):
        brought[slot.node].append(start)
    for position, grad_inputs, grad_outputs in events:
        for value, (target, _) in zip(grad_inputs, walk.nexts[position], strict=False):
            if value is not None and target is not None:
                leaf = walk.index[target]
                if leaf in accumulators:
                    brought[leaf].append(value)
        if position in accumulators:
            yield Step(
                position,
                grad_outputs,
                grad_inputs,
                leaf=walk.functions[position].variable,  # type: ignore[attr-defined]
                contributions=tuple(brought[position]),
            )
        else:
            yield Step(position, grad_outputs, grad_inputs)


def _local_derivatives(graph: Graph, walk: Walk, steps: Sequence[Step]) -> dict[Edge, float]:
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
        if arrived is None or arrived.numel() != 1 or arrived.is_complex() or arrived.is_meta:
            continue
        if is_custom(function) or runs_hooks(function):
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
        with torch.no_grad():
            result = function(torch.ones_like(arrived))
    except RuntimeError:  # freed or changed in place meanwhile, by a hook of the user
        return None
    return result if isinstance(result, tuple) else (result,)
