"""Numbers with a bound on what rounding may have done to them.

PyTorch computes a derivative by other steps than a formula says, and in float32; where numbers
cancel, little of them is left. So a formula is compared with PyTorch's number to within what such
steps can make of it, and no further: a fixed tolerance would pass wrong formulas or fail true ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

# Roundings that PyTorch may need for one of a formula's. Some of its functions have constants in
# float32 even for float64, as the 1/6 of hardsigmoid.
_SLACK = {"float64": 2.0**30}
_UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
_LARGEST = {"float16": 65504.0, "float32": 3.4028235e38, "bfloat16": 3.3895314e38}
_SMALLEST = {"float64": 2.3e-308, "float16": 6.2e-5}  # that are not rounded more coarsely


class Rounded:
    """A number, and how far rounding may have moved it in multiples of the precision.

    >>> one, small = Rounded(1.0), Rounded(1e-6)
    >>> difference = (one + small) - one
    >>> round(float(difference.error))  # with a precision of 1e-7 it is 1e-6, give or take 1e-7
    1
    """

    __array_priority__ = 1.0

    def __init__(self, value: float, error: float = 0.0) -> None:
        self.value, self.error = np.float64(value), np.float64(error)

    def _made(self, value: Any, error: Any) -> Rounded:
        return Rounded(value, error + abs(value))

    def __add__(self, other: Any) -> Rounded:
        other = rounded(other)
        return self._made(self.value + other.value, self.error + other.error)

    def __neg__(self) -> Rounded:
        return Rounded(-self.value, self.error)

    def __sub__(self, other: Any) -> Rounded:
        return self + -rounded(other)

    def __rsub__(self, other: Any) -> Rounded:
        return rounded(other) - self

    def __mul__(self, other: Any) -> Rounded:
        other = rounded(other)
        error = abs(self.value) * other.error + abs(other.value) * self.error
        return self._made(self.value * other.value, error)

    def __truediv__(self, other: Any) -> Rounded:
        other = rounded(other)
        value = self.value / other.value
        return self._made(value, (self.error + abs(value) * other.error) / abs(other.value))

    def __rtruediv__(self, other: Any) -> Rounded:
        return rounded(other) / self

    def __pow__(self, other: Any) -> Rounded:
        other = rounded(other)
        value = np.power(self.value, other.value)
        error = abs(other.value * np.power(self.value, other.value - 1)) * self.error
        if other.error:
            error += abs(value * np.log(abs(self.value))) * other.error
        return self._made(value, error)

    def __rpow__(self, other: Any) -> Rounded:
        return rounded(other) ** self

    __radd__, __rmul__ = __add__, __mul__


def rounded(number: Any) -> Rounded:
    """A number of the formula itself, which is exact, or one that has its error."""
    return number if isinstance(number, Rounded) else Rounded(number)


def _function(name: str, of: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Any:
    def computed(x: Any) -> Rounded:
        x = rounded(x)
        value = of(x.value)
        error = abs(slope(x.value)) * x.error if x.error else np.float64(0)
        return Rounded(value, error + 2 * abs(value))

    return computed


def _erf(x: Any) -> Any:
    return np.float64(math.erf(x))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _sinc(x: Any) -> Rounded:
    x = rounded(x)
    value = np.sinc(x.value)
    return Rounded(value, 2 * abs(value) + math.pi * x.error)


def _atan2(y: Any, x: Any) -> Rounded:
    y, x = rounded(y), rounded(x)
    value, square = np.arctan2(y.value, x.value), x.value**2 + y.value**2
    error = (abs(x.value) * y.error + abs(y.value) * x.error) / square
    return Rounded(value, error + 2 * abs(value))


_KNOWN: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "log2": (np.log2, lambda x: 1.5 / x),
    "log10": (np.log10, lambda x: 0.5 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, np.sin),
    "tan": (np.tan, lambda x: 1 + np.tan(x) ** 2),
    "sinh": (np.sinh, np.cosh),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "asin": (np.arcsin, lambda x: 1 / np.sqrt(1 - x**2)),
    "acos": (np.arccos, lambda x: 1 / np.sqrt(1 - x**2)),
    "atan": (np.arctan, lambda x: 1 / (1 + x**2)),
    "asinh": (np.arcsinh, lambda x: 1 / np.sqrt(1 + x**2)),
    "acosh": (np.arccosh, lambda x: 1 / np.sqrt(x**2 - 1)),
    "atanh": (np.arctanh, lambda x: 1 / (1 - x**2)),
    "erf": (_erf, lambda x: 1.13 * np.exp(-(x**2))),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "softplus": (lambda x: np.logaddexp(0, x), _sigmoid),
}
FUNCTIONS: dict[str, Any] = {name: _function(name, *both) for name, both in _KNOWN.items()}
FUNCTIONS |= {"sinc": _sinc, "atan2": _atan2, "pi": math.pi, "e": math.e}


def same(number: float, found: Rounded, dtype: str) -> bool:
    """Whether PyTorch's number, computed in a precision, is one that was found.

    >>> same(0.25, Rounded(0.25000001), "float32"), same(0.25, Rounded(0.2501), "float32")
    (True, False)
    >>> same(-1.2e-7, Rounded(0.0, error=1.0), "float32"), same(-1.2e-7, Rounded(0.0), "float32")
    (True, False)
    """
    value = float(found.value)
    if abs(value) > _LARGEST.get(dtype, math.inf):
        value = math.copysign(math.inf, value)
    if not (math.isfinite(value) and math.isfinite(number)):
        return value == number or (value != value and number != number)
    error = float(found.error)
    unit = _UNITS.get(dtype, _UNITS["bfloat16"])
    slack = _SLACK.get(dtype, 64)
    within = unit * (slack * abs(value) + 8 * (error if math.isfinite(error) else 0.0))
    return abs(value - number) <= within + _SMALLEST.get(dtype, 1.2e-38)


def coarsest(dtypes: Iterable[str]) -> str:
    """The one that rounds most.

    >>> coarsest(["float32", "float16", "float64"])
    'float16'
    """
    return max(dtypes, key=lambda dtype: _UNITS.get(dtype, 0.0))


def close(number: float, value: float, dtype: str) -> bool:
    """Whether the two are the same without a look at how they came about.

    >>> close(0.1, 0.1000000015, "float32"), close(0.1, 0.1001, "float32")
    (True, False)
    """
    unit = _UNITS.get(dtype, _UNITS["bfloat16"])
    return abs(value - number) <= _SLACK.get(dtype, 64) * unit * abs(number)
