"""Graphs far deeper than the C stack, deleted in every order: each in a process of its own.

Most run in a thread with a stack of 256 KB, where a walked graph of 2,000 levels crashes Python if
it is not protected; so a few thousand levels tell as much as a million on the main thread.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.graph import Node

import autograd_viz
from autograd_viz import release

PRELUDE = '''
import gc, os, sys, threading, weakref
import torch
from autograd_viz import release


def walk(*outputs):
    nodes = list(dict.fromkeys(output.grad_fn for output in outputs))
    seen = set(nodes)
    for node in nodes:
        for successor, _ in node.next_functions:
            if successor is not None and successor not in seen:
                seen.add(successor)
                nodes.append(successor)
    return nodes


def protect(nodes):
    nexts = [node.next_functions for node in nodes]
    release.protect(nodes, nexts, {node: place for place, node in enumerate(nodes)})


def protected(*outputs):
    nodes = walk(*outputs)
    protect(nodes)
    return nodes


def guards(nodes):
    return sum(release._KEY in node.metadata for node in nodes)


def leaf(value=0.5):
    return torch.tensor(value, requires_grad=True)


class Increment(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        ctx.save_for_backward(tensor)
        return tensor + 1

    @staticmethod
    def backward(ctx, grad):
        return grad


class Chain:
    def start(self):
        return leaf()

    def step(self, h, x):
        return h + 1


class Rnn(Chain):  # a shared parameter and input, saved tensors
    w = leaf()

    def step(self, h, x):
        return torch.tanh(h * self.w + x)


class Diamonds(Chain):
    def step(self, h, x):
        return h.sin() * h.cos() * h


class Skips(Chain):  # each step also uses an early one: breadth-first order is far from topological
    early = None

    def step(self, h, x):
        if self.early is None:
            self.early = h * x
        return h.sin() + self.early


class Custom(Chain):
    def step(self, h, x):
        return Increment.apply(h)


class Mixed(Chain):
    def step(self, h, x):
        return Increment.apply(h) * 2


class InPlace(Chain):
    def start(self):
        return torch.zeros(3, requires_grad=True)

    def step(self, h, x):
        h = h.clone()
        h[0].mul_(2)
        return h


class Cell(Chain):
    def __init__(self):
        self.cell = torch.nn.GRUCell(2, 2)

    def start(self):
        return torch.zeros(1, 2, requires_grad=True)

    def step(self, h, x):
        return self.cell(x.expand(1, 2), h)


def build(kind, steps):
    """A list of all intermediate tensors, the last one the output, and the first leaf."""
    network, x = kind(), leaf()
    first = network.start()
    h = first
    states = [h := network.step(h, x) for _ in range(steps)]
    return states, first


def in_small_stack(function, *arguments, kilobytes=256, count=1):
    threading.stack_size(kilobytes * 1024)
    threads = [threading.Thread(target=function, args=arguments) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
'''


def run(script: str, seconds: float = 600) -> None:
    """Run a script to its end; it must say "done", exit with 0 and write nothing else."""
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(script)],
        cwd=Path(autograd_viz.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


GROUPS = {"Chain, Rnn, Diamonds, Skips": 2_500, "Custom, Mixed, InPlace, Cell": 1_000}

ORDERS = """
def output_first(states, nodes):
    del nodes
    output = states.pop()
    states.clear()
    del output


def nodes_last(states, nodes):
    states.clear()
    del nodes[:]


def nodes_last_from_the_root(states, nodes):
    states.clear()
    nodes.reverse()
    while nodes:
        nodes.pop()


def one_intermediate_outlives(states, nodes):
    nodes.clear()
    middle = states[len(states) // 2]
    states.clear()
    (middle * 1).sum().backward()  # the rest of the graph works as before
    del middle


def all_intermediates_outlive(states, nodes):
    nodes.clear()
    while states:  # the output first
        states.pop()


def all_intermediates_outlive_in_random_order(states, nodes):
    nodes.clear()
    for position in torch.randperm(len(states)).tolist():
        states[position] = None


def a_node_outlives(states, nodes):
    node = nodes[len(nodes) // 2]
    nodes.clear()
    states.clear()
    del node


def reference_cycle(states, nodes):
    nodes.clear()
    cycle = [states[-1]]
    cycle.append(cycle)
    states.clear()
    del cycle
    gc.collect()


def another_graph_shares_nodes(states, nodes):
    other = states[len(states) // 2]
    for _ in range(len(states)):
        other = other.sin()
    protected(other)
    nodes.clear()
    states.clear()
    del other


def unwalked_graph_on_top(states, nodes):
    other = states[-1]
    for _ in range(len(states)):
        other = other.sin()
    nodes.clear()
    states.clear()
    del other


def backward_first(states, nodes):
    states[-1].sum().backward()
    nodes_last(states, nodes)


ORDERS = [order for order in list(globals().values()) if getattr(order, "__code__", None)
          and order.__code__.co_varnames[:2] == ("states", "nodes")]
assert len(ORDERS) == 11


def try_all_orders(kind, steps):
    for order in ORDERS:
        states, first = build(kind, steps)
        alive = weakref.ref(first), weakref.ref(states[steps // 3])
        del first
        nodes = protected(states[-1])
        assert guards(nodes) >= steps // release._SPAN
        order(states, nodes)
        del states, nodes
        assert [ref() for ref in alive] == [None, None], order
"""


@pytest.mark.parametrize(("kinds", "steps"), GROUPS.items())
def test_any_order_of_deletion(kinds: str, steps: int) -> None:
    run(f"""{ORDERS}
for kind in {kinds}:
    in_small_stack(try_all_orders, kind, {steps})
print("done")
""")


def test_million_nodes() -> None:
    run("""
        gc.disable()  # for speed alone
        output = leaf()
        first = weakref.ref(output)
        for _ in range(1_000_000):
            output = output + 1
        nodes = protected(output)
        assert len(nodes) == 1_000_001
        del nodes
        assert first() is not None
        del output
        assert first() is None
        print("done")
    """)


def test_long_recurrent_network() -> None:
    run("""
        gc.disable()  # for speed alone
        states, first = build(Rnn, 200_000)
        first, middle, output = weakref.ref(first), states[100_000], states[-1]
        del states
        nodes = protected(output)
        del output
        nodes.clear()
        assert first() is not None
        del middle
        assert first() is None
        print("done")
    """)


EXITS = {
    "nothing more": "",
    "without the nodes": "del nodes",
    "in a cycle": "cycle = [states.pop(), nodes]; cycle.append(cycle); del states, nodes",
    "atexit": "import atexit; atexit.register(states.clear); atexit.register(nodes.clear)",
    "without our module": "del nodes, release; sys.modules.pop('autograd_viz.release')",
    "daemon": """
        def hold(states):
            threading.Event().wait()
        threading.Thread(target=hold, args=(states,), daemon=True).start()
        del states, nodes
    """,
    "fork": """
        import warnings
        warnings.simplefilter("ignore")  # Python 3.12 warns where threads run
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
        else:
            nodes.clear()
            states.clear()
    """,
}


@pytest.mark.parametrize("end", EXITS)
def test_exit_with_graphs_alive(end: str) -> None:
    if end == "fork" and not hasattr(os, "fork"):
        pytest.skip("no fork on this platform")
    run(
        "states, first = build(Rnn, 15_000)\nnodes = protected(states[-1])\ndel states[:-1]\n"
        + ("" if end == "fork" else "print('done', flush=True)\n")
        + textwrap.dedent(EXITS[end])
        + ("\nif child: print('done')" if end == "fork" else "")
    )


def test_many_threads_at_once() -> None:
    run("""
        trunk, first = build(Rnn, 5_000)
        alive = [weakref.ref(first)]
        outputs = [trunk[-1].sin() for _ in range(5)]
        del trunk, first

        def work():
            shared = outputs.pop()
            for kind in (Chain, Rnn, Mixed, Diamonds):
                states, first = build(kind, 2_500)
                alive.append(weakref.ref(first))
                nodes = protected(shared, states[-1])
                del nodes, states, first

        in_small_stack(work, count=5)
        assert len(alive) == 21
        assert not any(ref() is not None for ref in alive)
        print("done")
    """)


def test_overlapping_graphs_share_their_guards() -> None:
    run(
        """
        states, first = build(Chain, 100_000)
        first = weakref.ref(first)
        outputs = [states[-1].sin(), states[-1].cos(), states[50_000].exp(), states[-1]]
        del states
        for output in outputs:
            nodes = protected(output)
            before = guards(nodes)
            protect(nodes)
            assert guards(nodes) == before <= len(nodes) // release._SPAN + len(outputs)
        del nodes, output
        outputs.clear()
        assert first() is None
        print("done")
        """,
        seconds=120,
    )


def test_long_list_of_intermediates_takes_linear_time() -> None:
    run(
        """
        states, first = build(Chain, 100_000)
        first = weakref.ref(first)
        protected(states[-1])
        while states:
            assert first() is not None
            states.pop()
        assert first() is None
        print("done")
        """,
        seconds=120,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no interval timer")
def test_interrupt_loses_nothing() -> None:
    """A signal during the release: wherever it strikes, everything is released."""
    run("""
        import signal, time
        sys.unraisablehook = lambda _: None  # Python reports what strikes as a guard's call begins

        def stop(number, frame):
            raise TimeoutError

        for handler in (signal.default_int_handler, stop):
            signal.signal(signal.SIGALRM, handler)
            for delay in (0.002, 0.006, 0.012):
                states, first = build(Chain, 30_000)
                first, output = weakref.ref(first), states.pop()
                del states
                protected(output)
                try:
                    signal.setitimer(signal.ITIMER_REAL, delay)
                    del output
                    time.sleep(0.05)
                except (KeyboardInterrupt, TimeoutError):
                    pass
                output = None
                assert first() is None
        assert not release._Guard._released.running
        assert not release._Guard._released.nodes
        print("done")
    """)


class Tag:
    """Dies with the node in whose metadata it is."""


def build(draws: random.Random, count: int) -> list[Tensor]:
    """Some leaves, then tensors made from one to three random earlier ones, mostly recent."""
    tensors = [torch.tensor(0.5, requires_grad=True) for _ in range(2)]
    for _ in range(count):
        used = [tensors[-1 - min(int(draws.expovariate(0.5)), len(tensors) - 1)] for _ in range(3)]
        used = used[: draws.randint(1, 3)]
        tensors.append(torch.stack(used).sum().sin() if len(used) == 3 else used[0] * used[-1])
    return tensors[2:]


def successors(node: Node) -> Iterator[Node]:
    return (successor for successor, _ in node.next_functions if successor is not None)


def reachable(roots: list[Node]) -> list[Node]:
    nodes = list(dict.fromkeys(roots))
    seen = set(nodes)
    for node in nodes:
        fresh = [below for below in dict.fromkeys(successors(node)) if below not in seen]
        seen.update(fresh)
        nodes.extend(fresh)
    return nodes


def protect(nodes: list[Node]) -> None:
    nexts = [node.next_functions for node in nodes]
    release.protect(nodes, nexts, {node: place for place, node in enumerate(nodes)})


def grad_fn(tensor: Tensor) -> Node:
    assert tensor.grad_fn is not None
    return tensor.grad_fn


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60), span=st.integers(1, 7))
def test_guards_prolong_no_life(seed: int, count: int, span: int) -> None:
    """After any deletion exactly the nodes below the remaining tensors are alive, at once."""
    draws = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "SAFE", 0)
        patch.setattr(release, "_SPAN", span)
        tensors = build(draws, count)
        for tensor in draws.choices(tensors, k=3):
            nodes = reachable([grad_fn(tensor)])
            protect(nodes)
            assert longest_unguarded_path(nodes) < span
    tags: dict[int, weakref.ref[Tag]] = {}
    names: dict[Node, int] = {}
    for name, node in enumerate(reachable([grad_fn(tensor) for tensor in tensors])):
        names[node] = name
        metadata(node)["tag"] = tag = Tag()
        tags[name] = weakref.ref(tag)
    below = [{names[n] for n in reachable([grad_fn(tensor)])} for tensor in tensors]
    del tensor, node, nodes, tag, names
    held = dict(enumerate(tensors))
    tensors.clear()
    for position in draws.sample(range(count), count):
        del held[position]
        expected = set().union(*(below[other] for other in held))
        assert {name for name, tag in tags.items() if tag() is not None} == expected


def metadata(node: Node) -> dict[str, object]:
    return cast("dict[str, object]", node.metadata)  # a property; PyTorch's stub calls it a method


def longest_unguarded_path(nodes: list[Node]) -> int:
    longest = dict.fromkeys(nodes, 0)
    for _ in nodes:  # until nothing changes: at most as often as the longest path is long
        before = dict(longest)
        for node in nodes:
            if release._KEY not in metadata(node):
                longest[node] = 1 + max((longest[below] for below in successors(node)), default=0)
        if longest == before:
            break
    return max(longest.values())


def test_small_graph_is_left_alone() -> None:
    y = torch.tensor(1.0, requires_grad=True)
    for _ in range(release.SAFE - 1):
        y = y.sin()
    nodes = reachable([grad_fn(y)])
    protect(nodes)
    assert not any(metadata(node) for node in nodes)


def test_shallow_graph_gets_a_guard_at_its_root_only() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    nodes = reachable([grad_fn(torch.stack([x.sin() for _ in range(2_000)]))])
    protect(nodes)
    assert [node for node in nodes if metadata(node)] == nodes[:1]
