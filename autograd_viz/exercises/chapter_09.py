"""The exercises of notebook 09: gradients by hand."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from autograd_viz.exercises.questions import Derivative, Function, Number, Slip
from autograd_viz.exercises.series import Exercise


def linear_loss(x: Tensor, y: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The squared error of a line."""
    return (w * x + b - y) ** 2


def parabola_loss(x: Tensor, y: Tensor, w1: Tensor, w2: Tensor, b: Tensor) -> Tensor:
    """The squared error of a parabola."""
    return (x**2 * w2 + x * w1 + b - y) ** 2


def parabola(x: Tensor, y: Tensor, w1: Tensor, w2: Tensor, b: Tensor) -> Tensor:
    """The prediction of a parabola."""
    return x**2 * w2 + x * w1 + b


def share(a: Tensor, b: Tensor) -> Tensor:
    """The share that one number has of a sum."""
    return a / (a + b)


def larger(a: Tensor, b: Tensor) -> Tensor:
    """The larger of two numbers, times the first."""
    return torch.maximum(2 * a, b) * a


def network_loss(x: Tensor, y: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """The squared error of one hidden neuron with a ReLU."""
    return (w2 * torch.relu(w1 * x) - y) ** 2


def log_loss(x: Tensor, y: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """How improbable a sigmoid neuron thought the right answer."""
    p = torch.sigmoid(w * x + b)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p))


def softmax_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """How improbable a softmax of two numbers thought the first class."""
    return -torch.log(torch.exp(z1) / (torch.exp(z1) + torch.exp(z2)))


def least_squares_gradient(X: Tensor, w: Tensor, y: Tensor) -> Tensor:
    """Autograd's gradient of a sum of squared errors."""
    leaf = w.detach().clone().requires_grad_()
    loss = ((X @ leaf - y) ** 2).sum()
    return torch.autograd.grad(loss, leaf)[0]


def samples() -> Sequence[tuple[Tensor, Tensor, Tensor]]:
    """Matrices of several sizes, with weights and wanted outputs; the same each time."""
    random = torch.Generator().manual_seed(9)
    return [
        (_whole_numbers(random, n, m), _whole_numbers(random, m), _whole_numbers(random, n))
        for n, m in ((3, 2), (2, 2), (1, 3), (5, 4))
    ]


def _whole_numbers(random: torch.Generator, *size: int) -> Tensor:
    return torch.randint(-3, 4, size, generator=random).float()


def _slope(function: Callable[..., Tensor], by: int, *at: float) -> Callable[[], Tensor]:
    """Autograd's derivative by the input of that place, at a point."""

    def slope() -> Tensor:
        inputs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in at]
        return torch.autograd.grad(function(*inputs), inputs[by])[0]

    return slope


def _by_bias(name: str, by: str, slips: tuple[Slip, ...]) -> Derivative:
    at = {"x": 1.0, "y": 2.0, "w": 1.0, "b": 2.0}
    return Derivative(
        name=name, of=linear_loss, by=by, inputs=("x", "y", "w", "b"), at=at, slips=slips
    )


def _by_weight(name: str, by: str, slips: tuple[Slip, ...]) -> Derivative:
    inputs = ("x", "y", "w1", "w2", "b")
    return Derivative(
        name=name, of=parabola_loss, by=by, inputs=inputs, also={"yhat": parabola}, slips=slips
    )


def _of_share(
    name: str, by: str, slips: tuple[Slip, ...], at: Mapping[str, float] | None = None
) -> Derivative:
    also = {"s": lambda a, b: a + b, "q": share}
    return Derivative(
        name=name, of=share, by=by, inputs=("a", "b"), at=at or {}, also=also, slips=slips
    )


def _of_larger(name: str, by: int, b: float, slips: tuple[Slip, ...]) -> Number:
    return Number(name=name, true=_slope(larger, by, 3.0, b), slips=slips)


def _of_network(name: str, by: str, slips: tuple[Slip, ...]) -> Derivative:
    at = {"x": 2.0, "y": 1.0, "w1": 0.5, "w2": 3.0}
    also = {
        "h": lambda x, y, w1, w2: torch.relu(w1 * x),
        "yhat": lambda x, y, w1, w2: w2 * torch.relu(w1 * x),
    }
    inputs = ("x", "y", "w1", "w2")
    return Derivative(
        name=name, of=network_loss, by=by, inputs=inputs, at=at, also=also, slips=slips
    )


def _of_switched_off(name: str, by: int, slips: tuple[Slip, ...]) -> Number:
    return Number(name=name, true=_slope(network_loss, by, 2.0, 1.0, -0.5, 3.0), slips=slips)


def _of_neuron(name: str, by: str, slips: tuple[Slip, ...]) -> Derivative:
    also = {"z": _neuron_sum, "p": lambda x, y, w, b: torch.sigmoid(_neuron_sum(x, y, w, b))}
    inputs = ("x", "y", "w", "b")
    return Derivative(
        name=name, of=log_loss, by=by, inputs=inputs, also=also, slips=slips, high=1.5
    )


def _neuron_sum(x: Tensor, y: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return w * x + b


def _of_softmax(name: str, by: str, slips: tuple[Slip, ...]) -> Derivative:
    also = {
        "s": lambda z1, z2: torch.exp(z1) + torch.exp(z2),
        "p1": lambda z1, z2: torch.sigmoid(z1 - z2),
        "p2": lambda z1, z2: torch.sigmoid(z2 - z1),
    }
    return Derivative(
        name=name, of=softmax_loss, by=by, inputs=("z1", "z2"), also=also, slips=slips
    )


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="4.2",
        notebook="09",
        questions=(
            _by_bias("dw", "w", (Slip(1, "Did you forget the derivative of the square?"),)),
            _by_bias("db", "b", (Slip(1, "Did you forget the derivative of the square?"),)),
        ),
        hints=(
            "Give the difference a name: $s = \\hat y - y$, so that the loss is $s^2$.",
            "Three local derivatives are on the way from the loss to $w$: $2s$, then $1$, then "
            "$x$. What changes on the way to $b$?",
        ),
        solution="""
            dw = "2 * (w * x + b - y) * x"
            db = "2 * (w * x + b - y)"
            """,
        why="With $s = wx + b - y = 1$ the loss is $s^2$. Its derivative by $s$ is $2s = 2$; the "
        "way on to $w$ multiplies by $x = 1$, the one to $b$ by 1.",
    ),
    Exercise(
        id="4.4",
        notebook="09",
        questions=(
            _by_weight("dw1", "w1", (Slip("yhat - y", "A 2 and an x are missing."),)),
            _by_weight("dw2", "w2", (Slip("2 * (yhat - y) * x", "This is the derivative by w1."),)),
        ),
        hints=(
            "Begin at the loss: what is its derivative by $\\hat y$?",
            "Then go on from $\\hat y$: in $x^2 w_2 + x w_1 + b$, what is multiplied by $w_1$?",
        ),
        solution="""
            dw1 = "2 * (yhat - y) * x"
            dw2 = "2 * (yhat - y) * x**2"
            """,
        why="Both ways begin with $2(\\hat y - y)$; they differ in the last local derivative, "
        "which is what the weight is multiplied by: $x$ and $x^2$.",
    ),
    Exercise(
        id="9a",
        notebook="09",
        questions=(
            _of_share(
                "da",
                "a",
                (
                    Slip("1/s", "One of the two paths is missing: the sum changes, too."),
                    Slip("-a/s**2", "One of the two paths is missing: is a only in the sum?"),
                ),
                at={"a": 3.0, "b": 1.0},
            ),
            _of_share(
                "da_formula",
                "a",
                (
                    Slip("1/s", "One of the two paths is missing: the sum changes, too."),
                    Slip("-a/s**2", "One of the two paths is missing: is a only in the sum?"),
                    Slip("1/s + a/s**2", "What is the sign of the derivative of 1/s?"),
                ),
            ),
            _of_share(
                "db_formula",
                "b",
                (
                    Slip("a/s**2", "If b grows, does the share of a grow?"),
                    Slip("-1/s**2", "The derivative of a/s by s keeps a factor."),
                ),
            ),
        ),
        hints=(
            "Two steps: $s = a + b$ and $q = a / s$. The local derivatives of the second are "
            "$\\frac{1}{s}$ by $a$ and $-\\frac{a}{s^2}$ by $s$.",
            "Two paths lead from $q$ to $a$: one directly, one through $s$. Add what they bring. "
            "To $b$ there is one path.",
        ),
        solution="""
            da = 1 / 4 - 3 / 16
            da_formula = "b / (a + b)**2"
            db_formula = "-a / (a + b)**2"
            """,
        why="To $a$: $\\frac{1}{s} - \\frac{a}{s^2} = \\frac{s - a}{s^2} = \\frac{b}{s^2}$, at the "
        "point $\\frac{1}{16}$. To $b$ only the path through $s$ leads: $-\\frac{a}{s^2}$.",
    ),
    Exercise(
        id="9b",
        notebook="09",
        questions=(
            _of_larger(
                "da4",
                0,
                4.0,
                (
                    Slip(6, "Two paths lead to a: through the maximum, and directly."),
                    Slip(
                        9,
                        "What does the maximum do to a change of a: does it pass it on as it is?",
                    ),
                ),
            ),
            _of_larger(
                "db4", 1, 4.0, (Slip(3, "Which of the two inputs does the maximum hand on here?"),)
            ),
            _of_larger(
                "da8",
                0,
                8.0,
                (
                    Slip(14, "Is the path through the maximum open here?"),
                    Slip(12, "Which of the two inputs does the maximum hand on here?"),
                    Slip(6, "Which of the two inputs does the maximum hand on here?"),
                ),
            ),
            _of_larger(
                "db8",
                1,
                8.0,
                (
                    Slip(0, "Which of the two inputs does the maximum hand on here?"),
                    Slip(1, "This is the maximum's local derivative; what stands above it?"),
                ),
            ),
        ),
        hints=(
            "First the values: which of $2a$ and $b$ is larger? The maximum's local derivative "
            "is 1 by that one and 0 by the other.",
            "Near the first point $h$ is $2a \\cdot a$. What is it near the second?",
        ),
        solution="""
            da4, db4 = 2 * 3 + 6, 0
            da8, db8 = 8, 3
            """,
        why="With $b = 4$ the maximum is $2a$, so $h = 2a^2$ and $b$ plays no part. With $b = 8$ "
        "it is $b$, so $h = ba$.",
    ),
    Exercise(
        id="9c",
        notebook="09",
        questions=(
            _of_network(
                "dw1",
                "w1",
                (
                    Slip("2 * (yhat - y) * x", "On the way to w1 lies another weight."),
                    Slip("2 * (yhat - y) * w2", "The last step is left out: from h to w1."),
                    Slip("(yhat - y) * w2 * x", "Did you forget the derivative of the square?"),
                ),
            ),
            _of_network(
                "dw2",
                "w2",
                (
                    Slip("2 * (yhat - y) * x", "What is w2 multiplied by?"),
                    Slip("(yhat - y) * h", "Did you forget the derivative of the square?"),
                ),
            ),
            _of_switched_off(
                "dw1_off",
                2,
                (
                    Slip(24, "The ReLU's local derivative depends on the sign of its input."),
                    Slip(-12, "The ReLU's local derivative depends on the sign of its input."),
                    Slip(-48, "What does the ReLU hand on here?"),
                ),
            ),
            _of_switched_off(
                "dw2_off",
                3,
                (
                    Slip(8, "What is h here?"),
                    Slip(4, "What is h here?"),
                    Slip(-2, "What is h here?"),
                ),
            ),
        ),
        hints=(
            "Forward: $h = 1$, $\\hat y = 3$. The error is 2, and "
            "$\\partial \\text{loss} / \\partial \\hat y$ is twice that.",
            "To $w_2$: times $h$. To $w_1$: times $w_2$, times the ReLU's local derivative (1 for "
            "a positive input, 0 for a negative one), times $x$.",
            "Switched off, $h$ is 0 and so is the ReLU's local derivative.",
        ),
        solution="""
            dw1, dw2 = "2 * (yhat - y) * w2 * x", "2 * (yhat - y) * h"
            dw1_off, dw2_off = 0, 0
            """,
        why="On, the neuron is $w_1 x$: $4 \\cdot 3 \\cdot 1 \\cdot 2 = 24$ and $4 \\cdot 1 = 4$. "
        "Off, the ReLU stops the gradient on its way to $w_1$, and $w_2$ is multiplied by $h = 0$.",
    ),
    Exercise(
        id="9d",
        notebook="09",
        questions=(
            _of_neuron(
                "dz",
                "b",  # which z follows one to one
                (
                    Slip("y - p", "Look at the sign: must z grow or shrink if p is too small?"),
                    Slip(
                        "(p - y) * p * (1 - p)",
                        "This is for half the squared error; the loss is another.",
                    ),
                    Slip(
                        "-y/p + (1 - y)/(1 - p)", "This is the derivative by p; one step is left."
                    ),
                ),
            ),
            _of_neuron(
                "dw",
                "w",
                (
                    Slip("(y - p) * x", "Look at the sign."),
                    Slip(
                        "(p - y) * p * (1 - p) * x",
                        "This is for half the squared error; the loss is another.",
                    ),
                    Slip("p - y", "What is w multiplied by?"),
                ),
            ),
            _of_neuron(
                "db",
                "b",
                (
                    Slip("y - p", "Look at the sign."),
                    Slip("(p - y) * x", "What is b multiplied by?"),
                ),
            ),
        ),
        hints=(
            "The derivative of the sigmoid, written with its result: "
            "$\\frac{dp}{dz} = p (1 - p)$. The derivative of the loss by $p$ is "
            "$-\\frac{y}{p} + \\frac{1 - y}{1 - p}$.",
            "Multiply the two: in each of the fractions one factor cancels. What is left of "
            "$-y (1 - p) + (1 - y) p$?",
            "From $z$ on it is a line with a bias, as in exercise 4.2.",
        ),
        solution="""
            dz = "p - y"
            dw = "(p - y) * x"
            db = "p - y"
            """,
        why="$-y(1 - p) + (1 - y)p = p - y$: the probability that was given, minus the one that "
        "was wanted. The sigmoid and its logarithm cancel each other.",
    ),
    Exercise(
        id="9e",
        notebook="09",
        questions=(
            _of_softmax(
                "dz1",
                "z1",
                (
                    Slip("p1", "One path is missing: z1 is not only in the sum."),
                    Slip("-1", "One path is missing: z1 is in the sum, too."),
                    Slip("1 - p1", "Look at the sign: does the loss grow with z1?"),
                ),
            ),
            _of_softmax(
                "dz2",
                "z2",
                (
                    Slip("-p2", "Look at the sign: what does a larger z2 do to p1?"),
                    Slip("p2 - 1", "That would be right if the second class were the right one."),
                    Slip("1/s", "The derivative of ln s goes on: s has an inner derivative."),
                ),
            ),
        ),
        hints=(
            "A logarithm of a quotient is a difference: "
            "$-\\ln p_1 = \\ln(e^{z_1} + e^{z_2}) - z_1$.",
            "The derivative of $\\ln s$ by $z_2$ is $\\frac{1}{s} \\cdot e^{z_2}$. It has a name.",
        ),
        solution="""
            dz1 = "p1 - 1"
            dz2 = "p2"
            """,
        why="$\\ln s$ gives $p_1$ and $p_2$, and $-z_1$ takes 1 away for the right class. Again it "
        "is the probability given minus the one wanted.",
    ),
    Exercise(
        id="9f",
        notebook="09",
        questions=(
            Function(
                name="gradient",
                like=least_squares_gradient,
                arguments=samples,
                slips=(
                    Slip(lambda X, w, y: X.T @ (X @ w - y), "Where is the 2 of the square?"),
                    Slip(lambda X, w, y: 2 * X.T @ (y - X @ w), "Look at the sign."),
                    Slip(
                        lambda X, w, y: 2 * X.T @ (X @ w - y) / len(y),
                        "This is the gradient of the mean; the loss is a sum.",
                    ),
                    Slip(lambda X, w, y: 2 * X.T @ (X @ w), "The outputs y are in the error, too."),
                ),
            ),
        ),
        hints=(
            "By $w_j$: $\\frac{\\partial}{\\partial w_j} \\sum_i s_i^2 = \\sum_i 2 s_i X_{ij}$, "
            "since in $s_i$ the weight $w_j$ is multiplied by $X_{ij}$.",
            "This is the sum over rows of column $j$ of $X$ times $2s$. Which product of matrices "
            "does that for all columns at once? The result has the shape of $w$.",
        ),
        solution="""
            def gradient(X, w, y):
                s = X @ w - y
                return 2 * X.T @ s
            """,
        why="$2s$ is the gradient of the sum by $s$, and $X^T$ carries it on to $w$: each weight "
        "gets the errors of all samples, times what it was multiplied by there.",
    ),
)
