"""Why a gradient is 0, NaN or inf: whole sentences, each of them true of the program beside it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import autograd_viz as av


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def number(value: float) -> Tensor:
    return torch.tensor(value, requires_grad=True)


def passed(y: Tensor) -> Tensor:
    """The same, after a backward pass from it."""
    y.backward(retain_graph=True)
    return y


def why(x: Tensor, y: Tensor) -> str:
    """What is said of x, in programs in which nothing else has a name."""
    y.backward(retain_graph=True)
    return av.why(x, y).text


ZEROS = {
    "relu": (
        lambda x: torch.relu(x).sum(),
        numbers(-1, -2),
        "ReluBackward0 (in `y = sum(relu(x))`): the slope of relu is 0 at 2 elements, one of them "
        "x[0], which is -1; at 1 it is not.",
    ),
    "clamp": (
        lambda x: x.clamp(0, 1) * 2,
        number(3.0),
        "ClampBackward1 (in `y = clamp(x) * 2`): the slope of clamp is 0 at x, which is 3; at 0.4 "
        "it is not.",
    ),
    "steps": (
        lambda x: torch.round(x).sum(),
        numbers(1.2, 2.7),
        "RoundBackward0 (in `y = sum(round(x))`): round is a step function: other inputs change "
        "its result, but its slope is 0 at x[0], which is 1.2, and at every other input that was "
        "tried.",
    ),
    "a factor": (
        lambda x: x * (x > 9).sum() * 2,
        number(3.0),
        "MulBackward0 (in `y = x * 0 * 2`): it is multiplied by 0, the other factor of the "
        "product.",
    ),
    "itself": (
        lambda x: x * x,
        number(0.0),
        "MulBackward0 (in `y = x * x`): it is multiplied by x, which is 0.",
    ),
    "a matrix": (
        lambda x: (x @ torch.zeros(1, 2)).sum(),
        torch.ones(2, 1, requires_grad=True),
        "MmBackward0 (in `y = sum(x @ ?)`): it is multiplied by 0, the other factor of the "
        "product.",
    ),
    "where": (
        lambda x: torch.where(x > 0, torch.ones(()), x) * 3,
        number(2.0),
        "WhereBackward0 (in `y = where(?, ?, x) * 3`): where does not use x, which is 2: its "
        "condition is True there.",
    ),
    "a mask": (
        lambda x: x.masked_fill(x > 0, 5.0).sum(),
        numbers(1, 2),
        "MaskedFillBackward0 (in `y = sum(masked_fill(x))`): masked_fill does not use x[0], which "
        "is 1: its mask is True there.",
    ),
    "the sum of a softmax": (
        lambda x: torch.softmax(x, 0).sum(),
        numbers(0, 0, 0, 0),
        "SoftmaxBackward0 (in `y = sum(softmax(x))`): what arrives is the same along dimension 0, "
        "as 1, and the sum of what softmax gives along dimension 0 does not change when its input "
        "moves.",
    ),
    "one class": (
        lambda x: F.cross_entropy(x[:, None], torch.tensor([0, 0])),
        numbers(1, 2),
        "LogSoftmaxBackward0 (in `y = nll_loss(log_softmax(unsqueeze(x)))`): log_softmax gives the "
        "same for every input that was tried: dimension 1 has one element.",
    ),
    "terms": (
        lambda x: (x.expand(2) * torch.tensor([1.0, -1.0])).sum(),
        number(1.0),
        "ExpandBackward0 (in `y = sum(expand(x) * ?)`): terms that are not 0 cancel: 1 and -1, for "
        "x.",
    ),
    "what is too small": (
        lambda x: (x * 1e-30) * 1e-30,
        number(1.0),
        "MulBackward0 (in `y = x * 1e-30 * 1e-30`): what arrives is 1e-30 at most, and its "
        "products are below the least number of float32.",
    ),
}


@pytest.mark.parametrize("name", ZEROS)
def test_why_a_gradient_is_zero(name):
    function, x, said = ZEROS[name]
    x.grad = None
    y = function(x)
    assert why(x, y) == f"x.grad is 0 because the gradient becomes 0 at {said}"
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize(
    ("function", "value", "name"),
    [(torch.sigmoid, 200.0, "sigmoid"), (torch.tanh, 60.0, "tanh"), (F.gelu, -200.0, "gelu")],
)
def test_a_saturated_function_is_shown_on_its_way_there(function, value, name):
    x = number(value)
    y = function(x) * 2
    said = why(x, y)
    assert f": {name} is saturated at x, which is {value:g}: of what arrives it would send" in said
    assert said.endswith(f", but 0 at {value:g}.")
    numbers_said = said.partition("send on ")[2].removesuffix(f", but 0 at {value:g}.")
    for each in numbers_said.split(", "):
        sent, at = map(float, each.split(" at "))
        point = number(at)
        (function(point) * 2).backward()
        assert point.grad is not None
        assert sent == pytest.approx(point.grad.item(), rel=1e-3)


def test_what_was_chosen_and_what_was_not():
    a, b = number(1.0), number(5.0)
    y = torch.stack([a, b]).max()
    assert av.why(a, passed(y)).text == (
        "a.grad is 0 because the gradient becomes 0 at MaxBackward1 (in `y = max(stack(a, b))`): "
        "max took its result from b, which is 5, and not from a, which is 1."
    )
    a, b = number(1.0), number(5.0)
    y = torch.maximum(a, b) * 2
    assert av.why(a, passed(y)).text == (
        "a.grad is 0 because the gradient becomes 0 at MaximumBackward0 (in `y = maximum(a, b) * "
        "2`): maximum took b, which is 5, and not a, which is 1."
    )
    a, b = number(1.0), number(5.0)
    y = torch.stack([a, b * 2])[1]
    assert av.why(a, passed(y)).text == (
        "a.grad is 0 because the gradient becomes 0 at SelectBackward0 (in `y = stack(a, b "
        "* 2)[1]`): select took its result from what mul gives, which is 10, and not from a, which "
        "is 1."
    )


def test_a_factor_and_a_mask_have_the_names_of_the_reader():
    x, m = numbers(1, 2), torch.tensor([0.0, 0.0])
    y = (x * m).sum()
    assert av.why(x, passed(y)).text.endswith(": it is multiplied by m, which is 0.")
    x, seen = numbers(1, 2), torch.tensor([False, False])
    y = torch.where(seen, x, torch.zeros(2)).sum()
    assert av.why(x, passed(y)).text.endswith(
        "where does not use x[0], which is 1: its condition, seen, is False there."
    )


def test_contributions_that_cancel_are_named_with_their_values():
    x = numbers(3, 1)
    y = (x * 2).sum() - (x * 2).sum()
    assert why(x, y) == (
        "x.grad is 0 because contributions that are not 0 cancel: the gradient of x[0] is the sum "
        "of -2 from MulBackward0 (in `y = sum(x * 2) - sum(x * 2)`) and 2 from MulBackward0 (in "
        "`y = sum(x * 2) - sum(x * 2)`)."
    )


def test_each_way_is_told():
    x = numbers(-1, 2)
    y = torch.relu(x)[0]
    assert why(x, y) == (
        "x.grad is 0 because it becomes 0 on each of 2 ways: (1) the gradient becomes 0 at "
        "SelectBackward0 (in `y = relu(x)[0]`): select took its result from element [0] of "
        "what relu gives, which is 0, and not from x[1], which is 2; (2) the gradient becomes 0 at "
        "ReluBackward0 (in `y = relu(x)[0]`): the slope of relu is 0 at x[0], which is -1; at "
        "1 it is not."
    )


class Nothing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor if hasattr(ctx, "factor") else grad * 0


def test_a_function_of_the_readers_that_returns_zero():
    x = number(3.0)
    y = Nothing.apply(x) * 2
    assert why(x, y) == (
        "x.grad is 0 because the gradient becomes 0 at NothingBackward (in `y = nothing(x) * 2`): "
        "the backward() of your Function returns 0 for a gradient that is not 0."
    )


def test_the_rounding_of_a_zero_is_no_small_gradient():
    x = torch.tensor([[1.0, 2.0, 4.0], [3.0, 4.0, 9.5]], requires_grad=True)
    y = F.layer_norm(x, (3,)).sum()
    said = why(x, y)
    assert x.grad is not None
    if x.grad.any():  # on some processors all are 0
        assert "which is the rounding of a 0: at NativeLayerNormBackward0 (in `y = " in said
        assert said.endswith(
            " cancel, since what arrives is the same along dimension 1, as 1, and the sum of what "
            "native_layer_norm gives along dimension 1 does not change when its input moves."
        )
        assert av.why(x, y).cause == "zero"


def test_a_gradient_that_vanishes_is_measured():
    x = number(-20.0)
    y = torch.sigmoid(x) * 2
    said = why(x, y)
    assert x.grad is not None
    assert (
        "It shrinks most at SigmoidBackward0 (in `y = sigmoid(x) * 2`), where x is -20: its "
        in said
    )
    assert float(said.rpartition("times ")[2].removesuffix(".")) == pytest.approx(
        x.grad.item() / 2, rel=1e-3
    )


# NaN and inf.


def test_a_nan_behind_a_branch_that_was_not_taken():
    x = numbers(-1, 4)
    y = torch.where(x > 0, torch.sqrt(x), torch.zeros(2))
    loss = y.sum()
    assert av.why(x, passed(loss)).text == (
        "x.grad holds NaN because SqrtBackward0 (in `y = where(?, sqrt(x), ?)`) makes NaN of a "
        "finite gradient: x[0] is -1 here, of which sqrt makes NaN; the slope of sqrt there is "
        "NaN, what arrives is 0, and 0 * NaN is NaN. The 0 is there because the gradient becomes "
        "0 at WhereBackward0 (in `y = where(?, sqrt(x), ?)`): where does not use element [0] of "
        "what sqrt gives, which is NaN: its condition is False there. Guard the input of sqrt, not "
        "its result: give it a harmless number where the result is not used, as torch.where(mask, "
        "x, 1) does. Tried, with 1 in the place of x[0]: x.grad is [0, 0.25] instead of [NaN, "
        "0.25]."
    )


def test_zero_times_inf():
    x = numbers(0, 4)
    y = torch.where(x > 0, torch.sqrt(x), torch.zeros(2)).sum()
    said = "x[0] is 0 here; the slope of sqrt there is inf, what arrives is 0, and 0 * inf is NaN."
    assert f" of a finite gradient: {said} The 0 is there because " in why(x, y)


def test_an_inf_of_which_a_later_step_makes_nan():
    x = number(0.0)
    y = torch.sqrt(x * x)
    assert why(x, y) == (
        "x.grad holds NaN because SqrtBackward0 (in `y = sqrt(x * x)`) makes inf of a finite "
        "gradient: what mul gives is 0 here; the slope of sqrt there is inf, what arrives is 1, "
        "and 1 * inf is inf. MulBackward0 (in `y = sqrt(x * x)`) then makes NaN of it: its slope "
        "there is 0, and 0 * inf is NaN. Keep the input of sqrt away from there. Tried, with "
        ".clamp(min=1e-12) on what mul gives: x.grad is 0 instead of NaN."
    )


def test_inf_and_minus_inf_that_meet():
    x = numbers(0, 4)
    y = torch.sqrt(x).sum() - torch.sqrt(x).sum()
    assert "For x inf and -inf arrive, and add up to NaN." in why(x, y)


def test_a_product_that_is_too_large():
    x, big = number(1.0), torch.tensor(1e30)
    y = (x * big - big) * big
    assert "1e+30 * 1e+30 is too large for float32" in why(x, y)


def test_only_what_holds_nan_is_said_to_give_it():
    x = numbers(1e30, 1)
    y = (x * 1e20).sum()
    assert av.why(x, passed(y)).text.startswith(
        "y is inf: mul (in `y = sum(x * 1e+20)`) gives inf at [0] from x[0] = 1e+30. x.grad is "
    )
    x = number(0.0)
    logs = torch.log(x)
    y = logs * 2
    assert av.why(x, passed(y)).text.startswith(
        "x.grad holds inf because a value of the forward pass is not finite already: `logs = "
        "log(x)` gives -inf from x = 0. "
    )
    x = numbers(1, float("nan"))
    y = x.sum()
    assert av.why(x, passed(y)).text.startswith("y is NaN: x[1] is NaN. x.grad is [1, 1]")


def test_what_was_not_kept_is_not_known():
    x = numbers(1, 2)
    y = (x + torch.full((2,), float("-inf"))).softmax(0).sum()
    assert (
        "softmax (in `y = sum(softmax(x + ?))`) gives NaN at [0]; not all that it was computed "
        "from is known."
    ) in why(x, y)


def test_complex_numbers_are_not_read():
    x = torch.tensor([1 + 1j, 2], requires_grad=True)
    y = (x * 0).abs().sum()
    assert why(x, y) == (
        "x.grad is 0; which step made it so is not known: not all numbers of the pass can be read."
    )


def test_half_precision():
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    y = torch.relu(x.neg()).sum()
    assert why(x, y).endswith(
        ": the slope of relu is 0 at 2 elements, one of them element [0] of what neg gives, which "
        "is -1; at 1 it is not."
    )


def test_what_a_checkpoint_would_have_to_run_again_is_not_known():
    x = numbers(1, 2)
    y = checkpoint(lambda v: torch.relu(-v), x, use_reentrant=False).sum()
    assert why(x, y).endswith(
        "a gradient that is not 0 arrives, and 0 is sent for element [0] of what neg gives; how is "
        "not known."
    )
    x = numbers(1, 2)
    y = checkpoint(lambda v: torch.relu(-v), x, use_reentrant=True).sum()
    assert why(x, y).endswith("and 0 is sent for x[0]; how is not known.")


def test_sparse_gradients_are_not_read():
    table = torch.nn.Embedding(3, 2, sparse=True)
    y = (table(torch.tensor([1])) * 0).sum()
    assert why(table.weight, y).endswith("is not known: not all numbers of the pass can be read.")


def test_contributions_that_cancel_are_told_where_they_are_not_zero():
    x = numbers(2, 1)
    y = x.sort().values[0] - x.min()
    assert "the gradient of x[1] is the sum of -1 from MinBackward1" in why(x, y)


def test_random_numbers_of_the_reader_are_left_alone():
    torch.manual_seed(5)
    x = numbers(1, 2, 3)
    y = (F.dropout(x, 0.99) * 0).sum()
    state = torch.get_rng_state()
    why(x, y)
    assert torch.equal(torch.get_rng_state(), state)
