"""The exercises of notebook 06: the training loop."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from autograd_viz.exercises.questions import Function, Number, Slip
from autograd_viz.exercises.series import Exercise

Samples = Sequence[tuple[float, float]]
DOUBLE = ((1.0, 2.0), (2.0, 4.0), (3.0, 6.0))
LINE = ((0.0, 1.0), (1.0, 3.0), (2.0, 5.0))


def squared_error(w: Tensor, x: float, y: float) -> Tensor:
    """The loss of the notebook."""
    return (w * x - y) ** 2


def after_updates(w: float, x: float, y: float, rate: float, updates: int = 1) -> float:
    """The weight after some updates with one sample."""
    leaf = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=rate)
    for _ in range(updates):
        optimizer.zero_grad()
        squared_error(leaf, x, y).backward()
        optimizer.step()
    return leaf.item()


@cache
def undecided_rate() -> float:
    """The learning rate at which two updates of exercise 6b lead back to 1, found by bisection."""
    low, high = 0.01, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        back = abs(after_updates(1.0, 2.0, 4.0, middle) - 2) > 1
        low, high = (low, middle) if back else (middle, high)
    return low


def trained(samples: Samples, epochs: int) -> float:
    """The loop of exercise 6c, as it should be."""
    return _trained(samples, epochs, zero="sample")


def trained_with_sums(samples: Samples, epochs: int) -> float:
    """The same as the stub has it: no gradient is ever zeroed."""
    return _trained(samples, epochs, zero="never")


def trained_zeroed_by_epoch(samples: Samples, epochs: int) -> float:
    """The same with the gradient zeroed after each epoch only."""
    return _trained(samples, epochs, zero="epoch")


def _trained(samples: Samples, epochs: int, zero: str) -> float:
    w = torch.tensor(1.0, requires_grad=True)
    for _ in range(epochs):
        for x, y in samples:
            squared_error(w, x, y).backward()
            assert w.grad is not None
            with torch.no_grad():
                w -= 0.01 * w.grad
            if zero == "sample":
                w.grad = None
        if zero == "epoch":
            w.grad = None
    return w.item()


def train(samples: Samples, learning_rate: float, epochs: int) -> tuple[float, float]:
    """The loop of exercise 6d."""
    return _train(samples, learning_rate, epochs)


def untrained(samples: Samples, learning_rate: float, epochs: int) -> tuple[float, float]:
    """What the stub of exercise 6d does."""
    return 1.0, 0.0


def train_the_weight(samples: Samples, learning_rate: float, epochs: int) -> tuple[float, float]:
    """The same where the bias is forgotten in the update."""
    return _train(samples, learning_rate, epochs, bias=False)


def train_not_zeroed(samples: Samples, learning_rate: float, epochs: int) -> tuple[float, float]:
    """The same where zeroing is forgotten."""
    return _train(samples, learning_rate, epochs, zero=False)


def train_by_epoch(samples: Samples, learning_rate: float, epochs: int) -> tuple[float, float]:
    """The same with one update an epoch, by the sum of all gradients."""
    return _train(samples, learning_rate, epochs, each=False)


def _train(
    samples: Samples,
    learning_rate: float,
    epochs: int,
    *,
    bias: bool = True,
    zero: bool = True,
    each: bool = True,
) -> tuple[float, float]:
    w = torch.tensor(1.0, requires_grad=True)
    b = torch.tensor(0.0, requires_grad=True)
    optimizer = torch.optim.SGD([w, b] if bias else [w], lr=learning_rate)
    for _ in range(epochs):
        for place, (x, y) in enumerate(samples, start=1):
            ((w * x + b - y) ** 2).backward()
            if each or place == len(samples):
                optimizer.step()
                if zero:
                    optimizer.zero_grad()
    return w.item(), b.item()


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="6a",
        notebook="06",
        questions=(
            Number(
                name="next_w",
                true=lambda: after_updates(3.0, 2.0, 2.0, 0.05),
                slips=(
                    Slip(3.8, "Is this uphill or downhill?"),
                    Slip(2.6, "The gradient has three factors; one of yours is missing."),
                    Slip(-13, "Where is the learning rate?"),
                    Slip(16, "That is the gradient; now use it."),
                ),
            ),
        ),
        hints=(
            "The prediction is $3 \\cdot 2 = 6$. Then the gradient: $2x(wx - y)$.",
            "Go against the gradient: $w - 0.05 \\cdot$ gradient.",
        ),
        solution="""
            gradient = 2 * 2 * (3 * 2 - 2)
            next_w = 3 - 0.05 * gradient
            """,
        why="The gradient is $2 \\cdot 2 \\cdot (6 - 2) = 16$: positive, so the weight becomes "
        "smaller, by $0.05 \\cdot 16 = 0.8$.",
    ),
    Exercise(
        id="6b",
        notebook="06",
        questions=(
            Number(
                name="rate",
                true=undecided_rate,
                slips=(
                    Slip(0.125, "With this one the first update lands on the lowest point."),
                    Slip(1, "That would be the one for a sample with x = 1."),
                    Slip(0.5, "With this one the weight runs away."),
                    Slip(3 / 14, "That is the one for the mean loss of three samples."),
                ),
            ),
            Number(
                name="low",
                true=lambda: after_updates(1.0, 2.0, 4.0, undecided_rate(), 2),
                slips=(Slip(2, "At the lowest point it would stay."),),
            ),
            Number(
                name="high",
                true=lambda: after_updates(1.0, 2.0, 4.0, undecided_rate(), 1),
                slips=(Slip(2, "At the lowest point it would stay."),),
            ),
        ),
        hints=(
            "Neither nearer nor farther: the distance to 2 stays what it is at the start, and the "
            "side changes. Where does the first update land?",
            "The gradient at $w = 1$ is $2 \\cdot 2 \\cdot (2 - 4) = -8$. With which learning rate "
            "does this carry $w$ from 1 to the same distance on the other side of 2?",
        ),
        solution="""
            low, high = 1, 3
            rate = (high - low) / 8
            """,
        why="The gradient is $8(w - 2)$, so an update multiplies the distance to 2 by $1 - 8 "
        "\\cdot$ learning rate. This is $-1$ at 0.25, and the weight jumps between 1 and 3.",
    ),
    Exercise(
        id="6c",
        notebook="06",
        questions=(
            Function(
                name="trained",
                like=trained,
                given=trained_with_sums,
                arguments=lambda: [(DOUBLE, 1), (DOUBLE, 10), (LINE, 3)],
                slips=(
                    Slip(
                        trained_zeroed_by_epoch,
                        "Within an epoch the gradients still add up.",
                    ),
                ),
            ),
        ),
        hints=(
            "Which of the four moves is missing: forward, backward, update, zero?",
            "Each update should use the gradient of one sample. What does `backward()` do with "
            "what is already in `w.grad`?",
        ),
        solution="""
            def trained(samples, epochs):
                w = torch.tensor(1.0, requires_grad=True)
                for _ in range(epochs):
                    for x, y in samples:
                        squared_error(w, x, y).backward()
                        with torch.no_grad():
                            w -= 0.01 * w.grad
                        w.grad = None
                return w.item()
            """,
        why="Without the zeroing each update goes along the sum of *all* gradients so far. It "
        "still points the old way when the weight is long past the lowest point.",
    ),
    Exercise(
        id="6d",
        notebook="06",
        questions=(
            Function(
                name="train",
                like=train,
                given=untrained,
                arguments=lambda: [(LINE, 0.1, 1), (LINE, 0.1, 100), (DOUBLE, 0.02, 5)],
                tolerance=1e-3,
                slips=(
                    Slip(train_the_weight, "Does the bias get an update?"),
                    Slip(train_not_zeroed, "Do the gradients add up from sample to sample?"),
                    Slip(train_by_epoch, "There should be an update for each sample."),
                ),
            ),
        ),
        hints=(
            "Two loops, as in the notebook: over `range(epochs)`, and over the samples in it. Then "
            "the four moves.",
            "`torch.optim.SGD([w, b], lr=learning_rate)` updates and zeroes both leaves. The loss "
            "is `(w * x + b - y) ** 2`.",
        ),
        solution="""
            def train(samples, learning_rate, epochs):
                w = torch.tensor(1.0, requires_grad=True)
                b = torch.tensor(0.0, requires_grad=True)
                optimizer = torch.optim.SGD([w, b], lr=learning_rate)
                for _ in range(epochs):
                    for x, y in samples:
                        loss = (w * x + b - y) ** 2
                        loss.backward()
                        optimizer.step()
                        optimizer.zero_grad()
                return w.item(), b.item()
            """,
        why="A second leaf changes nothing in the loop: one backward pass gives both gradients, "
        "and the optimizer updates and zeroes both.",
    ),
)
