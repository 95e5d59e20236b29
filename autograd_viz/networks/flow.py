"""How large the gradient of each parameter is, in the order of the forward pass."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from autograd_viz.model import Shown, Trace
from autograd_viz.text import clean, has_numbers, joined, number, shape, table

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.picture import Drawing, Style

ELEMENTS = 1 << 17  # of a gradient that are looked at at once: 1 MB in float64
DECADES = (-324, 309)  # powers of ten between which float64 has numbers
QUARTERS = 4  # parts of a decade in which elements are counted
BARS = "▁▂▃▄▅▆▇█"

State = Literal["flows", "zero", "None", "frozen", "NaN", "inf", "no values"]


class Entry(NamedTuple):
    """The gradient of one parameter, summarised; None where there are no numbers."""

    name: str
    shape: tuple[int, ...]
    norm: float | None  # the square root of the sum of squares
    least: float | None  # element; of complex ones the least magnitude
    largest: float | None
    zeros: float | None  # which share of the elements is 0, from 0.0 to 1.0
    state: State  # "None": the pass did not reach it; "frozen": it does not require grad
    # (p, how many elements have 10**(p/4) <= |g| < 10**((p+1)/4)), for those p that occur
    quarters: tuple[tuple[int, int], ...] = ()
    broken: int = 0  # how many are NaN or infinite; they and the zeros are in no quarter

    @property
    def decades(self) -> dict[int, int]:
        """How many elements have 10**p <= |g| < 10**(p + 1), by p.

        >>> Entry("w", (4,), 2.0, 0.5, 2.0, 0.0, "flows", ((-2, 1), (0, 2), (1, 1))).decades
        {-1: 1, 0: 3}
        """
        found: dict[int, int] = defaultdict(int)
        for power, count in self.quarters:
            found[power // QUARTERS] += count
        return dict(found)

    def magnitude(self, share: float) -> float | None:
        """The |g| that this share of the elements stays below; zeros and non-finite ones left out.

        Within a quarter of a decade they count as evenly spread, on a logarithmic scale.

        >>> Entry("w", (4,), 2.0, 0.5, 2.0, 0.0, "flows", ((-1, 2), (0, 2))).magnitude(0.5)
        1.0
        """
        left = share * sum(count for _, count in self.quarters)
        for power, count in self.quarters:
            if left <= count:
                return float(10.0 ** ((power + left / count) / QUARTERS))
            left -= count
        return None


@dataclass(frozen=True, repr=False)
class GradientFlow(Shown):
    """The gradients of all parameters by depth; made by `Trace.gradient_flow()`.

    It shows itself as a plot of the norms, on a logarithmic scale; what is zero, None, NaN or
    infinite has a row of its own. Of the gradients' values only the summaries are kept, and while
    they are made at most 2**17 elements of one are held as copies: 4 MB. A sparse gradient of
    another layout than COO is made dense first.
    """

    output: str  # of what the gradients are taken
    entries: tuple[Entry, ...]  # in the order of the forward pass

    def __repr__(self) -> str:
        return f"<GradientFlow of {len(self.entries):,} parameters>"

    def __str__(self) -> str:
        return self.words

    def drawn(self, style: Style, **options: Any) -> Drawing:
        """Draw the norms by depth, as `autograd_viz.show.picture` asks for."""
        from autograd_viz.networks import flow_figure

        return flow_figure.flow_plot(self, style.theme)

    @property
    def title(self) -> str:
        """What is shown, in one line."""
        count = len(self.entries)
        return f"Gradients of {self.output} by {count:,} parameter{'s' * (count != 1)}"

    @property
    def words(self) -> str:
        """A table of all entries, and before it what stands out."""
        rows = [["parameter", "shape", "norm", "min", "max", "zeros", "|g| by powers of ten"]]
        for entry in self.entries:
            zeros = "" if entry.zeros is None else f"{entry.zeros:.0%}"
            numbers = [_text(value) for value in (entry.norm, entry.least, entry.largest)]
            if entry.norm is None:
                numbers[0] = entry.state if entry.state != "frozen" else "None (frozen)"
            bars = _bars(entry.decades)
            rows.append([clean(entry.name), shape(entry.shape), *numbers, zeros, bars])
        return "\n".join([self.title, *self.remarks, *table(rows)])

    @property
    def remarks(self) -> tuple[str, ...]:
        """What stands out, a line each."""
        found: dict[State, list[str]] = defaultdict(list)
        for entry in self.entries:
            found[entry.state].append(clean(entry.name))
        said: Mapping[State, str] = {
            "NaN": "with NaN",
            "inf": "with an infinite number",
            "zero": "all zero",
            "None": "None, not reached by the backward pass",
            "frozen": "None, frozen (requires_grad is False)",
        }
        return tuple(
            f"{len(found[state])} of {len(self.entries)} {what}: {joined(found[state], most=4)}."
            for state, what in said.items()
            if found[state]
        )


def gradient_flow(trace: Trace) -> GradientFlow:
    """Summarise the parameters' gradients of a trace, as `Trace.gradient_flow()` says."""
    node = trace.graph.root
    output = node.outputs[trace.graph.outputs[0].output_nr].label if node.outputs else None
    grads = {id(leaf): grad for leaf, grad in trace.leaf_grads}
    entries = [_entry(name, leaf, grads.get(id(leaf))) for name, leaf in _in_order(trace)]
    return GradientFlow(clean(output or "the output"), tuple(entries))


def _in_order(trace: Trace) -> Iterator[tuple[str, Tensor]]:
    """The parameters with their names: those first whose use in the forward pass comes first.

    The engine runs the last operations first, so this is the order of the leaves' steps, reversed.
    A parameter without a step follows the one before it in the module.
    """
    given = trace.graph.modules.params if trace.graph.modules else None
    named: Iterable[tuple[str, Tensor]]
    if given is None:
        leaves = [leaf for leaf, _ in trace.leaf_grads]
        nodes = trace.graph.leaves
        named = [
            (node.label or f"leaf {node.id}", leaf)
            for node, leaf in zip(nodes, leaves, strict=True)
        ]
    else:
        named = given.items() if isinstance(given, Mapping) else given.named_parameters()
    steps = [id(step.leaf) for step in trace.steps if step.leaf is not None]
    turn = {leaf: -position for position, leaf in enumerate(steps)}
    following: dict[int | None, list[tuple[str, Tensor]]] = defaultdict(list)
    before: int | None = None
    for name, leaf in named:
        if id(leaf) in turn:
            before = id(leaf)
        following[before].append((name, leaf))
    yield from following.pop(None, [])
    for leaf_id in sorted(following, key=lambda leaf_id: turn[leaf_id or 0]):
        yield from following[leaf_id]


def _entry(name: str, leaf: Tensor, grad: Tensor | None) -> Entry:
    size = tuple(leaf.shape)
    if grad is None:
        state: State = "None" if leaf.requires_grad else "frozen"
        return Entry(name, size, None, None, None, None, state)
    if not has_numbers(grad) or grad.numel() == 0:
        return Entry(name, size, None, None, None, None, "no values")
    norm, least, largest, zeros, quarters = _summary(grad)
    state = "flows"
    if norm != norm:
        state = "NaN"
    elif norm == float("inf"):
        state = "inf"
    elif zeros == grad.numel():
        state = "zero"
    broken = grad.numel() - zeros - sum(count for _, count in quarters)
    share = zeros / grad.numel()
    return Entry(name, size, norm, least, largest, share, state, quarters, broken)


def _summary(grad: Tensor) -> tuple[float, float, float, int, tuple[tuple[int, int], ...]]:
    """Norm, least and largest element, number of zeros, and how many in each quarter of a decade.

    Computed in float64, part by part.
    """
    import torch  # is loaded where there is a gradient

    values = grad.detach()
    implied = 0  # zeros that are not stored
    if values.layout is torch.sparse_coo:
        values = values.coalesce().values()
        implied = grad.numel() - values.numel()
    elif values.layout is not torch.strided:
        values = values.to_dense()
    summed, least, largest, zeros = [], [], [], implied
    first, last = (QUARTERS * power for power in DECADES)
    counts = torch.zeros(last - first + 2, dtype=torch.int64)  # with the zeros, and the broken
    if implied:
        least, largest = [torch.zeros((), dtype=torch.float64)], [torch.zeros(())]
    with torch.no_grad():
        for part in _parts(values):
            numbers = part.abs().double() if part.is_complex() else part.double()
            summed.append(torch.linalg.vector_norm(numbers))
            least.append(numbers.min())
            largest.append(numbers.max())
            zeros += numbers.numel() - int(numbers.count_nonzero())
            # a little is added to whole powers too, since processors round log10 differently
            places = numbers.abs().log10_().mul_(QUARTERS).add_(1 - first + 1e-11)
            places = places.nan_to_num_(nan=math.inf).clamp_(0, len(counts) - 1).to(torch.int16)
            counts += torch.bincount(places.flatten(), minlength=len(counts)).cpu()
        return (
            float(torch.linalg.vector_norm(torch.stack(summed))) if summed else 0.0,
            float(torch.stack([value.double().cpu() for value in least]).min()),
            float(torch.stack([value.double().cpu() for value in largest]).max()),
            zeros,
            tuple(
                (power, count)
                for power, count in enumerate(counts[1:-1].tolist(), start=first)
                if count
            ),
        )


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


def _bars(counts: Mapping[int, int]) -> str:
    """How many elements there are of each power of ten, as bars.

    >>> _bars({-3: 1, -2: 8, 0: 2})
    '1e-03 ▁█ ▂ 1e+00'
    """
    if not counts:
        return ""
    first, last, most = min(counts), max(counts), max(counts.values())
    bars = (
        BARS[math.ceil(counts[power] / most * len(BARS)) - 1] if power in counts else " "
        for power in range(first, last + 1)
    )
    return f"1e{first:+03d} {''.join(bars)} 1e{last:+03d}"


def _text(value: float | None) -> str:
    return "" if value is None else number(value)
