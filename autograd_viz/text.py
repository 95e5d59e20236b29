"""Values and names as short text that a person can read."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.summaries import Sketch

LONGEST = 40  # characters of a name that are shown
FEW = 4  # elements of a tensor that are shown one by one
# Between these, four decimals are four digits or more, and eleven characters at most.
_LEAST, _MOST = 0.1, 99_999.999_95


def number(value: complex) -> str:
    """A value with four significant digits or more, so within 5e-4 of it, in parts of the value.

    From 0.1 up to 1e5 with four decimals, as PyTorch prints, beyond with four digits. What is
    shorter is the number itself to all seven digits of float32: 2.5 is `2.5`, but 2.50001 is
    `2.5000`; and what reads as a whole number is one.

    >>> number(10.656171), number(2.5), number(2.0), number(2.00001), number(0.03125)
    ('10.6562', '2.5', '2', '2.0000', '0.03125')
    >>> number(4.1433e-05), number(1e6), number(float("nan")), number(1.5 - 2j)
    ('4.143e-05', '1e+06', 'NaN', '1.5-2i')
    """
    if type(value) is float and _LEAST <= abs(value) < _MOST:  # most are
        whole = int(value)
        return str(whole) if whole == value else decimals(value)
    if isinstance(value, complex):
        imaginary = number(value.imag)
        sign = "" if imaginary.startswith("-") else "+"
        return f"{number(value.real)}{sign}{imaginary}i"
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if abs(value) < 1e6 and value == int(value):
        return str(int(value))
    if _LEAST <= abs(value) < _MOST:
        return decimals(value)
    return _trimmed(f"{value:#.4g}", value)


def decimals(value: float, most: int = 4) -> str:
    """A value with so many decimals; with fewer where they are the number itself.

    >>> decimals(0.25), decimals(2.00001), decimals(0.123456, 5)
    ('0.25', '2.0000', '0.12346')
    """
    return _trimmed(f"{value:.{most}f}", value)


def _trimmed(shown: str, value: float) -> str:
    digits, e, exponent = shown.partition("e")
    short = f"{digits.rstrip('0').removesuffix('.')}{e}{exponent}"
    named = float(short)
    whole = not e and "." not in short
    return short if named == (value if whole else float(as_written(value))) else shown


def as_written(value: float) -> str:
    """A number that a person has written, as 0.044715: with the seven digits that float32 keeps.

    >>> as_written(0.044715), as_written(2.0), as_written(1e-3), as_written(0.1 + 1e-9)
    ('0.044715', '2', '0.001', '0.1')
    """
    return f"{value:.7g}" if math.isfinite(value) else number(value)


def shape(size: Sequence[int]) -> str:
    """A tensor's shape: `3 × 4`; `5 values` for one dimension, `scalar` for none.

    A bare 5 would read as the tensor's value. Of a nested tensor the length that differs is a `*`.
    """
    if len(size) == 1:
        return f"{size[0]} value{'s' * (size[0] != 1)}" if size[0] >= 0 else "nested"
    return " × ".join("*" if length < 0 else str(length) for length in size) or "scalar"


def has_numbers(tensor: Tensor) -> bool:
    """Whether its values can be read, here and now: not on the meta device, nor of some subclasses.

    What a subclass with a dispatch of its own holds is its own affair: a fake tensor has no values,
    and to read a distributed one all processes have to talk. Nor where the memory was taken back,
    as FSDP does with a layer's parameters after its turn: to read there ends the process. Within
    FakeTensorMode nothing can be read, since it answers in PyTorch's place.
    """
    import torch  # only where a tensor is at hand, so torch is loaded already

    if torch._C._len_torch_dispatch_stack():  # most often 0, and each number asks
        modes = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
        if any(type(mode).__name__ == "FakeTensorMode" for mode in modes):
            return False
    if tensor.is_nested:
        return not tensor.is_meta
    dispatch = type(tensor).__torch_dispatch__
    if tensor.is_meta or dispatch is not torch.Tensor.__torch_dispatch__:
        return False
    if tensor.layout is not torch.strided or not tensor.numel():
        return True
    try:
        return tensor.untyped_storage().nbytes() > 0
    except RuntimeError:  # it has no memory of its own, as within vmap
        return True


def summary(tensor: Tensor) -> list[str]:
    """A tensor in one or two short lines: its elements if they are few, else shape and size.

    >>> import torch
    >>> summary(torch.tensor(2.0)), summary(torch.tensor([1.0, 2.5]))
    (['2'], ['[1, 2.5]'])
    >>> summary(torch.arange(12.0).reshape(3, 4))
    ['3 × 4, norm 22.4944', 'min 0, max 11']
    """
    kept = _kept(tensor)
    if kept is not None:
        between = _between(kept.least, kept.largest)
        return [f"{shape(tensor.shape)}, norm {number(kept.norm)}", between]
    if tensor.is_meta:
        return [shape(tensor.shape), "no values (meta)"]
    if tensor.is_nested:
        return [f"nested: {tensor.size(0)} tensors", *_extremes(_plain(tensor))]
    if not has_numbers(tensor):
        return [shape(tensor.shape), f"no values ({type(tensor).__name__})"]
    if tensor.layout != _strided():
        return [f"{shape(tensor.shape)}, sparse", *_extremes(_plain(tensor))]
    if tensor.ndim == 0:
        return [number(tensor.item())]
    if tensor.numel() <= FEW and tensor.ndim == 1:
        return [_listed(tensor.tolist())]
    if tensor.numel() == 1:
        return [f"{shape(tensor.shape)}: {number(tensor.item())}"]
    if tensor.numel() == 0:
        return [f"{shape(tensor.shape)}, empty"]
    values = _plain(tensor)
    return [f"{shape(tensor.shape)}, norm {number(values.norm().item())}", *_extremes(values)]


def _strided() -> object:
    import torch  # only where a tensor is at hand, so torch is loaded already

    return torch.strided


def _plain(tensor: Tensor) -> Tensor:
    """The values in a form that all operations know: strided, and float64 or complex."""
    values = tensor.detach()
    if values.is_nested:
        values = values.values()
    elif values.layout != _strided():
        values = values.to_dense()
    return values if values.is_complex() else values.double()


def _extremes(values: Tensor) -> list[str]:
    if values.is_complex() or values.numel() == 0:
        return []
    nans = int(values.isnan().sum())
    if nans:
        return [f"{nans} of {values.numel()} are NaN"]
    return [_between(values.min().item(), values.max().item())]


def _between(least: float, largest: float) -> str:
    return f"min {number(least)}, max {number(largest)}"


def _kept(tensor: Tensor) -> Sketch | None:
    """What is known of a tensor whose numbers were let go (`autograd_viz.summaries.Summarised`)."""
    return getattr(tensor, "sketch", None) if tensor.is_meta else None


def _listed(items: Sequence[complex]) -> str:
    return f"[{', '.join(map(number, items))}]"


def trouble(tensor: Tensor) -> str | None:
    """What is wrong with a tensor's numbers: "NaN" or "inf" if it holds one, else None."""
    kept = _kept(tensor)
    if kept is not None:
        return "NaN" if math.isnan(kept.norm) else "inf" if math.isinf(kept.norm) else None
    if not has_numbers(tensor) or tensor.numel() == 0:
        return None
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    values = _plain(tensor)
    if bool(values.isnan().any()):
        return "NaN"
    return "inf" if bool(values.isinf().any()) else None


def clean(name: str, longest: int = LONGEST) -> str:
    r"""A name on one line and of bounded length, without invisible and direction marks.

    >>> clean("two\nlines"), clean("x" * 50)
    ('two lines', 'xxxxxxxxxxxxxxxxxxxxxxxxxx…xxxxxxxxxxxxx')
    """
    if len(name) > 8 * longest:  # the middle is not shown in any case
        name = name[: 4 * longest] + name[-4 * longest :]
    visible = "".join(
        " " if character.isspace() else character
        for character in name
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    line = " ".join(visible.split())
    while line and unicodedata.category(line[0])[0] == "M":  # an accent without a letter
        line = line[1:].lstrip()
    if name and not line:  # it must still be seen that there is one
        return "…"
    if len(line) <= longest:
        return line
    tail = longest // 3
    return f"{line[: longest - tail - 1]}…{line[-tail:]}"


def legal(text: str) -> str:
    r"""Without the characters that no XML and no message may hold, such as half of a pair.

    >>> legal("x\ud800\x00y")
    'xy'
    """
    return "".join(
        char
        for char in text
        if char in "\t\n\r"
        or "\x20" <= char <= "\ud7ff"
        or "\ue000" <= char <= "\ufffd"
        or char > "\uffff"
    )


def apart(names: Sequence[str], longest: int) -> list[str]:
    """Names as short as `clean` makes them, or else as long as it takes to tell them apart.

    Where some look alike, what all long ones begin with is left out first.

    >>> apart(["head.weight", "layers.0.query.weight", "layers.0.paths.weight"], 15)
    ['head.weight', '…query.weight', '…paths.weight']
    """
    names = [clean(name, max(len(name), 1)) for name in names]
    long = [name for name in names if len(name) > longest]
    columns = zip(*(name.split(".")[:-1] for name in long), strict=False)
    begin = "".join(f"{each[0]}." for each in takewhile(lambda each: len({*each}) == 1, columns))
    without = [f"…{name.removeprefix(begin)}" if name in long else name for name in names]
    for length in (longest, *range(longest, max(map(len, names), default=0) + 1)):
        shown = [clean(name, length) for name in names]
        if len({*shown}) == len({*names}):
            return shown
        if begin:
            names, begin = without, ""
    return names


def joined(items: Sequence[str], separator: str = ", ", most: int = 6) -> str:
    """Items in a row, of many only the first.

    >>> joined(["a", "b"]), joined(["x"] * 200, most=3)
    ('a, b', 'x, x, x, … 197 more')
    """
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"… {len(items) - most:,} more")
    return separator.join(shown)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with aligned columns.

    >>> table([["#", "function"], ["0", "MulBackward0"]])
    ['#  function', '0  MulBackward0']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
