"""The numbers of notebook 11."""

from tests.notebooks.numbers.stored import said


def test_a_vector_jacobian_product_and_a_broadcast_input():
    layer = said("11", "av.explore(layer")
    assert "∂L/∂x = [6, 2, 14]" in layer
    assert "∂L/∂b = sum(∂L/∂y)" in layer
    assert "∂L/∂b = 8 " in layer
    assert said("11", "v @ W") == "tensor([ 6.,  2., 14.])"
    assert "y         [3, 1]     [3.001, 1.001]" in said("11", 'av.nudge(layer, "b"')


def test_the_second_derivative_of_a_cube_at_2():
    assert "dy = 12" in said("11", "av.graph(dy)")
    assert "∂dy/∂x = 12" in said("11", "av.trace(dy)")
    assert "∂dy/∂x = 12" in said("11", "av.explore(slope")
    assert said("11", "value, found = ") == "[8.0, 12.0, 12.0, 6.0]"


def test_the_wrong_rule_gives_other_gradients_than_the_lecture():
    wrong = said("11", "av.explore(example")
    assert "∂e/∂a = 2 + 6 = 8\u0020" in wrong.replace("\n", " \n")
    assert "the gradient is ∂e/∂a = 8" in said("11", "av.nudge(example")
    assert "Δe/Δa = 0.010654/0.001 = 10.6544" in said("11", "av.nudge(example")
    assert "numerical:tensor([[0.7213]]" in said("11", "gradcheck(Log2")


def test_gradients_by_depth():
    assert "8.6e-10, 6.6e-02, 5.6e-23" in said("11", 'first = [f"{gradients_by_layer')
    assert "7.5e-09, 1.0e+00, 1.0e+03" in said("11", 'first = [f"{gradient_norms')


def test_a_hook_halves_the_gradient_of_d():
    assert said("11", 'print("the gradient of d is"').strip() == "the gradient of d is 6.0"
    assert "AccumulateGrad  a   4.3281 + 2 = 6.3281" in said("11", "gradient / 2")
    without = "(tensor(10.6562), tensor(4.1640))"
    assert said("11", "with_hook, without_hook").endswith(f", {without})")
