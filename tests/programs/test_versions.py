"""Names: versions, aliases, changes in place, and what comes from outside."""

import asyncio
import functools
from contextlib import contextmanager

import pytest
import torch

import autograd_viz as av


def drawn(program):
    """(title, expression, kind) of each variable."""
    return [(v.title, v.expression, v.kind) for v in program.variables().nodes]


def bound(program):
    """The names that each statement bound."""
    return [statement.names for statement in program.statements if statement.names]


def test_the_input_counts_as_the_first_version():
    def f(x):
        x = x * 2
        x = x + 1
        return x

    assert drawn(av.program(f, x=1.0)) == [
        ("x₁", "x₁", "leaf"),
        ("x₂", "x₁ * 2", "result"),
        ("x₃", "x₂ + 1", "result"),
    ]


def test_an_alias_is_no_new_value():
    def f(x):
        y = x
        for _ in range(2):
            y = y * x
        z = w = y
        return z + w

    assert drawn(av.program(f, x=2.0)) == [
        ("x", "x", "leaf"),
        ("y₁", "x * x", "result"),
        ("y₂", "y₁ * x", "result"),
        ("f", "y₂ + y₂", "result"),  # called as the function, since it has no name
    ]


def test_changes_in_place_are_versions_with_their_values():
    def f(x):
        y = x * 2
        y += x
        y.mul_(3)
        z = y
        z.sub_(1)
        h = x * 1
        h[0] = 5.0
        return (y + h).sum()

    program = av.program(f, x=[1.0, 2.0])
    values = {
        name: value.tolist()
        for statement in program.statements
        for name, value in zip(statement.names, statement.values, strict=False)
        if isinstance(value, torch.Tensor)
    }
    assert values == {
        "y₁": [2, 4],
        "y₂": [3, 6],
        "y₃": [9, 18],
        "z": [9, 18],
        "y₄": [8, 17],
        "h₁": [1, 2],
        "h₂": [5, 2],
    }
    named = {title: expression for title, expression, _ in drawn(program)}
    assert named["y₂"] == "y₁ + x"
    assert named["y₃"] == "y₂.mul_(3)"
    assert named["y₄"] == "y₃.sub_(1)"
    leaf = program.inputs["x"]
    expected = f(leaf)
    (grad,) = torch.autograd.grad(expected, leaf)
    ((_, found),) = program.trace().leaf_grads
    assert found is not None
    assert found.equal(grad)
    again = program.at(x=[3.0, 4.0])
    assert again._outline is program._outline
    assert [s.values[0].tolist() for s in again.statements[:2]] == [[6, 8], [9, 12]]


def test_unpacked_values():
    def f(x):
        a, b = x * 2, x * 3
        p, q = torch.unbind(torch.stack([a, b]))
        r, s = pair(x)
        (t, *_), u = (a, b), q
        return p * q + r * s + t + u

    def pair(x):
        return x + 1, x + 2

    named = {title: expression for title, expression, _ in drawn(av.program(f, x=1.0))}
    assert named == {
        "x": "x",
        "a": "x * 2",
        "b": "x * 3",
        "p, q": "unbind(stack([a, b]))",
        "r": "pair(x)[0]",
        "s": "pair(x)[1]",
        "f": "p * q + r * s + a + q",
    }


def test_a_walrus_and_what_a_loop_binds():
    def f(x):
        if (y := x * 2) > 1:
            for row in y.expand(2):
                y = y + row
        return y

    program = av.program(f, x=1.0)
    assert bound(program) == [("y₁",), ("row₁",), ("y₂",), ("row₂",), ("y₃",)]
    named = {title: expression for title, expression, _ in drawn(program)}
    assert named["y₁"] == "x * 2"
    assert named["y₃"] == "y₂ + row₂"


def test_a_long_expression_is_written_by_its_operations():
    def f(x):
        y = torch.sin(torch.sin(torch.sin(x))) + torch.cos(torch.cos(torch.cos(torch.cos(x)))) * 2
        return y

    (*_, (_, expression, _)) = drawn(av.program(f, x=1.0))
    assert len(expression) <= 60


def test_names_from_outside_are_those_of_the_source():
    weights = [torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)]
    table = {"bias": torch.tensor(1.0, requires_grad=True)}
    shift = torch.tensor(4.0)

    class Holder:
        scale = torch.tensor(9.0)

        def __init__(self):
            self.w = torch.tensor(5.0, requires_grad=True)

        @property
        def trap(self):
            raise AssertionError("a stranger's code was run")

    holder = Holder()

    def f(x):
        y = x * weights[0] + weights[1] * table["bias"]
        z = y * holder.w + shift
        if False:
            z = holder.trap
        return z

    assert [(title, kind) for title, _, kind in drawn(av.program(f, x=1.0))] == [
        ("x", "leaf"),
        ("weights[0]", "leaf"),
        ("weights[1]", "leaf"),
        ("table['bias']", "leaf"),
        ("y", "result"),
        ("holder.w", "leaf"),
        ("shift", "constant"),
        ("z", "result"),
    ]


def test_a_list_of_tensors_that_is_given():
    def f(ws):
        y = ws[0] * ws[1]
        return y

    given = [torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)]
    assert drawn(av.program(f, ws=given)) == [
        ("ws[0]", "ws[0]", "leaf"),
        ("ws[1]", "ws[1]", "constant"),
        ("y", "ws[0] * ws[1]", "result"),
    ]


def test_methods_and_callable_objects():
    class Model:
        def __init__(self):
            self.w = torch.tensor(3.0, requires_grad=True)

        def loss(self, x):
            y = self.w * x
            return y

        def __call__(self, x):
            z = self.loss(x) + 1
            return z

    model = Model()
    assert drawn(av.program(model.loss, x=2.0)) == [
        ("x", "x", "leaf"),
        ("self.w", "self.w", "leaf"),
        ("y", "self.w * x", "result"),
    ]
    named = [title for title, *_ in drawn(av.program(model, x=2.0))]
    assert named[-1] == "z"
    assert "x" in named


def test_decorators_are_looked_under():
    import functools

    def doubled(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs) * 2

        return wrapper

    @doubled
    def f(x):
        y = x * x
        return y

    program = av.program(f, x=3.0)
    assert program.outputs[0].item() == 18
    assert [s.source for s in program.statements] == ["y = x * x", "return y"]
    assert program.statements[-1].values == ()  # y is not what came back in the end
    assert drawn(program)[1:] == [("y", "x * x", "result"), ("y * 2", "y * 2", "result")]
    assert "partial" in repr(av.program(functools.partial(f), x=3.0))


def test_a_leaf_that_is_updated_is_several_values():
    def train(w, x=1.0, y=2.0):
        for _ in range(2):
            loss = (w * x - y) ** 2
            (g,) = torch.autograd.grad(loss, w)
            with torch.no_grad():
                w -= 0.1 * g
        return (w * x - y) ** 2

    program = av.program(train, w=1.0)
    assert drawn(program) == [
        ("w₁", "w₁", "unused"),
        ("x", "x", "constant"),
        ("y", "y", "constant"),
        ("loss₁", "(w₁ * x - y) ** 2", "unused"),
        ("g₁", "grad(loss₁, w₁)[0]", "unused"),
        ("w₂", "w₁ - 0.1 * g₁", "unused"),
        ("loss₂", "(w₂ * x - y) ** 2", "unused"),
        ("g₂", "grad(loss₂, w₂)[0]", "unused"),
        ("w₃", "w₃", "leaf"),
        ("train", "(w₃ * x - y) ** 2", "result"),
    ]
    variables = program.variables()
    values = [variables.values(v)[0] for v in variables.nodes if v.name in ("w₁", "w₂", "w₃")]
    assert [round(float(value), 4) for value in values if value is not None] == [1, 1.2, 1.36]
    ((_, grad),) = program.trace().leaf_grads
    assert grad is not None
    assert round(grad.item(), 4) == -1.28


def test_a_result_without_a_name_is_called_as_its_function():
    def loss(w):
        return (w - 2) ** 2

    def taken(taken):
        return taken**2

    assert drawn(av.program(loss, w=1.0))[-1] == ("loss", "(w - 2) ** 2", "result")
    assert drawn(av.program(taken, taken=1.0))[-1][0] == "taken ** 2"
    assert drawn(av.program(lambda w: w * 3, w=1.0))[-1][0] == "w * 3"


@contextmanager
def opened(value):
    yield value


def fib(a, b):
    for _ in range(2):
        a, b = b, a + b
    return a * b


def swapped(a, b):
    a, b = b, a
    return a - b


def starred(a, b):
    first, *rest = [a, b]
    a, *rest = rest
    return a + first


def walrus(a, b):
    if (c := a + b) > 0:
        c = c * 2
    return c


def chained(a, b):
    c = d = a + b
    c = c * 2
    d = e = c
    return d + e


def augmented(a, b):
    c = a * 1
    c += b
    c *= c
    return c


def looped(a, b):
    for t in (a, b):
        t = t * 2
    return t


def with_as(a, b):
    with opened(a) as t, opened(b) as u:
        t = t * u
    with opened(t) as u:
        r = u + 1
    return r


def except_as(a, b):
    try:
        raise ValueError(a)
    except ValueError as a:
        v = a.args[0] * b
    return v


def comprehension(a, b):
    t = a * 1
    s = sum(t * 2 for t in (a, b))
    return s + t


def nested(a, b):
    def square(a):
        b = a * a
        return b

    c = square(b)
    return c + a


def doubled(f):
    @functools.wraps(f)
    def both(*args, **kwargs):
        return f(*args, **kwargs) * 2

    return both


@doubled
def decorated(a, b):
    a = a + b
    return a


def matched(a, b):
    c = a * 5
    match [b, a]:
        case [c, *_]:
            e = c * 2
    return e


def awaited(a, b):
    async def inner(t):
        t = t * b
        return t

    a = asyncio.run(inner(a))
    return a


def of_numbers(a, b):
    p, q = 2.0, 3.0
    p, q = q, p
    return a * p - b * q


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (fib, ["a = b₁ = 2, b₂ = 3", "a = b₂ = 3, b₃ = 5"]),
        (swapped, ["a = b = 2, b = a = 1"]),
        (starred, ["first = 1", "a = b = 2"]),
        (walrus, ["c₁ = 3", "c₂ = 6"]),
        (chained, ["c₁ = 3, d = c₁ = 3", "c₂ = 6", "d = c₂ = 6, e = 6"]),
        (augmented, ["c₁ = 1", "c₂ = 3", "c₃ = 9"]),
        (looped, ["t = a = 1", "t₁ = 2", "t = b = 2", "t₂ = 4"]),
        (with_as, ["t = a = 1, u = b = 2", "t = 2", "u = t = 2", "r = 3"]),
        (except_as, ["v = 2"]),
        (comprehension, ["t = 1", "s = 6"]),
        (nested, ["c = 4"]),
        (decorated, ["a₂ = 3"]),
        (matched, ["c = 5", "c = b = 2", "e = 4"]),
        (awaited, ["a₂ = 2"]),
        (of_numbers, ["p = 2, q = 3", "p = q = 3, q = p = 2"]),
    ],
)
def test_each_row_tells_the_values_of_a_name_apart(function, rows):
    table = str(av.program(function, a=1.0, b=2.0)).splitlines()
    column = table[0].index("value")
    assert [line[column:] for line in table if " = " in line[column:]] == rows


def test_what_a_match_binds_is_what_its_case_means():
    assert ("e", "b * 2", "result") in drawn(av.program(matched, a=1.0, b=2.0))
