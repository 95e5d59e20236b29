"""The walk from tensors to their Graph, against what PyTorch's own nodes say."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import autograd_viz as av
from autograd_viz.model import Edge, Graph, Slot
from autograd_viz.picture import Picture

ROOT = Path(__file__).parents[1]


def leaf(value: object = 2.0, **options) -> Tensor:
    return torch.tensor(value, requires_grad=True, **options)


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def found(graph: Graph, name: str) -> int:
    """The id of the only node of that name."""
    (node,) = (node for node in graph.nodes if node.name == name)
    return node.id


def value_of(graph: Graph, name: str) -> Tensor:
    return graph.values[Slot(found(graph, name), 0)]


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class SumAndDifference(torch.autograd.Function):
    """Takes something that is not a tensor between two that are, and gives two outputs."""

    @staticmethod
    def forward(ctx, x, note, y):
        return x + y, x - y

    @staticmethod
    def backward(ctx, grad_sum, grad_difference):
        return grad_sum + grad_difference, None, grad_sum - grad_difference


# nodes and edges


def test_the_lectures_main_example():
    a, b = leaf(2.0), leaf(4.0)
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    graph = av.graph(e)
    assert [(node.label, node.name) for node in graph.nodes] == [
        ("e", "MulBackward0"),
        ("c", "AddBackward0"),
        ("d", "MulBackward0"),
        ("a", "AccumulateGrad"),
        ("b", "AccumulateGrad"),
        (None, "Log2Backward0"),
        (None, "Log2Backward0"),
    ]
    assert list(graph.edges) == [
        (0, 0, 1, 0),
        (0, 1, 2, 0),
        (1, 0, 3, 0),
        (1, 1, 4, 0),
        (2, 0, 5, 0),
        (2, 1, 6, 0),
        (5, 0, 3, 0),
        (6, 0, 4, 0),
    ]
    assert graph.root is graph.nodes[0]
    assert [node.label for node in graph.leaves] == ["a", "b"]
    assert graph.outputs == (Slot(0, 0),)


def test_nodes_say_what_the_forward_operation_put_out():
    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    root, accumulator = av.graph(x.exp()).nodes
    assert (root.kind, root.inputs, root.custom) == ("function", 1, False)
    assert (root.shape, root.dtype, root.device) == ((2, 3), "float64", "cpu")
    assert (accumulator.kind, accumulator.name) == ("accumulate", "AccumulateGrad")
    assert (accumulator.shape, accumulator.inputs) == ((2, 3), 0)


def test_a_leaf_is_a_graph_of_one_node():
    a = leaf()
    graph = av.graph(a)
    assert [(node.id, node.kind, node.label) for node in graph.nodes] == [(0, "accumulate", "a")]
    assert list(graph.edges) == []
    assert graph.leaves == (graph.root,)


def test_a_tensor_used_twice_by_one_operation_has_two_edges():
    a = leaf()
    assert list(av.graph(a * a).edges) == [Edge(0, 0, 1, 0), Edge(0, 1, 1, 0)]


def test_a_diamond_has_its_shared_node_once():
    a = leaf()
    b = a.exp()
    graph = av.graph(b.sin() + b.cos())
    assert names(graph) == [
        "AddBackward0",
        "SinBackward0",
        "CosBackward0",
        "ExpBackward0",
        "AccumulateGrad",
    ]
    assert graph.in_edges[3] == (Edge(1, 0, 3, 0), Edge(2, 0, 3, 0))
    assert graph.out_edges[3] == (Edge(3, 0, 4, 0),)


def test_walk_is_breadth_first():
    x = leaf()
    far, near = x.exp().sin(), leaf().cos()
    graph = av.graph(far * near)
    assert names(graph)[:4] == ["MulBackward0", "SinBackward0", "CosBackward0", "ExpBackward0"]
    levels = {0: 0}
    for edge in graph.edges:
        levels.setdefault(edge.target, levels[edge.source] + 1)
    assert [levels[node.id] for node in graph.nodes] == sorted(levels.values())


def test_constants_have_no_edge_but_count_as_inputs():
    a, constant = leaf(), torch.tensor(3.0)
    graph = av.graph(constant * a)
    assert list(graph.edges) == [Edge(0, 1, 1, 0)]
    assert graph.root.inputs == 2


def test_detached_branches_end():
    a = leaf()
    assert names(av.graph(a * a.exp().detach())) == ["MulBackward0", "AccumulateGrad"]


def test_edges_are_next_functions():
    x = torch.randn(3, 3, requires_grad=True)
    p, q = torch.linalg.eigh(x @ x.T)
    y = (p.sum() * q[0]).sum() + x.mean()
    graph = av.graph(y)
    nodes = [y.grad_fn]
    for node in nodes:
        nodes += [n for n, _ in node.next_functions if n is not None and n not in nodes]
    assert names(graph) == [node.name().removeprefix("torch::autograd::") for node in nodes]
    assert list(graph.edges) == [
        (source, input_index, nodes.index(target), output_nr)
        for source, node in enumerate(nodes)
        for input_index, (target, output_nr) in enumerate(node.next_functions)
        if target is not None
    ]


@pytest.mark.parametrize(
    ("split", "name", "count"),
    [
        (lambda x: x.unbind(), "UnbindBackward0", 3),
        (lambda x: x.chunk(3), "SplitBackward0", 3),
        (lambda x: torch.linalg.svd(x), "LinalgSvdBackward0", 3),
    ],
)
def test_operations_with_several_outputs_have_a_slot_for_each(split, name, count):
    x = torch.eye(3).mul(torch.tensor([3.0, 2.0, 1.0])).requires_grad_()
    *_, last = split(x)
    graph = av.graph(last.sum())
    node = graph.nodes[found(graph, name)]
    assert len(node.outputs) == count
    assert node.label == "last"
    assert [edge.output_nr for edge in graph.in_edges[node.id]] == [count - 1]


def test_all_outputs_of_an_operation_are_labelled():
    x = leaf([1.0, 2.0, 3.0])
    p, q, _ = x.unbind()
    graph = av.graph(p * q)
    node = graph.nodes[1]
    assert [output.label for output in node.outputs] == ["p", "q", None]
    assert node.label == "p, q"
    assert [graph.values[Slot(1, nr)].item() for nr in (0, 1)] == [1.0, 2.0]


# custom Functions, in-place operations, double backward


def test_custom_function():
    a = leaf()
    graph = av.graph(Doubled.apply(a).exp())
    assert [(node.name, node.custom) for node in graph.nodes] == [
        ("ExpBackward0", False),
        ("DoubledBackward", True),
        ("AccumulateGrad", False),
    ]


def test_custom_function_with_inputs_that_are_no_tensors():
    a, b = leaf(), leaf(5.0)
    total, difference = SumAndDifference.apply(a, "note", b)
    graph = av.graph(total * difference)
    assert graph.nodes[1].label == "total, difference"
    assert graph.in_edges[1] == (Edge(0, 0, 1, 0), Edge(0, 1, 1, 1))
    assert [graph.nodes[edge.target].label for edge in graph.out_edges[1]] == ["a", "b"]
    trace = av.trace(total * difference)
    step = trace.steps[trace.step_of[1]]
    assert [len(step.grad_outputs), len(step.grad_inputs)] == [2, 2]
    arrived = {
        trace.graph.nodes[edge.target].label: trace.sent(edge) for edge in graph.out_edges[1]
    }
    assert arrived == {"a": 2 * a.item(), "b": -2 * b.item()}


def test_a_graph_outlives_the_output_of_a_custom_function():
    # The Python object of a custom node does not keep its C++ node alive.
    y = Doubled.apply(leaf().exp())
    graph = av.graph(y)
    del y
    gc.collect()
    assert names(graph) == ["DoubledBackward", "ExpBackward0", "AccumulateGrad"]
    assert graph.root.shape == ()


def test_in_place_operation_gives_the_variable_a_new_node():
    x = leaf().exp()
    before = av.graph(x)
    x.mul_(3)
    after = av.graph(x)
    assert (before.root.name, after.root.name) == ("ExpBackward0", "MulBackward0")
    assert (after.nodes[0].label, after.nodes[1].label) == ("x", None)


def test_in_place_on_a_view_gives_copy_slices():
    base = leaf([1.0, 2.0, 3.0]).exp()
    base[:2].mul_(5)
    graph = av.graph(base.sum())
    assert names(graph) == ["SumBackward0", "CopySlices", "ExpBackward0", "AccumulateGrad"]
    assert graph.nodes[1].label == "base"


def test_a_view_of_a_changed_base_gets_a_node_of_its_own():
    base = leaf([1.0, 2.0, 3.0]).exp()
    view = base[1:]
    base.mul_(5)
    graph = av.graph(view.sum())
    assert names(graph)[:3] == ["SumBackward0", "AsStridedBackward0", "MulBackward0"]
    assert [node.label for node in graph.nodes][1:3] == ["view", "base"]


def test_double_backward_is_one_more_graph():
    a = leaf()
    y = a**3
    (slope,) = torch.autograd.grad(y, a, create_graph=True)
    graph = av.graph(slope)
    assert [node.label for node in graph.leaves] == ["a"]
    assert len(graph.nodes) > len(av.graph(y).nodes)
    assert av.trace(slope).leaf_grads == ((a, torch.tensor(12.0)),)


@pytest.mark.filterwarnings("ignore")  # of what torch.compile imports
def test_a_compiled_functions_graph_is_drawn_with_a_note():
    compiled = torch.compile(lambda x: (x * 2).sin().sum(), backend="aot_eager")
    x = leaf([0.5, 1.0])
    y = compiled(x)
    graph = av.graph(y)
    assert names(graph) == ["CompiledFunctionBackward", "AccumulateGrad"]
    picture = graph.picture()
    assert isinstance(picture, Picture)
    (note,) = picture.notes
    assert "torch.compile" in note
    trace = av.trace(y)
    assert note in str(trace)
    torch.testing.assert_close(trace.leaf_grads[0][1], 2 * (2 * x).cos().detach())


# comparing


def program(factor: float = 2.0) -> Tensor:
    a = leaf([1.0, 2.0])
    p, q = (a * factor).unbind()
    return Doubled.apply(p) * q


def test_two_captures_are_equal():
    y = program()
    assert av.graph(y) == av.graph(y)
    assert hash(av.graph(y)) == hash(av.graph(y))
    assert av.graph(y).nodes == av.graph(y).nodes
    assert av.graph(y).edges == av.graph(y).edges
    assert av.graph(program()) == av.graph(program())


def test_a_constant_nan_compares_equal_to_itself():
    a = leaf()
    assert av.graph(a * float("nan")) == av.graph(a * float("nan"))


def test_different_graphs_are_not_equal():
    a, b = leaf(), leaf()
    assert av.graph(a + b) != av.graph(a + a)  # by edges
    assert av.graph(a + b) != av.graph(a * b)  # by names of nodes
    assert av.graph(program(2.0)) != av.graph(program(3.0))  # by constants
    y = a + b
    assert av.graph(y) != av.graph(y, names={"z": y})  # by labels
    assert av.graph([a.exp(), b]) != av.graph([b, a.exp()])  # by outputs


def test_nodes_and_edges_are_sequences():
    graph = av.graph(program())
    assert graph.nodes[-1] is graph.nodes[len(graph.nodes) - 1]
    assert graph.nodes[1:3] == (graph.nodes[1], graph.nodes[2])
    assert graph.edges[-2:] == tuple(graph.edges)[-2:]
    assert len(graph.edges) == len(list(graph.edges))
    with pytest.raises(IndexError):
        graph.nodes[len(graph.nodes)]
    assert "UnbindBackward0" in repr(graph.nodes)
    assert "Edge(source=0" in repr(graph.edges)


# several outputs


def test_several_outputs_share_one_graph():
    a = leaf()
    shared = a.exp()
    first, second = shared.sin(), shared.cos()
    graph = av.graph([first, second])
    assert names(graph) == ["SinBackward0", "ExpBackward0", "AccumulateGrad", "CosBackward0"]
    assert graph.outputs == (Slot(0, 0), Slot(3, 0))
    assert graph.in_edges[1] == (Edge(0, 0, 1, 0), Edge(3, 0, 1, 0))
    assert av.graph((second, first)).outputs == (Slot(0, 0), Slot(3, 0))
    assert names(av.graph((second, first)))[0] == "CosBackward0"


def test_an_output_may_be_inside_the_graph_of_another():
    a = leaf()
    inner = a.exp()
    outer = inner.sin()
    assert av.graph([outer, inner]).outputs == (Slot(0, 0), Slot(1, 0))
    assert names(av.graph([outer, inner])) == names(av.graph(outer))
    graph = av.graph([inner, outer])  # the walk from the first output comes first
    assert names(graph) == ["ExpBackward0", "AccumulateGrad", "SinBackward0"]
    assert graph.outputs == (Slot(0, 0), Slot(2, 0))


def test_the_same_output_twice_is_one_node():
    y = leaf().exp()
    graph = av.graph([y, y])
    assert graph.outputs == (Slot(0, 0), Slot(0, 0))
    assert len(graph.nodes) == 2


def test_outputs_of_one_operation_are_slots_of_one_node():
    p, q = leaf([1.0, 2.0]).unbind()
    assert av.graph([q, p]).outputs == (Slot(0, 1), Slot(0, 0))


def test_a_leaf_among_the_outputs():
    a = leaf()
    assert av.graph([a * 2, a]).outputs == (Slot(0, 0), Slot(1, 0))


# what nodes know of constants and values


@pytest.mark.parametrize(
    ("function", "constants"),
    [
        (lambda x: x * 3, {"other": 3}),
        (lambda x: x * torch.tensor(3.5), {"other": 3.5}),
        (lambda x: x**2, {"exponent": 2}),
        (lambda x: 2**x, {"self": 2}),
        (lambda x: x + 1, {"alpha": 1}),
    ],
)
def test_constants_that_the_operation_saved(function, constants):
    given = av.graph(function(leaf())).root.constants
    assert {name: given.get(name) for name in constants} == constants


def test_constants_outlive_a_backward_pass_that_frees_them():
    y = leaf() * 3
    graph = av.graph(y)
    y.backward()
    assert graph.root.constants["other"] == 3


def test_variables_are_not_constants():
    a, b = leaf(), leaf(3.0)
    assert "other" not in av.graph(a * b).root.constants


def test_a_checkpointed_forward_is_not_run_again():
    calls = []

    def forward(x: Tensor) -> Tensor:
        calls.append(x)
        return (x * 3).exp() * x

    y = checkpoint(forward, leaf(), use_reentrant=False)
    graph = av.graph(y)
    assert len(graph.nodes[:]) == 4
    assert str(graph)
    assert len(calls) == 1


def test_values_are_copies_of_named_tensors_and_leaves():
    a = leaf()
    c = a + 1
    graph = av.graph(c * 2)
    with torch.no_grad():
        a.fill_(100)
        c.fill_(100)
    assert value_of(graph, "AddBackward0").item() == 3
    assert value_of(graph, "AccumulateGrad").item() == 2
    assert not any(value.requires_grad for value in graph.values.values())
    graph.values[Slot(1, 0)].fill_(5)
    assert c.item() == 100


def test_values_of_large_tensors_are_not_copied():
    small, large = torch.ones(16, requires_grad=True), torch.ones(17, requires_grad=True)
    assert Slot(1, 0) in av.graph(small.sum()).values
    assert Slot(1, 0) not in av.graph(large.sum()).values


def test_unnamed_values_are_recovered_from_what_was_saved():
    x = leaf(0.5)
    graph = av.graph((x.sigmoid() * (x + 1).log()).exp().sum())
    saved = {
        "SigmoidBackward0": x.sigmoid(),  # as the operation's own result
        "LogBackward0": (x + 1).log(),  # as the right operand of the product
        "AddBackward0": x + 1,  # as the operand of log
        "ExpBackward0": (x.sigmoid() * (x + 1).log()).exp(),
    }
    for name, value in saved.items():
        assert torch.equal(value_of(graph, name), value.detach()), name


def test_a_value_changed_in_place_since_it_was_saved_is_not_recovered():
    x = leaf(0.5)
    inner = (x + 1).sin()
    y = inner.cos()
    inner.detach().fill_(9)
    del inner
    graph = av.graph(y)
    assert Slot(found(graph, "SinBackward0"), 0) not in graph.values
    assert value_of(graph, "AddBackward0").item() == 1.5


def test_sparse_complex_and_meta_tensors():
    embedding = torch.nn.Embedding(5, 3, sparse=True)
    graph = av.graph(embedding(torch.tensor([1, 2])).sum(), params=embedding)
    assert graph.nodes[-1].label == "weight"
    z = torch.tensor(1 + 2j, requires_grad=True)
    assert av.graph(z * z).root.dtype == "complex64"
    nowhere = torch.ones(3, device="meta", requires_grad=True)
    graph = av.graph(nowhere * 2)
    assert graph.root.device == "meta"
    assert not graph.values


def test_graph_of_a_leaf_in_inference_mode():
    a = leaf()
    with torch.inference_mode():
        graph = av.graph(a)
    assert graph.root.label == "a"
    assert not graph.values[Slot(0, 0)].is_inference()


def test_the_graph_of_a_freed_output_is_drawn_still():
    a = leaf()
    y = a.exp() * a
    y.backward()
    graph = av.graph(y)
    assert names(graph) == ["MulBackward0", "ExpBackward0", "AccumulateGrad"]
    assert "MulBackward0" in str(graph)


def test_garbage_collection_is_as_before():
    gc.disable()
    try:
        av.graph(leaf().exp())
        assert not gc.isenabled()
    finally:
        gc.enable()
    av.graph(leaf().exp())
    assert gc.isenabled()


# depth


def test_chain_of_100_000_nodes():
    y = x = torch.zeros(1, requires_grad=True)
    for _ in range(100_000):
        y = y + 1
    graph = av.graph(y)
    assert len(graph.nodes) == 100_001
    assert len(graph.edges) == 100_000
    assert [graph.nodes[50_000].id, graph.nodes[-1].label] == [50_000, "x"]
    assert graph.edges[-1] == Edge(99_999, 0, 100_000, 0)
    assert x.grad is None


def test_a_million_nodes_are_walked_and_die_in_either_order():
    program = """
        import torch, autograd_viz as av

        def chain(length):
            y = torch.zeros(1, requires_grad=True)
            for _ in range(length):
                y = y + 1
            return y

        y = chain(1_000_000)
        graph = av.graph(y)
        assert len(graph.nodes) == 1_000_001
        assert graph.nodes[-1].kind == "accumulate"
        del graph
        del y
        y = chain(200_000)
        graph = av.graph(y)
        del y
        del graph
        print("alive")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        cwd=ROOT,
        text=True,
        timeout=600,
        env={**os.environ, "TQDM_DISABLE": "1"},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "alive\n", "")


def test_several_outputs_are_made_safe_together():
    x = torch.tensor(1.0, requires_grad=True)
    outputs: list[Any] = [x, x]
    for _ in range(700):  # neither needs a guard, both together do
        outputs = [outputs[0].sin(), outputs[1].cos()]
    graph = av.graph(outputs)
    assert len(graph.nodes) == 1_401
    assert [output.node for output in graph.outputs] == [0, 701]
    assert all("autograd_viz.release" in output.grad_fn.metadata for output in outputs)


def test_a_modules_names_are_read_when_asked_for_and_no_tensor_is_kept_alive():
    model = torch.nn.Linear(2, 2)
    cell = {"av": av, "model": model, "hidden": model(torch.ones(3, 2))}
    alive = weakref.ref(cell["hidden"])
    exec("graph = av.graph(hidden.sum(), params=model, names={'my bias': model.bias})", cell)
    del cell["hidden"]
    assert alive() is None
    labels = [node.label for node in cell["graph"].nodes]
    assert sorted(filter(None, labels)) == ["hidden", "my bias", "weight"]


class Unsure(torch.nn.Linear):
    def __bool__(self):
        raise AssertionError("a module is not asked whether it is true")


def test_a_module_is_not_asked_whether_it_is_true():
    model = Unsure(2, 1)
    labels = [node.label for node in av.graph(model(torch.ones(1, 2)), params=model).nodes]
    assert {"weight", "bias"} <= set(labels)


def test_a_value_that_changed_after_it_took_part_is_not_shown():
    x = torch.tensor(3.0)
    w = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(1.0, requires_grad=True)
    with torch.no_grad():
        w += 1  # before it takes part, as weights are in training
    loss = (w * x + b) ** 2 * w
    fresh = av.graph(loss)
    assert {value.item() for value in fresh.values.values()} >= {3.0, 1.0}
    assert not fresh.changed
    with torch.no_grad():
        w -= 0.5
        b -= 0.5
    graph = av.graph(loss)
    labels = {graph.nodes[slot.node].label for slot in graph.changed}
    assert labels == {"w", "b"}
    assert not {2.5, 0.5} & {value.item() for value in graph.values.values()}
    said = "Not known, since it may have been changed in place after it took part: w, b."
    assert said in graph.picture().words
    assert said in graph.variables().picture().words


@pytest.mark.parametrize("way", ["counted", "data"])
def test_a_term_that_no_longer_gives_its_sum_is_not_known(way):
    w = torch.tensor(2.0, requires_grad=True)
    c = torch.tensor(5.0, requires_grad=True)
    if way == "counted":
        with torch.no_grad():
            w += 1  # before it takes part
    e = w - c
    assert {value.item() for value in av.graph(e).values.values()} == {w.item(), 5, w.item() - 5}
    with torch.no_grad():
        (w if way == "counted" else w.data).sub_(0.5)
    graph = av.graph(e)
    # Through .data PyTorch sees no change, so that each of the three may be the one.
    assert {value.item() for value in graph.values.values()} == (
        {5, -2} if way == "counted" else set()
    )
    unknown = "w" if way == "counted" else "e, w, c"
    said = f"Not known, since it may have been changed in place after it took part: {unknown}."
    assert said in graph.picture().words
    assert said in av.trace(e).variables().picture().words
