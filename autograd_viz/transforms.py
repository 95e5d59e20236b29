"""From a Graph to a smaller one that reads better: by variable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING

from autograd_viz.expressions import Expression, expression
from autograd_viz.model import Edge, Graph, Link, Slot, Trace, Variable, Variables
from autograd_viz.text import clean

if TYPE_CHECKING:
    from torch import Tensor


def by_variable(
    graph: Graph, trace: Trace | None = None, open: str | Iterable[str] = ()
) -> Variables:
    """Fold the operations between variables: one node a variable, one link between two of them.

    A variable is an output, a leaf, or a node with a name; also an unnamed node that two
    variables are made from, since its text would otherwise stand in both. `open` names variables
    whose inner operations become variables without a name.
    """
    opened = (open,) if isinstance(open, str) else tuple(open)
    order = _consumers_first(graph)
    anchors = {slot.node for slot in graph.outputs}
    anchors |= {node.id for node in graph.nodes if node.label or node.kind == "accumulate"}
    owner = _owners(graph, order, anchors)
    if opened:
        known = {graph.nodes[anchor].label: anchor for anchor in anchors}
        for name in opened:
            if known.get(name) is None:
                raise _unknown(name, known)
            anchors |= {node for node in order if owner[node] == known[name]}
        owner = _owners(graph, order, anchors)

    members: dict[int, list[int]] = defaultdict(list)
    for node in order:
        members[owner[node]].append(node)
    texts = _expressions(graph, order, anchors)
    sequence = _computation_order(graph, anchors, members)
    position = {anchor: place for place, anchor in enumerate(sequence)}
    variables = tuple(
        Variable(
            position[anchor],
            anchor,
            graph.nodes[anchor].label,
            texts[anchor].text,
            "leaf" if graph.nodes[anchor].kind == "accumulate" else "result",
            tuple(members[anchor]),
        )
        for anchor in sequence
    )
    links = tuple(
        link for variable in variables for link in _links(graph, trace, variable, anchors, position)
    )
    return Variables(graph, trace, variables, links, opened)


def details(variables: Variables, name: str) -> Variables:
    """Only the operations inside one variable, down to the variables it is made from."""
    whole = variables.open(name)
    folded = (variables.trace or variables.graph).variables()  # in `variables` it may be open
    inside = next(node for node in folded.nodes if node.name == name)
    kept = [node.id for node in whole.nodes if node.node in inside.members]
    links = [link for link in whole.links if link.source in kept]
    kept_all = sorted({*kept, *(link.target for link in links)})
    position = {old: new for new, old in enumerate(kept_all)}
    return replace(
        whole,
        nodes=tuple(replace(whole.nodes[old], id=new) for old, new in position.items()),
        links=tuple(
            link._replace(source=position[link.source], target=position[link.target])
            for link in links
        ),
        focus=name,
    )


def _unknown(name: str, known: Mapping[str | None, int]) -> ValueError:
    names = ", ".join(sorted(clean(label) for label in known if label)) or "none"
    return ValueError(
        f"no variable of the graph is called {name!r}; those with a name are: {names}"
    )


def _consumers_first(graph: Graph) -> list[int]:
    """Ids of all nodes, each after the nodes that use its output."""
    waiting = [len(edges) for edges in graph.in_edges]
    order = [node for node, count in enumerate(waiting) if count == 0]
    for node in order:  # the list grows while it is iterated
        for edge in graph.out_edges[node]:
            waiting[edge.target] -= 1
            if waiting[edge.target] == 0:
                order.append(edge.target)
    return order


def _owners(graph: Graph, order: Iterable[int], anchors: set[int]) -> dict[int, int]:
    """For each node the variable whose text it is a part of; adds shared nodes to `anchors`."""
    owner: dict[int, int] = {}
    for node in order:
        users = {owner[edge.source] for edge in graph.in_edges[node]}
        if node in anchors or len(users) != 1:
            anchors.add(node)
            owner[node] = node
        else:
            (owner[node],) = users
    return owner


def _expressions(graph: Graph, order: list[int], anchors: set[int]) -> dict[int, Expression]:
    texts: dict[int, Expression] = {}
    for number in reversed(order):
        node = graph.nodes[number]
        if node.kind == "accumulate":
            texts[number] = Expression(clean(node.label or "leaf"))
            continue
        inputs: list[Expression | None] = [None] * node.inputs
        for edge in graph.out_edges[number]:
            target = graph.nodes[edge.target]
            label = target.label if edge.target in anchors else None
            if label and len(target.outputs) > 1:
                label = target.outputs[edge.output_nr].label or f"({label})[{edge.output_nr}]"
            inputs[edge.input_index] = (
                Expression(clean(label))
                if label
                else _part(texts[edge.target], edge, target.outputs)
            )
        texts[number] = expression(node.name, inputs, node.constants)
    return texts


def _part(text: Expression, edge: Edge, outputs: tuple[object, ...]) -> Expression:
    return Expression(f"{text.text}[{edge.output_nr}]") if len(outputs) > 1 else text


def _computation_order(
    graph: Graph, anchors: set[int], members: Mapping[int, list[int]]
) -> list[int]:
    """Variables in the order in which a program computes them: operands first, left to right."""
    done: dict[int, None] = {}
    for slot in graph.outputs:
        stack = [(slot.node, False)]
        while stack:
            node, operands_done = stack.pop()
            if node in done:
                continue
            if operands_done:
                done[node] = None
                continue
            stack.append((node, True))
            stack += [(edge.target, False) for edge in reversed(graph.out_edges[node])]
    return [node for node in done if node in anchors]


def _links(
    graph: Graph,
    trace: Trace | None,
    variable: Variable,
    anchors: set[int],
    position: Mapping[int, int],
) -> list[Link]:
    """The links of one variable to those that it is made from, left to right."""
    own = variable.members[0]
    along: dict[int, float | None] = defaultdict(float, {own: 1.0})
    local: dict[int, float | None] = defaultdict(float)
    arrivals: dict[int, list[Edge]] = defaultdict(list)
    for node in variable.members:  # consumers first, so `along` is complete when it is read
        for edge in graph.out_edges[node]:
            sums = local if edge.target in anchors else along
            known = along[node]
            one_output = len(graph.nodes[edge.target].outputs) == 1
            slope = trace.local.get(edge) if trace and one_output else None
            before = sums[edge.target]
            sums[edge.target] = (
                None if known is None or slope is None or before is None else before + known * slope
            )
            if edge.target in anchors:
                arrivals[edge.target].append(edge)
    links = []
    for target, edges in sorted(arrivals.items(), key=lambda item: position[item[0]]):
        total, slope = _total(trace, edges), local[target]
        if slope is None and len(graph.nodes[target].outputs) == 1:
            slope = _quotient(total, _gradient(trace, graph, own))
        links.append(Link(variable.id, position[target], tuple(edges), slope, total))
    return links


def _gradient(trace: Trace | None, graph: Graph, node: int) -> Tensor | None:
    """What arrived at a node with one output."""
    if trace is None or len(graph.nodes[node].outputs) != 1:
        return None
    return trace.arrived(Slot(node, 0))


def _quotient(sent: Tensor | None, arrived: Tensor | None) -> float | None:
    """The local derivative between two numbers whose way leads through tensors."""
    above, below = _scalar(sent), _scalar(arrived)
    return above / below if above is not None and below and isfinite(below) else None


def _scalar(tensor: Tensor | None) -> float | None:
    if tensor is None or tensor.is_meta or tensor.is_nested or tensor.numel() != 1:
        return None
    return None if tensor.is_complex() else float(tensor.to_dense().item())


def _total(trace: Trace | None, edges: Sequence[Edge]) -> Tensor | None:
    """The sum of what the edges brought; to be shown, the engine adds in its own order.

    None where they lead to different outputs of one operation: those are several gradients.
    """
    if trace is None or len({edge.output_nr for edge in edges}) > 1:
        return None
    sent = [value for value in map(trace.sent, edges) if value is not None]
    return sum(sent[1:], start=sent[0]) if sent else None
