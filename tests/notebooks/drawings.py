"""Whether two SVGs show the same: the same parts in the same places, with the same words.

Colours, classes and dash patterns mean something, so that they must be equal. Of Matplotlib's ids
those that are made from a path's digits do not count, but what they stand for.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from tests.notebooks import texts
from tests.notebooks.tolerances import OPACITY, PIXELS, SHARE

Points = NDArray[np.float64]
FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
LENGTHS = {
    "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "viewBox",
    "points", "textLength", "data-room", "stroke-width",
}  # fmt: skip
OPACITIES = {"opacity", "fill-opacity", "stroke-opacity"}
WORDS = {"aria-label", "font-size"}
FLAT = np.linspace(0, 1, 13)[1:, None]  # where a Bézier curve is looked at
COMMANDS = {"M": 2, "L": 2, "Q": 4, "C": 6, "Z": 0}  # and how many numbers follow


class Part(NamedTuple):
    """An element of an SVG, with what it refers to in the place of a reference."""

    name: str
    attributes: dict[str, str]
    text: str
    parts: tuple["Part", ...]

    @property
    def kind(self) -> tuple[str, ...]:
        """What it is, wherever it may be."""
        told = {key: value for key, value in self.attributes.items() if key.startswith("data-")}
        told.pop("data-room", None)
        return self.name, self.attributes.get("class", ""), *(f"{k}={v}" for k, v in told.items())

    @property
    def words(self) -> str:
        """All texts in it, in their order."""
        return " ".join(filter(None, [self.text, *(part.words for part in self.parts)]))

    @property
    def stands_for_something(self) -> bool:
        """Whether a reader can find it by its name; else what it belongs to is told."""
        _, classes, *data = self.kind
        return bool(data or self.text or "av-arrow" in classes or self.attributes.get("id"))

    def __str__(self) -> str:
        name, classes, *data = self.kind
        if "av-box" in classes:
            what = "box"
        elif "av-arrow" in classes or {"data-edge", "data-link"} & {
            item.partition("=")[0] for item in data
        }:
            what = "arrow"
        elif name == "comment":
            what = "text"
        else:
            what = self.attributes.get("id") or f"{name} {classes}".strip()
        told = ", ".join(item.removeprefix("data-") for item in data)
        words = f" “{self.words[:40]}”" if self.words and name != "style" else ""
        return f"{what}{words}{f' ({told})' if told else ''}"


@lru_cache(maxsize=4)  # a picture stands as SVG and as an image in one output
def difference(stored: str, fresh: str) -> str | None:
    """Returns in words where the SVGs first show different things, or None."""
    if stored == fresh:
        return None
    return _part_difference(_read(stored), _read(fresh), "picture", PIXELS)


@lru_cache(maxsize=4)
def _read(svg: str) -> Part:
    builder = ElementTree.TreeBuilder(insert_comments=True)
    root = ElementTree.fromstring(svg, ElementTree.XMLParser(target=builder))
    targets = {element.get("id", ""): element for element in root.iter()}
    read: dict[str, Part] = {}

    def target(name: str) -> Part:
        if name not in read:
            read[name] = part(targets[name])
            read[name].attributes.pop("id")  # may be made from the path's digits
        return read[name]

    def part(element: ElementTree.Element) -> Part:
        attributes = {_local(name): value for name, value in element.attrib.items()}
        inner = list(parts(element))
        for name in ("href", "clip-path"):
            if found := re.search(r"#([\w-]+)", attributes.get(name, "")):
                inner.append(target(found[1]))
                del attributes[name]
        return Part(_local(element.tag), attributes, (element.text or "").strip(), tuple(inner))

    def parts(element: ElementTree.Element) -> Iterator[Part]:
        for child in element:
            if not isinstance(child.tag, str):  # Matplotlib says there what its outlines spell
                yield Part("comment", {}, (child.text or "").strip(), ())
            elif _local(child.tag) == "defs":
                yield from (part(style) for style in child if _local(style.tag) == "style")
            elif _local(child.tag) != "metadata":
                yield part(child)

    return part(root)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _part_difference(old: Part, new: Part, where: str, reach: float) -> str | None:
    if old == new:
        return None
    if old.stands_for_something:
        where = str(old)
    if old.attributes.keys() != new.attributes.keys():
        names = sorted(old.attributes.keys() ^ new.attributes.keys())
        return f"{where}: {', '.join(names)} is there on one side only"
    for name, value in old.attributes.items():
        if found := _attribute_difference(name, value, new.attributes[name], reach):
            return f"{where}: {found}"
    if found := texts.difference(old.text, new.text):
        return f"{where}: {found}"
    if old.attributes.get("id", "").startswith("axes_"):
        reach = _axes_reach(old)
    return _inner_difference(old.parts, new.parts, where, reach)


def _inner_difference(
    old: tuple[Part, ...], new: tuple[Part, ...], where: str, reach: float
) -> str | None:
    before, after = Counter(part.kind for part in old), Counter(part.kind for part in new)
    if before != after:
        gone = [f"no longer there: {part}" for part in old if before[part.kind] > after[part.kind]]
        added = [f"new: {part}" for part in new if after[part.kind] > before[part.kind]]
        return f"{where}: {'; '.join([*gone[:1], *added[:1]])}"
    for was, now in zip(old, new, strict=True):
        if was.kind != now.kind:
            return f"{where}: {now} stands in the place of {was}"
        if found := _part_difference(was, now, where, reach):
            return found
        if was.name == "comment" and was != now:
            return None  # the text is the same but for rounding; its outlines need not be
    return None


def _axes_reach(axes: Part) -> float:
    """Returns how far what is drawn in axes of Matplotlib may move; their patch comes first."""
    _, corners = zip(*_subpaths(axes.parts[0].parts[0].attributes["d"]), strict=True)
    sides = np.ptp(np.vstack(corners), axis=0)
    return max(PIXELS, SHARE * float(sides.min()))


def _attribute_difference(name: str, old: str, new: str, reach: float) -> str | None:
    if old == new:
        return None
    if name == "d":
        return _path_difference(old, new, reach)
    if name == "style":
        return _style_difference(old, new)
    if name in WORDS:
        return texts.difference(old, new)
    limit = reach if name in LENGTHS else OPACITY if name in OPACITIES else None
    if name == "transform":
        near = _moves_are_near(old, new, reach)
    else:
        near = limit is not None and _are_near(old, new, limit)
    return None if near else f"{name} is {new} instead of {old}"


def _style_difference(old: str, new: str) -> str | None:
    before, after = (
        dict(item.strip().split(":", 1) for item in style.split(";") if item.strip())
        for style in (old, new)
    )
    if before.keys() != after.keys():
        return f"style is “{new}” instead of “{old}”"
    found = (_attribute_difference(name, before[name], after[name], PIXELS) for name in before)
    return next(filter(None, found), None)


def _are_near(old: str, new: str, limit: float) -> bool:
    if FLOAT.sub("", old) != FLOAT.sub("", new):
        return False
    before, after = ([float(found) for found in FLOAT.findall(text)] for text in (old, new))
    return all(abs(a - b) <= limit for a, b in zip(before, after, strict=True))


def _moves_are_near(old: str, new: str, reach: float) -> bool:
    """Returns whether two transforms agree: shifts by `reach`, turns and scales as numbers do."""
    turns = re.compile(r"(?:scale|rotate)\([^)]*\)")
    if texts.difference(*(" ".join(turns.findall(text)) for text in (old, new))):
        return False
    return _are_near(turns.sub("", old), turns.sub("", new), reach)


# Curves


def _path_difference(old: str, new: str, reach: float) -> str | None:
    before, after = _subpaths(old), _subpaths(new)
    if [closed for closed, _ in before] != [closed for closed, _ in after]:
        return f"the curve has {len(after)} pieces instead of {len(before)}, or other closed ones"
    for (_, was), (_, now) in zip(before, after, strict=True):
        if was.shape == now.shape and np.abs(was - now).max() <= reach:
            continue
        for points, line in ((now, was), (was, now)):
            far = _distances(points, line)
            if far.max() > reach:
                x, y = points[far.argmax()]
                return (
                    f"the curve is {far.max():.1f} px away from where it was, at {x:.1f}, {y:.1f}"
                )
    return None


def _subpaths(d: str) -> list[tuple[bool, Points]]:
    """Returns the pieces of a path, each whether it is closed and its points, curves cut fine."""
    pieces: list[tuple[bool, list[Points]]] = []
    for command, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", d):
        size = COMMANDS[command.upper()]
        if size == 0:
            pieces[-1] = True, pieces[-1][1]
            continue
        numbers = np.array(FLOAT.findall(rest), dtype=float)
        for number, points in enumerate(numbers.reshape(-1, size // 2, 2)):
            if command == "M" and number == 0:
                pieces.append((False, [points]))
            else:
                drawn = pieces[-1][1]
                drawn.append(_bezier(np.vstack([drawn[-1][-1], points])))
    return [
        (closed, np.vstack([*points, points[0]] if closed else points)) for closed, points in pieces
    ]


def _bezier(points: Points) -> Points:
    """Returns points on the Bézier curve with these control points, without its first."""
    if len(points) == 2:
        return points[1:]
    on = [point + np.zeros_like(FLAT) for point in points]
    while len(on) > 1:
        on = [a + FLAT * (b - a) for a, b in itertools.pairwise(on)]
    return on[0]


def _distances(points: Points, line: Points) -> Points:
    """Returns how far each point is from the line through the points of another curve."""
    if len(line) == 1:
        return np.hypot(*(points - line[0]).T)
    begin, way = line[:-1], np.diff(line, axis=0)
    length = np.maximum((way**2).sum(axis=1), 1e-12)
    share = ((points[:, None] - begin) * way).sum(axis=2) / length
    nearest = begin + share.clip(0, 1)[..., None] * way
    return np.hypot(*np.moveaxis(points[:, None] - nearest, 2, 0)).min(axis=1)
