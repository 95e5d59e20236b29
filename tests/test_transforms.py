"""Folding by variable: names, links, local derivatives, contributions, opened variables."""

from collections import defaultdict

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.model import Slot
from tests.examples import examples
from tests.test_expressions import SMOOTH, leaves_of, programs, run


def main_example(trace=True):
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return av.trace(e) if trace else av.graph(e)


def named_links(variables):
    """Yields ((source, target), link) with the titles of both ends."""
    for link in variables.links:
        yield (variables.nodes[link.source].title, variables.nodes[link.target].title), link


def gradients(variables):
    """Returns title -> gradient that arrived, for variables with one output."""
    return {v.title: variables.trace.arrived(Slot(v.node, 0)) for v in variables.nodes}


def test_the_main_example_has_the_lectures_variables():
    variables = main_example(trace=False).variables()
    assert [(v.name, v.expression, v.is_leaf) for v in variables.nodes] == [
        ("a", "a", True),
        ("b", "b", True),
        ("c", "a + b", False),
        ("d", "log2(a) * log2(b)", False),
        ("e", "c * d", False),
    ]
    assert variables.root.name == "e"
    assert [v.id for v in variables.nodes] == [0, 1, 2, 3, 4]
    assert [link.local for link in variables.links] == [None] * 6
    assert sum(len(v.members) for v in variables.nodes) == len(variables.graph.nodes)


def test_the_main_example_has_the_lectures_local_derivatives_and_contributions():
    found = dict(named_links(main_example().variables()))
    local = {ends: round(link.local, 4) for ends, link in found.items()}
    assert local == {
        ("c", "a"): 1,
        ("c", "b"): 1,
        ("d", "a"): 1.4427,
        ("d", "b"): 0.3607,
        ("e", "c"): 2,
        ("e", "d"): 6,
    }
    brought = {ends: round(link.contribution.item(), 4) for ends, link in found.items()}
    assert brought == {
        ("c", "a"): 2,
        ("c", "b"): 2,
        ("d", "a"): 8.6562,
        ("d", "b"): 2.1640,
        ("e", "c"): 2,
        ("e", "d"): 6,
    }


def test_each_variable_is_computed_after_what_it_is_made_from():
    for link in main_example(trace=False).variables().links:
        assert link.target < link.source


@st.composite
def named_programs(draw):
    program = draw(programs(SMOOTH, most=8))
    last = len(program) + 2
    named = draw(st.sets(st.integers(3, last)))
    return program, sorted(named | {last})


@examples(150)
@given(named_programs())
def test_local_derivatives_and_contributions_of_any_program(case):
    program, named = case
    leaves = leaves_of(0.5, 1.25, 2.0)
    values = run(program, leaves)
    assume(
        all(abs(value.item()) < 100 for value in values)
    )  # so that rounding stays far below 1e-6
    names = {f"v{number}": values[number] for number in (0, 1, 2, *named)}
    variables = av.trace(values[-1], names=names).variables()
    assume(all(v.name for v in variables.nodes))  # shared unnamed values have their own test
    arrived = gradients(variables)

    def close(value):
        return pytest.approx(value, rel=1e-6, abs=1e-6)

    sums: dict[str, float] = defaultdict(float)
    for (source, target), link in named_links(variables):
        assert link.contribution is not None
        sums[target] += link.contribution.item()
        assert link.contribution.item() == close(link.local * arrived[source].item())
        # The same, independently: the other variables held fixed, what is the derivative?
        others = {int(name[1:]) for name in names if name not in (source, "v0", "v1", "v2")}
        fixed = {n: values[n].detach().requires_grad_() for n in others}
        again = run(program, leaves, fixed.items())[int(source[1:])]
        by = int(target[1:])
        (expected,) = torch.autograd.grad(again, fixed.get(by, values[by]), allow_unused=True)
        assert link.local == close(0.0 if expected is None else expected.item())
    for name, total in sums.items():
        assert total == close(arrived[name].item())
    for name, leaf in zip(("v0", "v1", "v2"), leaves, strict=True):
        (expected,) = torch.autograd.grad(values[-1], leaf, allow_unused=True, retain_graph=True)
        assert sums[name] == close(0.0 if expected is None else expected.item())


def test_a_local_derivative_leaves_out_the_way_through_a_named_variable():
    def traced():
        x = torch.tensor(3.0, requires_grad=True)
        y = x * x
        z = x * y
        return av.trace(z)

    local = {ends: link.local for ends, link in named_links(traced().variables())}
    assert local == {("y", "x"): 6, ("z", "x"): 9, ("z", "y"): 3}
    assert gradients(traced().variables())["x"].item() == 27


def test_both_arrows_of_a_square_are_one_link():
    def traced():
        h = torch.tensor(3.0, requires_grad=True)
        y = h * h
        return av.trace(y)

    (link,) = traced().variables().links
    assert len(link.arrivals) == 2
    assert link.local == 6
    assert link.contribution == 6


def test_all_paths_inside_a_variable_are_added():
    def traced():
        x = torch.tensor(2.0, requires_grad=True)
        y = torch.exp(x) * torch.sin(x) + x**3
        return av.trace(y)

    (link,) = traced().variables().links
    x = torch.tensor(2.0, dtype=torch.float64)
    steps = [torch.exp(x + h) * torch.sin(x + h) + (x + h) ** 3 for h in (1e-6, -1e-6)]
    assert link.local == pytest.approx((steps[0] - steps[1]).item() / 2e-6, rel=1e-6)


def test_an_unnamed_value_that_two_variables_share_is_a_variable():
    def traced():
        x = torch.tensor(2.0, requires_grad=True)
        holder = [x * 3]
        y = holder[0] + x
        z = holder[0] * y
        return av.trace(z)

    variables = traced().variables()
    assert [(v.name, v.title, v.expression) for v in variables.nodes] == [
        ("x", "x", "x"),
        (None, "x * 3", "x * 3"),
        ("y", "y", "x * 3 + x"),
        ("z", "z", "x * 3 * y"),
    ]
    local = {ends: link.local for ends, link in named_links(variables)}
    assert local == {
        ("x * 3", "x"): 3,
        ("y", "x"): 1,
        ("y", "x * 3"): 1,
        ("z", "x * 3"): 8,
        ("z", "y"): 6,
    }


def test_d_opened_as_on_the_lectures_slide():
    variables = main_example().variables(open="d")
    assert [v.title for v in variables.nodes] == ["a", "b", "c", "log2(a)", "log2(b)", "d", "e"]
    assert variables.opened == ("d",)
    arrived = gradients(variables)
    assert arrived["log2(a)"] == 12
    assert arrived["log2(b)"] == 6
    local = {ends: round(link.local, 4) for ends, link in named_links(variables)}
    assert local["d", "log2(a)"] == 2
    assert local["d", "log2(b)"] == 1
    assert local["log2(a)", "a"] == 0.7213
    assert local["log2(b)", "b"] == 0.3607
    assert ("d", "a") not in local


def test_the_details_of_d_are_those_of_the_lectures_slide():
    variables = main_example().variables().details("d")
    assert [v.title for v in variables.nodes] == ["a", "b", "log2(a)", "log2(b)", "d"]
    assert variables.focus == "d"
    values = variables.graph.values
    assert [values[Slot(v.node, 0)].item() for v in variables.nodes] == [2, 4, 1, 2, 2]
    assert {ends for ends, _ in named_links(variables)} == {
        ("d", "log2(a)"),
        ("d", "log2(b)"),
        ("log2(a)", "a"),
        ("log2(b)", "b"),
    }
    brought = {ends: round(link.contribution.item(), 4) for ends, link in named_links(variables)}
    assert brought["log2(a)", "a"] == 8.6562
    assert brought["log2(b)", "b"] == 2.1640
    assert variables.root.name == "d"


def test_opening_twice_and_details_of_what_is_open():
    folded = main_example().variables()
    assert folded.open("d").open("c").opened == ("d", "c")
    titles = [v.title for v in folded.details("d").nodes]
    assert [v.title for v in folded.open("d").details("d").nodes] == titles
    assert [v.title for v in folded.details("d").details("c").nodes] == ["a", "b", "c"]
    assert [v.title for v in folded.details("a").nodes] == ["a"]


@pytest.mark.parametrize("call", ["open", "details"])
def test_an_unknown_variable_is_an_error_that_lists_the_known_ones(call):
    with pytest.raises(ValueError, match=r"'f'.*a, b, c, d, e"):
        getattr(main_example().variables(), call)("f")


def test_unknown_variable_where_nothing_is_named():
    graph = av.graph(torch.ones((), requires_grad=True) * 2)
    with pytest.raises(ValueError, match="none"):
        graph.variables(open="x")


def test_variables_of_an_operation_with_several_outputs():
    def traced():
        x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        p, q, r = torch.unbind(x)
        y = p * q + q
        return r, av.trace(y)

    variables = traced()[1].variables()
    assert [(v.title, v.expression) for v in variables.nodes] == [
        ("x", "x"),
        ("p, q, r", "unbind(x)"),
        ("y", "p * q + q"),
    ]
    links = dict(named_links(variables))
    assert links["p, q, r", "x"].contribution.tolist() == [2, 2, 0]
    # p and q have a gradient each, so no single number or sum can stand for them.
    assert links["y", "p, q, r"].local is None
    assert links["y", "p, q, r"].contribution is None


def test_outputs_of_different_shapes():
    x = torch.arange(5.0, requires_grad=True)
    p, q = torch.split(x, [2, 3])
    y = p.sum() * q.sum()
    variables = av.trace(y).variables()
    assert [v.title for v in variables.nodes] == ["x", "p, q", "y"]
    contribution = variables.links[0].contribution
    assert contribution is not None
    assert contribution.tolist() == [9, 9, 1, 1, 1]


def test_a_local_derivative_between_numbers_is_known_though_the_way_leads_through_tensors():
    w = torch.tensor(2.0, requires_grad=True)
    y = (w * torch.tensor([1.0, 2.0, 3.0])).pow(2).sum()
    z = -3 * y
    local = {ends: link.local for ends, link in named_links(av.trace(z).variables())}
    assert local == {("z", "y"): -3, ("y", "w"): 56}


def test_no_local_derivative_is_made_up_where_none_is_known():
    w = torch.tensor(2.0, requires_grad=True)
    y = (w * torch.ones(3)).sum()
    z = y * 0  # 0/0 would be the quotient
    local = {ends: link.local for ends, link in named_links(av.trace(z).variables())}
    assert local == {("z", "y"): 0, ("y", "w"): None}


def test_several_outputs_share_their_variables():
    a = torch.tensor(2.0, requires_grad=True)
    c = a * a
    y1 = c * 2
    y2 = c * 5
    variables = av.trace([y1, y2]).variables()
    assert [v.title for v in variables.nodes] == ["a", "c", "y1", "y2"]
    arrived = gradients(variables)
    assert arrived["c"] == 7
    assert arrived["a"] == 28
    assert variables.root.name == "y1"


def test_an_output_inside_of_another_ones_graph():
    a = torch.tensor(2.0, requires_grad=True)
    c = a * a
    y = c * 2
    for outputs in ([y, c], [c, y], [y, y]):
        variables = av.trace(outputs).variables()
        sums = [link.contribution for _, link in named_links(variables)]
        assert all(contribution is not None for contribution in sums)
        assert {"a", "y"} <= {v.title for v in variables.nodes}


def test_a_leaf_alone_is_one_variable():
    a = torch.tensor(2.0, requires_grad=True)
    variables = av.trace(a).variables()
    assert [v.title for v in variables.nodes] == ["a"]
    assert variables.links == ()


def test_repeated_squaring_is_not_written_out():
    y = torch.tensor(1.0, requires_grad=True)
    for _ in range(200):
        y = y * y
    variables = av.trace(y).variables()
    assert len(variables.nodes) == 2
    assert len(variables.nodes[1].expression) <= 60
    assert len(variables.links[0].arrivals) == 2


def test_a_long_chain_does_not_recurse():
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + x
    variables = av.graph(y).variables()
    assert [v.title for v in variables.nodes] == ["x", "y"]
    assert len(variables.links[0].arrivals) == 20_001
