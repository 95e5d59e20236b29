"""How a step makes zeros of what arrives: found by calling it with other gradients and inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from autograd_viz.diagnosis.by_hand import (
    NOISE,
    Index,
    Pass,
    Rebuilt,
    at,
    first,
    noise,
    vjp,
)
from autograd_viz.diagnosis.origins import Origin, any_of
from autograd_viz.model import Edge, Slot
from autograd_viz.names import is_tensor

MOST_TERMS = 64  # elements of an upstream gradient whose terms are computed one by one
GRADUAL = 1e-3  # of the largest slope: what is saturated has such slopes on the way to 0
_FACTORS = (0.0, 2**-8, 2**-6, 2**-4, 2**-3, 2**-2, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class How:
    """What makes a step send zeros. Of a kind only what was computed for it is filled in."""

    kind: Literal[
        "nothing",  # what the operation was given has no elements
        "factor",  # it is multiplied by a factor that is 0: with another one it is not 0
        "other",  # all of what arrives goes to another input
        "chosen",  # the result was taken from other elements
        "masked",  # a mask of the operation has one value at all these elements
        "step",  # other inputs change the result, but the slope is 0 at all that were tried
        "constant",  # no input that was tried changes the result
        "saturated",  # the slope becomes 0 little by little
        "flat",  # the slope is 0 here, and is not elsewhere
        "invariant",  # what arrives is the same along a dimension, along which nothing is passed on
        "cancel",  # terms that are not 0 add up to it
        "underflow",  # what arrives is so small that its products are below the least number
        "zero",  # whatever arrives, zero is sent: more is not known
        "unknown",
    ]
    index: Index  # the element
    value: float | None = None  # the forward value there
    slot: Slot | None = None  # the other input, or the factor where it has a place in the graph
    elements: tuple[tuple[Index, float | None], ...] = ()  # that were chosen, with their values
    mask: tuple[str, bool] | None = None  # its name, and its value at all these elements
    slopes: tuple[tuple[float, float], ...] = ()  # (input, what it sends there)
    dims: tuple[int, ...] = ()
    upstream: float = 0.0  # what arrives along these dimensions
    terms: tuple[float, ...] = ()
    tensor: Tensor | None = None  # the factor or the mask, where it needs no gradient


def how(run: Pass, origin: Origin) -> How:
    """What makes a step send zero to some elements of an input of its operation."""
    edge, index = origin.edge, origin.index
    assert edge is not None  # or no step made it
    value = run.value(origin.slot)
    here = at(value, index) if value is not None and value.numel() else None
    if not origin.part.numel() or not any(grad.numel() for grad in run.arrived(edge.source)):
        return How("nothing", index)
    upstream = run.random(edge.source)
    sent = run.sends(edge.source, upstream)
    mine = None if sent is None else sent[edge.input_index]
    if sent is None or mine is None:
        return How("unknown", index, here)
    if bool(((mine != 0) & origin.part).any()) and not _is_lost(run, origin):
        return _combined(run, origin, here)
    for found in (
        _factor(run, origin, upstream),
        _masked(run, origin),
        _other(run, origin, upstream, sent),
        _chosen(run, origin, mine, value),
        _probed(run, origin),
    ):
        if found is not None:
            return How(**{**vars(found), "index": index, "value": here})
    return How("zero", index, here)


def _is_lost(run: Pass, origin: Origin) -> bool:
    """Whether none of the elements that arrive as not 0 reaches these elements."""
    assert origin.edge is not None
    reads = run.reads(origin.edge, origin.part)
    return reads is not None and not any_of(run.arrived(origin.edge.source), reads)


def _factor(run: Pass, origin: Origin, upstream: Sequence[Tensor]) -> How | None:
    """Another input that is 0, with which what is sent grows as it grows: a factor."""
    edge = origin.edge
    assert edge is not None
    found = run.rebuilt(edge.source, filled=True)
    if found is None or len(upstream) != 1:
        return None
    call, inputs = found
    for place, (slot, other) in enumerate(zip(run.inputs(edge.source), inputs, strict=True)):
        if place == edge.input_index or other is None or not bool((other == 0).any()):
            continue
        # Of a factor it grows with it and changes its sign; of what is chosen it does neither.
        once, other_way = (
            _sent(call, inputs, place, other.double().where(other != 0, size), upstream[0], edge)
            for size in (0.73, -1.46)
        )
        if once is None or other_way is None:
            continue
        part = origin.part & (once != 0)
        if bool(part.any()) and torch.allclose(other_way[part], -2 * once[part], rtol=1e-4):
            return How("factor", (), slot=slot, tensor=other)
    return None


def _sent(
    call: Rebuilt,
    inputs: Sequence[Tensor | None],
    place: int,
    value: Tensor,
    upstream: Tensor,
    edge: Edge,
) -> Tensor | None:
    """What an operation would send along an edge if one of its inputs were another."""
    kept = inputs[place]
    given = [*inputs]
    given[place] = value if kept is None or not kept.is_floating_point() else value.to(kept.dtype)
    found = vjp(call, given, upstream)
    return None if found is None else found[1][edge.input_index]


def _masked(run: Pass, origin: Origin) -> How | None:
    """A mask that the operation saved, as masked_fill's, with one value at all these elements."""
    assert origin.edge is not None
    if len(run.graph.out_edges[origin.edge.source]) > 1:
        return None
    for name, value in run.saved(origin.edge.source).items():
        if is_tensor(value) and value.dtype is torch.bool:
            try:
                chosen = value.expand(origin.part.shape)[origin.part]
            except RuntimeError:  # of another shape
                continue
            if bool(chosen.all()) or not bool(chosen.any()):
                return How("masked", (), mask=(name, bool(chosen.all())), tensor=value)
    return None


def _other(
    run: Pass, origin: Origin, upstream: Sequence[Tensor], sent: Sequence[Tensor | None]
) -> How | None:
    """Another input to which all that arrives goes, element by element."""
    edge = origin.edge
    assert edge is not None
    if len(upstream) != 1 or upstream[0].shape != origin.part.shape:
        return None
    part = origin.part
    for place, (slot, value) in enumerate(zip(run.inputs(edge.source), sent, strict=False)):
        if place == edge.input_index or value is None or value.shape != part.shape:
            continue
        if bool((value[part] == upstream[0][part]).all()):
            return How("other", (), slot=slot, elements=_listed(origin.part, run, slot))
    return None


def _listed(
    part: Tensor, run: Pass, slot: Slot | None, most: int = 1
) -> tuple[tuple[Index, float | None], ...]:
    value = None if slot is None else run.value(slot)
    places = part.nonzero()[:most].tolist() if part.ndim else [[]]
    return tuple(
        (tuple(place), None if value is None else at(value, tuple(place))) for place in places
    )


def _chosen(run: Pass, origin: Origin, sent: Tensor, value: Tensor | None) -> How | None:
    """Other elements of the same input, which get what arrives."""
    assert origin.edge is not None
    (*_, upstream) = run.arrived(origin.edge.source)
    elsewhere = (sent != 0) & ~origin.part
    if not bool(elsewhere.any()) or upstream.shape == origin.part.shape:
        return None
    slot = None if value is None else origin.slot
    return How("chosen", (), elements=_listed(elsewhere, run, slot, 3))


def _probed(run: Pass, origin: Origin) -> How | None:
    """What the slope is at other inputs: between this one and 0, and on the other side of it."""
    edge = origin.edge
    assert edge is not None
    found = run.rebuilt(edge.source)
    arrived = run.arrived(edge.source)
    if found is None or len(arrived) != 1:
        return None
    call, inputs = found
    own = inputs[edge.input_index]
    if own is None or not bool(own.isfinite().all()):
        return None
    index = origin.index
    gradual, results = _slopes(
        call, inputs, edge, [own * factor for factor in _FACTORS], arrived[0], origin
    )
    beyond, others = _slopes(
        call,
        inputs,
        edge,
        [-own, own + 0.3, own - 0.3, *(torch.full_like(own, size) for size in (-2, 0.4, 2.4)),
         noise(own, 2), noise(own, 3) * 4],
        arrived[0],
        origin,
    )  # fmt: skip
    results += others
    largest = max((size for _, size in gradual + beyond), default=0.0)
    if not largest:
        same = all(torch.equal(one, results[0]) for one in results)
        alone = len(inputs) == 1  # with another input, it is so for this value of that one
        return How("constant" if same else "step" if alone else "zero", index)
    if any(0 < size < GRADUAL * largest for _, size in gradual):
        shown = [pair for pair in gradual if pair[1] > 0][-1:]
        return How("saturated", index, slopes=(gradual[0], *shown, gradual[-1]))
    best = max(beyond + gradual, key=lambda pair: pair[1])
    return How("flat", index, slopes=(best,))


def _slopes(
    call: Rebuilt,
    inputs: Sequence[Tensor | None],
    edge: Edge,
    points: Sequence[Tensor],
    upstream: Tensor,
    origin: Origin,
) -> tuple[list[tuple[float, float]], list[Tensor]]:
    """(input at the element, the largest that is sent to it) at some inputs; and the results."""
    found: list[tuple[float, float]] = []
    results: list[Tensor] = []
    for point in points:
        given = [*inputs]
        given[edge.input_index] = point
        made = vjp(call, given, upstream)
        if made is None:
            continue
        sent = made[1][edge.input_index]
        results.append(made[0])
        size = 0.0 if sent is None else float(sent[origin.part].abs().max())
        found.append((at(point, origin.index), size))
    return found, results


def _combined(run: Pass, origin: Origin, here: float | None) -> How:
    """Terms that are not 0 but add up to it: along a dimension, or one by one."""
    edge = origin.edge
    assert edge is not None
    arrived = run.arrived(edge.source)
    size = max(float(grad.abs().max()) for grad in arrived if grad.numel())
    scaled = _of(run, edge, [grad / size for grad in arrived])
    mixed = _of(run, edge, [grad / size * noise(grad, 0).sign() for grad in arrived])
    if scaled is None or mixed is None:
        return How("unknown", origin.index, here)
    eps = torch.finfo(scaled.dtype).eps
    if float(scaled[origin.part].abs().max()) > NOISE * eps * float(mixed.abs().max()):
        return How("underflow", origin.index, here, upstream=size)
    dims = invariant(run, edge)
    if dims is not None:
        grad = next(grad for grad in arrived if bool(grad.any()))
        return How("invariant", origin.index, here, dims=dims, upstream=at(grad, first(grad != 0)))
    return How("cancel", origin.index, here, terms=terms(run, edge, origin.index))


def _of(run: Pass, edge: Edge, upstream: Sequence[Tensor]) -> Tensor | None:
    """What is sent along an edge for another upstream gradient."""
    sent = run.sends(edge.source, upstream)
    return None if sent is None else sent[edge.input_index]


def invariant(run: Pass, edge: Edge) -> tuple[int, ...] | None:
    """The dimensions along which what arrives is the same, and along which nothing is passed on.

    So the sum of the results along them does not change when the input moves.
    """
    arrived = run.arrived(edge.source)
    if len([grad for grad in arrived if bool(grad.any())]) != 1:
        return None
    place, grad = next((nr, grad) for nr, grad in enumerate(arrived) if bool(grad.any()))
    for dims in _dimensions(grad.ndim):
        means = grad.mean(dims, keepdim=True)
        if not torch.allclose(grad, means.expand_as(grad), rtol=1e-5, atol=0):
            continue
        sizes = []
        for seed in (0, 1):
            level = noise(means, seed).expand_as(grad).contiguous()
            mixed = noise(grad, seed)
            pair = []
            for one in (level, mixed):
                upstream = [torch.zeros_like(each) for each in arrived]
                upstream[place] = one
                sent = run.sends(edge.source, upstream)
                value = None if sent is None else sent[edge.input_index]
                pair.append(0.0 if value is None else float(value.abs().max()))
            sizes.append(pair)
        eps = float(torch.finfo(grad.dtype).eps)
        if all(mixed and level <= NOISE * eps * mixed for level, mixed in sizes):
            return dims
    return None


def _dimensions(count: int) -> Iterator[tuple[int, ...]]:
    """Sets of dimensions over which operations normalise: one, the last ones, all but one."""
    sets: list[tuple[int, ...]] = [(dim,) for dim in reversed(range(count))]
    sets += [tuple(range(begin, count)) for begin in reversed(range(count))]
    sets += [tuple(dim for dim in range(count) if dim != one) for one in range(count)]
    yield from (each for each in dict.fromkeys(sets) if each)


def terms(run: Pass, edge: Edge, index: Index) -> tuple[float, ...]:
    """What each element of what arrives adds to one element of what is sent, if they are few."""
    arrived = run.arrived(edge.source)
    if sum(grad.numel() for grad in arrived) > MOST_TERMS:
        return ()
    found = []
    for nr, grad in enumerate(arrived):
        for place in (grad != 0).nonzero().tolist() if grad.ndim else [[]]:
            upstream = [torch.zeros_like(each) for each in arrived]
            upstream[nr][tuple(place)] = grad[tuple(place)]
            sent = run.sends(edge.source, upstream)
            value = None if sent is None else sent[edge.input_index]
            if value is not None and at(value, index):
                found.append(at(value, index))
    return tuple(found)
