"""The exercises of notebook 07: leaves and descent."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autograd_viz.exercises.questions import Choice, Function, Number, Slip
from autograd_viz.exercises.series import Exercise

START = (1.0, -2.0)
LEARNING_RATE = 0.2


def bowl(x: Tensor, y: Tensor) -> Tensor:
    """Twice the sum of two squares."""
    return 2 * (x**2 + y**2)


def gradient(at: tuple[float, float]) -> tuple[Tensor, ...]:
    """The gradient of the bowl at a point."""
    x, y = (torch.tensor(value, requires_grad=True) for value in at)
    return torch.autograd.grad(bowl(x, y), (x, y))


def after_one_step(place: int) -> Tensor:
    """One input of the bowl after one step of gradient descent from the start."""
    return START[place] - LEARNING_RATE * gradient(START)[place]


def best_rate() -> Tensor:
    """The learning rate whose first step leads to the minimum, 0."""
    return START[0] / gradient(START)[0]


def rebound() -> tuple[Tensor, Tensor]:
    """The tensors z and t of the lecture's program, after its backward pass."""
    t = torch.ones(2, 2, requires_grad=True)
    z = -t
    z.sum().backward()
    return z, t


def holders() -> dict[str, bool]:
    """Which of five tensors hold a `.grad` after the backward pass."""
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0)
    c = torch.tensor(4.0, requires_grad=True) * 0.1
    d = torch.tensor(5.0).requires_grad_()
    e = a * c
    e.retain_grad()
    ((e + b * d) ** 2).backward()
    return {  # of other tensors PyTorch warns who looks at `.grad`
        name: (each.is_leaf or each.retains_grad) and each.grad is not None
        for name, each in {"a": a, "b": b, "c": c, "d": d, "e": e}.items()
    }


def walk_down(x: Tensor, learning_rate: float, steps: int) -> Tensor:
    """Some steps down twice the sum of squares."""
    for _ in range(steps):
        loss = 2 * (x**2).sum()
        loss.backward()
        assert x.grad is not None
        with torch.no_grad():
            x -= learning_rate * x.grad
        x.grad = None
    return x


def rebinding_walk(x: Tensor, learning_rate: float, steps: int) -> Tensor:
    """The walk as the stub has it: the leaf's name is bound to a tensor without a graph."""
    for _ in range(steps):
        loss = 2 * (x**2).sum()
        loss.backward()
        assert x.grad is not None
        with torch.no_grad():
            x = x - learning_rate * x.grad
        x.grad = None
    return x


def walk_without_steps(x: Tensor, learning_rate: float, steps: int) -> Tensor:
    """Each step begins where the first began."""
    return x.detach() - learning_rate * 4 * x.detach()


def slope_of_cube(x: Tensor) -> Tensor | None:
    """The derivative of the third power."""
    (x * x**2).backward()
    return x.grad


def cut_cube(x: Tensor) -> Tensor | None:
    """The same as the stub has it: one factor is a plain number."""
    square = x**2
    loss = x * square.item()
    loss.backward()
    return x.grad


def other_cut(x: Tensor) -> Tensor | None:
    """The cut at the other factor."""
    loss = x.item() * x**2
    loss.backward()
    return x.grad


def slope_of_sigmoid(x: Tensor) -> Tensor | None:
    """The derivative of twice the sigmoid."""
    (2 * torch.sigmoid(x)).backward()
    return x.grad


def overwritten_sigmoid(x: Tensor) -> Tensor | None:
    """The same as the stub has it: the sigmoid that the backward pass needs is written over."""
    s = torch.sigmoid(x)
    s *= 2
    s.backward()
    return x.grad


def single_sigmoid(x: Tensor) -> Tensor | None:
    """The derivative without the factor."""
    torch.sigmoid(x).backward()
    return x.grad


def walks() -> Sequence[tuple[Any, ...]]:
    """Starts, learning rates and numbers of steps."""
    two, three = [3.0, 2.0], [1.0, -2.0, 0.5]
    return [
        (torch.tensor(start, requires_grad=True), rate, steps)
        for start, rate, steps in ((two, 0.1, 1), (three, 0.2, 2), (two, 0.1, 5), (three, 0.3, 3))
    ]


def leaves() -> Sequence[tuple[Tensor]]:
    """Numbers, each a leaf."""
    return [(torch.tensor(value, requires_grad=True),) for value in (2.0, -1.5, 0.5)]


def _holder(name: str, wrong: bool, remark: str) -> Choice:
    return Choice(
        name=name,
        true=lambda: holders()[name],
        options=(True, False),
        slips=(Slip(wrong, remark),),
    )


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="7a",
        notebook="07",
        questions=(
            Number(
                name="x1",
                true=lambda: after_one_step(0),
                slips=(
                    Slip(1.8, "This step goes uphill; the update has a minus."),
                    Slip(0.6, "Is the derivative of the square in it, and the factor 2 too?"),
                    Slip(4, "This is the gradient; how far does the step go?"),
                ),
            ),
            Number(
                name="y1",
                true=lambda: after_one_step(1),
                slips=(
                    Slip(
                        -3.6,
                        "Look at the signs: the gradient is negative here, and it is taken away.",
                    ),
                    Slip(-1.2, "Is the derivative of the square in it, and the factor 2 too?"),
                    Slip(-8, "This is the gradient; how far does the step go?"),
                ),
            ),
            Number(
                name="best",
                true=best_rate,
                slips=(
                    Slip(0.5, "Put it into the update: where does the step from x = 1 lead?"),
                    Slip(1, "Put it into the update: where does the step from x = 1 lead?"),
                    Slip(4, "Divide rather than multiply."),
                ),
            ),
        ),
        hints=(
            "The gradient is $(4x, 4y)$. What is it at the start?",
            "A step takes `learning_rate * 4 * x` away from `x`.",
            "For `best`: the step has to take away all of `x`. Solve "
            "$x - \\text{best} \\cdot 4x = 0$.",
        ),
        solution="""
            x1 = 1 - 0.2 * 4 * 1
            y1 = -2 - 0.2 * 4 * (-2)
            best = 1 / 4
            """,
        why="One step multiplies each input by $1 - 4 \\cdot \\text{learning rate}$. This factor "
        "is 0.2 in the first two questions, and 0 for the best learning rate.",
    ),
    Exercise(
        id="7b",
        notebook="07",
        questions=(
            Choice(
                name="z_grad",
                true=lambda: rebound()[0].grad if rebound()[0].retains_grad else None,
                options=(None, 1, -1, 2),
                slips=(
                    Slip(
                        1,
                        "That is ∂u/∂z, and the backward pass computes it; "
                        "but for which tensors does PyTorch keep it?",
                    ),
                    Slip(-1, "Does the minus sign stand before or after z?"),
                    Slip(2, "Which of the two tensors does z stand for at the end?"),
                ),
            ),
            Number(
                name="t_grad",
                true=lambda: _first(rebound()[1].grad),
                slips=(
                    Slip(2, "Is the first z on the way from u to t?"),
                    Slip(1, "A sign is lost between z and t."),
                    Slip(-2, "Is the first z on the way from u to t?"),
                    Slip(-4, "This is u; what does each single place of t add to it?"),
                ),
            ),
        ),
        hints=(
            "Draw the graph from `u` downwards: `u` is the sum of which tensor? And that one is "
            "made from what?",
            "Which tensors begin the computation? Only they get a `.grad` without being asked.",
        ),
        solution="""
            z_grad = None
            t_grad = -1
            """,
        why="The way from `u` to `t` leads through the second `z` only: $1 \\cdot (-1) = -1$ in "
        "each place. The second `z` is no leaf, so that nothing is kept for it.",
    ),
    Exercise(
        id="7c",
        notebook="07",
        questions=(
            _holder("a", False, "It begins the computation, and requires a gradient."),
            _holder("b", True, "Was a gradient asked for?"),
            _holder("c", True, "The leaf is the 4; is `c` that tensor?"),
            _holder("d", False, "The underscore says: in place. Which tensor does `d` stand for?"),
            _holder("e", False, "It is no leaf, but look at the line below it."),
        ),
        hints=(
            "First find the leaves: which of the five are *computed* by an operation?",
            "`requires_grad_()` changes the tensor itself and computes nothing. `* 0.1` is an "
            "operation. And which tensors keep a gradient although they are no leaves?",
        ),
        solution="""
            a = True
            b = False
            c = False
            d = True
            e = True
            """,
        why="`a` and `d` are leaves that require a gradient. `b` is a constant. `c` is the result "
        "of a product; its leaf, the 4, has no name. `e` is computed too, but was asked to keep "
        "its gradient.",
    ),
    Exercise(
        id="7d",
        notebook="07",
        questions=(
            Function(
                name="walk_down",
                like=walk_down,
                given=rebinding_walk,
                arguments=walks,
                slips=(
                    Slip(walk_without_steps, "Does each step begin where the one before ended?"),
                ),
            ),
        ),
        hints=(
            "After the first step, print `x.requires_grad`. Is this the tensor that you put in?",
            "`x = x - ...` makes a new tensor and rebinds the name. There is a way to change the "
            "tensor itself, in place.",
        ),
        solution="""
            def walk_down(x, learning_rate, steps):
                for _ in range(steps):
                    loss = 2 * (x**2).sum()
                    loss.backward()
                    with torch.no_grad():
                        x -= learning_rate * x.grad
                    x.grad = None
                return x
            """,
        why="`x = x - ...` under `no_grad()` binds the name to a new tensor that requires no "
        "gradient, so the second `backward()` finds no graph. `x -= ...` keeps the leaf.",
    ),
    Exercise(
        id="7e",
        notebook="07",
        questions=(
            Function(
                name="slope_of_cube",
                like=slope_of_cube,
                given=cut_cube,
                arguments=leaves,
                slips=(Slip(other_cut, "The other factor is a plain number now."),),
            ),
        ),
        hints=(
            "In $x \\cdot x^2$ two paths lead from the loss to $x$. How many are left here?",
            "What type has `square.item()`? Does it remember how it was made?",
        ),
        solution="""
            def slope_of_cube(x):
                square = x**2
                loss = x * square
                loss.backward()
                return x.grad
            """,
        why="`item()` gives a plain number, which autograd takes for a constant, so only one of "
        "two paths remained: $x^2$ instead of $x^2 + x \\cdot 2x = 3x^2$. `detach()` cuts in the "
        "same way.",
    ),
    Exercise(
        id="7f",
        notebook="07",
        questions=(
            Function(
                name="slope_of_sigmoid",
                like=slope_of_sigmoid,
                given=overwritten_sigmoid,
                arguments=leaves,
                slips=(Slip(single_sigmoid, "Where is the factor 2?"),),
            ),
        ),
        hints=(
            "The derivative of a sigmoid is computed from its result: $s (1 - s)$. Is this result "
            "still there when the backward pass needs it?",
            "`s *= 2` writes over the tensor that the sigmoid made. Make a new tensor instead.",
        ),
        solution="""
            def slope_of_sigmoid(x):
                s = torch.sigmoid(x)
                s = s * 2
                s.backward()
                return x.grad
            """,
        why="The gradient function of the sigmoid needs its result $s$. A change in place destroys "
        "it, and PyTorch notices and refuses. A new tensor leaves it as it was; rebinding the name "
        "does no harm here.",
    ),
)


def _first(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient.flatten()[0]
