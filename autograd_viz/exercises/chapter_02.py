"""The exercises of notebook 02: computational graphs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograd_viz.exercises.questions import Choice, Derivative, Function, Number, Slip
from autograd_viz.exercises.series import Exercise

STEP = 0.002  # by which c is nudged in 2c


def intermediates(x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """The variables of the program of 2a."""
    p = x * z
    q = y + z
    r = p * 2
    return {"p": p, "q": q, "r": r, "s": q * r}


def moves(name: str) -> bool:
    """Whether a variable of that program moves with y."""
    x, y, z = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    return bool(intermediates(x, y, z)[name] != intermediates(x, y + 0.001, z)[name])


def doubled_difference(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """The function of 2b."""
    return 2 * (p * q - r)


def after_the_nudge(name: str) -> Tensor:
    """The value of u or J of the lecture's program after c has moved."""
    a, b, c = torch.tensor([5.0, 3.0, 2.0 + STEP], dtype=torch.float64)
    u = b * c
    values: dict[str, Tensor] = {"u": u, "J": 3 * (a + u)}
    return values[name]


def difference_quotient(f: Callable[[float], float], x: float, step: float) -> float:
    """How much f changes over a step, by the step."""
    return (f(x + step) - f(x)) / step


def square(x: float) -> float:
    """A function to take the quotient of."""
    return x**2


def cube(x: float) -> float:
    """Another one."""
    return x**3


def functions_and_steps() -> list[tuple[Any, ...]]:
    """Arguments of a difference quotient."""
    return [(square, 3.0, 0.5), (cube, 2.0, 0.01), (square, 4.0, -0.25), (cube, 1.0, 2.0)]


def _moving(name: str, slips: tuple[Slip, ...]) -> Choice:
    return Choice(name=name, true=lambda: moves(name), options=(True, False), slips=slips)


def _by(name: str, by: str, slips: tuple[Slip, ...]) -> Derivative:
    at = {"p": 4.0, "q": 3.0, "r": 5.0}
    return Derivative(
        name=name, of=doubled_difference, by=by, inputs=("p", "q", "r"), at=at, slips=slips
    )


_UNREACHED = "Which variables does its statement use, and which do those use? Is y among them?"
_REACHED = "Follow the arrows that start at y, and those that start where they end."

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="2a",
        notebook="02",
        questions=(
            _moving("p", (Slip(True, _UNREACHED),)),
            _moving("q", (Slip(False, _REACHED),)),
            _moving("r", (Slip(True, _UNREACHED),)),
            _moving("s", (Slip(False, _REACHED),)),
        ),
        hints=(
            "A value moves if a way along the arrows leads from $y$ to it. Begin at $y$: in which "
            "statements does the letter y stand?",
            "y stands in one statement only, that of $q$. So $q$ moves; now ask the same of $q$: "
            "in which statements does it stand?",
        ),
        solution="""
            p, q, r, s = False, True, False, True
            """,
        why="$y$ is used in $q$, and $q$ in $s$: these two move. $p$ and $r$ are made from $x$ and "
        "$z$ alone.",
    ),
    Exercise(
        id="2b",
        notebook="02",
        questions=(
            _by(
                "dp",
                "p",
                (
                    Slip("q", "That is the local derivative of s. Two more factors lie above it."),
                    Slip("2 * p", "Move only p and keep q: which number is p multiplied by?"),
                    Slip(2, "That is what arrives at s. One more factor lies below it."),
                ),
            ),
            _by(
                "dq",
                "q",
                (
                    Slip("p", "That is the local derivative of s. Two more factors lie above it."),
                    Slip("2 * q", "Move only q and keep p: which number is q multiplied by?"),
                    Slip(2, "That is what arrives at s. One more factor lies below it."),
                ),
            ),
            _by(
                "dr",
                "r",
                (
                    Slip(2, "When r grows, does t grow or shrink?"),
                    Slip(-1, "That is the local derivative of t. One more factor lies above it."),
                    Slip("-2 * r", "A sum's local derivatives are 1 or -1, whatever the values."),
                ),
            ),
        ),
        hints=(
            "Four arrows matter: from $t$ to $L$, from $s$ and from $r$ to $t$, and from $p$ (or "
            "$q$) to $s$. Write one number on each.",
            "On top stands $\\partial L/\\partial t = 2$, and $\\partial t/\\partial s = 1$. In "
            "$t = s - r$ a growing $r$ makes $t$ smaller: which sign does that arrow get?",
        ),
        solution="""
            dp = "2 * q"
            dq = "2 * p"
            dr = -2
            """,
        why="$2 \\cdot 1 \\cdot q = 6$ for $p$, $2 \\cdot 1 \\cdot p = 8$ for $q$, and "
        "$2 \\cdot (-1)$ for $r$.",
    ),
    Exercise(
        id="2c",
        notebook="02",
        questions=(
            Number(
                name="u_after",
                true=lambda: after_the_nudge("u"),
                rounding=1e-5,
                slips=(
                    Slip(6 + STEP, "The nudge of c is multiplied on its way into u. By what?"),
                    Slip(6 + 2 * STEP, "That is the local derivative by the other factor."),
                    Slip(3 * STEP, "That is by how much u moves. Where does it come from?"),
                ),
            ),
            Number(
                name="J_after",
                true=lambda: after_the_nudge("J"),
                rounding=1e-5,
                slips=(
                    Slip(33 + 0.9 * STEP, "Count the zeros: step times gradient."),
                    Slip(33 + 6 * STEP, "This would be the change of J if b were nudged."),
                    Slip(33 + 3 * STEP, "This would be the change of J if a were nudged."),
                    Slip(33.009, "Is the step 0.001 here?"),
                    Slip(9 * STEP, "That is by how much J moves. Where does it come from?"),
                ),
            ),
        ),
        hints=(
            "New value = old value + local derivative · step. What multiplies $c$ in $u = b\\,c$?",
            "For $u$ the factor is $b = 3$. For $J$ it is the whole product along the path, "
            "$\\partial J/\\partial c$: you have seen it above.",
        ),
        solution="""
            u_after = 6 + 3 * 0.002
            J_after = 33 + 9 * 0.002
            """,
        why="$\\partial u/\\partial c = b = 3$ and $\\partial J/\\partial c = 3 \\cdot 1 \\cdot 3 "
        "= 9$, so $u$ moves by 0.006 and $J$ by 0.018.",
    ),
    Exercise(
        id="2d",
        notebook="02",
        questions=(
            Function(
                name="difference_quotient",
                like=difference_quotient,
                arguments=functions_and_steps,
                slips=(
                    Slip(
                        lambda f, x, step: f(x + step) - f(x),
                        "This is the change. By what is it still to be divided?",
                    ),
                    Slip(
                        lambda f, x, step: (f(x) - f(x + step)) / step,
                        "The sign: after minus before.",
                    ),
                    Slip(
                        lambda f, x, step: f(x + step) - f(x) / step,
                        "Division comes before subtraction: parentheses are missing.",
                    ),
                    Slip(
                        lambda f, x, step: (f(x + step) - f(x - step)) / (2 * step),
                        "A fine quotient, even a more exact one; but asked for are the points x "
                        "and x + step.",
                    ),
                ),
            ),
        ),
        hints=(
            "Call `f` twice: `f(x + step)` is its value after the nudge, `f(x)` before.",
            "The quotient is change divided by step; the change is after minus before, in "
            "parentheses.",
        ),
        solution="""
            def difference_quotient(f, x, step):
                return (f(x + step) - f(x)) / step
            """,
        why="For $x^2$ at 3 with the step 0.5 it is $(12.25 - 9)/0.5 = 6.5$: near the derivative "
        "6, and nearer with a smaller step.",
    ),
)
