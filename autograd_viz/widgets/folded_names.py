"""The names of what is open in a folded graph: one for each group, however often it was called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from autograd_viz.networks.folding import Folded
from autograd_viz.networks.known import Item, Known

LISTED = 500  # names that a search field offers; it finds all others too


class Choice(NamedTuple):
    """The names of some equal parts, in one pattern: `layers.` and a number from 1 to 11."""

    before: str
    after: str
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Names:
    """The names of a graph's groups, by their codes: `~id` of a group, or a node.

    A module's name is its group's; where it was called several times, each call has a number:
    `cell[3]`. So has a single function of what repeats: `steps[3]`.
    """

    known: Known

    @cached_property
    def _instances(self) -> dict[str, dict[int, int]]:
        return {}

    def instances(self, name: str) -> dict[int, int]:
        """What has a name, oldest first, with its number; of what repeats each repetition."""
        if name not in self._instances:
            found: dict[int, None] = {}
            groups = [~code for code in self.known.names.get(name, ()) if code < 0]
            for number in groups:  # a function may have the name of the group that it ends
                group = self.known.groups[number]
                found |= dict.fromkeys(group.items if group.times > 1 else (~number,))
            self._instances[name] = {code: number for number, code in enumerate(found)}
        return self._instances[name]

    def name(self, code: int) -> str:
        """The one name of a group, or of a function that is one of many."""
        groups = self.known.groups
        if code < 0:
            name = groups[~code].name
            if self.instances(name).keys() == {code}:
                return name
        else:
            name = groups[~self.known.around(code)[0]].name
        return f"{name}[{self.instances(name)[code]}]"

    def opened(self, folded: Folded) -> tuple[str, ...]:
        """The names of all that is open, outer groups before inner ones.

        >>> import torch, autograd_viz as av
        >>> model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(6)))
        >>> with av.record(model):
        ...     loss = model(torch.ones(1, 4)).sum()
        >>> folded = av.graph(loss, params=model).fold()
        >>> Names(folded.known).opened(folded.open("3"))
        ('Sequential', '3')
        """
        return tuple(self.name(code) for code in self.codes(folded))

    def codes(self, folded: Folded) -> list[int]:
        """What is open and can be closed: neither the whole graph, nor what repeats as a whole."""
        groups = self.known.groups
        found = []
        for code in folded.opened - {~0}:
            group = groups[~code] if code < 0 else groups[~self.known.around(code)[0]]
            if group.times > 1 if code >= 0 else group.times == 1:
                found.append(code)
        return sorted(found, key=lambda code: (len(self.known.around(code)), -code))

    def folded(self, base: Folded, names: Iterable[str]) -> Folded:
        """The base with just these groups open.

        Raises:
            ValueError, IndexError: as `Folded.open` does.
        """
        found = replace(base, opened=frozenset({~0}))
        for name in names:
            number = re.fullmatch(r"(.*)\[(-?\d+)\]", name)
            if number is None or name in self.known.names:
                found = found.open(name)
                continue
            codes = [*self.instances(number[1])]
            place = int(number[2])
            if -len(codes) <= place < len(codes):
                code = codes[place]
                found = replace(found, opened=found.opened | {code, *self.known.around(code)})
            else:
                found = found.open(number[1], index=place)  # which says what is wrong
        return found

    def choice(self, item: Item) -> Choice | None:
        """How the repetitions of an item are called; None where it does not repeat.

        Where their names have no pattern, they are numbered.
        """
        group = self.known.groups[item.group] if item.node < 0 else None
        if group is None or group.times == 1:
            return None
        codes = group.items[item.first : item.end]
        ends = [self.name(codes[0]), self.name(codes[-1])]
        first = re.fullmatch(r"(.*?)(\d+)(\D*)", ends[0])
        if first is not None:
            before, number, after = first[1], int(first[2]), first[3]
            pattern = Choice(before, after, number, number + len(codes) - 1)
            if ends[1] == f"{before}{pattern.last}{after}":
                return pattern
        begin = self.instances(group.name)[codes[0]]
        return Choice(f"{group.name}[", "]", begin, begin + len(codes) - 1)

    def listed(self) -> list[str]:
        """The names that a search field offers: groups from the outside in, then leaves."""
        groups = self.known.groups
        found: dict[str, None] = {}
        waiting = [*groups[0].items]
        for code in waiting:  # the list grows while it is iterated
            if code < 0:
                found[groups[~code].name] = None
                if len(waiting) < LISTED:
                    waiting += groups[~code].items
        found |= dict.fromkeys(self.known.outline.labels.values())
        return [*found][:LISTED]


def found(folded: Folded, words: str) -> tuple[str, list[int]] | None:
    """What a reader means: what is called so, or has these words in its name; then its codes.

    Of gradient functions, which are not unique by name, it is the one nearest to the output.

    >>> import torch, autograd_viz as av
    >>> loss = torch.nn.Linear(4, 4)(torch.ones(1, 4)).sum()
    >>> found(av.graph(loss).fold(), "addmm")
    ('AddmmBackward0', [1])
    """
    known, words = folded.known, words.strip().casefold()
    if not words:
        return None
    called = [name for name in known.names if name.casefold() == words]
    name = min(called or folded.find(words), key=len, default=None)
    if name is not None:
        return name, known.named(name)
    for node, function in enumerate(known.outline.names):
        if words in function.casefold():
            return function, [node]
    return None
