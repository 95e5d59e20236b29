"""Where there is no product; what the others compute is tested in tests/formulas/test_notation."""

import pytest

from autograd_viz.operators.products import Step, vector_jacobian
from autograd_viz.operators.table import TABLE
from autograd_viz.operators.terms import Term

G = Term("∂", (2, 3))


def through(name, operands=(G,), out=("y", (2, 3)), ones=False, **options):
    step = Step(name, 0, operands, Term(*out), options)
    return vector_jacobian([step], ones, lambda s: TABLE[s.name].tensor[s.place])


def test_an_operation_of_which_too_little_is_kept_has_no_product():
    assert through("MseLoss", (G, G)) is None
    assert through("NllLoss", reduction=1, total_weight=5.5, out=("y", ()), ones=True) is None
    assert through("Softmax") is None


def test_an_operation_without_a_rule_has_none():
    step = Step("Cumsum", 0, (G,), G, {})
    assert vector_jacobian([step], False, lambda s: None) is None


@pytest.mark.parametrize("place", [0, 1])
def test_a_new_operation_of_two_inputs_needs_its_record_alone(place):
    assert len(TABLE["Div"].tensor) == 2
    step = Step("Div", place, (Term("x", (2, 3)), Term("y", (2, 3))), G, {})
    found = vector_jacobian([step], False, lambda s: TABLE[s.name].tensor[s.place])
    assert found is not None
    assert found.text == ["∂ / y", "-∂ * x / y**2"][place]
