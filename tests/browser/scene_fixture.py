"""Real scenes of the lectures' main example, for the tests of the front end."""

from __future__ import annotations

import math
from typing import Any

import torch

import autograd_viz as av
from autograd_viz import page
from autograd_viz.scene import scene

SOURCE = (
    (1, "def f(a, b):"),
    (2, "    c = a + b"),
    (3, "    d = torch.log2(a) * torch.log2(b)"),
    (4, "    e = c * d"),
    (5, "    return e"),
)
LINES = {"a": 1, "b": 1, "c": 2, "d": 3, "e": 4}
CONTROLS = [
    {"name": "a", "kind": "slider", "min": 0.5, "max": 4.0, "step": 0.5, "value": 2.0},
    {"name": "b", "kind": "slider", "min": 0.0, "max": 8.0, "step": 1.0, "value": 4.0},
]


def trace(a0: float, b0: float) -> av.model.Trace:
    a = torch.tensor(a0, requires_grad=True)
    b = torch.tensor(b0, requires_grad=True)
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return av.trace(e)


def gradients(a0: float, b0: float) -> tuple[float, float]:
    """Torch's own numbers."""
    a = torch.tensor(a0, requires_grad=True)
    b = torch.tensor(b0, requires_grad=True)
    ((a + b) * torch.log2(a) * torch.log2(b)).backward()
    assert a.grad is not None
    assert b.grad is not None
    return a.grad.item(), b.grad.item()


def count(control: dict[str, Any]) -> int:
    return math.floor((control["max"] - control["min"]) / control["step"] + 1e-9) + 1


def value(control: dict[str, Any], position: int) -> float:
    return float(f"{control['min'] + position * control['step']:.12g}")


def data() -> dict[str, Any]:
    """What a page without a kernel shows: both with d closed and with d open."""
    scenes: list[dict[str, Any]] = []
    strings: dict[str, int] = {}
    grids = []
    for opened in ((), ("d",)):
        states = []
        for i in range(count(CONTROLS[0])):
            for j in range(count(CONTROLS[1])):
                run = trace(value(CONTROLS[0], i), value(CONTROLS[1], j))
                made, state = scene(run, opened=opened, source=SOURCE, lines=LINES)
                same = {"id": 0, "note": ""}
                known = [one for one in scenes if {**one, **same} == {**made, **same}]
                if not known:
                    made["id"] = len(scenes) + 1
                    scenes.append(made)
                    known = [made]
                state["scene"] = known[0]["id"]
                states.append((f"{i}|{j}", state))
        grids.append(page.grid(opened, states, strings))
    return {
        "scenes": scenes,
        "controls": CONTROLS,
        "inputs": {"a": 2.0, "b": 4.0},
        "step": 1,
        "view": "backward",
        "opened": [],
        "strings": list(strings),
        "grids": grids,
    }
