"""A question about a gradient while it is answered: the facts, their names, the evidence so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autograd_viz.diagnosis.facts import Facts
from autograd_viz.diagnosis.reason import Broken, Cause, Reason
from autograd_viz.model import Edge
from autograd_viz.recorded.events import version_of
from autograd_viz.recorded.places import Place, bound_before
from autograd_viz.saved import SMALL

if TYPE_CHECKING:
    from autograd_viz.model import Variable, Variables
    from autograd_viz.recorded.events import Event


def is_changed(tensor: Tensor) -> bool:
    """Whether a tensor was changed in place, as far as PyTorch counts it."""
    return version_of(tensor) > 0


RECORD = "Run it inside `with av.record():`, and ask again."


class Case:
    """One tensor and one output; what is found out is added to `evidence`."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.tensor, self.output = facts.tensor, facts.output
        self.evidence: list[str] = []
        self.known = facts.name(self.tensor)
        self.name = self.known or "the tensor"
        self.result = facts.name(self.output) or "the output"
        self.grad_name = f"{self.known}.grad" if self.known else "The tensor's .grad"
        self.node: int | None = facts.slot.node if facts.slot else None
        self._containing: dict[int, Variable] | None = None

    def made(self, tensor: Tensor | None = None) -> Place | None:
        """The statement that made a tensor: as recorded, or else the last that bound its name."""
        tensor = self.tensor if tensor is None else tensor
        history, names = self.facts.history, self.facts.names_of(tensor)
        event = history.maker(tensor)
        changes = [each for each, _ in history.changes(tensor)]
        if tensor.grad_fn is not None and changes and changes[-1].spot is not None:
            event = changes[-1]  # a change in place gives it another grad_fn
        if event is not None and event.spot is not None:
            return self.facts.place(event)
        if not names:
            return None
        return bound_before(self.facts.frame, names[0], changed=is_changed(tensor))

    def called(self, serial: int) -> str | None:
        """The name of a recorded tensor: what holds it now, or the name that it was bound to."""
        tensor = self.facts.history.log.alive().get(serial)
        name = self.facts.name(tensor) if tensor is not None else None
        if name is None and (event := self.facts.history.maker(serial)) is not None:
            # What a function of PyTorch computes on its way has no name of the reader's.
            known = event.spot is not None and not event.through
            name = self.facts.place(event).made if known else None
        return name

    def of(self, edge: Edge) -> str:
        """`, in h = relu(x),`: the variable that an operation helps to compute."""
        found = self.variable_of(edge.source)
        return f" (in {found})" if found else ""

    def seen(self, event: Event) -> str:
        """The statement of a recorded call, which becomes a part of the evidence."""
        place = self.facts.place(event)
        self.evidence.append(place.quoted)
        return place.quoted

    def reason(
        self,
        cause: Cause,
        text: str,
        line: str | None = None,
        stop: Edge | None = None,
        broken: Broken | None = None,
    ) -> Reason:
        """The answer, with all that its picture needs."""
        value, grad = self.tensor.detach(), self.facts.grad
        small = value.layout is torch.strided and not value.is_meta and value.numel() <= SMALL
        return Reason(
            cause,
            text,
            line,
            tuple(self.evidence),
            self.name,
            None if self.output is None else self.result,
            value.clone() if small else None,
            None if grad is None else grad.detach().clone(),
            self.variables(),
            self.node,
            stop,
            broken,
            self.tensor.is_leaf and self.tensor.requires_grad,
        )

    def variables(self) -> Variables | None:
        """The output's graph by variable, with the pass if one could run."""
        captured = self.facts.captured
        if captured is None:
            return None
        return (self.facts.trace or captured[0]).variables()

    def variable_of(self, node: int) -> str | None:
        """The variable that a node helps to compute, as `h = relu(x)`."""
        variable = self.containing(node)
        if variable is None:
            return None
        if variable.name is None or variable.name == variable.expression:
            return f"`{variable.expression}`"
        return f"`{variable.name} = {variable.expression}`"

    def containing(self, node: int) -> Variable | None:
        """The same as data."""
        if self._containing is None:
            variables = self.variables()
            self._containing = {
                member: variable
                for variable in reversed(variables.nodes if variables else ())
                for member in variable.members
            }
        return self._containing.get(node)

    def because(self) -> str:
        """The beginning of the answer."""
        state = "is None" if self.facts.grad is None else "is not written by this output"
        return f"{self.grad_name} {state} because"
