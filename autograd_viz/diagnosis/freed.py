"""What named values still tell of a gradient once a pass has freed the output's graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autograd_viz import text
from autograd_viz.diagnosis.cases import Case
from autograd_viz.diagnosis.gradient_stops import (
    first_in_trouble,
    largest,
    on_the_way,
    operation,
)
from autograd_viz.model import Edge, Graph, Slot
from autograd_viz.operators import table

if TYPE_CHECKING:
    from torch import Tensor

# At which results the slope is 0, and what is said of it.
_FLAT: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (
        lambda result: result,
        "relu passes a gradient on only where its input is positive, and its result is 0",
    ),
    "sigmoid": (lambda result: result * (1 - result), "its slope is 0 at the value it had"),
    "tanh": (lambda result: 1 - result * result, "its slope is 0 at the value it had"),
}


def zero_made_by(case: Case) -> tuple[Edge, str] | None:
    """The operation at which a gradient became 0, as far as named values tell, and why.

    Only an operation that all ways pass is named.
    """
    if case.facts.captured is None or case.node is None:
        return None
    graph = case.facts.captured[0]
    way = on_the_way(graph, case.node)
    for node in sorted(way - {case.node}):
        edges = [edge for edge in graph.out_edges[node] if edge.target in way]
        if len(edges) == 1 and _all_pass(graph.out_edges, graph.root.id, case.node, node):
            because = _flat(graph, node, edges[0])
            if because is not None:
                return edges[0], because
    return None


def _flat(graph: Graph, node: int, edge: Edge) -> str | None:
    """Why an operation sends 0 whatever arrives, if it does."""
    name = operation(graph.nodes[node].name)
    if table.operation(graph.nodes[node].name).flat == "everywhere":
        return f"{name} is a step function, whose slope is 0 wherever it has one"
    result = graph.values.get(Slot(node, 0))
    if name in _FLAT and result is not None and not largest(_FLAT[name][0](result)):
        return _FLAT[name][1]
    if name == "mul":
        for other in graph.out_edges[node]:
            factor = graph.values.get(Slot(other.target, other.output_nr))
            if other.input_index != edge.input_index and factor is not None and not largest(factor):
                return "it was multiplied by 0, the other factor of the product"
    return None


def _all_pass(out_edges: Any, start: int, end: int, through: int) -> bool:
    """Whether every way from `start` to `end` passes one node."""
    seen, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        if node == through:
            continue
        if node == end:
            return False
        for edge in out_edges[node]:
            if edge.target not in seen:
                seen.add(edge.target)
                waiting.append(edge.target)
    return True


def value_in_trouble(case: Case) -> tuple[Slot, str] | None:
    """The first named value on the way that holds NaN or inf though its inputs do not."""
    if case.facts.captured is None or case.node is None:
        return None
    graph = case.facts.captured[0]
    slot = first_in_trouble(graph, case.node)
    if slot is None:
        return None
    made = case.variable_of(slot.node) or graph.nodes[slot.node].name
    return slot, f"{made} gives {', '.join(text.summary(graph.values[slot]))}"
