"""The pictures of other engines, held against PyTorch's of the same expression."""

from __future__ import annotations

import gc
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from micrograd.engine import Value
from micrograd.nn import MLP
from torch import Tensor

import autograd_viz as av
from autograd_viz.engines.operations import rule
from autograd_viz.engines.protocol import engine_values
from autograd_viz.errors import GradError, NotATensorError
from autograd_viz.model import Trace, Variables
from tests.engines.small import Number, made


def leaf(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def leaf_grads(trace: Trace | None) -> list[Tensor]:
    assert trace is not None
    return [grad for _, grad in trace.leaf_grads if grad is not None]


def lecture(new: Any) -> Trace:
    """The main example with squares in the place of logarithms, which micrograd does not have."""
    a, b = new(2.0), new(4.0)
    c = a + b
    d = a**2 * b**3
    e = c * d
    return av.trace(e)


def several_uses(new: Any) -> Trace:
    a, b = new(-2.0), new(3.0)
    h = a + a
    k = h * b * 2.0
    y = (k * k).relu()
    z = y + h
    return av.trace(z)


def negative(new: Any) -> Trace:
    a, b = new(-2.0), new(3.0)
    s = a * b
    r = s.relu()
    out = r * a
    return av.trace(out)


def divided(new: Any) -> Trace:
    a, b = new(-2.0), new(3.0)
    q = a * b**-1
    out = q * q + a * -1.0
    return av.trace(out)


def main_example(new: Any) -> Trace:
    a, b = new(2.0), new(4.0)
    c = a + b
    d = a.log2() * b.log2()
    e = c * d
    return av.trace(e)


def not_commutative(new: Any) -> Trace:
    a, b = new(2.0), new(4.0)
    c = b - a
    d = -(c / a)
    e = (d**3).tanh() * d
    return av.trace(e)


def words(shown: Variables) -> list[str]:
    pictures = [shown.computation(), shown.derivatives(), shown.backward()]
    pictures += [shown.backward(frame="all"), shown.computation(frame="all")]
    return [picture.words for picture in pictures]


CASES = [
    *((case, Value) for case in (lecture, several_uses, negative, divided)),
    *((case, Number) for case in (lecture, main_example, not_commutative)),
]


@pytest.mark.parametrize(("case", "engine"), CASES)
def test_pictures_by_variable_are_pytorchs(case, engine):
    ours, theirs = case(engine).variables(), case(leaf).variables()
    assert words(ours) == words(theirs)
    assert list(map(str, ours.chain_rule())) == list(map(str, theirs.chain_rule()))
    assert list(map(str, ours.local_derivatives())) == list(map(str, theirs.local_derivatives()))
    for name in {node.name for node in theirs.nodes if len(node.members) > 1 and node.name}:
        # PyTorch may not have kept a value inside of a variable.
        mine, other = ours.details(name), theirs.details(name)
        assert [link[:3] for link in mine.links] == [link[:3] for link in other.links]
        assert [one.expression for one in mine.nodes] == [one.expression for one in other.nodes]


@pytest.mark.parametrize(("case", "engine"), CASES)
def test_numbers_are_pytorchs_node_by_node(case, engine):
    ours, theirs = case(engine), case(leaf)
    assert [node.label for node in ours.graph.nodes] == [node.label for node in theirs.graph.nodes]
    assert [node.kind for node in ours.graph.nodes] == [node.kind for node in theirs.graph.nodes]
    assert ours.graph.edges == theirs.graph.edges
    assert ours.graph.outputs == theirs.graph.outputs
    for slot, value in theirs.graph.values.items():
        torch.testing.assert_close(ours.graph.values[slot], value.detach())
    for edge in theirs.graph.edges:
        torch.testing.assert_close(ours.sent(edge), theirs.sent(edge))
        assert math.isclose(ours.local[edge], theirs.local[edge], abs_tol=1e-12)
    for (value, grad), (other, wanted) in zip(ours.leaf_grads, theirs.leaf_grads, strict=True):
        torch.testing.assert_close(value, other.detach())
        torch.testing.assert_close(grad, wanted)
    for step in theirs.steps:
        own = ours.steps[ours.step_of[step.node]]
        torch.testing.assert_close(own.grad_outputs, step.grad_outputs)
        assert sorted(map(float, own.contributions)) == pytest.approx(
            sorted(map(float, step.contributions))
        )


def test_ovals_hold_the_engines_own_words():
    a, b = Value(2.0), Value(4.0)
    e = (a + b).relu() * b**2
    trace = av.trace(e)
    assert sorted({node.name for node in trace.graph.nodes}) == ["*", "**2", "+", "ReLU", "leaf"]
    assert "Backward0" not in str(trace) + str(av.graph(e))
    assert "AccumulateGrad" not in trace.picture().svg


def test_micrograds_own_pass_gives_the_same_and_nothing_is_changed():
    a, b = Value(2.0), Value(-4.0)
    c = a + b
    e = (a * b + b**3).relu() * c + c * c
    a.grad, b.grad = 7.0, "mine"
    recorded = av.trace(e).variables()
    av.graph(e)
    assert (a.grad, b.grad, c.grad, e.grad) == (7.0, "mine", 0, 0)
    a.grad = b.grad = 0
    e.backward()
    labels = [leaf.label for leaf in recorded.graph.leaves]
    grads = [grad.item() for grad in leaf_grads(recorded.trace)]
    assert dict(zip(labels, grads, strict=True)) == {"a": a.grad, "b": b.grad}


def test_gradients_are_put_back_when_a_step_raises():
    a = Value(2.0)
    c = a * a
    e = c + a
    a.grad, c.grad = 5.0, 6.0

    def broken():
        a.grad = 99.0
        raise ZeroDivisionError("mine")

    c._backward = broken
    with pytest.raises(ZeroDivisionError, match="mine"):
        av.trace(e)
    assert (a.grad, c.grad, e.grad) == (5.0, 6.0, 0)


def test_arrays_are_not_changed_in_place():
    w = Number([1.0, 2.0, 3.0])
    w.grad = kept = np.ones(3)

    def step():
        w.grad += 2 * w.value  # in place

    y = made("*", (w, w), w.value * w.value)
    y.backward_step = step  # type: ignore[method-assign]
    z = y.sum()
    trace = av.trace(z)
    assert w.grad is kept
    assert kept.tolist() == [1.0, 1.0, 1.0]
    assert leaf_grads(trace)[0].tolist() == [2.0, 4.0, 6.0]


def test_a_mistake_of_the_engine_is_seen_as_it_is():
    a, b = Value(2.0), Value(4.0)
    d = a * b

    def wrong():
        a.grad += 100 * d.grad
        b.grad += a.data * d.grad

    d._backward = wrong
    shown = av.trace(d).variables()
    assert "∂d/∂a = 100" in str(shown.derivatives())
    assert "∂d/∂a = b" not in str(shown.derivatives())  # the rule's formula is not theirs
    assert "∂d/∂b = a = 2" in str(shown.derivatives())


@pytest.mark.parametrize("engine", [Value, Number])
def test_a_value_that_was_changed_since_is_noted(engine):
    w, x = engine(2.0), engine(3.0)
    y = w * x
    loss = (y + -1.0) ** 2.0 if engine is Value else y * y
    said = "Does not follow from the inputs as they are now"
    assert said not in av.graph(loss).picture().words
    setattr(w, "data" if engine is Value else "value", 1.5)  # as a step of descent does
    for picture in (av.graph(loss).picture(), av.trace(loss).variables().picture()):
        assert f"{said}: y. A value was changed since" in picture.words


def test_a_gradient_that_is_replaced_is_noted():
    a, b = Value(2.0), Value(4.0)
    c = a + b
    d = a * b
    e = c * d

    def replaces():
        a.grad = c.grad
        b.grad += c.grad

    c._backward = replaces
    trace = av.trace(e)
    (said,) = trace.notes
    assert said == (
        "The backward step of c replaces the gradient of a, 24, by 8; "
        "it has to add 8 to it: += instead of =."
    )
    assert said in str(trace)
    assert said in str(trace.variables())
    assert leaf_grads(trace)[0].item() == 8
    assert "but your engine's gradient is 8: a backward step does" in str(av.paths(e, a))


def test_a_number_made_on_the_way_is_a_constant_and_a_weight_in_a_list_is_not():
    weights = [Value(3.0)]
    a = Value(2.0)
    y = 2 * a + weights[0] * a
    shown = av.graph(y).variables()
    assert [(one.kind, one.expression) for one in shown.nodes] == [
        ("leaf", "a"),
        ("leaf", "leaf"),
        ("result", "a * 2 + leaf * a"),
    ]


def test_a_network_of_micrograd():
    model = MLP(2, [3, 1])
    y = model([Value(1.0), Value(-2.0)])
    trace = av.trace(y)
    y.backward()
    held = [p for p in model.parameters() if p.grad]
    assert sorted(g.item() for g in leaf_grads(trace) if g.any()) == sorted(p.grad for p in held)


def test_without_a_closure_a_set_is_put_in_the_order_of_the_callers_variables():
    def bare(data: float, children: tuple[Any, ...] = (), op: str = "") -> Any:
        return SimpleNamespace(data=data, grad=0.0, _prev=Members(children), _op=op)

    class Members(set[Any]):
        """Not hashable members, kept by identity, first the last."""

        def __init__(self, members: Any) -> None:
            super().__init__()
            self.members = list(reversed(members))

        def __iter__(self) -> Any:
            return iter(self.members)

        def __len__(self) -> int:
            return len(self.members)

    a, b = bare(1.0), bare(2.0)
    c = bare(6.0, (bare(3.0, (a, b), "+"), b), "*")
    d = bare(12.0, (c, bare(2.0)), "*")
    texts = [one.expression for one in av.graph(d).variables().nodes]
    assert texts == ["a", "b", "(a + b) * b", "c * 2"]


def test_names_come_from_labels_variables_and_the_argument():
    a = Value(2.0)
    b = Value(3.0)
    b.label = "beta"
    c = a * b
    nodes = av.graph(c, names={"gamma": c}).nodes
    assert [node.label for node in nodes] == ["gamma", "a", "beta"]


def test_numpy_constants_keep_their_names():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    w = Number([[1.0], [2.0]])
    y = x @ w
    z = (y * y).sum()
    shown = av.trace(z).variables()
    assert [one.expression for one in shown.nodes] == ["w", "x @ w", "sum(y * y)"]
    (grad,) = leaf_grads(shown.trace)
    other = torch.tensor(w.value, requires_grad=True)
    ((torch.tensor(x) @ other) ** 2).sum().backward()
    torch.testing.assert_close(grad, other.grad)
    assert "xᵀ" in str(shown.derivatives()) or "x.T" in str(shown.derivatives())


def test_arrays_compared_with_pytorch():
    def run(new: Any) -> Trace:
        W, x = new([[1.0, -2.0], [0.5, 3.0]]), new([1.5, -0.5])
        h = (W @ x).tanh()
        out = (h * x).sum()
        return av.trace(out)

    ours = run(Number).variables()
    theirs = run(lambda v: torch.tensor(v, dtype=torch.float64, requires_grad=True)).variables()
    assert words(ours) == words(theirs)


def test_an_output_of_several_elements_needs_a_gradient():
    w = Number([1.0, 2.0])
    y = w * 3.0
    with pytest.raises(GradError, match=r"shape \[2\].*numpy.ones"):
        av.trace(y)
    trace = av.trace(y, torch.tensor([1.0, 10.0]))
    assert leaf_grads(trace)[0].tolist() == [3.0, 30.0]


def test_several_outputs():
    a = Value(2.0)
    b = a * 3
    c = b * b
    assert leaf_grads(av.trace([b, c]))[0].item() == 3 + 36
    assert len(av.graph([b, c]).outputs) == 2


def test_without_backward_steps_gradients_are_taken_as_they_stand():
    a = SimpleNamespace(value=2.0, grad=12.0, operation="", inputs=())
    b = SimpleNamespace(value=4.0, grad=1.0, operation="*", inputs=(a, a))
    trace = av.trace(b)
    assert leaf_grads(trace)[0].item() == 12
    assert [step.grad_inputs for step in trace.steps] == [(None, None), ()]
    with pytest.raises(ValueError, match="backward_step"):
        av.paths(b, a)
    assert "∂b/∂a = 12" in str(trace.variables().backward())
    assert trace.variables().backward(frame="all").words


def test_unknown_operations_are_words_without_a_formula():
    a, b = Number(2.0), Number(4.0)
    y = made("gate", (a, b), 6.0, lambda g: 5 * g, lambda g: 7 * g)
    shown = av.trace(y).variables()
    assert shown.nodes[-1].expression == "gate(a, b)"
    assert list(map(str, shown.local_derivatives())) == ["∂y/∂a = 5", "∂y/∂b = 7"]


def test_paths():
    a, b = Value(2.0), Value(4.0)
    c = a + b
    e = c * (a * b)
    found = av.paths(e, a)
    assert (found.count, found.total) == (2, 32.0)
    assert str(found) == str(av.paths(e, "a"))
    assert "your engine's gradient is the same" in str(found)
    with pytest.raises(ValueError, match="has no name"):
        av.paths(e, Value(1.0))


def test_the_explorer_shows_its_steps():
    a, b = Value(2.0), Value(4.0)
    c = a + b
    e = c * a
    w = av.step(e)
    assert (w.view, w.step) == ("backward", 7)
    w.view, w.step = "functions", 2
    assert "MulBackward0" not in str(w.scene)
    assert w.snapshot().words
    w.close()


def test_a_long_chain():
    a = Value(1.0)
    x = a
    for _ in range(30_000):
        x = x + 1
    gc.collect()
    trace = av.trace(x)
    assert len(trace.graph.nodes) == 30_001
    assert leaf_grads(trace)[0].item() == 1
    assert "30,000 gradient functions" in str(trace.variables().backward()) + str(trace)


def test_errors():
    a = SimpleNamespace(value=1.0, grad=0.0, operation="+", inputs=())
    b = SimpleNamespace(value=1.0, grad=0.0, operation="*", inputs=(a,), name="b")
    a.inputs = (b, b)
    with pytest.raises(ValueError, match="is computed from itself"):
        av.graph(a)
    a.inputs = ("x",)
    with pytest.raises(TypeError, match=r"input 0 of a value \('\+'\) is of type str"):
        av.graph(b)
    a.inputs, a.value = (), "two"
    with pytest.raises(TypeError, match=r"the value of .* is of type str"):
        av.trace(b)
    with pytest.raises(NotATensorError, match=r"needs \.value, \.grad and \.inputs"):
        av.graph(SimpleNamespace(value=1.0))
    with pytest.raises(TypeError, match="names is of type list"):
        av.graph(Value(1.0), names=["a"])  # type: ignore[arg-type]


def test_what_is_no_value():
    assert engine_values(torch.ones(2)) is None
    assert engine_values([]) is None
    assert engine_values(Value) is None


@pytest.mark.parametrize(
    ("operation", "dimensions", "name"),
    [
        ("+", [0, 0], "Add"),
        ("-", [0], "Neg"),
        ("ReLU", [0], "Relu"),
        ("**-0.5", [0], "Pow"),
        ("log()", [0], "Log"),
        ("@", [1, 1], "Dot"),
        ("@", [1, 2], "Matmul"),
        ("+", [0, 0, 0], ""),
        ("**n", [0], ""),
    ],
)
def test_rules(operation, dimensions, name):
    assert rule(operation, dimensions).name == name
