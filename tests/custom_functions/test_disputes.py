"""Where rule and nudge differ: which element, and in what way."""

import math

import pytest
import torch

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


def function(forward, backward):
    return changed(
        Square, forward=lambda ctx, x: forward(x), backward=lambda ctx, grad: backward(grad)
    )


def test_one_number():
    check = av.check_function(squared(lambda x, grad: grad * x), SCALAR)
    assert told(check) == [
        "The rule for x differs from the nudge: ∂out/∂x is 1.5 by the rule, 3 by the nudge."
    ]


def test_the_worst_of_several_elements():
    check = av.check_function(
        squared(lambda x, grad: grad * 2 * x.abs()), torch.tensor([1.5, -2, -1])
    )
    assert told(check) == [
        "The rule for x differs from the nudge in 2 of 9 elements: ∂out[1]/∂x[1] is 4 by the rule, "
        "-4 by the nudge."
    ]


def test_a_factor_that_is_the_same_everywhere():
    def log2(rule):
        return changed(
            Square,
            forward=lambda ctx, x: (ctx.save_for_backward(x), torch.log2(x))[1],
            backward=lambda ctx, grad: rule(*ctx.saved_tensors, grad),
        )

    x = torch.tensor([2.0, 4.0])
    check = av.check_function(log2(lambda x, grad: grad / x), x)
    assert told(check) == [
        "The rule for x differs from the nudge in 2 of 4 elements: ∂out[0]/∂x[0] is 0.5 by the "
        "rule, 0.7213 by the nudge. Each is 0.6931472 times what the nudge gives. "
        "Write: grad_x = grad_x / 0.6931472"
    ]
    assert av.check_function(log2(lambda x, grad: grad / (x * math.log(2))), x)


def test_a_sign():
    (sentence,) = told(av.check_function(squared(lambda x, grad: -grad * 2 * x), X))
    assert sentence.endswith("Each is -1 times what the nudge gives. Write: grad_x = -grad_x")


def test_two_gradients_in_the_wrong_order():
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x**2 * y

    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * x**2, grad * 2 * x * y

    check = av.check_function(
        changed(Square, forward=forward, backward=backward), SCALAR, torch.tensor(2.0)
    )
    assert told(check) == [
        "The gradients stand in the wrong order: what backward returns for x is what the nudge "
        "gives for y, and the other way round. Write: return grad_x, grad_y"
    ]


def test_each_input_is_told_for_itself():
    def backward(ctx, grad):
        W, x = ctx.saved_tensors
        return torch.outer(grad, x), W.T @ grad * 2, grad, None

    sentences = told(av.check_function(changed(Weighted, backward=backward), *LAYER))
    assert [sentence.partition(" differs")[0] for sentence in sentences] == [
        "The rule for W",
        "The rule for b",
    ]


def test_a_straight_through_estimator():
    check = av.check_function(function(torch.round, lambda grad: grad), torch.tensor(1.7))
    assert told(check) == [
        "The rule for x differs from the nudge: ∂out/∂x is 1 by the rule, 0 by the nudge. The "
        "output does not move at all with it at this point. A straight-through estimator does so "
        "on purpose."
    ]


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_at_a_kink_any_slope_between_the_sides_is_right(slope):
    relu = function(lambda x: x.clamp(min=0), lambda grad: slope * grad)
    check = av.check_function(relu, torch.tensor(0.0))
    assert check
    said = [] if slope == 0.5 else [  # which is the central difference itself
        "At x the output has a kink: the slope is 0 on the left and 1 on the right, so there is no "
        f"derivative. The rule's {slope:g} is not wrong: it is one of them, or between them."
    ]  # fmt: skip
    assert told(check) == said


def test_at_a_kink_another_slope_is_wrong():
    relu = function(lambda x: x.clamp(min=0), lambda grad: 3 * grad)
    assert told(av.check_function(relu, torch.tensor(0.0))) == [
        "The rule for x differs from the nudge: ∂out/∂x is 3 by the rule, and the slopes are 0 on "
        "the left and 1 on the right."
    ]


def test_several_kinks_are_told_once():
    check = av.check_function(torch.relu, torch.zeros(3))
    assert told(check) == [
        "At x[0] the output has a kink (and 2 more): the slope is 0 on the left and 1 on the "
        "right, so there is no derivative. The rule's 0 is not wrong: it is one of them, or "
        "between them."
    ]
    assert check


@pytest.mark.parametrize(
    ("forward", "at", "why"),
    [
        (torch.round, 0.5, "the output jumps"),
        (torch.sqrt, 0.0, "the output is a number on one side alone, or on none"),
        (lambda x: x.sign() * x.abs().sqrt(), 0.0, "the output gets ever steeper"),
    ],
)
def test_where_there_is_no_slope_nothing_is_compared(forward, at, why):
    alone = av.check_function(function(forward, lambda grad: grad), torch.tensor(at))
    expected = (
        f"Not compared at {{}}: there {why}, so a nudge finds no slope. Check at another point."
    )
    assert told(alone) == [expected.format("x")]
    assert not alone
    beside = av.check_function(forward, torch.tensor([at, 1.2]))
    assert told(beside) == [expected.format("x[0]")]
    assert beside


def test_a_forward_that_refuses_what_lies_beside():
    def forward(x):
        if x < 0:
            raise ValueError("below 0")
        return x * 2

    check = av.check_function(function(forward, lambda grad: grad * 2), torch.tensor(0.0))
    assert told(check)[0].startswith("Not compared at x: there the output is a number on one side")
