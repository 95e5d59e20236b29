"""Answers to the exercises of notebook 00, right ones in other forms and wrong ones."""

import pytest
import torch

from tests.exercises.judging import is_solved, is_wrong

RIGHT = [
    ("0a", {"total": 50, "by_height": 20.0}),
    ("0a", {"total": "4 * 2.5 * 5", "by_height": torch.tensor(20.0)}),
    ("0b", {"local": "2", "by_width": "6 * 2"}),
    ("0c", {"by_rate": "width * height"}),
    ("0c", {"by_rate": lambda width, height, rate: width * height}),
    ("0c", {"by_rate": lambda area: area}),
]
WRONG = [
    ("0a", {"total": 30, "by_height": 12.5}),
    ("0a", {"total": 10, "by_height": 4}),
    ("0b", {"local": 3, "by_width": 10}),
    ("0b", {"local": 12, "by_width": 6}),
    ("0c", {"by_rate": "rate"}),
    ("0c", {"by_rate": "width * rate"}),
    ("0c", {"by_rate": 6}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)
