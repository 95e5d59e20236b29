"""What the notebooks' kernels run while the site is built: widgets show all of their states.

`building.py` puts a first cell before each notebook that calls `install`. From then on the output
of a widget has, beside its picture, the data of a page without a kernel.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from IPython import get_ipython

from autograd_viz import show
from autograd_viz.descents.watched import Watched
from autograd_viz.picture import Drawing
from autograd_viz.plots import Plot
from autograd_viz.widgets import page
from autograd_viz.widgets.companions import Companion
from autograd_viz.widgets.controls import count_of, position_of, value_at
from autograd_viz.widgets.embedding import embedded
from autograd_viz.widgets.explorer import Explorer
from autograd_viz.widgets.states import unnoticed

MIME = "application/vnd.autograd-viz.live+json"
MOST_FIGURES = 120  # of Matplotlib, for one widget
Json = dict[str, Any]


def install(folder: str, name: str, most: int) -> None:
    """Let widgets show themselves for the site.

    Args:
        folder: where the data of each widget is written, as a script.
        name: of the page, with which their names begin.
        most: states that are computed for each.
    """
    formatter = get_ipython().display_formatter.mimebundle_formatter
    numbers = itertools.count(1)

    def shown(live: Callable[[Any, int], tuple[Drawing, Json]]) -> Callable[[Any], Any]:
        def bundle(w: Any) -> tuple[Json, Json]:
            picture, made = live(w, most)
            called = f"{name}-{next(numbers)}"
            call = f"autogradVizPage.take({json.dumps(called)}, {json.dumps(made.pop('data'))});\n"
            Path(folder, f"{called}.js").write_text(call, encoding="utf-8")
            return {**show.mimebundle(picture), MIME: {"name": called, **made}}, {}

        return bundle

    formatter.for_type(Explorer, shown(explorer))
    formatter.for_type(Watched, shown(watched))
    formatter.for_type(Companion, shown(companion))


def explorer(w: Any, most: int) -> tuple[Drawing, Json]:
    """The Explorer with its sliders' grid."""
    made = embedded(w, most=most)
    return w.snapshot(), {"kind": "explorer", "data": made.data, "note": made.note}


def watched(w: Any, most: int) -> tuple[Drawing, Json]:
    """Gradient descent: a figure for each step, at some of the learning rates and starts."""
    picture, before = w.snapshot(), (w.learning_rate, w.start, w.step)
    figures = min(most, MOST_FIGURES)
    steps = range(w._view.steps + 1)
    sliders = {
        name: (control.min, control.max, control.step)
        for name, control in w._controls.items()
        if name not in ("step", "play")
    }
    now = {"learning_rate": w.learning_rate, **w.start}
    axes = {
        name: _places(*slider, now[name], figures // len(steps), len(sliders))
        for name, slider in sliders.items()
    }
    controls = [_control("step", steps, w.step)]
    controls += [_control(name, values, now[name]) for name, values in axes.items()]

    def drawn() -> Iterator[tuple[str, str, str]]:
        for chosen in itertools.product(*map(enumerate, axes.values())):
            for name, (_, value) in zip(axes, chosen, strict=True):
                if name == "learning_rate":
                    w.learning_rate = value
                else:
                    w.start = {name: value}
            for step in steps:
                made = w.snapshot(step)
                tick = "|".join(map(str, (step, *(place for place, _ in chosen))))
                yield tick, made.svg, made.words

    with unnoticed():
        data = _figures(controls, drawn())
    w.learning_rate, w.start, w.step = before
    whole = all(len(axes[name]) == _count(*slider) for name, slider in sliders.items())
    note = "" if whole else "Here the sliders hold some of their positions only."
    return picture, {"kind": "figures", "data": page.compressed(data), "note": note}


def companion(plot: Any, most: int) -> tuple[Drawing, Json]:
    """A plot beside the Explorer: a figure for each of some positions along its axes."""
    w, picture = plot._followed, Plot(plot.title, plot.words, plot.svg)
    names = [axis.text for axis in plot._grids.axes]
    before = dict(w.inputs)
    controls, values = [], []
    for one in w._states.controls:
        if one.name in names:
            count = count_of(one)
            slider = (one.min, float(value_at(one, count - 1)), one.step)
            at = float(value_at(one, position_of(one, before[one.name])))
            values.append(_places(*slider, at, min(most, MOST_FIGURES), len(names)))
            controls.append(_control(one.name, values[-1], before[one.name]))
    order = [one["name"] for one in controls]

    def drawn() -> Iterator[tuple[str, str, str]]:
        for chosen in itertools.product(*map(enumerate, values)):
            w.inputs = dict(zip(order, (value for _, value in chosen), strict=True))
            yield "|".join(str(place) for place, _ in chosen), plot.svg, plot.words

    with unnoticed():
        data = _figures(controls, drawn())
    w.inputs = before
    one = "a slider" if len(order) == 1 else "sliders"
    said = f"In a notebook this plot follows the Explorer; here it has {one} of its own."
    return picture, {"kind": "figures", "data": page.compressed(data), "note": said}


def _count(low: float, high: float, step: float) -> int:
    return round((high - low) / step) + 1


def _places(low: float, high: float, step: float, at: float, most: int, axes: int) -> list[float]:
    """Some of a slider's values, evenly spaced, among them the present one."""
    count = _count(low, high, step)
    room = max(int(most ** (1 / axes) + 1e-9), 1)
    stride = next((each for each in range(1, count) if -(-count // each) <= room), count)
    first = round((at - low) / step) % stride
    return [float(f"{low + place * step:.12g}") for place in range(first, count, stride)]


def _control(name: str, values: Sequence[float], now: float) -> Json:
    nearest = min(range(len(values)), key=lambda place: abs(values[place] - now))
    label = name.replace("learning_rate", "learning rate")
    return {"name": label, "values": list(values), "at": nearest}


def _figures(controls: list[Json], figures: Iterator[tuple[str, str, str]]) -> Json:
    """Each line of the drawings is kept once, since most are in all of them."""
    lines: dict[str, int] = {}
    found: Json = {}
    for tick, svg, words in figures:
        rows = [lines.setdefault(line, len(lines)) for line in svg.split("\n")]
        found[tick] = {"rows": rows, "words": words}
    return {"controls": controls, "lines": list(lines), "figures": found}
