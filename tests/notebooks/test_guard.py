"""Shows that the guard finds each kind of problem, and that the notebooks have none."""

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.notebooks.guard import WIDGET_VIEW, find_problems
from tests.notebooks.refresh import NOTEBOOKS, find_notebooks

FIGURE = {
    "image/svg+xml": "<svg>e = 15</svg>",
    "text/html": '<img src="data:image/svg+xml;base64,0x0123456789abcdef" alt="The graph of e">',
    "text/plain": "e = 15, from c = 6 and d = 2.5",
}


def figure(without: str = "", **changes: str) -> NotebookNode:
    data = FIGURE | {mime.replace("_", "/"): value for mime, value in changes.items()}
    data.pop(without, None)
    return new_output("display_data", data)


def printed(text: str) -> NotebookNode:
    return new_output("stream", text=text)


def raised(message: str) -> NotebookNode:
    return new_output("error", ename="ValueError", evalue=message, traceback=[message])


def code(*outputs: NotebookNode, count: int | None = 1, source: str = "e", tags: str = ""):
    cell = new_code_cell(source, execution_count=count, outputs=list(outputs))
    cell.metadata.tags = tags.split()
    return cell


def notebook(*code_cells: NotebookNode) -> NotebookNode:
    return new_notebook(
        cells=[
            new_markdown_cell("# What is a gradient?\n\n## What you will learn\n\n- a lot"),
            *code_cells,
            new_markdown_cell("## Key points\n\n- it points uphill\n\n```\n# no heading\n```"),
        ]
    )


def test_good_notebooks_have_no_problem():
    assert find_problems(notebook(code(figure()))) == []
    assert find_problems(notebook(code(figure()), code(count=None, source=" "))) == []
    assert find_problems(notebook(code(printed("1"), count=1), code(count=2))) == []
    assert find_problems(notebook(code(raised("no"), tags="raises-exception"))) == []
    assert find_problems(notebook(code(printed("1")), code(count=2, tags="nbval-skip"))) == []


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([code(figure(), count=None)], "not executed once each, in order: [None]"),
        ([code(figure(), count=2)], "not executed once each, in order: [2]"),
        ([code(figure()), code()], "not executed once each, in order: [1, 1]"),
        ([code()], "no cell stores an output"),
        ([], "no cell stores an output"),
        (
            [code(figure(), tags="nbval-skip"), code(count=2, source="e\n# NBVAL_IGNORE_OUTPUT")],
            "2 cells are excluded from nbval",
        ),
        ([code(raised("no"))], "cell 2: raised ValueError"),
        ([code(figure(**{WIDGET_VIEW: "{}"}))], "cell 2: stores a widget view"),
        ([code(figure(without="text/plain"))], "text/plain of a figure tells nothing"),
        ([code(figure(text_plain="<Digraph object>"))], "text/plain of a figure tells nothing"),
        ([code(figure(text_plain="<Figure size 640x480>"))], "text/plain of a figure tells"),
        ([code(figure(without="text/html"))], "no text/html with an <img>"),
        ([code(figure(text_html="<b>e</b>"))], "no text/html with an <img>"),
        ([code(figure(text_html="<img src='e.svg'>"))], "an <img> has no alt text"),
        ([code(figure(text_html="<img alt=' '>"))], "an <img> has no alt text"),
        ([code(figure(without="image/svg+xml", image_png="iVBO"))], "PNG or JPEG only"),
        ([code(figure(without="image/svg+xml", image_jpeg="/9j/"))], "PNG or JPEG only"),
        ([code(printed("<Node object at 0x7f0123abcdef>"))], "memory address, 0x7f0123abcdef"),
        ([code(figure(text_plain="e at 0x7f0123abcdef"))], "memory address"),
        ([code(raised("0x7f0123abcdef"), tags="raises-exception")], "memory address"),
        ([code(printed("ipykernel_12/34.py:1: UserWarning"))], "file, ipykernel_12"),
    ],
)
def test_problems_of_code_cells_are_found(cells, problem):
    problems = find_problems(notebook(*cells))
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("position", "source", "problem"),
    [
        (0, "## What you will learn", "not a markdown cell with a title"),
        (0, "```\n# a comment\n```\n\n## What you will learn", "not a markdown cell with a title"),
        (0, "# What is a gradient?", 'no heading "What you will learn"'),
        (-1, "## Key points\n\n## More", 'the last heading is not "Key points"'),
        (-1, "Key points", 'the last heading is not "Key points"'),
    ],
)
def test_problems_of_the_text_are_found(position, source, problem):
    bad = notebook(code(figure()))
    bad.cells[position].source = source
    problems = find_problems(bad)
    assert len(problems) == 1
    assert problem in problems[0]


def test_goals_come_before_the_first_code():
    late = notebook(code(figure()))
    late.cells[0].source = "# What is a gradient?"
    late.cells.insert(2, new_markdown_cell("## What you will learn"))
    assert find_problems(late) == ['no heading "What you will learn" before the first code cell']


def test_stored_widget_state_is_found():
    bad = notebook(code(figure()))
    bad.metadata.widgets = {}
    assert find_problems(bad) == ["the state of widgets is stored"]


def test_there_are_notebooks():
    assert find_notebooks([]), f"no notebook in {NOTEBOOKS}: nothing would be checked"


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_notebooks_have_no_problem(path: Path):
    assert find_problems(nbformat.read(path, as_version=4)) == []
