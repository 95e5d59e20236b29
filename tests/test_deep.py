"""Graphs a million nodes deep: each life in a process of its own, with the usual 8 MB of stack."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import autograd_viz

PRELUDE = """
import gc, sys, threading, weakref
import torch
import autograd_viz as av


def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def chain(steps):
    first = h = torch.tensor(1.0, requires_grad=True)
    states = [h := h + 1 for _ in range(steps)]
    return states, weakref.ref(first)


def rnn(steps):
    cell = torch.nn.RNNCell(4, 4)
    first = torch.zeros(1, 4, requires_grad=True)
    x, h = torch.ones(1, 4), first
    states = [h := cell(x, h) for _ in range(steps)]
    return [*states, h.sum()], weakref.ref(first)


def whole_life(build, steps, order):
    states, first = build(steps)
    output, middle = states[-1], states[len(states) // 2]
    states.clear()
    wanted = torch.autograd.grad(output, first(), retain_graph=True)[0]
    held = {"output": output, "middle": middle, "graph": av.graph(output)}
    del output, middle
    held["picture"] = held["graph"].picture()
    assert str(held["graph"]) and held["picture"].svg.startswith("<svg")
    held["trace"] = av.trace(held["output"])
    (leaf, found), *_ = [pair for pair in held["trace"].leaf_grads if pair[0] is first()]
    assert torch.equal(found, wanted)
    del leaf
    for name in order:
        del held[name]
    assert first() is None
"""
ORDERS = {
    "output first": ("output", "graph", "trace", "picture", "middle"),
    "picture and trace kept": ("output", "middle", "graph", "picture", "trace"),
    "graph last": ("trace", "picture", "middle", "output", "graph"),
}


def run(script: str) -> str:
    """What a script says; it must end by itself, with no complaint."""
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(script)],
        cwd=Path(autograd_viz.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
        env={**os.environ, "TQDM_DISABLE": "1"},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.parametrize("build", ["chain", "rnn"])
def test_a_deep_graph_lives_and_dies_in_any_order(build: str) -> None:
    """Once on the main thread, deep enough for its 8 MB; the rest in a small stack."""
    run(
        f"""
        whole_life({build}, 45_000 if {build} is chain else 9_000, {ORDERS["output first"]})

        def small():
            for order in {list(ORDERS.values())}:
                whole_life({build}, 3_000, order)
            finished.append(True)

        finished = []
        threading.stack_size(512 * 1024)
        thread = threading.Thread(target=small)
        thread.start()
        thread.join()
        assert finished
        """
    )


def test_interpreter_exit_with_everything_held() -> None:
    run(
        """
        states, _ = chain(45_000)
        graph, trace = av.graph(states[-1]), av.trace(states[-1])
        """
    )


MEMORY = """
gc.collect()
for build, steps in ((chain, {chain}), (rnn, {rnn})):
    states, first = build(steps)
    output = states.pop()
    states.clear()
    before = rss()
    graph = av.graph(output)
    print((rss() - before) / len(graph.nodes))
    del states, output, graph
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_a_graph_costs_at_most_500_bytes_a_node() -> None:
    chain, rnn = run(MEMORY.format(chain=60_000, rnn=10_000)).split()
    assert 0 < float(chain) <= 500
    assert float(rnn) <= 500  # partly in memory that the first has left


@pytest.mark.large
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("build", "steps"), [("chain", 1_000_000), ("rnn", 200_000)])
def test_a_million_nodes(build: str, steps: int, order: str) -> None:
    run(f"whole_life({build}, {steps}, {ORDERS[order]})")


@pytest.mark.large
def test_a_million_nodes_in_a_small_stack_and_at_exit() -> None:
    run(
        f"""
        def small():
            whole_life(chain, 1_000_000, {ORDERS["output first"]})
            finished.append(True)

        finished = []
        threading.stack_size(512 * 1024)
        thread = threading.Thread(target=small)
        thread.start()
        thread.join()
        assert finished
        states, _ = chain(1_000_000)
        graph = av.graph(states[-1])
        """
    )
