"""Where in a recorded backward pass a gradient became zero, tiny, NaN, or None."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autograd_viz import text
from autograd_viz.model import Edge, Graph, Slot, Trace
from autograd_viz.summaries import Summarised

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-6  # a gradient this much smaller than what the pass began with has vanished
STEPS = {
    "Round",
    "Floor",
    "Ceil",
    "Trunc",
    "Sign",
    "Heaviside",
}  # derivative 0 wherever there is one


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


def troubled_value(graph: Graph, node: int | None = None) -> Slot | None:
    """The first value of the forward pass that is not finite, of those on the way from a node."""
    way = range(len(graph.nodes)) if node is None else on_the_way(graph, node)
    found = [
        slot for slot, value in graph.values.items() if slot.node in way and text.trouble(value)
    ]
    return max(found, key=lambda slot: _height(graph, slot.node), default=None)


def _height(graph: Graph, node: int) -> int:
    """How far a node is from the outputs; what is computed first is farthest."""
    return len(on_the_way(graph, node))


def operation(name: str) -> str:
    """`relu` for ReluBackward0."""
    short = re.sub(r"Backward\d*$", "", name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", short).lower()


def is_flat_somewhere(name: str) -> bool:
    """Whether a gradient function of this name may send exact zeros because of where it is."""
    short = re.sub(r"Backward\d*$", "", name)
    return short in STEPS | {"Relu", "Threshold", "Clamp", "ClampMin", "ClampMax", "Hardtanh"} | {
        "Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Where", "Maximum", "Minimum", "Max", "Min",
    }  # fmt: skip


def at_input(graph: Graph, edge: Edge, saved: Mapping[str, Any] | None = None) -> str | None:
    """The forward value at which an operation was computed, in words; None if it is not known."""
    value = graph.values.get(Slot(edge.target, edge.output_nr))
    if value is None and saved:
        value = saved.get("self")
    if value is None or not hasattr(value, "numel") or value.numel() == 0:
        return None
    if value.numel() == 1:
        return text.number(value.item())
    if value.is_complex() or not (value.is_floating_point()):
        return None
    low, high = float(value.min()), float(value.max())
    if low == high:
        return f"{text.number(low)} everywhere"
    return f"between {text.number(low)} and {text.number(high)}"


def made_zero(graph: Graph, edge: Edge, saved: Mapping[str, Any] | None = None) -> str:
    """Why an operation sends zero along an edge, in words."""
    name = re.sub(r"Backward\d*$", "", graph.nodes[edge.source].name)
    value = at_input(graph, edge, saved)
    here = f", and here it is {value}" if value else ""
    if name in ("Relu", "Threshold"):
        if not value and saved and hasattr(saved.get("result"), "numel"):
            here = ", and here its result is 0"
        return f"relu passes a gradient on only where its input is positive{here}"
    if name in ("Clamp", "ClampMin", "ClampMax", "Hardtanh", "Hardsigmoid", "Relu6"):
        return f"{operation(name)} passes a gradient on only between its limits{here}"
    if name in ("Sigmoid", "Tanh", "LogSigmoid", "Softmax", "LogSoftmax", "Erf"):
        return f"{operation(name)} is saturated, so flat that its slope is 0 in floating point" + (
            f"; its input is {value}" if value else ""
        )
    if name in STEPS:
        return f"{operation(name)} is a step function, whose derivative is 0 wherever it has one"
    if name in ("Where", "MaskedFill", "Masked"):
        return "the condition chose the other branch"
    if name in ("Max", "Min", "Maximum", "Minimum", "Amax", "Amin", "Fmax", "Fmin"):
        return (
            f"{operation(name)} passes the gradient to the element that it chose, and to no other"
        )
    if name in ("Mul", "Mm", "Mv", "Dot", "Bmm", "Addmm"):
        return "it was multiplied by 0, the other factor of the product"
    if name in ("Abs", "Pow", "Square", "Cos", "Sin", "Norm"):
        return f"the slope of {operation(name)} is 0 there" + (f", at {value}" if value else "")
    if name in ("Select", "Slice", "Index", "Gather", "Unbind", "Split"):
        return "the elements that were taken are not those of the tensor asked about"
    return f"its derivative by this input is 0 here{'; the input is ' + value if value else ''}"
