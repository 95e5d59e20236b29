"""What hooks made of gradients on their way: there the chain rule alone does not hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from autograd_viz import text
from autograd_viz.model import Edge, Link, Slot, Trace, Variable, Variables
from autograd_viz.transforms import brought

if TYPE_CHECKING:
    from torch import Tensor

Place = Slot | Edge  # a gradient that arrived, or that a function sent


def made(trace: Trace | None, place: Place) -> str:
    """What a hook has made of a gradient: `a hook made 6 of 3`; "" if it left it as it is."""
    before = trace.before_hooks(place) if trace else None
    after = trace.after_hooks(place) if trace else None
    if before is None or after is None:
        return ""
    brief = (", ".join(text.summary(tensor)) for tensor in (after, before))
    return "a hook made {} of {}".format(*brief)


def at(variables: Variables, variable: Variable) -> list[Place]:
    """Where hooks changed what arrives at a variable with one output."""
    trace = variables.trace
    if trace is None or variable.node is None or variable.node not in trace.step_of:
        return []
    if len(variables.graph.nodes[variable.node].outputs) > 1:
        return []
    edges = variables.graph.in_edges[variable.node]
    return _changed(trace, [*edges, Slot(variable.node, 0)])


def along(variables: Variables, link: Link) -> list[Place]:
    """Where hooks changed a gradient on a link's way, both ends included.

    Of what arrives at its source it is said too if that was changed further up.
    """
    source, target = variables.nodes[link.source], variables.nodes[link.target]
    if variables.trace is None or source.node is None or target.node is None:
        return []
    end = [Slot(target.node, output_nr) for output_nr in {one.output_nr for one in link.arrivals}]
    found = [*_above(variables)[source.id], *_inside(variables, link)]
    return list(dict.fromkeys([*found, *_changed(variables.trace, end)]))


def computed(variables: Variables, link: Link) -> Tensor | None:
    """What a link's source contributes, before hooks at the end of the link change it."""
    trace = variables.trace
    if trace is None or all(edge.source not in trace.computed_by for edge in link.arrivals):
        return link.contribution
    return brought(link.arrivals, trace.computed)


_known: WeakKeyDictionary[Variables, dict[int, list[Place]]] = WeakKeyDictionary()


def _above(variables: Variables) -> dict[int, list[Place]]:
    """Of each variable where a hook changed its gradient, or else the nearest one further up."""
    if variables in _known:
        return _known[variables]
    found: dict[int, list[Place]] = {}
    into: dict[int, list[Link]] = defaultdict(list)
    for link in variables.links:
        into[link.target].append(link)
    for variable in reversed(variables.nodes):  # what is computed from it comes before
        places = at(variables, variable)
        for link in into[variable.id]:
            places = places or _inside(variables, link) or found.get(link.source, [])
        found[variable.id] = places
    _known[variables] = found
    return found


def _inside(variables: Variables, link: Link) -> list[Place]:
    """Where hooks changed something between the two ends of a link."""
    if variables.trace is None:
        return []
    members = set(variables.nodes[link.source].members)
    places: list[Place] = []
    waiting, seen = [*link.arrivals], set(link.arrivals)
    while waiting:
        edge = waiting.pop()
        places.append(edge)
        if edge.source == variables.nodes[link.source].node:
            continue
        places += [
            Slot(edge.source, at) for at in range(len(variables.graph.nodes[edge.source].outputs))
        ]
        more = [one for one in variables.graph.in_edges[edge.source] if one.source in members]
        waiting += [one for one in more if one not in seen]
        seen.update(more)
    return _changed(variables.trace, places)


def on_the_way(trace: Trace, nodes: Collection[int], edges: Collection[Edge]) -> list[str]:
    """What hooks made on these nodes and edges, nearest to the output first."""
    said: dict[str, None] = {}
    for step in trace.steps:
        if step.node in nodes:
            places: list[Place] = [Slot(step.node, at) for at in range(len(step.grad_outputs))]
            places += [edge for edge in trace.graph.out_edges[step.node] if edge in edges]
            said.update((made(trace, place), None) for place in places)
    return [text for text in said if text]


def _changed(trace: Trace, places: Iterable[Place]) -> list[Place]:
    return [place for place in places if trace.before_hooks(place) is not None]
