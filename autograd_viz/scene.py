"""What the Explorer shows: pictures with their frames, as data that a page brings to life.

A Scene holds what stands still as long as the computation has the same form, a State the numbers
of one run. Both are JSON; `widgets/static/explorer.js` says what each field means. Everything is
derived from the frames that the views draw: a part appears in the frame where it is first seen,
and a number is what stands last in its line, after "= ".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from autograd_viz import functions_view, svg, text, variables_view
from autograd_viz.model import Link, Slot, Trace, Variable, Variables
from autograd_viz.picture import Box, Formula, Picture, Strip
from autograd_viz.typeset import Frac, Line, Run, Sup, derivative, plain

Json = dict[str, Any]
LABELS = {
    "computation": "Computation",
    "derivatives": "Derivatives",
    "backward": "Backward pass",
    "functions": "Functions",
}
ROOM = "-00.0000"  # kept free for a number
ROOM_IN_SUM = "00.0000"  # and for each of several, which are seldom all long
MOST_PATHS = 12  # that are written out for a leaf

_NUMBER = re.compile(
    r"(?<!× )(?<![\w.])-?(?:\d+(?:\.\d+)?(?:e[-+]\d+)?|inf|NaN)(?![\w.])(?! ×)"  # but not 3 × 4
)
_BLANK: Line = (Run(" "),)


@dataclass(frozen=True, eq=False)
class Live:
    """A view with all of its frames in one picture, and the numbers taken out."""

    name: str
    picture: Picture
    texts: Mapping[str, str]  # key -> what stands there in this run
    alarms: tuple[str, ...]  # boxes with NaN or inf
    lit: tuple[tuple[str, ...], ...]  # for each frame the boxes and arrows that it is about
    ovals: tuple[tuple[str, ...], ...]  # those of them that are ovals: their code is lit too
    news: tuple[tuple[str, ...], ...]  # ovals that get their number in a frame
    words: tuple[str, ...]  # what each frame says, with {key} for the numbers


def scene(
    trace: Trace,
    *,
    number: int = 1,
    opened: Sequence[str] = (),
    source: Sequence[tuple[int, str]] = (),
    lines: Mapping[str, int] | None = None,
    note: str = "",
) -> tuple[Json, Json]:
    """Return the Scene and the State of a backward pass.

    Args:
        trace: the pass.
        number: the scene's id.
        opened: names of the variables whose inner operations are shown.
        source: the lines of code to show beside the picture, with their numbers.
        lines: the number of the line that made each named variable.
        note: what is new in comparison with the scene before.
    """
    shown = trace.variables(open=opened)
    views = [live(name, frames) for name, frames in _views(shown, trace)]
    rules = _rules(shown)
    paths = _paths(shown)
    values: dict[str, str] = {}
    for part in (*(view.texts for view in views), rules.texts, paths.texts):
        values.update(part)
    alarms = dict.fromkeys(box for view in views for box in view.alarms)
    name_of = _names(shown)
    made: Json = {
        "id": number,
        "opened": sorted(opened),
        "title": views[2].picture.title,
        "views": [
            {
                "name": view.name,
                "label": LABELS[view.name],
                "svg": svg.live(view.picture),
                "frames": [
                    {
                        "lit": list(lit),
                        "lines": _lines_of(ovals, name_of, lines or {}),
                        "rules": list(rules.of(lit, news)) if view.name == "backward" else [],
                        "words": words,
                    }
                    for lit, ovals, news, words in zip(
                        view.lit, view.ovals, view.news, view.words, strict=True
                    )
                ],
            }
            for view in views
        ],
        "keys": list(values),
        "source": [{"number": line, "text": code} for line, code in source],
        "note": note,
        "details": dict(_details(shown, trace)),
        "paths": paths.groups,
    }
    troubled = [name_of.get(box, "") for box in alarms if box.startswith("variable-")]
    state: Json = {
        "scene": number,
        "texts": list(values.values()),
        "alarms": list(alarms),
        "words": _trouble([name for name in troubled if name]) if alarms else "",
    }
    return made, state


def _trouble(names: Sequence[str]) -> str:
    where = f" at {text.joined(names)}" if names else ""
    return f"NaN or inf arises{where}: the function has no finite derivative at these inputs."


def _views(shown: Variables, trace: Trace) -> Iterator[tuple[str, tuple[Picture, ...]]]:
    for view in variables_view.VIEWS:
        strip = variables_view.variables(shown, view=view, frame="all")
        assert isinstance(strip, Strip)
        yield view, strip.frames
    yield "functions", _function_frames(trace)


def _function_frames(trace: Trace) -> tuple[Picture, ...]:
    """PyTorch's graph, one frame a step of the engine."""
    whole = functions_view.functions(trace.graph, trace)

    def frame(number: int) -> Picture:
        def run(node: object) -> bool:
            return trace.step_of.get(int(str(node)), len(trace.steps)) < number

        boxes = []
        for box in whole.boxes:
            if box.shape == "rect" and "source" in box.data and not run(box.data["source"]):
                box = replace(box, upper=tuple(_BLANK for _ in box.upper), marks=("empty",))
            elif "leaf" in box.marks and not run(box.data["node"]):
                box = replace(box, lower=(), marks=("leaf",))
            boxes.append(box)
        return replace(whole, boxes=tuple(boxes))

    return tuple(frame(number) for number in range(1, len(trace.steps) + 1))


# From frames to one picture


def live(name: str, frames: Sequence[Picture]) -> Live:
    """Put the frames of a view into one picture that says from when on each part is there."""
    last = frames[-1]
    each = list(zip(*(frame.boxes for frame in frames), strict=True))
    texts: dict[str, str] = {}
    boxes: list[Box] = []
    lit: list[dict[str, None]] = [{} for _ in frames]
    ovals: list[list[str]] = [[] for _ in frames]
    words: list[list[str]] = [[] for _ in frames]
    filled: list[list[str]] = [[] for _ in frames]
    backward = name in ("backward", "functions")
    for versions in each:
        box = versions[-1]
        there = _first(versions, lambda version: "hidden" not in version.marks)
        full = _first(versions, lambda version: "empty" not in version.marks)
        finish = [*box.upper, *(box.lower or ())]
        fills = {}
        for position, line in enumerate(finish):
            since = _first(versions, partial(_has, position, line))
            if since > there:
                fills[position] = since
        made, own = _without_numbers(box)
        texts.update(own)
        data: dict[str, int | str] = {**box.data, "box": box.id}
        if there > 1:
            data["from"] = there
        if full > there and "empty" not in box.marks:
            data["fills"] = full
        marks = tuple(mark for mark in box.marks if mark not in ("alarm", "hidden"))
        boxes.append(replace(made, marks=marks, data=data, fills=fills))
        # A frame is about the ovals that get their lower half in it.
        news = max([there, *fills.values()])
        if box.shape == "oval" and box.lower:
            filled[news - 1].append(box.id)
            lit[news - 1][box.id] = None
            ovals[news - 1].append(box.id)
            words[news - 1] += _said(made.lower or ())
        elif box.shape == "rect" and news > 1:
            lit[news - 1][box.id] = None
    arrows = []
    shape_of = {box.id: box.shape for box in boxes}
    for number, versions_ in enumerate(zip(*(frame.arrows for frame in frames), strict=True)):
        arrow = versions_[-1]
        there = _first(versions_, lambda version: "hidden" not in version.marks)
        data = {"box": f"arrow-{number}"} | ({"from": there} if there > 1 else {})
        arrows.append(replace(arrow, data=data))
        if there > 1:
            lit[there - 1][f"arrow-{number}"] = None
            if backward:
                for end in (arrow.source, arrow.target):
                    if end not in lit[there - 1]:
                        lit[there - 1][end] = None
                        if shape_of[end] == "oval":
                            ovals[there - 1].append(end)
    # Boxes begin at the output, but are read in the order of computation.
    filled, ovals, words = ([each[::-1] for each in one] for one in (filled, ovals, words))
    if name == "functions":
        lit, ovals, words = _engine_order(boxes, arrows, len(frames))
    for number, frame_words in enumerate(words):
        if not frame_words:  # arrows alone: say what stands on them
            for box in boxes:
                if box.shape == "rect" and box.id in lit[number]:
                    frame_words += _said(box.upper)
    picture = replace(
        last,
        words="",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        statements=(),
        formulas=(),
        # Whether there is an alarm changes from run to run; State.words says it.
        legend={kind: said for kind, said in last.legend.items() if kind != "alarm"},
    )
    alarms = tuple(box.id for box in last.boxes if "alarm" in box.marks)
    return Live(
        name,
        picture,
        texts,
        alarms,
        tuple(map(tuple, lit)),
        tuple(map(tuple, ovals)),
        tuple(map(tuple, filled)),
        tuple("; ".join(frame_words) for frame_words in words),
    )


def _engine_order(
    boxes: Sequence[Box], arrows: Sequence[Any], count: int
) -> tuple[list[dict[str, None]], list[list[str]], list[list[str]]]:
    """For each step of the engine its oval, the edges that its outputs leave by, and their ends."""
    by_id = {box.id: box for box in boxes}
    after: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for arrow in arrows:
        after[arrow.source].append((str(arrow.data["box"]), arrow.target))
    since = {}
    for box in boxes:
        for rect in (by_id[end] for _, end in after[box.id]):
            if rect.shape == "rect":
                since[box.id] = int(rect.data.get("fills", 1))
        if "leaf" in box.marks:
            since[box.id] = max([1, *box.fills.values()])
    lit: list[dict[str, None]] = [{} for _ in range(count)]
    ovals: list[list[str]] = [[] for _ in range(count)]
    words: list[list[str]] = [[] for _ in range(count)]
    for box in boxes:
        if box.shape != "oval" or box.id not in since:
            continue
        frame = since[box.id] - 1
        ovals[frame].append(box.id)
        lit[frame][box.id] = None
        sent = []
        for name, end in after[box.id]:
            lit[frame] |= {name: None, end: None}
            lit[frame] |= dict.fromkeys(further for further, _ in after[end])
            sent += _said(by_id[end].upper)
        title = plain(box.upper[0])
        said = ", ".join(sent) if sent else "; ".join(_said(box.lower or ()))
        words[frame].append(f"{title} sends {said}" if sent else f"{title}: {said}")
    return lit, ovals, words


def _first(versions: Sequence[Any], is_so: Callable[[Any], bool]) -> int:
    """The frame from which on something is so."""
    frame = len(versions) + 1
    while frame > 1 and is_so(versions[frame - 2]):
        frame -= 1
    return min(frame, len(versions))


def _has(position: int, line: Line, box: Box) -> bool:
    lines = [*box.upper, *(box.lower or ())]
    return position < len(lines) and lines[position] == line


def _said(lines: Sequence[Line]) -> list[str]:
    said = [_pattern(line) for line in lines]
    return [one for one in said if one.strip()]


def _pattern(line: Line) -> str:
    """The line as text with {key} for a number."""
    return "".join(
        f"{{{part.key}}}" if isinstance(part, Run) and part.key is not None else plain((part,))
        for part in line
    )


# Numbers


def _without_numbers(box: Box) -> tuple[Box, dict[str, str]]:
    texts: dict[str, str] = {}

    def taken(lines: Sequence[Line], texts: dict[str, str]) -> tuple[Line, ...]:
        return tuple(_without_number(line, box.id, texts) for line in lines)

    made = replace(
        box,
        upper=taken(box.upper, texts),
        lower=None if box.lower is None else taken(box.lower, texts),
        reserve=tuple(taken(lines, {}) for lines in box.reserve),
    )
    return made, texts


def _without_number(line: Line, box: str, texts: dict[str, str]) -> Line:
    """The line with a key in the place of its number, which goes into `texts`."""
    if not line or not isinstance(line[-1], Run) or line[-1].style != "text":
        return line
    if any(isinstance(part, Run) and re.search(r"= -?[\d(\[]", part.text) for part in line[:-1]):
        begin, value = "", plain(line)
    else:
        match = re.fullmatch(r"(.*?= )?((?:-?[\d(\[]|inf|-inf|NaN|None).*)", line[-1].text)
        if match is None:
            return line
        begin, value = match[1] or "", match[2]
    fixed: Line = () if not begin and value == plain(line) else line[:-1]
    if begin:
        fixed = (*fixed, Run(begin))
    return (*fixed, numeral(_unused(f"{box} {plain(fixed)}".strip(), texts), value, texts))


def _unused(key: str, texts: Mapping[str, str]) -> str:
    while key in texts:
        key += "'"
    return key


def numeral(key: str, value: str, texts: dict[str, str]) -> Run:
    """A place for a number, as wide as a number may become; its text goes into `texts`."""
    texts[key] = value
    bare = re.sub(r"\((-[^()]*)\)", r"\1", value)  # of a negative factor
    return Run("", key=key, room=_NUMBER.sub(ROOM_IN_SUM if " = " in value else ROOM, bare))


# Beside the picture


def _names(shown: Variables) -> dict[str, str]:
    """The reader's names by box: of the variables, and of PyTorch's nodes."""
    names = {f"variable-{each.id}": each.name for each in shown.nodes if each.name}
    for variable in shown.nodes:
        if variable.name:
            names |= {f"node-{node}": variable.name for node in variable.members}
    return names


def _lines_of(
    ovals: Sequence[str], name_of: Mapping[str, str], lines: Mapping[str, int]
) -> list[int]:
    return sorted({lines[name_of[oval]] for oval in ovals if name_of.get(oval) in lines})


@dataclass(frozen=True)
class Rules:
    """The chain-rule line of each variable, and what stands in its numbers."""

    drawn: Mapping[str, str]  # oval -> svg
    slopes: Mapping[str, str]  # rectangle -> svg
    texts: Mapping[str, str]

    def of(self, lit: Sequence[str], news: Sequence[str]) -> Iterator[str]:
        """Yield the lines of a frame: for the gradients that are new in it, else for the slopes."""
        if any(oval in self.drawn for oval in news):
            yield from (self.drawn[oval] for oval in news if oval in self.drawn)
        else:
            yield from (self.slopes[part] for part in lit if part in self.slopes)


def _rules(shown: Variables) -> Rules:
    texts: dict[str, str] = {}
    root = shown.root
    top = text.clean(root.title)
    into: dict[int, list[Link]] = defaultdict(list)
    for link in shown.links:
        into[link.target].append(link)
    drawn, slopes = {}, {}
    for variable in shown.nodes:
        line = _rule(shown, variable, into[variable.id], root, top, texts)
        if line:
            drawn[f"variable-{variable.id}"] = svg.live(Formula(line))
    for number, link in enumerate(shown.links):
        if link.local is not None:
            names = [text.clean(shown.nodes[end].title) for end in (link.source, link.target)]
            slope = derivative(*names)
            key = f"link-{number} {plain((slope,))} = "
            numeral_ = numeral(key.strip(), text.number(link.local), texts)
            slopes[f"link-{number}"] = svg.live(Formula((slope, Run(" = "), numeral_)))
    return Rules(drawn, slopes, texts)


def _rule(
    shown: Variables,
    variable: Variable,
    links: Sequence[Link],
    root: Variable,
    top: str,
    texts: dict[str, str],
) -> Line:
    """∂e/∂a = ∂e/∂c · ∂c/∂a + ∂e/∂d · ∂d/∂a = 2 · 1 + 6 · 1.4427 = 10.6562."""
    if variable.node is None or shown.trace is None:
        return ()
    begin: Line = (derivative(top, text.clean(variable.title)), Run(" = "))
    arrived = _gradient(shown, variable)
    if arrived is None:
        return ()
    if variable.id == root.id:
        return (*begin, Run("1"))
    terms: list[Run | Frac | Sup] = []
    numbers = []
    for link in links:
        source = shown.nodes[link.source]
        gradient = _gradient(shown, source)
        if link.local is None or gradient is None:
            return ()
        terms += [Run(" + ")] * bool(terms)
        terms += [
            derivative(top, text.clean(source.title)),
            Run(" · "),
            derivative(text.clean(source.title), text.clean(variable.title)),
        ]
        numbers.append(f"{text.number(gradient)} · {_factor(link.local)}")
    value = f"{' + '.join(numbers)} = {text.number(arrived)}"
    return (*begin, *terms, Run(" = "), numeral(f"rule {variable.id}", value, texts))


def _factor(value: float) -> str:
    return f"({text.number(value)})" if value < 0 else text.number(value)


def _gradient(shown: Variables, variable: Variable) -> float | None:
    if shown.trace is None or variable.node is None:
        return None
    arrived = shown.trace.arrived(Slot(variable.node, 0))
    return arrived.item() if arrived is not None and arrived.numel() == 1 else None


@dataclass(frozen=True)
class Paths:
    """The paths from the output to each leaf, written out with {key} for the numbers."""

    groups: list[Json]
    texts: Mapping[str, str]


def _paths(shown: Variables) -> Paths:
    texts: dict[str, str] = {}
    below: dict[int, list[Link]] = defaultdict(list)
    for link in shown.links:
        below[link.source].append(link)
    groups: list[Json] = []
    for leaf in (variable for variable in shown.nodes if variable.is_leaf):
        rows: list[str] = []
        products: list[str] = []
        known = True
        for path in _walks(shown.root.id, leaf.id, below):
            if len(rows) == MOST_PATHS:
                known = False
                break
            names = [text.clean(shown.nodes[link.source].title) for link in path]
            begin = " → ".join([*names, text.clean(leaf.title)])
            if any(link.local is None for link in path):
                rows.append(begin)
                known = False
                continue
            product = 1.0
            for link in path:
                product *= link.local or 0.0
            factors = " · ".join(_factor(link.local or 0.0) for link in path)
            key = f"path {begin}"
            texts[key] = f"{factors} = {text.number(product)}"
            products.append(text.number(product))
            rows.append(f"{begin}: {{{key}}}")
        arrived = _gradient(shown, leaf)
        total = ""
        if known and rows and arrived is not None:
            key = f"paths to {leaf.id}"
            texts[key] = f"{' + '.join(products)} = {text.number(arrived)}"
            symbol = plain((derivative(text.clean(shown.root.title), text.clean(leaf.title)),))
            total = f"{symbol} = {{{key}}}"
        groups.append({"title": f"to {text.clean(leaf.title)}", "rows": rows, "sum": total})
    return Paths(groups, texts)


def _walks(source: int, target: int, below: Mapping[int, list[Link]]) -> Iterator[tuple[Link, ...]]:
    stack: list[tuple[int, tuple[Link, ...]]] = [(source, ())]
    while stack:
        place, path = stack.pop()
        if place == target:
            yield path
            continue
        stack += [(link.target, (*path, link)) for link in reversed(below[place])]


def _details(shown: Variables, trace: Trace) -> Iterator[tuple[str, Json]]:
    """What is known about each box."""
    for variable in shown.nodes:
        outputs = shown.outputs(variable)
        title = variable.title
        if variable.name and variable.expression != variable.name:
            title = f"{variable.name} = {variable.expression}"
        shape = ", ".join(f"{text.shape(one.shape)}, {one.dtype}" for one in outputs)
        said = [f"holds: {shape}"] if shape else []
        if variable.node is not None:
            said.append(f"gradient function: {trace.graph.nodes[variable.node].name}")
        inner = len(variable.members) > 1
        if inner:
            said.append(f"made by {len(variable.members)} operations")
        may_open = variable.name and (inner or variable.name in shown.opened)
        yield (
            f"variable-{variable.id}",
            {"title": title, "lines": said, "opens": variable.name if may_open else None},
        )
    for number, link in enumerate(shown.links):
        names = [text.clean(shown.nodes[end].title) for end in (link.source, link.target)]
        symbol = plain((derivative(*names),))
        said = [f"the local derivative of {names[0]} by {names[1]}"]
        yield f"link-{number}", {"title": symbol, "lines": said, "opens": None}
    for node in trace.graph.nodes:
        said = [f"computes {text.clean(node.label)}"] if node.label else []
        said += [
            f"{text.shape(one.shape)}, {one.dtype}, on {one.device}" for one in node.outputs[:4]
        ]
        said += [f"saved {name}: {text.number(value)}" for name, value in node.constants.items()]
        step = trace.step_of.get(node.id)
        said.append("not reached" if step is None else f"step {step + 1} of {len(trace.steps)}")
        yield f"node-{node.id}", {"title": node.name, "lines": said, "opens": None}
    for number, edge in enumerate(trace.graph.edges):
        source, target = (trace.graph.nodes[end] for end in (edge.source, edge.target))
        yield (
            f"edge-{number}",
            {
                "title": f"{source.name} → {target.name}",
                "lines": [f"output {edge.input_index} of {source.name}"],
                "opens": None,
            },
        )
