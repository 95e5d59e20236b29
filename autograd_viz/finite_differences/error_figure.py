"""The error of the difference quotient against the step, as a figure of matplotlib."""

from __future__ import annotations

import math
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from autograd_viz import plots, show
from autograd_viz.finite_differences.data import Errors, Nudge
from autograd_viz.plots import Theme
from autograd_viz.text import as_written, number, table

_KINDS = {"float32": ("orange", "o"), "float64": ("blue", "s")}  # data type -> colour, marker


class ErrorFigure(Figure):
    """A figure that also shows itself where no drawing backend is set up, and says it in words."""

    title = words = ""
    theme: Theme = "auto"

    @property
    def svg(self) -> str:
        """The figure as the text of an SVG file, the same for the same numbers."""
        return plots.svg_of(self, self.theme)

    def __str__(self) -> str:
        return self.words

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return show.mimebundle(self)  # type: ignore[arg-type]  # it has a drawing's attributes


def error_figure(shown: Nudge, errors: Errors, theme: Theme) -> ErrorFigure:
    """Draw the errors of a Nudge, with the floor of float32 and the chosen step."""
    colour = plots.palette(theme)
    with matplotlib.rc_context(plots.SETTINGS):
        figure: Any = ErrorFigure(figsize=(9, 6), layout="constrained", facecolor=colour["paper"])
        axes = figure.add_subplot()
        for kind, values in errors.errors.items():
            points = [
                (abs(step), error)
                for step, error in zip(errors.steps, values, strict=True)
                if error > 0 and math.isfinite(error)
            ]
            if points:
                shade, marker = _KINDS[kind]
                axes.plot(*zip(*points, strict=True), color=colour[shade], linewidth=2.5,
                          marker=marker, markersize=6, label=kind)  # fmt: skip
        _floor(axes, errors, colour)
        _lost(axes, errors, colour)
        axes.axvline(abs(shown.step), color=colour["violet"], linewidth=2.5, linestyle=":",
                     label=f"chosen step, {as_written(abs(shown.step))}")  # fmt: skip
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel("step", fontsize=17)
        axes.set_ylabel("|quotient − gradient|", fontsize=17)
        axes.set_title(
            f"Error of Δ{shown.output}/Δ{shown.name}; the gradient is {number(errors.gradient)}",
            fontsize=17,
        )
        _coloured(axes, colour)
    figure.title = f"Error of the difference quotient of {shown.output} by {shown.name}"
    figure.theme = theme
    figure.words = _words(figure.title, errors)
    return figure  # type: ignore[no-any-return]


def _floor(axes: Any, errors: Errors, colour: dict[str, str]) -> None:
    """Where the rounding of float32 hides the difference."""
    least = abs(errors.value) * 2.0**-24  # a smaller step does not move the value at all
    steps = sorted(abs(step) for step in errors.steps if abs(step) >= least)
    if "float32" not in errors.errors or not errors.output or len(steps) < 2:
        return
    axes.plot(steps, [errors.floor(step) for step in steps], color=colour["red"], linewidth=2,
              linestyle="--", label="float32 floor: the output's rounding / step")  # fmt: skip


def _lost(axes: Any, errors: Errors, colour: dict[str, str]) -> None:
    """Says where steps are too small to change the value at all, so that the quotient is 0."""
    lost = [abs(step) for step in errors.steps if abs(step) < abs(errors.value) * 2.0**-25]
    if "float32" in errors.errors and lost and errors.gradient:
        axes.text(min(lost), abs(errors.gradient) / 4, "lost: value + step is the value",
                  color=colour["orange"], fontsize=14, va="top")  # fmt: skip


def _coloured(axes: Any, colour: dict[str, str]) -> None:
    plots.coloured(axes, colour)
    axes.tick_params(labelsize=14, which="both")
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False, fontsize=14
    )
    for entry in legend.get_texts():
        entry.set_color(colour["ink"])


def _words(title: str, errors: Errors) -> str:
    kinds = list(errors.errors)
    rows = [["step", *kinds]]
    for place, step in enumerate(errors.steps):
        rows.append([number(step), *(number(errors.errors[kind][place]) for kind in kinds)])
    return "\n".join([title, *table(rows)])
