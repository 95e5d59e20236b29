"""Changes of a stored output that the gate has to see, and noise that it has to let pass."""

import base64
import itertools
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from tests.notebooks.texts import NUMBER

MOST_DIGITS = 5  # of a number whose last digit means something
MOVED = 6.0  # pixels or points, by which a curve is seen to be another
NOISE = 0.05
SVG_URI = re.compile(r"(?<=data:image/svg\+xml;base64,)[A-Za-z0-9+/=]+")
ARROW = r'<path class="av-arrow[^>]*? d="([^"]*)"/>'
LINE = r'<path d="(M[^"]*)" clip-path="[^"]*" style="fill: none; stroke: #[^"]*"/>'
PLACES = re.compile(
    r'(?<= )(?:x|y|x1|y1|x2|y2|cx|cy|rx|ry|width|height|d|points|textLength)="(?P<at>[^"]*)"'
    r"|translate\((?P<by>[^)]*)\)"
)
COORDINATE = re.compile(r"(?<![\d.-])\d+\.?\d*")


def changes(output: NotebookNode) -> Iterator[tuple[str, str, str]]:
    """Yields what can be changed in an output: the kind of change, in which text, the new text."""
    texts = output.data if "data" in output else output
    for key in ("evalue", "text", "text/plain", "text/latex", "image/svg+xml", "text/html"):
        for kind, changed in _changed(key, texts[key]) if key in texts else ():
            yield kind, key, changed


def changed(output: NotebookNode, key: str, text: str) -> NotebookNode:
    """Returns the output with another text in one place."""
    if "data" in output:
        return NotebookNode({**output, "data": {**output.data, key: text}})
    return NotebookNode({**output, key: text})


def _changed(key: str, text: str) -> Iterator[tuple[str, str]]:
    if key == "image/svg+xml":
        yield from _changed_drawing(text)
    elif key == "text/html":
        if uri := SVG_URI.search(text):
            for kind, svg in _changed_drawing(base64.b64decode(uri[0]).decode()):
                yield kind, text.replace(uri[0], base64.b64encode(svg.encode()).decode())
        spans = [
            found.span(1) for found in re.finditer(r'alt="([^"]*)"|>([^<]+)<', text) if found[1]
        ]
        yield from _in_spans(text, spans or [m.span(1) for m in re.finditer(">([^<]+)<", text)])
    else:
        yield from _in_spans(text, [(0, len(text))])


def _changed_drawing(svg: str) -> Iterator[tuple[str, str]]:
    yield from _in_spans(svg, [m.span(1) for m in re.finditer(r"<text[^>]*>([^<]+)</text>", svg)])
    yield from _in_spans(svg, [m.span(1) for m in re.finditer(r"<!-- ([^>]+) -->", svg)])
    if arrow := re.search(ARROW, svg):
        yield "arrow taken away", svg.replace(arrow[0], "", 1)
        numbers = list(re.finditer(r"[-\d.]+", arrow[1]))[-2]
        elsewhere = f"{float(numbers[0]) + 20:.2f}"
        begin, end = (arrow.start(1) + place for place in numbers.span())
        yield "arrow led elsewhere", svg[:begin] + elsewhere + svg[end:]
    if ends := re.search(r'data-(?:target|link)="(\d+)', svg):
        other = str(int(ends[1]) + 1)
        yield "arrow joined otherwise", svg[: ends.start(1)] + other + svg[ends.end(1) :]
    if box := re.search(r'<g class="av-box[^>]*>\s*<[^>]*? c?x="([\d.]+)"', svg):
        moved = f"{float(box[1]) + 1:.2f}"
        yield "box moved", svg[: box.start(1)] + moved + svg[box.end(1) :]
    lines = [line for line in re.finditer(LINE, svg) if line[1].count("L") > 2]
    if lines:
        yield "curve", svg.replace(lines[-1][1], _bent(lines[-1][1]), 1)
    for was, now in (
        ("av-oval av-leaf", "av-oval"),
        ('class="av-rect"', 'class="av-rect av-alarm"'),
        ("fill: none; stroke: #", "fill: none; stroke-dasharray: 2,4; stroke: #"),
        ("stroke-dasharray:9 6", "stroke-dasharray:2 5"),
    ):
        if was in svg:
            yield "look", svg.replace(was, now, 1)
    if colour := re.search(r"stroke: ?#([0-9a-f]{6})", svg):
        other = "00aa00" if colour[1] != "00aa00" else "0000aa"
        yield "colour", svg[: colour.start(1)] + other + svg[colour.end(1) :]


def _bent(d: str) -> str:
    """Returns the path with its middle point moved, at right angles to its way."""
    points = [tuple(map(float, pair)) for pair in re.findall(r"([-\d.]+) ([-\d.]+)", d)]
    middle = len(points) // 2
    (x0, y0), (x, y), (x1, y1) = points[middle - 1 : middle + 2]
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
    points[middle] = x - MOVED * (y1 - y0) / length, y + MOVED * (x1 - x0) / length
    signs = ["M", *"L" * (len(points) - 1)]
    return "".join(f"{sign} {x:.6f} {y:.6f} " for sign, (x, y) in zip(signs, points, strict=True))


def _in_spans(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Yields the text with one number changed, and with one word, within these spans."""
    for kind, change in (("number", _other_number), ("word", _other_word)):
        for begin, end in reversed(spans):
            changed = change(text[begin:end])
            if changed is not None:
                yield kind, text[:begin] + changed + text[end:]
                break


def _other_number(text: str) -> str | None:
    for found in reversed(list(re.finditer(NUMBER, text))):
        digits = found[0].partition("e")[0].removesuffix(".")
        if len(digits.replace(".", "").lstrip("0")) <= MOST_DIGITS:
            last = found.start() + len(digits) - 1
            return f"{text[:last]}{(int(text[last]) + 5) % 10}{text[last + 1 :]}"
    return None


def _other_word(text: str) -> str | None:
    found = re.search(r"(?<![\w&#\\])[A-Za-z]{3,}(?!\w)", text)
    if not found:
        return None
    last = "x" if found[0][-1] != "x" else "y"
    return f"{text[: found.end() - 1]}{last}{text[found.end() :]}"


def add_noise(output: NotebookNode) -> None:
    """Moves all that is placed in the output's pictures to and fro by less than is seen."""
    data = output.get("data", {})
    if "image/svg+xml" in data:
        data["image/svg+xml"] = _shaken(data["image/svg+xml"])
    if "text/html" in data:
        data["text/html"] = SVG_URI.sub(
            lambda uri: base64.b64encode(
                _shaken(base64.b64decode(uri[0]).decode()).encode()
            ).decode(),
            data["text/html"],
        )


def _shaken(svg: str) -> str:
    ways = itertools.cycle((NOISE, -NOISE, 0.0))

    def moved(place: re.Match[str]) -> str:
        value = place["at"] or place["by"]
        near = COORDINATE.sub(lambda number: f"{float(number[0]) + next(ways):.9f}", value)
        return place[0].replace(value, near)

    head, style, body = svg.rpartition("</style>")
    return head + style + PLACES.sub(moved, body)
