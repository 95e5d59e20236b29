"""Answers to the exercises of notebook 08, right ones in other forms and wrong ones."""

import math
from itertools import count

import numpy as np
import pytest

import autograd_viz as av
from autograd_viz.exercises import numpy_engine as finished
from autograd_viz.exercises.series import exercises
from tests.exercises.judging import is_solved, is_wrong


def adds(result):
    for place, one in enumerate(result.inputs):
        one.grad = one.grad + result.rules[place](result.grad)


def adds_ones(result):
    for one in result.inputs:
        one.grad += result.grad


def forgets_the_gradient(result):
    for one, rule in zip(result.inputs, result.rules, strict=True):
        one.grad += rule(1.0)


def goes_to_the_result(result):
    for one, rule in zip(result.inputs, result.rules, strict=True):
        result.grad += rule(one.grad)


def steps_in_order(order, result):
    for value in order:
        value.grad = 0.0
    result.grad = 1.0
    for value in order:
        value.backward_step()


def newest_first(result):
    """The values that a result was made from, in the reversed order of their making."""
    found, todo = {result}, [result]
    while todo:
        todo.extend(ahead := [one for one in todo.pop().inputs if one not in found])
        found.update(ahead)
    return sorted(found, key=lambda value: -value.number)


def from_the_top(result):
    """Level by level, each value when it is first met: v may come before what uses it."""
    found = [result]
    for value in found:
        found.extend(one for one in dict.fromkeys(value.inputs) if one not in found)
    return found


def engine(
    product=lambda g, x, y: (g * y, g * x),
    logarithm=lambda g, x: g / (x * math.log(2)),
    step=adds,
    order=newest_first,
    run=steps_in_order,
    number=lambda cls, other: other if isinstance(other, cls) else cls(other),
):
    """An engine like the exercise's, with some parts in another form."""
    numbers = count()

    class Value:
        def __init__(self, value, operation="", inputs=(), rules=()):
            self.value, self.grad, self.number = value, 0.0, next(numbers)
            self.operation, self.inputs, self.rules = operation, inputs, rules

        def __add__(self, other):
            y = other if isinstance(other, Value) else Value(other)
            return Value(self.value + y.value, "+", (self, y), (lambda g: g, lambda g: g))

        def __mul__(self, other):
            x, y = self, number(Value, other)
            rules = (
                lambda g: product(g, x.value, y.value)[0],
                lambda g: product(g, x.value, y.value)[1],
            )
            return Value(x.value * y.value, "*", (x, y), rules)

        def log2(self):
            rules = (lambda g: logarithm(g, self.value),)
            return Value(np.log2(self.value), "log2", (self,), rules)

        def backward_step(self):
            step(self)

        def backward(self):
            run(order(self), self)

        __radd__, __rmul__ = __add__, __mul__

    return Value


class Closures:
    """An engine in another style: each value has a step of its own, and no rules."""

    def __init__(self, value, inputs=()):
        self.value, self.grad, self.inputs = np.float64(value), np.float64(0.0), inputs
        self.backward_step = lambda: None

    def made(self, value, *inputs_and_slopes):
        out = Closures(value, tuple(one for one, _ in inputs_and_slopes))

        def backward_step():
            for one, slope in inputs_and_slopes:
                one.grad = one.grad + slope * out.grad

        out.backward_step = backward_step
        return out

    def __add__(self, other):
        other = other if isinstance(other, Closures) else Closures(other)
        return self.made(self.value + other.value, (self, 1), (other, 1))

    def __mul__(self, other):
        other = other if isinstance(other, Closures) else Closures(other)
        return self.made(self.value * other.value, (self, other.value), (other, self.value))

    def log2(self):
        return self.made(np.log2(self.value), (self, 1 / (self.value * np.log(2))))

    def backward(self):
        order = finished.topological_order(self)  # type: ignore[arg-type]  # has inputs too
        steps_in_order(order[::-1], self)

    __radd__, __rmul__ = __add__, __mul__


def once_a_path(_order, result):
    """The recursion that runs a value's step at each visit."""

    def visit(value):
        value.backward_step()
        for one in value.inputs:
            visit(one)

    for value in newest_first(result):
        value.grad = 0.0
    result.grad = 1.0
    visit(result)


def without_zeroing(order, result):
    result.grad = 1.0
    for value in order:
        value.backward_step()


def replaces(result):
    for one, rule in zip(result.inputs, result.rules, strict=True):
        one.grad = rule(result.grad)


def tanh(rule):
    def function(x):
        result = np.tanh(x.value)
        return finished.Value(result, "tanh", (x,), (lambda g: rule(g, x.value, result),))

    return function


RIGHT = [
    ("8a", {"backward_step": adds}),
    ("8b", {"order": ("L", "v", "u"), "a_grad": 30.0}),
    ("4.3", {"engine": engine()}),
    ("4.3", {"engine": engine(order=lambda result: finished.topological_order(result)[::-1])}),
    ("4.3", {"engine": Closures}),
    ("4.3", {"engine": finished.Value}),
    ("8c", {"tanh": tanh(lambda g, x, t: g / np.cosh(x) ** 2)}),
]
WRONG = [
    ("8a", {"backward_step": adds_ones}),
    ("8a", {"backward_step": forgets_the_gradient}),
    ("8a", {"backward_step": goes_to_the_result}),
    ("8b", {"order": ("L", "u", "v"), "a_grad": 48}),
    ("8b", {"order": ("u", "v", "L"), "a_grad": 24}),
    ("4.3", {"engine": engine(step=replaces)}),
    ("4.3", {"engine": engine(product=lambda g, x, y: (g * x, g * y))}),
    ("4.3", {"engine": engine(product=lambda g, x, y: (y, x))}),
    ("4.3", {"engine": engine(logarithm=lambda g, x: g / x)}),
    ("4.3", {"engine": engine(order=from_the_top)}),
    ("4.3", {"engine": engine(run=once_a_path)}),
    ("4.3", {"engine": engine(run=without_zeroing)}),
    ("4.3", {"engine": engine(number=lambda cls, other: other)}),
    ("4.3", {"engine": finished.Value(2.0)}),
    ("8c", {"tanh": tanh(lambda g, x, t: 1 - t**2)}),
    ("8c", {"tanh": tanh(lambda g, x, t: g * (1 - x**2))}),
    ("8c", {"tanh": tanh(lambda g, x, t: g * (1 - t))}),
    ("8c", {"tanh": lambda x: np.tanh(x.value)}),
    ("8c", {"tanh": lambda x: finished.Value(np.tanh(x.value))}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)


def told(**parts):
    return str(av.check("4.3", engine=engine(**parts)))


def test_what_is_wrong_in_an_engine_is_told():
    assert "a + a, with s.grad = 1: a.grad is then 1, it has to be 2" in told(step=replaces)
    swapped = told(product=lambda g, x, y: (g * x, g * y))
    assert "for L = a * b at a = 3 and b = 4: ∂L/∂a is 3, it has to be 4" in swapped
    assert "The base is 2" in told(logarithm=lambda g, x: g / x)
    assert "what does a rule do with g?" in told(product=lambda g, x, y: (y, x))
    assert "only when all that it passes on has arrived" in told(order=from_the_top)
    assert "a second one gives other gradients" in told(run=without_zeroing)
    assert "Make a Value of a number first" in told(number=lambda cls, other: other)


def test_an_engine_that_is_begun_is_told_what_is_still_to_do():
    begun = told(product=lambda g, x, y: (..., ...), run=lambda order, result: None)
    assert "so far right: backward_step, log2. Still to do: *, backward." in begun
    assert "still to do: engine" in told(step=lambda result: None)


def test_the_mended_step_and_the_solution_draw_as_the_buggy_one_does_not():
    names: dict[str, object] = {"np": np}
    exec(av.solution("4.3").code, names)  # what a reader would paste
    value: type = names["Value"]  # type: ignore[assignment]
    a = value(2.0)
    s = a + a
    assert not av.trace(s).notes
    value.backward_step = replaces  # type: ignore[attr-defined]
    b = value(3.0)
    t = (a + b) + a
    assert "+= instead of =" in av.trace(t).notes[0]
    assert "av.trace" in exercises()["8a"].hints[1]
