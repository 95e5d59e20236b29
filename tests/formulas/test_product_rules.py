"""Where there is no product; what the others compute is tested in test_notation."""

from autograd_viz.formulas.product_rules import Step, vector_jacobian
from autograd_viz.formulas.products import Text

G = Text("∂", (2, 3))


def step(name, place=0, operands=(), shapes=((2, 3),), out=("y", (2, 3)), **options):
    return Step(name, place, operands, shapes, Text(*out), options)


def test_unknown_operations_and_operands_have_no_product():
    assert vector_jacobian([step("Cumsum")], ones=False) is None
    assert vector_jacobian([step("Mul", operands=(Text("x", (2, 3)), None))], ones=False) is None
    assert vector_jacobian([step("MseLoss", operands=(G, G))], ones=False) is None
    weighted = step("NllLoss", reduction=1, total_weight=5.5, out=("y", ()))
    assert vector_jacobian([weighted], ones=True) is None
