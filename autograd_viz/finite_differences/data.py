"""Finite differences as data: what a small step moves, the quotient, the error by step size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autograd_viz.model import Shown, Variables
from autograd_viz.picture import Formula
from autograd_viz.text import FEW, as_written, clean, decimals, number, shape
from autograd_viz.typeset import Frac, Line, Run, derivative

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.finite_differences.error_figure import ErrorFigure
    from autograd_viz.picture import Drawing, Style

MOST_DIGITS = 9  # after the point; float32 knows fewer
STEPS = tuple(10 ** (-place / 4) for place in range(49))  # 1 to 1e-12, four a decade


@dataclass(frozen=True, eq=False)
class Value:
    """A variable's value before and after the step."""

    variable: int  # position in Variables.nodes
    name: str
    before: Tensor
    after: Tensor | None  # None: the run after the step has no such variable
    step: float
    own: tuple[int, ...] | None = None  # the element that the step itself moved; None: another row

    @property
    def change(self) -> Tensor | None:
        """After minus before, in the values' own data type; None where they do not compare."""
        after = self.after
        if after is None or after.shape != self.before.shape:
            return None
        if not (after.is_floating_point() or after.is_complex()):
            return after.double() - self.before.double()
        return after - self.before

    @property
    def moves(self) -> bool:
        """Whether the value changes; NaN stays NaN."""
        if self.change is None:
            return True
        same = (self.after == self.before) | (self.change != self.change)
        return not bool(same.all())

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """Before, after, change and quotient as text."""
        before, after, change = self.before, self.after, self.change
        if after is None or change is None:
            return _whole(before), "not computed" if after is None else _whole(after), "?", "?"
        digits = _digits(change)
        if self.own is not None:
            change = self._as_stepped(change, digits)
        if before.numel() == 1 or (before.ndim == 1 and before.numel() <= FEW):
            return (
                _numbers(before, digits),
                _numbers(after, digits),
                _changes(change),
                _each(change / self.step, number),
            )
        moved = int((change != 0).sum())
        return (
            shape(before.shape),
            f"{moved:,} of {change.numel():,} move" if moved else "the same",
            f"at most {number(change.abs().max().item())}" if moved else "0",
            f"at most {number((change.abs().max() / abs(self.step)).item())}" if moved else "0",
        )

    def _as_stepped(self, change: Tensor, digits: int) -> Tensor:
        """The change, with the step itself where the value reads as moved by just that.

        In float32, 3 + 0.001 is 3.00099993, which reads as 3.001; beside it, 0.0009999 would be
        a riddle, and the quotient below the picture divides by 0.001.
        """
        assert self.after is not None  # there is a change
        before, after = (values[self.own].item() for values in (self.before, self.after))
        if _fixed(after, digits) != _fixed(before + self.step, digits):
            return change
        change = change.detach().double()
        change[self.own] = self.step
        return change


@dataclass(frozen=True)
class Errors:
    """How far the quotient is from the gradient, by step and by data type."""

    steps: tuple[float, ...]
    errors: Mapping[str, tuple[float, ...]]  # "float32" -> |quotient - gradient|, one a step
    gradient: float  # by autograd, in the widest of these data types
    output: float  # value of the output: its rounding, divided by the step, is the floor
    value: float  # of what is nudged: a step below its own rounding does not move it

    def floor(self, step: float) -> float:
        """The error that rounding the output to float32 brings at this step, roughly."""
        return 2.0**-23 * abs(self.output) / abs(step)


@dataclass(frozen=True, eq=False, repr=False)
class Nudge(Shown):
    """What a small step of one value moves in a program; made by `nudge`."""

    variables: Variables  # of the program before the step
    output: str
    name: str  # of what is nudged, as in `b` or `x[1]`
    step: float
    rows: tuple[Value, ...]  # in the program's order
    difference: float  # of the output, in its own data type
    gradient: float | None  # autograd's; None: it does not reach what is nudged
    remarks: tuple[str, ...]
    measured: Callable[[Sequence[float]], Errors]

    def __repr__(self) -> str:
        moved = number(self.difference)
        return f"<Nudge of {self.name} by {as_written(self.step)}: {self.output} by {moved}>"

    def drawn(self, style: Style, **options: Any) -> Drawing:
        """Draw it, as `autograd_viz.show.picture` asks for."""
        from autograd_viz.finite_differences import view

        return view.drawing(self, style=style, **options)

    def __str__(self) -> str:
        from autograd_viz.finite_differences import view as differences_view

        return differences_view.words(self)

    @property
    def quotient(self) -> float:
        """The output's change by the step."""
        return self.difference / self.step

    @property
    def formula(self) -> Formula:
        """The quotient, as in `ΔJ/Δb = 0.0060005/0.001 = 6.0005`."""
        of_by = derivative(clean(self.output), clean(self.name))
        symbol = Frac((Run("Δ"), *of_by.above[1:]), (Run("Δ"), *of_by.below[1:]))
        difference = number(self.difference)
        if math.isfinite(self.difference):  # a digit more, for who divides it
            difference = f"{self.difference:.5g}"
        numbers = Frac((Run(difference),), (Run(as_written(self.step)),))
        line: Line = (symbol, Run(" = "), numbers, Run(f" = {number(self.quotient)}"))
        return Formula(line)

    @property
    def gradient_formula(self) -> Formula:
        """What autograd says, as in `∂J/∂b = 6`."""
        symbol = derivative(clean(self.output), clean(self.name))
        value = "no gradient" if self.gradient is None else number(self.gradient)
        return Formula((symbol, Run(f" = {value}")))

    def errors(self, steps: Sequence[float] | None = None) -> Errors:
        """How far the quotient is from the gradient at other steps, in float32 and float64.

        Args:
            steps: step sizes, none of them 0; without them 1 to 1e-12, four a decade.

        >>> import autograd_viz as av
        >>> nudge = av.nudge(lambda x: x**3, "x", 0.001, x=2.0)
        >>> [float(f"{error:.1g}") for error in nudge.errors([0.1, 0.01]).errors["float64"]]
        [0.6, 0.06]
        """
        given = STEPS if steps is None else tuple(steps)
        for step in given:
            checked_step(step)
        return self.measured(given)

    def error_plot(
        self, steps: Sequence[float] | None = None, theme: Literal["auto", "light", "dark"] = "auto"
    ) -> ErrorFigure:
        """The error against the step, both logarithmic, as a figure of matplotlib.

        From right to left the error falls with the step, since the function is less and less
        curved over it; then it rises again, since the difference of two rounded numbers is
        divided by less and less.

        Args:
            steps: as for `errors`.
            theme: "light", "dark", or "auto" to follow the page.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        if theme not in ("auto", "light", "dark"):
            raise ValueError(f"theme={theme!r}: give one of 'auto', 'light', 'dark'")
        try:
            from autograd_viz.finite_differences import error_figure
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
            raise ModuleNotFoundError(
                "the plot is drawn with matplotlib, which is not installed; install it with: "
                "pip install matplotlib"
            ) from error
        return error_figure.error_figure(self, self.errors(steps), theme)


def checked_step(step: object) -> float:
    """The step as a number, or an error that says what it must be."""
    if isinstance(step, bool) or not isinstance(step, int | float):
        raise TypeError(
            f"the step is of type {type(step).__name__}; give a number: av.nudge(f, 'b', 0.001)"
        )
    if step == 0 or not math.isfinite(step):
        raise ValueError(
            f"the step is {step}; give a small number that is not 0: av.nudge(f, 'b', 0.001)"
        )
    return float(step)


def _digits(change: Tensor) -> int:
    """How many digits after the point show a change."""
    sizes = [abs(each) for each in change.reshape(-1).tolist()]
    least = min((size for size in sizes if size and math.isfinite(size)), default=1.0)
    return min(MOST_DIGITS, max(4, 1 - math.floor(math.log10(least))))


def _numbers(values: Tensor, digits: int) -> str:
    return _each(values, lambda value: _fixed(value, digits))


def _changes(change: Tensor) -> str:
    return _each(change, lambda value: f"{'+' if value > 0 else ''}{number(value)}")


def _each(values: Tensor, text: Callable[[float], str]) -> str:
    if values.is_complex():
        return _whole(values)
    listed = [text(value) for value in values.reshape(-1).tolist()]
    return listed[0] if values.numel() == 1 else f"[{', '.join(listed)}]"


def _fixed(value: float, digits: int) -> str:
    if not math.isfinite(value) or abs(value) >= 1e6 or abs(value) < 10.0 ** (3 - digits):
        return number(value)
    return decimals(value, digits)


def _whole(value: Tensor) -> str:
    from autograd_viz.text import summary

    return summary(value)[0]
