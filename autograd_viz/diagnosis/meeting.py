"""Where the part of a graph that is from before a pass meets the part that is new."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from autograd_viz.diagnosis.edits import Edit, Line, edit_of
from autograd_viz.diagnosis.failures import Failure
from autograd_viz.names import is_tensor, variables
from autograd_viz.programs.sources import source_of
from autograd_viz.recorded.places import Place
from autograd_viz.walk import Walk


@dataclass(frozen=True)
class Carried:
    """Names that a statement computes from themselves, as h of `h = cell(x, h)`."""

    names: tuple[str, ...]
    statement: str
    forms: tuple[str | None, ...] = ()  # how each is cut off; () for tensors; None: not known

    @property
    def both(self) -> str:
        """As in a sentence: `h and c`."""
        return " and ".join(self.names)

    @property
    def line(self) -> Line | None:
        """What lets a pass end at them; None where what they hold at first is not known."""
        forms = self.forms or tuple(f"{name}.detach()" for name in self.names)
        if None in forms:
            return None
        return Line(f"{', '.join(self.names)} = {', '.join(forms)}", before=self.statement)  # type: ignore[arg-type]


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
    if carried is not None:
        carried = _formed(failure, carried, _below(walk, [node]))
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
            for tensor in _tensors(_value(failure, name)):
                if tensor.grad_fn is None:
                    continue
                made = walk.index.get(tensor.grad_fn)
                if made is not None and fresh is not None and made not in fresh:
                    continue
                within = range(len(walk.functions)) if made is None else _below(walk, [made])
                earlier = [
                    node
                    for node in within
                    if node != made
                    and graph.nodes[node].name == tensor.grad_fn.name()
                    and graph.nodes[node].outputs[0].shape == tuple(tensor.shape)
                ]
                if made is None and not _leads(failure, tensor, earlier):
                    continue
                if earlier:
                    found.add(name)
                    statements[carried.statement] = carried
                    leads = leads or wanted in earlier
    if not leads or len(statements) != 1:
        return None
    (carried,) = statements.values()
    names = tuple(name for name in carried.names if name in found)
    return _formed(failure, Carried(names, carried.statement))


def _formed(failure: Failure, carried: Carried, old: Collection[int] | None = None) -> Carried:
    """The same with how each name is cut off, by what it holds; without those that need none."""
    names = carried.names
    if old is not None:
        names = tuple(one for one in names if _leads(failure, _value(failure, one), old)) or names
    forms = tuple(_cut(failure, name) for name in names)
    return Carried(names, carried.statement, forms)


def _cut(failure: Failure, name: str) -> str | None:
    """`h.detach()`, or the same for a tuple of states; None where it is a number at first."""
    value = _value(failure, name)
    form = f"{name}.detach()"
    if isinstance(value, tuple | list):
        flat = all(is_tensor(each) for each in value)
        form = f"tuple(t.detach() for t in {name})" if flat else ""
        form = f"[t.detach() for t in {name}]" if flat and isinstance(value, list) else form
    first = [each for each in bound_to(failure, name) if isinstance(each, ast.Constant)]
    if not form or any(each.value is not None for each in first):
        return None
    return f"{name} if {name} is None else {form}" if first else form


def bound_to(failure: Failure, name: str) -> list[ast.expr]:
    """What the statements of the reader's function bind a name to."""
    found = []
    for frame in failure.frames[:1]:
        source = source_of(frame.f_code, frame.f_globals)
        for statement in source.every if source is not None else ():
            if isinstance(statement.node, ast.Assign):
                for target in statement.node.targets:
                    found += _pairs(target, statement.node.value, name)
    return found


def _pairs(target: ast.expr, value: ast.expr, name: str) -> list[ast.expr]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        both = zip(target.elts, value.elts, strict=False)
        return [each for one, other in both for each in _pairs(one, other, name)]
    return [value] if ast.unparse(target) == name else []


def _value(failure: Failure, name: str) -> object:
    """What a name holds, `self.h` too; nothing of the reader's runs."""
    first, *rest = name.split(".")
    for frame in failure.frames[:1]:
        value = variables(frame).get(first)
        for attribute in rest:
            value = getattr(value, "__dict__", {}).get(attribute)
        return value
    return None


def _tensors(value: object) -> list[Tensor]:
    held = value if isinstance(value, tuple | list) else [value]
    return [each for each in held if is_tensor(each)]  # type: ignore[misc]


def _leads(failure: Failure, value: object, old: Collection[int]) -> bool:
    """Whether what a name holds was computed from the old part; True where that is not known."""
    assert failure.captured is not None
    index = failure.captured[1].index
    held = _tensors(value)
    waiting = [each.grad_fn for each in held]
    seen = set()
    while waiting:
        function = waiting.pop()
        if function is None or function in seen:
            continue
        seen.add(function)
        if index.get(function) in old:
            return True
        waiting += [each for each, _ in function.next_functions]
    return not held


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


def added_to(failure: Failure, name: str) -> ast.expr | None:
    """What the one statement of the reader's function that adds to a total adds.

    None also where the total's own graph does not hold an earlier total.
    """
    tensor = failure.named.get(name)
    function = tensor.grad_fn if tensor is not None else None
    if function is None or not function.name().startswith("Add"):
        return None
    if not any(
        each is not None and each.name() == function.name() for each, _ in function.next_functions
    ):
        return None
    found: list[ast.expr] = []
    for frame in failure.frames[:1]:
        source = source_of(frame.f_code, frame.f_globals)
        for statement in source.every if source is not None else ():
            match statement.node:
                case ast.AugAssign(target=ast.Name(id=own), op=ast.Add(), value=part):
                    found += [part] if own == name else []
                case ast.Assign(
                    targets=[ast.Name(id=own)],
                    value=ast.BinOp(left=left, op=ast.Add(), right=right),
                ) if own == name:
                    sides = [ast.unparse(each) for each in (left, right)]
                    found += [right] if sides[0] == name else [left] if sides[1] == name else []
    return found[0] if len(found) == 1 else None
