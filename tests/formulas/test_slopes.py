"""Local derivatives in formulas: those of the lectures, and any program's against autograd."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.formulas import slopes, symbolic
from autograd_viz.formulas.recipes import read
from autograd_viz.typeset import plain
from tests.examples import examples
from tests.test_expressions import BINARY, leaves_of, programs, run
from tests.test_transforms import main_example


def formulas(_output, **names):
    """Returns the local derivatives in words, by the titles of their ends."""
    variables = av.trace(_output, names=names).variables()
    return {
        (variables.nodes[link.source].title, variables.nodes[link.target].title): str(
            slopes.local_derivative(variables, link)
        )
        for link in variables.links
    }


def only(output, **names):
    (found,) = formulas(output, **names).values()
    return found


def scalar(value):
    return torch.tensor(value, requires_grad=True)


def test_the_main_example_as_on_the_slide():
    variables = main_example().variables()
    assert [str(slopes.local_derivative(variables, link)) for link in variables.links] == [
        "∂c/∂a = 1",
        "∂c/∂b = 1",
        "∂d/∂a = log2(b)/(a ln 2) = 1.4427",
        "∂d/∂b = log2(a)/(b ln 2) = 0.3607",
        "∂e/∂c = d = 2",
        "∂e/∂d = c = 6",
    ]
    formula = slopes.local_derivative(variables, variables.links[2])
    assert formula is not None
    latex = r"\frac{\partial d}{\partial a} = \frac{\log_2 (b)}{a \ln 2} = 1.4427"
    assert formula.latex == latex
    assert formula.svg.startswith("<svg")


def test_the_numbers_stand_in_a_formula_without_being_evaluated():
    variables = main_example().variables().details("d")
    lines = {
        variables.nodes[link.target].title: slopes.substituted(variables, link, factor)
        for link, factor in zip(variables.links, (12, 6, 6, 6), strict=True)
    }
    assert plain(lines["a"] or ()) == "12/(2 ln 2)"
    assert plain(lines["b"] or ()) == "6/(4 ln 2)"
    folded = main_example().variables()
    assert plain(slopes.substituted(folded, folded.links[2]) or ()) == "log2(4)/(2 ln 2)"
    assert slopes.substituted(folded, folded.links[0]) is None, "1 alone says nothing"


def test_squared_loss():
    w, x, y = scalar(1.0), scalar(1.0), scalar(2.0)
    yhat = w * x
    s = yhat - y
    loss = s**2
    found = formulas(loss, w=w, x=x, y=y, yhat=yhat, s=s, loss=loss)
    assert found["loss", "s"] == "∂loss/∂s = 2 s = -2"
    assert found["yhat", "w"] == "∂yhat/∂w = x = 1"
    assert found["s", "y"] == "∂s/∂y = -1"
    folded = formulas(loss, w=w, x=x, y=y, loss=loss)
    assert folded["loss", "w"] == "∂loss/∂w = 2 x (w x - y) = -2"


@pytest.mark.parametrize(
    ("output", "formula"),
    [
        (lambda x: torch.sigmoid(x), "∂f/∂x = σ(x) (1 - σ(x)) = 0.2350"),
        (lambda x: torch.tanh(x), "∂f/∂x = 1 - tanh(x)^2 = 0.7864"),
        (lambda x: torch.exp(x), "∂f/∂x = e^x = 1.6487"),
        (lambda x: torch.exp(-(x**2) / 2), "∂f/∂x = -x e^(-x^2/2) = -0.4412"),
        (lambda x: torch.sqrt(x), "∂f/∂x = 1/(2 sqrt(x)) = 0.7071"),
        (lambda x: x**3 * 2 - x * x + x, "∂f/∂x = 6 x^2 - 2 x + 1 = 1.5"),
        (lambda x: 2**x, "∂f/∂x = 2^x ln 2 = 0.9803"),
        (lambda x: x / 3, "∂f/∂x = 1/3 = 0.3333"),
        (lambda x: x * 0.1, "∂f/∂x = 0.1"),
        (lambda x: 3 / x, "∂f/∂x = -3/x^2 = -12"),
        (lambda x: F.relu(x), "∂f/∂x = 1 if x > 0"),
        (lambda x: F.relu(-x), "∂f/∂x = 0 if -x < 0"),
        (lambda x: F.leaky_relu(-x), "∂f/∂x = -0.01 if -x < 0"),
        (lambda x: x.clamp(0, 1), "∂f/∂x = 1 if x > 0 and x < 1"),
        (lambda x: x.abs() * x, "∂f/∂x = 2 x = 1 if x > 0"),
        (lambda x: torch.stack([x, x * 2, x**2]).mean(), "∂f/∂x = (2 x)/3 + 1 = 1.3333"),
        (lambda x: torch.stack([x, 2 * x]).max(), "∂f/∂x = 2 if 2 x > x"),
    ],
)
def test_formulas_of_one_variable(output, formula):
    x = scalar(0.5)
    f = output(x)
    assert only(f, x=x, f=f) == formula


def test_the_number_e_and_a_variable_of_that_name():
    e, x = scalar(0.5), scalar(0.5)
    y = torch.exp(e * x)
    found = formulas(y, e=e, x=x, y=y)
    assert found["y", "e"] == "∂y/∂e = x exp(e x) = 0.6420"


def test_both_sides_of_where_and_of_a_tie():
    x, w = scalar(0.5), scalar(0.5)
    assert formulas(torch.where(x > 0, x * x, w), x=x, w=w)["where(?, x * x, w)", "x"].endswith(
        " = 2 x = 1"
    )
    y = torch.maximum(x * 3, w * 3)
    assert formulas(y, x=x, w=w, y=y)["y", "x"] == "∂y/∂x = 3/2 = 1.5 if 3 x = 3 w"
    y = torch.abs(x - w)
    assert formulas(y, x=x, w=w, y=y)["y", "x"].startswith("∂y/∂x = 0")


def test_only_the_conditions_that_decide_are_written():
    x, w = scalar(0.5), scalar(0.7)
    y = F.relu(x) * w + F.relu(w)
    found = formulas(y, x=x, w=w, y=y)
    assert found["y", "x"] == "∂y/∂x = w = 0.7 if x > 0"


def test_an_element_of_a_vector_is_named_by_its_index():
    w = torch.tensor([2.0, 3.0], requires_grad=True)
    b = scalar(0.5)
    y = (w * b).sum()
    assert formulas(y, w=w, b=b, y=y)["y", "b"] == "∂y/∂b = w[0] + w[1] = 5"


def test_what_is_not_known_is_a_number_alone():
    x, w = scalar(0.5), scalar(0.25)
    y = (x + 1) ** 2 * w  # the graph does not keep the 1
    found = formulas(y, x=x, w=w, y=y)
    assert found["y", "x"] == "∂y/∂x = 0.75"
    assert found["y", "w"] == "∂y/∂w = 2.25"
    y = torch.special.i0(x) + w
    found = formulas(y, x=x, w=w, y=y)
    assert found["y", "x"] == "∂y/∂x = 0.2579"
    assert found["y", "w"] == "∂y/∂w = 1"


def test_between_tensors_there_is_none():
    x = torch.ones(3, requires_grad=True)
    assert only(x.sum(), x=x) == "None"


def test_a_custom_backward_that_disagrees_keeps_its_number():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return 2 * grad

    x = scalar(0.5)
    y = Doubled.apply(x)
    assert only(y, x=x, y=y) == "∂y/∂x = 2"


def test_a_formula_that_disagrees_with_autograd_is_not_shown():
    x, w = scalar(0.5), scalar(3.0)
    variables = av.trace(x * w, names={"x": x, "w": w}).variables()
    link = variables.links[0]
    assert slopes.has_formula(variables, link)
    other = link._replace(local=3.5)
    assert not slopes.has_formula(variables, other)
    assert str(slopes.local_derivative(variables, other)).endswith("= 3.5")


def test_infinite_derivatives_keep_their_formula():
    x = scalar(0.0)
    y = torch.sqrt(x)
    assert only(y, x=x, y=y) == "∂y/∂x = 1/(2 sqrt(x)) = inf"


ACTIVATIONS = [
    *(F.relu, F.leaky_relu, F.elu, F.selu, F.celu, F.silu, F.gelu, F.softplus, F.logsigmoid),
    *(F.relu6, F.hardtanh, F.hardsigmoid, F.hardswish, F.mish, F.tanhshrink, F.softshrink),
    *(torch.sigmoid, torch.tanh, torch.exp, torch.expm1, torch.exp2, torch.sin, torch.cos),
    *(torch.tan, torch.sinh, torch.cosh, torch.atan, torch.asinh, torch.erf, torch.erfc),
    *(torch.sinc, torch.abs, torch.square, torch.sign, F.hardshrink),
]
POSITIVE = [torch.log, torch.log2, torch.log10, torch.log1p, torch.sqrt, torch.rsqrt]
INSIDE = [torch.asin, torch.acos, torch.atanh, torch.logit]
TWO = [
    *(torch.add, torch.sub, torch.mul, torch.div, torch.maximum, torch.minimum, torch.atan2),
    *(torch.hypot, torch.logaddexp, F.mse_loss, F.huber_loss, F.smooth_l1_loss, F.l1_loss),
]
numbers = st.floats(-3, 3, width=32).filter(lambda x: abs(x) > 1e-3)


def agrees(output, **names):
    """Checks each formula against autograd; returns how many there were."""
    variables = av.trace(output, names=names).variables()
    known = 0
    for link in variables.links:
        slope = slopes._slope(variables, link)
        assert slope is not None
        if slope.derivative is None or slope.read is None:
            continue
        value = symbolic.value(slope.derivative, slope.read.numbers)
        assert value is not None
        known += 1
        assert value == pytest.approx(link.local, rel=1e-6, abs=1e-8)
    return known


@examples(15)
@given(numbers)
@pytest.mark.parametrize("function", [*ACTIVATIONS, *POSITIVE, *INSIDE], ids=lambda f: f.__name__)
def test_each_rule_agrees_with_autograd(function, number):
    number = abs(number) if function in POSITIVE else number
    number = 0.5 + number / 7 if function is torch.logit else number
    number = number / 4 if function in INSIDE and function is not torch.logit else number
    (x,) = leaves_of(number)
    assert agrees(function(x), x=x) == 1


@examples(15)
@given(numbers, numbers)
@pytest.mark.parametrize("function", TWO, ids=lambda f: f.__name__)
def test_each_rule_of_two_agrees_with_autograd(function, first, second):
    x, y = leaves_of(first, second)
    assert agrees(function(x, y), x=x, y=y) == 2


def test_both_kinds_of_gelu_are_told_apart():
    (x,) = leaves_of(0.7)
    assert agrees(F.gelu(x), x=x) == 1
    assert agrees(F.gelu(x, approximate="tanh"), x=x) in (0, 1)  # 0: the kind was not kept


FORMULAS = tuple(name for name in ("neg", "tanh", "sin", "exp", "log1p", "sqrt", "square", "cube"))
FORMULAS += ("inverse", "twice", "minus_half", "third", "reciprocal", "two_over", "power_of_two")
FORMULAS += tuple(BINARY)


@examples(100)
@given(programs(FORMULAS, most=5))
def test_formulas_of_any_program_agree_with_autograd(program):
    a, b, c = leaves = leaves_of(0.5, 1.25, 2.0)
    y = run(program, leaves)[-1]
    assume(y.grad_fn is not None and bool(torch.isfinite(y)) and abs(y.item()) < 1e6)
    variables = av.trace(y, names={"a": a, "b": b, "c": c}).variables()
    for link in variables.links:
        found = read(variables, variables.nodes[link.source])
        assert found is not None
        place = found.places[link.target, 0]
        known = symbolic.derivative(found.recipe, place, found.numbers)
        if known is None or link.local is None or not math.isfinite(link.local):
            continue
        value = symbolic.value(known, found.numbers)
        if value is not None and math.isfinite(value):
            assert value == pytest.approx(link.local, rel=1e-5, abs=1e-6)


OPTIONS = {
    "softplus": lambda x, y: F.softplus(x * y, beta=3.0, threshold=2.0),
    "gelu": lambda x, y: F.gelu(x * y, approximate="tanh"),
    "elu": lambda x, y: F.elu(x * y, alpha=0.3),
    "celu": lambda x, y: F.celu(x * y, alpha=0.3),
    "leaky_relu": lambda x, y: F.leaky_relu(x * y, negative_slope=0.3),
    "hardtanh": lambda x, y: F.hardtanh(x * y, -0.2, 0.7),
    "threshold": lambda x, y: F.threshold(x, 0.2, 5.0) * y,
    "softshrink": lambda x, y: F.softshrink(x * y, 0.2),
    "hardshrink": lambda x, y: F.hardshrink(x * y, 0.2),
    "clamp": lambda x, y: torch.clamp(x * y, -0.2, 0.7),
    "clamp_min": lambda x, y: torch.clamp(x * y, min=0.3),
    "huber_loss": lambda x, y: F.huber_loss(x, y, delta=0.25),
    "smooth_l1_loss": lambda x, y: F.smooth_l1_loss(x, y, beta=2.0),
    "addcmul": lambda x, y: torch.addcmul(x, y, y, value=0.5),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y, value=0.5),
    "add": lambda x, y: torch.add(x, y, alpha=3),
    "rsub": lambda x, y: torch.rsub(x, y, alpha=3),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3),
    "std": lambda x, y: torch.stack([x, y]).std(correction=0),
    "norm": lambda x, y: torch.linalg.vector_norm(torch.stack([x, y]), ord=3),
    "logit": lambda x, y: torch.logit(x * y, eps=0.3),
    "permute": lambda x, y: torch.stack([x, y, y, x * y]).view(2, 2).permute(0, 1)[0, 1] * x,
    "as_strided": lambda x, y: torch.stack([x, y, x, y * y]).as_strided((2, 2), (1, 2))[0, 1] * y,
    "pos_weight": lambda x, y: F.binary_cross_entropy_with_logits(
        x * y, torch.tensor(1.0), pos_weight=torch.tensor(2.0)
    ),
    "label_smoothing": lambda x, y: F.cross_entropy(
        torch.stack([x, y])[None], torch.tensor([0]), label_smoothing=0.3
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_of_a_function_is_in_its_formula_or_there_is_none(name):
    for first, second in ((0.0, 0.5), (0.1, 0.3), (0.6, 0.9), (2.0, 1.5), (-0.7, 0.4), (9.0, 1.0)):
        x, y = leaves_of(first, second)
        found = OPTIONS[name](x, y)
        agrees(found, x=x, y=y, found=found)


def test_a_formula_is_held_against_small_slopes_too():
    (x,) = (scalar(9.0),)
    one = torch.tensor(1.0)
    y = F.binary_cross_entropy_with_logits(x, one, pos_weight=torch.tensor(2.0))
    assert only(y, x=x, y=y) == "∂y/∂x = -0.0002468"
    z = F.binary_cross_entropy_with_logits(x, one)
    assert only(z, x=x, z=z).startswith("∂z/∂x = σ(x) - ")


def test_a_true_formula_stays_where_its_numbers_cancel():
    for number in (1.0001, 1.0 + 2**-20, -30.0, 30.0, 88.0):
        x, w = scalar(number), scalar(1.0)
        y = (x * x - w * w) ** 2
        assert "4 x (x^2 - w^2)" in formulas(y, x=x, w=w, y=y)["y", "x"]
        z = torch.sigmoid(x)
        assert "σ(x) (1 - σ(x))" in only(z, x=x, z=z)
        s = torch.softmax(torch.stack([x, w]), 0)[0]
        found = formulas(s, x=x, w=w, s=s)["s", "x"]
        assert found.count(" = ") == 2 or "x" not in found.partition(" = ")[2], found


def test_the_condition_is_one_under_which_the_formula_holds():
    (x,) = (scalar(-0.5),)
    y = torch.clamp(torch.abs(x), max=1.0)
    assert only(y, x=x, y=y) == "∂y/∂x = -1 if x < 0 and -x < 1"
