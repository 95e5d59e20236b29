"""The checks of the sweep fail where something is wrong."""

from typing import Any

import pytest
import torch

from autograd_viz import names
from tests.sweeps.checking import calls_of_package, check, same


def leaf() -> Any:
    return torch.tensor([2.0, 3.0], requires_grad=True)


def test_a_call_without_a_graph_has_nothing_to_compare():
    x = leaf()
    assert check(lambda: x * 2, x)
    assert not check(lambda: x > 2, x)


def test_another_gradient_each_time_is_noticed():
    class Changing(torch.autograd.Function):
        runs = 0

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            Changing.runs += 1
            return grad * Changing.runs

    x = leaf()
    with pytest.raises(AssertionError, match="gradients"):
        check(lambda: Changing.apply(x), x)


def test_a_gradient_that_trace_does_not_see_is_noticed():
    x = leaf()
    inner = x * 2  # not a leaf: of such a tensor PyTorch gives a gradient, and a trace has none
    with pytest.raises(AssertionError, match="gradients"):
        check(lambda: inner * 3, inner)


def test_a_tensor_that_changes_meanwhile_is_noticed():
    class Writing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.given = x
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            ctx.given.data += 1
            return grad

    x = leaf()
    with pytest.raises(AssertionError, match="a tensor was changed"):
        check(lambda: Writing.apply(x), x)


def test_an_error_of_pytorch_must_be_the_one_of_the_trace():
    class Refusing(torch.autograd.Function):
        errors = 3  # of PyTorch's pass, of the trace's, of the one after it

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            Refusing.errors -= 1
            if Refusing.errors >= 0:
                raise RuntimeError("no gradient")
            return grad

    x = leaf()
    assert not check(lambda: Refusing.apply(x), x)
    Refusing.errors = 1
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        check(lambda: Refusing.apply(x), x)


def test_code_of_the_package_in_a_hook_is_noticed():
    x = leaf()
    y = x * 2
    run = lambda: torch.autograd.grad(y.sum(), x, retain_graph=True)  # noqa: E731
    assert calls_of_package(run) == []
    x.register_hook(lambda grad: (names.is_tensor(grad), None)[1])
    assert calls_of_package(run) == ["is_tensor"]


def test_equal_to_the_bit():
    one = torch.tensor([1.0, float("nan"), 0.0])
    assert same(one, one.clone())
    assert same(None, None)
    assert not same(one, None)
    assert not same(one, one.double())
    assert not same(one, torch.tensor([1.0, float("nan"), -0.0]))
    assert not same(one, torch.tensor([1.0 + 2**-23, float("nan"), 0.0]))
    assert same(one.to_sparse(), one.to_sparse())
    assert not same(one.to_sparse(), one)
    assert same(torch.complex(one, one), torch.complex(one, one))
    assert not same(torch.complex(one, one), torch.complex(one, -one))
