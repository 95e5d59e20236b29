"""Where a hook changed a gradient, the chain rule alone does not hold, and each view says so."""

from typing import Any

import pytest
import torch

import autograd_viz as av


def double_at_tensor(x):
    y = x.exp()
    y.register_hook(lambda grad: 2 * grad)
    return y


def double_in_place_at_tensor(x):
    y = x.exp()
    y.register_hook(lambda grad: grad.mul_(2) and None)
    return y


def double_at_function(x):
    y = x.exp()
    function: Any = y.grad_fn
    function.register_hook(lambda sent, arrived: (2 * sent[0],))
    return y


def double_before_function(x):
    y = x.exp()
    y.grad_fn.register_prehook(lambda arrived: (2 * arrived[0],))
    return y


def lines_of(y, x, more=None):
    z = y * 3
    names = {"x": x, "y": y, "z": z}
    return [str(line) for line in av.trace(z, more, names=names).variables().chain_rule()]


@pytest.mark.parametrize("double", [double_at_tensor, double_before_function])
def test_both_lines_around_a_hook_on_a_tensor_say_what_it_made_of_what(double):
    x = torch.tensor(1.0, requires_grad=True)
    assert lines_of(double(x), x) == [
        "∂z/∂y = ∂z/∂z * ∂z/∂y = 1 * 3 = 3; a hook made 6 of 3",
        "∂z/∂x = ∂z/∂y * ∂y/∂x = 6 * 2.7183 = 16.3097; a hook made 6 of 3",
    ]


def test_a_hook_on_a_function_is_told_behind_what_the_function_computed():
    x = torch.tensor(1.0, requires_grad=True)
    assert lines_of(double_at_function(x), x) == [
        "∂z/∂y = ∂z/∂z * ∂z/∂y = 1 * 3 = 3",
        "∂z/∂x = ∂z/∂y * ∂y/∂x = 3 * 2.7183 = 8.1548; a hook made 16.3097 of 8.1548",
    ]


def test_between_tensors_the_formula_stays_and_the_hook_is_told():
    x = torch.tensor([0.0, 0.0], requires_grad=True)
    assert lines_of(double_at_function(x), x, torch.ones(2)) == [
        "grad of y = (grad of z) * 3 = [3, 3]",
        "grad of x = (grad of y) * y = [3, 3]; a hook made [6, 6] of [3, 3]",
    ]


def test_a_hook_inside_of_a_variable_is_told():
    x = torch.tensor(2.0, requires_grad=True)

    def hooked(inner):
        inner.register_hook(lambda grad: grad + 1)
        return inner

    y = hooked(x.exp()) * 5
    (line,) = av.trace(y, names={"x": x, "y": y}).variables().chain_rule()
    assert str(line).endswith("; a hook made 6 of 5")


def test_lines_further_down_say_so_too_and_lines_beside_do_not():
    x = torch.tensor(1.0, requires_grad=True)
    w = torch.tensor(1.0, requires_grad=True)
    t = 2 * x
    y = double_at_tensor(t)
    z = y * w
    names = {"x": x, "w": w, "t": t, "y": y, "z": z}
    lines = [str(line) for line in av.trace(z, names=names).variables().chain_rule()]
    told = {line.partition(" ")[0]: "a hook made" in line for line in lines}
    assert told == {"∂z/∂w": False, "∂z/∂y": True, "∂z/∂t": True, "∂z/∂x": True}


def test_no_hook_is_told_where_one_changes_nothing():
    x = torch.tensor(1.0, requires_grad=True)
    y = x.exp()
    y.register_hook(lambda grad: None)
    function: Any = y.grad_fn
    function.register_hook(lambda sent, arrived: None)
    assert not any("hook" in line for line in lines_of(y, x))


def test_the_table_says_from_and_to():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = double_at_tensor(x)
    s = h.sum()
    table = str(av.trace(s, names={"x": x, "h": h, "s": s}).variables())
    assert "∂s/∂h = [2, 2]; a hook made [2, 2] of [1, 1]" in table
    h = double_at_function(x)
    s = h.sum()
    table = str(av.trace(s, names={"x": x, "h": h, "s": s}).variables())
    assert "∂s/∂x = [5.4366, 14.7781]; a hook made [5.4366, 14.7781] of [2.7183, 7.3891]" in table


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("double", [double_at_tensor, double_at_function, double_before_function])
def test_paths_are_products_of_derivatives_and_do_not_claim_what_a_hook_breaks(double, shape):
    x = torch.full(shape, 2.0, requires_grad=True)
    s = double(x).sum()
    found = av.paths(s, x, names={"x": x, "s": s})
    torch.testing.assert_close(torch.as_tensor(found.products[0]), x.detach().exp())
    assert found.agrees is False
    assert "but autograd's gradient is" in str(found)
    assert "a hook made" in str(found)


def test_a_scalar_on_the_way_through_tensors_has_the_derivative_without_the_hook():
    x = torch.tensor(2.0, requires_grad=True)
    y = torch.stack([x, x]).sum()
    function: Any = y.grad_fn
    function.register_hook(lambda sent, arrived: (7 * sent[0],))
    z = y * 1.0
    variables = av.trace(z, names={"x": x, "y": y, "z": z}).variables()
    local = {(a.source, a.target): a.local for a in variables.links}
    by_name = {v.name: v.id for v in variables.nodes}
    assert local[by_name["y"], by_name["x"]] in (2.0, None)


def test_a_hook_of_a_module_is_told():
    layer = torch.nn.Linear(1, 1, bias=False)
    five: Any = lambda module, sent, arrived: (5 * sent[0],)  # noqa: E731
    layer.register_full_backward_hook(five)
    x = torch.tensor([[1.0]], requires_grad=True)
    with torch.no_grad():
        layer.weight.fill_(2)
    y = layer(x).sum()
    assert "a hook made 1 × 1: 10 of 1 × 1: 2" in str(
        av.trace(y, names={"x": x, "y": y}).variables()
    )


def test_the_explorer_tells_the_same_hooks_at_other_numbers():
    def f(x):
        y = torch.exp(x)
        y.register_hook(lambda grad: 2 * grad)
        return 3 * y

    widget = av.explore(f, x=(0.0, 2.0))
    widget.view = "backward"
    widget.inputs = {"x": 0.0}
    texts = dict(zip(widget.scene["keys"], widget.state["texts"], strict=True))
    assert "a hook made 6 of 3" in texts.values()
    widget.close()
