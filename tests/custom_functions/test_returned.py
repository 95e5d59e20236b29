"""How many gradients come back, of which kind and shape: each fault in one sentence."""

import torch
from torch.autograd import Function

import autograd_viz as av
from tests.custom_functions.functions import LAYER, SCALAR, Square, Weighted, changed, squared, told


def layer(backward):
    return av.check_function(changed(Weighted, backward=backward), *LAYER)


def test_too_few_gradients():
    check = layer(lambda ctx, grad: grad)
    assert told(check) == [
        "backward returns 1 gradient, and forward has 4 inputs (W, x, b, factor): it has to "
        "return one for each, in their order, and None for one that needs none. "
        "Write: return grad_W, grad_x, grad_b, None"
    ]
    assert not check
    assert {row.rule for row in check.rows} == {None}


def test_too_many_gradients():
    check = av.check_function(squared(lambda x, grad: (grad * 2 * x, grad)), SCALAR)
    assert told(check) == [
        "backward returns 2 gradients, and forward has 1 input (x): it has to return one for "
        "each, in their order, and None for one that needs none. Write: return grad_x"
    ]


def test_more_that_are_none_are_taken_as_pytorch_takes_them():
    assert av.check_function(squared(lambda x, grad: (grad * 2 * x, None, None)), SCALAR)


def test_a_gradient_where_none_is_due_is_taken():
    W, x, b, factor = LAYER
    assert av.check_function(Weighted, W.clone().requires_grad_(), x, b, factor)


def test_what_is_no_tensor():
    check = av.check_function(squared(lambda x, grad: ...), SCALAR)
    assert told(check) == [
        "backward returns ... for x, and a gradient is a tensor, or None. Write: return grad_x"
    ]
    check = layer(lambda ctx, grad: (0.5, ..., grad, None))
    assert told(check) == [
        "backward returns 0.5 for W, ... for x, and a gradient is a tensor, or None. "
        "Write: return grad_W, grad_x, grad_b, None"
    ]


def test_a_shape_that_is_turned_over():
    def backward(ctx, grad):
        W, x = ctx.saved_tensors
        return torch.outer(x, grad * 2), W.T @ grad * 2, grad * 2, None

    assert told(layer(backward)) == [
        "backward returns a gradient of shape [3, 2] for W, whose shape is [2, 3]: a gradient has "
        "the shape of its input. Write: grad_W = grad_W.T"
    ]


def test_a_sum_whose_gradient_is_not_spread():
    check = av.check_function(
        changed(Square, forward=lambda ctx, x: x.sum(0), backward=lambda ctx, grad: grad),
        torch.rand(4, 3),
    )
    assert told(check) == [
        "backward returns a gradient of shape [3] for x, whose shape is [4, 3]: a gradient has "
        "the shape of its input. Write: grad_x = grad_x.expand(x.shape)"
    ]


def test_a_flat_gradient_and_one_of_another_size():
    flat = squared(lambda x, grad: (grad * 2 * x).reshape(-1))
    assert told(av.check_function(flat, torch.rand(2, 3)))[0].endswith(
        "Write: grad_x = grad_x.reshape(x.shape)"
    )
    short = squared(lambda x, grad: (grad * 2 * x)[:2])
    assert told(av.check_function(short, torch.rand(5))) == [
        "backward returns a gradient of shape [2] for x, whose shape is [5]: a gradient has the "
        "shape of its input. Write: grad_x = torch.zeros_like(x), filled with ∂L/∂x"
    ]


def test_a_gradient_of_a_broadcast_input_is_summed_by_pytorch_itself():
    def forward(ctx, x, b):
        return x + b

    added = changed(Square, forward=forward, backward=lambda ctx, grad: (grad, grad))
    assert av.check_function(added, torch.rand(4, 3), torch.rand(3))


def test_none_where_a_gradient_is_due():
    def backward(ctx, grad):
        _, x = ctx.saved_tensors
        return torch.outer(grad, x) * 2, None, grad * 2, None

    check = layer(backward)
    assert told(check) == [
        "backward returns None for x, and the output moves with it: the nudge gives "
        "∂out[0]/∂x[2] = 4. Write: return grad_W, grad_x, grad_b, None"
    ]
    by_input = {row.input[0]: row.agrees for row in check.rows if row.nudge}
    assert by_input == {"W": True, "x": False, "b": True}


def test_none_where_nothing_moves_is_right():
    def forward(ctx, x, unused):
        return x * 2

    two = changed(Square, forward=forward, backward=lambda ctx, grad: (grad * 2, None))
    assert av.check_function(two, SCALAR, SCALAR)


def test_a_backward_that_raises():
    check = av.check_function(squared(lambda x, grad: x.nothing), SCALAR)
    assert told(check) == [
        "The backward pass fails: AttributeError: 'Tensor' object has no attribute 'nothing'."
    ]
    assert str(check).startswith("Square: the rule gives no gradient\n")


def test_a_function_without_any_rule():
    class Forward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    (sentence,) = told(av.check_function(Forward, SCALAR))
    assert sentence.startswith("The backward pass fails: NotImplementedError: ")
    assert sentence.endswith(" Write: @staticmethod def backward(ctx, grad): return grad_x")


def test_a_plain_function_that_loses_a_gradient():
    check = av.check_function(lambda x, y: x * y.detach(), SCALAR, torch.tensor(4.0))
    assert told(check) == [
        "Autograd brings no gradient to y, and the output moves with it: the nudge gives "
        "∂out/∂y = 1.5. Use y without .detach(), .item(), torch.no_grad() and NumPy."
    ]
    check = av.check_function(lambda x: x.detach() * 2, SCALAR)
    assert told(check) == [
        "No output of the function requires a gradient: autograd recorded nothing that leads to "
        "the inputs. Use x without .detach(), .item(), torch.no_grad() and NumPy."
    ]
    assert not check
