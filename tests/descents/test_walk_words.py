"""What is said of a walk, held against what gradient descent on a parabola must do."""

from __future__ import annotations

import math
import re

import pytest
import torch

from autograd_viz.descents.walk_words import behaviour, here, outside, update, words
from tests.descents.test_walks import bowl, mean_squared_error, parabola, walked


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (0.1, r"The loss falls at every step, from 1 to 0\.0001329\."),
        (0.5, r"The loss falls from 1 to 0\."),
        (0.7, r"The loss falls .*; w jumps from side to side and closes in\."),
        (0.95, r"The loss falls .*; w jumps from side to side and closes in\."),
        (1.0, r"The loss stays at 1; w jumps from side to side and comes no closer\."),
        (1.05, r"The loss grows at every step, .* too large; w jumps .* and moves away\."),
        (1.3, r"The loss grows at every step, .* too large; w jumps .* and moves away\."),
    ],
)
def test_the_learning_rate_decides(rate, said):
    assert re.fullmatch(said, behaviour(walked(parabola, rate, 20, w=1.0)))


def test_an_input_that_jumps_beside_one_that_does_not():
    walk = walked(lambda x, y: x**2 / 2 + 5 * y**2, 0.18, 20, x=4.0, y=1.0)
    assert behaviour(walk).endswith("; y jumps from side to side and closes in.")
    both = walked(bowl, 0.4, 10, x=3.0, y=2.0)
    assert behaviour(both).endswith("; x and y jump from side to side and close in.")
    assert "jump" not in behaviour(walked(bowl, 0.2, 10, x=3.0, y=2.0))


def test_a_loss_that_rises_on_the_way():
    walk = walked(lambda w: w**4 - 2 * w**2 + 0.3 * w, 0.42, 3, w=0.6)
    losses = walk.losses
    rises = [k for k in range(1, 4) if losses[k] > losses[k - 1]]
    assert rises
    assert losses[-1] < losses[0]
    assert f"but rises at step{'s' * (len(rises) > 1)} {', '.join(map(str, rises))}" in behaviour(
        walk
    )


def test_divergence_to_inf():
    walk = walked(lambda w: w**4, 0.5, 20, w=3.0)
    assert behaviour(walk).startswith("The loss grows at every step, from 81 to inf")
    assert math.isinf(walk.losses[-1])


def test_a_step_in_words():
    walk = walked(mean_squared_error, 0.01, 20, w=1.0)
    assert here(walk, 3) == "step 3: w = 1.2547, loss = 2.5923, gradient = -6.9563"
    rule = "next w = w − learning rate × gradient = 1.2547 − 0.01 × (-6.9563) = 1.3242"
    assert update(walk, 3) == rule
    assert walk.points[3][0] - 0.01 * walk.gradients[3][0] == pytest.approx(1.3242, abs=1e-4)
    two = walked(bowl, 0.05, 2, x=3.0, y=2.0)
    assert here(two, 0) == "step 0: x = 3, y = 2, loss = 26, gradient = (12, 8)"
    assert update(two, 0) == "next (x, y) = (x, y) − learning rate × gradient = (2.4, 1.6)"


def test_where_a_point_is_outside():
    walk = walked(parabola, 1.1, 20, w=1.0)
    limits = (0.0, 4.0), (0.0, 4.0)
    assert outside(walk, 0, limits) == ""
    assert outside(walk, 20, limits) == "w = -36.3376 is outside to the left"
    assert outside(walk, 19, limits) == "w = 33.9480 is outside to the right"
    assert outside(walk, 3, ((0.0, 4.0), (0.0, 2.0))) == "loss = 2.9860 is outside above"
    two = walked(bowl, 0.55, 20, x=3.0, y=2.0)
    said = "x = 115.0129 is outside to the right, y = 76.6752 is outside above"
    assert outside(two, 20, limits) == said


def test_the_words_have_the_walk_as_a_table():
    walk = walked(parabola, 0.25, 3, w=1.0)
    assert words(walk, 1, ((0.0, 4.0), (0.0, 4.0))).splitlines() == [
        "Gradient descent of loss over w, learning rate 0.25",
        "step 1: w = 1.5, loss = 0.25, gradient = -1, next w = 1.75",
        "The loss falls at every step, from 1 to 0.01562.",
        *str(walk).splitlines(),
    ]
    long = words(walked(parabola, 0.01, 1000, w=1.0), 1, ((0.0, 4.0), (0.0, 4.0)))
    assert len(long.splitlines()) < 50


def test_where_the_function_has_no_value_it_is_said():
    walk = walked(lambda a: torch.log2(a), 1.0, 3, a=1.0)
    assert walk.ended.endswith("is NaN")
    assert "is NaN at step 1: the walk has left where the function has a value" in behaviour(walk)
    assert "grows" not in behaviour(walk)
