"""Figures that follow a widget's inputs, compared with torch's own numbers."""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any, cast

import ipywidgets
import matplotlib
import pytest
import torch
import traitlets
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb

import autograd_viz as av
from autograd_viz.widgets import companions
from autograd_viz.widgets.companion_words import arrow_tip
from autograd_viz.widgets.companions import contour_plot, tangent_plot
from autograd_viz.widgets.grids import CELLS, MOST_GRIDS, STRIDES, Grids, axis_of

RUNS = {axes: (cells + 1) ** axes for axes, cells in CELLS.items()}  # of the finest grid
COARSE = {axes: (cells // STRIDES[0] + 1) ** axes for axes, cells in CELLS.items()}


def main_example(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


class Followed(traitlets.HasTraits):
    """A widget's inputs, and its program at them."""

    inputs = traitlets.Dict()

    def __init__(self, f: Any, controls: Any = (), **inputs: Any) -> None:
        self.calls = 0

        @functools.wraps(f)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return f(*args, **kwargs)

        self.controls = controls
        super().__init__(inputs=inputs)
        self.program = av.program(counted, **inputs)

    @traitlets.observe("inputs")
    def _moved(self, change: Any) -> None:
        if hasattr(self, "program"):
            self.program = self.program.at(**self.inputs)


SLIDERS = [{"name": name, "min": 0.5, "max": 8.0, "step": 0.25} for name in "ab"]


def followed() -> Followed:
    return Followed(main_example, SLIDERS, a=2.0, b=4.0)


def axes_of(plot: companions.Companion) -> Any:
    (axes,) = plot.figure.axes
    return axes


def lines(figure: Any) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[0].lines}


def slope_of(line: Any) -> float:
    (x0, x1), (y0, y1) = line.get_data()
    return float((y1 - y0) / (x1 - x0))


def numbers_of(f: Any, **inputs: Any) -> tuple[float, list[float]]:
    """The value and the gradient, by torch alone."""
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in inputs.items()}
    value = f(**leaves)
    grads = torch.autograd.grad(value, list(leaves.values()))
    return value.item(), [grad.item() for grad in grads]


# The tangent


def test_the_curve_and_its_tangent_are_torchs():
    plot = tangent_plot(followed(), "a")
    drawn = lines(plot.figure)
    assert list(drawn) == ["e", "tangent: slope = ∂e/∂a = 10.6562", "a = 2: e = 12"]
    xs, ys = drawn["e"].get_data()
    assert (xs[0], xs[-1], len(xs)) == (0.5, 8.0, RUNS[1])
    for x, y in zip(xs, ys, strict=True):
        assert y == main_example(torch.tensor(float(x)), torch.tensor(4.0)).item()
    _, (slope, _) = numbers_of(main_example, a=2.0, b=4.0)
    tangent = drawn["tangent: slope = ∂e/∂a = 10.6562"]
    assert slope_of(tangent) == pytest.approx(slope, rel=1e-6)
    x, y = tangent.get_data()
    assert y[0] + slope * (2.0 - x[0]) == pytest.approx(12.0)
    assert [list(each) for each in drawn["a = 2: e = 12"].get_data()] == [[2.0], [12.0]]


def test_it_says_what_it_shows():
    plot = tangent_plot(followed(), "a")
    assert plot.words.splitlines()[:4] == [
        "Tangent of e along a, at b = 4",
        "a = 2: e = 12, slope = ∂e/∂a = 10.6562",
        "a       e",
        "0.5     -9",
    ]
    assert plot.words.splitlines()[-1].split() == ["8", "72"]
    assert str(plot) == plot.words
    assert plot.tooltip == "e along a, at b = 4. a = 2: e = 12, ∂e/∂a = 10.6562"


@pytest.mark.parametrize("plot", ["tangent", "contour"])
def test_it_shows_itself_live_as_a_picture_and_in_words(plot):
    names = ("a",) if plot == "tangent" else ("a", "b")
    shown = getattr(companions, f"{plot}_plot")(followed(), *names)
    bundle, _ = DisplayFormatter().format(shown)
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == shown.model_id
    assert bundle["text/plain"] == shown.words
    assert bundle["text/html"].startswith('<img src="data:image/svg+xml;base64,')
    assert "∂e/∂a = 10.6562" in bundle["text/html"]
    again = getattr(companions, f"{plot}_plot")(followed(), *names)
    assert again.svg == shown.svg
    assert "date" not in shown.svg.lower()


@pytest.mark.parametrize("plot", ["tangent", "contour"])
def test_after_many_moves_the_bytes_are_those_of_a_fresh_figure(plot):
    names = ("a",) if plot == "tangent" else ("a", "b")
    make = getattr(companions, f"{plot}_plot")
    w = followed()
    shown = make(w, *names)
    for a, b in [(3.0, 4.0), (3.0, 5.0), (-1.0, 5.0), (7.75, 0.5), (2.5, 3.0)]:
        w.inputs = {"a": a, "b": b}
        assert f"a = {a:g}" in shown.words or f"a = {a:.4f}" in shown.words
    fresh = make(Followed(main_example, SLIDERS, a=2.5, b=3.0), *names)
    assert shown.svg == fresh.svg
    assert shown.words == fresh.words


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_light_and_dark(theme):
    for plot in (
        tangent_plot(followed(), "a", theme=theme),
        contour_plot(followed(), "a", "b", theme=theme),
    ):
        paper = sum(to_rgb(plot.figure.get_facecolor()))
        ink = sum(to_rgb(plot.figure.texts[0].get_color()))
        assert (paper < 0.5 and ink > 2.5) if theme == "dark" else (paper > 2.5 and ink < 0.5)


def test_all_text_stays_inside_of_the_figure():
    w = Followed(
        lambda first, second, third: first * second.sum() * third,
        first=1234567.0,
        second=[123.456, -7654.321, 0.001, 9.0],
        third=-0.25,
    )
    for plot in (tangent_plot(w, "second[1]"), contour_plot(w, "first", "second[0]")):
        figure: Any = plot.figure
        figure.draw_without_rendering()
        whole = figure.bbox
        (axes,) = figure.axes
        parts = [*figure.texts, axes.get_legend(), axes.xaxis.label, axes.yaxis.label]
        boxes = [part.get_window_extent() for part in parts]
        for box in boxes:
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
            assert whole.y0 <= box.y0 <= box.y1 <= whole.y1
        assert not boxes[-3].overlaps(boxes[-2])  # the legend and the axis's name
        offsets = axes.yaxis.get_offset_text().get_window_extent()
        assert not any(offsets.overlaps(box) for box in boxes)


# The contour lines


def test_the_lines_and_the_arrow_are_torchs():
    w = followed()
    plot = contour_plot(w, "a", "b")
    axes = axes_of(plot)
    contours = axes.collections[0]
    checked = 0
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        for a, b in path.vertices:
            value = main_example(torch.tensor(a), torch.tensor(b)).item()
            assert value == pytest.approx(level, abs=1.5)  # between the points of the grid
            checked += 1
    assert checked > 100
    _, (da, db) = numbers_of(main_example, a=2.0, b=4.0)
    arrow = next(text for text in axes.texts if hasattr(text, "arrow_patch"))
    (x, y), (x0, y0) = arrow.xy, arrow.xyann
    assert (x0, y0) == (2.0, 4.0)
    assert math.atan2(y - y0, x - x0) == pytest.approx(math.atan2(-db, -da))
    assert math.hypot((x - x0) / 7.5, (y - y0) / 7.5) == pytest.approx(0.16)
    assert axes.get_aspect() == 1.0  # so that the arrow is seen at right angles to the lines
    assert "downhill: −(∂e/∂a, ∂e/∂b) = (-10.6562, -4.1640)" in lines(plot.figure)


def test_the_contour_words_have_the_values():
    rows = contour_plot(followed(), "a", "b").words.splitlines()
    assert rows[0] == "Contour lines of e over a and b"
    assert rows[3].split() == ["b\\a", "0.5", "2.375", "4.25", "6.125", "8"]
    for row in rows[4:9]:
        b, *values = map(float, row.split())
        for a, value in zip((0.5, 2.375, 4.25, 6.125, 8.0), values, strict=True):
            true = main_example(torch.tensor(a), torch.tensor(b)).item()
            assert value == pytest.approx(true, abs=1e-4)


def test_without_a_gradient_there_is_no_arrow():
    bowl = contour_plot(Followed(lambda a, b: a * a + b * b, a=0.0, b=0.0), "a", "b")
    assert "no arrow: ∂(a * a + b * b)/∂a = 0, ∂(a * a + b * b)/∂b = 0" in lines(bowl.figure)
    assert arrow_tip(bowl._grid, SimpleNamespace(known=(0.0, 0.0), value=1.0)) is None  # type: ignore[arg-type]
    unused = contour_plot(Followed(lambda a, b: a * a, a=1.0, b=0.0), "a", "b")
    assert "no gradient arrives: ∂(a * a)/∂b" in unused.words
    constant = tangent_plot(Followed(lambda a: (a * 0 + 3).detach(), a=1.0), "a")
    assert "slope = ∂" in constant.words
    assert "= no gradient" in constant.words


# Following


def test_it_follows_the_inputs():
    w = followed()
    tangent, contour = tangent_plot(w, "a"), contour_plot(w, "a", "b")
    w.inputs = {"a": 3.0, "b": 5.0}
    value, (da, db) = numbers_of(main_example, a=3.0, b=5.0)
    assert f"a = 3: e = {value:.4f}, slope = ∂e/∂a = {da:.4f}" in tangent.words
    assert f"∂e/∂a = {da:.4f}, ∂e/∂b = {db:.4f}" in contour.words
    drawn = lines(tangent.figure)
    assert slope_of(drawn[f"tangent: slope = ∂e/∂a = {da:.4f}"]) == pytest.approx(da, rel=1e-6)
    _, ys = drawn["e"].get_data()
    assert ys[-1] == main_example(torch.tensor(8.0), torch.tensor(5.0)).item()


def test_the_values_are_computed_once_for_each_combination_of_the_other_inputs():
    w = followed()
    tangent = tangent_plot(w, "a")
    w.calls = 0
    for a in (3.0, 3.25, 3.5, 2.0):  # along the axis: only the widget's own runs
        w.inputs = {"a": a, "b": 4.0}
        assert tangent.words
    assert w.calls == 4
    w.inputs = {"a": 2.0, "b": 5.0}
    assert tangent.words
    assert w.calls == 5 + RUNS[1]
    w.inputs = {"a": 2.0, "b": 4.0}  # back again
    assert tangent.words
    assert w.calls == 6 + RUNS[1]


def test_a_bounded_number_of_grids_is_kept():
    program = followed().program
    grids = Grids((axis_of(program, "a", 0.5, 8.0),))
    kept = [grids.of(program.at(b=1.0 + b)) for b in range(MOST_GRIDS + 5)]
    assert len(grids._kept) == MOST_GRIDS
    assert grids.of(program.at(b=1.0 + MOST_GRIDS)) is kept[MOST_GRIDS]
    assert grids.of(program.at(b=1.0)) is not kept[0]


def test_nothing_is_computed_while_nobody_looks():
    async def run() -> None:
        w = followed()
        plots = tangent_plot(w, "a"), contour_plot(w, "a", "b")
        w.calls = 0
        for b in (5.0, 6.0, 7.0):
            w.inputs = {"a": 2.0, "b": b}
            await asyncio.sleep(0.05)
        assert w.calls == 3
        assert [plot.drawn for plot in plots] == [1, 1]

    asyncio.run(run())


async def until_done(plot: companions.Companion) -> None:
    await asyncio.sleep(0.01)
    while plot._task is not None and not plot._task.done():
        await asyncio.sleep(0.01)


def test_dragging_draws_some_of_the_inputs_and_always_the_last():
    async def run() -> None:
        w = followed()
        plot = tangent_plot(w, "a")
        plot.set_state({"_view_count": 1})  # as the page does when it shows it
        await until_done(plot)
        assert plot.drawn == 1  # it is up to date already
        w.calls = 0
        ticks = 40
        for tick in range(1, ticks + 1):
            w.inputs = {"a": 2.0, "b": 4.0 + tick / 10}
            if tick % 10 == 0:
                await asyncio.sleep(0)  # what comes together is drawn once
        await until_done(plot)
        assert 2 <= plot.drawn <= 8
        assert w.calls <= ticks + (plot.drawn - 1) * RUNS[1]
        assert "at b = 8\n" in plot._words
        assert bytes(plot.value).decode() == tangent_plot(w, "a").svg

    asyncio.run(run())


def test_a_slow_function_is_drawn_coarsely_first_and_finely_while_idle(monkeypatch):
    monkeypatch.setattr(companions, "BUDGET", 0.0)

    async def run() -> None:
        w = Followed(lambda a, b, c: a * a * b + c, a=1.0, b=1.0, c=1.0)
        plot = contour_plot(w, "a", "b")
        plot.set_state({"_view_count": 1})
        w.calls = 0
        for c in (2.0, 3.0, 4.0, 5.0):
            w.inputs = {"a": 1.0, "b": 1.0, "c": c}
            before = plot.drawn
            while plot.drawn == before:
                await asyncio.sleep(0)
            assert plot._grid.stride == STRIDES[0]
        assert w.calls == 4 * (1 + COARSE[2])
        await until_done(plot)
        assert plot._grid.complete
        assert w.calls == 4 + 3 * COARSE[2] + RUNS[2]
        assert plot.svg == contour_plot(w, "a", "b").svg

    asyncio.run(run())


def test_it_is_drawn_when_somebody_looks_again():
    async def run() -> None:
        w = followed()
        plot = tangent_plot(w, "a")
        plot.set_state({"_view_count": 1})
        plot.set_state({"_view_count": 0})
        w.inputs = {"a": 2.0, "b": 5.0}
        await asyncio.sleep(0.05)
        assert plot.drawn == 1
        plot.set_state({"_view_count": 1})
        await until_done(plot)
        assert plot.drawn == 2
        assert "at b = 5" in plot._words

    asyncio.run(run())


def test_inputs_that_another_thread_sets_are_drawn_in_the_loop():
    async def run() -> None:
        w = followed()
        plot = tangent_plot(w, "a")
        plot.set_state({"_view_count": 1})

        def move() -> None:
            w.inputs = {"a": 2.0, "b": 5.0}

        thread = threading.Thread(target=move)
        thread.start()
        thread.join()
        await asyncio.sleep(0)
        await until_done(plot)
        assert "at b = 5" in plot._words

    asyncio.run(run())


def test_a_page_that_speaks_in_a_thread_with_a_loop_of_its_own():
    async def run() -> None:
        w = followed()
        plot = tangent_plot(w, "a")
        drawing: list[int] = []
        plot.observe(lambda change: drawing.append(threading.get_ident()), "value")

        async def say() -> None:
            plot.set_state({"_view_count": 1})
            w.inputs = {"a": 2.0, "b": 5.0}
            await asyncio.sleep(0.1)

        await asyncio.to_thread(asyncio.run, say())
        await until_done(plot)
        assert "at b = 5" in plot._words
        assert set(drawing) == {threading.get_ident()}

    asyncio.run(run())


def test_a_closed_one_follows_no_longer():
    async def run() -> None:
        w = followed()
        plot = tangent_plot(w, "a")
        other = tangent_plot(w, "b")
        plot.set_state({"_view_count": 1})
        w.inputs = {"a": 2.0, "b": 5.0}
        plot.close()
        await asyncio.sleep(0.05)
        assert plot.drawn == 1
        plot.close()  # twice does no harm
        assert len(w._trait_notifiers["inputs"]["change"]) == 2  # its own and the other's
        w.inputs = {"a": 3.0, "b": 5.0}
        assert plot.drawn == 1
        assert "at a = 3" in other.words
        assert plot.figure is not None  # as it was

    asyncio.run(run())


def test_figures_of_one_widget_are_independent():
    w = followed()
    first, second = tangent_plot(w, "a"), tangent_plot(w, "a", theme="dark")
    assert first.model_id != second.model_id
    first.close()
    w.inputs = {"a": 4.0, "b": 4.0}
    assert "a = 4: e = 32" in second.words


# Domains, vectors, choices


def test_where_the_function_is_not_defined_the_figure_is_blank_and_says_so():
    sliders = [{"name": "a", "min": -2.0, "max": 8.0}, {"name": "b", "min": -2.0, "max": 8.0}]
    w = Followed(main_example, sliders, a=2.0, b=4.0)
    plot = tangent_plot(w, "a")
    xs, ys = lines(plot.figure)["e"].get_data()
    assert [math.isnan(y) for y in ys] == [x <= 0 for x in xs]  # at 0 it is -inf
    assert "blank: e is -inf or NaN at 17 of 81 points (a from -2 to 0)" in plot.words
    shown = [text.get_text() for text in plot.figure.texts]
    assert any("blank: e is -inf or NaN at 17" in text for text in shown)
    contour = contour_plot(w, "a", "b")
    assert "(a from -2 to -0.125, b from -2 to -0.125)" in contour.words
    axes = axes_of(contour)
    for path in axes.collections[0].get_paths():
        assert (path.vertices > 0).all()
    w.inputs = {"a": -1.0, "b": 4.0}
    assert "e is NaN here: no point is drawn" in plot.words
    assert list(lines(plot.figure)) == ["e"]
    assert "no arrow" in " ".join(lines(contour.figure))
    w.inputs = {"a": 2.0, "b": -1.0}
    assert "blank: e is NaN at 81 of 81 points (a from -2 to 8)" in plot.words


def test_what_the_function_raises_is_said():
    def picky(a):
        if a < 0:
            raise ValueError("a must not be negative")
        return a * 2

    plot = tangent_plot(Followed(picky, a=1.0), "a", interval=(-4.0, 4.0))
    assert "at 40 points the function raised ValueError: a must not be negative" in plot.words


def test_a_pole_does_not_flatten_the_rest():
    plot = tangent_plot(Followed(lambda a: 1 / a, a=1.0), "a", interval=(-4.0, 4.0))
    low, high = plot.figure.axes[0].get_ylim()
    assert -20 < low < -2
    assert 2 < high < 20
    _, ys = lines(plot.figure)["1 / a"].get_data()
    assert not any(y0 * y1 < 0 for y0, y1 in itertools.pairwise(ys))  # no line across it


def test_vectors_choices_and_bools():
    def chosen(x, op, flip, n: int, s):
        y = op(x)
        z = (y * y).sum() * s / n
        return -z if flip else z

    inputs = {"x": [1.0, 2.0], "op": torch.sin, "flip": True, "n": 2, "s": 3.0}
    w = Followed(chosen, **inputs)
    plot, contour = tangent_plot(w, "x[0]"), contour_plot(w, "x[1]", "s")
    x, s = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(3.0, requires_grad=True)
    value = chosen(x, torch.sin, True, 2, s)
    value.backward()
    assert x.grad is not None
    assert s.grad is not None
    title = "Tangent of chosen along x[0], at x[1] = 2, op = sin, flip = True, n = 2, s = 3"
    assert plot.words.splitlines()[0] == title
    said = f"x[0] = 1: chosen = {value.item():.4f}, slope = ∂chosen/∂x[0] = {x.grad[0]:.4f}"
    assert said in plot.words
    xs, ys = lines(plot.figure)["chosen"].get_data()
    for place, y in zip(xs, ys, strict=True):
        assert y == chosen(torch.tensor([float(place), 2.0]), torch.sin, True, 2, torch.tensor(3.0))
    assert f"∂chosen/∂x[1] = {x.grad[1]:.4f}, ∂chosen/∂s = {s.grad:.4f}" in contour.words
    w.inputs = {**inputs, "op": torch.cos, "flip": False}
    assert "op = cos, flip = False" in plot.words
    _, ys = lines(plot.figure)["z"].get_data()  # what it returns has a name on this branch
    assert ys[-1] == chosen(
        torch.tensor([float(xs[-1]), 2.0]), torch.cos, False, 2, torch.tensor(3.0)
    )
    w.inputs = {**inputs, "x": [1.0, 2.5]}
    assert "x[1] = 2.5" in plot.words


def test_without_a_slider_the_interval_lies_around_the_value():
    assert tangent_plot(Followed(lambda a: a * a, a=10.0), "a")._grid.axes[0].low == 0.0
    assert tangent_plot(Followed(lambda a: a * a, a=0.5), "a")._grid.axes[0].high == 2.5


def test_a_value_outside_of_the_interval_makes_it_longer():
    w = followed()
    plot = tangent_plot(w, "a")
    w.inputs = {"a": 10.0, "b": 4.0}
    assert plot.figure.axes[0].get_xlim() == (0.5, 10.0)
    w.inputs = {"a": 2.0, "b": 4.0}
    assert plot.figure.axes[0].get_xlim() == (0.5, 8.0)


def test_random_numbers_are_the_same_at_each_point_and_the_generators_state_stays():
    def noisy(a):
        print("not repeated at each point")
        return a * torch.rand(())

    w = Followed(noisy, a=1.0)
    state = torch.get_rng_state()
    plot = tangent_plot(w, "a")
    assert torch.equal(torch.get_rng_state(), state)
    xs, ys = axes_of(plot).lines[0].get_data()
    slopes = [y / x for x, y in zip(xs, ys, strict=True) if x]
    assert max(slopes) == pytest.approx(min(slopes))


def test_what_the_function_prints_is_not_repeated(capsys):
    def talking(a):
        print("hello")
        return a * 2

    w = Followed(talking, a=1.0)
    assert capsys.readouterr().out == "hello\n"
    assert tangent_plot(w, "a").words
    assert capsys.readouterr().out == ""


def test_what_other_threads_print_is_not_lost(capsys):
    def talking(a):
        thread = threading.Thread(target=print, args=("somebody else",))
        thread.start()
        thread.join()
        return a * 2

    w = Followed(talking, a=1.0)
    assert tangent_plot(w, "a").words
    assert capsys.readouterr().out == "somebody else\n" * (1 + RUNS[1])


def test_nothing_of_the_users_is_changed():
    given = torch.tensor([1.0, 2.0], requires_grad=True)
    plot = tangent_plot(Followed(lambda x: (x * x).sum(), x=given), "x[1]")
    assert "slope = ∂(x * x).sum()/∂x[1] = 4" in plot.words or "= 4" in plot.words
    assert given.grad is None
    assert given.tolist() == [1.0, 2.0]
    settings = dict(matplotlib.rcParams)
    assert contour_plot(followed(), "a", "b").svg
    assert dict(matplotlib.rcParams) == settings


# Errors


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda w: tangent_plot(w, "z"), ValueError, "no input 'z'; .*: a, b, x"),
        (lambda w: tangent_plot(w, cast(Any, 3)), TypeError, r"w\.tangent_plot\('a'\)"),
        (lambda w: tangent_plot(w, "n"), TypeError, "n is 2, which is no floating-point number"),
        (lambda w: tangent_plot(w, "x"), TypeError, r"x has shape \[2\]"),
        (lambda w: tangent_plot(w, "x[5]"), TypeError, r"x has shape \[2\]"),
        (lambda w: tangent_plot(w, "a", interval=(3.0, 3.0)), ValueError, "from 3 to 3"),
        (lambda w: tangent_plot(w, "a", interval=cast(Any, 3)), TypeError, "of a is 3; give two"),
        (
            lambda w: tangent_plot(w, "a", interval=cast(Any, (1, "x"))),
            TypeError,
            "give two numbers",
        ),
        (lambda w: contour_plot(w, "a", "b", intervals=cast(Any, 3)), TypeError, "one for each"),
        (lambda w: contour_plot(w, "a", "b", intervals=cast(Any, (1, 2))), TypeError, "of a is 1;"),
        (
            lambda w: tangent_plot(w, "a", theme=cast(Any, "blue")),
            ValueError,
            "'auto', 'light', 'dark'",
        ),
        (lambda w: contour_plot(w, "a", "a"), ValueError, "give two inputs"),
        (lambda w: tangent_plot(object(), "a"), TypeError, r"av\.explore"),
    ],
)
def test_errors_name_the_remedy(call, error, says):
    w = Followed(lambda a, b, x, n: (a * b * x).sum() * n, a=1.0, b=2.0, x=[1.0, 2.0], n=2)
    w.program = av.program(typed, a=1.0, b=2.0, x=[1.0, 2.0], n=2)
    with pytest.raises(error, match=says):
        call(w)


def typed(a, b, x, n: int):
    return (a * b * x).sum() * n


def test_a_function_of_several_numbers_has_no_plot():
    with pytest.raises(ValueError, match=r"shape \[2\].*return y\.sum\(\)"):
        tangent_plot(Followed(lambda x: x * x, x=[1.0, 2.0]), "x[0]")


def test_without_matplotlib_the_explorer_works_and_its_plots_name_the_line_to_type():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import autograd_viz as av\n"
        "w = av.explore(lambda a: a * a, a=3.0)\n"
        "try: w.tangent_plot('a')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert "pip install matplotlib" in done.stdout


# The Explorer


def test_the_explorers_own():
    w = av.explore(main_example, a=(0.5, 8.0, 0.25), b=(0.5, 8.0, 0.25))
    w.inputs = {"a": 2.0, "b": 4.0}
    tangent, contour = w.tangent_plot("a"), w.contour_plot("a", "b", theme="dark")
    assert "a = 2: e = 12, slope = ∂e/∂a = 10.6562" in tangent.words
    assert tangent.figure.axes[0].get_xlim() == (0.5, 8.0)
    w.set_state({"inputs": {"a": 3.0, "b": 5.0}})  # as the page does when a slider moves
    value, (da, db) = numbers_of(main_example, a=3.0, b=5.0)
    assert f"a = 3: e = {value:.4f}, slope = ∂e/∂a = {da:.4f}" in tangent.words
    assert f"∂e/∂a = {da:.4f}, ∂e/∂b = {db:.4f}" in contour.words
    tangent.close()
    w.close()
    assert "a = 3" in contour.words


def test_a_slider_of_ipywidgets_moves_the_figure_too():
    slider = ipywidgets.FloatSlider(2.0, min=0.5, max=8.0, step=0.25)
    w = av.explore(main_example, a=slider, b=4.0)
    plot = w.tangent_plot("a")
    slider.value = 3.0
    assert "a = 3: e = " in plot.words


def test_an_error_in_the_function_leaves_the_last_good_figure_and_is_said():
    def picky(a):
        if a > 3:
            raise ValueError("too large")
        return a * a

    w = av.explore(picky, a=(0.0, 4.0, 0.5))
    w.inputs = {"a": 2.0}
    plot = w.tangent_plot("a")
    w.inputs = {"a": 3.5}
    assert "a = 2: picky = 4" in plot.words
    assert "f raised an error at the inputs set now; the last ones without are shown" in plot.words
    w.inputs = {"a": 3.0}
    assert "f raised an error at the inputs set now" not in plot.words


def test_the_explorers_vectors_menus_and_checkboxes():
    def chosen(x, op, flip):
        y = op(x).sum()
        return -y if flip else y

    w = av.explore(
        chosen, x=torch.tensor([1.0, 2.0], requires_grad=True), op=[torch.sin, torch.cos], flip=True
    )
    plot = w.contour_plot("x[0]", "x[1]")
    assert "at op = sin, flip = True" in plot.words
    names = [control["name"] for control in w.controls]
    w.inputs = {"x[0]": 1.5, "op": w.controls[names.index("op")]["options"][1], "flip": False}
    assert "at op = cos, flip = False" in plot.words
    assert f"= {-math.sin(1.5):.4f}" in plot.words


def test_a_traced_tensor_has_no_function_to_plot():
    a = torch.tensor(3.0, requires_grad=True)
    e = a * a
    with pytest.raises(TypeError, match=r"av\.explore\(f, a=2\.0"):
        av.step(e).tangent_plot("a")
