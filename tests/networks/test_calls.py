"""Which module made which node: recorded, and guessed from the parameters."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import autograd_viz as av
from autograd_viz.networks.calls import calls_of, guessed_calls, modules_of


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))


def paths(model):
    return [".".join(call.path) for call in calls_of(model)]


def test_the_nodes_of_a_call_have_ages_between_its_ends():
    model = net()
    with av.record(model):
        loss = model(torch.ones(4, 2))
    last = calls_of(model)[2]
    assert last.path == ("2",)
    assert last.first <= loss.grad_fn._sequence_nr() < last.end
    tanh = loss.grad_fn.next_functions[1][0]
    assert not last.first <= tanh._sequence_nr() < last.end


def test_a_shared_module_has_one_name_and_a_call_each_time():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, shared)
    with av.record(model):
        model(torch.ones(1, 2))
        model(torch.ones(1, 2))
    assert paths(model) == ["0", "0", "", "0", "0", ""]


def test_an_exception_leaves_no_hook_and_the_calls_that_were_made():
    class Fails(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    model = nn.Sequential(nn.Linear(2, 2), Fails())
    with pytest.raises(ZeroDivisionError), av.record(model):
        model(torch.ones(1, 2))
    assert paths(model)[0] == "0"
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


def test_calls_after_one_that_failed_are_right():
    class Sometimes(nn.Module):
        def forward(self, x):
            if x.sum() == 18:
                raise ZeroDivisionError
            return x * 2

    model = nn.Sequential(nn.Linear(2, 2), Sometimes())
    with av.record(model):
        with pytest.raises(ZeroDivisionError):
            model[1](torch.full((1, 2), 9.0))
        loss = model(torch.zeros(1, 2) - 9)
    call = next(call for call in calls_of(model) if call.path == ("1",))
    assert call.first <= loss.grad_fn._sequence_nr() < call.end


def test_no_grad_makes_no_calls():
    model = net()
    with av.record(model), torch.no_grad():
        model(torch.ones(1, 2))
    assert paths(model) == []


def test_other_threads_do_not_count():
    model = net()
    with av.record(model):
        thread = threading.Thread(target=model, args=(torch.ones(1, 2),))
        thread.start()
        thread.join()
        model[0](torch.ones(1, 2))
    assert paths(model) == ["0"]


def test_what_is_no_module_is_an_error():
    with pytest.raises(
        TypeError, match=r"wants a module or nothing.*list; write .with av.record\(\):"
    ):
        av.record([nn.Linear(1, 1)]).__enter__()  # type: ignore[arg-type]


def test_recordings_go_with_their_model():
    model = net()
    with av.record(model):
        model(torch.ones(1, 2))
    assert modules_of(model).recordings == (calls_of(model),)
    before = len(modules_of(None).recordings)
    del model
    assert len(modules_of(None).recordings) == before - 1


def test_a_block_of_a_container_holds_what_comes_before_the_next_block():
    kinds = {"a": "Sequential", "a.0": "Block", "a.0.one": "Linear", "a.1": "Block"}
    kinds["a.1.one"] = "Linear"
    uses = [(3, "a.0.one.weight"), (10, "a.1.one.weight")]
    ends = {".".join(call.path): (call.first, call.end) for call in guessed_calls(uses, kinds)}
    assert ends == {
        "a.0.one": (3, 4),
        "a.0": (3, 10),
        "a.1.one": (10, 11),
        "a.1": (10, 11),
        "a": (3, 11),
    }
