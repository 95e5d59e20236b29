"""The graphs that are measured: each function builds a fresh one and returns its output."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn


def lecture() -> Tensor:
    """The lecture's main example, seven nodes."""
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    return (a + b) * (torch.log2(a) * torch.log2(b))


def lecture_function(a: Tensor, b: Tensor) -> Tensor:
    """The lecture's main example as a program."""
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


def long_module(folder: Path, statements: int = 1_000) -> ModuleType:
    """A module with a function `long` of so many statements, each with a name of its own."""
    lines = ["import torch", "def long(x):", "    y0 = x * 1.5"]
    lines += [
        f"    y{n} = torch.sin(y{n - 1}) + y{max(0, n - 2)} * x" for n in range(1, statements)
    ]
    return loaded(folder / "long_program.py", [*lines, f"    return y{statements - 1}", ""])


def chained_function(folder: Path, nodes: int) -> Callable[[Tensor], Tensor]:
    """A function of one input whose graph has so many nodes, one a statement, and a leaf."""
    lines = ["import torch", "def chained(x):", "    y0 = torch.sin(x)"]
    lines += [
        f"    y{n} = y{n - 1} * y{max(0, n - 2)}" if n % 3 else f"    y{n} = torch.cos(y{n - 1})"
        for n in range(1, nodes - 1)
    ]
    module = loaded(folder / f"chained_{nodes}.py", [*lines, f"    return y{nodes - 2}", ""])
    chained: Callable[[Tensor], Tensor] = module.chained
    return chained


def loaded(path: Path, lines: list[str]) -> ModuleType:
    """The module of some lines, from a file, since a program reads its source."""
    path.write_text("\n".join(lines))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise AssertionError("a path with the ending .py has a loader")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chain(length: int = 100_000) -> Tensor:
    """A chain of additions."""
    y = torch.tensor(1.0, requires_grad=True)
    for _ in range(length):
        y = y + 1
    return y


_transformer = nn.TransformerEncoder(
    nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True),
    num_layers=12,
    enable_nested_tensor=False,
)
_tokens = torch.randn(4, 128, 256)


def transformer() -> Tensor:
    """A transformer encoder of 12 layers, 256 wide, on 4 sequences of 128 tokens."""
    output: Tensor = _transformer(_tokens)
    return output.square().mean()


_cell = nn.RNNCell(16, 16)


def rnn(steps: int = 1000) -> Tensor:
    """An unrolled recurrent network."""
    x, h = torch.ones(1, 16), torch.zeros(1, 16)
    for _ in range(steps):
        h = _cell(x, h)
    return h.sum()
