"""Pictures, the Explorer and an exercise in Jupyter Notebook 7, with a real kernel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser import lab, servers
from tests.browser.test_lab import CELLS, SCREENSHOTS, shows, slide
from tests.browser.test_saved import stored, until_found
from tests.browser.visits import visit
from tests.building import built, environment, outside

# Not among the requirements: it would add itself to JupyterLab, which the other tests look at.
NOTEBOOK = "notebook==7.6.5"  # of the pinned JupyterLab's generation
SERVER = ("notebook", *(option for option in servers.LAB[1:] if "LabApp" not in option))
# Said on every page, before a cell has run.
OF_ITS_OWN = "Cannot read properties of undefined (reading 'schema')"
PICTURE = """a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(4.0, requires_grad=True)
e = (a + b) * torch.log2(a) * torch.log2(b)
av.trace(e).variables()"""
EXERCISE = 'av.check("0a", total=1.0, by_height=...)'

pytestmark = pytest.mark.large  # pip gets it from its index


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The Python of an environment with our wheel and Notebook, which lies upon JupyterLab."""
    folder: Path = tmp_path_factory.mktemp("environment")
    python = environment(folder / "made", built("wheel", folder / "wheel"))
    for data in ("share/jupyter", "etc/jupyter"):
        shutil.copytree(Path(sys.prefix, data), folder / "made" / data)
    install = ("install", "--quiet", "--no-deps", NOTEBOOK)
    subprocess.run([str(python), "-m", "pip", *install], check=True, env=outside())
    return python


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made: Path = tmp_path_factory.mktemp("notebooks")
    return made


@pytest.fixture(scope="module")
def address(python, folder) -> Iterator[str]:
    lab.notebook(folder / "live.ipynb", (*CELLS[:3], PICTURE, EXERCISE))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        patch.setattr(sys, "executable", str(python))
        with servers.serving(SERVER, folder) as address:
            yield address


@pytest.fixture
def page(address, browser) -> Iterator[Page]:
    url = f"{address}/notebooks/live.ipynb"
    with visit(browser, url, address, console=False, spared=(OF_ITS_OWN,)) as page:
        expect(page.get_by_text("Last Checkpoint")).to_be_visible()
        idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        expect(idle).to_be_visible()
        yield page


def is_saving(answer: Response) -> bool:
    """The server's answer to what was saved; before it, the file may be half written."""
    return answer.request.method == "PUT" and "/api/contents/live.ipynb" in answer.url


def test_it_works_in_notebook_7(page, address, folder):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    explorer = page.locator(".avx")
    expect(explorer).to_have_count(1)
    explorer.focus()
    page.keyboard.press("End")
    expect(explorer.locator(".avx-where")).to_have_text("step 7 of 7")
    slide(explorer, "a", 1.0)
    slide(explorer, "b", 1.0)
    shows(explorer, 8.0, 8.0)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "notebook-7.png")
    said = page.locator(".jp-OutputArea-output").last
    expect(said).to_contain_text("0a")
    picture = page.locator(".jp-OutputArea-output svg[role=img], .jp-OutputArea-output img[alt]")
    expect(picture.last).to_be_visible()
    picture.last.scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / "notebook-7-picture.png")
    # Saved, and opened again when the kernel has ended, it is alive.
    explorer.focus()
    with page.expect_response(is_saving, timeout=servers.PATIENCE * 1000) as saving:
        page.keyboard.press("Control+s")
    assert saving.value.ok
    assert stored(folder / "live.ipynb")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Shut Down Kernel", exact=True).click()
    expect(page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')).to_have_count(0)
    until_found(page, page.reload)
    expect(explorer).to_have_count(1, timeout=60_000)
    shows(explorer, 8.0, 8.0)
