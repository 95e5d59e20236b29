"""Less of a folded graph than was asked for, where all of it cannot be laid out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from autograd_viz import layout, text
from autograd_viz.networks.clusters import name_of

if TYPE_CHECKING:
    from autograd_viz.networks.folding import Folded

FAR = "far"  # hidden: gradients that an item sends elsewhere than to the nearest few
NEAREST = 3


def coarser(folded: Folded, share: float) -> Folded | None:
    """With the largest of the innermost opened groups closed, until a share of the boxes is gone.

    If none is open, without leaves, and then without far gradients. None if that is so already.
    """
    known, closable = folded.known, folded.opened - {~0}
    if not closable:
        for each in ("leaves", FAR):
            if each not in folded.hidden:
                return replace(folded, hidden=folded.hidden | {each})
        return None
    outer = {each for code in closable for each in known.around(code)}
    seen = Counter(dict.fromkeys(closable - outer, 0))  # boxes that stand inside
    for item in folded.scene.items.values():
        code = item.node if item.node >= 0 else ~item.group
        seen.update(each for each in (code, *known.around(code)) if each in seen)
    left, closed = len(folded.scene.items) * share, set()
    for code, count in sorted(seen.items(), key=lambda entry: (-entry[1], entry[0])):
        if left > 0:
            closed.add(code)
            left -= count
    return replace(folded, opened=folded.opened - closed)


def note(asked: Folded, drawn: Folded, effort: int) -> str:
    """What was left out, and the line that draws more."""
    known, closed = asked.known, asked.opened - drawn.opened
    names = [
        name_of(asked, ~code)
        if code < 0
        else text.clean(known.outline.labels.get(code) or known.outline.names[code])
        for code in sorted(closed, reverse=True)
        if not closed.intersection(known.around(code))
    ]
    done = []
    if names:
        done.append(f"closed again: {text.joined(names, most=3)}")
    hidden = drawn.hidden - asked.hidden
    if "leaves" in hidden:
        done.append("leaves are hidden")
    if FAR in hidden:
        done.append(f"of each box only the {NEAREST} gradients to the nearest are drawn")
    return (
        f"All of it would take too long to lay out; {'; '.join(done)}. "
        f"picture(effort={layout.more(effort):_}) tries longer."
    )
