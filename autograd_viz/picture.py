"""What is to be drawn: boxes with text and arrows between them, with no coordinates yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from autograd_viz.model import Shown
from autograd_viz.typeset import Line, latex, plain

Theme = Literal["auto", "light", "dark"]
Engine = Literal["auto", "wasm", "dot"]
# "lit" and "dim": what is pointed at, and the rest; "cut": a gradient stops here; "stack": the
# first of several that are equal; "struck": its first line no longer holds.
# Of gradients: "absent" ones are None, "zero" ones have no other number.
Mark = Literal[
    "leaf", "constant", "unused", "empty", "alarm", "hidden", "lit", "dim", "cut", "stack",
    "absent", "zero", "inf", "nan", "struck",
]  # fmt: skip
MOST_FRAMES = 120  # of one drawing at once: each is a picture, and 120 take some 15 s and 15 MB
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")
ENGINES: tuple[Engine, ...] = ("auto", "wasm", "dot")


@dataclass(frozen=True)
class Style:
    """How pictures are drawn, whatever they show."""

    theme: Theme = "auto"  # "auto" follows the page that shows the picture
    engine: Engine = "auto"  # of the layout
    effort: int | None = None  # bound of the layout's work; None for the usual one


@dataclass(frozen=True)
class Box:
    """A shape with lines of text: an oval, with a rule between `upper` and `lower`, or another."""

    id: str
    shape: Literal["oval", "rect", "group", "more"]  # "more" stands for what is left out
    upper: tuple[Line, ...]
    lower: tuple[Line, ...] | None = None  # None: no rule; (): a rule with nothing below it yet
    # What stands in `lower` (of a rect in `upper`) in other frames and views: it keeps its size.
    reserve: tuple[tuple[Line, ...], ...] = ()
    marks: tuple[Mark, ...] = ()
    # What it stands for: {"node": 3}. In a live picture also {"from": 2, "fills": 3}: the frames
    # from which the box is there, and from which it is no longer drawn as empty.
    data: Mapping[str, int | str] = field(default_factory=dict)
    fills: Mapping[int, int] = field(default_factory=dict)  # line -> frame from which it is there
    strength: float | None = None  # of a gradient, 0.0 to 1.0 on the picture's scale: its fill


@dataclass(frozen=True)
class Arrow:
    """An arrow between two boxes, by their ids."""

    source: str
    target: str
    marks: tuple[Mark, ...] = ()
    data: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    strength: float | None = None  # of the gradient that goes along: its width


@dataclass(frozen=True)
class Cluster:
    """A frame with a title around boxes that belong together."""

    title: Line
    boxes: tuple[str, ...]  # the ids of those directly inside
    outer: int | None = None  # position of the frame around it, which comes first
    data: Mapping[str, int | str] = field(default_factory=dict, hash=False)


class Drawing(Shown):
    """What has been made ready to draw."""

    title: str
    words: str  # the same in words: for terminals, screen readers, and to compare by

    @property
    def svg(self) -> str:
        """The drawing as the text of an SVG file."""
        from autograd_viz import svg

        return svg.draw(self)

    def picture(self, **options: Any) -> Drawing:
        """The drawing itself; it has no options left."""
        if options:
            raise TypeError(f"a finished drawing takes no options, but was given {sorted(options)}")
        return self


@dataclass(frozen=True)
class Picture(Drawing):
    """Boxes and arrows, and what stands around them."""

    title: str
    words: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    upward: bool = False  # arrows point up, from input to result
    statements: tuple[tuple[str, bool], ...] = ()  # program lines at the side; False: not yet shown
    formulas: tuple[Line, ...] = ()  # lines of mathematics below the drawing
    # What stands in `formulas` in other frames: the picture keeps its size.
    reserve: tuple[tuple[Line, ...], ...] = ()
    notes: tuple[str, ...] = ()
    legend: Mapping[str, str] = field(default_factory=dict)  # "oval", "leaf", ... -> meaning
    clusters: tuple[Cluster, ...] = ()
    scale: Mapping[str, float] = field(default_factory=dict)  # text of a sample -> its strength
    style: Style = Style()


@dataclass(frozen=True, repr=False)
class Formula(Drawing):
    r"""A line of mathematics, as text, LaTeX and SVG.

    >>> from autograd_viz.typeset import Run, derivative
    >>> formula = Formula((derivative("e", "c"), Run(" = 2")))
    >>> formula.words, formula.latex
    ('∂e/∂c = 2', '\\frac{\\partial e}{\\partial c} = 2')
    """

    line: Line
    style: Style = Style()

    @property
    def title(self) -> str:  # type: ignore[override]
        """The formula in words: a formula is its own title."""
        return self.words

    @property
    def words(self) -> str:  # type: ignore[override]
        """The formula as text."""
        return plain(self.line)

    @property
    def latex(self) -> str:
        """The formula in LaTeX, without dollar signs."""
        return latex(self.line)

    def __str__(self) -> str:
        return self.words

    def __repr__(self) -> str:
        return f"<Formula {self.words}>"


@dataclass(frozen=True)
class Strip(Drawing):
    """Frames of one drawing side by side, like the pages of a deck."""

    title: str
    words: str
    frames: tuple[Picture, ...]
    columns: int = 2


def marked(
    picture: Picture,
    boxes: Mapping[str, Sequence[Mark]],
    arrows: Mapping[tuple[str, str], Sequence[Mark]],
    others: Sequence[Mark] = (),
) -> Picture:
    """The same picture with marks added to some boxes and arrows, and `others` to all the rest."""
    return replace(
        picture,
        boxes=tuple(
            replace(box, marks=(*box.marks, *boxes.get(box.id, others))) for box in picture.boxes
        ),
        arrows=tuple(
            replace(arrow, marks=(*arrow.marks, *arrows.get((arrow.source, arrow.target), others)))
            for arrow in picture.arrows
        ),
    )


def strip(title: str, frames: Sequence[Picture], columns: int = 2) -> Strip:
    """Put frames side by side, `columns` of them in a row."""
    words = "\n\n".join(
        f"Frame {number} of {len(frames)}\n{frame.words}"
        for number, frame in enumerate(frames, start=1)
    )
    return Strip(title, words, tuple(frames), columns)
