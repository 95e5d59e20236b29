"""What can still be said once a backward pass has freed the output's graph."""

from __future__ import annotations

import re
from typing import Any

from autograd_viz import text
from autograd_viz.diagnosis import gradient_stops, lineage
from autograd_viz.diagnosis.cases import Case
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.diagnosis.reason import Reason
from autograd_viz.model import Edge, Slot


def freed(case: Case) -> Reason:
    """A pass has run; so there is no second one to compare with."""
    name, result, grad = case.name, case.result, case.facts.grad
    case.evidence.append(f"the graph of {result} was freed by a backward pass")
    again = f"{result}.backward(retain_graph=True)" if result.isidentifier() else None
    if grad is None:
        cleared = case.cleared()
        if not case.tensor.is_leaf:
            cause = f"{name}.retain_grad() was called after it, and keeps later gradients only"
        elif cleared is not None:
            case.evidence.append(cleared[1].quoted)
            cause = f"{name}.grad was cleared after it, in {cleared[1].quoted}"
        else:
            cause = (
                f"after it {name}.grad was cleared (as by optimizer.zero_grad()), or the pass did "
                "not write it, as torch.autograd.grad() and backward(inputs=...) do not"
            )
        return case.reason(
            "graph_freed",
            f"{case.grad_name} is None although a backward pass has run through {result}'s "
            f"graph and freed it: {cause}. Compute {result} again, then call backward().",
        )
    shown = ", ".join(text.summary(grad))
    stop = _suspect(case) if not largest(grad) and not text.trouble(grad) else None
    if stop is not None:
        edge, because = stop
        assert case.facts.captured is not None  # the suspect is a part of it
        graph = case.facts.captured[0]
        return case.reason(
            "zero",
            f"{case.grad_name} is 0 because the gradient becomes 0 at "
            f"{graph.nodes[edge.source].name}{case.of(edge)}: {because}.",
            stop=edge,
        )
    trouble = text.trouble(grad)
    slot = _troubled(case) if trouble else None
    if slot is not None:
        assert case.facts.captured is not None  # the suspect is a part of it
        graph = case.facts.captured[0]
        made = case.variable_of(slot.node) or graph.nodes[slot.node].name
        value = ", ".join(text.summary(graph.values[slot]))
        return case.reason(
            "nan",
            f"{case.grad_name} holds {trouble}, and a value of the forward pass is "
            f"{text.trouble(graph.values[slot])} already: {made} gives {value}"
            f"{inputs_of(case, slot)}. Look for the input that makes it so.",
            stop=next(iter(graph.in_edges[slot.node]), None),
        )
    counted = _counted(case) + (_flat_parts(case) if not largest(grad) else "")
    state = f"holds {trouble}" if trouble else f"is {shown}"
    ask = f"Compute {result} again and ask before its backward(), or call {again}."
    if again is None:
        ask = "Compute the output again and ask before its backward()."
    return case.reason(
        "graph_freed",
        f"{case.grad_name} {state}, but whether one pass gives this cannot be said: an earlier "
        f"backward() has freed {result}'s graph.{counted} {ask}",
        again,
    )


def _counted(case: Case) -> str:
    """How many backward() calls the source shows since .grad was last cleared."""
    source = case.facts.source
    if source is None:
        return ""
    clears = [each for each in source.statements if case.clears(each)]
    since = lineage.position(source, clears[-1]) if clears else -1
    backs = [
        each
        for each in lineage.calls_of(source, "backward")
        if lineage.position(source, each) > since
    ]
    case.evidence += [each.quoted for each in backs]
    if len(backs) > 1:
        return (
            f" backward() stands in {text.joined([each.where for each in backs])} with nothing "
            "that clears .grad in between, so it may hold their sum."
        )
    if backs and backs[0].repeats and not any(each.repeats for each in clears):
        return f" backward() stands in a loop ({backs[0].where}), so it may hold a sum."
    if len(backs) == 1 and not backs[0].repeats and backs[0].sure:
        return f" The source shows one backward() since .grad was empty ({backs[0].where})."
    return ""


def _flat_parts(case: Case) -> str:
    """The operations on the way that are flat somewhere, and so may have made it 0."""
    if case.facts.captured is None or case.node is None:
        return ""
    graph = case.facts.captured[0]
    names = [graph.nodes[node].name for node in sorted(gradient_stops.on_the_way(graph, case.node))]
    flat = [name for name in dict.fromkeys(names) if gradient_stops.is_flat_somewhere(name)]
    return f" On the way {text.joined(flat)} may have made it 0." if flat else ""


def _suspect(case: Case) -> tuple[Edge, str] | None:
    """The operation at which a gradient became 0, as far as named values tell.

    Used where the graph was freed; only an operation that all ways pass is named.
    """
    if case.facts.captured is None or case.node is None:
        return None
    graph = case.facts.captured[0]
    way = gradient_stops.on_the_way(graph, case.node)
    for node in sorted(way - {case.node}):
        edges = [edge for edge in graph.out_edges[node] if edge.target in way]
        if len(edges) != 1 or not _all_pass(graph.out_edges, graph.root.id, case.node, node):
            continue
        name = re.sub(r"Backward\d*$", "", graph.nodes[node].name)
        result = graph.values.get(Slot(node, 0))
        below = graph.values.get(Slot(edges[0].target, edges[0].output_nr))
        flat = name in gradient_stops.STEPS
        if name == "Relu":
            flat = (result is not None and not largest(result)) or (
                below is not None and bool((below <= 0).all())
            )
        elif name in ("Sigmoid", "Tanh") and result is not None:
            slope = result * (1 - result) if name == "Sigmoid" else 1 - result * result
            flat = not largest(slope)
        elif name == "Mul":
            others = [e for e in graph.out_edges[node] if e.input_index != edges[0].input_index]
            factors = [graph.values.get(Slot(e.target, e.output_nr)) for e in others]
            flat = bool(factors) and factors[0] is not None and not largest(factors[0])
        if flat:
            return edges[0], gradient_stops.made_zero(graph, edges[0])
    return None


def _troubled(case: Case) -> Slot | None:
    if case.facts.captured is None or case.node is None:
        return None
    return gradient_stops.troubled_value(case.facts.captured[0], case.node)


def inputs_of(case: Case, slot: Slot) -> str:
    """` from x = 0`: the named values that a value was computed from."""
    graph = case.facts.captured[0] if case.facts.captured else None
    if graph is None:
        return ""
    parts = []
    for edge in graph.out_edges[slot.node]:
        value = graph.values.get(Slot(edge.target, edge.output_nr))
        label = graph.nodes[edge.target].label
        if value is not None and label:
            parts.append(f"{label} = {text.summary(value)[0]}")
    return f" from {', '.join(parts)}" if parts else ""


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
