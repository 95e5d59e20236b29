"""Hooks as the cause: which function it was, where it stands, and what it made of what."""

from __future__ import annotations

import functools
import sys

import pytest
import torch

import autograd_viz as av
from autograd_viz.diagnosis.hooks_seen import watched


def made_zero(grad):
    return grad * 0


def in_place(grad):
    grad.mul_(float("nan"))


def line_of(function) -> int:
    return function.__code__.co_firstlineno


class Scaled:
    """A hook that is an object."""

    def __call__(self, grad):
        return grad * 0


def asked(register) -> str:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    h = w * 3
    register(w, h)
    loss = (h * h).sum()
    loss.backward(retain_graph=True)
    return av.why(w, loss).text


def test_the_hook_of_a_tensor():
    assert asked(lambda w, h: h.register_hook(made_zero)) == (
        "w.grad is 0 because a hook made [0, 0] of [6, 12], the gradient of h: made_zero "
        f"(line {line_of(made_zero)})."
    )


def test_a_hook_that_changes_what_it_is_given():
    assert asked(lambda w, h: h.register_hook(in_place)) == (
        "w.grad holds NaN because a hook made [NaN, NaN] of [6, 12], the gradient of h: in_place "
        f"(line {line_of(in_place)})."
    )


def test_the_hook_of_a_leaf():
    assert asked(lambda w, h: w.register_hook(made_zero)) == (
        "w.grad is 0 because a hook made [0, 0] of [18, 36], the gradient of w: made_zero "
        f"(line {line_of(made_zero)})."
    )


def test_the_hooks_of_a_node():
    def after(sent, arrived):
        return tuple(None if one is None else one * 0 for one in sent)

    def before(arrived):
        return (arrived[0] * 0,)

    assert asked(lambda w, h: h.grad_fn.register_hook(after)) == (
        "w.grad is 0 because a hook made [0, 0] of [18, 36], the gradient of w: after "
        f"(line {line_of(after)})."
    )
    assert asked(lambda w, h: h.grad_fn.register_prehook(before)) == (
        "w.grad is 0 because a hook made [0, 0] of [6, 12], the gradient of h: before "
        f"(line {line_of(before)})."
    )


def test_hooks_that_are_no_plain_functions():
    times = functools.partial(lambda factor, grad: factor * grad, 0)
    assert ", the gradient of h: <lambda> (line " in asked(lambda w, h: h.register_hook(times))
    said = asked(lambda w, h: h.register_hook(Scaled()))
    assert f": Scaled.__call__ (line {line_of(Scaled.__call__)})." in said


def test_of_several_hooks_those_are_named_that_change_something():
    def looks(grad):
        return None

    def halves(grad):
        return grad / 2

    def register(w, h):
        for hook in (looks, halves, made_zero):
            h.register_hook(hook)

    assert asked(register) == (
        "w.grad is 0 because hooks made [0, 0] of [6, 12], the gradient of h: halves "
        f"(line {line_of(halves)}) and made_zero (line {line_of(made_zero)})."
    )


def test_the_hook_of_a_tensor_that_is_gone():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    h = w * 3
    h.register_hook(made_zero)
    h = torch.relu(h)
    loss = h.sum()
    loss.backward(retain_graph=True)
    assert av.why(w, loss).text == (
        "w.grad is 0 because a hook made [0, 0] of [1, 1], the gradient of what mul gives: "
        f"made_zero (line {line_of(made_zero)})."
    )


def test_the_hook_of_a_module():
    def blocks(module, grad_input, grad_output):
        return (grad_input[0] * 0,)

    w = torch.tensor([[1.0, 2.0]], requires_grad=True)
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(layer.weight)
    layer.register_full_backward_hook(blocks)
    loss = layer(w).sum()
    loss.backward(retain_graph=True)
    said = av.why(w, loss).text
    assert "w.grad is 0 because a hook made 1 × 2, norm 0" in said
    assert said.endswith(f"the gradient of w: blocks (line {line_of(blocks)}).")


def test_where_another_profile_function_is_on_the_hook_has_no_name():
    sys.setprofile(lambda *_: None)
    try:
        said = asked(lambda w, h: h.register_hook(made_zero))
    finally:
        sys.setprofile(None)
    assert said == (
        "w.grad is 0 because a hook made [0, 0] of [6, 12], the gradient of h; which function it "
        "is could not be seen."
    )


@pytest.mark.parametrize("is_raised", [True, False])
def test_nothing_is_watched_afterwards(is_raised):
    before = sys.getprofile()
    try:
        with watched() as seen:
            if is_raised:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert is_raised
    assert sys.getprofile() is before
    assert seen == []
