"""Ctrl-C at random moments, as the operating system sends it: each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import autograd_viz
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
