"""The exercises of notebook 05: loss and update."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograd_viz.exercises.answers import UnfinishedError
from autograd_viz.exercises.questions import Built, Choice, Derivative, Function, Number, Slip
from autograd_viz.exercises.series import Exercise
from autograd_viz.text import number


def squared_error(w: Tensor, x: float | Tensor, y: float | Tensor) -> Tensor:
    """The loss of the notebook."""
    return (w * x - y) ** 2


def grad_after(passes: int) -> Tensor:
    """What is in `w.grad` in exercise 5b, after one backward pass or two."""
    w = torch.tensor(1.0, requires_grad=True)
    squared_error(w, 2.0, 8.0).backward()
    assert w.grad is not None
    if passes == 2:
        with torch.no_grad():
            w -= 0.1 * w.grad
        squared_error(w, 2.0, 8.0).backward()
    return w.grad


def updated(w: Tensor, learning_rate: float) -> str:
    """Say what is wrong with a leaf that began at 3, with the gradient 6."""
    wanted = 3 - learning_rate * 6
    if abs(w.item() - wanted) > 1e-4:
        way = "uphill" if w.item() > 3 else "elsewhere"
        return (
            f"w was 3, its gradient 6 and the learning rate {learning_rate}; your update went "
            f"{way}, to {number(w.item())}."
        )
    if not w.is_leaf or not w.requires_grad:
        return "w has the right value, but it is no leaf that requires a gradient any more."
    if w.grad is not None and w.grad.item() != 0:
        return (
            f"w has the right value, but w.grad is still {number(w.grad.item())}; the next "
            "backward pass would add to it."
        )
    return ""


def judged_update(update: Callable[[Tensor, float], Any]) -> str:
    """Say what is wrong with the function of exercise 5c, or nothing."""
    for learning_rate in (0.1, 0.5):
        w = torch.tensor(3.0, requires_grad=True)
        (w * w).backward()
        assert w.grad is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the .grad of what is no leaf
            returned = update(w, learning_rate)
        if w.item() == 3 and returned is not None and returned is not w:
            return "the leaf that was given is still 3: your w is a new tensor (rebinding)."
        if w.item() == 3 and w.grad is not None and w.grad.item() == 6:
            raise UnfinishedError
        if remark := updated(w, learning_rate):
            return remark
    return ""


def twice_scaled(w: Tensor, x: Any, y: Any) -> tuple[float, float]:
    """The gradient of a loss, and of ten times that loss."""
    loss = squared_error(w, x, y)
    (first,) = torch.autograd.grad(loss, w, retain_graph=True)
    (second,) = torch.autograd.grad(loss * 10, w)
    return first.item(), second.item()


def twice_freed(w: Tensor, x: Any, y: Any) -> tuple[float, float]:
    """The same with the error of the exercise."""
    loss = squared_error(w, x, y)
    loss.backward()
    assert w.grad is not None
    first = w.grad.item()
    w.grad.zero_()
    (loss * 10).backward()
    return first, w.grad.item()


def twice_added(w: Tensor, x: Any, y: Any) -> tuple[float, float]:
    """Without emptying the gradient."""
    first, second = twice_scaled(w, x, y)
    return first, first + second


def three_updates(w: Tensor, x: Any, y: Any) -> tuple[float, bool]:
    """Three rounds, as they should be."""
    for _ in range(3):
        squared_error(w, x, y).backward()
        assert w.grad is not None
        with torch.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    return w.item(), w.is_leaf


def three_rebound(w: Any, x: Any, y: Any) -> tuple[float, bool]:
    """Three rounds, as the stub has them."""
    for _ in range(3):
        squared_error(w, x, y).backward()
        w = w - 0.1 * w.grad
        w.grad = None
    return w.item(), w.is_leaf


def three_kept(w: Any, x: Any, y: Any) -> tuple[float, bool]:
    """Rebound, but with the gradient of what is no leaf."""
    for _ in range(3):
        squared_error(w, x, y).backward()
        w = w - 0.1 * w.grad
        w.retain_grad()
    return w.item(), w.is_leaf


def three_not_zeroed(w: Tensor, x: Any, y: Any) -> tuple[float, bool]:
    """In place, with all gradients added up."""
    for _ in range(3):
        squared_error(w, x, y).backward()
        assert w.grad is not None
        with torch.no_grad():
            w -= 0.1 * w.grad
    return w.item(), w.is_leaf


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="5a",
        notebook="05",
        questions=(
            Derivative(
                name="dw",
                of=squared_error,
                by="w",
                inputs=("w", "x", "y"),
                at={"w": 2.0, "x": 3.0, "y": 3.0},
                slips=(
                    Slip("2 * (w * x - y)", "The last local derivative on the way is missing."),
                    Slip("(w * x - y) * x", "What is the derivative of a square?"),
                    Slip("2 * (y - w * x) * x", "The difference is the prediction minus y."),
                ),
            ),
            Choice(
                name="w_becomes",
                true=lambda: "smaller",
                options=("larger", "smaller"),
                slips=(Slip("larger", "Compare the prediction with y: is it too large?"),),
            ),
        ),
        hints=(
            "First the forward pass: what are $\\hat y$ and $s$?",
            "Three local derivatives: $2s$, then 1, then $x$. What is $x$ now?",
        ),
        solution="""
            dw = 2 * (2 * 3 - 3) * 3
            w_becomes = "smaller"
            """,
        why="The prediction is 6, so $s = 3$ and the gradient is $2 \\cdot 3 \\cdot 1 \\cdot 3 = "
        "18$. It is positive: the loss grows with $w$, and the way down is to make $w$ smaller.",
    ),
    Exercise(
        id="5b",
        notebook="05",
        questions=(
            Number(
                name="first_grad",
                true=lambda: grad_after(1),
                slips=(
                    Slip(-12, "Is there an x missing?"),
                    Slip(24, "Look at the sign of the difference."),
                ),
            ),
            Number(
                name="second_grad",
                true=lambda: grad_after(2),
                slips=(
                    Slip(
                        -4.8,
                        "That is the gradient at the new weight. What did this backward pass "
                        "find in w.grad?",
                    ),
                    Slip(-48, "It is added, but at which weight is the second gradient taken?"),
                    Slip(-24, "The second backward pass does something to w.grad too."),
                ),
            ),
        ),
        hints=(
            "The gradient is $2x(wx - y)$. Put in the numbers for the first pass, and then compute "
            "the new $w$.",
            "Nothing empties `w.grad` between the two passes: the second gradient, taken at the "
            "new $w$, is added to the first.",
        ),
        solution="""
            first_grad = 2 * 2 * (1 * 2 - 8)
            new_w = 1 - 0.1 * first_grad
            second_grad = first_grad + 2 * 2 * (new_w * 2 - 8)
            """,
        why="The first gradient is $4 \\cdot (2 - 8) = -24$ and moves $w$ to 3.4. There the "
        "gradient is $4 \\cdot (6.8 - 8) = -4.8$, and since nobody zeroed, `w.grad` is "
        "$-24 - 4.8 = -28.8$.",
    ),
    Exercise(
        id="5c",
        notebook="05",
        questions=(Built(name="update", judge=judged_update),),
        hints=(
            "The update is the one of the notebook, with `learning_rate` for 0.01. What has to "
            "stand around it?",
            "Two lines under `with torch.no_grad():` would do: `w -= ...`, and then `w.grad = "
            "...`. What is an empty `.grad`?",
        ),
        solution="""
            def update(w, learning_rate):
                with torch.no_grad():
                    w -= learning_rate * w.grad
                w.grad = None
                return w
            """,
        why="The update is in place, so that `w` stays the same leaf, and under `no_grad`, so that "
        "it is not recorded. Then `.grad` is emptied for the next round.",
    ),
    Exercise(
        id="5d",
        notebook="05",
        questions=(
            Function(
                name="three_updates",
                like=three_updates,
                given=three_rebound,
                arguments=lambda: [
                    (torch.tensor(1.0, requires_grad=True), 1.0, 2.0),
                    (torch.tensor(3.0, requires_grad=True), 2.0, 1.0),
                ],
                slips=(
                    Slip(three_kept, "The value is right, but w has become part of the graph."),
                    Slip(three_not_zeroed, "Do gradients add up from round to round?"),
                ),
            ),
        ),
        hints=(
            "Call `three_updates(w, x, y)` with a fresh leaf and read the error: what is `w.grad` "
            "in the second round, and why? `av.why` says it too.",
            "`w = w - ...` makes a new tensor, which is no leaf. The update has to be in place, "
            "and not recorded.",
        ),
        solution="""
            def three_updates(w, x, y):
                for _ in range(3):
                    squared_error(w, x, y).backward()
                    with torch.no_grad():
                        w -= 0.1 * w.grad
                    w.grad = None
                return w.item(), w.is_leaf
            """,
        why="`w = w - ...` rebinds the name to a computed tensor, whose `.grad` stays `None`. In "
        "place, under `no_grad`, `w` remains the leaf that it was.",
    ),
    Exercise(
        id="5e",
        notebook="05",
        questions=(
            Function(
                name="two_gradients",
                like=twice_scaled,
                given=twice_freed,
                arguments=lambda: [
                    (torch.tensor(1.0, requires_grad=True), 1.0, 2.0),
                    (torch.tensor(3.0, requires_grad=True), 2.0, 1.0),
                ],
                slips=(Slip(twice_added, "Does the second gradient begin with an empty w.grad?"),),
            ),
        ),
        hints=(
            "Call it with a fresh leaf. Which of the two passes fails, and what has the other one "
            "done to the graph of `loss`? `av.why()` shows it.",
            "Either the first pass keeps the graph, by `retain_graph=True`, or the loss is "
            "computed again for the second.",
        ),
        solution="""
            def two_gradients(w, x, y):
                loss = squared_error(w, x, y)
                loss.backward(retain_graph=True)
                first = w.grad.item()
                w.grad = None
                (loss * 10).backward()
                return first, w.grad.item()
            """,
        why="A backward pass frees what the graph has saved. `loss * 10` is new, but it leads into "
        "the graph of `loss`, which the first pass has freed. `retain_graph=True` keeps it.",
    ),
)
