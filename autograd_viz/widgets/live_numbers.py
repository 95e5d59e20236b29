"""The numbers of a run as short texts: planned once for a topology, then read at every tick.

An Atom says where one number comes from and how it is written, a Pattern puts several into one
text, as in `2 + 8.6562 = 10.6562`. A Texts collects the patterns of a scene by key and reads all
of them from a run, each atom once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from autograd_viz import text
from autograd_viz.formulas import hooks
from autograd_viz.model import Edge, Slot, Variables
from autograd_viz.typeset import Line, Run, plain

if TYPE_CHECKING:
    from torch import Tensor

ROOM = "-00.0000"  # kept free for a number
ROOM_IN_SUM = "00.0000"  # and for each of several, which are seldom all long

_NUMBER = re.compile(
    r"(?<!× )(?<![\w.])-?(?:\d+(?:\.\d+)?(?:e[-+]\d+)?|inf|NaN)(?![\w.])(?! ×)"  # but not 3 × 4
)
_BAD = ("NaN", "inf")
_FLOATS = ("local", "slope", "product")
# How near a sum of products must be to the gradient, in parts of the products.
_NEAR = {"torch.float64": 1e-10, "torch.float32": 1e-5}

Form = int | Literal["number", "factor"]  # a line of the summary; (-2) is a factor


class Atom(NamedTuple):
    """Where a number comes from.

    | kind | place |
    |---|---|
    | value, gradient | a Slot of the graph |
    | constant | a variable outside of the graph |
    | start | the position of an output |
    | sent | an Edge |
    | hook | a Slot or an Edge whose gradient a hook has changed |
    | local, contribution, computed | a link's position in Variables.links |
    | slope | the edges of a path from one variable to the next |
    | product | the edges of a whole path |
    | verdict | a Slot, the edges of all paths to it: its gradient, and the sum if it differs |
    """

    kind: str
    place: Any
    form: Form = 0


class Pattern(NamedTuple):
    """A text with a number in the place of each %s."""

    template: str
    atoms: tuple[Atom, ...]


def one(kind: str, place: Any, form: Form = 0) -> Pattern:
    """The pattern of a number that stands alone."""
    return Pattern("%s", (Atom(kind, place, form),))


def summary(kind: str, place: Any, tensor: Tensor) -> list[Pattern]:
    """The patterns of the lines in which a tensor is summed up."""
    return [one(kind, place, line) for line in range(len(text.summary(tensor)))]


class Numbers(NamedTuple):
    """The numbers of one run in their texts."""

    texts: list[str]
    bad: frozenset[Atom]  # that are NaN or inf, or hold one


class Texts:
    """The texts of a scene by key, with the plan to read them."""

    def __init__(self, shown: Variables) -> None:
        self.shown = shown
        self.patterns: dict[str, Pattern] = {}
        self._readers: dict[Atom, Callable[[Variables], str]] = {}
        self._now: dict[Atom, str] = {}
        self._plan: tuple[list[Callable[[Variables], str]], list[tuple[str, tuple[int, ...]]]] = (
            [],
            [],
        )
        self._planned = -1

    def now(self, pattern: Pattern) -> str:
        """The text at the inputs for which the scene was made."""
        pattern = self._plainest(pattern)
        for atom in pattern.atoms:
            if atom not in self._now:
                self._readers[atom] = _reader(atom, self.shown)
                self._now[atom] = self._readers[atom](self.shown)
        return pattern.template % tuple([self._now[atom] for atom in pattern.atoms])

    def key(self, wanted: str, pattern: Pattern) -> str:
        """The key of a pattern: as wanted, unless another pattern has it."""
        pattern = self._plainest(pattern)
        while self.patterns.get(wanted, pattern) != pattern:
            wanted += "'"
        self.now(pattern)
        self.patterns[wanted] = pattern
        return wanted

    def numeral(self, wanted: str, pattern: Pattern) -> Run:
        """A place for a text, as wide as it may become."""
        written = pattern._replace(template=pattern.template.replace("*", "·"))
        key = self.key(wanted, written)
        atoms = self.patterns[key].atoms
        rooms = tuple(self._room(atom, len(atoms) > 1) for atom in atoms)
        return Run("", key=key, room=written.template % rooms)

    def _plainest(self, pattern: Pattern) -> Pattern:
        """The pattern with one name for numbers that have several, so that each is read once."""
        return pattern._replace(atoms=tuple(map(self._plain, pattern.atoms)))

    def _plain(self, atom: Atom) -> Atom:
        if atom.kind == "contribution":
            arrivals = self.shown.links[atom.place].arrivals
            if len(arrivals) == 1:
                atom = Atom("sent", arrivals[0], atom.form)
        if atom.kind in _FLOATS:
            return atom if atom.form == "factor" else atom._replace(form="number")
        if atom.form == "number" and atom.kind != "verdict":
            tensor = _tensor(atom, self.shown)(self.shown)
            if tensor is not None and tensor.ndim == 0 and _is_dense(tensor):
                return atom._replace(form=0)
        return atom

    def before(self, line: Line, pattern: Pattern) -> Line | None:
        """What stands before a pattern's text at a line's end; None if the line ends otherwise."""
        return _before(line, self.now(pattern))

    def keyed(self, line: Line, box: str, pattern: Pattern | None) -> Line:
        """The line with a place for its text, which it ends with; as it is where it does not."""
        fixed = None if pattern is None else self.before(line, pattern)
        if fixed is None or pattern is None:
            return line
        return (*fixed, self.numeral(f"{box} {plain(fixed)}".strip(), pattern))

    def _room(self, atom: Atom, several: bool) -> str:
        kept = ROOM_IN_SUM if several else ROOM
        if atom.kind in (*_FLOATS, "verdict") or atom.form in ("number", "factor"):
            return kept
        tensor = None if atom.kind == "hook" else _tensor(atom, self.shown)(self.shown)
        if tensor is None or tensor.is_complex() or not _is_dense(tensor):
            return _NUMBER.sub(kept, self._now[atom])
        lines = text.summary(tensor.new_zeros(tensor.shape))
        return _NUMBER.sub(kept, lines[int(atom.form)])

    def read(self, shown: Variables) -> Numbers:
        """The texts of a run, in the order of the keys."""
        if self._planned != len(self.patterns):
            self._make_plan()
        readers, keys = self._plan
        found = [reader(shown) for reader in readers]
        texts = [
            found[places[0]]
            if template == "%s"
            else template % tuple([found[place] for place in places])
            for template, places in keys
        ]
        everything = " ".join(found)
        if not any(word in everything for word in _BAD):
            return Numbers(texts, frozenset())
        bad = [
            atom
            for atom, said in zip(self._readers, found, strict=True)
            if any(word in said for word in _BAD)
        ]
        return Numbers(texts, frozenset(bad))

    def _make_plan(self) -> None:
        place = {atom: number for number, atom in enumerate(self._readers)}
        keys = [
            (pattern.template, tuple(place[atom] for atom in pattern.atoms))
            for pattern in self.patterns.values()
        ]
        self._plan = list(self._readers.values()), keys
        self._planned = len(self.patterns)


def _before(line: Line, ending: str) -> Line | None:
    """What stands before a text at a line's end; None if the line does not end so."""
    rest = list(line)
    while ending and rest and isinstance(rest[-1], Run):
        last = rest.pop()
        assert isinstance(last, Run)
        if last.text.endswith(ending):
            begin = last.text[: len(last.text) - len(ending)]
            return (*rest, Run(begin, last.style)) if begin else tuple(rest)
        if not ending.endswith(last.text):
            return None
        ending = ending[: len(ending) - len(last.text)]
    return None


# From an atom to a function that reads it


def _reader(atom: Atom, shown: Variables) -> Callable[[Variables], str]:
    """The function that reads an atom; what does not change from run to run is looked up now."""
    kind, place, form = atom
    if kind == "hook":
        return lambda run: hooks.made(run.trace, place)
    if kind == "verdict":
        return lambda run: _verdict(run, *place)
    if kind in _FLOATS:
        number = _float(kind, place)
        write = factor if form == "factor" else _known
        return lambda run: write(number(run))
    tensor = _tensor(atom, shown)
    sample = tensor(shown)
    if sample is not None and sample.ndim == 0 and _is_dense(sample):
        if form == "factor":
            return lambda run: factor(_item(tensor(run)))
        return lambda run: _known(_item(tensor(run)))
    if form in ("number", "factor"):
        return lambda run: _known(_item(tensor(run)))
    return lambda run: _line(tensor(run), int(form))


def _is_dense(tensor: Tensor) -> bool:
    return not (tensor.is_meta or tensor.is_nested) and "strided" in str(tensor.layout)


def _tensor(atom: Atom, shown: Variables) -> Callable[[Variables], Tensor | None]:
    kind, place, _ = atom
    step_of = shown.trace.step_of if shown.trace else {}
    if kind == "value":
        return lambda run: run.graph.values.get(place)
    if kind == "constant":
        return lambda run: run.nodes[place].value
    if kind == "contribution":
        return lambda run: run.links[place].contribution
    if kind == "computed":
        return lambda run: hooks.computed(run, run.links[place])
    if kind == "start":
        return lambda run: run.trace.starts[place]  # type: ignore[union-attr]
    if kind == "gradient":
        step, output_nr = step_of[place.node], place.output_nr
        return lambda run: run.trace.steps[step].grad_outputs[output_nr]  # type: ignore[union-attr]
    assert kind == "sent", kind
    step, input_index = step_of[place.source], place.input_index
    return lambda run: run.trace.steps[step].grad_inputs[input_index]  # type: ignore[union-attr]


def _item(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.item()


def _line(tensor: Tensor | None, line: int) -> str:
    if tensor is None:
        return "None"
    lines = text.summary(tensor)
    return lines[line] if line < len(lines) else ""


def _known(value: complex | None) -> str:
    return "?" if value is None else text.number(value)


def factor(value: complex | None) -> str:
    """A number as a factor of a product: a negative one in brackets."""
    shown = _known(value)
    return f"({shown})" if shown.startswith("-") else shown


def _float(kind: str, place: Any) -> Callable[[Variables], float | None]:
    if kind == "local":
        return lambda run: run.links[place].local
    if kind == "slope":
        return lambda run: _product(run, place)
    return lambda run: _product(run, place, start=kind == "product")


def _verdict(run: Variables, goal: Slot, routes: Sequence[Sequence[Edge]]) -> str:
    """The gradient that arrived; the products' sum before it where the two are not equal."""
    assert run.trace is not None
    arrived = _item(run.trace.arrived(goal))
    products = [_product(run, route, start=True) for route in routes]
    if arrived is None or None in products:
        return _known(arrived)
    known = [product for product in products if product is not None]
    total = sum(known)
    near = _NEAR.get(str(run.trace.starts[0].dtype), 1e-2) * sum(map(abs, known))
    if math.isfinite(total) and math.isfinite(arrived):
        same = abs(total - arrived) <= near
    else:
        same = total == arrived or (total != total and arrived != arrived)
    said = _known(total)
    engine = run.graph.engine
    return said if same else f"{said}, but {engine}'s gradient is {_known(arrived)}"


def _product(run: Variables, edges: Sequence[Edge], start: bool = False) -> float | None:
    assert run.trace is not None
    local = run.trace.local
    product = float(run.trace.starts[0].item()) if start else 1.0
    for edge in edges:
        slope = local.get(edge)
        if slope is None:
            return None
        product *= slope
    return product
