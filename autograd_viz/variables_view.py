"""The lecture's three pictures at variable level: computation, derivatives, backward pass.

Each may be drawn as one of its frames. The boxes are the same in all frames of a view, so nothing
moves from one to the next; what a frame does not show yet is hidden.
"""

from __future__ import annotations

import math as mathematics
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from autograd_viz import frames, text
from autograd_viz.formulas import calculus, hooks, notation, slopes
from autograd_viz.formulas.recipes import is_to_constant
from autograd_viz.model import Link, Slot, Variable, Variables, summed
from autograd_viz.picture import Arrow, Box, Drawing, Mark, Picture, Style, strip
from autograd_viz.transforms import unknown_values
from autograd_viz.typeset import Line, Run, derivative, math, plain

if TYPE_CHECKING:
    from torch import Tensor

View = Literal["computation", "derivatives", "backward"]
VIEWS: tuple[View, ...] = ("computation", "derivatives", "backward")
MOST_OUTPUTS = 4  # that a title names
MOST_STEPS = 8  # chain-rule lines below one frame
MOST_TERMS = 3  # contributions that are written out as a sum

_TITLES = {
    "computation": "Computation of {name}",
    "derivatives": "Local derivatives of the computation of {name}",
    "backward": "Backward pass from {name}",
}
_MARKS: dict[str, tuple[Mark, ...]] = {
    "leaf": ("leaf",),
    "result": (),
    "constant": ("constant",),
    "unused": ("unused",),
}
_VECTOR_JACOBIAN = "vector-Jacobian product"
_LEGEND: dict[View, dict[str, str]] = {
    "computation": {
        "oval": "how a variable is computed, and its value",
        "leaf": "leaf: an input",
        "constant": "needs no gradient",
        "unused": "the result does not need it",
    },
    "derivatives": {
        "oval": "how a variable is computed, and its value",
        "leaf": "leaf: an input",
        "constant": "needs no gradient",
        "unused": "the result does not need it",
        "rect": "local derivative",
    },
    "backward": {
        "oval": "a variable, and the gradient that arrives",
        "leaf": "leaf: its gradient is the sum of what arrives",
        "constant": "takes part, but receives no gradient",
        "unused": "the result does not need it",
        "rect": "local derivative",
        "empty": "no gradient reaches it",
        "alarm": "NaN or inf",
    },
}


def variables(
    shown: Variables,
    *,
    view: View | None = None,
    frame: int | Literal["all"] | None = None,
    style: Style | None = None,
    columns: int = 2,
) -> Drawing:
    """Draw a computation by variable, whole or as one of its frames (counted from 1).

    `frame="all"` puts all frames side by side, `columns` of them in a row.
    """
    view = view or ("computation" if shown.trace is None else "backward")
    if view not in VIEWS:
        raise ValueError(f"there is no view {view!r}; give one of {', '.join(map(repr, VIEWS))}")
    if view != "computation" and shown.trace is None:
        raise ValueError(
            f'the view "{view}" needs a backward pass, and av.graph() runs none; '
            f"trace the output instead: av.trace(e).variables().{view}()"
        )
    drawing = _Drawing(shown, view)
    if frame is None:
        return drawing.picture(drawing.last, style, whole=True)
    if frame == "all":
        pictures = [drawing.picture(number, style) for number in range(1, drawing.last + 1)]
        return strip(drawing.title, pictures, columns)
    if not isinstance(frame, int) or not 1 <= frame <= drawing.last:
        raise ValueError(
            f"frame={frame!r}: this view has the frames 1 to {drawing.last}; "
            'frame="all" shows them side by side'
        )
    return drawing.picture(frame, style)


def _hidden(hidden: bool) -> tuple[Mark, ...]:
    return ("hidden",) if hidden else ()


def _is_unused(variable: Variable) -> bool:
    return variable.kind == "unused"


class _Drawing:
    """One view: which frame each part first appears in, and the boxes that show it."""

    def __init__(self, shown: Variables, view: View) -> None:
        self.shown, self.view = shown, view
        self.trace = shown.trace
        self.nodes, self.links = frames.drawn(shown)
        self.into: dict[int, list[Link]] = defaultdict(list)
        self.below: dict[int, list[Link]] = defaultdict(list)
        for link in self.links:
            self.into[link.target].append(link)
            self.below[link.source].append(link)
        when = frames.backward if view == "backward" else frames.forward
        self.appears = when(self.nodes, self.links)
        self.last = max(self.appears.values())

    @property
    def title(self) -> str:
        if self.shown.focus:
            return f"Details for {text.clean(self.shown.focus)}"
        outputs = range(len(self.shown.graph.outputs))
        names = [notation.output_name(self.shown, number) for number in outputs]
        if not names:  # no function of the graph computes a result that needs no gradient
            names = [text.clean(self.shown.nodes[-1].name or "the result")]
        return _TITLES[self.view].format(name=text.joined(names, most=MOST_OUTPUTS))

    def picture(self, frame: int, style: Style | None, whole: bool = False) -> Picture:
        """One frame; as a `whole` the last one, without what is said about a single step."""
        boxes = [self._oval(variable, frame) for variable in reversed(self.nodes)]
        arrows: list[Arrow] = []
        for number, link in enumerate(self.links):
            arrows += self._arrows(number, link, frame)
            if self.view != "computation" and not is_to_constant(self.shown, link):
                boxes.append(self._rectangle(number, link, frame))
        steps = {} if whole or self.view != "backward" else self.steps
        formulas = steps.get(frame, ())
        notes = self._notes()
        words = [self.title, *self._table(frame), *map(plain, formulas), *notes]
        return Picture(
            title=self.title,
            words="\n".join(words),
            boxes=tuple(boxes),
            arrows=tuple(arrows),
            upward=self.view != "backward",
            statements=self._statements(frame),
            formulas=formulas,
            reserve=tuple(steps.values()),
            notes=notes,
            legend=self._legend(boxes),
            style=style or Style(),
        )

    @cached_property
    def steps(self) -> dict[int, tuple[Line, ...]]:
        """The chain rule of each frame's steps."""
        lines: dict[int, list[Line]] = defaultdict(list)
        for frame, formula in calculus.chain_rules(self.shown):
            lines[frame].append(formula.line)
        return {
            frame: (*found[:MOST_STEPS], (Run(f"… {len(found) - MOST_STEPS} more"),))
            if len(found) > MOST_STEPS
            else tuple(found)
            for frame, found in lines.items()
        }

    def _notes(self) -> tuple[str, ...]:
        """What is left out or not known, in sentences."""
        notes = []
        left_out = len(self.shown.nodes) - len(self.nodes)
        if left_out:
            notes.append(f"{left_out:,} of {len(self.shown.nodes):,} variables are left out.")
        if any("?" in variable.expression for variable in self.nodes):
            notes.append("?: an input that needs no gradient; the graph does not keep it.")
        if self._has_formulas:
            bare = [
                plain(line[:1])
                for line, link in zip(self._slopes, self.links, strict=True)
                if line is not None and not slopes.has_formula(self.shown, link)
            ]
            if bare:
                notes.append(f"Without a formula, as a number only: {text.joined(bare)}.")
        notes += unknown_values(self.shown.graph)
        notes += self.trace.notes if self.trace is not None else ()
        return tuple(notes)

    # What stands where, and from which frame on.

    def _arrows(self, number: int, link: Link, frame: int) -> list[Arrow]:
        source, target, middle = (
            f"variable-{link.source}",
            f"variable-{link.target}",
            f"link-{number}",
        )
        if self.view == "computation":
            return [Arrow(target, source, _hidden(self.appears[link.source] > frame))]
        if self.view == "derivatives":
            hidden = _hidden(self.appears[link.source] > frame)
            if is_to_constant(self.shown, link):
                return [Arrow(target, source, hidden)]
            return [Arrow(middle, source, hidden), Arrow(target, middle, hidden)]
        if is_to_constant(self.shown, link):  # it takes part in the forward pass alone
            return [Arrow(source, target, ("constant",))]
        return [
            Arrow(source, middle, _hidden(self.appears[number, 0] > frame)),
            Arrow(middle, target, _hidden(self.appears[number, 1] > frame)),
        ]

    # What stands in the boxes.

    def _oval(self, variable: Variable, frame: int) -> Box:
        marks: list[Mark] = list(_MARKS[variable.kind])
        known = self.appears[variable.id] <= frame
        lower: tuple[Line, ...] = ()
        gradient = tuple(self._gradient(variable)) if self.view != "computation" else ()
        # As large in one view as in the other, so that their layouts are the same.
        reserve = (gradient, tuple(self._value(variable))) if gradient else ()
        if self.view != "backward":
            upper = (self._definition(variable),)
            lower = tuple(self._value(variable))
            if not known:
                marks.append("hidden")
        else:
            upper = (self._heading(variable),)
            if known:
                lower = gradient
            if known and variable.node is not None:
                arrived = [grad for grad in self._arrived(variable) if grad is not None]
                if not arrived:
                    marks.append("empty")
                elif any(map(text.trouble, arrived)):
                    marks.append("alarm")
        data = {"variable": variable.id}
        if variable.node is not None:
            data["node"] = variable.node
        return Box(f"variable-{variable.id}", "oval", upper, lower, reserve, tuple(marks), data)

    def _definition(self, variable: Variable) -> Line:
        expression = math(variable.expression)
        if variable.name is None or variable.expression == variable.name:
            return expression
        return (*math(text.clean(variable.name)), Run(" = "), *expression)

    def _heading(self, variable: Variable) -> Line:
        """Above the rule in the backward view; with the value too where details are shown."""
        definition = self._definition(variable)
        value = self.shown.values(variable)[0]
        # A constant gets no gradient, so its value is all there is to show.
        if value is not None and (self.shown.focus or variable.node is None):
            return (*definition, Run(f" = {text.summary(value)[0]}"))
        return definition

    def _value(self, variable: Variable) -> list[Line]:
        outputs = self.shown.outputs(variable)
        lines: list[Line] = []
        for output, value in zip(outputs, self.shown.values(variable), strict=False):
            name = math(text.clean(output.label)) if output.label else ()
            if variable.is_leaf and not name:
                name = math("leaf")
            if value is not None:
                first, *rest = text.summary(value)
                lines += [
                    (*name, Run(" = " * bool(name) + first)),
                    *((Run(line),) for line in rest),
                ]
            elif name or len(outputs) == 1:
                shape = text.shape(output.shape) if output.shape else "value not kept"
                lines.append((*name, Run(": " * bool(name) + shape)))
        return lines

    def _arrived(self, variable: Variable) -> list[Tensor | None]:
        if self.trace is None or variable.node is None:
            return []
        slots = range(len(self.shown.graph.nodes[variable.node].outputs))
        return [self.trace.arrived(Slot(variable.node, slot)) for slot in slots]

    def _gradient(self, variable: Variable) -> list[Line]:
        if variable.node is None:
            return [(Run("not used by the result" if _is_unused(variable) else "no gradient"),)]
        symbol = notation.gradient_symbol(self.shown, variable)
        arrived = self._arrived(variable)
        if variable.node not in (self.trace.step_of if self.trace else ()):
            return [(*symbol, Run(": not reached"))]
        if len(arrived) != 1 or arrived[0] is None:
            shown = ", ".join("None" if grad is None else text.summary(grad)[0] for grad in arrived)
            return [(*symbol, Run(f": {shown}"))]
        total = text.summary(arrived[0])
        terms = [
            link.contribution for link in self.into[variable.id] if link.contribution is not None
        ]
        if (
            self.shown.focus
            and self.shown.nodes[-1].id != variable.id
            and not self._complete(variable)
        ):
            added = text.summary(summed(terms)) if terms else ["0"]
            product = self._product(variable)
            if product:
                return [(*symbol, Run(" += "), *product, Run(f" = {added[0]}"))]
            return [(*symbol, Run(f" += {added[0]}")), *((Run(line),) for line in added[1:])]
        if arrived[0].numel() == 1 and 1 < len(terms) <= MOST_TERMS:
            total = [f"{' + '.join(text.summary(term)[0] for term in terms)} = {total[0]}"]
        changed = [hooks.made(self.trace, place) for place in hooks.at(self.shown, variable)]
        more = [*total[1:], *dict.fromkeys(changed)]
        return [(*symbol, Run(f" = {total[0]}")), *((Run(line),) for line in more)]

    def _complete(self, variable: Variable) -> bool:
        """Whether all that arrives at the variable comes from what is drawn."""
        if variable.node is None:
            return True
        drawn = {node for shown in self.nodes for node in shown.members}
        return all(edge.source in drawn for edge in self.shown.graph.in_edges[variable.node])

    def _product(self, variable: Variable) -> Line | None:
        """Gradient times local derivative, with the numbers in the formula: 12/(2 ln 2)."""
        if len(self.into[variable.id]) != 1:
            return None
        (link,) = self.into[variable.id]
        arrived = self._arrived(self.shown.nodes[link.source])
        if len(arrived) != 1 or arrived[0] is None or arrived[0].numel() != 1:
            return None
        return slopes.substituted(self.shown, link, arrived[0].item())

    @property
    def _has_formulas(self) -> bool:
        """The lecture's backward view has the numbers alone; what is opened has both."""
        return self.view == "derivatives" or (self.view == "backward" and bool(self.shown.focus))

    @cached_property
    def _slopes(self) -> list[Line | None]:
        """The local derivative of each link with its formula; None where it is no number."""
        return [slopes.local_line(self.shown, link) for link in self.links]

    @cached_property
    def _products(self) -> list[tuple[Line, ...] | None]:
        """The vector-Jacobian product of each link between tensors."""
        return [
            None if line else notation.product_lines(self.shown, link)
            for line, link in zip(self._slopes, self.links, strict=True)
        ]

    def _rectangle(self, number: int, link: Link, frame: int) -> Box:
        source, target = self.shown.nodes[link.source], self.shown.nodes[link.target]
        symbol = derivative(text.clean(source.title), text.clean(target.title))
        sizes = [self._size(variable) for variable in (source, target)]
        marks: tuple[Mark, ...] = ()
        reserve: tuple[tuple[Line, ...], ...] = ()
        lines: list[Line]
        formula = self._slopes[number]
        if link.local is not None or sizes == [1, 1]:
            known = "?" if link.local is None else text.number(link.local)
            lines = [(symbol, Run(f" = {known}"))]
            reserve = ((formula,), tuple(lines)) if formula else ()
            if formula and self._has_formulas:
                lines = [formula]
            if link.local is not None and not mathematics.isfinite(link.local):
                marks = ("alarm",)
        else:
            jacobian = ((symbol, Run(f": {text.shape(sizes)} Jacobian")),)
            lines = list(self._products[number] or jacobian)
            if link.contribution is not None:
                brought = [(Run(line),) for line in text.summary(link.contribution)]
                reserve = ((*lines, *brought),)
                if self.view == "backward" and self.appears[number, 1] <= frame:
                    lines += brought
                    marks = ("alarm",) if text.trouble(link.contribution) else ()
                elif self.view == "backward":  # so that the first line does not move later
                    lines += [(Run(" "),) for _ in brought]
        if self.view == "derivatives" and self.appears[link.source] > frame:
            marks = (*marks, "hidden")
        data = {"link": number}
        return Box(f"link-{number}", "rect", tuple(lines), reserve=reserve, marks=marks, data=data)

    def _size(self, variable: Variable) -> int:
        """How many numbers the variable has, in all of its outputs."""
        outputs = self.shown.outputs(variable)
        return sum(mathematics.prod(output.shape) for output in outputs) if outputs else 1

    # What stands beside the boxes, and the same in words.

    def _statements(self, frame: int) -> tuple[tuple[str, bool], ...]:
        if self.view != "computation":
            return ()
        ordered = sorted(self.nodes, key=lambda variable: bool(self.below[variable.id]))
        lines = []
        for variable in ordered:
            if not self.below[variable.id]:
                line = plain(self._value(variable)[0]) if self._value(variable) else variable.title
            else:
                line = plain(self._definition(variable))
            lines.append((line, self.appears[variable.id] <= frame))
        return tuple(lines)

    def _legend(self, boxes: Sequence[Box]) -> dict[str, str]:
        kinds = {box.shape for box in boxes} | {mark for box in boxes for mark in box.marks}
        legend = _LEGEND[self.view]
        if "rect" in legend and any(self._products):
            kept = (
                [_VECTOR_JACOBIAN] if not any(self._slopes) else [legend["rect"], _VECTOR_JACOBIAN]
            )
            legend = legend | {"rect": ", or ".join(kept)}
        return {kind: meaning for kind, meaning in legend.items() if kind in kinds}

    def _table(self, frame: int) -> list[str]:
        shown = [variable for variable in self.nodes if self.appears[variable.id] <= frame]
        if self.view == "computation":
            rows = [["variable", "value"]]
            rows += [[plain(self._definition(v)), self._value_text(v)] for v in shown]
            return text.table(rows)
        below: dict[int, list[str]] = defaultdict(list)  # a variable's id -> its rectangles
        above: dict[int, list[str]] = defaultdict(list)
        for number, link in enumerate(self.links):
            if is_to_constant(self.shown, link):
                continue
            slope = plain(self._rectangle(number, link, frame).upper[0])
            below[link.source].append(slope)
            above[link.target].append(slope)
        if self.view == "derivatives":
            rows = [["variable", "value", "local derivatives"]]
            rows += [
                [plain(self._definition(v)), self._value_text(v), ", ".join(below[v.id])]
                for v in shown
            ]
            return text.table(rows)
        rows = [["variable", "gradient", "local derivatives on the way"]]
        for variable in sorted(shown, key=lambda v: (self.appears[v.id], v.id)):
            gradient = "; ".join(map(plain, self._gradient(variable)))
            rows.append([plain(self._heading(variable)), gradient, ", ".join(above[variable.id])])
        return text.table(rows)

    def _value_text(self, variable: Variable) -> str:
        return "; ".join(map(plain, self._value(variable)))
