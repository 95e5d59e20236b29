"""Deep graphs: what a node costs in time and memory, and what recording adds to a backward pass."""

import subprocess
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

import autograd_viz as av
from bench import models
from bench.measure import medians, milliseconds
from bench.peers import BACKWARD, TRACE, bare_walk

Row = tuple[str, str, str, str, str]
MEMORY = """
import autograd_viz as av
from bench.models import chain

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

output = chain(100_000)
before = resident()
kept = av.{call}(output)
print((resident() - before) / 100_000)
"""
PEAK = """
from bench import models
from bench.peers import peak, run
run({tool!r}, *models.network("lecture"))
run({tool!r}, *models.network({name!r}))
print(peak())
"""
_wide = nn.TransformerEncoder(
    nn.TransformerEncoderLayer(768, 12, 3072, dropout=0.0, batch_first=True),
    num_layers=12,
    enable_nested_tensor=False,
)
_words = torch.randn(1, 64, 768)


def transformer() -> Tensor:
    """A transformer of GPT-2's size on 64 tokens."""
    output: Tensor = _wide(_words)
    return output.square().mean()


def backward(output: Tensor) -> None:
    """What a trace is measured against."""
    output.backward(retain_graph=True)


def rows() -> list[Row]:
    """Time against the bare walk and plain backward; bytes a node on Linux."""
    table = []
    for size in (1_000, 10_000, 100_000, 1_000_000):

        def chain(size: int = size) -> Tensor:
            return models.chain(size)

        rounds = 2 if size > 100_000 else 7
        result = medians({"other": bare_walk, "ours": av.graph}, chain, av.graph, rounds)
        table.append(_row(f"graph, chain of {size:,} / bare loop", result, "<= 3 x"))
    passes: list[tuple[str, Callable[[], Tensor], str]] = [
        ("chain of 100,000", models.chain, "<= 3 x"),
        ("RNN of 1,000 steps", models.rnn, "<= 1.6 x"),
        ("transformer, 12 layers, 768 wide", transformer, "<= 1.2 x"),
    ]
    for title, build, goal in passes:
        result = medians({"other": backward, "ours": av.trace}, build, av.graph, rounds=5)
        table.append(_row(f"trace, {title} / backward", result, goal))
    if sys.platform == "linux":
        for call, goal in (("graph", "<= 500 bytes"), ("trace", "")):
            code = MEMORY.format(call=call)
            ran = subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True
            )
            table.append((f"memory of a {call}", f"{float(ran.stdout):.0f} bytes", "", "", goal))
    for name in ("GPT-2", "ResNet-152"):
        ours, other = _peak(TRACE, name), _peak(BACKWARD, name)
        title = f"peak memory of the process, trace of {name} / backward"
        numbers = f"{ours / 2**20:.0f} MB", f"{other / 2**20:.0f} MB"
        table.append((title, *numbers, f"{ours / other:.3g} x", "<= 1.1 x"))
    return table


def _peak(tool: str, name: str) -> float:
    """The most memory of a process with weights, a forward pass and what the tool does, in bytes.

    Least of three, since the allocator and other libraries do not always take the same.
    """
    command = [sys.executable, "-c", PEAK.format(tool=tool, name=name)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)]
    return min(float(ran.stdout) for ran in runs)


def _row(title: str, result: dict[str, float], goal: str) -> Row:
    ours, other = result["ours"], result["other"]
    return title, milliseconds(ours), milliseconds(other), f"{ours / other:.3g} x", goal
