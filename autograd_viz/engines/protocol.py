"""What an object must have to be drawn and traced as a tensor is: a protocol, and how it is read.

micrograd's `Value` has the same under other names (`data`, `_op`, `_prev`, `_backward`, `label`),
so it needs no change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, Protocol

_ABSENT = object()


class Value(Protocol):
    """A value of an engine of your own, which knows how it was computed.

    `name`, a text, is optional. Where it is missing or empty, the variable of yours that holds
    the value gives the name.
    """

    @property
    def value(self) -> Any:
        """The number, or a NumPy array of any shape. micrograd calls it `data`."""

    @property
    def operation(self) -> str:
        """As in "+", "*", "**3" or "tanh"; "" for a leaf. micrograd calls it `_op`."""

    @property
    def inputs(self) -> Sequence[Any]:
        """The values that it was computed from, in order, `a * a` with a twice; () for a leaf.

        A plain number or array among them is a constant. micrograd has a set, `_prev`.
        """

    grad: Any  # the gradient, of the same kind and shape as the value


class Traceable(Value, Protocol):
    """A value whose part of the backward pass can be run alone, so that it can be traced."""

    def backward_step(self) -> None:
        """Add to the `grad` of each input what this value contributes, given its own `grad`.

        Of an input that stands twice in `inputs`, both parts are added. micrograd calls it
        `_backward`.
        """


def engine_values(output: object) -> list[Any] | None:
    """The output or outputs as a list, if they are an engine's values; else None.

    >>> from types import SimpleNamespace
    >>> a = SimpleNamespace(value=2.0, grad=0.0, operation="", inputs=())
    >>> engine_values(a) == engine_values([a]) == [a]
    True
    >>> engine_values(2.0) is None
    True
    """
    if isinstance(output, list | tuple):
        return list(output) if output and all(map(is_value, output)) else None
    return [output] if is_value(output) else None


def is_value(candidate: object) -> bool:
    """Whether an object has a value, a gradient and inputs."""
    if isinstance(candidate, type):
        return False
    return (
        (hasattr(candidate, "_prev") or hasattr(candidate, "inputs"))
        and (hasattr(candidate, "data") or hasattr(candidate, "value"))
        and hasattr(candidate, "grad")
    )


def value_of(value: Any) -> Any:
    """The number or the array."""
    return _first(value, "value", "data")


def operation_of(value: Any) -> str:
    """What the engine calls the operation; "" for a leaf."""
    found = _first(value, "operation", "_op")
    return "" if found is _ABSENT or found is None else str(found)


def name_of(value: Any) -> str:
    """The name that the value itself has, "" if it has none."""
    found = _first(value, "name", "label")
    return found if isinstance(found, str) else ""


def step_of(value: Any) -> Callable[[], object] | None:
    """The method that runs the value's part of the backward pass, if it has one."""
    found = _first(value, "backward_step", "_backward")
    return found if callable(found) else None


def inputs_of(value: Any) -> tuple[tuple[Any, ...], bool]:
    """The inputs, and whether they are known to be in order, each as often as it was used.

    micrograd keeps a set, in which `a + a` has one member. But its `_backward` is a closure over
    `self` and `other`, in which both are still to be found.
    """
    found = _first(value, "inputs", "_prev")
    if not isinstance(found, Set):
        return tuple(found or ()), True
    if len(found) == 0:
        return (), True
    step = step_of(value)
    cells = dict(
        zip(
            getattr(getattr(step, "__code__", None), "co_freevars", ()),
            getattr(step, "__closure__", None) or (),
            strict=False,
        )
    )
    members = {id(member) for member in found}
    operands = tuple(
        content
        for name in ("self", "other")
        if name in cells and id(content := _content(cells[name])) in members
    )
    if {id(operand) for operand in operands} == members:
        return operands, True
    return tuple(found), len(found) == 1


def _first(value: Any, *names: str) -> Any:
    for name in names:
        found = getattr(value, name, _ABSENT)
        if found is not _ABSENT:
            return found
    return _ABSENT


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None
