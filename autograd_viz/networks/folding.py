"""A graph with its functions in groups, of which some are open: what of it is seen, and where."""

from __future__ import annotations

import difflib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autograd_viz.capture import Outline, garbage_collection_paused, outline_of
from autograd_viz.model import Edge, Graph, Shown, Trace
from autograd_viz.networks.calls import Call, guessed_calls
from autograd_viz.networks.groups import Group, groups_of

if TYPE_CHECKING:
    from autograd_viz.picture import Drawing, Style

MOST = 60  # boxes that a person can read at once
VIEWS = {  # functions that only look at the same numbers in another shape or order
    "AliasBackward0", "CloneBackward0", "DetachBackward0", "ExpandBackward0", "PermuteBackward0",
    "ReshapeAliasBackward0", "SelectBackward0", "SliceBackward0", "SplitBackward0",
    "SqueezeBackward0", "SqueezeBackward1", "TBackward0", "TransposeBackward0",
    "UnflattenBackward0", "UnsafeViewBackward0", "UnsqueezeBackward0", "ViewBackward0",
}  # fmt: skip
HIDEABLE = ("leaves", "views")
GUESSED = (
    "Which module made which function was guessed from its parameters; "
    "`with av.record(model):` around the forward pass knows it."
)


class Item(NamedTuple):
    """One box: a node, a group, or some of the repetitions in a group."""

    node: int = -1  # the node; -1 for a group
    group: int = -1
    first: int = 0  # of the repetitions
    end: int = 0


class Flow(NamedTuple):
    """All edges from one item to another, by the positions of the items."""

    source: int
    target: int
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Scene:
    """What is seen of a folded graph."""

    items: Mapping[int, Item]  # by position, oldest first
    flows: tuple[Flow, ...]
    inside: Mapping[int, Sequence[int]]  # the leaves that only the group at a position uses
    uses: Mapping[int, Sequence[int]]  # the items that use a leaf that stands by itself
    ranks: Mapping[int, int]  # of an item of a trace: which of them ran first


@dataclass(frozen=True, eq=False)
class Known:
    """What all foldings of one graph share; `~id` stands for a group, as in `Group.items`."""

    outline: Outline
    groups: tuple[Group, ...]
    edges: np.ndarray  # a row for each edge
    leaves: tuple[int, ...]
    norms: dict[object, float | None] = field(default_factory=dict)  # those asked for before

    @cached_property
    def names(self) -> Mapping[str, list[int]]:
        """Groups, nodes and leaves by the names that a reader types."""
        found: dict[str, list[int]] = defaultdict(list)
        for group in self.groups[1:]:
            found[group.name].append(~group.id)
        for node, label in sorted(self.outline.labels.items()):
            found[label].append(node)
        return found

    @cached_property
    def owner(self) -> Mapping[int, int]:
        """The innermost group of each node; of a leaf that of the first node that uses it."""
        owner = {item: group.id for group in self.groups for item in group.items if item >= 0}
        rows = self.edges[np.isin(self.edges[:, 2], self.leaves)]
        for source, _, leaf, _ in rows.tolist():
            owner.setdefault(leaf, owner.get(source, 0))
        return owner

    def around(self, item: int) -> list[int]:
        """The groups around a node or a group, from the inside out."""
        found: list[int] = []
        number = self.owner.get(item, 0) if item >= 0 else self.groups[~item].parent
        while item != ~0:
            found.append(item := ~number)
            number = self.groups[number].parent
        return found

    def named(self, name: str) -> list[int]:
        """What has a name; of a module that repeats the whole and not each call."""
        found = self.names.get(name, [])
        if not found:
            near = difflib.get_close_matches(name, self.names, 3)
            near = near or [each for each in self.names if name.casefold() in each.casefold()][:3]
            meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise ValueError(
                f"there is no group, function or leaf {name!r}; {meant}"
                f".find({name.rpartition('.')[2]!r}) looks for parts of names"
            )
        same = set(found)
        return [item for item in found if not same.intersection(self.around(item))]

    def members(self, item: Item) -> list[int]:
        """The nodes of an item."""
        if item.node >= 0:
            return [item.node]
        group = self.groups[item.group]
        waiting = [*(group.items if group.times == 1 else group.items[item.first : item.end])]
        found = [part for part in waiting if part >= 0]
        waiting = [part for part in waiting if part < 0]
        while waiting:
            for part in self.groups[~waiting.pop()].items:
                (found if part >= 0 else waiting).append(part)
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Folded(Shown):
    """A graph or a backward pass in groups that open and close; each method returns a new one.

    >>> import torch, autograd_viz as av
    >>> layers = [torch.nn.Linear(4, 4) for _ in range(6)]
    >>> model = torch.nn.Sequential(*layers, torch.nn.Tanh())
    >>> with av.record(model):
    ...     loss = model(torch.ones(1, 4)).sum()
    >>> folded = av.trace(loss, params=model).fold()
    >>> folded.names
    ('0 … 5', '6', 'loss')
    >>> folded.open("3").names
    ('0 … 2', 'TBackward0', 'AddmmBackward0', '4 … 5', '6', 'loss')
    >>> folded.find("3")
    ('3', '3.bias', '3.weight')
    """

    graph: Graph
    trace: Trace | None
    known: Known = field(repr=False)
    opened: frozenset[int]  # what does not hide in a group around it: a node, or ~id of a group
    hidden: frozenset[str] = frozenset()  # "leaves", "views"
    near: tuple[str, int] | None = None  # only what is so many steps from this name
    goal: str | None = None  # only what leads to this name
    notes: tuple[str, ...] = ()

    drawing_options = ("frame",)

    def __repr__(self) -> str:
        nodes = len(self.known.outline.names)
        return f"<Folded graph of {nodes:,} nodes: {len(self.scene.items):,} boxes>"

    def open(self, *names: str, index: int | None = None) -> Folded:
        """Show what is inside of groups, by their full names: `open("layers.3.self_attn")`.

        Args:
            names: groups, or single functions and leaves by the reader's names, which are then
                seen. Of what repeats (`"layers"`, `"steps"`) one repetition opens.
            index: which repetition, from 0; negative ones count from the end. 0 if left out.

        Raises:
            ValueError: there is no such name; the nearest ones are told.
            IndexError: it does not repeat as often.
        """
        opened = set(self.opened)
        for name in names:
            items = self.known.named(name)
            whole = items[0] if len(items) == 1 else 0
            if whole < 0 and self.known.groups[~whole].times > 1:
                items = [_chosen(name, self.known.groups[~whole].items, index or 0)]
            elif index is not None:  # a module that was called several times
                items = [_chosen(name, items, index)]
            for item in items:
                opened |= {item, *self.known.around(item)}
        return replace(self, opened=frozenset(opened))

    def close(self, *names: str) -> Folded:
        """Close groups, with all that is open inside of them."""
        closed = {item for name in names for item in self.known.named(name)}
        kept = (item for item in self.opened if not closed & {item, *self.known.around(item)})
        return replace(self, opened=frozenset(kept))

    def find(self, words: str) -> tuple[str, ...]:
        """The names that hold these words: of groups, of functions and of leaves, oldest first.

        >>> import torch, autograd_viz as av
        >>> loss = torch.nn.Linear(4, 4)(torch.ones(1, 4)).sum()
        >>> av.graph(loss).fold().find("los")
        ('loss',)
        """
        wanted = words.casefold()
        return tuple(name for name in self.known.names if wanted in name.casefold())

    def focus(self, name: str, steps: int = 2) -> Folded:
        """Only what is at most so many arrows away from a group, a function or a leaf."""
        if not isinstance(steps, int) or steps < 0:
            raise ValueError(f"steps={steps!r}: give a number of arrows, 0 or more")
        return replace(self._seen(name), near=(name, steps))

    def hide(self, *what: str) -> Folded:
        """Leave out `"leaves"`, or `"views"`: functions that only change the shape."""
        for each in what:
            if each not in HIDEABLE:
                raise ValueError(
                    f"{each!r} cannot be hidden; give {' or '.join(map(repr, HIDEABLE))}, or "
                    f"close a group: close({each!r})"
                )
        return replace(self, hidden=self.hidden.union(what))

    def toward(self, name: str) -> Folded:
        """Only what is on a path from the output to a group, a function or a leaf."""
        return replace(self._seen(name), goal=name)

    @property
    def names(self) -> tuple[str, ...]:
        """What is seen, oldest first, in the words of its boxes."""
        from autograd_viz.networks import view

        return tuple(view.titles(self).values())

    def drawn(self, style: Style, *, frame: int | str | None = None, **options: Any) -> Drawing:
        """Draw it; `frame` counts the groups in the order in which the engine ran them, from 1."""
        from autograd_viz.networks import view

        return view.drawn(self, style, frame)

    @cached_property
    def scene(self) -> Scene:
        """What is seen."""
        with garbage_collection_paused():
            return _scene(self)

    def _seen(self, name: str) -> Folded:
        """The same with what has this name no longer hidden in a closed group."""
        opened = set(self.opened)
        for item in self.known.named(name):
            around = self.known.around(item)
            opened.update(around)
            if around and self.known.groups[~around[0]].times > 1:
                opened.add(item)
        return replace(self, opened=frozenset(opened))


def _chosen(name: str, items: Sequence[int], index: int) -> int:
    if not -len(items) <= index < len(items):
        raise IndexError(
            f"index={index}: there {'is' if len(items) == 1 else 'are'} {len(items):,} of "
            f"{name!r}; give 0 to {len(items) - 1:,}"
        )
    return items[index]


# How a graph falls into groups


def folded(graph: Graph, trace: Trace | None, open: str | Iterable[str]) -> Folded:
    """Fold a graph, opened as far as it stays readable, and at the names given."""
    with garbage_collection_paused():
        known, guessed = _known(graph)
    notes = (GUESSED,) if guessed else ()
    found = Folded(graph, trace, known, _fitting(known.groups), notes=notes)
    return found.open(*([open] if isinstance(open, str) else open))


def _known(graph: Graph) -> tuple[Known, bool]:
    outline = outline_of(graph)
    edges = np.array(graph.edges, dtype=np.int64).reshape(-1, 4)
    leaves = tuple(node for node, age in enumerate(outline.ages) if age < 0)
    calls, guessed = _calls(graph, outline, edges)
    shapes = {leaf: graph.nodes[leaf].shape for leaf in leaves}
    used: dict[int, list[object]] = defaultdict(list)  # layers of different widths are not equal
    for source, _, target, _ in edges[np.isin(edges[:, 2], leaves)].tolist():
        used[source].append(shapes[target])
    leaf_shapes = {node: tuple(found) for node, found in used.items()}
    groups = groups_of(outline.ages, outline.names, leaf_shapes, calls)
    return Known(outline, groups, edges, leaves), guessed


def _calls(graph: Graph, outline: Outline, edges: np.ndarray) -> tuple[Sequence[Call], bool]:
    """The calls of modules, and whether they are guessed; of no module, the named variables."""
    ages, modules = outline.ages, graph.modules
    ran = sorted(age for age in ages if age >= 0)
    for calls in modules.recordings if modules else ():
        if calls and np.searchsorted(ran, calls[-1].first) < np.searchsorted(ran, calls[-1].end):
            return calls, False
    params = modules.params if modules else None
    if params is not None:
        named = params if isinstance(params, Mapping) else dict(params.named_parameters())
        uses = [
            (ages[user], outline.labels[leaf])
            for leaf, user in _users(outline, edges)
            if outline.labels.get(leaf) in named
        ]
        kinds = {} if isinstance(params, Mapping) else _kinds(params)
        if uses:
            return guessed_calls(uses, kinds), True
    marks = sorted((ages[node], name) for node, name in outline.labels.items() if ages[node] >= 0)
    begins = [0, *(age + 1 for age, _ in marks)]
    return [
        Call((name,), "", begin, age + 1)
        for begin, (age, name) in zip(begins, marks, strict=False)
        if np.searchsorted(ran, age) - np.searchsorted(ran, begin) > 0  # else it is one node
    ], False


def _kinds(module: object) -> dict[str, str]:
    return {name: type(each).__name__ for name, each in module.named_modules()}  # type: ignore[attr-defined]


def _users(outline: Outline, edges: np.ndarray) -> Iterator[tuple[int, int]]:
    """(leaf, node that uses it), through transposes and other views of the leaf."""
    into: dict[int, list[int]] = defaultdict(list)
    for source, _, target, _ in edges.tolist():
        into[target].append(source)
    for leaf, age in enumerate(outline.ages):
        waiting = list(into[leaf]) if age < 0 else []
        while waiting:
            node = waiting.pop()
            yield leaf, node
            if outline.names[node] in VIEWS:
                waiting += into[node]


def _fitting(groups: Sequence[Group], most: int = MOST) -> frozenset[int]:
    """Open the groups nearest to the top, and of these the largest, while it stays readable."""
    opened = {~0}
    shown = len(groups[0].items)
    waiting = [(1, -groups[~item].size, ~item) for item in groups[0].items if item < 0]
    heapq.heapify(waiting)
    while waiting:
        depth, _, number = heapq.heappop(waiting)
        group = groups[number]
        inner = any(  # else nothing but functions would be seen
            item < 0 and (groups[~item].kind or groups[~item].times > 1) for item in group.items
        )
        bare = not group.kind and shown < 5  # all of a graph may be inside of one name
        if group.times > 1 or not (inner or bare) or shown - 1 + len(group.items) > most // 2:
            continue
        opened.add(~number)
        shown += len(group.items) - 1
        for item in group.items:
            if item < 0:
                heapq.heappush(waiting, (depth + 1, -groups[~item].size, ~item))
    return frozenset(opened)


# What is seen


def _items(known: Known, opened: frozenset[int]) -> list[Item]:
    """All items, oldest first; leaves are not among them."""
    groups = known.groups
    alone: dict[int, list[int]] = defaultdict(list)  # which repetitions stand by themselves
    for code in opened - {~0}:
        outer = groups[~known.around(code)[0]]
        if outer.times > 1:
            alone[outer.id].append(outer.items.index(code))
    found: list[Item] = []
    stack = [Item(group=0, end=1)]
    while stack:
        item = stack.pop()
        group = groups[item.group]
        if item.node >= 0 or item.end - item.first < group.times:
            found.append(item)
        elif group.times == 1 and ~group.id in opened:
            stack += [_item(groups, part) for part in reversed(group.items)]
        elif group.id not in alone:
            found.append(item)
        else:
            parts, begin = [], 0
            for index in (*sorted(alone[group.id]), group.times):
                if begin < index:
                    parts.append(Item(group=group.id, first=begin, end=index))
                if index < group.times:
                    parts.append(_item(groups, group.items[index]))
                begin = index + 1
            stack += reversed(parts)
    return found


def _item(groups: Sequence[Group], item: int) -> Item:
    return Item(node=item) if item >= 0 else Item(group=~item, end=groups[~item].times)


def _scene(folded: Folded) -> Scene:
    known = folded.known
    items = dict(enumerate(_items(known, folded.opened)))
    place = np.full(len(known.outline.names), -1)
    for position, item in items.items():
        place[known.members(item)] = position
    source, target = place[known.edges[:, 0]], place[known.edges[:, 2]]
    between: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    apart = np.flatnonzero((source != target) & (source >= 0) & (target >= 0))
    for row, *ends in zip(
        known.edges[apart].tolist(), source[apart].tolist(), target[apart].tolist(), strict=True
    ):
        between[ends[0], ends[1]].append(Edge(*row))
    users: dict[int, dict[int, None]] = {leaf: {} for leaf in known.leaves}
    to_leaf = np.flatnonzero(np.isin(known.edges[:, 2], known.leaves))
    for leaf, position in zip(
        known.edges[to_leaf, 2].tolist(), source[to_leaf].tolist(), strict=True
    ):
        users[leaf][position] = None
    if "views" in folded.hidden:
        _without_views(folded, items, between, users)
    kept = _kept(folded, items, between, users)
    inside: dict[int, list[int]] = defaultdict(list)
    uses: dict[int, list[int]] = {}
    for leaf, positions in users.items():
        seen = [position for position in positions if position in kept]
        if len(positions) == 1 and seen and items[seen[0]].node < 0:
            inside[seen[0]].append(leaf)
        elif (seen or not positions) and "leaves" not in folded.hidden:
            uses[leaf] = seen
    ranks: dict[int, int] = {}
    if folded.trace is not None:
        ran = place[[step.node for step in folded.trace.steps]]
        for position in dict.fromkeys(ran[ran >= 0].tolist()):
            if position in kept:
                ranks[position] = len(ranks)
    return Scene(
        {position: item for position, item in items.items() if position in kept},
        tuple(
            Flow(*ends, tuple(edges)) for ends, edges in between.items() if kept.issuperset(ends)
        ),
        inside,
        uses,
        ranks,
    )


def _without_views(
    folded: Folded,
    items: dict[int, Item],
    between: dict[tuple[int, int], list[Edge]],
    users: Mapping[int, dict[int, None]],
) -> None:
    """Lead each gradient past the views that stand by themselves, to where it goes next."""
    outline = folded.known.outline
    outputs = {slot.node for slot in folded.graph.outputs}
    for position, item in list(items.items()):
        node = item.node
        if node < 0 or outline.names[node] not in VIEWS or {node} & ({*outline.labels} | outputs):
            continue
        before = [ends[0] for ends in between if ends[1] == position]
        after = {ends[1]: edges for ends, edges in between.items() if ends[0] == position}
        for source in before:
            del between[source, position]
            for target, edges in after.items():
                between[source, target].extend(edges)
        for target in after:
            del between[position, target]
        for positions in users.values():
            if position in positions:
                del positions[position]
                positions.update(dict.fromkeys(before))
        del items[position]


def _kept(
    folded: Folded,
    items: Mapping[int, Item],
    between: Iterable[tuple[int, int]],
    users: Mapping[int, Iterable[int]],
) -> set[int]:
    """The positions of what stays seen."""
    known, kept = folded.known, set(items)
    back: dict[int, set[int]] = defaultdict(set)
    around: dict[int, set[int]] = defaultdict(set)
    for source, target in between:
        back[target].add(source)
        around[target].add(source)
        around[source].add(target)

    def places(name: str) -> set[int]:
        found: set[int] = set()
        for wanted in known.named(name):
            if wanted in users:
                found.update(users[wanted])
                continue
            chain = [wanted, *known.around(wanted)]
            for position, item in items.items():
                code = item.node if item.node >= 0 else ~item.group
                if code == wanted or wanted in known.around(code):
                    found.add(position)
                elif code in chain:  # closed, with what is wanted in it; or some repetitions
                    group = known.groups[item.group]
                    inner = chain[chain.index(code) - 1]
                    if group.times == 1 or item.first <= group.items.index(inner) < item.end:
                        found.add(position)
        return found

    def reached(start: set[int], nexts: Mapping[int, set[int]], steps: int) -> set[int]:
        found = new = set(start)
        while new and steps:
            new = {each for position in new for each in nexts.get(position, ())} - found
            found, steps = found | new, steps - 1
        return found

    if folded.goal is not None:
        kept &= reached(places(folded.goal), back, -1)
    if folded.near is not None:
        name, steps = folded.near
        kept &= reached(places(name), around, steps)
    return kept
