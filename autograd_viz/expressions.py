"""What an operation reads like: from a gradient function's name and its inputs to `c * d`.

The graph keeps the operation, the inputs that need a gradient, and some numbers. All else (the
inputs that need none, most options) it does not keep, and a `?` stands where such an input was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeGuard

from autograd_viz.text import as_written, clean

UNKNOWN = "?"
LONGEST = 60  # characters; repeated squaring would double the text each time

_INFIX = {
    "Add": ("+", 1, "other"),
    "Sub": ("-", 1, "other"),
    "Mul": ("*", 2, "other"),
    "Div": ("/", 2, "other"),
    "Mm": ("@", 2, ""),
    "Bmm": ("@", 2, ""),
    "Mv": ("@", 2, ""),
    "Dot": ("@", 2, ""),
    "Pow": ("**", 4, "exponent"),
}
_UNARY, _ATOM = 3, 5  # how strongly the parts hold together; the larger, the stronger


class Expression(NamedTuple):
    """Text, and how strongly its outermost operation holds it together."""

    text: str
    strength: int = _ATOM

    def inside(self, strength: int) -> str:
        """The text as a part of a larger expression, in parentheses where it needs them."""
        return self.text if self.strength >= strength else f"({self.text})"


def expression(
    name: str, inputs: Sequence[Expression | None], constants: Mapping[str, float]
) -> Expression:
    """Write an operation in the way that a program would.

    >>> a, b = Expression("a"), Expression("b")
    >>> total = expression("AddBackward0", [a, b], {})
    >>> expression("MulBackward0", [total, None], {"other": 3.0}).text
    '(a + b) * 3'
    >>> expression("Log2Backward0", [a], {}).text
    'log2(a)'
    >>> expression("AddBackward0", [a, None], {"alpha": 1}).text  # the number was not kept
    'a + ?'
    """
    operation = clean(re.sub(r"Backward\d*$", "", name))
    rounds = name in ("DivBackward2", "DivBackward3")  # div(x, y, rounding_mode=...) is not x / y
    result = (
        (None if rounds else _infix(operation, inputs, constants))
        or _special(operation, inputs, constants)
        or Expression(f"{_snake(operation)}({', '.join(map(_argument, inputs))})")
    )
    if len(result.text) > LONGEST:
        return Expression(f"{_snake(operation)}(…)")
    return result


def _infix(
    operation: str, inputs: Sequence[Expression | None], constants: Mapping[str, float]
) -> Expression | None:
    if operation not in _INFIX or not 1 <= len(inputs) <= 2:
        return None
    sign, strength, kept = _INFIX[operation]
    left, right = (*inputs, None)[:2] if len(inputs) == 1 else inputs
    if operation == "Pow" and left is not None and "self" in constants:  # 2 ** x
        left, right = None, left
    if operation == "Mul" and right is None and kept in constants and _is_reciprocal(left):
        return Expression(f"{as_written(constants[kept])}{left.text[1:]}", strength)  # 3 / x
    left_text = (left or _constant(constants, "self")).inside(strength + (sign == "**"))
    right_text = right.inside(strength + 1) if right else _constant(constants, kept).text
    if constants.get("alpha", 1) != 1:
        right_text = f"{as_written(constants['alpha'])} * {right_text}"
    return Expression(f"{left_text} {sign} {right_text}", strength)


def _is_reciprocal(x: Expression | None) -> TypeGuard[Expression]:
    return x is not None and x.strength == 2 and x.text.startswith("1 / ")


def _special(
    operation: str, inputs: Sequence[Expression | None], constants: Mapping[str, float]
) -> Expression | None:
    x = inputs[0] if len(inputs) == 1 else None
    if x is None:
        return None
    if operation == "Neg":
        return Expression(f"-{x.inside(_UNARY)}", _UNARY)
    if operation == "Reciprocal":
        return Expression(f"1 / {x.inside(3)}", 2)
    if operation == "Rsub":
        alpha = constants.get("alpha", 1)
        factor = f"{as_written(alpha)} * " if alpha != 1 else ""
        return Expression(f"{UNKNOWN} - {factor}{x.inside(2)}", 1)
    if operation == "T":
        return Expression(f"{x.inside(_ATOM)}.T")
    return None


def _constant(constants: Mapping[str, float], name: str) -> Expression:
    if name not in constants:
        return Expression(UNKNOWN)
    return Expression(as_written(constants[name]), _UNARY if constants[name] < 0 else _ATOM)


def _argument(value: Expression | None) -> str:
    return UNKNOWN if value is None else value.text


def _snake(operation: str) -> str:
    """PyTorch's function of the name: log_softmax for LogSoftmax, log1p for Log1P."""
    operation = re.sub(r"(?<=\d)[A-Z]$", lambda last: last[0].lower(), operation)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()
