"""From the values of an engine to a Trace: a real backward pass of their own, recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.engines.operations import SYMMETRIC
from autograd_viz.engines.protocol import step_of, value_of
from autograd_viz.engines.values_graph import Captured, as_tensor
from autograd_viz.errors import GradError
from autograd_viz.model import Edge, Step, Trace

SCALAR_NODES = 500  # local derivatives are computed for graphs up to this size


def traced(found: Captured, grad: Any = None) -> Trace:
    """Run the engine's own backward steps, results first, and record what each of them adds.

    Before, all gradients are set to zero and the outputs' to 1 (or `grad`); afterwards each value
    has again the very gradient that it had. Each step is run once more by hand, with the gradient
    1, for the local derivatives. Where a value has no step to run, the gradients are taken as they
    stand, and nothing is known of what each value contributed.

    Args:
        found: the graph, and the values behind it.
        grad: the gradient that the output begins with, a number or an array.

    Raises:
        GradError: an output has several elements, and no gradient was given.
        Exception: whatever a step raises.
    """
    inner = [number for number, targets in enumerate(found.inputs) if targets]
    if any(step_of(found.values[number]) is None for number in inner):
        return _as_they_stand(found)
    starts = _starts(found, grad)
    gained: dict[int, dict[int, Tensor]] = {}
    arrived: dict[int, Tensor] = {}
    notes: list[str] = []
    with _grads_kept(found.everything):
        for value in found.everything:
            value.grad = _filled(value_of(value), 0.0)
        for slot, start in zip(found.graph.outputs, starts, strict=True):
            value = found.values[slot.node]
            value.grad = value.grad + start
        for number in reversed(found.order):
            arrived[number] = _grad(found, number)
            if found.inputs[number]:
                gained[number] = _gained(found, number, notes)
        local = _local_derivatives(found) if len(found.values) <= SCALAR_NODES else {}
    begins = [as_tensor(start, "the gradient") for start in starts]
    return _trace(found, arrived, gained, begins, local, tuple(notes))


@contextmanager
def _grads_kept(values: Sequence[Any]) -> Iterator[None]:
    kept = [(value, value.grad) for value in values]
    try:
        yield
    finally:
        for value, grad in kept:
            value.grad = grad


def _filled(like: Any, number: float) -> Any:
    """The number as the engine would have it: of the same kind and shape as a value."""
    if isinstance(like, int | float):
        return number
    if isinstance(like, Tensor):
        return torch.full_like(like, number, requires_grad=False)
    import numpy  # the value is one of its arrays

    return numpy.full(numpy.shape(like), number, dtype=numpy.result_type(like, numpy.float32))


def _starts(found: Captured, grad: Any) -> list[Any]:
    starts = []
    several = isinstance(grad, list | tuple)
    if several and len(grad) != len(found.graph.outputs):
        raise GradError(
            f"{len(found.graph.outputs)} outputs need as many gradients, but {len(grad)} were "
            "given: av.trace([y1, y2], [1.0, 2.0])"
        )
    for place, slot in enumerate(found.graph.outputs):
        value, shape = value_of(found.values[slot.node]), found.graph.nodes[slot.node].shape or ()
        start = _filled(value, 1.0)
        factor = grad[place] if several else grad
        if isinstance(factor, Tensor) and not isinstance(value, Tensor):
            factor = factor.item() if factor.numel() == 1 else factor.numpy()
        if factor is None and math.prod(shape) != 1:
            raise GradError(
                f"the output has shape {list(shape)}, so the backward pass needs a gradient to "
                "start from; reduce it to one number, or give one of its shape: "
                "av.trace(y, numpy.ones(y.value.shape))"
            )
        starts.append(start if factor is None else start * factor)
    return starts


def _grad(found: Captured, number: int) -> Tensor:
    return as_tensor(found.values[number].grad, "a gradient")


def _gained(found: Captured, number: int, notes: list[str]) -> dict[int, Tensor]:
    """Run the step of a node; what the gradient of each input has gained, as their numbers say.

    Where something had arrived before, the step is run again onto zeros: 2 + 2.164 - 2.164 is not
    2, and a step that replaces what had arrived is found out.
    """
    before = _input_grads(found, number)
    _run(found, number)
    after = _input_grads(found, number)
    if not any(bool(grad.any()) for grad in before.values()):
        return after
    with _grads_kept([found.values[one] for one in before]):
        for one in before:
            found.values[one].grad = _filled(value_of(found.values[one]), 0.0)
        _run(found, number)
        alone = _input_grads(found, number)
    gained = {}
    for one, grad in after.items():
        added = _close(grad, before[one] + alone[one])
        gained[one] = alone[one] if added else grad - before[one]
        if not added and _close(grad, alone[one]):
            notes.append(_replaced(found, number, one, before[one], grad))
    return gained


def _run(found: Captured, number: int) -> None:
    step = step_of(found.values[number])
    assert step is not None  # traced has looked
    step()


def _input_grads(found: Captured, number: int) -> dict[int, Tensor]:
    return {one: _grad(found, one) for one in found.inputs[number] if one is not None}


def _close(one: Tensor, other: Tensor) -> bool:
    both = one.to(torch.complex128), other.to(torch.complex128)
    return one.shape == other.shape and torch.allclose(*both, rtol=1e-6, atol=0, equal_nan=True)


def _replaced(found: Captured, number: int, target: int, before: Tensor, after: Tensor) -> str:
    """Say where a step sets a gradient instead of adding to it: the commonest slip."""
    source, into = (found.graph.nodes[one] for one in (number, target))
    was, becomes = text.summary(before)[0], text.summary(after)[0]
    return (
        f"The backward step of {text.clean(source.label or repr(source.name))} replaces the "
        f"gradient of {text.clean(into.label or repr(into.name))}, {was}, by {becomes}; "
        f"it has to add {becomes} to it: += instead of =."
    )


def _local_derivatives(found: Captured) -> dict[Edge, float]:
    """What each step sends when its value's gradient is 1, between single numbers."""
    graph, local = found.graph, {}
    scalar = [math.prod(node.shape or ()) == 1 for node in graph.nodes]
    for number, edges in enumerate(graph.out_edges):
        if not scalar[number] or not edges:
            continue
        value = found.values[number]
        for target in {edge.target for edge in edges}:
            one = found.values[target]
            one.grad = _filled(value_of(one), 0.0)
        value.grad = _filled(value_of(value), 1.0)
        gained = _gained(found, number, [])
        for index, slope in _by_edge(found, number, gained).items():
            edge = next(edge for edge in edges if edge.input_index == index)
            if scalar[edge.target] and slope.numel() == 1 and not slope.is_complex():
                local[edge] = slope.item()
    return local


def _by_edge(found: Captured, number: int, gained: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """What went along each edge, by the input's index.

    An input that is used twice gains one sum. Of `a * a` each use brings half of it; of `a - a`
    the parts are not known, and the first edge has all.
    """
    node, targets = found.graph.nodes[number], found.inputs[number]
    symmetric = node.rule.removesuffix("Backward0") in SYMMETRIC
    sent: dict[int, Tensor] = {}
    for index, target in enumerate(targets):
        if target is None:
            continue
        times = targets.count(target)
        if symmetric and times > 1:
            sent[index] = gained[target] / times
        elif targets.index(target) == index:
            sent[index] = gained[target]
    return sent


def _trace(
    found: Captured,
    arrived: Mapping[int, Tensor],
    gained: Mapping[int, Mapping[int, Tensor]],
    starts: Sequence[Tensor],
    local: Mapping[Edge, float],
    notes: tuple[str, ...] = (),
) -> Trace:
    graph = found.graph
    sent = {number: _by_edge(found, number, sums) for number, sums in gained.items()}
    begins: dict[int, list[Tensor]] = {}
    for slot, start in zip(graph.outputs, starts, strict=True):
        begins.setdefault(slot.node, []).append(start)
    position = {number: place for place, number in enumerate(reversed(found.order))}
    steps = []
    leaf_grads = {}
    for number in reversed(found.order):
        grads = (arrived[number],) if number in arrived else (None,)
        if graph.nodes[number].kind == "function":
            own = sent.get(number, {})
            outward = tuple(own.get(index) for index in range(len(found.inputs[number])))
            steps.append(Step(number, grads, outward))
            continue
        leaf = as_tensor(value_of(found.values[number]), "a leaf")
        leaf_grads[number] = (leaf, grads[0])
        brought = [
            sent[edge.source][edge.input_index]
            for edge in sorted(graph.in_edges[number], key=lambda edge: position[edge.source])
            if edge.input_index in sent.get(edge.source, {})
        ]
        contributions = (*begins.get(number, ()), *brought)
        steps.append(Step(number, grads, (), leaf=leaf, contributions=contributions))
    ends = tuple(leaf_grads[leaf.id] for leaf in graph.leaves)
    return Trace(graph, tuple(steps), ends, tuple(starts), local, notes)


def _as_they_stand(found: Captured) -> Trace:
    """The gradients that an earlier backward pass has left in the values."""
    arrived = {
        number: _grad(found, number)
        for number, value in enumerate(found.values)
        if value.grad is not None
    }
    starts = [
        arrived.get(slot.node, torch.tensor(1.0, dtype=torch.float64))
        for slot in found.graph.outputs
    ]
    return _trace(found, arrived, {}, starts, {})
