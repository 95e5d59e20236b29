"""What a backward returns beside what PyTorch wants: how many gradients, and of which shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from autograd_viz.custom_functions.comparing import Nudges
from autograd_viz.custom_functions.data import Finding, nudged_number
from autograd_viz.custom_functions.habits import said
from autograd_viz.custom_functions.runs import Pass, Run
from autograd_viz.names import is_tensor
from autograd_viz.text import joined

DETACHED = "Use {} without .detach(), .item(), torch.no_grad() and NumPy."


def of_returned(run: Run, known: Nudges, found: Pass) -> Iterator[Finding]:
    """What is wrong with the gradients as backward returns them."""
    wrong: list[Finding] = []
    if run.watched.last_call is not None:
        returned = run.watched.last_call.returned
        wrong = [*_count(run, returned)] or [*_kinds(run, returned)] or [*_shapes(run, returned)]
    yield from wrong
    if found.error is not None and not wrong:
        yield Finding("raises", f"The backward pass fails: {said(found.error)}", _remedy(run))
    if found.error is None:
        yield from _missing(run, known, found)


def _remedy(run: Run) -> str | None:
    """For a Function that has no rule at all."""
    cls = run.watched.cls
    if cls is None or cls.backward is not torch.autograd.Function.backward:
        return None
    if cls.vjp is not torch.autograd.Function.vjp:
        return None
    return "@staticmethod def backward(ctx, grad): return " + _wanted(run)


def _wanted(run: Run) -> str:
    """What backward has to return, as in `grad_x, None`."""
    return ", ".join(
        f"grad_{name}" if place in run.moved else "None" for place, name in enumerate(run.names)
    )


def _count(run: Run, returned: Sequence[Any]) -> Iterator[Finding]:
    count, wanted = len(returned), len(run.names)
    more = [value for value in returned[wanted:] if value is not None]
    if count < wanted or more:
        inputs = f"{wanted} input{'s' * (wanted != 1)} ({', '.join(run.names)})"
        yield Finding(
            "count",
            f"backward returns {count} gradient{'s' * (count != 1)}, and forward has {inputs}: it "
            "has to return one for each, in their order, and None for one that needs none.",
            f"return {_wanted(run)}",
        )


def _kinds(run: Run, returned: Sequence[Any]) -> Iterator[Finding]:
    wrong = [
        (name, "..." if value is ... else repr(value)[:40])
        for name, value in zip(run.names, returned, strict=False)
        if value is not None and not is_tensor(value)
    ]
    if wrong:
        shown = joined([f"{value} for {name}" for name, value in wrong])
        yield Finding(
            "type",
            f"backward returns {shown}, and a gradient is a tensor, or None.",
            f"return {_wanted(run)}",
        )


def _shapes(run: Run, returned: Sequence[Any]) -> Iterator[Finding]:
    for name, value, gradient in zip(run.names, run.given, returned, strict=False):
        if not (is_tensor(value) and is_tensor(gradient)) or gradient.shape == value.shape:
            continue
        if _sums_to(gradient.shape, value.shape):
            continue  # PyTorch sums over what was broadcast
        yield Finding(
            "shape",
            f"backward returns a gradient of shape {list(gradient.shape)} for {name}, whose shape "
            f"is {list(value.shape)}: a gradient has the shape of its input.",
            f"grad_{name} = {_reshaped(name, gradient, value)}",
        )


def _sums_to(size: Sequence[int], wanted: Sequence[int]) -> bool:
    try:
        return tuple(torch.broadcast_shapes(tuple(size), tuple(wanted))) == tuple(size)
    except RuntimeError:
        return False


def _reshaped(name: str, gradient: Tensor, value: Tensor) -> str:
    if gradient.shape[::-1] == value.shape:
        return f"grad_{name}.T"
    if gradient.numel() == value.numel():
        return f"grad_{name}.reshape({name}.shape)"
    if _sums_to(value.shape, gradient.shape):
        return f"grad_{name}.expand({name}.shape)"
    return f"torch.zeros_like({name}), filled with ∂L/∂{name}"


def _missing(run: Run, known: Nudges, found: Pass) -> Iterator[Finding]:
    for part, position in enumerate(run.moved):
        if found.gradients[part] is not None:
            continue
        moving = [
            (place, column.slope[at].item(), output)
            for place, column in zip(known.moved, known.columns, strict=True)
            if place.part == part
            for output, at in known.compared
            if abs(column.slope[at].item()) > column.error[at].item()
        ]
        if moving:
            place, slope, output = max(moving, key=lambda each: abs(each[1]))
            name = run.names[position]
            moves = (
                "and the output moves with it: the nudge gives "
                f"∂{run.output_name(output)}/∂{run.input_name(place)} = {nudged_number(slope)}."
            )
            if run.watched.cls is not None:
                text, line = f"backward returns None for {name}, {moves}", f"return {_wanted(run)}"
                yield Finding("none", text, line)
            else:
                text = f"Autograd brings no gradient to {name}, {moves}"
                yield Finding("none", f"{text} {DETACHED.format(name)}")
