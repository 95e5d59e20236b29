"""A small engine with backpropagation in NumPy: a finished one beside the reader's of exercise 4.3.

For lessons only: nothing else of the package computes with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Value:
    """A number or an array that knows what it was computed from.

    >>> a, b = Value(2.0), Value(4.0)
    >>> e = (a + b) * a.log2() * b.log2()
    >>> e.backward()
    >>> print(f"{e.value:.4f} {a.grad:.4f} {b.grad:.4f}")
    12.0000 10.6562 4.1640
    """

    __array_ufunc__ = None  # so that NumPy leaves `array * value` to `__rmul__`

    def __init__(self, value: Any, operation: str = "", inputs: Any = (), rules: Any = ()) -> None:
        self.value = np.asarray(value, dtype=float)[()]  # a number stays a number
        self.grad: Any = np.zeros_like(self.value)[()]
        self.operation, self.inputs = operation, tuple(inputs)
        self.rules = rules  # for each input: the gradient of this value -> its contribution

    def __add__(self, other: Any) -> Value:
        y = as_value(other)
        return Value(self.value + y.value, "+", (self, y), (lambda g: g, lambda g: g))

    def __sub__(self, other: Any) -> Value:
        y = as_value(other)
        return Value(self.value - y.value, "-", (self, y), (lambda g: g, lambda g: -g))

    def __mul__(self, other: Any) -> Value:
        x, y = self.value, as_value(other)
        return Value(x * y.value, "*", (self, y), (lambda g: g * y.value, lambda g: g * x))

    def __pow__(self, n: float) -> Value:
        x = self.value
        return Value(x**n, f"**{n}", (self,), (lambda g: g * n * x ** (n - 1),))

    def __matmul__(self, other: Any) -> Value:
        x, y = self.value, as_value(other)  # a matrix, and a matrix or a vector
        mul = np.outer if y.value.ndim == 1 else np.matmul
        return Value(x @ y.value, "@", (self, y), (lambda g: mul(g, y.value.T), lambda g: x.T @ g))

    def log2(self) -> Value:
        """The logarithm of base 2."""
        x = self.value
        return Value(np.log2(x), "log2", (self,), (lambda g: g / (x * np.log(2)),))

    def sum(self) -> Value:
        """The sum of all elements."""
        return Value(self.value.sum(), "sum", (self,), (lambda g: g * np.ones_like(self.value),))

    def backward_step(self) -> None:
        """Add to each input's gradient what this value contributes."""
        for one, rule in zip(self.inputs, self.rules, strict=True):
            one.grad = one.grad + _summed(rule(self.grad), np.shape(one.value))

    def backward(self) -> None:
        """Compute the gradient of this value by each one that it was made from."""
        order = topological_order(self)
        for one in order:
            one.grad = np.zeros_like(one.value)[()]
        self.grad = np.ones_like(self.value)[()]
        for one in reversed(order):
            one.backward_step()

    __radd__, __rmul__ = __add__, __mul__


def as_value(number: Any) -> Value:
    """The value itself, or a number or array made into one."""
    return number if isinstance(number, Value) else Value(number)


def topological_order(result: Value) -> list[Value]:
    """All values that the result was made from, each once, inputs before results."""
    order: dict[Value, None] = {}
    todo = [result]
    while todo:
        if ahead := [one for one in todo[-1].inputs if one not in order]:
            todo.extend(ahead)
        else:
            order[todo.pop()] = None
    return list(order)


def _summed(gradient: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of an input that was broadcast: summed over what was repeated."""
    gradient = np.sum(gradient, axis=tuple(range(np.ndim(gradient) - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return np.sum(gradient, axis=repeated, keepdims=True) if repeated else gradient
