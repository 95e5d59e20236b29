"""The plot of the gradients' norms by depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from autograd_viz import plots
from autograd_viz.networks.flow import Entry, GradientFlow
from autograd_viz.plots import Plot, Theme
from autograd_viz.text import apart

MOST_NAMES = 40  # that fit below the axis
LONGEST_NAME = 26  # characters
LETTER = 0.11  # inches that a letter below the axis may take
FEW = 16  # elements, whose spread would say nothing
ROOM = 4  # powers of ten below the least norm, for the elements
Spread = tuple[int, float, float]  # place of an entry, and two powers of ten
# What has no place on a logarithmic scale, in rows of its own: below the numbers and above them.
BELOW = {"zero": "all zero", "None": "None", "frozen": "None (frozen)", "no values": "no values"}
ABOVE = {"inf": "inf", "NaN": "NaN"}
_MARKS = {  # state -> colour, marker
    "zero": ("red", "v"), "None": ("red", "x"), "frozen": ("ink", "x"), "no values": ("ink", "."),
    "inf": ("red", "^"), "NaN": ("red", "X"),
}  # fmt: skip


def flow_plot(flow: GradientFlow, theme: Theme) -> Plot:
    """Draw the norms on a logarithmic scale, in the order of the forward pass."""
    return Plot(flow.title, flow.words, plots.svg_of(drawn(flow, theme), theme))


def drawn(flow: GradientFlow, theme: Theme) -> Figure:
    """The figure, before it is written as SVG."""
    colour = plots.palette(theme)
    entries = flow.entries
    width = min(16.0, max(9.0, 4.0 + 0.3 * len(entries)))
    step = max(1, math.ceil(len(entries) / MOST_NAMES))
    places = range(0, len(entries), step)
    names = apart([entries[place].name for place in places], LONGEST_NAME)
    height = 8 + LETTER * max(0, max(map(len, names), default=0) - LONGEST_NAME)
    with matplotlib.rc_context(plots.SETTINGS):
        size = width, height
        figure: Any = Figure(figsize=size, layout="constrained", facecolor=colour["paper"])
        axes = figure.add_subplot()
        spreads = _spreads(entries)
        rows = _rows(axes, entries, spreads)
        _bars(axes, entries, spreads, colour)
        _series(axes, entries, colour)
        _outstanding(axes, entries, rows, colour)
        axes.set_xticks(list(places), names, rotation=90, fontsize=13, parse_math=False)
        axes.set_xlim(-0.8, max(len(entries), 1) - 0.2)
        axes.set_xlabel("forward pass →      ← backward pass", fontsize=17)
        axes.set_ylabel("norm of the gradient", fontsize=17)
        axes.set_title(flow.title, fontsize=17)
        plots.coloured(axes, colour)
        axes.grid(visible=False, axis="x")
        _legend(figure, colour["ink"])
        return figure  # type: ignore[no-any-return]


def _legend(figure: Any, ink: str) -> None:
    """Below the plot, in as many columns as there is room for."""
    for columns in (3, 2, 1):
        legend = figure.legend(
            loc="outside lower center", ncols=columns, frameon=False, fontsize=15, labelcolor=ink
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _known(entries: Iterable[Entry]) -> list[float]:
    """The norms that have a place on the scale."""
    return [_height(entry) for entry in entries if not math.isnan(_height(entry))]


def _height(entry: Entry) -> float:
    """Where its norm is on the scale; NaN if it has no place there."""
    known = entry.summary
    return math.log10(known.norm) if known and entry.state == "flows" else math.nan


def _rows(axes: Any, entries: tuple[Entry, ...], spreads: Sequence[Spread]) -> dict[str, float]:
    """Set the vertical axis, in powers of ten; return where the rows of their own are."""
    known = [*_known(entries), *(end for _, *ends in spreads for end in ends)]
    low, high = math.floor(min(known, default=0)), math.ceil(max(known, default=0))
    high = max(high, low + 1)
    apart = (high - low) / 9
    states = {entry.state for entry in entries}
    below = [state for state in BELOW if state in states]
    above = [state for state in ABOVE if state in states]
    rows: dict[str, float] = {state: low - apart * (place + 1) for place, state in enumerate(below)}
    rows |= {state: high + apart * (place + 1) for place, state in enumerate(above)}
    powers = range(low, high + 1, max(1, math.ceil((high - low) / 8)))
    ticks = [*map(float, powers), *rows.values()]
    texts = [f"$10^{{{power}}}$" for power in powers]
    axes.set_yticks(ticks, [*texts, *((BELOW | ABOVE)[state] for state in rows)], fontsize=15)
    axes.set_ylim(low - apart * (len(below) + 0.6), high + apart * (len(above) + 0.6))
    return rows


def _spreads(entries: tuple[Entry, ...]) -> list[Spread]:
    """Where there are not few elements: between which powers of ten the middle 80 % of them are.

    What lies far below all norms is cut off: mostly sums that are zero but for rounding, which
    would press the norms together.
    """
    least = min(_known(entries), default=0.0) - ROOM
    found = []
    for place, entry in enumerate(entries):
        known = entry.summary
        if known is None or sum(count for _, count in known.quarters) < FEW:
            continue
        low, high = known.magnitude(0.1), known.magnitude(0.9)
        if low and high:
            found.append((place, max(math.log10(low), least), max(math.log10(high), least)))
    return found


def _bars(
    axes: Any, entries: tuple[Entry, ...], spreads: Sequence[Spread], colour: dict[str, str]
) -> None:
    """Draw how large the single elements are, behind the norms."""
    if spreads:
        axes.vlines(*zip(*spreads, strict=True), color=colour["ink"], alpha=0.25,
                    linewidth=9 if len(entries) <= 60 else 4,
                    label="single elements: the middle 80 % of |g|")  # fmt: skip


def _series(axes: Any, entries: tuple[Entry, ...], colour: dict[str, str]) -> None:
    """Draw the norms: the weights joined by a line, the vectors, which go up and down, not."""
    size = 8 if len(entries) <= 60 else 5
    for few, label, shade, marker, line in (
        (False, "weights (matrices and more)", "blue", "o", "-"),
        (True, "biases and scales (vectors, scalars)", "orange", "s", ""),
    ):
        points = [
            (place, _height(entry))
            for place, entry in enumerate(entries)
            if (len(entry.shape) < 2) == few
        ]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour[shade], linewidth=2, linestyle=line,
                      marker=marker, markersize=size, label=label)  # fmt: skip


def _outstanding(
    axes: Any, entries: tuple[Entry, ...], rows: dict[str, float], colour: dict[str, str]
) -> None:
    """Mark what is no positive number, with a line over the whole height so that it is seen."""
    for state, row in rows.items():
        shade, marker = _MARKS[state]
        places = [place for place, entry in enumerate(entries) if entry.state == state]
        axes.axhline(row, color=colour["grid"], linewidth=2, linestyle=":")
        if shade == "red" and len(places) <= 12:
            for place in places:
                axes.axvline(place, color=colour["red"], linewidth=2, alpha=0.35)
        axes.plot(places, [row] * len(places), color=colour[shade], marker=marker, linestyle="",
                  markersize=13 if len(entries) <= 60 else 8, markeredgewidth=3, zorder=5,
                  label=f"{(BELOW | ABOVE)[state]}: {len(places)}")  # fmt: skip
