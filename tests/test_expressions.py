"""Expressions are what a program would say: Python evaluates them to the tensor's value."""

import ast
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.expressions import expression
from autograd_viz.operators.terms import Expression
from tests.examples import examples

UNARY: dict[str, Callable[..., torch.Tensor]] = {
    "neg": lambda x: -x,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "exp": lambda x: torch.exp(torch.tanh(x)),
    "log2": lambda x: torch.log2(x),
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "inverse": lambda x: x**-1,
    "twice": lambda x: 2 * x,
    "minus_half": lambda x: x * -0.5,
    "third": lambda x: x / 3,
    "reciprocal": lambda x: 1 / x,
    "two_over": lambda x: 2 / x,
    "power_of_two": lambda x: 2**x,
    "power_of_minus_two": lambda x: torch.tensor(-2.0, dtype=torch.float64) ** x,
    "floor": lambda x: torch.div(x, 2, rounding_mode="floor"),
}
BINARY: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "maximum": torch.maximum,
}
SMOOTH = ("neg", "tanh", "sin", "exp", "square", "twice", "minus_half", "add", "sub", "mul")


@st.composite
def programs(draw, operations=(*UNARY, *BINARY), most=6):
    """Lines (operation, operands): each operand is the number of a leaf (0 to 2) or of a line."""
    lines = []
    for count in range(3, 3 + draw(st.integers(1, most))):
        operation = draw(st.sampled_from(operations))
        # Mostly the last lines, so that little of the program is left unused.
        operand = st.integers(0, count - 1) | st.integers(max(0, count - 3), count - 1)
        lines.append((operation, [draw(operand) for _ in range(1 + (operation in BINARY))]))
    return lines


def run(program, leaves, cut=()):
    """Values of the leaves and of all lines; `cut` has (number, tensor) to be used instead."""
    values, cut = list(leaves), dict(cut)
    for operation, operands in program:
        inputs = [cut.get(number, values[number]) for number in operands]
        values.append((UNARY | BINARY)[operation](*inputs))
    return values


def leaves_of(*numbers):
    return [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers]


def evaluated(text, **names):
    """What Python makes of an expression, with PyTorch's functions."""
    calls = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    functions = {name: getattr(torch, name) for name in calls - set(names)}
    return torch.as_tensor(eval(text, functions, names))


@examples(300)
@given(programs())
def test_an_expression_evaluates_to_the_value(program):
    a, b, c = leaves = leaves_of(0.5, 1.25, 2.0)
    y = run(program, leaves)[-1]
    text = av.graph(y).variables().root.expression
    assume("?" not in text and "…" not in text)
    assume("div(" not in text)  # its rounding is not known
    result = evaluated(text, a=a, b=b, c=c)
    torch.testing.assert_close(result.double(), y, rtol=1e-9, atol=0, equal_nan=True)


def of(y, **names):
    return av.graph(y, names=names).variables().root.expression


A = torch.tensor(0.5, requires_grad=True)
B = torch.tensor(2.0, requires_grad=True)
M = torch.ones(2, 2, requires_grad=True)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (A * B + A, "a * b + a"),
        ((A + B) * A, "(a + b) * a"),
        (A - (B - A), "a - (b - a)"),
        (A / (B / A), "a / (b / a)"),
        ((A**B) ** 2, "(a ** b) ** 2"),
        (A ** (B**2), "a ** (b ** 2)"),
        ((-A) ** 2, "(-a) ** 2"),
        (-(A**2), "-a ** 2"),
        (-(A + B), "-(a + b)"),
        (A * -B, "a * -b"),
        ((-2.0) ** A, "(-2) ** a"),
        (A**-2, "a ** -2"),
        (1 / A, "1 / a"),
        (3 / (A + B), "3 / (a + b)"),
        (-2 / A * B, "-2 / a * b"),
        (A.reciprocal() ** 2, "(1 / a) ** 2"),
        (torch.log_softmax(M, 0), "log_softmax(M)"),
        (torch.log1p(A), "log1p(a)"),
        (torch.expm1(A), "expm1(a)"),
        (torch.where(M > 0, M, M), "where(?, M, M)"),
        ((M * 2).t() @ M, "(M * 2).T @ M"),
        (torch.dot(M[0], M[1]), "M[0] @ M[1]"),
        (M[:, 1], "M[:, 1]"),
        (M[-1], "M[-1]"),
        (M[1:], "M[1:]"),
        (M[:, :1], "M[:, :1]"),
        (torch.rad2deg(A), "rad2deg(a)"),
        (torch.deg2rad(A), "deg2rad(a)"),
        (torch.atan2(A, B), "atan2(a, b)"),
        (torch.linalg.vector_norm(M), "linalg.vector_norm(M)"),
        (torch.special.i0e(A), "special.i0e(a)"),
        (F.conv1d(M[None], M[None]), "conv1d(unsqueeze(M), unsqueeze(M), ?)"),
        (torch.sub(A, 3, alpha=2), "a - 2 * ?"),
        (torch.rsub(A, 3, alpha=2), "? - 2 * a"),
        (torch.div(A, B, rounding_mode="floor"), "div(a, b)"),
        (torch.tensor(3.0) * A, "3 * a"),
        (A * torch.tensor(3.0), "a * 3"),
        (A * torch.tensor([1.0, 2.0]), "a * ?"),
        (A + 3, "a + ?"),
        (3 - A, "? - a"),
        (torch.rand(2, 2) @ M, "? @ M"),
    ],
)
def test_operations(y, text):
    assert of(y, a=A, b=B, M=M) == text


def test_an_unknown_constant_is_marked_and_explained_in_the_picture():
    drawing = av.graph(A + 3, names={"a": A}).variables().computation()
    assert "a + ?" in drawing.words
    assert "?: an input that needs no gradient; the graph does not keep it." in drawing.words
    assert "needs no gradient" in drawing.svg


def test_a_long_expression_is_shortened_where_it_becomes_too_long():
    y = A
    for _ in range(30):
        y = torch.sin(y + B)
    text = of(y, a=A, b=B)
    assert len(text) <= 60
    assert text.startswith("sin(")
    assert "…" in text


def test_outputs_of_one_operation_are_told_apart():
    first, second = torch.unbind(torch.ones(2, requires_grad=True) * 1)
    assert of(second * 2, p=first) == "(p)[1] * 2"
    assert of(second * first, p=first, q=second) == "q * p"


@pytest.mark.parametrize("name", ["<b>'\"&", "\u202eevil", "x" * 10_000, "猫", "two\nlines"])
def test_names_of_custom_functions_are_cleaned(name):
    kind: Any = type(
        name,
        (torch.autograd.Function,),
        {
            "forward": staticmethod(lambda ctx, x: x * 1),
            "backward": staticmethod(lambda ctx, grad: grad),
        },
    )
    text = of(kind.apply(A), a=A)
    assert text.endswith(("(a)", "(…)"))
    assert "\n" not in text
    assert "\u202e" not in text
    assert len(text) <= 60


def test_an_expression_is_put_in_brackets_by_strength():
    total = Expression("a + b", 1)
    assert total.inside(1) == "a + b"
    assert total.inside(2) == "(a + b)"
    assert expression("AddBackward0", [None, None], {"alpha": 1}).text == "? + ?"
