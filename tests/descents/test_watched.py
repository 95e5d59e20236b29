"""The widget and its figures, compared with the walk and with torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb

import autograd_viz as av
from tests.descents.test_walks import X, by_sgd, mean_squared_error, parabola


def loss(w):
    return (w - 2) ** 2


def example(x, y):
    t = 2 * (x**2 + y**2)
    return t


def figure_of(w: Any, step: int) -> Any:
    return w._view.drawn(w.path, step)


def drawn(w: Any, step: int, axes: int = 0) -> dict[str, Any]:
    """What has a name in the legend."""
    found = figure_of(w, step).axes[axes]
    return {str(line.get_label()): line for line in found.lines}


def arrow(w: Any, step: int) -> Any:
    return next(text for text in figure_of(w, step).axes[0].texts if hasattr(text, "arrow_patch"))


# The walk


def test_the_path_is_torchs():
    w = av.descend(mean_squared_error, learning_rate=0.01, steps=40, w=1.0)
    for step, (point, value, gradient) in enumerate(by_sgd(mean_squared_error, 0.01, 40, w=1.0)):
        assert w.path.points[step] == pytest.approx(point, rel=1e-5)
        assert w.path.losses[step] == pytest.approx(value[0], rel=1e-3)
        assert w.path.gradients[step] == pytest.approx(gradient, rel=1e-3)
    assert w.step == w.path.last == 40


def test_the_loss_has_the_functions_own_name():
    assert av.descend(example, learning_rate=0.05, x=3.0, y=2.0).path.output == "t"
    assert av.descend(parabola, learning_rate=0.1, w=1.0).path.output == "parabola"
    assert av.descend(lambda w: w**2, learning_rate=0.1, w=1.0).path.output == "loss"


def test_data_is_passed_on():
    def error(w, x, power):
        return ((w * x - 2 * x) ** power).mean()

    w = av.descend(error, learning_rate=0.01, w=1.0, x=X, power=torch.tensor(2))
    same = av.descend(mean_squared_error, learning_rate=0.01, w=1.0)
    assert w.path.names == ("w",)
    assert w.path.points == same.path.points


# The figure


def test_the_curve_the_tangent_and_the_step():
    w = av.descend(loss, learning_rate=0.3, steps=5, w=1.0)
    curve = figure_of(w, 1).axes[0].lines[0]
    for x, y in zip(*curve.get_data(), strict=True):
        assert y == pytest.approx((x - 2) ** 2, abs=1e-5)
    (x,), value, (slope,) = w.path.points[1], w.path.losses[1], w.path.gradients[1]
    (x0, x1), (y0, y1) = drawn(w, 1)["tangent: slope = -0.8"].get_data()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(slope)
    assert y0 + slope * (x - x0) == pytest.approx(value)
    assert arrow(w, 1).xyann == (x, value)
    assert arrow(w, 1).xy == (w.path.points[2][0], value)
    assert "step: −learning rate × gradient = 0.24" in drawn(w, 1)
    present = drawn(w, 1)["step 1"]
    assert (*present.get_xdata(), *present.get_ydata()) == (x, value)
    seen = drawn(w, 3)["the steps before"]
    assert tuple(seen.get_xdata()) == tuple(point[0] for point in w.path.points[:4])


def test_the_contour_lines_the_path_and_the_negative_gradient():
    w = av.descend(example, learning_rate=0.05, x=3.0, y=2.0)
    axes = figure_of(w, 2).axes[0]
    contours = axes.collections[0]
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        for x, y in path.vertices:
            assert 2 * (x**2 + y**2) == pytest.approx(level, abs=0.5)
    x, y = w.path.points[2]
    assert arrow(w, 2).xyann == (x, y)
    tip = np.subtract(arrow(w, 2).xy, (x, y))
    downhill = -np.array(w.path.gradients[2])
    cosine = tip @ downhill / np.linalg.norm(tip) / np.linalg.norm(downhill)
    assert cosine == pytest.approx(1.0)
    assert axes.get_aspect() == 1.0  # so that the arrow stands at right angles on the lines
    assert "downhill: −gradient = (-7.68, -5.12)" in drawn(w, 2)
    ring = drawn(w, 2)["next point"]
    assert (*ring.get_xdata(), *ring.get_ydata()) == w.path.points[3]


def test_the_losses_and_the_present_step():
    w = av.descend(loss, learning_rate=0.3, steps=10, w=1.0)
    axes = figure_of(w, 4).axes[1]
    line, present = axes.lines
    assert line.get_ydata() == pytest.approx(w.path.losses[:5])
    assert (present.get_xdata()[0], present.get_ydata()[0]) == (4, w.path.losses[4])
    assert axes.get_yscale() == "log"
    flat = av.descend(loss, learning_rate=0.01, steps=3, w=1.0)
    assert figure_of(flat, 3).axes[1].get_yscale() == "linear"
    assert figure_of(flat, 3).axes[1].get_ylabel() == "loss"


def test_a_loss_of_zero_on_a_logarithmic_scale():
    zero = av.descend(lambda w: (w - 2) ** 2, learning_rate=0.4, steps=30, w=1.0)
    assert zero.path.losses[-1] == 0.0
    axes = figure_of(zero, 30).axes[1]
    assert axes.lines[-1].get_marker() == "v"
    assert axes.lines[-1].get_ydata()[0] == axes.get_ylim()[0] > 0


@pytest.mark.parametrize(
    ("f", "rate", "start"),
    [(loss, 0.9, {"w": 1.0}), (loss, 1.1, {"w": 1.0}), (example, 0.55, {"x": 3.0, "y": 2.0})],
)
def test_nothing_moves_but_the_point(f, rate, start):
    w = av.descend(f, learning_rate=rate, steps=8, **start)
    w._picture.close()

    def frame(step: int) -> Any:
        axes = figure_of(w, step).axes
        return [(a.get_position().bounds, a.get_xlim(), a.get_ylim()) for a in axes]

    assert all(frame(step) == frame(0) for step in range(9))


def test_the_limits_stay_while_the_learning_rate_moves():
    w = av.descend(loss, learning_rate=(0.01, 1.1), w=1.0)
    limits = w._view.limits[0]
    assert limits == (0.0, 4.0)
    for rate in (0.02, 0.6, 1.1):
        w.learning_rate = rate
        assert figure_of(w, 3).axes[0].get_xlim() == limits


def test_a_point_outside_is_marked_at_the_edge():
    w = av.descend(loss, learning_rate=(0.01, 1.1), w=1.0)
    w.learning_rate = 1.1
    point = drawn(w, 20)["step 20"]
    assert point.get_marker() == "<"
    assert point.get_xdata()[0] == w._view.limits[0][0]
    said = "w = -36.3376 is outside to the left"
    assert said in [text.get_text() for text in figure_of(w, 20).axes[0].texts]
    assert said in str(w).splitlines()
    assert "tangent" not in "".join(drawn(w, 20))


@pytest.mark.parametrize(
    ("f", "rate", "start"),
    [
        (lambda w: w**4, 0.5, {"w": 3.0}),
        (lambda x, y: x**4 + y**4, 0.5, {"x": 3.0, "y": 2.0}),
        (lambda a, b, c: (a * b * c) ** 4, 0.5, {"a": 3.0, "b": 2.0, "c": 4.0}),
        (lambda w: torch.log(w), 0.9, {"w": 1.0}),
        (lambda w: torch.sqrt(w), 0.9, {"w": 0.0}),
        (lambda w: torch.log(w), 0.9, {"w": -1.0}),
        (lambda w: w * 0 + 3, 0.9, {"w": 1.0}),
        (lambda w: w * 1e30, 0.9, {"w": 1.0}),
        (lambda w: (w - 1e-20) ** 2, 0.1, {"w": 0.0}),
        (lambda w: -w, 1.0, {"w": 1.0}),
    ],
)
def test_whatever_happens_each_step_has_a_picture(f, rate, start):
    w = av.descend(f, learning_rate=rate, steps=6, **start)
    for step in (0, 1, 6):
        shown = w.snapshot(step)
        assert "</svg>" in shown.svg
        assert shown.words.startswith("Gradient descent of ")
    if w.path.ended:
        assert w.path.ended in [text.get_text() for text in figure_of(w, w.path.last).texts]


def test_of_three_inputs_each_is_drawn_against_the_step():
    w = av.descend(lambda a, b, c: a**2 + b**2 + c**2, learning_rate=0.1, a=1.0, b=2.0, c=3.0)
    lines = drawn(w, 5, axes=0)
    for place, name in enumerate("abc"):
        assert lines[name].get_ydata() == pytest.approx(
            [point[place] for point in w.path.points[:6]]
        )


@pytest.mark.parametrize("step", [1, 20])
@pytest.mark.parametrize(
    ("f", "rate", "start"),
    [
        (loss, 0.9, {"w": 1.0}),
        (loss, 1.1, {"w": 123456.0}),
        (example, 0.55, {"x": 3.0, "y": -2000.0}),
        (lambda a, b, c: (a - b) ** 2 + c**2, 0.1, {"a": -1234.5, "b": 2.0, "c": 3.0}),
    ],
)
def test_all_text_stays_inside_and_apart(f, rate, start, step):
    figure = figure_of(av.descend(f, learning_rate=rate, **start), step)
    figure.draw_without_rendering()
    lines = [text for text in figure.texts if text.get_text()]
    parts = [*lines, *(axes.yaxis.label for axes in figure.axes), figure.axes[0].get_legend()]
    boxes = [part.get_window_extent() for part in parts]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
    for place, box in enumerate(boxes):
        inside = place == len(boxes) - 1 and len(start) == 3  # that legend stands in the axes
        assert inside or not any(box.overlaps(other) for other in boxes[:place])


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_light_and_dark(theme):
    figure = figure_of(av.descend(loss, learning_rate=0.1, w=1.0, theme=theme), 3)
    paper, ink = sum(to_rgb(figure.get_facecolor())), sum(to_rgb(figure.texts[0].get_color()))
    assert (paper < 0.5 and ink > 2.5) if theme == "dark" else (paper > 2.5 and ink < 0.5)


# The widget


def test_it_shows_itself_live_as_a_picture_and_in_words():
    w = av.descend(loss, learning_rate=0.25, steps=4, w=1.0)
    w.step = 2
    bundle, _ = DisplayFormatter().format(w)
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == w.model_id
    assert bundle["image/svg+xml"] == w.snapshot(2).svg == bytes(w._picture.value).decode()
    assert bundle["text/plain"] == str(w) == w.snapshot().words
    assert "step 2: w = 1.75, loss = 0.0625, gradient = -0.5" in bundle["text/html"]
    again = av.descend(loss, learning_rate=0.25, steps=4, w=1.0)
    assert again.snapshot(2) == w.snapshot(2)


def test_after_many_moves_the_bytes_are_those_of_a_fresh_widget():
    w = av.descend(loss, learning_rate=(0.01, 1.1), w=(0.0, 4.0))
    for rate, start, step in [(0.5, 3.0, 1), (1.1, 0.0, 20), (0.9, 1.0, 4)]:
        w.learning_rate, w.start, w.step = rate, {"w": start}, step
    fresh = av.descend(loss, learning_rate=(0.01, 1.1), w=(0.0, 4.0))
    fresh.start, fresh.learning_rate, fresh.step = {"w": 1.0}, 0.9, 4
    assert w.snapshot() == fresh.snapshot()
    assert bytes(w._picture.value) == bytes(fresh._picture.value)


def test_sliders_are_there_for_what_has_a_range():
    w = av.descend(loss, learning_rate=(0.01, 1.1), steps=8, w=(-1.0, 5.0, 0.5))
    controls = w._controls
    assert list(controls) == ["step", "play", "learning_rate", "w"]
    assert (controls["step"].min, controls["step"].max, controls["step"].value) == (0, 8, 8)
    rate, start = controls["learning_rate"], controls["w"]
    assert (rate.min, rate.max, rate.value) == (0.01, 1.1, w.learning_rate)
    assert w.learning_rate == pytest.approx(0.1)
    assert (start.min, start.max, start.step, start.value) == (-1.0, 5.0, 0.5, 2.0)
    fixed = av.descend(loss, learning_rate=0.3, w=1.0)
    assert list(fixed._controls) == ["step", "play"]


def test_moving_a_slider_moves_the_walk():
    w = av.descend(loss, learning_rate=(0.01, 1.1), steps=8, w=(-1.0, 5.0, 0.5))
    w._controls["step"].value = 3
    w._controls["learning_rate"].value = 0.25
    w._controls["w"].value = 1.0
    assert (w.step, w.learning_rate, w.start) == (3, 0.25, {"w": 1.0})
    assert w.path.points[3] == (1.875,)
    assert "step 3: w = 1.875" in w._picture.tooltip
    assert bytes(w._picture.value).decode() == w.snapshot().svg
    w.step, w.learning_rate, w.start = 1, 0.5, {"w": 0.0}
    values = [w._controls[name].value for name in ("step", "learning_rate", "w")]
    assert values == [1, 0.5, 0.0]
    assert w.path.points[1] == (2.0,)


def test_the_noise_of_a_slider_is_not_passed_on():
    w = av.descend(loss, learning_rate=(0.01, 1.1), w=1.0)
    w._controls["learning_rate"].value = 0.09999999999999999
    assert w.learning_rate == w.path.learning_rate == 0.1


def test_who_plays_at_the_end_sees_the_walk_again():
    play = av.descend(loss, learning_rate=0.1, steps=5, w=1.0)._controls["play"]
    assert play.value == 5
    play.playing = True
    assert play.value == 0
    play.playing = False
    play.value = 3
    play.playing = True
    assert play.value == 3


def test_a_step_after_the_end_shows_the_end():
    w = av.descend(lambda w: w**4, learning_rate=0.5, steps=20, w=3.0)
    assert w.step == 20
    assert str(w).splitlines()[1].startswith(f"step {w.path.last}: ")


# What cannot be


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"learning_rate": 0.0, "w": 1.0}, ValueError, "give a positive number"),
        ({"learning_rate": "0.1", "w": 1.0}, ValueError, "give a positive number"),
        ({"learning_rate": float("nan"), "w": 1.0}, ValueError, "give a positive number"),
        ({"learning_rate": (0.0, 1.0), "w": 1.0}, ValueError, "give a positive number"),
        ({"learning_rate": (1.0, 0.1), "w": 1.0}, ValueError, "min < max"),
        ({"learning_rate": 0.1, "w": (1.0,)}, ValueError, "min < max"),
        ({"learning_rate": 0.1, "w": 1.0, "steps": 0}, ValueError, "from 1 to 1000"),
        ({"learning_rate": 0.1, "w": 1.0, "steps": 2.5}, ValueError, "from 1 to 1000"),
        ({"learning_rate": 0.1, "w": 1.0, "theme": "blue"}, ValueError, "'light', 'dark'"),
        (
            {"learning_rate": 0.1},
            TypeError,
            r"for 'w'; .*av\.descend\(loss, learning_rate=0\.1, steps=20, w=2\.0\)",
        ),
        ({"learning_rate": 0.1, "v": 1.0}, TypeError, r"no input 'v' and no value .* for 'w'"),
        (
            {"learning_rate": 0.1, "w": torch.tensor(1.0)},
            TypeError,
            r"w is of type Tensor; give one",
        ),
    ],
)
def test_the_error_says_what_to_give(given, error, said):
    with pytest.raises(error, match=said):
        av.descend(loss, **given)


def test_more_than_one_number_comes_back():
    with pytest.raises(ValueError, match=r"needs one real number; .*y\.sum\(\)"):
        av.descend(lambda w: w * X, learning_rate=0.1, w=1.0)


def test_traits_have_limits():
    w = av.descend(loss, learning_rate=0.1, steps=5, w=1.0)
    with pytest.raises(traitlets.TraitError, match="give a step from 0 to 5"):
        w.step = 6
    with pytest.raises(traitlets.TraitError, match="give a positive number"):
        w.learning_rate = -1.0
    with pytest.raises(traitlets.TraitError, match=r"w\.start = \{'w': 1\.0\}"):
        w.start = {"v": 1.0}
    with pytest.raises(traitlets.TraitError, match="give a step from 0 to 5"):
        w.snapshot(-1)
    assert (w.step, w.learning_rate, w.start) == (5, 0.1, {"w": 1.0})


def test_without_matplotlib_the_error_names_the_line_to_type():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import autograd_viz as av\n"
        "try: av.descend\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install matplotlib" in run.stdout, run.stderr
