"""Which call of which module made which nodes of a graph."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor
from torch.nn import Module

if TYPE_CHECKING:
    from autograd_viz.recorded.events import ModuleCall

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")  # which compute nothing themselves


class Call(NamedTuple):
    """One forward call of a module. Nodes that it made have ages from `first` up to `end`.

    An age is PyTorch's sequence number, which counts the nodes that a thread makes.
    """

    path: tuple[str, ...]  # ("transformer", "h", "3"); () for the model itself
    kind: str  # the class of the module: "GPT2Block"
    first: int
    end: int


class Modules(NamedTuple):
    """The modules that may have made a graph, and the recordings that may tell of it."""

    params: Module | Mapping[str, Tensor] | None
    recordings: tuple[Sequence[Call], ...]


_recorded: weakref.WeakKeyDictionary[Module, Sequence[Call]] = weakref.WeakKeyDictionary()


def remember(model: Module | None, made: Sequence[ModuleCall]) -> None:
    """Remember the calls of a model, or of each module that was called by no other."""
    outermost = (each.ref() for each in made if each.outer is None)
    roots = [model] if model is not None else [each for each in outermost if each is not None]
    for root in {id(root): root for root in roots}.values():
        paths = {id(module): name for name, module in root.named_modules()}
        calls = []
        for each in made:
            name = paths.get(id(each.ref()))
            if name is not None and each.end > each.first:  # it makes no nodes under no_grad()
                path = tuple(name.split(".")) if name else ()
                calls.append(Call(path, each.kind, each.first, each.end))
        _recorded[root] = tuple(calls)


def calls_of(model: Module) -> Sequence[Call]:
    """The calls of the last recording of a model; none if there is none."""
    return _recorded.get(model, ())


def modules_of(params: Module | Mapping[str, Tensor] | None) -> Modules:
    """What is known now of the modules of a graph, since later recordings replace earlier ones."""
    if isinstance(params, Module):
        return Modules(params, (calls_of(params),))
    return Modules(params, tuple(_recorded.values()))


def guessed_calls(uses: Sequence[tuple[int, str]], kinds: Mapping[str, str]) -> list[Call]:
    """The calls of modules, guessed from which node uses which parameter.

    Between two uses the nodes belong to the innermost module that holds both parameters; if that
    is a container, which computes nothing itself, to the block in it that came before.

    Args:
        uses: (age of a node, dotted name of the parameter that it uses).
        kinds: the class of each module by its dotted name.

    >>> kinds = {"": "Net", "a": "Block", "a.one": "Linear", "a.two": "Linear", "b": "Linear"}
    >>> uses = [(0, "a.one.weight"), (1, "a.one.bias"), (5, "a.two.weight"), (9, "b.weight")]
    >>> for call in guessed_calls(uses, kinds):
    ...     print(".".join(call.path), call.kind, call.first, call.end)
    a.one Linear 0 2
    a.two Linear 5 6
    a Block 0 6
    b Linear 9 10
    """
    calls: list[Call] = []
    open_at: list[tuple[str, int]] = []  # modules from the outside in, and the age they began at
    last = 0
    for age, parameter in sorted(uses):
        path = parameter.split(".")[:-1]
        wanted = [".".join(path[: depth + 1]) for depth in range(len(path))]
        kept = 0
        while kept < min(len(open_at), len(wanted)) and open_at[kept][0] == wanted[kept]:
            kept += 1
        outer = kinds.get(open_at[kept - 1][0] if kept else "", "")
        if outer in CONTAINERS and len(open_at) > kept + 1:  # a block, with modules of its own
            _close(calls, open_at, kept + 1, last + 1, kinds)
            last = max(last, age - 1)
        _close(calls, open_at, kept, last + 1, kinds)
        open_at += [(name, age) for name in wanted[kept:]]
        last = age
    _close(calls, open_at, 0, last + 1, kinds)
    return calls


def _close(
    calls: list[Call],
    open_at: list[tuple[str, int]],
    kept: int,
    end: int,
    kinds: Mapping[str, str],
) -> None:
    while len(open_at) > kept:
        name, first = open_at.pop()
        calls.append(Call(tuple(name.split(".")), kinds.get(name, ""), first, end))
