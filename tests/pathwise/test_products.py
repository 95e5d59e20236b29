"""Paths: counted, multiplied and summed, against the lectures, PyTorch, and each path walked."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.errors import GradError, GraphFreedError, NoGraphError, NotATensorError
from autograd_viz.pathwise.data import Paths
from tests.examples import examples
from tests.test_expressions import SMOOTH, leaves_of, programs, run

paths_of: Any = av.paths  # products are numbers here and tensors there


def leaf(value):
    return torch.tensor(value, requires_grad=True)


def main_example():
    a, b = leaf(2.0), leaf(4.0)
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return {"a": a, "b": b, "c": c, "d": d, "e": e}


def of(values, output, target, **options):
    return paths_of(values[output], values[target], names=values, **options)


def walked(function, target, product=1.0):
    """The product along each path, by the lecture's recursion: it visits a node once a path."""
    if function is target:
        return [product]
    if not function.next_functions:
        return []
    slopes = function(torch.ones((), dtype=torch.float64))
    slopes = slopes if isinstance(slopes, tuple) else (slopes,)
    return [
        found
        for slope, (following, _) in zip(slopes, function.next_functions, strict=True)
        if following is not None
        for found in walked(following, target, product * slope.item())
    ]


def accumulator(tensor):
    return tensor.view_as(tensor).grad_fn.next_functions[0][0]


# The lectures


def test_two_paths_lead_from_e_to_a():
    values = main_example()
    paths = of(values, "e", "a")
    assert paths.count == 2
    assert paths.products == pytest.approx((2, 6 / math.log(2)))
    assert paths.total == pytest.approx(2 + 6 / math.log(2))
    assert paths.gradient.item() == pytest.approx(10.6562, abs=1e-4)
    assert paths.agrees
    assert [path.titles for path in paths] == [("e", "c", "a"), ("e", "d", "a")]
    assert paths[0].factors == (1, 2, 1)
    assert paths[1].factors == pytest.approx((1, 6, 1.4427), abs=1e-4)
    assert [path.written for path in paths] == ["1 * 2 * 1 = 2", "1 * 6 * 1.4427 = 8.6562"]
    assert paths[0].formula.words == "∂e/∂e · ∂e/∂c · ∂c/∂a = 1 * 2 * 1 = 2"
    assert r"\frac{\partial c}{\partial a} = 1 \cdot 2 \cdot 1 = 2" in paths[0].formula.latex
    assert paths.sum.words == "∂e/∂a = 2 + 8.6562 = 10.6562"


def test_two_paths_lead_from_e_to_b():
    paths = of(main_example(), "e", "b")
    assert paths.products == pytest.approx((2, 2.1640), abs=1e-4)
    assert paths.total == pytest.approx(4.1640, abs=1e-4)
    assert paths.agrees


def test_the_table_in_words():
    assert str(of(main_example(), "e", "a")).splitlines() == [
        "Paths from e to a: 2",
        "#  path       product",
        "1  e → c → a  1 * 2 * 1 = 2",
        "2  e → d → a  1 * 6 * 1.4427 = 8.6562",
        "∂e/∂a = 2 + 8.6562 = 10.6562, and autograd's gradient is the same.",
    ]


def test_an_intermediate_variable_and_the_output_itself():
    values = main_example()
    assert of(values, "e", "d").products == (6,)
    assert of(values, "d", "a").products == pytest.approx((2 / (2 * math.log(2)),))
    itself = of(values, "e", "e")
    assert (itself.count, itself.products, itself[0].titles) == (1, (1.0,), ("e",))
    assert itself.agrees


def test_names_come_from_the_caller():
    a = leaf(2.0)
    inner = a * 3
    outer = inner + 1
    assert paths_of(outer, a)[0].titles == ("outer", "inner", "a")
    assert paths_of(outer, "inner").products == (1,)


def test_the_chain_rule_worked():
    x = leaf(3.0)
    f = x**2
    g = torch.log(f)
    h = g + 1
    paths = paths_of(h, x)
    assert paths.count == 1
    assert paths[0].factors == pytest.approx((1, 1, 1 / 9, 6))
    assert paths.total == pytest.approx(2 / 3)
    assert paths.agrees


def test_the_examples_of_the_other_lectures():
    a, b, c = leaf(5.0), leaf(3.0), leaf(2.0)
    u = b * c
    v = a + u
    J = 3 * v
    assert [paths_of(J, one).products for one in (a, b, c)] == [(3,), (6,), (9,)]
    assert paths_of(J, b)[0].factors == (1, 3, 1, 2)

    w = leaf(1.0)
    yhat = w * 1.0
    s = yhat - 2.0
    loss = s**2
    assert paths_of(loss, w).products == (-2,)
    assert paths_of(loss, w)[0].written == "1 * (-2) * 1 * 1 = -2"

    bias = leaf(2.0)
    loss = (w * 1.0 + bias - 2.0) ** 2
    assert [paths_of(loss, one).products for one in (w, bias)] == [(2,), (2,)]

    x, y = leaf(3.0), leaf(2.0)
    z = x**2 + y**2
    t = 2 * z
    assert [paths_of(t, one).total for one in (x, y)] == [12, 8]


# Counts


def test_repeated_squaring_is_counted_exactly_and_not_walked():
    x = y = leaf(1.0)
    for _ in range(200):
        y = y * y
    paths = paths_of(y, x)  # walked, they would take longer than the universe
    assert paths.count == 2**200
    assert paths.total == float(2**200)
    assert len(paths) == 6
    assert paths.products == (1,) * 6
    assert paths.gradient.isinf()  # float32 ends at 3.4e38
    assert paths.agrees
    assert "since float32 holds no number so large" in str(paths)
    assert "1.607e+60 other paths" in str(paths)


def test_repeated_squaring_with_a_variable_a_step():
    values = {"y0": torch.tensor(1.0, dtype=torch.float64, requires_grad=True)}
    for step in range(200):
        values[f"y{step + 1}"] = values[f"y{step}"] ** 1 * values[f"y{step}"]
    paths = of(values, "y200", "y0")
    assert paths.count == 2**200
    assert paths.total == float(2**200) == paths.gradient
    assert paths.agrees
    assert len(paths[0].titles) == 201
    assert paths[0].ways == ((1, 2),) * 200
    assert len(paths[0].route) < 60


def test_counts_beyond_every_float():
    x = y = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    for _ in range(20_000):
        y = y * 0.5 + y * 0.5
    paths = paths_of(y, x)
    assert paths.count == 2**20_000
    assert paths.total == 1
    assert paths.agrees
    assert "3.980e+6020" in str(paths)
    assert "graphs of up to 500 nodes" in str(paths)


def test_a_diamond_lists_its_largest_paths():
    values = {"x": torch.tensor(1.0, dtype=torch.float64, requires_grad=True)}
    y = values["x"]
    for step in range(10):
        left, right = y * (step + 2), y * -0.5
        y = left + right
        values |= {f"left{step}": left, f"right{step}": right, f"y{step}": y}
    paths = of(values, "y9", "x")
    assert paths.count == 1_024
    best = math.factorial(11)
    # To lose least, the smallest factors are given up first: 2, then 3, then 2 and 3, ...
    expected = [best / lost for lost in (1, -4, -6, -8, -10, -12)]
    assert paths.products == pytest.approx(expected)
    assert paths.total == pytest.approx(math.prod(step + 1.5 for step in range(10)))
    assert paths.others == pytest.approx(paths.total - sum(expected))
    assert paths.agrees
    assert len(of(values, "y9", "x", most=2)) == 2
    assert of(values, "y9", "x", most=0).products == ()
    assert len(of(values, "y9", "x", most=2_000)) == 1_024


def test_each_way_from_one_variable_to_another_is_a_path():
    a = leaf(3.0)
    d = a * a + a
    paths = paths_of(d, a)
    assert paths.count == 3
    assert paths.products == (3, 3, 1)
    assert [path.ways for path in paths] == [((1, 3),), ((2, 3),), ((3, 3),)]
    assert paths[1].formula.words == "∂d/∂d · (∂d/∂a)₂ = 1 * 3 = 3"
    e = d * d
    paths = paths_of(e, a)
    assert paths.products == (36, 36, 12, 36, 36, 12)
    assert paths.total == 168
    assert paths[4].ways == ((2, 2), (2, 3))


def test_a_long_chain_does_not_recurse():
    x = y = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    for _ in range(10_000):
        y = y * 1.0001
    values = {"x": x, "y": y}
    paths = of(values, "y", "x")
    assert paths.count == 1
    assert paths.total == pytest.approx(1.0001**10_000)
    assert paths.products == pytest.approx((paths.total,))


# Against enumeration and PyTorch


@examples(100)
@given(programs(SMOOTH, most=8), st.integers(0, 2), st.sets(st.integers(3, 10)), st.integers(1, 7))
def test_any_small_graph_against_each_path_walked(program, number, named, most):
    leaves = leaves_of(0.5, 1.25, 2.0)
    values = run(program, leaves)
    assume(all(abs(value.item()) < 100 for value in values))
    y = values[-1]
    expected = walked(y.grad_fn, accumulator(leaves[number]))
    assume(len(expected) < 2_000)
    names = {f"v{place}": values[place] for place in named if place < len(values)}
    paths = paths_of(y, leaves[number], most=most, names=names)
    (gradient,) = torch.autograd.grad(y, leaves[number], allow_unused=True, retain_graph=True)
    assert paths.count == len(expected)
    if gradient is None:
        assert (paths.products, paths.total, paths.gradient) == ((), 0.0, None)
        return
    assert paths.agrees
    assert paths.total == pytest.approx(gradient.item(), rel=1e-9, abs=1e-9)
    if paths.count <= most:  # all of them, in the program's order
        assert paths.products == pytest.approx(tuple(expected), rel=1e-9, abs=1e-12)
    else:
        largest = sorted(map(abs, expected), reverse=True)[:most]
        assert [abs(p) for p in paths.products] == pytest.approx(largest, rel=1e-9, abs=1e-12)
        assert paths.others == pytest.approx(sum(expected) - sum(paths.products), abs=1e-6)
    assert len({path.edges for path in paths}) == len(paths)
    for path in paths:
        assert math.prod(path.factors) == pytest.approx(path.product)
        assert path.titles[0] == paths.output
        assert path.titles[-1] == paths.leaf
        assert len(path.factors) == len(path.titles) == len(path.ways) + 1
        links = [paths.variables.links[link] for link in path.links]
        assert [(link.source, link.target) for link in links] == list(pairwise(path.variables))


@examples(40)
@given(programs(SMOOTH, most=6), st.integers(0, 2), st.sampled_from(["sum", "mean", "norm"]))
def test_through_tensors_the_products_add_up_to_the_gradient(program, number, last):
    leaves = [torch.tensor([0.5, 1.25, 2.0], dtype=torch.float64) * scale for scale in (1, -1, 0.3)]
    leaves = [one.requires_grad_() for one in leaves]
    y = getattr(run(program, leaves)[-1], last)()
    assume(y.isfinite() and abs(y) < 1e6)
    paths = paths_of(y, leaves[number], most=50)
    (gradient,) = torch.autograd.grad(y, leaves[number], allow_unused=True)
    if gradient is None:
        assert paths.count == 0
        return
    assert paths.agrees
    torch.testing.assert_close(paths.total, gradient, rtol=1e-9, atol=1e-9)
    if paths.count <= 50:
        torch.testing.assert_close(sum(paths.products), gradient, rtol=1e-9, atol=1e-9)


# Tensors


def test_contributions_through_a_matrix_product():
    torch.manual_seed(0)
    x, W, b = torch.randn(4, 3), torch.randn(3, 2, requires_grad=True), leaf([0.1, 0.2])
    h = torch.tanh(x @ W + b)
    p = h.sum()
    q = (h * W[0]).mean()
    y = p + q
    paths = paths_of(y, W)
    assert [path.titles for path in paths] == [
        ("y", "p", "h", "W"),
        ("y", "q", "h", "W"),
        ("y", "q", "W"),
    ]
    (through_p,) = torch.autograd.grad(p, W, retain_graph=True)
    cut = h.detach().requires_grad_()
    (direct,) = torch.autograd.grad((cut * W[0]).mean(), W, retain_graph=True)
    (whole,) = torch.autograd.grad(q, W, retain_graph=True)
    for product, expected in zip(paths.products, (through_p, whole - direct, direct), strict=True):
        torch.testing.assert_close(product, expected)
        assert not product.requires_grad
    torch.testing.assert_close(paths.total, paths.gradient)
    assert paths[0].factors == (1, 1, None, None)
    assert paths.sum.words.startswith("∂y/∂W = path 1 + path 2 + path 3 = 3 × 2, norm")
    # What broadcasts is summed, as the engine does.
    assert [product.shape for product in paths_of(y, b).products] == [(2,), (2,)]
    assert paths_of(y, b).agrees


def test_an_operation_with_several_outputs():
    x = leaf([1.0, 2.0, 3.0])
    p, q, r = x.unbind()
    y = p * q + q
    paths = paths_of(y, x)
    assert [path.titles for path in paths] == [("y", "p", "x"), ("y", "q", "x"), ("y", "q", "x")]
    assert [product.tolist() for product in paths.products] == [[2, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert paths.total.tolist() == [2, 2, 0]
    assert paths_of(y, q).products == (1, 1)
    assert paths_of(y, p).products == (2,)
    assert paths_of(y, r).count == 0
    assert paths_of(y, "q").products == (1, 1)


class Doubled(torch.autograd.Function):
    """A custom Function whose backward counts its runs."""

    runs = 0

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        Doubled.runs += 1
        return grad * 2


def test_the_backward_of_a_custom_function_is_run_once_only():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    k = h * h
    z = Doubled.apply(k)
    y = z.sum()
    Doubled.runs = 0
    paths = paths_of(y, x)  # one path reaches z, so what the engine recorded is this path's
    assert Doubled.runs == 1
    assert [product.tolist() for product in paths.products] == [[18, 36], [18, 36]]
    z = Doubled.apply(x + x * x)
    w = Doubled.apply(z * z)
    y = w.sum()
    paths = paths_of(y, x, most=8)
    assert paths.count == 6
    assert paths.products == (None,) * 6  # two paths meet before the second backward
    assert paths.agrees
    assert "?" in str(paths)
    assert "a custom Function" in str(paths)


def test_a_hook_that_changes_a_gradient_is_seen():
    x = leaf(2.0)
    y = x * 3
    y.register_hook(lambda grad: grad * 10)
    z = y * 1
    paths = paths_of(z, x)
    assert (paths.total, paths.gradient.item(), paths.agrees) == (3, 30, False)
    assert "but autograd's gradient is 30" in str(paths)


# What is not a number


def test_infinite_and_undefined_factors_are_shown():
    x = leaf(0.0)
    s = torch.sqrt(x)
    t = s * s + x
    paths = paths_of(t, x)
    assert [path.written for path in paths] == [
        "1 * 0 * inf = NaN",
        "1 * 0 * inf = NaN",
        "1 * 1 = 1",
    ]
    assert math.isnan(paths.total)
    assert paths.agrees
    first = paths_of(t, x, most=1)
    assert math.isnan(first.products[0])
    y = torch.log(x)
    assert paths_of(y, x).total == math.inf
    assert paths_of(y, x).agrees


def test_overflow_in_the_sum_of_others_does_not_raise():
    x = leaf(0.0)
    y = 1 / x - 1 / (x * 2)
    paths = paths_of(y, x, most=1)
    assert math.isnan(paths.others)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_agreement_is_judged_in_the_gradients_own_data_type(dtype):
    x = torch.tensor(1.1, dtype=dtype, requires_grad=True)
    y = x
    for _ in range(20):
        y = torch.sin(y) * x + y
    assert paths_of(y, x).agrees


# What is left alone, and what is refused


def test_nothing_of_the_users_is_changed():
    values = main_example()
    values["c"].retain_grad()
    of(values, "e", "a")
    of(values, "e", "d")
    assert all(values[name].grad is None for name in "ab")
    assert values["c"].grad is None
    values["e"].backward()
    assert values["a"].grad.item() == pytest.approx(10.6562, abs=1e-4)


def test_a_leaf_that_is_not_reached():
    values = main_example()
    z = leaf(1.0)
    paths = paths_of(values["e"], z)
    assert (paths.count, paths.total, paths.products, paths.gradient) == (0, 0.0, (), None)
    assert paths.agrees
    assert "No path leads from" in str(paths)
    assert "z" in str(paths).splitlines()[0]
    assert "av.why" in str(paths)
    rebound = values["a"] * 5
    assert paths_of(values["e"], rebound).count == 0


def test_variables_of_a_trace_may_be_given():
    x = leaf([1.0, 2.0])
    y = x * x
    grad = torch.tensor([1.0, 10.0])
    paths = paths_of(av.trace(y, grad).variables(), x)
    assert paths.total.tolist() == [2, 40]
    assert [product.tolist() for product in paths.products] == [[1, 20], [1, 20]]
    values = main_example()
    variables = av.trace(values["e"], torch.tensor(3.0), names=values).variables()
    assert paths_of(variables, "a").products == pytest.approx((6, 18 / math.log(2)))
    assert paths_of(variables, values["d"]).products == (18,)
    assert paths_of(variables, "a")[0].factors[0] == 3
    opened = paths_of(variables.open("d"), "a")
    assert opened[1].titles == ("e", "d", "log2(a)", "a")
    assert paths_of(variables.details("d"), "a").count == 2


def test_variables_of_a_program_may_be_given():
    def f(x, w=(1.0, 2.0, 3.0)):
        h = x * x
        y = (h * torch.tensor(w)).sum()
        return y

    paths = paths_of(av.program(f, x=[1.0, 1.0, 2.0]).variables(), "x")
    assert [product.tolist() for product in paths.products] == [[1, 2, 6], [1, 2, 6]]
    assert paths.total.tolist() == [2, 4, 12]
    assert paths.picture().formulas


@pytest.mark.parametrize("shape", [(), (3,)])
def test_on_the_meta_device_paths_are_counted_without_values(shape):
    x = torch.ones(shape, device="meta", requires_grad=True)
    y = x * x
    z = (y + x).sum()
    paths = paths_of(z, x)
    assert paths.count == 3
    assert paths.agrees is None
    assert paths[0].titles == ("z", "y", "x")
    assert "no values (meta)" in str(paths)
    assert "Without values it cannot be compared with the gradient." in str(paths)
    assert paths.picture().svg


def test_errors_name_the_remedy():
    values = main_example()
    a, e = values["a"], values["e"]
    with pytest.raises(ValueError, match=r"'f'.*a, b, c, d, e"):
        of(values, "e", "a") and paths_of(e, "f", names=values)
    with pytest.raises(NotATensorError, match=r"av\.paths\(e, a\)"):
        paths_of(e, 2.0)
    with pytest.raises(NotATensorError, match=r"av\.paths\(loss, w\)"):
        paths_of("e", a)
    with pytest.raises(NoGraphError, match="does not require grad"):
        paths_of(e, torch.tensor(1.0))
    with pytest.raises(NoGraphError, match="no autograd graph"):
        paths_of(e.detach(), a)
    with pytest.raises(GradError, match=r"shape \[2\].*av\.paths\(y\.sum\(\), x\)"):
        paths_of(torch.stack([a, a]), a)
    with pytest.raises(ValueError, match="most=-1"):
        paths_of(e, a, most=-1)
    with pytest.raises(ValueError, match=r"av\.trace\(e\)\.variables\(\)"):
        paths_of(av.graph(e).variables(), "a")
    with pytest.raises(ValueError, match="this trace has 2"):
        paths_of(av.trace([e, a * 2]).variables(), "a")
    e.backward()
    with pytest.raises(GraphFreedError):
        paths_of(e, a)


def test_a_tensor_without_a_name_inside_of_an_expression():
    x = leaf(2.0)
    holder = [x * 3]
    y = holder[0] + 1
    with pytest.raises(ValueError, match=r'names=\{"t": t\}'):
        paths_of(y, holder[0])
    assert paths_of(y, holder[0], names={"t": holder[0]}).products == (1,)


def test_reprs_are_short():
    paths = of(main_example(), "e", "a")
    assert repr(paths) == "<2 paths from e to a>"
    assert repr(paths[0]) == "<Path e → c → a: 2>"
    assert isinstance(paths, Paths)
