"""The lecture's numbers in notebook 04: PyTorch's own graph, walked by hand."""

from tests.notebooks.numbers.stored import said


def test_the_explorer_shows_the_functions_at_the_lecture_s_values():  # A4.5
    live = said("04", "live = av.explore(example")
    assert live.startswith("Functions, step 7 of 7 at a = 2, b = 4\n")
    assert "1     0  MulBackward0    e   1                     2 to c, 6 to d" in live
    assert "2     2  MulBackward0    d   6                     12 to #5, 6 to #6" in live
    assert "Log2Backward0       6                     2.1640 to b" in live
    assert "Log2Backward0       12                    8.6562 to a" in live
    assert "AddBackward0    c   2                     2 to a, 2 to b" in live
    assert "AccumulateGrad  a   8.6562 + 2 = 10.6562" in live
    assert "AccumulateGrad  b   2.1640 + 2 = 4.1640" in live


def test_a_second_use_of_a_freed_graph_is_an_error():  # A5
    gradient, error = said("04", "except RuntimeError").splitlines()
    assert gradient == "tensor(12.)"
    assert error.startswith("Trying to backward through the graph a second time")


def test_the_walk_by_hand():  # A5
    from_e = "(tensor(2.), tensor(6.), [('AddBackward0', 0), ('MulBackward0', 0)])"
    assert said("04", "to_c, to_d = e.grad_fn(torch.tensor(1.0))") == from_e
    from_c_and_d = "((tensor(2.), tensor(2.)), (tensor(12.), tensor(6.)))"
    assert said("04", "from_d = d.grad_fn(to_d)") == from_c_and_d
    from_logarithms = said("04", "from_log_a = log_a(")
    assert "[('Log2Backward0', 0), ('Log2Backward0', 0)]" in from_logarithms
    assert "tensor(8.6562)" in from_logarithms
    assert "tensor(2.1640)" in from_logarithms


def test_accumulate_grad_adds():  # A5
    through_c = "('torch::autograd::AccumulateGrad', True, tensor(2.), tensor(2.))"
    assert said("04", "leaf_a(from_c[0])") == through_c
    assert said("04", "leaf_a(from_log_a)") == "(True, tensor(10.6562), tensor(4.1640))"


def test_the_traps_of_recursion():  # A5
    assert said("04", "walk(((a + b) * (a * b)).grad_fn") == "(tensor(32.), tensor(20.))"
    assert said("04", "except IndexError").strip() == "IndexError: invalid index of a 0-dim tensor"
    calls_and_steps = "[(1, 3, 2), (2, 7, 3), (5, 63, 6), (10, 2047, 11), (15, 65535, 16)]"
    assert said("04", "count_calls(squares(n).grad_fn)") == calls_and_steps
    assert "('torch::autograd::AccumulateGrad', 2)" in said("04", "def arrows(function)")


def test_what_the_index_means():  # A5
    unbound = said("04", "p, q, r = torch.unbind(v)")
    assert "('MulBackward0', 0), ('UnbindBackward0', 2)" in unbound
    assert "('UnbindBackward0', 0), ('UnbindBackward0', 1)" in unbound
    several = said("04", "torch.split(v, [1, 2])")
    assert "('SplitWithSizesBackward0', 1)" in several
    assert "('LinalgSvdBackward0', 1)" in several
