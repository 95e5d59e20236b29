"""What PyTorch's operations compute, in SymPy: from a gradient function's name to an expression.

SymPy takes half a second to load, so this module is imported where a formula is asked for.

A function with corners (relu, abs, maximum) is replaced by its branch at the current point: its
rule asks `sign(left, right)`, which is -1, 0 or 1 as left is below, at or above right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import sympy
from sympy import Expr

Sign = Callable[[Expr, Expr], int]
Options = Mapping[str, Any]
Rule = Callable[..., Expr]


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


def _clamp(x: Expr, low: Any, high: Any, sign: Sign, inside: int) -> Expr:
    """Between two bounds; `inside` is the sign that a bound itself still counts as."""
    if low is not None and sign(x, low) < inside:
        return low
    if high is not None and sign(high, x) < inside:
        return high
    return x


def _larger(x: Expr, y: Expr, sign: Sign) -> Expr:
    return {1: x, 0: (x + y) / 2, -1: y}[sign(x, y)]


def _smaller(x: Expr, y: Expr, sign: Sign) -> Expr:
    return {1: y, 0: (x + y) / 2, -1: x}[sign(x, y)]


def _abs(x: Expr, sign: Sign) -> Expr:
    return sign(x, sympy.Integer(0)) * x


def _elu(x: Expr, options: Options, sign: Sign) -> Expr:
    alpha, scale = number(options.get("alpha", 1)), number(options.get("scale", 1))
    inner = number(options.get("input_scale", 1))
    positive = sign(x, sympy.Integer(0)) > 0
    return scale * x if positive else scale * alpha * (sympy.exp(inner * x) - 1)


def _celu(x: Expr, options: Options, sign: Sign) -> Expr:
    alpha = number(options.get("alpha", 1))
    return x if sign(x, sympy.Integer(0)) > 0 else alpha * (sympy.exp(x / alpha) - 1)


def _softplus(x: Expr, options: Options, sign: Sign) -> Expr:
    beta, threshold = number(options.get("beta", 1)), number(options.get("threshold", 20))
    return x if sign(beta * x, threshold) > 0 else softplus(beta * x) / beta


def _gelu(x: Expr, options: Options, sign: Sign) -> Expr:
    if options.get("approximate") == "tanh":
        inner = sympy.sqrt(2 / sympy.pi) * (x + sympy.Float("0.044715") * x**3)
        return x * (1 + sympy.tanh(inner)) / 2
    return x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2


def _where(x: Expr, y: Expr, options: Options, sign: Sign) -> Expr | None:
    if "condition" not in options:
        return None
    return x if options["condition"] else y


def _hardsigmoid(x: Expr, options: Options, sign: Sign) -> Expr:
    three = sympy.Integer(3)
    if sign(x, -three) <= 0:
        return sympy.Integer(0)
    return sympy.Integer(1) if sign(x, three) >= 0 else x / 6 + sympy.Rational(1, 2)


def _huber(x: Expr, y: Expr, delta: Expr, sign: Sign) -> Expr:
    gap = x - y
    if sign(gap, delta) > 0:
        return delta * (gap - delta / 2)
    return -delta * (gap + delta / 2) if sign(gap, -delta) < 0 else gap**2 / 2


def _shrunk(x: Expr, options: Options, sign: Sign, by: int) -> Expr:
    bound = number(options.get("lambd", 0.5))
    if sign(x, bound) > 0:
        return x - by * bound
    return x + by * bound if sign(x, -bound) < 0 else sympy.Integer(0)


def _optional(options: Options, name: str) -> Expr | None:
    return number(options[name]) if isinstance(options.get(name), int | float) else None


# Of one number: the options that the graph keeps, and the question about the current point.
UNARY: dict[str, Rule] = {
    "Neg": lambda x, o, sign: -x,
    "Reciprocal": lambda x, o, sign: 1 / x,
    "Sqrt": lambda x, o, sign: sympy.sqrt(x),
    "Rsqrt": lambda x, o, sign: 1 / sympy.sqrt(x),
    "Square": lambda x, o, sign: x**2,
    "Exp": lambda x, o, sign: sympy.exp(x),
    "Exp2": lambda x, o, sign: 2**x,
    "Expm1": lambda x, o, sign: sympy.exp(x) - 1,
    "Log": lambda x, o, sign: sympy.log(x),
    "Log2": lambda x, o, sign: log2(x),
    "Log10": lambda x, o, sign: log10(x),
    "Log1P": lambda x, o, sign: sympy.log(1 + x),
    "Sin": lambda x, o, sign: sympy.sin(x),
    "Cos": lambda x, o, sign: sympy.cos(x),
    "Tan": lambda x, o, sign: sympy.tan(x),
    "Sinh": lambda x, o, sign: sympy.sinh(x),
    "Cosh": lambda x, o, sign: sympy.cosh(x),
    "Tanh": lambda x, o, sign: sympy.tanh(x),
    "Asin": lambda x, o, sign: sympy.asin(x),
    "Acos": lambda x, o, sign: sympy.acos(x),
    "Atan": lambda x, o, sign: sympy.atan(x),
    "Asinh": lambda x, o, sign: sympy.asinh(x),
    "Acosh": lambda x, o, sign: sympy.acosh(x),
    "Atanh": lambda x, o, sign: sympy.atanh(x),
    "Sinc": lambda x, o, sign: sinc(x),
    "Erf": lambda x, o, sign: sympy.erf(x),
    "Erfc": lambda x, o, sign: 1 - sympy.erf(x),
    "Logit": lambda x, o, sign: sympy.log(x / (1 - x)),
    "Sigmoid": lambda x, o, sign: sigmoid(x),
    "LogSigmoid": lambda x, o, sign: -softplus(-x),
    "Softplus": _softplus,
    "Silu": lambda x, o, sign: x * sigmoid(x),
    "Mish": lambda x, o, sign: x * sympy.tanh(softplus(x)),
    "Gelu": _gelu,
    "Elu": _elu,
    "Celu": _celu,
    "Relu": lambda x, o, sign: x if sign(x, sympy.Integer(0)) > 0 else sympy.Integer(0),
    "LeakyRelu": lambda x, o, sign: (
        x if sign(x, sympy.Integer(0)) > 0 else number(o.get("negative_slope", 0.01)) * x
    ),
    "Hardtanh": lambda x, o, sign: _clamp(
        x, _optional(o, "min_val"), _optional(o, "max_val"), sign, inside=1
    ),
    "Clamp": lambda x, o, sign: _clamp(x, _optional(o, "min"), _optional(o, "max"), sign, inside=0),
    "ClampMin": lambda x, o, sign: _clamp(x, _optional(o, "min"), None, sign, inside=0),
    "ClampMax": lambda x, o, sign: _clamp(x, None, _optional(o, "max"), sign, inside=0),
    "Threshold": lambda x, o, sign: (
        x if sign(x, number(o.get("threshold", 0))) > 0 else sympy.Integer(0)
    ),
    "Hardsigmoid": _hardsigmoid,
    "Hardswish": lambda x, o, sign: x * _hardsigmoid(x, o, sign),
    "Softshrink": lambda x, o, sign: _shrunk(x, o, sign, by=1),
    "Hardshrink": lambda x, o, sign: _shrunk(x, o, sign, by=0),
    "Abs": lambda x, o, sign: _abs(x, sign),
    "Sign": lambda x, o, sign: sympy.Integer(sign(x, sympy.Integer(0))),
    "Sgn": lambda x, o, sign: sympy.Integer(sign(x, sympy.Integer(0))),
    **{name: lambda x, o, sign: x for name in ("Clone", "ToCopy", "Alias")},
}

# Of two or three numbers. A loss is what one element adds to it.
SEVERAL: dict[str, Rule] = {
    "Add": lambda x, y, o, sign: x + number(o.get("alpha", 1)) * y,
    "Sub": lambda x, y, o, sign: x - number(o.get("alpha", 1)) * y,
    "Rsub": lambda x, y, o, sign: y - number(o.get("alpha", 1)) * x,
    "Mul": lambda x, y, o, sign: x * y,
    "Div": lambda x, y, o, sign: x / y,
    "Pow": lambda x, y, o, sign: x**y,
    "Atan2": lambda x, y, o, sign: sympy.atan2(x, y),
    "Hypot": lambda x, y, o, sign: sympy.sqrt(x**2 + y**2),
    "Xlogy": lambda x, y, o, sign: x * sympy.log(y),
    "Logaddexp": lambda x, y, o, sign: sympy.log(sympy.exp(x) + sympy.exp(y)),
    "Maximum": lambda x, y, o, sign: _larger(x, y, sign),
    "Minimum": lambda x, y, o, sign: _smaller(x, y, sign),
    "Where": _where,
    "Lerp": lambda x, y, o, sign: (
        x + number(o["weight"]) * (y - x) if "weight" in o else None  # the weight is not kept
    ),
    "Addcmul": lambda x, y, z, o, sign: x + number(o.get("value", 1)) * y * z,
    "Addcdiv": lambda x, y, z, o, sign: x + number(o.get("value", 1)) * y / z,
    "MseLoss": lambda x, y, o, sign: (x - y) ** 2,
    "HuberLoss": lambda x, y, o, sign: _huber(x, y, number(o.get("delta", 1)), sign),
    "SmoothL1Loss": lambda x, y, o, sign: (
        _huber(x, y, number(o.get("beta", 1)), sign) / number(o.get("beta", 1))
    ),
    "BinaryCrossEntropy": lambda x, y, o, sign: -y * sympy.log(x) - (1 - y) * sympy.log(1 - x),
    "BinaryCrossEntropyWithLogits": lambda x, y, o, sign: softplus(x) - x * y,
}
LOSSES = {name for name in SEVERAL if name.endswith("Loss") or name.startswith("BinaryCross")}
