"""Which of PyTorch's gradient functions has the text and the formula of an engine's operation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_ONE = {  # of one input
    "-": "Neg",
    "1/": "Reciprocal",
    "1/x": "Reciprocal",
    **{
        name.lower(): name
        for name in (
            *("Neg", "Reciprocal", "Sqrt", "Square", "Abs", "Sign", "Sum", "Mean", "T"),
            *("Exp", "Exp2", "Expm1", "Log", "Log2", "Log10", "Log1P", "Sigmoid", "Softplus"),
            *("Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "Asin", "Acos", "Atan"),
            *("Relu", "Silu", "Gelu", "LogSigmoid"),
        )
    },
    "ln": "Log",
    "sqr": "Square",
    "arcsin": "Asin",
    "arccos": "Acos",
    "arctan": "Atan",
    "logistic": "Sigmoid",
    "transpose": "T",
}
_TWO = {
    **dict.fromkeys(("+", "add", "plus"), "Add"),
    **dict.fromkeys(("-", "sub", "subtract", "minus"), "Sub"),
    **dict.fromkeys(("*", "mul", "multiply", "times"), "Mul"),
    **dict.fromkeys(("/", "div", "divide", "truediv"), "Div"),
    **dict.fromkeys(("**", "^", "pow", "power"), "Pow"),
    **dict.fromkeys(("max", "maximum"), "Maximum"),
    **dict.fromkeys(("min", "minimum"), "Minimum"),
}
_PRODUCTS = ("@", "matmul", "dot", "mm", "mv")
_BY_DIMENSIONS = {(2, 2): "Mm", (2, 1): "Mv", (1, 1): "Dot"}
_SECOND = {"Pow": "exponent", "Mm": "mat2", "Mv": "vec", "Dot": "tensor"}  # else "other"
_POWER = re.compile(r"(?:\*\*|\^|pow|power)\s*\(?\s*(-?\d+\.?\d*(?:e-?\d+)?)\s*\)?")

SYMMETRIC = ("Add", "Mul", "Maximum", "Minimum", "Dot")  # of `a * a`, each a contributes the same


class Rule(NamedTuple):
    """How an operation reads and what its derivative is."""

    name: str  # "Mul"; "": no rule is known
    roles: tuple[str, ...]  # what PyTorch calls the inputs
    numbers: Mapping[str, float]  # that the operation's text has in it


def rule(operation: str, dimensions: Sequence[int]) -> Rule:
    """The rule of an operation by what the engine calls it, as "+" or "add", "ReLU" or "relu".

    Args:
        operation: the engine's text.
        dimensions: of each input, in order.

    >>> rule("*", [0, 0])
    Rule(name='Mul', roles=('self', 'other'), numbers={})
    >>> rule("**3", [0])
    Rule(name='Pow', roles=('self', 'exponent'), numbers={'exponent': 3.0})
    >>> rule("-", [0]).name, rule("@", [2, 1]).name, rule("gate", [0]).name
    ('Neg', 'Mv', '')
    """
    word = operation.strip().lower()
    name = ""
    numbers: dict[str, float] = {}
    power = _POWER.fullmatch(word)
    if len(dimensions) == 1:
        name = "Pow" if power else _ONE.get(word.removesuffix("()"), "")
        if power:
            numbers["exponent"] = float(power[1])
    elif len(dimensions) == 2 and word in _PRODUCTS:
        name = _BY_DIMENSIONS.get((dimensions[0], dimensions[1]), "Matmul")
    elif len(dimensions) == 2:
        name = _TWO.get(word, "")
    return Rule(name, ("self", _SECOND.get(name, "other")) if name else (), numbers)
