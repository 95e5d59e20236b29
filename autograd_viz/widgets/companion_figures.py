"""Matplotlib figures of a program's output: its curve and tangent, contour lines and an arrow."""

from __future__ import annotations

import math
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from autograd_viz import plots
from autograd_viz.plots import Theme, window
from autograd_viz.widgets.companion_words import (
    Point,
    arrow_tip,
    curve_words,
    gaps,
    surface_words,
)
from autograd_viz.widgets.grids import Grid


class TangentPlot:
    """The output along one input, with the present point and its tangent.

    Its parts have places of their own, in inches, so that nothing jumps while it follows inputs.
    """

    size = (8.0, 6.8)
    bottom, height = 2.3, 3.4  # of the axes

    def __init__(self, theme: Theme) -> None:
        self.theme, self.colours = theme, plots.palette(theme)
        self.figure: Any = None
        self._ground: object = None  # what the lasting part of the figure was drawn from
        self._over: list[Any] = []  # what moves with the point

    def draw(self, grid: Grid, point: Point) -> None:
        """Bring the figure up to date; of the same grid only what moves is drawn anew."""
        ground = grid, grid.stride, point.output, self._window(grid, point)
        with matplotlib.rc_context(plots.SETTINGS):
            if self._ground != ground:
                self._ground, self._over = ground, []
                self._draw_ground(grid, point)
            for artist in self._over:
                artist.remove()
            axes = self.figure.axes[0]
            self._over = [*self._moving(axes, grid, point), *self._point(axes, point)]
            self._over += self._told(axes, grid, point)

    def words(self, grid: Grid, point: Point) -> str:
        """What the figure shows, with numbers."""
        return curve_words(grid, point)

    def _draw_ground(self, grid: Grid, point: Point) -> None:
        height = self.size[1]
        self.figure = Figure(figsize=self.size, facecolor=self.colours["paper"])
        axes = self.figure.add_axes((0.135, self.bottom / height, 0.83, self.height / height))
        self._lasting(axes, grid, point)
        axes.xaxis.set_major_locator(plots.round_ticks())
        axes.set_xlabel(point.axes[0])
        plots.coloured(axes, self.colours)
        self._text(point.heading, 0.12, size=19)

    def _text(self, text: str, from_top: float, size: int) -> Any:
        return self.figure.text(
            0.025, 1 - from_top / self.size[1], text, color=self.colours["ink"], fontsize=size,
            va="top",
        )  # fmt: skip

    def _window(self, grid: Grid, point: Point) -> object:
        """From where to where the vertical axis goes."""
        return window([grid.values[(n,)] for n in grid.numbers()], point.value)

    def _lasting(self, axes: Any, grid: Grid, point: Point) -> None:
        xs = [grid.place(n, 0) for n in grid.numbers()]
        ys = [grid.values[(n,)] for n in grid.numbers()]
        limits = window(ys, point.value)
        plots.curve(axes, xs, ys, limits, color=self.colours["blue"], label=point.output)
        axes.set(xlim=(grid.axes[0].low, grid.axes[0].high), ylabel=point.output)

    def _moving(self, axes: Any, grid: Grid, point: Point) -> list[Any]:
        if point.known is None or not math.isfinite(point.value):
            return []
        ends = grid.axes[0].low, grid.axes[0].high
        line: list[Any] = axes.plot(
            ends, [point.value + point.known[0] * (end - point.at[0]) for end in ends],
            linestyle=(0, (5, 2)), linewidth=2.5, color=self.colours["orange"], zorder=3,
            label=f"tangent: slope = {point.gradient}",
        )  # fmt: skip
        return line

    def _place(self, point: Point) -> tuple[float, float]:
        return point.at[0], point.value

    def _point(self, axes: Any, point: Point) -> list[Any]:
        if not math.isfinite(point.value):
            return []
        return plots.dot(axes, self._place(point), self.colours, label=point.text)

    def _told(self, axes: Any, grid: Grid, point: Point) -> list[Any]:
        """The other inputs, the legend, and what is missing."""
        longest = max((len(text) for text in axes.get_legend_handles_labels()[1]), default=0)
        legend = axes.legend(
            loc="upper left", bbox_to_anchor=(0.025, (self.bottom - 0.72) / self.size[1]),
            bbox_transform=self.figure.transFigure, frameon=False, borderaxespad=0, borderpad=0,
            labelcolor=self.colours["ink"], handlelength=2.4, labelspacing=0.35,
            fontsize=min(16, 16 * 52 / max(longest, 1)),
        )  # fmt: skip
        fixed = self._text(_broken(f"at {point.others}" if point.others else "", 58, 1), 0.48, 15)
        missing = self._text(_broken("; ".join(gaps(grid, point)), 76, 2), self.size[1] - 0.1, 13)
        missing.set_va("bottom")
        return [legend, fixed, missing]


class ContourPlot(TangentPlot):
    """The output over two inputs as contour lines, with the present point and the way down."""

    size = (8.0, 8.7)
    bottom, height = 1.95, 5.65

    def words(self, grid: Grid, point: Point) -> str:
        """What the figure shows, with numbers."""
        return surface_words(grid, point)

    def _window(self, grid: Grid, point: Point) -> object:
        return None  # the lines do not depend on the point

    def _lasting(self, axes: Any, grid: Grid, point: Point) -> None:
        xs, ys = ([grid.place(n, axis) for n in grid.numbers()] for axis in (0, 1))
        values = [[grid.values[(n, k)] for n in grid.numbers()] for k in grid.numbers()]
        plots.contour_lines(axes, xs, ys, values, self.theme)
        axes.set_ylabel(point.axes[1])

    def _moving(self, axes: Any, grid: Grid, point: Point) -> list[Any]:
        tip = arrow_tip(grid, point)
        if tip is None:
            return list(axes.plot([], [], " ", label=f"no arrow: {point.gradient}"))
        colour = self.colours["orange"]
        arrow = plots.arrow(axes, self._place(point), tip, colour)
        named = axes.plot([], [], color=colour, linewidth=4, marker=">", markersize=11,
                          label=f"downhill: {point.downhill}")  # fmt: skip
        return [arrow, *named]

    def _place(self, point: Point) -> tuple[float, float]:
        return point.at[0], point.at[1]


def _broken(text: str, longest: int, most: int) -> str:
    """The text on a few lines; what does not fit is left out."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= longest:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join([*lines[: most - 1], lines[most - 1] + " …"] if len(lines) > most else lines)
