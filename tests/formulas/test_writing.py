"""SymPy's expressions as they stand on a slide."""

import pytest
import sympy
from sympy import Float, Rational, cos, exp, log, pi, sqrt

from autograd_viz.formulas.writing import line, scaled
from autograd_viz.operators.scalars import log2, sigmoid
from autograd_viz.typeset import Frac, Run, Sup, latex, plain

X, Y, Z = sympy.symbols("v000_00 v001_00 v002_00")
NAMES = {X: "x", Y: "y", Z: "z"}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (log2(Y) / (X * log(2)), "log2(y)/(x ln 2)"),
        (2 * X, "2 x"),
        (-X, "-x"),
        (-2 * X * Y, "-2 x y"),
        (Z * Y * X, "x y z"),
        (Y - X, "y - x"),
        (1 - X**2, "1 - x^2"),
        (X**2 + 3 * X - 1, "x^2 + 3 x - 1"),
        (-X - Y, "-x - y"),
        (2 * X * (X * Y - Z), "2 x (x y - z)"),
        (X / 2, "x/2"),
        (Rational(1, 3), "1/3"),
        (-Rational(1, 3), "-1/3"),
        (Float("0.1") * X, "0.1 x"),
        (1 / X**2, "1/x^2"),
        ((X + Y) ** 2, "(x + y)^2"),
        (X ** (Y - 1), "x^(y - 1)"),
        (X**0.5 * 1.0, "x^0.5"),
        (sqrt(X), "sqrt(x)"),
        (1 / (2 * sqrt(X)), "1/(2 sqrt(x))"),
        (X ** Rational(3, 2), "x^(3/2)"),
        (exp(X), "e^x"),
        (exp(-(X**2) / 2), "e^(-x^2/2)"),
        (log(X), "ln x"),
        (log(X + 1), "ln(x + 1)"),
        (log(X) ** 2, "(ln x)^2"),
        (sigmoid(X) * (1 - sigmoid(X)), "σ(x) (1 - σ(x))"),
        (X * cos(X), "x cos(x)"),
        (pi * X, "π x"),
        (sympy.Integer(0), "0"),
    ],
)
def test_expressions(expression, text):
    assert plain(line(expression, NAMES)) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (2 * X, "2 * (-1)"),
        (X * Y, "-1 * 4"),
        (Y * log(2), "4 ln 2"),
        (Y**2, "4^2"),
        (X**2, "(-1)^2"),
        (Y - X, "4 - (-1)"),
        (1 / (Y * log(2)), "1/(4 ln 2)"),
    ],
)
def test_numbers_in_the_place_of_names(expression, text):
    written = plain(line(expression, {X: "-1", Y: "4"}))
    assert written in (text, f"({text.partition(' ')[0]}) {text.partition(' ')[2]}")


def test_a_factor_comes_first():
    factor = sympy.Symbol("v")
    names = {X: "2", factor: "12"}
    assert plain(line(scaled(factor, 1 / (X * log(2))), names)) == "12/(2 ln 2)"
    assert plain(line(scaled(factor, X), names)) == "12 * 2"


def test_names_of_several_words_stand_in_brackets():
    assert plain(line(X * Y, {X: "a + b", Y: "f(a)"})) == "(a + b) f(a)"
    assert plain(line(X**2, {X: "w[0]"})) == "w[0]^2"


def test_fractions_are_stacked_but_not_in_exponents():
    assert line(X / Y, NAMES) == (Frac((Run("x", "math"),), (Run("y", "math"),)),)
    (_base, raised) = line(exp(X / Y), NAMES)
    assert isinstance(raised, Sup)
    assert not any(isinstance(part, Frac) for part in raised.raised)
    assert latex(line(2 * X / (Y * log(2)), NAMES)) == r"\frac{2 x}{y \ln 2}"


def test_e_is_written_exp_beside_a_variable_of_that_name():
    assert plain(line(X * exp(X), {X: "e"})) == "e exp(e)"
