"""Constants and unused results: which are drawn, and what they are made from."""

import torch

import autograd_viz as av


def drawn(program):
    return [(v.title, v.expression, v.kind) for v in program.variables().nodes]


def links(program):
    variables = program.variables()
    titles = [v.title for v in variables.nodes]
    return [(titles[link.source], titles[link.target]) for link in variables.links]


def test_constants_that_take_part_are_drawn_and_others_are_not():
    def f(x, k=3.0, unused=5.0, n: int = 2):
        m = k * 2
        other = 7.0  # noqa: F841
        y = x**n + m
        return y

    program = av.program(f, x=2.0)
    assert drawn(program) == [
        ("x", "x", "leaf"),
        ("k", "k", "constant"),
        ("n", "n", "constant"),
        ("m", "k * 2", "constant"),
        ("y", "x ** n + m", "result"),
    ]
    assert links(program) == [("m", "k"), ("y", "x"), ("y", "n"), ("y", "m")]


def test_literals_and_options_are_not_drawn():
    def f(x, dim=0, start=1):
        y = (2 * x).sum(dim=dim) + x[start] - 1
        return y

    assert drawn(av.program(f, x=[1.0, 2.0])) == [
        ("x", "x", "leaf"),
        ("y", "(2 * x).sum(dim=dim) + x[start] - 1", "result"),
    ]


def test_what_was_cut_off_is_a_constant_made_from_its_source():
    def f(x):
        d = x.detach()
        s = x.item()
        with torch.no_grad():
            m = x * 5
        y = x * d * s * m
        return y

    program = av.program(f, x=2.0)
    assert drawn(program) == [
        ("x", "x", "leaf"),
        ("d", "x.detach()", "constant"),
        ("s", "x.item()", "constant"),
        ("m", "x * 5", "constant"),
        ("y", "x * d * s * m", "result"),
    ]
    assert links(program) == [
        ("d", "x"),
        ("s", "x"),
        ("m", "x"),
        ("y", "x"),
        ("y", "d"),
        ("y", "s"),
        ("y", "m"),
    ]
    variables = program.variables()
    assert [v.value.item() for v in variables.nodes if v.value is not None] == [2, 2, 10]
    moved = program.at(x=3.0).variables()
    assert [v.value.item() for v in moved.nodes if v.value is not None] == [3, 3, 15]


def test_an_inline_constant_leads_to_the_names_behind_it():
    def f(x, p, q):
        y = x * (p + q * torch.tensor(2.0))
        return y

    program = av.program(f, x=2.0, p=torch.tensor(1.0), q=torch.tensor(3.0))
    assert links(program) == [("y", "x"), ("y", "p"), ("y", "q")]


def test_unused_results_and_inputs():
    def f(x, w):
        lost = w * x
        deeper = lost + 1  # noqa: F841
        noise = torch.rand(3)  # noqa: F841
        y = x * 2
        return y

    program = av.program(f, x=2.0, w=3.0)
    assert drawn(program) == [
        ("x", "x", "leaf"),
        ("w", "w", "unused"),
        ("lost", "w * x", "unused"),
        ("deeper", "lost + 1", "unused"),
        ("y", "x * 2", "result"),
    ]
    assert links(program) == [("lost", "x"), ("lost", "w"), ("deeper", "lost"), ("y", "x")]
    assert [v.node is None for v in program.variables().nodes] == [False, True, True, True, False]


def test_the_number_goes_to_the_operation_that_takes_it():
    def f(w, x=3.0, y=2.0):
        z = torch.sin(w * x) + y
        return z

    opened = av.program(f, w=1.0).variables(open="z")
    titles = [v.title for v in opened.nodes]
    found = [(titles[link.source], titles[link.target]) for link in opened.links]
    assert ("w * x", "x") in found
    assert ("z", "y") in found
    assert ("z", "x") not in found
    assert ("sin(w * x)", "x") not in found


def test_constants_alone():
    def f(x, y):
        z = x * 2 + y
        return z

    program = av.program(f, x=torch.tensor(1.0), y=torch.tensor(2.0))
    assert [(v.title, v.kind) for v in program.variables().nodes] == [
        ("x", "constant"),
        ("y", "constant"),
        ("z", "constant"),
    ]
    assert links(program) == [("z", "x"), ("z", "y")]


def test_ids_are_positions_and_results_come_after_what_they_are_made_from():
    def f(x, k=2.0):
        h = [x * k for _ in range(3)]
        total = sum(h)
        lost = total * k  # noqa: F841
        return total * k + h[0]

    variables = av.program(f, x=1.0).variables()
    assert [v.id for v in variables.nodes] == list(range(len(variables.nodes)))
    assert all(link.target < link.source for link in variables.links)
    assert len(set(variables.links)) == len(variables.links)


def expressions(f, **inputs):
    nodes = av.program(f, **inputs).trace().variables().nodes
    return [node.expression for node in nodes if node.node is not None and not node.is_leaf]


def chosen(a, b):
    y = torch.where(a > b, a * b, a / b)
    z = torch.where(a <= b, y, b) + (a != b) * a
    return z * 2


def written(x):
    y = x.clone()
    y[0] = x[1] * x[2]
    y[1:] *= 2
    y[x > 2] = 0
    return y[0] * y[-1] + y[:2].sum()


def test_the_trace_of_a_program_says_what_the_source_says():
    assert expressions(chosen, a=2.0, b=3.0) == [
        "where(a > b, a * b, a / b)",
        "where(a <= b, y, b) + (a != b) * a",
        "z * 2",
    ]
    assert expressions(written, x=[1.0, 2.0, 3.0]) == [
        "x.clone()",
        "y₁ with [0] = x[1] * x[2]",
        "y₂ with [1:] *= 2",
        "y₃ with [x > 2] = 0",
        "y₄[0] * y₄[-1] + y₄[:2].sum()",
    ]


def test_a_long_expression_is_cut_in_its_middle():
    def f(x):
        y = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2 + torch.sin(x[0]) * torch.cos(x[1])
        return y

    (said,) = expressions(f, x=[1.0, 2.0])
    assert said.startswith("(1 - x[0]) ** 2 + 100 * (x[1]")
    assert "…" in said
    assert len(said) <= 60
