"""Answers to the exercises of notebook 05, right ones in other forms and wrong ones."""

import pytest
import torch

import autograd_viz as av
from autograd_viz.exercises.chapter_05 import (
    squared_error,
    three_kept,
    three_not_zeroed,
    three_rebound,
    twice_added,
    twice_freed,
)
from tests.exercises.judging import is_solved, is_wrong


def data_update(w, learning_rate):
    w.data -= learning_rate * w.grad
    w.grad.zero_()
    return w


def optimizer_update(w, learning_rate):
    optimizer = torch.optim.SGD([w], lr=learning_rate)
    optimizer.step()
    optimizer.zero_grad()


@torch.no_grad()
def not_zeroed(w, learning_rate):
    w -= learning_rate * w.grad
    return w


@torch.no_grad()
def uphill(w, learning_rate):
    w += learning_rate * w.grad
    w.grad = None
    return w


@torch.no_grad()
def own_rate(w, learning_rate):
    w -= 0.1 * w.grad
    w.grad = None
    return w


def recorded(w, learning_rate):
    w -= learning_rate * w.grad
    w.grad = None
    return w


def rebound(w, learning_rate):
    w = w - learning_rate * w.grad
    w.grad = None
    return w


@torch.no_grad()
def zeroed_first(w, learning_rate):
    w.grad = None
    w -= learning_rate * w.grad
    return w


def three_with_an_optimizer(w, x, y):
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        squared_error(w, x, y).backward()
        optimizer.step()
    return w.item(), w.is_leaf


def three_new_leaves(w, x, y):
    for _ in range(3):
        squared_error(w, x, y).backward()
        w = (w - 0.1 * w.grad).detach().requires_grad_()
    return w.item(), w.is_leaf


def three_recorded(w, x, y):
    for _ in range(3):
        squared_error(w, x, y).backward()
        w -= 0.1 * w.grad
        w.grad = None
    return w.item(), w.is_leaf


def two_computed_anew(w, x, y):
    squared_error(w, x, y).backward()
    first, w.grad = w.grad.item(), None
    (squared_error(w, x, y) * 10).backward()
    return first, w.grad.item()


def two_by_a_factor(w, x, y):
    (gradient,) = torch.autograd.grad(squared_error(w, x, y), w)
    return gradient.item(), 10 * gradient.item()


RIGHT = [
    ("5a", {"dw": 18, "w_becomes": "smaller"}),
    ("5a", {"dw": "2x(w x - y)", "w_becomes": "Smaller "}),
    ("5a", {"dw": lambda w, x, y: 2 * x * (w * x - y), "w_becomes": "smaller"}),
    ("5b", {"first_grad": -24.0, "second_grad": -28.8}),
    ("5b", {"first_grad": torch.tensor(-24.0), "second_grad": "-24 - 4.8"}),
    ("5c", {"update": data_update}),
    ("5c", {"update": optimizer_update}),
    ("5d", {"three_updates": three_with_an_optimizer}),
    ("5d", {"three_updates": three_new_leaves}),
    ("5e", {"two_gradients": two_computed_anew}),
    ("5e", {"two_gradients": two_by_a_factor}),
]
WRONG = [
    ("5a", {"dw": 6, "w_becomes": "larger"}),
    ("5a", {"dw": -18, "w_becomes": "larger"}),
    ("5a", {"dw": "w * x - y", "w_becomes": "larger"}),
    ("5b", {"first_grad": -12, "second_grad": -4.8}),
    ("5b", {"first_grad": 24, "second_grad": -48}),
    ("5b", {"first_grad": -6, "second_grad": -24}),
    *(("5c", {"update": each}) for each in (not_zeroed, uphill, own_rate, recorded, rebound)),
    ("5c", {"update": zeroed_first}),
    ("5d", {"three_updates": three_recorded}),
    ("5d", {"three_updates": three_kept}),
    ("5d", {"three_updates": three_not_zeroed}),
    ("5e", {"two_gradients": twice_added}),
    ("5e", {"two_gradients": lambda w, x, y: (w.item(), w.item())}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)


@pytest.mark.parametrize(("update", "said"), [
    (not_zeroed, "w.grad is still 6"), (uphill, "went uphill, to 3.6"), (own_rate, "to 2.4"),
    (recorded, "it raised RuntimeError: a leaf Variable"), (rebound, "a new tensor (rebinding)"),
])  # fmt: skip
def test_what_is_said_of_an_update(update, said):
    assert said in str(av.check("5c", update=update))


def test_what_the_stubs_do_is_unfinished():
    assert av.check("5c", update=lambda w, learning_rate: w).state == "unfinished"
    assert av.check("5d", three_updates=three_rebound).state == "unfinished"
    assert av.check("5e", two_gradients=twice_freed).state == "unfinished"
