"""Whether a vector-Jacobian product, computed, is the gradient that PyTorch computed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.formulas import hooks
from autograd_viz.formulas.recipes import Read
from autograd_viz.model import Link, Slot, Variables
from autograd_viz.names import is_tensor
from autograd_viz.nodes import walk_of
from autograd_viz.operators.table import operation as known_as
from autograd_viz.operators.terms import GRADIENT, Product
from autograd_viz.saved import saved_by

LARGEST = 2**18  # elements that are computed with; of larger products some rows
ROWS = 8
OUT = "out"  # what the variable itself is
_SLACK = 256  # roundings, of an element or of the largest one


def proven(product: Product, variables: Variables, link: Link, found: Read) -> Product | None:
    """The product, if it gives what was sent along a link; None where a value was not kept.

    Of a large one some rows are computed, and it says so.
    """
    sent = hooks.computed(variables, link)
    if sent is None or not _is_plain(sent):
        return None
    kept, rows = _Kept(variables, link, found), None
    if kept.largest(sent.numel()) > LARGEST and sent.ndim and len(sent) > ROWS:
        rows = torch.linspace(0, len(sent) - 1, ROWS).long().to(sent.device)
        product = replace(product, rows=ROWS)
    compared = sent if rows is None else sent[rows]
    with torch.no_grad():
        try:
            for kept.exact in (False, True):
                if _agrees(product.value(kept, rows), compared):
                    return product
        except (KeyError, RuntimeError, IndexError, TypeError, ValueError):
            return None  # not kept, or of shapes that do not go together
    return None


class _Kept(Mapping[Hashable, Any]):
    """The values that the names in a product stand for; KeyError where one was not kept."""

    def __init__(self, variables: Variables, link: Link, found: Read) -> None:
        self.variables, self.recipe = variables, found.recipe
        self.source = variables.nodes[link.source]
        self.nodes = self.source.members[::-1]  # as the operations of the recipe
        self.at = {place: key for key, place in found.places.items()}
        self.exact = False  # with as many digits as there are

    def __len__(self) -> int:
        return len(self.recipe.inputs)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.recipe.inputs)

    def largest(self, elements: int) -> int:
        """How many elements the largest tensor has, of a number that is given and the inputs."""
        shapes = [shape for _, shape in self.recipe.inputs if shape is not None]
        return max([elements, *map(math.prod, shapes)])

    def __getitem__(self, key: Hashable) -> Tensor:
        value: Tensor | None = self._found(key)
        if value is None or not _is_plain(value):
            raise KeyError(key)
        if self.exact and (value.is_floating_point() or value.is_complex()):
            return value.to(torch.complex128 if value.is_complex() else torch.float64)
        return value

    def _found(self, key: Any) -> Any:
        if key == GRADIENT and self.variables.trace and self.source.node is not None:
            return self.variables.trace.arrived(Slot(self.source.node, 0))
        if key == OUT:
            value = self.variables.values(self.source)[0]
            return self._saved(self.source.node, "result") if value is None else value
        number, index = key
        operation = self.recipe.operations[number]
        operand = operation.operands[index]
        value = self._value(*self.at[int(operand.place)]) if operand.kind == "input" else None
        if value is None:
            value = self.variables.graph.given.get((self.nodes[number], index))
        roles = known_as(operation.name).roles
        if value is None and index < len(roles):
            value = self._saved(self.nodes[number], roles[index])
        return value

    def _value(self, variable: int, which: int | str) -> Tensor | None:
        if isinstance(which, int):
            return self.variables.values(self.variables.nodes[variable])[which]
        return next((one.value for one in self.variables.nodes if one.name == which), None)

    def _saved(self, node: int | None, name: str) -> Any:
        """What an operation kept for its gradient, which is as it was then or not there."""
        walk = walk_of(self.variables)
        if walk is None or node is None:
            return None
        value = saved_by(walk.functions[node]).get(name)
        return value if is_tensor(value) else None


def _is_plain(value: Tensor) -> bool:
    return not value.is_nested and value.layout is torch.strided and text.has_numbers(value)


def _agrees(found: Any, sent: Tensor) -> bool:
    """Whether the two are equal but for rounding."""
    wide = torch.complex128 if sent.is_complex() else torch.float64
    result = found if isinstance(found, Tensor) else torch.tensor(found, dtype=wide)
    if result.is_complex() and not sent.is_complex():
        return False
    unit = torch.finfo(sent.dtype).eps
    largest = sent.abs().nan_to_num(0, 0, 0).max().item() if sent.numel() else 0.0
    close = torch.isclose(
        result.to(sent.device, wide).expand(sent.shape),
        sent.to(wide),
        rtol=_SLACK * unit,
        atol=_SLACK * unit * largest,
        equal_nan=True,
    )
    return bool(close.all())
