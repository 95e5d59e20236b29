"""The chain rule of each step, in formulas, with the engine's numbers."""

import subprocess
import sys

import pytest
import torch

import autograd_viz as av
from autograd_viz.formulas import calculus, symbolic
from tests.test_svg import TRACES
from tests.test_transforms import main_example


def rules(variables):
    return [str(calculus.chain_rule(variables, link)) for link in variables.links]


def test_the_main_example():
    variables = main_example().variables()
    assert rules(variables) == [
        "∂e/∂a += ∂e/∂c * ∂c/∂a = 2 * 1 = 2",
        "∂e/∂b += ∂e/∂c * ∂c/∂b = 2 * 1 = 2",
        "∂e/∂a += ∂e/∂d * ∂d/∂a = 6 * 1.4427 = 8.6562",
        "∂e/∂b += ∂e/∂d * ∂d/∂b = 6 * 0.3607 = 2.1640",
        "∂e/∂c = ∂e/∂e * ∂e/∂c = 1 * 2 = 2",
        "∂e/∂d = ∂e/∂e * ∂e/∂d = 1 * 6 = 6",
    ]
    formula = calculus.chain_rule(variables, variables.links[0])
    assert formula.latex.startswith(
        r"\frac{\partial e}{\partial a} += \frac{\partial e}{\partial c}"
    )
    assert formula.svg.startswith("<svg")


def test_each_rule_belongs_to_the_frame_that_shows_it():
    found = calculus.chain_rules(main_example().variables())
    assert [(frame, str(formula)[:6]) for frame, formula in found] == [
        (3, "∂e/∂c "),
        (3, "∂e/∂d "),
        (5, "∂e/∂b "),
        (5, "∂e/∂b "),
        (7, "∂e/∂a "),
        (7, "∂e/∂a "),
    ]


def test_negative_factors_stand_in_brackets():
    s = torch.tensor(-1.0, requires_grad=True)
    m = -s
    loss = m**2
    variables = av.trace(loss).variables()
    assert "∂loss/∂s = ∂loss/∂m * ∂m/∂s = 2 * (-1) = -2" in rules(variables)


def test_details_still_add_to_what_comes_from_elsewhere():
    variables = main_example().variables().details("d")
    found = rules(variables)
    assert "∂e/∂a += ∂e/∂log2(a) * ∂log2(a)/∂a = 12 * 0.7213 = 8.6562" in found
    assert "∂e/∂log2(a) = ∂e/∂d * ∂d/∂log2(a) = 6 * 2 = 12" in found


def test_tensors_have_their_vector_jacobian_product():
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    W = torch.tensor([[1.0], [3.0]], requires_grad=True)
    y = x @ W
    L = (y**2).sum()
    found = rules(av.trace(L).variables())
    assert "∂L/∂W = xᵀ @ ∂L/∂y" in found
    v = torch.tensor([1.0, 2.0], requires_grad=True)
    L = (v**2).sum()
    assert rules(av.trace(L).variables()) == ["∂L/∂v = 2 * v = [2, 4]"]


def test_without_a_rule_there_is_the_jacobian():
    x = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    y = torch.cumsum(x, 0)
    L = y.prod()
    found = rules(av.trace(L, names={"x": x, "y": y}).variables())
    assert found[0] == "∂L/∂x = ∂L/∂y @ ∂y/∂x, (1 × 3) @ (3 × 3) = [31, 10, 3]"
    assert torch.autograd.grad(L, x)[0].tolist() == [31, 10, 3]


def test_an_output_inside_the_graph_also_adds():
    a = torch.tensor(2.0, requires_grad=True)
    c = a * a
    y = c * 2
    found = rules(av.trace([y, c]).variables())
    assert "grad of c += grad of y * ∂y/∂c = 1 * 2 = 2" in found


@pytest.mark.parametrize("name", TRACES)
def test_every_link_of_every_kind_has_a_rule(name):
    variables = TRACES[name]().variables()
    for link in variables.links:
        formula = calculus.chain_rule(variables, link)
        assert formula.words
        assert "None" not in formula.words or link.contribution is None
    frames = [frame for frame, _ in calculus.chain_rules(variables)]
    assert frames == sorted(frames)
    assert len(frames) == len(variables.links)


def test_nothing_is_made_up_where_no_gradient_came():
    a = torch.tensor(2.0, requires_grad=True)
    p, q = torch.unbind(torch.stack([a, a * 3]))
    y = p * 2
    found = rules(av.trace(y, names={"a": a, "p": p, "q": q}).variables())
    assert len(found) == 2


def test_without_a_backward_pass_it_says_what_to_call():
    variables = main_example(trace=False).variables()
    with pytest.raises(ValueError, match=r"variables = av\.trace\(e\)\.variables\(\)"):
        calculus.chain_rule(variables, variables.links[0])


def test_nothing_of_the_readers_is_changed():
    a = torch.tensor(2.0, requires_grad=True)
    y = torch.sin(a) * a
    variables = av.trace(y).variables()
    state = torch.get_rng_state()
    rules(variables)
    variables.derivatives()
    assert a.grad is None
    assert torch.equal(state, torch.get_rng_state())


def test_other_numbers_cost_no_derivation():
    def traced(number):
        x = torch.tensor(number, requires_grad=True)
        y = torch.exp(torch.sin(x) * x) / (1 / x)
        return av.trace(y, names={"x": x, "y": y}).variables()

    def derivations():
        return [one.cache_info().misses for one in (symbolic._derived, symbolic._compiled)]

    shown = traced(0.5)
    calculus.local_derivative(shown, shown.links[0])
    once = derivations()
    for step in range(20):
        shown = traced(0.6 + step / 100)
        calculus.local_derivative(shown, shown.links[0])
    assert derivations() == once


def test_sympy_is_not_loaded_for_a_picture_without_formulas():
    program = (  # torch itself loads it in its first backward pass
        "import sys, torch, autograd_viz as av\n"
        "a = torch.tensor(2.0, requires_grad=True)\n"
        "av.graph(a * a).variables().picture().svg\n"
        "print('sympy' in sys.modules)\n"
        "av.trace(a * a).variables().derivatives()\n"
        "print('sympy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.split() == ["False", "True"], result.stderr
