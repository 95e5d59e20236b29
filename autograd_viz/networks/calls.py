"""Which call of which module made which nodes of a graph."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd import _get_sequence_nr  # type: ignore[attr-defined]
from torch.nn import Module

from autograd_viz.interrupts import interrupts_held

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


@contextmanager
def record(model: Module) -> Iterator[None]:
    """Remember which nodes each module makes, so that a graph can be folded by module.

    Run the forward pass inside. `av.graph(loss, params=model)` then knows the modules' calls;
    without it they are guessed from the parameters that the nodes use.

    Args:
        model: any module; its calls in this thread count.

    Raises:
        TypeError: something else than a module was given.

    >>> import torch, autograd_viz as av
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> with record(model):
    ...     loss = model(torch.ones(4, 2)).sum()
    >>> [(call.path, call.kind) for call in calls_of(model)]
    [(('0',), 'Linear'), (('1',), 'Tanh'), (('2',), 'Linear'), ((), 'Sequential')]
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"av.record() wants a module, but was given a {type(model).__name__}; write "
            "`with av.record(model):` around the forward pass"
        )
    calls: list[Call] = []
    entered: list[tuple[Module, int]] = []  # the calls that still run, and the age they began at
    owner = threading.get_ident()

    def enters(module: Module, arguments: Any) -> None:
        if threading.get_ident() == owner:
            held.strike()
            entered.append((module, _get_sequence_nr()))

    def leaves(path: tuple[str, ...], module: Module, arguments: Any, output: Any) -> None:
        # A call that another hook stopped before ours ran was never entered.
        if threading.get_ident() != owner or not any(each is module for each, _ in entered):
            return
        while True:
            left, first = entered.pop()
            if left is module:
                break
        end = _get_sequence_nr()
        if end > first:  # under torch.no_grad() it makes no nodes
            calls.append(Call(path, type(module).__name__, first, end))

    hooks = []
    with interrupts_held() as held:
        try:
            for name, module in model.named_modules():
                path = tuple(name.split(".")) if name else ()
                hooks.append(module.register_forward_pre_hook(enters))
                hooks.append(module.register_forward_hook(partial(leaves, path), always_call=True))
            try:
                held.open = True  # what follows is the user's own
                held.strike()
                yield
            finally:
                held.open = False
        finally:
            for hook in hooks:
                hook.remove()
            _recorded[model] = tuple(calls)


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
