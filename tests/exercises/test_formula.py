"""What a formula computes is what SymPy computes, and costs the same whatever its numbers are."""

import ast
import math
from pathlib import Path

import pytest
import sympy

import autograd_viz
from autograd_viz.exercises.formula import (
    FUNCTIONS,
    Call,
    Name,
    Number,
    UnreadableError,
    as_sympy,
    from_sympy,
    names_in,
    value,
)

X, Y = sympy.symbols("x y")
POINT = {"x": 0.7, "y": 0.3}
NAMES = (Name("x"), Name("y"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_the_one_of_sympy(name):
    formula = Call(name, NAMES[: min(2, FUNCTIONS[name].most)])
    if name == "acosh":
        formula = Call(name, (Call("+", (Name("x"), Number(2))),))
    assert value(formula, POINT) == pytest.approx(float(as_sympy(formula).evalf(subs=POINT)))


@pytest.mark.parametrize(
    "expression",
    [
        *(X**2 * Y - X / Y, sympy.exp(-X) + sympy.sqrt(Y), sympy.log(X, 2), sympy.pi * sympy.E),
        *(sympy.Max(X, Y) - sympy.Min(X, 2), sympy.Abs(X - 3), sympy.Rational(2, 7) * X),
        *(sympy.diff(sympy.Max(X, 0), X), sympy.diff(sympy.log(1 + sympy.exp(X)), X)),
    ],
)
def test_a_formula_of_sympy_computes_the_same(expression):
    found = value(from_sympy(expression), POINT)
    assert found == pytest.approx(float(expression.evalf(subs=POINT)))


def test_complex_numbers_on_the_way_do_no_harm():
    squared = Call("^", (Call("sqrt", (Name("x"),)), Number(2)))
    assert value(squared, {"x": -3.0}) == pytest.approx(-3.0)
    assert math.isnan(value(Call("sqrt", (Name("x"),)), {"x": -3.0}))


@pytest.mark.parametrize(
    ("formula", "number"),
    [
        (Call("^", (Number(9), Call("^", (Number(9), Number(9))))), math.inf),
        (Call("exp", (Number(1e308),)), math.inf),
        (Call("sigmoid", (Number(-1e6),)), 0.0),
        (Call("/", (Number(0),)), math.nan),
        (Call("log", (Number(0),)), math.nan),
        (Call("sin", (Number(math.inf),)), math.nan),
        (Call("max", (Call("sqrt", (Number(-1),)), Number(1))), math.nan),
    ],
)
def test_what_is_too_large_or_not_defined(formula, number):
    assert value(formula, {}) == pytest.approx(number, nan_ok=True)


def nested(depth):
    expression = X
    for _ in range(depth):
        expression = sympy.sin(expression)
    return expression


def shared(depth):
    """A formula of 2**depth parts, most of which are the same object."""
    expression = X
    for _ in range(depth):
        expression = sympy.Add(sympy.sin(expression), sympy.cos(expression), evaluate=False)
    return expression


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (nested(150), "too large; simplify it"),
        (shared(60), "too large; simplify it"),
        (sympy.Integer(10) ** 400, "above 1.8e308"),
        (sympy.Integral(X, X), "SymPy's Integral is not known here"),
        (sympy.Function("system")(X), "SymPy's system is not known here"),
        (sympy.I * X, "SymPy's ImaginaryUnit is not known here"),
        (sympy.true, "SymPy's BooleanTrue is not known here"),
    ],
)
def test_what_sympy_has_and_a_formula_has_not(expression, told):
    with pytest.raises(UnreadableError, match=told):
        from_sympy(expression)


def test_a_tower_of_powers_that_sympy_did_not_compute_is_computed_in_floats():
    nine = sympy.Integer(9)
    tower = sympy.Pow(nine, sympy.Pow(nine, nine, evaluate=False), evaluate=False)
    assert value(from_sympy(tower), {}) == math.inf


def test_a_hostile_name_is_a_name_and_no_more(capfd):
    hostile = "__import__('os').system('echo ran')"
    formula = from_sympy(2 * sympy.Symbol(hostile))
    assert names_in(formula) == {hostile}
    assert value(formula, {hostile: 3.0}) == 6.0
    assert as_sympy(formula).free_symbols == {sympy.Symbol(hostile)}
    assert capfd.readouterr() == ("", "")


def test_nothing_in_the_package_evaluates_text():
    """Each of these runs what stands in a text; `lambdify` gets expressions with names of ours."""
    runs = {"eval", "exec", "sympify", "parse_expr", "simplify", "S", "literal_eval"}
    found = {
        (path.name, name)
        for path in Path(autograd_viz.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (name := getattr(node.func, "id", getattr(node.func, "attr", ""))) in runs
    }
    assert found == set()
