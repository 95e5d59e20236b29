"""Products of factors and divisors as text; what they compute is in test_notation."""

import pytest

from autograd_viz.operators.terms import Product, Term, named, shapes_line

G = Term("∂", (2, 3))


def test_names_and_expressions():
    assert named("w.T", (2,), 0).inside(5) == "w.T"
    assert named("a + b", (2,), 0).inside(2) == "(a + b)"
    assert named("f(a)", (2,), 0).inside(5) == "f(a)"


def test_a_number_spread_over_a_tensor_is_written_as_one():
    ones = Product((2, 3), spread=True)
    assert ones.text == "ones(2, 3)"
    assert Product((3,), (Term("∂", ()),), spread=True).text == "expand(∂, (3,))"
    scaled = ones.over(Term("6", ()))
    assert scaled.text == "ones(2, 3) / 6"
    full = ones.times(Term("x", (2, 3)))
    assert (full.text, full.spread) == ("x", False)


def test_brackets_and_signs():
    product = Product((2, 3), (G, Term("a - b", (2, 3), 1)), (Term("b * c", (2, 3), 2),))
    assert product.text == "∂ * (a - b) / (b * c)"
    assert (-product).text == "-∂ * (a - b) / (b * c)"
    assert (-Product((2, 3), (Term("a - b", (2, 3), 1),))).text == "-(a - b)"


@pytest.mark.parametrize(
    ("product", "line"),
    [
        (Product((2, 3), (G,)), "(2 × 3)"),
        (Product((3,), (Term("sum(∂, dim=0)"),)), "(3) from (2 × 3)"),
        (Product((), (Term("sum(∂)"),)), "scalar from (2 × 3)"),
    ],
)
def test_shapes(product, line):
    assert shapes_line(product, (2, 3)) == line
