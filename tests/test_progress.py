"""The bar of progress: seen where work takes long, and nowhere else."""

from __future__ import annotations

import os
import subprocess
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


BROKEN = """
import os, sys, torch
import autograd_viz as av
from autograd_viz import progress, walk
progress.DELAY, walk.CHUNK = 0, 100
y = w = torch.tensor(0.9, requires_grad=True)
for _ in range(1_000):
    y = torch.sin(y * w)
BREAK
trace = av.trace(y)
trace.fold().picture().svg
assert trace.leaf_grads[0][1].equal(torch.autograd.grad(y, w)[0]) or os._exit(3)
os._exit(0)
"""


@pytest.mark.parametrize(
    "what",
    [
        "sys.stderr = None",
        "sys.stderr.close()",
        "os.close(2)",
        "read, end = os.pipe(); os.close(read); os.dup2(end, 2)",
        "sys.stderr = sys.stdout = None",
        "sys.stdout.close(); os.close(1)",
    ],
)
def test_without_a_stream_to_write_to_the_work_goes_on(what):
    program = BROKEN.replace("BREAK", what)
    environment = {key: value for key, value in os.environ.items() if key != "TQDM_DISABLE"}
    ran = subprocess.run([sys.executable, "-c", program], check=False, env=environment, timeout=120)
    assert ran.returncode == 0


PLAIN = """
import sys, torch
import autograd_viz as av
def loss(w, x=2.0):
    y = w * x
    return (y - 1) ** 2
w = torch.tensor(3.0, requires_grad=True)
value = loss(w)
trace = av.trace(value)
print(trace)
trace.picture().save(sys.argv[1] + "/graph.svg")
trace.variables().picture().save(sys.argv[1] + "/graph.png")
print(av.paths(value, w), av.why(w, value))
print(av.program(loss, w=3.0), av.nudge(loss, "w", 0.1, w=3.0))
model = torch.nn.Linear(1, 1)
with av.record(model):
    found = model(torch.ones(1, 1)).sum()
print(av.trace(found, params=model).gradient_flow())
av.explore(loss, w=3.0).save_html(sys.argv[1] + "/page.html")
av.descend(loss, learning_rate=0.1, steps=2, w=3.0)
"""


def test_python_without_asserts_and_docstrings_in_a_plain_locale_without_a_home(tmp_path):
    home = tmp_path / "home"
    home.touch()  # a file: nothing can be written below it, not even by root
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), "LANG": "C"}
    environment.pop("LC_ALL", None)
    ran = subprocess.run(
        [sys.executable, "-OO", "-c", PLAIN, str(tmp_path)],
        capture_output=True,
        env=environment,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert sorted(path.name for path in tmp_path.glob("*.*")) == [
        "graph.png",
        "graph.svg",
        "page.html",
    ]
