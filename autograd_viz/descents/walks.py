"""A walk of gradient descent as data: the points, their losses and gradients, by PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autograd_viz.kept_state import random_numbers_kept
from autograd_viz.programs.arguments import Function
from autograd_viz.text import clean, number, table
from autograd_viz.typeset import derivative, plain
from autograd_viz.widgets.grids import one_number

Point = tuple[float, ...]  # one number for each input


@dataclass(frozen=True)
class Descent:
    """What plain gradient descent did: at each step a point, its loss and its gradient.

    `str()` is a table of it. The lists have one item more than there are steps, since the start
    is step 0; fewer if the walk ended early.
    """

    output: str  # what the loss is called
    names: tuple[str, ...]  # of the inputs
    learning_rate: float
    points: tuple[Point, ...]
    losses: tuple[float, ...]
    gradients: tuple[Point, ...]
    beyond: Point  # where one more step would lead
    ended: str = ""  # why the walk ended early

    @property
    def last(self) -> int:
        """The number of steps made."""
        return len(self.points) - 1

    def next_point(self, step: int) -> Point:
        """Where the step after this one leads."""
        return self.points[step + 1] if step < self.last else self.beyond

    def lines(self, every: int = 1) -> list[str]:
        """The walk as a table: the first step, every so many, and the last."""
        by = [plain((derivative(self.output, name),)) for name in self.names]
        rows = [["step", *self.names, self.output, *(by if len(by) > 1 else ["gradient"])]]
        for step in [*range(0, self.last, every), self.last]:
            values = *self.points[step], self.losses[step], *self.gradients[step]
            rows.append([str(step), *map(number, values)])
        return [*table(rows), *([self.ended] if self.ended else [])]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def descent(
    function: Function,
    start: Mapping[str, float],
    constants: Mapping[str, Any],
    *,
    output: str,
    learning_rate: float,
    steps: int,
) -> Descent:
    """Walk from the start: each input becomes itself minus learning_rate times its gradient.

    Each run of the function draws the same random numbers. Where the loss or the gradient is not
    finite, or the function raises an error, the walk ends and says so.

    Raises:
        Exception: whatever the function raises at the start.
        ValueError: at the start no gradient arrives at an input, or the output is not one number.
    """
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    points, losses, gradients, ended = [], [], [], ""
    with torch.enable_grad():
        for step in range(steps + 1):
            try:
                with random_numbers_kept():
                    loss, gradient = _slopes(function, leaves, constants)
            except Exception as error:  # whatever the function may raise away from its start
                if step == 0:
                    raise
                said = clean(f"{type(error).__name__}: {error}", 80)
                ended = f"the walk ends before step {step}: the function raised {said}"
                break
            points.append(_floats(leaves.values()))
            losses.append(loss)
            gradients.append(_floats(gradient))
            with torch.no_grad():
                for leaf, slope in zip(leaves.values(), gradient, strict=True):
                    leaf -= learning_rate * slope
            if not all(map(math.isfinite, (loss, *gradients[-1]))):
                what, value = "the gradient", "not finite"
                if not math.isfinite(loss):
                    what = "the loss" if output == "loss" else output
                    value = number(loss)
                ended = f"the walk ends at step {step}: {what} is {value}"
                break
    return Descent(
        output, tuple(start), learning_rate, tuple(points), tuple(losses), tuple(gradients),
        _floats(leaves.values()), ended,
    )  # fmt: skip


def _floats(values: Any) -> Point:
    return tuple(value.item() for value in values)


def _slopes(
    function: Function, leaves: Mapping[str, Tensor], constants: Mapping[str, Any]
) -> tuple[float, tuple[Tensor, ...]]:
    """The loss and its gradient, by one forward and one backward pass."""
    given = {name: function.argument(name, value) for name, value in constants.items()}
    result: Callable[[], Any] = function.bound({**leaves, **given})
    loss = function.outputs(result())[0]
    value = one_number(loss)
    found: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if loss.requires_grad:
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    for name, slope in zip(leaves, found, strict=True):
        if slope is None:
            raise ValueError(
                f"no gradient arrives at {name}: {function.name} does not depend on it, or cuts "
                f"it off with detach(), item() or float(); compute the loss from {name} with "
                "torch's operations"
            )
    return value, tuple(slope for slope in found if slope is not None)
