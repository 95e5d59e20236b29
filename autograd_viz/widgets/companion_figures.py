"""Matplotlib figures of a program's output: its curve and tangent, contour lines and an arrow."""

from __future__ import annotations

import io
import math
from typing import Any, Literal

try:
    import matplotlib
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the plot is drawn with matplotlib, which is not installed; install it with: "
        "pip install matplotlib"
    ) from error
import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autograd_viz.widgets.companion_words import (
    Point,
    arrow_tip,
    curve_words,
    gaps,
    surface_words,
)
from autograd_viz.widgets.grids import Grid

Theme = Literal["auto", "light", "dark"]
THEMES = ("auto", "light", "dark")
_LIGHT = {
    "paper": "#ffffff", "ink": "#1b1b1b", "grid": "#d5dae0", "curve": "#14507f",
    "tangent": "#a35200", "point": "#8a1c9c",
}  # fmt: skip
_DARK = {
    "paper": "#14171c", "ink": "#f4f4f4", "grid": "#3a424c", "curve": "#7db8ee",
    "tangent": "#f0b350", "point": "#f29bff",
}  # fmt: skip
_SHADES = {"light": (0.0, 0.72), "dark": (0.4, 1.0)}  # of viridis: what shows on the paper
_SETTINGS: Any = {
    "font.size": 15, "axes.titlesize": 19, "axes.labelsize": 19,
    "svg.hashsalt": "autograd_viz", "svg.fonttype": "path", "contour.negative_linestyle": "solid",
}  # fmt: skip


class TangentPlot:
    """The output along one input, with the present point and its tangent.

    Its parts have places of their own, in inches, so that nothing jumps while it follows inputs.
    """

    size = (8.0, 6.8)
    bottom, height = 2.3, 3.4  # of the axes

    def __init__(self, theme: Theme) -> None:
        self.colours = _DARK if theme == "dark" else _LIGHT
        self.shades = _SHADES["dark" if theme == "dark" else "light"]
        self.figure: Any = None
        self._ground: object = None  # what the lasting part of the figure was drawn from
        self._over: list[Any] = []  # what moves with the point

    def draw(self, grid: Grid, point: Point) -> None:
        """Bring the figure up to date; of the same grid only what moves is drawn anew."""
        ground = grid, grid.stride, point.output, self._window(grid, point)
        with matplotlib.rc_context(_SETTINGS):
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
        ink, height = self.colours["ink"], self.size[1]
        self.figure = Figure(figsize=self.size, facecolor=self.colours["paper"])
        axes = self.figure.add_axes((0.135, self.bottom / height, 0.83, self.height / height))
        axes.set_facecolor(self.colours["paper"])
        axes.grid(color=self.colours["grid"])
        axes.set_axisbelow(True)
        axes.tick_params(colors=ink, which="both")
        for spine in axes.spines.values():
            spine.set_color(ink)
        self._lasting(axes, grid, point)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))
        axes.set_xlabel(point.axes[0], color=ink)
        axes.yaxis.get_offset_text().set_color(ink)
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
        low, high = window(ys, point.value)
        axes.plot(*_unjoined(xs, ys, low, high), color=self.colours["curve"], linewidth=3.5,
                  label=point.output)  # fmt: skip
        axes.set(xlim=(grid.axes[0].low, grid.axes[0].high), ylim=(low, high))
        axes.set_ylabel(point.output, color=self.colours["ink"])

    def _moving(self, axes: Any, grid: Grid, point: Point) -> list[Any]:
        if point.known is None or not math.isfinite(point.value):
            return []
        ends = grid.axes[0].low, grid.axes[0].high
        line: list[Any] = axes.plot(
            ends, [point.value + point.known[0] * (end - point.at[0]) for end in ends],
            linestyle=(0, (5, 2)), linewidth=2.5, color=self.colours["tangent"], zorder=3,
            label=f"tangent: slope = {point.gradient}",
        )  # fmt: skip
        return line

    def _place(self, point: Point) -> tuple[float, float]:
        return point.at[0], point.value

    def _point(self, axes: Any, point: Point) -> list[Any]:
        if not math.isfinite(point.value):
            return []
        x, y = self._place(point)
        dot: list[Any] = axes.plot(
            [x], [y], "o", markersize=13, color=self.colours["point"], label=point.text,
            markeredgecolor=self.colours["paper"], markeredgewidth=2, clip_on=False, zorder=7,
        )  # fmt: skip
        return dot

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
        values = np.array([[grid.values[(n, k)] for n in grid.numbers()] for k in grid.numbers()])
        finite = np.isfinite(values)
        known = values[finite].tolist()
        if known and min(known) < max(known):
            levels = MaxNLocator(nbins=12, min_n_ticks=4).tick_values(*window(known, known[0]))
            shades = colormaps["viridis"](np.linspace(*self.shades, len(levels)))
            lines = axes.contour(xs, ys, np.ma.array(values, mask=~finite), levels=levels,
                                 colors=list(map(tuple, shades)), linewidths=2.5)  # fmt: skip
            for label in axes.clabel(lines, fontsize=14, fmt="%g", colors=self.colours["ink"]):
                edge = patheffects.withStroke(linewidth=4, foreground=self.colours["paper"])
                label.set_path_effects([edge])
        (left, right), (low, high) = ((axis.low, axis.high) for axis in grid.axes)
        axes.set(xlim=(left, right), ylim=(low, high))
        if 1 / 3 <= (high - low) / (right - left) <= 3:
            # Then the arrow is seen at right angles to the lines.
            axes.set_aspect("equal", anchor="S")
        axes.set_ylabel(point.axes[1], color=self.colours["ink"])

    def _moving(self, axes: Any, grid: Grid, point: Point) -> list[Any]:
        tip = arrow_tip(grid, point)
        if tip is None:
            return list(axes.plot([], [], " ", label=f"no arrow: {point.gradient}"))
        colour = self.colours["tangent"]
        style = {
            "arrowstyle": "-|>,head_width=0.5,head_length=0.9", "color": colour, "linewidth": 4,
            "shrinkA": 0, "shrinkB": 0,
        }  # fmt: skip
        arrow = axes.annotate(
            "", xy=tip, xytext=point.at, annotation_clip=False, zorder=6, arrowprops=style
        )
        named = axes.plot([], [], color=colour, linewidth=4, marker=">", markersize=11,
                          label=f"downhill: {point.downhill}")  # fmt: skip
        return [arrow, *named]

    def _place(self, point: Point) -> tuple[float, float]:
        return point.at[0], point.at[1]


def svg_of(figure: Any) -> str:
    """The figure as the text of an SVG file, the same for the same numbers."""
    file = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def window(values: list[float], include: float) -> tuple[float, float]:
    """An interval with round ends that holds the values, but not the far ends of a pole.

    >>> window([0.0, 7.0, float("nan")], 3.0)
    (0.0, 7.0)
    """
    here = [include] if math.isfinite(include) else []
    known = sorted(value for value in values if math.isfinite(value)) or here
    if not known:
        return 0.0, 1.0
    low, high = known[0], known[-1]
    near = known[len(known) // 12], known[-1 - len(known) // 12]
    span = near[1] - near[0]
    if span and high - low > 10 * span:
        low, high = max(low, near[0] - span), min(high, near[1] + span)
    low, high = min([low, *here]), max([high, *here])
    if low == high:
        low, high = low - max(1.0, abs(low)) / 2, high + max(1.0, abs(high)) / 2
    ticks = MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return float(ticks[0]), float(ticks[-1])


def _unjoined(
    xs: list[float], ys: list[float], low: float, high: float
) -> tuple[list[float], list[float]]:
    """The curve, broken where it leaves the window on one side and comes back on the other."""
    joined: tuple[list[float], list[float]] = [], []
    last = math.nan
    for x, y in zip(xs, ys, strict=True):
        value = y if math.isfinite(y) else math.nan
        if (last > high and value < low) or (last < low and value > high):
            joined[0].append(x)
            joined[1].append(math.nan)
        joined[0].append(x)
        joined[1].append(value)
        last = value
    return joined


def _broken(text: str, longest: int, most: int) -> str:
    """The text on a few lines; what does not fit is left out."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= longest:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join([*lines[: most - 1], lines[most - 1] + " …"] if len(lines) > most else lines)
