"""What stands beside the live pictures: chain-rule lines, paths, what is known of each box."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from autograd_viz import frames, svg, text
from autograd_viz.formulas import calculus, hooks, notation, slopes
from autograd_viz.formulas.recipes import is_to_constant
from autograd_viz.model import Edge, Link, Node, Slot, Variable, Variables
from autograd_viz.names import is_tensor
from autograd_viz.nodes import walk_of
from autograd_viz.operators.table import operation
from autograd_viz.pathwise import search
from autograd_viz.pathwise.ends import title as slot_title
from autograd_viz.picture import Formula
from autograd_viz.saved import HOOKED, saved_by
from autograd_viz.typeset import Line, Run, derivative, plain
from autograd_viz.variables_view import MOST_STEPS
from autograd_viz.widgets.live_lines import LiveLines, definition, title
from autograd_viz.widgets.live_numbers import Atom, Pattern, one, summary

Json = dict[str, Any]
MOST_PATHS = 12  # that are written out for a leaf
MOST_LEAVES = 12  # whose paths are
MOST_SUMMANDS = 4  # of a sum that are written out
MOST_FACTORS = 7  # of a product
MOST_SAVED = 4  # values that one operation saved


# The chain rule


def rules(lines: LiveLines) -> dict[int, tuple[str, ...]]:
    """For each frame of the backward view its chain-rule lines, each an <svg>.

    A frame in which gradients arrive has their chain rule, one whose arrows lead into rectangles
    has the local derivatives.
    """
    shown = lines.shown
    nodes, links = frames.drawn(shown)
    appears = frames.backward(nodes, links)
    found: dict[int, list[Line]] = defaultdict(list)
    root = shown.root
    if root.node is not None and appears.get(root.id) == 1:
        found[1].append(_start(lines, root))
    for number, link in enumerate(links):
        if not is_to_constant(shown, link):
            found[appears[number, 1]].append(_chain(lines, number, link))
            slope = slopes.local_line(shown, link)
            if slope is not None:
                pattern = one("local", lines.at(link), "number")
                found[appears[number, 0]].append(lines.slope(slope, f"link-{number}", pattern))
    return {
        frame: tuple(svg.live(Formula(line)) for line in _few(each))
        for frame, each in found.items()
    }


def _few(lines: list[Line]) -> list[Line]:
    if len(lines) <= MOST_STEPS:
        return lines
    return [*lines[:MOST_STEPS], (Run(f"… {len(lines) - MOST_STEPS} more"),)]


def _start(lines: LiveLines, root: Variable) -> Line:
    """∂e/∂e = 1, where the backward pass begins."""
    begin = (*notation.gradient_symbol(lines.shown, root), Run(" = "))
    start = lines.trace.starts[0]
    return (*begin, lines.texts.numeral("rule start", summary("start", 0, start)[0]))


def _chain(lines: LiveLines, number: int, link: Link) -> Line:
    """∂e/∂a += ∂e/∂c · ∂c/∂a = 2 · 1 = 2, or the vector-Jacobian product and what it gives."""
    line = calculus.line(lines.shown, link)
    at = lines.at(link)
    source = lines.shown.nodes[link.source]
    patterns = []
    computed = hooks.computed(lines.shown, link)
    kind = "contribution" if computed is link.contribution else "computed"
    if computed is not None and source.node is not None:
        if link.local is not None:
            parts = (
                Atom("gradient", Slot(source.node, 0), "number"),
                Atom("local", at, "factor"),
                Atom(kind, at, "number"),
            )
            patterns.append(Pattern("%s * %s = %s", parts))
        patterns.append(summary(kind, at, computed)[0])
    for pattern in patterns:
        before = lines.texts.before(line, pattern)
        if before is not None and plain(before).endswith(" = "):
            line = (*before, lines.texts.numeral(f"rule {number}", pattern))
            break
    changed = hooks.along(lines.shown, link)
    said = {hooks.made(lines.trace, place): place for place in reversed(changed)}
    for which, place in enumerate(reversed(said.values())):
        numeral = lines.texts.numeral(f"rule {number} hook {which}", one("hook", place))
        line = (*line, Run("; "), numeral)
    return line


# Paths


def paths(lines: LiveLines) -> list[Json]:
    """The paths from the output to each leaf, with {key} for the products and their sum.

    They stand in the program's order, whatever is the largest at the moment; of many only the
    first are listed.
    """
    shown = lines.shown
    if shown.trace is None or len(shown.graph.outputs) != 1:
        return []
    leaves = [one for one in frames.drawn(shown)[0] if one.is_leaf and one.node is not None]
    order = search.inputs_first(shown.graph)
    return [_group(lines, leaf, order) for leaf in leaves[:MOST_LEAVES]]


def _group(lines: LiveLines, leaf: Variable, order: list[int]) -> Json:
    shown, texts = lines.shown, lines.texts
    assert leaf.node is not None
    graph, goal = shown.graph, Slot(leaf.node, 0)
    start = graph.outputs[0]
    found = search.found(graph, order, start, goal)
    routes = search.listed(order, found, start, goal, MOST_PATHS)
    written: list[tuple[str, Pattern]] = [_path(lines, route, goal) for route in routes]
    rows = []
    for number, (begin, pattern) in enumerate(written, start=1):
        key = texts.key(f"path {number} to {leaf.id}", pattern) if pattern.atoms else ""
        rows.append(f"{begin}: {{{key}}}" if key else begin)
    if found.count > len(routes):
        more = found.count - len(routes)
        rows.append(f"… and {more:,} more" if more < 10**9 else "… and very many more")
    arrived = lines.trace.arrived(goal)
    symbol = plain(notation.gradient_symbol(shown, leaf))
    if arrived is None:
        total = f"{symbol}: nothing arrives"
    elif len(routes) == found.count and all(pattern.atoms for _, pattern in written):
        total = f"{symbol} = {{{texts.key(f'paths to {leaf.id}', _sum(goal, routes))}}}"
    else:
        gradient = summary("gradient", goal, arrived)[0]
        total = f"{symbol} = {{{texts.key(f'paths to {leaf.id}', gradient)}}}"
    return {"title": f"to {title(leaf)}", "rows": rows, "sum": total}


def _path(lines: LiveLines, route: search.Route, goal: Slot) -> tuple[str, Pattern]:
    """`e → c → a`, and the pattern of `1 · 2 · 1 = 2`; without atoms where it has no numbers."""
    shown = lines.shown
    owner = {one.node: one for one in shown.nodes if one.node is not None}
    hops: list[search.Route] = []
    begin = 0
    for place, edge in enumerate(route, start=1):
        if edge.target in owner:
            hops.append(route[begin:place])
            begin = place
    first = shown.graph.outputs[0]
    names = [slot_title(shown, first)]
    source = owner[first.node]
    slopes_on_way = []
    for hop in hops:
        slot = Slot(hop[-1].target, hop[-1].output_nr)
        way = search.way(shown.graph, source.members, hop)
        which = f" (way {way[0]} of {way[1]})" if way is not None and way[1] > 1 else ""
        names.append(slot_title(shown, slot) + which)
        target = owner[slot.node]
        alone = way is not None and way[1] == 1
        at = lines.position[source.id, target.id]
        slopes_on_way.append(Atom("local", at, "factor") if alone else Atom("slope", hop, "factor"))
        source = target
    said = " → ".join(_abridged(names))
    if not all(_is_number(shown, edge) for edge in route) or lines.trace.starts[0].numel() != 1:
        return said, Pattern("", ())
    factors = [Atom("start", 0, "factor"), *slopes_on_way]
    kept = _abridged(["%s"] * len(factors))
    if len(factors) > MOST_FACTORS:
        factors = [*factors[: MOST_FACTORS - 3], *factors[-2:]]
    product = Atom("product", route, "number")
    return said, Pattern(f"{' · '.join(kept)} = %s", (*factors, product))


def _abridged(items: list[str]) -> list[str]:
    if len(items) <= MOST_FACTORS:
        return items
    return [*items[: MOST_FACTORS - 3], "…", *items[-2:]]


def _is_number(shown: Variables, edge: Edge) -> bool:
    """Whether a local derivative is one number here, as `backward` finds it."""
    ends = [shown.graph.nodes[end].outputs for end in (edge.source, edge.target)]
    return shown.trace is not None and (
        edge in shown.trace.local or all(len(end) == 1 and end[0].shape == () for end in ends)
    )


def _sum(goal: Slot, routes: list[search.Route]) -> Pattern:
    """2 + 8.6562 = 10.6562: the products, and autograd's own gradient if they agree."""
    every = tuple(routes)
    atoms = [Atom("product", route, "factor") for route in routes[1:]]
    atoms = [Atom("product", route, "number") for route in routes[:1]] + atoms
    verdict = Atom("verdict", (goal, every), "number")
    if not 1 < len(atoms) <= MOST_SUMMANDS:
        return Pattern("%s", (verdict,))
    return Pattern(" + ".join(["%s"] * len(atoms)) + " = %s", (*atoms, verdict))


# Details


def details(lines: LiveLines) -> Iterator[tuple[str, Json]]:
    """What is known of each box that is drawn, and what opens it."""
    shown = lines.shown
    nodes, links = frames.drawn(shown)
    for variable in nodes:
        yield f"variable-{variable.id}", _variable(lines, variable)
    for number, link in enumerate(links):
        if is_to_constant(shown, link):
            continue
        ends = [title(shown.nodes[end]) for end in (link.source, link.target)]
        said = [f"the local derivative of {ends[0]} by {ends[1]}"]
        if len(link.arrivals) > 1:
            said.append(f"{ends[1]} enters it in {len(link.arrivals)} ways, which add up")
        if link.contribution is not None:
            brought = summary("contribution", lines.at(link), link.contribution)
            said.append(_told(lines, f"link-{number} brings", "brings", brought))
        yield f"link-{number}", _detail(plain((derivative(*ends),)), said)
    trace = shown.trace
    if trace is None:
        return
    line_of = lines_of_nodes(shown)
    for node in trace.graph.nodes[:MOST_NODES]:
        what = "adds to the gradient of" if node.kind == "accumulate" else "computes"
        said = [f"{what} {text.clean(node.label)}"] if node.label else []
        said += [
            f"{text.shape(one.shape)}, {one.dtype}, on {one.device}" for one in node.outputs[:4]
        ]
        said += _saved(lines, node)
        if node.id in line_of:
            said.append(f"made in line {line_of[node.id]}")
        step = trace.step_of.get(node.id)
        said.append("not reached" if step is None else f"step {step + 1} of {len(trace.steps)}")
        yield f"node-{node.id}", _detail(node.name, said)
    for number, edge in enumerate(trace.graph.edges[: 2 * MOST_NODES]):
        source, target = (trace.graph.nodes[end] for end in (edge.source, edge.target))
        said = [f"output {edge.input_index} of {source.name}"]
        if len(target.outputs) > 1:
            said.append(f"arrives at output {edge.output_nr} of {target.name}")
        yield f"edge-{number}", _detail(f"{source.name} → {target.name}", said)


MOST_NODES = 200  # of PyTorch's graph that are told about; far fewer are drawn


def _detail(name: str, said: list[str], opens: str | None = None) -> Json:
    return {"title": name, "lines": said, "opens": opens}


def _variable(lines: LiveLines, variable: Variable) -> Json:
    shown = lines.shown
    outputs = shown.outputs(variable)
    said = []
    known = lines.values(variable)
    if len(outputs) == 1 and known and known[0] is not None:
        patterns = [pattern for pattern in known if pattern is not None]
        said.append(_told(lines, f"variable-{variable.id} value", "value", patterns))
    shapes = [f"{text.shape(one.shape)}, {one.dtype}, on {one.device}" for one in outputs[:4]]
    said += [f"holds: {shape}" for shape in shapes]
    if variable.node is None:
        unused = variable.kind == "unused"
        said.append("the result does not use it" if unused else "a constant: it gets no gradient")
    else:
        node = shown.graph.nodes[variable.node]
        said.append(f"gradient function: {node.name}")
        said += _saved(lines, node)
    if len(variable.members) > 1:
        said.append(f"made by {len(variable.members)} operations")
    if variable.line is not None:
        said.append(f"made in line {variable.line}")
    may_open = variable.name and (len(variable.members) > 1 or variable.name in shown.opened)
    return _detail(definition(variable), said, variable.name if may_open else None)


def _told(lines: LiveLines, key: str, what: str, patterns: list[Pattern]) -> str:
    """`value: 3 × 4, norm 2; min 0, max 1`."""
    keys = [
        lines.texts.key(key if not number else f"{key} {number}", pattern)
        for number, pattern in enumerate(patterns)
    ]
    return f"{what}: {'; '.join(f'{{{one}}}' for one in keys)}"


def _saved(lines: LiveLines, node: Node) -> list[str]:
    """What the operation keeps for its gradient; no code of the user's is run to find out."""
    walk = walk_of(lines.shown)
    if walk is None or node.kind == "accumulate":
        return []
    graph, said = lines.shown.graph, []
    names = operation(node.name).roles
    for name, value in saved_by(walk.functions[node.id]).items():
        if value is HOOKED:
            said.append(f"saves {name}, with a hook")
            continue
        if (name, value) == ("alpha", 1):  # of a + alpha * b
            continue
        if value is None or not (is_tensor(value) or isinstance(value, int | float)):
            continue
        slot = Slot(node.id, 0) if name == "result" else None
        if name in names:
            place = names.index(name)
            edges = (edge for edge in graph.out_edges[node.id] if edge.input_index == place)
            slot = next((Slot(edge.target, edge.output_nr) for edge in edges), None)
        known = graph.values.get(slot) if slot is not None else None
        if known is not None and is_tensor(value) and known.shape == value.shape:
            assert slot is not None
            key = f"node-{node.id} saved {name}"
            said.append(_told(lines, key, f"saves {name}", summary("value", slot, known)))
        elif not is_tensor(value):
            if math.isfinite(value) and abs(value) < 2**62:
                said.append(f"saves {name} = {text.number(value)}")
        elif value.numel() == 1 and name in node.constants:
            said.append(f"saves {name} = {text.number(node.constants[name])}")
        else:
            said.append(f"saves {name}: {text.shape(tuple(value.shape))}")
    return said[:MOST_SAVED]


def lines_of_nodes(shown: Variables) -> dict[int, int]:
    """The line of the program that made each of PyTorch's nodes, where one was read."""
    lines = dict(shown.program.lines) if shown.program is not None else {}
    for variable in shown.nodes:
        if variable.node is not None and variable.line is not None:
            lines.setdefault(variable.node, variable.line)
    return lines
