"""All paths between two places of a graph: how many, the product along each, and their sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from autograd_viz.formulas import hooks
from autograd_viz.model import Slot, Variable, Variables, summed
from autograd_viz.pathwise import search as path_search
from autograd_viz.pathwise.data import Path, Paths
from autograd_viz.pathwise.ends import title
from autograd_viz.pathwise.gradients import MOST_STEPS, carried
from autograd_viz.pathwise.search import Route
from autograd_viz.steps import SCALAR_NODES
from autograd_viz.text import clean, has_numbers


def no_paths(variables: Variables, leaf: str) -> Paths:
    """The answer for a tensor that the output does not depend on."""
    output = title(variables, variables.graph.outputs[0])
    return Paths(variables, output, clean(leaf), 0, (), 0.0, None, True)


def all_paths(variables: Variables, goal: Slot, most: int) -> Paths:
    """All paths from the output of a backward pass to a place in its graph."""
    graph, trace = variables.graph, variables.trace
    assert trace is not None  # path_ends.traced has seen to it
    start = graph.outputs[0]
    output, leaf = title(variables, start), title(variables, goal)
    order = path_search.inputs_first(graph)
    found = path_search.found(graph, order, start, goal)
    gradient = trace.arrived(goal)
    if not found.count:
        none = gradient is None or not has_numbers(gradient) or not gradient.any()
        return Paths(variables, output, leaf, 0, (), 0.0, gradient, none)
    begin = trace.starts[0]
    weights = trace.local if all(edge in trace.local for edge in found.edges) else None
    scalar = weights is not None and begin.numel() == 1 and not begin.is_complex()
    ranked = weights if scalar and found.count > most else None
    routes = path_search.listed(order, found, start, goal, most, ranked)
    remarks: list[str] = []
    if scalar and weights is not None:
        sums = path_search.added(order, found, start, goal, weights)
        total: float | Tensor = begin.item() * sums[0]
        listed = tuple(_scalar_path(variables, goal, route) for route in routes)
        agrees = _equal(total, gradient, len(found.nodes), abs(begin.item()) * sums[1])
    else:
        alone = found.nodes - path_search.shared(order, found, start)
        listed = tuple(_tensor_path(variables, goal, route, alone) for route in routes)
        total = _sum(variables, goal, listed if len(listed) == found.count else None, gradient)
        agrees = _equal(total, gradient, len(found.nodes))
        known = len(listed) == found.count and all(path.product is not None for path in listed)
        if len(graph.nodes) > SCALAR_NODES and not known:
            remarks.append(
                f"Local derivatives are computed for graphs of up to {SCALAR_NODES} "
                f"nodes; this one has {len(graph.nodes):,}, so the total is the sum of what "
                f"autograd brought to {leaf}."
            )
    if found.count > len(listed):
        which = "the largest" if ranked is not None else "the first of the program"
        remarks.append(f"Listed are {len(listed)} of the paths, {which}.")
    if any(way is not None and way[1] > 1 for path in listed for way in path.ways):
        remarks.append(
            "(…)₁, (…)₂: the ways in which one variable enters another; its rectangle holds their "
            "sum."
        )
    if any(path.product is None for path in listed):
        remarks.append(
            "?: not known without running code of yours again (a custom Function, a checkpoint), "
            f"or more than {MOST_STEPS:,} operations."
        )
    return Paths(
        variables,
        output,
        leaf,
        found.count,
        listed,
        total,
        gradient,
        agrees,
        tuple(remarks),
        () if agrees else tuple(hooks.on_the_way(trace, found.nodes, found.edges)),
    )


# One path


def _scalar_path(variables: Variables, goal: Slot, route: Route) -> Path:
    trace = variables.trace
    assert trace is not None
    factors: list[float | None] = [float(trace.starts[0].item())]
    hops = _hops(variables, route)
    factors += [math.prod(trace.local[edge] for edge in hop) for hop in hops]
    product = math.prod(factor for factor in factors if factor is not None)
    return _path(variables, goal, route, hops, factors, product)


def _tensor_path(variables: Variables, goal: Slot, route: Route, alone: frozenset[int]) -> Path:
    trace = variables.trace
    assert trace is not None
    hops = _hops(variables, route)
    gradients = carried(variables, route, alone)
    at_ends: list[Tensor | None] = [trace.starts[0]]
    place = -1
    for hop in hops:
        place += len(hop)
        at_ends.append(gradients[place] if place < len(gradients) else None)
    factors: list[float | None] = [_item(trace.starts[0])]
    factors += [_ratio(after, before) for before, after in pairwise(at_ends)]
    product: float | Tensor | None = at_ends[-1]
    if isinstance(product, Tensor) and product.ndim == 0:
        number = _item(product)
        product = product if number is None else number
    return _path(variables, goal, route, hops, factors, product)


def _path(
    variables: Variables,
    goal: Slot,
    route: Route,
    hops: Sequence[Route],
    factors: Sequence[float | None],
    product: float | Tensor | None,
) -> Path:
    graph = variables.graph
    by_node = {variable.node: variable for variable in variables.nodes}
    on_way: list[Variable] = [by_node[graph.outputs[0].node]]
    on_way += [by_node[hop[-1].target] for hop in hops]
    slots = [graph.outputs[0], *(Slot(hop[-1].target, hop[-1].output_nr) for hop in hops)]
    numbers = {(link.source, link.target): place for place, link in enumerate(variables.links)}
    ends = pairwise([variable.id for variable in on_way])
    return Path(
        titles=tuple(title(variables, slot) for slot in slots),
        factors=tuple(factors),
        product=product,
        ways=tuple(
            path_search.way(graph, variable.members, hop)
            for variable, hop in zip(on_way, hops, strict=False)
        ),
        variables=tuple(variable.id for variable in on_way),
        links=tuple(numbers[pair] for pair in ends),
        edges=route,
    )


def _hops(variables: Variables, route: Route) -> list[Route]:
    """The edges of a route, in pieces from one variable to the next."""
    ends = {variable.node for variable in variables.nodes}
    hops: list[Route] = []
    begin = 0
    for place, edge in enumerate(route, start=1):
        if edge.target in ends:
            hops.append(route[begin:place])
            begin = place
    return hops


# Sums and numbers


def _sum(
    variables: Variables, goal: Slot, listed: Sequence[Path] | None, gradient: Tensor | None
) -> float | Tensor:
    """The sum of the products if all are known, else of what the engine brought."""
    terms: list[Any] = [path.product for path in listed or ()]
    if not terms or any(term is None for term in terms):
        trace = variables.trace
        assert trace is not None
        edges = variables.graph.in_edges[goal.node]
        brought = [trace.sent(edge) for edge in edges if edge.output_nr == goal.output_nr]
        terms = [value for value in brought if value is not None]
    if not terms:
        return 0.0
    total = sum(terms[1:], start=terms[0]) if listed else summed(terms)
    number = _item(total) if isinstance(total, Tensor) and total.ndim == 0 else None
    return total if number is None else number


def _equal(
    total: float | Tensor, gradient: Tensor | None, nodes: int, magnitude: float = 0.0
) -> bool | None:
    """Whether they are equal but for the rounding of the gradient's data type.

    None: there are no values to compare. `magnitude` is the sum of the products' magnitudes:
    where large ones cancel, their rounding errors do not.
    """
    if gradient is None or not (gradient.is_floating_point() or gradient.is_complex()):
        return False
    if not has_numbers(gradient):
        return None
    tolerance = torch.finfo(gradient.dtype).eps * (16 + nodes)
    wide = torch.complex128 if gradient.is_complex() else torch.float64
    total = total if isinstance(total, Tensor) else torch.tensor(total, dtype=torch.float64)
    rounded = total.to(gradient.device, gradient.dtype).to_dense().to(wide)
    own = gradient.to_dense().to(wide)
    if rounded.numel() != own.numel():
        return False
    allowed = tolerance * magnitude if math.isfinite(magnitude) else 0.0
    close = torch.isclose(
        rounded.reshape(own.shape), own, rtol=tolerance, atol=allowed, equal_nan=True
    )
    return bool(close.all())


def _item(tensor: Tensor | None) -> float | None:
    if tensor is None or not has_numbers(tensor) or tensor.numel() != 1 or tensor.is_complex():
        return None
    return float(tensor.item())


def _ratio(after: Tensor | None, before: Tensor | None) -> float | None:
    above, below = _item(after), _item(before)
    return above / below if above is not None and below else None
