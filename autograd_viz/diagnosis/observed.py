"""What a recorded pass tells about a gradient that is 0, NaN or inf, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.diagnosis import origin_words as words
from autograd_viz.diagnosis import origins
from autograd_viz.diagnosis.by_hand import Pass
from autograd_viz.diagnosis.hooks_seen import Hook, watched
from autograd_viz.diagnosis.origins import Origin
from autograd_viz.diagnosis.remedies import Asked, tried
from autograd_viz.diagnosis.zero_facts import how
from autograd_viz.model import Edge, Slot, Trace, Variable
from autograd_viz.recording import recorded_pass

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.walk import Walk


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

    @cached_property
    def _run(self) -> Pass:
        return Pass(self.trace, self.walk)

    @cached_property
    def _words(self) -> words.Words:
        file = self.frame.f_code.co_filename if self.frame is not None else ""
        return words.Words(self._run, self._title, self._hooks, file)

    def _title(self, node: int) -> str | None:
        found = self.within(node)
        if found is None:
            return None
        if found.name is None or found.name == found.expression:
            return f"`{found.expression}`"
        return f"`{found.name} = {found.expression}`"

    def _hooks(self) -> Sequence[Hook]:
        """The hooks that run in one more pass."""
        with watched() as seen:
            try:
                recorded_pass(self.walk, [self.output], self.trace.starts, self.frame)
            except Exception:  # it went before; a hook may do otherwise when it is called again
                return seen
        return seen

    def zero(self) -> Told | None:
        """Why the gradient is 0; None if that cannot be told."""
        found = origins.zeros(self._run, self.slot)
        if not found:
            return None
        stop = next((one.edge for one in found if one.by == "step"), None)
        kinds = {one.by if one.by != "step" else how(self._run, one).kind for one in found}
        return Told(words.zero(self._words, found), stop, is_step=kinds == {"step"})

    def trouble(self, grad: str) -> Told | None:
        """Why the gradient is NaN or inf; `grad` is what it is called."""
        found = origins.trouble(self._run, self.slot)
        if found is None:
            return None
        said, factors = words.trouble(self._words, found)
        remedy = None
        if factors is not None:
            asked = Asked(self._run, self.slot, (self.output,), self.frame)
            remedy = tried(asked, found, factors)
        more = "" if remedy is None else words.remedy(self._words, remedy, grad)
        return Told(said, _stop(found), more)

    def forward(self, end: Slot | None = None) -> str | None:
        """Which operation gives the first NaN or inf on the way to a value, or to the output."""
        end = end or self.trace.graph.outputs[0]
        output = self.output if end == self.trace.graph.outputs[0] else None
        first = origins.beginning(self._run, end, output)
        return None if first is None else words.forward(self._words, first, self._holds)

    def _holds(self, node: int) -> bool:
        found = self.within(node)
        if found is None or found.node is None:
            return False
        slot = Slot(found.node, 0)
        mine = self.output if slot == self.trace.graph.outputs[0] else self._run.value(slot)
        return mine is not None and text.trouble(mine) is not None

    def rounding(self) -> Told | None:
        """Of a gradient that is no more than rounding: what cancels."""
        found = origins.rounding(self._run, self.slot)
        if found is None:
            return None
        return Told(words.rounding(self._words, *found), _stop(found[0]))

    def shrinks(self, edge: Edge) -> str:
        """By how much a step makes a gradient smaller."""
        return words.shrinks(self._words, edge)


def _stop(origin: Origin) -> Edge | None:
    return origin.edge
