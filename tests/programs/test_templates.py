"""The text of expressions: noise dropped, names filled in."""

import ast

import pytest

from autograd_viz.programs.templates import dotted, template


def of(text, own=()):
    return template(ast.parse(text, mode="eval").body, set(own))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("torch.log2(a) * torch.log2(b)", "log2(a) * log2(b)"),
        ("torch.nn.functional.relu(F.softmax(x))", "relu(softmax(x))"),
        ("x.sum(dim=0) * math.pi", "x.sum(dim=0) * pi"),
        ("model(x).mean()", "model(x).mean()"),
        ("torch.tensor([1.,2.])", "tensor([1.0, 2.0])"),
        ("self.torch.log(x)", "self.torch.log(x)"),
        ("é*torch.sin( ü )", "é * sin(ü)"),
    ],
)
def test_pytorchs_module_names_are_left_out(text, shown):
    assert of(text).text == shown


def test_a_local_variable_is_no_module():
    assert of("F.T @ x", own={"F"}).text == "F.T @ x"


def test_names_are_filled_in_and_attributes_and_keywords_are_not():
    text = of("x.x * f(x=x) + torch.x(y)")
    assert text.names == ("x", "f", "x", "y")
    assert text.filled({"x": "x₂", "y": "y₁"}) == "x₂.x * f(x=x₂) + x(y₁)"


def test_names_of_a_comprehension_or_a_lambda_are_its_own():
    assert of("sum([x * k for k in ks])").filled({"k": "!", "x": "x₁"}) == (
        "sum([x₁ * k for k in ks])"
    )
    assert of("(lambda q: q * x)(x)").filled({"q": "!", "x": "x₁"}) == "(lambda q: q * x₁)(x₁)"


def test_a_chain_of_attributes():
    assert dotted(ast.parse("model.layers.weight", mode="eval").body) == "model.layers.weight"
    assert dotted(ast.parse("f().weight", mode="eval").body) is None
