"""A folded graph as a picture: closed groups, single functions, and the gradients between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autograd_viz import text
from autograd_viz.model import Graph, Slot, Trace
from autograd_viz.networks.folding import (
    Flow,
    Item,
    Opened,
    flows,
    leaves_inside,
    places,
    shown_items,
)
from autograd_viz.networks.groups import Groups
from autograd_viz.picture import Arrow, Box, Picture, Style
from autograd_viz.typeset import Line, Run
from autograd_viz.typeset import math as letters

LEGEND = {
    "group": "a group of gradient functions; two edges: it repeats",
    "oval": "gradient function",
    "leaf": "leaf: adds the gradient to its .grad",
    "rect": "the gradient that goes along",
    "empty": "not computed yet",
}


def folded(
    graph: Graph,
    trace: Trace | None,
    groups: Groups,
    opened: Opened,
    title: str,
    style: Style,
) -> Picture:
    """Draw what is visible of a graph."""
    items = shown_items(groups, opened)
    place = places(groups, items)
    inside = leaves_inside(graph, items, place)
    between = flows(graph, items, place)
    boxes = [_box(graph, trace, groups, item, inside.get(n, ())) for n, item in enumerate(items)]
    arrows: list[Arrow] = []
    for number, flow in enumerate(between):
        boxes.append(_rectangle(graph, trace, flow, number))
        arrows.append(Arrow(_id(flow.source), f"flow-{number}"))
        arrows.append(Arrow(f"flow-{number}", _id(flow.target)))
    for leaf in graph.leaves:
        users = [place[edge.source] for edge in graph.in_edges[leaf.id] if edge.source in place]
        if leaf.id not in place and not any(leaf.id in leaves for leaves in inside.values()):
            for use, user in enumerate(dict.fromkeys(users)):
                boxes.append(_leaf(graph, trace, leaf.id, use, len(set(users))))
                arrows.append(Arrow(_id(items[user]), f"leaf-{leaf.id}-{use}"))
    kinds = {box.shape for box in boxes} | {mark for box in boxes for mark in box.marks}
    return Picture(
        title=title,
        words="\n".join((title, *_table(graph, trace, groups, items, inside, between))),
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        legend={kind: meaning for kind, meaning in LEGEND.items() if kind in kinds},
        style=style,
    )


def _id(item: Item) -> str:
    return f"node-{item.node}" if item.node >= 0 else f"group-{item.group}-{item.first}"


def name_of(graph: Graph, groups: Groups, item: Item) -> str:
    """What an item is called: a node by its function, a group by its module."""
    if item.node >= 0:
        return text.clean(graph.nodes[item.node].name)
    group = groups.all[item.group]
    if group.times == 1 or item.end - item.first == group.times:
        return group.name
    per = len(group.items) // group.times
    ends = [group.items[item.first * per], group.items[(item.end - 1) * per]]
    names = [groups.all[~end].name if end < 0 else f"{group.name}" for end in ends]
    return names[0] if names[0] == names[1] else " … ".join(names)


def _box(
    graph: Graph, trace: Trace | None, groups: Groups, item: Item, leaves: Sequence[int]
) -> Box:
    name = name_of(graph, groups, item)
    if item.node >= 0:
        node = graph.nodes[item.node]
        lower = [(*letters(text.clean(node.label)),)] if node.label else []
        return Box(
            _id(item),
            "oval",
            ((Run(name, "code"),),),
            tuple(lower) or None,
            data={"node": item.node},
        )
    group = groups.all[item.group]
    times = item.end - item.first
    size = group.size * times // group.times
    upper: list[Line] = [(Run(name, "code"),)]
    kind = f"{group.kind} " if group.kind and group.kind != name else ""
    upper.append((Run(f"{kind}×{times:,}" if times > 1 else kind.strip()),))
    lower_lines: list[Line] = [(Run(f"{size:,} function{'s' * (size != 1)}"),)]
    if leaves:
        lower_lines.append((Run(_parameters(graph, trace, leaves)),))
    return Box(
        _id(item),
        "group",
        tuple(line for line in upper if plain_text(line)),
        tuple(lower_lines),
        marks=(),
        data={"group": item.group},
    )


def plain_text(line: Line) -> str:
    """The text of a line of runs."""
    return "".join(part.text for part in line if isinstance(part, Run))


def _parameters(graph: Graph, trace: Trace | None, leaves: Sequence[int]) -> str:
    count = sum(math.prod(graph.nodes[leaf].shape or ()) for leaf in leaves)
    told = f"{count:,} parameter{'s' * (count != 1)}"
    if trace is None:
        return told
    norms = [norm_of(trace.arrived(Slot(leaf, 0))) for leaf in leaves]
    known = [norm for norm in norms if norm is not None]
    if not known:
        return f"{told}: no gradient"
    return f"{told}, ‖grad‖ = {text.number(math.hypot(*known))}"


def norm_of(tensor: object) -> float | None:
    """The Euclidean norm of a gradient; None where there is none."""
    if tensor is None or getattr(tensor, "is_meta", False):
        return None
    return float(tensor.detach().float().norm())  # type: ignore[attr-defined]


def _rectangle(graph: Graph, trace: Trace | None, flow: Flow, number: int) -> Box:
    outputs = [graph.nodes[edge.target].outputs[edge.output_nr] for edge in flow.edges]
    shapes = list(dict.fromkeys(output.shape for output in outputs))
    lines: list[Line] = [(Run(text.shape(shapes[0]) or "1 number"),)]
    if len(flow.edges) > 1:
        lines = [(Run(f"{len(flow.edges):,} gradients"),)]
        if len(shapes) == 1 and shapes[0]:
            lines.append((Run(f"of {text.shape(shapes[0])}"),))
    marks = ["empty"] if trace is None else []
    if trace is not None:
        norms = [norm for edge in flow.edges if (norm := norm_of(trace.sent(edge))) is not None]
        lines.append((Run(f"norm {text.number(math.hypot(*norms))}" if norms else "none"),))
        if norms and not math.isfinite(sum(norms)):
            marks.append("alarm")
    return Box(f"flow-{number}", "rect", tuple(lines), marks=tuple(marks))  # type: ignore[arg-type]


def _leaf(graph: Graph, trace: Trace | None, leaf: int, use: int, uses: int) -> Box:
    node = graph.nodes[leaf]
    name = (*letters(text.clean(node.label or "leaf")),)
    upper: Line = (*name, Run(f": one of {uses} uses")) if uses > 1 else name
    lower: list[Line] = [(Run(text.shape(node.shape or ()) or "1 number"),)]
    if trace is not None:
        norm = norm_of(trace.arrived(Slot(leaf, 0)))
        lower.append((Run("no gradient" if norm is None else f"‖grad‖ = {text.number(norm)}"),))
    return Box(
        f"leaf-{leaf}-{use}", "oval", (upper,), tuple(lower), marks=("leaf",), data={"node": leaf}
    )


def _table(
    graph: Graph,
    trace: Trace | None,
    groups: Groups,
    items: Sequence[Item],
    inside: Mapping[int, Sequence[int]],
    between: Sequence[Flow],
) -> list[str]:
    rows = [["", "class", "times", "functions", "parameters", "sends gradients to"]]
    sends: dict[Item, list[str]] = {}
    for flow in between:
        sends.setdefault(flow.source, []).append(name_of(graph, groups, flow.target))
    for number, item in reversed(list(enumerate(items))):
        group = groups.all[item.group] if item.node < 0 else None
        times = item.end - item.first if group else 1
        rows.append(
            [
                name_of(graph, groups, item),
                group.kind if group else "",
                str(times) if times > 1 else "",
                f"{group.size * times // group.times:,}" if group else "1",
                _parameters(graph, trace, inside[number]) if number in inside else "",
                text.joined(sends.get(item, [])),
            ]
        )
    return text.table(rows)
