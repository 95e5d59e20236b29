"""Measures the memory that JupyterLab and its kernels take, with two notebooks open and run.

Run as ``python -m bench.memory [names...]``: of two names, such as ``03 10``, the two notebooks
together; without names every notebook alone first, and then the two that take most. Linux only.

PSS (proportional set size) shares pages among the processes that have them: PyTorch's code, in
memory once for all kernels, counts once. RSS (resident set size) counts it in each; it is what
tools such as `top` show, and an upper bound.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from playwright.sync_api import sync_playwright

from tests.browser import chromium, lab, servers
from tests.notebooks.refresh import find_notebooks

LIMIT = 2 * 1024**3  # bytes: what mybinder.org gives a reader at most
SETTLED = 5  # s: what widgets compute while nobody asks is in memory by then
PATIENCE = 600_000  # ms for all cells of a notebook
PASSED_OVER = """() => jupyterapp.shell.currentWidget.content.widgets.filter(
  ({ model }) => model.type === "code" && !model.executionCount,
).length"""
CLOSED = """async () => {
  const panel = jupyterapp.shell.currentWidget;
  await panel.context.sessionContext.shutdown();
  panel.dispose();
}"""


class Memory(NamedTuple):
    """Bytes, of one process or of several."""

    pss: int
    rss: int

    def __str__(self) -> str:
        return f"{self.pss / 2**20:6.0f} MiB PSS  {self.rss / 2**20:6.0f} MiB RSS"


def total(parts: Sequence[Memory]) -> Memory:
    """The sum."""
    return Memory(sum(part.pss for part in parts), sum(part.rss for part in parts))


def memory(process: psutil.Process) -> Memory:
    """What one process takes now."""
    told = process.memory_full_info()
    return Memory(told.pss, told.rss)


def server() -> psutil.Process:
    """The JupyterLab that this process has started."""
    (found,) = (
        child for child in psutil.Process().children() if "jupyterlab" in " ".join(child.cmdline())
    )
    return found


def kernels() -> list[psutil.Process]:
    """The kernels of that JupyterLab, oldest first."""
    found = server().children(recursive=True)
    return sorted(
        (child for child in found if "ipykernel" in " ".join(child.cmdline())),
        key=psutil.Process.create_time,
    )


@contextmanager
def opened() -> Iterator[lab.Lab]:
    """JupyterLab in a real browser, with copies of the notebooks, since Lab saves by itself."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder, settings = Path(name, "notebooks"), Path(name, "settings")
        shutil.copytree(find_notebooks([])[0].parent, folder)
        settings.mkdir()
        browser = chromium.launched(playwright, chromium.path())
        with servers.serving(servers.LAB, folder, settings) as address:
            window = lab.Lab(browser, address)
            window.page.set_default_timeout(PATIENCE)
            yield window
            window.close()
        browser.close()


def run(window: lab.Lab, path: Path) -> None:
    """Open a notebook and run it to its end."""
    window.open(path.name)
    window.run("notebook:run-all-cells")
    assert window.page.evaluate(PASSED_OVER) == 0, f"not all cells of {path.name} ran"
    time.sleep(SETTLED)


def alone(paths: Sequence[Path]) -> dict[Path, Memory]:
    """What the kernel of each notebook takes at its end, one after the other."""
    found = {}
    with opened() as window:
        for path in paths:
            run(window, path)
            (kernel,) = kernels()
            found[path] = memory(kernel)
            print(f"{path.stem:26}{found[path]}", flush=True)
            window.page.evaluate(CLOSED)
    return found


def together(paths: Sequence[Path]) -> Memory:
    """What the server and the kernels of these notebooks take, all open at the same time."""
    with opened() as window:
        for path in paths:
            run(window, path)
        parts = {"JupyterLab's server": memory(server())}
        for path, kernel in zip(paths, kernels(), strict=True):
            parts[path.stem] = memory(kernel)
    for name, part in parts.items():
        print(f"{name:26}{part}")
    return total(list(parts.values()))


def main(names: list[str]) -> None:
    """Print the tables, and whether Binder's memory is enough."""
    if not sys.platform.startswith("linux"):
        sys.exit("only Linux tells a process's share of memory (PSS): run it there")
    paths = find_notebooks(names)
    if len(paths) != 2:
        print("each notebook's kernel, run to its end:")
        found = alone(paths)
        paths = sorted(paths, key=lambda path: found[path], reverse=True)[:2]
        print()
    print("two notebooks open, both run to their ends:")
    whole = together(paths)
    print(f"{'in all':26}{whole}")
    print(f"of {LIMIT / 2**20:.0f} MiB: {'enough' if whole.rss < LIMIT else 'TOO MUCH'}")


if __name__ == "__main__":
    main(sys.argv[1:])
