"""Proves that the gate bites: a digit changed in a stored output makes nbval fail."""

import copy
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebooks.guard import is_excluded
from tests.notebooks.refresh import find_notebooks, refresh

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
REAL = {path.stem: path for path in find_notebooks([])}

FIGURE_CELL = """
class Figure:
    def _repr_mimebundle_(self, include=None, exclude=None):
        html = '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="e = 15">'
        return {"text/plain": "e = 15", "image/svg+xml": "<svg>15</svg>", "text/html": html}

Figure()
"""
MADE_UP_CELLS = [FIGURE_CELL, "print(6 * 7)", "6 * 7", "x = 1"]
# the cell, and which of its texts is changed
MADE_UP_MUTANTS = {
    "words-of-a-figure": (0, "text/plain"),
    "svg-of-a-figure": (0, "image/svg+xml"),
    "html-of-a-figure": (0, "text/html"),
    "printed": (1, "text"),
    "result": (2, "text/plain"),
}


def texts(output: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Returns where the output keeps its texts, and the keys of those that hold a digit."""
    holder = output.data if "data" in output else output
    keys = ["evalue", "text", "text/plain", "image/svg+xml", "text/html"]
    return holder, [key for key in keys if re.search(r"\d", holder.get(key, ""))]


def change_digit(output: NotebookNode, key: str) -> None:
    """Changes the last digit of one text: the first may be in the SVG's version of XML."""
    holder, keys = texts(output)
    assert key in keys
    holder[key] = re.sub(r"\d(?=\D*$)", lambda d: str((int(d[0]) + 1) % 10), holder[key])


def checked_cells(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Yields the cells that nbval checks, with the names it gives them."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for position, cell in enumerate(code):
        if not is_excluded(cell):
            yield f"Cell {position}", cell


def mutate_each_cell(notebook: NotebookNode) -> set[str]:
    """Changes one digit in each cell that stores any, and returns the names of these cells.

    The kinds of text take turns: of one figure the words change, of the next the SVG, and so on.
    """
    turn = itertools.count()
    mutated = set()
    for name, cell in checked_cells(notebook):
        for output in cell.outputs:
            _, keys = texts(output)
            if keys and name not in mutated:
                change_digit(output, keys[next(turn) % len(keys)])
                mutated.add(name)
    return mutated


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """The names of the cells that nbval passes and fails, by notebook.

    All notebooks in one run of pytest, because its start takes longer than most of them.
    """
    folder = tmp_path_factory.mktemp("mutants")
    cells = [new_code_cell(source) for source in MADE_UP_CELLS]
    nbformat.write(new_notebook(cells=cells), folder / "fresh.ipynb")
    refresh(folder / "fresh.ipynb")
    fresh = nbformat.read(folder / "fresh.ipynb", as_version=4)
    for name, (cell, key) in MADE_UP_MUTANTS.items():
        mutant = copy.deepcopy(fresh)
        change_digit(mutant.cells[cell].outputs[0], key)
        nbformat.write(mutant, folder / f"{name}.ipynb")
    fresh.cells[0].outputs = []
    nbformat.write(fresh, folder / "removed.ipynb")
    for name, path in REAL.items():
        mutant = nbformat.read(path, as_version=4)
        mutate_each_cell(mutant)
        nbformat.write(mutant, folder / f"{name}.ipynb")
    return nbval_verdicts(folder)


def nbval_verdicts(folder: Path) -> dict[str, dict[str, set[str]]]:
    options = ["--nbval", "-rpf", "--tb=no", f"--rootdir={folder}", f"-c{PYPROJECT}"]
    command = [sys.executable, "-m", "pytest", *options, "-pno:cacheprovider", "-pno:xdist", "."]
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTEST_")}
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr  # some tests failed; nothing worse
    found = re.findall(r"^(PASSED|FAILED) (\S+)\.ipynb::(Cell \d+)", run.stdout, re.MULTILINE)
    verdicts: dict[str, dict[str, set[str]]] = {}
    for verdict, notebook, cell in found:
        verdicts.setdefault(notebook, {"PASSED": set(), "FAILED": set()})[verdict].add(cell)
    return verdicts


def test_a_fresh_notebook_passes(verdicts):
    cells = {"Cell 0", "Cell 1", "Cell 2", "Cell 3"}
    assert verdicts["fresh"] == {"PASSED": cells, "FAILED": set()}


@pytest.mark.parametrize("name", MADE_UP_MUTANTS)
def test_a_changed_digit_of_each_kind_fails(verdicts, name):
    assert verdicts[name]["FAILED"] == {f"Cell {MADE_UP_MUTANTS[name][0]}"}


def test_a_removed_output_fails(verdicts):
    assert verdicts["removed"]["FAILED"] == {"Cell 0"}


@pytest.mark.parametrize("name", REAL)
def test_a_changed_digit_in_any_cell_of_a_notebook_fails(verdicts, name):
    notebook = nbformat.read(REAL[name], as_version=4)
    checked = {cell for cell, _ in checked_cells(notebook)}
    mutated = mutate_each_cell(notebook)
    assert mutated, "no stored output holds a digit"
    assert verdicts[name]["FAILED"] == mutated
    assert verdicts[name]["PASSED"] >= checked - mutated
