"""What a tried change is said to give is what the changed program gives."""

from __future__ import annotations

import pytest
import torch

import autograd_viz as av
from autograd_viz.text import summary

SINGULAR = {
    "sqrt": torch.sqrt,
    "log": torch.log,
    "reciprocal": torch.reciprocal,
    "power": lambda h: h**0.5,
    "rsqrt": torch.rsqrt,
    "sqrt, squared": lambda h: torch.sqrt(h) ** 2,
    "sqrt, plus": lambda h: torch.sqrt(h) + 1.5,
    "log, tanh": lambda h: torch.tanh(torch.log(h)),
}


@pytest.mark.parametrize("name", SINGULAR)
@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("choice", ["where", "masked_fill", "index", "factor"])
def test_a_guarded_input_gives_what_the_changed_program_gives(name, value, choice):
    function = SINGULAR[name]
    x = torch.tensor([4.0, value, 0.25], requires_grad=True)
    mask = x > 0

    def total(inner):
        result = function(inner)
        if choice == "where":
            return torch.where(mask, result, torch.zeros(3)).sum()
        if choice == "masked_fill":
            return result.masked_fill(~mask, 0.0).sum()
        if choice == "index":
            return result[mask].sum()
        return (result.nan_to_num(1, 1, 1) * mask).sum()

    loss = total(x * 1.0)
    loss.backward(retain_graph=True)
    assert x.grad is not None
    before = x.grad.clone()
    reason = av.why(x, loss)
    x.grad = None
    total(torch.where(mask, x, torch.ones(3)) * 1.0).backward()
    after = x.grad
    assert after is not None
    if before.isfinite().all():  # as of a power that is flat there
        return
    assert reason.cause == "nan"
    if choice == "factor":  # what nan_to_num computed cannot be computed again
        return
    said = f"x.grad is {', '.join(summary(after))} instead of {', '.join(summary(before))}."
    assert reason.text.endswith(said)
    assert "Guard the input of " in reason.text


def test_a_limit_is_tried_at_the_edge_of_what_a_function_takes():
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    loss = torch.sqrt(x).sum()
    loss.backward(retain_graph=True)
    reason = av.why(x, loss)
    assert reason.text == (
        "x.grad holds inf because SqrtBackward0 (in `loss = sum(sqrt(x))`) makes inf of a finite "
        "gradient: x[0] is 0 here; the slope of sqrt there is inf, what arrives is 1, and 1 * inf "
        "is inf. Keep the input of sqrt away from there. Tried, with x.clamp(min=1e-12) in its "
        "place: x.grad is [0, 0.25] instead of [inf, 0.25]."
    )
    x.grad = None
    torch.sqrt(x.clamp(min=1e-12)).sum().backward()
    assert x.grad.tolist() == [0, 0.25]  # type: ignore[attr-defined]


def test_no_remedy_is_claimed_where_none_was_tried():
    x = torch.tensor([100.0, 1.0], requires_grad=True)
    loss = torch.exp(x).sum()
    loss.backward(retain_graph=True)
    reason = av.why(x, loss)
    assert reason.text == (
        "x.grad holds inf because a value of the forward pass is not finite already: exp (in "
        "`loss = sum(exp(x))`) gives inf at [0] from x[0] = 100. Look for the input that makes it "
        "so before you look at gradients."
    )


def test_what_is_tried_leaves_no_hook_and_no_gradient():
    x = torch.tensor([-1.0, 4.0], requires_grad=True)
    inner = torch.sqrt(x)
    inner.retain_grad()
    loss = torch.where(x > 0, inner, torch.zeros(2)).sum()
    loss.backward(retain_graph=True)
    kept = (x.grad, inner.grad)
    assert "Tried" in av.why(x, loss).text
    assert (x.grad, inner.grad) == kept
    (again,) = torch.autograd.grad(loss, x)
    assert again.isnan().tolist() == [True, False]
