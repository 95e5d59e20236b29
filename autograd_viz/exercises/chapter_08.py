"""The exercises of notebook 08: an engine of your own."""

from collections.abc import Callable, Iterable
from itertools import permutations
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autograd_viz.exercises.answers import UnfinishedError, UnreadableError
from autograd_viz.exercises.numpy_engine import Value
from autograd_viz.exercises.questions import Built, Choice, Number, Slip, same
from autograd_viz.exercises.series import Exercise
from autograd_viz.text import number

_CLOSE = 1e-6  # relative

# 8a: one backward step


def _replaces(result: Any) -> None:
    """The step as the stub has it, bug and all."""
    for one, rule in zip(result.inputs, result.rules, strict=True):
        one.grad = rule(result.grad)


def _adds(result: Any) -> None:
    for one, rule in zip(result.inputs, result.rules, strict=True):
        one.grad += rule(result.grad)


def _after_steps(step: Callable[[Any], object]) -> Iterable[tuple[str, str, float]]:
    """What each step leaves: the case, the gradient's name, its value."""
    for text, before, arriving, slopes in (
        ("s = a + b, with s.grad = 1", 0.0, 1.0, (1.0, 1.0)),
        ("s = a + a, with s.grad = 1", 0.0, 1.0, (1.0, 1.0)),
        ("s = a + b, with s.grad = 1 and a.grad = 6 from elsewhere", 6.0, 1.0, (1.0, 1.0)),
        ("s = a * b, with s.grad = 3, a = 2, b = 4", 0.0, 3.0, (4.0, 2.0)),
    ):
        a, b = SimpleNamespace(grad=before), SimpleNamespace(grad=0.0)
        inputs = (a, a) if "a + a" in text else (a, b)
        rules = tuple(lambda g, slope=slope: g * slope for slope in slopes)
        step(SimpleNamespace(grad=arriving, inputs=inputs, rules=rules))
        yield text, "a.grad", float(a.grad)
        yield text, "b.grad", float(b.grad)


def _step_remark(step: Any) -> str:
    if not callable(step):
        raise UnreadableError("give the function's name, without parentheses")
    found = list(_after_steps(step))
    if found == list(_after_steps(_replaces)):
        raise UnfinishedError
    for (text, name, yours), (_, _, wanted) in zip(found, _after_steps(_adds), strict=True):
        if not same(yours, wanted, _CLOSE):
            return f"for {text}: {name} is then {number(yours)}, it has to be {number(wanted)}."
    return ""


# 8b: the order


def _in_order(names: str) -> float:
    """What is in a.grad after the backward steps in this order."""
    a, b = Value(2.0), Value(3.0)
    u = a * b
    v = u + a
    L = u * v
    L.grad = np.float64(1.0)
    for name in names:
        {"u": u, "v": v, "L": L}[name].backward_step()
    return float(a.grad)


def _right_order() -> tuple[str, ...]:
    a = torch.tensor(2.0, requires_grad=True)
    u = a * 3.0
    (true,) = torch.autograd.grad(u * (u + a), a)
    (order,) = (order for order in permutations("uvL") if _in_order("".join(order)) == true)
    return order


# 4.3: the engine


class Expression(NamedTuple):
    """What an engine has to differentiate."""

    text: str
    of: Callable[[Any, Any], Any]  # of two values, or two tensors
    advice: str = ""


def _log2(x: Any) -> Any:
    return x.log2()


def _lecture(a: Any, b: Any) -> Any:
    return (a + b) * (_log2(a) * _log2(b))


def _with_a_late_contribution(a: Any, b: Any) -> Any:
    u = a * b
    v = u + a
    return u * v


def _doubled(a: Any, b: Any) -> Any:
    y = a * b
    for _ in range(8):
        y = y + y
    return y


_PRODUCTS = (
    Expression("L = a * b", lambda a, b: a * b, "Which input belongs to which rule?"),
    Expression("L = a * a", lambda a, b: a * a, "Both inputs are a: both contributions count."),
)
_WITH_NUMBERS = (
    Expression("L = a * 3", lambda a, b: a * 3),
    Expression("L = 2 * a", lambda a, b: 2 * a),
    Expression("L = 1 + a", lambda a, b: 1 + a),
)
_LOGARITHM = (Expression("L = log2(a)", lambda a, b: _log2(a), "The base is 2, not e."),)
_WHOLE = (
    Expression("L = a + b", lambda a, b: a + b),
    *_PRODUCTS,
    Expression("L = (a + b) * a", lambda a, b: (a + b) * a, "a is used twice."),
    Expression("L = 2 * a + a * 3", lambda a, b: 2 * a + a * 3),
    Expression("L = (a + b) * log2(a) * log2(b)", _lecture, "a and b are used twice."),
    Expression(
        "u = a * b, v = u + a, L = u * v",
        _with_a_late_contribution,
        "Does each step run once, and only when all that it passes on has arrived?",
    ),
    Expression(
        "y = a * b, then y = y + y, 8 times",
        _doubled,
        "Each value's step has to run once, even where several arrows lead to the value.",
    ),
)
_AT = (3.0, 4.0)


def _true(expression: Expression) -> tuple[float, ...]:
    """The value, and the gradients by a and b, of PyTorch."""
    a, b = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in _AT)
    result: Tensor = expression.of(a, b)
    gradients = torch.autograd.grad(result, (a, b), allow_unused=True)
    return (result.item(), *(0.0 if one is None else one.item() for one in gradients))


def _compared(expression: Expression, found: Iterable[Any]) -> str:
    names = ("L", "∂L/∂a", "∂L/∂b")
    for name, yours, wanted in zip(names, found, _true(expression), strict=True):
        yours = float(np.asarray(yours))
        if not same(yours, wanted, _CLOSE):
            at = " and ".join(f"{x} = {number(value)}" for x, value in zip("ab", _AT, strict=True))
            told = f"{name} is {number(yours)}, it has to be {number(wanted)}."
            return f"for {expression.text} at {at}: {told} {expression.advice}".strip()
    return ""


def _one_step(engine: Any, expression: Expression) -> str:
    """What is wrong after the one backward step of an expression with one operation."""
    a, b = map(engine, _AT)
    result = expression.of(a, b)
    result.grad = 1.0
    result.backward_step()
    if remark := _compared(expression, (result.value, a.grad, b.grad)):
        return remark
    a.grad, b.grad, result.grad = 0.0, 0.0, 3.0
    result.backward_step()
    if _compared(expression, (result.value, a.grad / 3, b.grad / 3)):
        return (
            f"for {expression.text} the local derivatives are right. But when the gradient that "
            "arrives is 3 instead of 1, the same goes on: what does a rule do with g?"
        )
    return ""


def _judged_step(engine: Any) -> str:
    for text, before, arriving, wanted in (
        ("s = a + b, with s.grad = 1", 0.0, 1.0, 1.0),
        ("s = a + a, with s.grad = 1", 0.0, 1.0, 2.0),
        ("s = a + b, with s.grad = 1 and a.grad = 6 from elsewhere", 6.0, 1.0, 7.0),
        ("s = a + b, with s.grad = 3", 0.0, 3.0, 3.0),
    ):
        a, b = map(engine, _AT)
        result = a + a if "a + a" in text else a + b
        a.grad, result.grad = before, arriving
        result.backward_step()
        if a.grad == before and not b.grad:
            raise UnfinishedError
        if not same(a.grad, wanted, _CLOSE):
            found = number(float(a.grad))
            return (
                f"backward_step, for {text}: a.grad is then {found}, it has to be "
                f"{number(wanted)}. Is the contribution added?"
            )
    return ""


def _judged_product(engine: Any) -> str:
    for expression in _PRODUCTS:
        if remark := _one_step(engine, expression):
            return remark
    for expression in _WITH_NUMBERS:
        try:
            remark = _one_step(engine, expression)
        except (AttributeError, TypeError) as error:
            if "ellipsis" in str(error).lower():
                raise
            kind = type(error).__name__
            return f"{expression.text} raises {kind}: {error}. Make a Value of a number first."
        if remark:
            return remark
    return ""


def _judged_logarithm(engine: Any) -> str:
    return "".join(_one_step(engine, expression) for expression in _LOGARITHM)


def _judged_backward(engine: Any) -> str:
    for expression in _WHOLE:
        a, b = map(engine, _AT)
        result = expression.of(a, b)
        result.backward()
        if not result.grad and not a.grad:
            raise UnfinishedError
        if remark := _compared(expression, (result.value, a.grad, b.grad)):
            return remark
        result.backward()
        if _compared(expression, (result.value, a.grad, b.grad)):
            return (
                f"for {expression.text}: the first L.backward() is right, a second one gives "
                "other gradients. Which gradients have to be 0 when a backward pass begins?"
            )
    return ""


_PARTS = (
    ("backward_step", _judged_step),
    ("*", _judged_product),
    ("log2", _judged_logarithm),
    ("backward", _judged_backward),
)


def _engine_remark(engine: Any) -> str:
    """What is wrong with the reader's engine, part by part; which parts are still open."""
    if not isinstance(engine, type):
        raise UnreadableError("give the class itself: engine=Value")
    right, still = [], []
    for part, judge in _PARTS:
        try:
            remark = judge(engine)
        except UnfinishedError:
            still.append(part)
        except (AttributeError, TypeError) as error:
            if "ellipsis" not in str(error).lower():
                raise
            still.append(part)
        else:
            if remark:
                return remark
            right.append(part)
        if part == "backward_step" and still:  # nothing else can be judged without it
            raise UnfinishedError
    if still:
        return f"so far right: {', '.join(right)}. Still to do: {', '.join(still)}."
    return ""


# 8c: one operation more


def _tanh_remark(tanh: Any) -> str:
    if not callable(tanh):
        raise UnreadableError("give the function's name, without parentheses")
    for at, arriving in ((0.5, 1.0), (-1.5, 1.0), ([-1.0, 0.0, 2.0], 1.0), (0.5, 10.0)):
        x, leaf = Value(at), torch.tensor(at, dtype=torch.float64, requires_grad=True)
        result, true = tanh(x), torch.tanh(leaf)
        if not isinstance(result, Value):
            raise UnreadableError(f"return a finished.Value, not {type(result).__name__}")
        where = f"at x = {at}"
        if not same(result.value, true, _CLOSE):
            return f"{where}: the value is {result.value}, it has to be {true.tolist()}."
        if result.inputs != (x,):
            return "The inputs have to be (x,), the value itself: without it no gradient arrives."
        (result * arriving).sum().backward()
        (wanted,) = torch.autograd.grad(true.sum(), leaf)
        if same(x.grad, wanted * arriving, _CLOSE):
            continue
        if arriving != 1:
            return (
                "The local derivative is right. But when the gradient that arrives is "
                f"{number(arriving)} instead of 1, the same goes on: what does the rule do with g?"
            )
        found, shown = _rounded(x.grad), _rounded(wanted.numpy())
        return f"{where}: the gradient of x is {found}, autograd's is {shown}."
    return ""


def _rounded(values: Any) -> str:
    flat = [number(float(value)) for value in np.ravel(values)]
    return flat[0] if len(flat) == 1 else f"[{', '.join(flat)}]"


_ORDERS = tuple(permutations(("L", "u", "v")))

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="8a",
        notebook="08",
        questions=(Built(name="backward_step", judge=_step_remark),),
        hints=(
            "Follow the loop for `t = a + a`: which object is `one` in the first round, and which "
            "in the second? What happens to what the first round wrote?",
            "`av.trace(t)` runs the backward step of *your* value, if the class has it as a "
            "method (`Value.backward_step = backward_step`). Draw `t = (a + b) + a` with it, and "
            "read the note below the picture.",
        ),
        solution="""
            def backward_step(result):
                for one, rule in zip(result.inputs, result.rules):
                    one.grad += rule(result.grad)


            """,
        why="With `=` the second contribution replaces the first. Contributions that arrive at "
        "the same value add up, so the step has to add: `+=`.",
    ),
    Exercise(
        id="8b",
        notebook="08",
        questions=(
            Choice(
                name="order",
                true=_right_order,
                options=_ORDERS,
                slips=(
                    Slip(
                        ("L", "u", "v"),
                        "When u's step runs, v has not yet given u its contribution.",
                    ),
                    Slip(
                        ("u", "v", "L"),
                        "This is the order of the forward pass. At first only L has a gradient.",
                    ),
                ),
            ),
            Number(
                name="a_grad",
                true=lambda: _in_order("Luv"),
                slips=(
                    Slip(48, "This is the right gradient. Which one does the wrong order give?"),
                    Slip(24, "a gets a contribution from v, too."),
                ),
            ),
        ),
        hints=(
            "u has two arrows that come from above: one from L, one from v. u's step passes on "
            "what is in u.grad *at that moment*.",
            "Try it: `L.grad = 1.0`, then `L.backward_step()`, `u.backward_step()` and "
            "`v.backward_step()`, and look at `a.grad`.",
        ),
        solution="""
            order = ("L", "v", "u")
            a_grad = 30
            """,
        why="L gives u 8 and v 6. In the wrong order u passes on 8 · 3 = 24 to a before the 6 from "
        "v arrives, and v brings a another 6: 30. In the right order u passes on (8 + 6) · 3 = 42, "
        "and a has 48.",
    ),
    Exercise(
        id="4.3",
        notebook="08",
        questions=(Built(name="engine", judge=_engine_remark),),
        hints=(
            "Begin with `backward_step`: it is the loop of exercise 8a, with `self` in place of "
            "`result`. Then check: you are told what is right so far.",
            "A rule is the gradient that arrives, times a local derivative. For `x * y` the local "
            "derivative by `x` is the value of `y`; for the logarithm of base 2 look at the "
            "rectangles of notebook 03. And `other` becomes a Value as in `__add__`.",
            "`backward` needs a list of all values, each once, inputs before results. A function "
            "`visit(value)` that first visits the inputs and then appends the value makes it; "
            "it does nothing where the value is in the list already.",
            "With that list: set each `grad` to 0.0 and `self.grad` to 1.0; then run the steps in "
            "reversed order.",
        ),
        solution="""
            class Value:
                def __init__(self, value, operation="", inputs=(), rules=()):
                    self.value, self.grad = value, 0.0
                    self.operation, self.inputs, self.rules = operation, inputs, rules

                def backward_step(self):
                    for one, rule in zip(self.inputs, self.rules):
                        one.grad += rule(self.grad)

                def __add__(self, other):
                    y = other if isinstance(other, Value) else Value(other)
                    return Value(self.value + y.value, "+", (self, y), (lambda g: g, lambda g: g))

                def __mul__(self, other):
                    y = other if isinstance(other, Value) else Value(other)
                    rules = (lambda g: g * y.value, lambda g: g * self.value)
                    return Value(self.value * y.value, "*", (self, y), rules)

                def log2(self):
                    rules = (lambda g: g / (self.value * np.log(2)),)
                    return Value(np.log2(self.value), "log2", (self,), rules)

                def backward(self):
                    order = []

                    def visit(value):
                        if value not in order:
                            for one in value.inputs:
                                visit(one)
                            order.append(value)

                    visit(self)
                    for value in order:
                        value.grad = 0.0
                    self.grad = 1.0
                    for value in reversed(order):
                        value.backward_step()

                __radd__, __rmul__ = __add__, __mul__


            """,
        why="`visit` appends a value after its inputs, so that in reversed order each value's step "
        "runs when all contributions to it are there. To read the engine of the following cells, "
        "for arrays too: `import inspect`, then `print(inspect.getsource(finished))`.",
    ),
    Exercise(
        id="8c",
        notebook="08",
        questions=(Built(name="tanh", judge=_tanh_remark),),
        hints=(
            "What is the derivative of $\\tanh x$? It can be written with $\\tanh x$ itself.",
            "It is $1 - \\tanh^2 x$, and the rule multiplies it by the gradient `g` that arrives.",
        ),
        solution="""
            def tanh(x):
                result = np.tanh(x.value)
                return finished.Value(result, "tanh", (x,), (lambda g: g * (1 - result**2),))


            """,
        why="The local derivative is $1 - \\tanh^2 x$. All parts work on arrays element by "
        "element, so the same line serves numbers and arrays.",
    ),
)
