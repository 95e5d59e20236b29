"""Ctrl-C at random moments, as the operating system sends it: each in a process of its own."""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import autograd_viz
import autograd_viz as av
from autograd_viz import files
from autograd_viz.interrupts import interrupts_held

PROGRAM = """
import gc, os, random, signal, threading, time
import torch
import autograd_viz as av

draws = random.Random(SEED)
w = torch.tensor(0.9, requires_grad=True)
w.grad = torch.tensor(3.0)
y = w * 1
middle = y
middle.retain_grad()
for _ in range(STEPS):
    y = torch.sin(y * w)
clean = av.trace(y) if STEPS < 1_000 else None  # so that every node has its dictionary of hooks
traced = av.trace(y) if 'traced' in 'WORK' else None


def dictionaries():
    nodes, seen = [y.grad_fn], {y.grad_fn}
    for node in nodes:
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                nodes.append(below)
    for node in nodes:
        if node.name() != "torch::autograd::AccumulateGrad":
            for register in (node.register_hook, node.register_prehook):
                handle = register(lambda *_: None)
                yield handle.hooks_dict_ref(), handle
    handle = w.register_hook(lambda _: None)
    yield handle.hooks_dict_ref(), handle


def hooks():
    count = 0
    for hooks, handle in dictionaries():
        count += len(hooks) - 1
        handle.remove()
    return count


def press(delay):
    time.sleep(delay)
    signal.raise_signal(signal.SIGINT)  # os.kill would end a process of Windows


start = time.perf_counter()
WORK
whole = time.perf_counter() - start
struck = 0
for _ in range(ROUNDS):
    thread = threading.Thread(target=press, args=(draws.uniform(0, whole),))
    try:
        thread.start()
        WORK
        thread.join()
        time.sleep(0.01)
    except KeyboardInterrupt:
        struck += 1
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert gc.isenabled()
    assert hooks() == 0
    assert w.grad == 3 and middle.grad is None
before = torch.autograd.grad(y, w, retain_graph=True)[0]
assert av.trace(y).leaf_grads[0][1] == before
del y, middle, before, traced
print("struck", struck)
"""


@pytest.mark.parametrize(
    ("work", "steps", "rounds"),
    [
        ("av.graph(y)", 5_000, 2),
        ("av.trace(y)", 300, 12),
        ("av.trace(y)", 5_000, 2),
        ("str(av.trace(y))", 300, 4),
        ("av.trace(y).picture().svg", 300, 3),
        ("traced.fold().scene", 20_000, 6),
        ("traced.fold().picture().svg", 5_000, 2),
    ],
)
def test_ctrl_c_leaves_nothing_behind(work, steps, rounds):
    program = PROGRAM.replace("WORK", work).replace("STEPS", str(steps)).replace("SEED", "6")
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program.replace("ROUNDS", str(rounds))],
        cwd=Path(autograd_viz.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "TQDM_DISABLE": "1"},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert int(ran.stdout.split()[1]) == rounds


def test_one_is_held_until_the_end():
    with pytest.raises(KeyboardInterrupt), interrupts_held() as pressed:  # noqa: PT012
        assert not pressed
        signal.raise_signal(signal.SIGINT)
        assert pressed
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_strikes_at_once():
    reached = False
    with pytest.raises(KeyboardInterrupt), interrupts_held():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert not reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_that_goes_on_is_heard_and_the_work_goes_on(tmp_path):
    heard: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        x = torch.tensor(2.0, requires_grad=True)
        y = x * x
        for _ in range(300):  # so many that the work looks whether it is to end
            y = y * 1.0
        handle = y.register_hook(lambda grad: signal.raise_signal(signal.SIGINT))
        trace = av.trace(y)
        handle.remove()
        assert [grad and grad.item() for _, grad in trace.leaf_grads] == [4]
        assert heard == [signal.SIGINT]

        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            files.write({tmp_path / "a": b"a", tmp_path / "b": b"b"})
        assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"a", b"b"]
        assert heard == [signal.SIGINT] * 2
    finally:
        signal.signal(signal.SIGINT, usual)


OURS = str(Path(autograd_viz.__file__).parent)


class Striking:
    """Presses Ctrl-C when our own code, or contextlib's, comes to its n-th line or call.

    What a trace function raises when a generator goes on or yields ends the generator without its
    `finally`, as no signal does; so there only its lines count.
    """

    def __init__(self, moment: int) -> None:
        self.moment, self.passed = moment, 0

    def __enter__(self) -> None:
        sys.settrace(self.enters)

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def enters(self, frame, event, arg):
        name = frame.f_code.co_filename
        if name.startswith(OURS) or name == contextlib.__file__:
            return self.steps(frame, event, arg)
        return None

    def steps(self, frame, event, arg):
        generator = frame.f_code.co_flags & inspect.CO_GENERATOR
        if event == "line" or (event == "call" and not generator):
            self.passed += 1
        if self.passed == self.moment:
            self.passed += 1
            # As Python does, which tells the handler in which frame it struck: this one.
            handler = signal.getsignal(signal.SIGINT)
            assert callable(handler)
            handler(signal.SIGINT, frame)
        return self.steps


def recorded(model, leaf, y, folder):
    with av.record(model):
        model(torch.ones(1, 1))


def loss_of(x):
    y = x * 2
    return y * y


def saved(model, leaf, y, folder):
    av.graph(y).picture().save(folder / "picture.svg")


WORKS = {  # with how many moments there are from one strike to the next
    "record": (recorded, 1),
    "graph": (lambda model, leaf, y, folder: av.graph(y), 7),
    "trace": (lambda model, leaf, y, folder: av.trace(y), 7),
    "program": (lambda model, leaf, y, folder: av.program(loss_of, x=2.0), 41),
    "nudge": (lambda model, leaf, y, folder: av.nudge(loss_of, "x", 0.1, x=2.0), 307),
    "explore": (lambda model, leaf, y, folder: av.explore(loss_of, x=2.0), 1_999),
    "descend": (
        lambda model, leaf, y, folder: av.descend(loss_of, learning_rate=0.1, steps=2, x=2.0),
        1_999,
    ),
    "save": (saved, 1_999),
}


@pytest.mark.parametrize("work", WORKS)
def test_an_interrupt_between_any_two_lines_leaves_nothing(work, tmp_path):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    function, stride = WORKS[work]
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Tanh())
    leaf = torch.tensor(2.0, requires_grad=True)
    leaf.grad = torch.tensor(7.0)
    y = (leaf * 3).sin()
    middle = y * 1
    middle.retain_grad()
    hooks, wanted = [], torch.autograd.grad(middle, leaf, retain_graph=True)[0]
    middle.grad = None
    for node in (middle.grad_fn, y.grad_fn):
        assert node is not None
        for register in (node.register_hook, node.register_prehook):
            handle = register(lambda *grads: None)
            hooks.append(handle.hooks_dict_ref())
            handle.remove()
    function(model, leaf, middle, tmp_path)  # what is loaded and cached is so from now on
    modes = torch._C._len_torch_function_stack()
    streams, engine = (sys.stdout, sys.stderr), vars(torch.autograd)["_engine_run_backward"]
    moment, struck = 1, 0
    while True:
        striking = Striking(moment)
        try:
            with striking:
                function(model, leaf, middle, tmp_path)
        except KeyboardInterrupt as error:
            struck += 1
            kept = error  # as IPython keeps the last one, with all its frames
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, moment
        assert gc.isenabled(), moment
        assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
        assert not torch.nn.modules.module._global_forward_pre_hooks, moment
        assert not leaf._backward_hooks, moment
        assert not any(hooks), moment
        assert (leaf.grad.item(), middle.grad) == (7, None), moment
        assert torch._C._len_torch_function_stack() == modes, moment
        assert (sys.stdout, sys.stderr) == streams, moment
        assert vars(torch.autograd)["_engine_run_backward"] is engine, moment
        if striking.passed < moment:
            break
        moment += stride
    assert struck
    assert kept
    assert torch.autograd.grad(middle, leaf)[0] == wanted
