"""The widget in which gradient descent is watched, step by step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, TypeGuard

import ipywidgets
import traitlets

from autograd_viz import plots, show
from autograd_viz.descents import walk_words
from autograd_viz.descents.walk_figures import SIZE, WalkFigure, intervals
from autograd_viz.descents.walks import Descent, descent
from autograd_viz.plots import Plot, Theme, checked_theme
from autograd_viz.programs.arguments import Function, checked_function
from autograd_viz.programs.forward import Program, program
from autograd_viz.text import clean
from autograd_viz.widgets.closing import made_for
from autograd_viz.widgets.grids import Axis, Grid
from autograd_viz.widgets.keeper import Keeper
from autograd_viz.widgets.ranges import step_between

MOST_STEPS = 1000
GENTLE = 0.1  # the learning rate that a range begins with, if it holds it
PACE = 600  # ms a step, while it plays
Range = tuple[float, float, float]  # min, max, step
CALL = "av.descend(f, learning_rate=0.1, steps=20, w=1.0)"


class Watched(ipywidgets.VBox):  # type: ignore[misc]
    """Gradient descent to be watched step by step; made by `descend`.

    `step`, `learning_rate` and `start` are traits: set them from Python, or observe what the
    reader does. In a stored notebook it is a picture of the present step.
    """

    step = traitlets.Int()
    learning_rate = traitlets.Float()
    start = traitlets.Dict()

    def __init__(
        self, walk: Callable[..., Descent], view: WalkFigure, controls: dict[str, Any], **now: Any
    ) -> None:
        self._walk, self._view = walk, view
        self._path: Descent = walk(now["learning_rate"], now["start"])
        self._picture = _Picture(
            format="svg+xml",
            layout=ipywidgets.Layout(width=f"{SIZE[0] * 96:.0f}px", max_width="100%"),
        )
        rows, keeper = _rows(controls), Keeper()
        super().__init__(children=[*rows, self._picture, keeper], **now)
        # In the page itself, so that a step does not wait for the other's answer.
        link = ipywidgets.jslink((controls["play"], "value"), (controls["step"], "value"))
        inside = [*controls.values(), *rows, self._picture, keeper, link]
        self._parts = [*made_for(self, *inside), *inside]
        for name, control in controls.items():
            if name in ("step", "learning_rate"):
                traitlets.link((self, name), (control, "value"))
            elif name != "play":
                control.observe(lambda change, name=name: self._started(name, change), "value")
        self._controls = controls
        self.observe(self._moved, ["step", "learning_rate", "start"])
        self._draw()

    @property
    def path(self) -> Descent:
        """The walk as data, with PyTorch's numbers; `print` shows it as a table."""
        return self._path

    def snapshot(self, step: int | None = None) -> Plot:
        """The static picture of a step; without one of the present step."""
        if step is None:
            return self._made
        shown = self._shown(self._checked_step(step))
        words = walk_words.words(self._path, shown, self._view.limits)
        drawing = plots.svg_of(self._view.drawn(self._path, shown), self._view.theme)
        return Plot(f"{walk_words.heading(self._path)}, step {shown}", words, drawing)

    def __str__(self) -> str:
        return walk_words.words(self._path, self._shown(self.step), self._view.limits)

    def __repr__(self) -> str:
        return f"<{walk_words.heading(self._path)}: step {self.step}>"

    _ipython_display_ = None

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """As a widget where one can be shown, else as a picture, else in words."""
        return show.live(self, self.snapshot())

    def close(self) -> None:
        """Take the widget away, with its picture and its controls."""
        if self.comm is not None:
            for part in self._parts:
                part.close()
        super().close()

    def _shown(self, step: int) -> int:
        """The step, or the one at which the walk ended before."""
        return min(step, self._path.last)

    @traitlets.validate("step")
    def _step_checked(self, proposal: Any) -> int:
        return self._checked_step(proposal["value"])

    def _checked_step(self, step: int) -> int:
        if not 0 <= step <= self._view.steps:
            raise traitlets.TraitError(
                f"step={step}: give a step from 0 to {self._view.steps}: w.step = 0"
            )
        return step

    @traitlets.validate("learning_rate")
    def _rate_checked(self, proposal: Any) -> float:
        try:
            return _rounded(_rate(proposal["value"]))
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from None

    @traitlets.validate("start")
    def _start_checked(self, proposal: Any) -> dict[str, float]:
        given = {**self.start, **proposal["value"]}
        for name, value in given.items():
            if name not in self._path.names or not _is_number(value):
                names = ", ".join(map(repr, self._path.names))
                raise traitlets.TraitError(
                    f"start has {name}={value!r}; give a number for each of {names}: "
                    f"w.start = {{{self._path.names[0]!r}: 1.0}}"
                )
        return {name: _rounded(given[name]) for name in self._path.names}

    def _started(self, name: str, change: Any) -> None:
        self.start = {**self.start, name: change["new"]}

    def _moved(self, change: Any) -> None:
        if change["name"] != "step":
            self._path = self._walk(self.learning_rate, self.start)
            for name, value in self.start.items():
                if name in self._controls:
                    self._controls[name].value = value
        self._draw()

    def _draw(self) -> None:
        self._made = made = self.snapshot(self.step)
        with self._picture.hold_sync():  # in one message, so that the page changes it once
            self._picture.tooltip = "\n".join(made.words.splitlines()[:3])
            self._picture.value = made.svg.encode()


class _Picture(ipywidgets.Image):  # type: ignore[misc]
    """The figure; without a description ipywidgets' own view fails where there is a tooltip."""

    description = traitlets.Unicode("").tag(sync=True)


def descend(
    f: Callable[..., Any],
    /,
    *,
    learning_rate: float | tuple[float, ...],
    steps: int = 20,
    theme: Theme = "auto",
    **start: Any,
) -> Watched:
    """Watch plain gradient descent: each input becomes itself − learning_rate × its gradient.

    The gradients are PyTorch's. Of one input the curve of f is drawn with the points so far and
    the tangent, of two the contour lines with the path; beside it the loss against the step. A
    slider moves through the steps. The limits of the axes stay, whatever the sliders do; a point
    that leaves the picture is marked at its edge.

    Args:
        f: computes one number, the loss, with torch from its inputs.
        learning_rate: a positive number; or `(min, max)` or `(min, max, step)` for a slider, which
            begins at 0.1 if it can, else at a quarter of its way.
        steps: how many, at most 1000.
        theme: "light", "dark", or "auto" to follow the page.
        start: for each input a number to start from, a scalar float32 tensor that requires grad
            for f; or `(min, max)` or `(min, max, step)` for a slider, which begins in the middle.
            All else, such as a tensor of data, is passed on to f and stays as it is.

    Raises:
        TypeError, ValueError: an input is unknown or missing, cannot be what was given for it, or
            gets no gradient; f returns something else than one number.
        Exception: whatever f raises at the start. Further on, an error ends the walk with a note.

    >>> import autograd_viz as av
    >>> def loss(w):
    ...     return (w - 2) ** 2
    >>> w = av.descend(loss, learning_rate=0.25, steps=3, w=1.0)
    >>> print(w.path)
    step  w      loss     gradient
    0     1      1        -2
    1     1.5    0.25     -1
    2     1.75   0.0625   -0.5
    3     1.875  0.01562  -0.25
    >>> w.step = 1
    >>> print(str(w).splitlines()[1])
    step 1: w = 1.5, loss = 0.25, gradient = -1, next w = 1.75
    """
    checked_theme(theme)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"steps={steps!r}: give a whole number from 1 to {MOST_STEPS}: {CALL}")
    function = Function(checked_function(f, CALL))
    function.check(start, call="descend", first="learning_rate=0.1, steps=20, ")
    begin, sliders, constants = {}, {}, {}
    for name, value in start.items():
        if isinstance(value, tuple):
            sliders[name] = _range(name, value)
            begin[name] = _nearest(sliders[name], sum(value[:2]) / 2)
        elif _is_number(value):
            begin[name] = float(value)
        else:
            constants[name] = value
    if not begin:
        given = ", ".join(
            f"{name} is of type {type(each).__name__}" for name, each in start.items()
        )
        raise TypeError(
            f"no input has a number to start from: {given or 'there is none'}; give one by name: "
            f"{CALL}"
        )
    rates = _range("learning_rate", learning_rate) if isinstance(learning_rate, tuple) else None
    if rates:
        low, high, _ = rates
        rate = _rate(low) and _nearest(
            rates, GENTLE if low <= GENTLE <= high else low + (high - low) / 4
        )
    else:
        rate = _rate(learning_rate)
    made = program(f, **begin, **constants)
    output = _output(made)

    def walk(rate: float, start: dict[str, float]) -> Descent:
        return descent(function, start, constants, output=output, learning_rate=rate, steps=steps)

    first = walk(rate, begin)
    grid = None
    if len(begin) <= 2:
        tried = [rates[0] + part / 4 * (rates[1] - rates[0]) for part in range(5)] if rates else []
        corners = [sliders[name][:2] if name in sliders else (at,) for name, at in begin.items()]
        starts = [tuple(begin.values()), *itertools.product(*corners)]
        walks = [first, *(walk(each, begin) for each in tried)]
        axes = tuple(
            Axis(name, (), *ends)
            for name, ends in zip(begin, intervals(walks, starts), strict=True)
        )
        grid = Grid(made, axes)
        while not grid.complete:
            grid.work(None)
    view = WalkFigure(theme, steps, grid, first.losses[0])
    controls = _controls(steps, rates, rate, sliders, begin)
    return Watched(walk, view, controls, step=steps, learning_rate=rate, start=begin)


def _output(made: Program) -> str:
    """What the loss is called: by its variable, or else by the function's name."""
    name = made.variables().root.name or made._function.name
    return clean(name, 16) if name.isidentifier() else "loss"


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _rate(given: object) -> float:
    if not _is_number(given) or given <= 0:
        raise ValueError(
            f"learning_rate={given!r}: give a positive number, or (min, max) for a slider: {CALL}"
        )
    return float(given)


def _range(name: str, given: tuple[Any, ...]) -> Range:
    fits = 2 <= len(given) <= 3 and all(map(_is_number, given))
    if not fits or given[0] >= given[1] or (len(given) == 3 and given[2] <= 0):
        raise ValueError(
            f"{name}={given!r}: a slider needs (min, max) or (min, max, step), numbers with "
            f"min < max and step > 0: {name}=(0.01, 1.1)"
        )
    low, high = float(given[0]), float(given[1])
    return low, high, float(given[2]) if len(given) == 3 else step_between(low, high)


def _nearest(slider: Range, value: float) -> float:
    low, high, step = slider
    return min(_rounded(low + round((value - low) / step) * step), high)


def _rounded(value: float) -> float:
    """The number without the noise of a slider's steps: 0.1 for 0.09999999999999999."""
    return float(f"{value:.12g}")


# The controls


def _controls(
    steps: int, rates: Range | None, rate: float, sliders: dict[str, Range], begin: dict[str, float]
) -> dict[str, Any]:
    """The step's slider and player, and a slider for each range that was given."""
    style = {"description_width": "9em"}
    wide = ipywidgets.Layout(width="30em", max_width="100%")
    slider = ipywidgets.IntSlider(steps, 0, steps, description="step", style=style, layout=wide)
    play = ipywidgets.Play(value=steps, min=0, max=steps, interval=PACE, show_repeat=False)
    play.tooltip = "play the steps"  # not in the call: in ipywidgets 7 it is no trait
    # "_playing" in ipywidgets 7, which Colab has.
    play.observe(lambda change: _from_the_start(play, change), ["playing", "_playing"])
    controls: dict[str, Any] = {"step": slider, "play": play}
    ranges = ({"learning_rate": rates} if rates else {}) | sliders
    for name, (low, high, step) in ranges.items():
        controls[name] = ipywidgets.FloatSlider(
            rate if name == "learning_rate" else begin[name], min=low, max=high, step=step,
            description="learning rate" if name == "learning_rate" else f"start {name}",
            readout_format=f".{_decimals(step)}f", style=style, layout=wide,
        )  # fmt: skip
    return controls


def _decimals(step: float) -> int:
    """How many digits after the point a slider's values have."""
    return len(f"{step:.12f}".rstrip("0").partition(".")[2])


def _from_the_start(play: Any, change: Any) -> None:
    """Who plays at the last step wants to see the walk again."""
    if change["new"] and play.value >= play.max:
        play.value = play.min


def _rows(controls: dict[str, Any]) -> list[Any]:
    first = ipywidgets.HBox([controls["play"], controls["step"]])
    others = [each for name, each in controls.items() if name not in ("play", "step")]
    return [first, *others]
