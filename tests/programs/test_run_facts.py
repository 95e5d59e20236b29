"""What of a run is the same in another one, and what is not."""

import torch

from autograd_viz.programs.moments import tensors_in
from autograd_viz.programs.run_facts import facts
from autograd_viz.programs.runs import record
from autograd_viz.programs.sources import source_of


def test_two_runs_have_the_same_signature_where_the_same_happened():
    def f(x, k):
        y = x * k
        return torch.stack([y, x]).sum()

    def of(x, k, lines=False):
        given = {"x": torch.tensor(x, requires_grad=True), "k": k}
        source = source_of(f.__code__) if lines else None
        return facts(record(lambda: f(**given), given, f.__code__, source))

    first, other = of(1.0, 2.0, lines=True), of(5.0, 2.0)
    assert first.signature == other.signature
    assert first.numbers == other.numbers
    assert of(1.0, 3.0).numbers != first.numbers
    assert of([1.0], 2.0).signature != first.signature
    assert of(1.0, torch.tensor(2.0)).signature != first.signature


def test_a_tensor_changed_in_place_is_two():
    def f(x):
        y = x * 2
        y.add_(1)
        return y

    given = {"x": torch.tensor(3.0, requires_grad=True)}
    found = facts(record(lambda: f(**given), given, f.__code__, None))
    tensors = [moment.tensor for moment in found.moments]
    assert [tensor is tensors[-1] for tensor in tensors] == [False, True, True]
    assert found.operands == [(0,), (1,)]
    assert found.results == [(1,), (2,)]
    assert [moment.value for moment in found.moments] == [3, 6, 7]


def test_tensors_in_containers():
    x, y = torch.ones(1), torch.zeros(1)
    assert tensors_in({"a": [x, (y, "text", 3)], "b": slice(1, 2)}) == [x, y]
    assert tensors_in(None) == []
