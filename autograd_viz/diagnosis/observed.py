"""What a recorded pass tells about a gradient that is 0, NaN or inf, in words."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from types import FrameType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from autograd_viz.diagnosis import origin_words as words
from autograd_viz.diagnosis import origins, trouble_words
from autograd_viz.diagnosis.by_hand import Pass
from autograd_viz.diagnosis.hooks_seen import Hook, watched
from autograd_viz.diagnosis.remedies import Asked, tried
from autograd_viz.model import Edge, Slot, Trace, Variable
from autograd_viz.recording import recorded_pass

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.walk import Walk


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _quietly(method: Callable[_P, _R | None]) -> Callable[_P, _R | None]:
    """The same without warnings, and None where PyTorch cannot compute with such tensors.

    What is tried may have no degrees of freedom, no sense, or a layout that an operation lacks.
    """

    @wraps(method)
    def quiet(*arguments: _P.args, **options: _P.kwargs) -> _R | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return method(*arguments, **options)
            except RuntimeError:
                return None

    return quiet


@dataclass(frozen=True, eq=False)
class Told:
    """Why a gradient is as it is: what follows on "because", and the edge on which it became so."""

    because: str
    stop: Edge | None = None
    remedy: str = ""  # a change that was tried, in sentences
    is_step: bool = False  # a function that jumps has made it 0


@dataclass(frozen=True, eq=False)
class Observed:
    """A pass from one output, and the value whose gradient is asked for."""

    trace: Trace
    walk: Walk
    slot: Slot
    output: Tensor
    frame: FrameType | None  # the reader's own
    within: Callable[[int], Variable | None]  # the variable that a node helps to compute
    named: Mapping[str, Tensor]  # the reader's tensors

    @cached_property
    def _run(self) -> Pass:
        return Pass(self.trace, self.walk)

    @cached_property
    def _words(self) -> words.Words:
        file = self.frame.f_code.co_filename if self.frame is not None else ""
        return words.Words(self._run, self.within, self.named, self._hooks, file)

    def _hooks(self) -> Sequence[Hook]:
        """The hooks that run in one more pass."""
        with watched() as seen:
            try:
                recorded_pass(self.walk, [self.output], self.trace.starts, self.frame)
            except Exception:  # it went before; a hook may do otherwise when it is called again
                return seen
        return seen

    @_quietly
    def zero(self) -> Told | None:
        """Why the gradient is 0; None if that cannot be told."""
        found = origins.zeros(self._run, self.slot)
        if not found:
            return None
        stop = next((one.edge for one in found if one.by == "step"), None)
        kinds = {one.by if one.by != "step" else self._words.how(one).kind for one in found}
        return Told(words.zero(self._words, found), stop, is_step=kinds == {"step"})

    @_quietly
    def trouble(self, grad: str) -> Told | None:
        """Why the gradient is NaN or inf; `grad` is what it is called."""
        found = origins.trouble(self._run, self.slot)
        if found is None:
            return None
        said, factors = trouble_words.trouble(self._words, found)
        remedy = None
        if factors is not None:
            asked = Asked(self._run, self.slot, (self.output,), self.frame)
            remedy = tried(asked, found, factors)
        more = "" if remedy is None else trouble_words.remedy(self._words, remedy, grad)
        return Told(said, found.edge, more)

    @_quietly
    def forward(self) -> tuple[str, int] | None:
        """Which operation gives the first NaN or inf on the way to the output; and its node."""
        first = origins.beginning(self._run, self.trace.graph.outputs[0], self.output)
        if first is None:
            return None
        return trouble_words.forward(self._words, first), first.slot.node

    @_quietly
    def rounding(self) -> Told | None:
        """Of a gradient that is no more than rounding: what cancels."""
        found = origins.rounding(self._run, self.slot)
        if found is None:
            return None
        return Told(words.rounding(self._words, *found), found[0].edge)

    @_quietly
    def shrinks(self, edge: Edge) -> str | None:
        """By how much a step makes a gradient smaller."""
        return words.shrinks(self._words, edge)
