"""Answers to the exercises of notebook 10, right ones in other forms and wrong ones."""

import pytest
import torch

from autograd_viz.exercises import chapter_10
from tests.exercises.judging import is_solved, is_wrong


def with_functional_normalisation(first, second, x, y):
    h = torch.relu(first(x))
    h = h / (h**2).sum().sqrt()
    torch.nn.functional.mse_loss(second(h), y).backward()
    return first.weight.grad, second.weight.grad


def with_detach(first, second, x, y):
    h = torch.relu(first(x))
    h = h.detach() / h.norm().detach()
    ((second(h) - y) ** 2).mean().backward()
    return first.weight.grad, second.weight.grad.clone() * 2


def without_norm(first, second, x, y):
    ((second(torch.relu(first(x))) - y) ** 2).mean().backward()
    return first.weight.grad, second.weight.grad


def swapped(first, second, x, y):
    one, other = chapter_10.gradients(first, second, x, y)
    return other, one


RIGHT = [
    ("10a", {"weight_grad": (3, 5), "bias_grad": (3,), "x_grad": (8, 5)}),
    ("10a", {"weight_grad": [3, 5], "bias_grad": torch.Size((3,)), "x_grad": torch.tensor((8, 5))}),
    ("10b", {"contributions": 5.0, "paths": "5 * 6 / 2"}),
    ("10c", {"three_blocks": 8, "ten_blocks": torch.tensor(1024)}),
    ("10d", {"gradients": with_functional_normalisation}),
]
WRONG = [
    ("10a", {"weight_grad": (5, 3), "bias_grad": (8, 3), "x_grad": (8, 3)}),
    ("10a", {"weight_grad": (8, 5), "bias_grad": (5,), "x_grad": (5,)}),
    ("10a", {"weight_grad": [5, 3], "bias_grad": 3, "x_grad": (5, 8)}),
    ("10b", {"contributions": 1, "paths": 5}),
    ("10b", {"contributions": 15, "paths": 25}),
    ("10c", {"three_blocks": 6, "ten_blocks": 20}),
    ("10c", {"three_blocks": 4, "ten_blocks": 100}),
    ("10d", {"gradients": without_norm}),
    ("10d", {"gradients": with_detach}),
    ("10d", {"gradients": swapped}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)


def test_the_stub_of_10d_is_unfinished():
    (question,) = next(e for e in chapter_10.EXERCISES if e.id == "10d").questions
    assert question.finding(chapter_10.cut_gradients).state == "unfinished"
