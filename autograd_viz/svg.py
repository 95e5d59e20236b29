"""From a Picture and its layout to SVG, in the look of the lecture's slides.

All text is placed run by run with its width given, so that no font makes it leave its box. Every
part has a class and says what it stands for (`data-node="3"`), and no part has an id, so that
several pictures can stand in one page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from xml.sax.saxutils import escape, quoteattr

from autograd_viz import layout
from autograd_viz.errors import LayoutError, LayoutTooLargeError
from autograd_viz.picture import Arrow, Box, Cluster, Drawing, Engine, Formula, Picture, Strip
from autograd_viz.progress import progress
from autograd_viz.text import legal
from autograd_viz.typeset import (
    AXIS,
    FRACTION_PAD,
    RAISE,
    SMALLER,
    Frac,
    Line,
    Run,
    Size,
    Sup,
    glyphs,
    lean,
    measure,
    width,
)

FONT = 18.0  # pixels
LEADING = 5.0  # between two lines of a box
MARGIN = 14.0
RANK_GAP = 30.0  # an arrow's length; more, and a chain of four variables leaves the screen
SMALL = 14.0  # font of the legend and the notes
HEAD = 9.0  # length of an arrow's head
THIN, THICK = 1.5, 7.0  # arrows of the least and the largest gradient
FADED = 0.8  # how much of the stronger fill the rectangle of the largest gradient has
SIGN = 22.0  # height of the sign with a frame's title
STACK = 7.0  # by how much the outline behind a box that repeats stands out
CROSS = 8.0  # half the width of the cross on an arrow that is cut
SURE = 5  # how far off an estimate of a layout's cost may be
ORDERED = 40  # boxes up to which operands keep their order, left to right

# Times and what has its widths, then what is near. Any other font is made so small that its x is
# as high as that of Times: the letters of phones are wide, and would have to be squeezed.
_FONT = (
    "font-family=\"'Times New Roman', Times, 'Liberation Serif', Tinos, 'Nimbus Roman', "
    "'TeX Gyre Termes', 'STIX Two Text', FreeSerif, 'Libertinus Serif', serif\" "
    'style="font-size-adjust:.459"'
)
_CODE_FONT = (
    "font-family=\"'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace\" "
    'style="font-size-adjust:none"'
)
_LIGHT = {
    "paper": "#ffffff", "ink": "#1b1b1b", "soft": "#4a535e",
    "oval": "#e8f1fb", "oval-line": "#14507f", "leaf": "#e2f3ea", "leaf-line": "#0b6e4f",
    "rect": "#fff4dc", "rect-line": "#a35200", "alarm": "#fde4e7", "alarm-line": "#b3001b",
    "given": "#eceff2", "lit": "#8a1c9c", "strong": "#ee9a3a",
}  # fmt: skip
_DARK = {
    "paper": "#14171c", "ink": "#f4f4f4", "soft": "#b4bdc8",
    "oval": "#15304a", "oval-line": "#7db8ee", "leaf": "#10392c", "leaf-line": "#5fd0a5",
    "rect": "#3b2b0b", "rect-line": "#f0b350", "alarm": "#4a1420", "alarm-line": "#ff8a9b",
    "given": "#2b3139", "lit": "#f29bff", "strong": "#a5651a",
}  # fmt: skip


def draw(drawing: Drawing) -> str:
    """A picture or a strip of pictures as the text of an SVG file."""
    match drawing:
        case Picture():
            parts, wide, high = _body(drawing)
            theme = drawing.style.theme
        case Strip():
            parts, wide, high = _frames(drawing)
            theme = drawing.frames[0].style.theme
        case Formula():
            parts, wide, high = _formula(drawing)
            theme = drawing.style.theme
        case _:
            raise TypeError(f"a {type(drawing).__name__} cannot be drawn")
    return _document(parts, wide, high, drawing.title, drawing.words, theme)


def live(drawing: Picture | Formula) -> str:
    """The drawing for a page that changes it: without numbers, colours and words of its own.

    Such a page styles it by `stylesheet`, puts numbers into the texts with a `data-key`, and
    shows what has a `data-from` from that frame on.
    """
    parts, wide, high = _body(drawing) if isinstance(drawing, Picture) else _formula(drawing)
    size = f'width="{_n(wide)}" height="{_n(high)}" viewBox="0 0 {_n(wide)} {_n(high)}"'
    body = "".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="av" {_FONT} {size}>{body}</svg>'


def pages(strip: Strip) -> list[str]:
    """Each frame as the text of an SVG file of its own, all of one size."""
    bodies, wide, high = _paged(strip)
    return [
        _document(body, wide, high, frame.title, frame.words, frame.style.theme)
        for body, frame in zip(bodies, strip.frames, strict=True)
    ]


def film(strip: Strip, times: Sequence[float]) -> str:
    """All frames in one SVG file, one after the other, again and again.

    The last one alone is seen in print, by a reader who wants less motion, and where nothing moves.

    Args:
        strip: the frames.
        times: how many seconds each stands.
    """
    bodies, wide, high = _paged(strip)
    theme = strip.frames[0].style.theme
    whole, begin = sum(times), 0.0
    rules = ["@media print,(prefers-reduced-motion:reduce){.av-page{animation:none!important}}"]
    parts: list[str] = []
    for number, (body, time) in enumerate(zip(bodies, times, strict=True)):
        end = begin + time
        # All films of a page share these names, so that they say all that the rule says.
        name = f"av-{_n(begin * 1000)}-{_n(end * 1000)}-{_n(whole * 1000)}"
        at, after = _n(100 * begin / whole), _n(100 * end / whole)
        shown = f"{at}%{{visibility:visible}}"
        before = "0%{visibility:hidden}" if number else ""
        gone = f"{after}%,100%{{visibility:hidden}}" if number + 1 < len(bodies) else ""
        rules.append(f"@keyframes {name}{{{before}{shown}{gone}}}")
        hidden = ' visibility="hidden"' if number + 1 < len(bodies) else ""
        animation = f"{name} {_n(whole)}s step-end infinite"
        parts.append(f'<g class="av-page"{hidden} style="animation:{animation}">')
        parts.extend(body)
        parts.append("</g>")
        begin = end
    parts.insert(0, f"<style>{''.join(rules)}</style>")
    return _document(parts, wide, high, strip.title, strip.words, theme)


def stylesheet() -> str:
    """What styles live drawings inside of an element with the class av-light or av-dark.

    The colours are there as custom properties too, such as --av-ink.
    """
    return "\n".join(
        f".av-{theme}{{{''.join(f'--av-{name}:{value};' for name, value in colours.items())}}}"
        f"{_rules(f'.av-{theme}', colours)}"
        for theme, colours in (("light", _LIGHT), ("dark", _DARK))
    )


def _frames(strip: Strip) -> tuple[list[str], float, float]:
    """The frames side by side, each under its number."""
    drawn = _bodies(strip, legend=False)
    columns = max(1, min(strip.columns, len(drawn)))
    cell_wide = max((wide for _, wide, _ in drawn), default=0.0)
    cell_high = max((high for _, _, high in drawn), default=0.0) + SMALL
    parts: list[str] = []
    for number, (body, wide, _) in enumerate(drawn):
        row, column = divmod(number, columns)
        x, y = column * (cell_wide + MARGIN), row * (cell_high + MARGIN)
        caption = f"frame {number + 1} of {len(drawn)}"
        parts.append(_group(x, y))
        parts.append(
            f'<rect class="av-frame" x="{_n(MARGIN / 2)}" y="{_n(MARGIN / 2)}" '
            f'width="{_n(cell_wide)}" height="{_n(cell_high)}" rx="6"/>'
        )
        parts.extend(_text((Run(caption),), MARGIN, MARGIN + SMALL * 0.8, SMALL, "av-soft"))
        parts.append(
            f'<g transform="translate({_n((cell_wide - wide) / 2 + MARGIN / 2)} {_n(SMALL)})">'
        )
        parts.extend(body)
        parts.append("</g></g>")
    rows = math.ceil(len(drawn) / columns)
    wide, high = columns * (cell_wide + MARGIN), rows * (cell_high + MARGIN)
    return parts, *_below(parts, strip.frames[-1], wide, high + MARGIN)


def _paged(strip: Strip) -> tuple[list[list[str]], float, float]:
    """The parts of each frame, and the room of the largest, in whose middle the others stand."""
    drawn = _bodies(strip)
    wide = max(wide for _, wide, _ in drawn)
    high = max(high for _, _, high in drawn)
    return [[_group((wide - own) / 2, 0), *body, "</g>"] for body, own, _ in drawn], wide, high


def _bodies(strip: Strip, legend: bool = True) -> list[tuple[list[str], float, float]]:
    with progress("drawing the frames", len(strip.frames), "frames") as advance:
        drawn = []
        for frame in strip.frames:
            drawn.append(_body(frame, legend))
            advance(1)
    return drawn


def _group(x: float, y: float) -> str:
    return f'<g transform="translate({_n(x)} {_n(y)})">'


def _document(
    body: Sequence[str], wide: float, high: float, title: str, description: str, theme: str
) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="av av-{theme}" {_FONT} role="img" '
            f'aria-label={quoteattr(legal(title))} width="{_n(wide)}" height="{_n(high)}" '
            f'viewBox="0 0 {_n(wide)} {_n(high)}">',
            f"<title>{escape(legal(title))}</title>",
            f"<desc>{escape(legal(description))}</desc>",
            f"<style>{_css(theme)}</style>",
            f'<rect class="av-paper" width="{_n(wide)}" height="{_n(high)}" rx="6"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _css(theme: str) -> str:
    scope = f".av-{theme}"
    if theme == "auto":
        dark = f"@media (prefers-color-scheme: dark){{{_rules(scope, _DARK)}}}"
        return f"{_rules(scope, _LIGHT)}{dark}"
    return _rules(scope, _DARK if theme == "dark" else _LIGHT)


def _rules(scope: str, colour: dict[str, str]) -> str:
    alarm = colour["alarm-line"]
    rules = {
        ".av-paper": f"fill:{colour['paper']}",
        "text": f"fill:{colour['ink']}",
        ".av-soft": f"fill:{colour['soft']}",
        ".av-oval": f"fill:{colour['oval']};stroke:{colour['oval-line']};stroke-width:1.6",
        ".av-rect": f"fill:{colour['rect']};stroke:{colour['rect-line']};stroke-width:1.6",
        ".av-leaf": f"fill:{colour['leaf']};stroke:{colour['leaf-line']};stroke-width:1.6",
        ".av-ring": f"fill:none;stroke:{colour['leaf-line']};stroke-width:1.2",
        ".av-empty": f"fill:{colour['paper']};stroke-dasharray:5 4",
        ".av-alarm": f"fill:{colour['alarm']};stroke:{alarm};stroke-width:4",
        ".av-rule": f"stroke:{colour['soft']};stroke-width:1.2",
        ".av-bar": f"stroke:{colour['ink']};stroke-width:1",
        ".av-arrow": f"fill:none;stroke:{colour['ink']};stroke-width:1.5",
        ".av-head": f"fill:{colour['ink']}",
        ".av-frame": f"fill:none;stroke:{colour['soft']};stroke-width:1",
        ".av-more": "fill:none",
        ".av-constant": f"fill:{colour['given']};stroke:{colour['soft']};stroke-width:1.2",
        ".av-unused": f"fill:{colour['given']};stroke:{colour['soft']};stroke-dasharray:5 4",
        ".av-arrow.av-constant": "fill:none;stroke-dasharray:2 4",
        ".av-lit": f"stroke:{colour['lit']};stroke-width:4",
        ".av-head.av-lit": f"fill:{colour['lit']};stroke:none",
        ".av-dim": "opacity:.3",
        ".av-cut": f"stroke:{alarm};stroke-width:3;stroke-dasharray:7 5",
        ".av-head.av-cut": f"fill:{alarm};stroke:none",
        ".av-cross": f"fill:none;stroke:{alarm};stroke-width:4",
        ".av-cluster rect": f"fill:{colour['soft']};fill-opacity:.06;stroke:{colour['soft']};"
        "stroke-width:1.2",
        ".av-cluster .av-sign": f"fill:{colour['paper']};fill-opacity:1;stroke:none",
        ".av-cluster text": f"fill:{colour['soft']}",
        ".av-strong": f"fill:{colour['strong']};stroke:none",
        ".av-rect.av-zero": f"fill:{colour['paper']}",
        ".av-rect.av-nan": "stroke-dasharray:5 3",
        ".av-rect.av-absent": f"fill:{colour['paper']};stroke-dasharray:2 5",
        ".av-arrow.av-zero": "stroke-dasharray:9 6",
        ".av-arrow.av-absent": "stroke-dasharray:2 5",
        ".av-arrow.av-inf": f"stroke:{alarm};stroke-width:{THICK}",
        ".av-arrow.av-nan": f"stroke:{alarm};stroke-width:{THICK};stroke-dasharray:5 3",
        ".av-head.av-inf": f"fill:{alarm}",
        ".av-head.av-nan": f"fill:{alarm}",
    }
    return "".join(f"{scope} {selector}{{{rule}}}" for selector, rule in rules.items())


def _body(picture: Picture, legend: bool = True) -> tuple[list[str], float, float]:
    """The parts of a picture, and the room that they take."""
    sizes = {box.id: _box_size(box) for box in picture.boxes}
    placed = _placed(picture)
    parts: list[str] = [_group(MARGIN, MARGIN)]
    for arrow, points in zip(picture.arrows, placed.arrows, strict=True):
        if "hidden" not in arrow.marks:
            parts.append(_arrow(arrow, points[::-1] if picture.upward else points))
    for cluster, corners in zip(picture.clusters, placed.clusters, strict=False):
        parts.append(_cluster(cluster, *corners))
    for box in picture.boxes:
        if "hidden" not in box.marks:
            place = placed.boxes[box.id]
            parts.extend(_box(box, place.x, place.y, *sizes[box.id]))
    parts.append("</g>")
    wide, high = placed.width + 2 * MARGIN, placed.height + 2 * MARGIN
    if picture.formulas or picture.reserve:
        narrow = wide
        wide, high = _under(parts, picture, wide, high)
        parts[0] = _group(MARGIN + (wide - narrow) / 2, MARGIN)
    if picture.statements:
        wide, high = _beside(parts, picture.statements, wide, high)
    if legend and (picture.legend or picture.notes or picture.scale):
        wide, high = _below(parts, picture, wide, high)
    return parts, wide, high


def cost(picture: Picture) -> int:
    """About how much work the layout of a picture is, as `layout.estimate` says."""
    return layout.estimate([box.id for box in picture.boxes], _downward(picture))


def fits(picture: Picture) -> bool:
    """Whether a picture can be laid out with the effort of its style.

    What is surely small is not tried, nor what is surely too large. What is tried is kept.
    """
    effort = picture.style.effort or layout.EFFORT
    about = cost(picture)
    if about * SURE < effort or about > effort * SURE:
        return about < effort
    try:
        _placed(picture)
    except LayoutTooLargeError:
        return False
    return True


def _downward(picture: Picture) -> tuple[tuple[str, str], ...]:
    """Results stand above inputs in every view, so that a computation has one layout both ways."""
    return tuple(
        (arrow.target, arrow.source) if picture.upward else (arrow.source, arrow.target)
        for arrow in picture.arrows
    )


def _placed(picture: Picture) -> layout.Layout:
    """The layout; without frames around groups where these make it too large."""
    sizes = tuple((box.id, _box_size(box)) for box in picture.boxes)
    ovals = tuple(box.id for box in picture.boxes if box.shape == "oval")
    effort = picture.style.effort or layout.EFFORT
    key = sizes, _downward(picture), ovals, picture.style.engine, effort
    clusters = tuple(
        layout.Cluster(cluster.boxes, _title_size(cluster), cluster.outer)
        for cluster in picture.clusters
    )
    if clusters and cost(picture) < effort:
        with suppress(LayoutError):
            return _kept_layout(*key, clusters)
    return _kept_layout(*key)


@lru_cache(16)
def _kept_layout(
    sizes: tuple[tuple[str, tuple[float, float]], ...],
    arrows: tuple[tuple[str, str], ...],
    ovals: tuple[str, ...],
    engine: Engine,
    effort: int,
    clusters: tuple[layout.Cluster, ...] = (),
) -> layout.Layout:
    """The layout, kept for a while: the frames of a drawing all have the same."""
    return layout.place(
        dict(sizes),
        arrows,
        ovals=ovals,
        clusters=clusters,
        ordered=len(sizes) <= ORDERED,
        rank_gap=RANK_GAP,
        engine=engine,
        effort=effort,
    )


def _title_size(cluster: Cluster) -> tuple[float, float]:
    """The room of a frame's title, on its sign: below it is room for an arrow's head."""
    return round(measure(cluster.title, SMALL).width + 12, 2), SIGN


def _cluster(cluster: Cluster, first: layout.Point, last: layout.Point) -> str:
    """A frame from its first to its last corner; arrows run behind the sign with its title."""
    title = "".join(_text(cluster.title, first[0] + 12, first[1] + 19, SMALL))
    return (
        f'<g class="av-cluster"{_data(cluster.data)}><rect x="{_n(first[0])}" '
        f'y="{_n(first[1])}" width="{_n(last[0] - first[0])}" height="{_n(last[1] - first[1])}" '
        f'rx="10"/><rect class="av-sign" x="{_n(first[0] + 6)}" y="{_n(first[1] + 4)}" '
        f'width="{_n(_title_size(cluster)[0])}" height="{_n(SIGN)}" rx="5"/>{title}</g>'
    )


# Boxes


def _block(*blocks: Sequence[Line]) -> Size:
    """Room for the largest of some blocks of lines; all of its height counts as ascent."""
    taken = [_lines_size(lines) for lines in blocks]
    return Size(max(size.width for size in taken), max(size.ascent for size in taken), 0.0)


def _lines_size(lines: Sequence[Line]) -> Size:
    sizes = [measure(line, FONT) for line in lines]
    high = sum(size.ascent + size.descent for size in sizes) + LEADING * max(0, len(sizes) - 1)
    return Size(max((size.width for size in sizes), default=0.0), high, 0.0)


def _box_size(box: Box) -> tuple[float, float]:
    upper = _block(box.upper)
    if box.shape == "more":
        return upper.width + 10, upper.ascent + 6
    if box.shape == "group":
        lower = _block(box.lower or ((Run(" "),),), *box.reserve)
        behind = STACK if "stack" in box.marks else 0
        wide = max(upper.width, lower.width) + 28 + behind
        return round(wide, 2), round(upper.ascent + lower.ascent + 32 + behind, 2)
    if box.shape == "rect":
        upper = _block(box.upper, *box.reserve)
        return round(max(upper.width + 16, 34), 2), round(upper.ascent + 14, 2)
    if box.lower is None:
        wide, reach = upper.width, max(upper.ascent / 2, 13)
    else:
        lower = _block(box.lower or ((Run(" "),),), *box.reserve)
        wide, reach = max(upper.width, lower.width), max(upper.ascent, lower.ascent) + 7
    # An ellipse through the corners of the text: its height is chosen, its width follows.
    half_high = reach * 1.42 + 2
    half_wide = (wide / 2 + 5) / math.sqrt(1 - (reach / half_high) ** 2)
    ring = 5 if "leaf" in box.marks else 0
    return round(2 * (max(half_wide, half_high) + ring), 2), round(2 * (half_high + ring), 2)


def _box(box: Box, x: float, y: float, wide: float, high: float) -> Iterator[str]:
    data = _data(box.data)
    faded = " av-dim" if "dim" in box.marks else ""  # with its text
    yield f'<g class="av-box{faded}"{data}>'
    own = (mark for mark in box.marks if mark not in ("dim", "struck"))
    names = [f"av-{box.shape}", *(f"av-{mark}" for mark in own)]
    if box.shape == "oval":
        yield (
            f'<ellipse class="{" ".join(names)}" cx="{_n(x)}" cy="{_n(y)}" '
            f'rx="{_n(wide / 2)}" ry="{_n(high / 2)}"/>'
        )
        if "leaf" in box.marks:
            yield (
                f'<ellipse class="av-ring" cx="{_n(x)}" cy="{_n(y)}" '
                f'rx="{_n(wide / 2 - 4)}" ry="{_n(high / 2 - 4)}"/>'
            )
    elif box.shape == "group":
        if "stack" in box.marks:
            wide, high = wide - STACK, high - STACK
            left, top = x + STACK / 2 - wide / 2, y - STACK / 2 - high / 2
            yield (
                f'<rect class="av-oval {" ".join(names)}" x="{_n(left)}" y="{_n(top)}" '
                f'width="{_n(wide)}" height="{_n(high)}" rx="12"/>'
            )
            x, y = x - STACK / 2, y + STACK / 2
        yield (
            f'<rect class="av-oval {" ".join(names)}" x="{_n(x - wide / 2)}" '
            f'y="{_n(y - high / 2)}" width="{_n(wide)}" height="{_n(high)}" rx="12"/>'
        )
    elif box.shape == "rect":
        yield (
            f'<rect class="{" ".join(names)}" x="{_n(x - wide / 2)}" y="{_n(y - high / 2)}" '
            f'width="{_n(wide)}" height="{_n(high)}"/>'
        )
        if box.strength is not None:
            yield _strong(box.strength, x - wide / 2, y - high / 2, wide, high)
    if box.lower is None:
        lines = [*_lines(box.upper, x, y - _block(box.upper).ascent / 2, box.fills)]
        if "struck" in box.marks:  # on the text itself, whose colour the stroke then has
            lines[0] = lines[0].replace("<text", '<text text-decoration="line-through"', 1)
        yield from lines
    else:
        inset = 4 if "leaf" in box.marks else 0
        if box.shape == "group":
            y += 16 + _block(box.upper).ascent - high / 2  # an oval has its rule in the middle
        yield (
            f'<line class="av-rule" x1="{_n(x - wide / 2 + inset)}" y1="{_n(y)}" '
            f'x2="{_n(x + wide / 2 - inset)}" y2="{_n(y)}"/>'
        )
        yield from _lines(box.upper, x, y - 6 - _block(box.upper).ascent, box.fills)
        below = {number - len(box.upper): frame for number, frame in box.fills.items()}
        yield from _lines(box.lower, x, y + 7, below)
    yield "</g>"


def _strong(strength: float, left: float, top: float, wide: float, high: float) -> str:
    """The stronger colour over a rectangle's fill, within its outline."""
    return (
        f'<rect class="av-strong" x="{_n(left + 0.8)}" y="{_n(top + 0.8)}" '
        f'width="{_n(wide - 1.6)}" height="{_n(high - 1.6)}" '
        f'fill-opacity="{_n(FADED * strength)}"/>'
    )


def _data(data: Mapping[str, int | str]) -> str:
    return "".join(f" data-{key}={quoteattr(str(value))}" for key, value in data.items())


def _lines(
    lines: Sequence[Line], centre: float, top: float, fills: Mapping[int, int] | None = None
) -> Iterator[str]:
    for number, line in enumerate(lines):
        size = measure(line, FONT)
        text = _text(line, centre - size.width / 2, top + size.ascent, FONT)
        changes = any(isinstance(part, Run) and part.key is not None for part in line)
        if changes or number in (fills or {}):  # the page keeps it in the middle, and hides it
            kept = ' class="av-centred"' if changes else ""
            since = f' data-from="{fills[number]}"' if fills and number in fills else ""
            yield f"<g{kept}{since}>{''.join(text)}</g>"
        else:
            yield from text
        top += size.ascent + size.descent + LEADING


# Text


def _text(line: Line, x: float, y: float, size: float, name: str = "") -> Iterator[str]:
    """A line from x on, with its baseline at y."""
    for before, part in zip((None, *line), line, strict=False):
        x += lean(before, part, size)
        if isinstance(part, Frac):
            yield from _fraction(part, x, y, size)
        elif isinstance(part, Sup):
            yield from _text(part.raised, x, y - RAISE * size, size * SMALLER, name)
        elif part.text.strip() or part.key is not None:
            yield _run(part, x, y, size, name)
        x += measure((part,), size).width


def _run(run: Run, x: float, y: float, size: float, name: str) -> str:
    text = glyphs(run).strip()
    font = f' font-size="{_n(size)}"' + (f" {_CODE_FONT}" if run.style == "code" else "")
    if run.key is not None:
        return (
            f'<text data-key={quoteattr(run.key)} data-room="{_n(width(run, size))}" x="{_n(x)}" '
            f'y="{_n(y)}"{font}/>'
        )
    x += width(Run(run.text[: len(run.text) - len(run.text.lstrip())], run.style), size)
    # A sign that stands alone too: a wide "=" would leave no space beside it.
    room = width(Run(text, run.style), size)
    stretch = f' textLength="{_n(room)}" lengthAdjust="spacingAndGlyphs"' if room else ""
    style = ' font-style="italic"' if run.style == "math" else ""
    names = f' class="{name}"' if name else ""
    return (
        f'<text{names} x="{_n(x)}" y="{_n(y)}"{font}{style}{stretch}>{escape(legal(text))}</text>'
    )


def _fraction(frac: Frac, x: float, y: float, size: float) -> Iterator[str]:
    small = size * SMALLER
    above, below = measure(frac.above, small), measure(frac.below, small)
    room = max(above.width, below.width)
    left, bar, gap = x + FRACTION_PAD * size, y - AXIS * size, 0.1 * size
    yield from _text(frac.above, left + (room - above.width) / 2, bar - gap - above.descent, small)
    yield (
        f'<line class="av-bar" x1="{_n(left - 1)}" y1="{_n(bar)}" '
        f'x2="{_n(left + room + 1)}" y2="{_n(bar)}"/>'
    )
    yield from _text(frac.below, left + (room - below.width) / 2, bar + gap + below.ascent, small)


# Arrows


def _arrow(arrow: Arrow, points: Sequence[tuple[float, float]]) -> str:
    """A spline with a head whose tip is its last point, and a cross where a gradient stops."""
    (x, y), before = (
        points[-1],
        next(
            (point for point in reversed(points[:-1]) if math.dist(point, points[-1]) > 1e-6),
            points[0],
        ),
    )
    angle = math.atan2(y - before[1], x - before[0])
    thick = THICK if {"inf", "nan"}.intersection(arrow.marks) else _thickness(arrow.strength or 0)
    # longer for a thick line, which would hide it
    length = max(HEAD * (1.8 if "lit" in arrow.marks else 1), HEAD + 1.8 * (thick - THIN))
    back = x - length * math.cos(angle), y - length * math.sin(angle)
    side = length * 0.38
    corners = [
        (back[0] - side * math.sin(angle), back[1] + side * math.cos(angle)),
        (back[0] + side * math.sin(angle), back[1] - side * math.cos(angle)),
    ]
    # The line ends inside of the head, or it would blunt the tip.
    inner = x - 0.7 * length * math.cos(angle), y - 0.7 * length * math.sin(angle)
    curve = [*points[:-1], inner]
    path = f"M{_p(curve[0])}C" + " ".join(map(_p, curve[1:]))
    head = f"M{_p((x, y))}L{_p(corners[0])} {_p(corners[1])}Z"
    names = "".join(f" av-{mark}" for mark in arrow.marks)
    if "constant" in arrow.marks:  # no gradient travels here, so there is no head
        path = f"M{_p(points[0])}C" + " ".join(map(_p, points[1:]))
        return _grouped(arrow, f'<path class="av-arrow{names}" d="{path}"/>')
    style = "" if arrow.strength is None else f' style="stroke-width:{_n(thick)}"'
    names += "" if arrow.strength is None else " av-flow"
    drawn = (
        f'<path class="av-arrow{names}"{style} d="{path}"/>'
        f'<path class="av-head{names}" d="{head}"/>'
    )
    return _grouped(arrow, drawn + (_cross(points) if "cut" in arrow.marks else ""))


def _grouped(arrow: Arrow, drawn: str) -> str:
    return f"<g{_data(arrow.data)}>{drawn}</g>" if arrow.data else drawn


def _thickness(strength: float) -> float:
    return THIN + (THICK - THIN) * strength


def _cross(points: Sequence[tuple[float, float]]) -> str:
    """In the middle of an arrow, as far as its control points tell."""
    x, y = points[len(points) // 2]
    if len(points) == 4:  # one Bezier curve: its point at one half
        x, y = (
            (points[0][i] + 3 * points[1][i] + 3 * points[2][i] + points[3][i]) / 8 for i in (0, 1)
        )
    r = CROSS
    strokes = (
        f"M{_p((x - r, y - r))}L{_p((x + r, y + r))}M{_p((x - r, y + r))}L{_p((x + r, y - r))}"
    )
    return f'<path class="av-cross" d="{strokes}"/>'


# Around the drawing


def _beside(
    parts: list[str], statements: Sequence[tuple[str, bool]], wide: float, high: float
) -> tuple[float, float]:
    """The program's statements at the right, one below the other."""
    lines = [(Run(line, "code"),) for line, _ in statements]
    room = max(measure(line, SMALL).width for line in lines)
    for number, (line, (_, shown)) in enumerate(zip(lines, statements, strict=True)):
        if shown:
            parts.extend(_text(line, wide + MARGIN, MARGIN * 2 + number * SMALL * 1.7, SMALL))
    return wide + room + 2 * MARGIN, max(high, len(lines) * SMALL * 1.7 + 2 * MARGIN)


def _under(parts: list[str], picture: Picture, wide: float, high: float) -> tuple[float, float]:
    """Lines of mathematics below the drawing, in its middle."""
    size = _block(picture.formulas, *picture.reserve)
    wide = max(wide, size.width + 2 * MARGIN)
    parts.extend(_lines(picture.formulas, wide / 2, high))
    return wide, high + size.ascent + MARGIN


def _formula(formula: Formula) -> tuple[list[str], float, float]:
    size = measure(formula.line, FONT)
    parts = list(_text(formula.line, MARGIN / 2, MARGIN / 2 + size.ascent, FONT))
    return parts, size.width + MARGIN, size.ascent + size.descent + MARGIN


def _below(parts: list[str], picture: Picture, wide: float, high: float) -> tuple[float, float]:
    """The legend, wrapped to the picture's width, and the notes."""
    swatch = 26.0
    x, y = MARGIN, high + 4
    least = max(
        (swatch + 8 + measure((Run(meaning),), SMALL).width for meaning in picture.legend.values()),
        default=0.0,
    )
    wide = max(wide, least + 2 * MARGIN)
    for kind, meaning in picture.legend.items():
        room = swatch + 8 + measure((Run(meaning),), SMALL).width
        if x > MARGIN and x + room > wide - MARGIN:
            x, y = MARGIN, y + 24
        parts.append(_swatch(kind, x + swatch / 2, y))
        parts.extend(_text((Run(meaning),), x + swatch + 8, y + 5, SMALL, "av-soft"))
        x += room + 22
    y += 22 if picture.legend else 0
    if picture.scale:
        wide, y = _scale(parts, picture.scale, wide, y + 4)
    for note in picture.notes:
        for line in _wrapped(note, max(wide, 360) - 2 * MARGIN):
            parts.extend(_text((Run(line),), MARGIN, y + 5, SMALL, "av-soft"))
            wide = max(wide, measure((Run(line),), SMALL).width + 2 * MARGIN)
            y += 20
    return wide, y + 4


def _scale(
    parts: list[str], scale: Mapping[str, float], wide: float, y: float
) -> tuple[float, float]:
    """The samples of the scale: an arrow's width and a rectangle's fill for each number."""
    x = MARGIN
    for text, strength in scale.items():
        room = 60 + measure((Run(text),), SMALL).width
        if x > MARGIN and x + room > wide - MARGIN:
            x, y = MARGIN, y + 24
        thick = _n(_thickness(strength))
        line = f"M{_p((x, y))}L{_p((x + 26, y))}"
        parts.append(f'<path class="av-arrow av-flow" style="stroke-width:{thick}" d="{line}"/>')
        parts.append(_swatch("rect", x + 42, y))
        parts.append(_strong(strength, x + 30, y - 7, 24, 14))
        parts.extend(_text((Run(text),), x + 60, y + 5, SMALL, "av-soft"))
        wide = max(wide, x + room + MARGIN)
        x += room + 22
    return wide, y + 22


def _swatch(kind: str, x: float, y: float) -> str:
    if kind == "cut":
        return f'<path class="av-arrow av-cut" d="M{_p((x - 12, y))}L{_p((x + 12, y))}"/>'
    if kind in ("absent", "zero", "inf", "nan"):
        way = f"M{_p((x - 14, y))}L{_p((x + 14, y))}"
        return f'<path class="av-arrow av-{kind} av-flow" d="{way}"/>'
    if kind in ("rect", "empty", "none", "alarm"):
        names = {
            "none": "av-rect av-empty",
            "empty": "av-rect av-empty",
            "alarm": "av-rect av-alarm",
        }
        name = names.get(kind, "av-rect")
        return f'<rect class="{name}" x="{_n(x - 12)}" y="{_n(y - 7)}" width="24" height="14"/>'
    if kind == "more":
        return "".join(_text((Run("…"),), x - 7, y + 4, SMALL, "av-soft"))
    if kind in ("group", "stack"):
        behind = (3, 0) if kind == "stack" else (0,)
        return "".join(
            f'<rect class="av-oval" x="{_n(x - 13 + shift)}" y="{_n(y - 6 - shift)}" width="24" '
            f'height="14" rx="4"/>'
            for shift in behind
        )
    name = "av-oval" if kind == "oval" else f"av-oval av-{kind}"
    oval = f'<ellipse class="{name}" cx="{_n(x)}" cy="{_n(y)}" rx="13" ry="8"/>'
    if kind == "leaf":
        oval += f'<ellipse class="av-ring" cx="{_n(x)}" cy="{_n(y)}" rx="10" ry="5"/>'
    return oval


def _wrapped(note: str, room: float) -> Iterator[str]:
    line = ""
    for word in note.split():
        longer = f"{line} {word}".strip()
        if line and measure((Run(longer),), SMALL).width > room:
            yield line
            longer = word
        line = longer
    yield line


def _n(value: float) -> str:
    """A coordinate: two decimals at most, and never -0."""
    short = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def _p(point: tuple[float, float]) -> str:
    return f"{_n(point[0])},{_n(point[1])}"
