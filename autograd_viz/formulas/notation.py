"""Gradients and vector-Jacobian products in the variables' names: ∂L/∂W = xᵀ @ ∂L/∂y."""

from __future__ import annotations

import math as mathematics
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.formulas import proving
from autograd_viz.formulas.failures import noted
from autograd_viz.formulas.proving import OUT
from autograd_viz.formulas.recipes import Recipe, is_to_constant, read
from autograd_viz.model import Link, Slot, Variable, Variables
from autograd_viz.operators import products, terms
from autograd_viz.operators.products import Step
from autograd_viz.operators.table import operation
from autograd_viz.operators.terms import (
    GRADIENT,
    UNARY,
    UNKNOWN,
    Product,
    Term,
    call,
    named,
    shapes_line,
)
from autograd_viz.typeset import TRANSPOSED, Frac, Line, Run, Sup, derivative, math

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 60  # characters of a vector-Jacobian product that is shown


def product_lines(variables: Variables, link: Link) -> tuple[Line, Line] | None:
    """Between tensors: the vector-Jacobian product and its shapes, where both are known.

    As in `∂L/∂W = xᵀ @ ∂L/∂y` and `(4 × 3) = (4 × 2) @ (2 × 3)`.
    """
    found = vector_jacobian(variables, link)
    if found is None:
        return None
    target, source = variables.nodes[link.target], variables.nodes[link.source]
    line = (
        *gradient_symbol(variables, target),
        Run(gains(variables, link)),
        *product_line(variables, source, found),
    )
    arriving = variables.outputs(source)[0].shape
    return line, (Run(shapes_line(found, arriving) + checked(found)),)


def checked(product: Product) -> str:
    """Said of a product of which some rows alone were computed to check it."""
    return f", checked in {product.rows} rows" if product.rows else ""


def vector_jacobian(variables: Variables, link: Link) -> Product | None:
    """The vector-Jacobian product of a link, as text that PyTorch could evaluate.

    None where there is none, or where it does not give what was sent, computed at what was kept.
    """
    source, target = variables.nodes[link.source], variables.nodes[link.target]
    if is_to_constant(variables, link) or len(variables.outputs(source)) != 1:
        return None
    found = read(variables, source)
    place = found.places.get((target.id, 0)) if found else None
    if found is None or place is None or len(variables.outputs(target)) != 1:
        return None
    title, start = text.clean(source.title), _is_start(variables, source)
    product = written(found.recipe, place, title, start, _is_complex(variables, source))
    if product is None or "…" in product.text or len(product.text) > LONGEST:
        return None
    return proving.proven(product, variables, link, found)


def _is_complex(variables: Variables, source: Variable) -> bool:
    """Whether factors are conjugated on the way back."""
    nodes = (variables.graph.nodes[node] for node in source.members)
    return any("complex" in output.dtype for node in nodes for output in node.outputs)


def gradient_symbol(variables: Variables, variable: Variable) -> Line:
    """What a gradient is called: a fraction where the output is one number."""
    outputs = variables.graph.outputs
    node = variables.graph.nodes[outputs[0].node]
    title = text.clean(variable.title)
    if (
        len(outputs) == 1
        and node.outputs
        and mathematics.prod(node.outputs[outputs[0].output_nr].shape) == 1
    ):
        return (derivative(output_name(variables), title),)
    return (Run("grad of "), *math(title))


def output_name(variables: Variables, number: int = 0) -> str:
    """An output's name, or else its expression; of an operation with several its own name."""
    node, output_nr = variables.graph.outputs[number]
    outputs = variables.graph.nodes[node].outputs
    label = outputs[output_nr].label if outputs else None
    if label:
        return text.clean(label)
    # The details of one variable do not have the output among them.
    whole = variables.whole() if variables.focus else variables
    variable = next((one for one in whole.nodes if one.node == node), whole.root)
    return text.clean(variable.title)


@lru_cache(1024)
@noted
def written(recipe: Recipe, place: int, title: str, ones: bool, turned: bool) -> Product | None:
    """The product of a recipe by one of its inputs; its values are not asked for."""
    way = _way(recipe, place)
    if not way:
        return None
    terms = _Terms(recipe, turned)
    steps = [
        Step(
            recipe.operations[number].name,
            index,
            tuple(
                terms.operand(number, at) for at in range(len(recipe.operations[number].operands))
            ),
            terms.out(number, title),
            dict(recipe.operations[number].options),
        )
        for number, index in way
    ]
    return products.vector_jacobian(steps, ones, _rule)


def _rule(step: Step) -> products.Rule | None:
    known = operation(step.name)
    if known.tensor:
        return known.tensor[step.place] if step.place < len(known.tensor) else None
    if known.scalar is None or known.loss or len(step.operands) != len(known.roles):
        return None
    from autograd_viz.formulas import derived

    return derived.rule(known)


class _Terms:
    """The operands and results of a recipe's operations as parts of a product."""

    def __init__(self, recipe: Recipe, turned: bool) -> None:
        self.recipe, self.turned = recipe, turned

    def operand(self, number: int, index: int) -> Term:
        """An operand, conjugated if numbers are complex."""
        one = self.recipe.operations[number].operands[index]
        term = self._operand(number, index)
        return term if one.kind in ("number", "unknown") else self._conjugated(term)

    def out(self, number: int, title: str) -> Term:
        """What an operation computes: the variable itself, or a part of its expression."""
        shape = self.recipe.operations[number].shapes[0]
        if number == len(self.recipe.operations) - 1:
            return self._conjugated(named(title, shape, OUT))
        return self._conjugated(self._computed(number))

    def _conjugated(self, term: Term) -> Term:
        return call("conj", term) if self.turned else term

    def _operand(self, number: int, index: int) -> Term:
        one = self.recipe.operations[number].operands[index]
        key = (number, index)
        match one.kind:
            case "number":
                return terms.number(one.place)
            case "input":
                title, shape = self.recipe.inputs[int(one.place)]
                return named(title, shape, key)
            case "inner" if one.output_nr == 0:
                return self._computed(int(one.place)).or_kept(key)
        known = operation(self.recipe.operations[number].name).roles
        word = "target" if known[index : index + 1] == ("target",) else UNKNOWN
        return named(word, None, key)

    def _computed(self, number: int) -> Term:
        """The expression of an operation; "…" where it would leave out a dimension or index."""
        one = self.recipe.operations[number]
        known, shape = operation(one.name), one.shapes[0]
        parts = [self._operand(number, index) for index in range(len(one.operands))]
        found = Term("…", shape)
        if known.sign and len(parts) == 2:
            alpha = dict(one.options).get("alpha", 1)
            right = parts[1] if alpha == 1 else terms.number(alpha) * parts[1]
            found = terms.joined(known.sign, parts[0], right)
        elif known.name == "Neg":
            found = replace(
                call("neg", parts[0]), text=f"-{parts[0].inside(UNARY)}", strength=UNARY
            )
        elif known.looks and known.tensor == (products.transposed,) and len(shape) == 2:
            found = parts[0].turned
        elif known.whole or (known.name in ("Sum", "Mean") and shape == ()):
            found = call(known.call, parts[0])
        return replace(found, shape=shape, pair=None)


def _way(recipe: Recipe, place: int) -> list[tuple[int, int]]:
    """The operations from the variable down to its input, with the operand taken in each.

    Empty where there are several ways: what they bring is added, which no single product says.
    """
    on_way: dict[int, int] = {}
    for number, made in enumerate(recipe.operations):
        leading = [
            index
            for index, one in enumerate(made.operands)
            if (one.kind == "input" and one.place == place)
            or (one.kind == "inner" and one.place in on_way)
        ]
        if len(leading) > 1 or len(made.shapes) != 1:
            return []
        if leading:
            on_way[number] = leading[0]
    way = []
    number = len(recipe.operations) - 1
    while number in on_way:
        way.append((number, on_way[number]))
        operand = recipe.operations[number].operands[on_way[number]]
        if operand.kind == "input":
            return way if len(way) == len(on_way) else []
        number = int(operand.place)
    return []


def product_line(variables: Variables, source: Variable, product: Product) -> Line:
    """The text of a product as mathematics, with the gradient's symbol in the place of ∂."""
    parts: list[Run | Frac | Sup] = []
    symbol = gradient_symbol(variables, source)
    for piece in re.split(r"(∂\.m?T\b|∂|\.m?T\b|\*\*[\d.]+|\b(?:keep)?dim=[-\w]+)", product.text):
        if piece.startswith(GRADIENT):
            turned = piece != GRADIENT
            alone = len(symbol) == 1 and not turned
            parts += symbol if alone else (Run("("), *symbol, Run(")"))
            parts += [TRANSPOSED] * turned
        elif piece in (".T", ".mT"):
            parts.append(TRANSPOSED)
        elif piece.startswith("**") and piece[2:]:
            parts.append(Sup((Run(piece[2:]),)))
        elif re.match("(keep)?dim=", piece):
            parts.append(Run(piece))
        elif piece:
            parts += math(piece)
    return tuple(parts)


def gains(variables: Variables, link: Link) -> str:
    """`+=` where something else brings a gradient to the same variable."""
    node = variables.nodes[link.target].node
    if node is None:
        return " = "
    own = set(link.arrivals)
    others = any(edge not in own for edge in variables.graph.in_edges[node])
    started = any(slot.node == node for slot in variables.graph.outputs)
    return " += " if others or started else " = "


def arrived(variables: Variables, variable: Variable) -> Tensor | None:
    """The gradient of a variable with one output."""
    if variables.trace is None or variable.node is None or len(variables.outputs(variable)) != 1:
        return None
    return variables.trace.arrived(Slot(variable.node, 0))


def _is_start(variables: Variables, variable: Variable) -> bool:
    """Whether the backward pass begins here, with 1 and nothing else."""
    outputs = variables.graph.outputs
    if len(outputs) != 1 or outputs[0].node != variable.node:
        return False
    start = arrived(variables, variable)
    known = start is not None and start.numel() == 1 and text.has_numbers(start)
    return known and start is not None and start.item() == 1
