"""Answers to the exercises of notebook 06, right ones in other forms and wrong ones."""

import pytest
import torch

import autograd_viz as av
from autograd_viz.exercises.chapter_06 import (
    DOUBLE,
    LINE,
    squared_error,
    train,
    train_by_epoch,
    train_not_zeroed,
    train_the_weight,
    trained_with_sums,
    trained_zeroed_by_epoch,
    untrained,
)
from tests.exercises.judging import is_solved, is_wrong


def trained_by_an_optimizer(samples, epochs):
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.01)
    for _ in range(epochs):
        for x, y in samples:
            optimizer.zero_grad()
            squared_error(w, x, y).backward()
            optimizer.step()
    return w


def trained_by_formula(samples, epochs):
    w = 1.0
    for _ in range(epochs):
        for x, y in samples:
            w -= 0.01 * 2 * x * (w * x - y)
    return w


def trained_zeroed_too_early(samples, epochs, rate=0.01):
    w = torch.tensor(1.0, requires_grad=True)
    for _ in range(epochs):
        for x, y in samples:
            squared_error(w, x, y).backward()
            w.grad = None
            with torch.no_grad():
                w -= rate * w.grad
    return w.item()


def train_with_no_grad(samples, learning_rate, epochs):
    w = torch.tensor(1.0, requires_grad=True)
    b = torch.tensor(0.0, requires_grad=True)
    for _ in range(epochs):
        for x, y in samples:
            (w * x + b - y).square().backward()
            with torch.no_grad():
                for leaf in (w, b):
                    leaf -= learning_rate * leaf.grad
                    leaf.grad = None
    return w, b


def train_swapped(samples, learning_rate, epochs):
    w, b = train(samples, learning_rate, epochs)
    return b, w


def train_rebound(samples, learning_rate, epochs):
    w = torch.tensor(1.0, requires_grad=True)
    for _ in range(epochs):
        for x, y in samples:
            (w * x - y).square().backward()
            w = w - learning_rate * w.grad
    return w.item(), 0.0


RIGHT = [
    ("6a", {"next_w": 2.2}),
    ("6a", {"next_w": "3 - 0.05 * 16"}),
    ("6b", {"rate": "1/4", "low": 1.0, "high": torch.tensor(3.0)}),
    ("6c", {"trained": trained_by_an_optimizer}),
    ("6c", {"trained": trained_by_formula}),
    ("6d", {"train": train_with_no_grad}),
]
WRONG = [
    *(("6a", {"next_w": each}) for each in (3.8, 2.6, -13, 16, 2.3)),
    ("6b", {"rate": 0.125, "low": 2, "high": 2}),
    ("6b", {"rate": 1, "low": 0, "high": 4}),
    ("6b", {"rate": 3 / 14, "low": 3, "high": 1}),
    ("6c", {"trained": trained_zeroed_by_epoch}),
    ("6c", {"trained": trained_zeroed_too_early}),
    *(("6d", {"train": each}) for each in (train_the_weight, train_not_zeroed, train_by_epoch)),
    *(("6d", {"train": each}) for each in (train_swapped, train_rebound)),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)


def test_what_the_stubs_do_is_unfinished():
    assert av.check("6c", trained=trained_with_sums).state == "unfinished"
    assert av.check("6d", train=untrained).state == "unfinished"


def test_the_numbers_that_the_notebook_tells():
    swinging = [trained_with_sums(DOUBLE, epochs) for epochs in (10, 20, 30)]
    assert swinging == pytest.approx([2.985, 1.051, 2.894], abs=5e-4)
    assert train(LINE, 0.1, 200) == pytest.approx((2, 1), abs=1e-3)
