"""What an operation reads like: from a gradient function's name and its inputs to `c * d`.

The graph keeps the operation, the inputs that need a gradient, and some numbers. All else (the
inputs that need none, most options) it does not keep, and a `?` stands where such an input was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from autograd_viz.operators.table import Operation, operation
from autograd_viz.operators.terms import ATOM, PRODUCT, UNARY, UNKNOWN, Expression, infix
from autograd_viz.text import as_written, clean

LONGEST = 60  # characters; repeated squaring would double the text each time


def expression(
    name: str, inputs: Sequence[Expression | None], constants: Mapping[str, Any]
) -> Expression:
    """Write an operation in the way that a program would.

    >>> a, b = Expression("a"), Expression("b")
    >>> total = expression("AddBackward0", [a, b], {})
    >>> expression("MulBackward0", [total, None], {"other": 3.0}).text
    '(a + b) * 3'
    >>> expression("Log2Backward0", [a], {}).text
    'log2(a)'
    >>> expression("SelectBackward0", [a], {"dim": 1, "index": 0}).text
    'a[:, 0]'
    >>> expression("AddBackward0", [a, None], {"alpha": 1}).text  # the number was not kept
    'a + ?'
    """
    known = operation(name)
    call = clean(_call(known, constants))
    result = (
        (_infix(known, inputs, constants) if known.sign else None)
        or _special(known, inputs, constants)
        or Expression(f"{call}({', '.join(map(_argument, inputs))})")
    )
    return Expression(f"{call}(…)") if len(result.text) > LONGEST else result


def _infix(
    known: Operation, inputs: Sequence[Expression | None], constants: Mapping[str, Any]
) -> Expression | None:
    if not 1 <= len(inputs) <= 2:
        return None
    left, right = (*inputs, None)[:2] if len(inputs) == 1 else inputs
    if known.sign == "**" and left is not None and "self" in constants:  # 2 ** x
        left, right = None, left
    if known.sign == "*" and right is None and known.kept in constants and _is_reciprocal(left):
        return Expression(f"{as_written(constants[known.kept])}{left.text[1:]}", PRODUCT)  # 3 / x
    # A number on the right stands without brackets.
    right = right or Expression(_constant(constants, known.kept).text)
    if constants.get("alpha", 1) != 1:
        right = Expression(f"{as_written(constants['alpha'])} * {right.inside(PRODUCT)}")
    return infix(known.sign, left or _constant(constants, "self"), right)


def _is_reciprocal(x: Expression | None) -> TypeGuard[Expression]:
    return x is not None and x.strength == PRODUCT and x.text.startswith("1 / ")


def _special(
    known: Operation, inputs: Sequence[Expression | None], constants: Mapping[str, Any]
) -> Expression | None:
    if known.name == "Where":  # of the condition nothing is kept
        return Expression(f"where({', '.join([UNKNOWN, *map(_argument, inputs)])})")
    x = inputs[0] if len(inputs) == 1 else None
    if x is None:
        return None
    match known.name:
        case "Neg":
            return Expression(f"-{x.inside(UNARY)}", UNARY)
        case "Reciprocal":
            return Expression(f"1 / {x.inside(UNARY)}", PRODUCT)
        case "Rsub":
            alpha = constants.get("alpha", 1)
            factor = f"{as_written(alpha)} * " if alpha != 1 else ""
            return Expression(f"{UNKNOWN} - {factor}{x.inside(PRODUCT)}", 1)
        case "T":
            return Expression(f"{x.inside(ATOM)}.T")
        case "Select" | "Slice" if (items := _items(constants)) is not None:
            return Expression(f"{x.inside(ATOM)}[{items}]")
    return None


def _items(constants: Mapping[str, Any]) -> str | None:
    """What stands between the brackets of an index or a slice; None if that is not kept."""
    dim, index, start = (signed(constants.get(name)) for name in ("dim", "index", "start"))
    if dim is None or dim < 0 or (index is None and start is None):
        return None
    return ", ".join([":"] * dim + [_slice(constants) if index is None else str(index)])


def _slice(constants: Mapping[str, Any]) -> str:
    start, end, step = (signed(constants.get(name)) for name in ("start", "end", "step"))
    open_ended = end is None or end >= 2**62
    shown = f"{start or ''}:{'' if open_ended else end}"
    return shown if step in (None, 1) else f"{shown}:{step}"


def signed(value: Any) -> Any:
    """A saved number; PyTorch shows -1 as the unsigned number that has the same bits."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(signed, value))
    return value - 2**64 if isinstance(value, int) and value >= 2**63 else value


def _call(known: Operation, constants: Mapping[str, Any]) -> str:
    """The function; of a convolution by its number of dimensions."""
    stride = constants.get("stride")
    if known.name == "Convolution" and isinstance(stride, Sequence):
        transposed = "_transpose" if constants.get("transposed") else ""
        return f"conv{transposed}{len(stride)}d"
    return known.call


def _constant(constants: Mapping[str, Any], name: str) -> Expression:
    if name not in constants:
        return Expression(UNKNOWN)
    return Expression(as_written(constants[name]), UNARY if constants[name] < 0 else ATOM)


def _argument(value: Expression | None) -> str:
    return UNKNOWN if value is None else value.text
