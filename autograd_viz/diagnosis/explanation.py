"""An error of autograd explained: the answer as data, with what its picture needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from autograd_viz.diagnosis.reason import Reason

if TYPE_CHECKING:
    from autograd_viz.picture import Drawing, Mark, Style


class Note(NamedTuple):
    """A box beside the graph: what was saved, what changed it, the statement that failed."""

    lines: tuple[str, ...]
    about: int | None = None  # the node of the graph that it belongs to; None: the output
    kind: Literal["statement", "saved", "tensor"] = "statement"
    cut: bool = False  # whether no gradient comes through there
    code: bool = False  # whether the first line is the reader's code
    below: bool = False  # whether it belongs to the note before it, not to the graph


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Reason):
    """Why PyTorch raised an error. It prints as one paragraph, which ends in the line to type.

    >>> import torch, autograd_viz as av
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * 2
    >>> try:
    ...     y.backward()
    ... except RuntimeError:
    ...     reason = av.why()
    >>> reason.cause, reason.line, reason.instead_of
    ('not_scalar', 'y.sum().backward()', 'y.backward()')
    """

    met: int = 0  # variables at which what was freed meets what is new
    title: str = "Why the backward pass fails"
    marks: Mapping[int, tuple[Mark, ...]] = field(default_factory=dict)  # by node of the graph
    legend: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[Note, ...] = ()

    def drawn(self, style: Style, **options: Any) -> Drawing:
        """Draw it, as `autograd_viz.show.picture` asks for."""
        from autograd_viz.diagnosis import explanation_view

        return explanation_view.explanation(self, style=style, **options)
