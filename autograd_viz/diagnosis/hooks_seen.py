"""Which hooks of the user's run in a backward pass: function, file, line, and what they change."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, cast

import torch
from torch import Tensor

from autograd_viz.names import is_tensor
from autograd_viz.text import has_numbers

_engine: CodeType = torch.autograd.graph._engine_run_backward.__code__
_TORCH = str(Path(torch.__file__).parent)
_STANDARD = sysconfig.get_path("stdlib")
_OWN = Path(__file__).parents[1]
_PACKAGES = ("site-packages", "dist-packages")
MOST = 10_000  # calls that are kept
SMALL = 2**20  # elements; what a hook is given is copied, since it may change it in place


@dataclass(frozen=True, eq=False)
class Hook:
    """One call of a function of the user's by the engine."""

    function: Any  # the gradient function (a Node of PyTorch's) in whose step it ran
    code: CodeType
    given: tuple[Tensor | None, ...]  # copies
    returned: tuple[Tensor | None, ...]  # or what it left in them, where it returned nothing
    names: Mapping[str, Any]  # the globals of its module

    @property
    def name(self) -> str:
        """`clip`, `Clip.__call__`, or `<lambda>`."""
        return self.code.co_qualname.rpartition("<locals>.")[2]

    def place(self, file: str = "") -> str:
        """`line 3`, of another file than this one `hooks.py, line 3`, of a cell `In[2], line 3`."""
        own, line = self.code.co_filename, f"line {self.code.co_firstlineno}"
        cells = self.names.get("In") if "get_ipython" in self.names else None
        text = "".join(linecache.getlines(own, dict(self.names))).rstrip()
        numbers = [
            number
            for number, cell in enumerate(cells if isinstance(cells, list) else ())
            if number and isinstance(cell, str) and cell.rstrip() == text
        ]
        if numbers:
            return f"In[{numbers[-1]}], {line}"
        return line if own == file else f"{Path(own).name}, {line}"


@contextmanager
def watched() -> Iterator[list[Hook]]:
    """Note each function of the user's that the engine calls on this thread.

    The engine holds hooks where nothing in Python can ask for them, so they are seen when they run,
    by a profile function. Where one is on already, as cProfile's, none is seen.
    """
    seen: list[Hook] = []
    running: dict[FrameType, tuple[Any, tuple[Tensor | None, ...], list[Any]]] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and len(seen) < MOST and _is_users(frame):
            current = torch._C._current_autograd_node()
            held = _arguments(frame)
            running[frame] = (current, tuple(map(_copied, held)), held)
        elif event == "return" and frame in running:
            current, given, held = running.pop(frame)
            found = _tensors(argument)
            returned = tuple(map(_copied, found if argument is not None else held))
            seen.append(Hook(current, frame.f_code, given, returned, frame.f_globals))

    if sys.getprofile() is not None:
        yield seen
        return
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def _is_users(frame: FrameType) -> bool:
    """Whether the engine calls it, itself or by code of PyTorch's as the hooks of modules."""
    if not _is_foreign(frame) or torch._C._current_autograd_node() is None:
        return False
    above = frame.f_back
    while above is not None and above.f_code is not _engine:
        if not above.f_code.co_filename.startswith(_TORCH):
            return False
        above = above.f_back
    return above is not None


def _is_foreign(frame: FrameType) -> bool:
    """Whether it is neither PyTorch's nor Python's own nor ours."""
    name = frame.f_code.co_filename
    if name.startswith((_TORCH, str(_OWN))) or name.startswith("<frozen"):
        return False
    return not name.startswith(_STANDARD) or any(part in name for part in _PACKAGES)


def _arguments(frame: FrameType) -> list[Any]:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount]
    values = frame.f_locals
    return [one for name in names for one in _tensors(values.get(name))]


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [one for one in value if one is None or is_tensor(one)]
    return [value] if is_tensor(value) else []


def _copied(value: Any) -> Tensor | None:
    if value is None or value.numel() > SMALL or not has_numbers(value):
        return None
    return cast("Tensor", value.detach().clone())
