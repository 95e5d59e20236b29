"""Lines of mathematics: what is italic, how wide text is taken to be, and fractions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from autograd_viz.picture import Formula
from autograd_viz.typeset import (
    TRANSPOSED,
    Frac,
    Run,
    Sup,
    derivative,
    glyphs,
    latex,
    math,
    measure,
    plain,
    width,
)
from tests.examples import examples

LINES = st.text(max_size=40).map(math)


def italic(text):
    return [run.text for run in math(text) if isinstance(run, Run) and run.style == "math"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("d = log2(a) * log2(b)", ["d", "a", "b"]),
        ("a1 + 2 * x_2", ["a1", "x_2"]),
        ("layers.0.weight", ["layers.0.weight"]),
        ("a ** -2.5", ["a"]),
        ("1e-05 * a", ["a"]),
        ("1.5e-06 * e - 2.5e+20", ["e"]),
        ("mean(addmm(…) ** 2)", []),
        ("λ + naïve", ["λ", "naïve"]),
        ("e\u0301t\u0301 + कि * 2", ["e\u0301t\u0301", "कि"]),
        ("", []),
    ],
)
def test_names_are_italic_and_functions_and_numbers_are_not(text, names):
    assert italic(text) == names


@examples(50)
@given(st.text(max_size=60))
def test_math_keeps_the_text(text):
    assert plain(math(text)) == text


@examples(50)
@given(LINES, LINES)
def test_measure_adds_up(one, other):
    assert measure(one + other, 20).width == pytest.approx(
        measure(one, 20).width + measure(other, 20).width, abs=0.02
    )


@examples(50)
@given(LINES)
def test_measure_grows_with_the_font(line):
    small, large = measure(line, 10), measure(line, 20)
    assert large == pytest.approx([2 * part for part in small], abs=0.03)


@examples(50)
@given(LINES, LINES)
def test_a_fraction_is_as_wide_as_its_wider_half_and_higher_than_a_line(above, below):
    size = measure((Frac(above, below),), 18)
    halves = [measure(half, 18 * 0.78) for half in (above, below)]
    assert size.width >= max(half.width for half in halves)
    line = measure((Run("x"),), 18)
    assert size.ascent > line.ascent
    assert size.descent > line.descent
    assert size.ascent + size.descent >= sum(half.ascent + half.descent for half in halves)


def test_widths_are_those_of_times():
    assert width(Run("fi"), 1000) == 333 + 278
    assert width(Run("fi", "math"), 1000) == 278 + 278
    assert width(Run("fi", "code"), 1000) == 2 * 602
    assert width(Run("猫"), 1000) == 1000
    assert width(Run("e\N{COMBINING ACUTE ACCENT}"), 1000) == width(Run("e"), 1000)


def test_the_star_of_programs_is_drawn_as_a_dot_and_measured_as_one():
    assert glyphs(Run("2 * 3 ** 4")) == "2 · 3 ** 4"
    assert glyphs(Run("a * b", "code")) == "a * b"
    assert width(Run(" * "), 18) == width(Run(" · "), 18)


def test_derivative():
    assert plain((derivative("e", "a"),)) == "∂e/∂a"
    assert plain((derivative("a + b", "log2(a)"),)) == "∂(a + b)/∂log2(a)"
    assert plain((derivative("f(a) + g(b)", "x"),)) == "∂(f(a) + g(b))/∂x"
    assert plain((derivative("p, q", "layers.0.weight"),)) == "∂(p, q)/∂layers.0.weight"


def test_a_transposed_matrix_and_a_power_without_brackets():
    assert plain((Run("W", "math"), TRANSPOSED)) == "Wᵀ"
    assert latex((Run("W", "math"), TRANSPOSED)) == r"W^{\mathsf T}"
    assert plain((Frac((Run("3"),), (Run("x"), Sup((Run("2"),)))),)) == "3/x^2"


def test_the_object_of_a_method_is_a_name():
    assert math("z₂.sum()") == (Run("z₂", "math"), Run(".sum()"))
    assert math("self.w * f(x)")[0] == Run("self.w", "math")


def parts_of_ink(path: Path) -> list[tuple[int, int]]:
    """How wide and how high those parts of a picture's ink are that do not touch each other."""
    ink = np.asarray(Image.open(path).convert("L")) < 128
    waiting, parts = {*map(tuple, np.argwhere(ink).tolist())}, []
    while waiting:
        edge = [waiting.pop()]
        part = list(edge)
        while edge:
            y, x = edge.pop()
            around = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & waiting
            waiting -= around
            edge += around
            part += around
        rows, columns = zip(*part, strict=True)
        parts.append((max(columns) - min(columns) + 1, max(rows) - min(rows) + 1))
    return parts


@pytest.mark.parametrize("letter", [*"fdlTVWYKNIJHMFEPS"])
def test_a_minus_in_an_exponent_is_seen_beside_an_italic_letter(letter, tmp_path):
    drawn = Formula(math(f"{letter} ** -1")).save(tmp_path / "power.png")
    assert any(wide > 2 * high for wide, high in parts_of_ink(drawn))  # nothing touches the minus
