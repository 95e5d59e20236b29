"""A folded graph in a real browser: in a page without a kernel, and in JupyterLab.

Numbers are compared with torch's own. Screenshots go to build/screenshots.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from torch import nn

import autograd_viz as av
from autograd_viz import text
from tests.browser import lab
from tests.browser.visits import after, filled, visit

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
MODEL = """import torch
import autograd_viz as av
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        return x + self.mlp(self.norm(x))

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), *(Block() for _ in range(6)), nn.Linear(8, 1))
with av.record(model):
    loss = model(torch.randn(3, 4)).square().mean()"""
STEP = "w = av.step(loss, params=model)\nw"


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(MODEL, "model", "exec"), names)
    return names


@pytest.fixture(scope="module")
def grads(made) -> dict[str, str]:
    """Of each module torch's own norm of the gradient, as the page writes it."""
    model: nn.Module = made["model"]
    params = dict(model.named_parameters())
    found = torch.autograd.grad(made["loss"], list(params.values()), retain_graph=True)
    norms = dict(zip(params, [grad.norm().item() for grad in found], strict=True))
    return {
        name: text.number(math.hypot(*(norms[one] for one in norms if one.startswith(f"{name}."))))
        for name, _ in model.named_modules()
        if any(one.startswith(f"{name}.") for one in norms)
    }


@pytest.fixture(scope="module")
def file(made, tmp_path_factory) -> Path:
    w = av.step(made["loss"], params=made["model"])
    w.opened = [*w.opened, "3"]
    path: Path = w.save_html(tmp_path_factory.mktemp("pages") / "net.html")
    return path


@pytest.fixture
def opening(browser, file) -> Iterator[Any]:
    """Opens the page; in the end there were no errors and no requests but for the file itself."""
    with ExitStack() as windows:

        def opened(**options: Any) -> Page:
            page = windows.enter_context(visit(browser, file.as_uri(), **options))
            page.wait_for_selector(".avx-drawing")
            return page

        yield opened


def box(root: Page | Locator, title: str) -> Locator:
    """The box in the picture whose name is this."""
    return root.locator(f".avx-figure [data-box][aria-label='{title}']").first


def test_a_picture_that_is_wider_than_the_page_begins_with_its_output(browser, tmp_path):
    branches = nn.ModuleDict({f"branch{n}": nn.Linear(4, n + 1) for n in range(12)})
    with av.record(branches):
        loss = torch.stack([each(torch.ones(1, 4)).sum() for each in branches.values()]).sum()
    path = av.step(loss, params=branches).save_html(tmp_path / "wide.html")
    page: Page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(path.as_uri())
    figure = page.locator(".avx-figure")
    wide, room = figure.evaluate("(one) => [one.scrollWidth, one.clientWidth]")
    assert wide > 2 * room
    expect(box(page, "SumBackward0, loss")).to_be_in_viewport()
    page.close()


def chips(root: Page | Locator) -> Locator:
    return root.locator(".avx-chip-name")


def where(root: Page | Locator) -> Locator:
    return root.locator(".avx-where")


def inside(element: Locator) -> bool:
    """Whether the middle of a box is to be seen."""
    script = """(one) => {
      const inner = one.getBoundingClientRect();
      const outer = one.closest(".avx-figure").getBoundingClientRect();
      const y = inner.top + inner.height / 2;
      return y > outer.top && y < Math.min(outer.bottom, window.innerHeight);
    }"""
    seen: bool = element.evaluate(script)
    return seen


def numbers(element: Locator) -> str:
    """The texts of a box that are to be seen."""
    script = """(one) => [...one.querySelectorAll("text")]
      .filter((it) => getComputedStyle(it).visibility === "visible")
      .map((it) => it.textContent).join(" ")"""
    said: str = element.evaluate(script)
    return said


# A page without a kernel


def test_a_click_opens_a_group_and_a_chip_closes_it(opening, grads):
    page = opening()
    expect(chips(page)).to_have_text(["Sequential", "3"])
    assert grads["3.mlp"] in numbers(box(page, "3.mlp"))
    box(page, "3.mlp").click()
    expect(chips(page)).to_have_text(["Sequential", "3", "3.mlp"])
    expect(page.locator(".avx-live")).to_contain_text("3.mlp opened")
    assert grads["3.mlp.0"] in numbers(box(page, "3.mlp.0"))
    expect(page.locator(".avx-detail strong")).to_have_text("3.mlp")
    page.get_by_role("button", name="Close 3.mlp", exact=True).first.click()
    expect(chips(page)).to_have_text(["Sequential", "3"])
    expect(page.locator(".avx-live")).to_contain_text("3.mlp closed")
    assert inside(box(page, "3.mlp"))


def test_a_frames_title_closes_its_group_and_all_that_is_open_in_it(opening):
    page = opening()
    box(page, "3.mlp").click()
    expect(chips(page)).to_have_text(["Sequential", "3", "3.mlp"])
    page.locator("[data-box][aria-label='3'] text").first.click()
    expect(chips(page)).to_have_text(["Sequential"])


def test_of_equal_blocks_one_is_chosen(opening):
    page = opening()
    repeated = page.locator(".avx-figure [data-box]", has=page.locator(".av-stack")).first
    repeated.click()
    which = page.locator(".avx-which")
    expect(which).to_be_focused()
    which.fill("99")
    which.press("Enter")
    expect(which).to_have_attribute("aria-invalid", "true")
    first = which.get_attribute("min") or ""
    which.fill(first)
    which.press("Enter")
    expect(chips(page)).to_have_text(["Sequential", *sorted(["3", first])])


def test_what_is_clicked_stays_in_view(opening):
    page = opening()
    element = box(page, "3.mlp")
    element.scroll_into_view_if_needed()
    before = element.bounding_box()
    element.click()
    expect(chips(page)).to_have_count(3)
    first = page.locator(".avx-figure [data-box]:focus")
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert inside(first)
    assert abs(after["y"] - before["y"]) < 60


def test_by_keyboard(opening):
    page = opening()
    box(page, "3.mlp").focus()
    page.keyboard.press("Enter")
    expect(chips(page)).to_have_count(3)
    focused = page.locator(":focus")
    assert focused.evaluate("(one) => one.closest('.avx-figure') !== null")
    page.keyboard.press("Home")
    expect(where(page)).to_contain_text("step 1 of")
    close = page.get_by_role("button", name="Close 3", exact=True).first
    close.focus()
    page.keyboard.press("Enter")
    expect(chips(page)).to_have_text(["Sequential"])


def test_steps_go_group_by_group_and_numbers_appear(opening, grads):
    page = opening()
    page.locator(".avx").focus()
    page.keyboard.press("Home")
    target = box(page, "3.norm")
    assert grads["3.norm"] not in numbers(target)
    lit = page.locator(".avx-figure [data-box]:has(> .av-lit)")
    for _ in range(30):
        if target.evaluate("(one) => one.querySelector('.av-lit') !== null"):
            break
        page.keyboard.press("ArrowRight")
        after(page, 30)
    assert grads["3.norm"] in numbers(target)
    assert inside(target)
    assert lit.count() >= 1
    earlier = page.locator(".avx-early").count()
    page.keyboard.press("End")
    assert earlier > 0
    expect(page.locator(".avx-early")).to_have_count(0)


def test_opening_keeps_the_step(opening):
    page = opening()
    page.locator(".avx").focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    lit = page.locator(".avx-figure g[data-box^=item]:has(.av-lit)").first
    name = lit.get_attribute("aria-label")
    box(page, "3.mlp").click()
    expect(chips(page)).to_have_count(3)
    now = page.locator(".avx-figure g[data-box^=item]:has(.av-lit)").first
    assert now.get_attribute("aria-label") == name


def test_the_search_field_goes_to_what_the_page_holds(opening):
    page = opening()
    field = page.get_by_role("combobox", name="Find a group, function or leaf")
    field.fill("3.mlp.2")
    field.press("Enter")
    expect(chips(page)).to_have_text(["Sequential", "3", "3.mlp"])
    expect(page.locator(".avx-detail strong")).to_have_text("3.mlp.2")
    assert inside(box(page, "3.mlp.2"))
    field.fill("nothing of the kind")
    field.press("Enter")
    expect(page.locator(".avx-note")).to_contain_text("Nothing in this page is called")
    expect(chips(page)).to_have_count(3)


def test_what_the_page_does_not_hold_is_said(opening):
    page = opening()
    box(page, "3.mlp").click()
    expect(chips(page)).to_have_count(3)
    repeated = page.locator(".avx-figure [data-box]", has=page.locator(".av-stack")).first
    repeated.click()
    which = page.locator(".avx-which")
    which.fill(which.get_attribute("max") or "")
    which.press("Enter")
    note = page.locator(".avx-note")
    expect(note.or_(page.locator(".avx-chip-name").nth(3)).first).to_be_visible()
    if chips(page).count() == 3:
        expect(note).to_contain_text("save_html(path, limit=...)")
    assert page.locator(".avx-error").text_content() == ""


def test_checkboxes_hide_leaves_and_views(opening):
    page = opening()
    box(page, "3.norm").wait_for()
    leaves = page.locator(".avx-figure .av-ring")
    before = page.locator(".avx-figure [data-box^=item]").count()
    page.get_by_role("checkbox", name="views").click()
    expect(page.get_by_role("checkbox", name="views")).not_to_be_checked()
    assert page.locator(".avx-figure [data-box^=item]").count() <= before
    page.get_by_role("checkbox", name="leaves").click()
    expect(leaves).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("wide", [1280, 700])
def test_it_fits_the_window(opening, wide, theme):
    page = opening(viewport={"width": wide, "height": 900}, color_scheme=theme)
    box(page, "3.mlp").click()
    expect(chips(page)).to_have_count(3)
    page.mouse.move(0, 0)
    page.screenshot(path=SCREENSHOTS / f"folded-{wide}-{theme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_full_screen(opening):
    page = opening()
    page.locator(".avx").focus()
    page.keyboard.press("f")
    filled(page)
    page.screenshot(path=SCREENSHOTS / "folded-full.png")
    high = page.locator(".avx-figure").bounding_box()
    assert high is not None
    assert high["height"] > 400


# JupyterLab


@pytest.fixture(scope="module")
def window(browser, tmp_path_factory) -> Iterator[lab.Lab]:
    folder = tmp_path_factory.mktemp("notebooks")
    lab.notebook(folder / "folded.ipynb", (MODEL, STEP))
    with lab.running(browser, folder, "folded.ipynb") as opened:
        opened.troubles.clear()
        yield opened


@pytest.fixture
def explorer(window) -> Locator:
    window.execute(
        "w.opened, w.inputs, w.step = ['Sequential'], {'leaves': True, 'views': True}, 1"
    )
    found: Locator = window.page.locator(".avx")
    expect(chips(found)).to_have_text(["Sequential"])
    expect(where(found)).to_contain_text("step 1 of")
    return found


def test_groups_open_and_close_in_lab(window, explorer, grads):
    explorer.locator(".avx-figure [data-box]", has=window.page.locator(".av-stack")).first.click()
    which = explorer.locator(".avx-which")
    which.fill("4")
    which.press("Enter")
    expect(chips(explorer)).to_have_text(["Sequential", "4"])
    box(explorer, "4.mlp").click()
    expect(chips(explorer)).to_have_text(["Sequential", "4", "4.mlp"])
    explorer.locator(".avx").or_(explorer).first.focus()
    window.page.keyboard.press("End")
    expect(box(explorer, "4.mlp.2")).to_contain_text(grads["4.mlp.2"])
    said = "print(w.opened, w.step == len(w.scene['views'][0]['frames']))"
    window.becomes(said, "['Sequential', '4', '4.mlp'] True")
    explorer.screenshot(path=SCREENSHOTS / "folded-lab.png")
    explorer.get_by_role("button", name="Close 4", exact=True).first.click()
    expect(chips(explorer)).to_have_text(["Sequential"])
    window.becomes("print(w.opened)", "['Sequential']")


def test_the_kernel_finds_what_is_hidden(window, explorer):
    field = explorer.get_by_role("combobox", name="Find a group, function or leaf")
    field.fill("5.mlp.0.wei")
    field.press("Enter")
    expect(chips(explorer)).to_have_text(["Sequential", "5", "5.mlp", "5.mlp.0"])
    expect(explorer.locator(".avx-detail strong")).to_have_text("5.mlp.0.weight")
    assert inside(box(explorer, "5.mlp.0.weight"))


def test_python_opens_and_names_what_cannot_be(window, explorer):
    window.execute("w.opened = ['2.norm']")
    expect(chips(explorer)).to_have_text(["Sequential", "2", "2.norm"])
    assert "there is no group" in window.execute("w.opened = ['norm.2']")
    expect(chips(explorer)).to_have_text(["Sequential", "2", "2.norm"])


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_takes_labs_theme(window, explorer, theme):
    window.execute("w.opened = ['3.mlp']\nw.step = 9")
    expect(chips(explorer)).to_have_count(3)
    window.run("apputils:change-theme", theme=f"JupyterLab {theme}")
    expect(window.page.locator(f".avx.av-{theme.lower()}").first).to_be_attached()
    after(window.page, 300)
    explorer.scroll_into_view_if_needed()
    window.page.screenshot(path=SCREENSHOTS / f"folded-lab-{theme.lower()}.png")
    window.run("apputils:change-theme", theme="JupyterLab Light")
