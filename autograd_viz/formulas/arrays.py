"""Small tensors of SymPy expressions: sums, products of matrices, changes of shape, indexing.

An operation of which the graph does not keep enough (a dimension that the shapes leave open)
gives None: there is no formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import sympy
from sympy import Expr

if TYPE_CHECKING:
    from autograd_viz.formulas.rules import Options, Sign

Shape = tuple[int, ...]


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


def computed(
    name: str, operands: Sequence[Array], shapes: Sequence[Shape], options: Options, sign: Sign
) -> list[Array] | None:
    """The outputs of one operation on tensors; None if it is not known, or not enough of it."""
    shape, x = shapes[0], operands[0]
    match name:
        case (
            "Sum"
            | "Mean"
            | "Prod"
            | "Amax"
            | "Amin"
            | "MaxBackward1"
            | "MinBackward1"
            | "Max"
            | "Min"
        ):
            return one(_reduced(name, x, shape, options, sign))
        case "LinalgVectorNorm" if options.get("ord") == 2:
            return one(_reduced("Norm", x, shape, options, sign))
        case "Logsumexp":
            return one(_reduced(name, x, shape, options, sign))
        case "Softmax" | "LogSoftmax":
            return one(_softmax(name, x, options))
        case "Stack" | "Cat":
            return one(_together(name, operands, shape, options))
        case "Select" | "Unbind" | "Slice" | "Transpose" | "Permute" | "T":
            return _indexed(name, x, shapes, options)
        case "Dot" if len(x.items) == len(operands[1].items):
            return [scalar(_dot(x.items, operands[1].items))]
        case "Mv" | "Mm":
            return one(_product(x, operands[1], shape))
        case "Addmm":
            inner = _product(operands[1], operands[2], shape)
            if inner is None or {options.get("alpha", 1), options.get("beta", 1)} != {1}:
                return None
            bias = expand(x, shape)
            pairs = zip(bias.items, inner.items, strict=True)
            return [Array(shape, tuple(left + right for left, right in pairs))]
        case "View" | "ReshapeAlias" | "UnsafeView" | "Unsqueeze" | "Squeeze":
            return [Array(shape, x.items)] if len(x.items) == math.prod(shape) else None
        case "Expand":
            return [expand(x, shape)]
    return None


def one(array: Array | None) -> list[Array] | None:
    """The only output of an operation."""
    return None if array is None else [array]


def _indices(shape: Shape) -> Iterator[tuple[int, ...]]:
    return product(*map(range, shape))


def _flat(shape: Shape, index: Sequence[int]) -> int:
    place = 0
    for size, at in zip(shape, index, strict=True):
        place = place * size + at
    return place


def _reduced(name: str, x: Array, shape: Shape, options: Options, sign: Sign) -> Array | None:
    dims = _dims(x.shape, shape, options)
    if dims is None:
        return None
    groups: dict[tuple[int, ...], list[Expr]] = {}
    for index, item in zip(_indices(x.shape), x.items, strict=True):
        kept = tuple(at for dim, at in enumerate(index) if dim not in dims)
        groups.setdefault(kept, []).append(item)
    return Array(shape, tuple(_combined(name, items, sign) for items in groups.values()))


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
    return _extreme(items, 1 if "ax" in name else -1, sign)


def _softmax(name: str, x: Array, options: Options) -> Array | None:
    if len(x.shape) > 1 and "dim" not in options:
        return None
    dim = options.get("dim", 0) % max(len(x.shape), 1)
    total: dict[tuple[int, ...], Expr] = {}
    for index, item in zip(_indices(x.shape), x.items, strict=True):
        kept = (*index[:dim], *index[dim + 1 :])
        total[kept] = total.get(kept, 0) + sympy.exp(item)
    items = []
    for index, item in zip(_indices(x.shape), x.items, strict=True):
        below = total[(*index[:dim], *index[dim + 1 :])]
        items.append(sympy.exp(item) / below if name == "Softmax" else item - sympy.log(below))
    return Array(x.shape, tuple(items))


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


def _together(name: str, operands: Sequence[Array], shape: Shape, options: Options) -> Array | None:
    """Stack or cat, along the saved dimension or the only one that the shapes allow."""
    first = operands[0].shape
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
    return Array(shape, tuple(items)) if len(items) == math.prod(shape) else None


def _indexed(name: str, x: Array, shapes: Sequence[Shape], options: Options) -> list[Array] | None:
    """Each element of the outputs is one of the input's."""
    size = len(x.shape)
    dim = options.get("dim", 0 if size == 1 else None)
    if name in ("Select", "Unbind", "Slice") and dim is None:
        return None

    def taken(shape: Shape, place: Callable[[tuple[int, ...]], Sequence[int]]) -> Array:
        items = (x.items[_flat(x.shape, place(index))] for index in _indices(shape))
        return Array(shape, tuple(items))

    def inserted(index: tuple[int, ...], at: int) -> tuple[int, ...]:
        return (*index[: dim % size], at, *index[dim % size :])

    match name:
        case "Select" if "index" in options:
            at = options["index"] % x.shape[dim]
            return [taken(shapes[0], lambda index: inserted(index, at))]
        case "Unbind":
            return [
                taken(shape, lambda index, at=at: inserted(index, at))  # type: ignore[misc]
                for at, shape in enumerate(shapes)
            ]
        case "Slice" if "start" in options:
            start, step = options["start"] % (x.shape[dim] + 1), options.get("step", 1)

            def along(index: tuple[int, ...]) -> Sequence[int]:
                return [
                    start + step * at if number == dim % size else at
                    for number, at in enumerate(index)
                ]

            return [taken(shapes[0], along)]
        case "T" | "Transpose" | "Permute":
            order = _order(name, size, options)
            if order is None:
                return None

            def swapped(index: tuple[int, ...]) -> Sequence[int]:
                place = [0] * size
                for here, there in enumerate(order):
                    place[there] = index[here]
                return place

            return [taken(shapes[0], swapped)]
    return None


def _order(name: str, size: int, options: Options) -> Sequence[int] | None:
    order: list[Any] = list(range(size))
    if name == "T" or size < 2:
        return order[::-1]
    if name == "Transpose" and {"dim0", "dim1"} <= options.keys():
        one, other = options["dim0"] % size, options["dim1"] % size
        order[one], order[other] = order[other], order[one]
        return order
    return options.get("dims") or ([1, 0] if size == 2 else None)


def _dot(left: Sequence[Expr], right: Sequence[Expr]) -> Expr:
    return sum((x * y for x, y in zip(left, right, strict=True)), sympy.Integer(0))


def _product(x: Array, y: Array, shape: Shape) -> Array | None:
    if len(x.shape) != 2 or len(y.shape) not in (1, 2) or x.shape[1] != y.shape[0]:
        return None
    inner = x.shape[1]
    columns = y.shape[1] if len(y.shape) == 2 else 1
    items = [
        _dot(x.items[row * inner : (row + 1) * inner], y.items[column::columns])
        for row in range(x.shape[0])
        for column in range(columns)
    ]
    return Array(shape, tuple(items))
