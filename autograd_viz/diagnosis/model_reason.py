"""Which parameters of a model train, and why the others do not: the answer as data."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from autograd_viz import text
from autograd_viz.diagnosis.model_table import Part, parts_of
from autograd_viz.model import Graph, Shown

if TYPE_CHECKING:
    from autograd_viz.picture import Drawing, Style
    from autograd_viz.summaries import Summary

State = Literal[
    "trains",  # a pass brings a gradient, and .grad has one
    "waits",  # a pass brings a gradient, and .grad is None
    "zero",
    "NaN",
    "inf",
    "None",  # the graph leads to it, and the pass brings no gradient
    "frozen",
    "cut",  # used on the way to the output, but not in its graph
    "unused",
    "not reached",  # cut or unused: it is not known which
    "left out",  # it gets a gradient, and no step of an optimizer changes it
    "no parameter",  # a tensor that requires grad and is none of the model's parameters
]
SAID: Mapping[State, tuple[str, str]] = {  # of one, of several; what stands out comes last
    "trains": ("trains", "train"),
    "waits": ("waits for backward()", "wait for backward()"),
    "frozen": ("is frozen", "are frozen"),
    "no parameter": ("is no parameter", "are no parameters"),
    "unused": ("is not used", "are not used"),
    "not reached": ("is not reached", "are not reached"),
    "cut": ("is cut off", "are cut off"),
    "left out": ("is in no optimizer", "are in no optimizer"),
    "zero": ("gets 0", "get 0"),
    "None": ("gets no gradient", "get no gradient"),
    "inf": ("gets inf", "get inf"),
    "NaN": ("gets NaN", "get NaN"),
}
_PRONOUNS = {
    "<it>": ("it", "them"), "<they>": ("it", "they"), "<its>": ("its", "their"),
    "<Its>": ("Its", "Their"),
}  # fmt: skip
MOST_SAID = 20  # sentences below the table


@dataclass(frozen=True)
class Row:
    """One parameter, and why its gradient is what it is."""

    name: str  # as in `named_parameters()`
    state: State
    why: str  # sentences, with <it> and <its> for the parameter; "" where all is well
    shape: tuple[int, ...]
    line: str | None = None  # what to type, where a line helps
    where: str | None = None  # of a cut the statement, of 0 and NaN the step of the pass
    names: tuple[str, ...] = ()  # all of its names; a tied weight has several
    gradient: Summary | None = None  # of one pass; where none could run, of .grad

    @property
    def text(self) -> str:
        """The answer in words.

        >>> Row("fc.bias", "frozen", "<its> requires_grad is False.", (3,)).text
        'fc.bias is frozen: its requires_grad is False.'
        """
        return said(text.clean(self.name), 1, self)

    def __str__(self) -> str:
        return f"{self.text} Write: {self.line}" if self.line else self.text


@dataclass(frozen=True, eq=False, repr=False)
class ModelReason(Shown):
    """Which parameters of a model train, and why the others do not.

    It prints as a table, grouped by module, with a first line that sums it up and a sentence for
    each state that needs one. In its picture what trains is green, and what is cut off stands
    beside the statement that cuts it.

    >>> import torch, autograd_viz as av
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> _ = model[0].requires_grad_(False)
    >>> loss = model(torch.ones(4, 2)).sum()
    >>> loss.backward(retain_graph=True)
    >>> found = av.why(model, loss)
    >>> found["2.bias"].state, found["0.bias"].state
    ('trains', 'frozen')
    """

    model: str  # its name
    output: str | None
    rows: tuple[Row, ...]  # in the model's order; what is no parameter comes last
    buffers: tuple[str, ...]
    notes: tuple[str, ...] = ()
    graph: Graph | None = None  # of the output; None where it has none

    drawing_options = ("open",)

    def __repr__(self) -> str:
        return f"<ModelReason: {self.title}>"

    def __str__(self) -> str:
        return self.words

    def __getitem__(self, name: str) -> Row:
        """The row of a parameter, by any of its names."""
        for row in self.rows:
            if name == row.name or name in row.names:
                return row
        near = [row.name for row in self.rows if row.name.endswith(str(name))]
        hint = f"; did you mean {text.joined(near, most=3)}?" if near else ""
        raise KeyError(f"{self.model} has no parameter {name!r}{hint}")

    @cached_property
    def states(self) -> Mapping[State, int]:
        """How many parameters are in each state."""
        counted = Counter(row.state for row in self.rows)
        return {state: counted[state] for state in SAID if counted[state]}

    @property
    def line(self) -> str | None:
        """The line to type that helps most of what does not train; None if there is none."""
        for state in [*SAID][::-1]:
            for row in self.rows:
                if row.state == state and row.line is not None and state != "frozen":
                    return row.line
        return None

    @property
    def title(self) -> str:
        """All in one line."""
        count = len([row for row in self.rows if row.state != "no parameter"])
        told = [
            f"{'all ' * (number == count > 1)}{number:,} {SAID[state][number != 1]}"
            for state, number in self.states.items()
            if state != "no parameter"
        ]
        by = f" for {self.output}" if self.output else ""
        sums = f": {', '.join(told)}" if told else ""
        others = len(self.rows) - count
        more = f" Besides, {others:,} tensor{'s' * (others != 1)} of it " if others else ""
        more += f"{SAID['no parameter'][others != 1]}." * bool(others)
        return f"The {count:,} parameter{'s' * (count != 1)} of {self.model}{by}{sums}.{more}"

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The lines of the table: parameters that belong together and are alike."""
        return parts_of(self.rows)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """What there is to say, each once, with the parameters that it holds for."""
        found: dict[tuple[State, str], list[Part]] = {}
        for part in self.parts:
            row = part.rows[0]
            if row.why:
                found.setdefault((row.state, row.why), []).append(part)
        order = [*SAID][::-1]
        told = []
        for (_state, _), parts in sorted(found.items(), key=lambda each: order.index(each[0][0])):
            rows = [row for part in parts for row in part.rows]
            names = text.joined(
                [part.name + ".*" * (len(part.rows) > part.times) for part in parts], most=3
            )
            lines = {row.line for row in rows}
            line = lines.pop() if len(lines) == 1 else None
            typed = f" Write: {line}" if line else ""
            told.append(said(names, len(rows), rows[0]) + typed)
        if len(told) > MOST_SAID:
            told[MOST_SAID:] = [f"… {len(told) - MOST_SAID:,} more: .rows has them all."]
        if self.buffers:
            named = text.joined([text.clean(each) for each in self.buffers], most=3)
            count = len(self.buffers)
            told.append(
                f"{named}: {count:,} buffer{'s' * (count != 1)}, numbers that the model keeps and "
                "that no gradient reaches by design."
            )
        return tuple(told)

    @property
    def words(self) -> str:
        """The table, and what there is to say."""
        return "\n".join([self.title, *self.notes, *text.table(self._cells), *self.sentences])

    @property
    def _cells(self) -> list[list[str]]:
        rows = [["parameters", "number", "state", "norm of the gradient"]]
        rows += [[part.name, part.count, part.rows[0].state, part.norms] for part in self.parts]
        return rows

    def drawn(self, style: Style, *, open: str | None = None, **options: Any) -> Drawing:
        """Draw it; `open` is the name of a module to be opened."""
        from autograd_viz.diagnosis import model_view

        return model_view.drawn(self, style, open)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(include, exclude)
        picture = bundle["text/html"]
        return {**bundle, "text/html": "".join(self._html(picture)), "text/plain": self.words}

    def _html(self, picture: str) -> Iterator[str]:
        """The table of a page, the sentences, and the picture below them."""
        head, *body = self._cells
        yield f"<div><p><b>{html.escape(self.title)}</b></p>"
        yield from (f"<p>{html.escape(note)}</p>" for note in self.notes)
        yield f"<table><thead><tr>{_row('th', head)}</tr></thead><tbody>"
        yield from (f"<tr>{_row('td', cells)}</tr>" for cells in body)
        yield "</tbody></table><ul>"
        yield from (f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        yield f"</ul>{picture}</div>"


def _row(tag: str, cells: list[str]) -> str:
    return "".join(f'<{tag} style="text-align:left">{html.escape(each)}</{tag}>' for each in cells)


def said(names: str, count: int, row: Row) -> str:
    """A row's answer, said of so many parameters."""
    told = row.why
    for sign, forms in _PRONOUNS.items():
        told = told.replace(sign, forms[count != 1])
    phrase = f"{names} {SAID[row.state][count != 1]}"
    return f"{phrase}: {told}" if told else f"{phrase}."
