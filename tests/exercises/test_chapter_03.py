"""Answers to the exercises of notebook 03, right ones in other forms and wrong ones."""

import math

import pytest
import sympy
import torch

from tests.exercises.judging import is_solved, is_wrong


def by_autograd(a, b):
    leaves = [torch.tensor(x, requires_grad=True) for x in (a, b)]
    c = sum(leaves)
    return torch.autograd.grad(c * torch.log2(leaves[0]) * torch.log2(leaves[1]), leaves)


def by_formulas(a, b):
    product, ratio = math.log2(a) * math.log2(b), (a + b) / math.log(2) ** 2
    return [product + ratio * math.log(b) / a, product + ratio * math.log(a) / b]


def without_base(a, b):
    d = math.log2(a) * math.log2(b)
    return d + (a + b) * math.log2(b) / a, d + (a + b) * math.log2(a) / b


def upside_down(a, b):
    d = math.log2(a) * math.log2(b)
    two = math.log(2)
    return d + (a + b) * math.log2(b) * two / a, d + (a + b) * math.log2(a) * two / b


def exchanged(a, b):
    return by_formulas(a, b)[::-1]


def one_path(a, b):
    d = math.log2(a) * math.log2(b)
    return d, d


A, B = sympy.symbols("a b")
RIGHT = [
    ("3a", {"dd_db": "log(a)/b"}),
    ("3a", {"dd_db": "ln(a) * b^-1"}),
    ("3a", {"dd_db": sympy.diff(sympy.log(A) * sympy.log(B), B)}),
    ("3a", {"dd_db": lambda a, b: math.log(a) / b}),
    ("3a", {"dd_db": lambda a, b: torch.log(a) / b}),
    ("3b", {"through_c": 6.0, "through_d": 5.05}),
    ("3b", {"through_c": "2 * 3", "through_d": "14/(4 ln(2))"}),
    ("3c", {"through_u": 12, "through_v": 24, "dr_dx": 36}),
    ("3c", {"through_u": 12.0, "through_v": "6*4", "dr_dx": "y * x**2 + 2x * x * y"}),
    ("3c", {"through_u": 12, "through_v": 24, "dr_dx": lambda x, y: 3 * x**2 * y}),
    ("3d", {"gradients": by_autograd}),
    ("3d", {"gradients": by_formulas}),
]
WRONG = [
    ("3a", {"dd_db": "log(a) / (b * log(2))"}),
    ("3a", {"dd_db": "log2(a) / b"}),
    ("3a", {"dd_db": "log(b) / a"}),
    ("3a", {"dd_db": 0.17}),
    ("3b", {"through_c": 2, "through_d": 2.164}),
    ("3b", {"through_c": 3, "through_d": 14}),
    ("3b", {"through_c": 42, "through_d": 20.2}),
    ("3c", {"through_u": 3, "through_v": 4, "dr_dx": 7}),
    ("3c", {"through_u": 24, "through_v": 12, "dr_dx": 288}),
    ("3c", {"through_u": 18, "through_v": 16, "dr_dx": "2 * x**2 * y"}),
    ("3d", {"gradients": without_base}),
    ("3d", {"gradients": upside_down}),
    ("3d", {"gradients": exchanged}),
    ("3d", {"gradients": one_path}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)
