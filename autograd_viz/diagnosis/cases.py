"""A question about a gradient while it is answered: the facts, their names, the evidence so far."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from autograd_viz.diagnosis import lineage
from autograd_viz.diagnosis.facts import Facts
from autograd_viz.diagnosis.reason import Broken, Cause, Reason
from autograd_viz.model import Edge
from autograd_viz.saved import SMALL

if TYPE_CHECKING:
    from autograd_viz.diagnosis.caller_source import Statement
    from autograd_viz.model import Variable, Variables


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

    def line_at(self, names: list[str]) -> Statement | None:
        """The statement that bound what a name holds now."""
        if not names or self.facts.source is None:
            return None
        return lineage.version(self.facts.source, names[0])

    def of(self, edge: Edge) -> str:
        """`, in h = relu(x),`: the variable that an operation helps to compute."""
        found = self.variable_of(edge.source)
        return f" (in {found})" if found else ""

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

    def cleared(self) -> tuple[Statement, Statement] | None:
        """A backward() and, after it, what set .grad to None: (backward, clearing)."""
        source = self.facts.source
        if source is None:
            return None
        backs = lineage.calls_of(source, "backward")
        clears = [each for each in source.statements if self.clears(each)]
        if not backs or not clears:
            return None
        last = (backs[-1], clears[-1])
        places = [lineage.position(source, each) for each in last]
        return last if places[0] < places[1] else None

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

    def clears(self, statement: Statement) -> bool:
        """Whether a statement sets .grad to None, or lets the optimizer do it."""
        return (
            re.match(rf"{re.escape(self.name)}\.grad\s*=\s*None", statement.text) is not None
            or ".zero_grad(" in statement.text
        )

    def because(self) -> str:
        """The beginning of the answer."""
        state = "is None" if self.facts.grad is None else "is not written by this output"
        return f"{self.grad_name} {state} because"
