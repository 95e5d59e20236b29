"""What a call tells of a node's inputs that the graph does not keep: names and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from autograd_viz.names import is_tensor
from autograd_viz.release import NextFunctions

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.programs.runs import Call
    from autograd_viz.programs.versions import Value

_TWO = ("self", "other")
# The arguments of a call in the order of the node's next_functions, and PyTorch's words for them.
_ROLES = {
    "Add": _TWO, "Sub": _TWO, "Mul": _TWO, "Div": _TWO, "Maximum": _TWO, "Minimum": _TWO,
    "Atan2": _TWO, "Hypot": _TWO, "Xlogy": _TWO, "Copysign": _TWO, "Fmod": _TWO, "Remainder": _TWO,
    "Pow": ("self", "exponent"), "Mm": ("self", "mat2"), "Mv": ("self", "vec"),
    "Bmm": ("self", "mat2"), "Dot": ("self", "tensor"),
    "MseLoss": ("self", "target"), "L1Loss": ("self", "target"), "HuberLoss": ("self", "target"),
    "SmoothL1Loss": ("self", "target"), "BinaryCrossEntropy": ("self", "target"),
    "BinaryCrossEntropyWithLogits": ("self", "target"), "NllLoss": ("self", "target"),
}  # fmt: skip
_CALLS = {  # the functions whose two arguments are these two inputs, in this order
    "Add": {"add", "add_"}, "Sub": {"sub", "sub_", "subtract"}, "Mul": {"mul", "mul_", "multiply"},
    "Div": {"div", "div_", "true_divide", "divide"}, "Pow": {"pow", "pow_"},
    "Maximum": {"maximum", "max"}, "Minimum": {"minimum", "min"}, "Atan2": {"atan2", "arctan2"},
    "Mm": {"mm", "matmul"}, "Mv": {"mv", "matmul"}, "Dot": {"dot", "matmul"},
    "Bmm": {"bmm", "matmul"}, "MseLoss": {"mse_loss"}, "L1Loss": {"l1_loss"},
    "HuberLoss": {"huber_loss"}, "SmoothL1Loss": {"smooth_l1_loss"},
    "BinaryCrossEntropy": {"binary_cross_entropy"}, "NllLoss": {"nll_loss", "cross_entropy"},
    "BinaryCrossEntropyWithLogits": {"binary_cross_entropy_with_logits"},
}  # fmt: skip
# 2 - x is x.__rsub__(2): the number comes second, and the node calls it so.
_REVERSED = {
    "__rsub__": ("Rsub", "other"),
    "rsub": ("Rsub", "other"),
    "__rdiv__": ("Mul", "other"),
    "__rtruediv__": ("Mul", "other"),
    "__rpow__": ("Pow", "self"),
}

# linear(x, W, b) is addmm(b, x, W.T), or mm(x, W.T): where its x stands, and what it is called.
_LINEAR = {"Addmm": (1, "mat1"), "Mm": (0, "self")}


class Operand(NamedTuple):
    """A tensor that a call took, as it was before the call."""

    title: str | None
    held: Tensor | None


def input_facts(
    call: Call,
    node: str,
    following: NextFunctions,
    before: Callable[[Tensor], Operand],
    numbers: Mapping[str, Value],
) -> tuple[dict[str, str], dict[str, float]]:
    """Names and numbers of a node's constant inputs, by PyTorch's word for the input.

    Only where it is certain which input of the node an argument of the call is: the node must be
    the one that the function is known to make. `before` tells of a tensor what it was before the
    call. `numbers` are the plain numbers that the call took
    by name.
    """
    operation = node.partition("Backward")[0]
    arguments: dict[int, Any] = dict(enumerate(call.args))
    for role, given in call.kwargs.items():
        if role in ("other", "exponent", "target", "tensor", "mat2") and 1 not in arguments:
            arguments[1] = given
    reverse = _REVERSED.get(call.name)
    if call.name == "linear" and operation in _LINEAR:
        return _of_linear(call, operation, following, before), {}
    if reverse is not None and reverse[0] == operation:
        wanted = {1: reverse[1]}
    elif call.name in _CALLS.get(operation, ()):
        wanted = dict(enumerate(_ROLES[operation]))
    else:
        return {}, {}
    symbols: dict[str, str] = {}
    constants: dict[str, float] = {}
    for position, role in wanted.items():
        value: Any = arguments.get(position)
        if is_tensor(value):
            if value.requires_grad or _needs(following, position, reverse is not None):
                continue
            title, held = before(value)
            if title:
                symbols[role] = title
            if held is not None and held.numel() == 1 and not (held.is_complex() or held.is_meta):
                constants[role] = held.item()
        elif type(value) in (int, float):
            constants[role] = value
            named = [each for each in numbers.values() if each.number == value and each.title]
            if call.direct and len(named) == 1 and len(numbers) == 1:
                symbols[role] = str(named[0].title)
    return symbols, constants


def _of_linear(
    call: Call, operation: str, following: NextFunctions, before: Callable[[Tensor], Operand]
) -> dict[str, str]:
    """The name of the constant input of a linear layer; one of more dimensions was flattened."""
    position, role = _LINEAR[operation]
    x: Any = call.args[0] if call.args else call.kwargs.get("input")
    if not is_tensor(x) or x.dim() != 2 or x.requires_grad or _needs(following, position, False):
        return {}
    title = before(x).title
    return {role: title} if title else {}


def _needs(following: NextFunctions, position: int, reverse: bool) -> bool:
    """Whether the graph leads on from this input, so that it is no constant."""
    return not reverse and position < len(following) and following[position][0] is not None
