"""Ours beside torchviz, torchview and torchlens: time, memory and failures, by model and size.

`python -m bench.peers` measures and writes docs/performance.md and docs/performance.svg. Each
measurement has a process of its own, so that a crash, a hang and a peak of memory are that tool's.
"""

import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torchviz import make_dot

import autograd_viz as av
from bench import models

DOCS = Path(__file__).parents[1] / "docs"
LIMIT = 60.0  # seconds a measurement may take, its process's start included
ROUNDS = 7  # of one measurement, as far as ENOUGH allows
LEAST = 3  # rounds, of what is not done in PATIENCE
ENOUGH, PATIENCE = 3.0, 8.0  # seconds after which no further round begins
SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)

Case = tuple[str, int]  # a network of bench.models, and its size
CASES: Mapping[Case, str] = {
    ("lecture", 0): "lecture's example",
    ("MLP", 0): "MLP, 3 layers",
    ("GPT-2", 0): "GPT-2 size",
    ("ResNet-152", 0): "ResNet-152",
    ("RNN", 1_000): "RNN, 1,000 steps",
    **{("chain", size): f"chain, {size:,} nodes" for size in SIZES},
}
BARE, GRAPH, PICTURE = "bare walk", "av.graph", "av.graph to SVG"
BACKWARD, TRACE = "plain backward", "av.trace"
TOOLS = {  # what is measured, and what it does
    BARE: "each node's `next_functions` touched once, nothing kept: the floor",
    GRAPH: "`av.graph(loss, params=model)`",
    "torchviz": "`make_dot(loss)`, with the recursion limit lifted and a stack of 512 MB",
    "torchview": "`draw_graph(model, x, depth=100)`; runs the forward pass itself",
    "torchlens": "`trace(model, x)`; runs the forward pass itself, and keeps all values",
    PICTURE: "the same graph, laid out and written as SVG",
    BACKWARD: "`torch.autograd.grad` by all parameters: the floor of a trace",
    TRACE: "`av.trace(loss, params=model)`",
    "torchlens backward": "`log_backward(loss)` of a trace with `save_grads=True`, made before",
}
PEERS = ("torchviz", "torchview", "torchlens")


@dataclass(frozen=True)
class Measured:
    """What one tool needed for one network, or how it failed."""

    seconds: float = 0.0  # median
    peak: float = 0.0  # bytes by which the process's peak grew
    failed: str = ""  # in a few words; "" if it gave a result
    crashed_later: bool = False  # when the graph was deleted


# In the process of one measurement


def measure(tool: str, case: Case) -> None:
    """Measure one tool with one network and print the result as JSON."""
    run(tool, *models.network("lecture"))  # what a first call loads and compiles does not count
    model, x = models.network(*case)
    seconds: list[float] = []
    grown: list[int] = []  # by how much each call raised the peak; the later ones hardly
    kept: list[Any] = []  # a deep graph that was walked may crash when it dies
    start = time.perf_counter()

    def more() -> bool:
        spent = time.perf_counter() - start
        return len(seconds) < ROUNDS and spent < (PATIENCE if len(seconds) < LEAST else ENOUGH)

    while more():
        elapsed, more_memory, held = run(tool, model, x)
        seconds.append(elapsed)
        kept = [*kept, held] if case[1] else [held]  # the networks without a size are large
        grown.append(more_memory)
    print(json.dumps({"seconds": statistics.median(seconds), "peak": grown[0]}), flush=True)
    del held, kept  # here a deep graph takes the process down, unless it was made safe


def run(tool: str, model: nn.Module, x: Tensor) -> tuple[float, int, Any]:
    """Seconds, growth of the peak in bytes, and what has to live as long as the graph."""
    prepare, work = _jobs()[tool]
    prepared = prepare(model, x)
    gc.collect()
    before = peak()
    start = time.perf_counter()
    result = work(prepared)
    elapsed = time.perf_counter() - start
    del result
    return elapsed, peak() - before, prepared


Job = tuple[Callable[[nn.Module, Tensor], Any], Callable[[Any], object]]


def _jobs() -> Mapping[str, Job]:
    """For each tool what goes before, and what is measured of it."""

    def loss(model: nn.Module, x: Tensor) -> Any:
        return model(x).sum(), model

    def module(model: nn.Module, x: Tensor) -> Any:
        model(x).sum()  # so that the memory of a forward pass does not count
        return model, x

    def lens(given: Any, **options: Any) -> Any:
        import torchlens

        return torchlens.trace(*given, **options)

    def lens_graph(model: nn.Module, x: Tensor) -> Any:
        import torchlens

        options = torchlens.options.CaptureOptions(save_grads=True)
        log = lens((model, x), capture=options)
        return log, log[log.output_layers[0]].out.sum()

    def view(given: Any) -> object:
        import torchview

        return torchview.draw_graph(given[0], given[1], depth=100).visual_graph

    def backward(given: Any) -> object:
        return torch.autograd.grad(given[0], list(given[1].parameters()), retain_graph=True)

    return {
        BARE: (loss, lambda given: bare_walk(given[0])),
        GRAPH: (loss, lambda given: av.graph(given[0], params=given[1])),
        "torchviz": (loss, lambda given: torchviz_deep(given[0])),
        "torchview": (module, view),
        "torchlens": (module, lens),
        PICTURE: (loss, lambda given: av.graph(given[0], params=given[1]).picture().svg),
        BACKWARD: (loss, backward),
        TRACE: (loss, lambda given: av.trace(given[0], params=given[1])),
        "torchlens backward": (lens_graph, lambda given: given[0].log_backward(given[1])),
    }


def bare_walk(output: Tensor) -> None:
    """Touch each node's next_functions once and keep nothing but which nodes were seen."""
    root = get_gradient_edge(output).node
    seen = {root}
    waiting = [root]
    while waiting:
        for function, _ in waiting.pop().next_functions:
            if function is not None and function not in seen:
                seen.add(function)
                waiting.append(function)


def torchviz_deep(output: Tensor) -> None:
    """Run torchviz on a deep stack: it recurses once a node."""
    raised: list[Exception] = []

    def work() -> None:
        try:
            make_dot(output)
        except Exception as error:  # a thread's own would not end the measurement
            raised.append(error)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000_000)
    size = threading.stack_size(512 << 20)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    threading.stack_size(size)
    sys.setrecursionlimit(limit)
    if raised:
        raise raised[0]


def peak() -> int:
    """The largest memory of this process so far, in bytes."""
    status = Path("/proc/self/status")  # getrusage would begin with the parent's peak on Linux
    if status.exists():
        (line,) = (
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmHWM")
        )
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# In the process that starts the others


def measured(tool: str, case: Case) -> Measured:
    """Measure one tool with one network in a process of its own."""
    command = [sys.executable, "-m", "bench.peers", tool, case[0], str(case[1])]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, cwd=DOCS.parent, check=False
        )
    except subprocess.TimeoutExpired:
        return Measured(failed=f"no answer in {LIMIT:.0f} s")
    lines = [line for line in run.stdout.splitlines() if line.startswith('{"seconds"')]
    if lines:
        return Measured(**json.loads(lines[-1]), crashed_later=run.returncode < 0)
    if run.returncode < 0:
        return Measured(failed="crash")
    errors = [line for line in run.stderr.splitlines() if line and not line[0].isspace()]
    name = errors[-1].partition(":")[0].rpartition(".")[2] if errors else "error"
    return Measured(failed="not installed" if name == "ModuleNotFoundError" else name)


Results = Mapping[tuple[str, Case], Measured]


def all_measured() -> Results:
    """Measure every tool with every network, the tools in turns."""
    results: dict[tuple[str, Case], Measured] = {}
    hopeless: dict[str, str] = {}  # tool -> the chain that it gave no answer for
    for case, title in CASES.items():
        for tool in TOOLS:
            if case[0] == "chain" and tool in hopeless:
                results[tool, case] = Measured(failed="not tried")
                continue
            result = results[tool, case] = measured(tool, case)
            if case[0] == "chain" and result.failed:
                hopeless[tool] = title
            print(f"{title:24} {tool:20} {cell(result)}", flush=True)
    return results


def cell(result: Measured) -> str:
    """A duration for a table, or what went wrong."""
    if result.failed:
        return result.failed
    return duration(result.seconds) + ("†" if result.crashed_later else "")


def duration(seconds: float) -> str:
    """Seconds with three digits.

    >>> duration(0.0000123), duration(0.0354), duration(12.34)
    ('0.0123 ms', '35.4 ms', '12.3 s')
    """
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def memory(result: Measured) -> str:
    """The growth of the peak for a table."""
    return "" if result.failed else f"{result.peak / 2**20:,.1f} MB"


def ratio(above: Measured, below: Measured) -> str:
    """The quotient of two durations for a table; empty where one of them failed."""
    if above.failed or below.failed:
        return ""
    quotient = above.seconds / below.seconds
    return f"{quotient:,.0f}" if quotient >= 100 else f"{quotient:.3g}"


def table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(results: Results) -> Iterator[str]:
    """Durations, ratios and memory, network by network."""
    ratios = {
        f"{GRAPH} / {BARE}": (GRAPH, BARE),
        **{f"{peer} / {GRAPH}": (peer, GRAPH) for peer in PEERS},
        f"{TRACE} / {BACKWARD}": (TRACE, BACKWARD),
        f"torchlens backward / {BACKWARD}": ("torchlens backward", BACKWARD),
    }

    def row(title: str, cells: Iterator[str]) -> list[str]:
        return [title, *cells]

    yield "## Time\n\nMedian of one run."
    yield table(
        ("", *TOOLS),
        [
            row(title, (cell(results[tool, case]) for tool in TOOLS))
            for case, title in CASES.items()
        ],
    )
    yield "† the process crashes afterwards, when the graph is deleted."
    yield "## Ratios\n\nOf these medians."
    yield table(
        ("", *ratios),
        [
            row(title, (ratio(results[a, case], results[b, case]) for a, b in ratios.values()))
            for case, title in CASES.items()
        ],
    )
    yield (
        "## Memory\n\nBy how much the peak of the process grew in the first call, over that of the "
        "forward pass. Below a megabyte it is noise."
    )
    yield table(
        ("", *TOOLS),
        [
            row(title, (memory(results[tool, case]) for tool in TOOLS))
            for case, title in CASES.items()
        ],
    )
    largest = results[GRAPH, ("chain", SIZES[-1])]
    if not largest.failed:
        yield (
            f"`{GRAPH}` of {SIZES[-1]:,} nodes: {largest.peak / SIZES[-1]:.0f} bytes a node, "
            f"{largest.seconds / SIZES[-1] * 1e6:.2f} µs a node."
        )


def page(results: Results, seconds: float) -> str:
    """docs/performance.md."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *PEERS))
    what = [f"- **{tool}**: {does}." for tool, does in TOOLS.items()]
    head = [
        "# Performance",
        "Written by `make bench`, not by hand. The same networks for all tools, one run, each "
        f"measurement in a process of its own with {LIMIT:.0f} s of time. Medians of {LEAST} to "
        f"{ROUNDS} calls (of what takes many seconds, fewer), after a call with the lecture's "
        "example that does not count.",
        f"{date.today()}, {processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, {versions}, autograd_viz "
        f"{av.__version__}; {seconds / 60:.0f} minutes in all.",
        "![Cost against size, both logarithmic](performance.svg)",
        "\n".join(what),
        "The forward pass is not in the times, but for torchview and torchlens, which run it. Only "
        f"*{PICTURE}* lays anything out: the others leave this to Graphviz's program, after the "
        "time that is measured here.",
    ]
    return "\n\n".join([*head, *tables(results)]) + "\n"


def version(package: str) -> str:
    """The version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def processor() -> str:
    """The processor's name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


COLOURS = {"ours": "#14507f", "peer": "#a35200", "lens": "#b3001b", "floor": "#1b1b1b"}
LINES: Mapping[str, tuple[str, str, str]] = {  # colour, line style, marker
    BARE: ("floor", ":", "."),
    GRAPH: ("ours", "-", "o"),
    PICTURE: ("ours", "--", "s"),
    "torchviz": ("peer", "-", "v"),
    "torchview": ("peer", "--", "^"),
    "torchlens": ("lens", "-", "D"),
    BACKWARD: ("floor", ":", "."),
    TRACE: ("ours", "-", "o"),
    "torchlens backward": ("lens", "-", "D"),
}


def plot(results: Results) -> Any:
    """Cost against size, for the graph at the left and for the backward pass at the right."""
    figure: Any = Figure(figsize=(15, 8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    parts = list(TOOLS)
    halves = (parts[: parts.index(BACKWARD)], parts[parts.index(BACKWARD) :])
    for axes, tools, title in zip(panels, halves, ("graph", "backward pass"), strict=True):
        for tool in tools:
            shade, style, marker = LINES[tool]
            known = {size: results[tool, ("chain", size)] for size in SIZES}
            good = [(size, one.seconds) for size, one in known.items() if not one.failed]
            colour = COLOURS[shade]
            axes.plot(*(zip(*good, strict=True) if good else ([], [])), color=colour,
                      linestyle=style, marker=marker, label=tool)  # fmt: skip
            for size, one in known.items():
                if one.failed.startswith("no answer"):
                    ends = [*good[-1:], (size, LIMIT)]
                    axes.plot(*zip(*ends, strict=True), color=colour, linestyle=style, alpha=0.4)
                    axes.plot([size], [LIMIT], color=colour, marker="x", linestyle="",
                              markersize=14, markeredgewidth=4)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="nodes of a scalar chain", title=title)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False)
    panels[0].set_ylabel("seconds")
    largest = results[GRAPH, ("chain", SIZES[-1])]
    words = (
        "Cost against size of a scalar chain, both logarithmic. "
        f"{GRAPH} of {SIZES[-1]:,} nodes: {cell(largest)}. A cross: no answer in {LIMIT:.0f} s."
    )
    return av.figure(figure, words)


def main() -> None:
    """Measure everything and write the page and its plot; or, with arguments, measure once."""
    if len(sys.argv) == 4:
        measure(sys.argv[1], (sys.argv[2], int(sys.argv[3])))
        return
    start = time.perf_counter()
    results = all_measured()
    (DOCS / "performance.svg").write_text(plot(results).svg, encoding="utf-8")
    text = page(results, time.perf_counter() - start)
    (DOCS / "performance.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
