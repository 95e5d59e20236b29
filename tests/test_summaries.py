"""Summaries against what PyTorch and NumPy compute of the same numbers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import autograd_viz as av
from autograd_viz import summaries, text
from autograd_viz.summaries import Room, Summarised, summarised
from tests.examples import examples


def decades(grad):
    """How many elements there are of each power of ten, counted by NumPy."""
    values = grad.double().abs().flatten().numpy()
    edges = [10.0**power for power in range(-320, 309)]
    counts, _ = np.histogram(values[np.isfinite(values) & (values > 0)], edges)
    return {power: count for power, count in zip(range(-320, 308), counts, strict=True) if count}


def test_large_tensors_are_read_in_parts(monkeypatch):
    monkeypatch.setattr(summaries, "ELEMENTS", 7)
    x = torch.randn(3, 1, 5, 11, generator=torch.Generator().manual_seed(0)).relu().mT
    sizes = [part.numel() for part in summaries._parts(torch.zeros(3, 1, 5, 11))]
    assert max(sizes) <= 7
    assert sum(sizes) == 165
    found = summarised(x)
    assert found.norm == pytest.approx(float(x.double().norm()))
    assert found.zeros == pytest.approx(float((x == 0).double().mean()))
    assert (found.least, found.largest) == (0.0, float(x.max()))
    assert found.decades == decades(x)


@examples(60)
@given(st.lists(st.floats(width=32, allow_subnormal=False), min_size=1, max_size=30))
def test_elements_are_counted_by_decade(values):
    grad = torch.tensor(values)
    found = summarised(grad)
    assert found.decades == decades(grad)
    assert found.broken == int((~grad.isfinite()).sum())
    zeros = round(found.zeros * len(values))
    assert found.broken + zeros + sum(found.decades.values()) == len(values)


def test_whole_powers_of_ten_begin_a_decade():
    powers = torch.tensor([10.0**power for power in range(-300, 300)], dtype=torch.float64)
    assert summarised(powers).decades == dict.fromkeys(range(-300, 300), 1)


@pytest.mark.parametrize("kind", [summarised, lambda grad: Summarised.of(grad).summary])
def test_the_spread_is_that_of_the_elements(kind):
    grad = torch.randn(200, 100, generator=torch.Generator().manual_seed(0)) * 1e-3
    grad[:, 10:20] = 0  # columns, which an even step through the rows would miss or see alone
    found = kind(grad)
    shown = grad[grad != 0].abs()
    for share in (0.1, 0.5, 0.9):
        assert abs(math.log10(found.magnitude(share) / float(shown.quantile(share)))) < 0.1
    assert found.zeros == pytest.approx(0.1, abs=0.01)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that an operation makes anew, in elements."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {each.data_ptr() for each in args if isinstance(each, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.data_ptr() not in given:
            self.elements = max(self.elements, result.numel())
        return result


def test_no_copy_is_larger_than_stated():
    grad = torch.rand(700, 1_000)
    with Largest() as seen:
        summarised(grad)
    assert 0 < seen.elements <= summaries.ELEMENTS < grad.numel()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_stand_in_knows_what_is_shown_of_a_tensor(dtype):
    grad = torch.randn(3, 5, 200, generator=torch.Generator().manual_seed(0)).to(dtype).mT
    stand_in = Summarised.of(grad)
    assert (stand_in.shape, stand_in.dtype, stand_in.device.type) == (grad.shape, dtype, "meta")
    wanted = grad.double()
    assert stand_in.summary[:3] == pytest.approx(
        (float(wanted.norm()), float(wanted.min()), float(wanted.max())), rel=1e-3
    )
    assert sum(count for _, count in stand_in.summary.quarters) <= summaries.SAMPLE
    assert text.summary(stand_in) == text.summary(grad)
    assert type(stand_in + stand_in) is torch.Tensor


@pytest.mark.parametrize(("bad", "said"), [(math.nan, "NaN"), (math.inf, "inf"), (1.0, None)])
def test_a_stand_in_tells_of_trouble(bad, said):
    grad = torch.zeros(5_000)
    grad[4_321] = bad  # which no sample need contain
    assert text.trouble(Summarised.of(grad)) == text.trouble(grad) == said


def test_memory_that_is_shared_counts_once():
    room: Any = Room(50_000)
    grad = torch.ones(100, 100)
    assert room.kept(grad) is grad
    view = grad.t()
    assert room.kept(view) is view
    wide = torch.ones(1).expand(50_000)  # four bytes
    assert room.kept(wide) is wide
    other = torch.ones(100, 100)
    assert isinstance(room.kept(other), Summarised)
    once, again, turned = room.kept(other), room.kept(other), room.kept(other.t())
    assert once.summary is again.summary is turned.summary
    assert room.kept(other[:50]).summary.norm == pytest.approx(50**0.5 * 10)
    other += 1
    assert room.kept(other).summary.norm == 200.0
    for unlike in (torch.ones(2_000, dtype=torch.complex64), torch.ones(50, 50).to_sparse()):
        assert room.kept(unlike) is unlike


def deep(width=60, layers=4):
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(layers)])
    return model, model(torch.randn(width, width)).square().sum()


def test_a_trace_keeps_no_more_than_it_has_room_for():
    model, loss = deep()
    whole, poor = av.trace(loss, params=model), av.trace(loss, params=model, memory=0)
    assert [step.node for step in whole.steps] == [step.node for step in poor.steps]
    kinds = {type(grad) for step in whole.steps for grad in step.grad_outputs}
    assert kinds == {torch.Tensor}
    leaves = {grad.untyped_storage().data_ptr() for _, grad in poor.leaf_grads if grad is not None}
    count = 0
    one: Any
    other: Any
    for full, step in zip(whole.steps, poor.steps, strict=True):
        for one, other in zip(full.grad_outputs, step.grad_outputs, strict=True):
            if isinstance(other, Summarised):
                count += 1
                assert other.summary.norm == pytest.approx(float(one.norm()))
            else:
                small = one.numel() <= summaries.SMALL
                assert small or other.untyped_storage().data_ptr() in leaves
                assert torch.equal(one, other)
    assert count == 5
    for (leaf, one), (_, other) in zip(whole.leaf_grads, poor.leaf_grads, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, torch.autograd.grad(loss, leaf, retain_graph=True)[0])
    assert whole.fold().picture().svg == poor.fold().picture().svg
    assert whole.picture().words == poor.picture().words
    assert str(whole.gradient_flow()) == str(poor.gradient_flow())


def test_contributions_to_a_shared_weight_need_room_and_their_sum_stays():
    weight = torch.randn(50, 50, requires_grad=True)
    loss = (torch.randn(4, 50) @ weight @ weight).sum()
    trace = av.trace(loss, memory=0)
    (step,) = (step for step in trace.steps if step.leaf is not None)
    assert [type(each) for each in step.contributions] == [Summarised, Summarised]
    grad: Any
    (grad,) = step.grad_outputs
    assert torch.equal(grad, torch.autograd.grad(loss, weight)[0])


def test_what_a_hook_changes_in_place_is_seen_without_room_too():
    x = torch.randn(50, 50, requires_grad=True)
    hidden = x * 2
    hidden.register_hook(lambda grad: grad.mul_(3))
    loss = (hidden * 5).sum()
    trace = av.trace(loss, memory=0)
    node = next(node for node in trace.graph.nodes if node.label == "hidden")
    arrived: Any = trace.arrived(av.graph(hidden).outputs[0]._replace(node=node.id))
    assert arrived.summary.norm == pytest.approx(15 * 50)
    (edge,) = (edge for edge in trace.graph.edges if edge.target == node.id)
    sent: Any = trace.sent(edge)
    assert sent.summary.norm == pytest.approx(5 * 50)
    grad: Any = trace.leaf_grads[0][1]
    assert torch.equal(grad, torch.full((50, 50), 30.0))


def test_memory_has_to_be_a_number():
    _, loss = deep(layers=1)
    with pytest.raises(TypeError, match=r"memory is of type str; .* memory=2\*\*30"):
        av.trace(loss, memory="1 GB")  # type: ignore[arg-type]
