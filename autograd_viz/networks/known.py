"""What all foldings of one graph share: its groups, its leaves, and the names of both."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autograd_viz.model import Graph
from autograd_viz.networks.calls import Call, guessed_calls
from autograd_viz.networks.groups import Group, groups_of
from autograd_viz.nodes import Outline, outline_of
from autograd_viz.operators.table import operation

if TYPE_CHECKING:
    from torch.nn import Module


class Item(NamedTuple):
    """One box: a node, a group, or some of the repetitions in a group."""

    node: int = -1  # the node; -1 for a group
    group: int = -1
    first: int = 0  # of the repetitions
    end: int = 0


@dataclass(frozen=True, eq=False)
class Known:
    """What all foldings of one graph share; `~id` stands for a group, as in `Group.items`."""

    outline: Outline
    groups: tuple[Group, ...]
    leaves: tuple[int, ...]
    views: (
        np.ndarray
    )  # of each node, whether it only looks at the same numbers, without a name, and no output
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
        rows = self.outline.edges[np.isin(self.outline.edges[:, 2], self.leaves)]
        for source, _, leaf, _ in rows.tolist():
            owner.setdefault(leaf, owner.get(source, 0))
        return owner

    @cached_property
    def _order(self) -> tuple[np.ndarray, Sequence[int]]:
        """All nodes with those of each group side by side, and where those of a group begin."""
        order: list[int] = []
        begins = [0] * len(self.groups)
        waiting = [~0]
        while waiting:
            if (code := waiting.pop()) >= 0:
                order.append(code)
                continue
            begins[~code] = len(order)
            items = self.groups[~code].items
            if min(items, default=0) < 0:
                waiting += items[::-1]
            else:  # a million nodes at once
                order += items
        return np.array(order, dtype=np.int64), begins

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
        if not isinstance(name, str):
            raise TypeError(
                f"{name!r} is of type {type(name).__name__}; give a name as text, such as "
                f"{next(iter(self.names), 'layers')!r}; which repetition is index={name!r}"
            )
        found = self.names.get(name) or self.names.get(self._whole_name(name), [])
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

    def item(self, code: int) -> Item:
        """The item of a node, or of a whole group."""
        if code >= 0:
            return Item(node=code)
        return Item(group=~code, end=self.groups[~code].times)

    def _whole_name(self, title: str) -> str:
        """The name of what repeats, from the shorter one in its box: `layers.0 … 11`."""
        first, dots, last = title.partition(" … ")
        return f"{first} … {first.rpartition('.')[0]}.{last}" if dots else title

    def members(self, item: Item) -> np.ndarray:
        """The nodes of an item."""
        if item.node >= 0:
            return np.array([item.node])
        order, begins = self._order
        group = self.groups[item.group]
        begin, end = begins[group.id], begins[group.id] + group.size
        if group.times > 1 and group.items[0] >= 0:
            begin, end = begin + item.first, begin + item.end
        elif group.times > 1:
            last = self.groups[~group.items[item.end - 1]]
            begin, end = begins[~group.items[item.first]], begins[last.id] + last.size
        return order[begin:end]


def known_of(graph: Graph) -> tuple[Known, bool]:
    """Sort a graph into groups; and whether the modules' calls had to be guessed."""
    outline = outline_of(graph)
    edges = outline.edges
    leaves = tuple(np.flatnonzero(outline.ages < 0).tolist())
    calls, guessed = _calls(graph, outline)
    shapes = {leaf: graph.nodes[leaf].shape for leaf in leaves}
    used: dict[int, list[object]] = defaultdict(list)  # layers of different widths are not equal
    for source, _, target, _ in edges[np.isin(edges[:, 2], leaves)].tolist():
        used[source].append(shapes[target])
    leaf_shapes = {node: tuple(found) for node, found in used.items()}
    groups = groups_of(outline.ages, outline.names, leaf_shapes, calls)
    return Known(outline, groups, leaves, _views(graph, outline)), guessed


def _views(graph: Graph, outline: Outline) -> np.ndarray:
    found = np.fromiter((bool(operation(name).looks) for name in outline.names), bool)
    found[[*outline.labels, *(slot.node for slot in graph.outputs)]] = False
    return found


def _calls(graph: Graph, outline: Outline) -> tuple[Sequence[Call], bool]:
    """The calls of modules, and whether they are guessed; of no module, the named variables."""
    ages, modules = outline.ages, graph.modules
    ran = np.sort(ages[ages >= 0])
    for calls in modules.recordings if modules else ():
        if calls and np.searchsorted(ran, calls[-1].first) < np.searchsorted(ran, calls[-1].end):
            return calls, False
    params = modules.params if modules else None
    if params is not None:
        named = params if isinstance(params, Mapping) else dict(params.named_parameters())
        uses = [
            (int(ages[user]), outline.labels[leaf])
            for leaf, user in _users(outline)
            if outline.labels.get(leaf) in named
        ]
        kinds = {} if isinstance(params, Mapping) else _kinds(params)
        if uses:
            return guessed_calls(uses, kinds), True
    named_ages = ((int(ages[node]), name) for node, name in outline.labels.items())
    marks = sorted(mark for mark in named_ages if mark[0] >= 0)
    begins = [0, *(age + 1 for age, _ in marks)]
    return [
        Call((name,), "", begin, age + 1)
        for begin, (age, name) in zip(begins, marks, strict=False)
        if np.searchsorted(ran, age) - np.searchsorted(ran, begin) > 0  # else it is one node
    ], False


def _kinds(module: Module) -> dict[str, str]:
    return {name: type(each).__name__ for name, each in module.named_modules()}


def _users(outline: Outline) -> Iterator[tuple[int, int]]:
    """(leaf, node that uses it), through transposes and other views of the leaf."""
    leaf = outline.ages < 0
    passed_on = leaf | np.fromiter((bool(operation(name).looks) for name in outline.names), bool)
    into: dict[int, list[int]] = defaultdict(list)
    for source, _, target, _ in outline.edges[passed_on[outline.edges[:, 2]]].tolist():
        into[target].append(source)
    for start in np.flatnonzero(leaf).tolist():
        waiting = [*into[start]]
        while waiting:
            node = waiting.pop()
            yield start, node
            if passed_on[node]:
                waiting += into[node]
