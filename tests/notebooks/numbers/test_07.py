"""The figures of the lectures' examples C2 and C3, in the outputs that notebook 07 stores."""

import math
import re

from tests.notebooks.numbers.stored import said


def test_c2_values():
    values = said("07", 'w.view = "computation"')
    assert "at x = 3, y = 2" in values
    for line in ("u = P(x)     u = 9", "v = P(y)     v = 4", "z = S(u, v)  z = 13"):
        assert line in values
    assert "t = M(z)     t = 26" in values


def test_c2_gradients():
    backward = said("07", "back.snapshot()")
    for gradient in ("∂t/∂z = 2 ", "∂t/∂u = 2 ", "∂t/∂v = 2 ", "∂t/∂x = 12 ", "∂t/∂y = 8 "):
        assert gradient in backward
    assert "∂t/∂x = ∂t/∂u * ∂u/∂x = 2 * 6 = 12" in backward
    assert "and the gradient is ∂t/∂x = 12" in said("07", 'av.nudge(bowl, "x"')


def test_c2_contour_plot_and_arrow():
    contour = said("07", "contour_plot")
    assert "x = 3, y = 2: t = 26, ∂t/∂x = 12, ∂t/∂y = 8" in contour
    assert "−(∂t/∂x, ∂t/∂y) = (-12, -8)" in contour


def test_c2_descent():
    walk = said("07", "learning_rate=0.1, steps=8")
    rows = re.findall(r"^(\d)  (.+)$", walk, re.MULTILINE)
    assert [int(step) for step, _ in rows] == list(range(9))
    for step, row in rows:  # one step multiplies both by 1 - 0.1 * 4
        x, y, t, by_x, by_y = map(float, row.split())
        shrunk = 0.6 ** int(step)
        wanted = (3 * shrunk, 2 * shrunk, 26 * shrunk**2, 12 * shrunk, 8 * shrunk)
        for found, number in zip((x, y, t, by_x, by_y), wanted, strict=True):
            assert math.isclose(found, number, abs_tol=6e-5)
    assert "step 1: x = 1.8000, y = 1.2000" in said("07", "for step in range(3)")


def test_c3_leaf_and_rebinding():
    live = said("07", "av.explore(rebound")
    assert "z₁ = 2 * t = [2, 2, 2, 2]  not used by the result" in live
    assert "∂u/∂t = -∂u/∂z₂ = [-1, -1, -1, -1]" in live
    assert said("07", "z = -t\nu = z.sum()") == "tensor([[-1., -1.],\n        [-1., -1.]])"


def test_c3_warning():
    warning = said("07", "catch_warnings")
    assert warning.startswith("z.grad is None\nThe .grad attribute of a Tensor that is not a leaf")
    assert "use .retain_grad() on the non-leaf Tensor" in warning
    reason = said("07", "av.why(z, u)")
    assert reason.startswith("z.grad is None because z is not a leaf")
    assert "add: z.retain_grad()" in reason
