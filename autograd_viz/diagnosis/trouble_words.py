"""Where a NaN or an inf begins, in sentences, and what a change of the program would make of it."""

from __future__ import annotations

from autograd_viz import text
from autograd_viz.diagnosis.by_hand import at
from autograd_viz.diagnosis.origin_words import Words, hook, listed, place, zero_of
from autograd_viz.diagnosis.origins import Beginning, Origin
from autograd_viz.diagnosis.remedies import Remedy
from autograd_viz.diagnosis.trouble_facts import Factors, factors
from autograd_viz.model import Slot


def trouble(words: Words, origin: Origin) -> tuple[str, Factors | None]:
    """Why a gradient is NaN or inf, what follows on "because"; and the factors."""
    if origin.by == "start":
        return f"the pass begins with {_kind(origin)}", None
    if origin.by == "hook":
        return hook(words, origin) + _then(words, origin), None
    if origin.by == "sum":
        return _overflown(words, origin), None
    assert origin.edge is not None
    found = factors(words.run, origin)
    step = words.step(origin.edge.source)
    if words.run.is_users(origin.edge.source):
        mine = words.element(origin.slot, origin.index)
        said = f"the backward() of your Function, {step}, sends {_kind(origin)} for {mine}"
        return said + _then(words, origin), None
    said = f"{step} makes {_kind(origin)} of a finite gradient: {_product(words, origin, found)}"
    if found.behind is not None:
        said += f". The 0 is there because {zero_of(words, found.behind)}"
    return said + _then(words, origin), found


def _kind(origin: Origin) -> str:
    return text.number(at(origin.became, origin.index)).removeprefix("-")


def _product(words: Words, origin: Origin, found: Factors) -> str:
    assert origin.edge is not None
    name, mine = words.operation(origin.edge.source), words.element(origin.slot, found.index)
    is_here = f"{mine} is {text.number(found.value)} here" if found.value is not None else ""
    if found.value is not None and found.result is not None and found.result - found.result != 0:
        is_here += f", of which {name} makes {text.number(found.result)}"
    if found.slope is None or found.arrived is None:
        plain = f"for {mine} it sends {text.number(found.sent)}"
        return f"{is_here}, and {plain}" if is_here else plain
    shown, slope = text.number(found.arrived), text.number(found.slope)
    product = f"{shown} * {slope if slope[0] != '-' else f'({slope})'}"
    if found.slope - found.slope == 0:  # both are finite
        result = f"{product} is too large for {str(origin.became.dtype).removeprefix('torch.')}"
    else:
        result = f"{product} is {text.number(found.sent)}"
    begin = f"{is_here}; the slope of {name} there" if is_here else f"the slope of {name} by {mine}"
    return f"{begin} is {slope}, what arrives is {shown}, and {result}"


def _then(words: Words, origin: Origin) -> str:
    """How NaN came of an inf."""
    if origin.later is not None:
        edge = origin.later
        sent = words.run.trace.sent(edge)
        assert sent is not None  # it holds NaN
        target = Slot(edge.target, edge.output_nr)
        found = factors(words.run, Origin("step", target, sent.isnan(), sent, edge))
        said = f". {words.step(edge.source)} then makes NaN of it"
        if found.arrived is None or found.slope is None:
            return said
        arrived, slope = text.number(found.arrived), text.number(found.slope)
        return f"{said}: its slope there is {slope}, and {slope} * {arrived} is NaN"
    if origin.opposed is not None:
        return f". For {words.element(origin.opposed, ())} inf and -inf arrive, and add up to NaN"
    return ""


def _overflown(words: Words, origin: Origin) -> str:
    index = origin.index
    terms = listed([text.number(at(value, index)) for _, value in origin.terms])
    name = words.element(origin.slot, index)
    return f"what arrives for {name} adds up to {_kind(origin)}: {terms}"


def forward(words: Words, first: Beginning) -> str:
    """Which operation of the forward pass gives NaN or inf first: "`l = log(x)` gives -inf ..."."""
    node, index = first.slot.node, first.index
    value = text.number(first.value)
    if words.run.graph.nodes[node].kind == "accumulate":
        return f"{words.element(first.slot, index)} is {value}"
    found = words.within(node)
    if found is not None and found.node == node:  # the variable itself, not something inside it
        said = f"`{words.title(found)}` gives {value}"
    else:
        said = f"{words.operation(node)}{words.inside(node)} gives {value}"
    said += f" at {place(index)}" if index else ""
    given = []
    for slot, one in first.inputs:
        if one is not None and one.numel():
            same = one.shape == words.run.shape(first.slot)
            shown = text.number(at(one, index)) if same else ", ".join(text.summary(one))
            given.append(f"{words.element(slot, index if same else ())} = {shown}")
    said += f" from {', '.join(dict.fromkeys(given))}" if given else ""
    return said if first.clean else f"{said}; not all that it was computed from is known"


def remedy(words: Words, found: Remedy, grad: str) -> str:
    """What was tried, and what the gradient is then."""
    name = words.operation(found.edge.source)
    slot = Slot(found.edge.target, found.edge.output_nr)
    whole = words.label(slot)
    before, after = (", ".join(text.summary(one)) for one in (found.before, found.after))
    if found.number is not None:
        mine, number = words.element(slot, found.index), text.number(found.number)
        return (
            f"Guard the input of {name}, not its result: give it a harmless number where the "
            f"result is not used, as torch.where(mask, {whole or 'x'}, {number}) does. Tried, with "
            f"{number} in the place of {mine}: {grad} is {after} instead of {before}."
        )
    limits = ", ".join(f"{key}={value:g}" for key, value in found.options.items())
    clamped = f"{whole}.clamp({limits}) in its place"
    if not whole:
        clamped = f".clamp({limits}) on {words.element(slot, ())}"
    return (
        f"Keep the input of {name} away from there. Tried, with {clamped}: {grad} is {after} "
        f"instead of {before}."
    )
