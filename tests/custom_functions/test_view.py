"""A check in words and as a picture."""

import pytest
import torch

import autograd_viz as av
from autograd_viz.picture import Picture
from autograd_viz.typeset import plain
from tests.custom_functions.functions import LAYER, SCALAR, Square, Weighted, X, squared
from tests.test_svg import Drawn, check_geometry

NOTES = [
    "The rule ran with the gradient 2 arriving, and what it gave was divided by 2.",
    "The inputs are float32; all was computed with copies in float64.",
]


def test_the_table_of_a_right_rule():
    assert str(av.check_function(Square, X)).splitlines() == [
        "Square: rule and nudge agree in 4 elements",
        "               rule  nudge",
        "∂out[0]/∂x[0]  3     3",
        "∂out[1]/∂x[1]  -4    -4",
        "In 2 further elements both are 0.",
        *NOTES,
    ]


def test_the_table_of_a_wrong_rule():
    check = av.check_function(squared(lambda x, grad: grad * 2 * x.abs()), X)
    assert str(check).splitlines() == [
        "Square: rule and nudge differ in 1 of 4 elements",
        "               rule  nudge",
        "∂out[1]/∂x[1]  4     -4     differs",
        "∂out[0]/∂x[0]  3     3",
        "The rule for x differs from the nudge in 1 of 4 elements: ∂out[1]/∂x[1] is 4 by the rule, "
        "-4 by the nudge.",
        "In 2 further elements both are 0.",
        *NOTES,
    ]
    assert repr(check) == "<FunctionCheck of Square: differs>"


def test_a_fault_beside_right_numbers_stands_in_the_title():
    check = av.check_function(squared(lambda x, grad: grad * 2 * x.detach()), SCALAR)
    assert str(check).startswith("Square: rule and nudge agree, but there is something else\n")


def test_a_long_table_is_cut_and_says_so():
    check = av.check_function(torch.cumsum, torch.rand(10), 0)
    lines = str(check).splitlines()
    assert sum(line.startswith("∂") for line in lines) == 24
    assert "31 further elements are in .rows." in lines


def drawn_of(check):
    picture = check.picture()
    assert isinstance(picture, Picture)
    return picture


def boxes(check):
    return {
        box.id: ([plain(line) for line in box.upper], box.marks) for box in drawn_of(check).boxes
    }


def test_each_rectangle_stands_twice_and_what_differs_in_alarm():
    check = av.check_function(squared(lambda x, grad: grad * 2 * x.abs()), X)
    drawn = boxes(check)
    assert drawn["function"][0] == ["Square"]
    assert drawn["rule-0-differ"] == (["rule:", "∂out[1]/∂x[1] = 4"], ("alarm",))
    assert drawn["nudge-0-differ"] == (["nudge:", "∂out[1]/∂x[1] = -4"], ("alarm",))
    assert drawn["rule-0-agree"] == (["rule:", "∂out[0]/∂x[0] = 3"], ())
    assert drawn["nudge-0-agree"] == (["nudge:", "∂out[0]/∂x[0] = 3"], ())
    arrows = {(arrow.source, arrow.target) for arrow in drawn_of(check).arrows}
    assert {("output-0", "function"), ("function", "rule-0-differ")} <= arrows
    assert ("nudge-0-differ", "input-0") in arrows


def test_what_has_no_gradient_hangs_on_the_function_by_a_dotted_line():
    check = av.check_function(Weighted, *LAYER)
    assert boxes(check)["input-3"] == (["factor = 2.0"], ("constant",))
    (arrow,) = [each for each in drawn_of(check).arrows if each.target == "input-3"]
    assert arrow.marks == ("constant",)
    assert boxes(check)["rule-0-agree"][0][-1] == "… 2 more"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("inputs", [(Square, X), (Weighted, *LAYER), (torch.abs, torch.zeros(2))])
def test_pictures_fit(inputs, theme):
    check_geometry(Drawn(av.check_function(*inputs).picture(theme=theme).svg))


def test_it_shows_itself_in_a_notebook():
    check = av.check_function(Square, X)
    bundle = check._repr_mimebundle_()
    assert bundle["text/plain"] == str(check)
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "<img" in bundle["text/html"]
