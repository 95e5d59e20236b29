"""Why a gradient is missing or is not what was expected: the answer as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autograd_viz.model import Edge, Shown, Variables

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.picture import Drawing, Style

Cause = Literal[
    "not_leaf",
    "not_required",
    "required_too_late",
    "not_floating",
    "rebound",
    "unused",
    "detached",
    "no_grad",
    "copied",
    "not_differentiable",
    "not_reached",
    "backward_not_run",
    "cleared_by_hook",
    "backward_fails",
    "graph_freed",
    "accumulated",
    "other_passes",
    "zero",
    "vanishing",
    "nan",
    "none_returned",
    "well",
    # Of errors that PyTorch raised.
    "changed_in_place",
    "not_scalar",
    "wrong_start",
    "leaf_changed",
    "view_changed",
    "to_numpy",
    "deep_copied",
    "inference",
    "custom_function",
]


@dataclass(frozen=True)
class Broken:
    """Where the way from the output to a tensor breaks off in the source."""

    where: str  # "line 12"
    text: str  # "y = x.detach() * 2"
    user: str | None  # the variable of the output's graph that uses what the statement made
    source: str | None = None  # what it cuts off, where that is not the tensor asked about


@dataclass(frozen=True, eq=False, repr=False)
class Reason(Shown):
    """Why a tensor's `.grad` is what it is. It prints as one paragraph.

    >>> import torch, autograd_viz as av
    >>> x = torch.tensor(3.0)
    >>> y = x * 2
    >>> av.why(x).cause
    'not_required'
    """

    cause: Cause
    text: str  # one short paragraph
    line: str | None  # what to type, where there is one line that helps
    evidence: tuple[str, ...]  # the facts that it rests on
    tensor: str  # its name
    output: str | None
    value: Tensor | None  # a copy of the tensor, if it is small
    grad: Tensor | None  # a copy of its .grad
    variables: Variables | None  # the output's graph by variable, with a pass if one could run
    node: int | None = None  # the graph's node of the tensor; None: it is not in the graph
    stop: Edge | None = None  # the edge of the graph on which the gradient ends
    broken: Broken | None = None
    leaf: bool = True
    instead_of: str | None = None  # the statement whose place `line` takes
    before: str | None = None  # the statement that `line` is written before

    def __repr__(self) -> str:
        return f"<Reason: {self.cause}>"

    def drawn(self, style: Style, **options: Any) -> Drawing:
        """Draw it, as `autograd_viz.show.picture` asks for."""
        from autograd_viz.diagnosis import view

        return view.diagnosis(self, style=style, **options)

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(include, exclude), "text/plain": self.text}
