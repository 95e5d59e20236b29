"""Which number stands in which line of a box: beside the views' own lines, pattern by pattern."""

from __future__ import annotations

import math as mathematics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from autograd_viz import frames, text
from autograd_viz.formulas import hooks
from autograd_viz.functions_view import named_value
from autograd_viz.model import Link, Slot, Trace, Variable, Variables
from autograd_viz.picture import Box
from autograd_viz.typeset import Line, Run, plain
from autograd_viz.variables_view import MOST_TERMS
from autograd_viz.widgets.live_numbers import Atom, Pattern, Texts, one, summary

Lines = tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class LiveLines:
    """Puts places for numbers into the boxes of the views."""

    shown: Variables
    texts: Texts

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """The links that are drawn."""
        return frames.drawn(self.shown)[1]

    @cached_property
    def into(self) -> dict[int, list[Link]]:
        """The drawn links by the variable that their gradient goes to."""
        into: dict[int, list[Link]] = defaultdict(list)
        for link in self.links:
            into[link.target].append(link)
        return into

    @cached_property
    def position(self) -> dict[tuple[int, int], int]:
        """Where in `Variables.links` the link between two variables is."""
        return {(link.source, link.target): n for n, link in enumerate(self.shown.links)}

    @property
    def trace(self) -> Trace:
        """The backward pass, which there is in all views but the computation."""
        assert self.shown.trace is not None
        return self.shown.trace

    def at(self, link: Link) -> int:
        """The position of a link in `Variables.links`."""
        return self.position[link.source, link.target]

    def box(self, box: Box) -> tuple[Box, dict[int, tuple[int, ...]]]:
        """The box with places for its numbers, and where each of its lines has gone to."""
        if "variable" in box.data:
            return self._variable(box, self.shown.nodes[int(box.data["variable"])])
        if "link" in box.data:
            return self._link(box, self.links[int(box.data["link"])])
        if "edge" in box.data:
            edge = self.trace.graph.edges[int(box.data["edge"])]
            return self._summed(box, "sent", edge)
        if box.id.startswith("start-"):
            return self._summed(box, "start", int(box.id.removeprefix("start-")))
        return self._function(box) if "node" in box.data else _same(box)

    # By variable

    def _variable(self, box: Box, variable: Variable) -> tuple[Box, dict[int, tuple[int, ...]]]:
        values, gradients = self.values(variable), self.gradients(variable)

        def taken(lines: Lines | None) -> Lines:
            patterns = gradients if box.reserve and lines == box.reserve[0] else values
            if not lines or len(lines) != len(patterns):
                return lines or ()
            return self._keyed(box.id, lines, patterns)

        upper = box.upper
        if variable.node is None and box.reserve and box.lower == box.reserve[0]:  # no gradient
            upper = self._keyed(box.id, upper[:1], values[:1])
        made = replace(
            box,
            upper=upper,
            lower=None if box.lower is None else taken(box.lower),
            reserve=tuple(map(taken, box.reserve)),
        )
        above, below = len(box.upper), len(made.lower or ())
        extra = below - len(box.lower or ())  # 1 where a sum stands on two lines
        moved: dict[int, tuple[int, ...]] = {place: (place,) for place in range(above)}
        for place in range(above, above + len(box.lower or ())):
            first = place == above
            moved[place] = tuple(range(place, place + 1 + extra)) if first else (place + extra,)
        return made, moved

    def _ends(self, line: Line, pattern: Pattern | None) -> bool:
        return pattern is None or plain(line).endswith(self.texts.now(pattern))

    def _keyed(self, box: str, lines: Lines, patterns: Sequence[Pattern | None]) -> Lines:
        made: list[Line] = []
        for line, pattern in zip(lines, patterns, strict=True):
            if pattern is not None and " = " in pattern.template:
                made += self._halved(box, line, pattern)
            else:
                made.append(self.texts.keyed(line, box, pattern))
        return tuple(made)

    def _halved(self, box: str, line: Line, pattern: Pattern) -> list[Line]:
        """A sum on one line, what it makes on the next: half as wide."""
        terms, total = pattern.template.split(" = ")
        begin = self.texts.before(line, pattern)
        if begin is None:
            return [line]
        key = f"{box} {plain(begin)}".strip()
        added = Pattern(terms, pattern.atoms[:-1])
        return [
            (*begin, self.texts.numeral(f"{key} terms", added)),
            (self.texts.numeral(key, Pattern(f"= {total}", pattern.atoms[-1:])),),
        ]

    def values(self, variable: Variable) -> list[Pattern | None]:
        """The patterns of the lines that show a variable's value, as `variables_view` has them."""
        outputs = self.shown.outputs(variable)
        patterns: list[Pattern | None] = []
        for number, (output, value) in enumerate(
            zip(outputs, self.shown.values(variable), strict=False)
        ):
            if value is not None:
                patterns += summary(*self._place(variable, number), value)
            elif output.label or variable.is_leaf or len(outputs) == 1:
                patterns.append(None)
        return patterns

    def _place(self, variable: Variable, number: int = 0) -> tuple[str, Slot | int]:
        if variable.node is None:
            return "constant", variable.id
        return "value", Slot(variable.node, number)

    def gradients(self, variable: Variable) -> list[Pattern | None]:
        """The patterns of the lines that show what arrives, as `variables_view` has them."""
        node = variable.node
        if node is None or self.shown.trace is None or node not in self.trace.step_of:
            return [None]
        slots = [Slot(node, slot) for slot in range(len(self.shown.graph.nodes[node].outputs))]
        arrived = [self.trace.arrived(slot) for slot in slots]
        if len(slots) != 1 or arrived[0] is None:
            parts = ["None" if grad is None else "%s" for grad in arrived]
            atoms = [
                Atom("gradient", slot) for slot in slots if self.trace.arrived(slot) is not None
            ]
            return [Pattern(", ".join(parts), tuple(atoms)) if atoms else None]
        total = summary("gradient", slots[0], arrived[0])
        terms = [
            Atom("contribution", self.at(link))
            for link in self.into[variable.id]
            if link.contribution is not None
        ]
        if arrived[0].numel() == 1 and 1 < len(terms) <= MOST_TERMS:
            template = " + ".join(["%s"] * len(terms)) + " = %s"
            total = [Pattern(template, (*terms, *total[0].atoms)), *total[1:]]
        changed = hooks.at(self.shown, variable)
        said = {hooks.made(self.trace, place): place for place in reversed(changed)}
        return [*total, *(one("hook", place) for place in reversed(said.values()))]

    def _link(self, box: Box, link: Link) -> tuple[Box, dict[int, tuple[int, ...]]]:
        if link.local is not None or self._is_number(link):
            pattern = one("local", self.at(link), "number")
            upper = tuple(self.slope(line, box.id, pattern) for line in box.upper)
            reserve = tuple(
                tuple(self.slope(line, box.id, pattern) for line in lines) for lines in box.reserve
            )
            return replace(box, upper=upper, reserve=reserve), _straight(box)
        if link.contribution is None:
            return _same(box)
        brought = summary("contribution", self.at(link), link.contribution)

        def taken(lines: Lines) -> Lines:
            kept = len(lines) - len(brought)
            ends = zip(lines[max(kept, 0) :], brought, strict=False)
            if kept < 1 or not all(self._ends(*pair) for pair in ends):
                return lines
            return lines[:kept] + self._keyed(box.id, lines[kept:], brought)

        kept = tuple(map(taken, box.reserve))
        # Only where the numbers are drawn: a formula may happen to end with one, too.
        full = len(box.upper) == len(box.reserve[0]) if box.reserve else False
        return replace(box, upper=taken(box.upper) if full else box.upper, reserve=kept), _straight(
            box
        )

    def _is_number(self, link: Link) -> bool:
        ends = (self.shown.outputs(self.shown.nodes[end]) for end in link[:2])
        return all(sum(mathematics.prod(one.shape) for one in end) == 1 for end in ends)

    def slope(self, line: Line, box: str, pattern: Pattern) -> Line:
        """A local derivative with a place for its number, which then stands behind a condition."""
        said = Run(" if ")
        if said not in line:
            return self.texts.keyed(line, box, pattern)
        at = line.index(said)
        found = self.texts.before(line[:at], pattern)
        if found is None or found.count(Run(" = ")) < 2:
            return line  # a number is its own formula
        begin = (*found[:-1], *line[at:], Run(", here "))
        return (*begin, self.texts.numeral(f"{box} {plain(begin)}".strip(), pattern))

    # PyTorch's own graph

    def _summed(self, box: Box, kind: str, place: object) -> tuple[Box, dict[int, tuple[int, ...]]]:
        atom = Atom(kind, place)
        if "empty" in box.marks or self.texts.now(Pattern("%s", (atom,))) == "None":
            return _same(box)
        patterns = [one(kind, place, line) for line in range(len(box.upper))]
        return replace(box, upper=self._keyed(box.id, box.upper, patterns)), _straight(box)

    def _function(self, box: Box) -> tuple[Box, dict[int, tuple[int, ...]]]:
        node = self.trace.graph.nodes[int(box.data["node"])]
        whole = box.id == f"node-{node.id}"
        lower = list(box.lower or ())
        hooks = [line for line in lower if plain(line).startswith("a hook made ")]
        lines: list[Line] = []
        if node.kind == "accumulate":
            patterns: list[Pattern | None] = [None] * (len(lower) - len(hooks))
            arrived = self.trace.arrived(Slot(node.id, 0))
            if whole and arrived is not None:
                patterns = [*summary("gradient", Slot(node.id, 0), arrived)]
            lines += self._keyed(box.id, tuple(lower[: len(patterns)]), patterns)
        else:
            for number, output in enumerate(node.outputs):
                value = self.trace.graph.values.get(Slot(node.id, number))
                if output.label:
                    line = named_value(output.label, value, output.shape)
                    pattern = None if value is None else one("value", Slot(node.id, number))
                    lines.append(self.texts.keyed(line, box.id, pattern))
        reached = node.id in self.trace.step_of
        for number in range(len(node.outputs) or 1) if hooks and reached else ():
            pattern = one("hook", Slot(node.id, number))
            said = (Run(self.texts.now(pattern)),)
            if said in hooks:
                lines.append(self.texts.keyed(said, box.id, pattern))
        return replace(box, lower=tuple(lines) or None), _straight(box, len(lines))


def _straight(box: Box, below: int | None = None) -> dict[int, tuple[int, ...]]:
    lines = len(box.upper) + (len(box.lower or ()) if below is None else below)
    return {place: (place,) for place in range(lines)}


def _same(box: Box) -> tuple[Box, dict[int, tuple[int, ...]]]:
    return box, _straight(box)


def title(variable: Variable) -> str:
    """What a variable is called, on one short line."""
    return text.clean(variable.title)


def definition(variable: Variable) -> str:
    """`d = log2(a) * log2(b)`, or what there is of it."""
    if variable.name and variable.expression != variable.name:
        return f"{text.clean(variable.name)} = {variable.expression}"
    return title(variable)
