"""Gradients and vector-Jacobian products in the variables' names: ∂L/∂W = xᵀ @ ∂L/∂y."""

from __future__ import annotations

import math as mathematics
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.expressions import Expression, expression
from autograd_viz.formulas import product_rules, products, proving
from autograd_viz.formulas.failures import noted
from autograd_viz.formulas.product_rules import Step
from autograd_viz.formulas.products import GRADIENT, Product
from autograd_viz.formulas.recipes import Operand, Operation, Recipe, is_to_constant, read, roles
from autograd_viz.model import Link, Slot, Variable, Variables
from autograd_viz.typeset import TRANSPOSED, Frac, Line, Run, Sup, derivative, math

if TYPE_CHECKING:
    from torch import Tensor

_TRANSPOSITIONS = ("T", "Transpose", "Permute")
_IN_FULL = {"Add", "Sub", "Mul", "Div", "Neg", "Pow", "Reciprocal", "Mm", "Mv", "Bmm", "Dot"}
_IN_FULL |= {"Relu", "Sigmoid", "Tanh", "Exp", "Log", "Log2", "Sqrt", "Sin", "Cos", "Abs", "Square"}
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
    return line, (Run(products.shapes_line(found, arriving)),)


def vector_jacobian(variables: Variables, link: Link) -> Product | None:
    """The vector-Jacobian product of a link, as text that PyTorch could evaluate."""
    source, target = variables.nodes[link.source], variables.nodes[link.target]
    if is_to_constant(variables, link) or len(variables.outputs(source)) != 1:
        return None
    found = read(variables, source)
    place = found.places.get((target.id, 0)) if found else None
    if found is None or place is None or len(variables.outputs(target)) != 1:
        return None
    title, start = text.clean(source.title), _is_start(variables, source)
    turned = _is_complex(variables, source)
    written = _written_product(found.recipe, place, title, start, turned)
    if written is None or "…" in written.text or len(written.text) > LONGEST:
        return None
    proof = _proof(found.recipe, place, start, turned)
    return written if proving.same(proof, variables, link, found.places) else None


@lru_cache(1024)
def _proof(recipe: Recipe, place: int, ones: bool, turned: bool) -> str:
    """The text of a product in names that stand for nothing but its values."""
    inputs = tuple(
        one._replace(title=proving.name(number)) for number, one in enumerate(recipe.inputs)
    )
    plain = Recipe(recipe.operations, inputs)
    written = _written_product(plain, place, proving.OUT, ones, turned)
    return "" if written is None else written.text


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
def _written_product(
    recipe: Recipe, place: int, title: str, ones: bool, turned: bool
) -> Product | None:
    way = _way(recipe, place)
    if not way:
        return None
    texts = _texts(recipe)

    def conjugate(factor: products.Text) -> products.Text:
        if not turned:
            return factor
        return factor._replace(text=f"conj({factor.text})", strength=products.ATOM)

    def operand(one: Operand) -> products.Text | None:
        if one.kind == "number":
            return products.named(text.as_written(one.place), ())
        shape = _operand_shape(recipe, one)
        if one.kind == "input":
            return conjugate(products.named(recipe.inputs[int(one.place)].title, shape))
        known = texts[int(one.place)] if one.kind == "inner" else None
        if known is None:  # a constant without a name
            return products.Text("?") if one.kind == "unknown" else None
        return conjugate(products.Text(known.text, shape, known.strength))

    steps = []
    for number, index in way:
        operation = recipe.operations[number]
        inner = texts[number]
        out = products.Text("…", operation.shapes[0])  # a product with it is not shown
        if number == len(recipe.operations) - 1:
            out = products.named(title, operation.shapes[0])
        elif inner is not None:
            out = out._replace(text=inner.text, strength=inner.strength)
        steps.append(
            Step(
                operation.name,
                index,
                tuple(map(operand, operation.operands)),
                tuple(_operand_shape(recipe, one) for one in operation.operands),
                conjugate(out),
                dict(operation.options),
            )
        )
    return product_rules.vector_jacobian(steps, ones)


def _operand_shape(recipe: Recipe, operand: Operand) -> tuple[int, ...] | None:
    if operand.kind == "inner":
        return recipe.operations[int(operand.place)].shapes[operand.output_nr]
    if operand.kind == "input":
        return recipe.inputs[int(operand.place)].shape
    return () if operand.kind == "number" else None


def _is_said_in_full(operation: Operation) -> bool:
    """Whether the operation's text has all that it takes to compute it."""
    if operation.name in _TRANSPOSITIONS:
        return all(len(shape) == 2 for shape in operation.shapes)
    if operation.name in ("Sum", "Mean"):
        return operation.shapes == ((),)
    return operation.name in _IN_FULL


def _way(recipe: Recipe, place: int) -> list[tuple[int, int]]:
    """The operations from the variable down to its input, with the operand taken in each.

    Empty where there are several ways: what they bring is added, which no single product says.
    """
    on_way: dict[int, int] = {}
    for number, operation in enumerate(recipe.operations):
        leading = [
            index
            for index, one in enumerate(operation.operands)
            if (one.kind == "input" and one.place == place)
            or (one.kind == "inner" and one.place in on_way)
        ]
        if len(leading) > 1 or len(operation.shapes) != 1:
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


def _texts(recipe: Recipe) -> list[Expression | None]:
    """What each operation reads like; None where its text would leave out a dimension or index."""
    texts: list[Expression | None] = []
    for operation in recipe.operations:
        inner = [texts[int(one.place)] for one in operation.operands if one.kind == "inner"]
        if None in inner or not _is_said_in_full(operation):
            texts.append(None)
            continue
        constants = dict(operation.options)
        inputs: list[Expression | None] = []
        for role, one in zip(
            (*roles(operation.name), *map(str, range(9))), operation.operands, strict=False
        ):
            if one.kind == "number":
                constants[role] = one.place
            title = recipe.inputs[int(one.place)].title if one.kind == "input" else ""
            inputs.append(
                texts[int(one.place)]
                if one.kind == "inner"
                else Expression(title)
                if title
                else None
            )
        full = operation.name if "Backward" in operation.name else f"{operation.name}Backward0"
        while len(inputs) > 1 and inputs[-1] is None and len(roles(operation.name)) < 2:
            inputs.pop()
        if operation.name in _TRANSPOSITIONS and inputs[0]:
            texts.append(Expression(f"{inputs[0].inside(5)}.T"))
        else:
            texts.append(expression(full, inputs, constants))
    return texts


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
