"""Vector-Jacobian products of functions of each element, from what they compute of numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import sympy
from sympy import Expr, Symbol

from autograd_viz.operators import scalars, terms
from autograd_viz.operators.products import Rule, Step
from autograd_viz.operators.table import Operation
from autograd_viz.operators.terms import Product, Term

_FUNCTIONS = {
    "Abs": "abs", **{name: name for name in (
        "exp", "log", "log2", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf",
        "sigmoid", "softplus", "sinc", "asin", "acos", "atan",
    )},
}  # fmt: skip


def rule(known: Operation) -> Rule:
    """The gradient times the local derivative of each element."""

    def through(g: Product, s: Step) -> Product | None:
        options = tuple(sorted(s.options.items()))
        found = _derivative(known, s.place, options)
        if found is None:
            return None
        above, below = found
        inputs = {_symbol(at): term for at, term in enumerate(s.operands)}
        for factor in above:
            g = g * _term(factor, inputs)
        for factor in below:
            g = g / _term(factor, inputs)
        return g

    return through


def _symbol(place: int) -> Symbol:
    return sympy.Symbol(f"v{place}")


class _BranchError(Exception):
    """Elements are on several branches."""


@lru_cache(512)
def _derivative(
    known: Operation, place: int, options: tuple[tuple[str, Any], ...]
) -> tuple[tuple[Expr, ...], tuple[Expr, ...]] | None:
    """The factors of the derivative by one input, and its divisors; None where it has branches."""

    def sign(left: Expr, right: Expr) -> int:
        raise _BranchError

    assert known.scalar is not None
    inputs = [_symbol(at) for at in range(len(known.roles))]
    try:
        whole = known.scalar(scalars.Options(dict(options), sign), *inputs)
    except _BranchError:
        return None
    if whole is None:
        return None
    found = sympy.powsimp(sympy.diff(whole, inputs[place]))
    above, below = [], []
    for factor in sympy.Mul.make_args(found):
        base, exponent = factor.as_base_exp()
        if factor.is_Rational and factor.q != 1:
            above += [sympy.Integer(factor.p)] if factor.p != 1 else []
            below.append(sympy.Integer(factor.q))
        elif exponent.is_number and exponent.is_negative:
            below.append(base**-exponent)
        elif factor != 1:
            above.append(factor)
    return tuple(above), tuple(below)


def _term(expression: Expr, inputs: dict[Symbol, Term]) -> Term:
    """A SymPy expression as text that PyTorch computes."""
    if expression in inputs:
        return inputs[expression]
    if expression is sympy.pi:
        return replace(terms.number(float(sympy.pi)), text="pi")
    if expression.is_number and not expression.free_symbols and not expression.args:
        return terms.number(float(expression))
    parts = [_term(part, inputs) for part in expression.args]
    if expression.is_Add:
        return _sum(expression, inputs)
    if expression.is_Mul:
        found = parts[0]
        for part in parts[1:]:
            found = found * part
        return found
    if expression.is_Pow:
        exponent = expression.exp
        if exponent == sympy.Rational(1, 2):
            return terms.call("sqrt", parts[0])
        return parts[0] ** float(exponent) if exponent.is_number else terms.joined("**", *parts)
    return terms.call(_FUNCTIONS[type(expression).__name__], *parts)


def _sum(expression: Expr, inputs: dict[Symbol, Term]) -> Term:
    """A sum with its positive terms first."""
    ordered = sorted(expression.args, key=lambda one: one.could_extract_minus_sign())
    found = _term(ordered[0], inputs)
    for one in ordered[1:]:
        negative = one.could_extract_minus_sign()
        found = found - _term(-one, inputs) if negative else found + _term(one, inputs)
    return found
