"""Readers write the same answer in many forms; what cannot be read is told."""

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy
import torch

from autograd_viz.exercises.answers import (
    UnfinishedError,
    UnreadableError,
    as_function,
    number_of,
    returned,
)


def f64(value):
    return torch.tensor(value, dtype=torch.float64)


POINT = {"x": f64(2.0), "w": f64(0.5), "yhat": f64(3.0)}


def value(answer):
    return as_function(answer, ("x", "w"), ("x", "w", "yhat"))(POINT)


@pytest.mark.parametrize(
    "answer",
    [
        *("4 * x * (yhat - w)", "4x(yhat - w)", "4·x·(yhat − w)", "x**2 * 5", "x^2*5", "40 w"),
        *(20, 20.0, "20", Fraction(40, 2), np.float32(20), torch.tensor(20), torch.tensor([20.0])),
        *(sympy.Integer(20), 10 * sympy.Symbol("x"), sympy.Symbol("x") * 20 * sympy.Symbol("w")),
        *(lambda x, w: x * 20 * w, lambda w: 40 * w, lambda yhat, x: (yhat + 2) * 2 * x),
        *(
            lambda u, v: 20 * u * v,
            lambda x=1.0, w=1.0: 20 * x * w,
            lambda w, factor=40: factor * w,
        ),
        *(lambda *inputs: 10 * inputs[0], lambda **inputs: 40 * inputs["w"], lambda *, w: 40 * w),
        *(
            lambda x, *rest: x * 10,
            lambda x, /, **rest: x * 10,
            np.vectorize(lambda x, w: 20 * x * w),
        ),
        functools.wraps(lambda x: x)(lambda *inputs: inputs[0] * 10),
        functools.partial(lambda factor, x, w: factor * x * w, 20),
        *(torch.tensor(20.0, requires_grad=True), np.array([20.0]), np.array(20), np.int64(20)),
        lambda: 20,
    ],
)
def test_one_number_in_many_forms(answer):
    assert value(answer) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("log(x)", math.log(2)),
        ("ln(x)", math.log(2)),
        ("log2(x) / log10(x)", math.log2(2) / math.log10(2)),
        ("exp(-x) + sqrt(w) + sin(x) + tanh(w)",
         math.exp(-2) + math.sqrt(0.5) + math.sin(2) + math.tanh(0.5)),
        ("relu(w - x) + abs(w - x) + sigmoid(w)", 1.5 + 1 / (1 + math.exp(-0.5))),
        ("e^x", math.exp(2)),
        ("sech²(x) + sec(w)^2", 1 / math.cosh(2) ** 2 + 1 / math.cos(0.5) ** 2),
        ("csc x + cot x + coth x", 1 / math.sin(2) + 1 / math.tan(2) + 1 / math.tanh(2)),
        ("np.arcsinh(x) + sgn(x) + np.power(x, 3)", math.asinh(2) + 9),
        ("2 * pi", 2 * math.pi),
        (lambda x: math.log2(x), 1.0),
        (lambda x: np.exp(x), math.exp(2)),
        (lambda x: torch.log2(x), 1.0),
    ],
)  # fmt: skip
def test_functions_of_formulas(answer, wanted):
    assert value(answer) == pytest.approx(wanted)


def test_a_function_of_pytorch_has_no_signature_and_gets_all_inputs():
    point = {"x": torch.tensor(8.0, dtype=torch.float64)}
    assert as_function(torch.log2, ("x",), ("x", "u"))(point) == 3


@pytest.mark.parametrize(
    "answer", [..., "", "...", "…", lambda x: None, lambda x: ..., lambda x: ... * x]
)
def test_what_is_not_answered_yet(answer):
    with pytest.raises(UnfinishedError):
        value(answer)


def test_a_stub_that_raises_not_implemented_is_not_answered_yet():
    def stub(x):
        raise NotImplementedError

    with pytest.raises(UnfinishedError):
        value(stub)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("2 * (x", "cannot be read as a formula"),
        ("__import__('os')", "cannot be read as a formula"),
        ("x.__class__", "cannot be read as a formula"),
        ("2 * z + q", "'q' and 'z' are not known here; a formula can use x, w, yhat"),
        (lambda x, u, v: x, "takes (x, u, v); let it take (x, w)"),
        (lambda x: x.nothing, "raised AttributeError: 'Tensor' object has no attribute 'nothing'"),
        (lambda x: [x, x], "list is not a number"),
        (np.complex64(20 + 3j), "complex is not a number"),
        (torch.tensor(20 + 3j), "Tensor is not a number"),
        (None, "NoneType is not a number"),
        (torch.ones(2), "a tensor of shape (2,) is not one number"),
    ],
)
def test_what_cannot_be_read(answer, told):
    with pytest.raises(UnreadableError) as error:
        value(answer)
    assert told in str(error.value)


def test_a_number_is_wanted_where_there_are_no_names():
    assert number_of("2 * 3") == 6
    with pytest.raises(UnreadableError, match="a plain number is wanted"):
        number_of("2 * x")


@pytest.mark.parametrize("stub", [lambda x: (x, ...), lambda x: [..., x]])
def test_a_stub_with_a_blank_among_its_results_is_not_answered_yet(stub):
    with pytest.raises(UnfinishedError):
        returned(stub, f64(1.0))


def test_an_error_names_the_line_of_the_reader():
    def mine(x):
        y = x + 1
        return y.nothing

    with pytest.raises(UnreadableError) as error:
        returned(mine, f64(1.0))
    assert str(error.value).startswith("it raised AttributeError: 'Tensor' object has no attribute")
    assert str(error.value).endswith("(in the line `return y.nothing`)")
