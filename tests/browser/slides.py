"""The notebooks as slides in JupyterLab, and what of them does not fit on the screen.

Run as ``python -m tests.browser.slides [names...]``: it runs the notebooks whose paths contain one
of the names, or all, writes a screenshot of each slide to build/screenshots/slides, and prints what
is cut off.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser import chromium, lab, servers
from tests.browser.visits import after
from tests.notebooks.refresh import find_notebooks

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots" / "slides"
CONFIG = ROOT / "deploy" / "present" / "jupyter_lab_config.py"
SIZES = ((1280, 720), (1920, 1080))
# The cells that begin a slide.
STARTS = """() => {
  const cells = [...jupyterapp.shell.currentWidget.content.model.cells];
  const types = cells.map((cell) => cell.getMetadata("slideshow")?.slide_type);
  return types.flatMap((type, index) =>
    ["slide", "subslide", "fragment"].includes(type) ? [index] : []);
}"""
GO = """async (index) => {
  jupyterapp.shell.currentWidget.content.activeCellIndex = index;
  await new Promise((go) => setTimeout(go, 250)); // it fades in
}"""
AT = "() => jupyterapp.shell.currentWidget.content.activeCellIndex"
# What of a slide is not seen, and by how many pixels: what leaves the screen, and what stands in
# a part that would have to be scrolled.
CUT_OFF = """() => {
  const found = [];
  // a folded graph of a network is larger than any wall: it scrolls by itself
  const hidden = ".avx-live, mjx-container, summary, .is-folded .avx-figure";
  const cells = jupyterapp.shell.currentWidget.content.widgets;
  for (const { node } of cells.filter((one) => one.hasClass("jp-deck-mod-visible"))) {
    const box = node.getBoundingClientRect();
    const over = Math.max(box.bottom - innerHeight, -box.top, box.right - innerWidth, -box.left);
    if (over > 1) found.push(`the cell, by ${Math.round(over)}`);
    for (const part of node.querySelectorAll("*")) {
      if (!part.checkVisibility({ visibilityProperty: true }) || part.closest(hidden)) continue;
      const { overflowX, overflowY } = getComputedStyle(part);
      const right = overflowX === "visible" ? 0 : part.scrollWidth - part.clientWidth;
      const down = overflowY === "visible" ? 0 : part.scrollHeight - part.clientHeight;
      if (part.clientWidth * part.clientHeight > 0 && Math.max(right, down) > 2) {
        found.push(`${part.getAttribute("class")}, by ${right} to the right, ${down} down`);
      }
    }
  }
  return found;
}"""


def present(settings: Path) -> tuple[str, ...]:
    """What starts JupyterLab as `make present` does, with settings in a folder of its own."""
    own = ("user_settings", "workspaces")
    folders = [f"--LabApp.{name}_dir={settings / 'own' / name}" for name in own]
    return (*servers.LAB, f"--config={CONFIG}", *folders)


class Hall:
    """JupyterLab as `make present` starts it, with one notebook as slides."""

    def __init__(
        self, browser: Browser, address: str, size: tuple[int, int] = SIZES[0], **options: object
    ) -> None:
        viewport = {"width": size[0], "height": size[1]}
        self.window = lab.Lab(browser, address, viewport=viewport, **options)
        self.page = self.window.page

    def open(self, name: str) -> None:
        """Open a notebook, run it and begin to present it."""
        self.window.open(name)
        self.window.run("notebook:run-all-cells")
        self.window.run("deck:start")
        self.page.wait_for_selector(".jp-Deck .jp-deck-mod-onscreen")
        after(self.page, 1500)  # it takes the side bars away

    def starts(self) -> list[int]:
        """The numbers of the cells that begin a slide."""
        found: list[int] = self.page.evaluate(STARTS)
        return found

    def go(self, cell: int) -> None:
        """Show the slide that begins with a cell."""
        self.page.evaluate(GO, cell)

    def at(self) -> int:
        """The number of the cell that is shown last."""
        found: int = self.page.evaluate(AT)
        return found

    def press(self, *keys: str) -> None:
        """Press keys, as a presenter's remote does."""
        for key in keys:
            self.page.keyboard.press(key)
            after(self.page, 250)

    def resize(self, size: tuple[int, int]) -> None:
        """Make the window as large as another screen."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        after(self.page, 400)

    def cut_off(self) -> list[str]:
        """What of the slide is not seen."""
        found: list[str] = self.page.evaluate(CUT_OFF)
        return found

    def all_slides(self, name: str) -> list[str]:
        """Write a screenshot of each slide at each size, and return what is cut off."""
        found = []
        for size in SIZES:
            self.resize(size)
            folder = SCREENSHOTS / str(size[0])
            folder.mkdir(parents=True, exist_ok=True)
            for cell in self.starts():
                self.go(cell)
                self.page.screenshot(path=folder / f"{name[:2]}-{cell:02}.png")
                cut = self.cut_off()
                found += [f"{name}, cell {cell} at {size[0]}: {one}" for one in cut]
        return found

    def close(self) -> None:
        """Leave the hall."""
        self.window.close()


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder, settings = Path(scratch, "notebooks"), Path(scratch, "settings")
        folder.mkdir()
        settings.mkdir()
        found = [Path(shutil.copy(path, folder)) for path in find_notebooks(names)]
        browser = chromium.launched(playwright, chromium.path())
        with servers.serving(present(settings), folder, settings) as address:
            for path in found:
                hall = Hall(browser, address)
                hall.open(path.name)
                print(path.name, *hall.all_slides(path.name), sep="\n", flush=True)
                hall.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
