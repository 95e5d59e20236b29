"""Pictures in the fonts of other machines: each gap stays, and letters are hardly squeezed."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pypdf
import pytest
import torch
from playwright.sync_api import Browser, Page

import autograd_viz as av
from tests.browser.visits import visit

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
# Wide as the fonts of phones, and what stands for Times on a Linux without other fonts.
WIDE = {"normal": "DejaVuSerif.ttf", "italic": "DejaVuSerif-Italic.ttf"}


@pytest.fixture(params=["own", "wide"])
def page(request, browser: Browser, tmp_path) -> Iterator[Page]:
    """A picture in the machine's own font, or in a wide one that takes the name of Times."""
    a, b = (torch.tensor(value, requires_grad=True) for value in (2.0, 4.0))
    area = a * b
    rate = torch.log2(a + b)
    price = area * rate
    faces = "".join(
        f"@font-face{{font-family:'Times New Roman';font-style:{style};"
        f"src:url(data:font/ttf;base64,{base64.b64encode((FONTS / name).read_bytes()).decode()})}}"
        for style, name in WIDE.items()
    )
    style = f"<style>{faces}</style>" if request.param == "wide" else ""
    svg = av.trace(price).variables().picture().svg
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{style}<body>{svg}", "utf-8")
    with visit(browser, path.as_uri()) as page:
        page.evaluate("document.fonts.ready")
        page.screenshot(path=SCREENSHOTS / f"font-{request.param}.png")
        yield page


def test_each_sign_keeps_its_gap(page):
    boxes = page.locator("svg text").evaluate_all(
        "(all) => all.map((one) => [one.getBoundingClientRect(), one.getAttribute('y')])"
    )
    lines = list(zip(page.locator("svg text").all_text_contents(), boxes, strict=True))
    signs = [place for place, (text, _) in enumerate(lines) if text == "="]
    assert len(signs) == 3
    for place in signs:
        before, sign, after = (box for _, (box, _) in lines[place - 1 : place + 2])
        assert sign["left"] - before["right"] > 4
        assert after["left"] - sign["right"] > 4


def test_letters_are_hardly_squeezed(page):
    squeezed = page.locator("svg text").evaluate_all(
        """(all) => all.filter((one) => one.textContent.length > 1).map((one) => {
          const given = one.textLength.baseVal.value;
          one.removeAttribute("textLength");
          return given / one.getComputedTextLength();
        })"""
    )
    assert len(squeezed) > 5
    assert min(squeezed) > 0.8
    assert max(squeezed) < 1.2


def test_print_keeps_the_words_apart(page):
    words = pypdf.PdfReader(io.BytesIO(page.pdf())).pages[0].extract_text()
    assert "price = area · rate" in re.sub(r"\s+", " ", words)
