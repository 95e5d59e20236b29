"""What a Function does besides its numbers: what it changes, shares, keeps, and takes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from autograd_viz.custom_functions.data import Finding
from autograd_viz.custom_functions.runs import Pass, Run, reals
from autograd_viz.custom_functions.slopes import tolerance
from autograd_viz.kept_state import random_numbers_kept
from autograd_viz.names import is_tensor
from autograd_viz.text import joined, number

LARGE = 1024.0  # by how much more arrives at once, to see whether as much more comes back


def of_forward(run: Run) -> Iterator[Finding]:
    """What forward changes, shares with its inputs, and keeps; and whether it repeats itself."""
    if run.watched.cls is not None:
        yield from _changed_inputs(run)
        yield from _views(run)
        yield from _kept(run)
    if not _alike(run.at(run.given), run.at(run.given), 0.0):
        yield Finding(
            "not repeatable",
            "Two runs of forward with the same inputs and the same random numbers give different "
            "outputs, so no nudge can be compared with the rule. Give what changes from run to run "
            "as an input.",
        )


def _changed_inputs(run: Run) -> Iterator[Finding]:
    dirty = [id(tensor) for tensor in run.context.dirty]
    for place, (name, before) in enumerate(zip(run.names, run.given, strict=True)):
        now = run.arguments[place]
        if not is_tensor(now) or id(now) in dirty:
            continue
        if not bool(torch.isclose(now.detach(), before, rtol=0, atol=0, equal_nan=True).all()):
            yield Finding(
                "input changed",
                f"forward changes its input {name} in place and does not say so: autograd then "
                f"believes that the old numbers are still there. Say ctx.mark_dirty({name}) and "
                f"return {name} itself, or work on a copy.",
                f"{name} = {name}.clone()",
            )


def _views(run: Run) -> Iterator[Finding]:
    dirty = [id(tensor) for tensor in run.context.dirty]
    memory = {
        _address(value): name
        for name, value in zip(run.names, run.arguments, strict=True)
        if is_tensor(value) and id(value) not in dirty and value.numel()
    }
    for name, output in zip(run.output_names, run.outputs, strict=True):
        shared = memory.get(_address(output)) if output.numel() else None
        if shared:
            yield Finding(
                "view",
                f"The output {name} is a view: it shares its memory with the input {shared}, so "
                f"PyTorch refuses to change {name} in place, and a change of {shared} changes "
                "it too.",
                f"return {name}.clone()",
                wrong=False,
            )


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _kept(run: Run) -> Iterator[Finding]:
    for name in run.context.kept:
        yield Finding(
            "kept outside",
            f"ctx.{name} is a tensor that is kept as an attribute: a change of it in place before "
            "the backward pass goes unnoticed, and an output kept so is never freed.",
            f"ctx.save_for_backward({name})",
            wrong=False,
        )


def of_state(run: Run, starts: Sequence[Tensor | None]) -> Iterator[Finding]:
    """What backward changes in place, and whether it gives the same twice."""
    first = run.back(starts)
    with random_numbers_kept():
        random.random(), torch.rand(1)  # a backward that draws would draw the same twice
        second = run.back(starts)
    call = run.watched.last_call
    names = call.saved_changed if call else ()
    if names:
        yield Finding(
            "saved changed",
            f"backward changes in place what it saved ({joined(names)}): a second backward pass "
            "finds other numbers. Work on a copy.",
            f"{names[0]} = {names[0]}.clone()"
            if "[" not in names[0]
            else "saved = [each.clone() for each in ctx.saved_tensors]",
        )
    arriving = call is not None and call.arriving_changed
    if arriving:
        yield Finding(
            "arriving changed",
            "backward changes the gradient that arrives, in place: others may hold the same "
            "tensor, and where it was expanded, as by sum(), this is an error. Work on a copy.",
            "grad = grad.clone()",
        )
    on_cpu = run.leaves[0].device.type == "cpu"
    if not names and not arriving and _gave_other(first, second, 0.0 if on_cpu else run.eps**0.5):
        yield Finding(
            "not repeatable",
            "Two backward passes of the same graph, with the same gradient arriving, give "
            "different gradients. Save in forward what backward needs, random numbers too.",
            "ctx.save_for_backward(mask)",
        )


def of_arriving(run: Run, starts: Sequence[Tensor | None]) -> Iterator[Finding]:
    """Whether backward takes any gradient: of other sizes, of other layouts, for one output."""
    usual = run.back(starts)
    scale = LARGE if run.eps < 1e-4 else 2.0
    larger = run.back([None if start is None else start * scale for start in starts])
    if not all(each is None or bool(each.isfinite().all()) for each in usual.gradients):
        pass  # no multiple of NaN or inf is another
    elif larger.error is None and _gave_other(larger, usual, 0.0):
        if _gave_other(larger, _times(usual, scale), 16 * tolerance(run.eps)):
            yield Finding(
                "not linear",
                f"Where {number(scale)} times as much arrives, backward does not give "
                f"{number(scale)} times as much: a gradient is what arrives, times a local "
                "derivative.",
                "return grad * local_derivative",
            )
    elif larger.error is None and any(_any(each) for each in usual.gradients):
        yield Finding(
            "not linear",
            "backward gives the same whatever arrives: it does not use the gradient of the output.",
            "return grad * local_derivative",
        )
    yield from _layouts(run, starts)
    yield from _one_at_a_time(run, starts)


def _layouts(run: Run, starts: Sequence[Tensor | None]) -> Iterator[Finding]:
    """Gradients as sum() and a transposed view bring them."""
    expanded = [None if start is None else _expanded(start) for start in starts]
    strided = [None if start is None else _strided(start) for start in starts]
    kinds = (
        (expanded, "expanded from one number, as by sum()"),
        (strided, "not contiguous, as from a transposed or sliced output"),
    )
    scale = _largest(run.back(starts))
    for given, when in kinds:
        plain = run.back([None if start is None else start.clone(
            memory_format=torch.contiguous_format) for start in given])  # fmt: skip
        found = run.back(given)
        if found.error is not None:
            yield Finding(
                "layout",
                f"backward fails where the gradient that arrives is {when}: {said(found.error)}",
                "grad = grad.contiguous()",
            )
        elif _gave_other(found, plain, tolerance(run.eps), scale):
            yield Finding(
                "layout",
                f"backward gives other gradients where the one that arrives is {when}, though its "
                "numbers are the same.",
                "grad = grad.contiguous()",
            )


def _one_at_a_time(run: Run, starts: Sequence[Tensor | None]) -> Iterator[Finding]:
    """Where only one of several outputs is used."""
    for place, name in enumerate(run.output_names if len(run.outputs) > 1 else ()):
        found = run.back([start if at == place else None for at, start in enumerate(starts)])
        if found.error is not None:
            yield Finding(
                "raises",
                f"backward fails where {name} alone is used, and None arrives for the other "
                f"outputs: {said(found.error)} Ask for None first, or let zeros arrive.",
                "ctx.set_materialize_grads(True)",
            )
            return


def said(error: Exception) -> str:
    """An error on one line, as a sentence."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words.rstrip('.')}." if words else f"{type(error).__name__}."


def _expanded(start: Tensor) -> Tensor:
    return torch.full((), 1.5, dtype=start.dtype, device=start.device).expand(start.shape)


def _strided(start: Tensor) -> Tensor:
    if start.ndim > 1:
        return start.transpose(0, -1).contiguous().transpose(0, -1)
    apart = start.new_empty((*start.shape, 2))[..., 0]
    return apart.copy_(start)


def dense(run: Run) -> list[Tensor | None]:
    """A gradient for each output, with no 1 and no 0 in it, and no two elements alike."""
    generator = torch.Generator().manual_seed(0)
    starts: list[Tensor | None] = []
    for output in run.outputs:
        start = torch.zeros_like(output, memory_format=torch.contiguous_format)
        size = reals(start).shape
        values = torch.rand(size, generator=generator, dtype=torch.float64) + 1.25
        signs = torch.randint(2, size, generator=generator) * 2 - 1
        reals(start).copy_(values * signs)
        starts.append(start)
    return starts


def _times(found: Pass, factor: float) -> Pass:
    return Pass(tuple(None if each is None else each * factor for each in found.gradients))


def _gave_other(one: Pass, other: Pass, relative: float, scale: float = 0.0) -> bool:
    """Whether two passes gave different gradients; None is as good as 0.

    `scale` is how large gradients of this Function are: where they cancel, rounding is left.
    """
    nothing = torch.zeros(())
    return any(
        not _alike(nothing if a is None else a, nothing if b is None else b, relative, scale)
        for a, b in zip(one.gradients, other.gradients, strict=False)
    )


def _largest(found: Pass) -> float:
    sizes = [each.detach().abs().max().item() for each in found.gradients if each is not None]
    return max((float(size) for size in sizes if size == size), default=0.0)


def _alike(one: Tensor, other: Tensor, relative: float, scale: float = 0.0) -> bool:
    one, other = reals(one.detach()).cpu().double(), reals(other.detach()).cpu().double()
    if one.numel() != other.numel() and 1 not in (one.numel(), other.numel()):
        return False
    largest = torch.cat([one.reshape(-1), other.reshape(-1)]).abs().nan_to_num(0, 0, 0).max()
    absolute = relative * max(largest.item(), scale)
    return bool(torch.isclose(one, other, relative, absolute, equal_nan=True).all())


def _any(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.detach().any())
