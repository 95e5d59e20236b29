"""Why the gradient of a tensor that is in the output's graph is what it is: one pass compared."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.diagnosis import gradient_stops
from autograd_viz.diagnosis.cases import Case
from autograd_viz.diagnosis.failed_pass import failed_pass
from autograd_viz.diagnosis.gradient_history import after_freeing, compared, not_run, passes_in
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.diagnosis.observed import Observed
from autograd_viz.diagnosis.reason import Reason
from autograd_viz.model import Trace

if TYPE_CHECKING:
    from torch import Tensor

ROUNDED = 1e-5  # of what the pass began with; a gradient so small may be the rounding of a 0


def reached(case: Case) -> Reason:
    """The answer for a tensor that the output's graph leads to, and that keeps its gradient."""
    attempt = case.facts.attempt
    if isinstance(attempt, Exception) and (fails := _spoiled(case, attempt)) is not None:
        return fails
    if case.facts.is_freed:
        return _with_output(case, after_freeing(case))
    if isinstance(attempt, Exception):
        first = str(attempt).partition(". ")[0].partition("\n")[0].rstrip(".")
        case.evidence.append(f"{type(attempt).__name__}: {first}")
        return case.reason(
            "backward_fails",
            f"{case.grad_name} cannot be computed: the backward pass from {case.result} ends in "
            f"an error, {type(attempt).__name__}: {first}.",
        )
    trace, slot = case.facts.trace, case.facts.slot
    assert trace is not None
    assert slot is not None
    once = trace.arrived(slot)
    grad = case.facts.grad
    if once is None:
        return _none_returned(case, trace)
    case.evidence.append(f"one pass from {case.result} gives {', '.join(text.summary(once))}")
    if grad is None:
        if text.trouble(once):
            return _trouble(case, trace, once, None)
        return _with_output(case, not_run(case, trace, once))
    case.evidence.append(f"{case.grad_name} is {', '.join(text.summary(grad))}")
    if text.trouble(once) or text.trouble(grad):
        return _trouble(case, trace, once, grad)
    if not largest(once) and not largest(grad):
        return _with_output(case, _zero(case, trace))
    return _with_output(case, _small(case, trace, once, grad) or compared(case, trace, once, grad))


def _spoiled(case: Case, error: Exception) -> Reason | None:
    """The answer where what a pass needs was changed in place, or only a part of it freed."""
    facts = case.facts
    if facts.output is None:
        return None
    failed = failed_pass(facts.output, facts.frame, error, facts.tensor, facts.labels)
    is_whole = failed is not None and failed.cause == "graph_freed" and failed.met == 0
    return None if is_whole else failed


def _with_output(case: Case, reason: Reason) -> Reason:
    """The answer, after the news that the output is no number, which a finite gradient hides."""
    assert case.output is not None
    assert case.facts.captured is not None
    kind = text.trouble(case.output)
    if kind is None:
        return reason
    said = f"{case.result} {'is' if case.output.numel() == 1 else 'holds'} {kind}"
    case.evidence.append(said)
    trace = case.facts.trace or Trace(case.facts.captured[0], (), (), (), {})
    if (begins := _observed(case, trace).forward()) is not None:
        said += f": {begins[0]}{_of_nothing_before(trace, begins[1])}"
    return replace(reason, text=f"{said}. {reason.text}", evidence=tuple(case.evidence))


def _of_nothing_before(trace: Trace, node: int) -> str:
    """The same for what a value was computed from: not each operation keeps its value."""
    before = (
        one
        for one in trace.step_of
        if _is_nan_of_nothing(trace, one) and node in gradient_stops.on_the_way(trace.graph, one)
    )
    return next(filter(None, (_of_nothing(trace, one) for one in (node, *before))), "")


def _observed(case: Case, trace: Trace) -> Observed:
    """What the pass tells about the gradient that is asked for."""
    facts = case.facts
    assert case.output is not None
    assert facts.captured is not None
    _, walk, _ = facts.captured
    slot, within = facts.slot, case.containing
    assert slot is not None
    return Observed(trace, walk, slot, case.output, facts.frame, within, facts.named)


def _is_nan_of_nothing(trace: Trace, node: int) -> bool:
    known = trace.graph.nodes[node]
    averages = re.match(r"(Mean|Std|Var|Median)Backward", known.name)
    return averages is not None or known.constants.get("reduction") == 1


def _of_nothing(trace: Trace, node: int) -> str:
    """`, the mean of nothing`, where what an operation was given has no elements."""
    if node not in trace.step_of:
        return ""
    sent = trace.steps[trace.step_of[node]].grad_inputs
    operation = gradient_stops.operation(trace.graph.nodes[node].name)
    if any(grad is not None and grad.numel() == 0 for grad in sent):
        return f", the {operation} of nothing"
    if trace.graph.nodes[node].constants.get("total_weight") == 0:  # each target is ignored
        return f", the {operation} of no target: all are ignored, or weigh nothing"
    return ""


def _none_returned(case: Case, trace: Trace) -> Reason:
    assert case.node is not None
    edge = gradient_stops.first_none(trace, case.node)
    if edge is None:
        return case.reason(
            "not_reached",
            f"{case.because()} {case.result} does not depend on it: no gradient is "
            f"sent along any way to {case.name}.",
        )
    step = trace.graph.nodes[edge.source]
    custom = (
        "the backward() of your Function has to return a gradient for each input of forward()"
        if step.custom
        else "it sends no gradient to this input"
    )
    case.evidence.append(f"{step.name} returns None for its input {edge.input_index}")
    return case.reason(
        "none_returned",
        f"{case.because()} {step.name}{case.of(edge)} returns None, PyTorch's "
        f'"no gradient", for its input {edge.input_index}: {custom}.',
        stop=edge,
    )


def _zero(case: Case, trace: Trace) -> Reason:
    assert case.node is not None
    told = _observed(case, trace).zero()
    if told is None:
        return case.reason(
            "zero",
            f"{case.grad_name} is 0; which step made it so is not known: not all numbers of the "
            "pass can be read.",
            stop=gradient_stops.first_zero(trace, case.node),
        )
    because = told.because
    if told.stop is not None:
        step = trace.graph.nodes[told.stop.source]
        case.evidence.append(f"{step.name} gets a gradient and sends 0")
        if nothing := _of_nothing(trace, told.stop.source):
            begin, _, _ = because.partition(": ")
            because = f"{begin}: it is {nothing.removeprefix(', ')}"
    return case.reason(
        "not_differentiable" if told.is_step else "zero",
        f"{case.grad_name} is 0 because {because}.",
        stop=told.stop,
    )


def _trouble(case: Case, trace: Trace, once: Tensor, grad: Tensor | None) -> Reason:
    kind = text.trouble(once) if grad is None else text.trouble(grad) or text.trouble(once)
    begin = f"{case.grad_name} holds {kind}"
    if grad is None:
        begin = f"{case.grad_name} is None, and one pass from {case.result} gives it {kind}"
    elif text.trouble(grad) and not text.trouble(once):
        return case.reason(
            "nan",
            f"{begin}, but one pass from {case.result} gives "
            f"{', '.join(text.summary(once))}: an earlier pass left it there. Add: "
            f"{case.name}.grad = None",
            f"{case.name}.grad = None",
        )
    assert case.output is not None
    observed = _observed(case, trace)
    told = observed.trouble(case.grad_name)
    more = f" {told.remedy}" if told is not None and told.remedy else ""
    stop = None if told is None else told.stop
    begins = observed.forward() if text.trouble(case.output) else None
    if begins is not None:
        case.evidence.append(f"{begins[0]} in the forward pass")
        nothing = _of_nothing_before(trace, begins[1])
        return case.reason(
            "nan",
            f"{begin} because a value of the forward pass is not finite already: {begins[0]}"
            f"{nothing}. Look for the input that makes it so before you look at gradients.{more}",
            stop=stop,
        )
    if told is None:
        said = f"{begin}; which step made it so is not known: not all numbers can be read."
        return case.reason("nan", said)
    case.evidence.append(told.because)
    return case.reason("nan", f"{begin} because {told.because}.{more}", stop=stop)


def _small(case: Case, trace: Trace, once: Tensor, grad: Tensor) -> Reason | None:
    """The answer for the gradient of one pass that is 0 but for rounding, or next to nothing."""
    if passes_in(grad, once) != 1:
        return None
    start = max(largest(each) for each in trace.starts)
    shown = ", ".join(text.summary(grad))
    told = _observed(case, trace).rounding() if largest(once) < ROUNDED * start else None
    if told is not None:
        said = f"{case.grad_name} is {shown}, which is {told.because}."
        return case.reason("zero", said, stop=told.stop)
    if largest(once) < gradient_stops.TINY * start:
        return _vanishing(case, trace, shown)
    return None


def _vanishing(case: Case, trace: Trace, single: str) -> Reason:
    assert case.node is not None
    edge = gradient_stops.steepest(trace, case.node)
    place = ""
    if edge is not None:
        where = _observed(case, trace).shrinks(edge) or trace.graph.nodes[edge.source].name
        place = f" It shrinks most at {where}."
    return case.reason(
        "vanishing",
        f"{case.grad_name} is {single}: not 0, but so small that a step of gradient descent "
        f"changes nothing.{place}",
        stop=edge,
    )
