"""Answers are held against autograd, at points; what is said never is the answer itself."""

import random
import re

import numpy as np
import pytest
import torch

from autograd_viz.exercises.questions import (
    Built,
    Choice,
    Derivative,
    Function,
    Number,
    Slip,
    same,
)

CURVE = Derivative(
    name="dx",
    of=lambda x, w: torch.log(x) * w**2,
    by="x",
    inputs=("x", "w"),
    also={"square": lambda x, w: w**2},
    slips=(Slip("w**2", "The logarithm has a derivative too."),),
)
AT_POINT = Derivative(
    name="dw",
    of=lambda x, w: (w * x - 6) ** 2,
    by="w",
    inputs=("x", "w"),
    at={"x": 3.0, "w": 1.0},
    slips=(Slip(-6, "Where is x?"), Slip("2 * (w * x - 6)", "Where is x?")),
)


@pytest.mark.parametrize(
    "answer",
    ["w**2 / x", "square / x", "w * w * x**(-1)", "exp(ln(w) * 2) / x", lambda x, w: w * w / x],
)
def test_other_algebraic_forms_are_right(answer):
    assert CURVE.finding(answer).state == "right"


def test_a_wrong_formula_is_told_a_point_and_both_values():
    finding = CURVE.finding("w / x")
    assert finding.state == "wrong"
    x, w, mine, true = (
        float(part) for part in
        re.findall(r"(?:= |is )(-?[\d.]+\d)", finding.remark)
    )  # fmt: skip
    assert mine == pytest.approx(w / x, abs=1e-4)
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(torch.log(leaf) * w**2, leaf)
    assert true == pytest.approx(gradient.item(), abs=1e-4)


def test_the_points_are_the_same_each_time():
    assert CURVE.finding("w / x") == CURVE.finding("w / x")
    random.seed(1)
    before = random.random()
    random.seed(1)
    CURVE.finding("w / x")
    assert random.random() == before


def test_a_slip_is_recognised_in_any_form():
    assert CURVE.finding("w * w").remark.endswith("The logarithm has a derivative too.")
    assert AT_POINT.finding(-6).remark.endswith("Where is x?")
    assert AT_POINT.finding("w * x * 2 - 12").remark.endswith("Where is x?")


def test_at_the_exercises_own_point_a_number_is_enough():
    assert AT_POINT.finding(-18).state == "right"
    assert AT_POINT.finding("-2 * 9").state == "right"
    assert AT_POINT.finding("2 * (w * x - 6) * x").state == "right"
    assert AT_POINT.finding("w * -18").state == "wrong"  # only right at that point


def test_the_true_value_is_not_told_where_it_is_the_answer():
    assert "18" not in AT_POINT.finding(17).remark
    assert "-18" not in AT_POINT.finding("w * x").remark
    assert "at x = 3, w = 1" in AT_POINT.finding(17).remark
    assert "12.5" not in Number(name="n", true=lambda: 12.5).finding(3).remark


@pytest.mark.parametrize(("answer", "state"), [
    (0.36, "right"), (0.3607, "right"), ("1/(4 ln(2))", "right"), (torch.tensor(0.3607), "right"),
    (0.37, "wrong"), (-0.3607, "wrong"), ("x", "wrong"), (..., "unfinished"),
])  # fmt: skip
def test_numbers_may_be_rounded(answer, state):
    number = Number(name="n", true=lambda: torch.tensor(0.36067376))
    assert number.finding(answer).state == state


@pytest.mark.parametrize(("answer", "state"), [
    (None, "right"), ("none", "wrong"), (0, "wrong"), (True, "wrong"), (1, "wrong"),
    (..., "unfinished"),
])  # fmt: skip
def test_choices(answer, state):
    choice = Choice(name="c", true=lambda: None, options=(None, 0, "none", True))
    assert choice.finding(answer).state == state


@pytest.mark.parametrize(
    ("true", "options", "answers"),
    [
        (True, (True, False), [np.True_, torch.tensor(True), np.array(True)]),
        (1, (None, 1, -1, 2), [1.0, torch.tensor(1.0), np.int64(1), np.float32(1)]),
        ((2, 3), ((2, 3), (3, 2), ()), [torch.Size((2, 3)), [2, 3], np.array([2, 3])]),
        ((), ((2, 3), (3, 2), ()), [torch.Size(()), []]),
    ],
)
def test_a_choice_is_the_same_however_it_is_held(true, options, answers):
    right = Choice(name="c", true=lambda: true, options=options)
    other = Choice(name="c", true=lambda: options[options.index(true) - 1], options=options)
    for answer in answers:
        assert right.finding(answer).state == "right"
        assert other.finding(answer).state == "wrong"
        assert "give one of" in right.finding(str(answer)).remark
    assert right.finding(1 if true is True else True).state == "wrong"


def test_a_choice_that_does_not_exist_is_told_the_others():
    finding = Choice(name="c", true=lambda: "a", options=("a", "b")).finding("z")
    assert finding == ("wrong", "'z': give one of 'a', 'b'")


def buggy(w, times):
    for _ in range(times):
        (w * w).backward()
    return w.grad


def mended(w, times):
    for _ in range(times):
        w.grad = None
        (w * w).backward()
    return w.grad


LOOP = Function(
    name="loop",
    like=mended,
    given=buggy,
    arguments=lambda: [(torch.tensor(3.0, requires_grad=True), times) for times in (1, 2, 3)],
    slips=(Slip(lambda w, times: w * 2, "That is no backward pass."),),
)


def test_a_function_is_judged_by_what_it_returns():
    assert LOOP.finding(lambda w, times: 2 * w.detach()).state == "right"
    assert LOOP.finding(buggy).state == "unfinished"
    wrong = LOOP.finding(lambda w, times: w.detach())
    assert wrong == ("wrong", "for (3, 1) yours returns 3, wanted is 6.")
    assert LOOP.finding(3.0).remark.startswith("a function is wanted, and this is float")
    assert "raised ZeroDivisionError" in LOOP.finding(lambda w, times: 1 / 0).remark


def rebinding(w):
    for _ in range(2):
        (w * w).backward()
        w = w - 0.1 * w.grad  # in the second round PyTorch warns, and w.grad is None
    return w


def test_a_stub_that_raises_an_error_is_unfinished_and_another_error_is_wrong():
    def leaf():
        return torch.tensor(3.0, requires_grad=True)

    question = Function(
        name="f", like=lambda w: 1.92, given=rebinding, arguments=lambda: [(leaf(),)]
    )

    def in_place(w):
        w -= 0.1
        return w

    assert question.finding(rebinding).state == "unfinished"  # and no warning is an error here
    assert "raised RuntimeError: a leaf Variable" in question.finding(in_place).remark


def test_another_error_of_the_same_type_as_the_stubs_is_wrong():
    def overwritten(w):
        s = torch.sigmoid(w)
        s *= 2
        s.backward()

    def cut(w):
        torch.sigmoid(w).detach().backward()

    question = Function(
        name="f",
        like=lambda w: 0.09,
        given=overwritten,
        arguments=lambda: [(torch.tensor(3.0, requires_grad=True),)],
    )
    assert question.finding(overwritten).state == "unfinished"
    assert "raised RuntimeError: element 0" in question.finding(cut).remark


def test_a_function_is_judged_with_gradients_on():
    with torch.no_grad():
        assert LOOP.finding(mended).state == "right"


def test_what_was_built_is_judged_by_a_judge():
    built = Built(name="b", judge=lambda made: "" if made.grad == 2 else "the gradient is wrong")
    assert built.finding(torch.tensor(1.0)).remark.startswith("")
    assert built.finding(object()).remark.startswith("it raised AttributeError")
    assert built.finding(...).state == "unfinished"
    leaf = torch.tensor(1.0, requires_grad=True)
    (leaf * 2).backward()
    assert built.finding(leaf).state == "right"
    assert built.finding(torch.tensor(1.0)) == ("wrong", "the gradient is wrong")


@pytest.mark.parametrize(("found", "wanted", "equal"), [
    ([1, 2], (1.0, torch.tensor(2.0)), True), ([1], [1, 2], False), ({"a": 1}, {"a": 1.0}, True),
    ({"a": 1}, {"b": 1}, False), (torch.ones(2), torch.ones(2, 1), False), (None, None, True),
    (1.0, torch.ones(2), False), ("1", torch.ones(2), False), ([1.0], torch.ones(1, 1), False),
    ([[1, 2], [3, 4]], torch.tensor([[1, 2], [3, 4]]), True),
    ([torch.ones(2)], torch.ones(1, 2), True),
    (0, None, False), (True, 1, True), (1, True, False), ("a", "a", True), ("a", 1.0, False),
])  # fmt: skip
def test_results_are_compared_with_their_containers(found, wanted, equal):
    assert same(found, wanted, 1e-4) == equal
