"""What a reader calls: check an answer, ask for a hint, ask for the solution."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from autograd_viz.exercises.questions import Finding
from autograd_viz.exercises.series import Exercise, exercise_called, exercises_of
from autograd_viz.exercises.verdicts import Hint, Progress, Solution, Verdict
from autograd_viz.kept_state import random_numbers_kept

_solved: set[str] = set()  # in this kernel; a notebook that is run again checks all answers again
_hinted: dict[str, int] = {}
_ENDED = "Ctrl-C ended it before it returned. Is there a loop in it that never ends?"


def check(exercise: str, /, **answers: Any) -> Verdict:
    """Judge the answers to an exercise of the notebooks.

    Args:
        exercise: its name, such as "4.4".
        answers: one for each thing that is asked. A derivative may be a number at the exercise's
            own point, a formula as text or of SymPy, or a function of the inputs.

    Returns:
        What is right and what is wrong: at which point, with your value and the true one. Where
        the true value would be the answer, it is not told. While a stub has its `...`, the
        verdict is one calm line. As a condition it is true if the exercise is solved, and false
        otherwise. A function that does not return is ended by Ctrl-C, and the verdict says so.

    Raises:
        ValueError: there is no such exercise.
        TypeError: an answer has a name that the exercise does not ask for.

    >>> import autograd_viz as av
    >>> av.check("4.4", dw1=..., dw2=...)
    Exercise 4.4: still to do: dw1, dw2. Notebook 09: ...
    """
    found = exercise_called(exercise, "check")
    names = [question.name for question in found.questions]
    if unknown := sorted(answers.keys() - set(names)):
        wanted = ", ".join(f"{name}=..." for name in names)
        raise TypeError(
            f"exercise {found.id} does not ask for {', '.join(unknown)}; "
            f'write av.check("{found.id}", {wanted})'
        )
    findings = _findings(found, answers)
    verdict = Verdict(found.id, findings, _progress(found))
    if verdict.state != "solved":
        return verdict
    _solved.add(found.id)
    return Verdict(found.id, findings, _progress(found))


def _findings(found: Exercise, answers: Mapping[str, Any]) -> tuple[tuple[str, Finding], ...]:
    """What is found of each answer; once Ctrl-C ended one, no further one is judged."""
    findings: dict[str, Finding] = {}
    for question in found.questions:
        try:
            with random_numbers_kept():
                findings[question.name] = question.finding(answers.get(question.name, ...))
        except KeyboardInterrupt:
            findings[question.name] = Finding("wrong", _ENDED)
            break
    return tuple(
        (question.name, findings.get(question.name, Finding("unfinished", "not judged any more.")))
        for question in found.questions
    )


def hint(exercise: str, /) -> Hint:
    """Give a hint to an exercise; each further call gives the next one, and says more.

    Args:
        exercise: its number, as its heading says: "4.4".

    Raises:
        ValueError: there is no such exercise.

    >>> import autograd_viz as av
    >>> av.hint("4.4").number
    1
    """
    found = exercise_called(exercise, "hint")
    number = min(_hinted.get(found.id, 0) + 1, len(found.hints))
    _hinted[found.id] = number
    return Hint(found.id, found.hints[number - 1], number, len(found.hints))


def solution(exercise: str, /) -> Solution:
    """Show a solution of an exercise, and why it is right.

    Args:
        exercise: its number, as its heading says: "4.4".

    Raises:
        ValueError: there is no such exercise.

    >>> import autograd_viz as av
    >>> print(av.solution("4.4"))
    A solution of exercise 4.4:
    ...
    """
    found = exercise_called(exercise, "solution")
    return Solution(found.id, inspect.cleandoc(found.solution), found.why)


def _progress(exercise: Exercise) -> Progress:
    all_of_notebook = exercises_of(exercise.notebook)
    solved = sum(other.id in _solved for other in all_of_notebook)
    return Progress(exercise.notebook, solved, len(all_of_notebook))
