"""Formulas as data: what they compute, and the way to and from SymPy.

A formula is a `Number`, a `Name`, or a `Call` of one of FUNCTIONS. Nothing else can be in one, so
that to compute it runs no code but that of FUNCTIONS: each step takes floats, and the same time
whatever their values are.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

MOST_PARTS = 10_000  # of a formula of SymPy; one in text is shorter
DEEPEST = 100  # parts of a formula of SymPy within each other


class UnreadableError(Exception):
    """The answer cannot be understood; the message says why, and what to write."""


@dataclass(frozen=True)
class Number:
    """A number that was written."""

    value: float


@dataclass(frozen=True)
class Name:
    """A name, whether it is known or not."""

    name: str


@dataclass(frozen=True)
class Call:
    """One of FUNCTIONS, of formulas: also sums, products and the constants e and pi."""

    function: str
    arguments: tuple[Formula, ...]


Formula: TypeAlias = Number | Name | Call


class Function(NamedTuple):
    """What a formula can call."""

    compute: Callable[..., complex]
    symbolic: Callable[..., Any]  # of the module sympy, and of the arguments
    least: int = 1  # arguments
    most: int = 1


def value(formula: Formula, point: Mapping[str, float]) -> float:
    """What the formula gives with these values of its names; NaN where that is no real number.

    In between there may be complex numbers, and infinite ones where a float is too small.

    >>> value(Call("^", (Name("x"), Number(2))), {"x": 3.0})
    9.0
    >>> value(Call("log", (Name("x"),)), {"x": -1.0})
    nan
    """
    try:
        found = _computed(formula, point)
    except (ArithmeticError, ValueError):  # of what is not defined: 1/0, the logarithm of 0
        return math.nan
    if isinstance(found, complex):
        return found.real if abs(found.imag) <= 1e-9 * abs(found.real) else math.nan
    return float(found)


def _computed(formula: Formula, point: Mapping[str, float]) -> complex:
    match formula:
        case Number(number):
            return float(number)  # never an int, whose powers could take for ever
        case Name(name):
            return float(point[name])
        case Call(function, arguments):
            return FUNCTIONS[function].compute(*(_computed(each, point) for each in arguments))


def names_in(formula: Formula) -> frozenset[str]:
    """The names that the formula has in it.

    >>> sorted(names_in(Call("+", (Name("x"), Call("-", (Name("y"),))))))
    ['x', 'y']
    """
    match formula:
        case Name(name):
            return frozenset({name})
        case Call(_, arguments):
            return frozenset().union(*map(names_in, arguments))
    return frozenset()


def as_sympy(formula: Formula) -> Any:
    """The formula in SymPy, as it was written: nothing is computed, which could take for ever.

    >>> as_sympy(Call("*", (Number(2), Name("x"))))
    2*x
    """
    import sympy

    def made(part: Formula) -> Any:
        match part:
            case Number(number):
                return sympy.Integer(number) if number == int(number) else sympy.Float(number)
            case Name(name):
                return sympy.Symbol(name)
            case Call(function, arguments):
                return FUNCTIONS[function].symbolic(sympy, *map(made, arguments))

    with sympy.evaluate(False):
        return made(formula)


def from_sympy(expression: Any) -> Formula:
    """The formula that an expression of SymPy stands for.

    Raises:
        UnreadableError: it is too large, or holds what FUNCTIONS do not have.

    >>> from sympy import Symbol, exp
    >>> from_sympy(exp(Symbol("x")))
    Call(function='exp', arguments=(Name(name='x'),))
    """
    return _from_sympy(expression, iter(range(MOST_PARTS)), DEEPEST)


def _from_sympy(expression: Any, left: Iterator[int], depth: int) -> Formula:
    if next(left, None) is None or not depth:
        raise UnreadableError("the formula is too large; simplify it, or give a function")
    if expression.is_Symbol:
        return Name(expression.name)
    if expression.is_Rational or expression.is_Float:
        return Number(finite(expression))
    kind = type(expression).__name__
    name = _OF_SYMPY.get(kind) or known_function(kind)
    if name is None:
        raise UnreadableError(
            f"SymPy's {kind} is not known here; give another formula, or a function"
        )
    parts = expression.args
    if not FUNCTIONS[name].least <= len(parts) <= FUNCTIONS[name].most:
        parts = parts[: FUNCTIONS[name].most]  # Heaviside brings its value at 0
    return Call(name, tuple(_from_sympy(part, left, depth - 1) for part in parts))


def finite(number: Any) -> float:
    """A number as a float.

    Raises:
        UnreadableError: it is larger than a float can be.

    >>> finite(2)
    2.0
    """
    try:
        found = float(number)
    except OverflowError:
        found = math.inf
    if math.isinf(found) and not isinstance(number, float):
        raise UnreadableError("the number is too large: above 1.8e308 there are no floats")
    return found


def known_function(word: str) -> str | None:
    """The name of the function that a word stands for, if there is one.

    >>> known_function("ln"), known_function("Max"), known_function("system")
    ('log', 'max', None)
    """
    for name in (word, word.casefold()):
        name = _ALSO_CALLED.get(name, name)
        if name in FUNCTIONS:
            return name
    return None


def _either(name: str) -> Callable[[complex], complex]:
    """A function of Python's `math`, and of `cmath` outside of its domain."""
    real, other = getattr(math, name), getattr(cmath, name)

    def compute(x: complex) -> complex:
        if not isinstance(x, complex):
            try:
                return float(real(x))
            except ValueError:
                pass
        return complex(other(x))

    return compute


def _exp(x: complex) -> complex:
    if isinstance(x, complex):
        return cmath.exp(x)
    return math.exp(x) if x < 709 else math.inf  # so that 1/(1 + exp(-x)) is 0, not undefined


def _power(base: complex, exponent: complex) -> complex:
    try:
        found: complex = base**exponent
    except OverflowError:
        return math.inf
    return found


def _sum(*terms: complex) -> complex:
    return sum(terms)


_ln = _either("log")


def _log(x: complex, base: complex = math.e) -> complex:
    return _ln(x) if base == math.e else _ln(x) / _ln(base)


def _real(compute: Callable[..., float]) -> Callable[..., float]:
    """A function that complex numbers do not have."""

    def of_reals(*arguments: complex) -> float:
        if any(isinstance(each, complex) for each in arguments):
            raise ValueError("complex numbers have no order")
        return compute(*arguments)

    return of_reals


def _sign(x: float) -> float:
    return float((x > 0) - (x < 0))


def _named(name: str) -> Function:
    """A function that `math`, `cmath` and SymPy call the same."""
    return Function(_either(name), lambda sympy, x: getattr(sympy, name)(x))


def _one_over(name: str, other: str) -> Function:
    """What SymPy calls `name`, and `math` does not have: 1 over another function."""
    compute = _either(other)
    return Function(lambda x: 1 / compute(x), lambda sympy, x: getattr(sympy, name)(x))


MANY = 1_000_000  # arguments: as many as there are
FUNCTIONS: Mapping[str, Function] = {
    "+": Function(_sum, lambda sympy, *x: sympy.Add(*x), most=MANY),
    "*": Function(lambda *x: math.prod(x), lambda sympy, *x: sympy.Mul(*x), most=MANY),
    "-": Function(lambda x: -x, lambda sympy, x: sympy.Mul(-1, x)),
    "/": Function(lambda x: 1 / x, lambda sympy, x: sympy.Pow(x, -1)),
    "^": Function(_power, lambda sympy, x, y: sympy.Pow(x, y), 2, 2),
    "e": Function(lambda: math.e, lambda sympy: sympy.E, 0, 0),
    "pi": Function(lambda: math.pi, lambda sympy: sympy.pi, 0, 0),
    **{name: _named(name) for name in ("sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: _named(name) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
    **{name: _one_over(name, of) for name, of in (("sec", "cos"), ("csc", "sin"), ("cot", "tan"))},
    **{
        name: _one_over(name, of)
        for name, of in (("sech", "cosh"), ("csch", "sinh"), ("coth", "tanh"))
    },
    "exp": Function(_exp, lambda sympy, x: sympy.exp(x)),
    "log": Function(
        _log, lambda sympy, x, *base: sympy.Mul(sympy.log(x), *(1 / sympy.log(b) for b in base)),
        most=2,
    ),
    "log2": Function(lambda x: _log(x, 2.0), lambda sympy, x: sympy.log(x) / sympy.log(2)),
    "log10": Function(_either("log10"), lambda sympy, x: sympy.log(x) / sympy.log(10)),
    "abs": Function(abs, lambda sympy, x: sympy.Abs(x)),
    "max": Function(_real(max), lambda sympy, *x: sympy.Max(*x), 2, MANY),
    "min": Function(_real(min), lambda sympy, *x: sympy.Min(*x), 2, MANY),
    "sign": Function(_real(_sign), lambda sympy, x: sympy.sign(x)),
    "heaviside": Function(
        _real(lambda x: (1 + _sign(x)) / 2), lambda sympy, x: (1 + sympy.sign(x)) / 2
    ),
    "relu": Function(_real(lambda x: max(x, 0.0)), lambda sympy, x: sympy.Max(x, 0)),
    "sigmoid": Function(lambda x: 1 / (1 + _exp(-x)), lambda sympy, x: 1 / (1 + sympy.exp(-x))),
    "softplus": Function(
        _real(lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))),
        lambda sympy, x: sympy.log(1 + sympy.exp(x)),
    ),
}  # fmt: skip
_ALSO_CALLED = {
    "ln": "log", "sigma": "sigmoid", "sgn": "sign", "pow": "^", "power": "^",
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}  # fmt: skip
_OF_SYMPY = {"Add": "+", "Mul": "*", "Pow": "^", "Exp1": "e", "Pi": "pi"}
WORDS = frozenset(_ALSO_CALLED) | {name for name in FUNCTIONS if name.isalnum()}
CONSTANTS = frozenset(name for name, each in FUNCTIONS.items() if not each.most)
