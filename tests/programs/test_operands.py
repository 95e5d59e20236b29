"""What nodes are told of inputs that their graph does not keep."""

import pytest
import torch
import torch.nn.functional as F

import autograd_viz as av


def told(program):
    """Name -> (symbols, constants) of the nodes that know any names."""
    return {
        node.name: (dict(node.symbols), {key: node.constants.get(key) for key in node.symbols})
        for node in program.graph.nodes
        if node.symbols
    }


THREE = torch.tensor(3.0)
CASES = [
    (lambda w, k=3.0: w * k, "MulBackward0", "other", 3.0),
    (lambda w, k=3.0: k * w, "MulBackward0", "other", 3.0),
    (lambda w, k=3.0: w + k, "AddBackward0", "other", 3.0),
    (lambda w, k=3.0: w - k, "SubBackward0", "other", 3.0),
    (lambda w, k=3.0: k - w, "RsubBackward1", "other", 3.0),
    (lambda w, k=3.0: w / k, "DivBackward0", "other", 3.0),
    (lambda w, k=3.0: w**k, "PowBackward0", "exponent", 3.0),
    (lambda w, k=3: w**k, "PowBackward0", "exponent", 3),
    (lambda w, k=3.0: torch.pow(w, k), "PowBackward0", "exponent", 3.0),
    (lambda w, k=3.0: torch.mul(w, other=k), "MulBackward0", "other", 3.0),
    (lambda w, k=THREE: k - w, "SubBackward0", "self", 3.0),
    (lambda w, k=THREE: k / w, "DivBackward0", "self", 3.0),
    (lambda w, k=THREE: torch.maximum(w, k), "MaximumBackward0", "other", 3.0),
    (lambda w, k=THREE: F.mse_loss(w, k), "MseLossBackward0", "target", 3.0),
]


@pytest.mark.parametrize(("function", "node", "role", "number"), CASES)
def test_a_named_constant(function, node, role, number):
    assert told(av.program(function, w=2.0)) == {node: ({role: "k"}, {role: number})}


def test_literals_are_numbers_without_a_name():
    program = av.program(lambda x: 1 - (x + 5), x=2.0)
    assert told(program) == {}
    numbers = {node.name: node.constants.get("other") for node in program.graph.nodes}
    assert numbers["AddBackward0"] == 5
    assert numbers["RsubBackward1"] == 1


def test_tensors_have_names_and_no_numbers():
    def f(W, x, y):
        h = W @ x
        return F.mse_loss(h, y)

    program = av.program(
        f, W=[[1.0, 2.0], [3.0, 4.0]], x=torch.tensor([1.0, 2.0]), y=torch.tensor([0.0, 0.0])
    )
    assert told(program) == {
        "MvBackward0": ({"vec": "x"}, {"vec": None}),
        "MseLossBackward0": ({"target": "y"}, {"target": None}),
    }


def test_versions_are_told_apart():
    def f(w, k=2.0):
        y = w * k
        k = k + 1
        return y + w * k

    nodes = av.program(f, w=1.0).graph.nodes
    found = {(dict(n.symbols)["other"], n.constants["other"]) for n in nodes if n.symbols}
    assert found == {("k₁", 2.0), ("k₂", 3.0)}


def test_what_is_not_certain_is_left_out():
    def scaled(x, factor):
        return x * 2.0 * factor

    def f(x, k=2.0):
        y = scaled(x, k)  # 2.0 is not k there
        z = y * (k * 3)
        return z

    assert told(av.program(f, x=1.0)) == {}


def test_an_input_with_a_gradient_is_no_constant():
    def f(a, b, x=3.0):
        y = a * b
        return y * x

    assert told(av.program(f, a=1.0, b=2.0)) == {"MulBackward0": ({"other": "x"}, {"other": 3.0})}


def test_expressions_by_operations_use_the_names():
    def f(w, x=3.0, n=2.0):
        parts = [torch.sin(w * x), w**n, 1 / (w - x)]
        return torch.stack(parts)

    graph = av.program(f, w=1.0).graph
    (*_, last) = graph.variables().nodes
    assert last.expression == "stack(sin(w * x), w ** n, 1 / (w - x))"


@pytest.mark.parametrize("bias", [True, False])
def test_the_constant_input_of_a_linear_layer_has_its_name(bias):
    layer = torch.nn.Linear(2, 3, bias=bias)
    node, role = ("AddmmBackward0", "mat1") if bias else ("MmBackward0", "self")

    def f(x):
        return layer(x).sum()

    assert told(av.program(f, x=torch.ones(4, 2)))[node][0] == {role: "x"}
    assert all(
        "x" not in symbols for symbols, _ in told(av.program(f, x=torch.ones(2, 4, 2))).values()
    )
