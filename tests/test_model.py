"""The data by itself: what is derived from nodes, edges and steps."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor

import autograd_viz as av
from autograd_viz.model import Edge, Graph, Node, Output, Slot, Step, Trace, summed


def output(label: str | None = None, shape: tuple[int, ...] = ()) -> Output:
    return Output(shape, "float32", "cpu", label)


def diamond() -> Graph:
    """Two nodes, each made from an output of a third, that is made from a leaf."""
    nodes = (
        Node(0, "function", "MulBackward0", (output("y"),), inputs=2),
        Node(1, "function", "SinBackward0", (output("u"),), inputs=1),
        Node(2, "function", "CosBackward0", (output(),), inputs=1),
        Node(3, "function", "UnbindBackward0", (output("p"), output("q")), inputs=1),
        Node(4, "accumulate", "AccumulateGrad", (output("a", (2,)),)),
    )
    edges = (
        Edge(0, 0, 1, 0),
        Edge(0, 1, 2, 0),
        Edge(1, 0, 3, 0),
        Edge(2, 0, 3, 1),
        Edge(3, 0, 4, 0),
    )
    return Graph(nodes, edges, (Slot(0, 0),), {})


def number(value: float) -> Tensor:
    return torch.tensor(value)


def half_way() -> Trace:
    """A pass that reached only u and p, with a hook on p that doubled what arrived."""
    steps = (
        Step(0, (number(1.0),), (number(3.0), None)),
        Step(1, (number(3.0),), (number(5.0),)),
        Step(3, (number(10.0), None), (torch.tensor([10.0, 0.0]),)),
    )
    return Trace(diamond(), steps, (), (number(1.0),), {})


def test_a_node_answers_for_its_first_output():
    node = diamond().nodes[4]
    assert (node.shape, node.dtype, node.device) == ((2,), "float32", "cpu")
    bare = Node(0, "function", "Bare", ())
    assert (bare.shape, bare.dtype, bare.device, bare.label) == (None, None, None, None)


def test_labels_of_several_outputs_are_joined():
    assert [node.label for node in diamond().nodes] == ["y", "u", None, "p, q", "a"]
    assert Node(0, "function", "F", (output(), output("q"))).label == "q"


def test_edges_are_grouped_at_both_ends():
    graph = diamond()
    assert graph.out_edges[0] == (Edge(0, 0, 1, 0), Edge(0, 1, 2, 0))
    assert graph.in_edges[3] == (Edge(1, 0, 3, 0), Edge(2, 0, 3, 1))
    assert graph.in_edges[0] == graph.out_edges[4] == ()


def test_root_and_leaves():
    graph = diamond()
    assert graph.root is graph.nodes[0]
    assert graph.leaves == (graph.nodes[4],)
    assert Graph(graph.nodes, graph.edges, (Slot(2, 0), Slot(0, 0)), {}).root is graph.nodes[2]


def test_graphs_are_equal_whatever_their_values():
    graph = diamond()
    assert Graph(graph.nodes, graph.edges, graph.outputs, {Slot(0, 0): number(1.0)}) == graph
    assert Graph(graph.nodes, graph.edges[:-1], graph.outputs, {}) != graph
    assert hash(diamond()) == hash(graph)


def test_data_is_frozen():
    graph = diamond()
    trace = half_way()
    with pytest.raises(FrozenInstanceError):
        graph.nodes[0].name = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        graph.nodes = ()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        trace.steps[0].node = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        trace.steps = ()  # type: ignore[misc]


def test_what_was_sent_and_what_arrived():
    trace = half_way()
    assert trace.step_of == {0: 0, 1: 1, 3: 2}
    assert trace.sent(Edge(0, 0, 1, 0)) == 3
    assert trace.sent(Edge(0, 1, 2, 0)) is None  # PyTorch's None
    assert trace.sent(Edge(2, 0, 3, 1)) is None  # not reached
    assert trace.arrived(Slot(0, 0)) == 1
    assert trace.arrived(Slot(3, 0)) == 10
    assert trace.arrived(Slot(3, 1)) is None
    assert trace.arrived(Slot(4, 0)) is None


def test_what_a_hook_changed():
    trace = half_way()
    assert trace.before_hooks(Slot(3, 0)) == 5
    for slot in [Slot(0, 0), Slot(1, 0), Slot(2, 0), Slot(3, 1), Slot(4, 0)]:
        assert trace.before_hooks(slot) is None


def test_nan_and_inf_are_no_sign_of_a_hook():
    for value in (float("nan"), float("inf"), 1e-30):
        steps = (Step(0, (number(value),), (number(value), number(value))),)
        assert Trace(diamond(), steps, (), (number(value),), {}).before_hooks(Slot(0, 0)) is None


def test_a_hook_on_a_tiny_gradient_shows():
    steps = (Step(0, (number(1e-12),), (None, None)),)
    assert Trace(diamond(), steps, (), (number(1e-15),), {}).before_hooks(Slot(0, 0)) == 1e-15


def test_sparse_gradients_have_no_hooks():
    embedding = torch.nn.Embedding(5, 3, sparse=True)
    trace = av.trace(embedding(torch.tensor([1, 2, 1])).sum())
    assert [trace.before_hooks(Slot(step.node, 0)) for step in trace.steps] == [None] * 3
    assert "EmbeddingBackward0" in str(trace)


def test_gradients_without_values_have_no_hooks():
    x = torch.ones(3, device="meta", requires_grad=True)
    trace = av.trace((x * x).sum())
    assert [trace.before_hooks(Slot(step.node, 0)) for step in trace.steps] == [None] * 3
    assert "MulBackward0" in str(trace)


def test_results_show_themselves():
    a = torch.tensor(2.0, requires_grad=True)
    y = a.exp()
    for shown in (av.graph(y), av.trace(y), av.trace(y).variables(), av.graph(y).variables()):
        assert shown._repr_mimebundle_()["text/plain"] == str(shown) == shown.picture().words


def test_a_picture_is_saved_by_its_ending(tmp_path):
    a = torch.tensor(2.0, requires_grad=True)
    path = av.graph(a.exp()).save(tmp_path / "graph.svg")
    assert path.read_text(encoding="utf-8").startswith("<svg")


def test_variables_are_those_of_the_graph_or_of_the_trace():
    a = torch.tensor(2.0, requires_grad=True)
    d = a.exp() * 3
    trace = av.trace(d)
    assert trace.variables().trace is trace
    assert trace.graph.variables().trace is None
    opened = trace.variables().open("d")
    assert (opened.opened, opened.root.name, opened.trace) == (("d",), "d", trace)
    assert trace.variables(open="d").opened == ("d",)


def test_a_repr_is_short_however_large_the_graph_is():
    y = torch.ones((), requires_grad=True)
    for _ in range(2000):
        y = y + 1
    trace = av.trace(y)
    shown = [repr(trace.graph), repr(trace), repr(trace.variables())]
    assert shown == ["<Graph of 2,001 nodes>", "<Trace of 2,001 steps>", "<2 Variables>"]


def test_a_sparse_value_is_added_to_a_dense_one():
    sparse, dense = torch.eye(2).to_sparse(), torch.ones(2, 2)
    for values in ([sparse, dense, sparse], [dense, sparse, sparse], [sparse, sparse, dense]):
        assert torch.equal(summed(values), torch.eye(2) * 2 + 1)
    assert summed([sparse, sparse]).is_sparse
