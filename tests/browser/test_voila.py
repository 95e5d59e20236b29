"""The Explorer in Voila, cut off from all other machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import lab, servers
from tests.browser.test_lab import CELLS, SCREENSHOTS, shows, slide
from tests.browser.visits import visit

# Voila's own page asks for these icons, and does without them.
ICONS = "https://cdn.jsdelivr.net/npm/@fortawesome/fontawesome-free@"


@pytest.fixture(scope="module")
def explorer(browser, tmp_path_factory) -> Iterator[Locator]:
    folder: Path = tmp_path_factory.mktemp("notebooks")
    notebook = lab.notebook(folder / "live.ipynb", CELLS)
    with (
        servers.serving((*servers.VOILA, str(notebook)), folder) as address,
        visit(browser, address, address, console=False, spared=(ICONS,)) as page,
    ):
        expect(page.locator(".avx")).to_have_count(4)
        yield page.locator(".avx").first


def test_it_works_in_voila(explorer):
    keyboard = explorer.page.keyboard
    explorer.focus()
    keyboard.press("End")
    expect(explorer.locator(".avx-where")).to_have_text("step 7 of 7")
    slide(explorer, "a", 1.0)
    slide(explorer, "b", 1.0)
    shows(explorer, 8.0, 8.0)
    explorer.get_by_role("slider", name="a", exact=True).focus()
    keyboard.press("ArrowLeft")
    shows(explorer, 7.75, 8.0)
    field = explorer.get_by_label("b, exact value")
    field.fill("3.3")
    field.press("Enter")
    shows(explorer, 7.75, 3.3)
    explorer.page.screenshot(path=SCREENSHOTS / "voila.png")


def test_a_node_opens_in_voila(explorer):
    explorer.locator("[data-box=variable-3]").click()
    explorer.get_by_role("button", name="Show the operations inside d").click()
    expect(explorer.get_by_role("button", name="Show d as one oval")).to_be_visible()
    explorer.get_by_role("button", name="Show d as one oval").click()
    expect(explorer.get_by_role("button", name="Show the operations inside d")).to_be_visible()


def test_a_pass_is_stepped_in_voila(explorer):
    stepper = explorer.page.locator(".avx").nth(1)
    stepper.focus()
    explorer.page.keyboard.press("End")
    shows(stepper, 2.0, 4.0)
