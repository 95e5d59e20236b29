"""A real page of the lectures' main example, for the tests of the front end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

import autograd_viz as av


def f(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


def gradients(a0: float, b0: float) -> tuple[float, float]:
    """Torch's own numbers."""
    a = torch.tensor(a0, requires_grad=True)
    b = torch.tensor(b0, requires_grad=True)
    ((a + b) * torch.log2(a) * torch.log2(b)).backward()
    assert a.grad is not None
    assert b.grad is not None
    return a.grad.item(), b.grad.item()


def page(path: Path) -> Path:
    """Write the page without a kernel, with d closed and with d open, at the first step."""
    w = av.explore(f, a=(0.5, 4.0, 0.5), b=(0.0, 8.0, 1.0))
    w.inputs = {"a": 2.0, "b": 4.0}
    w.step = 1
    w.save_html(path)
    return path


def data(path: Path) -> dict[str, Any]:
    """What a page written by `page` holds."""
    html = path.read_text(encoding="utf-8")
    inside = html.split('<script type="application/json">')[1].split("</script>")[0]
    found: dict[str, Any] = json.loads(inside)
    return found
