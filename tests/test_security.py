"""The threat table of SECURITY.md: each test that it names is there; texts that try to be code."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import autograd_viz as av

ROOT = Path(__file__).parents[1]
HOSTILE = (
    "</script></title><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload=alert(1)"
)


class Elements(HTMLParser):
    """The elements of a page with their attributes, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def rows() -> list[list[str]]:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_each_threat_names_a_test_that_is_there():
    assert len(rows()) >= 10
    for row in rows():
        assert len(row) == 4, row
        shown = re.findall(r"`([^`]+)`", row[3])
        assert shown, row
        for one in shown:
            path, _, name = one.partition("::")
            assert (ROOT / path).exists(), one
            if name:
                tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
                assert name in {
                    each.name for each in tree.body if isinstance(each, ast.FunctionDef)
                }, one


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    def f(x, how):
        if x > 2:
            raise ValueError(HOSTILE)
        return x * x

    f.__name__ = f.__qualname__ = HOSTILE
    w = av.explore(f, x=(0.0, 4.0, 1.0), how=[(HOSTILE, 1), ("two", 2)])
    path = w.save_html(tmp_path_factory.mktemp("page") / "page.html")
    text: str = path.read_text("utf-8")
    return text


def test_no_text_becomes_markup_in_a_page(page):
    found = Elements(page).found
    assert [tag for tag, _ in found] == [
        "html", "head", *["meta"] * 4, "title", "style", "body", "main", "script", "script"
    ]  # fmt: skip
    attributes = {name for _, attrs in found for name in attrs}
    assert attributes == {"lang", "charset", "name", "content", "http-equiv", "type"}
    assert "onerror" in page  # it was shown, and escaped


def test_a_page_lets_nothing_be_loaded(page):
    (policy,) = (
        attrs["content"]
        for tag, attrs in Elements(page).found
        if tag == "meta" and "http-equiv" in attrs
    )
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert set(rules.values()) <= {"'none'", "'unsafe-inline'"}
