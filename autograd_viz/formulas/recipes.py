"""How one variable is computed from others: its operations in order, as a key that can be hashed.

Two runs of one program have equal recipes, whatever their numbers, so that what follows from a
recipe alone (a formula) is derived once. Numbers that the program itself has (`x * 3`) are part
of it, unless the reader has a name for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from autograd_viz.expressions import signed
from autograd_viz.model import Link, Node, Variable, Variables
from autograd_viz.operators import table
from autograd_viz.operators.table import operation
from autograd_viz.text import clean, has_numbers

MOST_OPERATIONS = 60  # inside one variable; a formula of more could not be read
MOST_ELEMENTS = 16  # of a tensor that is looked at element by element
Shape = tuple[int, ...]

_DATA = {"result", "buffer", "indices", "self_sym_numel"}  # saved, but no option


class Operand(NamedTuple):
    """Where an operation's input comes from."""

    kind: Literal["inner", "input", "number", "unknown"]
    place: float = 0  # of the operation or of the recipe's input; or the number itself
    output_nr: int = 0


class Operation(NamedTuple):
    """One operation, with the options that the graph keeps."""

    name: str  # "Mul", or PyTorch's full name where the variants differ: "DivBackward2"
    operands: tuple[Operand, ...]
    shapes: tuple[Shape, ...]  # of its outputs
    options: tuple[tuple[str, Any], ...]


class Input(NamedTuple):
    """A variable, or a constant that has a name."""

    title: str
    shape: Shape | None  # None: not kept


@dataclass(frozen=True, eq=False)
class Recipe:
    """The operations of one variable; the last one computes it. Equal recipes are one object."""

    operations: tuple[Operation, ...]
    inputs: tuple[Input, ...]


@lru_cache(4096)
def recipe(operations: tuple[Operation, ...], inputs: tuple[Input, ...]) -> Recipe:
    """The one recipe with these operations and inputs, so that it is compared at no cost."""
    return Recipe(operations, inputs)


class Read(NamedTuple):
    """A recipe, and what is not part of it: which variables its inputs are, and their numbers."""

    recipe: Recipe
    places: Mapping[tuple[int, int | str], int]  # (variable's id, output) -> place in the inputs
    numbers: tuple[tuple[float, ...] | None, ...]  # of each input; None: not kept, or too many


def is_to_constant(variables: Variables, link: Link) -> bool:
    """Whether nothing is sent back here: one of the two is outside of the graph."""
    return any(variables.nodes[end].node is None for end in (link.source, link.target))


def read(variables: Variables, variable: Variable) -> Read | None:
    """The recipe of a variable and its numbers; None if it has too many operations for one."""
    if variable.node is None or len(variable.members) > MOST_OPERATIONS:
        return None
    known = _known.setdefault(variables, {})
    if variable.id not in known:
        known[variable.id] = _read(variables, variable)
    return known[variable.id]


# What was read of each Variables, for as long as it is in use: a variable has several links.
_known: WeakKeyDictionary[Variables, dict[int, Read]] = WeakKeyDictionary()


def _read(variables: Variables, variable: Variable) -> Read:
    graph = variables.graph
    owner = {one.node: one for one in variables.nodes if one.node is not None}
    inside = set(variable.members)
    place: dict[int, int] = {}
    places: dict[tuple[int, int | str], int] = {}  # of a constant (-1, its name)
    inputs: list[Input] = []
    numbers: list[tuple[float, ...] | None] = []
    operations: list[Operation] = []
    outside = {one.name: one.value for one in variables.nodes if one.node is None}

    def known(key: tuple[int, int | str], title: str, shape: Shape | None, value: object) -> int:
        if key not in places:
            places[key] = len(inputs)
            inputs.append(Input(title, shape))
            numbers.append(_numbers(value))
        return places[key]

    def operand(node: Node, known_as: table.Operation, index: int) -> Operand:
        for edge in graph.out_edges[node.id]:
            if edge.input_index != index:
                continue
            if edge.target in inside:
                return Operand("inner", place[edge.target], edge.output_nr)
            other = owner.get(edge.target)
            if other is None:
                return Operand("unknown")
            output = variables.outputs(other)[edge.output_nr]
            title = clean(output.label or other.title)
            value = variables.values(other)[edge.output_nr]
            key = (other.id, edge.output_nr)
            return Operand("input", known(key, title, output.shape, value))
        role = known_as.roles[index] if index < len(known_as.roles) else ""
        if role in node.symbols:
            name = node.symbols[role]
            given: Any = node.constants.get(role, outside.get(name))
            shape = () if isinstance(given, int | float) else getattr(given, "shape", None)
            shape = None if shape is None else tuple(shape)
            return Operand("input", known((-1, name), clean(name), shape, given))
        if role in node.constants:
            return Operand("number", float(node.constants[role]))
        return Operand("unknown")

    for number in reversed(variable.members):  # what is used stands before what uses it
        node = graph.nodes[number]
        known_as = operation(node.name if node.custom else node.function)
        name = known_as.name
        wanted = range(max(node.inputs, len(known_as.roles)))
        operands = tuple(operand(node, known_as, index) for index in wanted)
        if name == "Pow" and operands[1].kind == "unknown" and "self" in node.constants:  # 2 ** x
            operands = (Operand("number", float(node.constants["self"])), operands[0])
        place[number] = len(operations)
        shapes = tuple(output.shape for output in node.outputs)
        options = _options(node, name)
        if name == "Where":
            options += _condition(variables, node)
        if any(option not in known_as.options for option, _ in options):
            name += " with options"  # for which there is no rule
        operations.append(Operation(name, operands, shapes, options))
    return Read(recipe(tuple(operations), tuple(inputs)), places, tuple(numbers))


def _condition(variables: Variables, node: Node) -> tuple[tuple[str, Any], ...]:
    """Which branch of `where` was taken: along this one its derivative is 1."""
    if variables.trace is None or "condition" in node.constants:
        return ()
    for edge in variables.graph.out_edges[node.id]:
        slope = variables.trace.local.get(edge)
        if slope in (0.0, 1.0):
            return (("condition", (slope == 1) == (edge.input_index == 0)),)
    return ()


def _options(node: Node, name: str) -> tuple[tuple[str, Any], ...]:
    without = _DATA.union(operation(name).roles)
    return tuple(
        sorted(
            (option, signed(value))
            for option, value in node.constants.items()
            if option not in without
        )
    )


def _numbers(value: Any) -> tuple[float, ...] | None:
    if isinstance(value, int | float):
        return (float(value),)
    if value is None or not has_numbers(value) or value.is_nested or value.is_complex():
        return None
    if value.numel() > MOST_ELEMENTS:
        return None
    if value.ndim == 0:
        return (float(value.item()),)
    return tuple(map(float, value.to_dense().flatten().tolist()))


def elements(shape: Shape) -> int:
    """How many elements a tensor of the shape has."""
    return math.prod(shape)
