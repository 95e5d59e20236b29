"""What code of the user's may change while we let it run: kept before, and put back after."""

from __future__ import annotations

import ctypes
import random
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from autograd_viz.names import is_tensor
from autograd_viz.text import has_numbers

MOST = 1_000  # items of a container that are looked into
_HOLDERS = {dict, OrderedDict, defaultdict, list, set, deque}  # no class of the user's own
_Storage = torch.UntypedStorage


class KeptState:
    """The memory of tensors, and what dictionaries and lists hold, as they are now.

    >>> saved, counts = torch.tensor([1.0, 2.0]), {"calls": 0}
    >>> state = KeptState()
    >>> state.take(saved, counts)
    >>> saved.data.mul_(3), counts.update(calls=1)
    (tensor([3., 6.]), None)
    >>> state.rewritten(), state.put_back()
    (True, None)
    >>> saved, counts
    (tensor([1., 2.]), {'calls': 0})
    """

    def __init__(self) -> None:
        self._memory: dict[int, tuple[_Storage, _Storage]] = {}  # by address: itself, its copy
        self._tensors: dict[int, tuple[Tensor, int, bool]] = {}  # itself, _version, requires_grad
        self._holders: dict[int, tuple[Any, Any]] = {}  # itself, a shallow copy

    def take(self, *values: Any) -> None:
        """Keep tensors and containers, and what the containers hold."""
        todo = list(values)
        for value in todo:  # the list grows while it is iterated
            if is_tensor(value):
                if id(value) not in self._tensors and not value.is_inference():
                    self._tensors[id(value)] = value, value._version, value.requires_grad
                    self._keep_memory(value)
            elif type(value) is tuple or (
                type(value) in _HOLDERS and id(value) not in self._holders
            ):
                if type(value) is not tuple:
                    self.hold(value)
                if len(value) <= MOST:
                    todo += value.values() if isinstance(value, dict) else value

    def hold(self, container: Any) -> None:
        """Keep which objects a container holds, but not what is in them."""
        self._holders.setdefault(id(container), (container, container.copy()))

    def _keep_memory(self, tensor: Tensor) -> None:
        if not has_numbers(tensor) or tensor.is_nested or tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address and address not in self._memory:
            self._memory[address] = storage, storage.clone()

    def rewritten(self) -> bool:
        """Whether other numbers stand in the memory of a tensor now, whoever has written them."""
        return any(not _same(*pair) for pair in self._memory.values())

    def changed(self) -> bool:
        """Whether anything is not as it was."""
        return (
            any(tensor.requires_grad != flag for tensor, _, flag in self._tensors.values())
            or any(tensor._version != version for tensor, version, _ in self._tensors.values())
            or any(_parts(now) != _parts(before) for now, before in self._holders.values())
            or self.rewritten()
        )

    def put_back(self) -> None:
        """Make all as it was: the numbers, the tensors' versions, and what containers hold."""
        for storage, copy in self._memory.values():
            if not _same(storage, copy):
                if storage.nbytes() != copy.nbytes():
                    storage.resize_(copy.nbytes())
                storage.copy_(copy)
        for tensor, version, flag in self._tensors.values():
            if tensor._version != version:
                versions = (tensor,), (version,)
                torch._C._autograd._unsafe_set_version_counter(*versions)
            if tensor.requires_grad != flag and tensor.is_leaf:
                tensor.requires_grad_(flag)
        for holder, before in self._holders.values():
            if _parts(holder) == _parts(before):
                continue
            if isinstance(holder, dict):  # another thread may be reading it
                for name in [name for name in holder if name not in before]:
                    del holder[name]
            else:
                holder.clear()
            (holder.extend if isinstance(holder, list | deque) else holder.update)(before)


def _parts(holder: Any) -> list[int]:
    """Which objects a container holds."""
    parts = [*holder, *holder.values()] if isinstance(holder, dict) else holder
    return list(map(id, parts))


def _same(storage: _Storage, copy: _Storage) -> bool:
    return storage.nbytes() == copy.nbytes() and torch.equal(_bytes(storage), _bytes(copy))


def _bytes(storage: _Storage) -> Tensor:
    empty = torch.empty(0, dtype=torch.uint8, device=storage.device)
    return empty.set_(storage)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """What is drawn within, of PyTorch's, Python's or NumPy's random numbers, comes again after.

    A generator that nothing was drawn from is left alone: another thread may be drawing from it.

    >>> with random_numbers_kept():
    ...     first = torch.rand(3), random.random()
    >>> first[0].equal(torch.rand(3)), first[1] == random.random()
    (True, True)
    """
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    numpy: Any = sys.modules.get("numpy.random")
    of_torch, of_gpus = torch.get_rng_state(), [torch.cuda.get_rng_state(gpu) for gpu in gpus]
    of_python = random.getstate()
    of_numpy: Any = numpy.get_state() if numpy else None
    try:
        yield
    finally:
        if _text(torch.get_rng_state()) != _text(of_torch):
            torch.set_rng_state(of_torch)
        for gpu, state in zip(gpus, of_gpus, strict=True):
            if _text(torch.cuda.get_rng_state(gpu)) != _text(state):
                torch.cuda.set_rng_state(state, gpu)
        if random.getstate() != of_python:
            random.setstate(of_python)
        if numpy:  # (name, keys, position, has_gauss, gauss)
            now = numpy.get_state()
            if now[2:] != of_numpy[2:] or (now[1] != of_numpy[1]).any():
                numpy.set_state(of_numpy)


def _text(state: Tensor) -> bytes:
    """The state of a generator; no operation of PyTorch's, which a mode of the user's would see."""
    return ctypes.string_at(state.data_ptr(), state.numel())
