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
def why(tensor: Tensor | None = None, output: Tensor | None = None) -> Reason: ...


@overload
def why(
    tensor: Module, output: Tensor | None = None, *, optimizer: Optimizer | None = None
) -> ModelReason: ...


def why(
    tensor: Tensor | Module | None = None,
    output: Tensor | None = None,
    *,
    optimizer: Optimizer | None = None,
) -> Reason | ModelReason:
    """Say why the `.grad` of a tensor, or of each parameter of a model, is what it is.

    It looks at what autograd knows and runs one backward pass from the output; nothing of yours is
    changed. What was run inside `with av.record():` it knows too: where a way was cut off, which
    backward() wrote a gradient, what cleared it. What it does not know it says it does not know.

    Without arguments it explains the last error of autograd: the one that is handled, in an
    `except` block, or else the one that ended the last cell or program.

    Args:
        tensor: the tensor whose `.grad` you wonder about; any shape, dtype and device. Or a model:
            then all of its parameters are answered for, in one table and one picture.
        output: the tensor that you call `backward()` on, as a loss. An output of several elements
            is taken as its sum. Without it only what the tensor alone tells is said.
        optimizer: of a model, the optimizer that is to train it: then it is said which parameters
            it does not have. Without it those count whose steps were recorded.

    Returns:
        A Reason: `print()` shows one short paragraph; `.cause` names the cause in one word,
        `.line` is the line to type, `.evidence` the facts, and `.picture()` marks the place where
        the gradient stops. For a model a ModelReason: a line for what trains, and what does not,
        by module; `.rows` is the same as data, `found["fc1.weight"]` one row, and
        `.picture(open="h.0")` opens a module. Whether a parameter is cut off or not used is known
        if the forward pass ran inside `with av.record():`.

    Raises:
        NotATensorError: one of the two is not a tensor.
        NothingToExplainError: without arguments, where there was no error of autograd.

    >>> import torch, autograd_viz as av
    >>> t = torch.ones(2, 2, requires_grad=True)
    >>> z = -t
    >>> u = z.sum()
    >>> print(av.why(z, u))
    z.grad is None because z is not a leaf: it was computed (by NegBackward0), and PyTorch keeps
    the gradients of leaves only. Before backward(), add: z.retain_grad()
    >>> print(av.why(t, u))
    t.grad is None because backward() has not been run, or did not write it, or it was cleared
    since: ... Add: u.backward()
    >>> with av.record():
    ...     h = t.detach() * 2
    ...     u = (h * t[0, 0]).sum() if h.sum() < 0 else h.sum()
    >>> print(av.why(t, u))
    t.grad is None because u does not lead to it: the way from u to t is cut off by .detach() in
    ...Leave .detach() out, and compute u again...
    >>> try:
    ...     z.backward()
    ... except RuntimeError:
    ...     print(av.why())
    z.backward() failed because z has 4 elements (its shape is [2, 2]), and a pass begins from one
    number. ... For the gradient of their sum, write instead: z.sum().backward()
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> _ = model[0].requires_grad_(False)
    >>> loss = model(torch.ones(4, 2)).sum()
    >>> loss.backward(retain_graph=True)
    >>> print(av.why(model, loss))
    The 4 parameters of model for loss: 2 train, 2 are frozen.
    parameters  number  state   norm of the gradient
    0.weight    1       frozen
    0.bias      1       frozen
    2.weight    1       trains  ...
    2.bias      1       trains  4
    0.weight, 0.bias are frozen: their requires_grad is False.
    """
    if isinstance(tensor, Module):
        return _of_model(tensor, output, optimizer, sys._getframe(1))
    if optimizer is not None:
        raise TypeError("optimizer= is for a whole model: av.why(model, loss, optimizer=optimizer)")
    from autograd_viz.diagnosis import causes, exceptions, facts

    if tensor is None and output is None:
        return exceptions.last_explained()
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
        facts.checked(torch.empty(0), output)
    if not isinstance(optimizer, torch.optim.Optimizer | None):
        raise TypeError(
            f"optimizer is of type {type(optimizer).__name__}; give the optimizer itself: "
            "av.why(model, loss, optimizer=optimizer)"
        )
    with torch.inference_mode(False):
        return model_causes.answer(ModelFacts(model, output, optimizer, frame))  # type: ignore[arg-type]
