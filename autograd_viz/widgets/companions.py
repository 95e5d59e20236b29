"""Matplotlib figures that follow a widget's inputs: its output's tangent, its contour lines."""

from __future__ import annotations

import asyncio
import numbers
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from autograd_viz import plots, show
from autograd_viz.plots import Theme, checked_theme
from autograd_viz.programs.forward import Program
from autograd_viz.widgets.closing import made_for
from autograd_viz.widgets.companion_figures import ContourPlot, TangentPlot
from autograd_viz.widgets.companion_words import point_of
from autograd_viz.widgets.grids import Axis, Grids, axis_of, one_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BUDGET = 0.05  # seconds of running the function before a figure is drawn, however coarse
SLICE = 0.01  # of these without a look at what else there is to do
PAUSE = 0.03  # at least, between two figures; a slow one is followed by as long a pause


class Companion(ipywidgets.Image):  # type: ignore[misc]
    """A figure that follows the inputs of another widget; made by `tangent_plot`, `contour_plot`.

    It shows itself as a widget, and in a stored notebook as a picture. While nobody looks at it
    nothing is computed. Of inputs that come faster than it can be drawn only the last counts.
    """

    # Without a description ipywidgets' own view fails as soon as there is a tooltip.
    description = traitlets.Unicode("").tag(sync=True)

    def __init__(self, followed: Any, grids: Grids, plot: TangentPlot) -> None:
        self._followed, self._grids, self._plot = followed, grids, plot
        self._grid: Any = None
        self._stale = True
        self._words = ""
        self._loop = _running_loop()
        self._task: asyncio.Task[None] | None = None
        self.drawn = 0  # how often a figure was drawn
        width = f"{plot.size[0] * 96:.0f}px"
        layout = ipywidgets.Layout(width=width, max_width="100%", height="auto", flex="0 1 auto")
        super().__init__(format="svg+xml", layout=layout, _view_count=0)
        self._parts = made_for(self)
        self._draw(None)
        self.observe(self._looked_at, "_view_count")
        if hasattr(followed, "observe"):
            followed.observe(self._moved, "inputs")

    @property
    def figure(self) -> Figure:
        """The figure of Matplotlib, at the present inputs."""
        self._finish()
        return self._plot.figure  # type: ignore[no-any-return]

    @property
    def title(self) -> str:
        """The first line of its words."""
        return self.words.partition("\n")[0]

    @property
    def words(self) -> str:
        """What the figure shows, with numbers."""
        self._finish()
        return self._words

    @property
    def svg(self) -> str:
        """The figure as the text of an SVG file, the same for the same numbers."""
        self._finish()
        return bytes(self.value).decode()

    def __str__(self) -> str:
        return self.words

    def close(self) -> None:
        """Follow the inputs no longer, and take the figure away."""
        if hasattr(self._followed, "unobserve") and self.comm is not None:
            self._followed.unobserve(self._moved, "inputs")
            self.unobserve(self._looked_at, "_view_count")
            for part in self._parts:
                part.close()
        if self._task is not None and self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._task.cancel)
        super().close()

    _ipython_display_ = None

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """As a widget where one can be shown, else as a picture, else in words."""
        return show.live(self, self)

    def _finish(self) -> None:
        """Bring the figure up to date, with all values."""
        if self._stale or not self._grid.complete:
            self._draw(None)

    def _draw(self, seconds: float | None) -> None:
        """Draw the figure at the present inputs, after at most so long a time of running."""
        self._stale = False
        program = self._followed.program
        grid = self._grids.of(program)
        while not grid.work(seconds) and not grid.stride:
            pass  # the coarsest grid is needed in any case
        self._grid = grid
        point = point_of(program, grid)
        if getattr(self._followed, "error", None):
            said = "f raised an error at the inputs set now; the last ones without are shown"
            point = replace(point, trouble=said)
        self._plot.draw(grid, point)
        self._words = self._plot.words(grid, point) if grid.complete else point.text
        drawing = plots.svg_of(self._plot.figure, self._plot.theme).encode()
        with self.hold_sync():  # in one message, so that the page changes the picture once
            self.tooltip = f"{point.title}. {point.text}, {point.gradient}"
            self.value = drawing
        self.drawn += 1

    def _moved(self, change: object) -> None:
        self._stale = True
        self._start()

    def _looked_at(self, change: object) -> None:
        self._start()

    def _start(self) -> None:
        """Follow the inputs in the loop that runs the kernel's cells, if somebody looks.

        What a page sends may arrive in another thread, with a loop of its own.
        """
        here = _running_loop()
        if self._loop is None or not self._loop.is_running():
            self._loop = here
        if self._loop is None:  # no kernel: drawn when it is asked for
            return
        if self._loop is not here:
            self._loop.call_soon_threadsafe(self._start)
        elif self._pending() and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._follow())

    def _pending(self) -> bool:
        return bool(self._view_count) and (self._stale or not self._grid.complete)

    async def _follow(self) -> None:
        """Draw until the figure is up to date and fine; the kernel's own work comes first."""
        while self._pending():
            await asyncio.sleep(0)
            began = time.perf_counter()
            if self._stale:
                self._draw(BUDGET)
            elif self._grid.work(SLICE):  # a finer grid is complete
                self._draw(0.0)
            await asyncio.sleep(max(SLICE, time.perf_counter() - began, PAUSE * self._stale))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def tangent_plot(
    followed: Any, name: str, *, interval: tuple[float, float] | None = None, theme: Theme = "auto"
) -> Companion:
    """The output along one input, with its tangent, which follows a widget's inputs.

    The other inputs stay at their present values. Each value of the curve comes from a run of the
    function, and the tangent's slope is the gradient of the widget's own backward pass.

    Args:
        followed: what `explore` returned; or any object with a `program` and `inputs`.
        name: an input, or an element of one: `"x[0]"`.
        interval: from where to where it goes; without it as its slider does.
        theme: "light", "dark", or "auto" to follow the page.

    Raises:
        ValueError: there is no such input or theme, or the interval is empty; the function
            returns something else than one real number.
        TypeError: the input is no floating-point number, or there is no function to run.
        ModuleNotFoundError: matplotlib is not installed.

    >>> import torch, autograd_viz as av
    >>> from types import SimpleNamespace
    >>> square = SimpleNamespace(program=av.program(lambda x: x * x, x=3.0), inputs={"x": 3.0})
    >>> print(tangent_plot(square, "x", interval=(0.0, 4.0)).words.splitlines()[1])
    x = 3: x * x = 9, slope = ∂(x * x)/∂x = 6
    """
    axes = _axes(followed, (name,), (interval,))
    return Companion(followed, Grids(axes), TangentPlot(checked_theme(theme)))


def contour_plot(
    followed: Any,
    x: str,
    y: str,
    *,
    intervals: tuple[tuple[float, float], tuple[float, float]] | None = None,
    theme: Theme = "auto",
) -> Companion:
    """Contour lines of the output over two inputs, with the negative gradient as an arrow.

    Args:
        followed: what `explore` returned; or any object with a `program` and `inputs`.
        x: the input that goes to the right, or an element of one: `"x[0]"`.
        y: the one that goes up.
        intervals: from where to where they go; without it as their sliders do.
        theme: "light", "dark", or "auto" to follow the page.

    Raises:
        ValueError, TypeError, ModuleNotFoundError: as for `tangent_plot`.

    >>> import torch, autograd_viz as av
    >>> from types import SimpleNamespace
    >>> bowl = SimpleNamespace(program=av.program(lambda a, b: a * a + b * b, a=1.0, b=2.0))
    >>> print(contour_plot(bowl, "a", "b").words.splitlines()[2])
    The arrow points downhill: −(∂(a * a + b * b)/∂a, ∂(a * a + b * b)/∂b) = (-2, -4)
    """
    if x == y:
        raise ValueError(f"both axes are {x!r}; give two inputs: w.contour_plot('a', 'b')")
    if intervals is not None and (not isinstance(intervals, tuple | list) or len(intervals) != 2):
        raise TypeError(
            f"intervals={intervals!r}: give one for each input: intervals=((0.5, 8.0), (0.5, 8.0))"
        )
    axes = _axes(followed, (x, y), (None, None) if intervals is None else tuple(intervals))
    return Companion(followed, Grids(axes), ContourPlot(checked_theme(theme)))


def _axes(
    followed: Any, names: tuple[str, ...], intervals: tuple[tuple[float, float] | None, ...]
) -> tuple[Axis, ...]:
    program = getattr(followed, "program", None)
    if not isinstance(program, Program):
        raise TypeError(
            "a plot needs a function that can be run at other inputs: make the widget from one, "
            "as in av.explore(f, a=2.0, b=4.0).tangent_plot('a')"
        )
    one_number(program.outputs[0])
    found = []
    for name, interval in zip(names, intervals, strict=True):
        low, high = _slider(followed, name) if interval is None else _ends(name, interval)
        found.append(axis_of(program, name, low, high))
    return tuple(found)


def _ends(name: str, interval: object) -> tuple[float, float]:
    """Both ends of an interval that was given."""
    if isinstance(interval, tuple | list) and len(interval) == 2:
        low, high = interval
        if isinstance(low, numbers.Real) and isinstance(high, numbers.Real):
            return float(low), float(high)
    raise TypeError(
        f"the interval of {name} is {interval!r}; give two numbers, the smaller one first: "
        "interval=(0.5, 8.0), and for two inputs intervals=((0.5, 8.0), (0.5, 8.0))"
    )


def _slider(followed: Any, name: str) -> tuple[float | None, float | None]:
    """From where to where the widget's own slider goes."""
    for control in getattr(followed, "controls", ()):
        if isinstance(control, dict) and control.get("name") == name:
            return control.get("min"), control.get("max")
    return None, None
