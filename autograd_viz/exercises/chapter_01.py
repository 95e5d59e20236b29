"""The exercises of notebook 01: the chain rule."""

import torch
from torch import Tensor

from autograd_viz.exercises.questions import Derivative, Function, Number, Slip
from autograd_viz.exercises.series import Exercise


def cube(x: Tensor) -> Tensor:
    """The first step of exercise 1a; the second is the logarithm."""
    return x**3


def three_steps(x: Tensor) -> Tensor:
    """The chain of exercise 1b."""
    p = 3 * x
    q = p + 4
    return q**2


def exponential(x: Tensor) -> Tensor:
    """The first step of exercise 1d."""
    return torch.exp(x)


def one_more(x: Tensor) -> Tensor:
    """The first two steps of exercise 1d."""
    return 1 + torch.exp(x)


def softplus(x: Tensor) -> Tensor:
    """All three steps of exercise 1d."""
    return torch.log(one_more(x))


def sine_slope(x: Tensor) -> Tensor:
    """The derivative of sin(x^2)."""
    return torch.cos(x**2) * 2 * x


def sine_slope_as_given(x: Tensor) -> Tensor:
    """The same with the bug of the stub."""
    return torch.cos(x) * 2 * x


def _points() -> list[tuple[Tensor]]:
    return [(torch.tensor(x),) for x in (0.5, 1.5, -2.0)]


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="1a",
        notebook="01",
        questions=(
            Number(
                name="du_dx",
                true=lambda: torch.func.grad(cube)(torch.tensor(2.0)),
                slips=(
                    Slip(4, "That would be the derivative of the square. Which power is it here?"),
                    Slip(6, "The table has a power of x left: what becomes of it at x = 2?"),
                    Slip(8, "That is the value of u."),
                    Slip(1.5, "That is already the product of both. Here only one step counts."),
                ),
            ),
            Number(
                name="dy_du",
                true=lambda: torch.func.grad(torch.log)(cube(torch.tensor(2.0))),
                slips=(
                    Slip(0.5, "1 over what? Which value goes into the logarithm?"),
                    Slip(8, "The value that goes in is right. What does the table make of it?"),
                    Slip(1.5, "That is already the product of both. Here only one step counts."),
                ),
            ),
        ),
        hints=(
            "For the first rectangle, take the line $x^n$ of the table, with $n = 3$.",
            "For the second, take the line of the logarithm. The value that enters is not $x$ but "
            "$u$: compute it first.",
        ),
        solution="""
            du_dx = 3 * 2**2
            dy_du = 1 / 2**3
            """,
        why="$3x^2 = 12$ is taken at $x = 2$, and $1/u = 1/8$ at $u = 8$: each local derivative is "
        "taken at the value that enters its own step.",
    ),
    Exercise(
        id="1b",
        notebook="01",
        questions=(
            Number(
                name="dr_dx",
                true=lambda: torch.func.grad(three_steps)(torch.tensor(2.0)),
                slips=(
                    Slip(20, "That is the gradient of q, and of p. One rectangle is left."),
                    Slip(12, "The square has to be differentiated at the value that enters it."),
                    Slip(36, "The 4 adds nothing to the derivative of q, but to the value of q."),
                    Slip(240, "Adding a number has the local derivative 1, whatever the number."),
                    Slip(100, "That is the value of r."),
                    Slip(24, "Along a chain local derivatives are multiplied, not added."),
                ),
            ),
        ),
        hints=(
            "First the values: $p$, $q$ and $r$ at $x = 2$. Then a local derivative for each step.",
            "The three local derivatives are $dp/dx$, $dq/dp$ and $dr/dq = 2q$. The first two do "
            "not depend on $x$ at all.",
        ),
        solution="""
            p = 3 * 2
            q = p + 4
            dr_dx = 2 * q * 1 * 3
            """,
        why="With $q = 10$ the local derivatives are $2q = 20$, 1 and 3, and their product is 60.",
    ),
    Exercise(
        id="1c",
        notebook="01",
        questions=(
            Function(
                name="sine_slope",
                like=sine_slope,
                given=sine_slope_as_given,
                arguments=_points,
                slips=(
                    Slip(lambda x: torch.cos(x**2), "Now a factor is missing: the inner one."),
                    Slip(
                        lambda x: torch.sin(x**2) * 2 * x,
                        "The sine has to be differentiated, too.",
                    ),
                    Slip(
                        lambda x: torch.cos(2 * x) * 2 * x,
                        "The cosine is taken at what enters the sine, not at a derivative.",
                    ),
                    Slip(
                        lambda x: torch.cos(x) ** 2 * 2 * x,
                        "The square of a cosine is not the cosine of a square.",
                    ),
                ),
            ),
        ),
        hints=(
            "Give the inner value a name, `u = x**2`, so that $y = \\sin u$. What is $dy/du$?",
            "In the formula with primes, the derivative of the outer function is taken at $g(x)$. "
            "At which value is the cosine taken here?",
        ),
        solution="""
            def sine_slope(x):
                outer = torch.cos(x**2)
                inner = 2 * x
                return outer * inner
            """,
        why="The outer derivative is a cosine, but taken at the value that enters the sine: $x^2$.",
    ),
    Exercise(
        id="1d",
        notebook="01",
        questions=(
            Derivative(
                name="dy_dx",
                of=softplus,
                by="x",
                inputs=("x",),
                also={"u": exponential, "v": one_more},
                slips=(
                    Slip("1 / v", "That is the local derivative of the last step alone."),
                    Slip("1 / u", "The logarithm is not taken of u."),
                    Slip("u", "That is the local derivative of the first step alone."),
                    Slip("u * v", "What does the table say of the logarithm?"),
                    Slip("1 + 1 / v + u", "Local derivatives are multiplied, not added."),
                    Slip("1 / x * u", "At which value is the derivative of the logarithm taken?"),
                ),
            ),
        ),
        hints=(
            "Three steps, three local derivatives: $du/dx$, $dv/du$ and $dy/dv$. All three are in "
            "the table.",
            "$dv/du = 1$, since 1 is added. So two factors remain: the first one is $e^x$, which "
            "is $u$ itself; the other belongs to the logarithm of $v$.",
        ),
        solution="""
            dy_dx = "u / v"
            """,
        why="$\\frac{dy}{dx} = \\frac1v \\cdot 1 \\cdot u = \\frac{e^x}{1 + e^x}$. It has a "
        "name: the sigmoid function.",
    ),
)
