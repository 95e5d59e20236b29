"""Answers to the exercises of notebook 01, right ones in other forms and wrong ones."""

import math

import pytest
import sympy
import torch

from tests.exercises.judging import is_solved, is_wrong

X = sympy.Symbol("x")


def with_a_name(x):
    u = x * x
    return 2 * x * torch.cos(u)


RIGHT = [
    ("1a", {"du_dx": "3 * 2^2", "dy_du": "1/8"}),
    ("1a", {"du_dx": 12.0, "dy_du": 0.125}),
    ("1b", {"dr_dx": 60}),
    ("1b", {"dr_dx": "2 * 10 * 3"}),
    ("1c", {"sine_slope": with_a_name}),
    ("1c", {"sine_slope": lambda x: math.cos(x**2) * 2 * x}),
    ("1d", {"dy_dx": "exp(x) / (1 + exp(x))"}),
    ("1d", {"dy_dx": "1 / (1 + exp(-x))"}),
    ("1d", {"dy_dx": torch.sigmoid}),
    ("1d", {"dy_dx": lambda x: math.exp(x) / (1 + math.exp(x))}),
    ("1d", {"dy_dx": sympy.diff(sympy.log(1 + sympy.exp(X)), X)}),
]
WRONG = [
    ("1a", {"du_dx": 6, "dy_du": 0.5}),
    ("1a", {"du_dx": 8, "dy_du": 8}),
    ("1a", {"du_dx": 1.5, "dy_du": 1.5}),
    ("1b", {"dr_dx": 20}),
    ("1b", {"dr_dx": 12}),
    ("1b", {"dr_dx": 36}),
    ("1c", {"sine_slope": lambda x: torch.cos(2 * x)}),
    ("1c", {"sine_slope": lambda x: torch.cos(x) * x**2}),
    ("1c", {"sine_slope": lambda x: -torch.cos(x**2) * 2 * x}),
    ("1d", {"dy_dx": "1 / (1 + exp(x))"}),
    ("1d", {"dy_dx": "exp(x) / (1 + x)"}),
    ("1d", {"dy_dx": 0.9526}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)
