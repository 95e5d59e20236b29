"""A graph with its functions in groups, of which some are open."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from autograd_viz.model import Graph, Shown, Trace
from autograd_viz.networks.groups import Group, kinds
from autograd_viz.networks.known import Item, Known, known_of
from autograd_viz.networks.scene import Scene, scene_of
from autograd_viz.walk import garbage_collection_paused

if TYPE_CHECKING:
    from autograd_viz.picture import Drawing, Style

MOST = 60  # boxes that a person can read at once
HIDEABLE = ("leaves", "views")
GUESSED = (
    "Which module made which function was guessed from its parameters; "
    "`with av.record(model):` around the forward pass knows it."
)


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
            if index is not None and whole < 0:
                whole = self._repeating(whole)
            if whole < 0 and self.known.groups[~whole].times > 1:
                items = [_chosen(name, self.known.groups[~whole].items, index or 0)]
            elif index is not None:  # a module that was called several times
                items = [_chosen(name, items, index)]
            for item in items:
                opened |= {item, *self.known.around(item)}
        return replace(self, opened=frozenset(opened))

    def _repeating(self, item: int) -> int:
        """What repeats in a group, if there is one such: its blocks may stand in a ModuleList."""
        level = [item]
        while level:
            found = [each for each in level if self.known.groups[~each].times > 1]
            if found:
                return found[0] if len(found) == 1 else item
            level = [part for each in level for part in self.known.groups[~each].items if part < 0]
        return item

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
        wanted = str(words).casefold()
        return tuple(name for name in self.known.names if wanted in name.casefold())

    def focus(self, name: str, steps: int = 2) -> Folded:
        """Only what is at most so many arrows away from a group, a function or a leaf."""
        if not isinstance(steps, int) or steps < 0:
            raise ValueError(f"steps={steps!r}: give a number of arrows, 0 or more")
        return replace(self._seen(name), near=(name, steps))

    def hide(self, *what: str) -> Folded:
        """Leave out `"leaves"`, or `"views"`: functions that only change the shape.

        Views are not counted in groups either, and a group that has nothing else goes too.

        >>> import torch, autograd_viz as av
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Flatten(0))
        >>> with av.record(model):
        ...     loss = model(torch.ones(4, 3)).sum()
        >>> folded = av.graph(loss, params=model).fold()
        >>> folded.names, folded.hide("views").names
        (('0', '1', 'loss'), ('0', 'loss'))
        """
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
        with garbage_collection_paused() as held:
            return held.through(lambda: scene_of(self))

    def functions(self, item: Item) -> np.ndarray:
        """The functions in an item that are not hidden."""
        members = self.known.members(item)
        return members[~self._views[members]] if "views" in self.hidden else members

    def kind(self, group: Group) -> str:
        """The class of a group's module; of what has none, which functions are in it."""
        names, groups = self.known.outline.names, self.known.groups
        if "views" not in self.hidden or (group.times > 1 and group.items[0] >= 0):
            return group.kind
        part = group if group.times == 1 else groups[~group.items[0]]
        if group.kind != kinds(part.items, names, groups):
            return group.kind
        return kinds([one for one in part.items if one < 0 or not self._views[one]], names, groups)

    def times(self, item: Item) -> int:
        """How often an item repeats, but for hidden repetitions."""
        single = item.end > 1 and self.known.groups[item.group].items[0] >= 0
        return len(self.functions(item)) if single else item.end - item.first

    @cached_property
    def _views(self) -> np.ndarray:
        """Of each node, whether it is a view; what is in the focus does not count as one."""
        found, known = self.known.views.copy(), self.known
        for name in (self.goal, self.near[0] if self.near else None):
            for code in known.named(name) if name is not None else ():
                found[known.members(known.item(code))] = False
        return found

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
    with garbage_collection_paused() as held:
        known, guessed = held.through(lambda: known_of(graph))
    notes = (GUESSED,) if guessed else ()
    found = Folded(graph, trace, known, _fitting(known), notes=notes)
    return found.open(*([open] if isinstance(open, str) else open))


def _fitting(known: Known, most: int = MOST) -> frozenset[int]:
    """Open the groups nearest to the top, and of these the largest, while it stays readable.

    That is up to `most` boxes with the leaves, half of them without; gradients are not counted.
    """
    groups, edges = known.groups, known.outline.edges
    uses = Counter(edges[np.isin(edges[:, 2], known.leaves), 0].tolist())  # of leaves by nodes

    def leaves(group: Group) -> int:
        return sum(uses[item] for item in group.items if item >= 0)

    opened = {~0}
    shown, beside = len(groups[0].items), leaves(groups[0])
    waiting = [(1, -groups[~item].size, ~item) for item in groups[0].items if item < 0]
    heapq.heapify(waiting)
    while waiting:
        depth, _, number = heapq.heappop(waiting)
        group = groups[number]
        inner = any(  # else nothing but functions would be seen
            item < 0 and (groups[~item].kind or groups[~item].times > 1) for item in group.items
        )
        bare = not group.kind and shown < 5  # all of a graph may be inside of one name
        wanted = shown - 1 + len(group.items)
        large = wanted > most // 2 or wanted + beside + leaves(group) > most
        if group.times > 1 or not (inner or bare) or large:
            continue
        opened.add(~number)
        shown, beside = wanted, beside + leaves(group)
        for item in group.items:
            if item < 0:
                heapq.heappush(waiting, (depth + 1, -groups[~item].size, ~item))
    return frozenset(opened)
