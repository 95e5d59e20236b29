"""Numbers, tensors and names as short text: every edge case reads well and nothing raises."""

import math
import re
import unicodedata
import warnings
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing._internal.two_tensor import TwoTensor

from autograd_viz import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (10.656171, "10.6562"),
        (-4.164, "-4.164"),
        (4.164043, "4.1640"),
        (0.30000001192092896, "0.3"),  # 0.3 in float32
        (0.1 + 0.2, "0.3"),
        (0.30001, "0.3000"),
        (1.9999999, "2.0000"),
        (0.0100001, "0.01000"),
        (2.5, "2.5"),
        (0.1, "0.1"),
        (0.03125, "0.03125"),
        (0.0123456, "0.01235"),
        (0.0999999, "0.1000"),
        (2.00001, "2.0000"),  # about 2
        (-0.99999, "-1.0000"),
        (99_999.5, "99999.5"),
        (99_999.99999, "1e+05"),
        (100_000.0, "100000"),
        (100_000.5, "1.000e+05"),
        (123_456.7, "1.235e+05"),
        (12.0, "12"),
        (0.0, "0"),
        (-0.0, "0"),
        (True, "1"),
        (7, "7"),
        (999_999.0, "999999"),
        (999_999.5, "1.000e+06"),
        (1e6, "1e+06"),
        (1_234_567, "1.235e+06"),
        (2**63 - 1, "9.223e+18"),
        (3.4e38, "3.4e+38"),
        (1.4e-45, "1.4e-45"),
        (-1e-320, "-1e-320"),
        (0.001, "0.001"),
        (0.0009, "0.0009"),
        (0.000123456, "0.0001235"),
        (0.00009, "9e-05"),
        (4.1433e-05, "4.143e-05"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1 + 2j, "1+2i"),
        (1.5 - 2.5j, "1.5-2.5i"),
        (complex(0, -0.0), "0+0i"),
        (complex(math.nan, math.inf), "NaN+infi"),
    ],
)
def test_number(value, shown):
    assert text.number(value) == shown


def everywhere():
    """Yields numbers of all magnitudes, float32 and float64, near and at the borders of a form."""
    generator = torch.Generator().manual_seed(0)
    for exponent in range(-320, 308):
        for mantissa in (1 + 9 * torch.rand(4, generator=generator, dtype=torch.float64)).tolist():
            yield float(f"{mantissa}e{exponent}")
    for exponent in range(-45, 39):
        for mantissa in (1 + 2.4 * torch.rand(8, generator=generator)).tolist():
            yield torch.tensor(mantissa * 10.0**exponent, dtype=torch.float32).item()
    for border in (
        5e-324,
        1e-4,
        1e-3,
        0.01,
        0.03125,
        0.05,
        0.1,
        1.0,
        2.0,
        10.0,
        1e4,
        1e5,
        1e6,
        1e16,
        1.7e308,
    ):
        for ulps in (1e-16, 1e-9, 1e-7, 1e-5, 4e-5, 5e-5, 1e-4, 4e-4, 5e-4, 6e-4, 1e-3):
            yield from (border, border * (1 + ulps), border * (1 - ulps))


def is_near(shown, value):
    """Whether a text is within 5e-4 of a number; in exact arithmetic, so the largest one too."""
    exact = Fraction(value)
    return abs(Fraction(shown) - exact) <= Fraction(5, 10_000) * abs(exact)


def test_a_number_keeps_four_digits_and_stays_short():
    values = [signed for value in everywhere() for signed in (value, -value)]
    assert len(values) > 6_000
    for value in values:
        shown = text.number(value)
        assert is_near(shown, value), (value, shown)
        assert len(shown) <= 11, (value, shown)
        digits = re.fullmatch(r"-?0?\.?0*([\d.]*)(e.*)?", shown)[1].replace(".", "")
        if len(digits) < 4:  # what is short is the number itself
            assert float(shown) == (
                int(value) if shown.lstrip("-").isdecimal() else float(f"{value:.6e}")
            )


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_keeps_four_digits(value):
    shown = text.number(value)
    assert is_near(shown, value)
    assert len(shown) <= 12  # -1.235e-308
    assert shown != "-0"


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_a_written_number_keeps_what_float32_holds(value):
    assert torch.tensor(float(text.as_written(value))).item() == pytest.approx(value, rel=6e-7)


def test_shape_of_one_dimension_does_not_read_as_a_value():
    assert text.shape(()) == "scalar"
    assert text.shape((5,)) == "5 values"
    assert text.shape((1,)) == "1 value"
    assert text.shape((3, 4)) == "3 × 4"


def tensors():
    """Yields a tensor of every kind with the lines that stand for it."""
    nan, inf = math.nan, math.inf
    yield torch.tensor(2.5), ["2.5"]
    yield torch.tensor(-0.0), ["0"]
    yield torch.tensor(nan), ["NaN"]
    yield torch.tensor(True), ["1"]
    yield torch.tensor(3), ["3"]
    yield torch.tensor([1.0, -inf]), ["[1, -inf]"]
    yield torch.tensor([True, False]), ["[1, 0]"]
    yield torch.tensor([1 + 2j]), ["[1+2i]"]
    yield torch.tensor([[2.0]]), ["1 × 1: 2"]
    yield torch.empty(0), ["[]"]
    yield torch.empty(0, 3), ["0 × 3, empty"]
    yield torch.eye(2), ["2 × 2, norm 1.4142", "min 0, max 1"]
    yield torch.arange(5), ["5 values, norm 5.4772", "min 0, max 4"]
    yield torch.ones(2, 3, dtype=torch.bool), ["2 × 3, norm 2.4495", "min 1, max 1"]
    yield torch.ones(5, dtype=torch.uint8) * 200, ["5 values, norm 447.2136", "min 200, max 200"]
    yield torch.full((5,), inf), ["5 values, norm inf", "min inf, max inf"]
    yield torch.tensor([1.0, nan] * 4), ["8 values, norm NaN", "4 of 8 are NaN"]
    yield (
        torch.full((6,), 60000.0, dtype=torch.float16),
        [
            "6 values, norm 1.470e+05",
            "min 60000, max 60000",
        ],
    )
    yield torch.ones(5, dtype=torch.complex64), ["5 values, norm 2.2361"]
    yield torch.ones(6, dtype=torch.float8_e4m3fn), ["6 values, norm 2.4495", "min 1, max 1"]
    yield torch.empty(2, 3, device="meta"), ["2 × 3", "no values (meta)"]
    yield torch.eye(3).to_sparse(), ["3 × 3, sparse", "min 0, max 1"]
    with warnings.catch_warnings(action="ignore"):  # both are still in beta
        compressed = torch.eye(3).to_sparse_csr()
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    yield compressed, ["3 × 3, sparse", "min 0, max 1"]
    yield nested, ["nested: 2 tensors", "min 1, max 1"]
    yield torch.zeros(0, 2).to_sparse(), ["0 × 2, sparse"]
    yield torch.ones(2, requires_grad=True) * 2, ["[2, 2]"]


@pytest.mark.parametrize(("tensor", "lines"), list(tensors()))
def test_summary(tensor, lines):
    assert text.summary(tensor) == lines


def test_summary_of_a_large_tensor_is_two_short_lines_and_leaves_it_unchanged():
    tensor = torch.linspace(-1e9, 1e9, 100_000).reshape(10, 100, 100)
    before = tensor.clone()
    lines = text.summary(tensor)
    assert len(lines) == 2
    assert max(map(len, lines)) <= 40
    assert torch.equal(tensor, before)


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        (torch.tensor(1.0), None),
        (torch.tensor([1.0, math.nan, math.inf]), "NaN"),
        (torch.tensor([1.0, -math.inf]), "inf"),
        (torch.tensor(complex(1, math.nan)), "NaN"),
        (torch.tensor([[math.inf, 0.0]]).to_sparse(), "inf"),
        (torch.arange(3), None),
        (torch.tensor(True), None),
        (torch.empty(0), None),
        (torch.empty(3, device="meta"), None),
        (torch.tensor(math.nan).to(torch.float8_e4m3fn), "NaN"),
        (torch.tensor(math.inf, dtype=torch.float16), "inf"),
    ],
)
def test_trouble(tensor, name):
    assert text.trouble(tensor) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("loss", "loss"),
        ("two\nlines\tand  more", "two lines and more"),
        (" around ", "around"),
        ("a\u202eb\u2066c", "abc"),  # marks that turn the direction of writing
        ("a\u200bb\ufeff", "ab"),  # marks that are not seen
        ("a\x00b\x1b[31m\x7f", "ab[31m"),
        ("\ud800x", "x"),
        ("\u202e", "…"),
        ("\u0301\u0301", "…"),  # accents without a letter
        ("e\u0301", "e\u0301"),
        ("שלום", "שלום"),
        ("<script>&\"'", "<script>&\"'"),
        ("🐈" * 3, "🐈" * 3),
    ],
)
def test_clean(name, shown):
    assert text.clean(name) == shown


@pytest.mark.parametrize("name", ["x" * 10_000, "\u202e" * 9000 + "x" * 1000, "🐈" * 10_000])
def test_clean_shortens_a_long_name_in_the_middle(name):
    shown = text.clean(name)
    assert len(shown) <= text.LONGEST
    assert shown[0] == name[-1]
    assert shown[-1] == name[-1]


@settings(deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_clean_gives_one_visible_line_of_bounded_length(name):
    shown = text.clean(name)
    assert len(shown) <= text.LONGEST
    assert bool(shown) == bool(name)
    assert all(unicodedata.category(character)[0] != "C" for character in shown)
    assert shown == " ".join(shown.split())
    assert text.clean(shown) == shown


def test_joined():
    assert text.joined([]) == ""
    assert text.joined(["a"]) == "a"
    assert text.joined(["a", "b"], " + ") == "a + b"
    assert text.joined(list("abcdef")) == "a, b, c, d, e, f"
    assert text.joined(["x"] * 1_500, most=2) == "x, x, … 1,498 more"


def test_table():
    assert text.table([]) == []
    assert text.table([["a"], ["bc"]]) == ["a", "bc"]
    assert text.table([["a", "b"], ["long", ""], ["", "x"]]) == ["a     b", "long", "      x"]


def test_the_shape_of_a_nested_tensor():
    assert text.shape((2, -1, 3)) == "2 × * × 3"
    assert text.shape((-1,)) == "nested"


def test_a_subclass_with_a_dispatch_of_its_own_has_no_numbers_to_read():
    own = TwoTensor(torch.ones(2), torch.ones(2))
    assert not text.has_numbers(own)
    assert text.summary(own) == ["2 values", "no values (TwoTensor)"]
    assert text.trouble(own) is None
    assert not text.has_numbers(torch.ones(2, device="meta"))
    assert text.has_numbers(torch.nn.Parameter(torch.ones(2)))
