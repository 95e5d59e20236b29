"""The finished engine of notebook 08, held against PyTorch."""

import inspect

import numpy as np
import pytest
import torch

from autograd_viz.exercises import numpy_engine
from autograd_viz.exercises.numpy_engine import Value, topological_order

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
V = np.array([1.0, -2.0, 0.5])
W = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.1]])
ROW = np.array([[0.1, 0.2, 0.3]])

EXPRESSIONS = [
    (lambda x: x + x, [2.0]),
    (lambda x: x * x * x, [2.0]),
    (lambda x, y: (x + y) * x.log2() * y.log2(), [2.0, 4.0]),
    (lambda x: 2.0 * x + x * 3.0 + 1.0 + (x - 4.0), [1.5]),
    (lambda x, y: (x - y) ** 2, [1.5, 4.0]),
    (lambda x, y: (x * y) * (x * y + x), [2.0, 3.0]),
    (lambda x: (x**3).sum(), [V]),
    (lambda x, v: ((x @ v) ** 2).sum(), [X, V]),
    (lambda x, w: ((x @ w) ** 2).sum(), [X, W]),
    (lambda x, b: ((x + b) ** 2).sum(), [X, 0.5]),
    (lambda x, b: ((x * b) ** 2).sum(), [X, V]),
    (lambda x, b: ((b - x) ** 2).sum(), [X, ROW]),
    (lambda x, b: ((x * b) ** 3).sum(), [X, np.array([[2.0], [3.0]])]),
]


@pytest.mark.parametrize(("expression", "at"), EXPRESSIONS)
def test_gradients_are_autograds(expression, at):
    ours = [Value(number) for number in at]
    theirs = [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in at]
    result, true = expression(*ours), expression(*theirs)
    result.backward()
    true.backward()
    assert np.allclose(result.value, true.item())
    for own, tensor in zip(ours, theirs, strict=True):
        assert tensor.grad is not None
        assert np.shape(own.grad) == tensor.grad.shape
        assert np.allclose(own.grad, tensor.grad)


def test_an_array_times_a_value_is_a_value():
    x = Value(3.0)
    (V * x).sum().backward()
    assert x.grad == V.sum()


def test_a_second_backward_gives_the_same():
    x = Value(3.0)
    y = x * x
    y.backward()
    y.backward()
    assert x.grad == 6.0


def test_each_value_stands_once_in_the_order_after_its_inputs():
    x = Value(0.0)
    y = x
    for _ in range(5000):
        y = y + y
    order = topological_order(y)
    assert len(order) == 5001
    place = {value: number for number, value in enumerate(order)}
    assert all(place[one] < place[value] for value in order for one in value.inputs)


def test_it_keeps_the_promise_of_fewer_than_100_lines():
    assert len(inspect.getsource(numpy_engine).splitlines()) < 100
