"""Vector-Jacobian products: their text, evaluated with torch, is autograd's gradient."""

import re

import pytest
import torch
import torch.nn.functional as F

import autograd_viz as av
from autograd_viz.formulas import notation
from autograd_viz.typeset import latex, plain

SCOPE = {
    "expand": lambda x, shape: torch.as_tensor(x).expand(shape),
    "ones": lambda *shape: torch.ones(*shape, dtype=torch.float64),
    "log": lambda x: torch.log(torch.tensor(x, dtype=torch.float64) if x == 2 else x),
    "softmax": lambda x, dim=-1: torch.softmax(x, dim),
    **{
        name: getattr(torch, name)
        for name in ("sum", "reshape", "outer", "unsqueeze", "exp", "cos", "sin", "sign", "sigmoid")
    },
    "relu": F.relu,
}


def leaf(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    values = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    return values.requires_grad_()


X, W, V = leaf(2, 3), leaf(3, 4), leaf(3)
B, S, R = leaf(4), leaf(), leaf(2, 1)
K = V.detach().flip(0).requires_grad_()
P, Q = leaf(2, 2, 3), leaf(2, 3, 2)
T = torch.tensor([1, 3])


def evaluated(variables, link, values):
    """What PyTorch makes of the text of a link's product."""
    source = variables.nodes[link.source]
    product = notation.vector_jacobian(variables, link)
    assert product is not None, f"no product for {source.title}"
    arrived = notation.arrived(variables, source)
    text = product.text.replace("∂", "GRADIENT")
    return text, eval(text, SCOPE, {**values, "GRADIENT": arrived})


CASES = {
    "X @ W": lambda: X @ W,
    "X @ V": lambda: X @ V,
    "dot": lambda: torch.dot(V, K),
    "linear": lambda: F.linear(X, W.T, B),
    "bias": lambda: X @ W + B,
    "column": lambda: X * R,
    "scalar": lambda: X * S,
    "sub": lambda: X - V,
    "minus": lambda: V - X,
    "div": lambda: X / V,
    "div by number": lambda: X / S,
    "square": lambda: X**2,
    "cube": lambda: X**3,
    "neg": lambda: -X,
    "sum": lambda: X.sum(),
    "sum rows": lambda: X.sum(0),
    "sum columns": lambda: X.sum(1),
    "sum kept": lambda: X.sum(1, keepdim=True),
    "mean": lambda: X.mean(),
    "mean columns": lambda: X.mean(1),
    "relu": lambda: F.relu(X - 1),
    "sigmoid": lambda: torch.sigmoid(X),
    "tanh": lambda: torch.tanh(X),
    "exp": lambda: torch.exp(X),
    "log": lambda: torch.log(X),
    "log2": lambda: torch.log2(X),
    "sqrt": lambda: torch.sqrt(X),
    "sin": lambda: torch.sin(X),
    "cos": lambda: torch.cos(X),
    "abs": lambda: torch.abs(X),
    "reciprocal": lambda: 1 / X,
    "softplus": lambda: F.softplus(X),
    "softmax": lambda: torch.softmax(X, 1),
    "log_softmax": lambda: torch.log_softmax(X, -1),
    "reshape": lambda: X.reshape(3, 2),
    "flatten": lambda: X.flatten(),
    "transpose": lambda: X.T,
    "expand": lambda: V.expand(2, 3),
    "unsqueeze": lambda: X.unsqueeze(0),
    "bmm": lambda: torch.bmm(P, Q),
    "relu of linear": lambda: F.relu(X @ W + B),
    "tanh of linear": lambda: torch.tanh(X @ W + B),
    "sigmoid of bias": lambda: torch.sigmoid(X + V),
    "sum of squares": lambda: (X**2).sum(),
    "mean of squares": lambda: ((X - V) ** 2).mean(),
    "mean of product": lambda: (X @ W).mean(),
    "mean of scaled": lambda: (V * S).sum(),
}


@pytest.mark.parametrize("scale", [1.0, 2.0], ids=["output", "inner"])
@pytest.mark.parametrize("name", CASES)
def test_the_text_evaluates_to_the_gradient(name, scale):
    y = CASES[name]()
    values = {"X": X, "W": W, "V": V, "B": B, "S": S, "R": R, "P": P, "K": K, "Q": Q, "y": y}
    # As an output of several numbers it begins with any gradient; else there is a loss above.
    start = torch.linspace(1, 2, y.numel(), dtype=torch.float64).reshape(y.shape)
    variables = av.trace(y, start * scale, names=values).variables()
    source = variables.root
    checked = 0
    for link in variables.links:
        if link.source != source.id:
            continue
        text, result = evaluated(variables, link, values)
        expected = link.contribution
        assert expected is not None
        torch.testing.assert_close(torch.as_tensor(result).expand(expected.shape), expected)
        assert torch.as_tensor(result).shape == expected.shape or expected.ndim == 0, text
        checked += 1
    assert checked


def lines(output, **names):
    variables = av.trace(output, names=names).variables()
    found = {}
    for link in variables.links:
        pair = notation.product_lines(variables, link)
        title = variables.nodes[link.target].title
        found[title] = None if pair is None else tuple(map(plain, pair))
    return found


def test_a_network_reads_as_in_the_field():
    x, W1, b1, W2 = leaf(2, 4), leaf(4, 3), leaf(3), leaf(3, 2)
    h = torch.relu(x @ W1 + b1)
    y = h @ W2
    L = (y**2).mean()
    assert lines(L, x=x, W1=W1, b1=b1, W2=W2, h=h, y=y, L=L) == {
        "x": ("∂L/∂x = (∂L/∂h * (h > 0)) @ W1ᵀ", "(2 × 4) = (2 × 3) @ (3 × 4)"),
        "W1": ("∂L/∂W1 = xᵀ @ (∂L/∂h * (h > 0))", "(4 × 3) = (4 × 2) @ (2 × 3)"),
        "b1": ("∂L/∂b1 = sum(∂L/∂h * (h > 0), dim=0)", "(3) from (2 × 3)"),
        "h": ("∂L/∂h = ∂L/∂y @ W2ᵀ", "(2 × 3) = (2 × 2) @ (2 × 3)"),
        "W2": ("∂L/∂W2 = hᵀ @ ∂L/∂y", "(3 × 2) = (3 × 2) @ (2 × 2)"),
        "y": ("∂L/∂y = 2 * y / 4", "(2 × 2) from scalar"),
    }


def test_a_layer_of_pytorch_has_its_weight_transposed():
    x, W, b = leaf(2, 4), leaf(3, 4), leaf(3)
    z = F.linear(x, W, b)
    L = (z**2).sum()
    found = lines(L, x=x, W=W, b=b, z=z, L=L)
    assert found["W"] == ("∂L/∂W = (∂L/∂z)ᵀ @ x", "(3 × 4) = (3 × 2) @ (2 × 4)")
    assert found["b"] == ("∂L/∂b = sum(∂L/∂z, dim=0)", "(3) from (2 × 3)")
    assert found["z"] == ("∂L/∂z = 2 * z", "(2 × 3) from scalar")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy(reduction):
    z = leaf(2, 4)
    loss = F.cross_entropy(z, T, reduction=reduction)
    variables = av.trace(loss).variables()
    (link,) = variables.links
    scope = SCOPE | {"onehot": lambda t: F.one_hot(t, 4)}
    product = notation.vector_jacobian(variables, link)
    assert product is not None
    divided = " / 2" if reduction == "mean" else ""
    assert product.text == (
        "(softmax(z) - onehot(target)) / 2" if divided else "softmax(z) - onehot(target)"
    )
    found = eval(product.text, scope, {"z": z, "target": T})
    torch.testing.assert_close(found, link.contribution)


def test_cross_entropy_in_two_variables():
    z = leaf(2, 4)
    p = torch.log_softmax(z, 1)
    loss = F.nll_loss(p, T)
    assert lines(loss, z=z, p=p, loss=loss)["p"] == (
        "∂loss/∂p = -onehot(target) / 2",
        "(2 × 4) from scalar",
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_squared_error(reduction):
    y, t = leaf(2, 3), torch.ones(2, 3, dtype=torch.float64)
    loss = F.mse_loss(y, t, reduction=reduction)
    variables = av.trace(loss).variables()
    (link,) = variables.links
    product = notation.vector_jacobian(variables, link)
    assert product is not None
    assert product.text == "2 * (y - target)" + " / 6" * (reduction == "mean")
    torch.testing.assert_close(eval(product.text, {"y": y, "target": t}), link.contribution)


def test_class_weights_are_not_kept_so_there_is_no_product():
    z = leaf(2, 4)
    weight = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64)
    assert lines(F.cross_entropy(z, T, weight=weight), z=z)["z"] is None


def test_a_constant_without_a_name_is_a_question_mark():
    w = leaf(3, 2)
    y = torch.ones(2, 3, dtype=torch.float64) @ w
    L = y.sum()
    assert lines(L, w=w, y=y, L=L)["w"] == (
        "∂L/∂w = ?ᵀ @ ∂L/∂y",
        "(3 × 2) = (3 × 2) @ (2 × 2)",
    )


def test_several_ways_have_no_single_product():
    x = leaf(3)
    y = torch.sin(x) * x
    L = y.sum()
    assert lines(L, x=x, y=y, L=L)["x"] is None


def test_a_long_product_is_not_written():
    x = leaf(3)
    y = torch.exp(torch.sin(torch.exp(torch.sin(torch.exp(torch.sin(x))))))
    assert lines(y.sum(), x=x, y=y)["x"] is None


def test_several_outputs_have_gradients_but_no_fractions():
    w, x = leaf(2, 2), leaf(2, 2)
    y = x @ w
    variables = av.trace([y.sum(), y.mean()], names={"w": w, "x": x, "y": y}).variables()
    found = [notation.product_lines(variables, link) for link in variables.links]
    assert "grad of w = xᵀ @ (grad of y)" in [plain(pair[0]) for pair in found if pair]


def test_a_transposed_matrix_in_latex():
    w, x = leaf(2, 2), leaf(2, 2)
    y = x @ w
    L = y.sum()
    variables = av.trace(L, names={"w": w, "x": x, "y": y}).variables()
    (link,) = [one for one in variables.links if variables.nodes[one.target].title == "w"]
    pair = notation.product_lines(variables, link)
    assert pair is not None
    assert re.search(r"x\^\{\\mathsf T\} \\mathbin\{@\} \\frac", latex(pair[0]))
