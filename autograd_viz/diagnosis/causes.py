"""From facts to the Reason why a `.grad` is as it is: which cause hides the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.diagnosis import lineage
from autograd_viz.diagnosis.cases import Case
from autograd_viz.diagnosis.disconnected import needs_no_gradient, not_reached
from autograd_viz.diagnosis.facts import Facts
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.diagnosis.reached import reached
from autograd_viz.diagnosis.reason import Reason

if TYPE_CHECKING:
    from autograd_viz.diagnosis.caller_source import Statement


def answer(facts: Facts) -> Reason:
    """Goes through the causes in the order in which one hides the next."""
    case = Case(facts)
    tensor = case.tensor
    if not tensor.requires_grad:
        return needs_no_gradient(case)
    if case.output is None:
        return _without_output(case)
    if case.facts.slot is None:
        return not_reached(case)
    if tensor.retains_grad or tensor.is_leaf:
        return reached(case)
    return _not_leaf(case)


def _not_leaf(case: Case) -> Reason:
    name = case.name
    function = case.tensor.grad_fn
    assert function is not None  # or it would be a leaf
    made = case.line_at(case.facts.names_of(case.tensor))
    case.evidence.append(f"{name}.grad_fn is {function.name()}")
    place = f", {made.quoted}" if made else ""
    line = f"{case.known or 'z'}.retain_grad()"
    said = (
        f"{case.grad_name} is None because {name} is not a leaf: it was computed "
        f"(by {function.name()}{place}), and PyTorch keeps the gradients of leaves "
        f"only. "
    )
    advice = f"Before backward(), add: {line}"
    source = case.facts.source
    if made is not None and source is not None and case.known:
        before = lineage.earlier(source, case.known)
        if before is not None and lineage.uses_itself(made, case.known):
            if "requires_grad" in before.text:  # an update that made a new tensor of the weight
                said += (
                    f"The name {name} held a leaf before ({before.where}); to keep it one, change "
                    f"it in place, under torch.no_grad(). To see the gradient of what was "
                    f"computed: {line}"
                )
                return case.reason("not_leaf", said, line)
            advice += f". What {name} held before ({before.quoted}) is another tensor"
        elif before is not None and before.sure and not _uses_version(case, before):
            advice += f". What {name} held before ({before.quoted}) is another tensor" + (
                f", and {case.result} is not made from it" if case.facts.ways else ""
            )
    return case.reason("not_leaf", said + advice, line)


def _uses_version(case: Case, statement: Statement) -> bool:
    return any(way.version is statement for way in case.facts.ways)


def _without_output(case: Case) -> Reason:
    if not (case.tensor.is_leaf or case.tensor.retains_grad):
        return _not_leaf(case)
    name, grad = case.name, case.facts.grad
    ask = f"av.why({case.known or 'x'}, loss)"
    if grad is None:
        return case.reason(
            "backward_not_run",
            f"{case.grad_name} is None because no backward pass has reached {name} yet: "
            f"either backward() has not been run, or its output does not depend on {name}. "
            f"Which of the two, this says: {ask}",
            ask,
        )
    shown = ", ".join(text.summary(grad))
    trouble = text.trouble(grad)
    case.evidence.append(f"{case.grad_name} is {shown}")
    said = f"{case.grad_name} is {shown}. To see whether one backward pass gives this: {ask}"
    if trouble:
        said = f"{case.grad_name} holds {trouble}. To see which step made it: {ask}"
        return case.reason("nan", said, ask)
    if not largest(grad):
        said = f"{case.grad_name} is 0. To see which step made it so: {ask}"
        return case.reason("zero", said, ask)
    return case.reason("well", said, ask)
