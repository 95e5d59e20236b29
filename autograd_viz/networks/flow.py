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
    from autograd_viz.summaries import Summary

BARS = "▁▂▃▄▅▆▇█"
ZEROS = "zeros: elements that are 0, or smaller than the last bit of their gradient's largest one."

State = Literal["flows", "zero", "None", "frozen", "NaN", "inf", "no values"]


class Entry(NamedTuple):
    """The gradient of one parameter, summarised."""

    name: str
    shape: tuple[int, ...]
    state: State  # "None": the pass did not reach it; "frozen": it does not require grad
    summary: Summary | None = None  # of its elements; None where there are no numbers


@dataclass(frozen=True, repr=False)
class GradientFlow(Shown):
    """The gradients of all parameters by depth; made by `Trace.gradient_flow()`.

    It shows itself as a plot of the norms, on a logarithmic scale; what is zero, None, NaN or
    infinite has a row of its own. An element below the last bit of its gradient's largest one is
    rounding and counts as 0, so that the same pass says the same on every processor. Of the
    gradients' values only the summaries are kept, and while they are made at most 2**17 elements of
    one are held as copies: 4 MB. A sparse gradient of another layout than COO is made dense first.
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
            known = entry.summary
            if known is None:
                cells = [entry.state if entry.state != "frozen" else "None (frozen)", *[""] * 4]
            else:
                cells = [*map(number, known[:3]), f"{known.zeros:.0%}", _bars(known.decades)]
            rows.append([clean(entry.name), shape(entry.shape), *cells])
        zeros = any(entry.summary.zeros for entry in self.entries if entry.summary)
        return "\n".join([self.title, *self.remarks, *table(rows), *[ZEROS] * zeros])

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
        return Entry(name, size, state)
    if not has_numbers(grad) or grad.numel() == 0:
        return Entry(name, size, "no values")
    from autograd_viz.summaries import summarised  # torch is loaded where there is a gradient

    summary = summarised(grad, cut=True)
    state = "flows"
    if summary.norm != summary.norm:
        state = "NaN"
    elif summary.norm == math.inf:
        state = "inf"
    elif summary.zeros == 1:
        state = "zero"
    return Entry(name, size, state, summary)


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
