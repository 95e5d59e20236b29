"""What a recording holds, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn.modules import module as hooks_of_modules
from torch.optim.optimizer import Optimizer
from torch.overrides import _get_current_function_mode_stack

from autograd_viz.recorded import events
from autograd_viz.recorded.events import Log, Pass
from autograd_viz.recorded.recorder import recording


@pytest.fixture
def log():
    return Log()


def names(log):
    return [event.name for event in log.events]


def test_each_call_is_noted_with_its_tensors_and_whether_gradients_were_on(log):
    x = torch.ones(2, requires_grad=True)
    with recording(log=log):
        y = x * 2
        with torch.no_grad():
            z = y + 1
    product, _, total, _ = log.events
    assert product.inputs[0].serial == log.find(x)
    assert [seen.serial for seen in product.outputs] == [log.find(y)]
    assert (product.grad_on, product.outputs[0].needs) == (True, True)
    assert (total.grad_on, total.outputs[0].needs) == (False, False)
    assert [seen.serial for seen in total.outputs] == [log.find(z)]
    assert product.first <= y.grad_fn._sequence_nr() < product.end  # type: ignore[union-attr]


def test_tensors_in_lists_and_keywords_are_found(log):
    a, b = torch.ones(2), torch.zeros(2)
    with recording(log=log):
        torch.stack(tensors=[a, b], dim=0)
        torch.cat((a, b))
    wanted = [log.find(a), log.find(b)]
    assert [[seen.serial for seen in event.inputs] for event in log.events] == [wanted, wanted]


def test_no_tensor_is_kept_alive(log):
    with recording(log=log):
        x = torch.ones(2, requires_grad=True)
        gone = weakref.ref(x * 2)
        assert gone() is None
        y = x * 3
        y.sum().backward()
        seen = weakref.ref(y)
    del x, y
    gc.collect()
    assert seen() is None
    assert log.alive() == {}


def test_another_tensor_at_the_same_address_has_another_number(log):
    serials = [log.serial(torch.ones(1)) for _ in range(100)]
    assert len({*serials}) == 100


def test_a_change_in_place_is_noted_also_through_a_view(log):
    h = torch.zeros(3)
    with recording(log=log):
        h[0] = 1
        h.add_(2)
        h[1:].mul_(3)
        torch.add(h, 1, out=h)
    changed = [(event.name, seen.version) for event in log.events for seen in event.changed]
    assert changed == [("__setitem__", 1), ("add_", 2), ("mul_", 3), ("add", 4)]
    view = next(event for event in log.events if event.name == "mul_").inputs[0].serial
    assert log.bases[view] == log.find(h)


def test_a_backward_pass_says_which_leaves_it_wrote(log):
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    c = torch.tensor(3.0, requires_grad=True)
    loss = a * b
    with recording(log=log):
        loss.backward(retain_graph=True)
        loss.backward(inputs=[b], retain_graph=True)
        torch.autograd.grad(loss, a, create_graph=True)
    passes = [event.what for event in log.events]
    assert all(isinstance(one, Pass) for one in passes)
    wrote = [{leaf.serial for leaf in one.leaves if leaf.wrote} for one in passes]
    assert wrote == [{log.find(a), log.find(b)}, {log.find(b)}, set()]
    assert [one.chosen for one in passes] == [False, True, True]
    assert [one.create_graph for one in passes] == [False, False, True]
    assert log.find(c) is None


def test_a_pass_that_fails_is_noted_with_its_error(log):
    x = torch.tensor(2.0, requires_grad=True)
    loss = x * x
    with recording(log=log):
        loss.backward()
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
    first, second = (event.what for event in log.events)
    assert first.error is None
    assert second.error.startswith("RuntimeError: Trying to backward through the graph a second")


def test_a_step_of_an_optimizer_is_one_event(log):
    w = torch.tensor([1.0], requires_grad=True)
    (w * 2).sum().backward()
    adam = torch.optim.Adam([w])
    with recording(log=log):
        adam.step()
        adam.zero_grad()
    assert names(log) == ["step", "set grad"]
    step, cleared = log.events
    assert (step.function, step.what) == (Optimizer.step, "Adam")
    assert [seen.serial for seen in step.changed] == [log.find(w)]
    assert cleared.name == "set grad"
    assert "Optimizer.zero_grad" in cleared.through


def test_setting_and_zeroing_a_grad_leads_to_its_leaf(log):
    w = torch.tensor([1.0], requires_grad=True)
    with recording(log=log):
        (w * 2).sum().backward()
        w.grad.zero_()  # type: ignore[union-attr]
    zeroed = log.events[-1]
    assert log.owners[zeroed.inputs[0].serial] == log.find(w)


def test_calls_of_modules_are_nested(log):
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with recording(log=log):
        net(torch.ones(1, 2))
    assert [(each.kind, each.outer and each.outer.kind) for each in log.modules] == [
        ("Sequential", None),
        ("Linear", "Sequential"),
        ("Tanh", "Sequential"),
    ]


def test_nothing_stays_switched_on(log):
    before = len(hooks_of_modules._global_forward_hooks)
    with pytest.raises(ZeroDivisionError), recording(log=log):
        raise ZeroDivisionError
    assert len(hooks_of_modules._global_forward_hooks) == before
    assert not hooks_of_modules._global_forward_pre_hooks
    assert not _get_current_function_mode_stack()
    torch.ones(1) * 2
    assert not log.events


def test_what_another_thread_computes_is_not_noted(log):
    def compute():
        nn.Linear(1, 1)(torch.ones(1))

    with recording(log=log):
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()
    assert not log.events
    assert not log.modules


def test_numbers_and_random_numbers_are_the_same_as_without_it(log):
    def step():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.GELU(), nn.Linear(4, 1))
        adam = torch.optim.Adam(net.parameters())
        for _ in range(3):
            adam.zero_grad()
            net(torch.randn(5, 3)).pow(2).mean().backward()
            adam.step()
        return [each.detach().clone() for each in net.parameters()]

    plain = step()
    with recording(log=log):
        watched = step()
    assert all(map(torch.equal, plain, watched))


def test_a_compiled_function_is_not_looked_into(log):
    x = torch.ones(2, requires_grad=True)
    with recording(log=log):
        y = torch.compile(lambda t: t * 2 + 1, backend="eager")(x)
    assert torch.equal(y, torch.full((2,), 3.0))


def test_what_is_noted_of_tensors_is_bounded(monkeypatch):
    monkeypatch.setattr(events, "MOST_EVENTS", 10)
    log = Log()
    held = torch.zeros(3)
    with recording(log=log):
        for _ in range(2_100):
            held[1:].detach()
    assert len(log.events) == 10
    assert log.forgotten
    noted = len(log.bases), len(log.shares), len(log.owners), len(log.memory)
    assert max(noted) < 4_200
