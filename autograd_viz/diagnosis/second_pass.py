"""A second backward pass through a graph that was freed: what is from before, and what to do."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from autograd_viz import text
from autograd_viz.diagnosis.cases import RECORD
from autograd_viz.diagnosis.edits import Edit, Line, edit_of
from autograd_viz.diagnosis.failures import RECORDED, Failure, before, within
from autograd_viz.diagnosis.meeting import Meeting, added_to, carried_names, meetings
from autograd_viz.diagnosis.said import Said
from autograd_viz.diagnosis.spoiled import held_by
from autograd_viz.recorded.events import Event


@dataclass(frozen=True)
class _Before:
    """What is from before an earlier pass, and what is new."""

    old: frozenset[int]
    new: frozenset[int]
    first: Event | None  # the earlier pass, if it was recorded
    known: bool  # whether old and new are told apart


def freed_before(failure: Failure) -> Said:
    """Why a pass cannot run a second time through what an earlier one has freed."""
    split = _recorded(failure) or _by_state(failure)
    found = meetings(failure, split.old, split.new)
    total = _total(failure, split)
    said = total or (_met(failure, found, split) if found else _whole(failure, split))
    return Said(
        "graph_freed",
        said[0],
        said[1],
        evidence=(f"{len(split.old)} functions of the graph were freed, {len(split.new)} are new",),
        met=len(found),
        title="What an earlier pass has freed",
        marks={
            **dict.fromkeys(split.old, ("dim",)),
            **{each.node: ("dim", "cut") for each in found},
        },
        legend={"dim": "freed by an earlier pass"},
    )


def _total(failure: Failure, split: _Before) -> tuple[str, Line | None] | None:
    """The pass begins from a running total, which each step adds to."""
    edit = failure.edit if failure.call is not None else None
    if edit is None or not isinstance(edit.begins, ast.Name):
        return None
    name = edit.begins.id
    added = added_to(failure, name)
    if added is None:
        return None
    said = (
        f"{name} is a running total: it was computed from an earlier {name}, and "
        f"{_by(failure, split.first)} has freed how that was computed. Call backward() on what "
        "each step adds, not on the total"
    )
    if not isinstance(added, ast.Name):
        return f"{said}: give it a name, and begin from that.", None
    line = edit.replaced(edit.begins, added).line
    return f"{said}. Write instead: {line.text}", line


def _by_state(failure: Failure) -> _Before:
    """Without a recording: a pass that failed has freed a part of what was new, too."""
    assert failure.captured is not None
    held = [*held_by(failure.captured[1])]
    old = {each.node for each in held if each.state == "freed"}
    new = {each.node for each in held if each.state in ("kept", "changed")} - old
    known = failure.call is None or bool(failure.argument("retain_graph"))
    return _Before(frozenset(old), frozenset(new), None, known)


def _recorded(failure: Failure) -> _Before | None:
    """The first recorded pass that went through a part of the graph and kept nothing."""
    assert failure.captured is not None
    walk, history = failure.captured[1], failure.history
    held = [*held_by(walk)]
    freed = {each.node for each in held if each.state == "freed"}
    made = {node: failure.made(node) for node in range(len(walk.functions))}
    own = {node: event for node, event in made.items() if event is not None and walk.nexts[node]}
    for event, done in history.passes():
        if done.retain_graph or done.error is not None:
            continue
        through = before(failure, done.outputs)
        led = {id(history.events[number]) for number in through}
        old = {node for node, one in own.items() if id(one) in led}
        if old & freed:
            return _Before(frozenset(old), frozenset(own.keys() - old), event, True)
    return None


def _by(failure: Failure, first: Event | None) -> str:
    """`backward() in line 7: ...`, or that an earlier one did it."""
    place = failure.place_of(first)
    return f"the pass in {place.quoted}" if place is not None else "an earlier pass"


def _whole(failure: Failure, split: _Before) -> tuple[str, Line | None]:
    """The same graph a second time, as far as is known."""
    result, first = failure.result, split.first
    if split.known and (stepped := _stepped(failure, first)) is not None:
        return (
            f"the graph of {result} was freed: {_by(failure, first)} went through it, and PyTorch "
            f"frees what it has saved as it goes. {stepped} Compute {result} again before each "
            "pass.",
            None,
        )
    line = _retained(edit_of(first.spot) if first is not None else None, failure)
    place = failure.place_of(first)
    if split.known:
        where = f"{within(place.where)} write" if place is not None else "in the first pass write"
        return (
            f"the graph of {result} was freed: {_by(failure, first)} went through it, and PyTorch "
            f"frees what it has saved as it goes. Compute {result} again before each pass; or, to "
            f"go through the same graph twice, keep it in the first one. For that, {where}: "
            f"{line.text}",
            line,
        )
    said = (
        f"an earlier pass went through the graph of {result}, or a part of it, and PyTorch frees "
        "what it has saved as it goes."
    )
    carried = carried_names(failure)
    if carried is not None:
        ending = carried.line
        return (
            f"{said} {result} was computed from an earlier {carried.both} too. If the pass before "
            f"began from there, let each pass end at {carried.both}"
            + (f": before `{carried.statement}`, add: {ending.text}" if ending else "."),
            ending,
        )
    if any(leaf._version for leaf in failure.captured[1].leaves.values()):  # type: ignore[index]
        return (
            f"{said} Which part of it is from before that pass is not known. {RECORD}",
            Line(RECORDED),
        )
    return (
        f"{said} If {result} was computed once, keep its graph in the first pass: {line.text}. If "
        f"it was computed anew, something in it is from before that pass. {RECORD}",
        line,
    )


def _stepped(failure: Failure, first: Event | None) -> str | None:
    """That a leaf was changed after the earlier pass, as a step does: a kept graph is no use."""
    assert failure.captured is not None
    events = failure.history.events
    position = next((n for n, each in enumerate(events) if each is first), None)
    if position is None:
        return None
    later = {id(each) for each in events[position + 1 :]}
    for leaf in failure.captured[1].leaves.values():
        for event, _ in failure.history.changes(leaf):
            if id(event) in later and (place := failure.place_of(event)) is not None:
                what = failure.name(leaf) or "a leaf of it"
                return f"Keeping the graph would not help: {place.quoted} has changed {what} since."
    return None


def _summed(failure: Failure, first: Event) -> Line | None:
    """One pass from the sum of both losses, in the place of the first one."""
    edit, own = edit_of(first.spot), failure.edit if failure.call is not None else None
    events, made = failure.history.events, failure.history.maker(failure.outputs[0])
    order = [each for each in events if each is first or each is made]
    if edit is None or own is None or made is None or order[0] is not made:
        return None
    if not (isinstance(edit.begins, ast.Name) and isinstance(own.begins, ast.Name)):
        return None
    if edit.begins.id == own.begins.id:
        return None
    both = ast.BinOp(ast.Name(edit.begins.id), ast.Add(), ast.Name(own.begins.id))
    return edit.replaced(edit.begins, both).line


def _once(
    failure: Failure, first: Event, said: str, stepped: str, name: str
) -> tuple[str, Line | None]:
    """What to do where a step lies between the two passes."""
    line, place, own = _summed(failure, first), failure.place_of(first), failure.statement
    if line is None or place is None or own is None or first.spot == failure.spot:
        return f"{said} {stepped} Compute {name} again for each pass.", None
    return (
        f"{said} {stepped} Add the losses and call backward() once: leave out {own.quoted}, and "
        f"{within(place.where)} write: {line.text}",
        line,
    )


def _retained(edit: Edit | None, failure: Failure) -> Line:
    """A pass that keeps its graph, from the statement of one that did not."""
    if edit is None or edit.call is None:
        own = failure.edit if failure.call is not None else None
        if own is not None and own.call is not None and own.begins is not None:
            return Line(own.with_keyword("retain_graph", True).line.text)
        name = failure.result if failure.result.isidentifier() else "loss"
        return Line(f"{name}.backward(retain_graph=True)")
    return edit.with_keyword("retain_graph", True).line


def _met(failure: Failure, found: list[Meeting], split: _Before) -> tuple[str, Line | None]:
    """Part of the graph is from before the first pass, part of it new."""
    names = [each.name for each in found]
    by = _by(failure, split.first)
    carried = {each.carried for each in found}
    if None not in carried and len(carried) == 1:
        return _carried(failure, found[0], by)
    if len(found) == 1 and names[0]:
        return _shared(failure, found[0], split, by)
    made = text.joined([failure.function(each.node) for each in found], " and ")
    if split.first is not None:
        if (stepped := _stepped(failure, split.first)) is not None:
            told = (
                f"the result of {made}, from which {failure.result} was computed, is from before "
                f"{by}, which freed how it was computed."
            )
            return _once(failure, split.first, told, stepped, "it")
        line = _retained(edit_of(split.first.spot), failure)
        place = failure.place_of(split.first)
        where = within(place.where) if place is not None else "in the first pass"
        return (
            f"the result of {made}, from which {failure.result} was computed, is from before {by}, "
            f"which freed how it was computed. Compute it again, or add the losses and call "
            f"backward() once; or keep the graph. For that, {where} write: {line.text}",
            line,
        )
    return (
        f"the result of {made}, from which {failure.result} was computed, is from before {by}, "
        f"which freed how it was computed. Which variable that was is not known. {RECORD}",
        Line(RECORDED),
    )


def _carried(failure: Failure, met: Meeting, by: str) -> tuple[str, Line | None]:
    """A state that each step takes over from the one before."""
    carried = met.carried
    assert carried is not None
    is_one, line = len(carried.names) == 1, carried.line
    step = met.place.quoted if met.place is not None else f"`{carried.statement}`"
    return (
        f"{carried.both} {'is' if is_one else 'are'} from before the first pass: {failure.result} "
        f"was computed from {'an ' * is_one}earlier {carried.both}, and {by} has freed how "
        f"{'that was' if is_one else 'they were'} computed. Either call backward() once, for the "
        f"sum of all losses; or let each pass end at {carried.both}."
        + (f" For that, before the step ({step}), add: {line.text}" if line else ""),
        line,
    )


def _shared(failure: Failure, met: Meeting, split: _Before, by: str) -> tuple[str, Line | None]:
    """A variable that was computed once and is used by several passes."""
    first = split.first
    made = f" ({met.place.quoted})" if met.place is not None else ""
    said = (
        f"{met.name}{made}, from which {failure.result} was computed, is from before {by}, which "
        "freed how it was computed."
    )
    if first is not None and first.spot == failure.spot and met.place is not None and met.alone:
        line = Line(met.place.text or "", before=met.used)
        return (
            f"{said} Compute it anew for each pass: before `{met.used}`, add: {line.text}",
            line,
        )
    if first is not None and (stepped := _stepped(failure, first)) is not None:
        return _once(failure, first, said, stepped, met.name or "it")
    line = _retained(edit_of(first.spot) if first is not None else None, failure)
    place = failure.place_of(first)
    where = f"{within(place.where)} write" if place is not None else "in the first pass write"
    return (
        f"{said} Add the losses and call backward() once; or keep the graph for a second pass. For "
        f"that, {where}: {line.text}",
        line,
    )
