"""From facts to the Reason why a `.grad` is as it is: which cause hides the next."""

from __future__ import annotations

from autograd_viz import text
from autograd_viz.diagnosis.cases import Case
from autograd_viz.diagnosis.disconnected import needs_no_gradient, not_reached
from autograd_viz.diagnosis.facts import Facts
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.diagnosis.reached import reached
from autograd_viz.diagnosis.reason import Reason


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
    made = case.made()
    case.evidence.append(f"{name}.grad_fn is {function.name()}")
    place = f", {made.quoted}" if made else ""
    by = "an operation that changed it in place" if "::" in function.name() else function.name()
    line = f"{case.known or 'z'}.retain_grad()"
    said = (
        f"{case.grad_name} is None because {name} is not a leaf: it was computed "
        f"(by {by}{place}), and PyTorch keeps the gradients of leaves only. "
    )
    if case.known and (lost := _leaf_without_a_name(case)):
        case.evidence.append(f"no variable holds the {lost} that {name} was computed from")
        anew = f"{name} = {name}.detach().requires_grad_()"
        return case.reason(
            "not_leaf",
            f"{said}Nothing holds the {lost} that it was computed from any more, and an optimizer "
            f"refuses what is no leaf. To train {name}, let it begin here: {anew}; to update a "
            "leaf and keep it one, change it in place, under torch.no_grad(). To see the gradient "
            f"of what was computed: {line}",
            anew,
        )
    return case.reason("not_leaf", f"{said}Before backward(), add: {line}", line)


def _leaf_without_a_name(case: Case) -> str | None:
    """`leaf`, if a tensor was computed from one leaf alone, which no variable holds."""
    function = case.tensor.grad_fn
    following = function.next_functions if function is not None else ()
    ends = [each for each, _ in following if each is not None]
    leaves = [getattr(each, "variable", None) for each in ends]
    if len(ends) != 1 or leaves[0] is None or case.facts.holds(leaves[0]):
        return None
    return "leaf"


def _without_output(case: Case) -> Reason:
    if not (case.tensor.is_leaf or case.tensor.retains_grad):
        return _not_leaf(case)
    name, grad = case.name, case.facts.grad
    ask = f"av.why({case.known or 'x'}, loss)"
    if grad is None:
        return case.reason(
            "backward_not_run",
            f"{case.grad_name} is None because no backward pass has written it, or it was cleared "
            f"since: either backward() has not been run, or its output does not depend on {name}. "
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
