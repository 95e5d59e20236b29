"""A second backward pass through a graph that was freed: what is from before, and what to do."""

from __future__ import annotations

from autograd_viz import text
from autograd_viz.diagnosis.edits import Edit, Line, edit_of
from autograd_viz.diagnosis.cases import RECORD
from autograd_viz.diagnosis.failures import RECORDED, Failure
from autograd_viz.diagnosis.meeting import Meeting, meetings
from autograd_viz.diagnosis.said import Said
from autograd_viz.diagnosis.spoiled import held_by
from autograd_viz.recorded.events import Event
from autograd_viz.recorded.places import Place


def freed_before(failure: Failure) -> Said:
    """Why a pass cannot run a second time through what an earlier one has freed."""
    assert failure.captured is not None
    held = [*held_by(failure.captured[1])]
    old = {each.node for each in held if each.state == "freed"}
    new = {each.node for each in held if each.state in ("kept", "changed")} - old
    first = _first_pass(failure, old)
    found = meetings(failure, old, new)
    said = _met(failure, found, first) if found else _whole(failure, first)
    return Said(
        "graph_freed",
        said[0],
        said[1],
        evidence=(f"{len(old)} of the graph's functions were freed, {len(new)} are fresh",),
        met=len(found),
        title="What an earlier pass has freed",
        marks={**{node: ("dim",) for node in old}, **{each.node: ("cut",) for each in found}},
        legend={"dim": "freed by an earlier pass"},
    )


def _first_pass(failure: Failure, old: set[int]) -> Event | None:
    """The recorded pass that freed nodes: the first without `retain_graph` that went through."""
    freed = {failure.age(node) for node in old}
    history = failure.history
    for event, done in history.passes():
        if done.retain_graph or done.error is not None:
            continue
        reached = {leaf.serial for leaf in done.leaves}
        if freed and min(freed) < event.first and _leads(failure, reached):
            return event
    return None


def _leads(failure: Failure, reached: set[int]) -> bool:
    """Whether a pass reached a leaf of this graph."""
    assert failure.captured is not None
    leaves = failure.captured[1].leaves.values()
    return any(failure.history.log.find(leaf) in reached for leaf in leaves)


def _by(failure: Failure, first: Event | None) -> str:
    """`backward() in line 7: ...`, or that an earlier one did it."""
    place = failure.place_of(first)
    return f"the pass in {place.quoted}" if place is not None else "an earlier pass"


def _whole(failure: Failure, first: Event | None) -> tuple[str, Line | None]:
    """The same graph a second time."""
    result = failure.result
    said = (
        f"the graph of {result} was freed: {_by(failure, first)} went through it, and PyTorch "
        f"frees what it has saved as it goes."
    )
    edit = edit_of(first.spot) if first is not None else None
    repeats = first is not None and first.spot == failure.spot
    line = _retained(edit, failure)
    where = _where(failure, first, repeats)
    return (
        f"{said} Compute {result} again before each pass; or, to go through the same graph twice, "
        f"keep it in the first one. {where}: {line.text}",
        line,
    )


def _where(failure: Failure, first: Event | None, repeats: bool) -> str:
    place = failure.place_of(first)
    if place is None:
        return "For that, in the first pass write"
    return f"For that, in {_bare(place)} write"


def _retained(edit: Edit | None, failure: Failure) -> Line:
    """A pass that keeps its graph, from the statement of one that did not."""
    if edit is None or edit.call is None:
        own = failure.edit if failure.call is not None else None
        if own is not None and own.call is not None and own.begins is not None:
            return Line(own.with_keyword("retain_graph", True).line.text)
        name = failure.result if failure.result.isidentifier() else "loss"
        return Line(f"{name}.backward(retain_graph=True)")
    return edit.with_keyword("retain_graph", True).line


def _met(
    failure: Failure, found: list[Meeting], first: Event | None
) -> tuple[str, Line | None]:
    """Part of the graph is from before the first pass, part of it new."""
    names = [each.name for each in found]
    by = _by(failure, first)
    if all(names) and all(each.again for each in found):
        return _carried(failure, found, by)
    if len(found) == 1 and names[0]:
        return _shared(failure, found[0], first, by)
    made = text.joined([failure.function(each.node) for each in found], " and ")
    what = f"the result of {made}"
    return (
        f"{what}, from which {failure.result} was computed, is from before {by}, which freed how "
        f"it was computed. Which variable that was is not known. {RECORD}",
        Line(RECORDED),
    )


def _carried(failure: Failure, found: list[Meeting], by: str) -> tuple[str, Line]:
    """A state that each step takes over from the one before."""
    names = [*dict.fromkeys(each.name or "" for each in found)]
    both = " and ".join(names)
    is_one = len(names) == 1
    statement = found[0].statement
    line = f"{', '.join(names)} = {', '.join(f'{name}.detach()' for name in names)}"
    place = found[0].place
    step = f"the step, {place.quoted}" if place is not None else f"the step, `{statement}`"
    return (
        f"{both} {'is' if is_one else 'are'} from before the first pass: {failure.result} was "
        f"computed from {'an' if is_one else ''} earlier {both}, and {by} has freed how that was "
        f"computed. Either call backward() once, for the sum of all losses; or let each pass end "
        f"at {both}. For that, before {step}, add: {line}".replace("from  earlier", "from earlier"),
        Line(line, before=statement),
    )


def _shared(
    failure: Failure, met: Meeting, first: Event | None, by: str
) -> tuple[str, Line | None]:
    """A variable that was computed once and is used by several passes."""
    place = met.place
    made = f" ({place.quoted})" if place is not None else ""
    said = (
        f"{met.name}{made}, from which {failure.result} was computed, is from before {by}, which "
        f"freed how it was computed. Compute {met.name} again before {failure.result}, or add the "
        "losses and call backward() once; or keep the graph"
    )
    spot = first.spot if first is not None else None
    if spot is None:
        return (
            f"{said} in the first pass. For that, it takes retain_graph=True: "
            "loss.backward(retain_graph=True)",
            Line("loss.backward(retain_graph=True)"),
        )
    line = _retained(edit_of(spot), failure)
    placed = failure.place(spot)
    return f"{said}. For that, in {_bare(placed)} write: {line.text}", line


def _bare(place: Place) -> str:
    return place.where
