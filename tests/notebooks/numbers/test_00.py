"""Notebook 00 says what its pictures say, and its map of the series agrees with the notebooks."""

import re

import nbformat
import pytest

from tests.notebooks.numbers.stored import said
from tests.notebooks.refresh import find_notebooks

NOTEBOOKS = find_notebooks([])


def test_the_example():
    assert "price = area * rate    price = 30" in said("00", "av.explore(paint")
    assert "∂area/∂width = height = 2" in said("00", "variables.derivatives()")
    backward = said("00", "variables.backward()")
    assert "rate = 5               no gradient" in backward
    assert "∂price/∂width = 10 " in backward
    assert said("00", "paint(width=3.1)") == "(1.0, 10.0)"
    assert "10 to width, 15 to height" in said("00", "trace = av.trace(price)")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_map_has_each_notebook_with_its_minutes(path):
    start = next(one for one in NOTEBOOKS if one.name == "00-start-here.ipynb")
    texts = [cell.source for cell in nbformat.read(start, as_version=4).cells]
    (table,) = (text for text in texts if text.startswith("## The series"))
    opening = nbformat.read(path, as_version=4).cells[0].source
    (minutes,) = re.findall(r"About (\d+) minutes", opening)
    assert re.search(rf"\]\({re.escape(path.name)}\) \| [^|]+ \| {minutes} \|", table)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_link_to_the_next_one_has_its_title(path):
    closing = nbformat.read(path, as_version=4).cells[-1].source
    (named,) = re.findall(r"Next: [^\[]*\[([^\]]+)\]\(([^)]+)\)", closing)
    opening = nbformat.read(path.with_name(named[1]), as_version=4).cells[0].source
    assert named[0] == f"{named[1][:2]} {opening.partition(chr(10))[0].removeprefix('# ')}"
