"""Where a zero begins, in sentences, each of which says what was observed or computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.diagnosis import gradient_stops
from autograd_viz.diagnosis.by_hand import Index, Pass, at, first
from autograd_viz.diagnosis.hooks_seen import Hook
from autograd_viz.diagnosis.origins import Origin
from autograd_viz.diagnosis.zero_facts import How, how
from autograd_viz.model import Edge, Slot, Variable

MOST = 3  # ways that are told one by one


@dataclass(frozen=True, eq=False)
class Words:
    """What the reader calls things: the sentences are made with it.

    `within` gives the variable that a node helps to compute.
    """

    run: Pass
    within: Callable[[int], Variable | None]
    named: Mapping[str, Tensor]  # the reader's tensors
    hooks: Callable[[], Sequence[Hook]]  # those that run in a pass; asked for if a hook is found
    file: str = ""  # of the reader's own code, of which only the line is said

    def step(self, node: int) -> str:
        """`ReluBackward0 (in `h = relu(x)`)`."""
        return self.run.graph.nodes[node].name + self.inside(node)

    def inside(self, node: int) -> str:
        """` (in `h = relu(x)`)`."""
        found = self.within(node)
        return f" (in `{self.title(found)}`)" if found is not None else ""

    @staticmethod
    def title(variable: Variable) -> str:
        """`h = relu(x)`."""
        if variable.name is None or variable.name == variable.expression:
            return variable.expression
        return f"{variable.name} = {variable.expression}"

    def constant(self, tensor: Tensor | None) -> str | None:
        """The reader's name for a tensor that needs no gradient, by its place in memory."""
        if tensor is None or not tensor.ndim:
            return None
        return next(
            (
                name
                for name, other in self.named.items()
                if other.layout is tensor.layout
                and other.shape == tensor.shape
                and other.dtype == tensor.dtype
                and other.data_ptr() == tensor.data_ptr()
            ),
            None,
        )

    def operation(self, node: int) -> str:
        """`relu`."""
        return gradient_stops.operation(self.run.graph.nodes[node].name)

    def label(self, slot: Slot) -> str | None:
        """The name of a value."""
        outputs = self.run.graph.nodes[slot.node].outputs
        return outputs[slot.output_nr].label if slot.output_nr < len(outputs) else None

    def element(self, slot: Slot, index: Index) -> str:
        """`x[0]`; or `element [0] of what exp gives`, where it has no name."""
        name = self.label(slot)
        if name:
            return name + place(index)
        owner = self._owner(slot, index)
        if owner is not None and owner[0] != slot:
            return self.element(*owner)
        given = f"what {self.operation(slot.node)} gives"
        if self.run.graph.nodes[slot.node].kind == "accumulate":
            given = "a leaf without a name"
        return f"element {place(index)} of {given}" if index else given

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
        below, where = Slot(edge.target, edge.output_nr), tuple(places[0].tolist())
        value, mine = self.run.value(below), self.run.value(slot)
        if value is None or mine is None or at(value, where) != at(mine, index):
            return None
        return self._owner(below, where) or (below, where)

    def how(self, origin: Origin) -> How:
        """How a step makes zeros; computed once."""
        if origin not in self._hows:
            self._hows[origin] = how(self.run, origin)
        return self._hows[origin]

    @cached_property
    def _hows(self) -> dict[Origin, How]:
        return {}

    @cached_property
    def seen(self) -> Sequence[Hook]:
        """The hooks that run in a pass."""
        return self.hooks()


def place(index: Index) -> str:
    """`[0, 1]`; nothing of a single number."""
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
        return said[0]
    ways = "; ".join(f"({number}) {each}" for number, each in enumerate(said[:MOST], 1))
    rest = f"; and {len(said) - MOST} more" if len(said) > MOST else ""
    return f"it becomes 0 on each of {len(said)} ways: {ways}{rest}"


def zero_of(words: Words, origin: Origin) -> str:
    """Where and how one zero begins."""
    if origin.by == "start":
        return "the pass begins with 0"
    if origin.by == "hook":
        return hook(words, origin)
    if origin.by == "sum":
        return _cancelled(words, origin)
    assert origin.edge is not None
    step = words.step(origin.edge.source)
    return f"the gradient becomes 0 at {step}: {made_zero(words, origin)}"


def _cancelled(words: Words, origin: Origin) -> str:
    here = torch.stack([value != 0 for _, value in origin.terms]).any(0)  # not where all are 0
    index = first(origin.part & here)
    terms = [
        f"{text.number(at(value, index))} from "
        + ("the start of the pass" if edge is None else words.step(edge.source))
        for edge, value in origin.terms
        if at(value, index)
    ]
    name = words.element(origin.slot, index)
    return (
        f"contributions that are not 0 cancel: the gradient of {name} is the sum of {listed(terms)}"
    )


def listed(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([text.joined(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def made_zero(words: Words, origin: Origin, found: How | None = None) -> str:
    """How a step makes zeros of what arrives."""
    assert origin.edge is not None
    found = found or words.how(origin)
    node = origin.edge.source
    name, mine = words.operation(node), words.element(origin.slot, found.index)
    here = _is(found.value)
    match found.kind:
        case "nothing":
            return f"it is the {name} of nothing"
        case "factor":
            return _factor(words, origin, found)
        case "other":
            ((index, value),) = found.elements
            assert found.slot is not None
            other = words.element(found.slot, index)
            return f"{name} took {other}{_is(value)}, and not {mine}{here}"
        case "chosen":
            taken = listed(
                [words.element(origin.slot, one) + _is(value) for one, value in found.elements]
            )
            return f"{name} took its result from {taken}, and not from {mine}{here}"
        case "masked":
            assert found.mask is not None
            mask, value = found.mask
            called = words.constant(found.tensor)
            called = f"{mask}, {called}," if called else mask
            return f"{name} does not use {mine}{here}: its {called} is {value} there"
        case _:
            return _slope_words(words, origin, found, name, mine, here)


def _factor(words: Words, origin: Origin, found: How) -> str:
    factor = words.label(found.slot) if found.slot else words.constant(found.tensor)
    assert found.tensor is not None  # or it were not found
    if not factor:
        return "it is multiplied by 0, the other factor of the product"
    if not bool((found.tensor != 0).any()):
        return f"it is multiplied by {factor}, which is 0"
    if found.tensor.shape == origin.part.shape:
        return f"it is multiplied by {factor}{place(found.index)}, which is 0"
    return f"it is multiplied by zeros of {factor}"


def _slope_words(words: Words, origin: Origin, found: How, name: str, mine: str, here: str) -> str:
    """The same where it is a matter of the slope, or of terms."""
    assert origin.edge is not None
    is_users = words.run.is_users(origin.edge.source)
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
            many = int(origin.part.sum())
            of = f"at {many} elements, one of them {mine}" if many > 1 else f"at {mine}"
            return f"the slope of {name} is 0 {of}{here}; at {text.number(point)} it is not"
        case "invariant":
            along = f"dimension{'s' * (len(found.dims) > 1)} {listed([*map(str, found.dims)])}"
            return (
                f"what arrives is the same along {along}, as {text.number(found.upstream)}, and "
                f"the sum of what {name} gives along {along} does not change when its input moves"
            )
        case "cancel":
            terms = listed([text.number(term) for term in found.terms])
            return "terms that are not 0 cancel" + (f": {terms}, for {mine}" if terms else "")
        case "underflow":
            return (
                f"what arrives is {text.number(found.upstream)} at most, and its products are "
                f"below the least number of {str(origin.became.dtype).removeprefix('torch.')}"
            )
        case "zero":
            return f"whatever arrives, it sends 0 for {mine}{here}"
        case _ if is_users and not bool(origin.became.any()):
            return "the backward() of your Function returns 0 for a gradient that is not 0"
        case _:
            return f"a gradient that is not 0 arrives, and 0 is sent for {mine}; how is not known"


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
    if not ran and origin.edge is not None:  # a hook, or something that no second call repeats
        step = words.step(origin.edge.source)
        return f"{step} sends {after}, but {before} when it is called once more, without hooks"
    if not ran:
        return f"a hook {made}; which function it is could not be seen"
    told = listed([f"{one.name} ({one.place(words.file)})" for one in ran])
    return f"a hook {made}: {told}" if len(ran) == 1 else f"hooks {made}: {told}"


def _differ(given: Sequence[Tensor | None], returned: Sequence[Tensor | None]) -> bool:
    """Whether a hook returned something else than what it was given."""
    if not returned or any(one is None for one in (*given, *returned)):
        return bool(returned)
    return not all(any(_same(one, other) for other in given) for one in returned)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool((one == other).all())


def rounding(words: Words, origin: Origin, size: float) -> str:
    """That a gradient is the rounding of terms that cancel."""
    where = (
        f"for {words.element(origin.slot, ())}"
        if origin.edge is None
        else f"at {words.step(origin.edge.source)}"
    )
    said = f"the rounding of a 0: {where} terms of the size of {text.number(size)} cancel"
    if origin.edge is not None:
        found = words.how(origin)
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
