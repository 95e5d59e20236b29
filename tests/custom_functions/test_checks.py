"""A Function beside nudges: what torch's own checks say, and that nothing of the user's changes."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.autograd import Function

import autograd_viz as av
from tests.custom_functions.functions import (
    LAYER,
    SCALAR,
    SineCosine,
    Square,
    Weighted,
    X,
    changed,
    squared,
    told,
)

# Held against torch.autograd.gradcheck, which knows nothing of ours


OPERATIONS: dict[str, tuple[Any, ...]] = {
    "exp": (torch.exp, X),
    "tan": (torch.tan, X),
    "lgamma": (torch.lgamma, torch.tensor([0.3, 4.0])),
    "log_softmax": (lambda x: torch.log_softmax(x, -1), torch.rand(2, 3)),
    "matmul": (torch.matmul, torch.rand(2, 3), torch.rand(3, 2)),
    "broadcast": (torch.mul, torch.rand(2, 3), torch.rand(3)),
    "max": (lambda x: x.max(0).values, torch.tensor([[1.0, 5.0], [2.0, 3.0]])),
    "sort": (lambda x: x.sort(0).values, torch.tensor([3.0, 1.0, 2.0])),
    "cholesky": (
        lambda x: torch.linalg.cholesky(x @ x.T + 3 * torch.eye(2).to(x)),
        torch.rand(2, 2),
    ),
    "several": (lambda x: x.unbind(), torch.rand(3)),
    "complex": (lambda z: z * z.conj() + z**3, torch.tensor([1 + 2j, -0.5j])),
    "abs of complex": (torch.abs, torch.tensor([3 + 4j])),
    "real to complex": (torch.polar, torch.tensor([2.0]), torch.tensor([0.5])),
    "fft": (torch.fft.rfft, torch.rand(5)),
    "tiny": (torch.log, torch.tensor([1e-8, 2e-5])),
    "large numbers": (torch.square, torch.tensor([3e6])),
    "steep": (lambda x: torch.sigmoid(500 * x), torch.tensor([1e-3])),
    "Square": (Square, X),
    "Weighted": (Weighted, *LAYER),
    "SineCosine": (SineCosine, X),
}
WRONG = {
    "twice": squared(lambda x, grad: grad * 4 * x),
    "nearly": squared(lambda x, grad: grad * 2.02 * x),
    "turned": squared(lambda x, grad: grad * 2 * x.flip(0)),
    "added": squared(lambda x, grad: grad * 2 * x + 1),
    "summed": squared(lambda x, grad: (grad * 2 * x).sum().expand(x.shape)),
    "ones": squared(lambda x, grad: 2 * x),
}


def doubles(inputs):
    wide = {torch.float32: torch.float64, torch.complex64: torch.complex128}
    return [
        each.to(wide[each.dtype]).requires_grad_() if isinstance(each, torch.Tensor) else each
        for each in inputs
    ]


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_gradcheck_passes_is_right(name):
    function, *inputs = OPERATIONS[name]
    apply = getattr(function, "apply", function)
    if name not in (
        "tiny",
        "large numbers",
        "steep",
    ):  # its step of 1e-6 is too large or small here
        assert torch.autograd.gradcheck(apply, doubles(inputs))
    check = av.check_function(function, *inputs)
    assert check, str(check)
    assert all(row.agrees for row in check.rows)


@pytest.mark.parametrize("name", WRONG)
def test_what_gradcheck_refuses_is_wrong(name):
    with pytest.raises(RuntimeError):
        torch.autograd.gradcheck(WRONG[name].apply, doubles([X]))
    assert not av.check_function(WRONG[name], X)


@pytest.mark.parametrize("name", ["matmul", "complex", "Weighted", "SineCosine"])
def test_the_rows_are_the_jacobian(name):
    function, *inputs = OPERATIONS[name]
    apply = getattr(function, "apply", function)
    given: list[Any] = doubles(inputs)
    check = av.check_function(function, *given)
    assert {row.rule == pytest.approx(row.nudge, rel=1e-6, abs=1e-9) for row in check.rows} == {
        True
    }
    moved = [each for each in given if isinstance(each, torch.Tensor)]

    def real(tensor):
        return torch.view_as_real(tensor) if tensor.is_complex() else tensor

    def flat(*values):
        numbers = [
            torch.view_as_complex(value) if each.is_complex() else value
            for value, each in zip(values, moved, strict=True)
        ]
        found = apply(*numbers, *given[len(moved) :])
        found = found if isinstance(found, tuple) else (found,)
        kept = [each for each in found if each.requires_grad]
        return torch.cat([real(each).reshape(-1) for each in kept])

    jacobians = torch.autograd.functional.jacobian(
        flat, tuple(real(each.detach()) for each in moved)
    )
    theirs = torch.cat([each.reshape(each.shape[0], -1) for each in jacobians], 1)
    assert [row.rule for row in check.rows] == pytest.approx(theirs.reshape(-1).tolist(), abs=1e-12)


def test_a_rule_that_is_off_by_less_than_gradcheck_sees():
    close = squared(lambda x, grad: grad * 2 * x * (1 + 5e-6))
    assert torch.autograd.gradcheck(close.apply, doubles([X]))
    assert told(av.check_function(close, X)) == [
        "The rule for x differs from the nudge in 2 of 4 elements: ∂out[1]/∂x[1] is -4.00002 by "
        "the rule, -4 by the nudge. Each is 1.000005 times what the nudge gives. "
        "Write: grad_x = grad_x / 1.000005"
    ]


# What is given


def test_a_function_by_its_class_or_by_its_apply():
    by_class, by_apply = av.check_function(Square, X), av.check_function(Square.apply, X)
    assert by_class.rows == by_apply.rows
    assert by_class.name == by_apply.name == "Square"


def test_only_inputs_that_require_a_gradient_are_checked_where_one_does():
    W, x, b, factor = LAYER
    check = av.check_function(Weighted, W, x.clone().requires_grad_(), b, factor)
    assert {row.input[0] for row in check.rows} == {"x"}
    assert [part.checked for part in check.inputs] == [False, True, False, False]


def test_a_module_with_weights_in_float32_and_a_note_that_says_how_close():
    layer = torch.nn.BatchNorm1d(2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    check = av.check_function(layer, torch.rand(4, 2))
    assert check
    assert check.notes[1] == (
        "BatchNorm1d does not compute in float64, so all was computed in float32: rule and nudge "
        "count as equal to within 0.17 %."
    )
    assert all(before[name].equal(value) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64])
def test_other_data_types_are_checked_in_copies_of_float64(dtype):
    check = av.check_function(torch.square, X.to(dtype))
    assert check
    kind = str(dtype).removeprefix("torch.")
    assert f"The inputs are {kind}; all was computed with copies in float64." in check.notes
    assert not av.check_function(changed(Square, backward=lambda ctx, grad: grad), X.to(dtype))


def test_a_forward_that_computes_in_float32_whatever_it_is_given():
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.float() * x.float()

    check = av.check_function(changed(Square, forward=forward), X.double())
    assert check
    assert "to within 0.17 %." in check.notes[1]


def test_of_large_inputs_a_sample():
    check = av.check_function(torch.exp, torch.rand(200, 200))
    assert check
    assert "A sample was compared: 6 of 40,000 numbers of the inputs" in check.notes[-1]
    assert sum(row.rule != 0 for row in check.rows) == 6
    assert not av.check_function(squared(lambda x, grad: grad * x), torch.rand(200, 200) + 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((3.0,), "none of the inputs is a tensor of real or complex numbers"),
        ((torch.tensor([1, 2]),), "none of the inputs is a tensor of real or complex numbers"),
        (
            (torch.rand(2, 2).to_sparse(),),
            "x is no ordinary tensor whose numbers can move one by one",
        ),
        ((torch.rand(2, device="meta"),), "x is no ordinary tensor whose numbers can move one by"),
    ],
)
def test_what_cannot_be_nudged(given, message):
    with pytest.raises(TypeError, match=message) as raised:
        av.check_function(Square, *given)
    assert str(raised.value).endswith("av.check_function(MyFunction, torch.tensor([0.5, -2.0]))")


def test_what_is_no_function_and_what_returns_no_tensor():
    with pytest.raises(
        TypeError, match=r"wants a torch\.autograd\.Function or a function of tensors"
    ):
        av.check_function(3, X)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="returned no tensor of real or complex numbers"):
        av.check_function(lambda x: {"y": x}, X)
    with pytest.raises(TypeError, match="returned no tensor of real or complex numbers"):
        av.check_function(lambda x: x[:0], X)


def test_an_empty_output_beside_another_is_passed_over():
    assert av.check_function(lambda x: (x[:0], x * 2), X)


def test_within_no_grad():
    with torch.no_grad():
        assert told(av.check_function(Square, X)) == []


def test_an_error_of_forward_is_the_users_own():
    def forward(ctx, x):
        raise ArithmeticError("mine")

    with pytest.raises(ArithmeticError, match="mine"):
        av.check_function(changed(Square, forward=forward), X)


# Nothing of the user's changes


def test_tensors_grads_and_random_numbers_stay_as_they_are():
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        x.mul_(2)
        torch.rand(3), random.random()
        return x * y

    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        x.data.add_(1), grad.data.mul_(2)
        return grad * y, grad * x

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor([3.0, 4.0])
    x.grad = grad = torch.tensor([7.0, 7.0])
    states = torch.get_rng_state(), random.getstate()
    version = x._version, y._version
    av.check_function(changed(Square, forward=forward, backward=backward), x, y)
    assert (x.tolist(), y.tolist()) == ([1, 2], [3, 4])
    assert x.grad is grad
    assert grad.tolist() == [7, 7]
    assert (x._version, y._version) == version
    assert torch.get_rng_state().equal(states[0])
    assert random.getstate() == states[1]


def test_the_function_itself_is_left_as_it_was():
    before = dict(vars(Square))
    av.check_function(Square, X)
    assert dict(vars(Square)) == before


def test_a_gradient_of_parameters_that_a_function_uses_is_not_written():
    layer = torch.nn.Linear(2, 2)
    av.check_function(layer, X)
    assert layer.weight.grad is None


def test_a_verdict_is_a_condition():
    assert bool(av.check_function(Square, SCALAR)) is True
    assert bool(av.check_function(squared(lambda x, grad: grad * x), SCALAR)) is False


def test_vmap_and_vjp_styles():
    class ByVjp(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def vjp(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 3 * x**2

    assert told(av.check_function(ByVjp, X)) == []
