"""The variables of a program around those of its graph: constants, and what no output needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autograd_viz.model import Graph, Link, Slot, Variable
from autograd_viz.text import clean
from autograd_viz.transforms import Fold

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.programs.versions import Order, Value, Versions

Key = tuple[str, int | None]  # ("node", a node's id), or ("value", a Value's id())
LONGEST = 60  # characters of an expression from the source; a longer one is cut


@dataclass(eq=False)
class Extras:
    """What a program knows beyond its graph."""

    run_operands: list[tuple[int, ...]]
    run_results: list[tuple[int, ...]]
    names: Versions
    node_of: dict[int, Slot]  # a tensor's number -> where the graph has it
    place_of: Mapping[Slot, int]
    needs_grad: tuple[bool, ...]  # of each tensor
    outputs: tuple[int, ...]
    result_texts: Mapping[int, str]  # outputs without a name: what the return statement says
    lines: Mapping[int, int]  # of each visit
    result_line: int | None
    node_lines: Mapping[int, int]
    numbers: Mapping[int, Tensor]  # id of a plain number's Value -> the number as a tensor


def surrounded(folded: Fold, graph: Graph, extras: Extras) -> tuple[Fold, Mapping[int, int]]:
    """Add to a graph's variables the constants they are made from, and results that no one needs.

    All are put into the program's order. Returned with it: which variable outside of the graph
    has the value of which tensor of the run.
    """
    return _Around(folded, graph, extras).everything()


class _Around:
    def __init__(self, folded: Fold, graph: Graph, extras: Extras) -> None:
        self.fold, self.graph, self.extras = folded, graph, extras
        self.at_node = {variable.node: variable for variable in folded.variables}
        self.outside: dict[int, Value] = {}  # id -> a value that is drawn and not in the graph
        self.links: dict[tuple[Key, Key], None] = {}  # (source, target)

    def everything(self) -> tuple[Fold, Mapping[int, int]]:
        extras = self.extras
        for variable in self.fold.variables:
            place = self._place(variable)
            if place is not None and not variable.is_leaf:
                self._follow(("node", variable.node), extras.names.values[place])
        for place in extras.outputs:
            if place not in extras.node_of:
                self._draw(extras.names.values[place])
        for value in extras.names.values:
            if value.title and value.place is not None and self._is_unused(value):
                self._draw(value)
        return self._folded()

    def _place(self, variable: Variable) -> int | None:
        if variable.node is None:
            return None
        slots = range(max(len(self.graph.nodes[variable.node].outputs), 1))
        places = (self.extras.place_of.get(Slot(variable.node, slot)) for slot in slots)
        return next((place for place in places if place is not None), None)

    def _end(self, value: Value) -> Key | None:
        """The variable that a value is, if it is one; None: a part of another one's text."""
        slot = None if value.place is None else self.extras.node_of.get(value.place)
        if slot is not None:
            return ("node", slot.node) if slot.node in self.at_node else None
        return ("value", id(value)) if value.title else None

    def _follow(self, start: Key, value: Value) -> None:
        """Link a variable to the constants it is made from, and one outside of the graph to all."""
        inside = start[0] == "node"
        found: dict[int, Value] = {}
        seen: set[int] = set()
        waiting = [value]
        if value.place is None:
            waiting = []
            found = {id(used): used for used in value.made_from}
        while waiting:
            each = waiting.pop()
            call, made = each.order[:2]
            if not made or each.place is None or each.place in seen:
                continue
            seen.add(each.place)
            found |= {id(number): number for number in self.extras.names.operands[call].values()}
            for place in self.extras.run_operands[call]:
                operand = self.extras.names.values[place]
                if self._end(operand) is not None:
                    found[id(operand)] = operand
                else:
                    waiting.append(operand)
        for target in found.values():
            end = self._end(target)
            if end is None or end == start or (inside and end[0] == "node"):
                continue  # the graph has its own links
            self.links[start, end] = None
            if end[0] == "value":
                self._draw(target)

    def _draw(self, value: Value) -> None:
        if id(value) not in self.outside:
            self.outside[id(value)] = value
            self._follow(("value", id(value)), value)

    def _is_unused(self, value: Value) -> bool:
        """Whether it is a result, or an input that needs a gradient, outside of the graph."""
        place = value.place
        if place is None or place in self.extras.node_of or id(value) in self.outside:
            return False
        call, made, _ = value.order
        if self.extras.needs_grad[place]:
            return True
        return bool(made) and bool(self.extras.run_operands[call])

    def _needed(self, found: set[Key]) -> set[Key]:
        found |= {("value", id(self.extras.names.values[place])) for place in self.extras.outputs}
        while True:
            more = {target for source, target in self.links if source in found} - found
            if not more:
                return found
            found |= more

    def _folded(self) -> tuple[Fold, Mapping[int, int]]:
        names = self.extras.names
        entries: list[tuple[Order, int, Key, Variable]] = []
        orders: dict[Key, Order] = {}
        targets: dict[int, list[int]] = defaultdict(list)
        for link in self.fold.links:
            targets[link.source].append(link.target)
        for variable in self.fold.variables:  # in an order of computation
            place = self._place(variable)
            if place is not None:
                order = names.values[place].order
            else:
                below = [orders["node", self.fold.variables[t].node] for t in targets[variable.id]]
                order = max(below, default=(-1, 0, 0))
            orders["node", variable.node] = order
            entries.append((order, variable.id, ("node", variable.node), self._told(variable)))
        needed = self._needed({target for source, target in self.links if source[0] == "node"})
        linked = {source for source, _ in self.links}
        for value in self.outside.values():
            key = ("value", id(value))
            kind = "constant" if key in needed else "unused"
            entries.append((value.order, 0, key, self._outsider(value, kind, key in linked)))
        entries.sort(key=lambda entry: entry[:2])
        position = {key: number for number, (*_, key, _) in enumerate(entries)}
        variables = tuple(
            replace(variable, id=number) for number, (*_, variable) in enumerate(entries)
        )
        links = [
            link._replace(
                source=position["node", self.fold.variables[link.source].node],
                target=position["node", self.fold.variables[link.target].node],
            )
            for link in self.fold.links
        ]
        links += [
            Link(position[source], position[target], (), None, None)
            for source, target in self.links
        ]
        links.sort(key=lambda link: link[:2])
        places = {
            position["value", key]: value.place
            for key, value in self.outside.items()
            if value.place is not None
        }
        return Fold(variables, tuple(links), self.fold.steps, self.fold.opened), places

    def _told(self, variable: Variable) -> Variable:
        """A variable of the graph with the source's words."""
        place = self._place(variable)
        extras = self.extras
        line = extras.node_lines.get(variable.node) if variable.node is not None else None
        if place is None:
            return replace(variable, line=line)
        value = extras.names.values[place]
        if variable.kind == "leaf":
            return replace(variable, line=extras.lines.get(value.visit))
        node = self.graph.nodes[variable.node] if variable.node is not None else None
        text = _item(value, node is not None and len(node.outputs) > 1)
        if text is None:
            text = extras.result_texts.get(place)
        if value.visit >= 0:
            line = extras.lines.get(value.visit)
        if text is None or text == variable.name:
            return replace(variable, line=line)
        return replace(variable, expression=clean(text, LONGEST), line=line)

    def _outsider(self, value: Value, kind: Any, computed: bool) -> Variable:
        text = _item(value, False) if computed else None
        if text is None and value.place is not None:
            text = self.extras.result_texts.get(value.place)
        if text is None:
            text = value.title or "result"
        text = clean(text, LONGEST)
        return Variable(
            0,
            None,
            value.title,
            text,
            kind,
            (),
            self.extras.numbers.get(id(value)),
            self.extras.lines.get(value.visit),
        )


def _item(value: Value, whole: bool) -> str | None:
    """The source's expression of a value; of an unpacked one with its number."""
    text = value.expression
    if text is None or value.item is None or whole:
        return text
    simple = text.isidentifier() or text.endswith((")", "]"))
    return f"{text}[{value.item}]" if simple else f"({text})[{value.item}]"
