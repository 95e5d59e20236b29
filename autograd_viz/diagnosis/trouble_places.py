"""Where in a recorded pass the gradients of parameters become 0, NaN or None: the last step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from autograd_viz import text
from autograd_viz.diagnosis import gradient_stops
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.model import Edge, Graph, Trace
from autograd_viz.operators.table import operation

if TYPE_CHECKING:
    from torch import Tensor

# Functions that multiply what arrives by their other input.
PRODUCTS = ("AddbmmBackward0", "AddmmBackward0", "AddmvBackward0", "BaddbmmBackward0",
            "BmmBackward0", "ConvolutionBackward0", "DotBackward0", "MmBackward0", "MulBackward0",
            "MvBackward0")  # fmt: skip
SUMS = ("AddmmBackward0", "AddbmmBackward0", "AddmvBackward0", "BaddbmmBackward0")


class Begin(NamedTuple):
    """Where a gradient becomes what it is."""

    edges: tuple[Edge, ...]  # on which it is sent first
    sent: int = 0  # of 0: how many gradients that are not 0 are sent where 0 arrives


class Places:
    """Answers for many parameters of one pass; each gradient is looked at once."""

    def __init__(
        self,
        trace: Trace,
        step: Callable[[int], str],
    ) -> None:
        self.trace, self.step = trace, step
        self._found: dict[tuple[Edge, str], bool] = {}
        self._values: dict[tuple[int, str], bool] = {}

    def zero(self, node: int) -> tuple[str, str | None]:
        """Why 0 arrives at a node, in sentences, and at which step it begins."""
        begin = self._begin(node, "zero")
        if not begin.edges:
            return _cancelled(begin.sent), None
        edge = begin.edges[0]
        also = f" There are {len(begin.edges) - 1:,} more such steps." * (len(begin.edges) > 1)
        step = self.step(edge.source)
        return f"the gradient becomes 0 at {step}.{also}", step

    def trouble(self, node: int, kind: str) -> tuple[str, str | None]:
        """Why NaN or inf arrives at a node, in sentences, and at which step it begins."""
        graph = self.trace.graph
        begin = self._begin(node, "trouble")
        edge = begin.edges[0] if begin.edges else None
        slot = gradient_stops.first_in_trouble(graph, node) if graph.values else None
        if slot is not None:
            value = graph.values[slot]
            step = self.step(slot.node)
            shown = ", ".join(text.summary(value))
            return f"a value of the forward pass is {kind} already: {step} gave {shown}.", step
        if edge is None:
            return "the pass begins with it.", None
        step = self.step(edge.source)
        sent = self.trace.sent(edge)
        first = text.trouble(sent) if sent is not None else kind
        return f"{step} makes {first} of a finite gradient.", step

    def none(self, node: int) -> tuple[str, str | None]:
        """Why None arrives at a node."""
        edge = gradient_stops.first_none(self.trace, node)
        if edge is None:
            return "no gradient is sent along any way to <it>.", None
        step = self.step(edge.source)
        return (
            f'{step} returns None, PyTorch\'s "no gradient", for its input {edge.input_index}.',
            step,
        )

    def begins(self, node: int) -> tuple[Edge, ...]:
        """The edges on which the zeros that arrive at a node are sent first."""
        return self._begin(node, "zero").edges

    def _begin(self, node: int, what: str) -> Begin:
        graph, trace = self.trace.graph, self.trace
        waiting, seen = [node], {node}
        found: dict[Edge, None] = {}
        others = 0
        while waiting:
            for edge in graph.in_edges[waiting.pop()]:
                sent = trace.sent(edge)
                if sent is None or not self._is(edge, sent, what):
                    others += what == "zero" and sent is not None
                    continue
                if not self._arrives(edge.source, what):
                    found.setdefault(edge)
                elif edge.source not in seen:
                    seen.add(edge.source)
                    waiting.append(edge.source)
        order = trace.step_of
        edges = sorted(found, key=lambda edge: order.get(edge.source, -1))
        return Begin(tuple(edges), others)

    def _is(self, edge: Edge, sent: Tensor, what: str) -> bool:
        key = (edge, what)
        if key not in self._found:
            self._found[key] = _is(sent, what)
        return self._found[key]

    def _arrives(self, node: int, what: str) -> bool:
        """Whether all that arrives at a node is 0 already, or some of it NaN or inf."""
        key = (node, what)
        if key not in self._values:
            step = self.trace.steps[self.trace.step_of[node]]
            arrived = [_is(grad, what) for grad in step.grad_outputs if grad is not None]
            self._values[key] = all(arrived) if what == "zero" else any(arrived)
        return self._values[key]


def _cancelled(sent: int) -> str:
    if sent > 1:
        return "what is sent adds up to 0, or a hook has changed it."
    if sent == 1:
        return "what is sent is not 0, and a hook has made it so."
    return "no step sends anything else."


def _is(grad: Tensor, what: str) -> bool:
    return not largest(grad) if what == "zero" else text.trouble(grad) is not None


def factor(graph: Graph, edge: Edge, leaves: Mapping[int, Tensor]) -> int | None:
    """The leaf that is 0 everywhere and that a product multiplies by on its way along an edge."""
    name = graph.nodes[edge.source].name
    if name not in PRODUCTS:
        return None
    for other in graph.out_edges[edge.source]:
        is_factor = other.input_index != edge.input_index
        if name in SUMS:  # their input 0 is added
            is_factor = is_factor and 0 not in (other.input_index, edge.input_index)
        if name == "ConvolutionBackward0":
            is_factor = {other.input_index, edge.input_index} == {0, 1}
        place = other.target
        while is_factor and operation(graph.nodes[place].name).looks and graph.out_edges[place]:
            place = graph.out_edges[place][0].target
        if is_factor and place in leaves and not largest(leaves[place]):
            return place
    return None


def product_above(graph: Graph, node: int, leaves: Mapping[int, Tensor]) -> int | None:
    """The same, where no pass can be run: on the only way to a leaf, through views alone."""
    for _ in range(len(graph.nodes)):
        ways = graph.in_edges[node]
        if len(ways) != 1:
            return None
        if (found := factor(graph, ways[0], leaves)) is not None:
            return found
        node = ways[0].source
    return None
