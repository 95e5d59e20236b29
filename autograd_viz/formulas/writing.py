"""From SymPy to a line of mathematics as it stands on a slide: stacked fractions, ln 2, e^x."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sympy
from sympy import Expr, Symbol

from autograd_viz.text import as_written
from autograd_viz.typeset import Frac, Line, Run, Sup, math, plain

_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 4, 5  # how strongly parts hold together

_NAMES = {"sigmoid": "σ", "Abs": "abs"}


class _Part(NamedTuple):
    line: Line
    strength: int = _ATOM

    def inside(self, strength: int) -> Line:
        if self.strength >= strength:
            return self.line
        return (Run("("), *self.line, Run(")"))


def line(expression: Expr, names: Mapping[Symbol, str]) -> Line:
    """The expression with each symbol under the name given; a name may be a number, too.

    >>> from sympy import Symbol, log
    >>> a, b = Symbol("v0"), Symbol("v1")
    >>> names = {a: "a", b: "b"}
    >>> plain(line(b / (a * log(2)), names)), plain(line(2 * a * (a - b), names))
    ('b/(a ln 2)', '2 a (a - b)')
    >>> plain(line(b / (a * log(2)), {a: "2", b: "-4"}))
    '-4/(2 ln 2)'
    """
    return _merged(_Writer(names).part(expression, True).line)


def scaled(factor: Symbol, expression: Expr) -> Expr:
    """The expression times a symbol, which stands for a number and is written first."""
    return sympy.Mul(factor, expression)


class _Writer:
    def __init__(self, names: Mapping[Symbol, str]) -> None:
        self.names = names
        # The number e beside a variable of that name would be read as it.
        self.power_of_e = "e" not in names.values()

    def part(self, expression: Expr, stacked: bool) -> _Part:
        """A part of the line; in an exponent fractions are not stacked."""
        if isinstance(expression, sympy.Symbol):
            return _named(self.names[expression])
        if expression.is_Add:
            return self._sum(expression, stacked)
        if isinstance(expression, sympy.exp) and not self.power_of_e:
            return self._call("exp", expression.args)
        if expression.is_Mul or expression.is_Pow or expression.is_Rational:
            return self._product(expression, stacked)
        if isinstance(expression, sympy.exp):
            return self._power(expression, stacked)
        if expression.is_Float:
            return _named(as_written(float(expression)))
        if expression is sympy.pi:
            return _Part((Run("π"),))
        if expression is sympy.E:
            return _Part((Run("e"),))
        if isinstance(expression, sympy.log):
            inner = self.part(expression.args[0], False)
            whole = inner.strength == _ATOM and not plain(inner.line).endswith(")")
            if whole:
                return _Part((Run("ln "), *inner.line), _POWER)
            return _Part((Run("ln("), *inner.line, Run(")")))
        name = type(expression).__name__
        return self._call(_NAMES.get(name, name), expression.args)

    def _call(self, name: str, arguments: Sequence[Expr]) -> _Part:
        parts: list[Run | Frac | Sup] = [Run(f"{name}(")]
        for number, argument in enumerate(arguments):
            parts += [*([Run(", ")] if number else []), *self.part(argument, False).line]
        return _Part((*parts, Run(")")))

    def _sum(self, expression: Expr, stacked: bool) -> _Part:
        terms = sorted(expression.args, key=_term_order)
        first = next((term for term in terms if not term.could_extract_minus_sign()), terms[0])
        terms = [first, *(term for term in terms if term is not first)]
        parts: list[Run | Frac | Sup] = []
        for term in terms:
            negative = term.could_extract_minus_sign()
            text = self.part(-term if negative else term, stacked).inside(_PRODUCT)
            if parts and plain(text).startswith("-"):
                text = (Run("("), *text, Run(")"))
            sign = (" - " if negative else " + ") if parts else ("-" if negative else "")
            parts += [*([Run(sign)] if sign else []), *text]
        return _Part(tuple(parts), _SUM)

    def _product(self, expression: Expr, stacked: bool) -> _Part:
        coefficient, factors = expression.as_coeff_mul()
        if expression.is_Rational:
            coefficient, factors = expression, ()
        if coefficient.is_negative:
            inner = self._product(-expression, stacked)
            return _Part((Run("-"), *inner.inside(_PRODUCT)), _PRODUCT)
        above: list[Expr] = []
        below: list[Expr] = []
        if coefficient.is_Rational:
            above += [sympy.Integer(coefficient.p)] if coefficient.p != 1 else []
            below += [sympy.Integer(coefficient.q)] if coefficient.q != 1 else []
        else:
            above += [coefficient]
        for factor in sorted(factors, key=_factor_order):
            base, exponent = factor.as_base_exp()
            if factor.is_Float and float(factor) == 1:
                continue
            if isinstance(factor, sympy.exp):
                above.append(factor)
            elif exponent.is_number and exponent.is_negative:
                below.append(sympy.Pow(base, -exponent))
            else:
                above.append(factor)
        if not below:
            return self._row(above, stacked)
        top = self._row(above, stacked)
        bottom = self._row(below, stacked)
        if stacked:
            return _Part((Frac(top.line, bottom.line),), _PRODUCT + 1)
        return _Part((*top.inside(_PRODUCT), Run("/"), *bottom.inside(_POWER)), _PRODUCT)

    def _row(self, factors: Sequence[Expr], stacked: bool) -> _Part:
        """Factors side by side, with a sign between them where numbers would run together."""
        if not factors:
            return _Part((Run("1"),))
        if len(factors) == 1:
            return self._factor(factors[0], stacked)
        parts: list[Run | Frac | Sup] = []
        for factor in factors:
            text = self._factor(factor, stacked).inside(_PRODUCT + 1)
            if plain(text).startswith("-"):
                text = (Run("("), *text, Run(")"))
            if parts:
                parts.append(Run(" * " if re.match(r"\d|\(-", plain(text)) else " "))
            parts += text
        return _Part(tuple(parts), _PRODUCT)

    def _factor(self, factor: Expr, stacked: bool) -> _Part:
        if factor.is_Pow or isinstance(factor, sympy.exp):
            return self._power(factor, stacked)
        if factor.is_Integer:
            return _named(str(factor))
        return self.part(factor, stacked)

    def _power(self, expression: Expr, stacked: bool) -> _Part:
        if isinstance(expression, sympy.exp) and not self.power_of_e:
            return self._call("exp", expression.args)
        base, exponent = expression.as_base_exp()
        if isinstance(expression, sympy.exp):
            base, exponent = sympy.E, expression.args[0]
        if exponent == sympy.Rational(1, 2):
            return self._call("sqrt", [base])
        if exponent == 1:
            return self.part(base, stacked)
        if exponent.is_number and exponent.is_negative:
            return self._product(expression, stacked)
        raised = self.part(exponent, False).line
        text = self.part(base, False)
        return _Part((*text.inside(_ATOM), Sup(_merged(raised))), _POWER)


def _named(text: str) -> _Part:
    """A name, or a number: a negative one holds as loosely as a product."""
    if re.fullmatch(r"-[\d.]\S*", text):
        return _Part((Run(text),), _PRODUCT)
    whole = re.fullmatch(r"[\w.·′\[\], ]*[\w\]]|[\w.]+\([^()]*\)", text) and not re.search(
        r"[\w\]] ", text.partition("[")[0]
    )
    return _Part(math(text), _ATOM if whole else _SUM)


def _factor_order(factor: Expr) -> tuple[object, ...]:
    """Numbers, names in the order of the program, functions, sums, and ln 2 at the end."""
    base = factor.as_base_exp()[0]
    if isinstance(factor, sympy.exp):
        base = factor
    if base.is_number:
        kind = 9 if isinstance(base, sympy.log) else 0
    elif base.is_Symbol:
        kind = 1
    elif base.is_Add:
        kind = 4
    else:
        kind = 2
    return (kind, _first(base), sympy.default_sort_key(factor))


def _term_order(term: Expr) -> tuple[object, ...]:
    """Higher powers first, numbers last."""
    degree = sympy.Poly(term).total_degree() if _is_polynomial(term) else 0
    return (
        not term.free_symbols,
        -degree,
        _first(term),
        sympy.default_sort_key(term),
    )


def _is_polynomial(term: Expr) -> bool:
    return bool(term.free_symbols) and bool(term.is_polynomial())


def _first(expression: Expr) -> str:
    """The name of the symbol that the program has first."""
    return min((one.name for one in expression.free_symbols), default="")


def _merged(line: Line) -> Line:
    """Neighbouring runs of one style as one."""
    parts: list[Run | Frac | Sup] = []
    for part in line:
        if isinstance(part, Frac):
            part = Frac(_merged(part.above), _merged(part.below))
        before = parts[-1] if parts else None
        if isinstance(part, Run) and isinstance(before, Run) and part.style == before.style:
            parts[-1] = Run(before.text + part.text, part.style)
        else:
            parts.append(part)
    return tuple(parts)
