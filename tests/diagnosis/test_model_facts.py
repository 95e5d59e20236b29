"""What is said of all parameters of a model, against torch's own `.grad` after a real pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import autograd_viz as av
from autograd_viz.diagnosis.model_reason import ModelReason


class Part(nn.Module):
    """A layer that treats its parameters in one of several ways, and may hold others."""

    def __init__(self, kind: str, inner: list[nn.Module]) -> None:
        super().__init__()
        self.kind = kind
        self.own = nn.Linear(3, 3)
        self.inner = nn.ModuleList(inner)
        if kind == "gained":
            self.gain = nn.Parameter(torch.zeros(3))
        if kind == "frozen":
            self.own.requires_grad_(False)

    def forward(self, x):
        for each in self.inner:
            x = each(x)
        if self.kind == "detached":
            return x + self.own(x).detach()
        if self.kind == "no_grad":
            with torch.no_grad():
                y = self.own(x)
            return x + y
        if self.kind == "dead":
            return x + torch.relu(self.own(x) - 1_000)
        if self.kind == "aside":
            self.own(x)
            return x
        if self.kind == "blocking":
            return self.own(x.detach())
        if self.kind == "gained":
            return x + self.own(x) * self.gain
        return x if self.kind == "idle" else x + self.own(x).tanh()

    def expected(self, cut: bool, prefix: str) -> tuple[dict[str, str], bool]:
        """The state of each parameter, and whether what comes before is cut off."""
        here = "waits"
        if self.kind == "frozen":
            here = "frozen"
        elif self.kind in ("idle", "aside"):
            here = "unused"
        elif cut or self.kind in ("detached", "no_grad"):
            here = "cut"
        elif self.kind in ("dead", "gained"):
            here = "zero"
        states = {f"{prefix}own.{name}": here for name in ("weight", "bias")}
        if self.kind == "gained":
            states[f"{prefix}gain"] = "cut" if cut else "waits"
        cut = cut or self.kind == "blocking"
        for number, each in reversed([*enumerate(self.inner)]):
            assert isinstance(each, Part)
            inner, cut = each.expected(cut, f"{prefix}inner.{number}.")
            states |= inner
        return states, cut


KINDS = ("plain", "frozen", "detached", "no_grad", "dead", "aside", "blocking", "gained", "idle")
parts: st.SearchStrategy[Part] = st.recursive(
    st.builds(Part, st.sampled_from(KINDS), st.just([])),
    lambda inner: st.builds(Part, st.sampled_from(KINDS), st.lists(inner, max_size=3)),
    max_leaves=6,
)


def in_state(found: ModelReason, *states: str) -> set[str]:
    return {row.name for row in found.rows if row.state in states}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(parts)
def test_the_table_says_what_backward_does(model):
    x = torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.4, -0.6]])
    with av.record():
        loss = (model(x) * torch.tensor([1.0, 2.0, 3.0])).sum()
    found = av.why(model, loss)
    states, _ = model.expected(False, "")
    assert {row.name: row.state for row in found.rows} == states
    assert sum(len(part.rows) for part in found.parts) == len(states)
    assert str(found).startswith(f"The {len(states)} parameters of model for loss: ")
    if not loss.requires_grad:
        return
    loss.backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    reached = {name for name, grad in grads.items() if grad is not None}
    moved = {name for name in reached if bool(grads[name].ne(0).any())}
    assert in_state(found, "waits") == moved
    assert in_state(found, "zero") == reached - moved
    assert in_state(found, "cut", "unused", "frozen") == grads.keys() - reached
    after = av.why(model, loss)  # its graph is freed
    assert in_state(after, "trains") == moved
    assert in_state(after, "zero") == reached - moved
    assert in_state(after, "cut", "unused", "frozen") == grads.keys() - reached


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(parts)
def test_without_a_recording_cut_and_unused_are_not_told_apart(model):
    loss = model(torch.tensor([[0.3, -0.2, 0.5]])).sum()
    found = av.why(model, loss)
    states, _ = model.expected(False, "")
    unknown = {name for name, state in states.items() if state in ("cut", "unused")}
    assert in_state(found, "not reached") == unknown
    assert in_state(found, "waits", "zero", "frozen") == states.keys() - unknown


def test_norms_are_those_of_torch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    loss = model(torch.randn(5, 3)).sum()
    found = av.why(model, loss)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        known = found[name].gradient
        assert known is not None
        assert known.norm == pytest.approx(float(parameter.grad.norm()))


def test_nothing_of_the_readers_changes():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    loss = model(torch.randn(5, 3)).sum()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    av.why(model, loss)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())
    loss.backward()  # the graph is as it was


def test_a_recording_of_the_loss_alone_does_not_tell_what_is_unused():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "spare": nn.Linear(2, 2)})
    h = model["used"](torch.ones(1, 2))
    with av.record():
        loss = (h * h).sum()
    assert av.why(model, loss)["spare.weight"].state == "not reached"
    with av.record():
        h = model["used"](torch.ones(1, 2))
        loss = (h * h).sum()
    assert av.why(model, loss)["spare.weight"].state == "unused"


def test_what_led_to_tensors_from_before_the_recording_is_not_known():
    model = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    h = model["body"](torch.ones(1, 2)).detach()
    with av.record():
        loss = model["head"](h).sum()
    row = av.why(model, loss)["body.weight"]
    assert row.text == (
        "body.weight is not reached: no call that was recorded uses it, but loss was computed from "
        "tensors that are older than the recording. To know whether it led to these, run all of "
        "the forward pass inside `with av.record():`."
    )
    with av.record():
        h = model["body"](torch.ones(1, 2)).detach()
        loss = model["head"](h).sum()
    assert av.why(model, loss)["body.weight"].state == "cut"


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def test_a_recording_tells_past_a_custom_function():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "spare": nn.Linear(2, 2)})
    with av.record():
        loss = Doubled.apply(model["used"](torch.ones(1, 2))).sum()
    found = av.why(model, loss)
    assert (found["used.weight"].state, found["spare.weight"].state) == ("waits", "unused")


def test_all_of_the_model_may_be_in_a_container_that_repeats():
    torch.manual_seed(0)
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0),
        num_layers=12,
        enable_nested_tensor=False,
    )
    with av.record():
        loss = model(torch.randn(2, 3, 8)).square().sum()
    loss.backward(retain_graph=True)
    found = av.why(model, loss)
    assert len(found.rows) == 144
    assert [(part.name, part.count) for part in found.parts] == [("layers.0 … 11", "12 × 12")]
    assert found.title == "The 144 parameters of model for loss: all 144 train."
