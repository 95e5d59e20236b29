"""What a widget says when its kernel has ended or is busy, and how its cells revive it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import lab, servers
from tests.browser.conftest import browser, chrome  # noqa: F401  # fixtures
from tests.browser.test_lab import CELLS, SCREENSHOTS, shows, widget

ENDED = "The kernel that computed this has ended: run the cells again"
BUSY = "The kernel has not answered for 10 seconds:"


@pytest.fixture(scope="module")
def window(tmp_path_factory, browser) -> Iterator[lab.Lab]:  # noqa: F811
    """A notebook with one widget, in a server of its own, since its kernel will be killed."""
    folder = tmp_path_factory.mktemp("notebooks")
    lab.notebook(folder / "live.ipynb", CELLS[:3])
    with servers.serving(servers.LAB, folder) as address:
        opened = lab.Lab(browser, address)
        opened.open("live.ipynb")
        yield opened
        opened.close()


@pytest.fixture
def explorer(window) -> Locator:
    """The widget, of cells that ran just now."""
    window.run("notebook:run-all-cells")
    made = widget(window, 2)
    shows(made, 4.25, 4.25)
    return made


def enter(explorer: Locator, name: str, value: str) -> None:
    """Type an exact value, which no cache holds."""
    field = explorer.get_by_label(f"{name}, exact value")
    field.fill(value)
    field.press("Enter")


def ended(window: lab.Lab, how: str) -> None:
    """End the notebook's kernel, and wait for the one that JupyterLab starts in its place."""
    page = window.page
    context = "jupyterapp.shell.currentWidget.context.sessionContext"
    if how == "restarted":
        page.evaluate(f"() => {context}.restartKernel()")
    else:
        os.kill(int(window.execute("import os\nos.getpid()")), signal.SIGKILL)
        page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    page.evaluate(lab.IDLE)


@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_a_widget_says_that_its_kernel_ended_and_its_cell_makes_it_live_again(
    window, explorer, how
):
    ended(window, how)
    window.troubles.clear()  # JupyterLab's own, about connections
    enter(explorer, "a", "3.333")
    error = explorer.locator(".avx-error")
    expect(error).to_contain_text(ENDED)
    assert "is-stale" in (explorer.get_attribute("class") or "")
    window.page.screenshot(path=SCREENSHOTS / f"lab-kernel-{how}.png")
    # What needs no kernel still works: steps, and a value that was there.
    enter(explorer, "a", "4.25")
    expect(error).to_be_empty()
    shows(explorer, 4.25, 4.25)
    explorer.focus()
    window.page.keyboard.press("ArrowLeft")
    expect(explorer.locator(".avx-where")).to_have_text("step 6 of 7")
    assert [said for said in window.troubles if "Cannot send" in said] == []
    window.run("notebook:run-all-cells")
    enter(widget(window, 2), "a", "3.333")
    shows(widget(window, 2), 3.333, 4.25)


def test_a_widget_says_that_its_kernel_is_busy(window, explorer, tmp_path):
    seen = tmp_path / "seen"
    busy = f"import pathlib, time\nwhile not pathlib.Path({str(seen)!r}).exists(): time.sleep(0.1)"
    kernel = "jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
    window.page.evaluate(f"(code) => void {kernel}.requestExecute({{ code }})", busy)
    enter(explorer, "a", "3.333")
    error = explorer.locator(".avx-error")
    expect(error).to_contain_text(BUSY)
    window.page.screenshot(path=SCREENSHOTS / "lab-kernel-busy.png")
    seen.touch()
    expect(error).to_be_empty()
    shows(explorer, 3.333, 4.25)
