"""Figures of Matplotlib: how they look, and how they show themselves as SVG."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
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
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from autograd_viz.picture import Drawing
from autograd_viz.text import as_written, legal

Theme = Literal["auto", "light", "dark"]
THEMES = ("auto", "light", "dark")
_LIGHT = {
    "paper": "#ffffff", "ink": "#1b1b1b", "grid": "#d5dae0",
    "blue": "#14507f", "orange": "#a35200", "violet": "#8a1c9c", "red": "#b3001b",
}  # fmt: skip
_DARK = {
    "paper": "#14171c", "ink": "#f4f4f4", "grid": "#3a424c",
    "blue": "#7db8ee", "orange": "#f0b350", "violet": "#f29bff", "red": "#ff8a9b",
}  # fmt: skip
# Of viridis: what shows on the paper.
_SHADES = {"light": (0.0, 0.72), "dark": (0.4, 1.0), "auto": (0.3, 0.75)}
SETTINGS: Any = {
    "font.size": 15, "axes.titlesize": 19, "axes.labelsize": 19,
    "svg.hashsalt": "autograd_viz", "svg.fonttype": "path", "contour.negative_linestyle": "solid",
}  # fmt: skip
ENLARGED = 1.5  # times Matplotlib's own sizes, which are for paper
SIZE = (9.0, 6.0)  # inches
ALIKE = 3.0  # times as long one side of a plot may be to have the other's scale


@dataclass(frozen=True)
class Plot(Drawing):
    """A finished figure that shows itself as SVG; made by `figure`."""

    title: str
    words: str
    drawing: str = field(repr=False)

    @property
    def svg(self) -> str:
        """The figure as the text of an SVG file, the same for the same numbers."""
        return self.drawing


def figure(fig: Figure, words: str) -> Plot:
    """Show a figure of Matplotlib as SVG that is the same on each run, with its meaning in words.

    What has Matplotlib's own size is enlarged for a projector: text, lines, and the figure itself.
    Sizes that you chose stay. Each axes gets a grid, unless it holds an image. The figure is taken
    off pyplot's list, so that a notebook does not show it a second time.

    Args:
        fig: the figure, as in `fig, ax = plt.subplots()`.
        words: what it shows, with the numbers that matter: for readers who do not see it.

    Raises:
        TypeError: something else than a figure was given.
        ValueError: there are no words.
        ModuleNotFoundError: matplotlib is not installed.

    >>> from matplotlib.figure import Figure
    >>> import autograd_viz as av
    >>> fig = Figure()
    >>> line = fig.add_subplot().plot([7.3159, 0.3569, 0.0174])
    >>> print(av.figure(fig, "The loss falls from 7.3159 to 0.0174 in two steps."))
    The loss falls from 7.3159 to 0.0174 in two steps.
    """
    if not isinstance(fig, Figure):
        raise TypeError(
            f"av.figure() was given an object of type {type(fig).__name__}; give the figure that "
            "`fig, ax = plt.subplots()` returns first: av.figure(fig, 'The loss falls to 0.')"
        )
    if not isinstance(words, str) or not legal(words).strip():
        raise ValueError(
            f"words={words!r} tells nothing; say what the figure shows to a reader who does not "
            "see it: av.figure(fig, 'The loss falls from 7.3 to 0.02 in ten epochs.')"
        )
    for text in fig.findobj(Text):
        if isinstance(text, Text) and text.get_text() != legal(text.get_text()):
            raise ValueError(
                f"the figure's text {text.get_text()!r} has a character that no font has; "
                f"take it out: {legal(text.get_text())!r}"
            )
    words = legal(words).strip()
    _enlarge(fig)
    drawing = svg_of(fig)
    if pyplot := sys.modules.get("matplotlib.pyplot"):  # the inline backend shows what is open
        pyplot.close(fig)
    return Plot(words.splitlines()[0], words, drawing)


def _enlarge(fig: Figure) -> None:
    """Make what has Matplotlib's own size readable in the last row."""
    own: Any = matplotlib.rcParamsDefault
    small = own["font.size"], own["font.size"] * 1.2  # "medium" and "large"
    if tuple(fig.get_size_inches()) == tuple(own["figure.figsize"]):
        fig.set_size_inches(SIZE)
    if fig.get_layout_engine() is None:
        fig.set_layout_engine("constrained")  # the larger text would be cut off
    for axes in fig.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = axis.get_majorticklabels()
            if labels and labels[0].get_fontsize() in small:
                axis.set_tick_params(which="both", labelsize=small[0] * ENLARGED)
        if not axes.images:
            axes.grid(True, color=_LIGHT["grid"])
            axes.set_axisbelow(True)
    for text in fig.findobj(Text):
        if isinstance(text, Text) and text.get_fontsize() in small:
            text.set_fontsize(float(text.get_fontsize()) * ENLARGED)
    for line in fig.findobj(Line2D):
        if isinstance(line, Line2D) and line.get_linewidth() == own["lines.linewidth"]:
            line.set_linewidth(2 * own["lines.linewidth"])
        if isinstance(line, Line2D) and line.get_markersize() == own["lines.markersize"]:
            line.set_markersize(ENLARGED * line.get_markersize())


def svg_of(fig: Figure, theme: Theme = "auto") -> str:
    """The figure as the text of an SVG file, the same for the same numbers.

    With "auto" a figure in the light palette turns dark where the page that shows it is dark.
    """
    file = io.StringIO()
    with matplotlib.rc_context(SETTINGS):  # of ticks the last are made here
        fig.savefig(file, format="svg", metadata={"Date": None})
    drawing = file.getvalue()
    if theme != "auto":
        return drawing
    begin, style, rest = drawing.partition('<style type="text/css">')
    assert style, "Matplotlib writes a style sheet"
    return f"{begin}{style}{_dark_rules()}{rest}"


@cache
def _dark_rules() -> str:
    """Rules that put a dark colour in the place of each light one, and of Matplotlib's black."""
    turned = {_LIGHT[name]: _DARK[name] for name in _LIGHT} | {"#000000": _DARK["ink"]}
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in turned.items()
        for kind in ("fill", "stroke")
    ]
    black = f'[id^="text_"]{{fill:{_DARK["ink"]}}}'  # is the default, which is not written
    return f"@media (prefers-color-scheme: dark){{{black}{''.join(rules)}}}"


def palette(theme: Theme) -> dict[str, str]:
    """The colours of a theme; "auto" draws in the light ones, and `svg_of` turns them."""
    return _DARK if theme == "dark" else _LIGHT


def checked_theme(theme: Theme) -> Theme:
    """The theme, or an error that names those there are."""
    if theme not in THEMES:
        raise ValueError(f"theme={theme!r}: give one of 'auto', 'light', 'dark'")
    return theme


# Parts of a plot


def coloured(axes: Any, colours: dict[str, str]) -> None:
    """Give axes the paper, the ink and the grid of a theme."""
    axes.set_facecolor(colours["paper"])
    axes.grid(color=colours["grid"])
    axes.set_axisbelow(True)
    axes.tick_params(colors=colours["ink"], which="both")
    for part in (axes.xaxis.label, axes.yaxis.label, axes.title, axes.yaxis.get_offset_text()):
        part.set_color(colours["ink"])
    for spine in axes.spines.values():
        spine.set_color(colours["ink"])


def round_ticks() -> MaxNLocator:
    """Ticks at round numbers, as far apart as large text needs."""
    return MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10])


def curve(
    axes: Any, xs: list[float], ys: list[float], limits: tuple[float, float], **style: Any
) -> None:
    """Draw a function's values; a pole is a gap, and what is not finite too."""
    axes.plot(*_unjoined(xs, ys, *limits), linewidth=3.5, **style)
    axes.set_ylim(limits)


def contour_lines(
    axes: Any, xs: list[float], ys: list[float], values: Sequence[Sequence[float]], theme: Theme
) -> None:
    """Draw lines of equal value with their numbers; one row of values for each of `ys`."""
    colours, array = palette(theme), np.array(values)
    finite = np.isfinite(array)
    known = array[finite].tolist()
    if known and min(known) < max(known):
        levels = MaxNLocator(nbins=12, min_n_ticks=4).tick_values(*window(known, known[0]))
        shades = colormaps["viridis"](np.linspace(*_SHADES[theme], len(levels)))
        lines = axes.contour(xs, ys, np.ma.array(array, mask=~finite), levels=levels,
                             colors=list(map(tuple, shades)), linewidths=2.5)  # fmt: skip
        for label in axes.clabel(lines, fontsize=14, fmt=as_written, colors=colours["ink"]):
            edge = patheffects.withStroke(linewidth=4, foreground=colours["paper"])
            label.set_path_effects([edge])
    width, height = xs[-1] - xs[0], ys[-1] - ys[0]
    axes.set(xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]))
    if 1 / ALIKE <= height / width <= ALIKE:
        # Then the gradient is seen at right angles to the lines.
        axes.set_aspect("equal", anchor="S")


def arrow(axes: Any, start: tuple[float, float], tip: tuple[float, float], colour: str) -> Any:
    """Draw an arrow that a reader in the last row sees."""
    style = {
        "arrowstyle": "-|>,head_width=0.5,head_length=0.9", "color": colour, "linewidth": 4,
        "shrinkA": 0, "shrinkB": 0,
    }  # fmt: skip
    return axes.annotate(
        "", xy=tip, xytext=start, annotation_clip=False, zorder=6, arrowprops=style
    )


def dot(axes: Any, at: tuple[float, float], colours: dict[str, str], **style: Any) -> list[Any]:
    """Draw the present point."""
    large: dict[str, Any] = {
        "marker": "o", "linestyle": "", "markersize": 13, "color": colours["violet"],
        "markeredgecolor": colours["paper"], "markeredgewidth": 2, "clip_on": False, "zorder": 7,
    }  # fmt: skip
    return list(axes.plot([at[0]], [at[1]], **large | style))


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
