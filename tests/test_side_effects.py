"""Looking at a computation, and what it would change: each program runs with and without it."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.graph import register_multi_grad_hook
from torch.utils.checkpoint import checkpoint

import autograd_viz as av

LOOKS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "graph": lambda loss, leaf: av.graph(loss),
    "trace": lambda loss, leaf: av.trace(loss),
    "why": lambda loss, leaf: av.why(leaf, loss),
    "paths": lambda loss, leaf: av.paths(loss, leaf),
    "step": lambda loss, leaf: av.step(loss),
    "flow": lambda loss, leaf: str(av.trace(loss).gradient_flow()),
    "picture": lambda loss, leaf: av.trace(loss).picture().svg,
}


class WritesWhatItSaved(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return (z**2).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        z.data.mul_(2 * grad)
        return z


class WritesOpenly(WritesWhatItSaved):
    """The same with a new version, which PyTorch forbids the next pass to use."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        return z.mul_(2 * grad)


class FreesWhatItSaved(WritesWhatItSaved):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        found = 2 * grad * z
        z.untyped_storage().resize_(0)
        return found


class ChangesItsContext(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.parts, ctx.calls = [z.detach().clone()], 0
        return (z**2).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        ctx.calls += 1
        return ctx.parts.pop().mul_(2 * ctx.calls) * grad


class WritesItsGradient(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return z * 3

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad.data.mul_(3)
        return grad


class Draws(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return z.sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        drawn = [random.random() + float(np.random.rand()) for _ in range(2)]
        return grad * (torch.rand(2) + torch.tensor(drawn))


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.calls = 0
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(self.calls)
        return self.norm(torch.stack([x, x * x])) * torch.rand(2)


def state(model: Counts) -> list[Any]:
    return [model.calls, model.seen, [each.tolist() for each in model.buffers()]]


def checkpointed(reentrant: bool) -> Callable[[Tensor], tuple[Tensor, Callable[[], Any]]]:
    def made(w: Tensor) -> tuple[Tensor, Callable[[], Any]]:
        model = Counts()
        options: Any = {"use_reentrant": reentrant, "preserve_rng_state": False}
        return checkpoint(model, w * 1, **options).square().sum(), lambda: state(model)

    return made


class Reversible(Function):
    """Runs a backward pass within its own, as reversible layers do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.x, ctx.weight = x.detach(), weight
        return (x * weight.detach()).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x = ctx.x.requires_grad_()
        with torch.enable_grad():
            y = (x * ctx.weight).sum()
        torch.autograd.backward(y, grad)
        return x.grad, None


def reversible(w: Tensor) -> tuple[Tensor, Callable[[], Any]]:
    inner = nn.Parameter(torch.tensor([3.0, 4.0]))
    inner.grad = torch.tensor([10.0, 20.0])
    ran: list[int] = []
    inner.register_post_accumulate_grad_hook(lambda leaf: ran.append(1))
    loss = Reversible.apply(w, nn.Parameter(torch.ones(2))) + Reversible.apply(w * 1, inner)
    return loss, lambda: (None if inner.grad is None else inner.grad.tolist(), ran)


def of(function: Any) -> Callable[[Tensor], tuple[Tensor, Callable[[], Any]]]:
    return lambda w: ((function.apply(w * 1) * 1).sum(), list)


def hooked(w: Tensor) -> tuple[Tensor, Callable[[], Any]]:
    y = w * 2
    y.register_hook(lambda grad: grad + torch.rand(2))
    return y.sum(), list


PROGRAMS: dict[str, Callable[[Tensor], tuple[Tensor, Callable[[], Any]]]] = {
    "a backward that writes what it saved": of(WritesWhatItSaved),
    "and says so": of(WritesOpenly),
    "and frees it": of(FreesWhatItSaved),
    "a backward that changes its ctx": of(ChangesItsContext),
    "a backward that writes its gradient": of(WritesItsGradient),
    "a backward that draws": of(Draws),
    "a hook that draws": hooked,
    "a checkpoint": checkpointed(reentrant=False),
    "a reentrant checkpoint": checkpointed(reentrant=True),
    "a backward within a backward": reversible,
}


def after(program: Any, look: Any) -> list[Any]:
    """All that can be told of the user's own pass, and of what it leaves."""
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    loss, told = program(w)
    if look is not None:
        look(loss, w)
    loss.backward()
    assert w.grad is not None
    drawn = torch.rand(1).item(), random.random(), float(np.random.rand())
    return [w.tolist(), w.grad.tolist(), told(), drawn, loss.item()]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("look", LOOKS)
def test_the_users_own_pass_is_as_without_looking(program, look):
    assert after(PROGRAMS[program], LOOKS[look]) == after(PROGRAMS[program], None)


def gradient(trace: av.Trace, leaf: Tensor) -> Tensor:
    found = next(grad for one, grad in trace.leaf_grads if one is leaf)
    assert found is not None
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_two_traces_are_equal_and_as_the_users_own_pass(program):
    torch.manual_seed(1)
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    loss, _ = PROGRAMS[program](w)
    state = random.getstate(), np.random.get_state()
    first, second = (gradient(av.trace(loss), w) for _ in range(2))
    assert state[0] == random.getstate()
    loss.backward()
    assert w.grad is not None
    assert first.equal(second)
    assert first.equal(w.grad)


def test_the_trace_says_what_was_put_back():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    saying = av.trace(of(WritesWhatItSaved)(w)[0])
    assert "changes what it saved" in saying.notes[0]
    assert "WritesWhatItSavedBackward" in str(saying)
    assert "backward pass of its own" in av.trace(reversible(w)[0]).notes[0]
    assert av.trace((w * 2).sum()).notes == ()


def test_a_gradient_that_is_written_over_without_a_version_is_recorded_as_it_was():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    trace = av.trace(of(WritesItsGradient)(w)[0])
    step = next(step for step in trace.steps if "Writes" in trace.graph.nodes[step.node].name)
    arrived, sent = step.grad_outputs[0], step.grad_inputs[0]
    assert arrived is not None
    assert sent is not None
    assert (arrived.tolist(), sent.tolist()) == ([1, 1], [3, 3])


def test_the_written_parameter_itself_is_as_before():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    trace = av.trace(WritesWhatItSaved.apply(w))
    assert w.tolist() == [1, 2]
    assert gradient(trace, w).tolist() == [2, 4]


def noisy(x: Tensor) -> Tensor:
    return x * (torch.rand(()) + random.random() + float(np.random.rand()))


@pytest.mark.parametrize(
    "look",
    [
        lambda: av.program(noisy, x=2.0),
        lambda: av.program(noisy, x=2.0).at(x=3.0),
        lambda: av.nudge(noisy, "x", 0.1, x=2.0),
        lambda: av.explore(noisy, x=2.0),
        lambda: av.descend(noisy, learning_rate=0.1, x=2.0),
    ],
)
def test_a_function_that_draws_draws_the_same_afterwards(look):
    def drawn(seen: bool) -> tuple[float, float, float]:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        if seen:
            look()
        return torch.rand(()).item(), random.random(), float(np.random.rand())

    assert drawn(True) == drawn(False)


def test_a_random_function_is_nudged_with_the_same_draws():
    torch.manual_seed(1)
    shown = av.nudge(noisy, "x", 0.5, x=2.0)
    assert shown.quotient == pytest.approx(
        float(av.program(noisy, x=2.0).at(x=1.0).outputs[0].detach())
    )


def test_training_in_another_thread_goes_on_and_no_trace_has_its_steps():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6)))
    parameters, told, stop = list(model.parameters()), [], threading.Event()
    wanted = torch.autograd.grad(model(torch.ones(1, 4)).sum(), parameters)

    def train() -> None:
        inner = nn.Linear(4, 4)
        try:
            while not stop.is_set():
                x = torch.ones(1, 4, requires_grad=True)
                checkpoint(inner, x, use_reentrant=True).sum().backward()
                assert inner.weight.grad is not None, "a checkpoint of another thread accumulates"
                inner.weight.grad = None
                found = torch.autograd.grad(model(torch.ones(1, 4)).sum(), parameters)
                assert all(map(torch.equal, found, wanted))
        except BaseException as error:
            told.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(60):
            loss = model(torch.full((1, 4), 0.5)).sum()
            trace = av.trace(loss, params=model)
            assert len(trace.steps) == len(trace.graph.nodes)
            own = torch.autograd.grad(loss, parameters)
            grads = {id(leaf): grad for leaf, grad in trace.leaf_grads}
            for parameter, true in zip(parameters, own, strict=True):
                found = grads[id(parameter)]
                assert found is not None
                assert found.equal(true)
    finally:
        stop.set()
        thread.join()
    assert told == []


def test_a_pass_within_the_pass_over_the_same_leaf_is_not_recorded():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    y = w * 2
    other = (w * 5).sum()
    y.register_hook(lambda grad: torch.autograd.grad(other, w, retain_graph=True)[0] + grad)
    trace = av.trace(y.sum())
    assert [trace.graph.nodes[step.node].name for step in trace.steps] == [
        "SumBackward0",
        "MulBackward0",
        "AccumulateGrad",
    ]
    assert gradient(trace, w).tolist() == [12, 12]


def test_a_hook_on_several_leaves_runs_once_with_all_of_their_gradients():
    a, b, other = (torch.tensor(value, requires_grad=True) for value in (2.0, 3.0, 5.0))
    y, inner = a * b, (a * other).sum()
    told: list[list[float | None]] = []
    register_multi_grad_hook(
        [a, b, other], lambda grads: told.append([grad and grad.item() for grad in grads])
    )
    trace = av.trace(y)
    assert told == [[3, 2, None]]
    y.register_hook(lambda grad: inner.backward(retain_graph=True))
    av.trace(y)
    assert sorted(told[1:], key=str) == [[3, 2, None], [5, None, 2]]
    assert gradient(trace, a).item() == 3
    y.backward()
    assert sorted(told[3:], key=str) == [[3, 2, None], [5, None, 2]]
    with pytest.raises(RuntimeError, match="_will_engine_execute_node"):  # as without us
        torch.autograd.grad(a * b, [a, b])


def test_two_traces_at_once_leave_pytorch_as_it_was():
    before = torch.autograd._engine_run_backward, torch.autograd._is_checkpoint_valid  # type: ignore[attr-defined]

    def look() -> None:
        w = torch.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(20):
            av.trace(checkpoint(torch.sin, w * 1, use_reentrant=True).sum())

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = torch.autograd._engine_run_backward, torch.autograd._is_checkpoint_valid  # type: ignore[attr-defined]
    assert now == before
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_a_trace_warns_of_nothing():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        av.trace(reversible(w)[0])
