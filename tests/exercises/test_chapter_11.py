"""Answers to the exercises of notebook 11, right ones in other forms and wrong ones."""

import math

import pytest
import torch
from torch.autograd.function import once_differentiable

import autograd_viz as av
from tests.exercises.judging import is_solved, is_wrong


def square_times(rule):
    """The Function of exercise 11c with another backward rule."""

    class SquareTimes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x**2 * y

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            return rule(*ctx.saved_tensors, grad)

    return SquareTimes


def clip_by_hand(gradient):
    return torch.where(gradient > 1, 1.0, torch.where(gradient < -1, -1.0, gradient))


def softsign(kept, rule):
    """A Function that keeps what one function gives, and sends back by another."""

    class Softsign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(kept(x))
            return x / (1 + x.abs())

        @staticmethod
        def backward(ctx, grad):
            return rule(*ctx.saved_tensors, grad)

    return Softsign


RIGHT = [
    ("11f", {"function": softsign(lambda x: x, lambda x, grad: grad / (1 + x.abs()) ** 2)}),
    ("11a", {"shape_v": (3, 2), "shape_b": (2,), "db_0": 5.0}),
    ("11b", {"dxx": "log(y^2)", "dxy": "2x/y"}),
    ("11b", {"dxx": lambda x, y: 2 * torch.log(y), "dxy": lambda x, y: (x + x) / y}),
    ("11c", {"function": square_times(lambda x, y, grad: (2 * x * y * grad, x * x * grad))}),
    ("11d", {"slope": "1/4", "layers": 10, "w": 4.0}),
    ("11e", {"clip": clip_by_hand, "db": 2.36}),
    ("11e", {"clip": lambda g: torch.clamp(g, min=-1, max=1), "db": "2 + 1/(4 ln(2))"}),
]
WRONG = [
    ("11f", {"function": softsign(lambda x: 1 + x.abs(), lambda d, grad: grad / d**2)}),
    ("11f", {"function": softsign(lambda x: x, lambda x, grad: grad / (1 + x.abs()))}),
    ("11a", {"shape_v": (5, 2), "shape_b": (5, 2), "db_0": 1}),
    ("11a", {"shape_v": (2, 3), "shape_b": (), "db_0": 2}),
    ("11a", {"shape_v": 6, "shape_b": "2", "db_0": 10}),
    ("11b", {"dxx": "2 * x * log(y)", "dxy": "x**2 / y"}),
    ("11b", {"dxx": "2 / y", "dxy": "2 * log(y)"}),
    ("11c", {"function": square_times(lambda x, y, grad: (2 * x * y, x**2))}),
    ("11c", {"function": square_times(lambda x, y, grad: (x**2 * grad, 2 * x * y * grad))}),
    ("11c", {"function": square_times(lambda x, y, grad: (2 * x * grad, x**2 * grad))}),
    ("11c", {"function": square_times(lambda x, y, grad: (2 * x * y * grad, None))}),
    ("11c", {"function": square_times(lambda x, y, grad: 2 * x * y * grad)}),
    ("11c", {"function": lambda x, y: x**2 * y}),
    ("11d", {"slope": 1, "layers": 5, "w": 1}),
    ("11d", {"slope": 0.5, "layers": 9, "w": 2}),
    ("11e", {"clip": lambda g: g.clamp(max=1), "db": 4.164}),
    ("11e", {"clip": lambda g: g / g.norm(), "db": 1 / (4 * math.log(2))}),
    ("11e", {"clip": lambda g: min(g, 1), "db": 1}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)


@pytest.mark.parametrize(
    ("rule", "remark"),
    [
        (lambda x, y, grad: (2 * x * y, x**2), "what is missing?"),
        (lambda x, y, grad: (grad * x**2, grad * 2 * x * y), "the wrong order"),
        (lambda x, y, grad: (grad * x * y, grad * x**2), "yours"),
        (lambda x, y, grad: (grad * 2 * x * y, None), "no gradient for y comes back"),
    ],
)
def test_a_wrong_rule_is_told(rule, remark):
    verdict = str(av.check("11c", function=square_times(rule)))
    assert remark.replace("yours", "your gradient for x is 3, autograd's is 6") in verdict


def test_a_function_with_both_faults_is_the_one_that_was_given():
    given = softsign(lambda x: 1 + x.abs(), lambda d, grad: 1 / d**2)
    assert av.check("11f", function=given).state == "unfinished"
    mended = av.check("11f", function=softsign(lambda x: 1 + x.abs(), lambda d, grad: grad / d**2))
    assert "second derivative" in str(mended)
