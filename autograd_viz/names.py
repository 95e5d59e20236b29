"""The tensors that the caller's variables hold, and the names they have there."""

from __future__ import annotations

import gc
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Mapping
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor

from autograd_viz.errors import NotATensorError

MOST_HOLDERS = 20_000  # objects, some ten milliseconds
_BUILTIN = (list, tuple, set, frozenset, dict, deque, OrderedDict)
_CONTAINERS = (*_BUILTIN, torch.nn.Module)
# Packages whose objects lead to the whole of a notebook's machinery, or to nothing of the user's.
_FOREIGN = frozenset(
    {"builtins", "torch", "autograd_viz", "numpy", "matplotlib", "_pytest", "pytest", "hypothesis"}
    | {"IPython", "ipykernel", "traitlets", "ipywidgets", "asyncio", "threading", "logging"}
)


def collect(
    frame: FrameType | None,
    names: Mapping[str, Tensor] | None,
    params: torch.nn.Module | Mapping[str, Tensor] | None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor), the names that win first.

    Explicit `names`, then the parameters' dotted names, then the caller's variables: the locals of
    its function before the globals of its module or notebook, as far as these are not hidden. Names
    that begin with an underscore are left out, since IPython keeps its history in them, and what
    is no name, as pytest's @py_assert1.
    """
    yield from given(names)
    yield from parameters(params)
    yield from of_caller(frame)


def given(names: Mapping[str, Tensor] | None) -> Iterator[tuple[str, Tensor]]:
    """The reader's own names."""
    if not isinstance(names, Mapping | None):
        raise TypeError(
            f"names is of type {type(names).__name__}; give a dictionary from name to tensor: "
            'names={"loss": loss}'
        )
    for name, tensor in (names or {}).items():
        if not is_tensor(tensor):
            raise NotATensorError(
                f"names[{name!r}] is of type {type(tensor).__name__}, not a tensor; "
                f'give names={{"{name}": tensor}}'
            )
        yield str(name), tensor


def of_caller(frame: FrameType | None) -> Iterator[tuple[str, Tensor]]:
    """The caller's variables that hold tensors."""
    for name, value in _scope(frame).items():
        if is_tensor(value) and _is_name(name):
            yield name, value


def _scope(frame: FrameType | None) -> dict[str, Any]:
    if frame is None:
        return {}
    inner = frame.f_locals
    return {**inner, **frame.f_globals, **inner}  # twice: first for their order, then to win


def _is_name(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_")


def variables(frame: FrameType | None) -> dict[str, object]:
    """All variables of the caller, whatever they hold, in the order in which they win a name."""
    return {name: value for name, value in _scope(frame).items() if _is_name(name)}


def is_tensor(value: object) -> bool:
    """By type: `isinstance` would ask the value's `__class__`, which may run a stranger's code."""
    return issubclass(type(value), Tensor)


def parameters(
    params: torch.nn.Module | Mapping[str, Tensor] | None,
) -> Iterator[tuple[str, Tensor]]:
    """The parameters with their dotted names."""
    if params is None:
        return
    if isinstance(params, torch.nn.Module):
        yield from params.named_parameters()
    elif isinstance(params, Mapping):
        for name, tensor in params.items():
            if not is_tensor(tensor):
                raise NotATensorError(
                    f"params[{name!r}] is of type {type(tensor).__name__}, not a tensor; "
                    "give params=model, or params=dict(model.named_parameters())"
                )
            yield str(name), tensor
    else:
        raise TypeError(
            f"params is of type {type(params).__name__}; give the module itself, params=model, "
            "or params=dict(model.named_parameters())"
        )


def reachable_tensors(frame: FrameType | None) -> Iterator[Tensor]:
    """Tensors that the caller's variables lead to, through containers, modules and objects.

    Of the functions that called the caller only the variables themselves are looked at. No code of
    a stranger's class is run, and after MOST_HOLDERS containers and objects the search ends.
    """
    yield from filter(is_tensor, _reachable(frame))


def held(frame: FrameType | None, ids: Collection[int]) -> set[int]:
    """Which of some objects, given by their `id()`, the caller's variables lead to.

    Found as `reachable_tensors` finds tensors, and never through another one of the objects.
    """
    return {id(value) for value in _reachable(frame, ids)}.intersection(ids)


def _reachable(frame: FrameType | None, ids: Collection[int] = ()) -> Iterator[Any]:
    """Tensors, and what has one of the ids; neither is looked into."""
    if frame is None:
        return
    level: list[Any] = [*frame.f_locals.values(), *frame.f_globals.values()]
    outer = frame.f_back
    while outer is not None:
        level += (one for one in outer.f_locals.values() if is_tensor(one) or id(one) in ids)
        outer = outer.f_back
    seen: set[int] = set()
    kinds: dict[type, Literal["tensor", "holder", "other"]] = {}
    while level and len(seen) < MOST_HOLDERS:
        holders: list[Any] = []
        for value in level:
            kind = type(value)
            what = kinds.get(kind) or kinds.setdefault(kind, _what(kind))
            if what == "tensor":
                yield value
            elif what == "other" or (kind in _BUILTIN and not value):  # a module has many empty
                continue
            elif id(value) not in seen:
                seen.add(id(value))
                if id(value) in ids:
                    yield value
                else:
                    holders.append(value)
        level = gc.get_referents(*holders)


def _what(kind: type) -> Literal["tensor", "holder", "other"]:
    """Whether an object of this type is a tensor, or may hold tensors of the user's."""
    if issubclass(kind, Tensor):
        return "tensor"
    if issubclass(kind, _CONTAINERS) or kind.__module__.partition(".")[0] not in _FOREIGN:
        return "holder"
    return "other"
