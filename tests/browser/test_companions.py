"""Figures that follow the Explorer, in JupyterLab and Voila with real kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Locator, expect

from autograd_viz import text
from tests.browser import lab, servers
from tests.browser.test_lab import EXPLORE, FUNCTION, IMPORTS, SCREENSHOTS, slide, torchs
from tests.browser.test_voila import ICONS
from tests.browser.visits import visit

CELLS = (
    IMPORTS,
    FUNCTION,
    f"{EXPLORE[:-1]}w.inputs = {{'a': 2.0, 'b': 4.0}}\nw",
    "t = w.tangent_plot('a')\nt",
    "c = w.contour_plot('a', 'b', theme='dark')\nc",
)
# How often the picture was changed, and what was wrong with it in any frame on the way.
WATCH = """(image) => {
  const found = { changes: 0, wrong: [] };
  const { width, height } = image.getBoundingClientRect();
  new MutationObserver(() => found.changes++).observe(image, { attributeFilter: ["src"] });
  const look = () => {
    const now = image.getBoundingClientRect();
    if (!image.isConnected) found.wrong.push("gone");
    else if (Math.abs(now.width - width) > 0.5 || Math.abs(now.height - height) > 0.5)
      found.wrong.push(`${now.width} x ${now.height}, not ${width} x ${height}`);
    requestAnimationFrame(look);
  };
  look();
  window.avWatched = found;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("notebooks")
    lab.notebook(folder / "companions.ipynb", CELLS)
    return folder


@pytest.fixture(scope="module")
def live(folder, browser) -> Iterator[lab.Lab]:
    with lab.running(browser, folder, "companions.ipynb") as opened:
        yield opened


def image(live: lab.Lab, cell: int) -> Locator:
    """The figure below a cell."""
    found = live.page.locator(".jp-Notebook-cell").nth(cell).locator(".jp-OutputArea img")
    expect(found).to_be_visible()
    return found


def value(a: float, b: float) -> str:
    """The output by torch, as the figures write it."""
    first, second = torch.tensor(a), torch.tensor(b)
    return text.number(((first + second) * (torch.log2(first) * torch.log2(second))).item())


def of_tangent(a: float, b: float) -> str:
    """What torch says, as the figure's title writes it."""
    at = f"at b = {text.number(b)}. a = {text.number(a)}"
    return f"e along a, {at}: e = {value(a, b)}, ∂e/∂a = {torchs(a, b)['a']}"


def of_contour(a: float, b: float) -> str:
    at = f"a = {text.number(a)}, b = {text.number(b)}"
    slopes = torchs(a, b)
    return f"e over a and b. {at}: e = {value(a, b)}, ∂e/∂a = {slopes['a']}, ∂e/∂b = {slopes['b']}"


def test_the_figures_follow_a_slider_without_flicker(live):
    tangent, contour = image(live, 3), image(live, 4)
    explorer = live.page.locator(".avx").first
    expect(tangent).to_have_attribute("title", of_tangent(2.0, 4.0))
    expect(contour).to_have_attribute("title", of_contour(2.0, 4.0))
    tangent.evaluate(WATCH)
    drawn = int(live.execute("t.drawn"))
    slide(explorer, "a", 1.0)
    slide(explorer, "a", 0.5)
    expect(tangent).to_have_attribute("title", of_tangent(4.25, 4.0))
    slide(explorer, "b", 1.0)
    expect(tangent).to_have_attribute("title", of_tangent(4.25, 8.0))
    expect(contour).to_have_attribute("title", of_contour(4.25, 8.0))
    watched = live.page.evaluate("() => window.avWatched")
    assert watched["wrong"] == []
    drawn = int(live.execute("t.drawn")) - drawn
    assert 2 <= watched["changes"] <= drawn
    slope = live.execute("t.words.splitlines()[1]").strip("'").split()[-1]
    assert slope == torchs(4.25, 8.0)["a"]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tangent.screenshot(path=SCREENSHOTS / "tangent.png")
    contour.screenshot(path=SCREENSHOTS / "contour.png")


def test_nothing_is_drawn_where_nobody_looks(live):
    image(live, 3)
    live.execute("w.inputs = {'a': 2.0, 'b': 4.0}")
    expect(image(live, 3)).to_have_attribute("title", of_tangent(2.0, 4.0))
    assert live.execute("t._view_count, c._view_count") == "(1, 1)"
    live.run("notebook:clear-all-cell-outputs")
    expect(live.page.locator(".jp-OutputArea img")).to_have_count(0)
    live.becomes("t._view_count, c._view_count", "(0, 0)")
    live.execute("before = t.drawn\nw.inputs = {'a': 3.0}")
    live.page.wait_for_timeout(500)
    assert live.execute("t.drawn - before") == "0"
    live.run("notebook:run-all-cells")
    expect(image(live, 3)).to_have_attribute("title", of_tangent(2.0, 4.0))


def test_they_follow_in_voila(folder, browser):
    notebook = folder / "companions.ipynb"
    with (
        servers.serving((*servers.VOILA, str(notebook)), folder) as address,
        visit(browser, address, address, console=False, spared=(ICONS,)) as page,
    ):
        expect(page.locator(".avx")).to_be_visible()
        tangent = page.get_by_title("e along a")
        expect(tangent).to_have_attribute("title", of_tangent(2.0, 4.0))
        slide(page.locator(".avx").first, "b", 1.0)
        expect(tangent).to_have_attribute("title", of_tangent(2.0, 8.0))
