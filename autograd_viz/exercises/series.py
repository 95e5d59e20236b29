"""All exercises of the notebooks, and where each is found."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from autograd_viz.exercises.questions import Question

NOTEBOOKS = tuple(range(12))


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise: what is asked, how it is hinted at, and how it is solved.

    Those of our own are called by notebook and letter, "3a"; those of the lecture keep the
    lecture's number, "4.4".
    """

    id: str
    notebook: str  # "09"
    questions: tuple[Question, ...]
    hints: tuple[str, ...]  # Markdown, each saying more than the one before
    solution: str  # the lines that take the place of the stub's, down to the call of check
    why: str  # Markdown, one to three sentences


@cache
def exercises() -> Mapping[str, Exercise]:
    """All exercises by their ids, in the order of the notebooks."""
    found: dict[str, Exercise] = {}
    for number in NOTEBOOKS:
        chapter = import_module(f"autograd_viz.exercises.chapter_{number:02}")
        for exercise in chapter.EXERCISES:
            assert exercise.id not in found, f"two exercises are called {exercise.id}"
            found[exercise.id] = exercise
    return found


def exercise_called(name: object, call: str) -> Exercise:
    """The exercise of that name.

    Raises:
        ValueError: there is none; the error names those that are called similarly.
    """
    known = exercises()
    if name in known:
        return known[str(name)]
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    example = close[0] if close else next(iter(known))
    raise ValueError(
        f'there is no exercise {name!r}; {meant}write its number in quotes: av.{call}("{example}")'
    )


def exercises_of(notebook: str) -> tuple[Exercise, ...]:
    """The exercises of one notebook, "09"."""
    return tuple(exercise for exercise in exercises().values() if exercise.notebook == notebook)
