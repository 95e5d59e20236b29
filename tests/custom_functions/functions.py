"""Functions for the tests: one that is right, and how to make others like it with one fault."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from autograd_viz.custom_functions.data import FunctionCheck


class Square(Function):
    """x * x, in the old style."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return grad * 2 * x


class Weighted(Function):
    """W @ x + b with a factor that is no tensor, in the style with setup_context."""

    @staticmethod
    def forward(W: Tensor, x: Tensor, b: Tensor, factor: float) -> Any:
        return factor * (W @ x + b)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        W, x, _, ctx.factor = inputs
        ctx.save_for_backward(W, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        W, x = ctx.saved_tensors
        grad = grad * ctx.factor
        return torch.outer(grad, x), W.T @ grad, grad, None


class SineCosine(Function):
    """Two outputs with a gradient, and one without."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        positive = (x > 0).to(x.dtype)
        ctx.mark_non_differentiable(positive)
        ctx.save_for_backward(x)
        return x.sin(), x.cos(), positive

    @staticmethod
    def backward(ctx: Any, sine: Tensor, cosine: Tensor, _: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return sine * x.cos() - cosine * x.sin()


def changed(base: type[Function], **methods: Callable[..., Any]) -> Any:
    """The same Function with other methods, under the same name."""
    own = {name: staticmethod(method) for name, method in methods.items()}
    return types.new_class(base.__name__, (base,), exec_body=lambda body: body.update(own))


def squared(rule: Callable[..., Any]) -> Any:
    """Square with another rule: what it returns for a saved x and a grad that arrives."""
    return changed(Square, backward=lambda ctx, grad: rule(*ctx.saved_tensors, grad))


def told(check: FunctionCheck) -> list[str]:
    """All that was found, as text."""
    return [str(finding) for finding in check.findings]


X = torch.tensor([1.5, -2.0])
SCALAR = torch.tensor(1.5)
LAYER = (
    torch.tensor([[1.0, 0.5, 2.0], [0.25, 1.0, 1.5]]),
    torch.tensor([1.0, 2.0, 3.0]),
    torch.tensor([0.5, -1.0]),
    2.0,
)
