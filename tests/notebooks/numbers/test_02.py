"""The figures of the lecture's examples B1 to B3, as notebook 02 stores them."""

from tests.notebooks.numbers.stored import said


def test_one_layer_by_hand():
    shown = said("02", "def one_layer")
    assert "∂loss/∂w = 8" in shown
    assert "∂loss/∂b = 4" in shown


def test_u_v_and_j():
    values = said("02", "def program")
    assert "at a = 5, b = 3, c = 2" in values
    for value in ("u = 6", "v = 11", "J = 33"):
        assert value in values


def test_local_derivatives():
    shown = said("02", "variables.derivatives()")
    for derivative in ("∂J/∂v = 3", "∂v/∂a = 1", "∂v/∂u = 1", "∂u/∂b = c = 2", "∂u/∂c = b = 3"):
        assert derivative in shown


def test_gradients():
    shown = said("02", "everything = av.explore")
    for gradient in ("∂J/∂v = 3", "∂J/∂u = 3", "∂J/∂a = 3", "∂J/∂b = 6", "∂J/∂c = 9"):
        assert gradient in shown
    assert said("02", "program(a, b, c).backward()") == "(tensor(3.), tensor(6.), tensor(9.))"


def test_the_slip_two_for_three():
    shown = said("02", "def printed")
    for gradient in ("J = 2 * (a + b * c)", "∂J/∂a = 2", "∂J/∂b = 4", "∂J/∂c = 6"):
        assert gradient in shown
    assert said("02", "printed(**at)") == "(22.0, 33.0)"


def test_nudging_u():
    shown = said("02", 'av.nudge(program, "u", 0.001, **at)')
    assert "v         11      11.001" in shown
    assert "J         33      33.003" in shown
    assert "∂J/∂u = 3" in shown


def test_nudging_b():
    shown = said("02", 'av.nudge(program, "b", 0.001, **at)')
    assert "u         6       6.002" in shown
    assert "v         11      11.002" in shown
    assert "J         33      33.006" in shown
    assert "∂J/∂b = 6" in shown


def test_the_nudge_in_the_explorer():
    shown = said("02", 'near.inputs = {"b": 3.001}')
    for value in ("u = 6.002", "v = 11.002", "J = 33.006"):
        assert value in shown


def test_the_two_misprints():
    assert said("02", "33.0003") == "(0.3, 0.6)"


def test_the_quotient_closes_in_and_moves_away():
    lines = said("02", "quotient:8.4f").strip().splitlines()
    errors = [float(line.rpartition(" ")[2]) for line in lines]
    assert errors[0] == 4.0
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[-1] == 44.0
    assert "float32" in said("02", "error_plot()")
