"""Why no gradient can reach a tensor: it needs none, or no way leads from the output to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autograd_viz import names as naming
from autograd_viz import text
from autograd_viz.diagnosis import cut_words
from autograd_viz.diagnosis.cases import RECORD, Case
from autograd_viz.diagnosis.facts import same_memory
from autograd_viz.diagnosis.failures import RECORDED, inside
from autograd_viz.diagnosis.reason import Broken, Reason

if TYPE_CHECKING:
    from autograd_viz.recorded.events import Event
    from autograd_viz.recorded.flow import Cut
    from autograd_viz.recorded.places import Place

SUSPECTS = (
    ".detach(), .data, .item(), NumPy, torch.no_grad(), sample() in place of rsample(), "
    "autograd.grad() without create_graph=True, or nn.Parameter() or torch.tensor() of a result"
)
_MADE_BY = re.compile(  # calls to which requires_grad=True can be added
    r"(?P<head>\w+\s*=\s*torch\.(tensor|ones|zeros|rand|randn|full|eye|arange|linspace|empty)\(.*)\)"
)


def needs_no_gradient(case: Case) -> Reason:
    """The answer for a tensor that does not require grad."""
    tensor, name = case.tensor, case.name
    case.evidence.append(f"{name}.requires_grad is False")
    maker = case.facts.history.maker(tensor)
    cuts = case.facts.history.cuts_into(tensor)
    if cuts:
        begin = f"{case.because()} {name} does not require grad:"
        return _cut_off(case, cuts, begin, name)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        case.evidence.append(f"{name}.dtype is {tensor.dtype}")
        line = _with_requires_grad(case, floats=True)
        return case.reason(
            "not_floating",
            f"{case.because()} its dtype is {tensor.dtype}, and only floating-point and "
            f"complex tensors have gradients: between two whole numbers there is no slope. "
            f"Make it of floats: {line}",
            line,
        )
    if tensor.is_inference():
        return _inference(case, f"{case.because()} {name}", name)
    alias = _twin(case)
    if alias:
        case.evidence.append(f"{name} shares its memory with {alias}")
        return case.reason(
            "detached",
            f"{case.because()} {name} is {alias} cut off from its graph: both hold the same "
            f"memory, but {name} does not require grad, as after .detach(), .data or NumPy. "
            f"Use {alias} itself.",
            broken=Broken("the same memory", f"{name}: {alias} without a graph", None, alias),
        )
    if maker is not None and maker.inputs:
        return _made_of_constants(case)
    return _not_required(case)


def _not_required(case: Case) -> Reason:
    """It was given without requires_grad, or nothing tells from what it was computed."""
    name, made = case.name, case.made()
    place = f" ({made.quoted})" if made else ""
    said = f"{case.because()} {name} does not require grad{place}, so autograd does not follow it."
    if not _is_given(case, made) and (needing := _needing(case)) is not None:
        case.evidence.append(f"{needing} requires grad")
        return case.reason(
            "not_required",
            f"{said} Yet {needing} requires grad: {name} was cut off from it, or was not computed "
            f"from it. Which call did that is not known. {RECORD}",
            RECORDED,
        )
    first = _beginning(case, name, made)
    if first is None and case.facts.is_result:
        return case.reason(
            "not_required", f"{said} What {name} is computed from has to require grad, not {name}."
        )
    if first is None:
        line = _with_requires_grad(case)
        return case.reason("not_required", f"{said} Write: {line}", line)
    case.evidence.append(f"{first}.requires_grad is False")
    line = _with_requires_grad(case, of=first)
    return case.reason(
        "not_required",
        f"{said} It was computed from {first}, which does not either. What {name} is computed from "
        f"has to require grad, not {name}: {line}",
        line,
    )


def _is_given(case: Case, made: Place | None) -> bool:
    """Whether it was certainly not computed: written in numbers, or from outside of a recording."""
    if made is not None and made.text and (found := _MADE_BY.fullmatch(made.text)):
        sizes_alone = found[2] not in ("tensor", "full")
        return sizes_alone or not set(made.reads) - {"torch"}
    return not case.facts.is_result and case.facts.history.log.find(case.tensor) is not None


def _needing(case: Case) -> str | None:
    """Something in reach that requires grad, so that a result may have been computed from it."""
    held = [*case.facts.named.items()]
    for name, value in naming.variables(case.facts.frame).items():
        held += inside(name, value)
    for name, other in held:
        if other.requires_grad:
            return name
    if any(each.requires_grad for each in naming.reachable_tensors(case.facts.frame)):
        return "a tensor in reach"
    return None


def _beginning(case: Case, name: str, made: Place | None) -> str | None:
    """The first tensor that the statements before lead back to; None: they lead to no other."""
    seen, first = {name}, None
    while made is not None:
        held = [each for each in made.reads if each in case.facts.named and each not in seen]
        if not held:
            break
        first = held[0]
        seen.add(first)
        made = case.made(case.facts.named[first])
    return first


def _made_of_constants(case: Case) -> Reason:
    """What it was computed from, as recorded, and none of that requires grad."""
    history, name = case.facts.history, case.name
    maker = history.maker(case.tensor)
    assert maker is not None
    sources = [case.called(serial) for serial in history.sources(case.tensor)]
    known = [each for each in dict.fromkeys(sources) if each]
    said = f"{case.because()} {name} does not require grad ({case.seen(maker)}): "
    if not known:
        return case.reason(
            "not_required", f"{said}nothing that it was computed from does. Let that require grad."
        )
    case.evidence += [f"{each}.requires_grad is False" for each in known]
    line = _with_requires_grad(case, of=known[0])
    return case.reason(
        "not_required",
        f"{said}it was computed from {text.joined(known)}, and none of that requires grad. "
        f"Let the input require grad, not {name}: {line}",
        line,
    )


def _with_requires_grad(case: Case, floats: bool = False, of: str | None = None) -> str:
    """The line that makes a tensor with requires_grad: the reader's own, if it can be."""
    tensor = case.tensor if of is None else case.facts.named.get(of, case.tensor)
    name = of or case.known or "x"
    made = case.made(tensor)
    found = _MADE_BY.fullmatch(made.text) if made and made.text else None
    if made and found and "requires_grad" not in (made.text or ""):
        head = found["head"]
        if floats:
            head = re.sub(r",\s*dtype=[\w.]+", "", head) + ", dtype=torch.float32"
        return f"{head}, requires_grad=True)"
    if floats:
        return f"{name} = {name}.float().requires_grad_()"
    return f"{name}.requires_grad_()"


def _twin(case: Case) -> str | None:
    """A tensor with a graph that shares the memory of this one."""
    for name, other in case.facts.named.items():
        if other is not case.tensor and other.requires_grad and same_memory(other, case.tensor):
            return name
    return None


def _inference(case: Case, begin: str, name: str) -> Reason:
    case.evidence.append(f"{name}.is_inference() is True")
    return case.reason(
        "no_grad",
        f"{begin} was made in inference mode, which records nothing. Compute it again outside of "
        "`with torch.inference_mode():`.",
    )


def not_reached(case: Case) -> Reason:
    """The answer where the output's graph does not lead to the tensor."""
    facts, name, result = case.facts, case.name, case.result
    output = case.output
    assert output is not None
    case.evidence.append(
        f"no edge of {result}'s graph leads to {name}"
        if output.requires_grad
        else f"{result} does not require grad: it has no graph"
    )
    begin = f"{case.because()} {result} does not lead to it:"
    history = facts.history
    if (late := history.required_late(case.tensor, output)) is not None:
        return case.reason(
            "required_too_late",
            f"{begin} {name} was told to require grad in {case.seen(late)}, after {result} had "
            "been computed. Move that line before the computation.",
            facts.place(late).text,
            broken=_broken(case, late),
        )
    if (newer := _made_after(case)) is not None:
        return newer
    if cuts := history.cuts(case.tensor, output):
        return _cut_off(case, cuts, begin, result)
    if facts.is_recorded and history.log.find(case.tensor) is not None:
        left = history.left(case.tensor)
        if left is not None:
            return _left(case, left, begin)
    if facts.is_recorded and not history.log.forgotten:
        return _unused(case, begin)
    return _by_facts(case, begin)


def _unused(case: Case, begin: str) -> Reason:
    name, result = case.name, case.result
    uses = case.facts.history.uses(case.tensor)
    if uses:
        last = case.facts.place(uses[-1])
        said = (
            f"{begin} {name} was used ({last.quoted}), but nothing that {result} was computed from "
            f"follows from that. Use {last.made or 'its result'} in the computation of {result}."
        )
        return case.reason("unused", said, broken=_broken(case, uses[-1]))
    return case.reason(
        "unused",
        f"{begin} no call that was recorded on the way to {result} takes {name}. "
        f"Use {name} in the computation of {result}.",
    )


def _left(case: Case, left: Event, begin: str) -> Reason:
    name, result = case.name, case.result
    return case.reason(
        "copied",
        f"{begin} by {cut_words.called(left)} in {case.seen(left)} its numbers leave PyTorch, and "
        f"plain numbers have no graph; nothing else that follows from {name} is on the way to "
        f"{result}. Compute with the tensor itself, and with PyTorch's functions.",
        broken=_broken(case, left),
    )


def _cut_off(case: Case, cuts: Sequence[Cut], begin: str, result: str) -> Reason:
    """The calls at which the ways end, each with its statement."""
    first = cuts[0]
    cause, what, remedy = cut_words.said(case, first, result)
    others = [case.seen(each.event) for each in cuts[1:]]
    others = [each for each in dict.fromkeys(others) if each not in what]
    also = f" Other ways are cut off too: {text.joined(others, '; ')}." if others else ""
    text_now = case.facts.place(first.event).text
    line = cut_words.without(text_now, first) if text_now else None
    instead = f" As in `{line}`." if line else ""
    return case.reason(
        cause,
        f"{begin} {what} {remedy}{instead}{also}",
        line,
        broken=_broken(case, first.event),
    )


def _broken(case: Case, event: Event) -> Broken:
    """The statement for the picture, between what uses its result and what it cuts off."""
    place = case.facts.place(event)
    cut_off = [case.called(seen.serial) for seen in event.inputs if seen.needs]
    names = [each for each in cut_off if each and each not in case.facts.names_of(case.tensor)]
    # Where the tensor itself was cut off, the statement stands below it.
    source = names[0] if names and not case.tensor.requires_grad else None
    user = case.facts.history.user(event, case.output) if case.output is not None else None
    return Broken(
        place.where,
        place.statement or event.name,
        case.called(user) if user is not None else None,
        source,
    )


def _made_after(case: Case) -> Reason | None:
    """Each operation has a number that grows in each thread; so it is certain what is later."""
    tensor, output = case.tensor, case.output
    assert output is not None
    name, result = case.name, case.result
    if tensor._is_view() and tensor._base is not None and tensor._base._version:
        return _view_of_changed(case)
    later = case.facts.history.made_after(tensor, output)
    ours, theirs = tensor.grad_fn, output.grad_fn
    if ours is not None and theirs is not None and ours._sequence_nr() > theirs._sequence_nr():
        later = True
        case.evidence.append(f"{ours.name()} was recorded after {theirs.name()}")
    if not later:
        return None
    made = case.made()
    place = f" ({made.quoted})" if made else ""
    return case.reason(
        "rebound",
        f"{case.because()} {name} was made after {result}{place}, so {result} cannot "
        f"depend on it: if the name {name} held another tensor before, that one was used. "
        f"Compute {result} again, after that line.",
        broken=Broken(made.where, made.statement or name, None) if made else None,
    )


def _view_of_changed(case: Case) -> Reason | None:
    """A view whose base was changed in place gets a new grad_fn, which older results lack."""
    base = case.tensor._base
    assert base is not None
    name, result = case.name, case.result
    held = case.facts.name(base)
    called = held or "another tensor"
    case.evidence.append(f"{name} is a view of {called}, which was changed in place")
    changes = [event for event, _ in case.facts.history.changes(base)]
    where = f" ({case.seen(changes[-1])})" if changes else ""
    at = f" Ask for the gradient of {held} instead." if held else ""
    return case.reason(
        "rebound",
        f"{case.because()} {result} does not lead to it as it is now: {name} is a view of "
        f"{called}, which was changed in place{where}. Autograd has then given {name} a new "
        f"grad_fn, which {result} was not computed from. Compute {result} after that change.{at}",
        broken=_broken(case, changes[-1]) if changes else None,
    )


def _by_facts(case: Case, begin: str) -> Reason:
    """What is certain where nothing was recorded."""
    facts, name, result = case.facts, case.name, case.result
    output = case.output
    assert output is not None
    if not output.requires_grad:
        if output.is_inference():
            return _inference(case, f"{begin} {result}", result)
        if not (output.is_floating_point() or output.is_complex()):
            return case.reason(
                "not_differentiable",
                f"{begin} {result} has dtype {output.dtype}. Whole numbers and truth values jump, "
                "so what gives them (argmax, a comparison, a cast) has no gradient.",
            )
    node = facts.saved_alias
    if node is not None and facts.captured is not None:
        graph = facts.captured[0]
        used = graph.nodes[node].label
        by = f"{graph.nodes[node].name}" + (f", which computes {used}," if used else "")
        case.evidence.append(f"{by} saved a constant in the memory of {name}")
        alias = f" (the name {facts.alias} holds it too)" if facts.alias else ""
        return case.reason(
            "detached",
            f"{begin} {by} was given {name}'s values as a constant{alias}: the same memory, "
            "but without its graph, as after .detach(), .data or NumPy. Leave that out.",
            broken=Broken("the same memory", f"{name} as a constant", used),
        )
    kind = (
        f"{name} is not in its graph" if output.requires_grad else f"{result} does not require grad"
    )
    history = facts.history
    if history.uses(case.tensor) and not history.log.forgotten:
        return _partly_recorded(case, f"{begin} {kind}.")
    return case.reason(
        "not_reached",
        f"{begin} {kind}. Either {name} was not used, or the way was cut off, as by {SUSPECTS}. "
        f"Which it was is not known. {RECORD}",
        "with av.record():",
    )


def _partly_recorded(case: Case, begin: str) -> Reason:
    """The tensor was seen by the recording, and what made the output was not."""
    name, result = case.name, case.result
    left = case.facts.history.left(case.tensor)
    if left is None:
        used = case.facts.history.uses(case.tensor)[-1]
        return case.reason(
            "not_reached",
            f"{begin} The recording saw {name} used in {case.seen(used)}, but not what made "
            f"{result}: {cut_words.NOT_SEEN}. Move the rest into the block.",
        )
    return case.reason(
        "not_reached",
        f"{begin} By {cut_words.called(left)} in {case.seen(left)} numbers that follow from {name} "
        f"leave PyTorch, and plain numbers have no graph. Whether {result} was computed from these "
        f"is not known: {cut_words.NOT_SEEN}.",
        broken=_broken(case, left),
    )
