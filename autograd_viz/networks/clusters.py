"""The frames around opened groups: which boxes stand in which of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.picture import Cluster
from autograd_viz.typeset import Run

if TYPE_CHECKING:
    from autograd_viz.networks.folding import Folded


def clusters_of(folded: Folded, boxes: Mapping[str, Sequence[int]]) -> tuple[Cluster, ...]:
    """The frames, outer ones first.

    Args:
        folded: what is seen.
        boxes: for each box's id the positions of the items that it belongs to. It stands in the
            innermost group that has all of them inside.
    """
    if folded.opened <= {~0}:
        return ()
    around = {position: _opened_around(folded, position) for position in folded.scene.items}
    inside: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for box, positions in boxes.items():
        chains = [around[position] for position in positions] or [()]
        levels = takewhile(lambda level: len(set(level)) == 1, zip(*chains, strict=False))
        inside[tuple(level[0] for level in levels)].append(box)
    seen = {chain[: end + 1] for chain in around.values() for end in range(len(chain))}
    order = {chain: number for number, chain in enumerate(sorted(seen))}  # outer ones come first
    return tuple(
        Cluster(
            _title(folded, chain[-1]),
            tuple(inside[chain]),
            order.get(chain[:-1]),
            {"group": chain[-1]},
        )
        for chain in order
    )


def call_of(folded: Folded, number: int) -> str:
    """`, call 2 of 3` for the group of a module that was called several times."""
    groups = folded.known.groups
    calls = [
        ~code
        for code in folded.known.names.get(groups[number].name, ())
        if code < 0 and groups[~code].times == 1
    ]
    if len(calls) < 2 or number not in calls:
        return ""
    return f", call {calls.index(number) + 1:,} of {len(calls):,}"


def _opened_around(folded: Folded, position: int) -> tuple[int, ...]:
    """The opened groups around an item, from the outside in; a repetition as a whole is none."""
    item, groups = folded.scene.items[position], folded.known.groups
    code = item.node if item.node >= 0 else ~item.group
    outer = [~each for each in folded.known.around(code) if each != ~0]
    return tuple(each for each in reversed(outer) if groups[each].times == 1)


def name_of(folded: Folded, number: int) -> str:
    """The name of a group: of a module that was called several times with the call."""
    group, groups = folded.known.groups[number], folded.known.groups
    outer = groups[group.parent]
    if outer.times > 1 and outer.name == group.name:
        return f"{text.clean(group.name)} {outer.items.index(~number)}"
    return text.clean(group.name) + call_of(folded, number)


def _title(folded: Folded, number: int) -> tuple[Run, ...]:
    group = folded.known.groups[number]
    kind = folded.kind(group) if group.kind != group.name else ""
    shown = Run(name_of(folded, number), "code")
    return shown, *((Run(f"  {text.clean(kind)}"),) if kind else ())
