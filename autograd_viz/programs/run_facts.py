"""The tensors of a run by number, and what tells one run from another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autograd_viz.programs.runs import Before, Run

_PLAIN = (int, float, bool, complex, str)


@dataclass
class Facts:
    """A run as numbers of tensors: two runs of the same path have the same signature."""

    tensors: list[Tensor]
    operands: list[tuple[int, ...]]  # of each call, positions in `tensors`
    results: list[tuple[int, ...]]
    born: list[tuple[int, bool]]  # of each tensor: the call it first appears in, whether its result
    changed: dict[int, Before]  # tensors that are another one since, by an in-place operation
    history: dict[int, list[int]]  # id of a tensor -> its positions, one a change
    signature: tuple[object, ...]
    numbers: tuple[object, ...]  # the plain numbers that went in or came out


def facts(run: Run) -> Facts:
    """Number the tensors of a run."""
    tensors: list[Tensor] = []
    born: list[tuple[int, bool]] = []
    history: dict[int, list[int]] = {}
    changed: dict[int, Before] = {}
    signature: list[object] = []
    numbers: list[object] = []
    operands: list[tuple[int, ...]] = []
    results: list[tuple[int, ...]] = []

    def add(tensor: Tensor, call: int, made: bool) -> int:
        place = len(tensors)
        tensors.append(tensor)
        born.append((call, made))
        history.setdefault(id(tensor), []).append(place)
        signature.append((tensor.shape, tensor.dtype, tensor.requires_grad, tensor.is_leaf, made))
        return place

    def known(tensor: Tensor, call: int) -> int:
        places = history.get(id(tensor))
        place = places[-1] if places else add(tensor, call, False)
        if not tensor.requires_grad and tensor.numel() == 1 and not tensor.is_meta:
            numbers.append(_number(tensor))
        return place

    for value in run.given.values():
        for found in _inside(value, numbers, signature):
            known(found, -1)
    for number, call in enumerate(run.calls):
        function, args, kwargs, result, offset, _, before = call
        signature += (function, offset)
        places = [known(t, number) for t in _inside(args, numbers, signature)]
        if kwargs:
            signature.append(tuple(kwargs))
            places += [known(t, number) for t in _inside(kwargs, numbers, signature)]
        operands.append(tuple(places))
        made = []
        if before is not None:
            old = history.get(id(before.tensor), [-1])[-1]
            if old >= 0:
                changed[old] = before
            made.append(add(before.tensor, number, True))
        for found in _inside(result, numbers, signature):
            if id(found) not in history:
                made.append(add(found, number, True))
            elif before is None or found is not before.tensor:
                signature.append(history[id(found)][-1])
        results.append(tuple(made))
        signature.append(places)
    for found in _inside(run.result, [], signature):
        signature.append(known(found, len(run.calls)))
    signature = [tuple(each) if isinstance(each, list) else each for each in signature]
    return Facts(
        tensors, operands, results, born, changed, history, tuple(signature), tuple(numbers)
    )


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


def tensors_in(value: Any) -> Sequence[Tensor]:
    """The tensors in a value, also in lists, tuples and dictionaries."""
    return list(_inside(value, [], []))
