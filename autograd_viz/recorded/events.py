"""What a recording holds: one entry a call, with weak references to tensors alone."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import Module

_PLAIN = frozenset(
    {int, float, bool, complex, str, type(None), torch.dtype, torch.device, torch.Size}
)
_tuple = tuple.__new__  # a NamedTuple's own constructor takes twice as long
MOST_EVENTS = 50_000  # some 25 MB; older ones are forgotten


class Seen(NamedTuple):
    """A tensor at one moment. Two tensors never have the same number, also after one died."""

    serial: int
    version: int  # how often it had been changed in place; -1: PyTorch does not count it
    needs: bool  # whether it required grad


class Spot(NamedTuple):
    """An instruction of a code object: where in the reader's own code something happened."""

    code: CodeType
    offset: int


class LeafPass(NamedTuple):
    """A leaf that a backward pass reached."""

    serial: int
    wrote: bool  # its .grad is another one, or another number, than before
    is_none: bool  # its .grad is None after the pass


class Pass(NamedTuple):
    """What a call of backward() or autograd.grad() did."""

    outputs: tuple[int, ...]  # numbers of the tensors that it began from
    leaves: tuple[LeafPass, ...]
    given: bool  # a gradient to begin from was given
    chosen: bool  # `inputs=` was given
    create_graph: bool
    retain_graph: bool
    error: str | None  # the first line of what it raised


class Event(NamedTuple):
    """One call of a function of PyTorch."""

    function: Callable[..., Any]
    inputs: tuple[Seen, ...]
    outputs: tuple[Seen, ...]  # its results, and what it changed in place
    spot: Spot | None  # None: no code but PyTorch's and ours was running
    through: tuple[str, ...]  # functions of PyTorch that made the call, the outermost first
    grad_on: bool
    first: int  # the nodes that it made have ages from here
    end: int  # up to here; an age is PyTorch's sequence number
    thread: int
    cell: int | None  # the number of the notebook's cell that ran
    what: object = None  # a Pass; of the switch of gradients its position; of an optimizer its name

    @property
    def name(self) -> str:
        """PyTorch's name of the function: `log2`; of an attribute with `get` or `set` in front."""
        name = getattr(self.function, "__name__", "") or type(self.function).__name__
        if name in ("__get__", "__set__"):
            owner = getattr(getattr(self.function, "__self__", None), "__name__", "")
            return f"{name.strip('_')} {owner}"
        return str(name)

    @property
    def changed(self) -> Iterator[Seen]:
        """The tensors that it changed in place, as they were afterwards."""
        before = {seen.serial: seen for seen in self.inputs}
        for seen in self.outputs:
            if seen.serial in before and seen.version != before[seen.serial].version:
                yield seen


class ModuleCall:
    """One forward call of a module, which may still be running."""

    __slots__ = ("end", "first", "kind", "outer", "ref", "thread")

    def __init__(self, module: Module, first: int, outer: ModuleCall | None) -> None:
        self.ref = weakref.ref(module)
        self.kind = type(module).__name__
        self.first = first
        self.end = -1  # not over
        self.outer = outer
        self.thread = threading.get_ident()


class _Ref(weakref.ref[Tensor]):
    __slots__ = ("key", "serial")

    key: int
    serial: int


class Log:
    """Everything that was recorded, in order; it keeps no tensor alive."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self.modules: deque[ModuleCall] = deque(maxlen=MOST_EVENTS)
        self.bases: dict[int, int] = {}  # a view -> what it is a view of, or was detached from
        self.shares: dict[int, int] = {}  # `.data` -> the tensor on whose memory it is
        self.owners: dict[int, int] = {}  # a .grad -> its leaf
        self.memory: dict[int, tuple[StorageWeakRef, int]] = {}  # by address: what was made there
        self._known: dict[int, _Ref] = {}
        # A callback in Python would swallow a Ctrl-C that strikes in it.
        self._dead: list[_Ref] = []
        self._serials = 0

    def serial(self, tensor: Tensor) -> int:
        """The number of a tensor, a new one if it was never seen."""
        key = id(tensor)
        ref = self._known.get(key)
        if ref is not None and ref() is tensor:
            return ref.serial
        self._sweep()
        self._serials += 1
        if not self._serials % 4_096:
            self._shorten()
        ref = _Ref(tensor, self._dead.append)
        ref.key, ref.serial = key, self._serials
        self._known[key] = ref
        return self._serials

    def _sweep(self) -> None:
        """Forget the tensors that died."""
        while self._dead:
            gone = self._dead.pop()
            if self._known.get(gone.key) is gone:
                del self._known[gone.key]

    def _shorten(self) -> None:
        """Forget the oldest of what is noted of tensors besides the calls."""
        for noted in (self.bases, self.shares, self.owners, self.memory):
            for key in [*noted][: max(0, len(noted) - MOST_EVENTS)]:
                del noted[key]

    def find(self, tensor: Tensor) -> int | None:
        """The number of a tensor that was seen; else None."""
        ref = self._known.get(id(tensor))
        return ref.serial if ref is not None and ref() is tensor else None

    def alive(self) -> Mapping[int, Tensor]:
        """The tensors that are still there, by number."""
        found = ((ref.serial, ref()) for ref in list(self._known.values()))
        return {serial: tensor for serial, tensor in found if tensor is not None}

    def seen(self, tensor: Tensor) -> Seen:
        """A tensor as it is now."""
        ref = self._known.get(id(tensor))
        serial = ref.serial if ref is not None and ref() is tensor else self.serial(tensor)
        try:
            version = tensor._version
        except RuntimeError:  # made in inference mode
            version = -1
        return _tuple(Seen, (serial, version, tensor.requires_grad))

    def made_at(self, address: int) -> int | None:
        """The tensor whose memory at an address is still the same one."""
        storage, serial = self.memory.get(address, (None, None))
        return None if storage is None or storage.expired() else serial

    @property
    def forgotten(self) -> bool:
        """Whether there was too much to keep."""
        return len(self.events) == MOST_EVENTS

    def clear(self) -> None:
        """Forget everything."""
        self._sweep()
        self.events.clear()
        self.modules.clear()
        self.bases.clear()
        self.shares.clear()
        self.owners.clear()
        self.memory.clear()


LOG = Log()  # of all that was recorded in this process; blocks follow each other in it


def version_of(tensor: Tensor) -> int:
    """How often a tensor was changed in place; -1 where nothing is counted."""
    try:
        return tensor._version
    except RuntimeError:  # made in inference mode
        return -1


def add_tensors(values: Iterable[Any], found: list[Tensor]) -> list[Tensor]:
    """Add the tensors among arguments or results, also in lists, tuples and dictionaries."""
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if issubclass(kind, Tensor):
            found.append(value)
        elif issubclass(kind, tuple | list):
            add_tensors(value, found)
        elif issubclass(kind, dict):
            add_tensors(value.values(), found)
    return found


age_now = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]
"""PyTorch's sequence number, which counts the nodes that a thread makes."""
