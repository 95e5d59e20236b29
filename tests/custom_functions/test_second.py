"""Second derivatives: wrong ones are told, refused ones are no fault."""

import pytest
import torch
from torch.autograd.function import once_differentiable

import autograd_viz as av
from tests.custom_functions.functions import (
    LAYER,
    SCALAR,
    Square,
    Weighted,
    X,
    changed,
    squared,
    told,
)

REMEDY = (
    " Let backward compute with saved inputs and torch alone, without .data, .detach(), .item() or "
    "NumPy; or let PyTorch refuse second derivatives, by a line between @staticmethod and def "
    "backward (once_differentiable comes from torch.autograd.function). "
    "Write: @once_differentiable"
)


@pytest.mark.parametrize(
    "rule",
    [
        lambda x, grad: grad * 2 * x.detach(),
        lambda x, grad: grad * 2 * x.item(),
        lambda x, grad: grad * 2 * torch.from_numpy(x.detach().numpy()),
    ],
)
def test_a_rule_that_autograd_cannot_follow(rule):
    check = av.check_function(squared(rule), SCALAR)
    assert told(check) == [
        "The second derivative is wrong: by x, autograd through backward gives 0, and a nudge 2."
        + REMEDY
    ]
    assert not check
    assert av.check_function(squared(rule), SCALAR, second=False)


def test_what_was_saved_is_neither_an_input_nor_an_output():
    def forward(ctx, x):
        exponential = x.exp()
        ctx.save_for_backward(exponential)
        return 2 * exponential

    def backward(ctx, grad):
        (exponential,) = ctx.saved_tensors
        return grad * 2 * exponential

    (sentence,) = told(av.check_function(changed(Square, forward=forward, backward=backward), X))
    assert (
        " (of all first ones, weighted and summed). What forward saved is neither an input nor an "
        "output, so autograd does not know how it was made." + REMEDY
    ) in sentence


def test_a_plain_function_is_told_no_more_than_the_numbers():
    hidden = squared(lambda x, grad: grad * 2 * x.detach())
    assert told(av.check_function(lambda x: hidden.apply(x), SCALAR)) == [
        "The second derivative is wrong: by x, autograd through backward gives 0, and a nudge 2."
    ]


def test_an_output_that_was_saved_is_followed():
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * y

    assert told(av.check_function(changed(Square, forward=forward, backward=backward), X)) == []


def test_a_gradient_that_arrives_and_is_cut_off():
    check = av.check_function(squared(lambda x, grad: grad.detach() * 2 * x), SCALAR)
    assert told(check) == [
        "The second derivative is wrong: by the gradient that arrives at out, autograd through "
        "backward gives 0, and a nudge 3." + REMEDY
    ]


def test_once_differentiable_is_no_fault():
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 * x.detach()

    check = av.check_function(changed(Square, backward=once_differentiable(backward)), X)
    assert told(check) == [
        "backward is marked as @once_differentiable: second derivatives are refused."
    ]
    assert check


@pytest.mark.parametrize(("function", "inputs"), [(Square, (X,)), (Weighted, LAYER)])
def test_right_ones_as_gradgradcheck_says(function, inputs):
    doubles = [
        each.double().requires_grad_() if isinstance(each, torch.Tensor) else each
        for each in inputs
    ]
    assert torch.autograd.gradgradcheck(function.apply, doubles)
    assert told(av.check_function(function, *inputs)) == []
