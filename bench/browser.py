"""Measures the Explorer in a real browser: how soon a moved slider is painted."""

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

import autograd_viz as av
from bench import models
from tests.browser import chromium, lab, servers

Row = tuple[str, str, str, str, str]
FRAME = 1000 / 60  # ms
ROUNDS = 120
# From an input event to when its frame is painted: a task that a frame asks for comes after it.
WATCH = """() => {
  window.times = [];
  const { port1, port2 } = new MessageChannel();
  const begins = [];
  port1.onmessage = () => {
    const now = performance.now();
    while (begins.length) window.times.push(now - begins.shift());
  };
  document.addEventListener("input", () => {
    begins.push(performance.now());
    requestAnimationFrame(() => port2.postMessage(0));
  }, true);
}"""
# Turn by turn: a message to the kernel and back, and a value that is not on the slider's grid.
TURNS = """async (rounds) => {
  const root = document.querySelector(".avx");
  const field = root.querySelector(".avx-field");
  const figure = root.querySelector(".avx-figure");
  const wait = (time) => new Promise((go) => setTimeout(go, time));
  const echo = async () => {
    const begin = performance.now();
    await window.echo();
    return performance.now() - begin;
  };
  const tick = async (value) => {
    const painted = new Promise((go) => {
      const seen = new MutationObserver(() => (seen.disconnect(), go()));
      seen.observe(figure, { subtree: true, childList: true, characterData: true });
    });
    const begin = performance.now();
    field.value = String(value);
    field.dispatchEvent(new Event("change", { bubbles: true }));
    await painted;
    return performance.now() - begin;
  };
  const times = { echo: [], tick: [] };
  for (let round = 0; round < rounds + 3; round++) {
    const [one, other] = [await echo(), (await wait(200), await tick(2.001 + round / 100))];
    if (round >= 3) times.echo.push(one), times.tick.push(other);
    await wait(200);
  }
  return times;
}"""
ECHO = """import anywidget
class Echo(anywidget.AnyWidget):
    _esm = '''export default { render({ model, el }) {
      el.textContent = "echo";
      window.echo = () => new Promise((go) => {
        const heard = () => (model.off("msg:custom", heard), go());
        model.on("msg:custom", heard);
        model.send({});
      });
    } }'''
    def __init__(self):
        super().__init__()
        self.on_msg(lambda widget, content, buffers: self.send(content))
echo = Echo()
echo"""


def dragged(page: Page, rounds: int) -> list[float]:
    """Drag the first slider to and fro; the milliseconds from each input event to its frame."""
    page.evaluate(WATCH)
    page.focus(".avx")
    page.keyboard.press("End")
    box = page.locator(".avx-range").first.bounding_box()
    if box is None:
        raise AssertionError("a slider is on the page")
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    for turn in range(rounds):
        place = abs((turn * 0.13) % 2 - 1) * 0.9 + 0.05
        page.mouse.move(box["x"] + box["width"] * place, middle)
    page.mouse.up()
    page.wait_for_timeout(100)
    times: list[float] = page.evaluate("window.times")
    return times


def cached(browser: Browser, folder: Path, statements: int) -> list[float]:
    """The times of ticks that are in the cache, of a function of so many statements."""
    path = folder / f"{statements}.html"
    function = models.chained_function(folder, statements)
    av.explore(function, x=(0.5, 2.0, 0.1)).save_html(path, limit=50_000_000)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector(".avx-drawing")
    dragged(page, 40)  # as a reader's slider is when it has been used
    times = dragged(page, ROUNDS)
    page.close()
    return times


def uncached(browser: Browser, folder: Path) -> dict[str, list[float]]:
    """The times of ticks in JupyterLab that the kernel has to compute, and of empty messages."""
    main = "import autograd_viz as av\nfrom bench.models import lecture_function as f"
    explore = "w = av.explore(f, a=(0.5, 8.0, 0.25), b=(0.5, 8.0, 0.25))\nw.step = 7\nw"
    lab.notebook(folder / "bench.ipynb", (main, ECHO, explore))
    settings = folder / "settings"
    settings.mkdir()
    with servers.serving(servers.LAB, folder, settings) as address:
        window = lab.Lab(browser, address)
        window.open("bench.ipynb")
        root = Path(__file__).parents[1]
        window.execute(f"import sys; sys.path.insert(0, {str(root)!r})")
        window.run("notebook:run-all-cells")
        window.page.wait_for_selector(".avx-drawing")
        window.page.wait_for_timeout(3000)  # until the cache is filled
        times: dict[str, list[float]] = window.page.evaluate(TURNS, 40)
        window.close()
    return times


def row(title: str, ours: float, other: float, said: str, goal: str) -> Row:
    """One line of the table."""
    return (title, f"{ours:.3g} ms", f"{other:.3g} ms", said, goal)


def rows() -> list[Row]:
    """Measure what a reader waits for, where there is a browser."""
    if chromium.installed() is None:
        print("no browser: what needs one is not measured", file=sys.stderr)
        return []
    executable = chromium.path()
    table = []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = chromium.launched(playwright, executable)
        for statements, frames in ((15, 1), (200, 2)):
            times = cached(browser, folder, statements)
            late = statistics.quantiles(times, n=20)[-1]
            title = f"cached tick painted, {statements} nodes, p95 / a frame"
            ratio = f"{late / FRAME:.3g} x"
            table.append(row(title, late, FRAME, ratio, f"<= {frames} x"))
        found = uncached(browser, folder)
        ours, echo = (statistics.median(found[name]) for name in ("tick", "echo"))
        title = "uncached tick in JupyterLab / empty round trip"
        table.append(row(title, ours, echo, f"+ {ours - echo:.3g} ms", "<= + 15 ms"))
        browser.close()
    return table
