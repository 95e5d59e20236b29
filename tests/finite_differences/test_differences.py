"""Finite differences: the lecture's numbers, what moves, and the error by step size."""

import sys
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.errors import GradError, NoGraphError
from autograd_viz.picture import Picture
from autograd_viz.typeset import plain
from tests.examples import examples
from tests.test_expressions import SMOOTH, programs, run
from tests.test_svg import Drawn, check_geometry


def lecture(a, b, c):
    u = b * c
    v = a + u
    J = 3 * v
    return J


def main_example(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


def vectors(x, W=None):
    weights = torch.ones(2, 3) if W is None else W
    h = weights @ x
    p, q = h.unbind()
    y = torch.relu(p) * q.exp()
    return y


def of_lecture(name, step=0.001, f=lecture):
    return av.nudge(f, name, step, a=5.0, b=3.0, c=2.0)


def rows(nudge):
    return {row.name: row for row in nudge.rows}


# The lecture's numbers


def test_nudging_b():
    nudge = of_lecture("b")
    after = {row.name: row.after.item() for row in nudge.rows}
    assert after == pytest.approx(
        {"a": 5, "b": 3.001, "c": 2, "u": 6.002, "v": 11.002, "J": 33.006}
    )
    before = {row.name: row.before.item() for row in nudge.rows}
    assert before == {"a": 5, "b": 3, "c": 2, "u": 6, "v": 11, "J": 33}
    assert {row.name for row in nudge.rows if row.moves} == {"b", "u", "v", "J"}
    assert nudge.quotient == pytest.approx(6, abs=2e-3)
    assert nudge.gradient == 6
    assert (nudge.output, nudge.name, nudge.step) == ("J", "b", 0.001)


def test_the_table_in_words():
    assert str(of_lecture("b")).splitlines() == [
        "J as b moves by 0.001",
        "variable  before  after   change     change / step",
        "a         5       5       0          0",
        "b         3       3.001   +0.001     1",
        "c         2       2       0          0",
        "u         6       6.002   +0.002000  1.9999",
        "v         11      11.002  +0.002000  1.9999",
        "J         33      33.006  +0.006001  6.0005",
        "ΔJ/Δb = 0.0060005/0.001 = 6.0005, and the gradient is ∂J/∂b = 6",
    ]


@pytest.mark.parametrize("name", ["a", "b", "c", "u", "v"])
@pytest.mark.parametrize("step", [0.1, -0.01, 0.001, 2e-4])
def test_what_is_moved_moves_by_the_step_and_its_picture_says_so(name, step):
    nudge = of_lecture(name, step)
    *_, change, quotient = rows(nudge)[name].texts
    assert (float(change), quotient) == (step, "1")
    picture = nudge.picture()
    assert isinstance(picture, Picture)
    assert f"Δ{name} = {step:g}" in [
        plain(line) for box in picture.boxes for line in box.lower or ()
    ]


def test_a_step_that_the_data_type_cannot_make_is_shown_as_it_was_made():
    half = torch.tensor(3.0, dtype=torch.bfloat16, requires_grad=True)
    assert rows(av.nudge(lambda x: x * 2, "x", 0.01, x=half))["x"].texts == (
        "3",
        "3.0156",
        "+0.01562",
        "1.5625",
    )
    coarse = rows(av.nudge(lambda x: x * 2, "x", 0.001, x=10_000.0))["x"].texts
    assert coarse[1:] == ("10000.00098", "+0.0009766", "0.9766")


def test_the_step_of_one_element_among_many():
    threes = torch.full((2, 3), 3.0, requires_grad=True)
    nudge = av.nudge(lambda x: (x * x).sum(), "x[1, 2]", 0.001, x=threes)
    assert rows(nudge)["x"].texts == ("2 × 3", "1 of 6 move", "at most 0.001", "at most 1")


def test_nudging_u_which_the_function_computes():
    nudge = of_lecture("u")
    after = {row.name: row.after.item() for row in nudge.rows}
    assert after == pytest.approx({"a": 5, "b": 3, "c": 2, "u": 6.001, "v": 11.001, "J": 33.003})
    assert nudge.quotient == pytest.approx(3, abs=2e-3)
    assert nudge.gradient == 3
    assert {row.name for row in nudge.rows if row.moves} == {"u", "v", "J"}
    itself = of_lecture("J")
    assert itself.quotient == pytest.approx(1, abs=3e-3)
    assert itself.gradient == 1


def test_in_float64_the_quotient_is_as_exact_as_one_sees():
    exact = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in {"a": 5.0, "b": 3.0, "c": 2.0}.items()
    }
    nudge = av.nudge(lecture, "b", 0.001, **exact)
    assert nudge.formula.words == "ΔJ/Δb = 0.006/0.001 = 6.0000"
    assert r"\frac{0.006}{0.001} = 6.0000" in nudge.formula.latex
    assert nudge.gradient_formula.words == "∂J/∂b = 6"
    assert exact["b"].item() == 3
    assert exact["b"].grad is None


def test_the_main_example():
    nudge = av.nudge(main_example, "a", a=2.0, b=4.0)
    assert nudge.gradient == pytest.approx(10.6562, abs=1e-4)
    assert nudge.quotient == pytest.approx(10.6562, abs=5e-3)
    assert nudge.quotient != nudge.gradient


# What can be nudged


@examples(50)
@given(programs(SMOOTH, most=6), st.sampled_from("abc"))
def test_any_program_in_float64(program, name):
    inputs = {"a": 0.5, "b": 1.25, "c": 2.0}
    tensors = {
        k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in inputs.items()
    }

    def f(a, b, c):
        return run(program, [a, b, c])[-1]

    value = f(**tensors)
    assume(value.isfinite() and abs(value) < 100)
    gradients = torch.autograd.grad(value, list(tensors.values()), allow_unused=True)
    expected = dict(zip(inputs, gradients, strict=True))[name]
    nudge = av.nudge(f, name, 1e-6, **tensors)
    if expected is None:
        assert nudge.difference == 0
        assert not nudge.gradient
    else:
        assert nudge.gradient == pytest.approx(expected.item())
        assert nudge.quotient == pytest.approx(expected.item(), rel=1e-2, abs=1e-2)


def test_elements_of_vectors_and_matrices():
    nudge = av.nudge(vectors, "x[1]", 0.01, x=[0.1, 0.2, 0.3])
    assert rows(nudge)["x"].texts == (
        "[0.1, 0.2, 0.3]",
        "[0.1, 0.21, 0.3]",
        "[0, +0.01, 0]",
        "[0, 1, 0]",
    )
    assert nudge.gradient == pytest.approx(2.9154, abs=1e-3)
    assert nudge.quotient == pytest.approx(nudge.gradient, rel=0.02)
    assert {"p", "q"} <= {row.name for row in nudge.rows if row.moves}
    W = torch.ones(2, 3, requires_grad=True)
    nudge = av.nudge(vectors, "W[1, -1]", 0.01, x=[0.1, 0.2, 0.3], W=W)
    assert rows(nudge)["W"].texts[:2] == ("2 × 3", "1 of 6 move")
    assert not rows(nudge)["p"].moves
    assert rows(nudge)["q"].moves
    assert W[1, 2] == 1
    nudge = av.nudge(vectors, "h[0]", 0.01, x=[0.1, 0.2, 0.3])
    assert {row.name for row in nudge.rows if row.moves} == {"h", "p", "y"}


def test_a_name_that_is_bound_twice():
    def f(x):
        z = x * 2
        z = z * z
        y = z + x
        return y

    nudge = av.nudge(f, "z₁", 0.01, x=3.0)
    assert (nudge.gradient, nudge.quotient) == pytest.approx((12, 12), rel=0.01)
    assert av.nudge(f, "z₂", 0.01, x=3.0).gradient == 1
    with pytest.raises(ValueError, match="x, z₁, z₂, y"):
        av.nudge(f, "z", 0.01, x=3.0)


def test_an_input_that_the_output_does_not_need():
    def f(x, unused):
        y = x * x
        return y

    nudge = av.nudge(f, "unused", x=3.0, unused=1.0)
    assert (nudge.difference, nudge.gradient) == (0, None)
    assert "autograd brings no gradient to unused" in str(nudge)


def test_random_numbers_are_the_same_in_both_runs():
    def f(x):
        noise = torch.rand(())
        y = x * noise
        return y

    torch.manual_seed(3)
    before = torch.get_rng_state()
    nudge = av.nudge(f, "x", 0.5, x=2.0)
    assert nudge.quotient == pytest.approx(nudge.gradient)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_branch_after_the_step():
    def f(x):
        y = -x
        if x > 2:
            y = x * 10
        return y

    nudge = av.nudge(f, "x", 0.5, x=2.0)
    assert "other statements" in str(nudge)
    assert nudge.difference == pytest.approx(27)


def test_a_function_without_source():
    nudge = av.nudge(torch.sigmoid, "input", 0.001, input=0.0)
    assert nudge.gradient == 0.25
    assert nudge.quotient == pytest.approx(0.25, abs=1e-3)


def test_a_step_below_the_rounding_is_said():
    nudge = of_lecture("a", 1e-7)
    assert nudge.difference == 0
    assert "lost in rounding: float32 has no number so near to 5" in str(nudge)
    assert not any(row.moves for row in nudge.rows)


# Errors


@pytest.mark.parametrize("step", [0, 0.0, float("nan"), float("inf")])
def test_a_step_must_be_a_small_number(step):
    with pytest.raises(ValueError, match=r"av\.nudge\(f, 'b', 0\.001\)"):
        of_lecture("b", step)


def power(x, n: int):
    return x**n


def test_errors_name_the_remedy():
    with pytest.raises(TypeError, match="the step is of type str"):
        of_lecture("b", "0.1")
    with pytest.raises(TypeError, match="named by a string, not by a float"):
        av.nudge(lecture, 3.0, 0.001, a=5.0, b=3.0, c=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no variable 'w'; what can be nudged: a, b, c, u, v, J"):
        of_lecture("w")
    with pytest.raises(ValueError, match=r"x has shape \[3\].*'x\[0\]'"):
        av.nudge(vectors, "x", x=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"no x\[3\]: x has shape \[3\]; .*'x\[0\]'"):
        av.nudge(vectors, "x[3]", x=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"no b\[0\]: b is a single number"):
        of_lecture("b[0]")
    with pytest.raises(ValueError, match=r"device meta.*x=torch\.ones\(\[3\]\)"):
        av.nudge(lambda x: (x * x).sum(), "x[0]", x=torch.ones(3, device="meta"))
    with pytest.raises(ValueError, match="is no name"):
        of_lecture("b[")
    with pytest.raises(ValueError, match="p shares its memory"):
        av.nudge(vectors, "p", x=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="weights' takes part as a constant"):
        av.nudge(vectors, "weights", x=[0.1, 0.2, 0.3])
    with pytest.raises(TypeError, match=r"give a float: n=2\.0"):
        av.nudge(power, "n", x=3.0, n=2)
    with pytest.raises(GradError, match=r"return y\.sum\(\)"):
        av.nudge(lambda x: x * 2, "x[0]", x=[1.0, 2.0])
    with pytest.raises(NoGraphError, match="no autograd graph"):
        av.nudge(lambda x: x * 2, "x", x=torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"'c'; .*av\.nudge\(lecture, 'b', 0\.001, a=5\.0, b=3\.0"):
        av.nudge(lecture, "b", a=5.0, b=3.0)


# The error by step size


def test_the_error_falls_and_in_float32_rises_again():
    errors = av.nudge(main_example, "a", a=2.0, b=4.0).errors()
    single, double = errors.errors["float32"], errors.errors["float64"]
    assert errors.gradient == pytest.approx(10.656170245)
    least = min(range(len(single)), key=single.__getitem__)
    assert 1e-5 < errors.steps[least] < 1e-2
    assert single[least] < single[0] / 100  # a step of 1
    lost = [error for step, error in zip(errors.steps, single, strict=True) if step < 1e-8]
    assert lost
    assert lost == pytest.approx([errors.gradient] * len(lost))  # 2 + step is 2
    # float64 goes on to fall in proportion to the step where float32 has long turned.
    at = dict(zip(errors.steps, double, strict=True))
    assert at[1e-6] == pytest.approx(at[1e-4] / 100, rel=0.05)
    assert min(double) < 1e-6 < 1e-5 < min(single)
    assert double[-1] > 100 * min(double)


def test_the_floor_bounds_the_error_in_float32():
    errors = av.nudge(lecture, "b", a=5.0, b=3.0, c=2.0).errors()
    # J is linear in b: all of the error is rounding.
    for step, error in zip(errors.steps, errors.errors["float32"], strict=True):
        if step > 1e-6:
            assert error <= 2 * errors.floor(step)
    assert errors.floor(0.001) == pytest.approx(33 * 2**-23 / 0.001)


def test_errors_at_given_steps_and_of_intermediate_values():
    nudge = av.nudge(lambda x: x**3, "x", x=2.0)
    errors = nudge.errors([0.1, -0.1])
    assert errors.errors["float64"] == pytest.approx((0.61, 0.59))  # 3 x h + h^2
    errors = of_lecture("u").errors([0.5])
    assert errors.gradient == 3
    assert errors.errors["float64"] == pytest.approx((0,), abs=1e-12)
    with pytest.raises(ValueError, match="the step is 0"):
        nudge.errors([0.1, 0.0])


def test_a_function_that_knows_one_data_type_only():
    linear = torch.nn.Linear(2, 1)

    def f(x):
        y = linear(x).sum()
        return y

    errors = av.nudge(f, "x[0]", x=[1.0, 2.0]).errors()
    assert set(errors.errors) == {"float32"}
    assert errors.gradient == pytest.approx(linear.weight[0, 0].item())
    assert linear.weight.grad is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_plot_shows_the_data(theme):
    nudge = av.nudge(main_example, "a", a=2.0, b=4.0)
    errors = nudge.errors()
    figure = nudge.error_plot(theme=theme)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    lines: dict[str, Any] = {str(line.get_label()): line for line in axes.lines}
    for kind in ("float32", "float64"):
        x, y = lines[kind].get_data()
        assert dict(zip(x, y, strict=True)) == {
            step: error
            for step, error in zip(errors.steps, errors.errors[kind], strict=True)
            if error
        }
    assert list(lines["chosen step, 0.001"].get_xdata()) == [0.001, 0.001]
    x, y = next(line for name, line in lines.items() if "floor" in name).get_data()
    assert list(y) == [errors.floor(step) for step in x]
    assert axes.get_xlabel() == "step"
    bundle = figure._repr_mimebundle_()
    assert bundle["text/plain"] == str(figure)
    assert "0.001  " in bundle["text/plain"]
    assert bundle["image/svg+xml"] == nudge.error_plot(theme=theme).svg


def test_the_plot_of_a_linear_function_in_which_some_errors_are_zero():
    assert of_lecture("b").error_plot().svg
    assert of_lecture("b").error_plot([1.0]).svg


def test_without_matplotlib_the_error_names_the_line_to_type(monkeypatch):
    of_lecture("b")  # loads the package's modules
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "autograd_viz.finite_differences.error_figure", raising=False)
    monkeypatch.delattr(
        sys.modules["autograd_viz.finite_differences"], "error_figure", raising=False
    )
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        of_lecture("b").error_plot()
    with pytest.raises(ValueError, match="give one of 'auto', 'light', 'dark'"):
        of_lecture("b").error_plot(theme="blue")


# The picture


def test_what_moves_is_lit():
    nudge = of_lecture("b")
    picture = nudge.picture()
    assert isinstance(picture, Picture)
    titles = {f"variable-{v.id}": v.title for v in nudge.variables.nodes}
    lit = {titles[box.id] for box in picture.boxes if "lit" in box.marks}
    dim = {titles[box.id] for box in picture.boxes if "dim" in box.marks}
    assert (lit, dim) == ({"b", "u", "v", "J"}, {"a", "c"})
    arrows = {(titles[a.source], titles[a.target]) for a in picture.arrows if "lit" in a.marks}
    assert arrows == {("b", "u"), ("u", "v"), ("v", "J")}
    boxes = {titles[box.id]: [plain(line) for line in box.lower or ()] for box in picture.boxes}
    assert boxes["J"] == ["J = 33 → 33.006", "ΔJ = 0.006001"]
    assert boxes["a"] == ["a = 5"]
    assert [plain(line) for line in picture.formulas] == [
        "ΔJ/Δb = 0.0060005/0.001 = 6.0005",
        "∂J/∂b = 6",
    ]
    assert picture.words == str(nudge)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overlaps(theme):
    for nudge in (
        of_lecture("u"),
        av.nudge(vectors, "x[1]", 0.01, x=[0.1, 0.2, 0.3]),
        av.nudge(lambda x: x * torch.relu(-x), "x", x=1.0),
    ):
        picture = nudge.picture(theme=theme)
        check_geometry(Drawn(picture.svg))
    with pytest.raises(TypeError, match="no option 'frame'"):
        of_lecture("u").picture(frame=1)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        h = x * self.scale
        y = h * h
        return y


def test_modules_and_methods_and_partial_functions():
    model = Model()
    for f in (model, model.forward, partial(power, n=2)):
        nudge = av.nudge(f, "x", 0.001, x=2.0)
        assert nudge.gradient == (4 if isinstance(f, partial) else 36)
        assert nudge.quotient == pytest.approx(nudge.gradient, rel=1e-2)
    assert av.nudge(model.forward, "h", 0.001, x=2.0).gradient == 12
    assert model.scale.item() == 3
    assert model.scale.grad is None


def test_repr_is_short():
    assert repr(of_lecture("b")) == "<Nudge of b by 0.001: J by 0.006001>"
