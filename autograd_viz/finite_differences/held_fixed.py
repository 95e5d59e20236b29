"""What autograd holds fixed in a run: values that move with an input, and bring it no gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.programs.moments import COPIED, tensors_in
from autograd_viz.programs.runs import name_of
from autograd_viz.programs.sources import source_of

_TORCH = torch.__path__[0]
_STEPS = {"round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "heaviside"}  # are flat


class Held(NamedTuple):
    """A call that lets no gradient through, or only zeros."""

    name: str  # of the function: "detach"
    text: str  # as the source has the call
    value: Any  # its result: a copy, a number, a list
    inputs: tuple[Tensor, ...]  # copies
    graded: bool  # whether gradients were on


def held(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    result: Any,
    frame: FrameType | None,
) -> Held | None:
    """The call, if one of its inputs needs a gradient and its result brings it none."""
    inputs = [one for one in tensors_in((args, kwargs)) if one.requires_grad]
    name = name_of(function)
    cut = not any(one.requires_grad for one in tensors_in(result)) and result is not None
    if not inputs or not (cut or name.strip("_") in _STEPS):
        return None
    if name in ("requires_grad", "grad_fn", "shape", "dtype", "device", "is_leaf", "_version"):
        return None
    if not (tensors_in(result) or isinstance(result, bool | int | float | complex | list)):
        if type(result).__module__ != "numpy":
            return None
        result = torch.as_tensor(result)
    copies = tuple(one.detach().clone() for one in inputs if one.numel() <= COPIED)
    return Held(
        name, _written(frame) or f"{name}(…)", _copied(result), copies, torch.is_grad_enabled()
    )


def differences(before: Sequence[Held], after: Sequence[Held]) -> Iterator[str]:
    """What the calls of two runs say of a difference between quotient and gradient."""
    said: dict[str, None] = {}
    for one, other in zip(before, after, strict=False):
        if one.name != other.name or one.text != other.text:
            return
        moves = not _same(one.value, other.value)
        shown = f"from {_shown(one.value)} to {_shown(other.value)}"
        if one.name.strip("_") in _STEPS:
            if moves:
                said[
                    f"{one.text} jumps {shown} in the step, and its derivative is 0 wherever it "
                    "has one"
                ] = None
            elif not all(map(_same, one.inputs, other.inputs)):
                said[
                    f"{one.text} stays at {_shown(one.value)}, since {one.name} is flat between "
                    "its jumps"
                ] = None
        elif moves:
            why = f"{one.name} lets no gradient through"
            if not one.graded:
                why = "no gradient is recorded under no_grad"
            said[f"{one.text} moves {shown}, and autograd holds it fixed: {why}"] = None
    yield from said


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone() if value.numel() <= COPIED else None
    if isinstance(value, list | tuple):
        return [_copied(each) for each in value]
    return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool(((one == other) | (one != one)).all())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other or one != one)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        if value.dtype == torch.bool and value.numel() == 1:
            return str(bool(value))
        return text.summary(value)[0]
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value[: text.FEW]))}{', …' * (len(value) > text.FEW)}]"
    return text.number(value) if isinstance(value, int | float) else str(value)


def _written(frame: FrameType | None) -> str | None:
    """The running expression of the first frame outside of torch, as its source has it."""
    while frame is not None and frame.f_code.co_filename.startswith(_TORCH):
        frame = frame.f_back
    source = None if frame is None else source_of(frame.f_code, frame.f_globals)
    node = source.expression_at(frame.f_lasti) if source and frame else None
    return None if node is None or source is None else text.clean(source.template(node).text)
