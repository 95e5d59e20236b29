"""What a call tells of a node's inputs that the graph does not keep: names and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from autograd_viz.names import is_tensor
from autograd_viz.operators.table import operation
from autograd_viz.release import NextFunctions

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.programs.runs import Call
    from autograd_viz.programs.versions import Value

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
    known = operation(node)
    arguments: dict[int, Any] = dict(enumerate(call.args))
    for role, given in call.kwargs.items():
        if role in known.roles[1:2] and 1 not in arguments:
            arguments[1] = given
    reverse = (known.reverse or {}).get(call.name)
    if call.name == "linear" and known.name in _LINEAR:
        return _of_linear(call, known.name, following, before), {}
    if reverse is not None:
        wanted = {1: reverse}
    elif len(known.roles) == 2 and call.name.removesuffix("_") in known.calls:
        wanted = dict(enumerate(known.roles))
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
