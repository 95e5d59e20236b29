"""Where a zero, a NaN or an inf begins, in sentences: each says what was observed or computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from autograd_viz import text
from autograd_viz.diagnosis import gradient_stops
from autograd_viz.diagnosis.by_hand import Index, Pass, at, operation
from autograd_viz.diagnosis.hooks_seen import Hook
from autograd_viz.diagnosis.origins import Beginning, Origin
from autograd_viz.diagnosis.remedies import Remedy
from autograd_viz.diagnosis.trouble_facts import Factors, factors
from autograd_viz.diagnosis.zero_facts import How, how
from autograd_viz.model import Edge, Slot

MOST = 3  # ways that are told one by one


@dataclass(frozen=True, eq=False)
class Words:
    """What the reader calls things: the sentences are made with it.

    `within` gives the variable that a node helps to compute, as "`h = relu(x)`".
    """

    run: Pass
    within: Callable[[int], str | None]
    hooks: Callable[[], Sequence[Hook]]  # those that run in a pass; asked for if a hook is found
    file: str = ""  # of the reader's own code, of which only the line is said

    def step(self, node: int) -> str:
        """`ReluBackward0 (in `h = relu(x)`)`."""
        found = self.within(node)
        return self.run.graph.nodes[node].name + (f" (in {found})" if found else "")

    def operation(self, node: int) -> str:
        """`relu`."""
        return operation(self.run.graph.nodes[node].name)

    def label(self, slot: Slot) -> str | None:
        """The name of a value."""
        outputs = self.run.graph.nodes[slot.node].outputs
        return outputs[slot.output_nr].label if slot.output_nr < len(outputs) else None

    def element(self, slot: Slot, index: Index) -> str:
        """`x[0]`; or `element [0] of what exp gives`, where it has no name."""
        name = self.label(slot)
        if name:
            return name + _place(index)
        owner = self._owner(slot, index)
        if owner is not None and owner[0] != slot:
            return self.element(*owner)
        given = f"what {self.operation(slot.node)} gives"
        return f"element {_place(index)} of {given}" if index else given

    def _owner(self, slot: Slot, index: Index) -> tuple[Slot, Index] | None:
        """The named value that an element is a mere copy of, as one of stack(a, b) is."""
        if slot.node not in self.run.trace.step_of or self.label(slot):
            return slot, index
        upstream = [grad * 0 for grad in self.run.arrived(slot.node)]
        upstream[slot.output_nr] = _one_hot(upstream[slot.output_nr], index)
        sent = self.run.sends(slot.node, upstream)
        found = [
            (edge, value.nonzero())
            for edge in self.run.graph.out_edges[slot.node]
            if sent is not None and (value := sent[edge.input_index]) is not None and value.any()
        ]
        if len(found) != 1 or len(found[0][1]) != 1:
            return None
        edge, places = found[0]
        below, place = Slot(edge.target, edge.output_nr), tuple(places[0].tolist())
        value, mine = self.run.value(below), self.run.value(slot)
        if value is None or mine is None or at(value, place) != at(mine, index):
            return None
        return self._owner(below, place)

    @cached_property
    def seen(self) -> Sequence[Hook]:
        """The hooks that run in a pass."""
        return self.hooks()


def _place(index: Index) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _one_hot(like: Tensor, index: Index) -> Tensor:
    found = like * 0
    found[index] = 1
    return found


def _is(value: float | None) -> str:
    return "" if value is None else f", which is {text.number(value)}"


# Zeros.


def zero(words: Words, origins: Sequence[Origin]) -> str:
    """Why a gradient is 0: what follows on "because"."""
    said = list(dict.fromkeys(zero_of(words, one) for one in origins))
    if len(said) == 1:
        one = origins[0]
        return f"the gradient {said[0]}" if one.by == "step" else said[0]
    rest = f"; and {len(said) - MOST} more" if len(said) > MOST else ""
    ways = "; ".join(f"({number}) it {each}" for number, each in enumerate(said[:MOST], 1))
    ways = ways.replace("it contributions", "contributions").replace("it a hook", "a hook")
    return f"on each of {len(said)} ways to it there is one step: {ways}{rest}"


def zero_of(words: Words, origin: Origin) -> str:
    """Where and how one zero begins."""
    if origin.by == "start":
        return "the pass begins with 0"
    if origin.by == "hook":
        return hook(words, origin)
    if origin.by == "sum":
        return _cancelled(words, origin)
    assert origin.edge is not None
    return f"becomes 0 at {words.step(origin.edge.source)}: {made_zero(words, origin)}"


def _cancelled(words: Words, origin: Origin) -> str:
    index = origin.index
    terms = [
        f"{text.number(at(value, index))} from "
        + ("the start of the pass" if edge is None else words.step(edge.source))
        for edge, value in origin.terms
        if at(value, index)
    ]
    name = words.element(origin.slot, index)
    return (
        f"contributions that are not 0 cancel: the gradient of {name} is the sum of "
        f"{_listed(terms)}"
    )


def _listed(items: Sequence[str]) -> str:
    return " and ".join([text.joined(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def made_zero(words: Words, origin: Origin, found: How | None = None) -> str:
    """How a step makes zeros of what arrives."""
    assert origin.edge is not None
    found = found or how(words.run, origin)
    node = origin.edge.source
    name, mine = words.operation(node), words.element(origin.slot, found.index)
    here = _is(found.value)
    match found.kind:
        case "nothing":
            return f"it is the {name} of nothing"
        case "factor":
            factor = None if found.slot is None else words.label(found.slot)
            return "it is multiplied by " + (
                f"{factor}, which is 0" if factor else "0, the other factor of the product"
            )
        case "other":
            ((place, value),) = found.elements
            assert found.slot is not None
            other = words.element(found.slot, place)
            return f"{name} took {other}{_is(value)}, and not {mine}{here}"
        case "chosen":
            taken = _listed(
                [words.element(origin.slot, place) + _is(value) for place, value in found.elements]
            )
            return f"{name} took its result from {taken}, and not from {mine}{here}"
        case "masked":
            assert found.mask is not None
            mask, value = found.mask
            return f"{name} does not use {mine}{here}: its {mask} is {value} there"
        case _:
            return _slope_words(words, origin, found, name, mine, here)


def _slope_words(words: Words, origin: Origin, found: How, name: str, mine: str, here: str) -> str:
    """The same where it is a matter of the slope, or of terms."""
    assert origin.edge is not None
    node = words.run.graph.nodes[origin.edge.source]
    match found.kind:
        case "step":
            return (
                f"{name} is a step function: other inputs change its result, but its slope is 0 "
                f"at {mine}{here}, and at every other input that was tried"
            )
        case "constant":
            return f"{name} gives the same for every input that was tried" + _single(words, origin)
        case "saturated":
            sent = [f"{text.number(size)} at {text.number(point)}" for point, size in found.slopes]
            return (
                f"{name} is saturated at {mine}{here}: of what arrives it would send on "
                f"{', '.join(sent[:-1])}, but {sent[-1]}"
            )
        case "flat":
            ((point, _),) = found.slopes
            return f"the slope of {name} is 0 at {mine}{here}; at {text.number(point)} it is not"
        case "invariant":
            along = f"dimension{'s' * (len(found.dims) > 1)} {_listed([*map(str, found.dims)])}"
            return (
                f"what arrives is the same along {along}, as {text.number(found.upstream)}, and "
                f"the sum of what {name} gives along {along} does not change when its input moves"
            )
        case "cancel":
            terms = _listed([text.number(term) for term in found.terms])
            return "terms that are not 0 cancel" + (f": {terms}, for {mine}" if terms else "")
        case "zero":
            return f"whatever arrives, it sends 0 for {mine}{here}"
        case _ if node.custom:
            return "the backward() of your Function returns 0 for a gradient that is not 0"
        case _:
            return "a gradient that is not 0 arrives, and 0 is sent; how is not known"


def _single(words: Words, origin: Origin) -> str:
    """`, over dimension 1 of one element`."""
    assert origin.edge is not None
    dim = words.run.saved(origin.edge.source).get("dim")
    shape = words.run.shape(origin.slot)
    if not isinstance(dim, int) or not shape:
        return ""
    dim = dim - 2**64 if dim >= 2**63 else dim
    return f": dimension {dim % len(shape)} has one element" if shape[dim] == 1 else ""


def hook(words: Words, origin: Origin) -> str:
    """The hook that made a zero or a NaN: its function, where it stands, both values."""
    assert origin.before is not None
    name = words.label(origin.slot)
    before, after = (", ".join(text.summary(one)) for one in (origin.before, origin.became))
    made = f"made {after} of {before}, the gradient of {name or words.element(origin.slot, ())}"
    assert origin.node is not None
    function = words.run.walk.functions[origin.node]
    ran = [
        one for one in words.seen if one.function is function and _differ(one.given, one.returned)
    ]
    if not ran:
        return f"a hook {made}; which function it is could not be seen"
    told = _listed([f"{one.name} ({one.place(words.file)})" for one in ran])
    return f"a hook {made}: {told}" if len(ran) == 1 else f"hooks {made}: {told}"


def _differ(given: Sequence[Tensor | None], returned: Sequence[Tensor | None]) -> bool:
    """Whether a hook returned something else than what it was given."""
    if not returned or any(one is None for one in (*given, *returned)):
        return bool(returned)
    return not all(
        any(
            one.shape == other.shape and bool((one == other).all())
            for other in given
            if other is not None
        )
        for one in returned
        if one is not None
    )


# NaN and inf.


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
    said = f"{step} makes {_kind(origin)} of a finite gradient: {_product(words, origin, found)}"
    if found.behind is not None:
        said += f". The 0 is there because the gradient {_behind(words, found.behind)}"
    return said + _then(words, origin), found


def _behind(words: Words, origin: Origin) -> str:
    said = zero_of(words, origin)
    return said if origin.by == "step" else f"is 0: {said}"


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
    begin = f"{is_here}, where" if is_here else f"at {mine}"
    return f"{begin} the slope of {name} is {slope}; what arrives is {shown}, and {result}"


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
        return f"{said}: {text.number(found.arrived)} * {text.number(found.slope)}"
    if origin.opposed is not None:
        return f". For {words.element(origin.opposed, ())} inf and -inf arrive, and add up to NaN"
    return ""


def _overflown(words: Words, origin: Origin) -> str:
    index = origin.index
    terms = _listed([text.number(at(value, index)) for _, value in origin.terms])
    name = words.element(origin.slot, index)
    return f"what arrives for {name} adds up to {_kind(origin)}: {terms}"


def forward(words: Words, first: Beginning, holds: Callable[[int], bool]) -> str:
    """Which operation of the forward pass gives NaN or inf first: "`l = log(x)` gives -inf ...".

    `holds` says of a node whether the variable that it helps to compute is itself NaN or inf.
    """
    node = first.slot.node
    within, place = words.within(node), _place(first.index)
    value = text.number(first.value)
    if within and holds(node):
        said = f"{within} gives {_whole(words, first)}"
    elif words.run.graph.nodes[node].kind == "accumulate":
        return f"{words.element(first.slot, first.index)} is {value}"
    else:
        said = f"{words.operation(node)}{f' (in {within})' if within else ''} gives {value}"
        said += f" at {place}" if place else ""
    given = [
        f"{name} = {text.summary(one)[0]}"
        for slot, one in first.inputs
        if one is not None and (name := words.label(slot))
    ]
    said += f" from {', '.join(dict.fromkeys(given))}" if given else ""
    if not first.clean:
        said += "; what it was computed from is not known"
    return said


def _whole(words: Words, first: Beginning) -> str:
    value = words.run.value(first.slot)
    return text.number(first.value) if value is None else ", ".join(text.summary(value))


def remedy(words: Words, found: Remedy, grad: str) -> str:
    """What was tried, and what the gradient is then."""
    name = words.operation(found.edge.source)
    slot = Slot(found.edge.target, found.edge.output_nr)
    whole = words.label(slot) or "it"
    before, after = (", ".join(text.summary(one)) for one in (found.before, found.after))
    if found.number is not None:
        mine, number = words.element(slot, found.index), text.number(found.number)
        return (
            f"Guard the input of {name}, not its result: give it a harmless number where the "
            f"result is not used, as torch.where(mask, {whole}, {number}) does. Tried, with "
            f"{number} in the place of {mine}: {grad} is {after} instead of {before}."
        )
    limits = ", ".join(f"{key}={value:g}" for key, value in found.options.items())
    return (
        f"Keep the input of {name} away from there. Tried, with {whole}.clamp({limits}) in "
        f"its place: {grad} is {after} instead of {before}."
    )


def rounding(words: Words, origin: Origin, size: float) -> str:
    """That a gradient is the rounding of terms that cancel."""
    where = (
        f"for {words.element(origin.slot, ())}"
        if origin.edge is None
        else f"at {words.step(origin.edge.source)}"
    )
    said = f"the rounding of a 0: {where} terms of the size of {text.number(size)} cancel"
    if origin.edge is not None:
        found = how(words.run, origin)
        if found.kind == "invariant":
            said += f", since {made_zero(words, origin, found)}"
    return said


def shrinks(words: Words, edge: Edge) -> str:
    """By how much a step makes a gradient smaller, and at which input."""
    run = words.run
    sent, slot = run.trace.sent(edge), Slot(edge.target, edge.output_nr)
    arrived = max(gradient_stops.largest(one) for one in run.arrived(edge.source))
    assert sent is not None  # it is what is smaller
    left = gradient_stops.largest(sent)
    value = run.value(slot)
    here = "" if value is None else f", where {words.label(slot) or 'its input'} is "
    here += "" if value is None else ", ".join(text.summary(value))
    return (
        f"{words.step(edge.source)}{here}: its largest element goes from {text.number(arrived)} "
        f"to {text.number(left)}, times {text.number(left / arrived)}"
    )
