"""What of a recorded run stays the same from one run to the next: names, graph, variables."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from autograd_viz.model import Edge, Graph, Node, Slot
from autograd_viz.names import is_tensor
from autograd_viz.nodes import InputFacts, nodes_of
from autograd_viz.programs.moments import tensors_in
from autograd_viz.programs.operands import Operand, input_facts
from autograd_viz.programs.run_facts import Facts
from autograd_viz.programs.runs import Run
from autograd_viz.programs.sources import Source
from autograd_viz.programs.statements import SourceStatement
from autograd_viz.programs.surroundings import Extras, surrounded
from autograd_viz.programs.versions import NUMBERS, Versions, versions
from autograd_viz.saved import SMALL
from autograd_viz.transforms import Fold, fold
from autograd_viz.walk import Walk, walk_from


class Written(NamedTuple):
    """A statement that ran, without its values."""

    statement: SourceStatement
    names: tuple[str, ...]
    values: tuple[tuple[int | None, Any], ...]  # a tensor's number, or a value itself
    operations: tuple[str, ...]


@dataclass(eq=False)
class Outline:
    """A run without its tensors' numbers."""

    statements: tuple[Written, ...]
    nodes: Sequence[Node]
    edges: tuple[Edge, ...]
    slots: tuple[Slot, ...]  # of the outputs that need a gradient
    outputs: tuple[int, ...]  # all outputs, by their tensors' numbers
    places: Mapping[Slot, int]  # whose tensor has the value of a graph's slot
    doubtful: frozenset[Slot]  # which had several values, as a leaf changed under no_grad
    lines: Mapping[int, int]  # of the source: where each node of the graph was made
    copied: tuple[int, ...]  # numbers of the tensors whose values are shown
    extras: Extras
    folds: dict[tuple[str, ...], tuple[Fold, Mapping[int, int]]] = field(default_factory=dict)

    def graph(self, walk: Walk | None, copies: Mapping[int, Tensor]) -> Graph:
        """The graph with the values of one run."""
        values = {
            slot: copies[place]
            for slot, place in self.places.items()
            if place in copies and copies[place].numel() <= SMALL
        }
        if walk is not None:
            for node, leaf in walk.leaves.items():
                known = Slot(node, 0) in values or Slot(node, 0) in self.doubtful
                if not known and leaf.numel() <= SMALL:
                    values[Slot(node, 0)] = leaf.detach().clone()
        graph = Graph(self.nodes, self.edges, self.slots, values, changed=self.doubtful)
        # Its edges by node are the same in all runs, and take longer than all else here.
        vars(graph).update(out_edges=self._edges_by_source, in_edges=self._edges_by_target)
        return graph

    @cached_property
    def _edges_by_source(self) -> tuple[tuple[Edge, ...], ...]:
        return Graph(self.nodes, self.edges, self.slots, {}).out_edges

    @cached_property
    def _edges_by_target(self) -> tuple[tuple[Edge, ...], ...]:
        return Graph(self.nodes, self.edges, self.slots, {}).in_edges

    def fold(self, graph: Graph, opened: tuple[str, ...]) -> tuple[Fold, Mapping[int, int]]:
        """The variables with constants, and whose tensor each of these has."""
        if opened not in self.folds:
            self.folds[opened] = surrounded(fold(graph, opened), graph, self.extras)
        return self.folds[opened]


def walk_of(outputs: Sequence[Tensor]) -> tuple[Walk | None, tuple[Slot, ...]]:
    """The walk from the outputs that need a gradient, and where each is in it."""
    with torch.inference_mode(False):
        edges = [get_gradient_edge(tensor) for tensor in outputs if tensor.requires_grad]
        if not edges:
            return None, ()
        walk = walk_from([edge.node for edge in edges])
        return walk, tuple(Slot(walk.index[edge.node], edge.output_nr) for edge in edges)


def edges_of(walk: Walk | None) -> tuple[Edge, ...]:
    """The edges of a walk; equal walks have equal edges."""
    if walk is None:
        return ()
    index = walk.index
    return tuple(
        Edge(source, input_index, index[target], output_nr)
        for source, following in enumerate(walk.nexts)
        for input_index, (target, output_nr) in enumerate(following)
        if target is not None
    )


def values_of(found: Facts, places: Iterable[int]) -> dict[int, Tensor]:
    """What tensors held, as far as that is known after the run."""
    held = {place: found.moments[place].value for place in places}
    return {place: value for place, value in held.items() if value is not None}


def outline(
    run: Run, found: Facts, source: Source | None, called: str
) -> tuple[Outline, Walk | None]:
    """Read a run: its graph with the names of the source, and what else there is to draw.

    A single result without a name is `called` as the function.
    """
    names = versions(run, found, source)
    outputs = tensors_in(run.result)
    places = tuple(found.history[id(tensor)][-1] for tensor in outputs)
    walk, slots = walk_of(outputs)
    node_of, doubtful = _nodes_of(found, walk)
    visits = _visit_of_call(run)
    result_texts, result_line = _result_texts(run, source, names, found, places)
    _name_the_result(source, names, result_texts, called)
    place_of = {slot: place for place, slot in node_of.items()}
    node_lines = _lines(run, found, visits, node_of, walk)
    labels = {
        slot: value.title
        for slot, place in place_of.items()
        if (value := names.values[place]).title
        and value.place is not None
        and node_of.get(value.place) == slot
    }
    nodes = nodes_of(walk, labels, _inputs(walk, run, found, names, node_of)) if walk else ()
    extras = Extras(
        found.operands,
        found.results,
        names,
        node_of,
        place_of,
        tuple(moment.tensor.requires_grad for moment in found.moments),
        places,
        result_texts,
        {number: visit.statement.line for number, visit in enumerate(run.visits)},
        result_line,
        node_lines,
        {id(value): _as_tensor(value.number) for value in names.numbers},
    )
    shown = set(place_of.values()) | set(places)
    shown |= {value.place for value in names.values if value.title and value.place is not None}
    result = Outline(
        _statements(run, found, names, visits, places),
        nodes,
        edges_of(walk),
        slots,
        places,
        {slot: place for slot, place in place_of.items() if slot not in doubtful},
        frozenset(doubtful),
        node_lines,
        tuple(sorted(shown)),
        extras,
    )
    return result, walk


def _as_tensor(number: complex | None) -> Tensor:
    dtype = torch.float64 if isinstance(number, float) else None  # as exact as the number itself
    return torch.tensor(number, dtype=dtype)


def _nodes_of(found: Facts, walk: Walk | None) -> tuple[dict[int, Slot], set[Slot]]:
    """Where in the graph the tensors of a run are, and where several values took part as one."""
    if walk is None:
        return {}, set()
    node_of: dict[int, Slot] = {}
    for place, moment in enumerate(found.moments):
        function, tensor = moment.function, moment.tensor
        if function is None and not tensor.requires_grad:
            continue
        position = walk.leaf_ids.get(id(tensor)) if function is None else walk.index.get(function)
        if position is not None:
            node_of[place] = Slot(position, moment.output_nr)
    # Changed in place under no_grad a tensor has one node still: what counts is what took part.
    last = {slot: place for place, slot in node_of.items()}
    used = _used(found, node_of)
    last |= {slot: places[-1] for slot, places in used.items()}
    doubtful = {
        slot
        for slot, places in used.items()
        if not all(found.moments[place].is_same for place in places[1:])
    }
    return {place: slot for place, slot in node_of.items() if last[slot] == place}, doubtful


def _used(found: Facts, node_of: Mapping[int, Slot]) -> dict[Slot, list[int]]:
    """The tensors of each slot of the graph from which others of the graph were made."""
    used: dict[Slot, set[int]] = defaultdict(set)
    for operands, results in zip(found.operands, found.results, strict=True):
        made = {node_of[place] for place in results if place in node_of}
        for operand in operands:
            slot = node_of.get(operand)
            if slot is not None and made - {slot}:
                used[slot].add(operand)
    return {slot: sorted(places) for slot, places in used.items()}


def _visit_of_call(run: Run) -> list[int]:
    """The statement that each call belongs to; -1 if to none."""
    found: list[int] = []
    visit = -1
    for call in range(len(run.calls)):
        while visit + 1 < len(run.visits) and run.visits[visit + 1].calls <= call:
            visit += 1
        found.append(visit if run.calls[call].offset >= 0 else -1)  # -1: by a decorator
    return found


def _lines(
    run: Run, found: Facts, visits: Sequence[int], node_of: Mapping[int, Slot], walk: Walk | None
) -> dict[int, int]:
    """The source line of each node; what lies inside one call has the call's line."""
    lines: dict[int, int] = {}
    for call, places in enumerate(found.results):
        for place in places:
            if place in node_of and visits[call] >= 0:
                line = run.visits[visits[call]].statement.line
                lines.setdefault(node_of[place].node, line)
    if walk is not None:
        known = {slot.node for slot in node_of.values()}
        for position, following in enumerate(walk.nexts):  # results first: they hand it down
            for target, _ in following:
                inner = None if target is None else walk.index[target]
                if inner is not None and inner not in known and position in lines:
                    lines.setdefault(inner, lines[position])
    return lines


def _result_texts(
    run: Run,
    source: Source | None,
    names: Versions,
    found: Facts,
    places: Sequence[int],
) -> tuple[dict[int, str], int | None]:
    """What the return statement says of outputs without a name."""
    statement = run.visits[-1].statement if run.visits else None
    node = statement.result if statement else None
    if node is None or source is None or statement is None:
        return {}, None
    parts: list[ast.expr] = [node]
    if isinstance(node, ast.Tuple | ast.List):
        parts = node.elts
    elif isinstance(node, ast.Dict):
        parts = node.values
    if is_tensor(run.result) or len(parts) != len(places):
        parts = [node] if len(places) == 1 else []
    texts = {}
    for place, part in zip(places, parts, strict=False):
        if not found.born[place][1] or _is_foreign(run, found, place):
            continue
        template = source.template(part)
        titles = {n: v.title or n for n, v in names.last.items() if n in template.names}
        texts[place] = template.filled(titles)
    return texts, statement.line


def _name_the_result(
    source: Source | None, names: Versions, texts: Mapping[int, str], name: str
) -> None:
    """Call a single result without a name as the function: `loss` for `return error**2`."""
    if len(texts) != 1 or source is None or isinstance(source.node, ast.Lambda):
        return
    (place,) = texts
    value = names.values[place]
    if value.title is None and all(name != other.name for other in names.values):
        value.name = value.title = name


def _is_foreign(run: Run, found: Facts, place: int) -> bool:
    """Whether a tensor was not computed by the function itself, but by a decorator around it."""
    call, made = found.born[place]
    return made and run.calls[call].offset < 0


def _inputs(
    walk: Walk,
    run: Run,
    found: Facts,
    names: Versions,
    node_of: Mapping[int, Slot],
) -> dict[int, InputFacts]:
    """For each node what is certain of its inputs that the graph does not keep."""
    known: dict[int, InputFacts] = {}

    def before(number: int, tensor: Tensor) -> Operand:
        places = found.history.get(id(tensor), ())
        earlier = [place for place in places if found.born[place] < (number, True)]
        if not earlier:
            return Operand(None, None)
        return Operand(names.values[earlier[-1]].title, found.moments[earlier[-1]].copy)

    for number, call in enumerate(run.calls):
        for slot in (node_of.get(place) for place in found.results[number]):
            if slot is not None:
                symbols, constants = input_facts(
                    call,
                    walk.functions[slot.node].name(),
                    walk.nexts[slot.node],
                    partial(before, number),
                    names.operands[number],
                )
                if symbols or constants:
                    known[slot.node] = symbols, constants
    return known


def _statements(
    run: Run,
    found: Facts,
    names: Versions,
    visits: Sequence[int],
    outputs: Sequence[int],
) -> tuple[Written, ...]:
    operations: dict[int, list[str]] = defaultdict(list)
    for call, position in zip(run.calls, visits, strict=True):
        if call.changes or tensors_in(call.result):
            operations[position].append(call.name.strip("_"))
    bound: dict[int, dict[str, tuple[int | None, Any]]] = defaultdict(dict)
    for position, name, value, thing in names.results:
        if value is not None:
            title = value.title if value.name == name else None  # an alias has a name of its own
            bound[position].setdefault(title or name, (value.place, value.number))
        else:
            plain = thing if type(thing) in (bool, str, *NUMBERS) else None
            bound[position][name] = (None, plain)
    written = []
    for number, visit in enumerate(run.visits):
        values = bound[number]
        kept = tuple(values.values())
        if number == len(run.visits) - 1 and visit.statement.result is not None:
            own = [place for place in outputs if not _is_foreign(run, found, place)]
            kept = tuple((place, None) for place in own) if len(own) == len(outputs) else ()
        written.append(
            Written(
                visit.statement,
                tuple(values),
                kept,
                tuple(operations[number]),
            )
        )
    return tuple(written)
