"""Examples B4, B5, D2 and D3: the squared error of one sample, and the update."""

from tests.notebooks.numbers.stored import said


def test_b4_and_d2_the_squared_error_and_its_gradient():
    live = said("05", "live = av.explore(squared_error")
    assert "at w = 1, x = 1, y = 2" in live
    for line in ("∂loss/∂s = -2", "∂loss/∂yhat = -2", "∂s/∂yhat = 1", "∂yhat/∂w = 1"):
        assert line in live
    assert "∂loss/∂w = ∂loss/∂yhat * ∂yhat/∂w = -2 * 1 = -2" in live
    moved = said("05", "av.nudge(squared_error")
    assert "yhat      1       1.001" in moved
    assert "s         -1      -0.999" in moved
    assert "loss      1       0.998" in moved
    assert "∂loss/∂w = -2" in moved


def test_d2_the_sample_is_constant_and_receives_no_gradient():
    live = said("05", "live = av.explore(squared_error")
    assert "x = 1         no gradient" in live
    assert "y = 2         no gradient" in live
    assert said("05", "w.requires_grad, x.requires_grad") == "(True, False, False)"
    assert said("05", "loss, w.grad, x.grad, y.grad") == (
        "(tensor(1., grad_fn=<PowBackward0>), tensor(-2.), None, None)"
    )


def test_b5_the_same_with_a_bias_before_its_backward_pass():
    line = said("05", "line = av.explore(line_error")
    assert "at w = 1, b = 2, x = 1, y = 2" in line
    assert "loss = s^2         loss = 1" in line
    assert "∂" not in line  # the gradients are asked for in exercise 4.2


def test_d3_the_update_leaves_the_gradient_as_it_was():
    assert said("05", "w, w.grad, squared_error(w, x, y)").split("\n") == [
        "(tensor(1.0200, requires_grad=True),",
        " tensor(-2.),",
        " tensor(0.9604, grad_fn=<PowBackward0>))",
    ]
    assert "step 0: w = 1, loss = 1, gradient = -2, next w = 1.02" in said("05", "av.descend(")


def test_d3_what_goes_wrong_without_no_grad():
    assert said("05", "w -= 0.01 * w.grad\nexcept").startswith(
        "a leaf Variable that requires grad is"
    )
    assert said("05", "w, w.is_leaf") == "(tensor(1.0200, grad_fn=<SubBackward0>), False)"
    why = said("05", "av.why(w, loss)")
    assert why.startswith("w.grad is None because w is not a leaf: it was computed")
    assert "line 1: `w = w - 0.01 * w.grad`" in why


def test_d3_gradients_accumulate_until_they_are_zeroed():
    assert said("05", "for _ in range(2)") == "tensor(-2.)\ntensor(-4.)\n"
    assert said("05", "w.grad = None\nsquared_error") == "tensor(-2.)"
    assert said("05", "optimizer.zero_grad()").splitlines() == [
        "after the update:  tensor(1.0200, requires_grad=True) tensor(-2.)",
        "after zero_grad(): tensor(1.0200, requires_grad=True) None",
    ]
