"""PyTorch's own graph as a picture: ovals are gradient functions, rectangles what they output."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.model import Edge, Graph, Node, Slot, Trace
from autograd_viz.picture import Arrow, Box, Mark, Picture, Style
from autograd_viz.transforms import unknown_values
from autograd_viz.typeset import Line, Run, math, plain

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 40  # nodes drawn one by one; a person cannot read more at once
FAN = 8  # edges drawn from one node, for the same reason
SHARED_LEAVES = 30  # nodes up to which a leaf is drawn once; layouts of shared leaves explode

_NOTES = {  # by a regular expression for the function's name
    "^CompiledFunction": "torch.compile made one function of many; what happens inside is not in "
    "autograd's graph.",
    "^CopySlices": "an in-place operation wrote into a view of a larger tensor.",
    "^AsStrided": "a view given by its strides; autograd puts it here itself where the view's base "
    "was changed in place.",
    "^CheckpointFunction": "the forward pass inside is run again when its gradients are computed. "
    "Parameters inside are not in this graph; their gradients come from a pass of their own.",
    "^Error$": "a function that cannot be differentiated again, as one with @once_differentiable.",
    "^BackwardHookFunction": "put here for a module's backward hook; the gradient goes on as the "
    "hook leaves it.",
    "BackwardBackward": "the backward of a backward function; with create_graph=True a backward "
    "pass is recorded too.",
    "^ToCopy": "converts to another dtype or device, as autocast does; its gradient is converted "
    "back.",
    "^AliasBackward": "the same values as another tensor object; subclasses of Tensor and "
    "torch.func make them.",
    "^(Mkldnn|Cudnn|Miopen)Rnn": "one function for all time steps of a layer.",
    "^ScaledDotProduct": "one function for softmax(q @ k.T) @ v, attention.",
    "^FakeQuantize": "rounds forward; backward the gradient goes through as if it did not, where "
    "the value is in range.",
    "^BroadcastBackward": "DataParallel's copies of a tensor on several devices; their gradients "
    "are added up.",
    "^_DDPSink": "put here by DistributedDataParallel, which averages the gradients of all "
    "processes afterwards; these are this process's own.",
}
_LEGEND = {
    "oval": "gradient function",
    "leaf": "leaf: adds the gradient to its .grad",
    "rect": "a gradient that the function outputs",
    "empty": "not computed yet",
    "none": "no gradient reached it",
    "alarm": "NaN or inf",
    "more": "left out",
}


def functions(
    graph: Graph, trace: Trace | None = None, *, limit: int = LIMIT, style: Style | None = None
) -> Picture:
    """Draw a graph, with the gradients of a trace if there is one; at most `limit` of its nodes."""
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"limit={limit!r}: give the number of nodes to draw, at least 1")
    edges = _drawn_edges(graph, limit)
    ids = dict.fromkeys(slot.node for slot in graph.outputs[:limit])
    drawn = [graph.nodes[node] for node in sorted({*ids, *(edge.target for edge in edges)})]
    boxes, arrows = _Builder(graph, trace, drawn, edges).boxes_and_arrows()
    hidden = len(graph.nodes) - len(drawn)
    notes = list(_surprises(drawn, trace))
    notes += unknown_values(graph)
    notes += trace.notes if trace is not None else ()
    if hidden:
        notes.append(
            f"{hidden:,} of {len(graph.nodes):,} nodes are left out; "
            f"picture(limit={2 * limit}) draws more."
        )
    return Picture(
        title=title(graph, trace),
        words="\n".join([title(graph, trace), *_table(graph, trace, drawn), *notes]),
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        notes=tuple(notes),
        legend=_legend(boxes, trace),
        style=style or Style(),
    )


def _surprises(drawn: Sequence[Node], trace: Trace | None) -> Iterator[str]:
    """What a reader who knows the program may wonder about, in sentences."""
    for name in dict.fromkeys(node.name for node in drawn):
        yield from (f"{name}: {note}" for kind, note in _NOTES.items() if re.search(kind, name))
    if any(output.device == "meta" for node in drawn for output in node.outputs):
        yield "meta: tensors on this device have a shape and a dtype, but no values."
    grads = (grad for step in (trace.steps if trace else ()) for grad in step.grad_inputs)
    if any(grad is not None and grad.is_sparse for grad in grads):
        yield "sparse: a gradient that holds only the rows that were used; all others are 0."


def title(graph: Graph, trace: Trace | None = None, leaves: int | None = None) -> str:
    """`Backward pass from e: 5 gradient functions, 2 leaves`."""
    names = [
        output.label
        for node, output_nr in graph.outputs[:4]
        for output in graph.nodes[node].outputs[output_nr : output_nr + 1]
    ]
    what = ", ".join(text.clean(name) for name in names if name)
    begin = "Backward pass" if trace else "Autograd graph"
    link = ("from" if trace else "of") + " " + what if what else ""
    leaves = len(graph.leaves) if leaves is None else leaves  # to count them takes long
    functions = len(graph.nodes) - leaves
    return (
        f"{begin} {link}".rstrip() + f": {functions:,} gradient function{'s' * (functions != 1)}, "
        f"{leaves:,} lea{'f' if leaves == 1 else 'ves'}"
    )


def _drawn_edges(graph: Graph, limit: int) -> list[Edge]:
    """Edges to draw: those nearest to the outputs, until they lead to `limit` nodes."""
    reached = dict.fromkeys(slot.node for slot in graph.outputs[:limit])
    edges: list[Edge] = []
    fan = max(FAN, FAN * limit // LIMIT)  # a larger limit draws more of a wide graph too
    for node in (nodes := list(reached)):  # the list grows while it is iterated
        for edge in graph.out_edges[node][:fan]:
            if edge.target not in reached:
                if len(reached) == limit:
                    continue
                reached[edge.target] = None
                nodes.append(edge.target)
            edges.append(edge)
    return edges


class _Builder:
    """Makes the boxes and arrows; it only holds what all of them need."""

    def __init__(
        self, graph: Graph, trace: Trace | None, drawn: list[Node], edges: list[Edge]
    ) -> None:
        self.graph, self.trace, self.drawn = graph, trace, drawn
        self.leaf_per_use = len(drawn) > SHARED_LEAVES
        self.edges: dict[int, list[Edge]] = defaultdict(list)
        for edge in edges:
            self.edges[edge.source].append(edge)
        self.number = {edge: number for number, edge in enumerate(edges)}

    def boxes_and_arrows(self) -> tuple[list[Box], list[Arrow]]:
        boxes, arrows = list(self._starts()), []
        arrows += [Arrow(box.id, f"node-{box.data['node']}") for box in boxes]
        used = {edge.target for edge in self.number}
        for node in self.drawn:
            name = f"node-{node.id}"
            if node.kind == "function" or not self.leaf_per_use or node.id not in used:
                boxes.append(self._oval(node, name))
            for edge in self.edges[node.id]:
                number, target = self.number[edge], self.graph.nodes[edge.target]
                end = f"node-{target.id}"
                if self.leaf_per_use and target.kind == "accumulate":
                    end += f"-use-{number}"
                    boxes.append(self._oval(target, end))
                boxes.append(self._rectangle(edge, number))
                arrows += [Arrow(name, f"edge-{number}"), Arrow(f"edge-{number}", end)]
            cut = len(self.graph.out_edges[node.id]) - len(self.edges[node.id])
            if cut:
                boxes.append(Box(f"more-{node.id}", "more", ((Run(f"… {cut:,} more"),),)))
                arrows.append(Arrow(name, f"more-{node.id}"))
        return boxes, arrows

    def _starts(self) -> Iterator[Box]:
        for number, slot in enumerate(self.graph.outputs):
            if self.trace is not None and any(node.id == slot.node for node in self.drawn):
                grad = self.trace.starts[number]
                data = {"node": slot.node}
                yield Box(f"start-{number}", "rect", _values(grad), marks=_alarm(grad), data=data)

    def _oval(self, node: Node, id: str) -> Box:
        upper: list[Line] = [(Run(text.clean(node.name), "code"),)]
        lower: list[Line] = []
        marks: list[Mark] = []
        if node.kind == "accumulate":
            marks.append("leaf")
            lower += self._leaf_lines(node, one_use=id != f"node-{node.id}")
        else:
            lower += _named_outputs(self.graph, node)
        if self.trace is not None:
            step = self.trace.step_of.get(node.id)
            arrivals = () if step is None else self.trace.steps[step].grad_outputs
            if all(grad is None for grad in arrivals):
                marks.append("empty")
            for number, arrived in enumerate(arrivals):
                if node.kind == "accumulate":
                    marks += _alarm(arrived)
                before = self.trace.before_hooks(Slot(node.id, number))
                if before is not None:
                    lower.append((Run(f"a hook made {_brief(arrived)} of {_brief(before)}"),))
        return Box(
            id,
            "oval",
            tuple(upper),
            tuple(lower) or None,
            marks=tuple(marks),
            data={"node": node.id},
        )

    def _leaf_lines(self, node: Node, one_use: bool) -> list[Line]:
        name = text.clean(node.label or "leaf")
        if one_use:
            uses = len(self.graph.in_edges[node.id])
            return [(*math(name), Run(f": one of {uses} uses" if uses > 1 else ""))]
        if self.trace is None:
            value = self.graph.values.get(Slot(node.id, 0))
            return [named_value(name, value, node.shape or ())]
        grad = self.trace.arrived(Slot(node.id, 0))
        if grad is None:
            return [(*math(name), Run(".grad: nothing arrives"))]
        first, *rest = text.summary(grad)
        return [(*math(name), Run(f".grad += {first}")), *((Run(line),) for line in rest)]

    def _rectangle(self, edge: Edge, number: int) -> Box:
        data = {"edge": number, "source": edge.source, "target": edge.target}
        if self.trace is None:
            return Box(f"edge-{number}", "rect", ((Run("  "),),), marks=("empty",), data=data)
        if edge.source not in self.trace.step_of:
            return Box(
                f"edge-{number}", "rect", ((Run("not reached"),),), marks=("empty",), data=data
            )
        sent = self.trace.sent(edge)
        marks: tuple[Mark, ...] = ("empty",) if sent is None else _alarm(sent)
        return Box(f"edge-{number}", "rect", _values(sent), marks=marks, data=data)


def _named_outputs(graph: Graph, node: Node) -> list[Line]:
    """`p = 0, q = 1`: on one line as long as it is short."""
    lines = [
        named_value(output.label, graph.values.get(Slot(node.id, number)), output.shape)
        for number, output in enumerate(node.outputs)
        if output.label
    ]
    if sum(len(run.text) for line in lines for run in line if isinstance(run, Run)) > 40:
        return lines
    joined = [part for line in lines for part in (Run(", "), *line)][1:]
    return [tuple(joined)] if joined else []


def _values(tensor: Tensor | None) -> tuple[Line, ...]:
    return tuple((Run(line),) for line in (["None"] if tensor is None else text.summary(tensor)))


def _alarm(tensor: Tensor | None) -> tuple[Mark, ...]:
    return ("alarm",) if tensor is not None and text.trouble(tensor) else ()


def named_value(name: str, value: Tensor | None, size: tuple[int, ...]) -> Line:
    """`c = 6`; with the shape alone where the value is large or not known."""
    shown = (*math(text.clean(name)),)
    if value is not None:
        return (*shown, Run(f" = {text.summary(value)[0]}"))
    return (*shown, Run(f": {text.shape(size)}")) if size else shown


def _legend(boxes: list[Box], trace: Trace | None) -> dict[str, str]:
    kinds: set[str] = {box.shape for box in boxes} | {mark for box in boxes for mark in box.marks}
    if trace is not None and "empty" in kinds:
        kinds.add("none")
        kinds.discard("empty")
    if all(box.shape != "rect" or "empty" in box.marks for box in boxes):
        kinds.discard("rect")
    return {kind: meaning for kind, meaning in _LEGEND.items() if kind in kinds}


def _table(graph: Graph, trace: Trace | None, drawn: list[Node]) -> list[str]:
    """The drawn nodes in words, in the order of the walk or, of a trace, of its steps."""
    if trace is None:
        rows = [["#", "function", "computes", "sends gradients to"]]
        for node in drawn:
            targets = [_short(graph, edge) for edge in graph.out_edges[node.id]]
            rows.append(
                [str(node.id), text.clean(node.name), _computes(graph, node), text.joined(targets)]
            )
        return text.table(rows)
    rows = [["step", "#", "function", "of", "receives", "sends"]]
    last = len(trace.steps)
    for node in sorted(drawn, key=lambda node: trace.step_of.get(node.id, last)):
        position = trace.step_of.get(node.id)
        begin = ["-" if position is None else str(position + 1), str(node.id)]
        begin += [text.clean(node.name), text.clean(node.label or "")]
        if position is None:
            rows.append([*begin, "not reached", ""])
            continue
        step = trace.steps[position]
        receives = text.joined([_brief(grad) for grad in step.grad_outputs], "; ")
        if len(step.contributions) > 1:
            receives = f"{text.joined([*map(_brief, step.contributions)], ' + ')} = {receives}"
        sends = [
            f"{_brief(step.grad_inputs[edge.input_index])} to {_short(graph, edge)}"
            for edge in graph.out_edges[step.node]
        ]
        rows.append([*begin, receives, text.joined(sends)])
    return text.table(rows)


def _brief(tensor: Tensor | None) -> str:
    return "None" if tensor is None else ", ".join(text.summary(tensor))


def _short(graph: Graph, edge: Edge) -> str:
    """What an edge leads to, by name or else by number."""
    target = graph.nodes[edge.target]
    label = target.label if len(target.outputs) <= 1 else target.outputs[edge.output_nr].label
    return text.clean(label) if label else f"#{target.id}"


def _computes(graph: Graph, node: Node) -> str:
    named = [
        named_value(output.label or "leaf", graph.values.get(Slot(node.id, number)), output.shape)
        for number, output in enumerate(node.outputs)
        if output.label or node.kind == "accumulate"
    ]
    return text.joined([plain(line) for line in named])
