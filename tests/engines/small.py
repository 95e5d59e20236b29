"""A small engine over NumPy, as a student would write it for the exercise; it fits the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Number:
    """A value with its gradient; constants stay as they are among the inputs."""

    __array_ufunc__ = None  # so that array @ number comes to __rmatmul__

    def __init__(self, value: Any, operation: str = "", inputs: tuple[Any, ...] = ()) -> None:
        self.value = value if isinstance(value, float) else np.asarray(value, dtype=float)
        self.grad: Any = 0.0
        self.operation = operation
        self.inputs = inputs
        self.slopes: tuple[Callable[[Any], Any], ...] = ()

    def backward_step(self) -> None:
        for one, slope in zip(self.inputs, self.slopes, strict=True):
            if isinstance(one, Number):
                one.grad = one.grad + slope(self.grad)

    def __add__(self, other: Any) -> Number:
        return made("+", (self, other), plain(self) + plain(other), lambda g: g, lambda g: g)

    def __sub__(self, other: Any) -> Number:
        return made("-", (self, other), plain(self) - plain(other), lambda g: g, lambda g: -g)

    def __mul__(self, other: Any) -> Number:
        x, y = plain(self), plain(other)
        return made("*", (self, other), x * y, lambda g: g * y, lambda g: g * x)

    def __rmul__(self, other: Any) -> Number:
        x, y = plain(other), plain(self)
        return made("*", (other, self), x * y, lambda g: g * y, lambda g: g * x)

    def __truediv__(self, other: Any) -> Number:
        x, y = plain(self), plain(other)
        return made("/", (self, other), x / y, lambda g: g / y, lambda g: -g * x / y**2)

    def __pow__(self, n: float) -> Number:
        x = plain(self)
        return made("**", (self, n), x**n, lambda g: g * n * x ** (n - 1), lambda g: g)

    def __neg__(self) -> Number:
        return made("-", (self,), -plain(self), lambda g: -g)

    def __matmul__(self, other: Number) -> Number:
        x, y = plain(self), plain(other)
        by_x = (lambda g: np.outer(g, y)) if y.ndim == 1 else (lambda g: g @ y.T)
        return made("@", (self, other), x @ y, by_x, lambda g: x.T @ g)

    def __rmatmul__(self, other: Any) -> Number:
        x, y = plain(other), plain(self)
        return made("@", (other, self), x @ y, lambda g: g @ y.T, lambda g: x.T @ g)

    def log2(self) -> Number:
        x = plain(self)
        return made("log2", (self,), np.log2(x), lambda g: g / (x * np.log(2)))

    def tanh(self) -> Number:
        t = np.tanh(plain(self))
        return made("tanh", (self,), t, lambda g: g * (1 - t * t))

    def relu(self) -> Number:
        x = plain(self)
        return made("relu", (self,), max(x, 0.0), lambda g: g * (x > 0))

    def sum(self) -> Number:
        x = plain(self)
        return made("sum", (self,), x.sum(), lambda g: g * np.ones_like(x))


def plain(one: Any) -> Any:
    return one.value if isinstance(one, Number) else one


def made(
    operation: str, inputs: tuple[Any, ...], value: Any, *slopes: Callable[[Any], Any]
) -> Number:
    out = Number(float(value) if np.ndim(value) == 0 else value, operation, inputs)
    out.slopes = slopes
    return out
