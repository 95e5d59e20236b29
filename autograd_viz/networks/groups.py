"""The groups that the nodes of a graph fall into: a tree, from calls of modules and repetition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from autograd_viz.networks.calls import Call

LONGEST_PERIOD = 64  # items; longer patterns than this are not looked for
FEWEST = 3  # repetitions that are worth a group
SMALLEST = 16  # nodes that a pattern of single nodes has to cover


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that belong together: of one call of a module, or of a pattern that repeats."""

    id: int  # position in Groups.all; 0 is the whole graph
    parent: int
    name: str  # "h.3"; of what repeats "h.0 … h.11"
    kind: str  # the module's class, "GPT2Block"; "" for a step of a pattern
    items: tuple[int, ...]  # what is in it, oldest first: a node, or ~id of a group
    size: int  # nodes in it, those of inner groups included
    times: int = 1  # how often it repeats; 1 for one that does not


@dataclass(frozen=True)
class Groups:
    """All groups of one graph, and the innermost one of each node."""

    all: tuple[Group, ...]
    owner: Sequence[int]


@dataclass(slots=True)
class _Draft:
    name: str
    kind: str
    parent: int
    items: list[int]
    times: int = 1


def groups_of(
    ages: Sequence[int], signatures: Sequence[int], calls: Iterable[Call], title: str
) -> Groups:
    """Sort nodes into groups.

    Args:
        ages: the sequence number of each node; leaves, which have none, are left out by -1.
        signatures: equal numbers for nodes of one kind.
        calls: the modules' calls.
        title: the name of the whole.

    Leaves belong to the whole graph.
    """
    drafts = [_Draft(title, "", 0, [])]
    _sort_into_calls(drafts, ages, calls)
    _Repeats(drafts, signatures).fold(0)
    return _finished(drafts, len(ages))


def _sort_into_calls(drafts: list[_Draft], ages: Sequence[int], calls: Iterable[Call]) -> None:
    order = np.argsort(np.asarray(ages, dtype=np.int64), kind="stable")
    waiting = sorted(calls, key=lambda call: (call.first, -call.end, len(call.path)))
    position = 0
    stack = [(0, float("inf"), ())]  # (draft, end, path) of the calls that are open
    for node in order.tolist():
        age = ages[node]
        if age < 0:
            continue
        while position < len(waiting) and waiting[position].first <= age:
            call = waiting[position]
            position += 1
            while stack[-1][1] <= call.first:
                stack.pop()
            if call.end <= age:
                continue  # it made no node that the graph has
            outer = stack[-1][2]
            inner = call.path[len(outer) :] if call.path[: len(outer)] == outer else call.path
            name = ".".join(inner) or call.kind
            drafts.append(_Draft(name, call.kind, stack[-1][0], []))
            drafts[stack[-1][0]].items.append(~(len(drafts) - 1))
            stack.append((len(drafts) - 1, call.end, call.path))
        while stack[-1][1] <= age:
            stack.pop()
        drafts[stack[-1][0]].items.append(node)


class _Repeats:
    """Makes one group of what repeats within a group, from the inside out."""

    def __init__(self, drafts: list[_Draft], signatures: Sequence[int]) -> None:
        self.drafts, self.of_node = drafts, signatures
        self.known: dict[object, int] = {}
        self.of_draft: dict[int, int] = {}

    def fold(self, root: int) -> None:
        order = [root]
        for draft in order:  # the list grows while it is iterated
            order += [~item for item in self.drafts[draft].items if item < 0]
        for draft in reversed(order):
            own = self.drafts[draft]
            marks = [self._signature(item) for item in own.items]
            self.of_draft[draft] = self._number((own.kind, tuple(marks)))
            own.items = self._folded(draft, own.items, np.asarray(marks))

    def _signature(self, item: int) -> int:
        return self.of_draft[~item] if item < 0 else self._number(self.of_node[item])

    def _number(self, key: object) -> int:
        return self.known.setdefault(key, len(self.known))

    def _folded(self, parent: int, items: list[int], marks: np.ndarray) -> list[int]:
        """The items with the longest repetition made one, and again on both of its sides."""
        done: list[tuple[int, list[int]]] = []
        waiting = [(0, len(items))]
        while waiting:
            start, end = waiting.pop()
            found = _longest_repetition(marks[start:end])
            if found is not None:
                begin, period, times = found
                some = items[start + begin : start + begin + period]
                if any(item >= 0 for item in some) and period * times < SMALLEST:
                    found = None
            if found is None:
                done.append((start, items[start:end]))
                continue
            begin, period, times = found
            first = start + begin
            done.append(
                (first, [self._group(parent, items[first : first + period * times], period)])
            )
            waiting += [(start, first), (first + period * times, end)]
        return [item for _, part in sorted(done, key=lambda entry: entry[0]) for item in part]

    def _group(self, parent: int, items: list[int], period: int) -> int:
        drafts = self.drafts
        whole = len(drafts)
        times = len(items) // period
        if period == 1 and items[0] < 0:
            steps = items
        elif period == 1:
            drafts.append(_Draft(f"{times:,} times", "", parent, items, times))
            return ~whole
        else:
            drafts.append(_Draft("", "", parent, []))  # its place; it is filled below
            steps = []
            for number in range(times):
                drafts.append(
                    _Draft(
                        f"step {number}", "", whole, items[number * period : (number + 1) * period]
                    )
                )
                for item in drafts[-1].items:
                    if item < 0:
                        drafts[~item].parent = len(drafts) - 1
                steps.append(~(len(drafts) - 1))
            drafts[whole] = _Draft(f"{times:,} steps", "", parent, steps, times)
            return ~whole
        first, last = drafts[~steps[0]], drafts[~steps[-1]]
        name = first.name if first.name == last.name else f"{first.name} … {last.name}"
        drafts.append(_Draft(name, first.kind, parent, steps, times))
        for step in steps:
            drafts[~step].parent = whole
        return ~whole


def _longest_repetition(marks: np.ndarray) -> tuple[int, int, int] | None:
    """(start, period, times) of the pattern that covers most items; None if none repeats enough."""
    best: tuple[int, int, int] | None = None
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


def _finished(drafts: list[_Draft], count: int) -> Groups:
    sizes = [0] * len(drafts)
    owner = [0] * count
    order = [0]
    for draft in order:
        order += [~item for item in drafts[draft].items if item < 0]
    for draft in reversed(order):
        for item in drafts[draft].items:
            if item < 0:
                sizes[draft] += sizes[~item]
            else:
                sizes[draft] += 1
                owner[item] = draft
    return Groups(
        tuple(
            Group(
                n, draft.parent, draft.name, draft.kind, tuple(draft.items), sizes[n], draft.times
            )
            for n, draft in enumerate(drafts)
        ),
        owner,
    )
