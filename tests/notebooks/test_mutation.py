"""Proves that the gate bites: what changes the meaning of a stored output makes nbval fail.

A number, a word, an arrow, a place, a curve, a colour: each is changed in each stored output and
held against the old one; and in each cell of some notebooks one of them, in turn, under nbval.
"""

import copy
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebooks.guard import is_excluded
from tests.notebooks.mutants import add_noise, changed, changes
from tests.notebooks.outputs import differences
from tests.notebooks.refresh import find_notebooks, refresh

ROOT = Path(__file__).parents[2]
REAL = {path.stem: path for path in find_notebooks([])}
SAMPLE = {"03-backward-pass", "07-leaves-and-descent"}  # with pictures, a widget, and plots

FIGURE_CELL = """
class Figure:
    def _repr_mimebundle_(self, include=None, exclude=None):
        html = '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="e = 15">'
        svg = "<svg><text>15</text></svg>"
        return {"text/plain": "e = 15", "image/svg+xml": svg, "text/html": html}

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


def checked_cells(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Yields the cells that nbval checks, with the names it gives them."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for position, cell in enumerate(code):
        if not is_excluded(cell):
            yield f"Cell {position}", cell


def mutate_each_cell(notebook: NotebookNode) -> dict[str, str]:
    """Makes one change in each cell that has an output, and returns which, by the cell's name.

    The kinds of change take turns: of one figure a word changes, of the next an arrow, and so on.
    """
    turn = itertools.count()
    mutated = {}
    for name, cell in checked_cells(notebook):
        possible = [
            (place, *change)
            for place, output in enumerate(cell.outputs)
            for change in changes(output)
        ]
        if possible:
            place, kind, key, text = possible[7 * next(turn) % len(possible)]
            cell.outputs[place] = changed(cell.outputs[place], key, text)
            mutated[name] = f"{kind} in {key}"
    return mutated


def mutants_of_notebooks(names: Iterable[str], folder: Path) -> None:
    for name in names:
        mutant = nbformat.read(REAL[name], as_version=4)
        mutate_each_cell(mutant)
        nbformat.write(mutant, folder / f"{name}.ipynb")


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
        (output,) = mutant.cells[cell].outputs
        text = next(text for _, place, text in changes(output) if place == key)
        mutant.cells[cell].outputs = [changed(output, key, text)]
        nbformat.write(mutant, folder / f"{name}.ipynb")
    fresh.cells[0].outputs = []
    nbformat.write(fresh, folder / "removed.ipynb")
    mutants_of_notebooks(SAMPLE, folder)
    return nbval_verdicts(folder)


@pytest.fixture(scope="module")
def verdicts_of_the_others(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutants")
    mutants_of_notebooks(REAL.keys() - SAMPLE, folder)
    return nbval_verdicts(folder)


def nbval_verdicts(folder: Path) -> dict[str, dict[str, set[str]]]:
    options = [
        "--nbval",
        "-ptests.notebooks.by_meaning",
        "-rpf",
        "--tb=no",
        f"--rootdir={folder}",
        f"-c{ROOT / 'pyproject.toml'}",
    ]
    command = [sys.executable, "-m", "pytest", *options, "-pno:cacheprovider", "-pno:xdist", "."]
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.large) for name in REAL]
)
def test_a_change_in_any_cell_of_a_notebook_fails(request, name):
    which = "verdicts" if name in SAMPLE else "verdicts_of_the_others"
    verdicts = request.getfixturevalue(which)
    notebook = nbformat.read(REAL[name], as_version=4)
    checked = {cell for cell, _ in checked_cells(notebook)}
    mutated = mutate_each_cell(notebook)
    assert mutated, "no stored output can be changed"
    missed = {cell: kind for cell, kind in mutated.items() if cell in verdicts[name]["PASSED"]}
    assert missed == {}
    assert verdicts[name]["FAILED"] == mutated.keys()
    assert verdicts[name]["PASSED"] >= checked - mutated.keys()


@pytest.mark.parametrize("name", REAL)
def test_each_kind_of_change_in_each_output_is_seen(name):
    cells = list(checked_cells(nbformat.read(REAL[name], as_version=4)))
    kinds, missed = set(), []
    for cell_name, cell in cells:
        for output in cell.outputs:
            for kind, key, text in changes(output):
                kinds.add(kind)
                if not differences([output], [changed(output, key, text)]):
                    missed.append(f"{kind} in {key}, {cell_name}")
    assert missed == []
    always = {"number", "word", "arrow taken away", "arrow led elsewhere", "box moved", "look"}
    assert kinds >= {*always, "arrow joined otherwise", "colour"}
    assert ("curve" in kinds) == any("line2d_1" in str(cell.get("outputs")) for _, cell in cells)


@pytest.mark.parametrize("name", REAL)
def test_noise_that_nobody_sees_passes(name):
    for cell_name, cell in checked_cells(nbformat.read(REAL[name], as_version=4)):
        shaken = copy.deepcopy(cell.outputs)
        for output in shaken:
            add_noise(output)
        assert differences(cell.outputs, shaken) == [], cell_name
