"""The exercises of notebook 11: what lies beyond."""

import math
from typing import Any

import torch
from torch import Tensor

from autograd_viz.custom_functions.checks import check_function
from autograd_viz.exercises.answers import UnfinishedError, UnreadableError
from autograd_viz.exercises.questions import (
    Built,
    Choice,
    Derivative,
    Function,
    Number,
    Slip,
    same,
)
from autograd_viz.exercises.series import Exercise
from autograd_viz.text import number


def _layer() -> tuple[Tensor, Tensor]:
    """The gradients of the weights and of the broadcast bias in exercise 11a."""
    X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    V = torch.ones(3, 2, requires_grad=True)
    b = torch.zeros(2, requires_grad=True)
    dV, db = torch.autograd.grad((X @ V + b).sum(), (V, b))
    return dV, db


def _softsign_remark(function: Any) -> str:
    """What `check_function` finds first in the reader's Function."""
    if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
        raise UnreadableError("give the class itself: function=Softsign")
    x = torch.tensor([-1.5, 0.5, 2.0])
    if not torch.allclose(function.apply(x), x / (1 + x.abs())):
        return "forward has to compute x / (1 + |x|), as before."
    wrong = [finding for finding in check_function(function, x).findings if finding.wrong]
    if wrong and wrong[0].kind in ("type", "not linear"):  # as in the stub
        raise UnfinishedError
    return wrong[0].text if wrong else ""


def _slope_by_x(x: Tensor, y: Tensor) -> Tensor:
    """The derivative by x of the function of exercise 11b."""
    (slope,) = torch.autograd.grad(x**2 * torch.log(y), x, create_graph=True)
    return slope


def _square_times(x: Tensor, y: Tensor) -> Tensor:
    return x**2 * y


def _rule_remark(function: Any) -> str:
    """What is wrong with the reader's backward rule, held against autograd's."""
    if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
        raise UnreadableError("give the class itself: function=SquareTimes")
    for at, arriving in (((1.5, 2.0), 1.0), ((-0.5, 3.0), 1.0), ((1.5, 2.0), 10.0)):
        leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in at]
        gradient = torch.tensor(arriving, dtype=torch.float64)
        true = torch.autograd.grad(_square_times(*leaves), leaves, gradient)
        result = function.apply(*leaves)
        try:
            found = torch.autograd.grad(result, leaves, gradient, allow_unused=True)
        except RuntimeError as error:
            if "ellipsis" in str(error):  # PyTorch's engine met the stub's ...
                raise UnfinishedError from None
            raise
        for name, ours, yours in zip("xy", true, found, strict=True):
            if yours is not None and same(yours, ours, 1e-6):
                continue
            where = f"at x = {number(at[0])}, y = {number(at[1])}"
            if yours is None:
                return f"{where}: no gradient for {name} comes back."
            if same(found, true[::-1], 1e-6):
                return "The two gradients stand in the wrong order: first the one for x."
            if arriving != 1:
                return (
                    "The local derivatives are right. But when the gradient that arrives is "
                    f"{number(arriving)} instead of 1, yours stay the same: what is missing?"
                )
            theirs, wanted = number(yours.item()), number(ours.item())
            return f"{where}: your gradient for {name} is {theirs}, autograd's is {wanted}."
    return ""


def _largest_slope() -> float:
    h = torch.linspace(-5, 5, 1001, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(torch.sigmoid(h).sum(), h)
    return slopes.max().item()


def _clipped(gradient: Tensor) -> Tensor:
    return gradient.clamp(-1, 1)


def _with_clipping() -> Tensor:
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    d = torch.log2(a) * torch.log2(b)
    d.register_hook(_clipped)
    (gradient,) = torch.autograd.grad((a + b) * d, b)
    return gradient


_SHAPES = ((5, 3), (5, 2), (3, 2), (2, 3), (5,), (3,), (2,), ())

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="11a",
        notebook="11",
        questions=(
            Choice(
                name="shape_v",
                true=lambda: tuple(_layer()[0].shape),
                options=_SHAPES,
                slips=(
                    Slip((5, 2), "This is the shape of Y."),
                    Slip((2, 3), "This is the shape of V turned over."),
                ),
            ),
            Choice(
                name="shape_b",
                true=lambda: tuple(_layer()[1].shape),
                options=_SHAPES,
                slips=(
                    Slip((5, 2), "So many copies of b were added, but how many numbers has b?"),
                    Slip((), "b is more than one number."),
                ),
            ),
            Number(
                name="db_0",
                true=lambda: _layer()[1][0],
                slips=(
                    Slip(1, "This is what one row of Y brings. How many rows have the same b?"),
                    Slip(10, "This counts the elements of Y. Which of them have b[0] in them?"),
                ),
            ),
        ),
        hints=(
            "Which shape must a gradient have, so that `V -= 0.01 * V.grad` makes sense?",
            "b is broadcast: the same two numbers are added to each row of Y. What was repeated "
            "on the way forward is summed on the way back.",
            "L is a sum, so the gradient of each element of Y is 1. b[0] is in the whole first "
            "column of Y.",
        ),
        solution="""
            shape_v = (3, 2)
            shape_b = (2,)
            db_0 = 5
            """,
        why="A gradient has the shape of its variable. Each of the five rows contributes 1 to "
        "the gradient of `b[0]`, and the contributions are summed.",
    ),
    Exercise(
        id="11b",
        notebook="11",
        questions=(
            Derivative(
                name="dxx",
                of=_slope_by_x,
                by="x",
                inputs=("x", "y"),
                slips=(
                    Slip("2 * x * log(y)", "This is the first derivative."),
                    Slip("2", "ln y is a factor that does not change with x."),
                ),
            ),
            Derivative(
                name="dxy",
                of=_slope_by_x,
                by="y",
                inputs=("x", "y"),
                slips=(
                    Slip("x**2 / y", "This is the first derivative by y."),
                    Slip("-(x**2) / y**2", "This is the derivative by y, twice."),
                ),
            ),
        ),
        hints=(
            "Begin with the derivative by $x$ alone. $\\ln y$ is then a constant factor.",
            "The first derivative is $2x \\ln y$. Differentiate it by $x$ for one answer, and by "
            "$y$ for the other.",
        ),
        solution="""
            dxx = "2 * log(y)"
            dxy = "2 * x / y"
            """,
        why="The first derivative by $x$ is $2x \\ln y$. In $x$ it is a straight line of slope "
        "$2 \\ln y$; by $y$ the logarithm gives $1/y$. The other order, first $y$ and then $x$, "
        "gives the same $2x/y$.",
    ),
    Exercise(
        id="11c",
        notebook="11",
        questions=(Built(name="function", judge=_rule_remark),),
        hints=(
            "What are the derivatives of $x^2 y$ by $x$ and by $y$?",
            "They are $2xy$ and $x^2$. `x, y = ctx.saved_tensors` gives the values in `backward`.",
            "Each local derivative is multiplied by `grad`, the gradient that arrives.",
        ),
        solution="""
            class SquareTimes(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, y):
                    ctx.save_for_backward(x, y)
                    return x**2 * y

                @staticmethod
                def backward(ctx, grad):
                    x, y = ctx.saved_tensors
                    return grad * 2 * x * y, grad * x**2


            """,
        why="The local derivatives of $x^2 y$ are $2xy$ and $x^2$. The chain rule multiplies "
        "each by the gradient that arrives.",
    ),
    Exercise(
        id="11d",
        notebook="11",
        questions=(
            Number(
                name="slope",
                true=_largest_slope,
                slips=(
                    Slip(1, "s is less than 1, and 1 - s is too. Can their product be 1?"),
                    Slip(0.5, "Is this the s, or the product s (1 - s)?"),
                ),
            ),
            Number(
                name="layers",
                true=lambda: math.ceil(math.log(0.001) / math.log(2 * _largest_slope())),
                slips=(
                    Slip(5, "The weight is a factor of each local derivative, too."),
                    Slip(9, "Then the largest gradient that is possible is still above 0.001."),
                ),
            ),
            Number(
                name="w",
                true=lambda: 1 / _largest_slope(),
                slips=(
                    Slip(1, "This would be so for tanh, whose slope is 1 at its steepest point."),
                    Slip(2, "With this weight a local derivative is at most one half."),
                ),
            ),
        ),
        hints=(
            "$s(1 - s)$ is a parabola in $s$, with zeros at 0 and 1. Where is its top?",
            "The top is at $s = 1/2$. At $w = 2$ a layer's local derivative is at most 2 times "
            "the value there.",
            "The gradient by the input is a product with one factor for each layer. How often "
            "must 1 be multiplied by the largest factor to fall below 0.001?",
        ),
        solution="""
            slope = 0.25
            layers = 10
            w = 4
            """,
        why="The parabola has its top at $s = 1/2$: $s(1 - s) \\le 1/4$. At $w = 2$ each factor is "
        "at most $1/2$, and $(1/2)^{10} = 0.00098$. Only from $w = 4$ on can a factor be 1, and "
        "only where $wh = 0$.",
    ),
    Exercise(
        id="11e",
        notebook="11",
        questions=(
            Function(
                name="clip",
                like=_clipped,
                arguments=lambda: [
                    (torch.tensor(6.0),),
                    (torch.tensor([-3.0, -0.5, 0.0, 0.25, 1.5]),),
                    (torch.tensor([[0.5, -2.0], [8.0, 1.0]]),),
                ],
                slips=(
                    Slip(
                        lambda gradient: gradient.clamp(max=1),
                        "A gradient that is far below 0 has to be clipped, too.",
                    ),
                    Slip(lambda gradient: gradient.sign(), "Small gradients have to stay."),
                    Slip(
                        lambda gradient: gradient / gradient.norm(),
                        "This makes the whole gradient as long as 1; clip each element for itself.",
                    ),
                ),
            ),
            Number(
                name="db",
                true=_with_clipping,
                slips=(
                    Slip(2 + 6 / (4 * math.log(2)), "This is the gradient without the hook."),
                    Slip(
                        1 / (4 * math.log(2)),
                        "This is what comes through d. Does b get a gradient through c, too?",
                    ),
                    Slip(1, "The gradient of d is clipped, not the one of b."),
                ),
            ),
        ),
        hints=(
            "`torch.clamp` takes the smallest and the largest value that are allowed.",
            "With the hook on it, 1 goes on from $d$ instead of 6. What goes through $c$ is not "
            "changed: 2.",
            "On the way from $d$ to $b$ the local derivative is $1/(4 \\ln 2) = 0.3607$.",
        ),
        solution="""
            def clip(gradient):
                return gradient.clamp(-1, 1)


            db = 2 + 1 * 0.3607
            """,
        why="The 6 that arrives at $d$ becomes 1, so $d$ brings 0.3607 to $b$, and $c$ brings 2 as "
        "before. To clip the gradients of all parameters of a network, PyTorch has "
        "`torch.nn.utils.clip_grad_value_` and `clip_grad_norm_`.",
    ),
    Exercise(
        id="11f",
        notebook="11",
        questions=(Built(name="function", judge=_softsign_remark),),
        hints=(
            "What should change in the result of `backward` when twice as much arrives?",
            "`d` was made inside `forward`, where autograd does not look. Which tensor does it "
            "know?",
            "Save `x`, and compute `1 + x.abs()` again in `backward`.",
        ),
        solution="""
            class Softsign(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    ctx.save_for_backward(x)
                    return x / (1 + x.abs())

                @staticmethod
                def backward(ctx, grad):
                    (x,) = ctx.saved_tensors
                    return grad / (1 + x.abs()) ** 2


            """,
        why="The chain rule multiplies by the gradient that arrives. And autograd can "
        "differentiate a backward again only through inputs and outputs that were saved.",
    ),
)
