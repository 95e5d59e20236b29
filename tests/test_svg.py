"""The drawn SVG: valid XML, text inside of its boxes, colours, and the same bytes each time.

`Drawn` reads an SVG back into boxes, texts and arrows; the tests of the views use it too.
"""

import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.picture import Strip
from tests.examples import examples
from tests.test_transforms import main_example

NAMESPACE = "{http://www.w3.org/2000/svg}"
ASCENT, DESCENT = 0.7, 0.22  # em: what the layout takes a letter to reach


@dataclass
class Text:
    """A piece of text and the room it takes."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    baseline: float
    size: float


def parse(xml) -> Any:
    """The root of an XML text, which raises if it is not well-formed."""
    return ElementTree.fromstring(xml)


class Shape:
    """A box as it is drawn."""

    def __init__(self, group):
        self.data = {
            name.removeprefix("data-"): int(value)
            for name, value in group.items()
            if name.startswith("data-")
        }
        self.texts = [read_text(element) for element in group.iter(f"{NAMESPACE}text")]
        self.words = "".join(text.text for text in self.texts).replace(" ", "")
        self.rules = list(group.iter(f"{NAMESPACE}line"))
        outline = next(element for element in group if element.get("class") != "av-ring")
        self.kind = outline.tag.removeprefix(NAMESPACE)
        self.marks = set(outline.get("class", "").split())
        self.ring = any(element.get("class") == "av-ring" for element in group)
        if self.kind == "ellipse":
            self.x, self.y = float(outline.get("cx")), float(outline.get("cy"))
            self.half = float(outline.get("rx")), float(outline.get("ry"))
        elif self.kind == "rect":
            self.half = float(outline.get("width")) / 2, float(outline.get("height")) / 2
            self.x = float(outline.get("x")) + self.half[0]
            self.y = float(outline.get("y")) + self.half[1]

    @property
    def ellipse(self):
        return self.kind == "ellipse"

    @property
    def place(self):
        return self.x, self.y, *self.half

    def holds(self, x, y, slack=0.1):
        """Whether a point lies inside."""
        x, y = abs(x - self.x), abs(y - self.y)
        if self.kind == "ellipse":
            return math.hypot(x / (self.half[0] + slack), y / (self.half[1] + slack)) <= 1
        return x <= self.half[0] + slack and y <= self.half[1] + slack

    def off_border(self, x, y):
        """Distance of a point from the outline, about."""
        x, y = abs(x - self.x), abs(y - self.y)
        if self.kind == "ellipse":
            return abs(math.hypot(x / self.half[0], y / self.half[1]) - 1) * min(self.half)
        outside = math.hypot(max(x - self.half[0], 0), max(y - self.half[1], 0))
        return outside or min(self.half[0] - x, self.half[1] - y)


def read_text(element):
    size, x, y = (float(element.get(name)) for name in ("font-size", "x", "y"))
    room = float(element.get("textLength", 0))
    return Text(element.text, x, x + room, y - ASCENT * size, y + DESCENT * size, y, size)


class Drawn:
    """An SVG, read back; of a strip its frames one after the other."""

    def __init__(self, svg):
        self.root = parse(svg)
        groups = [g for g in self.root.iter(f"{NAMESPACE}g") if "av-box" in g.get("class", "")]
        self.boxes = [Shape(group) for group in groups]
        self.arrows = [p.get("d") for p in self.root.iter(f"{NAMESPACE}path") if is_arrow(p)]
        self.tips = [p.get("d") for p in self.root.iter(f"{NAMESPACE}path") if not is_arrow(p)]
        self.words = " ".join(self.root.itertext())
        self.css = next(self.root.iter(f"{NAMESPACE}style")).text

    def box(self, **data):
        """The one box that stands for something, by its data: `edge=3`, `source=0`."""
        (found,) = [box for box in self.boxes if data.items() <= box.data.items()]
        return found

    def oval(self, node):
        """The oval of a node."""
        (found,) = [box for box in self.boxes if box.data.get("node") == node and box.ellipse]
        return found

    def touched_by(self, point):
        """The box whose outline a point lies on."""
        box = min(self.boxes, key=lambda box: box.off_border(*point))
        assert box.off_border(*point) < 0.5
        return box

    def ends(self):
        """Returns (source, target) of each arrow, the boxes that its two ends touch."""
        pairs = []
        for arrow, tip in zip(self.arrows, self.tips, strict=True):
            (begin, *_), (end, *_) = points(arrow), points(tip)
            pairs.append((self.touched_by(begin), self.touched_by(end)))
        return pairs


def is_arrow(path):
    return path.get("class") == "av-arrow"


def points(path):
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def check_geometry(drawn):
    """Texts lie inside of their boxes and beside each other; boxes do not overlap."""
    for box in drawn.boxes:
        for text in box.texts:
            assert text.right - text.left > 0
            if box.kind in ("ellipse", "rect"):
                for corner in (
                    (x, y) for x in (text.left, text.right) for y in (text.top, text.bottom)
                ):
                    assert box.holds(*corner), (text, box.place)
            if box.rules and "av-rule" in box.rules[0].get("class"):
                assert text.bottom <= box.y or text.top >= box.y, "the rule runs through the text"
        lines = {text.baseline for text in box.texts}
        for line in lines:
            row = sorted((t for t in box.texts if t.baseline == line), key=lambda t: t.left)
            for one, other in pairwise(row):
                assert one.right <= other.left + 0.1, (one, other)
    shapes = [box for box in drawn.boxes if box.kind in ("ellipse", "rect")]
    for one, other in combinations(shapes, 2):
        apart = abs(one.x - other.x) >= one.half[0] + other.half[0]
        assert apart or abs(one.y - other.y) >= one.half[1] + other.half[1], (
            one.words,
            other.words,
        )
    wide, high = (float(drawn.root.get(name)) for name in ("width", "height"))
    for box in shapes:
        assert 0 <= box.x - box.half[0] < box.x + box.half[0] <= wide
        assert 0 <= box.y - box.half[1] < box.y + box.half[1] <= high
    for element in drawn.root.iter(f"{NAMESPACE}text"):
        text = read_text(element)
        assert -0.1 <= text.left <= text.right <= wide + 0.1, text
        assert text.bottom <= high + 0.1, text


def check_document(svg, title):
    root = parse(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == title
    assert root.find(f"{NAMESPACE}title").text == title
    assert root.find(f"{NAMESPACE}desc").text.count(title)
    assert all("id" not in element.attrib for element in root.iter())
    numbers = re.findall(r'(?<![\w."-])-0(?![.\d])', re.sub(r">[^<]*<", "><", svg))
    assert not numbers, "minus zero"


class Pair(torch.autograd.Function):
    """Two outputs, and None as the gradient of the second input."""

    @staticmethod
    def forward(ctx, x, y):
        return x * 1, y * 1

    @staticmethod
    def backward(ctx, first, second):
        return first, None


def with_none():
    x = torch.tensor(3.0, requires_grad=True)
    y = torch.tensor(4.0, requires_grad=True)
    w = y * 2
    p, q = Pair.apply(x, w)
    out = p * 0 + q
    return av.trace(out)


def with_nan():
    x = torch.tensor(0.0, requires_grad=True)
    w = torch.tensor([1.0, 0.0], requires_grad=True)
    y = torch.sqrt(x)
    z = y * 0
    out = z + (1 / w).sum()
    return av.trace(out)


def with_tensors():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    loss = (model(torch.ones(5, 3)) ** 2).mean()
    return av.trace(loss, params=model)


def with_outputs():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    p, q, r = torch.unbind(x)
    out = p * q + r.detach() * q
    return av.trace(out)


TRACES = {
    "main": main_example,
    "none": with_none,
    "nan": with_nan,
    "tensors": with_tensors,
    "outputs": with_outputs,
}


def drawings(trace):
    """Every kind of picture of a trace."""
    yield trace.graph.picture()
    yield trace.picture()
    variables = trace.variables()
    yield variables.computation()
    yield variables.derivatives()
    yield variables.backward()
    yield variables.backward(frame="all", columns=3)
    yield trace.graph.variables().picture()
    for variable in variables.nodes:
        if variable.name and not variable.is_leaf:
            yield variables.open(variable.name).backward()
            yield variables.details(variable.name).backward()


@pytest.mark.parametrize("name", TRACES)
def test_every_picture_is_a_document_with_its_texts_inside_of_its_boxes(name):
    for drawing in drawings(TRACES[name]()):
        check_document(drawing.svg, drawing.title)
        drawn = Drawn(drawing.svg)
        assert drawn.boxes
        if not isinstance(drawing, Strip):  # its frames have coordinates of their own
            check_geometry(drawn)
            drawn.ends()


def labelled(label):
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(-0.5, requires_grad=True)
    y = a * b + a
    return av.trace(y, names={label: a, label + "2": b, "result of " + label: y})


EVIL = [
    "<script>alert(1)</script>",
    "]]>",
    "&amp;",
    "\"'`",
    "two\nlines\r\n",
    "\u202eright to left\u2066",
    "שלום עולם",
    "x" * 10_000,
    "\x00\x1b\ud800\ufffe",
    "👩‍👩‍👧 猫",
    "-->",
    "W" * 40,
    "e\u0301" * 20,
    "a*b",
]


def check_label(label):
    trace = labelled(label)
    for drawing in (trace.picture(), trace.variables().picture(), trace.variables().computation()):
        check_document(drawing.svg, drawing.title)
        check_geometry(Drawn(drawing.svg))
        assert len(drawing.svg) < 100_000


@pytest.mark.parametrize("label", EVIL)
def test_evil_names(label):
    check_label(label)


@examples(30)
@given(st.text(st.characters(), max_size=60))
def test_any_name(label):
    check_label(label)


# Python lets no class have a name with a null or a surrogate in it.
@pytest.mark.parametrize("name", [name for name in EVIL if name.isprintable() or "\n" in name])
def test_evil_names_of_custom_functions(name):
    function: Any = type(name, (Pair,), {})
    x = torch.tensor(3.0, requires_grad=True)
    y, _ = function.apply(x, x)
    trace = av.trace(y)
    for drawing in (trace.picture(), trace.variables().picture()):
        check_document(drawing.svg, drawing.title)
        check_geometry(Drawn(drawing.svg))


def test_boxes_say_what_they_stand_for():
    trace = main_example()
    drawn = Drawn(trace.picture().svg)
    ovals = [box for box in drawn.boxes if box.ellipse]
    assert {box.data["node"] for box in ovals} == {node.id for node in trace.graph.nodes}
    for number, edge in enumerate(trace.graph.edges):
        box = next(box for box in drawn.boxes if box.data.get("source") == edge.source)
        assert "av-rect" in box.marks
        box = drawn.box(edge=box.data["edge"])
        assert number in {box.data.get("edge") for box in drawn.boxes}
    drawn = Drawn(trace.variables().picture().svg)
    assert drawn.box(variable=4).words.startswith("e=c·d")
    assert drawn.box(variable=4).data["node"] == 0


def rules(drawing):
    """Returns selector -> {property: value} of the CSS; of an automatic theme its light half."""
    css = Drawn(drawing.svg).css.split("@media")[0]
    found = re.findall(r"\.av-(?:auto|light|dark) (\S+?)\{(.*?)\}", css)
    return {s: dict(part.split(":") for part in body.split(";")) for s, body in found}


def contrast(one, other):
    """Contrast of two colours as WCAG 2 defines it."""

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_itself():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_lines_stand_out_from_what_is_behind_them(theme):
    css = rules(main_example().picture(theme=theme))
    paper, ink = css[".av-paper"]["fill"], css["text"]["fill"]
    for behind in (".av-paper", ".av-oval", ".av-leaf", ".av-rect", ".av-alarm", ".av-empty"):
        assert contrast(ink, css[behind]["fill"]) >= 4.5, behind
        if "stroke" in css[behind]:
            assert contrast(css[behind]["stroke"], paper) >= 3, behind
            assert contrast(css[behind]["stroke"], css[behind]["fill"]) >= 3, behind
    assert contrast(css[".av-soft"]["fill"], paper) >= 4.5
    for line in (".av-arrow", ".av-rule", ".av-bar"):
        assert contrast(css[line]["stroke"], paper) >= 3
        assert contrast(css[line]["stroke"], css[".av-oval"]["fill"]) >= 3
    assert (paper > "#888888") == (theme == "light")


def test_the_automatic_theme_is_the_light_one_and_the_dark_one_where_the_page_is_dark():
    trace = main_example()
    svg = trace.picture().svg
    css = Drawn(svg).css
    light, dark = css.split("@media (prefers-color-scheme: dark)")
    assert light.replace("auto", "light") == Drawn(trace.picture(theme="light").svg).css
    assert dark[1:-1].replace("auto", "dark") == Drawn(trace.picture(theme="dark").svg).css
    strip = [line for line in svg.splitlines() if "<style>" not in line]
    other = trace.picture(theme="dark").svg.replace("av-dark", "av-auto").splitlines()
    assert strip == [line for line in other if "<style>" not in line], "only colours differ"


def test_no_two_kinds_of_boxes_differ_in_colour_alone():
    signatures: dict[frozenset[str], Any] = {}
    for trace in (with_none(), with_nan()):
        css = rules(trace.picture())
        for box in Drawn(trace.picture().svg).boxes:
            style: dict[str, str] = {}
            for mark in ("av-oval", "av-rect", "av-leaf", "av-empty", "av-alarm"):  # CSS's order
                if mark in box.marks:
                    style |= css[f".{mark}"]
            seen = box.kind, box.ring, style["stroke-width"], style.get("stroke-dasharray")
            signatures.setdefault(frozenset(box.marks), seen)
    assert len(signatures) >= 7
    assert len(set(signatures.values())) == len(signatures)


def test_the_legend_explains_each_kind_that_is_drawn_and_no_other():
    words = Drawn(with_none().picture().svg).words
    assert "no gradient reached it" in words
    assert "NaN or inf" not in words
    assert "NaN or inf" in Drawn(with_nan().picture().svg).words
    assert "leaf: an input" in Drawn(main_example().variables().computation().svg).words
    strip = Drawn(main_example().variables().backward(frame="all").svg).root
    texts = [element.text for element in strip.iter(f"{NAMESPACE}text")]
    assert texts.count("local derivative") == 1, "one legend for all frames"


def test_the_frames_of_a_strip_stand_apart_and_have_numbers():
    drawing = main_example().variables().backward(frame="all", columns=3)
    root = parse(drawing.svg)
    frames = [r for r in root.iter(f"{NAMESPACE}rect") if r.get("class") == "av-frame"]
    places = [g.get("transform") for g in root if g.tag == f"{NAMESPACE}g"][:7]
    assert len(frames) == 7
    assert len(set(places)) == 7
    assert len({points(place)[0][1] for place in places}) == 3, "rows"
    texts = [element.text for element in root.iter(f"{NAMESPACE}text")]
    assert [text for text in texts if text.startswith("frame")] == [
        f"frame {number} of 7" for number in range(1, 8)
    ]


def test_two_pictures_in_one_page_do_not_clash():
    light, dark = (main_example().picture(theme=theme).svg for theme in ("light", "dark"))
    page = parse(f"<body>{light}{dark}</body>")
    assert not [element for element in page.iter() if "id" in element.attrib]
    scopes = [
        {selector.split()[0] for selector in re.findall(r"([^{}]+)\{", style.text)}
        for style in page.iter(f"{NAMESPACE}style")
    ]
    assert scopes == [{".av-light"}, {".av-dark"}]


def everything():
    """All that is drawn and said, as one text."""
    made = (drawing for make in TRACES.values() for drawing in drawings(make()))
    return "".join(drawing.svg + drawing.words for drawing in made)


def test_the_same_numbers_give_the_same_bytes_on_every_machine_and_in_every_process():
    elsewhere = Path(__file__).parents[1] / "docs" / "backward.svg"  # README's, drawn some day
    assert main_example().variables().picture().svg == elsewhere.read_text("utf-8")
    text = everything()
    assert everything() == text
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    other = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", "from tests.test_svg import *; print(everything())"],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        timeout=600,
    )
    assert other.stdout.decode().rstrip("\n") == text.rstrip("\n")


def test_what_cannot_be_drawn():
    from autograd_viz import svg
    from autograd_viz.picture import Drawing

    with pytest.raises(TypeError, match="a Drawing cannot be drawn"):
        svg.draw(Drawing())
