"""In which frame of a drawing by variable each of its parts first appears."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from autograd_viz import layout
from autograd_viz.model import Link, Variable, Variables

LIMIT = 60  # variables that are drawn; a person cannot read more at once

# The keys are a variable's id, or (a link's position, 0 for its first half and 1 for the other).
Appearances = Mapping[Hashable, int]


def drawn(shown: Variables) -> tuple[tuple[Variable, ...], tuple[Link, ...]]:
    """The variables that are drawn, and the links between them: those nearest to the output.

    No more than can be laid out: where each is made from all before it, that is about twenty.
    """
    count = min(LIMIT, len(shown.nodes))
    while True:
        nodes = shown.nodes[-count:]
        first = nodes[0].id
        links = [link for link in shown.links if link.target >= first and link.source >= first]
        if len(links) < count or _fits(nodes, links):
            return nodes, tuple(links)
        count -= 1 + count // 10


def _fits(nodes: Sequence[Variable], links: Sequence[Link]) -> bool:
    """Whether the view with most boxes, one for each link, can be laid out."""
    boxes = [f"{node.id}" for node in nodes]
    arrows = []
    for number, link in enumerate(links):
        boxes.append(f"link {number}")
        arrows += [(f"{link.source}", boxes[-1]), (boxes[-1], f"{link.target}")]
    return layout.estimate(boxes, arrows) < layout.EFFORT


def forward(nodes: Sequence[Variable], links: Sequence[Link]) -> Appearances:
    """The inputs first, then one computed variable a frame."""
    computed = {link.source for link in links}
    appears: dict[Hashable, int] = {}
    frame = 1
    for variable in nodes:
        given = variable.id not in computed
        frame += not given
        appears[variable.id] = 1 if given else frame
    return appears


def backward(nodes: Sequence[Variable], links: Sequence[Link]) -> Appearances:
    """Wave by wave: arrows into the rectangles, then on into the ovals; the leaves one by one.

    The leaves come last and from the last to the first, as on the lecture's slides.
    """
    into: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        into[link.target].append(link)
    reached = [variable for variable in nodes if variable.node is not None]
    inner = [variable for variable in reached if not variable.is_leaf]
    wave: dict[int, int] = {}
    for variable in reversed(inner):  # results before what they are made from
        wave[variable.id] = 1 + max(
            (wave[link.source] for link in into[variable.id] if link.source in wave),
            default=-1,
        )
    groups: dict[int, list[int]] = defaultdict(list)
    for variable in inner:
        groups[wave[variable.id]].append(variable.id)
    order = [groups[number] for number in sorted(groups)]
    order += [[variable.id] for variable in reversed(reached) if variable.is_leaf]
    number = {link: position for position, link in enumerate(links)}
    appears: dict[Hashable, int] = {variable.id: 1 for variable in nodes if variable.node is None}
    frame = -1
    for group in order:
        frame += 2
        for target in group:
            appears[target] = frame
            for link in into[target]:
                appears[number[link], 0], appears[number[link], 1] = frame - 1, frame
    return appears
