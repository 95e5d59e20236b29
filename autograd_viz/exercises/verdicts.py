"""What a reader is told: a verdict on the answers, a hint, a solution."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Literal

from autograd_viz.exercises.questions import Finding

State = Literal["solved", "wrong", "unfinished"]
_SIGNS = {"right": "✓", "wrong": "✗", "unfinished": "·"}
_COLOURS = {"solved": "#2e8b57", "wrong": "#d2691e", "unfinished": "#8a8f98"}  # on light and dark


@dataclass(frozen=True)
class Progress:
    """How many exercises of a notebook are solved."""

    notebook: str  # "09"
    solved: int
    all: int

    def __str__(self) -> str:
        squares = "■" * self.solved + "□" * (self.all - self.solved)
        done = "all solved" if self.solved == self.all else f"{self.solved} of {self.all} solved"
        return f"Notebook {self.notebook}: {squares} {done}"


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `check` found, a line for each question; one line while it is unfinished."""

    exercise: str
    findings: tuple[tuple[str, Finding], ...]  # by the name of the question
    progress: Progress

    @property
    def state(self) -> State:
        """Whether all answers are right, some are wrong, or some are not there yet."""
        states = {finding.state for _, finding in self.findings}
        if states <= {"right"}:
            return "solved"
        return "wrong" if "wrong" in states else "unfinished"

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        still = [name for name, finding in self.findings if finding.state == "unfinished"]
        right = [name for name, finding in self.findings if finding.state == "right"]
        if self.state == "solved":
            return f"Exercise {self.exercise}: solved."
        if self.state == "wrong":
            return f"Exercise {self.exercise}: not yet."
        so_far = f"{', '.join(right)} right so far; " if right else ""
        return f"Exercise {self.exercise}: {so_far}still to do: {', '.join(still)}."

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each question, once all are answered or one of them is wrong."""
        if self.state == "unfinished":
            return ()
        return tuple(
            f"{_SIGNS[finding.state]} {name}{': ' if finding.remark else ''}{finding.remark}"
            for name, finding in self.findings
        )

    def __bool__(self) -> bool:
        return self.state == "solved"

    def __repr__(self) -> str:
        if not self.lines:
            return f"{self.headline} {self.progress}"
        return "\n".join((self.headline, *(f"  {line}" for line in self.lines), str(self.progress)))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        rows = "".join(f"<div>{html.escape(line)}</div>" for line in self.lines)
        style = f"border-left: 6px solid {_COLOURS[self.state]}; padding: 4px 12px"
        shown = (
            f'<div style="{style}"><b>{html.escape(self.headline)}</b> '
            f"<span>{self.progress}</span>{rows}</div>"
        )
        return {"text/html": shown, "text/plain": repr(self)}


@dataclass(frozen=True, repr=False)
class Hint:
    """One hint of several; the next call gives the next."""

    exercise: str
    text: str  # Markdown
    number: int  # from 1
    all: int

    def __repr__(self) -> str:
        return f"Hint {self.number} of {self.all} to exercise {self.exercise}: {self.text}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        shown = f"**Hint {self.number} of {self.all} to exercise {self.exercise}.** {self.text}"
        return {"text/markdown": shown, "text/plain": repr(self)}


@dataclass(frozen=True, repr=False)
class Solution:
    """Lines that answer an exercise, and why they are right."""

    exercise: str
    code: str
    why: str  # Markdown

    def __repr__(self) -> str:
        return f"A solution of exercise {self.exercise}:\n\n{self.code.strip()}\n\n{self.why}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        shown = (
            f"**A solution of exercise {self.exercise}**\n\n"
            f"```python\n{self.code.strip()}\n```\n\n{self.why}"
        )
        return {"text/markdown": shown, "text/plain": repr(self)}
