"""The two factors of which a step makes NaN or inf, and what had sent the 0 among them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autograd_viz.diagnosis.by_hand import Index, Pass, at, first
from autograd_viz.diagnosis.origins import Origin, zeros
from autograd_viz.model import Edge, Slot


@dataclass(frozen=True, eq=False)
class Factors:
    """One element of what a step sends, as the product of what arrived and the slope there."""

    index: Index  # of the input
    sent: float  # NaN, inf or -inf
    value: float | None  # the forward value there; None: not known
    result: float | None  # and what the operation made of it
    above: Slot  # the operation's result
    place: Index | None = None  # the element of what arrives; None: there are several
    arrived: float | None = None
    slope: float | None = None  # times `arrived` it is what was sent
    behind: Origin | None = None  # where a 0 that arrives began


def factors(run: Pass, origin: Origin) -> Factors:
    """What arrived, and the slope, at the first element at which a step made NaN or inf."""
    edge, index = origin.edge, origin.index
    assert edge is not None  # or no step made it
    above = Slot(edge.source, 0)
    sent = at(origin.became, index)
    value, result = run.value(origin.slot), run.value(above)
    here = None if value is None else at(value, index)
    place = _place(run, edge, origin.part.shape, index)
    made = at(result, place) if result is not None and place is not None else None
    plain = Factors(index, sent, here, made, above)
    if place is None:
        return plain
    arrived = run.arrived(edge.source)
    one = torch.zeros_like(arrived[0])
    one[place] = 1
    found = run.sends(edge.source, [one, *(torch.zeros_like(grad) for grad in arrived[1:])])
    slopes = None if found is None else found[edge.input_index]
    if slopes is None:
        return plain
    grad, slope = at(arrived[0], place), at(slopes, index)
    product = torch.tensor(grad, dtype=arrived[0].dtype) * torch.tensor(slope, dtype=slopes.dtype)
    if not _alike(float(product), sent):
        return plain
    behind = None
    if grad == 0:
        mask = one != 0
        behind = next(iter(zeros(run, above, mask) or ()), None)
    return Factors(index, sent, here, made, above, place, grad, slope, behind)


def _place(run: Pass, edge: Edge, shape: torch.Size, index: Index) -> Index | None:
    """The one element of what arrives that an element of what is sent is made of."""
    arrived = run.arrived(edge.source)
    part = torch.zeros(shape, dtype=torch.bool, device=arrived[0].device)
    part[index] = True
    reads = run.reads(edge, part)
    if reads is None:
        return index if arrived[0].shape == shape else None
    if any(bool(read.any()) for read in reads[1:]):
        return None
    many = int(reads[0].sum())
    if many == 1:
        return first(reads[0])
    # Where the slope is 0 none has a share, and where it is NaN all may look as if they had one.
    return index if arrived[0].shape == shape and _is_elementwise(run, edge) else None


def _is_elementwise(run: Pass, edge: Edge) -> bool:
    """Whether each element of what is sent is its own element of what arrives times a number."""
    sent: list[Tensor] = []
    for seed in (0, 1):
        upstream = run.random(edge.source, seed)
        found = run.sends(edge.source, upstream)
        value = None if found is None else found[edge.input_index]
        if value is None or len(upstream) != 1 or value.shape != upstream[0].shape:
            return False
        sent.append(value / upstream[0])
    one, other = sent
    return torch.allclose(one, other, rtol=1e-4, equal_nan=True)


def _alike(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
