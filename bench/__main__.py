"""Run all benchmarks: a table of what was measured, its floor or peer, the ratio, the goal."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchviz import make_dot

import autograd_viz as av
from autograd_viz import svg
from autograd_viz.model import Trace
from autograd_viz.programs import sources
from autograd_viz.widgets.stage import Stage
from bench import browser, deep, models, peers
from bench.measure import medians, milliseconds
from bench.peers import bare_walk, torchviz_deep

Row = tuple[str, str, str, str, str]


def row(title: str, ours: float, other: float, goal: str) -> Row:
    """Seconds of ours and of the other, and their ratio."""
    return title, milliseconds(ours), milliseconds(other), f"{ours / other:.3g} x", goal


def compare(
    title: str,
    goal: str,
    ours: Callable[[Any], object],
    other: Callable[[Any], object],
    prepare: Callable[[], Any],
    rounds: int = 9,
) -> Row:
    """Measure ours against another in turns; the ratio is that of the medians."""
    # av.graph makes what any walk has left of a deep graph safe to delete.
    result = medians({"other": other, "ours": ours}, prepare, clean_up=av.graph, rounds=rounds)
    return row(title, result["ours"], result["other"], goal)


def in_new_process(code: str, repeats: int = 5) -> float:
    """Median of the seconds that a piece of code prints, each time in a process of its own."""
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        for _ in range(repeats)
    ]
    return statistics.median(float(run.stdout) for run in runs)


IMPORT = """
import time, torch
start = time.perf_counter()
import autograd_viz
print(time.perf_counter() - start)
"""
FIRST_PICTURE = """
import time, torch
import autograd_viz as av
from bench.models import lecture
output = lecture()
start = time.perf_counter()
av.graph(output)._repr_mimebundle_()
print(time.perf_counter() - start)
"""


def plain(inputs: tuple[float, float]) -> None:
    """What a program is measured against: the function, and its backward pass."""
    a, b = (torch.tensor(value, requires_grad=True) for value in inputs)
    models.lecture_function(a, b).backward()


def programs() -> list[Row]:
    """A recorded function at other inputs, with all numbers; and a long one."""
    program = av.program(models.lecture_function, a=2.0, b=4.0)
    program.variables()  # the structure, which a slider's later ticks use again
    result = medians(
        {
            "plain": plain,
            "at": lambda inputs: program.at(a=inputs[0], b=inputs[1]).variables(),
            "forward": lambda inputs: program.at(a=inputs[0], b=inputs[1]),
        },
        prepare=lambda: (2.5, 4.0),
        rounds=30,
        repeats=20,
    )
    with tempfile.TemporaryDirectory() as folder:
        long = models.long_module(Path(folder)).long
        x = torch.tensor(0.5, requires_grad=True)
        recorded = medians(
            {
                "plain": lambda _: long(x),
                "program": lambda _: av.program(long, x=0.5),
            },
            prepare=sources._known.clear,  # or the source would be read only once
            rounds=9,
        )
    return [
        row(
            "program.at, lecture's example / forward and backward",
            result["at"],
            result["plain"],
            "<= 1 ms",
        ),
        row("program.at without gradients / the same", result["forward"], result["plain"], ""),
        row(
            "program of 1,000 statements / plain forward",
            recorded["program"],
            recorded["plain"],
            "<= 200 ms",
        ),
    ]


def explorer() -> list[Row]:
    """What the kernel does for one tick of a slider, and what of it is not the run itself."""
    program = av.program(models.lecture_function, a=2.0, b=4.0)
    stage = Stage(program)

    def tick(inputs: tuple[float, float]) -> None:
        shown = program.at(a=inputs[0], b=inputs[1])
        if stage.fits(shown):
            stage.state(shown)

    def run(inputs: tuple[float, float]) -> None:
        program.at(a=inputs[0], b=inputs[1]).trace()

    result = medians(
        {
            "plain": plain,
            "run": run,
            "tick": tick,
            "state": lambda _: stage.state(program),
        },
        prepare=lambda: (2.5, 4.0),
        rounds=30,
        repeats=20,
    )
    return [
        row(
            "Explorer's tick, lecture's example / forward and backward",
            result["tick"],
            result["plain"],
            "<= 1 ms",
        ),
        row("its texts / program.at and trace", result["state"], result["run"], "<= 0.4 ms"),
    ]


def recorded() -> list[Row]:
    """A forward and a backward pass inside `with av.record()`, against the same outside of it."""

    def many(inputs: tuple[float, float]) -> None:
        for _ in range(100):
            plain(inputs)

    def many_recorded(inputs: tuple[float, float]) -> None:
        with av.record():
            many(inputs)

    small = medians(
        {"plain": many, "recorded": many_recorded}, prepare=lambda: (2.5, 4.0), rounds=15
    )
    model, tokens = models.network("GPT-2")

    def step(_: object) -> None:
        model(tokens).sum().backward()

    def step_recorded(_: object) -> None:
        with av.record(model):
            model(tokens).sum().backward()

    large = medians({"plain": step, "recorded": step_recorded}, rounds=5)
    return [
        row("recorded, lecture's example / plain", small["recorded"], small["plain"], "<= 3 x"),
        row("recorded, GPT-2's size / plain", large["recorded"], large["plain"], "<= 1.3 x"),
    ]


def rows() -> list[Row]:
    """Measure everything."""
    torch.manual_seed(0)
    table = [
        compare("graph, chain of 100,000 / bare loop", "<= 6 x", av.graph, bare_walk, models.chain),
        compare(
            "graph, transformer / bare loop", "<= 6 x", av.graph, bare_walk, models.transformer
        ),
        compare(
            "graph, RNN of 1,000 steps / torchviz",
            "<= 0.2 x",
            av.graph,
            torchviz_deep,
            models.rnn,
            rounds=5,
        ),
        compare(
            "graph, transformer / torchviz", "<= 0.2 x", av.graph, make_dot, models.transformer
        ),
    ]

    def backward(output: Tensor) -> None:
        output.backward(retain_graph=True)

    table.append(
        compare("trace, transformer / backward", "<= 1.5 x", av.trace, backward, models.transformer)
    )
    example = models.lecture()
    result = medians(
        {"backward": backward, "trace": av.trace}, prepare=lambda: example, rounds=30, repeats=20
    )
    table.append(
        row("trace, lecture's example / backward", result["trace"], result["backward"], "<= 0.5 ms")
    )
    trace = av.trace(example)
    trace._repr_mimebundle_()  # compiles Graphviz where no earlier process has

    def picture(trace: Trace) -> None:
        svg._kept_layout.cache_clear()  # or the layout would be done only once
        trace._repr_mimebundle_()

    later = medians({"picture": picture}, prepare=lambda: trace, rounds=20, repeats=5)["picture"]
    table += [
        ("import, after torch", milliseconds(in_new_process(IMPORT)), "", "", "<= 50 ms"),
        (
            "first picture of a process",
            milliseconds(in_new_process(FIRST_PICTURE)),
            "",
            "",
            "<= 300 ms",
        ),
        ("later picture, lecture's example", milliseconds(later), "", "", "<= 10 ms"),
    ]
    return [*table, *programs(), *recorded(), *explorer(), *deep.rows(), *browser.rows()]


def main() -> None:
    """Print the table."""
    start = time.perf_counter()
    head = ("what / against", "ours", "other", "ratio", "goal")
    table = [head, *rows()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    print(f"medians of one run, torch {torch.__version__}, {time.perf_counter() - start:.0f} s")
    peers.main()


if __name__ == "__main__":
    main()
