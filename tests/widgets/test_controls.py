import math
import re

import ipywidgets
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from autograd_viz.widgets.controls import (
    Control,
    arguments,
    beginning,
    checked,
    count_of,
    inputs_of,
    neighbours,
    on_grid,
    position_of,
    tick_of,
    value_at,
)
from autograd_viz.widgets.inputs import controls, fixed
from autograd_viz.widgets.ranges import around, coarser, step_between


def f(a, b=3.0, n: int = 2, log=torch.log2):
    return a * b**n


def one(spec, f=lambda a: a):
    (control,) = controls(f, {"a": spec})
    return control


# From what was given to controls


def test_a_number_begins_a_slider_on_its_grid():
    made = one(2.0)
    assert (made.kind, made.value, made.min, made.max, made.step) == (
        "slider",
        2.0,
        0.25,
        8.0,
        0.25,
    )


@example(0.6875)
@given(st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6))
def test_every_number_lies_on_its_own_grid(value):
    made = one(value)
    assert made.min < made.max
    assert on_grid(tick_of([made], {"a": value}))
    assert 8 <= count_of(made) <= 500
    assert made.min > 0 if value > 0 else made.min < 0 < made.max


def test_a_range_begins_at_the_default_if_that_is_inside():
    (inside,) = controls(lambda b=3.0: b, {"b": (0, 8)})
    assert inside.value == 3.0
    (outside,) = controls(lambda b=30.0: b, {"b": (0, 8)})
    assert outside.value == 4.0
    (none,) = controls(lambda b: b, {"b": (0.5, 8.0, 0.5)})
    assert none.value == 4.5
    assert (none.min, none.max, none.step) == (0.5, 8.0, 0.5)


def test_both_ends_of_a_range_and_its_start_are_on_the_grid():
    (made,) = controls(lambda b=0.7: b, {"b": (0.5, 8.0)})
    assert [on_grid(tick_of([made], {"b": value})) for value in (0.5, 0.7, 8.0)] == [True] * 3


def test_whole_numbers_stay_whole():
    made = controls(f, {"a": 1.0, "n": (1, 5)})[1]
    assert (made.min, made.max, made.step, made.value) == (1, 5, 1, 2)
    assert arguments([made], {"n": 3.0}) == {"n": 3}
    assert type(arguments([made], {"n": 3.0})["n"]) is int
    assert controls(f, {"a": 1.0, "n": 3})[1].step == 1


def test_choices():
    made = one([torch.log2, torch.log])
    assert made.options == ("log2", "log")
    assert arguments([made], {"a": "log"}) == {"a": torch.log}
    assert one([1.0, 2.0]).options == (1.0, 2.0)
    assert one(["mean", "sum"]).options == ("mean", "sum")
    pairs = one([("natural", torch.log), ("binary", torch.log2)])
    assert pairs.options == ("natural", "binary")
    assert arguments([pairs], {"a": "binary"}) == {"a": torch.log2}
    (default,) = controls(lambda a=torch.log: a, {"a": [torch.log2, torch.log]})
    assert default.value == "log"
    assert one([1, True]).options == (1, True)
    assert position_of(one([1, True]), True) == 1


def test_a_bool_is_a_checkbox():
    made = one(True)
    assert (made.kind, made.value, made.json) == (
        "checkbox",
        True,
        {"name": "a", "kind": "checkbox", "value": True},
    )


def test_a_vector_has_a_slider_for_each_element():
    made = controls(lambda a: a, {"a": torch.tensor([1.0, -2.0, 0.1], requires_grad=True)})
    assert [(each.name, each.value) for each in made] == [
        ("a[0]", 1.0),
        ("a[1]", -2.0),
        ("a[2]", 0.1),
    ]
    given = arguments(made, {"a[1]": 5.0})["a"]
    assert given.tolist() == torch.tensor([1.0, 5.0, 0.1]).tolist()
    assert given.requires_grad
    assert not arguments(controls(lambda a: a, {"a": torch.ones(2)}), {})["a"].requires_grad
    array = arguments(controls(lambda a: a, {"a": np.array([1, 2])}), {})["a"]
    assert (array.tolist(), array.dtype, array.requires_grad) == ([1.0, 2.0], torch.float32, True)
    whole = controls(lambda a: a, {"a": torch.tensor([1, 2])})
    assert arguments(whole, {"a[0]": 3})["a"].tolist() == [3, 2]
    scalar = controls(lambda a: a, {"a": torch.tensor(0.1, dtype=torch.float64)})
    assert [each.name for each in scalar] == ["a"]
    assert arguments(scalar, {})["a"].dtype == torch.float64
    assert one(np.float32(2.0)).value == 2.0


def test_ipywidgets():
    slider = ipywidgets.FloatSlider(value=2.0, min=0.5, max=8.0, step=0.5)
    made = one(slider)
    assert (made.value, made.min, made.max, made.step, made.linked) == (2.0, 0.5, 8.0, 0.5, slider)
    assert one(ipywidgets.IntSlider(3, 0, 9)).step == 1
    assert one(ipywidgets.Checkbox(value=True)).kind == "checkbox"
    menu = one(ipywidgets.Dropdown(options=[("two", 2.0), ("three", 3.0)], value=3.0))
    assert (menu.options, menu.value) == (("two", "three"), "three")
    logarithmic = one(ipywidgets.FloatLogSlider(value=10, base=10, min=-1, max=2))
    assert (logarithmic.min, logarithmic.max) == (0.1, 100.0)
    constant = object()
    given = {"a": 1.0, "b": ipywidgets.fixed(constant)}
    assert [each.name for each in controls(f, given)] == ["a"]
    assert fixed(given) == {"b": constant}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            (2.0, 1.0),
            "min is not below max; give the smaller one first: av.explore(f, a=(1.0, 2.0))",
        ),
        ((1.0, 1.0), "give the smaller one first: av.explore(f, a=(1.0, 2.0))"),
        ((0.0, 1.0, 0.0), "the step is not above 0; give one such as 0.025"),
        ((0.0, 1.0, -1), "av.explore(f, a=(0.0, 1.0, 0.025))"),
        ((0.0, 1.0, 2.0), "the step is larger than the whole range"),
        ((1.0, 2.0, 3.0, 4.0), "a tuple of 4; give (min, max) or (min, max, step)"),
        (("x", "y"), "min of a is 'x', which is no number"),
        ([], "an empty list; give choices: av.explore(f, a=[1.0, 2.0])"),
        ([1.0, 1.0], "two of the choices for a are shown as 1.0; name them apart"),
        (torch.ones(9), "has 9 elements; a slider an element is for 1 to 8"),
        (torch.ones(0), "has 0 elements"),
        (torch.ones(2, device="meta"), "no values that a slider could begin at (device meta)"),
        (torch.ones(2, 2), "a tensor of shape [2, 2]; sliders are for real numbers"),
        (math.nan, "the value of a is nan; give a finite number: av.explore(f, a=2.0)"),
        ("log", "a was given as a str; give a number, (min, max)"),
        (None, "ipywidgets.fixed(...)"),
        (ipywidgets.FloatRangeSlider(), "a was given as a FloatRangeSlider"),
    ],
)
def test_errors_teach(spec, words):
    with pytest.raises((TypeError, ValueError)) as raised:
        controls(f, {"a": spec})
    assert words in str(raised.value)


def test_unknown_and_missing_inputs():
    with pytest.raises(TypeError, match=r"no input 'c'.*av\.explore\(f, a=2\.0\)"):
        controls(f, {"a": 2.0, "c": 1.0})
    with pytest.raises(TypeError, match=r"no value is given for 'a'"):
        controls(f, {"b": 2.0})
    with pytest.raises(ValueError, match=r"annotated int, but the value of it is 2\.5"):
        controls(f, {"a": 1.0, "n": 2.5})


# Ticks


CONTROLS = [
    Control("a", "slider", 2.0, 0.5, 4.0, 0.5),
    Control("kind", "choice", "log", options=("log2", "log"), means=(torch.log2, torch.log)),
    Control("on", "checkbox", False),
]


def test_ticks_as_in_explorer_js():
    assert tick_of(CONTROLS, {"a": 0.5, "kind": "log2", "on": True}) == "0|0|1"
    assert tick_of(CONTROLS, {}) == "3|1|0"
    assert tick_of(CONTROLS, {"a": 0.333}) == "=0.333|1|0"
    assert tick_of(CONTROLS, {"a": 2.0 + 1e-8}) == "3|1|0"
    assert [tick_of(CONTROLS[:1], {"a": value}) for value in (5, 1e-7, 1e21, 1e20, -2.5, 0.0)] == [
        "=5",
        "=1e-7",
        "=1e+21",
        "=100000000000000000000",
        "=-2.5",
        "=0",
    ]


@given(st.tuples(st.integers(0, 7), st.integers(0, 1), st.integers(0, 1)))
def test_a_tick_leads_to_inputs_and_back(positions):
    tick = "|".join(map(str, positions))
    inputs = inputs_of(CONTROLS, tick)
    assert tick_of(CONTROLS, inputs) == tick
    assert checked(CONTROLS, inputs) == inputs


def test_values_on_the_grid_are_short():
    control = Control("a", "slider", 0.0, 0.0, 1.0, 0.1)
    assert [value_at(control, place) for place in (3, 6, 7)] == [0.3, 0.6, 0.7]
    assert count_of(control) == 11


def test_neighbours_come_nearest_first_and_once():
    found = list(neighbours(CONTROLS, beginning(CONTROLS)))
    assert found[:3] == ["4|1|0", "2|1|0", "3|0|0"]
    assert len(found) == len(set(found))
    assert tick_of(CONTROLS, beginning(CONTROLS)) not in found
    assert all(inputs_of(CONTROLS, tick) for tick in found)
    assert list(neighbours([], {})) == []


def test_inputs_are_checked():
    assert checked(CONTROLS, {"kind": torch.log2}) == {"kind": "log2"}
    assert checked(CONTROLS, {"a": torch.tensor(3.0)}) == {"a": 3.0}
    vector = controls(lambda x: x, {"x": torch.ones(2)})
    assert checked(vector, {"x": [3.0, 4.0]}) == {"x[0]": 3.0, "x[1]": 4.0}
    for wrong, words in [
        ({"c": 1.0}, "no input 'c'; the inputs are 'a', 'kind', 'on'"),
        ({"a": "2"}, "a is a slider, but was given '2'; give a number"),
        ({"a": True}, "give a number"),
        ({"a": math.inf}, "give a number"),
        ({"kind": "ln"}, "kind cannot be 'ln'; give one of 'log2', 'log'"),
        ({"on": 1}, "give True or False"),
        (3.0, "inputs is of type float; give a dictionary"),
    ]:
        with pytest.raises(ValueError, match=re.escape(words)):
            checked(CONTROLS, wrong)
    with pytest.raises(ValueError, match="x has 2 elements"):
        checked(vector, {"x": [1.0]})


# Ranges


def test_ranges():
    assert around(-3) == (-9.0, 3.0, 0.25)
    assert around(5, whole=True) == (1, 20, 1)
    assert step_between(0, 10, whole=True) == 1
    assert step_between(0.0, 10.0) == 0.25
    assert coarser(0.25, 1.01) == 0.5
    assert coarser(1, 1.01, whole=True) == 2
    assert coarser(2, 1.01, whole=True) == 5
