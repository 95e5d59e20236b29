"""Figures of a walk of gradient descent: the function with the points so far, and the losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from autograd_viz import plots
from autograd_viz.descents import walk_words
from autograd_viz.descents.walk_words import Limits, place_of
from autograd_viz.descents.walks import Descent, Point
from autograd_viz.text import number
from autograd_viz.widgets.companion_words import ARROW
from autograd_viz.widgets.grids import Grid

SIZE = (12.4, 8.1)  # inches
TOP, BOTTOM = 2.3, 2.0  # inches above and below the axes
LEFT, RIGHT = (0.1, 0.455), (0.665, 0.32)  # where the axes begin, and their width
LONGEST = 84  # characters on a line of 17 points
FAR = 20.0  # times the picture's width: a line does not go farther out
SPAN = 50.0  # from this quotient on the losses have a logarithmic scale
REACH = {1: 2.0, 2: 1.5}  # times as far as the start is the picture goes from the lowest point
SHORTEST = 0.06  # of the picture's width: a shorter step has no room for an arrow's head
SQUARE = 1.6  # times as far at most the picture goes along one input as along the other
MARKERS = (("<", ">"), ("v", "^"))  # for a point that is outside: to the left, to the right ...


class WalkFigure:
    """The figure of a walk; while one steps, its parts and limits keep their places.

    Left stands the function, with the points so far (of three inputs or more: the inputs against
    the step), right the loss against the step.
    """

    def __init__(self, theme: plots.Theme, steps: int, grid: Grid | None, height: float) -> None:
        """`height` is a value of the function that its curve shows in any case."""
        self.theme, self.colours, self.steps = theme, plots.palette(theme), steps
        self.grid = grid
        self.limits: Limits = tuple((axis.low, axis.high) for axis in grid.axes) if grid else ()
        if grid and len(grid.axes) == 1:
            low, high = plots.window([grid.values[(n,)] for n in grid.numbers()], height)
            # A little room below, so that a tangent at the lowest point is seen.
            self.limits += ((low - 0.05 * (high - low), high),)
        self._figure: Any = None
        self._over: list[Any] = []  # what the next step takes away again

    def drawn(self, walk: Descent, step: int) -> Figure:
        """The figure at a step."""
        with matplotlib.rc_context(plots.SETTINGS):
            if self._figure is None:
                self._figure = Figure(figsize=SIZE, facecolor=self.colours["paper"])
                if self.grid:
                    self._ground(self._axes(*LEFT), walk)
            for part in self._over:
                part.remove()
            self._over = self._told(walk, step)
            if self.grid:
                self._walked(self._figure.axes[0], walk, step)
            else:
                self._inputs(self._temporary(*LEFT), walk, step)
            self._losses(self._temporary(*RIGHT), walk, step)
        return self._figure  # type: ignore[no-any-return]

    def _axes(self, left: float, width: float) -> Any:
        height = SIZE[1] - TOP - BOTTOM
        axes = self._figure.add_axes((left, BOTTOM / SIZE[1], width, height / SIZE[1]))
        plots.coloured(axes, self.colours)
        axes.xaxis.set_major_locator(plots.round_ticks())
        axes.ticklabel_format(scilimits=(-3, 4), useMathText=True)  # else they need too much room
        return axes

    def _temporary(self, left: float, width: float) -> Any:
        axes = self._axes(left, width)
        self._over.append(axes)
        return axes

    def _told(self, walk: Descent, step: int) -> list[Any]:
        """The lines of words above the axes."""
        how, _, jumps = walk_words.behaviour(walk).partition("; ")
        lines = (
            (0.12, 19, walk_words.heading(walk), "ink"),
            (0.58, 17, walk_words.here(walk, step), "violet"),
            (0.95, 17, walk_words.update(walk, step), "orange"),
            (1.32, 17, f"{how};" if jumps else how, "ink"),
            (1.69, 17, jumps, "ink"),
            (SIZE[1] - 0.33, 15, walk.ended, "red"),
        )
        return [
            self._figure.text(
                0.02, 1 - from_top / SIZE[1], text, color=self.colours[colour], va="top",
                fontsize=min(size, size * LONGEST / max(len(text), 1)), parse_math=False,
            )
            for from_top, size, text, colour in lines
        ]  # fmt: skip

    def _ground(self, axes: Any, walk: Descent) -> None:
        """The function itself."""
        grid = self.grid
        assert grid is not None
        xs = [grid.place(n, 0) for n in grid.numbers()]
        axes.set_xlabel(walk.names[0])
        if len(grid.axes) == 1:
            ys = [grid.values[(n,)] for n in grid.numbers()]
            plots.curve(axes, xs, ys, self.limits[1], color=self.colours["blue"])
            axes.set(xlim=self.limits[0], ylabel=walk.output)
        else:
            values = [[grid.values[(n, k)] for n in grid.numbers()] for k in grid.numbers()]
            ys = [grid.place(k, 1) for k in grid.numbers()]
            plots.contour_lines(axes, xs, ys, values, self.theme)
            axes.set_ylabel(walk.names[1])

    def _walked(self, axes: Any, walk: Descent, step: int) -> None:
        """The points so far, the present one, and the way to the next."""
        colours, over = self.colours, self._over
        places = [place_of(walk, k) for k in range(step + 1)]
        seen = [tuple(map(_near, place, self.limits)) for place in places]
        over += axes.plot(*zip(*seen, strict=True), "o-", color=colours["violet"], markersize=7,
                          linewidth=1.5, zorder=5, label="the steps before")  # fmt: skip
        x, y = map(_inside, places[-1], self.limits)
        sides = (
            MARKERS[place][value > high]
            for place, (value, (low, high)) in enumerate(zip(places[-1], self.limits, strict=True))
            if not low <= value <= high
        )
        if not any(map(math.isnan, (x, y))):
            over += plots.dot(
                axes, (x, y), colours, marker=next(sides, "o"), markersize=16, label=f"step {step}"
            )
        if outside := walk_words.outside(walk, step, self.limits):
            over.append(axes.text(
                0.5, 0.96, outside.replace(", ", "\n"), transform=axes.transAxes, fontsize=17,
                color=colours["red"], ha="center", va="top", zorder=9, parse_math=False,
                bbox={"facecolor": colours["paper"], "edgecolor": colours["red"]},
            ))  # fmt: skip
        elif all(map(math.isfinite, (*places[-1], *walk.gradients[step]))):
            self._next(axes, walk, step)
            forward = self._curve_step if len(walk.names) == 1 else self._contour_step
            forward(axes, walk, step)
        longest = max(len(text) for text in axes.get_legend_handles_labels()[1])
        over.append(axes.legend(
            loc="upper left", bbox_to_anchor=(LEFT[0] - 0.065, (BOTTOM - 0.72) / SIZE[1]),
            bbox_transform=self._figure.transFigure, frameon=False, borderaxespad=0, borderpad=0,
            labelcolor=colours["ink"], handlelength=2.4, labelspacing=0.35, columnspacing=2.0,
            ncols=2, fontsize=min(16, 16 * 56 / longest),
        ))  # fmt: skip

    def _next(self, axes: Any, walk: Descent, step: int) -> None:
        """A ring around the next point, where there is one in the picture."""
        known = step < walk.last or len(walk.names) == 2
        place = place_of(walk, step + 1) if step < walk.last else walk.beyond
        if not known or not all(map(math.isfinite, place)):
            return
        x, y = map(_near, place, self.limits)
        self._over += axes.plot(
            [x], [y], "o", markersize=11, markerfacecolor="none", markeredgewidth=2.5,
            markeredgecolor=self.colours["red"], zorder=8, label="next point",
        )  # fmt: skip

    def _curve_step(self, axes: Any, walk: Descent, step: int) -> None:
        """The tangent, and the step along w, which is not a step along the curve."""
        (x,), (slope,), loss = walk.points[step], walk.gradients[step], walk.losses[step]
        (after,), ends = walk.next_point(step), self.limits[0]
        self._over += axes.plot(
            ends, [loss + slope * (end - x) for end in ends], linestyle=(0, (5, 2)), linewidth=2.5,
            color=self.colours["orange"], zorder=3, label=f"tangent: slope = {number(slope)}",
        )  # fmt: skip
        if not math.isfinite(after):
            return
        tip = _inside(after, ends)
        if abs(tip - x) > SHORTEST * (ends[1] - ends[0]):
            self._over.append(plots.arrow(axes, (x, loss), (tip, loss), self.colours["red"]))
        else:
            self._over += axes.plot([x, tip], [loss, loss], linewidth=4, zorder=6,
                                    color=self.colours["red"])  # fmt: skip
        change = f"−learning rate × gradient = {number(after - x)}"
        self._arrow_named(axes, f"step: {change}", "red")
        if step < walk.last and tip == after:
            beside = _near(walk.losses[step + 1], self.limits[1])
            self._over += axes.plot([tip, tip], [loss, beside], ":", linewidth=2.5, zorder=4,
                                    color=self.colours["red"])  # fmt: skip

    def _contour_step(self, axes: Any, walk: Descent, step: int) -> None:
        """The negative gradient, of one length, since gradients differ too much in theirs."""
        slopes = walk.gradients[step]
        most = max(map(abs, slopes))
        if not most:
            return
        sizes = [high - low for low, high in self.limits]
        length = math.hypot(*(s / most / size for s, size in zip(slopes, sizes, strict=True)))
        x, y = walk.points[step]
        tip = x - ARROW * slopes[0] / most / length, y - ARROW * slopes[1] / most / length
        self._over.append(plots.arrow(axes, (x, y), tip, self.colours["orange"]))
        downhill = ", ".join(number(-slope + 0.0) for slope in slopes)
        self._arrow_named(axes, f"downhill: −gradient = ({downhill})", "orange")

    def _arrow_named(self, axes: Any, label: str, colour: str) -> None:
        self._over += axes.plot([], [], color=self.colours[colour], linewidth=4, marker=">",
                                markersize=11, label=label)  # fmt: skip

    def _inputs(self, axes: Any, walk: Descent, step: int) -> None:
        """The inputs against the step, where there are too many to draw the function."""
        for place, name in enumerate(walk.names):
            values = [_near(point[place], (-1e30, 1e30)) for point in walk.points]
            colour = self.colours[("blue", "orange", "violet", "red")[place % 4]]
            axes.plot(values, alpha=0)  # the limits are those of the whole walk
            axes.plot(values[: step + 1], "o-", color=colour, linewidth=2.5, markersize=6,
                      label=name)  # fmt: skip
        axes.set(xlim=(-0.03 * self.steps, 1.03 * self.steps), xlabel="step", ylabel="inputs")
        axes.legend(labelcolor=self.colours["ink"], facecolor=self.colours["paper"], fontsize=15)

    def _losses(self, axes: Any, walk: Descent, step: int) -> None:
        colours = self.colours
        known = {k: loss for k, loss in enumerate(walk.losses) if math.isfinite(loss)}
        positive = [loss for loss in known.values() if loss > 0]
        logarithmic = (
            bool(positive) and min(known.values()) >= 0 and max(positive) > SPAN * min(positive)
        )
        axes.set(xlim=(-0.03 * self.steps, 1.03 * self.steps), xlabel="step")
        axes.set_ylabel(f"{walk.output} (log scale)" if logarithmic else walk.output)
        low, high = 0.0, 1.0
        if logarithmic:
            axes.set_yscale("log")
            low, high = min(positive) / 2, max(positive) * 2
        elif known:
            low, high = plots.window(list(known.values()), walk.losses[step])
            low -= 0.05 * (high - low)
        axes.set_ylim(low, high)
        ks = [k for k in known if k <= step]
        # A loss of exactly 0 has no place on a logarithmic scale: it stands at the bottom.
        heights = [max(known[k], low) for k in ks]
        axes.plot(ks, heights, "o-", color=colours["blue"], linewidth=2.5, markersize=7,
                  clip_on=False)  # fmt: skip
        now = walk.losses[step]
        marker = "o" if low <= now <= high else "v" if now < low else "^"
        plots.dot(axes, (step, heights[-1] if step in known else high), colours, marker=marker)


def _inside(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def _near(value: float, limits: tuple[float, float]) -> float:
    """The value, but not farther outside than lines are drawn well."""
    reach = FAR * (limits[1] - limits[0])
    return _inside(value, (limits[0] - reach, limits[1] + reach))


def intervals(walks: Sequence[Descent], starts: Sequence[Point]) -> list[tuple[float, float]]:
    """From where to where the picture goes along each input, whatever the learning rate is.

    The lowest point that one of the walks finds is in the middle, and all starts are inside; a
    walk that diverges leaves the picture.
    """
    found = [
        (loss, point)
        for walk in walks
        for loss, point in zip(walk.losses, walk.points, strict=True)
        if math.isfinite(loss) and all(map(math.isfinite, point))
    ]
    lowest = min(found)[1] if found else starts[0]
    radii = [
        max(abs(start[place] - lowest[place]) for start in starts) for place in range(len(lowest))
    ]
    if not any(radii):  # all walks diverge, or start at the lowest point
        start, after = walks[0].points[0], walks[0].next_point(0)
        steps = [b - a for a, b in zip(start, after, strict=True)]
        size = max(1.0, *map(abs, start))
        if any(steps) and all(abs(step) <= 4 * size for step in steps):
            lowest = tuple(a + step / 2 for a, step in zip(start, steps, strict=True))
            radii = [0.75 * abs(step) for step in steps]
        else:
            radii = [size] * len(lowest)
    made = []
    for middle, radius in zip(lowest, radii, strict=True):
        reach = REACH[len(lowest)] * max(radius, max(radii) / SQUARE)
        unit = 10.0 ** (math.floor(math.log10(reach)) - 1)
        low, high = (round((middle + side * reach) / unit) * unit for side in (-1, 1))
        made.append((float(f"{low:.12g}"), float(f"{high:.12g}")))
    return made
