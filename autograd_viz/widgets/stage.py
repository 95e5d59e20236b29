"""What the Explorer shows: a scene that stands still, and the numbers of each run.

A Stage is the plan of one topology. Its `scene` holds the pictures with all of their frames, its
`state` the numbers of one run as texts, in the order of the scene's keys; both are JSON, and
`widgets/static/explorer.js` says what each field means. All that depends on the topology alone
(layouts, formulas, which number stands where) is found once, so that a slider's tick costs little
more than the run itself.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from autograd_viz import frames, svg, variables_view
from autograd_viz.formulas import notation, slopes
from autograd_viz.model import Edge, Slot, Trace, Variables
from autograd_viz.programs.forward import Program
from autograd_viz.widgets import panels, timelines, trouble
from autograd_viz.widgets.live_lines import LiveLines
from autograd_viz.widgets.live_numbers import Texts
from autograd_viz.widgets.live_pictures import Live, atoms_of, live
from autograd_viz.widgets.timelines import Timeline

Json = dict[str, Any]
LABELS = {
    "computation": "Computation",
    "derivatives": "Derivatives",
    "backward": "Backward pass",
    "functions": "Functions",
}


class Stage:
    """The plan of one topology: its scene, and how to read the numbers of a run.

    >>> import autograd_viz as av
    >>> program = av.program(lambda a, b: a * b, a=2.0, b=4.0)
    >>> stage = Stage(program)
    >>> [view["name"] for view in stage.scene["views"]]
    ['computation', 'derivatives', 'backward', 'functions']
    >>> other = program.at(a=3.0)
    >>> stage.fits(other)
    True
    >>> dict(zip(stage.scene["keys"], stage.state(other)["texts"]))["variable-0 a ="]
    '3'
    """

    scene: Json
    variables: Variables  # of the run for which the scene was made

    def __init__(
        self,
        shown: Program | Trace,
        *,
        number: int = 1,
        opened: Sequence[str] = (),
        note: str = "",
    ) -> None:
        """Lay out a run.

        Args:
            shown: a program, or the backward pass from a tensor.
            number: the scene's id.
            opened: names of the variables whose inner operations are shown.
            note: what is new in comparison with the scene before.

        Raises:
            ValueError: no variable has one of the names in `opened`.
        """
        self._shown = shown
        self._opened = tuple(opened)
        self._last: tuple[Program | Trace, Variables] | None = None
        self.variables = self._read(shown)
        self._form = _form(self.variables)
        self.formulas = _formulas(self.variables)
        self._texts = Texts(self.variables)
        lines = LiveLines(self.variables, self._texts)
        views = [live(name, timeline, lines) for name, timeline in _views(self.variables)]
        rules = panels.rules(lines) if self.variables.trace is not None else {}
        line_of = _line_of(self.variables, shown)
        self.scene = {
            "id": number,
            "opened": sorted(self._opened),
            "title": views[min(2, len(views) - 1)].picture.title,
            "views": [_view(view, rules, line_of) for view in views],
            "keys": [],
            "source": _source(shown),
            "note": note or _remark(self.variables),
            "details": dict(panels.details(lines)),
            "paths": panels.paths(lines),
        }
        self.scene["keys"] = list(self._texts.patterns)
        self._boxes = atoms_of(views, self._texts.patterns)

    def fits(self, shown: Program | Trace) -> bool:
        """Whether a run has the same topology, so that it has the same scene but for its id.

        It has not if another branch of the program ran, if a function with corners (relu, abs,
        maximum) is on another side, where its local derivative has another formula, or if a formula
        gives PyTorch's number in one of the two runs alone.
        """
        if isinstance(shown, Program) and isinstance(self._shown, Program):
            if shown._outline is not self._shown._outline:
                return False
        elif isinstance(shown, Trace) and isinstance(self._shown, Trace):
            if shown is not self._shown and shown.graph != self._shown.graph:
                return False
        else:
            return False
        variables = self._read(shown)
        return _form(variables) == self._form and _formulas(variables) == self.formulas

    def state(self, shown: Program | Trace) -> Json:
        """The numbers of a run that fits."""
        variables = self._read(shown)
        texts, bad = self._texts.read(variables)
        alarms = (
            [box for box, atoms in self._boxes.items() if any(atom in bad for atom in atoms)]
            if bad
            else []
        )
        return {
            "scene": self.scene["id"],
            "texts": texts,
            "alarms": alarms,
            "words": trouble.words(variables) if bad else "",
        }

    def _read(self, shown: Program | Trace) -> Variables:
        """The variables of a run with their gradients; those of the last one are kept."""
        if self._last is None or self._last[0] is not shown:
            if isinstance(shown, Program):
                variables = shown._variables(self._opened, _pass_of(shown))
            else:
                variables = shown.variables(open=self._opened)
            self._last = shown, variables
        return self._last[1]


def _pass_of(program: Program) -> Trace | None:
    """The backward pass from the first output, which there is if it is one real number."""
    first = program.outputs[0]
    if not first.requires_grad or first.numel() != 1 or first.is_complex():
        return None
    return program.trace()


def _remark(shown: Variables) -> str:
    if shown.trace is not None:
        return ""
    if not shown.graph.nodes:
        return "No output depends on an input that requires grad, so there is no backward pass."
    return "The first output is not one number, so there is no backward pass; return its sum."


# Topology


def _form(shown: Variables) -> object:
    """What a backward pass has in common with others of the same topology."""
    trace = shown.trace
    if trace is None:
        return None
    hooked = [place for place in _places(trace) if trace.before_hooks(place) is not None]
    return hooked, [
        (step.node, [grad is None for grad in step.grad_inputs]) for step in trace.steps
    ]


def _places(trace: Trace) -> Iterator[Slot | Edge]:
    """Whatever a hook may have changed the gradient of, as far as it is drawn."""
    for step in trace.steps[: panels.MOST_NODES]:
        for number in range(len(trace.graph.nodes[step.node].outputs) or 1):
            yield Slot(step.node, number)
        if step.node in trace.computed_by:
            yield from trace.graph.out_edges[step.node]


def _formulas(shown: Variables) -> tuple[slopes.Written | None, ...]:
    """What stands at each link beside its number: at one point always the same."""
    if shown.trace is None:
        return ()
    found: list[slopes.Written | None] = []
    for link in frames.drawn(shown)[1]:
        written = slopes.written(shown, link)
        if written is None:
            product = notation.vector_jacobian(shown, link)
            written = None if product is None else slopes.Written(product.text)
        found.append(written)
    return tuple(found)


# Parts of the scene


def _views(shown: Variables) -> Iterator[tuple[str, Timeline]]:
    if shown.trace is None:
        yield "computation", timelines.by_variable(shown, "computation")
        return
    for view in variables_view.VIEWS:
        yield view, timelines.by_variable(shown, view)
    yield "functions", timelines.by_step(shown.trace)


def _view(view: Live, rules: dict[int, tuple[str, ...]], line_of: dict[str, int]) -> Json:
    return {
        "name": view.name,
        "label": LABELS[view.name],
        "svg": svg.live(view.picture),
        "frames": [
            {
                "lit": list(lit),
                "lines": sorted({line_of[oval] for oval in ovals if oval in line_of}),
                "rules": list(rules.get(number, ())) if view.name == "backward" else [],
                "words": words,
            }
            for number, (lit, ovals, words) in enumerate(
                zip(view.lit, view.ovals, view.words, strict=True), start=1
            )
        ],
    }


def _line_of(shown: Variables, given: Program | Trace) -> dict[str, int]:
    """The source line that made each oval; of an input it is the function's first."""
    lines = {f"node-{node}": line for node, line in panels.lines_of_nodes(shown).items()}
    head = _head(given) if isinstance(given, Program) else None
    for variable in shown.nodes:
        line = variable.line
        if line is None and variable.node is not None:
            line = lines.get(f"node-{variable.node}")
        if line is None and variable.is_leaf:
            line = head
        if line is not None:
            lines[f"variable-{variable.id}"] = line
            if variable.node is not None:
                lines.setdefault(f"node-{variable.node}", line)
    return lines


def _head(program: Program) -> int | None:
    """The line with the function's name, below its decorators."""
    heads = (
        number
        for number, line in enumerate(program.source, start=program.first_line or 1)
        if re.match(r"\s*(async\s+)?def\b|.*\blambda\b", line)
    )
    return next(heads, program.first_line)


def _source(shown: Program | Trace) -> list[Json]:
    if not isinstance(shown, Program) or not shown.source:
        return []
    lines = textwrap.dedent("\n".join(line.rstrip() for line in shown.source)).splitlines()
    return [
        {"number": number, "text": line}
        for number, line in enumerate(lines, start=shown.first_line or 1)
    ]
