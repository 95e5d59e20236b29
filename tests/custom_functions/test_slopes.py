"""Slopes by nudges: as exact as they say, at numbers of any size."""

import pytest
import torch

from autograd_viz.custom_functions.runs import Place, Run
from autograd_viz.custom_functions.slopes import nudged, sides
from autograd_viz.custom_functions.watched import Watched

SINGLE = Place(0, ())


def run(function, x):
    return Run(Watched(function), (torch.tensor(x, dtype=torch.float64),))


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (torch.sin, 0.7), (torch.exp, 20.0), (torch.log, 1e-8), (torch.log, 3e7), (torch.tan, 1.5),
        (torch.sigmoid, 40.0), (torch.square, 1e-12), (torch.square, -3e8),
        (torch.reciprocal, 1e-3), (torch.sin, 1e6),
        (torch.relu, 1e-7), (torch.relu, -1e-7), (lambda x: torch.sin(1000 * x), 0.3),
        (lambda x: x + 1e9, 2.0), (lambda x: x * 0 + 5, 2.0),
    ],
)  # fmt: skip
def test_a_slope_is_as_exact_as_it_says(function, x):
    tried = run(function, x)
    found = nudged(tried, SINGLE, tried.at)
    (true,) = torch.autograd.grad(tried.outputs[0], tried.leaves[0])
    assert found.settled.all()
    assert abs(found.slope.item() - true.item()) <= 5e-7 * abs(true.item()) + found.error.item()
    assert found.error.item() <= max(1e-5 * abs(true.item()), found.noise)


@pytest.mark.parametrize(
    ("function", "x", "kind"),
    [
        (torch.abs, 0.0, "kink"), (torch.relu, 0.0, "kink"), (lambda x: (x - 3).abs(), 3.0, "kink"),
        (lambda x: x.abs() + 1e3, 0.0, "kink"), (torch.nn.functional.leaky_relu, 0.0, "kink"),
        (torch.round, 0.5, "jump"), (torch.floor, 2.0, "jump"), (torch.sign, 0.0, "jump"),
        (torch.sqrt, 0.0, "edge"), (torch.log, 0.0, "edge"), (torch.acos, 1.0, "edge"),
        (lambda x: x.abs().sqrt(), 0.0, "steep"),
        (torch.square, 0.0, "smooth"), (torch.exp, 1.0, "smooth"), (torch.relu, 1e-9, "smooth"),
        (torch.sin, 1e6, "smooth"), (lambda x: x**3, 0.0, "smooth"),
    ],
)  # fmt: skip
def test_the_two_sides(function, x, kind):
    tried = run(function, x)
    assert sides(tried, SINGLE, 0, tried.at).kind == kind
