"""Small tensors of expressions: every operation gives what torch gives."""

import pytest
import torch

import autograd_viz as av
from autograd_viz.formulas import symbolic
from autograd_viz.formulas.recipes import read
from tests.test_expressions import leaves_of


def stacked(a, b):
    return torch.stack([a, b, a * b, a - b]).reshape(2, 2)


CASES = {
    "sum": lambda m: m.sum(),
    "sum of rows": lambda m: torch.cat([m, m], 1).sum(0).prod(),
    "sum of columns": lambda m: (m.sum(1, keepdim=True) * m).sum(),
    "mean": lambda m: m.mean(),
    "mean of columns": lambda m: torch.cat([m, m], 1).mean(1)[0],
    "prod": lambda m: m.prod(),
    "max": lambda m: m.max(),
    "amin": lambda m: m.amin(),
    "norm": lambda m: m.norm(),
    "logsumexp": lambda m: torch.logsumexp(m.flatten(), 0),
    "softmax": lambda m: torch.softmax(m.flatten(), 0)[1],
    "log_softmax": lambda m: torch.log_softmax(m, 1)[0, 1],
    "element": lambda m: m[1, 0] * m[0, -1],
    "slice": lambda m: m.flatten()[1:3].sum(),
    "unbind": lambda m: torch.unbind(m.flatten())[2] * 2,
    "transpose": lambda m: (m.T * m).sum(),
    "swapped": lambda m: (m.transpose(0, 1) @ m).sum(),
    "matrix product": lambda m: (m @ m)[0, 1],
    "matrix times vector": lambda m: (m @ m[0])[1],
    "dot": lambda m: torch.dot(m[0], m[1]),
    "addmm": lambda m: torch.addmm(m[0], m, m).sum(),
    "cat": lambda m: (torch.cat([m[0], m[1]]) ** 2).sum(),
    "squeeze": lambda m: m.unsqueeze(0).squeeze().sum() * m.view(4)[0],
    "expand": lambda m: (m[0].expand(3, 2) * 2).sum(),
    "broadcast": lambda m: (m + m[0]).relu().sum(),
}


@pytest.mark.parametrize("name", CASES)
def test_the_derivative_is_autograds(name):
    a, b = leaves_of(0.5, 1.5)
    y = CASES[name](stacked(a, b))
    variables = av.trace(y, names={"a": a, "b": b, "y": y}).variables()
    source = variables.root
    found = read(variables, source)
    assert found is not None
    checked = 0
    for link in variables.links:
        assert link.source == source.id, "all operations are inside one variable"
        known = symbolic.derivative(found.recipe, found.places[link.target, 0], found.numbers)
        assert known is not None
        leaf = (a, b)[link.target]
        (expected,) = torch.autograd.grad(y, leaf, retain_graph=True)
        assert symbolic.value(known, found.numbers) == pytest.approx(expected.item(), rel=1e-6)
        checked += 1
    assert checked == 2


def test_what_the_shapes_leave_open_has_no_formula():
    a, b = leaves_of(0.5, 1.5)
    m = torch.stack([a, b]).repeat(2, 1)
    y = torch.nn.functional.fold(m.T.reshape(1, 2, 2), (2, 2), (1, 2), 1).sum()
    variables = av.trace(y, names={"a": a, "b": b}).variables()
    found = read(variables, variables.root)
    assert found is not None
    assert symbolic.derivative(found.recipe, 0, found.numbers) is None
