"""From a tensor to its Trace: one real backward pass by the engine, recorded."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from autograd_viz import names as naming
from autograd_viz.capture import capture, captured_values, checked_outputs
from autograd_viz.engines.protocol import engine_values
from autograd_viz.errors import (
    AutogradVizError,
    GradError,
    GraphFreedError,
    NotATensorError,
    SavedValueChangedError,
)
from autograd_viz.model import Graph, Trace
from autograd_viz.recording import recorded_pass
from autograd_viz.saved import Saved
from autograd_viz.steps import Steps, computed_by, local_derivatives
from autograd_viz.walk import Walk, garbage_collection_paused

if TYPE_CHECKING:
    from autograd_viz.engines.protocol import Value


def trace(
    output: Tensor | Value | Sequence[Tensor | Value],
    grad: Tensor | Sequence[Tensor | None] | float | None = None,
    *,
    names: Mapping[str, Any] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
    memory: float | None = None,
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
        memory: how many bytes of gradients are kept whole; 64 MB, or 3/8 of what the leaves
            take where that is more. The leaves' gradients and those of at most 1,024 elements
            always are. For a further one stands a tensor on the meta device whose `summary` tells
            its norm, least and largest element and their spread.

    Raises:
        NotATensorError, NoGraphError: as for `graph`.
        TypeError: `memory` is not a number.
        GradError: `grad` is missing for an output of several elements, or does not fit.
        GraphFreedError: an earlier `backward()` has freed the graph, or a part of it.
        SavedValueChangedError: what an operation has saved was changed in place since.
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
    if not isinstance(memory, int | float | None):
        raise TypeError(
            f"memory is of type {type(memory).__name__}; give a number of bytes: memory=2**30"
        )
    frame = sys._getframe(1)
    return recorded_from(output, grad, frame, names, params, call="trace", memory=memory)


def recorded_from(
    output: object,
    grad: Any,
    frame: FrameType,
    names: Mapping[str, Any] | None,
    params: torch.nn.Module | Mapping[str, Tensor] | None,
    call: str,
    memory: float | None = None,
) -> Trace:
    """Return the trace of what the reader gave; names come from `frame`."""
    values = None if naming.is_tensor(output) else engine_values(output)
    if values is not None:
        from autograd_viz.engines import backward_pass  # tensors do not need it

        found = captured_values(values, frame, names)
        with garbage_collection_paused() as held:
            return held.through(lambda: backward_pass.traced(found, grad))
    return recorded(checked_outputs(output, call), grad, frame, names, params, memory)


def recorded(
    outputs: Sequence[Tensor],
    grad: Tensor | Sequence[Tensor | None] | None,
    frame: FrameType,
    names: Mapping[str, Tensor] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
    memory: float | None = None,
) -> Trace:
    """Return the trace of checked outputs; names come from `frame`."""
    # copies made in inference mode would be of no use outside
    with garbage_collection_paused(), torch.inference_mode(False):
        starts = starting_grads(outputs, grad)
        graph, walk, saved = capture(outputs, frame, names, params)
        return traced(graph, walk, saved, outputs, starts, frame, memory)


def traced(
    graph: Graph,
    walk: Walk,
    saved: Sequence[Saved],
    outputs: Sequence[Tensor],
    starts: Sequence[Tensor],
    frame: FrameType | None,
    memory: float | None = None,
) -> Trace:
    """Run the engine over a graph that was captured before."""
    with torch.inference_mode(False):
        try:
            found = recorded_pass(walk, outputs, starts, frame, memory)
        except RuntimeError as error:
            explained = _explained(error, outputs, frame)
            if explained is None:
                raise
            raise explained from (error.__cause__ or error)
        steps = Steps(graph, walk, starts, found.events)
        with torch.no_grad():
            computed = computed_by(walk, saved, steps, found.hooked)
            local = local_derivatives(graph, walk, saved, steps, computed)
    return Trace(graph, steps, found.leaf_grads, tuple(starts), local, found.notes, computed)


def _explained(
    error: RuntimeError, outputs: Sequence[Tensor], frame: FrameType | None
) -> AutogradVizError | None:
    """PyTorch's error as ours, which says what `av.why` would; None if it is another one."""
    from autograd_viz.diagnosis.failed_pass import failed_pass

    reason = failed_pass(outputs, frame, error)
    if reason is None:
        return None
    kind = GraphFreedError if reason.cause == "graph_freed" else SavedValueChangedError
    explained = kind(reason.text)
    explained.reason = reason
    return explained


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
        like = repr(grad) if isinstance(grad, int | float | complex) else 1.0
        raise NotATensorError(
            f"grad is of type {type(grad).__name__}, not a tensor; give one of the output's shape: "
            f"av.trace(y, torch.full({list(outputs[0].shape)}, {like}))"
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
                f"the gradient for {which} is of type {type(start).__name__}, not a tensor; "
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
