"""A notebook that was saved with live widgets, and what a reader finds who opens it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import lab, servers
from tests.browser.test_lab import EXPLORE, FUNCTION, IMPORTS, SCREENSHOTS, shows, slide

DESCEND = """av.descend(lambda w: (w - 2) ** 2, learning_rate=(0.05, 1.1), w=1.0)"""
TANGENT = "w.tangent_plot('a')"
FORGOTTEN = (
    "gone = av.explore(lambda x: x * x, x=1.0)\ngone.close()\nunseen = av.explore(f, a=1.0, b=2.0)"
)
CELLS = (IMPORTS, FUNCTION, EXPLORE, DESCEND, TANGENT, FORGOTTEN)
SAVED = "async () => { await jupyterapp.shell.currentWidget.context.save(); }"
# The kernel is shut down first, as by a reader who shuts all down in the evening.
CLOSED = """async () => {
  await jupyterapp.shell.currentWidget.context.sessionContext.shutdown();
  await jupyterapp.commands.execute("application:close");
}"""
STATE = "application/vnd.jupyter.widget-state+json"
# Of closing a view whose kernel has ended ipywidgets says that it cannot tell the kernel.
# Of what it gave up it says so.
OF_ITS_OWN = ("Could not send widget sync message", "widget model not found")
GIVEN_UP = "Error displaying widget: model not found"


def stored(path: Path) -> dict[str, Any]:
    """The widgets in a saved notebook."""
    widgets = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("widgets", {})
    found: dict[str, Any] = widgets.get(STATE, {}).get("state", {})
    return found


def output(window: lab.Lab, cell: int) -> Locator:
    """What stands below a cell."""
    return window.page.locator(".jp-Notebook-cell").nth(cell).locator(".jp-OutputArea-output")


def is_alive(window: lab.Lab) -> None:
    """The Explorer shows torch's numbers, and both plots their pictures."""
    explorer = output(window, 2).locator(".avx")
    expect(explorer.get_by_label("a, exact value")).to_have_value("2", timeout=60_000)
    explorer.focus()
    window.page.keyboard.press("End")
    shows(explorer, 2.0, 4.0)
    for cell in (3, 4):
        picture = output(window, cell).locator("img")
        expect(picture).to_be_visible()
        assert picture.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("notebooks")
    lab.notebook(folder / "saved.ipynb", CELLS)
    lab.notebook(folder / "alone.ipynb", CELLS[:3])
    return folder


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    with servers.serving(servers.LAB, folder) as address:
        yield address


@pytest.fixture(scope="module")
def window(address, browser) -> Iterator[lab.Lab]:
    """A notebook whose cells were run, that was saved and closed, and whose kernel has ended."""
    opened = lab.Lab(browser, address)
    opened.open("saved.ipynb")
    opened.run("notebook:run-all-cells")
    assert opened.execute("w.inputs = {'a': 2.0, 'b': 4.0}") == ""
    is_alive(opened)
    opened.page.evaluate(SAVED)
    opened.page.evaluate(CLOSED)
    yield opened
    opened.close()


def until_found(page: Page, opening: Callable[[], object]) -> None:
    """Open a saved notebook; again, as a reader would, where ipywidgets gave its widgets up.

    On a busy machine it may hear of the kernel first, and then it never reads the notebook's own.
    """
    lost = page.get_by_text(GIVEN_UP)
    for _ in range(10):
        opening()
        expect(page.locator(".avx").or_(lost).first).to_be_visible()
        try:
            expect(lost).to_have_count(0, timeout=20_000)
        except AssertionError:
            continue
        return
    pytest.fail("opened ten times, and each time the widgets were given up")


def open_again(window: lab.Lab) -> None:
    """Open it with a fresh kernel, in which nothing has run."""

    def opening() -> None:
        window.run("application:close-all")
        window.open("saved.ipynb")

    until_found(window.page, opening)


def test_it_opens_alive_and_can_be_saved_and_opened_again(window, folder):
    first = stored(folder / "saved.ipynb")
    assert sorted(
        one["model_name"] for one in first.values() if one["model_module"] == "anywidget"
    ) == ["AnyModel", "AnyModel"]  # the one that was shown, and what keeps the descent
    for _ in range(2):
        window.troubles.clear()
        open_again(window)
        is_alive(window)
        explorer = output(window, 2).locator(".avx")
        explorer.page.keyboard.press("ArrowLeft")  # steps need no kernel
        expect(explorer.locator(".avx-where")).to_have_text("step 6 of 7")
        slide(explorer, "a", 1.0)
        expect(explorer.locator(".avx-error, .avx-busy, .avx-note").first).not_to_be_empty(
            timeout=120_000
        )
        window.page.screenshot(path=SCREENSHOTS / "saved-alive.png")
        slide(explorer, "a", 0.2)
        window.page.evaluate(
            "() => jupyterapp.shell.currentWidget.content.model.sharedModel.cells[0]"
            ".setSource('# changed')"
        )
        window.page.evaluate(SAVED)
        window.page.evaluate(CLOSED)
        again = stored(folder / "saved.ipynb")
        assert again.keys() == first.keys()
        assert [one for one in window.troubles if not any(own in one for own in OF_ITS_OWN)] == []
    text = (folder / "saved.ipynb").read_text(encoding="utf-8")
    assert "# changed" in text


def test_a_reader_who_does_not_trust_it_sees_the_pictures(
    window, folder, browser: Browser, tmp_path
):
    copied = tmp_path / "folder"
    copied.mkdir()
    shutil.copy(folder / "saved.ipynb", copied / "saved.ipynb")
    with servers.serving(servers.LAB, copied, tmp_path / "settings") as address:
        other = lab.Lab(browser, address)
        other.open("saved.ipynb")
        for cell in (2, 3, 4):
            picture = output(other, cell).locator("img")
            expect(picture).to_be_visible()
            assert picture.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 100
        assert other.page.locator(".avx").count() == 0
        assert other.troubles == []
        other.close()


def test_what_is_no_longer_shown_is_not_kept(window, folder):
    open_again(window)
    is_alive(window)
    window.run("notebook:clear-all-cell-outputs")
    window.page.evaluate(SAVED)
    assert (
        "widgets"
        not in json.loads((folder / "saved.ipynb").read_text(encoding="utf-8"))["metadata"]
    )


def test_an_explorer_alone_is_kept(window, folder):
    window.run("application:close-all")
    window.open("alone.ipynb")
    window.run("notebook:run-all-cells")
    expect(output(window, 2).locator(".avx")).to_be_visible()
    window.page.evaluate(SAVED)
    kept = stored(folder / "alone.ipynb").values()
    assert [one["model_name"] for one in kept if one["model_module"] == "anywidget"] == ["AnyModel"]
