"""The graphs that are measured: each function builds a fresh one and returns its output."""

import torch
from torch import Tensor, nn


def lecture() -> Tensor:
    """The lecture's main example, seven nodes."""
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    return (a + b) * (torch.log2(a) * torch.log2(b))


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
