"""Why the gradient of a tensor that is in the output's graph is what it is: one pass compared."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.diagnosis import gradient_stops
from autograd_viz.diagnosis.cases import Case
from autograd_viz.diagnosis.freed import freed, inputs_of
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.diagnosis.reason import Reason
from autograd_viz.model import Edge, Graph, Trace

if TYPE_CHECKING:
    from torch import Tensor

MOST_PASSES = 1_000  # backward calls that a gradient is taken for the sum of
CLOSE = 1e-4  # relative; float32 sums of many passes differ by less


def reached(case: Case) -> Reason:
    """The answer for a tensor that the output's graph leads to, and that keeps its gradient."""
    attempt, name = case.facts.attempt, case.name
    if case.facts.is_freed:
        return _with_output(case, freed(case))
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
        reason = _not_run(case, trace, once)
        return reason if text.trouble(once) else _with_output(case, reason)
    case.evidence.append(f"{case.grad_name} is {', '.join(text.summary(grad))}")
    if text.trouble(once) or text.trouble(grad):
        return _trouble(case, trace, once, grad)
    if not largest(once) and not largest(grad):
        return _with_output(case, _zero(case, trace))
    return _with_output(case, _compared(case, trace, once, grad, name))


def _with_output(case: Case, reason: Reason) -> Reason:
    """The answer, after the news that the output is no number, which a finite gradient hides."""
    assert case.output is not None
    assert case.facts.captured is not None
    kind = text.trouble(case.output)
    if kind is None:
        return reason
    said = f"{case.result} {'is' if case.output.numel() == 1 else 'holds'} {kind}"
    case.evidence.append(said)
    graph = case.facts.captured[0]
    slot = gradient_stops.troubled_value(graph)
    if slot is not None:
        value = ", ".join(text.summary(graph.values[slot]))
        nothing = _of_nothing_before(case.facts.trace, slot.node)
        said += f": {_made(case, graph, slot.node)} gives {value}{nothing}"
    return replace(reason, text=f"{said}. {reason.text}", evidence=tuple(case.evidence))


def _of_nothing_before(trace: Trace | None, node: int) -> str:
    """The same for what a value was computed from: not each operation keeps its value."""
    if trace is None:
        return ""
    before = (
        one
        for one in trace.step_of
        if _is_nan_of_nothing(trace, one) and node in gradient_stops.on_the_way(trace.graph, one)
    )
    return next(filter(None, (_of_nothing(trace, one) for one in (node, *before))), "")


def _made(case: Case, graph: Graph, node: int) -> str:
    return case.variable_of(node) or graph.nodes[node].name


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


def _not_run(case: Case, trace: Trace, once: Tensor) -> Reason:
    name, result = case.name, case.result
    start = "backward()" if trace.starts[0].numel() == 1 else "sum().backward()"
    line = f"{result}.{start}" if result.isidentifier() else f"loss.{start}"
    brings = ", ".join(text.summary(once))
    hint = ""
    if text.trouble(once):
        hint = " This is not a number to work with; ask again afterwards to see what made it."
    if not case.tensor.is_leaf:
        return case.reason(
            "backward_not_run",
            f"{case.grad_name} is None because backward() has not been run since "
            f"{name}.retain_grad(): it keeps the gradients of later passes only. {name} is in "
            f"{result}'s graph, and one pass gives {brings}.{hint} Add: {line}",
            line,
        )
    cleared = case.cleared()
    if cleared is not None:
        back, clear = cleared
        case.evidence += [back.quoted, clear.quoted]
        return case.reason(
            "backward_not_run",
            f"{case.grad_name} is None because backward() has not been run since it was "
            f"cleared in {clear.quoted}. {name} is in {result}'s graph, and one pass gives "
            f"{brings}.{hint} Add: {line}",
            line,
        )
    or_cleared = "" if case.facts.source else ", or .grad was cleared since"
    return case.reason(
        "backward_not_run",
        f"{case.grad_name} is None because backward() has not been run{or_cleared}: {name} is in "
        f"{result}'s graph, and one pass gives {brings}.{hint} Add: {line}",
        line,
    )


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
    graph = trace.graph
    edge = gradient_stops.first_zero(trace, case.node)
    if edge is None:
        return case.reason(
            "zero",
            f"{case.grad_name} is 0 because what arrives at {case.name}, or on the way to it, "
            "adds up to 0: contributions that are not 0 cancel.",
        )
    step = graph.nodes[edge.source]
    because = gradient_stops.made_zero(graph, edge, case.facts.saved(edge.source))
    if nothing := _of_nothing(trace, edge.source):
        because = f"it is {nothing.removeprefix(', ')}"
    case.evidence.append(f"{step.name} gets a gradient and sends 0")
    stepped = re.sub(r"Backward\d*$", "", step.name) in gradient_stops.STEPS
    return case.reason(
        "not_differentiable" if stepped else "zero",
        f"{case.grad_name} is 0 because the gradient becomes 0 at {step.name}"
        f"{case.of(edge)}: {because}.",
        stop=edge,
    )


def _trouble(case: Case, trace: Trace, once: Tensor, grad: Tensor) -> Reason:
    assert case.node is not None
    graph = trace.graph
    kind = text.trouble(grad) or text.trouble(once)
    begin = f"{case.grad_name} holds {kind} because"
    if text.trouble(grad) and not text.trouble(once):
        return case.reason(
            "nan",
            f"{case.grad_name} holds {kind}, but one pass from {case.result} gives "
            f"{', '.join(text.summary(once))}: an earlier pass left it there. Add: "
            f"{case.name}.grad = None",
            f"{case.name}.grad = None",
        )
    slot = gradient_stops.troubled_value(graph, case.node)
    edge = gradient_stops.first_trouble(trace, case.node)
    if slot is not None:
        value = graph.values[slot]
        made = _made(case, graph, slot.node)
        case.evidence.append(f"{made} is {', '.join(text.summary(value))} in the forward pass")
        inputs = inputs_of(case, slot)
        stop = edge or next(iter(graph.in_edges[slot.node]), None)
        return case.reason(
            "nan",
            f"{begin} a value of the forward pass is {text.trouble(value)} already: "
            f"{made} gives {', '.join(text.summary(value))}{inputs}"
            f"{_of_nothing(trace, slot.node)}. Look for the input "
            "that makes it so before you look at gradients.",
            stop=stop,
        )
    if edge is None:
        return case.reason("nan", f"{begin} the pass from {case.result} begins with it.")
    step = graph.nodes[edge.source]
    sent = trace.sent(edge)
    first = text.trouble(sent) if sent is not None else None
    because = gradient_stops.made_trouble(graph, edge, case.facts.saved(edge.source))
    if first == "NaN" and not largest(_arriving(trace, edge)):
        because += "; what arrives is 0, and 0 times an infinite slope is NaN"
    case.evidence.append(f"{step.name} gets finite numbers and sends {first}")
    later = " A later step then made NaN of it, as 0 * inf is." if first != kind else ""
    return case.reason(
        "nan",
        f"{begin} {step.name}{case.of(edge)} makes {first} of a finite gradient: {because}."
        f"{later} Keep the forward value away from there, as with x.clamp(min=1e-12).",
        stop=edge,
    )


def _arriving(trace: Trace, edge: Edge) -> Tensor:
    arrived = trace.steps[trace.step_of[edge.source]].grad_outputs
    return next(grad for grad in arrived if grad is not None)


def _compared(case: Case, trace: Trace, once: Tensor, grad: Tensor, name: str) -> Reason:
    assert case.node is not None
    passes = _passes(grad, once)
    shown, single = ", ".join(text.summary(grad)), ", ".join(text.summary(once))
    clear = f"{case.known or 'x'}.grad = None"
    if passes == 1:
        start = max(largest(each) for each in trace.starts)
        if largest(once) < gradient_stops.TINY * start:
            return _vanishing(case, trace, single)
        ones = "" if trace.starts[0].numel() == 1 else " (begun with ones, as by .sum())"
        zeros = int((grad == 0).sum()) if not grad.is_sparse else 0
        note = f" Of its {grad.numel()} elements {zeros} are 0." if zeros else ""
        said = f"{case.grad_name} is {shown}, which is what one backward pass from {case.result}"
        assert case.output is not None
        if text.trouble(case.output):
            return case.reason("nan", f"{said} gives{ones}.{note}")
        return case.reason("well", f"All is well: {said} gives{ones}.{note}")
    if passes is not None:
        return case.reason(
            "accumulated",
            f"{case.grad_name} is {shown}: {passes} times the {single} of one backward pass "
            f"from {case.result}, as after {passes} calls of backward(). Each call adds to .grad, "
            f"and only you set it back. Before each backward(), add: {clear} (or "
            "optimizer.zero_grad())",
            clear,
        )
    rest = ", ".join(text.summary(grad - once))
    return case.reason(
        "other_passes",
        f"{case.grad_name} is {shown}, but one backward pass from {case.result} gives {single}: "
        f"the rest, {rest}, came from backward() calls on other outputs or with other values, "
        f"or something has written to .grad (as clipping does). To begin anew: {clear}",
        clear,
    )


def _vanishing(case: Case, trace: Trace, single: str) -> Reason:
    assert case.node is not None
    edge = gradient_stops.steepest(trace, case.node)
    place = ""
    if edge is not None:
        step = trace.graph.nodes[edge.source]
        place = f" It shrinks most at {step.name}{case.of(edge)}."
    return case.reason(
        "vanishing",
        f"{case.grad_name} is {single}: not 0, but so small that a step of gradient descent "
        f"changes nothing.{place} Flat functions do this, as sigmoid and tanh far from 0.",
        stop=edge,
    )


def _passes(grad: Tensor, once: Tensor) -> int | None:
    """How many equal passes a gradient is the sum of; None if it is not of that kind."""
    if grad.shape != once.shape or grad.is_meta or grad.is_nested:
        return None
    total, single = (each.detach().to_dense() for each in (grad, once))
    total, single = (each if each.is_complex() else each.double() for each in (total, single))
    size = largest(single)
    if not size:
        return None
    place = int(single.abs().argmax())
    ratio = total.flatten()[place] / single.flatten()[place]
    count = round(float(ratio.real if ratio.is_complex() else ratio))
    if not 1 <= count <= MOST_PASSES:
        return None
    return count if largest(total - count * single) <= CLOSE * count * size else None
