"""The Explorer in a real browser, without a kernel; where one is needed, it is played by a script.

Numbers are compared with torch's own. Screenshots go to build/screenshots.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from autograd_viz import text
from autograd_viz.widgets import page as pages
from tests.browser import scene_fixture
from tests.browser.visits import after, filled, visit

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
GRADIENT = {name: f"variable-{place} ∂e/∂{name} =" for place, name in enumerate("ab")}

# Several widgets, models whose answers the test gives, and what a widget looks like as text.
KIT = """
const data = JSON.parse(document.querySelector('script[type="application/json"]').textContent);
window.ends = [];
window.models = [];
window.mount = (model) => {
  const el = document.createElement("div");
  document.querySelector("main").append(el);
  window.models.push(model);
  window.ends.push(render({ model, el }));
  return el;
};
window.plain = (traits = {}) => staticModel({ ...data, ...traits });
window.scripted = (traits = {}) => {
  const inner = staticModel({ ...data, ...traits });
  const entry = inner.get("states");
  const hearers = new Set();
  const model = {
    ...inner,
    asks: [],
    get: (name) => (name === "states" ? undefined : inner.get(name)),
    on: (event, f) => (event === "msg:custom" ? hearers.add(f) : inner.on(event, f)),
    off: (event, f) => (event === "msg:custom" ? hearers.delete(f) : inner.off(event, f)),
    send: (ask) => model.asks.push(structuredClone(ask)),
    tell: (message) => [...hearers].forEach((hear) => hear(message)),
    answer: (ask, instead) => model.tell({
      type: "answer", seq: ask.seq, tick: ask.tick, opened: ask.opened,
      ...(instead ?? entry(keyOf(ask.opened, ask.tick))),
    }),
    entry: (tick, opened = []) => entry(keyOf(opened, tick)),
  };
  return model;
};
window.ready = true;
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Any]:
    return scene_fixture.data(scene_fixture.page(tmp_path_factory.mktemp("made") / "page.html"))


@pytest.fixture(scope="module")
def files(data, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    html = pages.page(data, "The main example")
    begin, _, _ = html.rpartition('<script type="module">')
    kit = f'{begin}<script type="module">{pages.script()}{KIT}</script></body></html>'
    written = {"page": folder / "page.html", "kit": folder / "kit.html"}
    written["page"].write_text(html, encoding="utf-8")
    written["kit"].write_text(kit, encoding="utf-8")
    return written


@pytest.fixture
def opening(browser, files) -> Iterator[Any]:
    """Opens a file; in the end there were no errors and no requests but for the file itself."""
    with ExitStack() as windows:

        def opened(name: str = "page", **options: Any) -> Page:
            page = windows.enter_context(visit(browser, files[name].as_uri(), **options))
            if name == "page":
                page.wait_for_selector(".avx-drawing")
            else:
                page.wait_for_function("window.ready")
            return page

        yield opened


def gradient(value: float) -> str:
    return text.number(value)


def read(page: Page, key: str, widget: int = 0) -> str:
    """The number under a key, "" while it is not there yet."""
    script = """([key, widget]) => {
      const root = document.querySelectorAll(".avx")[widget];
      const found = [...root.querySelectorAll(".avx-figure [data-key]")]
        .find((one) => one.dataset.key === key);
      return found && getComputedStyle(found).visibility === "visible" ? found.textContent : "";
    }"""
    return page.evaluate(script, [key, widget])


def lit(page: Page) -> dict[str, list[str]]:
    return page.evaluate("""() => ({
      boxes: [...document.querySelectorAll(".avx-figure [data-box]")]
        .filter((one) => one.querySelector(".av-lit")).map((one) => one.dataset.box).sort(),
      lines: [...document.querySelectorAll(".avx-line.avx-lit code")].map((one) => one.textContent),
    })""")


def settle(page: Page) -> None:
    page.evaluate("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")


def looks(page: Page, widget: int = 0) -> list[str]:
    """All that a widget shows, whatever the order in which attributes and classes were set."""
    after(page, 750)  # until what was changed is announced
    script = """(widget) => {
      const root = document.querySelectorAll(".avx")[widget];
      const lines = [];
      const look = (node) => {
        if (node.nodeType === Node.TEXT_NODE) return lines.push(node.data);
        const classes = [...node.classList].sort().join(".");
        const others = [...node.attributes].filter((one) => one.name !== "class");
        const said = others.map((one) => `${one.name}=${one.value}`).sort().join(" ");
        lines.push(`${node.tagName}.${classes} ${said} ${node.value ?? ""}`);
        node.childNodes.forEach(look);
      };
      look(root);
      return lines;
    }"""
    return page.evaluate(script, widget)


# Steps and views


def test_the_backward_pass_frame_by_frame(opening):
    page = opening()
    page.focus(".avx")
    a, b = map(gradient, scene_fixture.gradients(2.0, 4.0))
    found = []
    for _ in range(7):
        found.append(
            [bool(read(page, f"variable-{n} ∂e/∂{name} =")) for n, name in enumerate("abcde")]
        )
        page.keyboard.press("ArrowRight")
    e, cd = [False] * 4 + [True], [False, False, True, True, True]
    assert found == [
        e,
        e,
        cd,
        cd,
        [False, True, True, True, True],
        [False, True, True, True, True],
        [True] * 5,
    ]
    assert read(page, GRADIENT["a"]).endswith(f"= {a}")
    assert read(page, GRADIENT["b"]).endswith(f"= {b}")
    assert page.inner_text(".avx-where") == "step 7 of 7"


def test_what_a_step_is_about_is_lit_in_picture_and_code(opening):
    page = opening()
    page.focus(".avx")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    now = lit(page)
    assert {"variable-2", "variable-3", "link-4", "link-5"} <= set(now["boxes"])
    assert sum(box.startswith("arrow-") for box in now["boxes"]) == 2
    assert [line.strip() for line in now["lines"]] == [
        "c = a + b",
        "d = torch.log2(a) * torch.log2(b)",
    ]
    assert page.locator(".avx-rules svg").count() == 2
    assert "step 3 of 7: ∂e/∂c = 2; ∂e/∂d = 6" in (page.text_content(".avx-live") or "")


def test_keys_and_buttons_step(opening):
    page = opening()
    page.focus(".avx")
    where = page.locator(".avx-where")
    for press, step in [("End", 7), ("PageUp", 6), ("ArrowLeft", 5), ("Home", 1), ("PageDown", 2)]:
        page.keyboard.press(press)
        expect(where).to_have_text(f"step {step} of 7")
    for name, step in [("last", 7), ("back", 6), ("first", 1), ("forward", 2)]:
        page.click(f".avx-{name}")
        expect(where).to_have_text(f"step {step} of 7")
    page.focus(".avx-steps")
    page.keyboard.press("ArrowRight")
    expect(where).to_have_text("step 3 of 7")


def test_it_plays_to_the_end_and_pauses(opening):
    page = opening()
    page.select_option(".avx-speed", "4")
    page.focus(".avx")
    page.keyboard.press("Space")
    expect(page.locator(".avx-play")).to_have_text("Pause")
    expect(page.locator(".avx-where")).to_have_text("step 7 of 7")
    expect(page.locator(".avx-play")).to_have_text("Play")
    page.keyboard.press("Space")  # from the start again
    expect(page.locator(".avx-where")).to_have_text("step 1 of 7")
    page.keyboard.press("Space")
    expect(page.locator(".avx-play")).to_have_text("Play")


def test_views_switch_and_come_back_to_their_step(opening):
    page = opening()
    page.focus(".avx")
    page.keyboard.press("End")
    page.keyboard.press("1")
    expect(page.locator(".avx-where")).to_have_text("step 4 of 4")
    assert read(page, "variable-4 e =") == "12"
    page.keyboard.press("4")
    assert read(page, "node-3 a.grad +=") == gradient(scene_fixture.gradients(2.0, 4.0)[0])
    page.get_by_role("radio", name="Backward pass").click()
    expect(page.locator(".avx-where")).to_have_text("step 7 of 7")
    page.keyboard.press("ArrowRight")  # on the tabs, arrows choose the view
    expect(page.get_by_role("radio", name="Functions")).to_be_checked()
    expect(page.get_by_role("radio", name="Functions")).to_be_focused()


# Inputs


def test_a_slider_by_keyboard_and_by_mouse_shows_torchs_numbers(opening):
    page = opening()
    page.focus(".avx")
    page.keyboard.press("End")
    slider = page.get_by_role("slider", name="a", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert read(page, GRADIENT["a"]).endswith(f"= {gradient(scene_fixture.gradients(2.5, 4.0)[0])}")
    expect(page.locator(".avx-where")).to_have_text("step 7 of 7")
    other = page.get_by_role("slider", name="b", exact=True)
    box = other.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, middle, steps=12)
    page.mouse.up()
    settle(page)
    a, b = scene_fixture.gradients(2.5, 8.0)
    assert read(page, GRADIENT["a"]).endswith(f"= {gradient(a)}")
    assert read(page, GRADIENT["b"]).endswith(f"= {gradient(b)}")
    expect(page.get_by_label("b, exact value")).to_have_value("8")


def test_every_tick_of_a_slider_shows_torchs_numbers(opening):
    page = opening()
    page.focus(".avx")
    page.keyboard.press("End")
    slider = page.get_by_role("slider", name="a", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    for position in range(8):
        settle(page)
        expected = scene_fixture.gradients(0.5 + 0.5 * position, 4.0)[0]
        assert read(page, GRADIENT["a"]).endswith(f"= {gradient(expected)}")
        page.keyboard.press("ArrowRight")


def test_typing_snaps_where_there_is_no_kernel(opening):
    page = opening()
    field = page.get_by_label("a, exact value")
    field.fill("2,9")
    field.press("Enter")
    settle(page)
    expect(field).to_have_value("3")
    field.fill("much")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    page.focus(".avx")
    expect(field).to_have_value("3")


def test_trouble_is_marked_where_it_arises_and_said(opening):
    page = opening()
    page.focus(".avx")
    page.keyboard.press("End")
    page.get_by_role("slider", name="b", exact=True).focus()
    page.keyboard.press("Home")  # log2(0)
    settle(page)
    assert page.inner_text(".avx-trouble") == "log2(b) is -inf at b = 0"
    assert page.locator(".avx-figure [data-box] > .av-alarm").count() > 0
    page.keyboard.press("End")
    settle(page)
    assert page.inner_text(".avx-trouble") == ""
    assert page.locator(".avx-figure .av-alarm").count() == 0


def test_typing_an_exact_value_asks_the_kernel(opening):
    page = opening("kit")
    page.evaluate("mount(scripted())")
    page.get_by_label("a, exact value").fill("2.34")
    page.get_by_label("a, exact value").press("Enter")
    settle(page)
    asks = page.evaluate("models[0].asks")
    assert [(ask["tick"], ask["inputs"]) for ask in asks] == [("=2.34|4", {"a": 2.34, "b": 4})]
    page.evaluate("models[0].answer(models[0].asks[0], models[0].entry('0|4'))")
    expect(page.get_by_label("a, exact value")).to_have_value("2.34")


def move(page: Page, **inputs: float) -> None:
    page.evaluate(
        "(inputs) => models[0].set('inputs', {...models[0].get('inputs'), ...inputs})", inputs
    )
    settle(page)


def test_fast_moves_ask_for_the_first_and_the_last_tick_alone(opening):
    page = opening("kit")
    page.evaluate("mount(scripted({step: 7}))")
    for value in (2.5, 3.0, 3.5, 4.0):
        move(page, a=value)
    assert page.evaluate("models[0].asks.map((ask) => ask.tick)") == ["4|4"]
    page.evaluate("models[0].answer(models[0].asks[0])")
    assert page.evaluate("models[0].asks.map((ask) => ask.tick)") == ["4|4", "7|4"]
    assert read(page, GRADIENT["a"]).endswith(gradient(scene_fixture.gradients(2.5, 4.0)[0]))
    page.evaluate("models[0].answer(models[0].asks[1])")
    assert read(page, GRADIENT["a"]).endswith(gradient(scene_fixture.gradients(4.0, 4.0)[0]))


def test_a_late_answer_is_kept_but_not_painted(opening):
    page = opening("kit")
    page.evaluate("mount(scripted({step: 7}))")
    move(page, a=2.5)
    move(page, a=2.0)  # known: painted at once
    page.evaluate("models[0].answer(models[0].asks[0])")
    settle(page)
    assert read(page, GRADIENT["a"]).endswith(gradient(scene_fixture.gradients(2.0, 4.0)[0]))
    move(page, a=2.5)  # now it is known
    assert page.evaluate("models[0].asks.length") == 1
    assert read(page, GRADIENT["a"]).endswith(gradient(scene_fixture.gradients(2.5, 4.0)[0]))


def test_states_sent_while_idle_need_no_question(opening):
    page = opening("kit")
    page.evaluate("mount(scripted({step: 7}))")
    page.evaluate(
        "models[0].tell({type: 'states', opened: [], states: "
        "{'4|4': models[0].entry('4|4').state}})"
    )
    move(page, a=2.5)
    assert page.evaluate("models[0].asks.length") == 0
    assert read(page, GRADIENT["a"]).endswith(gradient(scene_fixture.gradients(2.5, 4.0)[0]))


def test_an_exception_is_shown_with_its_line_and_the_picture_stays(opening):
    page = opening("kit")
    page.evaluate("mount(scripted({step: 7}))")
    before = read(page, GRADIENT["a"])
    move(page, a=2.5)
    line = scene_fixture.f.__code__.co_firstlineno + 2
    page.evaluate(
        """(line) => models[0].answer(
          models[0].asks[0], { error: { line, text: "ValueError: <b>no</b>" } })""",
        line,
    )
    expect(page.locator(".avx-error")).to_have_text(f"line {line}: ValueError: <b>no</b>")
    expect(page.locator(".avx.is-stale")).to_have_count(1)
    expect(page.locator(".avx-wrong code")).to_contain_text("d = ")
    assert read(page, GRADIENT["a"]) == before
    move(page, a=2.0)
    expect(page.locator(".avx.is-stale")).to_have_count(0)
    expect(page.locator(".avx-error")).to_have_text("")
    move(page, a=2.5)  # an error may pass: it is asked again
    assert page.evaluate("models[0].asks.length") == 2


def test_another_form_of_the_computation_comes_with_its_note(opening):
    page = opening("kit")
    page.evaluate("mount(scripted({step: 7}))")
    move(page, a=2.5)
    page.evaluate("""() => {
      const scene = {...models[0].get("scenes")[0], id: 99, note: "Another branch: c is new."};
      const state = {...models[0].entry("4|4").state, scene: 99};
      models[0].answer(models[0].asks[0], {scene, state});
    }""")
    expect(page.locator(".avx-note")).to_have_text("Another branch: c is new.")
    expect(page.locator(".avx-where")).to_have_text("step 7 of 7")
    assert read(page, GRADIENT["a"]).endswith(gradient(scene_fixture.gradients(2.5, 4.0)[0]))


def test_python_sets_what_the_widget_shows(opening):
    page = opening("kit")
    page.evaluate("mount(scripted())")
    page.evaluate("""() => {
      models[0].set("inputs", {a: 3, b: 4});
      models[0].set("state", {...models[0].entry("5|4").state, tick: "5|4", opened: []});
      models[0].set("view", "computation");
      models[0].set("step", 4);
    }""")
    settle(page)
    assert page.evaluate("models[0].asks.length") == 0
    assert read(page, "variable-2 c =") == "7"
    expect(page.get_by_label("a, exact value")).to_have_value("3")


# Details


def test_an_oval_opens_into_its_operations_and_closes(opening):
    page = opening()
    page.focus(".avx")
    page.keyboard.press("End")
    page.click('.avx-figure [data-box="variable-3"]')
    expect(page.locator(".avx-detail")).to_contain_text("d = log2(a) * log2(b)")
    page.get_by_role("button", name="Show the operations inside d").click()
    settle(page)
    expect(page.locator(".avx-where")).to_have_text("step 7 of 9")
    expect(page.locator(".avx-detail")).to_contain_text("d = log2(a) * log2(b)")
    assert read(page, "variable-4 ∂e/∂log2(b) =") == "6"
    page.get_by_role("button", name="Show d as one oval").click()
    settle(page)
    expect(page.locator(".avx-where")).to_have_text("step 7 of 7")
    page.keyboard.press("Escape")
    expect(page.locator(".avx-detail")).to_be_hidden()


def test_boxes_are_reached_and_opened_by_keyboard(opening):
    page = opening()
    page.focus('.avx-figure [data-box="variable-2"]')
    page.keyboard.press("Enter")
    expect(page.locator(".avx-detail")).to_contain_text("AddBackward0")
    expect(page.locator('.avx-figure [data-box="variable-2"]')).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("Escape")
    expect(page.locator(".avx-detail")).to_be_hidden()
    page.keyboard.press("Space")
    expect(page.locator(".avx-detail")).to_be_visible()
    expect(page.locator(".avx-play")).to_have_text("Play")


def test_the_paths_and_their_sum(opening):
    page = opening()
    page.click(".avx-paths summary")
    rows = page.locator(".avx-path-list > div").all_inner_texts()
    assert rows[:4] == [
        "to a",
        "e → c → a: 1 · 2 · 1 = 2",
        "e → d → a: 1 · 6 · 1.4427 = 8.6562",
        "∂e/∂a = 2 + 8.6562 = 10.6562",
    ]


# Sizes and themes


@pytest.mark.parametrize(("wide", "high"), [(600, 900), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_leaves_the_page(opening, wide, high, theme):
    page = opening(viewport={"width": wide, "height": high}, color_scheme=theme)
    page.focus(".avx")
    for key in "1234":
        page.keyboard.press(key)
        page.keyboard.press("End")
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(over) == 0
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"page-{wide}-{theme}-{key}.png", full_page=True)
    assert page.locator(f".avx.av-{theme}").count() == 1


def test_on_a_phone_the_drawing_keeps_a_size_that_can_be_read(opening):
    page = opening(viewport={"width": 390, "height": 844})
    page.focus(".avx")
    for key in "1234":
        page.keyboard.press(key)
        page.keyboard.press("End")
        natural, shown, frame = page.evaluate(
            """() => {
              const drawing = document.querySelector(".avx-drawing");
              return [
                parseFloat(getComputedStyle(drawing).getPropertyValue("--avx-wide")),
                drawing.getBoundingClientRect().width,
                document.querySelector(".avx-figure").clientWidth,
              ];
            }"""
        )
        assert shown >= 0.45 * natural - 1
        assert shown >= min(natural * 0.75, frame) - 1  # as wide as it may be, not smaller
        page.screenshot(path=SCREENSHOTS / f"page-phone-{key}.png", full_page=True)
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) == 0


@pytest.mark.parametrize("full", [False, True])
def test_stepping_moves_nothing(opening, full):
    page = opening()
    page.focus(".avx")
    if full:
        page.keyboard.press("f")
        filled(page)
    places = """() => [...document.querySelectorAll(
      ".avx, .avx-stepping, .avx-figure, .avx-rules, .avx-source, .avx-paths, [data-box]"
    )].map((one) => JSON.stringify(one.getBoundingClientRect()))"""
    before = page.evaluate(places)
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        assert page.evaluate(places) == before
    slider = page.get_by_role("slider", name="a", exact=True)
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        settle(page)
        assert page.evaluate(places) == before


def test_full_screen_fills_the_screen(opening):
    page = opening(viewport={"width": 1280, "height": 720})
    page.focus(".avx")
    page.keyboard.press("f")
    filled(page)
    box = page.locator(".avx").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (1280, 720)
    page.keyboard.press("End")
    page.screenshot(path=SCREENSHOTS / "full-1280.png")
    page.keyboard.press("f")
    expect(page.locator(".avx.is-full")).to_have_count(0)


def test_the_theme_follows_jupyterlab_and_what_is_given(opening):
    page = opening(color_scheme="dark")
    expect(page.locator(".avx.av-dark")).to_have_count(1)
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'true')")
    expect(page.locator(".avx.av-light")).to_have_count(1)
    page.evaluate("document.querySelector('main').setAttribute('data-theme', 'dark')")
    expect(page.locator(".avx.av-dark")).to_have_count(1)


def test_plus_and_minus_change_the_size(opening):
    page = opening()
    page.focus(".avx")
    wide = "document.querySelector('.avx-drawing').getBoundingClientRect().width"
    before = page.evaluate(wide)
    page.keyboard.press("-")
    assert page.evaluate(wide) < before
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert page.evaluate(wide) > before


# Where it must live


def test_it_works_in_a_sandboxed_iframe(opening, files):
    page = opening("kit")
    page.evaluate(
        """(html) => {
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          frame.srcdoc = html;
          frame.style = "width: 1000px; height: 800px";
          document.body.append(frame);
        }""",
        files["page"].read_text(encoding="utf-8"),
    )
    inside = page.frame_locator("iframe")
    inside.locator(".avx").focus()
    page.keyboard.press("End")
    expect(inside.locator(".avx-where")).to_have_text("step 7 of 7")
    inside.locator(".avx-full").click()  # refused there, so the page is filled instead
    expect(inside.locator(".avx.is-full.is-maximised")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(inside.locator(".avx.is-full")).to_have_count(0)


def test_ten_widgets_are_independent(opening):
    page = opening("kit")
    page.evaluate("for (let i = 0; i < 10; i++) mount(plain({step: 7}))")
    others = [looks(page, widget) for widget in (0, 9)]
    slider = page.get_by_role("slider", name="a", exact=True).nth(4)
    slider.focus()
    page.keyboard.press("End")
    page.keyboard.press("1")
    settle(page)
    assert read(page, "variable-0 a =", 4) == "4"
    assert [looks(page, widget) for widget in (0, 9)] == others


def test_after_500_interactions_it_looks_like_a_fresh_one(opening, data):
    page = opening("kit")
    page.evaluate("mount(plain())")
    rng = random.Random(4)
    keys = ["ArrowLeft", "ArrowRight", "Home", "End", "1", "2", "3", "4", "Escape", "PageDown"]
    for _ in range(500):
        what = rng.random()
        if what < 0.45:
            page.evaluate(
                """([name, value]) => {
                  const range = [...document.querySelectorAll(".avx-range")]
                    .find((one) => one.getAttribute("aria-label") === name);
                  range.value = value;
                  range.dispatchEvent(new Event("input", { bubbles: true }));
                }""",
                [rng.choice("ab"), rng.randrange(9)],
            )
        elif what < 0.85:
            page.evaluate(
                """(key) => document.querySelector(".avx").dispatchEvent(
                  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }))""",
                rng.choice(keys),
            )
        elif what < 0.95:
            page.evaluate(
                """(place) => {
                  const boxes = [...document.querySelectorAll(".avx-figure [role=button]")];
                  boxes[place % boxes.length].dispatchEvent(new Event("click", { bubbles: true }));
                }""",
                rng.randrange(100),
            )
        else:
            page.evaluate("document.querySelector('.avx-open')?.click()")
        if rng.random() < 0.3:
            settle(page)
    settle(page)
    page.evaluate(
        "document.querySelector('.avx')"
        ".dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))"
    )
    page.evaluate("""() => {
      const traits = {};
      for (const name of ["inputs", "step", "view", "opened"]) traits[name] = models[0].get(name);
      mount(plain(traits));
    }""")
    assert looks(page, 0) == looks(page, 1)


def test_nothing_is_left_behind(opening):
    page = opening("kit")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    use = """() => {
      const el = mount(plain());
      const root = el.querySelector(".avx");
      for (const key of ["4", "End", "1", "3", "Home", " "]) {
        root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      }
      const box = root.querySelector("[data-box=variable-3]");
      box.dispatchEvent(new Event("click", { bubbles: true }));
      root.querySelector(".avx-open").click();
      return new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => {
        ends.pop()();
        models.pop();
        el.remove();
        go();
      })));
    }"""

    def counts() -> dict[str, float]:
        after(page, 300)
        session.send("HeapProfiler.collectGarbage")
        found = session.send("Performance.getMetrics")["metrics"]
        return {
            one["name"]: one["value"]
            for one in found
            if one["name"] in ("Nodes", "JSEventListeners")
        }

    for _ in range(3):
        page.evaluate(use)
    begin = counts()
    for _ in range(20):
        page.evaluate(use)
    end = counts()
    assert end["JSEventListeners"] <= begin["JSEventListeners"]
    assert end["Nodes"] <= begin["Nodes"] + 50


def test_a_cached_tick_is_painted_in_one_frame(opening):
    page = opening("kit")
    page.evaluate("mount(plain({step: 7}))")
    late = page.evaluate("""async () => {
      const frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go, 0)));
      const seen = () => document.querySelector(".avx-figure").textContent;
      const painted = new Map(), late = [];
      for (let round = 0; round < 60; round++) {
        const value = 0.5 + (round % 8) * 0.5;
        models[0].set("inputs", { a: value, b: 4 });
        await frame();
        if (!painted.has(value)) {  // the first time it may take as long as it wants
          await new Promise((go) => setTimeout(go, 300));
          painted.set(value, seen());
        }
        if (seen() !== painted.get(value)) late.push(value);
      }
      return [late, new Set(painted.values()).size];
    }""")
    assert late == [[], 8]


def test_all_data_can_stand_in_a_page(data):
    html = pages.page({**data, "trap": "</script><!-- <script>"}, "a < b & c")
    assert "<title>a &lt; b &amp; c</title>" in html
    inside = html.split('<script type="application/json">')[1].split("</script>")[0]
    assert json.loads(inside)["trap"] == "</script><!-- <script>"
    assert len(html) < 1_000_000
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
