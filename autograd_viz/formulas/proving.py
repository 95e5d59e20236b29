"""Whether a vector-Jacobian product, computed, is the gradient that PyTorch computed."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.formulas import hooks
from autograd_viz.formulas.products import GRADIENT
from autograd_viz.model import Link, Slot, Variables

Places = Mapping[tuple[int, int | str], int]  # as of `recipes.Read`
LARGEST = 2**18  # elements that are computed with; of larger products nothing is known
OUT = "out"  # in a text: what the variable itself is

_FUNCTIONS = (
    *("relu", "sigmoid", "tanh", "exp", "log2", "sqrt", "sin", "cos", "abs", "square", "sign"),
    *("conj", "reciprocal", "sum", "mean", "reshape", "outer", "unsqueeze"),
)
_KNOWN: dict[str, Any] = {name: getattr(torch, name) for name in _FUNCTIONS}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
}
_SLACK = 256  # roundings, of an element or of the largest one


def name(place: int) -> str:
    """What a text calls an input of its recipe."""
    return f"v{place}_"


def same(written: str, variables: Variables, link: Link, places: Places) -> bool:
    """Whether the text gives what was sent along a link; True where a value is not known.

    Args:
        written: made by the rules of names and numbers alone, no text of the user's is in it.
        variables: a traced computation by variable.
        link: one of its links.
        places: of the inputs of the recipe of the variable that the link begins at.
    """
    sent = hooks.computed(variables, link)
    names = set(re.findall(r"\bv\d+_|\bout\b", written))
    if sent is None or not written or "?" in written or "…" in written:
        return True
    values = _values(variables, link, places, names)
    if values is None or not all(map(_is_plain, (sent, *values.values()))):
        return True
    if sum(value.numel() for value in (sent, *values.values())) > LARGEST:
        return True
    node = _parsed(written)
    with torch.no_grad():
        return any(_agrees(node, values, sent, double) for double in (False, True))


def _values(
    variables: Variables, link: Link, places: Places, names: set[str]
) -> dict[str, Tensor] | None:
    """What the names in a text stand for, and the gradient that arrives."""
    source = variables.nodes[link.source]
    values: dict[str, Tensor | None] = {}
    for (variable, which), place in places.items():
        if name(place) in names:
            values[name(place)] = (
                _constant(variables, which)
                if isinstance(which, str)
                else variables.values(variables.nodes[variable])[which]
            )
    if OUT in names:
        values[OUT] = variables.values(source)[0]
    if variables.trace is not None and source.node is not None:
        values["grad"] = variables.trace.arrived(Slot(source.node, 0))
    known = {key: value for key, value in values.items() if value is not None}
    return known if len(known) == len(values) and names <= known.keys() else None


def _constant(variables: Variables, title: str) -> Tensor | None:
    return next((one.value for one in variables.nodes if one.name == title), None)


def _is_plain(value: Tensor) -> bool:
    return not value.is_nested and value.layout is torch.strided and text.has_numbers(value)


@lru_cache(1024)
def _parsed(written: str) -> ast.expr:
    return ast.parse(written.replace(GRADIENT, "grad"), mode="eval").body


def _computed(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """What a text means: names, numbers, operators, and calls of the functions that are known."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return scope[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_computed(left, scope), _computed(right, scope))
        case ast.UnaryOp(operand=operand):
            return -_computed(operand, scope)
        case ast.Compare(left=left, comparators=[right]):
            return _computed(left, scope) > _computed(right, scope)
        case ast.Attribute(value=value, attr="T" | "mT"):
            return _computed(value, scope).mT
        case ast.Tuple(elts=elements):
            return tuple(_computed(one, scope) for one in elements)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            given = {str(one.arg): _computed(one.value, scope) for one in keywords}
            return scope[name](*(_computed(one, scope) for one in arguments), **given)
    raise ValueError(f"a product has a part that no rule writes: {ast.unparse(node)}")


def _agrees(node: ast.expr, values: Mapping[str, Tensor], sent: Tensor, double: bool) -> bool:
    """Whether it does, computed as PyTorch has done it or with more digits."""
    wide = torch.complex128 if sent.is_complex() else torch.float64

    def widened(value: Tensor) -> Tensor:
        exact = double and (value.is_floating_point() or value.is_complex())
        return (
            value.to(torch.complex128 if value.is_complex() else torch.float64) if exact else value
        )

    scope = {**_KNOWN, **{key: widened(value) for key, value in values.items()}}
    scope |= {"expand": _expand, "log": _log, "onehot": _one_hot(sent)}
    scope["ones"] = lambda *shape: torch.ones(shape, dtype=sent.dtype, device=sent.device)
    scope["softmax"] = lambda x, dim=-1: torch.softmax(x, dim)
    try:
        result = torch.as_tensor(_computed(node, scope), device=sent.device)
    except KeyError:
        return True  # a constant that the rule has only a word for, "target"
    except (RuntimeError, IndexError, TypeError, ValueError):  # shapes that do not go together
        return False
    if result.is_complex() and not sent.is_complex():
        return False
    try:
        expanded = result.to(wide).expand(sent.shape)
    except RuntimeError:
        return False
    unit = torch.finfo(sent.dtype).eps
    largest = sent.abs().nan_to_num(0, 0, 0).max().item() if sent.numel() else 0.0
    close = torch.isclose(
        expanded, sent.to(wide), rtol=_SLACK * unit, atol=_SLACK * unit * largest, equal_nan=True
    )
    return bool(close.all())


def _expand(value: Any, shape: tuple[int, ...]) -> Tensor:
    return torch.as_tensor(value).expand(shape)


def _log(value: Any) -> Tensor:
    return torch.log(
        torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
    )


def _one_hot(like: Tensor) -> Any:
    def one_hot(target: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(target.long(), like.shape[-1]).to(like.dtype)

    return one_hot
