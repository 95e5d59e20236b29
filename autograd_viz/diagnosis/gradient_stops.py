"""Where in a recorded backward pass a gradient became zero, tiny, NaN, or None."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.model import Edge, Graph, Slot, Trace
from autograd_viz.operators.table import kind
from autograd_viz.summaries import Summarised

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-6  # a gradient this much smaller than what the pass began with has vanished


def on_the_way(graph: Graph, node: int) -> set[int]:
    """The nodes that a gradient passes on its way from the outputs to a node, itself included."""
    found = {node}
    waiting = [node]
    while waiting:
        for edge in graph.in_edges[waiting.pop()]:
            if edge.source not in found:
                found.add(edge.source)
                waiting.append(edge.source)
    return found


def first_zero(trace: Trace, node: int) -> Edge | None:
    """The first step at which something arrives and only zeros go on towards a node."""
    for edge, arrived, sent in _sent(trace, node):
        if sent is not None and largest(arrived) and not largest(sent):
            return edge
    return None


def first_none(trace: Trace, node: int) -> Edge | None:
    """The first step at which something arrives and PyTorch's "no gradient" goes on."""
    return next((edge for edge, _, sent in _sent(trace, node) if sent is None), None)


def first_in_trouble(graph: Graph, node: int) -> Slot | None:
    """A value on the way to a node that holds NaN or inf, though its inputs do not."""
    way = on_the_way(graph, node)
    for slot, value in graph.values.items():
        if slot.node not in way or not text.trouble(value):
            continue
        edges = graph.out_edges[slot.node]
        inputs = [graph.values.get(Slot(edge.target, edge.output_nr)) for edge in edges]
        if inputs and not any(each is None or text.trouble(each) for each in inputs):
            return slot
    return None


def steepest(trace: Trace, node: int) -> Edge | None:
    """The step that makes the gradient smaller by the largest factor."""
    factors = {
        edge: largest(sent) / largest(arrived)
        for edge, arrived, sent in _sent(trace, node)
        if sent is not None and largest(arrived)
    }
    return min(factors, key=lambda edge: factors[edge], default=None)


def _sent(trace: Trace, node: int) -> Iterator[tuple[Edge, Tensor, Tensor | None]]:
    """(edge, what arrived at its source, what went along it) in the engine's order."""
    way = on_the_way(trace.graph, node)
    for step in trace.steps:
        arrived = next((grad for grad in step.grad_outputs if grad is not None), None)
        if step.node not in way or arrived is None:
            continue
        for edge in trace.graph.out_edges[step.node]:
            if edge.target in way:
                yield edge, arrived, step.grad_inputs[edge.input_index]


def largest(tensor: Tensor) -> float:
    """The largest magnitude among a tensor's elements; 0 if it has none."""
    if isinstance(tensor, Summarised):
        return max(abs(tensor.sketch.least), abs(tensor.sketch.largest))
    if tensor.is_meta or tensor.is_nested or tensor.numel() == 0:
        return 0.0
    return float(tensor.detach().to_dense().abs().max())


def _height(graph: Graph, node: int) -> int:
    """How far a node is from the outputs; what is computed first is farthest."""
    return len(on_the_way(graph, node))


def operation(name: str) -> str:
    """`relu` for ReluBackward0."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind(name)).lower()
