"""Shows where cells stand among the slides."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tests.notebooks.refresh import find_notebooks
from tests.notebooks.slide_types import ROOM, arranged, lines

TITLE = "# Why?\n\n![badge](b.svg)\n\n## What you will learn\n\n- much"
SENTENCE = "A sentence that says something about a gradient, and then says a little more of it. "


def picture(high: float) -> list[nbformat.NotebookNode]:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="{high}"></svg>'
    return [new_output("display_data", data={"image/svg+xml": svg, "text/plain": "a picture"})]


def types(*cells: nbformat.NotebookNode) -> list[str]:
    made = arranged([new_markdown_cell(TITLE), *cells])
    return [cell.metadata["slideshow"]["slide_type"] for cell in made][1:]


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        (new_markdown_cell("## A section"), "slide"),
        (new_markdown_cell("### An exercise"), "subslide"),
        (new_markdown_cell("More of it."), "subslide"),
        (new_code_cell("import torch\n\nfrom fractions import Fraction"), "skip"),
        (new_code_cell("%pip install autograd_viz"), "skip"),
        (new_code_cell("import torch\n\ntorch.ones(2)"), "fragment"),
        (new_code_cell("w = av.explore(f, a=2.0)\nw"), "subslide"),
        (new_code_cell("av.descend(f, learning_rate=0.1, w=1.0)"), "subslide"),
        (new_code_cell("e", outputs=picture(300)), "fragment"),
        (new_code_cell("e", outputs=picture(900)), "subslide"),
        (new_code_cell("print()", outputs=[new_output("stream", text="1\n" * 20)]), "subslide"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.source[:12],
)
def test_a_cell_after_a_short_text(cell, wanted):
    assert types(new_markdown_cell("## Here"), cell)[1] == wanted


def test_a_picture_after_a_long_text_has_a_slide_for_itself():
    long = new_markdown_cell("## Here\n\n" + SENTENCE * 10)
    assert types(long, new_code_cell("e", outputs=picture(400))) == ["slide", "subslide"]


def test_an_answer_follows_its_question():
    answer = "<details><summary>Answer</summary>" + SENTENCE * 30 + "</details>"
    cells = [new_markdown_cell("## Q"), new_code_cell("1 + 1"), new_markdown_cell(answer)]
    assert types(*cells) == ["slide", "fragment", "fragment"]
    assert lines(cells[-1]) < ROOM  # it is folded


def test_each_heading_begins_a_slide_and_no_word_is_lost():
    source = "Text.\n\n## One\n\n```\n## no heading\n```\n\n### Two\n\nMore."
    first, *made = arranged([new_markdown_cell(TITLE), new_markdown_cell(source)])
    assert first.source == TITLE  # the title's slide says what will be learnt
    assert [cell.source for cell in made] == [
        "Text.", "## One\n\n```\n## no heading\n```", "### Two\n\nMore."
    ]  # fmt: skip
    assert len({cell.id for cell in made}) == 3


def test_the_authors_notes_stay():
    notes = new_markdown_cell("Say this.", metadata={"slideshow": {"slide_type": "notes"}})
    assert types(notes) == ["notes"]


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_the_notebooks_are_arranged(path):
    stored = nbformat.read(path, as_version=4).cells
    wanted = [
        (cell.source, cell.metadata["slideshow"]["slide_type"])
        for cell in arranged(nbformat.read(path, as_version=4).cells)
    ]
    assert [(c.source, c.metadata["slideshow"]["slide_type"]) for c in stored] == wanted
