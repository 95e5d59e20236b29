"""The names under which the caller knows the tensors of a graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import FrameType, ModuleType
from typing import Any

import torch
from torch import Tensor

from autograd_viz.errors import NotATensorError

_ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None), type, ModuleType})


def collect(
    frame: FrameType | None,
    names: Mapping[str, Tensor] | None,
    params: torch.nn.Module | Mapping[str, Tensor] | None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor), the names that win first.

    Explicit `names`, then the parameters' dotted names, then the caller's variables: the locals of
    its function before the globals of its module or notebook. Names that begin with an underscore
    are left out: IPython keeps its history in them.
    """
    if not isinstance(names, Mapping | None):
        raise TypeError(
            f"names is a {type(names).__name__}; give a dictionary from name to tensor: "
            'names={"loss": loss}'
        )
    for name, tensor in (names or {}).items():
        if not is_tensor(tensor):
            raise NotATensorError(
                f"names[{name!r}] is a {type(tensor).__name__}, not a tensor; "
                f'give names={{"{name}": tensor}}'
            )
        yield str(name), tensor
    yield from _parameters(params)
    if frame is not None:
        scopes = [frame.f_locals]
        if frame.f_globals is not frame.f_locals:
            scopes.append(frame.f_globals)
        for scope in scopes:
            for name, value in list(scope.items()):
                if is_tensor(value) and not name.startswith("_"):
                    yield name, value


def is_tensor(value: object) -> bool:
    """By type: `isinstance` would ask the value's `__class__`, which may run a stranger's code."""
    return issubclass(type(value), Tensor)


def _parameters(
    params: torch.nn.Module | Mapping[str, Tensor] | None,
) -> Iterator[tuple[str, Tensor]]:
    if params is None:
        return
    if isinstance(params, torch.nn.Module):
        yield from params.named_parameters()
    elif isinstance(params, Mapping):
        for name, tensor in params.items():
            if not is_tensor(tensor):
                raise NotATensorError(
                    f"params[{name!r}] is a {type(tensor).__name__}, not a tensor; "
                    "give params=model, or params=dict(model.named_parameters())"
                )
            yield str(name), tensor
    else:
        raise TypeError(
            f"params is a {type(params).__name__}; give the module itself, params=model, "
            "or params=dict(model.named_parameters())"
        )


def reachable_tensors(frame: FrameType | None, depth: int = 3) -> Iterator[Tensor]:
    """Tensors that the caller's variables hold, also inside containers and objects.

    Of the functions that called the caller only the variables themselves are looked at.
    """
    if frame is None:
        return
    outer = frame.f_back
    while outer is not None:
        for value in outer.f_locals.values():
            if issubclass(type(value), Tensor):
                yield value
        outer = outer.f_back
    seen: set[int] = set()
    level: list[Any] = [*frame.f_locals.values(), *frame.f_globals.values()]
    for _ in range(depth):
        inner: list[Any] = []
        for value in level:
            kind = type(value)
            if issubclass(kind, Tensor):
                yield value
            elif kind not in _ATOMS and id(value) not in seen:
                seen.add(id(value))
                inner.extend(_contents(value, kind))
        level = inner
    yield from (value for value in level if is_tensor(value))


def _contents(value: Any, kind: type) -> list[Any]:
    """The items or attributes, read past any code of a stranger's class."""
    for container in (list, tuple, set, frozenset, deque):
        if issubclass(kind, container):
            return list(container.__iter__(value))
    if issubclass(kind, dict):
        return list(dict.values(value))
    if kind.__module__ == "builtins" or issubclass(kind, type):  # a module, a function, a class
        return []
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return []
    return list(attributes.values()) if type(attributes) is dict else []
