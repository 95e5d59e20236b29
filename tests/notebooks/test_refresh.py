"""Shows that refreshing stores what readers need, and the same bytes each time."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.notebooks.refresh import METADATA, WIDGET_VIEW, find_notebooks, refresh

CELLS = [
    "import sys\nfor i in range(3):\n    print(i, flush=True)\nprint('!', file=sys.stderr)",
    "from IPython.display import display\n"
    f"display({{'{WIDGET_VIEW}': {{'model_id': 'x'}}, 'text/plain': 'e = 15'}}, raw=True)",
    f"display({{'{WIDGET_VIEW}': {{'model_id': 'x'}}}}, raw=True)",
    "1 / 0",
    "6 * 7",
]


@pytest.fixture
def path(tmp_path):
    cells = [new_markdown_cell("# Title"), *(new_code_cell(source) for source in CELLS)]
    cells[1].metadata.execution = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    cells[1].execution_count = 99
    cells[4].metadata.tags = ["raises-exception"]
    notebook = new_notebook(
        cells=cells, metadata={"language_info": {"name": "python", "version": "3.9.1"}}
    )
    notebook.metadata.widgets = {}
    nbformat.write(notebook, tmp_path / "made-up.ipynb")
    return tmp_path / "made-up.ipynb"


def test_twice_gives_the_same_bytes(path):
    refresh(path)
    once = path.read_bytes()
    refresh(path)
    assert path.read_bytes() == once


def test_stores_outputs_and_nothing_volatile(path):
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    _, printing, widget, view, raising, answer = notebook.cells
    assert notebook.metadata == METADATA
    assert [cell.id for cell in notebook.cells] == [f"cell-{i:02}" for i in range(1, 7)]
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3, 4, 5]
    assert printing.metadata == {}
    assert {output.name: output.text for output in printing.outputs} == {
        "stdout": "0\n1\n2\n",
        "stderr": "!\n",
    }
    assert [output.data for output in widget.outputs] == [{"text/plain": "e = 15"}]
    assert view.outputs == []
    assert raising.metadata == {"tags": ["raises-exception"]}
    (traceback,) = raising.outputs[0].traceback
    assert "division by zero" in traceback
    assert answer.outputs[0].data == {"text/plain": "42"}


def test_what_means_the_same_stays_as_it_is_stored(path):
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_code_cell("print(1 / 3, 2 / 3)"))
    nbformat.write(notebook, path)
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[-1].outputs[0].text == "0.3333333333333333 0.6666666666666666\n"
    other_last_digits = "0.3333333333333339 0.6666666666666661\n"
    notebook.cells[-1].outputs[0].text = other_last_digits
    notebook.cells[5].outputs[0].data["text/plain"] = "43"
    nbformat.write(notebook, path)
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[-1].outputs[0].text == other_last_digits
    assert notebook.cells[5].outputs[0].data["text/plain"] == "42"


def test_a_number_that_is_written_shorter_is_stored_anew(path):
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    answer = notebook.cells[5].outputs[0].data
    answer["text/plain"] = f"{answer['text/plain']}.0000"
    nbformat.write(notebook, path)
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[5].outputs[0].data["text/plain"] == "42"


def test_an_unknown_name_is_an_error():
    with pytest.raises(SystemExit, match="is named like no-such-notebook"):
        find_notebooks(["no-such-notebook"])
