"""Answers to the exercises of notebook 07, right ones in other forms and wrong ones."""

import pytest
import torch

from tests.exercises.judging import is_solved, is_wrong


def walk_by_data(x, learning_rate, steps):
    for _ in range(steps):
        (2 * (x**2).sum()).backward()
        x.data -= learning_rate * x.grad
        x.grad = None
    return x


def walk_by_new_leaves(x, learning_rate, steps):
    for _ in range(steps):
        (2 * (x**2).sum()).backward()
        x = (x - learning_rate * x.grad).detach().requires_grad_()
    return x


def walk_by_optimizer(x, learning_rate, steps):
    optimizer = torch.optim.SGD([x], lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (2 * (x**2).sum()).backward()
        optimizer.step()
    return x


def walk_without_zeroing(x, learning_rate, steps):
    for _ in range(steps):
        (2 * (x**2).sum()).backward()
        with torch.no_grad():
            x -= learning_rate * x.grad
    return x


def walk_in_one_step(x, learning_rate, steps):
    with torch.no_grad():
        return x - learning_rate * steps * 4 * x


def walk_in_the_graph(x, learning_rate, steps):
    for _ in range(steps):
        (2 * (x**2).sum()).backward()
        x -= learning_rate * x.grad
        x.grad = None
    return x


def cube_by_power(x):
    (x**3).backward()
    return x.grad


def cube_by_grad(x):
    return torch.autograd.grad(x * x * x, x)[0]


def cube_detached(x):
    (x.detach() * x**2).backward()
    return x.grad


def cube_all_cut(x):
    (torch.tensor(x.item(), requires_grad=True) * x**2).backward()
    return x.grad


def cube_squared(x):
    (x * x).backward()
    return x.grad


def sigmoid_by_formula(x):
    s = torch.sigmoid(x.detach())
    return 2 * s * (1 - s)


def sigmoid_doubled_first(x):
    s = 2 * torch.sigmoid(x)
    s.backward()
    return x.grad


def sigmoid_counted_twice(x):
    s = torch.sigmoid(x)
    s = s * 2
    s.backward(retain_graph=True)
    s.backward()
    return x.grad


def sigmoid_cut(x):
    s = torch.sigmoid(x).detach()
    s *= 2
    s.backward()
    return x.grad


def sigmoid_of_double(x):
    torch.sigmoid(2 * x).backward()
    return x.grad


RIGHT = [
    ("7a", {"x1": "0.2", "y1": torch.tensor(-0.4), "best": "1/4"}),
    ("7b", {"z_grad": None, "t_grad": -1.0}),
    ("7b", {"z_grad": None, "t_grad": torch.tensor([-1.0])}),
    ("7c", {"a": True, "b": False, "c": False, "d": True, "e": True}),
    *(("7d", {"walk_down": walk})
      for walk in (walk_by_data, walk_by_new_leaves, walk_by_optimizer)),
    *(("7e", {"slope_of_cube": slope})
      for slope in (cube_by_power, cube_by_grad, lambda x: 3 * x.detach() ** 2)),
    *(("7f", {"slope_of_sigmoid": slope}) for slope in (sigmoid_by_formula, sigmoid_doubled_first)),
]  # fmt: skip
WRONG = [
    ("7a", {"x1": 1.8, "y1": -3.6, "best": 0.5}),
    ("7a", {"x1": 0.8, "y1": -1.6, "best": 0.1}),
    ("7a", {"x1": 0.6, "y1": -1.2, "best": 1}),
    ("7b", {"z_grad": 1, "t_grad": 2}),
    ("7b", {"z_grad": -1, "t_grad": -2}),
    ("7b", {"z_grad": 2, "t_grad": 1}),
    ("7b", {"z_grad": "None", "t_grad": -4}),
    ("7c", {"a": False, "b": True, "c": True, "d": False, "e": False}),
    ("7c", {"c": True, "e": "no"}),
    ("7d", {"walk_down": walk_without_zeroing}),
    ("7d", {"walk_down": walk_in_one_step}),
    ("7d", {"walk_down": walk_in_the_graph}),
    ("7e", {"slope_of_cube": cube_detached}),
    ("7e", {"slope_of_cube": cube_all_cut}),
    ("7e", {"slope_of_cube": cube_squared}),
    ("7f", {"slope_of_sigmoid": sigmoid_counted_twice}),
    ("7f", {"slope_of_sigmoid": sigmoid_cut}),
    ("7f", {"slope_of_sigmoid": sigmoid_of_double}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)
