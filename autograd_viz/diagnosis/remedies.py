"""What a gradient would be if an input were kept away from where its operation has no slope."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from autograd_viz.diagnosis.by_hand import Index, Pass, Rebuilt, vjp
from autograd_viz.diagnosis.origins import Origin, beginning
from autograd_viz.diagnosis.trouble_facts import Factors
from autograd_viz.model import Edge, Slot, Trace
from autograd_viz.recording import Recorded, recorded_pass
from autograd_viz.side_effects import own_pass
from autograd_viz.steps import Steps

LEAST = 1e-12
NEAR = 1e-6
HARMLESS = (1.0, 0.5, 2.0)
Grads = tuple[Tensor | None, ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """A pass that can be run again, and the tensor whose gradient is asked for."""

    run: Pass
    slot: Slot
    outputs: tuple[Tensor, ...]
    frame: FrameType | None  # where tensors with retain_grad() are looked for


@dataclass(frozen=True, eq=False)
class Remedy:
    """A change of the program that was tried: of one operation's input."""

    edge: Edge  # from the operation to that input
    number: float | None  # what stands in the place of elements that are not used
    options: Mapping[str, float]  # of clamp, where that was tried
    index: Index  # an element that was changed
    before: Tensor  # the gradient asked for, as it is
    after: Tensor  # and with this change


def tried(asked: Asked, origin: Origin, found: Factors) -> Remedy | None:
    """The first change of an input after which the gradient is finite; None if none was found.

    The forward values that follow from the change are computed again up to where they are not
    used, and then the engine runs once more. None also where one of them cannot be computed.
    """
    run = asked.run
    before = run.trace.arrived(asked.slot)
    assert before is not None  # or nothing would be asked
    for edge, value, part in _inputs(run, origin):
        for number, options, guard in _guards(value, part, unused=found.behind is not None):
            with torch.enable_grad():
                given = value.clone().requires_grad_()
                guarded = guard(given)
                (through,) = torch.autograd.grad(guarded.sum(), given)
            end = _end(found)
            changed = _changed(run, edge, guarded.detach(), end)
            if changed is None:
                continue
            after = _again(asked, edge, changed, through)
            if after is not None and bool(after.isfinite().all()):
                index: Index = tuple(part.nonzero()[0].tolist())
                return Remedy(edge, number, options, index, before, after)
    return None


def _inputs(run: Pass, origin: Origin) -> Iterator[tuple[Edge, Tensor, Tensor]]:
    """The inputs to keep away: the step's own, or those of the first value that is not finite."""
    assert origin.edge is not None  # a hook or a sum has no remedy here
    value = run.value(origin.slot)
    if value is None:
        return
    if bool(value[origin.part].isfinite().all()):
        yield origin.edge, value, origin.part
        return
    first = beginning(run, origin.slot)
    if first is None or not first.clean:
        return
    bad = ~run.values.get(first.slot, run.value(first.slot)).isfinite()  # type: ignore[union-attr]
    for edge in run.graph.out_edges[first.slot.node]:
        given = run.value(Slot(edge.target, edge.output_nr))
        if given is not None and given.shape == bad.shape:
            yield edge, given, bad


def _guards(
    value: Tensor, part: Tensor, unused: bool
) -> Iterator[tuple[float | None, dict[str, float], Callable[[Tensor], Tensor]]]:
    """(number, options of clamp, the change): what to give to the operation in the input's place.

    A limit is tried only where the elements are at it or, of 0, beyond it.
    """
    if unused:
        for number in HARMLESS:
            yield number, {}, partial(_replaced, part=part, number=number)
        return
    there = value[part]
    for options, fits in (
        ({"min": LEAST}, there <= 0),
        ({"max": 1 - NEAR}, (there - 1).abs() <= NEAR),
        ({"min": -1 + NEAR}, (there + 1).abs() <= NEAR),
    ):
        if bool(fits.all()):
            yield None, options, partial(torch.clamp, **options)


def _replaced(value: Tensor, part: Tensor, number: float) -> Tensor:
    return torch.where(part, torch.full_like(value, number), value)


def _end(found: Factors) -> int | None:
    """The node that does not use the elements."""
    if found.behind is None or found.behind.edge is None:
        return None
    return found.behind.edge.source


_Calls = dict[int, tuple[Rebuilt, Sequence[Tensor | None]]]


def _changed(run: Pass, edge: Edge, value: Tensor, end: int | None) -> _Calls | None:
    """The operations that see the change, with what they are given then."""
    new: dict[Slot, Tensor | None] = {}  # None: changed, and not known
    calls: _Calls = {}
    for step in reversed(run.trace.steps):
        node = step.node
        mine = node == edge.source
        if node == end or not (mine or any(slot in new for slot in run.inputs(node))):
            continue
        call = _with_new(run, node, new, (edge.input_index, value) if mine else None)
        made = None if call is None else vjp(*call, None)
        if call is not None and made is not None:
            calls[node] = call
            new[Slot(node, 0)] = made[0]
            continue
        results = {Slot(node, nr): None for nr in range(len(step.grad_outputs))}
        kept = map(run.slot_of, run.saved(node).values())
        if mine or any(slot in new or slot in results for slot in kept if slot is not None):
            return None  # its slope depends on what is not known
        new |= results
    return calls


def _with_new(
    run: Pass, node: int, new: Mapping[Slot, Tensor | None], own: tuple[int, Tensor] | None
) -> tuple[Rebuilt, Sequence[Tensor | None]] | None:
    """An operation with its changed inputs; None where one of them is not known."""
    found = run.rebuilt(node)
    if found is None:
        return None
    call, inputs = found
    slots = run.inputs(node)
    given = [
        new[slot] if slot is not None and slot in new else one
        for slot, one in zip(slots, inputs, strict=True)
    ]
    if own is not None:
        given[own[0]] = own[1]
    lost = any(slot is not None and one is None for slot, one in zip(slots, given, strict=True))
    return None if lost else (call, given)


def _again(asked: Asked, edge: Edge, calls: _Calls, through: Tensor) -> Tensor | None:
    """The gradient asked for, from a pass in which these operations send what they would."""
    run, hooks = asked.run, []

    def sends(node: int, grad_inputs: Grads, grad_outputs: Grads) -> Grads | None:
        if own_pass() is None or grad_outputs[0] is None:
            return None
        made = vjp(*calls[node], grad_outputs[0])
        if made is None:
            raise RuntimeError("it went before")
        sent = list(made[1])
        if node == edge.source:
            mine = sent[edge.input_index]
            sent[edge.input_index] = None if mine is None else mine * through
        return tuple(
            None if old is None else new for new, old in zip(sent, grad_inputs, strict=True)
        )

    try:
        for node in calls:
            hook: Any = run.walk.functions[node].register_hook(partial(sends, node))
            hooks.append(hook)
        found = recorded_pass(run.walk, asked.outputs, run.trace.starts, asked.frame)
    except Exception:  # a hook or a backward of the reader's may raise anything
        return None
    finally:
        for hook in hooks:
            hook.remove()
    return _trace(run, found).arrived(asked.slot)


def _trace(run: Pass, found: Recorded) -> Trace:
    steps = Steps(run.graph, run.walk, run.trace.starts, found.events)
    return Trace(run.graph, steps, found.leaf_grads, run.trace.starts, {}, found.notes)
