"""A folded graph as a picture: closed groups, single functions, and the gradients between them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from autograd_viz import functions_view, layout, svg, text
from autograd_viz.model import Edge, Slot
from autograd_viz.networks.clusters import call_of, clusters_of
from autograd_viz.networks.coarser import FAR, NEAREST, coarser, note
from autograd_viz.networks.folding import Folded
from autograd_viz.networks.known import Item
from autograd_viz.networks.scene import Flow
from autograd_viz.networks.strengths import MEANING, Scale, mark_of, scale_of
from autograd_viz.picture import MOST_FRAMES, Arrow, Box, Drawing, Mark, Picture, Style, strip
from autograd_viz.progress import progress
from autograd_viz.summaries import norm
from autograd_viz.typeset import Line, Run
from autograd_viz.typeset import math as letters

FAN = 8  # leaves drawn one by one of those that one function uses
LEGEND: dict[str, str] = {
    "group": "functions of one module, or that belong together",
    "stack": "repeats",
    "oval": "gradient function",
    "leaf": "leaf: adds the gradient to its .grad",
    "rect": "the gradient that goes along, with its norm",
    "empty": "not computed yet",
    "more": "left out",
    **MEANING,
}


def drawn(folded: Folded, style: Style, frame: int | str | None) -> Drawing:
    """Draw what is seen of a folded graph: all of it, one frame, or all frames."""
    folded, whole = _bounded(folded, style)
    if frame is None:
        return whole
    last = len(folded.scene.ranks)
    if folded.trace is None:
        raise ValueError(f"frame={frame!r}: a graph has no frames; write av.trace(...).fold()")
    if frame == "all":
        return strip(whole.title, _frames(folded, whole, last))
    if not isinstance(frame, int) or not 1 <= frame <= last:
        raise ValueError(f'frame={frame!r}: give a number from 1 to {last}, or "all"')
    return _frame(folded, frame, whole)


def bounded(folded: Folded, style: Style) -> Folded:
    """As much of it as can be laid out with the style's effort, with a note of what cannot."""
    return _bounded(folded, style)[0]


def _bounded(folded: Folded, style: Style) -> tuple[Folded, Picture]:
    """Of what is too large, some is tried, each time at most a third of the last."""
    effort = style.effort or layout.EFFORT
    part, most = folded, math.inf
    while True:
        arrows = 2 * len(part.scene.flows) + sum(map(len, part.scene.uses.values()))
        over = arrows / layout.longest(effort)  # above 1 no picture needs to be made to know it
        if over < 1 or not part.opened - {~0}:
            picture = _Builder(part).picture(style)
            cost = svg.cost(picture)
            if cost < most and svg.fits(picture):
                break
            most = min(most, cost / 3)
        smaller = coarser(part, max(1 - 1 / over, 1 / 3) if over else 1.0)
        if smaller is None:  # less cannot be drawn, and takes little
            style = replace(style, effort=max(effort, layout.EFFORT))
            picture = replace(picture, style=style)
            break
        part = smaller
    if part is folded:
        return folded, picture
    part = replace(part, notes=(*part.notes, note(folded, part, effort)))
    return part, _Builder(part).picture(style)


def _frames(folded: Folded, whole: Picture, last: int) -> list[Picture]:
    if last > MOST_FRAMES:
        groups = [folded.known.groups[~code] for code in folded.opened if code < -1]
        largest = max(groups, key=lambda group: group.size, default=None)
        closed = f", or fewer boxes: .close({largest.name!r})" if largest else ""
        raise ValueError(
            f'frame="all": there are {last:,} frames, and at most {MOST_FRAMES} are drawn at once; '
            f"draw one of them, frame=1 to {last}{closed}"
        )
    with progress("drawing the frames", last, "frames") as advance:
        frames = []
        for number in range(1, last + 1):
            frames.append(_frame(folded, number, whole))
            advance(1)
    return frames


def _frame(folded: Folded, number: int, whole: Picture) -> Picture:
    """One frame, with the legend of all of them, so that it has their size."""
    kinds = {*whole.legend, "empty"}
    legend = {kind: meaning for kind, meaning in LEGEND.items() if kind in kinds}
    return replace(_Builder(folded, number).picture(whole.style), legend=legend)


def ends(folded: Folded, style: Style) -> tuple[Picture, Picture]:
    """What is seen before the pass begins, and when it is over."""
    whole = _Builder(folded).picture(style)
    return (whole if folded.trace is None else _frame(folded, 0, whole)), whole


def titles(folded: Folded) -> dict[int, str]:
    """What each item is called, by position: as short as it is clear beside the others."""
    items, groups = folded.scene.items, folded.known.groups
    short = {position: _title(folded, item) for position, item in items.items()}
    often = Counter(name for position, name in short.items() if items[position].node < 0)
    unclear = {  # groups whose parts have the names of others
        groups[item.group].parent
        for position, item in items.items()
        if item.node < 0 and often[short[position]] > 1
    }
    return {
        position: _title(folded, items[position], full=True)
        if items[position].node < 0 and groups[items[position].group].parent in unclear
        else name
        for position, name in short.items()
    }


def _title(folded: Folded, item: Item, full: bool = False) -> str:
    groups = folded.known.groups
    if item.node >= 0:
        outline = folded.known.outline
        return text.clean(outline.labels.get(item.node) or outline.names[item.node])
    group = groups[item.group]
    outer = groups[group.parent]
    while outer.times > 1:
        outer = groups[outer.parent]
    prefix = f"{outer.name}."
    first = groups[~group.items[item.first]].name if group.items[item.first] < 0 else group.name
    if full or (group.name if group.times == 1 else first).removeprefix(prefix)[:1].isdigit():
        prefix = ""  # a bare number says too little
    if group.times == 1:
        return text.clean(group.name.removeprefix(prefix)) + call_of(folded, item.group)
    ends = [group.items[item.first], group.items[item.end - 1]]
    names = [groups[~end].name if end < 0 else "" for end in ends]
    name = names[0].removeprefix(prefix)
    if names[0] in (group.name, f"{group.name}.{item.first}"):
        begin, end = str(item.first), str(item.end - 1)
        name = group.name.removeprefix(prefix)
        if item.end - item.first == group.times and groups[~ends[0]].name == group.name:
            return text.clean(name)
        name = f"{name} {begin}" if names[0] == group.name else f"{name}.{begin}"
        return text.clean(name if begin == end else f"{name} … {end}")
    if not name:  # single functions, which have no names
        name = group.name.removeprefix(prefix)
        part = f" {item.first:,} … {item.end - 1:,}"
        return name if item.end - item.first == group.times else f"{name}{part}"
    return text.clean(name if ends[0] == ends[1] else f"{name} … {names[1].rpartition('.')[2]}")


class _Builder:
    """Makes the boxes and arrows; it only holds what all of them need."""

    def __init__(self, folded: Folded, frame: int | None = None) -> None:
        self.folded, self.graph, self.trace = folded, folded.graph, folded.trace
        self.known, self.scene = folded.known, folded.scene
        self.titles = titles(folded)
        ranks = self.scene.ranks
        self.frame = frame
        self.ran = {n for n in ranks if frame is None or ranks[n] < frame}
        self.now = next((n for n in ranks if ranks[n] + 1 == frame), None)
        blank = self.trace is not None and not all(map(text.has_numbers, self.trace.starts))
        self.none, self.nothing = ("no values",) * 2 if blank else ("None", "no gradient")
        self.sizes: list[float | None] = []  # of the gradients between items
        self.scale: Scale | None = None
        if self.trace is not None and not blank:
            flows = self.scene.flows
            self.sizes = [_together([self._norm(edge) for edge in flow.edges]) for flow in flows]
            self.scale = scale_of(self.sizes)
        self.drawn_flows = {*self.scene.flows} if FAR not in folded.hidden else self._nearest()

    def picture(self, style: Style) -> Picture:
        boxes: list[Box] = []
        arrows: list[Arrow] = []
        for position in reversed([*self.scene.items]):  # results first, as they stand above
            boxes.append(self._box(position))
        within: dict[str, Sequence[int]] = {box.id: (int(box.id[5:]),) for box in boxes}
        far: Counter[int] = Counter()
        for number, flow in enumerate(self.scene.flows):
            if flow not in self.drawn_flows:
                far[flow.source] += 1
                continue
            boxes.append(self._rectangle(flow, number))
            within[boxes[-1].id] = flow.source, flow.target
            marks, strength = self._look(flow, number)
            source, middle, target = f"item-{flow.source}", boxes[-1].id, f"item-{flow.target}"
            arrows.append(Arrow(source, middle, marks=marks, strength=strength))
            arrows.append(Arrow(middle, target, marks=marks, strength=strength))
        fans: Counter[int] = Counter()
        for leaf, positions in self.scene.uses.items():
            for use, position in enumerate(positions or [-1]):
                fans[position] += 1
                if fans[position] > FAN:
                    continue
                boxes.append(self._leaf(leaf, use, positions))
                within[boxes[-1].id] = positions
                if positions:
                    arrows.append(Arrow(f"item-{position}", boxes[-1].id))
        left_out = far + Counter({position: count - FAN for position, count in fans.items()})
        for position, count in left_out.items():  # those above zero
            boxes.append(Box(f"more-{position}", "more", ((Run(f"… {count:,} more"),),)))
            within[boxes[-1].id] = (position,)
            arrows.append(Arrow(f"item-{position}", boxes[-1].id))
        kinds: set[str] = {box.shape for box in boxes}
        kinds.update(*(box.marks for box in boxes), *(arrow.marks for arrow in arrows))
        if all("stack" in box.marks for box in boxes if box.shape == "group"):
            kinds.discard("group")
        title = functions_view.title(self.graph, self.trace, len(self.known.leaves))
        if self.frame is not None and self.now is not None:
            title += f"; step {self.frame} of {len(self.scene.ranks)}: {self.titles[self.now]}"
        notes = (*(self.trace.notes if self.trace else ()), *self.folded.notes, *self._absent())
        samples = self.scale.samples if self.scale else []
        return Picture(
            title=title,
            words="\n".join((title, *self._table(), *self._sizes_in_words(), *notes)),
            boxes=tuple(boxes),
            arrows=tuple(arrows),
            notes=notes,
            legend={kind: meaning for kind, meaning in LEGEND.items() if kind in kinds},
            clusters=clusters_of(self.folded, within),
            scale={f"norm {said}" if not size else said: size for said, size in samples},
            style=style,
        )

    def _nearest(self) -> set[Flow]:
        """Of each item the gradients that it sends to the nearest few."""
        sent: dict[int, list[Flow]] = defaultdict(list)
        for flow in self.scene.flows:
            sent[flow.source].append(flow)
        for flows in sent.values():
            flows.sort(key=lambda flow: abs(flow.source - flow.target))
        return {flow for flows in sent.values() for flow in flows[:NEAREST]}

    def _box(self, position: int) -> Box:
        item = self.scene.items[position]
        name, id = self.titles[position], f"item-{position}"
        marks: list[Mark] = ["lit"] if position == self.now else []
        if self.trace is not None and position not in self.ran:
            marks.append("empty")
        if item.node >= 0:
            outline = self.known.outline
            label = outline.labels.get(item.node)
            return Box(
                id,
                "oval",
                ((Run(text.clean(outline.names[item.node]), "code"),),),
                ((*letters(text.clean(label)),),) if label else None,
                marks=tuple(marks),
                data={"node": item.node},
            )
        group = self.known.groups[item.group]
        times = self.folded.times(item)
        kind = text.clean(self.folded.kind(group)) if group.kind != name else ""
        what = f"{kind} × {times:,}" if times > 1 else kind
        lower, reserve = [_counted(len(self.folded.functions(item)), "function")], []
        if position in self.scene.inside:
            leaves = self.scene.inside[position]
            if position in self.ran:
                marks += _alarm(_together([self._leaf_norm(leaf) for leaf in leaves]))
            lower += self._parameters(leaves, position in self.ran)
            reserve = [_lines((lower[0], *self._parameters(leaves, True)))]
        if times > 1:
            marks.append("stack")
        return Box(
            id,
            "group",
            ((Run(name, "code"),), *_lines([what] if what else [])),
            _lines(lower),
            reserve=tuple(reserve),
            marks=tuple(marks),
            data={"group": item.group},
        )

    def _parameters(self, leaves: Sequence[int], ran: bool) -> list[str]:
        numbers = sum(math.prod(self.graph.nodes[leaf].shape or ()) for leaf in leaves)
        told = [_counted(numbers, "parameter")]
        if self.trace is not None:
            norms = [self._leaf_norm(leaf) for leaf in leaves] if ran else []
            norm, none = _together(norms), self.nothing if ran else " "
            told.append(none if norm is None else f"‖grad‖ = {text.number(norm)}")
            for count, what in ((norms.count(None), "no gradient"), (norms.count(0.0), "only 0")):
                if 0 < count < len(norms):
                    told.append(f"{count:,} of {len(norms):,}: {what}")
        return told

    def _rectangle(self, flow: Flow, number: int) -> Box:
        outputs = [self.graph.nodes[edge.target].outputs for edge in flow.edges]
        shapes = {
            slots[edge.output_nr].shape
            for slots, edge in zip(outputs, flow.edges, strict=True)
            if len(slots) > edge.output_nr
        }
        shape = text.shape(shapes.pop()) if len(shapes) == 1 else ""
        lines = [shape] if shape else []
        if len(flow.edges) > 1:
            lines = [f"{len(flow.edges):,} gradients", *([f"of {shape}"] if shape else [])]
        marks: list[Mark] = []
        reserve: tuple[tuple[Line, ...], ...] = ()
        if self.trace is not None:
            norm = self.sizes[number] if self.sizes else None
            last = self.none if norm is None else f"norm {text.number(norm)}"
            if flow.source in self.ran:
                lines.append(last)
                marks += _alarm(norm)
            else:
                reserve = (_lines((*lines, last)),)
        if flow.source not in self.ran:
            marks.append("empty")
        look, strength = self._look(flow, number)
        return Box(
            f"flow-{number}",
            "rect",
            _lines(lines or [" "]),
            reserve=reserve,
            marks=(*marks, *(mark for mark in look if mark in ("absent", "zero"))),
            strength=strength,
        )

    def _look(self, flow: Flow, number: int) -> tuple[tuple[Mark, ...], float | None]:
        """The marks of a gradient's arrows, and its strength; what has not run has none yet."""
        marks: tuple[Mark, ...] = ("lit",) if flow.source == self.now else ()
        if not self.sizes or flow.source not in self.ran:
            return marks, None
        mark = mark_of(self.sizes[number])
        strength = self.scale.strength(self.sizes[number]) if self.scale else None
        return (*marks, mark) if mark else marks, strength

    def _sizes_in_words(self) -> Iterator[str]:
        """What the arrows' widths say, and which of them stand out."""
        if self.scale is not None:
            (low, _), *_, (high, _) = self.scale.samples
            yield (
                "The wider an arrow and the fuller its rectangle, the larger the norm: from "
                f"{low} to {high}, on a logarithmic scale."
            )
        found: dict[str, list[str]] = {mark: [] for mark in MEANING}
        for flow, size in zip(self.scene.flows, self.sizes, strict=False):
            if (mark := mark_of(size)) and flow.source in self.ran:
                found[mark].append(f"{self.titles[flow.source]} to {self.titles[flow.target]}")
        for kind, ends in found.items():
            if ends:
                yield f"{MEANING[kind]}: {text.joined(ends, most=4)}."

    def _absent(self) -> Iterator[str]:
        """The parameters that no function of the graph uses."""
        params = self.graph.modules.params if self.graph.modules else None
        if params is None:
            return
        named = params if isinstance(params, Mapping) else dict(params.named_parameters())
        labels = {*self.known.outline.labels.values()}
        absent = {name: each.requires_grad for name, each in named.items() if name not in labels}
        for trained, why in ((True, "not used"), (False, "frozen, requires_grad is False")):
            names = [text.clean(name) for name, wanted in absent.items() if wanted is trained]
            if names:
                yield f"Not in this graph ({why}): {text.joined(names, most=4)}."

    def _leaf(self, leaf: int, use: int, positions: Collection[int]) -> Box:
        node = self.graph.nodes[leaf]
        many = len(positions) > 1
        end = f": one of {len(positions)} uses" if many else ""
        lower = [text.shape(node.shape or ())]
        marks: list[Mark] = ["leaf"]
        reserve: tuple[tuple[Line, ...], ...] = ()
        if self.trace is not None:
            norm = self._leaf_norm(leaf)
            last = self.nothing if norm is None else f"‖grad‖ = {text.number(norm)}"
            reserve = (_lines((*lower, last)),)
            if self.ran.issuperset(positions):
                lower.append(last)
                marks += _alarm(norm)
        return Box(
            f"leaf-{leaf}-{use}",
            "oval",
            ((*letters(text.clean(node.label or "leaf")), Run(end)),),
            _lines(lower),
            reserve=reserve,
            marks=tuple(marks),
            data={"node": leaf},
        )

    def _leaf_norm(self, leaf: int) -> float | None:
        if leaf not in self.known.norms:
            arrived = self.trace.arrived(Slot(leaf, 0)) if self.trace else None
            self.known.norms[leaf] = norm(arrived)
        return self.known.norms[leaf]

    def _norm(self, edge: Edge) -> float | None:
        if edge not in self.known.norms:
            sent = self.trace.sent(edge) if self.trace else None
            self.known.norms[edge] = norm(sent)
        return self.known.norms[edge]

    def _table(self) -> list[str]:
        """The items in words, results first or, of a trace, in the order in which they ran."""
        rows = [["#", "name", "what", "functions", "parameters", "sends gradients to"]]
        sends: dict[int, list[str]] = {position: [] for position in self.scene.items}
        for number, flow in enumerate(self.scene.flows):
            sent = self.titles[flow.target]
            if self.trace is not None and flow.source in self.ran:
                size = self.sizes[number] if self.sizes else None
                sent = f"{self.none if size is None else text.number(size)} to {sent}"
            sends[flow.source].append(sent)
        for leaf, positions in self.scene.uses.items():
            for position in positions:
                sends[position].append(text.clean(self.graph.nodes[leaf].label or "leaf"))
        order = [*self.scene.items][::-1]
        last = len(order)
        order.sort(key=lambda position: self.scene.ranks.get(position, last))
        for number, position in enumerate(order, start=1):
            item = self.scene.items[position]
            group = self.known.groups[item.group] if item.node < 0 else None
            times = self.folded.times(item)
            kind = self.folded.kind(group) if group else self.known.outline.names[item.node]
            kind = text.clean(kind)
            rows.append(
                [
                    str(number),
                    self.titles[position],
                    f"{kind} × {times:,}".strip() if times > 1 else kind,
                    f"{len(self.folded.functions(item)):,}",
                    ", ".join(
                        self._parameters(self.scene.inside[position], position in self.ran)
                    ).rstrip(" ,")
                    if position in self.scene.inside
                    else "",
                    text.joined(sends[position]),
                ]
            )
        return text.table(rows)


def _together(norms: Sequence[float | None]) -> float | None:
    known = [each for each in norms if each is not None]
    if any(math.isnan(each) for each in known):  # hypot would say inf where there is one too
        return math.nan
    return math.hypot(*known) if known else None


def _alarm(norm: float | None) -> tuple[Mark, ...]:
    """Of what is NaN or infinite."""
    mark = mark_of(norm)
    return ("alarm", mark) if mark in ("nan", "inf") else ()


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _lines(texts: Sequence[str]) -> tuple[Line, ...]:
    return tuple((Run(each),) for each in texts)
