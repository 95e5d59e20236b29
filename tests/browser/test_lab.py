"""The Explorer in JupyterLab with a real kernel: what the page says is compared with torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Locator, expect

from autograd_viz import text
from tests.browser import lab, servers
from tests.browser.visits import after, filled

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
IMPORTS = "import torch\nimport autograd_viz as av"
FUNCTION = """def f(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e"""
EXPLORE = "w = av.explore(f, a=(0.5, 8.0, 0.25), b=(0.5, 8.0, 0.25))\nw"
BEGIN = {"a": 2.0, "b": 4.0}
STEP = """a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(4.0, requires_grad=True)
c = a + b
d = torch.log2(a) * torch.log2(b)
e = c * d
s = av.step(e)
s"""
TEN = """ten = [av.explore(f, a=(0.5, 8.0, 0.25), b=(0.5, 8.0, 0.25)) for _ in range(10)]
for one in ten:
    one.inputs = {"a": 2.0, "b": 4.0}
    one.step = 7
    display(one)"""
BRANCH = """def g(a, b):
    if a > b:
        c = a * b
    else:
        c = torch.exp(b)
    return c + a
v = av.explore(g, a=(0.0, 4.0, 0.5), b=(0.0, 4.0, 0.5))
v"""
FAILING = """def h(a):
    if a > 2:
        raise ValueError("a is too large")
    return a * a
u = av.explore(h, a=(0.0, 4.0, 1.0))
u"""
CELLS = (IMPORTS, FUNCTION, EXPLORE, STEP, BRANCH, FAILING)
# What Lab would take as its own: run, run and insert, cut, copy, paste, above, below, delete,
# undo, move, change to Markdown, code and raw, edit.
SHORTCUTS = (
    *("Shift+Enter", "Alt+Enter", "Enter", "x", "c", "v", "a", "b", "d", "d"),
    *("z", "j", "k", "ArrowDown", "ArrowUp", "Shift+ArrowDown", "m", "y", "r", "Shift+m", "s"),
)
NOTEBOOK = """() => {
  const { content, context } = jupyterapp.shell.currentWidget;
  return [
    content.activeCellIndex,
    content.mode,
    ...content.widgets.map((one) => `${one.model.type} ${one.model.executionCount} ${
      one.model.sharedModel.source}`),
  ];
}"""


def torchs(a0: float, b0: float) -> dict[str, str]:
    """What torch says, as the page writes it."""
    a = torch.tensor(a0, requires_grad=True)
    b = torch.tensor(b0, requires_grad=True)
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    for one in (c, d):
        one.retain_grad()
    (c * d).backward()
    found = {}
    for name, one in {"a": a, "b": b, "c": c, "d": d}.items():
        assert one.grad is not None
        found[name] = text.number(one.grad.item())
    return found


def saved(path: Path) -> None:
    """Execute a notebook as tests/notebooks/refresh.py does, in a process of its own."""
    code = (
        "import sys, pathlib, nbformat\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from tests.notebooks import refresh\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "refresh.refresh(path)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path), str(ROOT)], check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("notebooks")
    lab.notebook(folder / "live.ipynb", CELLS)
    lab.notebook(folder / "ten.ipynb", (IMPORTS, FUNCTION, TEN))
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Path:
    made: Path = tmp_path_factory.mktemp("settings")
    return made


@pytest.fixture(scope="module")
def address(folder, settings) -> Iterator[str]:
    with servers.serving(servers.LAB, folder, settings) as address:
        yield address


@pytest.fixture(scope="module")
def live(address, browser) -> Iterator[lab.Lab]:
    """A notebook of which all cells were run."""
    opened = lab.Lab(browser, address)
    opened.open("live.ipynb")
    opened.run("notebook:run-all-cells")
    yield opened
    opened.close()


@pytest.fixture
def window(live) -> Iterator[lab.Lab]:
    """The same, as it was in the beginning; in the end without errors or requests to elsewhere."""
    said = live.execute(
        f"for one in (w, s): one.step, one.view, one.opened = 1, 'backward', []\nw.inputs = {BEGIN}"
    )
    assert said == ""
    live.troubles.clear()
    yield live
    after(live.page, 300)  # until the page has told the kernel where it is
    assert live.troubles == []
    assert live.outside == []


def widget(window: lab.Lab, cell: int) -> Locator:
    """The Explorer below a cell."""
    return window.page.locator(".jp-Notebook-cell").nth(cell).locator(".avx")


@pytest.fixture
def explorer(window) -> Locator:
    found = widget(window, 2)
    expect(found.get_by_label("a, exact value")).to_have_value("2")
    expect(found.get_by_label("b, exact value")).to_have_value("4")
    expect(found.locator(".avx-where")).to_have_text("step 1 of 7")
    found.focus()
    return found


def number(explorer: Locator, name: str) -> Locator:
    """The gradient in the oval of a variable."""
    key = f"variable-{'abcde'.index(name)} ∂e/∂{name} ="
    return explorer.locator(f".avx-figure text[data-key='{key}']")


def shows(explorer: Locator, a: float, b: float) -> None:
    """The page comes to show torch's numbers."""
    for name, said in torchs(a, b).items():
        figure = number(explorer, name)
        expect(figure).to_contain_text(said)
        assert (figure.text_content() or "").split("= ")[-1].strip() == said


def slide(explorer: Locator, name: str, part: float) -> None:
    """Drag a slider with the mouse to a part of its way."""
    handle = explorer.get_by_role("slider", name=name, exact=True)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    share = float(handle.input_value()) / float(handle.get_attribute("max") or 1)
    thumb = 16
    y = box["y"] + box["height"] / 2
    places = [box["x"] + thumb / 2 + one * (box["width"] - thumb) for one in (share, part)]
    mouse = explorer.page.mouse
    mouse.move(places[0], y)
    mouse.down()
    mouse.move(places[1], y, steps=15)
    mouse.up()


# Sliders


def test_a_slider_by_mouse_shows_torchs_numbers(window, explorer):
    explorer.page.keyboard.press("End")
    shows(explorer, 2.0, 4.0)
    slide(explorer, "a", 1.0)
    shows(explorer, 8.0, 4.0)
    expect(explorer.get_by_label("a, exact value")).to_have_value("8")
    slide(explorer, "b", 0.0)
    shows(explorer, 8.0, 0.5)
    window.becomes("w.inputs == {'a': 8.0, 'b': 0.5}", "True")


def test_a_slider_by_keyboard_shows_torchs_numbers(explorer):
    keyboard = explorer.page.keyboard
    keyboard.press("End")
    explorer.get_by_role("slider", name="a", exact=True).focus()
    for place in range(1, 5):
        keyboard.press("ArrowRight")
        shows(explorer, 2.0 + place / 4, 4.0)
    keyboard.press("Home")
    shows(explorer, 0.5, 4.0)
    expect(explorer.locator(".avx-where")).to_have_text("step 7 of 7")


def test_an_exact_value_is_computed_by_the_kernel(explorer):
    explorer.page.keyboard.press("End")
    field = explorer.get_by_label("a, exact value")
    field.fill("2.718")
    field.press("Enter")
    shows(explorer, 2.718, 4.0)
    expect(field).to_have_value("2.718")


def test_inputs_set_in_another_cell_reach_the_page(window, explorer):
    explorer.page.keyboard.press("End")
    window.execute("w.inputs = {'a': 3.0, 'b': 5.0}")
    shows(explorer, 3.0, 5.0)
    expect(explorer.get_by_label("b, exact value")).to_have_value("5")
    window.execute("w.step = 3; w.view = 'computation'")
    expect(explorer.locator(".avx-where")).to_have_text("step 3 of 4")


def test_fast_dragging_ends_where_the_hand_stopped(window, explorer):
    explorer.page.keyboard.press("End")
    for part in (1.0, 0.1, 0.9, 0.0, 0.5):
        slide(explorer, "a", part)
    expect(explorer.get_by_label("a, exact value")).to_have_value("4.25")
    shows(explorer, 4.25, 4.0)
    window.becomes("w.inputs['a']", "4.25")
    shows(explorer, 4.25, 4.0)
    expect(explorer).not_to_have_class("is-busy")


def test_what_a_cell_prints_is_not_lost_while_neighbours_are_computed(window, explorer):
    slide(explorer, "a", 1.0)
    printed = []
    for place in range(30):
        if place % 10 == 0:
            explorer.get_by_role("slider", name="b", exact=True).focus()
            explorer.page.keyboard.press("ArrowRight")
        printed.append(window.execute(f"print({place})"))
    assert printed == [f"{place}\n" for place in range(30)]


def test_what_is_newer_stays(window, explorer):
    # Echoes and answers that come late are never painted over what is newer.
    page = explorer.page
    page.keyboard.press("End")
    page.evaluate("""() => {
      const figure = document.querySelector(".avx");
      const field = figure.querySelector(".avx-field");
      window.seen = [field.value];
      const look = () => {
        if (field.value !== seen.at(-1)) seen.push(field.value);
        window.looking = requestAnimationFrame(look);
      };
      look();
    }""")
    explorer.get_by_role("slider", name="a", exact=True).focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(45)
    after(page, 500)
    seen = page.evaluate("cancelAnimationFrame(looking), seen.map(Number)")
    assert seen == sorted(seen)
    shows(explorer, 7.0, 4.0)


# Steps


def test_steps_and_the_walk_itself(window, explorer):
    keyboard, where = explorer.page.keyboard, explorer.locator(".avx-where")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    expect(where).to_have_text("step 3 of 7")
    lines = explorer.locator(".avx-line.avx-lit code").all_text_contents()
    assert [line.strip() for line in lines] == ["c = a + b", "d = torch.log2(a) * torch.log2(b)"]
    expect(number(explorer, "c")).to_be_visible()
    expect(number(explorer, "a")).to_be_hidden()
    said = explorer.locator(".avx-live")
    numbers = torchs(2.0, 4.0)
    expect(said).to_contain_text(f"∂e/∂c = {numbers['c']}; ∂e/∂d = {numbers['d']}")
    window.becomes("w.step, w.view", "(3, 'backward')")
    explorer.locator(".avx-last").click()
    expect(where).to_have_text("step 7 of 7")
    keyboard.press("4")
    expect(explorer.get_by_role("radio", name="Functions")).to_be_checked()
    keyboard.press("End")
    label = explorer.locator("text[data-key*='a.grad']").last
    expect(label).to_have_text(numbers["a"])


def test_it_plays_to_the_end(explorer):
    explorer.locator(".avx-speed").select_option("4")
    explorer.focus()
    explorer.page.keyboard.press("Space")
    expect(explorer.locator(".avx-play")).to_have_text("Pause")
    expect(explorer.locator(".avx-where")).to_have_text("step 7 of 7")
    expect(explorer.locator(".avx-play")).to_have_text("Play")


def test_a_node_opens_and_closes(window, explorer):
    explorer.page.keyboard.press("End")
    before = explorer.locator(".avx-figure [data-box]").count()
    explorer.locator("[data-box=variable-3]").click()
    detail = explorer.locator(".avx-detail")
    expect(detail).to_contain_text("MulBackward0")
    detail.get_by_role("button", name="Show the operations inside d").click()
    expect(explorer.get_by_role("button", name="Show d as one oval")).to_be_visible()
    expect(explorer.locator(".avx-figure [data-box]").nth(before)).to_be_attached()
    assert window.execute("list(w.opened)") == "['d']"
    # What arrives at log2(a): c times the other factor.
    arrives = text.number(6.0 * 2.0)
    figure = explorer.locator(".avx-figure")
    expect(figure).to_contain_text(arrives)
    explorer.page.screenshot(path=SCREENSHOTS / "lab-opened.png")
    explorer.get_by_role("button", name="Show d as one oval").click()
    expect(explorer.get_by_role("button", name="Show the operations inside d")).to_be_visible()
    expect(explorer.locator(".avx-figure [data-box]")).to_have_count(before)
    shows(explorer, 2.0, 4.0)


def test_step_shows_a_pass_without_sliders(window):
    stepper = widget(window, 3)
    stepper.scroll_into_view_if_needed()
    expect(stepper.get_by_role("slider")).to_have_count(1)  # that of the steps
    stepper.focus()
    stepper.page.keyboard.press("End")
    shows(stepper, 2.0, 4.0)


# Trouble


def test_another_branch_is_drawn_and_said(window):
    found = widget(window, 4)
    found.scroll_into_view_if_needed()
    window.execute("v.inputs = {'a': 3.0, 'b': 2.0}")
    expect(found.locator(".avx-figure")).to_contain_text("a·b")
    window.execute("v.inputs = {'a': 1.0, 'b': 2.0}")
    expect(found.locator(".avx-figure")).not_to_contain_text("a·b")
    expect(found.locator(".avx-note")).not_to_be_empty()


def test_an_exception_is_shown_with_its_line(window):
    found = widget(window, 5)
    found.scroll_into_view_if_needed()
    found.get_by_role("slider", name="a", exact=True).focus()
    found.page.keyboard.press("End")
    expect(found.locator(".avx-error")).to_contain_text("a is too large")
    expect(found.locator(".avx-line.avx-wrong")).to_contain_text("raise ValueError")
    assert "is-stale" in (found.get_attribute("class") or "")
    found.page.screenshot(path=SCREENSHOTS / "lab-error.png")
    found.page.keyboard.press("Home")
    expect(found.locator(".avx-error")).to_be_empty()


def test_nan_is_said_and_marked(explorer):
    explorer.page.keyboard.press("End")
    field = explorer.get_by_label("a, exact value")
    field.fill("0")
    field.press("Enter")
    expect(explorer.locator(".avx-trouble")).not_to_be_empty()
    expect(explorer.locator(".avx-figure .av-alarm").first).to_be_attached()
    field.fill("2")
    field.press("Enter")
    expect(explorer.locator(".avx-trouble")).to_be_empty()
    shows(explorer, 2.0, 4.0)


# JupyterLab around it


@pytest.mark.parametrize("place", [".avx", ".avx-play", ".avx-range", ".avx-field", ".avx-speed"])
def test_labs_shortcuts_do_not_fire_inside(window, explorer, place):
    page = explorer.page
    target = explorer if place == ".avx" else explorer.locator(place).first
    target.focus()
    before = page.evaluate(NOTEBOOK)
    for key in SHORTCUTS:
        page.keyboard.press(key)
        assert target.evaluate("(one) => one.contains(document.activeElement)"), key
    page.wait_for_timeout(300)
    assert page.evaluate(NOTEBOOK) == before
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    page.keyboard.press("Escape")


@pytest.mark.parametrize("place", [".avx", ".avx-play", ".avx-range", ".avx-field"])
def test_control_s_saves_the_notebook_from_inside(folder, window, explorer, place):
    page = explorer.page
    saved = folder / "live.ipynb"
    before = saved.read_text(encoding="utf-8")
    text = f"# {place}"
    page.evaluate(
        "(text) => jupyterapp.shell.currentWidget.content.model.cells.get(0)"
        ".sharedModel.setSource(text)",
        f"{IMPORTS}  {text}",
    )
    target = explorer if place == ".avx" else explorer.locator(place).first
    target.focus()
    page.keyboard.press("Control+s")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    assert text not in before
    assert text in saved.read_text(encoding="utf-8")
    assert target.evaluate("(one) => one.contains(document.activeElement)")
    if place != ".avx-field":
        page.keyboard.press("x")  # what would cut the cell is still not Lab's
    expect(explorer).to_be_visible()


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_takes_labs_theme(window, explorer, theme):
    explorer.page.keyboard.press("End")
    window.run("apputils:change-theme", theme=f"JupyterLab {theme}")
    expect(explorer.page.locator(f".avx.av-{theme.lower()}").first).to_be_attached()
    after(explorer.page, 300)
    explorer.scroll_into_view_if_needed()
    explorer.page.screenshot(path=SCREENSHOTS / f"lab-{theme.lower()}.png")
    window.run("apputils:change-theme", theme="JupyterLab Light")


def test_full_screen(explorer):
    page = explorer.page
    page.keyboard.press("End")
    page.keyboard.press("f")
    filled(page)
    page.screenshot(path=SCREENSHOTS / "lab-full.png")
    box = explorer.bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (1280, 1000)
    page.keyboard.press("f")
    expect(page.locator(".avx.is-full")).to_have_count(0)


# Ten at once


def test_ten_widgets_are_independent(address, browser):
    ten = lab.Lab(browser, address, viewport={"width": 1280, "height": 8000})
    try:
        ten.open("ten.ipynb")
        ten.run("notebook:run-all-cells")
        all_of_them = ten.page.locator(".avx")
        expect(all_of_them).to_have_count(10)
        for place in (0, 4, 9):
            shows(all_of_them.nth(place), 2.0, 4.0)
        all_of_them.nth(4).get_by_role("slider", name="a", exact=True).focus()
        ten.page.keyboard.press("End")
        shows(all_of_them.nth(4), 8.0, 4.0)
        ten.execute("ten[9].inputs = {'a': 3.0, 'b': 3.0}")
        shows(all_of_them.nth(9), 3.0, 3.0)
        all_of_them.nth(2).focus()
        ten.page.keyboard.press("ArrowLeft")
        steps = ten.page.locator(".avx-where").all_text_contents()
        assert steps == ["step 7 of 7"] * 2 + ["step 6 of 7"] + ["step 7 of 7"] * 7
        for place in {*range(10)} - {4, 9}:
            shows(all_of_them.nth(place), 2.0, 4.0)
        inputs = ten.execute("[int(one.inputs['a']) for one in ten]")
        assert inputs == "[2, 2, 2, 2, 8, 2, 2, 2, 2, 3]"
        ten.run("notebook:clear-all-cell-outputs")
        expect(all_of_them).to_have_count(0)
        assert ten.troubles == []
        assert ten.outside == []
    finally:
        ten.close()


# What a reader sees who only opens a notebook


@pytest.fixture(scope="module")
def stored(folder, settings) -> dict[str, str]:
    """The same notebook with its outputs, once unknown to Lab and once trusted."""
    cells = (IMPORTS, FUNCTION, EXPLORE, STEP, "w.step = 7\nw.snapshot()")
    names = {"untrusted": "untrusted.ipynb", "trusted": "trusted.ipynb"}
    first = lab.notebook(folder / names["untrusted"], cells)
    saved(first)
    second = folder / names["trusted"]
    second.write_text(first.read_text(encoding="utf-8"), encoding="utf-8")
    return names


def trust(path: Path, settings: Path) -> None:
    command = [sys.executable, "-m", "jupyter", "trust", str(path)]
    fresh = {name: str(settings / name.lower()) for name in servers.FOLDERS}
    subprocess.run(command, check=True, env={**os.environ, **fresh}, capture_output=True)


@pytest.mark.parametrize("trusted", [False, True])
def test_a_stored_notebook_shows_pictures_before_anything_runs(
    folder, settings, address, browser: Browser, stored, trusted
):
    name = stored["trusted" if trusted else "untrusted"]
    if trusted:
        trust(folder / name, settings)
    reader = lab.Lab(browser, address)
    try:
        reader.open(name)
        page = reader.page
        is_trusted = "jupyterapp.shell.currentWidget.content.widgets[2].model.trusted"
        assert page.evaluate(is_trusted) is trusted
        for cell in (2, 3, 4):
            found = page.locator(".jp-Notebook-cell").nth(cell)
            found.scroll_into_view_if_needed()
            picture = found.locator(".jp-OutputArea-output").locator("img, svg").first
            expect(picture).to_be_visible()
            box = picture.bounding_box()
            assert box is not None
            assert box["width"] > 200
            assert box["height"] > 100
            broken = "(one) => one instanceof HTMLImageElement && one.naturalWidth === 0"
            assert not picture.evaluate(broken)
        page.wait_for_timeout(1000)  # a widget manager may come late
        said = page.locator(".jp-Notebook").inner_text()
        assert "model not found" not in said
        assert "Error displaying" not in said
        assert page.locator(".avx").count() == 0
        kind = "trusted" if trusted else "untrusted"
        page.screenshot(path=SCREENSHOTS / f"lab-stored-{kind}.png")
        assert reader.troubles == []
        assert reader.outside == []
    finally:
        reader.close()
