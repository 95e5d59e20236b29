"""A checked Function as data: each derivative by the rule and by the nudge, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autograd_viz.model import Shown
from autograd_viz.text import number

if TYPE_CHECKING:
    from autograd_viz.picture import Drawing, Style

Kind = Literal[
    "arriving changed",
    "constant factor",
    "count",
    "differs",
    "input changed",
    "kept outside",
    "kink",
    "layout",
    "needs no gradient",
    "none",
    "not compared",
    "not linear",
    "not repeatable",
    "not twice",
    "other order",
    "raises",
    "saved changed",
    "second derivative",
    "shape",
    "type",
    "view",
]


@dataclass(frozen=True)
class Row:
    """One element of the Jacobian twice: how an element of an output moves with one of an input."""

    output: str  # as in `out[0]`
    input: str  # as in `x[2]`
    rule: float | None  # by the Function's own backward; None: it gave no gradient
    nudge: float  # by central differences
    agrees: bool | None  # None: there is no derivative to compare with
    slopes: tuple[float, float] | None = None  # on the left and on the right, where they differ
    part: int = 0  # position of the input in FunctionCheck.inputs

    @property
    def name(self) -> str:
        """The derivative, as in `∂out[0]/∂x[2]`."""
        return f"∂{self.output}/∂{self.input}"

    @property
    def texts(self) -> tuple[str, str]:
        """Rule and nudge as text, with as many digits as it takes to see that they differ.

        >>> Row("out", "x", 0.5, 0.721347520, False).texts
        ('0.5', '0.7213')
        >>> Row("out", "x", 2.00001, 2.0, False).texts
        ('2.00001', '2')
        """
        if self.rule is None:
            return "none", nudged_number(self.nudge)
        if self.agrees:
            return nudged_number(self.rule), nudged_number(self.nudge)
        if abs(self.rule - self.nudge) < 1e-3 * abs(self.nudge):
            return f"{self.rule:.8g}", f"{self.nudge:.8g}"
        return number(self.rule), nudged_number(self.nudge)


def nudged_number(value: float) -> str:
    """A slope by nudges, which has no more than six digits.

    >>> nudged_number(3.9999999997), nudged_number(0.7213475)
    ('4', '0.7213')
    """
    return number(float(f"{value:.6g}"))


@dataclass(frozen=True)
class Finding:
    """Something that was seen of a Function, in a sentence, and what to write instead."""

    kind: Kind
    text: str
    line: str | None = None  # to type
    wrong: bool = True  # False: it gives no wrong number here, but should be known

    def __str__(self) -> str:
        return self.text if self.line is None else f"{self.text} Write: {self.line}"


@dataclass(frozen=True)
class Part:
    """An input or an output, with its value in words."""

    name: str
    value: str
    checked: bool = True  # False: it takes part, and has no gradient


@dataclass(frozen=True, repr=False)
class FunctionCheck(Shown):
    """A Function's rule beside the nudge; made by `check_function`.

    It is true if all that could be compared agrees and nothing that was found is wrong.
    """

    name: str
    inputs: tuple[Part, ...]
    outputs: tuple[Part, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]  # in which precision, how many elements, with which gradient arriving

    def __bool__(self) -> bool:
        return not any(finding.wrong for finding in self.findings)

    def __repr__(self) -> str:
        kinds = ", ".join(dict.fromkeys(each.kind for each in self.findings if each.wrong))
        return f"<FunctionCheck of {self.name}: {kinds or 'right'}>"

    def __str__(self) -> str:
        from autograd_viz.custom_functions import view

        return view.words(self)

    def drawn(self, style: Style, **options: Any) -> Drawing:
        """Draw it, as `autograd_viz.show.picture` asks for."""
        from autograd_viz.custom_functions import view

        return view.drawing(self, style=style, **options)
