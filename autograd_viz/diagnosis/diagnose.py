"""Why the `.grad` of a tensor is None, or is not what was expected."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.diagnosis.reason import Reason


def why(tensor: Tensor | None = None, output: Tensor | None = None) -> Reason:
    """Say why the `.grad` of a tensor is None, or is not what was expected.

    It looks at what autograd knows and runs one backward pass from the output; nothing of yours is
    changed. What was run inside `with av.record():` it knows too: where a way was cut off, which
    backward() wrote a gradient, what cleared it. What it does not know it says it does not know.

    Without arguments it explains the last error of autograd: the one that is handled, in an
    `except` block, or else the one that ended the last cell or program.

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
    """
    from autograd_viz.diagnosis import causes, exceptions, facts

    if tensor is None and output is None:
        return exceptions.last_explained()
    given, result = facts.checked(tensor, output)
    found = facts.Facts(given, result, sys._getframe(1))
    with torch.inference_mode(False):
        return causes.answer(found)
