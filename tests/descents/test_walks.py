"""A walk of gradient descent against torch's own optimizer and closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from autograd_viz.descents.walks import Descent, descent
from autograd_viz.programs.arguments import Function

X = torch.tensor([1.0, 2.0, 3.0])


def parabola(w):
    return (w - 2) ** 2


def mean_squared_error(w):
    return ((w * X - 2 * X) ** 2).mean()


def bowl(x, y):
    return 2 * (x**2 + y**2)


def walked(f: Any, rate: float, steps: int, constants: Any = (), **start: float) -> Descent:
    return descent(
        Function(f), start, dict(constants), output="loss", learning_rate=rate, steps=steps
    )


def by_sgd(f: Any, rate: float, steps: int, **start: float) -> list[tuple[list[float], ...]]:
    """Points, losses and gradients by torch.optim.SGD."""
    leaves = [torch.tensor(value, requires_grad=True) for value in start.values()]
    optimizer = torch.optim.SGD(leaves, lr=rate)
    rows: list[tuple[list[float], ...]] = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        loss = f(*leaves)
        loss.backward()
        grads = [leaf.grad.item() for leaf in leaves if leaf.grad is not None]
        rows.append(([leaf.item() for leaf in leaves], [loss.item()], grads))
        optimizer.step()
    return rows


@pytest.mark.parametrize(
    ("f", "rate", "start"),
    [
        (mean_squared_error, 0.01, {"w": 1.0}),
        (mean_squared_error, 0.2, {"w": 1.0}),
        (mean_squared_error, 0.25, {"w": 1.0}),
        (bowl, 0.05, {"x": 3.0, "y": 2.0}),
        (lambda x, y: x**2 / 2 + 5 * y**2 + torch.sin(x * y), 0.1, {"x": 3.0, "y": -1.0}),
    ],
)
def test_it_is_what_torchs_sgd_does(f, rate, start):
    walk = walked(f, rate, 20, **start)
    rows = by_sgd(f, rate, 20, **start)
    assert len(walk.points) == len(rows)
    for step, (point, loss, gradient) in enumerate(rows):
        assert walk.points[step] == pytest.approx(point, rel=1e-4, abs=1e-6)
        assert walk.losses[step] == pytest.approx(loss[0], rel=1e-3, abs=1e-9)
        assert walk.gradients[step] == pytest.approx(gradient, rel=1e-3, abs=1e-5)


def test_it_is_to_the_bit_the_update_of_the_lecture():
    w = torch.tensor(1.0, requires_grad=True)
    walk = walked(mean_squared_error, 0.01, 40, w=1.0)
    for step in range(41):
        loss = mean_squared_error(w)
        loss.backward()
        assert w.grad is not None
        found = walk.points[step], walk.losses[step], walk.gradients[step]
        assert found == ((w.item(),), loss.item(), (w.grad.item(),))
        with torch.no_grad():
            w -= 0.01 * w.grad
        w.grad = None
    assert walk.beyond == (w.item(),)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7, 0.95, 1.0, 1.1])
def test_a_parabola_has_a_closed_form(rate):
    walk = walked(parabola, rate, 15, w=1.0)
    for k, (w,) in enumerate(walk.points):
        assert w - 2 == pytest.approx((1 - 2 * rate) ** k * -1.0, rel=1e-3, abs=1e-6)


def test_the_circular_bowl_shrinks_towards_the_origin():
    walk = walked(bowl, 0.05, 10, x=3.0, y=2.0)
    assert walk.gradients[0] == (12.0, 8.0)
    for k, (x, y) in enumerate(walk.points):
        assert (x, y) == pytest.approx((3 * 0.8**k, 2 * 0.8**k), rel=1e-4)


def test_the_next_point_is_known_of_the_last_step_too():
    walk = walked(parabola, 0.25, 2, w=1.0)
    assert walk.points == ((1.0,), (1.5,), (1.75,))
    assert [walk.next_point(step) for step in range(3)] == [(1.5,), (1.75,), (1.875,)]


def test_inf_ends_the_walk():
    walk = walked(lambda w: w**4, 0.5, 20, w=3.0)
    assert walk.last < 20
    assert not math.isfinite(walk.losses[-1])
    assert all(map(math.isfinite, walk.losses[:-1]))
    assert walk.ended == f"the walk ends at step {walk.last}: the loss is inf"


def test_nan_at_the_start_is_a_walk_of_no_step():
    walk = walked(torch.log, 0.1, 5, input=-1.0)
    assert (walk.last, walk.ended) == (0, "the walk ends at step 0: the loss is NaN")


def test_a_gradient_that_is_not_finite_ends_the_walk():
    walk = walked(torch.sqrt, 0.1, 5, input=0.0)
    assert (walk.losses, walk.ended) == (
        (0.0,),
        "the walk ends at step 0: the gradient is not finite",
    )


def test_an_error_on_the_way_ends_the_walk():
    def picky(w):
        if w < 0.5:
            raise ArithmeticError("too small")
        return w**2

    walk = walked(picky, 0.4, 20, w=1.0)
    assert walk.points == ((1.0,),)
    assert (
        walk.ended == "the walk ends before step 1: the function raised ArithmeticError: too small"
    )
    assert walk.beyond == pytest.approx((0.2,))
    with pytest.raises(ArithmeticError):
        walked(picky, 0.4, 20, w=0.1)


@pytest.mark.parametrize("f", [lambda w: w.detach() ** 2, lambda w: torch.tensor(3.0)])
def test_without_a_gradient_the_error_says_so(f):
    with pytest.raises(ValueError, match="no gradient arrives at w"):
        walked(f, 0.1, 5, w=1.0)


def test_nothing_of_the_readers_is_changed():
    data = torch.tensor([1.0, 2.0], requires_grad=True)

    def noisy(w, x):
        return ((w * x + torch.randn(2)) ** 2).sum()

    state = torch.get_rng_state()
    walk = walked(noisy, 0.01, 5, {"x": data}, w=1.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert data.grad is None
    assert data.tolist() == [1.0, 2.0]
    assert walked(noisy, 0.01, 5, {"x": data}, w=1.0) == walk


def test_it_walks_where_gradients_are_switched_off():
    with torch.no_grad():
        assert walked(parabola, 0.25, 1, w=1.0).gradients == ((-2.0,), (-1.0,))


def test_it_is_printed_as_a_table():
    rows = str(walked(bowl, 0.05, 2, x=3.0, y=2.0)).splitlines()
    assert rows[0].split() == ["step", "x", "y", "loss", "∂loss/∂x", "∂loss/∂y"]
    assert rows[1].split() == ["0", "3", "2", "26", "12", "8"]
    assert len(rows) == 4
    assert str(walked(lambda w: w**4, 0.5, 9, w=3.0)).splitlines()[-1].startswith("the walk ends")


def test_a_long_table_is_thinned():
    walk = walked(parabola, 0.1, 100, w=1.0)
    assert [line.split()[0] for line in walk.lines(40)] == ["step", "0", "40", "80", "100"]


def test_a_function_that_changes_its_input_does_not_move_the_walk():
    def loss(w):
        found = (w - 2) ** 2
        with torch.no_grad():
            w.mul_(100)
        return found

    assert walked(loss, 0.1, 4, w=1.0) == walked(parabola, 0.1, 4, w=1.0)
