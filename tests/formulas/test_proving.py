"""A vector-Jacobian product is shown where it is PyTorch's gradient, computed."""

import pytest
import torch
import torch.nn.functional as F

import autograd_viz as av
from autograd_viz.formulas import notation


def products_of(output, **names):
    """Returns the text of each product of the last variable by its input; None: not shown."""
    variables = av.trace(output, torch.ones_like(output), names=names).variables()
    found = {}
    for link in variables.links:
        product = notation.vector_jacobian(variables, link)
        title = variables.nodes[link.target].title
        found[title] = None if product is None else product.text
    return found


def leaf(*shape, dtype=torch.float32):
    return torch.rand(shape, dtype=dtype).add(0.5).requires_grad_()


def test_the_operands_of_rsub_have_their_own_signs_and_sums():
    x, y = leaf(3), leaf(2, 3)
    out = torch.rsub(x, y, alpha=2)
    assert products_of(out, x=x, y=y, out=out) == {"x": "sum(-∂ * 2, dim=0)", "y": "∂"}


def test_softplus_has_its_beta():
    x = leaf(3)
    out = F.softplus(x, beta=3.0)
    assert products_of(out, x=x, out=out) == {"x": "∂ * sigmoid(3 * x)"}
    out = F.softplus(x, threshold=0.1)
    assert products_of(out, x=x, out=out) == {"x": None}


@pytest.mark.parametrize(
    ("function", "product"),
    [
        (lambda z, w: z * w, "∂ * conj(w)"),
        (lambda z, w: z / w, "∂ / conj(w)"),
        (lambda z, w: torch.exp(z) * w, "∂ * conj(w) * conj(exp(z))"),
        (lambda z, w: z**2 * w, None),
    ],
)
def test_factors_of_complex_numbers_are_conjugated(function, product):
    z, w = (leaf(2, dtype=torch.complex64) for _ in range(2))
    out = function(z, w)
    found = products_of(out, z=z, w=w, out=out)["z"]
    assert product is None or found == product


def test_a_matrix_of_complex_numbers_is_conjugated_too():
    z, v = leaf(3, 2, dtype=torch.complex64), leaf(2, dtype=torch.complex64)
    out = torch.mv(z, v)
    assert products_of(out, z=z, v=v, out=out) == {
        "z": "outer(∂, conj(v))",
        "v": "conj(z).T @ ∂",
    }


def test_a_real_factor_of_a_complex_one_has_no_false_product():
    z, r = leaf(2, dtype=torch.complex64), leaf(2)
    out = z * r
    assert products_of(out, z=z, r=r, out=out)["r"] is None  # PyTorch takes the real part


def test_a_custom_backward_has_no_product_that_it_does_not_follow():
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return 2 * grad

    x = leaf(3)
    x.register_hook(lambda grad: grad * 2)
    y = Scaled.apply(x) + x
    assert products_of(y, x=x, y=y) == {"x": None}


def test_a_gradient_that_a_hook_changes_on_the_way_has_none():
    x = leaf(3)
    inner = torch.exp(x)
    inner.register_hook(lambda grad: grad * 2)
    y = inner * 3
    del inner
    assert products_of(y, x=x, y=y) == {"x": None}


def test_saturated_functions_keep_their_products():
    x = torch.tensor([[30.0, -30.0, 100.0, 0.0]], requires_grad=True)
    for function in (torch.tanh, torch.sigmoid, torch.exp, F.relu):
        out = function(x)
        assert products_of(out, x=x, out=out)["x"] is not None, function


def test_values_that_an_operation_saved_prove_a_product_of_large_tensors():
    x, w = leaf(40, 30), leaf(30, 20)
    out = torch.tanh(x @ w)
    assert products_of(out, x=x, w=w, out=out) == {
        "x": "(∂ * (1 - out**2)) @ w.T",
        "w": "x.T @ (∂ * (1 - out**2))",
    }


def test_a_product_of_which_a_value_was_not_kept_is_not_shown():
    class Forgets(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.exp()

        @staticmethod
        def backward(ctx, grad):
            return grad

    x = leaf(40)
    out = Forgets.apply(x) * 3
    trace = av.trace(out.sum(), names={"x": x, "out": out})
    assert "∂sum(out)/∂out @ ∂out/∂x" in str(trace.variables().chain_rule()[-1])


def large(function, *shapes):
    """Chain-rule lines of a function of large leaves."""
    leaves = [torch.rand(shape).add(0.5).requires_grad_() for shape in shapes]
    out = function(*leaves)
    names = {**{f"x{at}": one for at, one in enumerate(leaves)}, "out": out}
    return [
        str(line)
        for line in av.trace(out, torch.rand_like(out), names=names).variables().chain_rule()
    ]


@pytest.mark.parametrize(
    ("function", "shapes", "products"),
    [
        (lambda x, w: x @ w, [(1024, 512), (512, 256)],
         ["(grad of out) @ x1ᵀ", "x0ᵀ @ (grad of out)"]),
        (lambda x, b: x + b, [(1024, 512), (512,)], ["(grad of out)", "sum((grad of out), dim=0)"]),
        (lambda x, y: x * y, [(1024, 512)] * 2, ["(grad of out) * x1", "(grad of out) * x0"]),
    ],
)  # fmt: skip
def test_of_very_large_tensors_some_rows_are_computed_and_it_is_said(function, shapes, products):
    lines = large(function, *shapes)
    assert len(lines) == len(products)
    assert all("checked in 8 rows" in line for line in lines)
    for product in products:
        assert any(product in line for line in lines), lines


def test_a_wrong_product_of_very_large_tensors_is_not_shown():
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, grad):
            return grad * 2, grad * 3

    assert all("checked" not in line for line in large(Wrong.apply, (1024, 512), (1024, 512)))
