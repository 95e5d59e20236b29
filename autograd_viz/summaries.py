"""What is kept of large tensors: norm, extremes, and how their elements spread."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from autograd_viz.text import has_numbers

ELEMENTS = 1 << 17  # of a tensor that are looked at at once: 1 MB in float64
SAMPLE = 1_024  # elements of which a stand-in knows the spread
SMALL = 1_024  # elements; a tensor of no more is always kept whole
DECADES = (-324, 309)  # powers of ten between which float64 has numbers
QUARTERS = 4  # parts of a decade in which elements are counted
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Summary(NamedTuple):
    """The elements of a tensor in a few numbers; of complex ones their magnitudes."""

    norm: float  # the square root of the sum of squares
    least: float
    largest: float
    zeros: float  # which share of the elements is 0, from 0.0 to 1.0
    # (p, how many elements have 10**(p/4) <= |g| < 10**((p+1)/4)), for those p that occur
    quarters: tuple[tuple[int, int], ...]
    broken: int  # how many are NaN or infinite; they and the zeros are in no quarter

    @property
    def decades(self) -> dict[int, int]:
        """How many elements have 10**p <= |g| < 10**(p + 1), by p.

        >>> Summary(2.0, 0.5, 2.0, 0.0, ((-2, 1), (0, 2), (1, 1)), 0).decades
        {-1: 1, 0: 3}
        """
        found: dict[int, int] = defaultdict(int)
        for power, count in self.quarters:
            found[power // QUARTERS] += count
        return dict(found)

    def magnitude(self, share: float) -> float | None:
        """The |g| that this share of the elements stays below; zeros and non-finite ones left out.

        Within a quarter of a decade they count as evenly spread, on a logarithmic scale.

        >>> Summary(2.0, 0.5, 2.0, 0.0, ((-1, 2), (0, 2)), 0).magnitude(0.5)
        1.0
        """
        left = share * sum(count for _, count in self.quarters)
        for power, count in self.quarters:
            if left <= count:
                return float(10.0 ** ((power + left / count) / QUARTERS))
            left -= count
        return None


def summarised(tensor: Tensor, *, cut: bool = False) -> Summary:
    """The summary of a tensor with numbers, of any layout, but not an empty one.

    Computed in float64, part by part, so that little more memory is needed.

    Args:
        tensor: the numbers.
        cut: whether what is only rounding counts as 0, as `rounding` says. A sum that is 0 in
            mathematics is 0 or some 1e-20 by the order in which a processor adds.

    >>> summarised(torch.tensor([3.0, 0.0, -4.0]))[:4]
    (5.0, -4.0, 3.0, 0.3333333333333333)
    >>> summarised(torch.tensor([3.0, 1e-9, -4.0]), cut=True).zeros
    0.3333333333333333
    """
    values = tensor.detach()
    implied = 0  # zeros that are not stored
    if values.layout is torch.sparse_coo:
        values = values.coalesce().values()
        implied = tensor.numel() - values.numel()
    elif values.layout is not torch.strided:
        values = values.to_dense()
    summed, least, largest, zeros = [], [], [], implied
    least_meant = rounding(values) if cut else 0.0
    first, last = (QUARTERS * power for power in DECADES)
    counts = torch.zeros(last - first + 2, dtype=torch.int64)  # with the zeros, and the broken
    if implied:
        least, largest = [torch.zeros((), dtype=torch.float64)], [torch.zeros(())]
    with torch.no_grad():
        for part in _parts(values):
            numbers = part.abs().double() if part.is_complex() else part.double()
            if least_meant:
                numbers = numbers.masked_fill(numbers.abs() < least_meant, 0)
            summed.append(torch.linalg.vector_norm(numbers))
            least.append(numbers.min())
            largest.append(numbers.max())
            zeros += numbers.numel() - int(numbers.count_nonzero())
            # a little is added to whole powers too, since processors round log10 differently
            places = numbers.abs().log10_().mul_(QUARTERS).add_(1 - first + 1e-11)
            places = places.nan_to_num_(nan=math.inf).clamp_(0, len(counts) - 1).to(torch.int16)
            counts += torch.bincount(places.flatten(), minlength=len(counts)).cpu()
        occurring = counts[1:-1].nonzero().flatten()
        quarters = zip((occurring + first).tolist(), counts[1:-1][occurring].tolist(), strict=True)
        return Summary(
            float(torch.linalg.vector_norm(torch.stack(summed))) if summed else 0.0,
            float(torch.stack([value.double().cpu() for value in least]).min()),
            float(torch.stack([value.double().cpu() for value in largest]).max()),
            zeros / tensor.numel(),
            tuple(quarters),
            tensor.numel() - zeros - int(counts[1:-1].sum()),
        )


def rounding(values: Tensor) -> float:
    """Below which magnitude an element is no more than the last bit of the largest finite one.

    Of float32's bits for narrower types too: their own last bit is 1 % of a number, and gradients
    spread further than that.

    >>> rounding(torch.tensor([2.0, float("inf")])) == 2 * torch.finfo(torch.float32).eps
    True
    """
    wide = values.dtype in (torch.float64, torch.complex128)
    with torch.no_grad():
        largest = max(
            (
                float(part.abs().double().nan_to_num_(nan=0, posinf=0).max())
                for part in _parts(values)
            ),
            default=0.0,
        )
    return largest * torch.finfo(torch.float64 if wide else torch.float32).eps


def _parts(values: Tensor) -> Iterator[Tensor]:
    """Parts of bounded size; views, since a copy of a whole gradient could be too large."""
    if values.numel() <= ELEMENTS:
        if values.numel():
            yield values
    elif len(values) == 1:
        yield from _parts(values[0])
    else:
        rows = max(1, ELEMENTS * len(values) // values.numel())
        for part in values.split(rows):
            yield from _parts(part)


def norm(tensor: Tensor | None) -> float | None:
    """The Euclidean norm of a gradient; None where there is none, or none of its numbers.

    >>> norm(torch.tensor([3.0, 4.0])), norm(torch.ones(2, device="meta"))
    (5.0, None)
    """
    if isinstance(tensor, Summarised):
        return tensor.sketch.norm
    if tensor is None or not has_numbers(tensor):
        return None
    values = tensor.detach()
    if values.is_nested:
        values = values.values()
    elif values.layout is not torch.strided:
        values = values.to_dense()
    if values.dtype in (torch.float32, torch.float64):
        found = float(torch.linalg.vector_norm(values))
        if 1e-15 < found < math.inf:  # else the squares may have left float32's range
            return found
    wide = torch.complex128 if values.is_complex() else torch.float64
    return float(torch.linalg.vector_norm(values, dtype=wide))


@dataclass(frozen=True)
class Sketch:
    """What is taken of a tensor in little time, before its numbers go."""

    norm: float
    least: float
    largest: float
    sample: Tensor

    @cached_property
    def summary(self) -> Summary:
        """All of it; the spread is that of the sample."""
        spread = summarised(self.sample)
        return spread._replace(norm=self.norm, least=self.least, largest=self.largest)


def sketched(tensor: Tensor) -> Sketch:
    """Sketch a strided tensor of real numbers."""
    values = tensor.detach()
    inward = sorted(range(values.ndim), key=values.stride, reverse=True)
    values = values.permute(inward).reshape(-1)  # as it lies in memory: ten times as fast
    least, largest = values.aminmax()
    sample = values[_places(values.numel()).to(values.device)]
    return Sketch(norm(values) or 0.0, float(least), float(largest), sample)


class Summarised(Tensor):
    """Stands for a tensor whose numbers were let go: a meta tensor of its shape and dtype.

    `summary` tells what is known of them. The spread is that of at most 1,024 of the elements,
    evenly taken; norm, least and largest element are those of all.

    >>> stand_in = Summarised.of(torch.arange(6.0).reshape(2, 3))
    >>> stand_in.shape, stand_in.device.type, stand_in.summary.largest
    (torch.Size([2, 3]), 'meta', 5.0)
    """

    sketch: Sketch
    # what is computed from it is a plain tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def of(cls, tensor: Tensor, sketch: Sketch | None = None) -> Summarised:
        """The stand-in of a strided tensor of real numbers, which may be sketched already."""
        stand_in = torch.empty_like(tensor, device="meta").as_subclass(cls)
        stand_in.sketch = sketch or sketched(tensor)
        return stand_in

    @property
    def summary(self) -> Summary:
        """What is known of the numbers."""
        return self.sketch.summary


@lru_cache(maxsize=16)  # a network has gradients of few sizes
def _places(elements: int) -> Tensor:
    """Positions of a sample: multiples of the golden ratio, which follow no row and no column."""
    shares = torch.arange(min(SAMPLE, elements), dtype=torch.float64) * 0.6180339887 % 1
    return (shares * elements).long()


class Room:
    """Lets tensors be kept whole as long as there is room, and puts stand-ins for the others.

    Memory that several of them share counts once, and small tensors do not count.

    >>> room = Room(10_000)
    >>> kept = [room.kept(torch.ones(2_000)) for _ in range(2)]
    >>> [type(tensor).__name__ for tensor in kept]
    ['Tensor', 'Summarised']
    """

    def __init__(self, limit: float) -> None:
        self._left = limit  # bytes
        self._whole: set[int] = set()  # addresses of memory that stays
        self._seen: set[int] = set()  # ids of tensors that stay
        # Of a whole memory, seen as one tensor or another: its version, and what is known of it.
        # The weak reference keeps the number from being another memory's later.
        self._known: dict[int, tuple[StorageWeakRef, int, Sketch]] = {}

    def takes(self, tensor: Tensor) -> None:
        """Count as kept what somebody else keeps in any case."""
        memory = _memory(tensor)
        if memory is not None:
            self._whole.add(memory.data_ptr())

    def kept(self, tensor: Tensor) -> Tensor:
        """The tensor itself, which must stay alive then, or what stands for it."""
        if tensor.numel() <= SMALL or id(tensor) in self._seen:
            return tensor
        memory = _memory(tensor)
        if memory is not None and memory.data_ptr() not in self._whole:
            if memory.nbytes() > self._left:
                return self._stand_in(tensor, memory)
            self._left -= memory.nbytes()
            self._whole.add(memory.data_ptr())
        self._seen.add(id(tensor))
        return tensor

    def _stand_in(self, tensor: Tensor, memory: torch.UntypedStorage) -> Summarised:
        if memory.nbytes() != tensor.numel() * tensor.itemsize:
            return Summarised.of(tensor)
        reference = StorageWeakRef(memory)
        known = self._known.get(reference.cdata)
        sketch = known[2] if known and known[1] == tensor._version else None
        stand_in = Summarised.of(tensor, sketch)
        self._known[reference.cdata] = reference, tensor._version, stand_in.sketch
        return stand_in


def _memory(tensor: Tensor) -> torch.UntypedStorage | None:
    """Where the numbers are of a tensor that a stand-in can stand for."""
    if (
        tensor.dtype not in _DTYPES
        or tensor.layout is not torch.strided
        or tensor.is_nested
        or not has_numbers(tensor)
    ):
        return None
    try:
        return tensor.untyped_storage()
    except RuntimeError:  # it has no memory of its own, as within vmap
        return None
