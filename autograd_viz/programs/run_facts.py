"""The tensors of a run by number, and what tells one run from another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autograd_viz.programs.moments import Moment
from autograd_viz.programs.runs import Run

_PLAIN = (int, float, bool, complex, str)


@dataclass
class Facts:
    """A run as numbers of tensors: two runs of the same path have the same signature."""

    moments: list[Moment]  # each tensor as it was between two changes
    operands: list[tuple[int, ...]]  # of each call, positions in `moments`
    results: list[tuple[int, ...]]
    born: list[tuple[int, bool]]  # of each tensor: the call it first appears in, whether its result
    history: dict[int, list[int]]  # id of a tensor -> its positions, one a change
    signature: tuple[object, ...]
    numbers: tuple[object, ...]  # the plain numbers that went in or came out


def facts(run: Run) -> Facts:
    """Number the tensors of a run."""
    moments: list[Moment] = []
    born: list[tuple[int, bool]] = []
    history: dict[int, list[int]] = {}
    signature: list[object] = []
    numbers: list[object] = []
    operands: list[tuple[int, ...]] = []
    results: list[tuple[int, ...]] = []

    def add(moment: Moment, call: int, made: bool) -> int:
        tensor = moment.tensor
        place = len(moments)
        moments.append(moment)
        born.append((call, made))
        history.setdefault(id(tensor), []).append(place)
        signature.append((tensor.shape, tensor.dtype, tensor.requires_grad, tensor.is_leaf))
        signature.append((made, moment.is_target, moment.is_same))
        return place

    def known(tensor: Tensor) -> int:
        place = history[id(tensor)][-1]
        if not tensor.requires_grad and tensor.numel() == 1 and not tensor.is_meta:
            copy = moments[place].copy
            numbers.append(_number(tensor if copy is None else copy))
        return place

    for moment in run.begun:
        add(moment, -1, False)
    for value in run.given.values():
        for found in _inside(value, numbers, signature):
            known(found)
    for number, call in enumerate(run.calls):
        signature += (call.function, call.offset)
        for moment in call.met:
            add(moment, number, False)
        places = [known(t) for t in _inside(call.args, numbers, signature)]
        if call.kwargs:
            signature.append(tuple(call.kwargs))
            places += [known(t) for t in _inside(call.kwargs, numbers, signature)]
        operands.append(tuple(places))
        made = tuple([add(moment, number, True) for moment in call.made])
        for found in _inside(call.result, numbers, signature):
            if history[id(found)][-1] not in made:
                signature.append(history[id(found)][-1])
        results.append(made)
        signature.append(tuple(places))
    for moment in run.ended:
        add(moment, len(run.calls), False)
    for found in _inside(run.result, [], signature):
        signature.append(known(found))
    return Facts(moments, operands, results, born, history, tuple(signature), tuple(numbers))


def _number(tensor: Tensor) -> object:
    try:
        return tensor.item()
    except RuntimeError:  # inside of vmap no tensor has a value of its own
        return object()


def _inside(value: Any, numbers: list[object], signature: list[object]) -> Iterator[Tensor]:
    """The tensors in a value; numbers and what else distinguishes one run from another go along."""
    kind = type(value)
    if issubclass(kind, Tensor):
        yield value
    elif kind in _PLAIN:  # of the strings some say what is computed: reduction="sum"
        numbers.append(value)
    elif issubclass(kind, (tuple, list)):
        signature.append(len(value))
        for each in value:
            yield from _inside(each, numbers, signature)
    elif issubclass(kind, dict):
        for each in value.values():
            yield from _inside(each, numbers, signature)
    elif kind is slice:
        numbers += (value.start, value.stop, value.step)
    elif kind.__module__ == "numpy":  # what is computed from it is not seen
        signature.append(object())
