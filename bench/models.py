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
    path.write_text("\n".join(lines), encoding="utf-8")
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


class Lecture(nn.Module):
    """The lecture's main example, with its inputs as parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(2.0))
        self.b = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Tensor) -> Tensor:
        return lecture_function(x * self.a, self.b)


class Chain(nn.Module):
    """A scalar chain: so many additions, one after the other."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.start = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.start
        for _ in range(self.length - 3):  # the product, the sum and the leaf are nodes too
            y = y + 1
        return y


class Recurrent(nn.Module):
    """An unrolled recurrent network, 16 wide."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.cell = nn.RNNCell(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x)
        for _ in range(self.steps):
            h = self.cell(x, h)
        return h


class Language(nn.Module):
    """A language model of GPT-2's size: 12 layers, 768 wide, 124 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50_257, 768)
        self.positions = nn.Embedding(1_024, 768)
        layer = nn.TransformerEncoderLayer(
            768, 12, 3_072, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, num_layers=12, norm=nn.LayerNorm(768), enable_nested_tensor=False
        )

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        h = self.tokens(x) + self.positions(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return nn.functional.linear(self.layers(h, mask=mask), self.tokens.weight)


class Bottleneck(nn.Module):
    """The residual block of the deeper ResNets."""

    def __init__(self, wide: int, inner: int, stride: int) -> None:
        super().__init__()
        out = 4 * inner
        self.body = nn.Sequential(
            nn.Conv2d(wide, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or wide != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(wide, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.body(x) + self.shortcut(x))


def resnet(depths: tuple[int, ...] = (3, 8, 36, 3)) -> nn.Module:
    """A ResNet with so many blocks a stage; without depths ResNet-152."""
    stages: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    wide = 64
    for stage, depth in enumerate(depths):
        inner = 64 * 2**stage
        blocks = []
        for block in range(depth):
            blocks.append(Bottleneck(wide, inner, 2 if stage and not block else 1))
            wide = 4 * inner
        stages.append(nn.Sequential(*blocks))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, 1_000))
    return nn.Sequential(*stages, *head)


def network(name: str, size: int = 0) -> tuple[nn.Module, Tensor]:
    """A module and an input for it, by name; the size is a chain's or an unrolled network's."""
    torch.manual_seed(0)
    match name:
        case "lecture":
            return Lecture(), torch.tensor(1.0)
        case "chain":
            return Chain(size), torch.tensor(1.0)
        case "RNN":
            return Recurrent(size), torch.ones(1, 16)
        case "MLP":
            layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
            return nn.Sequential(*layers, nn.Linear(256, 10)), torch.randn(64, 784)
        case "GPT-2":
            return Language(), torch.randint(50_257, (1, 64))
        case "ResNet-152":
            return resnet(), torch.randn(2, 3, 96, 96)
    raise ValueError(f"no network is called {name!r}")
