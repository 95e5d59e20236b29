"""Why the `.grad` of a tensor is None, or is not what was expected."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, overload

import torch
from torch.nn import Module

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from autograd_viz.diagnosis.model_reason import ModelReason
    from autograd_viz.diagnosis.reason import Reason


@overload
def why(tensor: Tensor, output: Tensor | None = None) -> Reason: ...


@overload
def why(
    tensor: Module, output: Tensor | None = None, *, optimizer: Optimizer | None = None
) -> ModelReason: ...


def why(
    tensor: Tensor | Module,
    output: Tensor | None = None,
    *,
    optimizer: Optimizer | None = None,
) -> Reason | ModelReason:
    """Say why the `.grad` of a tensor, or of each parameter of a model, is what it is.

    It looks at what autograd recorded, runs one backward pass from the output (nothing of yours is
    changed), and reads the source of the function, script or notebook that calls it, for the line
    at which the gradient got lost. Where the source cannot be read it says what is certain.

    Args:
        tensor: the tensor whose `.grad` you wonder about; any shape, dtype and device.
        output: the tensor that you call `backward()` on, as a loss. An output of several elements
            is taken as its sum. Without it only what the tensor alone tells is said.

    Returns:
        A Reason: `print()` shows one short paragraph; `.cause` names the cause in one word,
        `.line` is the line to type, `.evidence` the facts, and `.picture()` marks the place where
        the gradient stops.

    Raises:
        NotATensorError: one of the two is not a tensor.

    >>> import torch, autograd_viz as av
    >>> t = torch.ones(2, 2, requires_grad=True)
    >>> z = -t
    >>> u = z.sum()
    >>> print(av.why(z, u))
    z.grad is None because z is not a leaf: it was computed (by NegBackward0), and PyTorch keeps
    the gradients of leaves only. Before backward(), add: z.retain_grad()
    >>> print(av.why(t, u))
    t.grad is None because backward() has not been run: ... Add: u.backward()
    """
    if isinstance(tensor, Module):
        return _of_model(tensor, output, optimizer, sys._getframe(1))
    if optimizer is not None:
        raise TypeError(
            "optimizer= is for a whole model: av.why(model, loss, optimizer=optimizer)"
        )
    from autograd_viz.diagnosis import causes, facts

    given, result = facts.checked(tensor, output)
    found = facts.Facts(given, result, sys._getframe(1))
    with torch.inference_mode(False):
        return causes.answer(found)


def _of_model(
    model: Module, output: object, optimizer: Optimizer | None, frame: FrameType
) -> ModelReason:
    from autograd_viz.diagnosis import facts, model_causes
    from autograd_viz.diagnosis.model_facts import ModelFacts

    if output is not None:
        facts.checked(output, output)
    if not isinstance(optimizer, torch.optim.Optimizer | None):
        raise TypeError(
            f"optimizer is of type {type(optimizer).__name__}; give the optimizer itself: "
            "av.why(model, loss, optimizer=optimizer)"
        )
    with torch.inference_mode(False):
        return model_causes.answer(ModelFacts(model, output, optimizer, frame))  # type: ignore[arg-type]
