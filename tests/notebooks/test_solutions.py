"""Runs each notebook with the solutions in place of the stubs: each exercise is solved there."""

import ast
import inspect
from pathlib import Path

import nbformat
import pytest

from autograd_viz.exercises.series import exercises_of
from tests.notebooks.refresh import execute, find_notebooks


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_all_solutions_solve_their_exercises(path: Path):
    notebook = nbformat.read(path, as_version=4)
    asked = {exercise.id: exercise for exercise in exercises_of(path.name[:2])}
    solved = {}
    for cell in notebook.cells:
        call = cell.source.rpartition("\n")[2] if cell.cell_type == "code" else ""
        if call.startswith("av.check("):
            name = ast.literal_eval(call.removeprefix("av.check(").partition(",")[0])
            cell.source = f"{inspect.cleandoc(asked[name].solution)}\n{call}"
            solved[name] = cell
    assert solved.keys() == asked.keys()
    execute(notebook, path.parent)
    for number, (name, cell) in enumerate(solved.items(), start=1):
        text = cell.outputs[-1].data["text/plain"]
        assert text.startswith(f"Exercise {name}: solved."), text
        done = "all solved" if number == len(asked) else f"{number} of {len(asked)} solved"
        assert text.endswith(done)
