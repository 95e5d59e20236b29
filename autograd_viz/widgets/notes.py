"""What is special about each form that a computation takes: the branch that ran, said in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autograd_viz import text
from autograd_viz.formulas.slopes import Written
from autograd_viz.programs.forward import Program

MOST_LINES = 2  # that are written out


@dataclass(frozen=True)
class Course:
    """The statements that ran, by line."""

    sources: Mapping[int, str]
    times: Mapping[int, int]
    operations: Mapping[int, tuple[str, ...]]
    formulas: tuple[Written | None, ...] = ()  # of its links


def course(program: Program, formulas: tuple[Written | None, ...] = ()) -> Course:
    """The way that a program went, and the formulas of its links."""
    statements = program.statements
    return Course(
        {each.line: each.source for each in statements},
        Counter(each.line for each in statements),
        {each.line: each.operations for each in statements},
        formulas,
    )


def note(form: Course, others: Sequence[Course]) -> str:
    """Say what sets a form apart from all others, whichever of them was there before.

    >>> positive = Course({2: "if x > 0:", 3: "y = x"}, {2: 1, 3: 1}, {2: ("gt",), 3: ()})
    >>> negative = Course({2: "if x > 0:", 5: "y = -x"}, {2: 1, 5: 1}, {2: ("gt",), 5: ("neg",)})
    >>> note(negative, [positive])
    'Another branch: line 5 (y = -x) ran, line 3 did not.'
    """
    if not others:
        return ""
    ran = [line for line in form.sources if any(line not in one.sources for one in others)]
    passed = sorted({line for one in others for line in one.sources} - form.sources.keys())
    if ran and passed:
        return f"Another branch: {_lines(ran, form)} ran, {_lines(passed)} did not."
    if ran or passed:
        said = f"{_lines(ran, form)} ran too" if ran else f"{_lines(passed)} did not run"
        return f"Another branch: {said}."
    for line, times in form.times.items():
        if any(one.times.get(line) != times for one in others):
            return f"The computation has another form: line {line} ran {_times(times)}."
    for line, operations in form.operations.items():
        before = [one.operations.get(line, ()) for one in others]
        new = [name for name in dict.fromkeys(operations) if any(name not in one for one in before)]
        if new:
            return f"The computation has another form: line {line} computes {text.joined(new)}."
    pairs = [pair for one in others for pair in zip(form.formulas, one.formulas, strict=False)]
    if pairs and not any(a and b and a.formula and b.formula and a != b for a, b in pairs):
        return "Where a formula does not give PyTorch's number, the number stands alone."
    return "Other formulas: a function such as relu or abs is on another side of its corner."


def _lines(lines: Sequence[int], form: Course | None = None) -> str:
    said = [
        f"line {line} ({text.clean(form.sources[line], 48)})" if form else f"line {line}"
        for line in lines[:MOST_LINES]
    ]
    left = len(lines) - len(said)
    return text.joined([*said, f"{left} more"] if left else said)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
