"""The first step at which a gradient becomes zero, NaN or None."""

import torch

import autograd_viz as av
from autograd_viz.diagnosis import gradient_stops
from autograd_viz.model import Edge


def number(value):
    return torch.tensor(value, requires_grad=True)


def leaf(trace, name):
    return next(node.id for node in trace.graph.leaves if node.label == name)


def ends(trace, edge: Edge | None):
    assert edge is not None
    return tuple(trace.graph.nodes[end].name for end in (edge.source, edge.target))


def test_the_nodes_on_the_way():
    x, w = number(2.0), number(3.0)
    y = (x * 2).sin() + w.cos()
    graph = av.graph(y)
    node = next(node.id for node in graph.leaves if node.label == "x")
    names = {graph.nodes[n].name for n in gradient_stops.on_the_way(graph, node)}
    assert names == {"AddBackward0", "SinBackward0", "MulBackward0", "AccumulateGrad"}


def test_the_first_zero_is_the_one_nearest_to_the_output():
    x = number(-1.0)
    y = torch.relu(torch.relu(x) - 1) * 3
    trace = av.trace(y)
    edge = gradient_stops.first_zero(trace, leaf(trace, "x"))
    assert ends(trace, edge) == ("ReluBackward0", "SubBackward0")


def test_a_zero_beside_the_way_is_none():
    x, w = number(1.0), number(-1.0)
    trace = av.trace(torch.relu(w) + x)
    assert gradient_stops.first_zero(trace, leaf(trace, "x")) is None


def test_the_steepest_step():
    x = number(-9.0)
    trace = av.trace(torch.sigmoid(x * 0.5) * 0.9)
    edge = gradient_stops.steepest(trace, leaf(trace, "x"))
    assert ends(trace, edge) == ("SigmoidBackward0", "MulBackward0")


def test_the_largest_magnitude():
    assert gradient_stops.largest(torch.tensor([1.0, -3.0])) == 3
    assert gradient_stops.largest(torch.tensor([])) == 0
    assert gradient_stops.largest(torch.eye(2).to_sparse() * -4) == 4
    assert gradient_stops.largest(torch.tensor(3 + 4j)) == 5


def test_operations_by_name():
    assert gradient_stops.operation("LogSoftmaxBackward0") == "log_softmax"
    assert gradient_stops.operation("ReluBackward0") == "relu"
