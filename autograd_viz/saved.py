"""What operations saved for their backward, as far as reading it runs no code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils._python_dispatch import _disable_current_modes

from autograd_viz.model import Slot
from autograd_viz.names import is_tensor
from autograd_viz.operators.table import operation
from autograd_viz.release import NextFunctions
from autograd_viz.text import has_numbers
from autograd_viz.walk import Walk

SMALL = 16  # elements; the values of larger named tensors are not copied
HOOKED = object()  # stands for a saved tensor that cannot be read without running its hooks
# Which input of its node a saved tensor is.
_INPUTS = {"self": 0, "input": 0, "other": 1, "exponent": 1, "weight": 1, "mat1": 1, "tensor": 1}
_INPUTS |= {"tensor1": 1, "tensor2": 2, "target": 1}
_LAST = {"mat2", "vec", "batch2"}
Saved = Mapping[str, Any]  # what an operation saved for its backward, by name


def saved_by(function: Node) -> Saved:
    """What the operation saved, by name, as far as reading it runs no code.

    HOOKED stands for a saved tensor with hooks (checkpointing would run the forward again). What
    was freed by a backward pass or changed in place since is left out.
    """
    saved: dict[str, Any] = {}
    for name, attribute, raw_attribute in saved_attributes(type(function)):
        try:
            raw = getattr(function, raw_attribute, None)
            if has_hooks(raw):
                saved[name] = HOOKED
            else:
                saved[name] = getattr(function, attribute)
        except RuntimeError:
            continue
    return saved


def has_hooks(raw: Any) -> bool:
    """Whether reading a saved tensor, or one of several, would run code."""
    if isinstance(raw, tuple):
        return any(map(has_hooks, raw))
    return raw is not None and getattr(raw, "unpack_hook", HOOKED) is not None


# Weak: a cell that is run again makes its custom Functions anew, with all that their classes hold.
_attributes: WeakKeyDictionary[type[Node], tuple[tuple[str, str, str], ...]] = WeakKeyDictionary()


def saved_attributes(kind: type[Node]) -> tuple[tuple[str, str, str], ...]:
    """(name, where its value is, where the saved tensor itself is) of all that is saved."""
    if (known := _attributes.get(kind)) is not None:  # most operations save nothing
        return known
    names = [name.removeprefix("_saved_") for name in dir(kind) if name.startswith("_saved_")]
    found = tuple((name, f"_saved_{name}", f"_raw_saved_{name}") for name in names)
    return _attributes.setdefault(kind, found)


def _has_options(kind: type[Node]) -> bool:
    """Whether operations of the kind save something that is no tensor."""
    return any(
        "_sym_" not in name and not hasattr(kind, raw_attribute)
        for name, _, raw_attribute in saved_attributes(kind)
    )


def has_constants(function: Node, following: NextFunctions) -> bool:
    """Whether the operation may have saved a number that its expression needs."""
    return (
        len(following) == 1
        or any(target is None for target, _ in following)
        or _has_options(type(function))  # a + alpha * b
    )


def constants_in(saved: Saved) -> dict[str, Any]:
    """Plain numbers that an operation saved, as in `x * 3`: {"other": 3.0}; and its options.

    An option is whatever is no tensor: {"delta": 0.25}, {"approximate": "tanh"}, {"dims": (1, 0)}.
    """
    constants: dict[str, Any] = {}
    for name, value in saved.items():
        number = _read(value) if _is_constant(value) else value
        if type(number) in (int, float, bool):
            constants[name] = number if number == number else math.nan  # the same one: nan != nan
        elif _is_option(name, number):
            constants[name] = number
    return constants


def _is_option(name: str, value: object) -> bool:
    """Whether it is a word or some numbers, and not a shape, which may be long."""
    if not isinstance(value, str | tuple) or "_sym_" in name:
        return False
    return all(isinstance(one, int | float | str) for one in value)


def _read(value: Tensor) -> int | float | bool:
    """The number in a tensor; a mode of the user's gets the 3 of `x * 3` as no tensor."""
    if torch._C._len_torch_dispatch_stack():
        with _disable_current_modes():
            return value.item()
    return value.item()


def _is_constant(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and is_small(value)
        and value.numel() == 1
        and not (value.requires_grad or value.is_complex())
    )


def recovered(walk: Walk, saved: Sequence[Saved]) -> Iterator[tuple[Slot, Tensor]]:
    """Forward values that have no name but were saved for the backward pass."""
    for position, values in enumerate(saved):
        following = walk.nexts[position]
        operands = ("self", "other") if len(following) == 2 else ("self",)
        for name, value in values.items():
            if not is_tensor(value) or value.is_nested:  # whose shape cannot be asked for
                continue
            if name == "result":
                slot = Slot(position, 0)
            elif name in operands and len(following) <= 2:
                target, output_nr = following[operands.index(name)]
                if target is None:
                    continue
                slot = Slot(walk.index[target], output_nr)
            else:
                continue
            metas = walk.functions[slot.node]._input_metadata
            if len(metas) > slot.output_nr and shape_of(metas[slot.output_nr]) == value.shape:
                yield slot, value


def changed_since(walk: Walk, suspects: Iterable[Slot]) -> frozenset[Slot]:
    """Which of some tensors that were changed in place were so after they took part.

    PyTorch knows it of what was saved. If one such was changed then, as all weights are by a step
    of an optimizer, so may those be that no operation has saved.
    """
    changed: set[Slot] = set()
    same: set[Slot] = set()
    for position, function in enumerate(walk.functions):
        for name, attribute, raw_attribute in saved_attributes(type(function)):
            if has_hooks(getattr(function, raw_attribute, None)):
                continue
            try:
                saved = getattr(function, attribute)
            except RuntimeError as error:
                if "modified by an inplace operation" in str(error):
                    changed.update(_under_views(walk, position, name))
                continue
            if is_tensor(saved):
                same.update(_under_views(walk, position, name))
    return frozenset(slot for slot in suspects if slot in changed or (changed and slot not in same))


def not_as_computed(walk: Walk, values: Mapping[Slot, Tensor]) -> Iterator[tuple[Slot, ...]]:
    """Sums and differences that the values of their terms do not give: first the sum's place.

    These operations save nothing by which PyTorch could tell that a term was changed since.
    """
    for position, function in enumerate(walk.functions):
        sign = operation(function.name()).sign
        if sign not in ("+", "-") or Slot(position, 0) not in values:
            continue
        terms = [Slot(walk.index[n], nr) for n, nr in walk.nexts[position] if n is not None]
        if len(terms) != 2 or not all(term in values for term in terms):
            continue
        result, one, other = (values[slot] for slot in (Slot(position, 0), *terms))
        if one.device != other.device or result.device != one.device:
            continue
        combine = torch.add if sign == "+" else torch.sub
        found = combine(one, other, alpha=function._saved_alpha)  # type: ignore[attr-defined]
        if not torch.equal(torch.nan_to_num(found), torch.nan_to_num(result)):
            yield (Slot(position, 0), *terms)


def _under_views(walk: Walk, position: int, name: str) -> Iterator[Slot]:
    """Where in the graph a saved tensor is, and what it is a view of."""
    if name == "result":
        yield Slot(position, 0)
        return
    following = walk.nexts[position]
    place = len(following) - 1 if name in _LAST else _INPUTS.get(name, len(following))
    while place < len(following):
        target, output_nr = following[place]
        if target is None:
            return
        position = walk.index[target]
        yield Slot(position, output_nr)
        if operation(target.name()).looks != "view":
            return
        following, place = walk.nexts[position], 0


def is_small(tensor: Tensor) -> bool:
    """Whether the values of a tensor are few enough to be copied, and can be."""
    if tensor.numel() > SMALL or tensor.layout is not torch.strided:
        return False
    return not tensor.is_nested and has_numbers(tensor)


def shape_of(meta: Any) -> tuple[int, ...]:
    """The shape of an output; -1 where the tensors of a nested one differ in length."""
    if not meta.is_nested_tensor:
        return tuple(meta.shape)
    if meta.is_cpp_nested_tensor:  # the old layout, which has no shape
        return (-1,)
    return tuple(length if isinstance(length, int) else -1 for length in meta.shape)
