"""Vector-Jacobian products as text that PyTorch could evaluate: factors over divisors.

∂ stands in the place of the gradient that arrives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Shape = tuple[int, ...]
GRADIENT = "∂"  # stands for the gradient that arrives at the variable
SUM, PRODUCT, POWER, ATOM = 1, 2, 4, 5  # how strongly a text holds together


class Text(NamedTuple):
    """A factor: its text and shape; of a product of matrices also the two matrices."""

    text: str
    shape: Shape | None = None  # None: not known
    strength: int = ATOM
    pair: tuple[Any, Any] | None = None

    def inside(self, strength: int) -> str:
        """The text in brackets, if it holds together less strongly than that."""
        return self.text if self.strength >= strength else f"({self.text})"


def named(text: str, shape: Shape | None) -> Text:
    """A variable's name, or the expression of one without."""
    whole = re.fullmatch(r"[\w.]+|[\w.]+\([^()]*\)", text)
    return Text(text, shape, ATOM if whole else SUM)


@dataclass(frozen=True)
class Product:
    """Factors over divisors; `shape` is that of the gradient that they make."""

    shape: Shape
    above: tuple[Text, ...] = ()
    below: tuple[Text, ...] = ()
    negative: bool = False
    spread: bool = False  # one number, which stands for a tensor of that shape full of it

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

    def whole(self) -> Text:
        """The product as one factor of another."""
        if len(self.above) == 1 and not (self.below or self.negative or self.spread):
            return self.above[0]._replace(shape=self.shape)
        alone = not self.below and not self.negative and (self.spread or not self.above)
        return Text(self.text, self.shape, ATOM if alone else PRODUCT)

    def times(self, *factors: Text | None) -> Product | None:
        """With more factors of the same shape, or of one that is broadcast to it."""
        if None in factors:
            return None
        full = any(factor is not None and factor.shape == self.shape for factor in factors)
        more = tuple(factor for factor in factors if factor is not None)
        return replace(self, above=(*self.above, *more), spread=self.spread and not full)

    def over(self, *divisors: Text | None) -> Product | None:
        """With more divisors."""
        if None in divisors:
            return None
        full = any(one is not None and one.shape == self.shape for one in divisors)
        more = tuple(one for one in divisors if one is not None)
        return replace(self, below=(*self.below, *more), spread=self.spread and not full)

    def minus(self) -> Product:
        """With the other sign."""
        return replace(self, negative=not self.negative)


def shapes_line(product: Product, arriving: Shape) -> str:
    """The shapes of a product: `(4 × 3) = (4 × 2) @ (2 × 3)`.

    >>> x, g = Text("x.T", (4, 2)), Text("∂", (2, 3))
    >>> shapes_line(Product((4, 3), (Text("x.T @ ∂", (4, 3), 2, (x, g)),)), (2, 3))
    '(4 × 3) = (4 × 2) @ (2 × 3)'
    """
    shown = _bracketed(product.shape)
    pair = product.above[0].pair if len(product.above) == 1 else None
    if pair and None not in (pair[0].shape, pair[1].shape):
        return f"{shown} = {_bracketed(pair[0].shape)} @ {_bracketed(pair[1].shape)}"
    return shown if product.shape == arriving else f"{shown} from {_bracketed(arriving)}"


def _bracketed(shape: Shape) -> str:
    return f"({' × '.join(map(str, shape))})" if shape else "scalar"


def listed(shape: Shape) -> str:
    """A shape as arguments of a call: `2, 3`, or `3,`."""
    return ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
