"""Numbers, tensors and names as short text: every edge case reads well and nothing raises."""

import math
import unicodedata
import warnings

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
        (-4.164, "-4.1640"),
        (12.0, "12"),
        (0.0, "0"),
        (-0.0, "0"),
        (True, "1"),
        (7, "7"),
        (999_999.0, "999999"),
        (1e6, "1.000e+06"),
        (2**63 - 1, "9.223e+18"),
        (3.4e38, "3.400e+38"),
        (1.4e-45, "1.400e-45"),
        (-1e-320, "-1.000e-320"),
        (0.001, "0.0010"),
        (0.0009, "9.000e-04"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1 + 2j, "1+2i"),
        (1.5 - 2.5j, "1.5000-2.5000i"),
        (complex(0, -0.0), "0+0i"),
        (complex(math.nan, math.inf), "NaN+infi"),
    ],
)
def test_number(value, shown):
    assert text.number(value) == shown


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_keeps_four_digits_and_stays_short(value):
    shown = text.number(value)
    assert float(shown) == pytest.approx(value, rel=1e-3, abs=0)
    assert len(shown) <= 11
    assert shown != "-0"


def test_shape_of_one_dimension_does_not_read_as_a_value():
    assert text.shape(()) == "scalar"
    assert text.shape((5,)) == "5 values"
    assert text.shape((1,)) == "1 value"
    assert text.shape((3, 4)) == "3 × 4"


def tensors():
    """Yields a tensor of every kind with the lines that stand for it."""
    nan, inf = math.nan, math.inf
    yield torch.tensor(2.5), ["2.5000"]
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
