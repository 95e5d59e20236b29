"""From the values of an engine of the reader's own to their Graph."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autograd_viz.engines.operations import rule
from autograd_viz.engines.protocol import inputs_of, is_value, name_of, operation_of, value_of
from autograd_viz.model import Edge, Graph, Node, Output, Slot
from autograd_viz.text import clean, joined

SMALL = 16  # elements; larger values are not copied
SMALL_GRAPH = 60  # nodes; of larger graphs only named values and leaves are copied
_COMPUTED: dict[str, Callable[..., Tensor]] = {
    **{"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Pow": torch.pow},
    **{"Neg": torch.neg, "Exp": torch.exp, "Log": torch.log, "Tanh": torch.tanh},
    **{"Relu": torch.relu, "Sigmoid": torch.sigmoid},
}

# Which of some objects, by id(), the caller's variables lead to, but not through one of them.
Held = Callable[[Collection[int]], Collection[int]]


@dataclass(frozen=True, eq=False)
class Captured:
    """A graph, and the engine's own values behind it."""

    graph: Graph
    values: tuple[Any, ...]  # of each node
    inputs: tuple[tuple[int | None, ...], ...]  # of each node the nodes; None: a constant
    order: tuple[int, ...]  # the nodes, each after those it is made from, as in micrograd
    everything: tuple[Any, ...]  # constants of the engine's type too


def captured(
    outputs: Sequence[Any],
    names: Mapping[str, Any] | None,
    scope: Mapping[str, object],
    held: Held,
) -> Captured:
    """Capture the graph of an engine's values.

    A leaf without a name, which nothing of the caller's holds, was made on the way, as 2 in
    `2 * a`: nobody can read its gradient, so it is a constant.

    Args:
        outputs: where the graph begins.
        names: the reader's own labels.
        scope: the caller's variables; those that hold a value of the graph name it.
        held: tells which objects the caller's variables lead to.

    Raises:
        TypeError: a value or an input is of no use here.
        ValueError: a value is computed from itself.
    """
    inputs, unordered = _all_inputs(outputs)
    found = _inputs_first(outputs, inputs)
    labels = _labels(found, names, scope)
    if unordered:
        _put_in_order(unordered, inputs, found, labels)
        found = _inputs_first(outputs, inputs)
    constants = _constants(outputs, found, inputs, labels, held)

    queue = deque(outputs)
    place: dict[int, int] = {}
    values: list[Any] = []
    while queue:  # breadth first, as PyTorch's graph is walked
        value = queue.popleft()
        if id(value) not in place:
            place[id(value)] = len(values)
            values.append(value)
            queue.extend(x for x in inputs[id(value)] if id(x) in inputs and id(x) not in constants)
    wheres = [
        tuple(None if id(x) in constants else place.get(id(x)) for x in inputs[id(value)])
        for value in values
    ]
    known = {id(x): name for name, x in scope.items() if hasattr(x, "shape")}
    nodes = tuple(
        _node(number, value, inputs[id(value)], wheres[number], labels, known)
        for number, value in enumerate(values)
    )
    edges = tuple(
        Edge(source, index, target, 0)
        for source, targets in enumerate(wheres)
        for index, target in enumerate(targets)
        if target is not None
    )
    kept = {
        Slot(number, 0): tensor(value)
        for number, value in enumerate(values)
        if len(values) <= SMALL_GRAPH or not wheres[number] or id(value) in labels
        if math.prod(nodes[number].shape or ()) <= SMALL
    }
    starts = tuple(Slot(place[id(value)], 0) for value in outputs)
    doubts: tuple[str, ...] = ()
    if len(values) <= SMALL_GRAPH:
        doubts = _doubts(
            [(node, inputs[id(x)]) for node, x in zip(nodes, values, strict=True)], kept
        )
    given = {
        (number, place): as_tensor(value_of(x) if is_value(x) else x, "a constant")
        for number, value in enumerate(values)
        for place, (x, target) in enumerate(zip(inputs[id(value)], wheres[number], strict=True))
        if target is None
    }
    few = {key: held for key, held in given.items() if held.numel() <= SMALL}
    graph = Graph(nodes, edges, starts, kept, doubts=doubts, given=few)
    order = tuple(place[id(value)] for value in found if id(value) in place)
    return Captured(graph, tuple(values), tuple(wheres), order, tuple(found))


def tensor(value: Any) -> Tensor:
    """What a value of the engine holds, as a tensor of its own; numbers become float64.

    Raises:
        TypeError: it holds neither a number nor an array.
    """
    return as_tensor(value_of(value), f"the value of {_called(value)}")


def as_tensor(number: Any, what: str) -> Tensor:
    """A copy of a number or an array; of whole numbers as float64."""
    if isinstance(number, int | float):
        return torch.tensor(float(number), dtype=torch.float64)
    try:
        made = torch.as_tensor(number).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        made = None
    if made is None or not hasattr(number, "shape"):
        raise TypeError(
            f"{what} is of type {type(number).__name__}; an engine's values hold numbers or NumPy "
            "arrays: value = 2.0"
        )
    return made if made.is_floating_point() or made.is_complex() else made.double()


def _all_inputs(outputs: Sequence[Any]) -> tuple[dict[int, tuple[Any, ...]], list[int]]:
    """The inputs of each value, by id; and those of them that are in no order."""
    inputs: dict[int, tuple[Any, ...]] = {}
    unordered: list[int] = []
    waiting = list(outputs)
    while waiting:
        value = waiting.pop()
        if id(value) in inputs:
            continue
        given, ordered = inputs_of(value)
        inputs[id(value)] = given
        if not ordered:
            unordered.append(id(value))
        for position, x in enumerate(given):
            if id(x) in inputs or is_value(x):
                waiting.append(x)
            elif not isinstance(x, int | float) and not hasattr(x, "shape"):
                raise TypeError(
                    f"input {position} of {_called(value)} is of type {type(x).__name__}; inputs "
                    "are values of the engine, numbers or NumPy arrays: inputs = (a, b)"
                )
    return inputs, unordered


def _inputs_first(outputs: Iterable[Any], inputs: Mapping[int, tuple[Any, ...]]) -> list[Any]:
    """All values, each after those it is made from, found depth first as in micrograd."""
    order: list[Any] = []
    state: dict[int, bool] = {}  # False while its inputs are looked at
    for output in outputs:
        stack = [(output, False)]
        while stack:
            value, inputs_done = stack.pop()
            if inputs_done:
                state[id(value)] = True
                order.append(value)
            elif id(value) not in state:
                state[id(value)] = False
                stack.append((value, True))
                for x in reversed(inputs[id(value)]):
                    if state.get(id(x), True) is False:
                        raise ValueError(
                            f"{_called(x)} is computed from itself: its inputs lead back to it; "
                            "let each operation return a new value, and += too: a = a + b"
                        )
                    if id(x) in inputs:
                        stack.append((x, False))
    return order


def _labels(
    found: Iterable[Any], names: Mapping[str, Any] | None, scope: Mapping[str, object]
) -> dict[int, str]:
    """The name of each value that has one, by id; in the order of the caller's variables."""
    if not isinstance(names, Mapping | None):
        raise TypeError(
            f"names is of type {type(names).__name__}; give a dictionary from name to value: "
            'names={"loss": loss}'
        )
    members = {id(value): value for value in found}
    labels: dict[int, str] = {}
    for name, value in scope.items():
        if id(value) in members:
            labels.setdefault(id(value), name)
    for value in members.values():
        if own := name_of(value):
            labels[id(value)] = own
    labels |= {
        id(value): str(name) for name, value in (names or {}).items() if id(value) in members
    }
    return labels


def _put_in_order(
    unordered: Iterable[int],
    inputs: dict[int, tuple[Any, ...]],
    found: Sequence[Any],
    labels: Mapping[int, str],
) -> None:
    """Sort inputs that came as a set: as the caller's variables are, and what has no name by them.

    A set's own order follows addresses, and would differ from run to run.
    """
    position = {one: place for place, one in enumerate(labels)}
    first: dict[int, float] = {}
    for value in found:
        below = (first[id(x)] for x in inputs[id(value)] if id(x) in first)
        first[id(value)] = position.get(id(value), min(below, default=math.inf))

    def key(x: Any) -> tuple[float, str, str]:
        return first.get(id(x), math.inf), operation_of(x), repr(value_of(x))

    for one in unordered:
        inputs[one] = tuple(sorted(inputs[one], key=key))


def _constants(
    outputs: Sequence[Any],
    found: Sequence[Any],
    inputs: Mapping[int, tuple[Any, ...]],
    labels: Mapping[int, str],
    held: Held,
) -> set[int]:
    leaves = {id(value) for value in found if not inputs[id(value)]}
    unnamed = leaves - labels.keys() - set(map(id, outputs))
    if not unnamed:
        return set()
    constants = unnamed - set(held(inputs.keys()))
    return constants if constants != leaves else set()


def _node(
    number: int,
    value: Any,
    given: Sequence[Any],
    where: Sequence[int | None],
    labels: Mapping[int, str],
    known: Mapping[int, str],
) -> Node:
    outputs = (_output(value, labels.get(id(value))),)
    if not given:
        return Node(number, "accumulate", "leaf", outputs)
    operation = operation_of(value) or "operation"
    held = [value_of(x) if is_value(x) else x for x in given]
    found = rule(operation, [len(getattr(one, "shape", ())) for one in held])
    constants = dict(found.numbers)
    symbols = {}
    for role, x, target, one in zip(found.roles, given, where, held, strict=False):
        if target is not None:
            continue
        constant = as_tensor(one, f"an input of {_called(value)}")
        if constant.numel() == 1 and not constant.is_complex():
            constants[role] = constant.item()
        elif id(x) in known:
            symbols[role] = known[id(x)]
    return Node(
        number,
        "function",
        operation,
        outputs,
        inputs=len(given),
        constants=constants,
        symbols=symbols,
        rule=f"{found.name}Backward0" if found.name else "",
    )


def _doubts(
    nodes: Iterable[tuple[Node, Sequence[Any]]], kept: Mapping[Slot, Tensor]
) -> tuple[str, ...]:
    """What is said where the inputs, as they are now, do not give the value of an operation.

    No engine counts what is changed by hand, as weights are in training, so that this is all that
    can be known. Left out are inputs of which nobody knows which is the first.
    """
    found = []
    for node, given in nodes:
        name, held = node.rule.removesuffix("Backward0"), kept.get(Slot(node.id, 0))
        if name not in _COMPUTED or held is None:
            continue
        numbers = [as_tensor(value_of(x) if is_value(x) else x, "an input") for x in given]
        if name == "Pow" and len(numbers) == 1:
            numbers.append(torch.tensor(node.constants["exponent"], dtype=torch.float64))
        computed = [_COMPUTED[name](*numbers)]
        if name in ("Sub", "Div", "Pow") and len(given) == 2:
            computed.append(_COMPUTED[name](*reversed(numbers)))
        same = (torch.allclose(each.to(held.dtype), held, 1e-4, 1e-6, True) for each in computed)
        if not any(same):
            found.append(node.outputs[0].label or f"a result of {node.name!r}")
    if not found:
        return ()
    what = joined(list(dict.fromkeys(clean(each) for each in found)))
    return (
        f"Does not follow from the inputs as they are now: {what}. "
        "A value was changed since, or the operation computes something else.",
    )


def _output(value: Any, label: str | None) -> Output:
    if isinstance(value_of(value), int | float):
        return Output((), "float64", "cpu", label)
    held = tensor(value)
    dtype = str(held.dtype).removeprefix("torch.")
    return Output(tuple(held.shape), dtype, str(held.device), label)


def _called(value: Any) -> str:
    """What a message calls a value: `c`, or `a value ('+')`."""
    name, operation = name_of(value), operation_of(value)
    return (name or "a value") + (f" ({operation!r})" if operation else "")
