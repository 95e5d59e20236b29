"""Why no gradient can reach a tensor: it needs none, or no way leads from the output to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.diagnosis import lineage
from autograd_viz.diagnosis.cases import Case
from autograd_viz.diagnosis.facts import same_memory
from autograd_viz.diagnosis.reason import Broken, Reason

if TYPE_CHECKING:
    from autograd_viz.diagnosis.caller_source import Statement
    from autograd_viz.diagnosis.lineage import Way

SUSPECTS = (
    "The usual suspects are .detach(), .data, .item(), NumPy, torch.no_grad(), "
    "and a name that was bound anew."
)
_MADE_BY = re.compile(  # calls to which requires_grad=True can be added
    r"(?P<head>\w+\s*=\s*torch\.(tensor|ones|zeros|rand|randn|full|eye|arange|linspace|empty)\(.*)\)"
)


def needs_no_gradient(case: Case) -> Reason:
    """The answer for a tensor that does not require grad."""
    tensor, name = case.tensor, case.name
    case.evidence.append(f"{name}.requires_grad is False")
    lost = _lost_on_the_way_to_it(case)
    floating = tensor.is_floating_point() or tensor.is_complex()
    if lost is not None and lost.cut is not None and lost.cut.at is not None:
        return _cut_off(case, lost, f"{case.because()} {name} does not require grad:", name)
    if not floating:
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
        case.evidence.append(f"{name}.is_inference() is True")
        return case.reason(
            "no_grad",
            f"{case.because()} {name} was made in inference mode, which records nothing. "
            "Compute it again outside of `with torch.inference_mode():`.",
        )
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
    late = case.line_at(case.facts.names_of(tensor))
    line = _with_requires_grad(case)
    place = f" ({late.quoted})" if late else ""
    return case.reason(
        "not_required",
        f"{case.because()} {name} does not require grad{place}, so autograd does not "
        f"follow it. Write: {line}",
        line,
    )


def _with_requires_grad(case: Case, floats: bool = False) -> str:
    """The line that makes the tensor with requires_grad: the reader's own, if it can be."""
    name = case.known or "x"
    made = case.line_at(case.facts.names_of(case.tensor))
    found = _MADE_BY.fullmatch(made.text) if made else None
    if made and found and "requires_grad" not in made.text:
        head = found["head"]
        if floats:
            head = re.sub(r",\s*dtype=[\w.]+", "", head) + ", dtype=torch.float32"
        return f"{head}, requires_grad=True)"
    if floats:
        return f"{name} = {name}.float().requires_grad_()" if case.tensor.is_leaf else "x"
    if name.isidentifier():
        return f"{name} = torch.tensor(..., requires_grad=True)"
    return f"{name}.requires_grad_()"


def _twin(case: Case) -> str | None:
    """A tensor with a graph that shares the memory of this one."""
    for name, other in case.facts.named.items():
        if other is not case.tensor and other.requires_grad and same_memory(other, case.tensor):
            return name
    return None


def _lost_on_the_way_to_it(case: Case) -> Way | None:
    """A way from the tensor to one that requires grad, on which the source shows a cut."""
    for way in case.facts.origins:
        held = case.facts.named.get(way.name)
        if way.cut and held is not None and held.requires_grad:
            return way
    return None


def not_reached(case: Case) -> Reason:
    """The answer where the output's graph does not lead to the tensor."""
    facts, name, result = case.facts, case.name, case.result
    output = case.output
    assert output is not None
    graphless = not output.requires_grad
    case.evidence.append(
        f"{result} does not require grad: it has no graph"
        if graphless
        else f"no edge of {result}'s graph leads to {name}"
    )
    begin = f"{case.because()} {result} does not lead to it:"
    names = facts.names_of(case.tensor)
    own = [way for way in facts.ways if way.name in names]
    now = case.line_at(names)
    of_now = [way for way in own if way.version is now]
    late = _required_late(case, of_now)
    if late is not None:
        case.evidence.append(late.quoted)
        return case.reason(
            "required_too_late",
            f"{begin} {name} was told to require grad in {late.quoted}, after {result} had been "
            f"computed. Move that line before the computation.",
            late.text,
            broken=Broken(late.where, late.text, None),
        )
    cut = next((way for way in of_now if way.cut), None)
    if cut is not None and all(way.cut for way in of_now):
        return _cut_off(case, cut, begin, result)
    if not of_now and own and now is not None:
        case.evidence.append(now.quoted)
        return case.reason(
            "rebound",
            f"{begin} the name {name} was bound anew in {now.quoted}, and {result} was computed "
            f"from what it held before. Compute {result} again, after that line.",
            broken=Broken(now.where, now.text, None),
        )
    newer = _made_after(case)
    if newer is not None:
        return newer
    return _by_facts(case, begin, graphless, bool(of_now))


def _cut_off(case: Case, way: Way, begin: str, result: str) -> Reason:
    assert way.cut is not None
    assert way.cut.at is not None
    cut, at = way.cut, way.cut.at
    case.evidence.append(at.quoted)
    source = way.name
    user = None
    before = way.before
    while before is not None:  # the first variable of the graph above the cut
        held = case.facts.named.get(before.name)
        if held is not None and held.requires_grad:
            user = before.name
            break
        before = before.before
    other = None if source in case.facts.names_of(case.tensor) else source
    broken = Broken(at.where, at.text, user, other)
    certain = "" if way.sure else " (if that branch or loop was run)"
    where = f"{at.quoted}{certain}"
    if cut.kind == "no_grad":
        what = f"{where} is run under {cut.what}"
        if cut.what.startswith("@"):
            what = f"a function on the way has the decorator {cut.what} ({at.where})"
        return case.reason(
            "no_grad",
            f"{begin} {what}, and under that autograd records nothing. "
            f"Compute {result} without it.",
            broken=broken,
        )
    if cut.kind == "detached":
        return case.reason(
            "detached",
            f"{begin} the way from {result} to {source} is cut off by {cut.what} in {where}. "
            f"Leave {cut.what} out{_instead(at.text, cut.what)}, and compute {result} again.",
            _without(at.text, cut.what),
            broken=broken,
        )
    if cut.kind == "copied":
        return case.reason(
            "copied",
            f"{begin} {cut.what} in {where} copies plain numbers out of {source}, and plain "
            f"numbers have no graph. Compute with the tensor itself: leave {cut.what} out, "
            "and use PyTorch's functions.",
            _without(at.text, cut.what),
            broken=broken,
        )
    if cut.kind == "unused":
        return case.reason(
            "unused",
            f"{begin} {at.quoted} uses of {source} {cut.what}, not its values.",
            broken=broken,
        )
    return case.reason(
        "not_differentiable",
        f"{begin} {cut.what} in {where} jumps from one value to the next, so it has no "
        f"useful slope and no gradient goes through it. Use a smooth function in its place, "
        "as softmax for argmax, or a product for a choice.",
        broken=broken,
    )


def _made_after(case: Case) -> Reason | None:
    """Each operation has a number that grows in each thread; so it is certain what is later."""
    ours, theirs = case.tensor.grad_fn, case.output.grad_fn if case.output is not None else None
    if ours is None or theirs is None or ours._sequence_nr() <= theirs._sequence_nr():
        return None
    name, result = case.name, case.result
    case.evidence.append(f"{ours.name()} was recorded after {theirs.name()}")
    made = case.line_at(case.facts.names_of(case.tensor))
    place = f" ({made.quoted})" if made else ""
    return case.reason(
        "rebound",
        f"{case.because()} {name} was computed after {result}{place}, so {result} cannot "
        f"depend on it: if {name} held another tensor before, that one was used. Compute "
        f"{result} again, after that line.",
        broken=Broken(made.where, made.text, None) if made else None,
    )


def _required_late(case: Case, of_now: list[Way]) -> Statement | None:
    """The statement that switched requires_grad on after the tensor had been used."""
    source = case.facts.source
    if source is None or not of_now or not case.tensor.is_leaf:
        return None
    first = min(
        (lineage.position(source, _binding(case, way.before)) for way in of_now if way.before),
        default=-1,
    )
    for each in source.statements[first + 1 :] if first >= 0 else ():
        switch = rf"{re.escape(case.name)}\.requires_grad(_\(|\s*=\s*True)"
        if re.match(switch, each.text):
            return each
    return None


def _binding(case: Case, way: Way | None) -> Statement | None:
    return way.version if way else None


def _by_facts(case: Case, begin: str, graphless: bool, source_disagrees: bool) -> Reason:
    """What is certain where the source does not tell."""
    facts, name, result = case.facts, case.name, case.result
    output = case.output
    assert output is not None
    if graphless and output.is_inference():
        case.evidence.append(f"{result}.is_inference() is True")
        return case.reason(
            "no_grad",
            f"{begin} {result} was made in inference mode, which records nothing. Compute it "
            "again outside of `with torch.inference_mode():`.",
        )
    if graphless and not (output.is_floating_point() or output.is_complex()):
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
    source, names = facts.source, facts.names_of(case.tensor)
    root = re.split(r"[.\[]", case.name)[0]
    named = bool(names) or (case.known is not None and all(way.name != root for way in facts.ways))
    bound = (way.before.version for way in facts.ways if way.before is not None)
    called = next((each for each in bound if each and lineage.calls(each, root)), None)
    # A module that is called uses its parameters, wherever the cut may be.
    complete = source is not None and bool(facts.ways) and not source_disagrees and called is None
    if complete and named and not graphless:
        loose = _unknown_parts(case)
        if not loose:
            return case.reason(
                "unused",
                f"{begin} no statement on the way to {result} uses {name}. "
                f"Use {name} in the computation of {result}.",
            )
        case.evidence.append(f"not followed: {text.joined(loose)}")
    kind = f"{result} does not require grad" if graphless else f"{name} is not in its graph"
    seen = ""
    cut = next((way.cut for way in facts.ways if way.cut and way.name in names), None)
    if source_disagrees and cut is not None and cut.at is not None:  # on one way of several
        seen = f" A branch of the source passes {cut.what} in {cut.at.quoted}."
    if called is not None:
        seen = f" {root} is called in {called.quoted}: what is cut off there, or after it?"
    if complete and case.known and not any(way.name == root for way in facts.ways):
        unseen = _unknown_parts(case)
        seen = f" The source shows no use of {case.name} on the way to {result}" + (
            f", as far as it can be followed (not into {text.joined(unseen)})." if unseen else "."
        )
    return case.reason("not_reached", f"{begin} {kind}.{seen} {SUSPECTS}")


def _unknown_parts(case: Case) -> list[str]:
    """Names on the way to the output behind which the tensor might hide."""
    import builtins

    scope = case.facts.frame
    unknown = []
    for way in case.facts.ways:
        if way.version is not None or hasattr(builtins, way.name):
            continue
        held = case.facts.named.get(way.name)
        if held is not None and held.is_leaf:
            continue
        module = scope.f_globals.get(way.name) if scope else None
        if getattr(type(module), "__name__", "") != "module":
            unknown.append(way.name)
    return unknown


def _instead(statement: str, what: str) -> str:
    line = _without(statement, what)
    return f", as in `{line}`" if line else ""


def _without(statement: str, what: str) -> str | None:
    """The statement with a method call taken out: `y = x * 2` for `y = x.detach() * 2`."""
    if what.startswith(".") and what in statement and "…" not in statement:
        return statement.replace(what, "")
    return None
