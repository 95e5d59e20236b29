"""What the tensors of a run held from one change to the next, copied before it changes.

Most runs change nothing in place. So nothing is copied before the first call that could: then all
that was met so far, and from then on each tensor when it comes to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

COPIED = 1_024  # elements; larger values are not copied
_IN_PLACE = {"__setitem__", "__delitem__", "data ="}
_IN_PLACE |= {f"__i{name}__" for name in ("add", "sub", "mul", "div", "truediv", "pow", "matmul")}
PLAIN = {int, float, bool, str, complex, type(None), slice, torch.dtype}
# Where these keywords are given, a function that changes nothing otherwise may do so.
_WRITING = {"out", "inplace", "max_norm", "running_mean"}
# These change nothing, though no schema of PyTorch says so.
_READS = {f"__{name}__" for name in ("get", "getitem", "len", "bool", "float", "int", "format")}
_READS |= {
    f"__{name}__" for name in ("repr", "rsub", "rpow", "rdiv", "rtruediv", "rmatmul", "hash")
}
_READS |= {"_set_grad_enabled", "tolist", "type", "float", "double", "half", "long", "einsum"}
_READS |= {"retain_grad", "register_hook"}
# By these a tensor gets memory that others may write into.
_FOREIGN = re.compile(r"as_?array|as_tensor|from_|dlpack")
_OF_PYTORCH = (type(torch.add), type(Tensor.add))
# Modules of Python functions whose names tell as much as those of schemas.
_PYTHON = {"torch.nn.functional", "torch.functional", "torch._tensor"}
# These change how a tensor looks at its memory, or at which, but no number there.
_RESHAPES = {"data =", "set_", "resize_", "resize_as_", "requires_grad_", "detach_", "rename_"}
_RESHAPES |= {"share_memory_", "squeeze_", "unsqueeze_", "t_", "transpose_", "as_strided_"}
_RESHAPES |= {"swapaxes_", "swapdims_"}
# These change running means without counting it.
_UNCOUNTED = {"batch_norm", "instance_norm"}
# After these others may write into a tensor's memory, and PyTorch does not see it.
_SHARES = {"numpy", "__array__", "data_ptr", "untyped_storage", "storage", "__dlpack__"}


@dataclass(eq=False, slots=True)
class Moment:
    """A tensor as it was from one change to the next."""

    tensor: Tensor
    function: Any  # its grad_fn
    output_nr: int
    version: int  # PyTorch's count of its changes; -1: not counted
    copy: Tensor | None  # None: too large, or nothing was changed in the whole run
    is_target: bool  # what a call in place was asked to change
    is_same: bool  # no number is another one, though autograd knows it by another function

    @property
    def value(self) -> Tensor | None:
        """What it held; None where that was not copied and is another one now."""
        if self.copy is None and _version(self.tensor) == self.version:
            copy = _copied(self.tensor, COPIED)
            return self.tensor.detach() if copy is None else copy
        return self.copy


class Moments:
    """The tensors that a run has met so far, and the last moment of each."""

    def __init__(self) -> None:
        self.is_calm = True  # nothing so far could have changed a tensor
        self.seen: dict[int, int] = {}  # while it is calm: id of a tensor -> its version
        self._alive: list[Tensor] = []  # so that no other tensor gets the same id
        self._now: dict[int, Moment] = {}  # by id of the tensor, which the moment keeps alive
        self._memory: dict[int, int] = {}  # id of a tensor -> of its memory
        self._lookers: dict[int, dict[int, Tensor]] = {}  # on each memory, by id
        self._watched: set[int] = set()  # memory that others may write into
        self._shared: set[int] = set()  # such memory of which large values are copied too
        self._last_target: Tensor | None = None

    def note(self, value: Any) -> None:
        """Note the tensors in a value while it is calm; if others may write into one it is not."""
        with torch._C.DisableTorchFunction():
            for each in tensors_in(value):
                if id(each) not in self.seen:
                    self.seen[id(each)] = _version(each)
                    self._alive.append(each)
                    self.is_calm = self.is_calm and not _memory(each)[1]

    def wake(self) -> None:
        """Copy all that was met so far: from now on tensors may change."""
        self.is_calm = False
        with torch._C.DisableTorchFunction():
            for moment in self._now.values():
                self._watch(moment)

    def met(self, values: Any) -> list[Moment]:
        """The moments of those tensors in some values that are new here."""
        now = self._now
        if type(values) is Tensor:
            return [] if id(values) in now else [self._begun(values)]
        return [self._begun(each) for each in tensors_in(values) if id(each) not in now]

    def brought(self, values: Sequence[Any]) -> list[Moment]:
        """The moments of tensors whose memory others have brought, that no call has had."""
        return self.met([each for each in tensors_in(values) if _memory(each)[1]])

    def written(self, taken: Sequence[Tensor] = ()) -> list[Moment]:
        """The new moments of tensors that were changed, but not by a call that was seen.

        Looked at are those that a call takes, and all into which others than PyTorch may write.
        """
        now = self._now
        found = {id(each): each for each in taken if _version(each) != now[id(each)].version}
        for memory in self._watched:
            for key, tensor in self._lookers[memory].items():
                if _differ(now[key].copy, tensor):
                    found[key] = tensor
        return [self._begun(tensor) for tensor in found.values()]

    def made(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        taken: Sequence[Tensor],
        result: Any,
    ) -> list[Moment]:
        """The moments that begin with a call: of what it changed, then of its results."""
        now = self._now
        changed = {id(each): each for each in _targets(name, args, kwargs)}
        for each in taken:
            if _version(each) != now[id(each)].version:
                changed[id(each)] = each
        if name in _UNCOUNTED:
            changed |= {id(each): each for each in taken if _differ(now[id(each)].copy, each)}
        found = self._changed(name, args, list(changed.values())) if changed else []
        found += self.met(result)
        if name in _SHARES:
            for tensor in (*taken, *tensors_in(result)):
                self._share(self._memory[id(tensor)])
        return found

    def shifted(self, tensor: Tensor) -> None:
        """Take over what was written into a tensor that was just made."""
        now = self._now.get(id(tensor))
        if now is not None and now.copy is not None:
            now.copy = _copied(tensor, None)

    def _changed(self, name: str, args: Sequence[Any], targets: Sequence[Tensor]) -> list[Moment]:
        """New moments of what was changed, and of all that looks at the same memory."""
        # y[0] += 1 changes y by y[0], and then puts y[0] where it is.
        back = name == "__setitem__" and len(args) > 2 and args[2] is self._last_target
        self._last_target = targets[0]
        found = [self._begun(target, is_target=True, is_same=back) for target in targets]
        if name in _RESHAPES:
            return found
        beside = {
            key: tensor
            for target in targets
            for key, tensor in self._lookers[self._memory[id(target)]].items()
        }
        for target in targets:
            beside.pop(id(target), None)
        for tensor in beside.values():
            touched = any(_overlap(tensor, target) for target in targets)
            if touched or tensor.requires_grad:  # autograd makes views of what is changed anew
                found.append(self._begun(tensor, is_same=back or not touched))
        return found

    def _begun(self, tensor: Tensor, is_target: bool = False, is_same: bool = False) -> Moment:
        with torch._C.DisableTorchFunction():
            try:
                function, output_nr = tensor.grad_fn, tensor.output_nr
            except RuntimeError:  # a view made under no_grad, whose base was changed in place since
                function, output_nr = None, 0
            version = self.seen.pop(id(tensor), None)
            if version is None:
                version = _version(tensor)
            made = Moment(tensor, function, output_nr, version, None, is_target, is_same)
            self._now[id(tensor)] = made
            if not self.is_calm:
                self._watch(made)
        return made

    def _watch(self, moment: Moment) -> None:
        """Copy a tensor, and remember what memory it looks at."""
        tensor, key = moment.tensor, id(moment.tensor)
        memory, is_foreign = _memory(tensor)
        self._lookers.get(self._memory.get(key, 0), {}).pop(key, None)
        self._lookers.setdefault(memory, {})[key] = tensor
        self._memory[key] = memory
        if is_foreign:
            self._watched.add(memory)
        if _version(tensor) == moment.version:
            moment.copy = _copied(tensor, COPIED if memory not in self._shared else None)

    def _share(self, memory: int) -> None:
        """Look out for what is written into a memory; large values in it are copied too."""
        self._watched.add(memory)
        self._shared.add(memory)
        for key, tensor in self._lookers[memory].items():
            now = self._now.get(key)
            if now is not None and now.copy is None:
                now.copy = _copied(tensor, None)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in a value, also in lists, tuples and dictionaries."""
    kind = type(value)
    if kind is Tensor:
        return [value]
    found: list[Tensor] = []
    _collect(value if kind is tuple else (value,), found)
    return found


def _collect(values: Iterable[Any], found: list[Tensor]) -> None:
    for each in values:
        kind = type(each)
        if kind is Tensor or (kind not in PLAIN and issubclass(kind, Tensor)):
            found.append(each)
        elif kind in PLAIN:
            continue
        elif issubclass(kind, (tuple, list)):
            _collect(each, found)
        elif issubclass(kind, dict):
            _collect(each.values(), found)


@lru_cache(maxsize=1_024)
def may_write(function: Any) -> bool:
    """Whether a function could change a tensor, or let others do so; true if that is not known."""
    name = getattr(function, "__name__", "")
    if name in _READS:
        return False
    if name.endswith("_") or "_norm" in name.replace("layer_norm", "") or _FOREIGN.search(name):
        return True
    if isinstance(function, FunctionType):
        return function.__module__ not in _PYTHON or name == "backward"
    if type(function) not in _OF_PYTORCH:
        return True
    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    written = (
        argument
        for schema in schemas
        for argument in schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    return not schemas or not all(argument.kwarg_only for argument in written)


def asked_to_write(kwargs: Mapping[str, Any]) -> bool:
    """Whether a function that changes nothing otherwise does so as it is called."""
    given = (kwargs[name] for name in _WRITING.intersection(kwargs))
    return any(each is not None and each is not False for each in given)


def _targets(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """What a call changes by its name."""
    in_place = name.endswith("_") and not name.endswith("__")
    if in_place or name in _IN_PLACE:
        yield from tensors_in([*args, *kwargs.values()][:1])
    elif kwargs and kwargs.get("out") is not None:
        yield from tensors_in(kwargs["out"])


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version  # nothing is counted there


def _memory(tensor: Tensor) -> tuple[int, bool]:
    """Which memory a tensor looks at, and whether it came from outside of PyTorch."""
    try:
        storage = tensor.untyped_storage()
        return storage._cdata, not storage.resizable()
    except (RuntimeError, NotImplementedError):  # sparse, or within vmap
        return -id(tensor), False


def _copied(tensor: Tensor, most: int | None) -> Tensor | None:
    """A copy of at most so many elements, unseen by autograd and by the user's modes."""
    if tensor.is_nested or (most is not None and tensor.numel() > most):
        return None
    if torch._C._len_torch_dispatch_stack():
        with _disable_current_modes():
            return tensor.detach().clone()
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False):
            return tensor.detach().clone()
    return tensor.detach().clone()


def _differ(copy: Tensor | None, tensor: Tensor) -> bool:
    if copy is None or copy.shape != tensor.shape:
        return copy is not None
    with torch._C.DisableTorchFunction(), torch.no_grad():
        return not torch.equal(torch.nan_to_num(copy), torch.nan_to_num(tensor))


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors on one memory have an element in common."""
    if torch.strided not in (one.layout, other.layout) or not (one.numel() and other.numel()):
        return one.layout is not torch.strided
    if max(one.numel(), other.numel()) > COPIED or one.itemsize != other.itemsize:
        first, second = _range(one), _range(other)
        return first.start < second.stop and second.start < first.stop
    return not _elements(one).isdisjoint(_elements(other))


def _range(tensor: Tensor) -> range:
    """The bytes from its first element to its last."""
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    first = tensor.storage_offset()
    return range(first * tensor.itemsize, (first + last + 1) * tensor.itemsize)


def _elements(tensor: Tensor) -> set[int]:
    found = {int(tensor.storage_offset())}
    for length, step in zip(tensor.shape, tensor.stride(), strict=True):
        found = {start + number * int(step) for start in found for number in range(length)}
    return found
