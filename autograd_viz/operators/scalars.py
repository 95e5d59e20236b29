"""What the operations of the table compute of numbers, in SymPy, where it takes more than a line.

SymPy takes half a second to load, so this module is imported where a formula is asked for.

A function with corners (relu, abs, maximum) is replaced by its branch at the current point: its
rule asks `sign(left, right)`, which is -1, 0 or 1 as left is below, at or above right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import sympy
from sympy import (
    Expr,
    erf,
    exp,
    pi,
    sqrt,
    tanh,
)  # fmt: skip

Sign = Callable[[Expr, Expr], int]


def __getattr__(name: str) -> Any:
    """All else is SymPy's own: `sin`, `atan2`."""
    return getattr(sympy, name)


class Options(NamedTuple):
    """The options that an operation was called with, and the branch of the current point."""

    given: Mapping[str, Any]
    sign: Sign

    def __call__(self, name: str, otherwise: float | None = None) -> Any:
        """A number that is an option, or what it is otherwise."""
        value = self.given.get(name, otherwise)
        return number(value) if isinstance(value, int | float) else value

    def above(self, left: Any, right: Any) -> bool:
        """Whether one lies above the other, at the current point."""
        return self.sign(_expression(left), _expression(right)) > 0

    def below(self, left: Any, right: Any) -> bool:
        """Whether one lies below the other, at the current point."""
        return self.sign(_expression(left), _expression(right)) < 0


class log2(sympy.Function):  # type: ignore[misc]  # noqa: N801 - prints as the function is called in PyTorch
    """The logarithm to base 2, kept as it is: SymPy would make a quotient of it."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """1/(x ln 2)."""
        return 1 / (self.args[0] * sympy.log(2))


class log10(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """The logarithm to base 10."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """1/(x ln 10)."""
        return 1 / (self.args[0] * sympy.log(10))


class sigmoid(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """The logistic function; its derivative reads best in the function itself."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """σ(x)(1 - σ(x))."""
        return self * (1 - self)


class softplus(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """ln(1 + e^x)."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """σ(x)."""
        return sigmoid(self.args[0])


class sinc(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """sin(πx)/(πx), as PyTorch has it."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """(cos(πx) - sinc(x))/x."""
        x = self.args[0]
        return (sympy.cos(sympy.pi * x) - self) / x


OWN = (log2, log10, sigmoid, softplus, sinc)


def number(value: float) -> Expr:
    """A number that the program has: halves and whole numbers exactly, as in `x ** 0.5`."""
    if value != value or value in (float("inf"), -float("inf")):
        return sympy.Float(value)
    if 2 * value == int(2 * value) and abs(value) < 1e6:
        return sympy.Rational(int(2 * value), 2)
    if struct.unpack("f", struct.pack("f", value))[0] == value:
        return sympy.Float(f"{value:.7g}")  # 0.1 in float32, which has more digits as a double
    return sympy.Float(value)


def _expression(value: Any) -> Expr:
    return value if isinstance(value, sympy.Basic) else number(value)


def clamp(o: Options, x: Expr, low: Any, high: Any, open: bool = False) -> Expr:
    """Between two bounds; if it is `open`, a bound itself does not count as inside."""
    if low is not None and o.sign(x, low) < int(open):
        return low
    return high if high is not None and o.sign(high, x) < int(open) else x


def larger(o: Options, x: Expr, y: Expr) -> Expr:
    """The larger one; PyTorch shares the gradient between equal ones."""
    return {1: x, 0: (x + y) / 2, -1: y}[o.sign(x, y)]


def smaller(o: Options, x: Expr, y: Expr) -> Expr:
    """The smaller one, likewise."""
    return x + y - larger(o, x, y)


def elu(o: Options, x: Expr) -> Expr:
    """With its three options, of which selu has others."""
    if o.above(x, 0):
        return o("scale", 1) * x
    return o("scale", 1) * o("alpha", 1) * (exp(o("input_scale", 1) * x) - 1)


def softplus_of(o: Options, x: Expr) -> Expr:
    """From the threshold on, x itself."""
    inner = o("beta", 1) * x
    return x if o.above(inner, o("threshold", 20)) else softplus(inner) / o("beta", 1)


def gelu(o: Options, x: Expr) -> Expr:
    """Exactly, or with tanh."""
    if o("approximate") == "tanh":
        inner = sqrt(2 / pi) * (x + sympy.Float("0.044715") * x**3)
        return x * (1 + tanh(inner)) / 2
    return x * (1 + erf(x / sqrt(2))) / 2


def hardsigmoid(o: Options, x: Expr) -> Expr:
    """A line between 0 and 1, from -3 to 3."""
    if not o.above(x, -3):
        return sympy.Integer(0)
    return x / 6 + sympy.Rational(1, 2) if o.below(x, 3) else sympy.Integer(1)


def huber(o: Options, x: Expr, y: Expr, delta: Expr) -> Expr:
    """A parabola that goes on as a line."""
    gap = x - y
    if o.above(gap, delta):
        return delta * (gap - delta / 2)
    return -delta * (gap + delta / 2) if o.below(gap, -delta) else gap**2 / 2


def shrunk(o: Options, x: Expr, by: int) -> Expr:
    """0 around 0; what is left of x is moved by the bound, or not."""
    bound = o("lambd", 0.5)
    if o.above(x, bound):
        return x - by * bound
    return x + by * bound if o.below(x, -bound) else sympy.Integer(0)
