"""What a plot of a program's output says: the present point, the gradient, a few values, gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autograd_viz.model import Variable
from autograd_viz.programs.forward import Program
from autograd_viz.text import clean, joined, number, table
from autograd_viz.typeset import derivative, plain
from autograd_viz.widgets.grids import Grid, one_number, others

SHORT = 16  # characters of an expression that stands for the output
ARROW = 0.16  # of the plot's width: how long the arrow is


@dataclass(frozen=True)
class Point:
    """Where the program stands: its inputs along the axes, its output and the gradient."""

    axes: tuple[str, ...]
    at: tuple[float, ...]
    output: str
    value: float
    slopes: tuple[float | None, ...]  # one an axis; None: the gradient does not reach this input
    others: str  # the inputs that stay: "b = 4"
    trouble: str = ""  # why there is no value or no gradient

    @property
    def text(self) -> str:
        """As in `a = 2, b = 4: e = 12`."""
        at = ", ".join(f"{n} = {number(v)}" for n, v in zip(self.axes, self.at, strict=True))
        return f"{at}: {self.output} = {number(self.value)}"

    @property
    def heading(self) -> str:
        """As in `e along a`."""
        along = "along" if len(self.axes) == 1 else "over"
        return f"{self.output} {along} {' and '.join(self.axes)}"

    @property
    def title(self) -> str:
        """As in `e along a, at b = 4`."""
        return f"{self.heading}, at {self.others}" if self.others else self.heading

    @property
    def symbols(self) -> tuple[str, ...]:
        """As in `∂e/∂a`, one an axis."""
        return tuple(plain((derivative(self.output, axis),)) for axis in self.axes)

    @property
    def gradient(self) -> str:
        """As in `∂e/∂a = 10.6562, ∂e/∂b = 4.1640`."""
        return ", ".join(
            f"{symbol} = {'no gradient' if slope is None else number(slope)}"
            for symbol, slope in zip(self.symbols, self.slopes, strict=True)
        )

    @property
    def known(self) -> tuple[float, ...] | None:
        """The gradient, if it has a finite number for each axis."""
        known = [slope for slope in self.slopes if slope is not None and math.isfinite(slope)]
        return tuple(known) if len(known) == len(self.slopes) else None

    @property
    def downhill(self) -> str:
        """As in `−(∂e/∂a, ∂e/∂b) = (-10.6562, -4.1640)`."""
        values = ", ".join(number(-slope + 0.0) for slope in self.known or ())
        return f"−({', '.join(self.symbols)}) = ({values})"


def point_of(program: Program, grid: Grid) -> Point:
    """The program's own values and gradients along a grid's axes."""
    at = tuple(axis.of(program) for axis in grid.axes)
    names = tuple(axis.text for axis in grid.axes)
    slopes: list[float | None] = [None] * len(at)
    value, root, trouble = math.nan, None, ""
    try:
        value = one_number(program.outputs[0])
        trace = None
        if program.outputs[0].requires_grad:
            shown = program.variables()
            root, trace = shown.root, shown.trace
        for leaf, grad in trace.leaf_grads if trace else ():
            for place, axis in enumerate(grid.axes):
                if leaf is program.inputs[axis.name] and grad is not None:
                    slopes[place] = float(grad[axis.element].item())
    except Exception as error:  # whatever a backward pass may raise: the values are still shown
        trouble = clean(f"{type(error).__name__}: {error}", 80)
    output = _name(program, root)
    return Point(names, at, output, value, tuple(slopes), others(program, grid.axes), trouble)


def _name(program: Program, root: Variable | None) -> str:
    """What the output is called: by its variable, a short expression, or else the function."""
    if root is not None and (root.name or len(root.expression) <= SHORT):
        return clean(root.title, SHORT)
    name = program._function.name
    return clean(name, SHORT) if name.isidentifier() else "output"


def arrow_tip(grid: Grid, point: Point) -> tuple[float, float] | None:
    """Where the arrow of the negative gradient ends; None if there is no gradient or it is 0.

    Its direction is that of the gradient in the inputs; its length is a part of the plot's size,
    since gradients differ too much in theirs.
    """
    slopes = point.known
    if slopes is None or not any(slopes) or not math.isfinite(point.value):
        return None
    widths = [axis.high - axis.low for axis in grid.axes]
    most = max(map(abs, slopes))  # first of all, so that nothing overflows
    size = math.hypot(*(slope / most / width for slope, width in zip(slopes, widths, strict=True)))
    x, y = (at - ARROW * s / most / size for at, s in zip(point.at, slopes, strict=True))
    return x, y


def curve_words(grid: Grid, point: Point) -> str:
    """A curve with its tangent in words and numbers."""
    rows = [[point.axes[0], point.output]]
    for n in range(0, grid.cells + 1, grid.cells // 8):
        rows.append([number(grid.place(n, 0)), number(grid.values[(n,)])])
    lines = [f"Tangent of {point.title}", f"{point.text}, slope = {point.gradient}"]
    return "\n".join([*lines, *table(rows), *gaps(grid, point)])


def surface_words(grid: Grid, point: Point) -> str:
    """Contour lines with the arrow in words and numbers."""
    numbers = range(0, grid.cells + 1, grid.cells // 4)
    rows = [["\\".join(reversed(point.axes)), *(number(grid.place(n, 0)) for n in numbers)]]
    for k in reversed(numbers):  # upwards, as on the axis
        values = (number(grid.values[(n, k)]) for n in numbers)
        rows.append([number(grid.place(k, 1)), *values])
    lines = [f"Contour lines of {point.title}", f"{point.text}, {point.gradient}"]
    if arrow_tip(grid, point) is not None:
        lines.append(f"The arrow points downhill: {point.downhill}")
    return "\n".join([*lines, *table(rows), *gaps(grid, point)])


def gaps(grid: Grid, point: Point) -> tuple[str, ...]:
    """In words, what is missing in the figure and why."""
    said = []
    if not math.isfinite(point.value):
        said.append(f"{point.output} is {number(point.value)} here: no point is drawn")
    elif None in point.slopes:
        names = [n for n, s in zip(point.symbols, point.slopes, strict=True) if s is None]
        said.append(f"no gradient arrives: {', '.join(names)}")
    elif point.known is None:
        said.append(f"the gradient is not finite here: {point.gradient}")
    if point.trouble:
        said.append(point.trouble)
    numbers = grid.numbers()
    shown = [key for key in grid.values if all(n in numbers for n in key)]
    blank = [key for key in shown if not math.isfinite(grid.values[key])]
    if blank:
        kinds = sorted({number(grid.values[key]) for key in blank})
        ends = joined([text for axis in range(len(grid.axes)) for text in _ends(grid, blank, axis)])
        said.append(
            f"blank: {point.output} is {' or '.join(kinds)} at {len(blank):,} of {len(shown):,} "
            f"points{f' ({ends})' if ends else ''}"
        )
    if grid.failed:
        message, count = grid.failed.most_common(1)[0]
        said.append(f"at {count:,} points the function raised {message}")
    return tuple(said)


def _ends(grid: Grid, blank: Sequence[tuple[int, ...]], axis: int) -> list[str]:
    """From where to where along an axis all is blank: `a from -3 to -0.1`."""
    numbers = grid.numbers()
    counts = dict.fromkeys(numbers, 0)
    for key in blank:
        counts[key[axis]] += 1
    whole = len(numbers) ** (len(grid.axes) - 1)
    runs: list[list[int]] = []
    for n in numbers:
        if counts[n] == whole:
            if runs and runs[-1][-1] == n - grid.stride:
                runs[-1].append(n)
            else:
                runs.append([n])
    name, said = grid.axes[axis].text, []
    for run in runs:
        first, last = (number(grid.place(n, axis)) for n in (run[0], run[-1]))
        said.append(f"{name} = {first}" if len(run) == 1 else f"{name} from {first} to {last}")
    return said
