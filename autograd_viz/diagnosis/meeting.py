"""Where the part of a graph that is from before a pass meets the part that is new."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from autograd_viz.diagnosis.edits import Edit, Line, edit_of
from autograd_viz.diagnosis.failures import Failure
from autograd_viz.programs.sources import source_of
from autograd_viz.recorded.places import Place
from autograd_viz.walk import Walk


@dataclass(frozen=True)
class Carried:
    """Names that a statement computes from themselves, as h of `h = cell(x, h)`."""

    names: tuple[str, ...]
    statement: str

    @property
    def both(self) -> str:
        """As in a sentence: `h and c`."""
        return " and ".join(self.names)

    @property
    def line(self) -> Line:
        """What lets a pass end at them."""
        cut = ", ".join(f"{name}.detach()" for name in self.names)
        return Line(f"{', '.join(self.names)} = {cut}", before=self.statement)


@dataclass(frozen=True)
class Meeting:
    """A result of the old part that the new part was computed from."""

    node: int
    name: str | None
    carried: Carried | None = None  # where the statement that made it ran again, and used it
    place: Place | None = None  # the statement that made it; not known without a recording
    used: str | None = None  # the one statement of the new part that uses it
    alone: bool = False  # whether the statement that made it made all that is old


def meetings(failure: Failure, old: Collection[int], new: Collection[int]) -> list[Meeting]:
    """The results of old nodes that new ones were computed from; [] where all is old.

    Args:
        failure: the call that failed.
        old: nodes that are known to be from before.
        new: nodes that are known to be from after.
    """
    captured = failure.captured
    if captured is None or not old or not new:
        return []
    walk = captured[1]
    users = _users(walk)
    behind = _below(walk, old)
    fresh = _above(new, users) - behind
    leading = _above(old, users)
    ends = [
        each
        for each in sorted(leading - fresh)
        if walk.nexts[each] and any(user in fresh for user in users[each])
    ]
    found = {node: None for each in ends for node in [_certain(failure, each, behind, leading)]}
    return [_meeting(failure, node, fresh, users) for node in found]


def _users(walk: Walk) -> list[list[int]]:
    """For each node those that use its result."""
    users: list[list[int]] = [[] for _ in walk.functions]
    for position, following in enumerate(walk.nexts):
        for target, _ in following:
            if target is not None:
                users[walk.index[target]].append(position)
    return users


def _inputs(walk: Walk, node: int) -> list[int]:
    return [walk.index[target] for target, _ in walk.nexts[node] if target is not None]


def _below(walk: Walk, nodes: Iterable[int]) -> set[int]:
    """The nodes and all that they were computed from."""
    found, waiting = set(nodes), list(nodes)
    while waiting:
        new = {*_inputs(walk, waiting.pop())} - found
        found |= new
        waiting += new
    return found


def _above(nodes: Iterable[int], users: Sequence[Sequence[int]]) -> set[int]:
    """The nodes and all that was computed from them."""
    found, waiting = set(nodes), list(nodes)
    while waiting:
        new = {*users[waiting.pop()]} - found
        found |= new
        waiting += new
    return found


def _certain(failure: Failure, node: int, behind: set[int], leading: set[int]) -> int:
    """Of a node that may be older or newer, and what is below it: what is surely old, or named."""
    assert failure.captured is not None
    graph, walk = failure.captured
    chain = [node]
    while chain[-1] not in behind:
        inputs = [each for each in _inputs(walk, chain[-1]) if each in leading]
        if len(inputs) != 1:
            break
        chain += inputs
    named = [each for each in reversed(chain) if graph.nodes[each].label]
    return named[0] if named else chain[-1]


def _meeting(
    failure: Failure, node: int, fresh: Collection[int], users: Sequence[Sequence[int]]
) -> Meeting:
    assert failure.captured is not None
    walk = failure.captured[1]
    label = failure.captured[0].nodes[node].label
    event = failure.made(node)
    place = failure.place_of(event)
    if event is None or place is None:
        if label:
            return Meeting(node, label)
        carried = carried_names(failure, node, fresh)
        return Meeting(node, carried.both if carried is not None else None, carried)
    ran_again = any(
        one is not event and one.spot == event.spot
        for one in filter(None, (failure.made(each) for each in fresh))
    )
    carried = _read_and_bound(edit_of(event.spot)) if ran_again else None
    name = label or (place.names[0] if len(place.names) == 1 else None)
    used = {failure.place_of(failure.made(each)) for each in users[node] if each in fresh}
    inner = [each for each in _below(walk, [node]) if walk.nexts[each]]
    made = {failure.place_of(failure.made(each)) for each in inner}
    first = used.pop() if len(used) == 1 else None
    return Meeting(node, name, carried, place, first.text if first else None, made == {place})


def _read_and_bound(edit: Edit | None) -> Carried | None:
    """What a statement binds and reads: `h` or `self.h`, and both of `h, c = cell(x, (h, c))`."""
    if edit is None or not isinstance(edit.node, ast.Assign):
        return None
    reads = {ast.unparse(each) for each in ast.walk(edit.node.value) if isinstance(each, ast.expr)}
    bound: list[ast.expr] = []
    for target in edit.node.targets:
        bound += target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    names = tuple(name for name in map(ast.unparse, bound) if name in reads)
    return Carried(names, edit.text) if names else None


def carried_names(
    failure: Failure, wanted: int | None = None, fresh: Collection[int] | None = None
) -> Carried | None:
    """Without a recording: names that one statement computes from themselves.

    For each, PyTorch knows that an earlier result is in the graph that its tensor leads to, made by
    the same function and of the same shape, as the states of a sequence are.

    Args:
        failure: the call that failed.
        wanted: which earlier result one of them has to lead to.
        fresh: where the name's own tensor has to be.
    """
    assert failure.captured is not None
    graph, walk = failure.captured
    found: set[str] = set()
    leads = wanted is None
    statements = {}
    for carried in _updates(failure):
        for name in carried.names:
            tensor = failure.named.get(name)
            made = walk.index.get(tensor.grad_fn) if tensor is not None and tensor.grad_fn else None
            if tensor is None or made is None or (fresh is not None and made not in fresh):
                continue
            earlier = [
                node
                for node in _below(walk, [made]) - {made}
                if graph.nodes[node].name == graph.nodes[made].name
                and graph.nodes[node].outputs[0].shape == tuple(tensor.shape)
            ]
            if earlier:
                found.add(name)
                statements[carried.statement] = carried
                leads = leads or wanted in earlier
    if not leads or len(statements) != 1:
        return None
    (carried,) = statements.values()
    return Carried(tuple(name for name in carried.names if name in found), carried.statement)


def _updates(failure: Failure) -> list[Carried]:
    """The statements that bind what they read."""
    found = []
    for frame in failure.frames[:1]:
        source = source_of(frame.f_code, frame.f_globals)
        for statement in source.every if source is not None else ():
            node = statement.node
            carried = (
                _read_and_bound(Edit(statement.text, node, None))
                if isinstance(node, ast.stmt)
                else None
            )
            if carried is not None:
                found.append(carried)
    return found
