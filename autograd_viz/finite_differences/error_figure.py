"""The error of the difference quotient against the step, as a figure of matplotlib."""

from __future__ import annotations

import io
import math
from typing import Any, Literal

import matplotlib
from matplotlib.figure import Figure

from autograd_viz import show
from autograd_viz.finite_differences.data import Errors, Nudge, short
from autograd_viz.text import number, table

Theme = Literal["light", "dark"]
_COLOURS = {
    "light": {"paper": "#ffffff", "ink": "#1b1b1b", "grid": "#d5dae0", "floor": "#b3001b",
              "float32": "#a35200", "float64": "#14507f", "chosen": "#8a1c9c"},
    "dark": {"paper": "#14171c", "ink": "#f4f4f4", "grid": "#3a424c", "floor": "#ff8a9b",
             "float32": "#f0b350", "float64": "#7db8ee", "chosen": "#f29bff"},
}  # fmt: skip
_MARKERS = {"float32": "o", "float64": "s"}
_SETTINGS: Any = {"font.size": 14, "svg.hashsalt": "autograd_viz", "svg.fonttype": "path"}


class ErrorFigure(Figure):
    """A figure that also shows itself where no drawing backend is set up, and says it in words."""

    title = words = ""

    @property
    def svg(self) -> str:
        """The figure as the text of an SVG file, the same for the same numbers."""
        file = io.StringIO()
        with matplotlib.rc_context(_SETTINGS):
            self.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()

    def __str__(self) -> str:
        return self.words

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return show.mimebundle(self)  # type: ignore[arg-type]  # it has a drawing's attributes


def error_figure(shown: Nudge, errors: Errors, theme: Theme) -> ErrorFigure:
    """Draw the errors of a Nudge, with the floor of float32 and the chosen step."""
    colour = _COLOURS[theme]
    with matplotlib.rc_context(_SETTINGS):
        figure: Any = ErrorFigure(figsize=(9, 6), layout="constrained", facecolor=colour["paper"])
        axes = figure.add_subplot()
        for kind, values in errors.errors.items():
            points = [
                (abs(step), error)
                for step, error in zip(errors.steps, values, strict=True)
                if error > 0 and math.isfinite(error)
            ]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour[kind], linewidth=2.5,
                          marker=_MARKERS[kind], markersize=6, label=kind)  # fmt: skip
        _floor(axes, errors, colour)
        _lost(axes, errors, colour)
        axes.axvline(abs(shown.step), color=colour["chosen"], linewidth=2.5, linestyle=":",
                     label=f"chosen step, {short(abs(shown.step))}")  # fmt: skip
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel("step", fontsize=17)
        axes.set_ylabel("|quotient − gradient|", fontsize=17)
        axes.set_title(
            f"Error of Δ{shown.output}/Δ{shown.name}; the gradient is {number(errors.gradient)}",
            fontsize=17,
        )
        _coloured(axes, colour)
    figure.title = f"Error of the difference quotient of {shown.output} by {shown.name}"
    figure.words = _words(figure.title, errors)
    return figure  # type: ignore[no-any-return]


def _floor(axes: Any, errors: Errors, colour: dict[str, str]) -> None:
    """Where the rounding of float32 hides the difference."""
    least = abs(errors.value) * 2.0**-24  # a smaller step does not move the value at all
    steps = sorted(abs(step) for step in errors.steps if abs(step) >= least)
    if "float32" not in errors.errors or not errors.output or len(steps) < 2:
        return
    axes.plot(steps, [errors.floor(step) for step in steps], color=colour["floor"], linewidth=2,
              linestyle="--", label="float32 floor: the output's rounding / step")  # fmt: skip


def _lost(axes: Any, errors: Errors, colour: dict[str, str]) -> None:
    """Says where steps are too small to change the value at all, so that the quotient is 0."""
    lost = [abs(step) for step in errors.steps if abs(step) < abs(errors.value) * 2.0**-25]
    if "float32" in errors.errors and lost and errors.gradient:
        axes.text(min(lost), abs(errors.gradient) / 4, "lost: value + step is the value",
                  color=colour["float32"], fontsize=14, va="top")  # fmt: skip


def _coloured(axes: Any, colour: dict[str, str]) -> None:
    axes.set_facecolor(colour["paper"])
    axes.grid(color=colour["grid"])
    axes.tick_params(colors=colour["ink"], labelsize=14, which="both")
    for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
        part.set_color(colour["ink"])
    for spine in axes.spines.values():
        spine.set_color(colour["ink"])
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False, fontsize=14
    )
    for entry in legend.get_texts():
        entry.set_color(colour["ink"])


def _words(title: str, errors: Errors) -> str:
    kinds = list(errors.errors)
    rows = [["step", *kinds]]
    for place, step in enumerate(errors.steps):
        rows.append([f"{step:.3g}", *(f"{errors.errors[kind][place]:.1e}" for kind in kinds)])
    return "\n".join([title, *table(rows)])
