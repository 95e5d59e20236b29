"""Shows that the guard finds each kind of problem, and that the notebooks have none."""

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.notebooks.guard import find_problems
from tests.notebooks.refresh import INSTALL, NOTEBOOKS, WIDGET_VIEW, complete, find_notebooks

NAME = "03-gradient.ipynb"
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


OPENING = "# What is a gradient?\n\n## What you will learn\n\n- a lot\n\nYou need: time. 5 minutes."
CLOSING = "## Key points\n\n- it points uphill\n\n```\n# no heading\n```\n\n[On](04-x.ipynb)"


def notebook(*code_cells: NotebookNode) -> NotebookNode:
    """A notebook of these cells, complete; the cell for Colab comes before them and ran first."""
    made = new_notebook(cells=[new_markdown_cell(OPENING), *code_cells, new_markdown_cell(CLOSING)])
    for cell in code_cells:
        cell.execution_count = cell.execution_count and cell.execution_count + 1
    complete(made, NAME)
    made.cells[1].execution_count = 1
    return made


def test_good_notebooks_have_no_problem():
    assert find_problems(notebook(code(figure())), NAME) == []
    assert find_problems(notebook(code(figure()), code(count=None, source=" ")), NAME) == []
    assert find_problems(notebook(code(printed("1"), count=1), code(count=2)), NAME) == []
    assert find_problems(notebook(code(raised("no"), tags="raises-exception")), NAME) == []
    assert find_problems(notebook(code(printed("1")), code(count=2, tags="nbval-skip")), NAME) == []


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([code(figure(), count=None)], "not executed once each, in order: [1, None]"),
        ([code(figure(), count=2)], "not executed once each, in order: [1, 3]"),
        ([code(figure()), code()], "not executed once each, in order: [1, 2, 2]"),
        ([code()], "no cell stores an output"),
        ([], "no cell stores an output"),
        (
            [code(figure(), tags="nbval-skip"), code(count=2, source="e\n# NBVAL_IGNORE_OUTPUT")],
            "2 cells are excluded from nbval",
        ),
        ([code(raised("no"))], "cell 3: raised ValueError"),
        ([code(figure(**{WIDGET_VIEW: "{}"}))], "cell 3: stores a widget view"),
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
    problems = find_problems(notebook(*cells), NAME)
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("position", "old", "new", "problem"),
    [
        (0, "# What is", "What is", "not a markdown cell with a title"),
        (0, "# What is a gradient?", "```\n# a comment\n```", "not a markdown cell with a title"),
        (0, "## What you will learn", "## Goals", 'no heading "What you will learn"'),
        (0, "You need", "Needed", "what the reader needs, and how many minutes"),
        (0, "5 minutes", "5 min", "what the reader needs, and how many minutes"),
        (0, NAME, "02-other.ipynb", "the first cell has no badges"),
        (0, "time", "![](time.png)", "cell 1 has an image without alt text"),
        (0, "time", "<img src='time.png'>", "cell 1 has an image without alt text"),
        (1, "Colab", "Binder", "the first code cell does not install"),
        (-1, "[On]", "## More\n\n[On]", 'the last heading is not "Key points"'),
        (-1, "## Key", "Key", 'the last heading is not "Key points"'),
        (-1, "(04-x.ipynb)", "(#top)", "end without a link to another notebook"),
    ],
)
def test_problems_of_the_text_are_found(position, old, new, problem):
    bad = notebook(code(figure()))
    assert old in bad.cells[position].source
    bad.cells[position].source = bad.cells[position].source.replace(old, new)
    problems = find_problems(bad, NAME)
    assert len(problems) == 1
    assert problem in problems[0]


def test_goals_come_before_the_first_code():
    late = notebook(code(figure()))
    goals = "## What you will learn"
    late.cells[0].source = late.cells[0].source.replace(goals, "")
    late.cells[-1].source = f"{goals}\n\n{late.cells[-1].source}"
    assert find_problems(late, NAME) == [
        'no heading "What you will learn" before the first code cell'
    ]


def test_long_cells_are_found():
    ten = "\n".join(["e"] * 10)
    assert find_problems(notebook(code(figure(), source=ten, tags="long")), NAME) == []
    (problem,) = find_problems(notebook(code(figure(), source=ten)), NAME)
    assert problem == "cell 3 has 10 lines of code; 8 at most may be"
    cells = [code(figure(), source=ten, tags="long", count=count) for count in (1, 2, 3)]
    (problem,) = find_problems(notebook(*cells), NAME)
    assert problem == "3 cells have more than 8 lines of code; 2 at most may have"


def test_a_cell_without_a_slide_type_is_found():
    bad = notebook(code(figure()))
    bad.cells[2].metadata.slideshow = {}
    assert find_problems(bad, NAME) == ["cell 3 has no slide type, which `make refresh` adds"]


def test_completing_twice_changes_nothing_more():
    made = notebook(code(figure()))
    once = nbformat.writes(made)
    complete(made, NAME)
    assert nbformat.writes(made) == once
    assert [cell.source for cell in made.cells].count(INSTALL) == 1


def test_stored_widget_state_is_found():
    bad = notebook(code(figure()))
    bad.metadata.widgets = {}
    assert find_problems(bad, NAME) == ["the state of widgets is stored"]


def test_there_are_notebooks():
    assert find_notebooks([]), f"no notebook in {NOTEBOOKS}: nothing would be checked"


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_notebooks_have_no_problem(path: Path):
    assert find_problems(nbformat.read(path, as_version=4), path.name) == []
