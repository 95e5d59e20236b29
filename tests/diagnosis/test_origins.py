"""Where a zero or a NaN begins: in random programs it is where an independent pass has it begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autograd_viz.backward import traced
from autograd_viz.capture import capture
from autograd_viz.diagnosis import origins
from autograd_viz.diagnosis.by_hand import Pass
from autograd_viz.model import Slot
from tests.examples import examples

SAFE: dict[str, Callable[[Tensor], Tensor]] = {
    "sin": torch.sin,
    "tanh": torch.tanh,
    "exp": lambda h: torch.exp(-h.abs() / 4),
    "times": lambda h: h * 1.5,
    "plus": lambda h: h + 0.25,
    "square": lambda h: (h + 3) * (h + 3) / 10,
    "flip": lambda h: h.flip(0),
    "softplus": F.softplus,
    "mean": lambda h: h + h.mean(),
}
DEAD: dict[
    str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
] = {  # what is computed first, and the operation that sends zeros on
    "relu": (lambda h: h - 100, torch.relu),
    "clamp": (torch.sin, lambda h: h.clamp(min=100)),
    "round": (torch.sin, torch.round),
    "factor": (torch.sin, lambda h: h * torch.zeros(3)),
    "where": (torch.sin, lambda h: torch.where(h > 9, h, torch.ones(3))),
    "masked": (torch.sin, lambda h: h.masked_fill(h < 9, 2.0)),
    "maximum": (torch.sin, lambda h: torch.maximum(h, torch.full((3,), 9.0))),
    "saturated": (lambda h: h * 0 + 500 + h, torch.tanh),
    "nothing": (lambda h: h[h > 1e9], lambda h: h.sum()[None]),
    "single": (lambda h: h[:, None], lambda h: torch.softmax(h, 1).flatten()),
}


class Run(NamedTuple):
    """A program's values, first to last, and the pass from the sum of the last."""

    values: list[Tensor]
    run: Pass


def recorded(values: list[Tensor], output: Tensor) -> Run:
    graph, walk, saved = capture([output], None)
    start = torch.ones_like(output, requires_grad=False)
    return Run(values, Pass(traced(graph, walk, saved, [output], [start], None), walk))


def slot(run: Pass, value: Tensor) -> Slot:
    if value.grad_fn is None:
        return Slot(run.walk.leaf_ids[id(value)], 0)
    return Slot(run.walk.index[value.grad_fn], value.output_nr)


def leaf() -> Tensor:
    return torch.tensor([0.3, 0.7, 1.1], requires_grad=True)


def gradients(values: list[Tensor], output: Tensor) -> list[Tensor]:
    """By torch's own engine, without ours."""
    found = torch.autograd.grad(output, values, retain_graph=True)
    return [grad.detach() for grad in found]


chains = st.lists(st.sampled_from(sorted(SAFE)), max_size=3)


@examples(60)
@given(before=chains, after=chains, element=st.integers(0, 2), is_masked=st.booleans())
def test_a_nan_begins_where_torch_has_it_begin(before, after, element, is_masked):
    x = leaf()
    values = [x]
    for name in before:
        values.append(SAFE[name](values[-1]))
    hot = F.one_hot(torch.tensor(element), 3).float()
    values.append(values[-1].abs() * (1 - hot))  # 0 at one element
    values.append(torch.sqrt(values[-1]))  # where the slope is infinite
    for name in after:
        values.append(SAFE[name](values[-1]))
    if is_masked:
        values.append(torch.where(torch.rand(3) < 2, values[-1], 0.0))
    output = values[-1].sum()
    grads = gradients(values, output)
    first = max(n for n, grad in enumerate(grads) if not grad.isfinite().all())
    _, run = recorded(values, output)
    found = origins.trouble(run, slot(run, x))
    assert found is not None
    assert found.by == "step"
    assert found.slot == slot(run, values[first])
    assert torch.equal(found.part, ~grads[first].isfinite())
    assert found.index == (element,)


@examples(60)
@given(before=chains, after=chains, name=st.sampled_from(sorted(DEAD)))
def test_a_zero_begins_where_torch_has_it_begin(before, after, name):
    x = leaf()
    values = [x]
    for each in (*(SAFE[each] for each in before), *DEAD[name], *(SAFE[each] for each in after)):
        values.append(each(values[-1]))
    output = values[-1].sum()
    grads = gradients(values, output)
    first = max(n for n, grad in enumerate(grads) if not grad.any())
    _, run = recorded(values, output)
    found = origins.zeros(run, slot(run, x))
    assert found
    (origin,) = found
    assert (origin.by, origin.slot) == ("step", slot(run, values[first]))
    assert origin.part.all()


@examples(60)
@given(before=chains, after=chains, factor=st.sampled_from([0.0, float("nan"), float("inf")]))
@pytest.mark.parametrize("kind", ["tensor", "node", "before the node"])
def test_a_hook_is_the_origin_if_it_is(kind, before, after, factor):
    x = leaf()
    values = [x]
    for name in before:
        values.append(SAFE[name](values[-1]))
    values.append(values[-1] * 3)
    hooked, below = values[-1], values[-2]
    for name in after:
        values.append(SAFE[name](values[-1]))
    output = (values[-1] * torch.tensor([1.0, 2.0, 3.0])).sum()
    if kind == "tensor":
        hooked.register_hook(lambda grad: grad * factor)
    elif kind == "before the node":
        assert hooked.grad_fn is not None
        hooked.grad_fn.register_prehook(lambda grads: (grads[0] * factor,))
    else:
        assert hooked.grad_fn is not None
        hooked.grad_fn.register_hook(lambda sent, _: (sent[0] * factor, *sent[1:]))
    _, run = recorded(values, output)
    if factor == 0:
        found = origins.zeros(run, slot(run, x))
        assert found
        (origin,) = found
    else:
        found_trouble = origins.trouble(run, slot(run, x))
        assert found_trouble is not None
        origin = found_trouble
    assert origin.by == "hook"
    assert origin.slot == slot(run, below if kind == "node" else hooked)
    assert origin.before is not None
    assert origin.before.isfinite().all()
    sent = gradients([origin_value(run, origin.slot, values)], output)[0]
    # Before a node's own hooks run, the gradient of its result is taken.
    mine = origin.before if kind == "before the node" else origin.became
    assert torch.equal(sent.nan_to_num(7), mine.nan_to_num(7))


def origin_value(run: Pass, found: Slot, values: list[Tensor]) -> Tensor:
    return next(value for value in values if slot(run, value) == found)


@examples(40)
@given(before=chains, scale=st.sampled_from([1.0, -2.0, 0.5]))
def test_contributions_that_cancel_are_the_origin_where_torch_has_them_cancel(before, scale):
    x = leaf()
    value = x
    for name in before:
        value = SAFE[name](value)
    output = (value * scale).sum() - (value * scale).sum()
    _, run = recorded([value], output)
    found = origins.zeros(run, slot(run, x))
    assert found
    (origin,) = found
    assert (origin.by, origin.slot) == ("sum", slot(run, value))
    assert sorted(term[0].item() for _, term in origin.terms) == sorted([scale, -scale])


def test_each_way_to_a_tensor_has_its_own_zero():
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    output = torch.relu(x)[0] + x.round()[1]
    _, run = recorded([x], output)
    found = origins.zeros(run, slot(run, x))
    assert found
    names = [run.graph.nodes[one.edge.source].name for one in found if one.edge is not None]
    assert sorted(names) == ["ReluBackward0", "RoundBackward0", "SelectBackward0"]


def test_a_pass_that_begins_with_zero():
    x = leaf()
    output = x.sin().sum()
    graph, walk, saved = capture([output], None)
    run = Pass(traced(graph, walk, saved, [output], [torch.tensor(0.0)], None), walk)
    found = origins.zeros(run, slot(run, x))
    assert found
    assert [one.by for one in found] == ["start"]


def test_numbers_that_cannot_be_read_have_no_origin():
    x = torch.tensor([1 + 1j, 2.0], requires_grad=True)
    output = (x * 0).abs().sum()
    _, run = recorded([x], output)
    assert origins.zeros(run, slot(run, x)) is None
    assert origins.trouble(run, slot(run, x)) is None


@pytest.mark.parametrize(
    "function",
    [lambda x: F.layer_norm(x, (3,)).sum(), lambda x: (x - x.mean(1, keepdim=True)).sum()],
)
def test_the_rounding_of_a_zero_is_told_from_a_small_gradient(function):
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(3)).requires_grad_()
    output = function(x)
    _, run = recorded([x], output)
    grad = run.trace.arrived(slot(run, x))
    assert grad is not None
    found = origins.rounding(run, slot(run, x))
    assert (found is not None) == bool(grad.any())  # by chance all may be 0
    small = (torch.sigmoid(x - 18) * 2).sum()
    _, run = recorded([x], small)
    assert origins.rounding(run, slot(run, x)) is None


def test_the_first_value_that_is_not_finite_is_not_the_last_one():
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    logs = torch.log(x)
    output = (logs * 0).exp().sum()
    _, run = recorded([x], output)
    found = origins.beginning(run, run.graph.outputs[0], output)
    assert found is not None
    assert (found.slot, found.index, found.value) == (slot(run, logs), (0,), float("-inf"))
    assert found.clean
