"""What wrote a `.grad`, and what is in it: one pass, several, or something else."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, NamedTuple

from autograd_viz import text
from autograd_viz.diagnosis.cases import RECORD, Case
from autograd_viz.diagnosis.freed import value_in_trouble, zero_made_by
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.diagnosis.reason import Cause, Reason
from autograd_viz.model import Trace
from autograd_viz.recorded.events import Event, LeafPass, Pass

if TYPE_CHECKING:
    from torch import Tensor

MOST_PASSES = 1_000  # backward calls that a gradient is taken for the sum of
CLOSE = 1e-4  # relative; float32 sums of many passes differ by less


class Told(NamedTuple):
    """What the recording tells of a `.grad` since it was empty."""

    passes: list[Event]  # that wrote it
    others: list[Event]  # changes by something else, zeroing among them
    cleared: Event | None  # what emptied it before
    is_whole: bool  # whether all that happened to it is known


def told(case: Case) -> Told:
    """The passes that wrote the tensor's `.grad`, and what else did."""
    history = case.facts.history
    passes: list[Event] = []
    others: list[Event] = []
    cleared: Event | None = None
    for event in history.gradient_events(case.tensor):
        if isinstance(event.what, Pass):
            if (leaf := _leaf(case, event)) is not None and leaf.wrote:
                passes.append(event)
        elif event.name == "set grad" and len(event.inputs) == 1:
            passes, others, cleared = [], [], event
        else:
            others.append(event)
            if is_zeroing(event):
                passes = []
    whole = history.is_from_here(case.tensor) or cleared is not None
    return Told(passes, others, cleared, whole and not history.log.forgotten)


def is_zeroing(event: Event) -> bool:
    """Whether a call sets all elements to 0."""
    return event.name in ("zero_", "_foreach_zero_")


def not_run(case: Case, trace: Trace, once: Tensor) -> Reason:
    """The answer where `.grad` is None though the output's graph leads to the tensor."""
    name, result = case.name, case.result
    start = "backward()" if trace.starts[0].numel() == 1 else "sum().backward()"
    line = f"{result}.{start}" if result.isidentifier() else f"loss.{start}"
    known = f"{name} is in {result}'s graph, and one pass gives {', '.join(text.summary(once))}."
    begin = f"{case.grad_name} is None because"
    if not case.tensor.is_leaf:
        return case.reason(
            "backward_not_run",
            f"{begin} backward() has not been run since {name}.retain_grad(), which keeps the "
            f"gradients of later passes only. {known} Add: {line}",
            line,
        )
    reached = case.facts.history.gradient_events(case.tensor)
    last = reached[-1] if reached else None
    if last is not None and isinstance(last.what, Pass):
        return _passed_by(case, last, known, line)
    if last is not None:
        return case.reason(
            "backward_not_run",
            f"{begin} it was cleared in {case.seen(last)}, and backward() has not been run since. "
            f"{known} Add: {line}",
            line,
        )
    if told(case).is_whole:
        return case.reason(
            "backward_not_run", f"{begin} backward() has not been run: {known} Add: {line}", line
        )
    return case.reason(
        "backward_not_run",
        f"{begin} backward() has not been run, or did not write it{_hints(case)}, or it was "
        f"cleared since: {known} Add: {line}",
        line,
    )


def _passed_by(case: Case, event: Event, known: str, line: str) -> Reason:
    """A pass has run, and yet `.grad` is None."""
    assert isinstance(event.what, Pass)
    name, place = case.name, case.seen(event)
    begin = f"{case.grad_name} is None because"
    if event.name == "grad":
        said = f"autograd.grad() in {place} returns gradients and writes no .grad."
    elif event.what.error is not None:
        said = f"backward() in {place} ended in an error before it wrote it."
    elif event.what.chosen:
        said = f"backward() in {place} was told by inputs= to write others only."
    elif hooks := _after_accumulation(case.tensor):
        said = (
            f"backward() in {place} wrote it, and then {hooks}, which runs after a gradient was "
            "accumulated, cleared it."
        )
        return case.reason("cleared_by_hook", f"{begin} {said} {known}")
    else:
        said = f"no gradient arrived at {name} in the backward() of {place}."
    return case.reason("backward_not_run", f"{begin} {said} {known} Add: {line}", line)


def _hints(case: Case) -> str:
    """What PyTorch knows of how it can be that a pass did not write it."""
    if hooks := _after_accumulation(case.tensor):
        return f" (or {hooks}, which runs after a gradient was accumulated, has cleared it)"
    captured = case.facts.captured
    if captured is None:
        return ""
    with_grad = [
        name
        for name, other in case.facts.named.items()
        if other.is_leaf
        and other.grad is not None
        and any(leaf is other for leaf in captured[1].leaves.values())
    ]
    if not with_grad:
        return ""
    case.evidence.append(f"{with_grad[0]}.grad is not None")
    return f" (as backward(inputs=...) does not: {text.joined(with_grad)}.grad is there)"


def _after_accumulation(tensor: Tensor) -> str:
    """The hooks that run after a gradient was accumulated, by name and line."""
    hooks = tensor._post_accumulate_grad_hooks or {}
    named = []
    for hook in hooks.values():
        code = getattr(inspect.unwrap(hook), "__code__", None)
        name = getattr(hook, "__name__", type(hook).__name__)
        name = "a lambda" if name == "<lambda>" else name
        named.append(f"{name} (line {code.co_firstlineno})" if code is not None else name)
    return f"the hook {text.joined(named)}" if named else ""


def compared(case: Case, trace: Trace, once: Tensor, grad: Tensor) -> Reason:
    """The answer where `.grad` is there, and one pass from the output can be run beside it."""
    shown, single = ", ".join(text.summary(grad)), ", ".join(text.summary(once))
    clear = f"{case.known or 'x'}.grad = None"
    count = passes_in(grad, once)
    known = told(case)
    if count == 1:
        ones = "" if trace.starts[0].numel() == 1 else " (begun with ones, as by .sum())"
        zeros = int((grad == 0).sum()) if not grad.is_sparse else 0
        note = f" Of its {grad.numel()} elements {zeros} are 0." if zeros else ""
        said = f"{case.grad_name} is {shown}, which is what one backward pass from {case.result}"
        assert case.output is not None
        if text.trouble(case.output):
            return case.reason("nan", f"{said} gives{ones}.{note}")
        return case.reason("well", f"All is well: {said} gives{ones}.{note}")
    if known.passes or known.others:
        return _as_recorded(case, known, grad, single)
    if not largest(grad):
        return case.reason(
            "other_passes",
            f"{case.grad_name} is {shown}, but one backward pass from {case.result} gives "
            f"{single}: it was set to 0 after its last pass, as by zero_grad(set_to_none=False), "
            f"or what the passes brought cancels. Which of the two is not known. {RECORD}",
        )
    if count is not None:
        return case.reason(
            "accumulated",
            f"{case.grad_name} is {shown}: {count} times the {single} of one backward pass from "
            f"{case.result}. Each backward() adds to .grad, so that {count} calls give this; so "
            f"does one from {count} times {case.result}. Which it was is not known. {RECORD} To "
            f"begin anew: {clear}",
            clear,
        )
    rest = ", ".join(text.summary(grad - once))
    return case.reason(
        "other_passes",
        f"{case.grad_name} is {shown}, but one backward pass from {case.result} gives {single}. "
        f"The rest, {rest}, is of backward() calls on other outputs or with a gradient of their "
        f"own, or something has written to .grad, as clipping does. Which it was is not known. "
        f"{RECORD} To begin anew: {clear}",
        clear,
    )


def _as_recorded(case: Case, known: Told, grad: Tensor, single: str) -> Reason:
    """The same, told by what was recorded."""
    clear = f"{case.known or 'x'}.grad = None"
    shown = ", ".join(text.summary(grad))
    begin = f"{case.grad_name} is {shown}"
    than = f"; one backward pass from {case.result} gives {single}"
    zeroed = next((each for each in reversed(known.others) if is_zeroing(each)), None)
    if not known.passes and zeroed is not None:
        return case.reason(
            "other_passes", f"{begin} because it was set to 0 in {case.seen(zeroed)}{than}."
        )
    said = _passes_said(case, known)
    rest = [each for each in known.others if not is_zeroing(each)]
    if rest:
        said += f", and then changed in {case.seen(rest[-1])}"
    from_here = [each for each in known.passes if _is_of(case, each)]
    cause: Cause = "other_passes"
    if len(from_here) == len(known.passes) > 1 and not rest:
        cause = "accumulated"
        said += f". Each call adds to .grad. Before each backward(), add: {clear}"
        return case.reason(cause, f"{begin}{than}. It was {said}{or_zero_grad(case)}", clear)
    return case.reason(
        "other_passes", f"{begin}{than}. It was {said}. To begin anew: {clear}", clear
    )


def or_zero_grad(case: Case) -> str:
    """The other way to clear a gradient, where a recorded optimizer has the tensor."""
    has_it = case.facts.history.steps(case.tensor)
    return " (or optimizer.zero_grad())" if has_it else ""


def _passes_said(case: Case, known: Told) -> str:
    """`written by backward() in line 5, from other, and line 7`."""
    places: dict[str, list[str]] = {}
    for event in known.passes[:6]:
        assert isinstance(event.what, Pass)
        note = "" if _is_of(case, event) else ", from another tensor"
        if event.what.given:
            note = ", which was given a gradient to begin from"
        places.setdefault(case.seen(event), []).append(note)
    if not places:
        return "not written by any pass that was recorded"
    parts = [
        place + (notes[0] if len({*notes}) == 1 else ", not each time from the same tensor")
        for place, notes in places.items()
    ]
    more = f" and {len(known.passes) - 6} more" if len(known.passes) > 6 else ""
    times = f"{len(known.passes)} times " if len(known.passes) > 1 else ""
    return f"written {times}by backward() in {text.joined(parts, '; ')}{more}"


def _is_of(case: Case, event: Event) -> bool:
    """Whether a pass began from the output alone, with 1 or ones."""
    assert case.output is not None
    serial = case.facts.history.log.find(case.output)
    return isinstance(event.what, Pass) and event.what.outputs == (serial,) and not event.what.given


def _leaf(case: Case, event: Event) -> LeafPass | None:
    serial = case.facts.history.log.find(case.tensor)
    leaves = event.what.leaves if isinstance(event.what, Pass) else ()
    return next((leaf for leaf in leaves if leaf.serial == serial), None)


def after_freeing(case: Case) -> Reason:
    """The answer where a pass has freed the graph, so that none can be run to compare with."""
    result, grad = case.result, case.facts.grad
    case.evidence.append(f"the graph of {result} was freed by a backward pass")
    known = told(case)
    if grad is None:
        return _empty_after_freeing(case, known)
    shown = ", ".join(text.summary(grad))
    trouble = text.trouble(grad)
    state = f"holds {trouble}" if trouble else f"is {shown}"
    clear = f"{case.known or 'x'}.grad = None"
    if not largest(grad) and not trouble and (zero := zero_made_by(case)) is not None:
        edge, because = zero
        assert case.facts.captured is not None  # the edge is a part of it
        step = case.facts.captured[0].nodes[edge.source].name
        said = f"{case.grad_name} is 0 because the gradient becomes 0 at {step}{case.of(edge)}"
        return case.reason("zero", f"{said}: {because}.", stop=edge)
    if trouble and (value := value_in_trouble(case)) is not None:
        slot, made = value
        assert case.facts.captured is not None  # the value is a part of it
        return case.reason(
            "nan",
            f"{case.grad_name} holds {trouble}, and a value of the forward pass is not finite "
            f"already: {made}. Look for the input that makes it so.",
            stop=next(iter(case.facts.captured[0].in_edges[slot.node]), None),
        )
    if known.is_whole and known.passes:
        said = f"{case.grad_name} {state}, {_passes_said(case, known)}"
        rest = [each for each in known.others if not is_zeroing(each)]
        if rest:
            said += f", and changed in {case.seen(rest[-1])}"
        if len(known.passes) > 1:
            return case.reason(
                "accumulated",
                f"{said}. Each call adds to .grad. Before each backward(), add: {clear}"
                f"{or_zero_grad(case)}",
                clear,
            )
        if trouble or not largest(grad):
            made = (
                f"Which step made it {trouble or 0} a pass shows: compute {result} again, and ask"
            )
            return case.reason("graph_freed", f"{said}. {made} before its backward().")
        if not rest and _is_of(case, known.passes[0]):
            return case.reason("well", f"All is well: {said}.")
        return case.reason("graph_freed", f"{said}.")
    again = f"{result}.backward(retain_graph=True)"
    ask = f"Compute {result} again and ask before its backward()."
    return case.reason(
        "graph_freed",
        f"{case.grad_name} {state}, but whether one pass gives this cannot be said: an earlier "
        f"backward() has freed {result}'s graph, and what else wrote to .grad is not known. {ask}",
        again if result.isidentifier() else None,
    )


def _empty_after_freeing(case: Case, known: Told) -> Reason:
    name, result = case.name, case.result
    events = case.facts.history.gradient_events(case.tensor)
    last = events[-1] if events else None
    if not case.tensor.is_leaf:
        cause = f"{name}.retain_grad() was called after it, and keeps later gradients only"
    elif last is not None and not isinstance(last.what, Pass):
        cause = f"{name}.grad was cleared after it, in {case.seen(last)}"
        if (step := case.facts.history.step_after(last, case.tensor)) is not None:
            cause += f", so that the step in {case.seen(step)} had no gradient to use"
    elif last is not None and isinstance(last.what, Pass) and last.name == "grad":
        cause = f"autograd.grad() in {case.seen(last)} returns gradients and writes no .grad"
    elif last is not None and isinstance(last.what, Pass) and last.what.chosen:
        cause = f"backward() in {case.seen(last)} was told by inputs= to write others only"
    elif hooks := _after_accumulation(case.tensor):
        cause = f"{hooks}, which runs after a gradient was accumulated, may have cleared it"
    else:
        cause = (
            f"after it {name}.grad was cleared (as by optimizer.zero_grad()), or the pass did "
            "not write it, as torch.autograd.grad() and backward(inputs=...) do not"
        )
    return case.reason(
        "graph_freed",
        f"{case.grad_name} is None although a backward pass has run through {result}'s "
        f"graph and freed it: {cause}. Compute {result} again, then call backward().",
    )


def passes_in(grad: Tensor, once: Tensor) -> int | None:
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
