"""What holds for each exercise: its name, its slips, its hints, its place in a notebook."""

import ast
import re
from importlib import import_module

import nbformat
import pytest

import autograd_viz as av
from autograd_viz.exercises.series import exercises
from tests.notebooks.refresh import NOTEBOOKS

ALL = exercises()
LECTURE = {"4.2": "09", "4.3": "08", "4.4": "09"}


def stubs() -> dict[str, tuple[str, nbformat.NotebookNode]]:
    """The cell of each exercise, and the number of its notebook."""
    found: dict[str, tuple[str, nbformat.NotebookNode]] = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                for call in re.findall(r'^av\.check\("([^"]+)"', cell.source, re.MULTILINE):
                    assert call not in found, f"two cells check {call}"
                    found[call] = (path.name[:2], cell)
    return found


STUBS = stubs()


def test_there_are_at_least_25_and_all_stand_in_a_notebook():
    assert len(ALL) >= 25
    assert STUBS.keys() == ALL.keys()


@pytest.mark.parametrize("exercise", ALL.values(), ids=lambda exercise: exercise.id)
def test_names_hints_and_solutions(exercise):
    own = rf"{int(exercise.notebook)}[a-z]"
    assert LECTURE.get(exercise.id) == exercise.notebook or re.fullmatch(own, exercise.id)
    assert len(exercise.hints) >= 2
    assert exercise.why.endswith((".", "$$"))
    ast.parse("if True:\n" + exercise.solution)


@pytest.mark.parametrize("exercise", ALL.values(), ids=lambda exercise: exercise.id)
def test_the_stub_asks_for_what_is_judged_and_is_unfinished(exercise):
    notebook, cell = STUBS[exercise.id]
    assert notebook == exercise.notebook
    call = ast.parse(cell.source).body[-1]
    assert isinstance(call, ast.Expr), "the last line of a stub is its check"
    assert isinstance(call.value, ast.Call)
    names = [keyword.arg for keyword in call.value.keywords]
    assert names == [question.name for question in exercise.questions]
    (output,) = cell.outputs
    assert output.data["text/plain"].startswith(
        f"Exercise {exercise.id}: still to do: {', '.join(map(str, names))}. Notebook {notebook}:"
    )
    assert "\n" not in output.data["text/plain"]


@pytest.mark.parametrize("exercise", ALL.values(), ids=lambda exercise: exercise.id)
def test_the_solution_is_not_readable_in_the_notebook(exercise):
    _, cell = STUBS[exercise.id]
    lines = {line.strip() for line in exercise.solution.splitlines() if "=" in line}
    assert not lines & {line.strip() for line in cell.source.splitlines() if "..." in line}


@pytest.mark.parametrize("exercise", ALL.values(), ids=lambda exercise: exercise.id)
def test_each_slip_is_wrong_and_told_so(exercise):
    for question in exercise.questions:
        for slip in question.slips:
            finding = question.finding(slip.answer)
            assert finding.state == "wrong"
            assert finding.remark.endswith(slip.remark)


@pytest.mark.parametrize("exercise", ALL.values(), ids=lambda exercise: exercise.id)
def test_its_chapter_tries_right_and_wrong_answers(exercise):
    chapter = import_module(f"tests.exercises.test_chapter_{exercise.notebook}")
    assert sum(name == exercise.id for name, _ in chapter.RIGHT) >= 1
    assert sum(name == exercise.id for name, _ in chapter.WRONG) >= 2


def test_every_name_that_a_text_mentions_exists():
    for exercise in ALL.values():
        for name in re.findall(r"\bav\.(\w+)", " ".join((*exercise.hints, exercise.why))):
            assert name in av.__all__
