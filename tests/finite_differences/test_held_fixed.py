"""Where quotient and gradient differ, the nudge says what autograd held fixed, as it was seen."""

import pytest
import torch

import autograd_viz as av


def told(f, step=0.01, name="a", **inputs):
    nudge = av.nudge(f, name, step, **inputs)
    return [remark for remark in nudge.remarks if remark.startswith("The two differ")]


def test_detach_is_named_with_what_it_held():
    assert told(lambda a: a * a.detach(), a=2.0) == [
        "The two differ: a.detach() moves from 2 to 2.01, and autograd holds it fixed: detach lets "
        "no gradient through."
    ]


def test_a_straight_through_estimator_is_told_as_it_is():
    assert told(lambda a: a + (torch.round(a) - a).detach(), a=2.2) == [
        "The two differ: round(a) stays at 2, since round is flat between its jumps; (round(a) - "
        "a).detach() moves from -0.2 to -0.21, and autograd holds it fixed: detach lets no "
        "gradient through."
    ]


def under_no_grad(a):
    with torch.no_grad():
        b = a * 3
    return a * b


def by_item(a):
    return a * a.item()


def by_numpy(a):
    return a * float(a.detach().numpy())


def by_data(a):
    return a * a.data


def by_comparison(a):
    return a * (a > 2.005)


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (under_no_grad, "a * 3 moves from 6 to 6.03, and autograd holds it fixed: no gradient is "
         "recorded under no_grad"),
        (by_item, "a.item() moves from 2 to 2.01"),
        (by_numpy, "a.detach() moves from 2 to 2.01"),
        (by_data, "a.data moves from 2 to 2.01"),
        (by_comparison, "a > 2.005 moves from False to True"),
    ],
)  # fmt: skip
def test_each_way_out_of_the_graph_is_told(f, said):
    (remark,) = told(f, a=2.0)
    assert said in remark


def test_a_jump_is_told():
    (remark,) = told(lambda a: torch.floor(a) + a, a=2.995)
    assert "floor(a) jumps from 2 to 3 in the step" in remark


def test_a_hook_is_told_with_both_values():
    def f(a):
        b = a * 3
        b.register_hook(lambda grad: 10 * grad)
        return b * 1

    (remark,) = told(f, a=2.0)
    assert remark == "The two differ: a hook made 10 of 1."


class Lies(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 5


def test_the_backward_of_a_custom_function_is_named():
    (remark,) = told(lambda a: Lies.apply(a), a=2.0)
    assert "LiesBackward is what the author of a custom Function gives for its derivative" in remark


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a**3,  # bent over the step
        lambda a: a * 2 + 0 * a.item(),  # held, and it does not matter
        lambda a: torch.relu(a) * 2 + torch.tensor(a.item() > 0),
        lambda a: a + torch.round(a),
    ],
)
def test_nothing_is_told_where_the_two_differ_by_the_bend_alone(f):
    assert told(f, a=2.2) == []
