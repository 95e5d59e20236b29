"""The lecture's numbers in notebook 03: the main example, its four views, its two paths."""

from tests.notebooks.numbers.stored import said


def test_values_and_derivatives_of_the_main_example():  # A3, A4.1, A4.2
    frames = said("03", 'computation(frame="all")')
    assert "Frame 4 of 4" in frames
    first, last = frames.split("Frame 2 of 4")[0], frames.split("Frame 4 of 4")[1]
    assert "a = 2" in first
    assert "b = 4" in first
    assert "c = 6" not in first
    assert all(value in last for value in ("c = 6\n", "d = 2\n", "e = 12"))
    derivatives = said("03", "trace.derivatives()")
    assert "∂e/∂c = d = 2, ∂e/∂d = c = 6" in derivatives
    assert "∂c/∂a = 1, ∂c/∂b = 1" in derivatives
    assert "∂d/∂a = log2(b)/(a ln 2) = 1.4427" in derivatives
    assert "∂d/∂b = log2(a)/(b ln 2) = 0.3607" in derivatives


def test_backward_pass_frame_by_frame():  # A4.3
    third, fifth, last = (said("03", f"backward(frame={frame})") for frame in (3, 5, 7))
    assert "∂e/∂e = 1\n" in third
    assert "∂e/∂c = 2 " in third
    assert "∂e/∂d = 6 " in third
    assert "∂e/∂a" not in third
    assert "∂e/∂b" not in third
    assert "∂e/∂b = 2 + 2.1640 = 4.1640" in fifth
    assert "∂e/∂a" not in fifth
    assert "∂e/∂b += ∂e/∂d * ∂d/∂b = 6 * 0.3607 = 2.1640" in fifth
    assert "∂e/∂a = 2 + 8.6562 = 10.6562" in last
    assert "∂e/∂a += ∂e/∂d * ∂d/∂a = 6 * 1.4427 = 8.6562" in last


def test_the_explorer_begins_at_the_lecture_s_values():
    live = said("03", "w = av.explore(example")
    assert live.startswith("Backward pass, step 7 of 7 at a = 2, b = 4, log = log2\n")
    assert "∂e/∂a = 2 + 8.6562 = 10.6562" in live
    assert "∂e/∂b = 2 + 2.1640 = 4.1640" in live


def test_two_paths_lead_to_each_leaf():  # A3
    to_a, to_b = said("03", "av.paths(e, a)"), said("03", "av.paths(e, b)")
    assert "e → c → a  1 * 2 * 1 = 2\n" in to_a
    assert "e → d → a  1 * 6 * 1.4427 = 8.6562" in to_a
    assert "∂e/∂a = 2 + 8.6562 = 10.6562" in to_a
    assert "e → c → b  1 * 2 * 1 = 2\n" in to_b
    assert "e → d → b  1 * 6 * 0.3607 = 2.1640" in to_b
    assert "∂e/∂b = 2 + 2.1640 = 4.1640" in to_b
    assert said("03", "e.backward(retain_graph") == "(tensor(10.6562), tensor(4.1640))"


def test_details_for_d():  # A4.4
    details = said("03", 'trace.details("d")')
    for text in (
        "d = log2(a) * log2(b) = 2  ∂e/∂d = 6",
        "log2(a) = 1                ∂e/∂log2(a) = 12 ",
        "log2(b) = 2                ∂e/∂log2(b) = 6 ",
        "∂d/∂log2(a) = log2(b) = 2",
        "∂d/∂log2(b) = log2(a) = 1",
        "∂log2(a)/∂a = 1/(a ln 2)",
        "∂log2(b)/∂b = 1/(b ln 2)",
        "∂e/∂a += 12/(2 ln 2) = 8.6562",
        "∂e/∂b += 6/(4 ln 2) = 2.1640",
    ):
        assert text in details


def test_pytorch_s_own_graph():  # A4.5
    functions = said("03", "whole = av.trace(e)")
    assert "MulBackward0    e   1                     2 to c, 6 to d" in functions
    assert "AccumulateGrad  a   8.6562 + 2 = 10.6562" in functions


def test_natural_logarithm():  # the slip of the slides
    result = "(tensor(5.7654, grad_fn=<MulBackward0>), tensor(5.1198), tensor(2.0006))"
    assert said("03", "natural.backward()") == result
    live = said("03", 'other.inputs = {"log": "log"}')
    assert "∂e/∂c = 0.9609" in live  # which is d
    assert "= 5.1198" in live
    assert "= 2.0006" in live
