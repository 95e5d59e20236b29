"""The bar of progress: seen where work takes long, and nowhere else."""

from __future__ import annotations

import sys
import threading

import pytest
import torch

import autograd_viz as av
from autograd_viz import progress, walk


@pytest.fixture
def at_once(monkeypatch):
    """Everything takes long."""
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(walk, "CHUNK", 100)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)


def chain(steps):
    w = torch.tensor(0.9, requires_grad=True)
    y = w
    for _ in range(steps):
        y = torch.sin(y * w)
    return y


def test_what_is_quick_leaves_no_output_and_loads_nothing(monkeypatch, capfd):
    monkeypatch.setattr(progress, "DELAY", 3_600)  # however slow the machine is
    loaded = "tqdm" in sys.modules
    av.trace(chain(1_000)).fold().picture()
    assert capfd.readouterr() == ("", "")
    assert ("tqdm" in sys.modules) == loaded


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda y: av.graph(y), "walking the graph"),
        (lambda y: av.trace(y), "recording the backward pass"),
        (lambda y: av.graph(y).fold(), "folding the graph"),
    ],
)
def test_what_takes_long_says_what_it_does_and_is_cleared(work, words, capfd):
    y = chain(1_000)
    threads = threading.active_count()
    work(y)
    said, bar = capfd.readouterr()
    assert said == ""
    assert words in bar
    assert bar.endswith("\r")
    assert bar.rpartition("\r")[0].rpartition("\r")[2].strip() == "", "cleared"
    assert threading.active_count() == threads


@pytest.mark.usefixtures("at_once")
def test_the_bar_counts_all_nodes(monkeypatch):
    counts = {}
    make = progress._bar

    def made(doing, total, unit, done, elapsed):
        bar = counts[doing] = make(doing, total, unit, done, elapsed)
        return bar

    monkeypatch.setattr(progress, "_bar", made)
    trace = av.trace(chain(1_000))
    nodes = len(trace.graph.nodes)
    trace.fold()
    passed = counts["recording the backward pass"]
    assert passed.total == nodes
    assert nodes - nodes // 200 - 1 <= passed.n <= nodes
    assert nodes - 1 <= counts["folding the graph"].n <= counts["folding the graph"].total == nodes


@pytest.mark.usefixtures("at_once")
def test_the_environment_silences_it(monkeypatch, capfd):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    av.trace(chain(1_000)).fold()
    assert capfd.readouterr() == ("", "")
