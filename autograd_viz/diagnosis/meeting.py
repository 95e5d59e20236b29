"""Where the part of a graph that is from before a pass meets the part that is new."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from autograd_viz.diagnosis.failures import Failure
from autograd_viz.programs.sources import source_of
from autograd_viz.recorded.places import Place
from autograd_viz.walk import Walk


@dataclass(frozen=True)
class Meeting:
    """A result of the old part that the new part was computed from."""

    node: int
    name: str | None
    again: bool  # whether the statement that made it ran again since, and used it
    place: Place | None  # the statement that made it; not known without a recording
    statement: str | None = None  # the statement that computes the name from itself


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
    fresh = {each for each in _above(walk, new, users) if each not in behind}
    tops = sorted(each for each in old if not any(user in behind for user in users[each]))
    found = {}
    for top in tops:
        node = _last_named(failure, _unknown_chain(top, users, fresh))
        found[node] = _meeting(failure, node, fresh)
    return list(found.values())


def _users(walk: Walk) -> list[list[int]]:
    """For each node those that use its result."""
    users: list[list[int]] = [[] for _ in walk.functions]
    for position, following in enumerate(walk.nexts):
        for target, _ in following:
            if target is not None:
                users[walk.index[target]].append(position)
    return users


def _below(walk: Walk, nodes: Iterable[int]) -> set[int]:
    """The nodes and all that they were computed from."""
    found, waiting = set(nodes), list(nodes)
    while waiting:
        for target, _ in walk.nexts[waiting.pop()]:
            if target is not None and walk.index[target] not in found:
                found.add(walk.index[target])
                waiting.append(walk.index[target])
    return found


def _above(walk: Walk, nodes: Iterable[int], users: list[list[int]]) -> set[int]:
    """The nodes and all that was computed from them."""
    found, waiting = set(nodes), list(nodes)
    while waiting:
        for user in users[waiting.pop()]:
            if user not in found:
                found.add(user)
                waiting.append(user)
    return found


def _unknown_chain(top: int, users: list[list[int]], fresh: Collection[int]) -> list[int]:
    """A node, and what follows from it as long as it is not known to be new."""
    chain = [top]
    while len(users[chain[-1]]) == 1 and users[chain[-1]][0] not in fresh:
        chain.append(users[chain[-1]][0])
    return chain


def _last_named(failure: Failure, chain: list[int]) -> int:
    """The node of a chain at which the reader's own name stands; else the first."""
    assert failure.captured is not None
    graph = failure.captured[0]
    roots = {slot.node for slot in graph.outputs}
    named = [each for each in chain if graph.nodes[each].label and each not in roots]
    return named[0] if named else chain[0]


def _meeting(failure: Failure, node: int, fresh: Collection[int]) -> Meeting:
    assert failure.captured is not None
    graph = failure.captured[0]
    event = failure.made(node)
    place = failure.place_of(event)
    label = graph.nodes[node].label
    if event is not None and place is not None:
        events = filter(None, (failure.made(each) for each in fresh))
        ran_again = any(each.spot == event.spot for each in events if each is not event)
        names = place.names if len(place.names) == 1 or not ran_again else place.names
        name = label or (names[0] if len(names) == 1 else None)
        return Meeting(node, name, ran_again, place, place.statement if ran_again else None)
    if label:
        return Meeting(node, label, False, None)
    return _from_itself(failure, node, fresh)


def _from_itself(failure: Failure, node: int, fresh: Collection[int]) -> Meeting:
    """Without a recording: the one name whose statement reads it, and that is made alike.

    Its tensor is new, has the shape of the old result and was made by the same function, and the
    old result is among what it was computed from.
    """
    assert failure.captured is not None
    graph, walk = failure.captured
    alike = []
    for name, statement in _updates(failure):
        tensor = failure.named.get(name)
        made = walk.index.get(tensor.grad_fn) if tensor is not None and tensor.grad_fn else None
        if tensor is None or made is None or made not in fresh:
            continue
        same = graph.nodes[made].name == graph.nodes[node].name
        if same and tuple(tensor.shape) == graph.nodes[node].outputs[0].shape:
            if node in _below(walk, [made]):
                alike.append((name, statement))
    if len({name for name, _ in alike}) != 1:
        return Meeting(node, None, False, None)
    return Meeting(node, alike[0][0], True, None, alike[0][1])


def _updates(failure: Failure) -> list[tuple[str, str]]:
    """The names that a statement binds and reads, as h of `h = cell(x, h)`."""
    found = []
    for frame in failure.frames[:1]:
        source = source_of(frame.f_code, frame.f_globals)
        for statement in source.every if source is not None else ():
            for binding in statement.bindings:
                reads = ast.walk(binding.value) if binding.value is not None else ()
                if any(isinstance(each, ast.Name) and each.id == binding.name for each in reads):
                    found.append((binding.name, statement.text))
    return found
