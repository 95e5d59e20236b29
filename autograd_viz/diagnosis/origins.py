"""Where in a recorded backward pass a zero, a NaN or an inf begins: the step and the element."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from autograd_viz.diagnosis.by_hand import (
    MOST_AGAIN,
    NOISE,
    Index,
    Pass,
    at,
    first,
    is_plain,
    noise,
)
from autograd_viz.model import Edge, Slot, summed

SEVERAL = 4_096  # elements; where all of more are NaN, the way up is not asked for at each step
MOST = 3_000  # values that are looked at on the way up


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a gradient becomes zero, NaN or inf, observed in a pass.

    `by` says what made it so: a step of the pass, a hook, the sum of what several steps sent, the
    gradient that the pass began with.
    """

    by: Literal["step", "hook", "sum", "start"]
    slot: Slot  # the forward value whose gradient it is
    part: Tensor  # which elements of it, as a mask
    became: Tensor  # the gradient of the value
    edge: Edge | None = None  # by which the step sent it
    before: Tensor | None = None  # of a hook: what it was given
    terms: tuple[tuple[Edge | None, Tensor], ...] = ()  # of a sum: what each step sent
    node: int | None = None  # of a hook: the node whose run it belongs to
    later: Edge | None = None  # of an inf: the step that made NaN of it
    opposed: Slot | None = None  # or the value for which inf and -inf arrived

    @property
    def index(self) -> Index:
        """The first of its elements."""
        return first(self.part)


def brought(run: Pass, slot: Slot) -> list[tuple[Edge | None, Tensor]]:
    """What arrives for a value, in the order in which the engine adds; None: the pass's start."""
    trace = run.trace
    found: list[tuple[Edge | None, Tensor]] = [
        (None, start)
        for start, output in zip(trace.starts, run.graph.outputs, strict=True)
        if output == slot
    ]
    edges = run.graph.in_edges[slot.node]
    for edge in sorted(edges, key=lambda edge: trace.step_of.get(edge.source, -1)):
        value = trace.sent(edge)
        if value is not None and edge.output_nr == slot.output_nr:
            found.append((edge, value))
    return found


def zeros(run: Pass, slot: Slot, part: Tensor | None = None) -> tuple[Origin, ...] | None:
    """Where the zeros begin that arrive for a value, or for some elements of it.

    There may be one on each way from the output; the one that ran first stands first. None where
    that cannot be told: numbers of the pass were not kept, or are of a kind that is not read.
    """
    grad = run.trace.arrived(slot)
    if grad is None or not is_plain(grad):
        return None
    everything = torch.ones_like(grad, dtype=torch.bool)
    waiting = [(slot, everything if part is None else part)]
    seen: dict[Slot, Tensor] = {}
    found: list[Origin] = []
    while waiting:
        slot, part = waiting.pop(0)
        known = seen.get(slot)
        if known is not None and not bool((part & ~known).any()):
            continue
        seen[slot] = part if known is None else part | known
        sent = brought(run, slot)
        if len(seen) > MOST or not all(is_plain(value) for _, value in sent):
            return None
        grad = run.trace.arrived(slot)
        assert grad is not None  # what is on the way up was reached
        if any(bool(((value != 0) & part).any()) for _, value in sent):
            found.append(_made_at(run, slot, part, grad, sent))
            continue
        for edge, value in sent:
            if edge is None:
                found.append(Origin("start", slot, part, grad))
            elif not _above(run, edge, part, value, found, waiting):
                return None
    order = run.trace.step_of
    return tuple(sorted(found, key=lambda one: order[_ran(one)]))


def _ran(origin: Origin) -> int:
    """The node whose step an origin belongs to."""
    if origin.edge is not None:
        return origin.edge.source
    return origin.slot.node if origin.node is None else origin.node


def _made_at(
    run: Pass, slot: Slot, part: Tensor, grad: Tensor, sent: Sequence[tuple[Edge | None, Tensor]]
) -> Origin:
    """What arrived for a value adds up to what its gradient is, or else a hook changed it."""
    total = summed([value for _, value in sent])
    if _equal(total[part], grad[part]):
        return Origin("sum", slot, part, grad, terms=tuple(sent))
    return Origin("hook", slot, part, grad, before=total, node=slot.node)


def _equal(one: Tensor, other: Tensor) -> bool:
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def _above(
    run: Pass,
    edge: Edge,
    part: Tensor,
    sent: Tensor,
    found: list[Origin],
    waiting: list[tuple[Slot, Tensor]],
) -> bool:
    """Go on from zeros that a step sent: it made them, or got them from above."""
    arrived = run.arrived(edge.source)
    if not all(map(is_plain, arrived)):
        return False
    if not any(bool(grad.any()) for grad in arrived):  # nothing arrives for any element
        for nr, grad in enumerate(arrived):
            if run.trace.arrived(Slot(edge.source, nr)) is not None:
                waiting.append((Slot(edge.source, nr), torch.ones_like(grad, dtype=torch.bool)))
        return True
    target = Slot(edge.target, edge.output_nr)
    without = run.sends(edge.source, arrived)
    value = None if without is None else without[edge.input_index]
    if value is not None and bool(((value != 0) & part).any()) and not _is_noise(value, arrived):
        hooked = Origin("hook", target, part, sent, edge, before=value, node=edge.source)
        found.append(hooked)
        return True
    flat = _flat(run, edge, part)
    single = arrived[0].shape == part.shape and len(arrived) == 1  # as of relu, element by element
    heard = flat & (arrived[0] != 0) if single else flat
    is_flat = bool(heard.any())
    if is_flat or not part.numel():
        found.append(Origin("step", target, flat, sent, edge))
    rest = part & ~flat if is_flat else part
    if not bool(rest.any()):
        return True
    reads = run.reads(edge, rest)
    if reads is not None and single:  # where it is flat, but nothing arrives: look above
        reads = [reads[0] | (flat & rest)]
    if reads is None or any_of(arrived, reads) or (not is_flat and _is_lost(run, edge, arrived)):
        found.append(Origin("step", target, rest, sent, edge))
    else:
        for nr, read in enumerate(reads):
            above = Slot(edge.source, nr)
            if bool(read.any()) and run.trace.arrived(above) is not None:
                waiting.append((above, read))
    return True


def _flat(run: Pass, edge: Edge, part: Tensor) -> Tensor:
    """The elements that get 0 whatever arrives."""
    sent = run.sends(edge.source, run.random(edge.source))
    value = None if sent is None else sent[edge.input_index]
    return torch.zeros_like(part) if value is None else part & (value == 0)


def _is_lost(run: Pass, edge: Edge, arrived: Sequence[Tensor]) -> bool:
    """Whether what arrives goes on to no input of the operation, as where it is saturated."""
    heard = [torch.zeros_like(grad, dtype=torch.bool) for grad in arrived]
    for other in run.graph.out_edges[edge.source]:
        whole = torch.ones(run.shape(Slot(other.target, other.output_nr)), dtype=torch.bool)
        reads = run.reads(other, whole.to(arrived[0].device))
        if reads is None:
            return False
        heard = [one | read for one, read in zip(heard, reads, strict=True)]
    return not any_of(arrived, heard)


def any_of(grads: Sequence[Tensor], parts: Sequence[Tensor]) -> bool:
    """Whether one of the marked elements is not 0."""
    return any(bool(((grad != 0) & part).any()) for grad, part in zip(grads, parts, strict=True))


def _is_noise(value: Tensor, arrived: Sequence[Tensor]) -> bool:
    """Whether a number may be the last bits of what arrived, so that two runs need not agree."""
    size = max(float(grad.abs().max()) for grad in arrived if grad.numel())
    return float(value.abs().max()) <= NOISE * torch.finfo(value.dtype).eps * size


def trouble(run: Pass, slot: Slot) -> Origin | None:
    """Where a NaN or an inf begins that arrives for a value; None where that cannot be told."""
    grad = run.trace.arrived(slot)
    if grad is None or not is_plain(grad):
        return None
    part = ~grad.isfinite()
    after: dict[str, Any] = {}
    for _ in range(MOST):
        sent = brought(run, slot)
        if not bool(part.any()) or not all(is_plain(value) for _, value in sent):
            return None
        assert grad is not None  # what is on the way up was reached
        marked = [(edge, value, part & ~value.isfinite()) for edge, value in sent]
        bad = [(edge, value, mine) for edge, value, mine in marked if bool(mine.any())]
        if not bad:
            return replace(_made_at(run, slot, part, grad, sent), **after)
        edge, value, part = bad[0]
        if bool(grad[part].isnan().any()) and not any(bool(one.isnan().any()) for _, one, _ in bad):
            after["opposed"] = slot
        if edge is None:
            return Origin("start", slot, part, value, **after)
        step = _begins(run, edge, part, value)
        if step is None or isinstance(step, Origin):
            return None if step is None else replace(step, **after)
        slot, above = step
        grad = run.trace.arrived(slot)
        assert grad is not None  # it holds what is not finite
        if bool(value[part].isnan().any()) and not bool(grad[above].isnan().any()):
            after["later"] = edge
        part = above
    return None


def _begins(
    run: Pass, edge: Edge, part: Tensor, sent: Tensor
) -> Origin | tuple[Slot, Tensor] | None:
    """The origin, if a step made it; else the value above, and the elements, from which it came."""
    arrived = run.arrived(edge.source)
    if not all(map(is_plain, arrived)):
        return None
    bad = [~grad.isfinite() for grad in arrived]
    for nr, one in enumerate(bad):
        if bool(one.all()) and one.numel() > SEVERAL:  # a large one: nothing is to be told apart
            return Slot(edge.source, nr), one
    target = Slot(edge.target, edge.output_nr)
    without = run.sends(edge.source, arrived)
    value = None if without is None else without[edge.input_index]
    if value is not None and not bool((~value.isfinite() & part).any()):
        return Origin("hook", target, part, sent, edge, before=value, node=edge.source)
    if not any(bool(one.any()) for one in bad):
        return Origin("step", target, part, sent, edge)
    reads = run.reads(edge, part) or bad
    for nr, (one, read) in enumerate(zip(bad, reads, strict=True)):
        if bool((one & read).any()):
            return Slot(edge.source, nr), one & read
    # With finite numbers in the place of what arrives as NaN or inf: is it still so?
    mended = [grad.nan_to_num(1.0, 1.0, 1.0) for grad in arrived]
    without = run.sends(edge.source, mended)
    value = None if without is None else without[edge.input_index]
    if value is not None and bool((~value.isfinite() & part).any()):
        return Origin("step", target, part & ~value.isfinite(), sent, edge)
    nr = next(nr for nr, one in enumerate(bad) if bool(one.any()))
    return Slot(edge.source, nr), bad[nr]  # as of 0 * inf, where the slope is 0


@dataclass(frozen=True, eq=False)
class Beginning:
    """The first value of the forward pass that is not finite, of those that are known."""

    slot: Slot
    index: Index
    value: float
    inputs: tuple[tuple[Slot, Tensor | None], ...]  # what it was computed from; None: not known
    clean: bool  # whether all of these are known, and finite


def beginning(run: Pass, end: Slot, output: Tensor | None = None) -> Beginning | None:
    """Where NaN or inf begins on the way from the leaves to a value; None if none is known."""
    values = dict(run.values)
    for node in run.trace.step_of if len(run.trace.step_of) <= MOST_AGAIN else ():
        value = run.value(Slot(node, 0))
        if value is not None and is_plain(value):
            values.setdefault(Slot(node, 0), value)
    if output is not None and is_plain(output):
        values.setdefault(end, output.detach())
    bad = {
        slot
        for slot, value in values.items()
        if is_plain(value) and not bool(value.isfinite().all())
    }
    if not bad:
        return None
    below = set(_below(run, end))
    # What is computed first comes last in the pass.
    order = {slot: run.trace.step_of.get(slot.node, -1) for slot in bad if slot.node in below}
    if not order:
        return None
    slot = max(order, key=lambda slot: (order[slot], slot))
    inputs = tuple((one, values.get(one)) for one in run.inputs(slot.node) if one is not None)
    known = all(value is not None for _, value in inputs)
    index = first(~values[slot].isfinite())
    return Beginning(slot, index, at(values[slot], index), inputs, known)


def _below(run: Pass, slot: Slot) -> Iterator[int]:
    seen, waiting = {slot.node}, [slot.node]
    while waiting:
        node = waiting.pop()
        yield node
        for edge in run.graph.out_edges[node]:
            if edge.target not in seen:
                seen.add(edge.target)
                waiting.append(edge.target)


def rounding(run: Pass, slot: Slot) -> tuple[Origin, float] | None:
    """The first step or sum on the way whose result is no more than rounding; the terms' size.

    Of a long way only the steps nearest to the value are looked at.
    """
    above = [node for node in _above_of(run, slot.node) if node in run.trace.step_of]
    above = sorted(above, key=lambda node: -run.trace.step_of[node])[:MOST_AGAIN]
    way = {*above}
    for node in reversed(above):
        for nr in range(len(run.walk.functions[node]._input_metadata)):
            target = Slot(node, nr)
            sent = brought(run, target)
            grad = run.trace.arrived(target)
            if grad is None or not all(is_plain(value) for _, value in (*sent, (None, grad))):
                continue
            sizes = [float(value.abs().max()) for _, value in sent if value.numel()]
            if len(sizes) > 1 and _is_rounding(grad, max(sizes)):
                part = torch.ones_like(grad, dtype=torch.bool)
                return Origin("sum", target, part, grad, terms=tuple(sent)), max(sizes)
        for edge in run.graph.out_edges[node]:
            value = run.trace.sent(edge)
            if edge.target in way and value is not None and (size := cancelled(run, edge)):
                part = torch.ones_like(value, dtype=torch.bool)
                target = Slot(edge.target, edge.output_nr)
                return Origin("step", target, part, value, edge), size
    return None


def _above_of(run: Pass, node: int) -> set[int]:
    found, waiting = {node}, [node]
    while waiting and len(found) < MOST:
        for edge in run.graph.in_edges[waiting.pop()]:
            if edge.source not in found:
                found.add(edge.source)
                waiting.append(edge.source)
    return found


def _is_rounding(value: Tensor, size: float) -> bool:
    """Whether numbers are no more than what is lost when terms of a size are added up."""
    return bool(value.any()) and float(value.abs().max()) <= (
        NOISE * torch.finfo(value.dtype).eps * size
    )


def cancelled(run: Pass, edge: Edge) -> float | None:
    """The size of the terms that cancel, where what a step sends is no more than their rounding.

    With other signs the same numbers do not cancel.
    """
    arrived = run.arrived(edge.source)
    sent = run.trace.sent(edge)
    if sent is None or not all(map(is_plain, (sent, *arrived))) or not bool(sent.any()):
        return None
    mixed = [grad * noise(grad, 0).sign() for grad in arrived]
    other = run.sends(edge.source, mixed)
    value = None if other is None else other[edge.input_index]
    if value is None or not value.numel():
        return None
    size = float(value.abs().max())
    return size if _is_rounding(sent, size) else None
