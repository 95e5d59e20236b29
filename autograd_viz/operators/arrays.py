"""Small tensors of SymPy expressions: sums, products of matrices, changes of shape, indexing.

An operation of which the graph does not keep enough (a dimension that the shapes leave open)
gives None: there is no formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import sympy
from sympy import Expr

if TYPE_CHECKING:
    from autograd_viz.operators.scalars import Sign

Options = Mapping[str, Any]
Shape = tuple[int, ...]
Found = Sequence["Array"] | None  # the outputs of an operation


class Array(NamedTuple):
    """Expressions in rows, the last dimension fastest."""

    shape: Shape
    items: tuple[Expr, ...]


def scalar(item: Expr) -> Array:
    """One expression as a tensor without dimensions."""
    return Array((), (item,))


def elementwise(
    rule: Callable[..., Expr | None], arrays: Sequence[Array], shape: Shape
) -> Array | None:
    """The rule for each element of the result, with operands broadcast to its shape."""
    expanded = [expand(array, shape) for array in arrays]
    items = [rule(*operands) for operands in zip(*(array.items for array in expanded), strict=True)]
    return None if any(item is None for item in items) else Array(shape, tuple(items))


def expand(array: Array, shape: Shape) -> Array:
    """The same elements repeated along new dimensions and those of size 1."""
    if array.shape == shape:
        return array
    own = (1,) * (len(shape) - len(array.shape)) + array.shape
    items = []
    for index in _indices(shape):
        place = tuple(0 if size == 1 else at for size, at in zip(own, index, strict=True))
        items.append(array.items[_flat(own, place)])
    return Array(shape, tuple(items))


def _indices(shape: Shape) -> Iterator[tuple[int, ...]]:
    return product(*map(range, shape))


def _flat(shape: Shape, index: Sequence[int]) -> int:
    place = 0
    for size, at in zip(shape, index, strict=True):
        place = place * size + at
    return place


def reduced(
    name: str, operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: Sign
) -> Found:
    """A sum, a product or the like over some dimensions, as `name` says."""
    (x, *_), shape = operands, shapes[0]
    dims = _dims(x.shape, shape, options)
    if dims is None:
        return None
    groups: dict[tuple[int, ...], list[Expr]] = {}
    for index, item in zip(_indices(x.shape), x.items, strict=True):
        kept = tuple(at for dim, at in enumerate(index) if dim not in dims)
        groups.setdefault(kept, []).append(item)
    return [Array(shape, tuple(_combined(name, items, sign) for items in groups.values()))]


def _combined(name: str, items: Sequence[Expr], sign: Sign) -> Expr:
    match name:
        case "Sum":
            return sympy.Add(*items)
        case "Mean":
            return sympy.Add(*items) / len(items)
        case "Prod":
            return sympy.Mul(*items)
        case "Norm":
            return sympy.sqrt(sympy.Add(*(item**2 for item in items)))
        case "Logsumexp":
            return sympy.log(sympy.Add(*map(sympy.exp, items)))
    return _extreme(items, 1 if name == "Largest" else -1, sign)


def softmax(operands: Sequence[Array], shapes: object, options: Options, sign: object) -> Found:
    """e^x over the sum of all e^x along a dimension."""
    (x,) = operands
    totals = _totals(x, options)
    if totals is None:
        return None
    items = (sympy.exp(item) / total for item, total in zip(x.items, totals, strict=True))
    return [Array(x.shape, tuple(items))]


def log_softmax(operands: Sequence[Array], shapes: object, options: Options, sign: object) -> Found:
    """X - ln of the sum of all e^x along a dimension."""
    (x,) = operands
    totals = _totals(x, options)
    if totals is None:
        return None
    items = (item - sympy.log(total) for item, total in zip(x.items, totals, strict=True))
    return [Array(x.shape, tuple(items))]


def _totals(x: Array, options: Options) -> list[Expr] | None:
    """For each element the sum of e^x along a dimension."""
    if len(x.shape) > 1 and "dim" not in options:
        return None
    dim = options.get("dim", 0) % max(len(x.shape), 1)
    total: dict[tuple[int, ...], Expr] = {}
    places = [(*index[:dim], *index[dim + 1 :]) for index in _indices(x.shape)]
    for place, item in zip(places, x.items, strict=True):
        total[place] = total.get(place, 0) + sympy.exp(item)
    return [total[place] for place in places]


def _dims(before: Shape, after: Shape, options: Options) -> set[int] | None:
    """Which dimensions are summed over: as saved, or the only ones that the shapes allow."""
    saved = options.get("dim")
    if saved is not None and saved != ():
        given = (saved,) if isinstance(saved, int) else saved
        return {dim % max(len(before), 1) for dim in given}
    if math.prod(after) == 1:
        return set(range(len(before)))
    if len(after) == len(before):
        return {dim for dim, size in enumerate(before) if size != after[dim]}
    fitting = [dim for dim in range(len(before)) if before[:dim] + before[dim + 1 :] == after]
    return set(fitting) if len(fitting) == 1 else None


def _extreme(items: Sequence[Expr], wanted: int, sign: Sign) -> Expr:
    """The largest or smallest; of several equal ones their mean, as PyTorch shares the gradient."""
    best = [items[0]]
    for item in items[1:]:
        found = sign(item, best[0])
        if found == wanted:
            best = [item]
        elif found == 0:
            best.append(item)
    return sum(best, sympy.Integer(0)) / len(best)


def together(
    name: str, operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """Stack or cat, along the saved dimension or the only one that the shapes allow."""
    first, shape = operands[0].shape, shapes[0]
    dims: Sequence[int]
    if isinstance(options.get("dim"), int):
        dims = [options["dim"] % len(shape)]
    elif name == "Stack":
        dims = [dim for dim in range(len(shape)) if shape[:dim] + shape[dim + 1 :] == first]
    else:
        dims = [dim for dim in range(len(shape)) if len(shape) == 1 or shape[dim] != first[dim]]
    if len(dims) != 1:
        return None
    dim, items = dims[0], []
    for index in _indices(shape):
        at = index[dim]
        for operand in operands:
            size = 1 if name == "Stack" else operand.shape[dim]
            if at < size:
                rest = index[:dim] + (() if name == "Stack" else (at,)) + index[dim + 1 :]
                items.append(operand.items[_flat(operand.shape, rest)])
                break
            at -= size
    return [Array(shape, tuple(items))] if len(items) == math.prod(shape) else None


def _taken(x: Array, shape: Shape, place: Callable[[tuple[int, ...]], Sequence[int]]) -> Array:
    """Elements of x by their places."""
    return Array(shape, tuple(x.items[_flat(x.shape, place(at))] for at in _indices(shape)))


def _dim(x: Array, options: Options) -> int | None:
    """The dimension that is indexed."""
    dim = options.get("dim", 0 if len(x.shape) == 1 else None)
    return None if dim is None else dim % len(x.shape)


def unbound(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """All items along a dimension."""
    (x,), dim = operands, _dim(operands[0], options)
    if dim is None:
        return None
    return [
        _taken(x, shape, lambda index, at=at: (*index[:dim], at, *index[dim:]))  # type: ignore[misc]
        for at, shape in enumerate(shapes)
    ]


def selected(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """One item along a dimension."""
    (x,), dim = operands, _dim(operands[0], options)
    if dim is None or "index" not in options:
        return None
    at = options["index"] % x.shape[dim]
    return [_taken(x, shapes[0], lambda index: (*index[:dim], at, *index[dim:]))]


def sliced(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """Some items along a dimension."""
    (x,), dim = operands, _dim(operands[0], options)
    if dim is None or "start" not in options:
        return None
    start, step = options["start"] % (x.shape[dim] + 1), options.get("step", 1)

    def along(index: tuple[int, ...]) -> Sequence[int]:
        return (*index[:dim], start + step * index[dim], *index[dim + 1 :])

    return [_taken(x, shapes[0], along)]


def ordered(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """The dimensions in another order."""
    (x,), order = operands, _order(len(operands[0].shape), options)
    if order is None:
        return None

    def swapped(index: tuple[int, ...]) -> Sequence[int]:
        return [at for _, at in sorted(zip(order, index, strict=True))]

    return [_taken(x, shapes[0], swapped)]


def reshaped(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """The same elements in another shape."""
    return [Array(shapes[0], operands[0].items)]


def expanded(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """The elements repeated."""
    return [expand(operands[0], shapes[0])]


def dot(operands: Sequence[Array], shapes: object, options: Options, sign: object) -> Found:
    """Of two vectors."""
    return [scalar(_dot(*(each.items for each in operands)))]


def matrices(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """A matrix times a matrix or a vector."""
    x, y = operands
    inner, columns = x.shape[1], y.shape[1] if len(y.shape) == 2 else 1
    items = [
        _dot(x.items[row * inner : (row + 1) * inner], y.items[column::columns])
        for row in range(x.shape[0])
        for column in range(columns)
    ]
    return [Array(shapes[0], tuple(items))]


def added(
    operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: object
) -> Found:
    """A product of matrices and a sum."""
    if {options.get("alpha", 1), options.get("beta", 1)} != {1}:
        return None
    (inner,) = matrices(operands[1:], shapes, options, sign) or ()
    pairs = zip(expand(operands[0], shapes[0]).items, inner.items, strict=True)
    return [Array(shapes[0], tuple(left + right for left, right in pairs))]


def _order(size: int, options: Options) -> Sequence[int] | None:
    order: list[Any] = list(range(size))
    if size < 2 or (size == 2 and options.get("dims") is None):
        return order[::-1]
    if {"dim0", "dim1"} <= options.keys():
        one, other = options["dim0"] % size, options["dim1"] % size
        order[one], order[other] = order[other], order[one]
        return order
    return options.get("dims")


def _dot(left: Sequence[Expr], right: Sequence[Expr]) -> Expr:
    return sum((x * y for x, y in zip(left, right, strict=True)), sympy.Integer(0))
