"""A notebook in JupyterLab, as a reader has it before them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.browser import servers

RESTORED = """async () => {
  await jupyterapp.started;
  await jupyterapp.restored;
}"""
OPENED = """async (path) => {
  await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
  const panel = jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.revealed;
}"""
# Before the kernel is idle, "run all" runs nothing and reports success.
IDLE = """async () => {
  const session = jupyterapp.shell.currentWidget.context.sessionContext;
  await session.ready;
  while (session.session?.kernel?.status !== "idle") await new Promise((go) => setTimeout(go, 20));
  await session.session.kernel.info;
}"""
EXECUTED = """async (code) => {
  const kernel = jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
  const future = kernel.requestExecute({ code });
  let said = "";
  future.onIOPub = ({ content }) => {
    if (content.traceback) said += content.traceback.join("\\n");
    if (content.text) said += content.text;
    if (content.data) said += content.data["text/plain"] ?? "";
  };
  await future.done;
  return said;
}"""


def notebook(path: Path, cells: Sequence[str]) -> Path:
    """Write a notebook with these cells of code."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(made, path)
    return path


class Lab:
    """A browser's window with JupyterLab in it, and what went wrong there."""

    def __init__(self, browser: Browser, address: str, **options: object) -> None:
        settings = {"viewport": {"width": 1280, "height": 1000}, **options}
        self.context: BrowserContext = browser.new_context(**settings)  # type: ignore[arg-type]
        self.outside = servers.only_from(address, self.context)
        self.troubles: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(servers.PATIENCE * 1000)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(f"{address}/lab?reset")
        self.page.wait_for_function("() => window.jupyterapp")
        self.page.evaluate(RESTORED)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.troubles.append(message.text)

    def open(self, name: str) -> None:
        """Open a notebook and wait for its kernel."""
        self.page.evaluate(OPENED, name)
        self.page.evaluate(IDLE)

    def run(self, command: str, **arguments: object) -> None:
        """Run one of JupyterLab's commands, and wait for its end."""
        said = "async ([name, args]) => { await jupyterapp.commands.execute(name, args) }"
        self.page.evaluate(said, [command, arguments])

    def execute(self, code: str) -> str:
        """Run code in the notebook's kernel, and return what it printed."""
        said: str = self.page.evaluate(EXECUTED, code)
        return said

    def becomes(self, code: str, wanted: str) -> None:
        """Wait until code in the notebook's kernel prints what is wanted."""
        end = time.monotonic() + servers.PATIENCE
        while (said := self.execute(code).strip()) != wanted and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        assert said == wanted

    def close(self) -> None:
        """Close the window."""
        self.context.close()


@contextmanager
def running(browser: Browser, folder: Path, name: str) -> Iterator[Lab]:
    """A notebook of which all cells were run, in a server of its own."""
    with servers.serving(servers.LAB, folder) as address:
        opened = Lab(browser, address)
        opened.open(name)
        opened.run("notebook:run-all-cells")
        yield opened
        opened.close()
        assert opened.troubles == []
        assert opened.outside == []
