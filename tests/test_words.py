"""The notebooks keep to the word list."""

import re

import nbformat
import pytest

from tests.notebooks.refresh import NOTEBOOKS, find_notebooks

LIST = (NOTEBOOKS.parent / "docs" / "words.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| [^|]+ \|(?: ([^|]+))? \|$", LIST, re.MULTILINE)[1:]
OTHERS = {
    other: word for word, others in ROWS for other in re.split(", ", others or "") if other
}  # what not to say, and what to say instead
FILLERS = re.split(r",\s+", LIST.partition("at once: ")[2].strip().rstrip("."))
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]*>", re.DOTALL)


def found(words: list[str], prose: str) -> list[str]:
    """Which of the words stand in the prose, plurals too."""
    return [
        word for word in words if re.search(rf"(?<![\w*-]){word}s?(?![\w-])", prose, re.IGNORECASE)
    ]


def prose(path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return NOT_PROSE.sub(" ", text)


def test_the_list_is_read():
    assert OTHERS["computation graph"] == "computational graph"
    assert {"simply", "note that", "as we all know"} <= set(FILLERS)
    assert found(["grad", "easy"], "Two grads, *grad*, uneasy and grad-like; an Easy one") == [
        "grad",
        "easy",
    ]


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_a_notebook_says_one_word_for_one_thing(path):
    wrong = found(list(OTHERS), prose(path))
    assert {word: OTHERS[word] for word in wrong} == {}


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_a_notebook_leaves_out_what_says_nothing(path):
    assert found(FILLERS, prose(path)) == []
