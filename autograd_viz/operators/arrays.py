"""Small tensors of SymPy expressions, as arrays of NumPy, for the table's rules of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import sympy
from sympy import Expr

if TYPE_CHECKING:
    from autograd_viz.operators.scalars import Sign

Shape = tuple[int, ...]
Array = Any  # an array of NumPy of expressions


class Known(NamedTuple):
    """What is known of an operation on tensors."""

    shapes: Sequence[Shape]  # of its outputs
    options: Mapping[str, Any]
    sign: Sign

    @property
    def shape(self) -> Shape:
        """Of the only output."""
        return self.shapes[0]

    def dim(self, x: Array) -> int:
        """The only dimension that is meant; KeyError where the graph does not keep it."""
        return int(self.options["dim"] if x.ndim > 1 else self.options.get("dim", 0))

    def dims(self, x: Array) -> Shape:
        """Which dimensions are summed over: as saved, or the only ones that the shapes allow."""
        saved = self.options.get("dim")
        if saved is not None and saved != ():
            given = (saved,) if isinstance(saved, int) else saved
            return tuple(dim % max(x.ndim, 1) for dim in given) if x.ndim else ()
        if np.prod(self.shape) == 1:
            return tuple(range(x.ndim))
        if len(self.shape) == x.ndim:
            return tuple(dim for dim, size in enumerate(x.shape) if size != self.shape[dim])
        (dim,) = (at for at in range(x.ndim) if x.shape[:at] + x.shape[at + 1 :] == self.shape)
        return (dim,)

    def joined(self, first: Array) -> int:
        """The dimension of stack or cat: as saved, or the only one that the shapes allow."""
        if isinstance(self.options.get("dim"), int):
            return int(self.options["dim"])
        if len(self.shape) > first.ndim:
            (dim,) = (
                at
                for at in range(len(self.shape))
                if self.shape[:at] + self.shape[at + 1 :] == first.shape
            )
            return dim
        (dim,) = (
            at for at, size in enumerate(self.shape) if first.ndim == 1 or size != first.shape[at]
        )
        return dim


def array(items: Sequence[Expr], shape: Shape) -> Array:
    """Expressions in rows, the last dimension fastest."""
    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made.reshape(shape)


def elementwise(rule: Callable[..., Expr | None], arrays: Sequence[Array], shape: Shape) -> Array:
    """The rule for each element of the result, with operands broadcast to its shape.

    KeyError where there is none.
    """
    wide = [np.broadcast_to(one, shape).reshape(-1) for one in arrays]
    items = [rule(*operands) for operands in zip(*wide, strict=True)]
    if any(item is None for item in items):
        raise KeyError
    return array(list(map(sympy.sympify, items)), shape)


def each(function: Callable[[Expr], Expr], x: Array) -> Array:
    """A function of each element."""
    given = np.asarray(x, dtype=object)  # of no dimension NumPy makes an expression alone
    return array([function(item) for item in given.reshape(-1)], given.shape)


def reduced(known: Known, x: Array, combined: Callable[[Sequence[Expr]], Expr]) -> Array:
    """What the elements along some dimensions make together."""
    dims = known.dims(x)
    last = np.moveaxis(x, dims, range(-len(dims), 0)) if dims else x[..., None]
    groups = last.reshape(-1, int(np.prod(last.shape[last.ndim - max(len(dims), 1) :])))
    return array([combined(list(group)) for group in groups], known.shape)


def extreme(known: Known, items: Sequence[Expr], wanted: int) -> Expr:
    """The largest or smallest; of several equal ones their mean, as PyTorch shares the gradient."""
    best = [items[0]]
    for item in items[1:]:
        found = known.sign(item, best[0])
        if found == wanted:
            best = [item]
        elif found == 0:
            best.append(item)
    return sympy.Add(*best) / len(best)


def softmax(known: Known, x: Array) -> Array:
    """e^x over the sum of all e^x along a dimension."""
    powers = each(sympy.exp, x)
    return powers / powers.sum(axis=known.dim(x), keepdims=True)


def log_softmax(known: Known, x: Array) -> Array:
    """X - ln of the sum of all e^x along a dimension."""
    return x - each(sympy.log, each(sympy.exp, x).sum(axis=known.dim(x), keepdims=True))


def sliced(known: Known, x: Array) -> Array:
    """Some items along a dimension."""
    dim, start, step = known.dim(x), known.options["start"], known.options.get("step", 1)
    first = start % (x.shape[dim] + 1)
    return x.take(range(first, first + step * known.shape[dim], step), axis=dim)


def ordered(known: Known, x: Array) -> Array:
    """The dimensions in another order."""
    if x.ndim < 3:
        return x.T
    if "dims" in known.options:
        return x.transpose(known.options["dims"])
    return x.swapaxes(known.options["dim0"], known.options["dim1"])
