"""What is changed in place, kept, drawn, and which gradients are taken: each fault told."""

import random

import pytest
import torch

import autograd_viz as av
from tests.custom_functions.functions import SCALAR, SineCosine, Square, X, changed, squared, told


def square(rule, x=X):
    return av.check_function(squared(rule), x)


def test_backward_changes_what_it_saved():
    expected = [
        "backward changes in place what it saved (x): a second backward pass finds other numbers. "
        "Work on a copy. Write: x = x.clone()"
    ]
    assert told(square(lambda x, grad: x.mul_(2) * grad)) == expected
    # the same behind autograd's back, where the result lies in the memory that was saved
    check = square(lambda x, grad: x.data.mul_(2).mul_(grad))
    assert told(check) == expected
    assert all(row.agrees for row in check.rows)


def test_backward_changes_a_saved_tensor_that_has_no_name():
    def forward(ctx, x):
        ctx.save_for_backward(2 * x)
        return x * x

    def backward(ctx, grad):
        (twice,) = ctx.saved_tensors
        return twice.data.mul_(grad)

    check = av.check_function(changed(Square, forward=forward, backward=backward), X)
    assert told(check) == [
        "backward changes in place what it saved (ctx.saved_tensors[0]): a second backward pass "
        "finds other numbers. Work on a copy. "
        "Write: saved = [each.clone() for each in ctx.saved_tensors]"
    ]


def test_backward_changes_the_gradient_that_arrives():
    assert told(square(lambda x, grad: grad.mul_(2).mul_(x))) == [
        "backward changes the gradient that arrives, in place: others may hold the same tensor, "
        "and where it was expanded, as by sum(), this is an error. Work on a copy. "
        "Write: grad = grad.clone()"
    ]


def test_forward_changes_an_input_without_a_word():
    def forward(ctx, x):
        x.mul_(2)
        return x.clone()

    doubled = changed(Square, forward=forward, backward=lambda ctx, grad: 2 * grad)
    assert told(av.check_function(doubled, X)) == [
        "forward changes its input x in place and does not say so: autograd then believes that "
        "the old numbers are still there. Say ctx.mark_dirty(x) and return x itself, or work on a "
        "copy. Write: x = x.clone()"
    ]
    assert X.tolist() == [1.5, -2.0]


def test_forward_that_says_what_it_changes():
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    doubled = changed(Square, forward=forward, backward=lambda ctx, grad: 2 * grad)
    assert told(av.check_function(doubled, X)) == []


def test_an_output_that_is_a_view_of_an_input_is_told_and_is_right():
    same = changed(Square, forward=lambda ctx, x: x.view_as(x), backward=lambda ctx, grad: grad)
    check = av.check_function(same, X)
    assert told(check) == [
        "The output out is a view: it shares its memory with the input x, so PyTorch refuses to "
        "change out in place, and a change of x changes it too. Write: return out.clone()"
    ]
    assert check


def test_a_tensor_kept_as_an_attribute_is_told_and_is_right():
    def forward(ctx, x):
        ctx.x = x
        return x * x

    kept = changed(Square, forward=forward, backward=lambda ctx, grad: grad * 2 * ctx.x)
    check = av.check_function(kept, X)
    assert told(check) == [
        "ctx.x is a tensor that is kept as an attribute: a change of it in place before the "
        "backward pass goes unnoticed, and an output kept so is never freed. "
        "Write: ctx.save_for_backward(x)"
    ]
    assert check


REPEATED = (
    "Two backward passes of the same graph, with the same gradient arriving, give different "
    "gradients. Save in forward what backward needs, random numbers too. "
    "Write: ctx.save_for_backward(mask)"
)


@pytest.mark.parametrize("drawn", [lambda: torch.rand(()), random.random])
def test_backward_draws_random_numbers(drawn):
    assert told(square(lambda x, grad: grad * x * drawn())) == [REPEATED]


def test_backward_counts_its_calls():
    calls = []

    def rule(x, grad):
        calls.append(grad)
        return grad * 2 * x * len(calls)

    assert told(square(rule)) == [REPEATED]


def test_forward_that_differs_from_run_to_run():
    calls = []

    def forward(ctx, x):
        calls.append(x)
        return x * len(calls)

    check = av.check_function(changed(Square, forward=forward), X)
    assert told(check) == [
        "Two runs of forward with the same inputs and the same random numbers give different "
        "outputs, so no nudge can be compared with the rule. Give what changes from run to run as "
        "an input."
    ]
    assert str(check).startswith("Square: nothing could be compared\n")


def test_dropout_whose_mask_was_saved_is_right():
    def forward(ctx, x):
        mask = (torch.rand_like(x) > 0.5).to(x.dtype)
        ctx.save_for_backward(mask)
        return x * mask

    def backward(ctx, grad):
        (mask,) = ctx.saved_tensors
        return grad * mask

    assert av.check_function(changed(Square, forward=forward, backward=backward), torch.ones(9))


def test_backward_does_not_use_what_arrives():
    check = square(lambda x, grad: 2 * x, SCALAR)
    assert told(check) == [
        "backward gives the same whatever arrives: it does not use the gradient of the output. "
        "Write: return grad * local_derivative"
    ]
    (row,) = check.rows
    assert (row.rule, row.agrees) == (1.5, False)  # 3, divided by the 2 that arrived


def test_backward_clips_what_arrives():
    assert told(square(lambda x, grad: 2 * x * grad.clamp(-5, 5))) == [
        "Where 1024 times as much arrives, backward does not give 1024 times as much: a gradient "
        "is what arrives, times a local derivative. Write: return grad * local_derivative"
    ]


def test_backward_wants_a_contiguous_gradient():
    check = square(
        lambda x, grad: (2 * x.reshape(-1) * grad.view(-1)).view(x.shape), torch.rand(2, 3)
    )
    assert told(check) == [
        "backward fails where the gradient that arrives is not contiguous, as from a transposed "
        "or sliced output: RuntimeError: view size is not compatible with input tensor's size and "
        "stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) "
        "instead. Write: grad = grad.contiguous()"
    ]


def test_backward_reads_the_memory_of_the_gradient():
    """As a kernel does that is given a pointer."""

    def rule(x, grad):
        return 2 * x * grad.as_strided((grad.numel(),), (1,))

    kinds = [finding.kind for finding in square(rule, torch.rand(5)).findings]
    assert set(kinds) == {"layout"}
    assert (
        "backward gives other gradients where the one that arrives is not contiguous, as from a "
        "transposed or sliced output, though its numbers are the same. "
        "Write: grad = grad.contiguous()"
    ) in told(square(rule, torch.rand(5)))


def test_one_output_alone_is_used():
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return SineCosine.forward(ctx, x)

    assert told(av.check_function(changed(SineCosine, forward=forward), X)) == [
        "backward fails where out0 alone is used, and None arrives for the other outputs: "
        "TypeError: unsupported operand type(s) for *: 'NoneType' and 'Tensor'. Ask for None "
        "first, or let zeros arrive. Write: ctx.set_materialize_grads(True)"
    ]
    assert told(av.check_function(SineCosine, X)) == []
