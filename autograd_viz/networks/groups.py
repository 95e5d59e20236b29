"""The groups that the nodes of a graph fall into: a tree, from calls of modules and repetition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from autograd_viz import text
from autograd_viz.networks.calls import Call
from autograd_viz.progress import progress

LONGEST_PERIOD = 64  # items; longer patterns than this are not looked for
FEWEST = 4  # repetitions that are worth a group
SMALLEST = 16  # nodes that a pattern of single nodes has to cover
WIDEST = 40  # items in a group; what has more is cut into parts
PARTS = 20
SEARCHED = 20  # times that all items of a group are searched for patterns; then it must do


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that belong together: of one call of a module, or of a pattern that repeats."""

    id: int  # position in the tuple of groups; 0 is the whole graph
    parent: int
    name: str  # "layers.3"; "layers" for what repeats, "steps" where no module has a name for it
    kind: str  # the module's class, "TransformerEncoderLayer", or what stands in it
    items: tuple[int, ...]  # oldest first: a node, or ~id of a group; of what repeats one a time
    size: int  # nodes in it, those of inner groups included
    times: int = 1  # how often it repeats; 1 for one that does not


@dataclass(slots=True)
class _Draft:
    name: str  # "": one is made up at the end
    kind: str
    parent: int
    items: list[int]
    times: int = 1


def groups_of(
    ages: Sequence[int] | np.ndarray,
    names: Sequence[str],
    leaves: Mapping[int, object],
    calls: Iterable[Call],
) -> tuple[Group, ...]:
    """Sort nodes into groups: by the calls that made them, then by what repeats in each.

    Args:
        ages: the sequence number of each node; leaves, which have none, are left out by -1.
        names: the gradient function of each node.
        leaves: of nodes that use leaves the leaves' shapes: equal blocks have equal ones.
        calls: the modules' calls.

    Calls are equal that use equal leaves: the first layer often has fewer functions than the
    others, since the data need no gradient.

    >>> calls = [Call(("layers", str(n)), "Linear", 2 * n, 2 * n + 2) for n in range(4)]
    >>> groups = groups_of(range(8), ["T", "Addmm"] * 4, {}, calls)
    >>> [(group.name, group.kind, group.items, group.times) for group in groups[:3]]
    [('', '', (-6,), 1), ('layers.0', 'Linear', (0, 1), 1), ('layers.1', 'Linear', (2, 3), 1)]
    >>> groups[5].name, groups[5].items, groups[5].times
    ('layers', (-2, -3, -4, -5), 4)
    """
    drafts = [_Draft("", "", 0, [])]
    _sort_into_calls(drafts, ages, calls)
    with progress("folding the graph", total=len(names)) as advance:
        _Repeats(drafts, names, leaves).fold(advance)
    for draft in range(len(drafts)):
        _cut(drafts, draft)
    return _finished(drafts)


def _sort_into_calls(
    drafts: list[_Draft], ages: Sequence[int] | np.ndarray, calls: Iterable[Call]
) -> None:
    of_node = np.asarray(ages, dtype=np.int64)
    order = np.argsort(of_node, kind="stable")
    in_order = of_node[order]
    waiting = sorted(calls, key=lambda call: (call.first, -call.end, len(call.path)))
    begins = np.searchsorted(in_order, [call.first for call in waiting]).tolist()
    ends = np.searchsorted(in_order, [call.end for call in waiting]).tolist()
    stack = [(0, len(order))]  # calls that still run, and where in the order they end
    done = int(np.searchsorted(in_order, 0))  # leaves are in no group

    def give_out(end: int) -> None:
        nonlocal done
        while done < end:
            draft, last = stack[-1]
            if last <= done:
                stack.pop()
                continue
            drafts[draft].items += order[done : min(last, end)].tolist()
            done = min(last, end)
        while stack[-1][1] <= done and len(stack) > 1:
            stack.pop()

    for call, begin, end in zip(waiting, begins, ends, strict=True):
        if begin < end:  # else it made no node that the graph has
            give_out(begin)
            name = ".".join(call.path) or call.kind
            drafts.append(_Draft(name, call.kind, stack[-1][0], []))
            drafts[stack[-1][0]].items.append(~(len(drafts) - 1))
            stack.append((len(drafts) - 1, end))
    give_out(len(order))


def _inside_out(drafts: Sequence[_Draft]) -> list[int]:
    order = [0]
    for draft in order:  # the list grows while it is iterated
        order += [~item for item in drafts[draft].items if item < 0]
    return order[::-1]


_Repetition = tuple[int, int, int]  # (where it begins, its period, how often it repeats)


class _Repeats:
    """Makes one group of what repeats within a group, from the inside out."""

    def __init__(
        self, drafts: list[_Draft], names: Sequence[str], leaves: Mapping[int, object]
    ) -> None:
        self.drafts, self.names = drafts, names
        self.known: dict[object, int] = {}  # equal parts have equal numbers
        self.marks = np.fromiter(map(self._number, names), np.int64, len(names))
        for node, shapes in leaves.items():
            self.marks[node] = self._number((names[node], shapes))
        self.using = np.zeros(len(names), dtype=bool)  # the nodes that use leaves
        self.using[list(leaves)] = True
        self.of_draft: dict[int, tuple[int, bool]] = {}  # its mark, and whether it uses leaves
        self.repetitions: dict[bytes, _Repetition | None] = {}  # of equal drafts they are equal

    def fold(self, advance: Callable[[int], object]) -> None:
        for draft in _inside_out(self.drafts):
            own = self.drafts[draft]
            items = np.asarray(own.items, dtype=np.int64)
            single = items >= 0
            marks, using = np.zeros_like(items), np.zeros_like(single)
            marks[single], using[single] = self.marks[items[single]], self.using[items[single]]
            for place in np.flatnonzero(~single).tolist():
                marks[place], using[place] = self.of_draft[~own.items[place]]
            parts = marks[using] if own.kind and using.any() else marks
            mark = self._number((own.kind, parts.tobytes()))
            self.of_draft[draft] = mark, bool(using.any())
            own.items = self._folded(draft, own.items, marks)
            advance(int(single.sum()))

    def _number(self, key: object) -> int:
        return self.known.setdefault(key, len(self.known))

    def _folded(self, parent: int, items: list[int], marks: np.ndarray) -> list[int]:
        """The items with the longest repetition made one, and again on both of its sides."""
        done: list[tuple[int, list[int]]] = []
        waiting = [(0, len(items))]
        left = SEARCHED * len(items)
        while waiting:
            start, end = waiting.pop()
            left -= end - start
            found = self._repetition(marks[start:end]) if left >= 0 else None
            if found is not None:
                begin, period, times = found
                some = items[start + begin : start + begin + period]
                if any(item >= 0 for item in some) and period * times < SMALLEST:
                    found = None
            if found is None:
                done.append((start, items[start:end]))
                continue
            begin, period, times = found
            first, last = start + begin, start + begin + period * times
            done.append((first, [self._group(parent, items[first:last], period)]))
            waiting += [(start, first), (last, end)]
        return [item for _, part in sorted(done, key=lambda entry: entry[0]) for item in part]

    def _repetition(self, marks: np.ndarray) -> _Repetition | None:
        if len(marks) > WIDEST:
            return _longest_repetition(marks)
        key = marks.tobytes()
        if key not in self.repetitions:
            self.repetitions[key] = _longest_repetition(marks)
        return self.repetitions[key]

    def _group(self, parent: int, items: list[int], period: int) -> int:
        drafts = self.drafts
        whole, times = len(drafts), len(items) // period
        kind = kinds(items[:period], self.names, drafts)
        drafts.append(_Draft("", kind, parent, items, times))
        if period > 1:
            drafts[whole].items = []
            for begin in range(0, len(items), period):
                part = items[begin : begin + period]
                drafts[whole].items.append(~len(drafts))
                drafts.append(_Draft("", drafts[whole].kind, whole, part))
        elif items[0] < 0:
            outer = drafts[parent].name
            drafts[whole].name = _common([drafts[~item].name for item in items], outer)
        for step in drafts[whole].items:
            if step < 0:
                drafts[~step].parent = whole
                for item in drafts[~step].items if period > 1 else ():
                    if item < 0:
                        drafts[~item].parent = ~step
        return ~whole


def kinds(items: Sequence[int], names: Sequence[str], groups: Sequence[Group | _Draft]) -> str:
    """What stands in a pattern that has no name of its own: `SinBackward0, MulBackward0`."""
    found = [names[item] if item >= 0 else groups[~item].kind for item in items]
    return text.joined(list(dict.fromkeys(found)), most=2)


def _longest_repetition(marks: np.ndarray) -> _Repetition | None:
    """The pattern that covers most items; None if none repeats enough."""
    best: _Repetition | None = None
    covered = 0
    for period in range(1, min(LONGEST_PERIOD, len(marks) // FEWEST) + 1):
        equal = np.concatenate(([False], marks[:-period] == marks[period:], [False]))
        edges = np.flatnonzero(equal[1:] != equal[:-1])
        begins, ends = edges[::2], edges[1::2]
        if not len(begins):
            continue
        place = int(np.argmax(ends - begins))
        times = (int(ends[place] - begins[place]) + period) // period
        if times >= FEWEST and times * period > covered:
            best, covered = (int(begins[place]), period, times), times * period
    return best


def _common(names: Sequence[str], outer: str) -> str:
    """`layers` for `layers.0` to `layers.11`; the ends where that is no name of their own."""
    if len(set(names)) == 1:
        return names[0]
    columns = zip(*(name.split(".") for name in names), strict=False)
    equal = takewhile(lambda column: len(set(column)) == 1, columns)
    shared = ".".join(column[0] for column in equal)
    return shared if shared and shared != outer else f"{names[0]} … {names[-1]}"


def _cut(drafts: list[_Draft], number: int) -> None:
    """Cut what has more items than a person can read into parts, and these again."""
    draft = drafts[number]
    if draft.times > 1 or len(draft.items) <= WIDEST:
        return
    items, draft.items = draft.items, []
    length = -(-len(items) // PARTS)
    for begin in range(0, len(items), length):
        draft.items.append(~len(drafts))
        drafts.append(_Draft("", "", number, items[begin : begin + length]))
        for item in drafts[-1].items:
            if item < 0:
                drafts[~item].parent = len(drafts) - 1
    for part in draft.items:
        _cut(drafts, ~part)


def _finished(drafts: list[_Draft]) -> tuple[Group, ...]:
    order = _inside_out(drafts)
    sizes = [0] * len(drafts)
    for number in order:
        items = drafts[number].items
        groups = [~item for item in items if item < 0]
        sizes[number] = len(items) - len(groups) + sum(sizes[group] for group in groups)
    taken: Counter[str] = Counter()
    for number in reversed(order):
        outer = drafts[number]
        prefix = f"{outer.name}." if number and outer.name != outer.kind else ""
        for position, item in enumerate(outer.items):
            if item >= 0 or drafts[~item].name:
                continue
            inner = drafts[~item]
            if outer.times > 1:
                inner.name = f"{outer.name}.{position}"
            elif inner.times > 1:
                name = f"{prefix}steps"
                taken[name] += 1
                inner.name = name if taken[name] == 1 else f"{name}{taken[name]}"
            else:
                inner.name = f"{prefix}part{position}"
    return tuple(
        Group(n, draft.parent, draft.name, draft.kind, tuple(draft.items), sizes[n], draft.times)
        for n, draft in enumerate(drafts)
    )
