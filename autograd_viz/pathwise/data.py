"""Paths as data: the product along each, and their sum, as numbers and as formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from autograd_viz.model import Edge, Shown, Variables
from autograd_viz.picture import Formula
from autograd_viz.text import number, summary
from autograd_viz.typeset import Line, Run, derivative

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.picture import Drawing, Style

MOST_FACTORS = 7  # of a product that are written out


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """One path from the output to the leaf, variable by variable."""

    titles: tuple[str, ...]  # of the variables on it, from the output on
    factors: tuple[float | None, ...]  # one a variable: the gradient at the start, mostly 1, first
    product: float | Tensor | None  # a tensor where one is on the way; None: not known
    ways: tuple[tuple[int, int] | None, ...]  # for each later factor: way 1 of 2 into its variable
    variables: tuple[int, ...]  # positions in Variables.nodes
    links: tuple[int, ...]  # positions in Variables.links
    edges: tuple[Edge, ...]  # of the graph

    def __repr__(self) -> str:
        return f"<Path {self.route}: {_shown(self.product)}>"

    @property
    def route(self) -> str:
        """The variables, as in `e → c → a`."""
        return " → ".join(_abridged(list(self.titles)))

    @property
    def written(self) -> str:
        """The product written out, as in `1 * 2 * 1 = 2`."""
        if None in self.factors:
            return _shown(self.product)
        factors = [_factor(factor) for factor in self.factors if factor is not None]
        return f"{' * '.join(_abridged(factors))} = {_shown(self.product)}"

    @property
    def formula(self) -> Formula:
        """The product in symbols and numbers; `(∂y/∂x)₂` is the second way from x into y."""
        first = self.titles[0]
        symbols: list[Line] = [(derivative(first, first),)]
        for (source, target), way in zip(pairwise(self.titles), self.ways, strict=True):
            symbol: Line = (derivative(source, target),)
            if way is not None and way[1] > 1:
                symbol = (Run("("), *symbol, Run(")"), Run(_subscript(way[0])))
            symbols.append(symbol)
        line: list[Any] = []
        for position, symbol in enumerate(_abridged(symbols, more=(Run("…"),))):
            line += [Run(" · "), *symbol] if position else symbol
        return Formula((*line, Run(f" = {self.written}")))


@dataclass(frozen=True, eq=False, repr=False)
class Paths(Shown):
    """The paths from an output to a leaf, of many only the largest; made by `paths`."""

    variables: Variables
    output: str  # the title of the variable where the paths begin
    leaf: str  # and of the one where they end
    count: int  # of all paths, exact
    listed: tuple[Path, ...]
    total: float | Tensor  # the sum over all paths
    gradient: Tensor | None  # autograd's own; None: no gradient arrives
    agrees: bool | None  # whether they are equal, as far as the data type can tell; None: no values
    remarks: tuple[str, ...] = ()  # what is not as one might expect
    hooked: tuple[str, ...] = ()  # what hooks on the way did, as in "a hook made 6 of 3"

    drawing_options: ClassVar[tuple[str, ...]] = ("path", "columns")

    def __repr__(self) -> str:
        return f"<{counted(self.count)} from {self.output} to {self.leaf}>"

    def drawn(self, style: Style, **options: Any) -> Drawing:
        """Draw it, as `autograd_viz.show.picture` asks for."""
        from autograd_viz.pathwise import view

        return view.drawing(self, style=style, **options)

    def __str__(self) -> str:
        from autograd_viz.pathwise import view as paths_view

        return paths_view.words(self)

    def __iter__(self) -> Iterator[Path]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)

    def __getitem__(self, position: int) -> Path:
        return self.listed[position]

    @property
    def products(self) -> tuple[float | Tensor | None, ...]:
        """The product along each listed path."""
        return tuple(path.product for path in self.listed)

    @cached_property
    def others(self) -> float | None:
        """What the paths that are not listed add up to; None where that is not a known number."""
        if not isinstance(self.total, float) or any(
            not isinstance(product, float) for product in self.products
        ):
            return None
        return self.total - math.fsum(_finite_first(self.products))

    @property
    def sum(self) -> Formula:
        """The sum of the products, as in `∂e/∂a = 2 + 8.6562 = 10.6562`."""
        terms = [
            _summand(product) if _is_short(product) else f"path {place}"
            for place, product in enumerate(self.products, start=1)
        ]
        if self.count > len(self.listed):
            left = self.count - len(self.listed)
            rest = "" if self.others is None else f": {number(self.others)}"
            terms.append(f"({counted(left, 'other path')}{rest})")
        total = _shown(self.total)
        written = " + ".join(terms)
        symbol = derivative(self.output, self.leaf)
        if len(terms) < 2 or None in self.products:
            return Formula((symbol, Run(f" = {total}")))
        return Formula((symbol, Run(f" = {written} = {total}")))


def _finite_first(products: Sequence[float | Tensor | None]) -> list[float]:
    """The numbers to add; fsum cannot add inf and -inf."""
    numbers = [product for product in products if isinstance(product, float)]
    return numbers if all(map(math.isfinite, numbers)) else [sum(numbers)]


def counted(count: int, what: str = "path") -> str:
    """How many there are, as text: of huge numbers only the first digits.

    >>> counted(1), counted(1_024), counted(2**200)
    ('1 path', '1,024 paths', '1.607e+60 paths')
    """
    if count < 10**9:
        return f"{count:,} {what}{'s' * (count != 1)}"
    exponent = math.floor(math.log10(count))
    return f"{10 ** (math.log10(count) - exponent):.3f}e+{exponent} {what}s"


def _shown(value: float | Tensor | None) -> str:
    if value is None:
        return "?"
    return number(value) if isinstance(value, float) else "; ".join(summary(value))


def _factor(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def _summand(value: float | Tensor | None) -> str:
    return _factor(value) if isinstance(value, float) else _shown(value)


def _is_short(value: float | Tensor | None) -> bool:
    """Whether it can stand in a sum."""
    return value is None or isinstance(value, float) or len(summary(value)) == 1


def _subscript(value: int) -> str:
    return str(value).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _abridged(items: Sequence[Any], more: Any = "…") -> list[Any]:
    """All items, or of many the first and the last ones."""
    if len(items) <= MOST_FACTORS:
        return list(items)
    return [*items[: MOST_FACTORS - 3], more, *items[-2:]]
