"""A saved value that was changed in place before the backward pass that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from autograd_viz.diagnosis.cases import RECORD
from autograd_viz.diagnosis.edits import Edit, Line, edit_of, edit_of_statement, out_of_place
from autograd_viz.diagnosis.explanation import Note
from autograd_viz.diagnosis.failures import RECORDED, Failure, within
from autograd_viz.diagnosis.gradient_stops import operation
from autograd_viz.diagnosis.meeting import Carried, meetings
from autograd_viz.diagnosis.said import Said
from autograd_viz.diagnosis.spoiled import Held, held_by, same_storage
from autograd_viz.recorded.events import Event
from autograd_viz.recorded.places import Place, only_change


@dataclass(frozen=True)
class Change:
    """What changed a saved value."""

    place: Place
    edit: Edit | None
    event: Event | None  # None: not recorded, but no other statement can have done it
    more: int = 0  # further changes after it


def changed_since_saved(failure: Failure) -> Said | None:
    """Who had saved the value, who changed it, and what to write instead."""
    assert failure.captured is not None
    held = [*held_by(failure.captured[1])]
    spoiled = [each for each in held if each.state == "changed"]
    if not spoiled:
        return None
    first = next((each for each in spoiled if each.error == failure.message), None)
    first = first or max(spoiled, key=lambda each: failure.age(each.node))
    name = failure.name_of_memory(first.data) if first.data is not None else None
    change = _change(failure, first, name)
    said, line = _told(failure, first, name, change, held)
    function = _function(failure, first.node)
    kept = name or ("its result" if first.is_result else "a value")
    saved = (f"{kept}, version {first.expected}", f"saved by {function} for its gradient")
    notes = [Note(saved, first.node, "saved")]
    if change is not None:
        after = f"{change.place.where}: version {first.version}"
        notes.append(Note((change.place.statement or "a call", after), None, code=True, below=True))
    return Said(
        "changed_in_place",
        said,
        line,
        evidence=tuple(each.error.partition(". Hint")[0] for each in spoiled[:5]),
        tensor=failure.named.get(name) if name else None,
        title="Who had saved the value that was changed",
        marks={each.node: ("alarm",) for each in spoiled},
        legend={"alarm": "what it saved was changed since"},
        beside=notes,
    )


def _function(failure: Failure, node: int) -> str:
    assert failure.captured is not None
    event = failure.made(node)
    if event is not None:
        return event.name.strip("_")
    return operation(failure.captured[1].functions[node].name())


# Who changed it.


def _change(failure: Failure, held: Held, name: str | None) -> Change | None:
    found = [*_recorded(failure, held)]
    if found:
        event = found[0]
        assert event.spot is not None
        return Change(
            failure.place(event.spot, event.cell), edit_of(event.spot), event, len(found) - 1
        )
    once = held.expected == 0 and held.version == 1
    if name is None or not once or failure.spot is None or not failure.frames:
        return None
    only = only_change(failure.frames[0], failure.spot, name)
    return Change(only[0], edit_of_statement(only[1]), None) if only is not None else None


def _recorded(failure: Failure, held: Held) -> Iterator[Event]:
    """The recorded calls that changed the value after it was saved."""
    history = failure.history
    roots = {history.root(serial) for serial in _serials(failure, held)}
    for event in history.events:
        for seen in event.changed:
            if seen.version > held.expected and history.root(seen.serial) in roots:
                if event.spot is not None:
                    yield event
                break


def _serials(failure: Failure, held: Held) -> Iterator[int]:
    """The recorded tensors that are on the memory of a saved value."""
    history, data = failure.history, held.data
    for serial, tensor in history.log.alive().items():
        if data is not None and same_storage(tensor, data):
            yield serial
    event = failure.made(held.node)
    if event is not None and held.is_result:
        yield from (seen.serial for seen in event.outputs)


# In words.


def _told(
    failure: Failure, held: Held, name: str | None, change: Change | None, every: list[Held]
) -> tuple[str, Line | None]:
    function = _function(failure, held.node)
    where = failure.place_of(failure.made(held.node))
    by = f"{function} ({where.quoted})" if where is not None else function
    shape = list(held.data.shape) if held.data is not None else None
    what = name or (f"a tensor of shape {shape}" if shape is not None else "a tensor")
    saved = f"was changed in place after {by} had saved it for its gradient"
    if held.is_result:
        saved = f"was changed in place after {function} had saved it for its gradient"
        what = f"{what}, the result of {by},"
    said = f"{what} {saved}"
    if change is None:
        return (
            f"{said}: it is at version {held.version}, and version {held.expected} is needed. "
            f"Which statement changed it is not known. {RECORD}",
            Line(RECORDED),
        )
    more = {0: "", 1: " (one more change follows)"}.get(
        change.more, f" ({change.more} more changes follow)"
    )
    is_only = ", the only statement here that changes it," if change.event is None else ""
    said += (
        f". {_capital(change.place.quoted)}{is_only} made version {held.expected + 1} of it{more}, "
        f"and the gradient of {function} needs version {held.expected}"
    )
    return _remedied(failure, said, held, name, change, every)


def _remedied(
    failure: Failure, said: str, held: Held, name: str | None, change: Change, every: list[Held]
) -> tuple[str, Line | None]:
    tensor = failure.named.get(name) if name else None
    where = change.place.where
    if tensor is not None and tensor.is_leaf and tensor.requires_grad:
        carried = _carried(failure, change, tensor, every)
        if carried is not None and carried.line is not None:
            be = "is" if len(carried.names) == 1 else "are"
            return (
                f"{said}. {failure.result} was computed from an earlier {carried.both} too, which "
                f"{be} from before that change; let each pass end there. Before "
                f"`{carried.statement}`, add: {carried.line.text}",
                carried.line,
            )
        # To run the pass before that step would give the step this pass' gradients too.
        again = f"{said}. Compute {failure.result} again after that change"
        line = _again(failure)
        if line is None:
            return f"{again}, with all that it was computed from.", None
        return f"{again}: before `{line.before}`, add: {line.text}", line
    line_found = out_of_place(change.edit, name)
    if line_found is None:
        return f"{said}. Change a copy of it instead: {name or 'h'}.clone()", None
    if line_found.before is not None:
        return f"{said}. Change a copy. Before {where}, add: {line_found.text}", line_found
    return f"{said}. {_capital(within(where))}, write instead: {line_found.text}", line_found


def _again(failure: Failure) -> Line | None:
    """The one statement that made the whole graph of the output, before the pass that failed."""
    assert failure.captured is not None
    walk, statement = failure.captured[1], failure.statement
    inner = [node for node in range(len(walk.functions)) if walk.nexts[node]]
    made = [failure.place_of(failure.made(node)) for node in inner]
    # Of one statement the places differ in the expression that ran.
    wheres = {each.where if each is not None else None for each in made}
    place = made[0] if len(wheres) == 1 else None
    if place is None or place.text is None or statement is None or statement.text is None:
        return None
    if failure.call is None or failure.result not in place.names:
        return None
    return Line(place.text, before=statement.text)


def _carried(failure: Failure, change: Change, tensor: Tensor, every: list[Held]) -> Carried | None:
    """A state from before the change, where the graph was computed partly before, partly after."""
    mine = [each for each in every if each.data is not None and same_storage(each.data, tensor)]
    old = {each.node for each in mine if each.state == "changed"}
    new = {each.node for each in mine if each.state == "kept"}
    if change.event is not None and failure.captured is not None:  # a pass that failed frees some
        nodes = range(len(failure.captured[1].functions))
        inner = (node for node in nodes if failure.captured[1].nexts[node])
        new |= {node for node in inner if failure.age(node) >= change.event.first} - old
    found = meetings(failure, old, new)
    carried = {each.carried for each in found}
    return carried.pop() if len(carried) == 1 else None


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
