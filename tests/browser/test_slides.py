"""The slides of `make present` in a real JupyterLab: all is seen, and a remote drives them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import expect

from tests.browser import servers
from tests.browser.slides import SIZES, Hall, present
from tests.notebooks.refresh import METADATA, find_notebooks

FUNCTION = """def f(a=2.0, b=4.0):
    c = a + b
    e = c * b
    return e
av.explore(f, a=2.0)"""
SLIDES = (
    ("slide", "# A question"),
    ("skip", "import torch\nimport autograd_viz as av"),
    ("subslide", FUNCTION),
    ("slide", "# Two at once"),
    ("fragment", "for a in (1.0, 2.0):\n    display(av.explore(f, a=a))"),
    ("slide", "# The end"),
)
EXPLORER, TWO = 2, 4
EVERY = [
    pytest.param(path, id=path.stem, marks=[] if path.name.startswith("03") else pytest.mark.large)
    for path in find_notebooks([])
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made: Path = tmp_path_factory.mktemp("notebooks")
    cells = []
    for kind, source in SLIDES:
        new = new_markdown_cell if source.startswith("#") else new_code_cell
        cells.append(new(source, metadata={"slideshow": {"slide_type": kind}}))
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), made / "talk.ipynb")
    return made


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Path:
    made: Path = tmp_path_factory.mktemp("settings")
    return made


@pytest.fixture(scope="module")
def address(folder, settings) -> Iterator[str]:
    with servers.serving(present(settings), folder, settings) as address:
        yield address


@pytest.fixture(scope="module")
def talk(address, browser) -> Iterator[Hall]:
    hall = Hall(browser, address)
    hall.open("talk.ipynb")
    expect(hall.page.locator(".avx")).to_have_count(3)
    yield hall
    assert hall.window.outside == []  # a lecture hall may have no network
    hall.close()


@pytest.mark.parametrize("path", EVERY)
def test_nothing_is_cut_off(address, browser, folder, path):
    shutil.copy(path, folder)
    hall = Hall(browser, address)
    hall.open(path.name)
    assert hall.all_slides(path.name) == []
    assert [url for url in hall.window.outside if "badge" not in url] == []  # they are not shown
    hall.close()


def test_f9_runs_the_notebook_and_begins_with_its_first_slide(address, browser, folder):
    shutil.copy(folder / "talk.ipynb", folder / "another.ipynb")
    hall = Hall(browser, address)
    hall.window.open("another.ipynb")
    hall.page.locator(".jp-Notebook .jp-MarkdownCell").first.click()
    hall.press("F9")
    expect(hall.page.locator(".avx")).to_have_count(3)
    expect(hall.page.locator(".jp-Deck h1").first).to_be_visible()
    assert hall.at() == 0
    for place in ((640, 715), (1275, 300)):  # a click beside the text, and keys are still heard
        hall.go(0)
        hall.page.mouse.click(*place)
        hall.press("PageDown")
        assert hall.at() == EXPLORER
    hall.close()


def where(hall: Hall) -> str:
    return hall.page.locator(".avx").first.locator(".avx-where").inner_text()


def test_a_remote_steps_the_explorer_before_it_turns_the_slide(talk):
    talk.go(0)
    talk.press("PageDown")
    assert (talk.at(), where(talk)) == (EXPLORER, "step 5 of 5")
    seen = []
    for _ in range(5):  # nobody has stepped it yet, so that it begins
        talk.press("PageDown")
        seen.append(where(talk))
        assert talk.at() == EXPLORER
    assert seen == [f"step {number} of 5" for number in (1, 2, 3, 4, 5)]
    talk.press("PageDown")
    assert talk.at() == EXPLORER + 1
    talk.press("PageUp")
    assert (talk.at(), where(talk)) == (EXPLORER, "step 5 of 5")
    talk.press(*["PageUp"] * 4)
    assert (talk.at(), where(talk)) == (EXPLORER, "step 1 of 5")
    talk.press("PageUp")
    assert talk.at() == 0


def test_a_remote_works_wherever_the_focus_is(talk):
    talk.go(EXPLORER)
    explorer = talk.page.locator(".avx").first
    explorer.focus()
    talk.press("End")
    explorer.get_by_role("slider", name="a", exact=True).focus()
    talk.press("PageUp", "PageUp")
    assert (talk.at(), where(talk)) == (EXPLORER, "step 3 of 5")
    explorer.locator(".avx-tab").first.click()
    explorer.focus()
    talk.press("End")
    assert where(talk) == "step 3 of 3"
    field = explorer.get_by_label("a, exact value")
    field.fill("3")
    talk.press("PageUp")
    assert (talk.at(), where(talk)) == (EXPLORER, "step 2 of 3")
    talk.press("PageDown", "PageDown")
    assert talk.at() == EXPLORER + 1
    talk.press("PageDown")
    assert talk.at() == TWO
    talk.go(EXPLORER)
    explorer.focus()
    talk.press("3", "End")


def test_of_two_explorers_the_one_with_the_focus_is_stepped(talk):
    talk.go(TWO)
    first, second = talk.page.locator(".avx").nth(1), talk.page.locator(".avx").nth(2)
    second.focus()
    talk.press("Home", "PageDown")
    expect(second.locator(".avx-where")).to_have_text("step 2 of 5")
    expect(first.locator(".avx-where")).to_have_text("step 5 of 5")
    talk.go(TWO)
    talk.page.evaluate("document.activeElement.closest('.jp-Cell').focus()")
    talk.press("PageDown")  # neither has it
    assert talk.at() == TWO + 1


def test_the_code_is_changed_on_its_slide(talk):
    talk.go(EXPLORER)
    code = talk.page.locator(".jp-CodeCell").nth(1).locator(".jp-Cell-inputWrapper")
    expect(code).to_be_hidden()
    talk.press("Enter")
    expect(code).to_be_visible()
    talk.press("ControlOrMeta+Home", "ArrowDown", "ArrowDown", "End", "Backspace")
    talk.page.keyboard.type("a")
    talk.press("ControlOrMeta+Enter")
    expect(code).to_be_hidden()
    expect(talk.page.locator(".avx").first.locator(".avx-source")).to_contain_text("e = c * a")
    assert talk.at() == EXPLORER


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_an_explorer_fills_its_slide(talk, size, theme):
    talk.window.run("apputils:change-theme", theme=theme)
    talk.resize(size)
    talk.go(EXPLORER)
    box = talk.page.locator(".avx").first.bounding_box()
    assert box is not None
    assert box["height"] > 0.94 * size[1]
    assert talk.cut_off() == []
    light = "Light" in theme
    expect(talk.page.locator(f".avx.av-{'light' if light else 'dark'}")).to_have_count(3)


def test_the_users_own_settings_stay(talk, settings):
    kept = settings / "jupyter_config_dir" / "lab" / "user-settings"
    written = [path.name for path in kept.rglob("*.jupyterlab-settings")]
    assert written == ["notification.jupyterlab-settings"]  # the server's fixture wrote it


def test_in_voila_the_page_goes_on_where_the_steps_end(folder, browser, tmp_path):
    notebook = folder / "talk.ipynb"
    with servers.serving((*servers.VOILA, str(notebook)), folder, tmp_path) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(servers.PATIENCE * 1000)
        page.goto(address)
        explorer = page.locator(".avx").first
        expect(page.locator(".avx")).to_have_count(3)
        expect(page.locator(".cm-editor")).to_have_count(0)  # no code
        explorer.focus()
        page.keyboard.press("Home")
        place = explorer.bounding_box()
        for number in (2, 3, 4, 5):
            page.keyboard.press("PageDown")
            expect(explorer.locator(".avx-where")).to_have_text(f"step {number} of 5")
        assert explorer.bounding_box() == place
        page.keyboard.press("PageDown")
        page.wait_for_function(
            "(top) => document.querySelector('.avx').getBoundingClientRect().top !== top",
            arg=place["y"] if place else None,
        )
        page.close()
