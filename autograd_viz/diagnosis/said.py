"""What is said about an error: the sentences, the line to type, the marks of its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autograd_viz.diagnosis.edits import Line
from autograd_viz.diagnosis.explanation import Note
from autograd_viz.diagnosis.reason import Cause

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.picture import Mark


@dataclass(frozen=True)
class Said:
    """One error, explained; `text` goes on after "... failed because"."""

    cause: Cause
    text: str
    line: Line | None = None
    evidence: tuple[str, ...] = ()
    tensor: Tensor | None = None  # which it is about
    met: int = 0  # variables at which what was freed meets what is new
    title: str = "Why the backward pass fails"
    marks: Mapping[int, tuple[Mark, ...]] = field(default_factory=dict)
    legend: Mapping[str, str] = field(default_factory=dict)
    beside: Sequence[Note] = ()
