"""From a Graph to a smaller one that reads better: by variable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from autograd_viz.expressions import expression
from autograd_viz.model import Edge, Graph, Link, Slot, Trace, Variable, Variables, summed
from autograd_viz.operators.table import operation
from autograd_viz.operators.terms import Expression
from autograd_viz.text import clean, has_numbers, joined

if TYPE_CHECKING:
    from torch import Tensor


class Segment(NamedTuple):
    """An edge on the way from a variable down to those it is made from."""

    edge: Edge
    ends: bool  # in another variable
    scalar: bool  # the edge's target has one output, so that a number may be known along it


@dataclass(frozen=True, eq=False)
class Fold:
    """A graph by variable without its numbers: the same for all runs of one program.

    The links of the variables are in their final order. Where the graph knows a link its edges
    are its arrivals; a link to or from a variable outside of the graph has none.
    """

    variables: tuple[Variable, ...]
    links: tuple[Link, ...]  # without numbers
    steps: Mapping[int, tuple[Segment, ...]]  # of each variable of the graph, by its node
    opened: tuple[str, ...] = ()


def by_variable(
    graph: Graph, trace: Trace | None = None, open: str | Iterable[str] = ()
) -> Variables:
    """Fold the operations between variables: one node a variable, one link between two of them.

    A variable is an output, a leaf, or a node with a name; also an unnamed node that two
    variables are made from, since its text would otherwise stand in both. `open` names variables
    whose inner operations become variables without a name.
    """
    return numbered(fold(graph, open), graph, trace)


def fold(graph: Graph, open: str | Iterable[str] = ()) -> Fold:
    """The structure of `by_variable`, which does not depend on any number."""
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
    sequence = _computation_order(graph, order, anchors)
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
    steps = {
        anchor: tuple(
            Segment(edge, edge.target in anchors, len(graph.nodes[edge.target].outputs) == 1)
            for node in members[anchor]  # consumers first, so sums are complete when they are read
            for edge in graph.out_edges[node]
        )
        for anchor in sequence
    }
    links = tuple(
        link
        for variable, anchor in zip(variables, sequence, strict=True)
        for link in _links(variable, steps[anchor], position)
    )
    return Fold(variables, links, steps, opened)


def numbered(fold: Fold, graph: Graph, trace: Trace | None = None) -> Variables:
    """Fill the numbers of one run into a fold of its graph."""
    if trace is None:
        return Variables(graph, None, fold.variables, fold.links, fold.opened)
    local: dict[int, Mapping[int, float | None]] = {}
    links = []
    for link in fold.links:
        own, target = fold.variables[link.source].node, fold.variables[link.target].node
        if own is None or target is None or not link.arrivals:
            links.append(link)
            continue
        if own not in local:
            local[own] = _local(trace, own, fold.steps[own])
        slope, total = local[own][target], brought(link.arrivals, trace.sent)
        if slope is None and len(graph.nodes[target].outputs) == 1:
            inside = (edge for edge, ends, _ in fold.steps[own] if not ends)
            if not any(
                trace.before_hooks(edge) is not None
                or trace.before_hooks(Slot(edge.target, edge.output_nr)) is not None
                for edge in inside
            ):
                computed = brought(link.arrivals, trace.computed)
                slope = _quotient(computed, _gradient(trace, graph, own))
        links.append(link._replace(local=slope, contribution=total))
    return Variables(graph, trace, fold.variables, tuple(links), fold.opened)


def operations(graph: Graph) -> tuple[tuple[int, str], ...]:
    """Every node that computes something, operands first, and what it computes in words.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> d = torch.log2(a) * 3
    >>> operations(av.graph(d))
    ((1, 'log2(a)'), (0, 'log2(a) * 3'))
    """
    order = _consumers_first(graph)
    texts = _expressions(graph, order, set(order))
    return tuple(
        (node, texts[node].text) for node in reversed(order) if graph.nodes[node].kind == "function"
    )


def unknown_values(graph: Graph) -> tuple[str, ...]:
    """What is not known of a graph's values, in sentences; none if nothing was changed since."""
    outputs = (graph.nodes[slot.node].outputs[slot.output_nr] for slot in sorted(graph.changed))
    names = dict.fromkeys(clean(output.label or "a leaf") for output in outputs)
    what = joined(list(names))
    said = f"Not known, since it may have been changed in place after it took part: {what}."
    return (said, *graph.doubts) if names else graph.doubts


def details(variables: Variables, name: str) -> Variables:
    """Only the operations inside one variable, down to the variables it is made from."""
    whole = variables.open(name)
    folded = variables.whole()  # in `variables` it may be open
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
        for role, symbol in node.symbols.items():
            roles = operation(node.function).roles
            place = roles.index(role) if role in roles else None
            wanted = [] if role == "exponent" and len(inputs) == 1 else [None]
            if place is not None and inputs[place : place + 1] == wanted:
                inputs[place : place + 1] = [Expression(clean(symbol))]
        texts[number] = expression(node.function, inputs, node.constants)
    return texts


def _part(text: Expression, edge: Edge, outputs: tuple[object, ...]) -> Expression:
    return Expression(f"{text.text}[{edge.output_nr}]") if len(outputs) > 1 else text


def _computation_order(graph: Graph, order: Iterable[int], anchors: set[int]) -> list[int]:
    """Variables in the order in which a program computes them: operands first, left to right."""
    done: dict[int, None] = {}
    outputs = [slot.node for slot in graph.outputs]
    for start in (*outputs, *order):  # a graph may lead on from nodes that no output needs
        stack = [(start, False)]
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


def _links(variable: Variable, steps: Iterable[Segment], position: Mapping[int, int]) -> list[Link]:
    """The links of one variable to those that it is made from, left to right."""
    arrivals: dict[int, list[Edge]] = defaultdict(list)
    for step in steps:
        if step.ends:
            arrivals[position[step.edge.target]].append(step.edge)
    return [
        Link(variable.id, target, tuple(edges), None, None)
        for target, edges in sorted(arrivals.items())
    ]


def _local(trace: Trace, own: int, steps: Iterable[Segment]) -> Mapping[int, float | None]:
    """The local derivatives of one variable by those that it is made from; None: not known."""
    along: dict[int, float | None] = defaultdict(float, {own: 1.0})
    local: dict[int, float | None] = defaultdict(float)
    for edge, ends, scalar in steps:
        sums = local if ends else along
        known, before = along[edge.source], sums[edge.target]
        slope = trace.local.get(edge) if scalar else None
        sums[edge.target] = (
            None if known is None or slope is None or before is None else before + known * slope
        )
    return local


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
    if tensor is None or tensor.is_nested or tensor.numel() != 1 or not has_numbers(tensor):
        return None
    return None if tensor.is_complex() else float(tensor.to_dense().item())


def brought(edges: Sequence[Edge], sent: Callable[[Edge], Tensor | None]) -> Tensor | None:
    """The sum of what the edges brought; to be shown, the engine adds in its own order.

    None where they lead to different outputs of one operation: those are several gradients.
    """
    if len({edge.output_nr for edge in edges}) > 1:
        return None
    found = [value for value in map(sent, edges) if value is not None]
    return summed(found) if found else None
