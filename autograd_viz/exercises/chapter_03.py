"""The exercises of notebook 03: the backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor

from autograd_viz.exercises.questions import Derivative, Function, Number, Slip
from autograd_viz.exercises.series import Exercise


def natural_d(a: Tensor, b: Tensor) -> Tensor:
    """The statement for d, with natural logarithms."""
    return torch.log(a) * torch.log(b)


def two_ways(x: Tensor, y: Tensor) -> Tensor:
    """A product of two results that both depend on x."""
    return x * y * x**2


def _through_c() -> Tensor:
    a, b = _leaves(2.0, 4.0)
    d = torch.log2(a) * torch.log2(b)
    return torch.autograd.grad((a + 3 * b) * d.detach(), b)[0]


def _through_d() -> Tensor:
    a, b = _leaves(2.0, 4.0)
    d = torch.log2(a) * torch.log2(b)
    return torch.autograd.grad((a + 3 * b).detach() * d, b)[0]


def _through_u() -> Tensor:
    x, y = _leaves(2.0, 3.0)
    return torch.autograd.grad(x * y * (x**2).detach(), x)[0]


def _through_v() -> Tensor:
    x, y = _leaves(2.0, 3.0)
    return torch.autograd.grad((x * y).detach() * x**2, x)[0]


def _both_gradients(a: float, b: float) -> tuple[float, ...]:
    leaves = _leaves(a, b)
    left, right = leaves
    e = (left + right) * (torch.log2(left) * torch.log2(right))
    return tuple(gradient.item() for gradient in torch.autograd.grad(e, leaves))


def _leaves(*values: float) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values)


def _by_hand(factor: float, swapped: bool = False) -> Callable[[float, float], tuple[float, ...]]:
    """The gradients with a factor at the local derivatives of d, or with these exchanged."""

    def gradients(a: float, b: float) -> tuple[float, ...]:
        log_a, log_b = (torch.log2(torch.tensor(x, dtype=torch.float64)).item() for x in (a, b))
        to_a, to_b = factor * log_b / a, factor * log_a / b
        if swapped:
            to_a, to_b = to_b, to_a
        return log_a * log_b + (a + b) * to_a, log_a * log_b + (a + b) * to_b

    return gradients


LN_2 = 0.6931471805599453

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="3a",
        notebook="03",
        questions=(
            Derivative(
                name="dd_db",
                of=natural_d,
                by="b",
                inputs=("a", "b"),
                slips=(
                    Slip(
                        "log(a) / (b * log(2))",
                        "You kept a factor that belongs to logarithms of base 2.",
                    ),
                    Slip("log2(a) / (b * log(2))", "This is still the logarithm of base 2."),
                    Slip("log(b) / a", "This is the derivative by the other input."),
                    Slip("1 / b", "What became of the factor that does not change with b?"),
                    Slip("1 / (a * b)", "Only b changes here; the factor with a stays as it is."),
                ),
            ),
        ),
        hints=(
            "Only $b$ changes. Which of the two factors is then a constant?",
            "A constant factor stays in front. What is the derivative of $\\ln b$ by $b$?",
        ),
        solution="""
            dd_db = "log(a) / b"
            """,
        why="The factor $\\ln a$ stays, and the derivative of $\\ln b$ is $1/b$. The $\\ln 2$ of "
        "base 2 is gone.",
    ),
    Exercise(
        id="3b",
        notebook="03",
        questions=(
            Number(
                name="through_c",
                true=_through_c,
                slips=(
                    Slip(2, "This is what comes through c as long as c = a + b."),
                    Slip(3, "This is the local derivative of c by b. What gradient arrives at c?"),
                    Slip(42, "The gradient that arrives at c is the derivative of e by c."),
                ),
            ),
            Number(
                name="through_d",
                true=_through_d,
                slips=(
                    Slip(
                        6 / (4 * LN_2),
                        "The statement for d is the old one, but is the gradient that arrives "
                        "at d the old one too?",
                    ),
                    Slip(14, "This is the gradient that arrives at d; go on to b."),
                    Slip(14 / LN_2, "The last step goes to b, not to a."),
                ),
            ),
        ),
        hints=(
            "Each contribution is a product: the gradient that arrives at the oval, times the "
            "local derivative by $b$. Which of these four factors does the change touch?",
            "The local derivative of $c$ by $b$ changes; so does the *value* of $c$. Which "
            "rectangle holds that value?",
            "The gradient that arrives at $c$ is $d$, and the one that arrives at $d$ is $c$.",
        ),
        solution="""
            through_c = 2 * 3
            through_d = 14 / (4 * 0.6931)
            """,
        why="The value of $c$ is 14 now, and it is the gradient that arrives at $d$: so both "
        "contributions change, although the statement for $d$ did not.",
    ),
    Exercise(
        id="3c",
        notebook="03",
        questions=(
            Number(
                name="through_u",
                true=_through_u,
                slips=(
                    Slip(3, "This is the local derivative of u by x. What gradient arrives at u?"),
                    Slip(4, "This is the gradient that arrives at u; go on to x."),
                    Slip(18, "The gradient that arrives at u is not u itself."),
                    Slip(24, "Did you exchange the two paths?"),
                ),
            ),
            Number(
                name="through_v",
                true=_through_v,
                slips=(
                    Slip(4, "This is the local derivative of v by x. What gradient arrives at v?"),
                    Slip(6, "This is the gradient that arrives at v; go on to x."),
                    Slip(16, "The gradient that arrives at v is not v itself."),
                    Slip(12, "Did you exchange the two paths?"),
                ),
            ),
            Derivative(
                name="dr_dx",
                of=two_ways,
                by="x",
                inputs=("x", "y"),
                at={"x": 2.0, "y": 3.0},
                slips=(
                    Slip("x**2 * y", "Only one of the two paths is in it."),
                    Slip("2 * x**2 * y", "Only one of the two paths is in it."),
                    Slip("2 * x**4 * y**2", "Along a path one multiplies; paths are added."),
                    Slip("2 * x * y", "Multiply each by the gradient that arrives there."),
                    Slip("y + 2 * x", "Multiply each by the gradient that arrives there."),
                ),
            ),
        ),
        hints=(
            "Begin with the values: $u = 6$ and $v = 4$. In a product, the derivative by one "
            "factor is the other factor.",
            "Along the path $r \\to u \\to x$: the gradient that arrives at $u$ is 4. What is the "
            "local derivative of $u = xy$ by $x$?",
            "Along $r \\to v \\to x$: the gradient that arrives at $v$ is 6, and the local "
            "derivative of $v = x^2$ is $2x$. Then add the two paths.",
        ),
        solution="""
            through_u = 4 * 3
            through_v = 6 * 4
            dr_dx = through_u + through_v
            """,
        why="Each path is a product, $v \\cdot y$ and $u \\cdot 2x$. Their sum is the derivative "
        "of $r = x^3 y$, which is $3x^2 y$: 36 at this point.",
    ),
    Exercise(
        id="3d",
        notebook="03",
        questions=(
            Function(
                name="gradients",
                like=_both_gradients,
                arguments=lambda: [(2.0, 4.0), (3.0, 5.0), (0.5, 8.0), (1.0, 2.5)],
                slips=(
                    Slip(_by_hand(1.0), "Is there a factor of base 2 missing?"),
                    Slip(_by_hand(LN_2), "In which part of the fraction does the ln 2 stand?"),
                    Slip(
                        _by_hand(1 / LN_2, swapped=True),
                        "The local derivatives of d by a and by b are exchanged.",
                    ),
                ),
            ),
        ),
        hints=(
            "$d$ and $c$ are the gradients that arrive at $c$ and at $d$. Each is multiplied by a "
            "local derivative, the rectangle below.",
            "The rectangles below $c$ hold 1. The one from $d$ to $a$ holds "
            "$\\log_2 b / (a \\ln 2)$; `math.log(2)` is $\\ln 2$.",
        ),
        solution="""
            def gradients(a, b):
                c, d = a + b, math.log2(a) * math.log2(b)
                de_da = d * 1 + c * math.log2(b) / (a * math.log(2))
                de_db = d * 1 + c * math.log2(a) / (b * math.log(2))
                return de_da, de_db
            """,
        why="These two lines are the backward pass: one product for each path, and their sum.",
    ),
)
