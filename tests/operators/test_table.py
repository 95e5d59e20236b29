"""The rules compute what PyTorch computes, on both sides of each corner and at it."""

import math
from typing import Any

import pytest
import sympy
import torch
import torch.nn.functional as F

from autograd_viz.operators import scalars
from autograd_viz.operators.table import TABLE

FUNCTIONS: dict[str, Any] = {
    "Relu": F.relu,
    "LeakyRelu": F.leaky_relu,
    "Elu": F.elu,
    "Celu": F.celu,
    "Abs": torch.abs,
    "Sign": torch.sign,
    "Hardtanh": F.hardtanh,
    "Hardsigmoid": F.hardsigmoid,
    "Hardswish": F.hardswish,
    "Softshrink": F.softshrink,
    "Hardshrink": F.hardshrink,
    "Softplus": F.softplus,
    "Gelu": F.gelu,
    "Sinc": torch.sinc,
    "Log1P": torch.log1p,
    "Erfc": torch.erfc,
}
OPTIONS = {"Hardtanh": {"min_val": -1, "max_val": 1}}


def sign(left, right):
    return int(sympy.sign(left - right))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("number", [-4.0, -0.75, -0.5, 0.25, 0.5, 1.0, 3.0, 30.0])
def test_values(name, number):
    if name == "Log1P" and number <= -1:
        number = -0.9
    options = scalars.Options(OPTIONS.get(name, {}), sign)
    rule: Any = TABLE[name].scalar
    found = rule(options, sympy.Float(number))
    found = sympy.lambdify([], found, [{"softplus": lambda x: math.log1p(math.exp(x))}, "math"])()
    if name == "Sinc":
        found = math.sin(math.pi * number) / (math.pi * number)
    expected = FUNCTIONS[name](torch.tensor(number, dtype=torch.float64))
    assert found == pytest.approx(expected.item(), rel=1e-6, abs=1e-9)


def test_functions_that_sympy_does_not_have_know_their_derivative():
    x = sympy.Symbol("x")
    assert sympy.diff(scalars.log2(x), x) == 1 / (x * sympy.log(2))
    assert sympy.diff(scalars.log10(x), x) == 1 / (x * sympy.log(10))
    assert sympy.diff(scalars.softplus(x), x) == scalars.sigmoid(x)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.0, "2"), (0.5, "1/2"), (0.10000000149011612, "0.1"), (1.6732632423543772, "1.67326324")],
)
def test_numbers_of_the_program(value, text):
    number = scalars.number(value)
    assert str(number).startswith(text)
    assert float(number) == pytest.approx(value, rel=1e-7)
