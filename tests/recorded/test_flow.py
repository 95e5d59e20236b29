"""Where a way is cut, as a recording tells it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from autograd_viz.recorded.events import Log
from autograd_viz.recorded.flow import History
from autograd_viz.recorded.recorder import recording


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * 1
        return y + x

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


@torch.no_grad()
def under_no_grad(t):
    return t * 2


def detached(w):
    return (w * 2).detach() + 1


def data(w):
    return w.data * 2


def written_into_data(w):
    held = torch.zeros(2)
    held.data[:] = w * 2
    return held * 3


def no_grad(w):
    with torch.no_grad():
        h = w * 2
    return h + 1


def decorated(w):
    return under_no_grad(w) + 1


def inference(w):
    with torch.inference_mode():
        return w * 2


def sampled(w):
    return torch.distributions.Normal(w, 1.0).sample() * 2


def first_derivative(w):
    return torch.autograd.grad((w * w).sum(), w)[0] * 2


def copied(w):
    return torch.tensor([w[0], 2.0]) * 2


def copied_whole(w):
    return torch.tensor(w, requires_grad=True) * 2


def copied_without_grad(w):
    with torch.no_grad():
        held = w.new_tensor(w)
    return held.requires_grad_() * 2


def as_variable(w):
    return torch.autograd.Variable(w * 3, requires_grad=True) * 2


def chosen(w):
    return (w * 3).argmax() * 2


def wrapped(w):
    return nn.Parameter(w * 3) * 2


def reentrant(w):
    x = torch.ones(2)
    return torch.utils.checkpoint.checkpoint(lambda t: t * w, x, use_reentrant=True)


def custom(w):
    return Doubled.apply(w).detach() * 2


@pytest.mark.parametrize(
    ("compute", "how", "function"),
    [
        (detached, "detach", "detach"),
        (data, "data", "data"),
        (written_into_data, "data", "data"),
        (no_grad, "no_grad", "mul"),
        (decorated, "no_grad", "mul"),
        (inference, "inference", "mul"),
        (sampled, "sample", "normal"),
        (first_derivative, "create_graph", "grad"),
        (copied, "copied", "tensor"),
        (copied_whole, "copied", "tensor"),
        (copied_without_grad, "copied", "new_tensor"),
        (as_variable, "new_leaf", "mul"),
        (chosen, "not_differentiable", "argmax"),
        (wrapped, "new_leaf", "mul"),
        (reentrant, "checkpoint", "mul"),
        (custom, "detach", "detach"),
    ],
)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_the_call_that_cuts_a_way_is_found(compute, how, function):
    log = Log()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with recording(log=log):
        result = compute(w)
        output = result.sum()
    found = History(log).cuts(w, output)
    assert [(cut.how, cut.function) for cut in found] == [(how, function)]


@pytest.mark.parametrize("data", [False, True])
def test_an_output_that_is_itself_a_leaf_on_the_memory_of_a_result_is_cut(data):
    log = Log()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with recording(log=log):
        result = w * 3
        output = torch.autograd.Variable(result.data if data else result, requires_grad=True)
    assert [(cut.how, cut.function) for cut in History(log).cuts(w, output)] == [
        ("new_leaf", "mul")
    ]


def test_a_way_that_is_whole_has_no_cut():
    log = Log()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with recording(log=log):
        output = Doubled.apply(w * 2).sum()
    assert History(log).cuts(w, output) == []


def test_each_of_several_cuts_is_found_the_last_one_first():
    log = Log()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with recording(log=log):
        one = w.detach() * 2
        with torch.no_grad():
            two = w * 3
        output = (one + two).sum()
    assert [cut.how for cut in History(log).cuts(w, output)] == ["no_grad", "detach"]


def test_the_switch_of_a_call_is_the_one_that_turned_gradients_off():
    log = Log()
    w = torch.tensor([1.0], requires_grad=True)
    with recording(log=log), torch.no_grad():
        with torch.no_grad():
            w * 1
        h = w * 2
    history = History(log)
    (cut,) = history.cuts(w, h)
    assert cut.switch is history.events[0]


def test_what_leaves_pytorch_is_found_though_nothing_follows_from_it():
    log = Log()
    w = torch.tensor(2.0, requires_grad=True)
    with recording(log=log):
        output = torch.tensor((w * 3).item(), requires_grad=True) * 2
    history = History(log)
    assert history.cuts(w, output) == []
    left = history.left(w)
    assert left is not None
    assert left.name == "item"


def test_changes_of_one_memory_are_found_through_views_and_detached_tensors():
    log = Log()
    with recording(log=log):
        h = torch.zeros(3)
        view, cut_off = h[1:], h.detach()
        view.add_(1)
        cut_off.mul_(2)
        torch.zeros(3).add_(1)
    found = History(log).changes(h)
    assert [(event.name, seen.version) for event, seen in found] == [("add_", 1), ("mul_", 2)]


def test_a_node_leads_to_the_call_that_made_it():
    log = Log()
    x = torch.tensor(2.0, requires_grad=True)
    with recording(log=log):
        y = torch.sigmoid(x) * 2
    made = History(log).node_maker(y.grad_fn.next_functions[0][0]._sequence_nr())  # type: ignore[union-attr]
    assert made is not None
    assert made.name == "sigmoid"


def test_what_wrote_and_cleared_a_gradient_comes_in_order():
    log = Log()
    w = torch.tensor([1.0], requires_grad=True)
    v = torch.tensor([1.0], requires_grad=True)
    with recording(log=log):
        (w * 2).sum().backward()
        (v * 2).sum().backward()
        w.grad.zero_()  # type: ignore[union-attr]
        w.grad = None
    names = [event.name for event in History(log).gradient_events(w)]
    assert names == ["backward", "zero_", "set grad"]


class Made(nn.Module):
    """A module whose parameters get their first numbers in each of the usual ways."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Linear(2, 2),
                nn.Embedding(3, 2, padding_idx=0),
                nn.BatchNorm1d(2),
                nn.LSTM(2, 2),
                nn.Conv1d(1, 1, 1),
                nn.MultiheadAttention(2, 1),
            ]
        )
        self.scale = nn.Parameter(torch.zeros(2))
        self.square = nn.Parameter(torch.zeros(2, 2))
        nn.init.orthogonal_(self.square)
        linear: Any = self.layers[0]
        table: Any = self.layers[1]
        nn.init.normal_(linear.weight)
        linear.bias.data.normal_(0, 1)
        table.weight.data[0].fill_(0)
        with torch.no_grad():
            self.scale.copy_(torch.ones(2))
            self.scale[0] = 2
            self.scale[1:].fill_(3)
            self.scale.mul_(2)
        for parameter in self.parameters():
            parameter.requires_grad_(True).is_contiguous()


def test_the_first_numbers_of_a_parameter_are_no_use_of_it():
    log = Log()
    with recording(log=log):
        model = Made()
    used = {name: History(log).uses(held) for name, held in model.named_parameters()}
    assert not any(used.values()), used


def test_what_is_computed_from_a_parameter_is_a_use_of_it_also_without_a_graph():
    log = Log()
    w = nn.Parameter(torch.ones(2))
    with recording(log=log):
        w.mean()
        w.data * 2
        w[0]
        held = torch.zeros(2)
        held.copy_(w.detach())
        w.tolist()
        torch.distributions.Normal(w, 1.0)
    names = [event.name for event in History(log).uses(w)]
    assert names[:5] == ["mean", "get data", "__getitem__", "detach", "tolist"]
    assert len(names) > 5
