"""Answers to the exercises of notebook 02, right ones in other forms and wrong ones."""

import pytest
import torch

from tests.exercises.judging import is_solved, is_wrong


def with_names(f, x, step):
    before = f(x)
    after = f(x + step)
    return (after - before) / step


RIGHT = [
    ("2a", {"p": False, "q": True, "r": False, "s": True}),
    ("2b", {"dp": 6, "dq": 8.0, "dr": "-2"}),
    ("2b", {"dp": "q + q", "dq": lambda p, q, r: 2 * p, "dr": torch.tensor(-2.0)}),
    ("2c", {"u_after": 6.006, "J_after": 33.018}),
    ("2c", {"u_after": "3 * 2.002", "J_after": torch.tensor(33.018)}),
    ("2d", {"difference_quotient": with_names}),
    ("2d", {"difference_quotient": lambda f, x, step: torch.tensor((f(x + step) - f(x)) / step)}),
]
WRONG = [
    ("2a", {"p": True, "q": False, "r": True, "s": False}),
    ("2a", {"r": True, "s": False}),
    ("2b", {"dp": 3, "dq": 4, "dr": 2}),
    ("2b", {"dp": "2 * p", "dq": "2 * q", "dr": "-2 * r"}),
    ("2b", {"dp": 8, "dq": 6, "dr": -1}),
    ("2c", {"u_after": 6.002, "J_after": 33.0018}),
    ("2c", {"u_after": 6.004, "J_after": 33.012}),
    ("2c", {"u_after": 6.0, "J_after": 33.0}),
    ("2d", {"difference_quotient": lambda f, x, step: f(x + step) - f(x)}),
    ("2d", {"difference_quotient": lambda f, x, step: (f(x + step) - f(x - step)) / (2 * step)}),
    ("2d", {"difference_quotient": lambda f, x, step: (f(step) - f(x)) / step}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)
