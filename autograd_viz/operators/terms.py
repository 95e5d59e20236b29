"""Text of a program that can be computed: `(a + b) * 3`, and products with the gradient ∂.

An Expression is text alone. A Term also has what computes it with torch, so that a formula is
shown only where its numbers are those of the backward pass.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, NamedTuple

from autograd_viz.text import as_written

Shape = tuple[int, ...]
Values = Mapping[Hashable, Any]  # what the names in a Term stand for; KeyError: not kept
GRADIENT = "∂"  # stands for the gradient that arrives at the variable
UNKNOWN = "?"
SUM, PRODUCT, UNARY, POWER, ATOM = 1, 2, 3, 4, 5  # how strongly a text holds together
STRENGTHS = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "@": PRODUCT, "**": POWER, ">": SUM}
_COMPUTED: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "@": operator.matmul,
    "**": operator.pow,
    ">": operator.gt,
}


class Expression(NamedTuple):
    """Text, and how strongly its outermost operation holds it together."""

    text: str
    strength: int = ATOM

    def inside(self, strength: int) -> str:
        """The text as a part of a larger expression, in parentheses where it needs them."""
        return self.text if self.strength >= strength else f"({self.text})"


def infix(sign: str, left: Expression | Term, right: Expression | Term) -> Expression:
    """The text of two parts with a sign between them.

    >>> infix("*", infix("+", Expression("a"), Expression("b")), Expression("c")).text
    '(a + b) * c'
    """
    strength = STRENGTHS[sign]
    first = left.inside(strength + (sign == "**"))
    return Expression(f"{first} {sign} {right.inside(strength + 1)}", strength)


@dataclass(frozen=True, eq=False)
class Term:
    """A factor: its text, its shape, and what computes it."""

    text: str
    shape: Shape | None = None  # None: not known
    strength: int = ATOM
    compute: Callable[[Values], Any] = lambda values: values[None]
    part: Callable[[Values, Any], Any] | None = None  # some rows of it, at less cost
    pair: tuple[Term, Term] | None = None  # of a product of matrices
    constant: float | None = None  # of a number

    def inside(self, strength: int) -> str:
        """The text as a part of a larger one, in parentheses where it needs them."""
        return Expression(self.text, self.strength).inside(strength)

    def value(self, values: Values, rows: Any = None) -> Any:
        """What it computes, or some rows of that."""
        if rows is None:
            return self.compute(values)
        return self.part(values, rows) if self.part else self.compute(values)[rows]

    def or_kept(self, key: Hashable) -> Term:
        """The same with the value of a key, where what it is made of was not kept."""

        def part(values: Values, rows: Any) -> Any:
            try:
                return self.value(values, rows)
            except KeyError:
                return values[key] if rows is None else values[key][rows]

        return replace(self, compute=lambda values: part(values, None), part=part)

    def rows_in(self, shape: Shape | None, rows: Any) -> Any:
        """The rows of it that some rows of a result need; what is broadcast stays whole."""
        return rows if self.shape == shape else None

    def __add__(self, other: Term) -> Term:
        return joined("+", self, other)

    def __sub__(self, other: Term) -> Term:
        return joined("-", self, other)

    def __mul__(self, other: Term) -> Term:
        return joined("*", self, other)

    def __gt__(self, other: Term) -> Term:
        return joined(">", self, other)

    def __pow__(self, exponent: float) -> Term:
        text = f"{self.inside(ATOM)}**{as_written(exponent)}"
        return _made(text, POWER, self.shape, lambda x: x**exponent, self)

    def __matmul__(self, other: Term) -> Term:
        """A product of matrices; its factors stand in brackets unless they are names."""
        text = f"{self.inside(UNARY)} @ {other.inside(UNARY)}"

        def part(values: Values, rows: Any) -> Any:
            return self.value(values, rows) @ other.value(values)

        return Term(text, None, PRODUCT, lambda values: part(values, None), part, (self, other))

    @property
    def turned(self) -> Term:
        """The transpose, of a product that of its factors."""
        shape = self.shape and (*self.shape[:-2], *self.shape[:-3:-1])
        if self.pair:
            return replace(self.pair[1].turned @ self.pair[0].turned, shape=shape)
        mark = ".mT" if shape and len(shape) > 2 else ".T"
        text = f"{self.inside(ATOM)}{mark}"
        if self.text.endswith(".T") and self.strength == ATOM:
            text = self.text[:-2]
        return Term(text, shape, ATOM, lambda values: self.value(values).mT)


def _made(
    text: str, strength: int, shape: Shape | None, compute: Callable[..., Any], *parts: Term
) -> Term:
    """What is computed of each element of some terms."""

    def part(values: Values, rows: Any) -> Any:
        return compute(*(one.value(values, one.rows_in(shape, rows)) for one in parts))

    return Term(text, shape, strength, lambda values: part(values, None), part)


def joined(sign: str, left: Term, right: Term) -> Term:
    """Two terms with a sign between them."""
    text = infix(sign, left, right)
    shapes = [one.shape for one in (left, right)]
    shape = None if None in shapes else max(shapes, key=lambda one: (len(one or ()), one))
    return _made(text.text, text.strength, shape, _COMPUTED[sign], left, right)


def number(value: float) -> Term:
    """A number as a factor."""
    strength = ATOM if value >= 0 else PRODUCT
    return Term(as_written(value), (), strength, lambda values: value, constant=value)


def named(text: str, shape: Shape | None, key: Hashable) -> Term:
    """A variable's name, or the expression of one without; its value is that of the key."""
    whole = re.fullmatch(r"[\w.?]+|[\w.]+\([^()]*\)", text)
    return Term(text, shape, ATOM if whole else SUM, lambda values: values[key])


def call(name: str, *parts: Term | float, shape: Shape | None = None, **options: Any) -> Term:
    """A function of torch with its arguments: `sum(∂, dim=0)`; the shape is that of the first."""
    terms = [part if isinstance(part, Term) else number(part) for part in parts]
    given = [term.text for term in terms]
    given += [f"{option}={value}" for option, value in options.items()]
    text = f"{name}({', '.join(given)})"
    if name in ("sum", "mean", "outer", "unsqueeze", "softmax"):  # not of each element
        value = lambda values: computing(name)(*(t.value(values) for t in terms), **options)  # noqa: E731
        return Term(text, shape, ATOM, value)
    return _made(text, ATOM, shape or terms[0].shape, partial(_elementwise, name), *terms)


def _elementwise(name: str, *values: Any) -> Any:
    import torch

    made = [
        torch.as_tensor(one, dtype=torch.float64) if isinstance(one, int | float) else one
        for one in values
    ]
    return computing(name)(*made)


def computing(name: str) -> Callable[..., Any]:
    """What a function's name means in a text."""
    import torch

    if name == "softmax":
        return lambda x: torch.softmax(x, -1)
    return getattr(torch, name, None) or getattr(torch.nn.functional, name)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Product:
    """Factors over divisors; `shape` is that of the gradient that they make."""

    shape: Shape
    above: tuple[Term, ...] = ()
    below: tuple[Term, ...] = ()
    negative: bool = False
    spread: bool = False  # one number, which stands for a tensor of that shape full of it
    rows: int = 0  # that were computed, of many; 0: all

    @property
    def text(self) -> str:
        """The product as PyTorch would compute it, with ∂ for the gradient that arrives."""
        if not self.above and self.spread:
            above = f"ones({listed(self.shape)})"
        elif self.spread:
            product = " * ".join(factor.inside(PRODUCT) for factor in self.above)
            above = f"expand({product}, ({listed(self.shape)}))"
        elif len(self.above) == 1:
            (only,) = self.above
            above = only.inside(PRODUCT if self.below or self.negative else 0)
        else:
            above = " * ".join(factor.inside(PRODUCT + 1) for factor in self.above) or "1"
        divisors = "".join(f" / {factor.inside(PRODUCT + 1)}" for factor in self.below)
        return f"{'-' * self.negative}{above}{divisors}"

    def value(self, values: Values, rows: Any = None) -> Any:
        """What it computes, or some rows of it; a number stands for a tensor full of it."""
        above, below = (
            [factor.value(values, factor.rows_in(self.shape, rows)) for factor in factors]
            for factors in (self.above, self.below)
        )
        found = reduce(operator.truediv, below, reduce(operator.mul, above, 1))
        return -found if self.negative else found

    def whole(self) -> Term:
        """The product as one factor of another."""
        if len(self.above) == 1 and not (self.below or self.negative or self.spread):
            return replace(self.above[0], shape=self.shape)
        alone = not self.below and not self.negative and (self.spread or not self.above)

        def part(values: Values, rows: Any) -> Any:
            found = self.value(values, rows)
            if self.spread:
                found = values[GRADIENT].new_ones(self.shape) * found
                return found if rows is None else found[rows]
            return found

        strength = ATOM if alone else PRODUCT
        return Term(self.text, self.shape, strength, lambda values: part(values, None), part)

    def times(self, *factors: Term) -> Product:
        """With more factors of the same shape, or of one that is broadcast to it."""
        full = any(factor.shape == self.shape for factor in factors)
        return replace(self, above=(*self.above, *factors), spread=self.spread and not full)

    def over(self, *divisors: Term) -> Product:
        """With more divisors."""
        full = any(one.shape == self.shape for one in divisors)
        return replace(self, below=(*self.below, *divisors), spread=self.spread and not full)

    def __mul__(self, factor: Term | float) -> Product:
        return self.times(factor if isinstance(factor, Term) else number(factor))

    def __truediv__(self, divisor: Term | float) -> Product:
        return self.over(divisor if isinstance(divisor, Term) else number(divisor))

    def __neg__(self) -> Product:
        return replace(self, negative=not self.negative)


def one_hot(target: Term, shape: Shape) -> Term:
    """A row for each class of the target, with 1 at its place."""

    def value(values: Values) -> Any:
        import torch

        hot = torch.nn.functional.one_hot(target.value(values).long(), shape[-1])
        return hot.to(values[GRADIENT].dtype)

    return Term(f"onehot({target.text})", shape, ATOM, value)


def shapes_line(product: Product, arriving: Shape) -> str:
    """The shapes of a product: `(4 × 3) = (4 × 2) @ (2 × 3)`.

    >>> x, g = Term("x.T", (4, 2)), Term("∂", (2, 3))
    >>> shapes_line(Product((4, 3), (x @ g,)), (2, 3))
    '(4 × 3) = (4 × 2) @ (2 × 3)'
    """
    shown = _bracketed(product.shape)
    pair = product.above[0].pair if len(product.above) == 1 else None
    if pair and pair[0].shape is not None and pair[1].shape is not None:
        return f"{shown} = {_bracketed(pair[0].shape)} @ {_bracketed(pair[1].shape)}"
    return shown if product.shape == arriving else f"{shown} from {_bracketed(arriving)}"


def _bracketed(shape: Shape) -> str:
    return f"({' × '.join(map(str, shape))})" if shape else "scalar"


def listed(shape: Iterable[int]) -> str:
    """A shape as arguments of a call: `2, 3`, or `3,`."""
    sizes = list(map(str, shape))
    return ", ".join(sizes) + ("," if len(sizes) == 1 else "")
