"""Decks, read by programs that know nothing of us: pypdf, Pillow and a browser."""

from __future__ import annotations

import itertools
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
import torch
from PIL import Image, ImageChops, ImageSequence
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader

import autograd_viz as av
from autograd_viz import decks
from autograd_viz.picture import Picture, Strip
from tests.browser import chromium

INCHES = 1 / 96  # a pixel of SVG


def f(a=2.0, b=4.0):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


@pytest.fixture(scope="module")
def widget():
    return av.explore(f, a=2.0, b=4.0)


def size_of(text: str) -> tuple[float, float]:
    root = ET.fromstring(text)
    return float(root.attrib["width"]), float(root.attrib["height"])


def traced() -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.tensor(3.0, requires_grad=True)
    e = a * a
    return e, a


def test_a_pdf_has_a_page_for_each_step(widget, tmp_path):
    path = widget.save(tmp_path / "backward.pdf")
    pages = PdfReader(path).pages
    assert len(pages) == 7
    wide, high = size_of(widget.snapshot().svg)
    for page in pages:
        inches = [float(side) / 72 for side in (page.mediabox.width, page.mediabox.height)]
        assert inches == pytest.approx([wide * INCHES, high * INCHES], abs=0.01)
    texts = [page.extract_text() for page in pages]
    assert ["10.6562" in text for text in texts] == [False] * 6 + [True]
    assert ["4.1640" in text for text in texts] == [False] * 4 + [True] * 3
    facts = PdfReader(path).metadata
    assert facts is not None
    assert facts.title == "Backward pass from e"


def test_the_frames_are_those_of_the_view(widget, tmp_path):
    widget.view = "computation"
    try:
        pages = PdfReader(widget.save(tmp_path / "computation.pdf")).pages
    finally:
        widget.view = "backward"
    assert ["= 12" in page.extract_text() for page in pages] == [False, False, False, True]


def test_a_gif_shows_the_steps_and_the_last_one_longest(widget, tmp_path):
    with Image.open(widget.save(tmp_path / "backward.gif", seconds=0.5)) as gif:
        assert gif.info["loop"] == 0
        shots, times = [], []
        for frame in ImageSequence.Iterator(gif):
            times.append(frame.info["duration"])
            shots.append(frame.convert("RGB"))
    assert times == [500] * 6 + [1500]
    wide, high = size_of(widget.snapshot().svg)
    assert {shot.size for shot in shots} == {(round(wide * 1.5), round(high * 1.5))}
    for one, other in itertools.pairwise(shots):
        assert ImageChops.difference(one, other).getbbox() is not None


def test_a_folder_holds_numbered_frames(widget, tmp_path):
    folder = tmp_path / "frames"
    assert widget.save(f"{folder}/") == folder
    names = [f"frame-{number}.png" for number in range(1, 8)]
    assert sorted(path.name for path in folder.iterdir()) == names
    sizes = set()
    for name in names:
        with Image.open(folder / name) as image:
            sizes.add(image.size)
    assert len(sizes) == 1
    widget.save(tmp_path / "one.png")  # what it shows now, which is the last step
    assert (tmp_path / "one.png").read_bytes() == (folder / "frame-7.png").read_bytes()
    widget.save(folder, numbered="svg")  # it is there already, so it needs no slash
    drawings = [(folder / name.replace("png", "svg")).read_text("utf-8") for name in names]
    assert len(set(map(size_of, drawings))) == 1
    assert [ET.fromstring(one)[0].text for one in drawings][-1] == widget.snapshot(7).title


def test_frames_of_another_deck_are_not_mixed_in(widget, tmp_path):
    (tmp_path / "frame-8.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"frame-8\.png of another deck.*7 frames"):
        widget.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["frame-8.png"]


def drawn(output: torch.Tensor) -> Picture:
    drawing = av.graph(output).picture()
    assert isinstance(drawing, Picture)
    return drawing


def test_ten_frames_sort_in_their_order(tmp_path):
    frame = drawn(traced()[0])
    decks.save(Strip("ten", "", (frame,) * 10), tmp_path, numbered="svg")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert (names[0], names[9]) == ("frame-01.svg", "frame-10.svg")


def test_all_pages_are_as_large_as_the_largest_frame(tmp_path):
    e, a = traced()
    small, large = drawn(a.exp()), drawn(e)
    pages = PdfReader(decks.save(Strip("", "", (small, large)), tmp_path / "x.pdf")).pages
    assert pages[0].mediabox == pages[1].mediabox
    assert float(pages[0].mediabox.width) / 72 == pytest.approx(
        max(size_of(small.svg)[0], size_of(large.svg)[0]) * INCHES, abs=0.01
    )


def test_the_variables_of_a_trace(tmp_path):
    variables = av.trace(traced()[0]).variables()
    assert len(PdfReader(variables.save(tmp_path / "x.pdf", frame="all")).pages) == 3
    with Image.open(variables.save(tmp_path / "x.gif", frame="all")) as gif:
        assert len(list(ImageSequence.Iterator(gif))) == 3
    # side by side, as in a notebook
    drawing = variables.save(tmp_path / "x.svg", frame="all").read_text("utf-8")
    assert drawing == variables.picture(frame="all").svg


def test_the_same_bytes_each_time(widget, tmp_path):
    for name in ("x.pdf", "x.gif", "x.svg"):
        first = widget.save(tmp_path / name).read_bytes()
        assert widget.save(tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("name", ["backward", "backward.txt", "backward.pdf.zip"])
def test_an_unknown_ending_is_an_error(widget, tmp_path, name):
    with pytest.raises(ValueError, match=r'save\("backward.pdf"\), or save\("frames/"\)'):
        widget.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_one_picture_has_no_frames(tmp_path):
    trace = av.trace(traced()[0])
    for path in (tmp_path / "x.gif", tmp_path, f"{tmp_path}/new/"):
        with pytest.raises(ValueError, match=r"one picture.*av\.step\(e\)\.save"):
            trace.save(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0, -1, True, "2", float("nan")])
def test_a_frame_needs_time(widget, tmp_path, seconds):
    with pytest.raises(ValueError, match=r"seconds=.*: give how long"):
        widget.save(tmp_path / "x.gif", seconds=seconds)


def test_frames_are_png_or_svg(widget, tmp_path):
    with pytest.raises(ValueError, match=r"numbered='jpg'"):
        widget.save(tmp_path, numbered="jpg")


def test_without_pillow_the_error_names_the_line_to_type(widget, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pillow"):
        widget.save(tmp_path / "x.gif")


# An SVG that moves

SEEN = """(time) => {
  for (const one of document.getAnimations()) one.pause(), one.currentTime = time * 1000;
  return [...document.querySelectorAll(".av-page")].flatMap((page, number) =>
    getComputedStyle(page).visibility === "visible" ? [number + 1] : []);
}"""


@pytest.fixture(scope="module")
def film(widget, tmp_path_factory) -> str:
    path = widget.save(tmp_path_factory.mktemp("film") / "backward.svg", seconds=1)
    address: str = path.as_uri()
    return address


@pytest.fixture(scope="module")
def browser(chrome) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium.launched(playwright, chrome)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chrome() -> str:
    return chromium.path()


@pytest.mark.parametrize(
    ("time", "frame"), [(0, 1), (0.9, 1), (1.1, 2), (5.5, 6), (6.1, 7), (8.9, 7), (9.1, 1), (16, 7)]
)
def test_the_frames_follow_each_other_again_and_again(browser, film, time, frame):
    page = browser.new_page()
    page.goto(film)
    assert page.evaluate(SEEN, time) == [frame]
    page.close()


def test_what_is_seen_is_the_frame(browser, film, widget, tmp_path):
    wide, high = map(int, size_of(widget.snapshot().svg))
    page = browser.new_page(viewport={"width": wide, "height": high}, color_scheme="light")
    shots = []
    (tmp_path / "third.svg").write_text(widget.snapshot(3).svg, encoding="utf-8")
    for address, time in ((film, 2.5), ((tmp_path / "third.svg").as_uri(), 0)):
        page.goto(address)
        page.evaluate(SEEN, time)
        shots.append(page.screenshot())
    assert shots[0] == shots[1]
    page.close()


def test_less_motion_and_print_show_the_result(browser, film):
    page = browser.new_page(reduced_motion="reduce")
    page.goto(film)
    assert page.evaluate(SEEN, 1.5) == [7]
    page.close()
    page = browser.new_page()
    page.goto(film)
    page.emulate_media(media="print")
    assert page.evaluate(SEEN, 1.5) == [7]
    page.close()


def test_several_films_stand_in_one_page(browser, widget, tmp_path):
    short = av.step(traced()[0]).save(tmp_path / "a.svg", seconds=2).read_text("utf-8")
    long = widget.save(tmp_path / "b.svg", seconds=1).read_text("utf-8")
    page = browser.new_page()
    page.set_content(f"<main>{short}{long}</main>")
    seen = page.evaluate(SEEN, 4.5)
    assert seen == [3, short.count('class="av-page"') + 5]
    assert " id=" not in short
    page.close()


def test_a_film_says_all_its_frames_in_words(film, widget, tmp_path):
    text = widget.save(tmp_path / "x.svg").read_text("utf-8")
    root = ET.fromstring(text)
    description = root.find("{http://www.w3.org/2000/svg}desc")
    assert description is not None
    assert re.findall(r"step (\d) of 7", description.text or "") == list("1234567")
