"""Vector-Jacobian products of tensor operations that need more than a line of the table.

Each is written as PyTorch would compute it. An operation of which the graph does not keep enough
gives None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autograd_viz.operators.terms import (
    GRADIENT,
    Product,
    Shape,
    Term,
    call,
    listed,
    number,
    one_hot,
)


@dataclass(frozen=True)
class Step:
    """One operation on the way, with what its rule may need."""

    name: str
    place: int  # which of its inputs the way leads to
    operands: tuple[Term, ...]
    out: Term
    options: Mapping[str, Any]

    @property
    def x(self) -> Term:
        """The first operand."""
        return self.operands[0]

    @property
    def y(self) -> Term:
        """The second one."""
        return self.operands[1]

    @property
    def shape(self) -> Shape:
        """Shape of the input that the way leads to."""
        return self.operands[self.place].shape or ()


Rule = Callable[[Product, Step], Product | None]


def vector_jacobian(
    steps: Sequence[Step], ones: bool, rule_of: Callable[[Step], Rule | None]
) -> Product | None:
    """The gradient at the end of a way, written from the one at its beginning.

    `ones`: the way begins at the output itself, whose gradient is 1.
    """
    start = steps[0].out.shape
    if start is None or any(step.operands[step.place].shape is None for step in steps):
        return None
    gradient = Term(GRADIENT, start, compute=lambda values: values[GRADIENT])
    found: Product | None = Product(start, () if ones else (gradient,), spread=ones)
    waiting = list(steps)
    while waiting and found is not None:
        step = waiting.pop(0)
        if step.name == "NllLoss" and waiting and waiting[0].name == "LogSoftmax":
            found = _cross_entropy(found, step, waiting.pop(0))
            continue
        rule = rule_of(step)
        found = rule(found, step) if rule else None
        found = found and _unbroadcast(found, step.shape)
    return found


def single(term: Term, shape: Shape) -> Product:
    """One factor as a product."""
    return Product(shape, (replace(term, shape=shape),))


def same(g: Product, s: Step) -> Product:
    """The gradient goes on as it is."""
    return g


def scaled(g: Product, s: Step) -> Product:
    """Times the factor alpha of `a + alpha * b`."""
    return g * s.options["alpha"] if s.options.get("alpha", 1) != 1 else g


def power(g: Product, s: Step) -> Product | None:
    """Of a base with a number as its exponent."""
    exponent = s.y.constant
    if exponent is None or exponent == 1:
        return None
    return g * 2 * s.x if exponent == 2 else g * exponent * s.x ** (exponent - 1)


def softplus(g: Product, s: Step) -> Product | None:
    """The threshold, above which the slope is taken as 1, stays where it is by default."""
    beta = s.options.get("beta", 1)
    if s.options.get("threshold", 20) != 20:
        return None
    return g * call("sigmoid", s.x if beta == 1 else number(beta) * s.x, shape=g.shape)


def reshaped(g: Product, s: Step) -> Product:
    """The same numbers in the shape of the input."""
    if g.spread:
        return replace(g, shape=s.shape)

    def value(values: Any) -> Any:
        return g.value(values).reshape(s.shape)

    return single(Term(f"reshape({g.text}, ({listed(s.shape)}))", compute=value), s.shape)


def transposed(g: Product, s: Step) -> Product | None:
    """Of a matrix; of more dimensions the order would have to be written."""
    return single(g.whole().turned, s.shape) if len(s.shape) == 2 else None


def dot(g: Product, s: Step) -> Product:
    """The other vector, times a number."""
    return replace(g, shape=s.shape) * replace(s.operands[1 - s.place], shape=s.shape)


def matrices(g: Product, s: Step) -> Product | None:
    """Of a product of matrices, or of a matrix and a vector, with or without a sum before it."""
    if {s.options.get("alpha", 1), s.options.get("beta", 1)} != {1}:
        return None
    left, right = s.operands[-2:]
    index = s.place - len(s.operands) + 2
    if index < 0:
        return g
    other = right if index == 0 else left
    gradient = g.whole()
    if s.name == "Mv" and index == 0:
        return single(call("outer", gradient, other), s.shape)
    if other.shape is None and s.name == "Mv":
        other = replace(other, shape=(*g.shape, *s.shape))
    if other.shape is None:  # a constant's is not kept, but follows from the other two
        known = (s.shape[1], g.shape[1]) if index == 0 else (g.shape[0], s.shape[0])
        other = replace(other, shape=known)
    pair = (gradient, other.turned) if index == 0 else (other.turned, gradient)
    return single(pair[0] @ pair[1], s.shape)


def _unbroadcast(g: Product, target: Shape) -> Product | None:
    """Summed over the dimensions along which an operand was repeated."""
    if g.shape == target:
        return g
    new = len(g.shape) - len(target)
    repeated = [new + dim for dim, size in enumerate(target) if size != g.shape[new + dim]]
    if g.spread:  # a sum of equal numbers
        return replace(g, shape=target) * (math.prod(g.shape) // math.prod(target))
    if not target:
        return single(call("sum", g.whole()), target)
    if new and repeated:
        return None
    dims = list(range(new)) or repeated
    shown = dims[0] if len(dims) == 1 else tuple(dims)
    keep: dict[str, Any] = {"keepdim": True} if repeated else {}
    return single(call("sum", g.whole(), dim=shown, **keep), target)


def spread(g: Product, s: Step) -> Product | None:
    """Through a sum or a mean: the gradient goes to each element alike."""
    target, before = s.shape, s.out.shape or ()
    count = math.prod(target) // max(math.prod(before), 1)
    if g.spread or math.prod(before) == 1:
        wide = replace(g, shape=target, spread=True)
        if before not in ((), target) and not g.spread:  # a gradient of shape (1, 1)
            return None
    else:
        inner = _with_dimension(g, s) if len(before) != len(target) else g.whole()
        if inner is None:
            return None

        def value(values: Any) -> Any:
            return inner.value(values).expand(target)

        wide = single(Term(f"expand({inner.text}, ({listed(target)}))", compute=value), target)
    return wide / count if s.name == "Mean" else wide


def _with_dimension(g: Product, s: Step) -> Term | None:
    """A gradient with the one dimension that was summed over."""
    dim, target = s.options.get("dim"), s.shape
    dims = (dim,) if isinstance(dim, int) else dim
    fitting = [at for at in range(len(target)) if target[:at] + target[at + 1 :] == g.shape]
    if dims is None and len(fitting) == 1:
        dims = fitting
    if dims is None or len(dims) != 1:
        return None
    at = dims[0] % len(target)
    return g.whole() if at == 0 else call("unsqueeze", g.whole(), at)


def softmax(g: Product, s: Step) -> Product | None:
    """Each element also lowers all others."""
    if "dim" not in s.options:
        return None
    out = replace(s.out, shape=g.shape)
    total = call("sum", (g * out).whole(), dim=s.options["dim"], keepdim=True)
    return single(out, g.shape) * replace(g.whole() - total, shape=g.shape)


def log_softmax(g: Product, s: Step) -> Product | None:
    """As of softmax, where the gradient comes to its logarithm."""
    if "dim" not in s.options:
        return None
    total = call("sum", g.whole(), dim=s.options["dim"], keepdim=True)
    return single(g.whole() - call("exp", s.out) * total, s.shape)


def squared_error(g: Product, s: Step) -> Product | None:
    """Of a mean or a sum of squares."""
    shape, reduction = s.shape, s.options.get("reduction")
    if reduction is None and math.prod(shape) != 1:
        return None
    first, second = (s.operands[at] for at in (s.place, 1 - s.place))
    gap = replace(first - second, shape=shape)
    doubled = replace(g, shape=shape, spread=g.shape != shape) * 2 * gap
    count = math.prod(shape) if reduction == 1 else 1
    return doubled / count if count > 1 else doubled


def _rows(s: Step) -> int | None:
    """By what a classification loss divides; None where classes have weights."""
    reduction = s.options.get("reduction")
    if reduction not in (1, 2) or len(s.shape) > 2:
        return None
    rows = s.shape[0] if len(s.shape) == 2 else 1
    if s.options.get("total_weight", rows) != rows:
        return None
    return rows if reduction == 1 else 1


def likelihood(g: Product, s: Step) -> Product | None:
    """Minus 1 at the class of each row."""
    rows = _rows(s)
    if rows is None:
        return None
    hot = replace(g, shape=s.shape, spread=True) * one_hot(s.y, s.shape)
    return -(hot / rows if rows > 1 else hot)


def _cross_entropy(g: Product, loss: Step, scores: Step) -> Product | None:
    """Log-softmax and negative log-likelihood together have one well-known gradient."""
    rows, shape = _rows(loss), loss.shape
    if rows is None:
        return None
    gap = call("softmax", scores.x) - one_hot(loss.y, shape)
    wide = replace(g, shape=shape, spread=True) * replace(gap, shape=shape)
    return wide / rows if rows > 1 else wide
