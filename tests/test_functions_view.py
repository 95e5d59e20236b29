"""PyTorch's own graph as a picture: what its boxes say, and what is left out of large graphs."""

import math
from dataclasses import replace

import pytest
import torch

import autograd_viz as av
from autograd_viz.model import Edge, Graph, Node, Output, Slot
from autograd_viz.picture import Picture
from tests.test_svg import Drawn, Pair, check_geometry, with_nan, with_none, with_outputs
from tests.test_transforms import main_example


def drawn(shown, **options):
    return Drawn(shown.picture(**options).svg)


def flow(picture):
    """Returns what each arrow leads from and to, as ("node" or "value", words)."""
    return [(source.words, target.words) for source, target in picture.ends()]


def test_the_main_example_as_in_the_lecture():
    picture = drawn(main_example())
    assert sorted(box.words for box in picture.boxes if box.ellipse) == [
        "AccumulateGrada.grad+=10.6562",
        "AccumulateGradb.grad+=4.1640",
        "AddBackward0c=6",
        "Log2Backward0",
        "Log2Backward0",
        "MulBackward0d=2",
        "MulBackward0e=12",
    ]
    mul, add, log = "MulBackward0", "AddBackward0c=6", "Log2Backward0"
    a, b = "AccumulateGrada.grad+=10.6562", "AccumulateGradb.grad+=4.1640"
    assert sorted(flow(picture)) == sorted(
        [
            ("1", f"{mul}e=12"),
            *[(f"{mul}e=12", "2"), ("2", add), (f"{mul}e=12", "6"), ("6", f"{mul}d=2")],
            *[(f"{mul}d=2", "12"), ("12", log), (f"{mul}d=2", "6"), ("6", log)],
            *[(add, "2"), ("2", a), (add, "2"), ("2", b)],
            *[(log, "8.6562"), ("8.6562", a), (log, "2.1640"), ("2.1640", b)],
        ]
    )


def test_the_numbers_are_those_of_torch():
    trace = main_example()
    picture = drawn(trace)
    for step in trace.steps:
        for edge in trace.graph.out_edges[step.node]:
            boxes = [
                box
                for box in picture.boxes
                if (box.data.get("source"), box.data.get("target")) == (edge.source, edge.target)
            ]
            sent = step.grad_inputs[edge.input_index]
            assert [box.words for box in boxes] == [f"{sent.item():.4f}".removesuffix(".0000")]


def test_a_graph_without_a_trace_has_empty_rectangles():
    picture = drawn(main_example(trace=False))
    rectangles = [box for box in picture.boxes if box.kind == "rect"]
    assert len(rectangles) == 8
    assert all(box.words == "" and "av-empty" in box.marks for box in rectangles)
    assert len(picture.arrows) == 16
    assert "not computed yet" in picture.words
    assert {box.words for box in picture.boxes if box.ring} == {
        "AccumulateGrada=2",
        "AccumulateGradb=4",
    }


def test_a_leaf_as_the_output_is_one_oval():
    x = torch.tensor(5.0, requires_grad=True)
    assert [box.words for box in drawn(av.graph(x)).boxes] == ["AccumulateGradx=5"]
    assert flow(drawn(av.trace(x))) == [("1", "AccumulateGradx.grad+=1")]


def test_both_arrows_of_a_square_are_drawn():
    x = torch.tensor(3.0, requires_grad=True)
    y = x * x
    leaf = "AccumulateGradx.grad+=6"
    assert sorted(flow(drawn(av.trace(y)))) == sorted(
        [("1", "MulBackward0y=9")] + [("MulBackward0y=9", "3"), ("3", leaf)] * 2
    )


def test_zero_none_and_not_reached_look_different():
    trace = with_none()
    unreached = replace(trace, steps=tuple(step for step in trace.steps if step.node not in (4, 5)))
    picture = drawn(unreached)
    zero, none, unknown = (
        picture.box(source=source, target=target) for source, target in ((2, 3), (2, 4), (4, 5))
    )
    assert zero.words == "0"
    assert zero.marks == {"av-rect"}
    assert none.words == "None"
    assert none.marks == {"av-rect", "av-empty"}
    assert unknown.words == "notreached"
    assert unknown.marks == {"av-rect", "av-empty"}
    assert "not reached" in unreached.picture().words
    assert "None to w" in unreached.picture().words
    assert "0 to x" in unreached.picture().words
    assert picture.oval(3).marks == {"av-oval", "av-leaf"}
    assert picture.oval(5).marks == {"av-oval", "av-leaf", "av-empty"}
    assert picture.oval(5).words == "AccumulateGrady.grad:nothingarrives"
    assert "no gradient reached it" in picture.words


def test_nan_and_inf_are_marked_and_named():
    trace = with_nan()
    picture = drawn(trace)
    alarmed = {box.words for box in picture.boxes if "av-alarm" in box.marks}
    assert alarmed == {
        "NaN",
        "[-1,-inf]",
        "AccumulateGradx.grad+=NaN",
        "AccumulateGradw.grad+=[-1,-inf]",
    }
    assert "NaN to x" in trace.picture().words
    assert "-inf] to w" in trace.picture().words
    assert not [box for box in drawn(main_example()).boxes if "av-alarm" in box.marks]


def test_outputs_of_one_operation_have_their_names_and_values():
    picture = drawn(with_outputs())
    assert "UnbindBackward0p=1,q=2,r=3" in {box.words for box in picture.boxes}
    long = {f"a_rather_long_name_{n}": t for n, t in enumerate(torch.ones(3).requires_grad_() * 1)}
    y = sum(long.values())
    (box,) = [box for box in drawn(av.graph(y, names=long)).boxes if "UnbindBackward" in box.words]
    assert len({text.baseline for text in box.texts}) == 4, "one line each"


def test_what_a_hook_did_is_said():
    x = torch.tensor(3.0, requires_grad=True)
    y = x * 2
    y.register_hook(lambda grad: grad * 10)
    z = y + 1
    picture = drawn(av.trace(z))
    assert "ahookmade10of1" in picture.oval(1).words
    assert "hook" not in picture.oval(0).words


def test_several_outputs_start_with_a_gradient_each():
    x = torch.tensor(3.0, requires_grad=True)
    y1, y2 = x * 2, x * 5
    shown = av.trace([y1, y2], [torch.tensor(1.0), torch.tensor(-1.0)])
    begins = [target for target in flow(drawn(shown)) if target[0] in ("1", "-1")]
    assert begins == [("1", "MulBackward0y1=6"), ("-1", "MulBackward0y2=15")]
    assert shown.picture().title.startswith("Backward pass from y1, y2: ")


def test_large_tensors_are_short_summaries():
    w = torch.linspace(-1, 1, 10_000).reshape(100, 100).requires_grad_()
    loss = (w @ w).pow(2).mean()
    picture = drawn(av.trace(loss))
    check_geometry(picture)
    assert all(len(text.text) < 40 for box in picture.boxes for text in box.texts)
    assert "100×100" in picture.oval(3).words
    assert "norm" in picture.oval(3).words


def sparse():
    table = torch.nn.Embedding(5, 3, sparse=True)
    return av.trace(table(torch.tensor([1, 2, 2])).sum(), params=table)


def meta():
    w = torch.ones(3, 2, device="meta", requires_grad=True)
    return av.trace((w * 2).sum())


def empty():
    x = torch.ones(0, 3, requires_grad=True)
    return av.trace((x * 2).sum())


def complex_numbers():
    z = torch.tensor([1 + 2j, 3], requires_grad=True)
    return av.trace((z * z).abs().sum())


@pytest.mark.parametrize(
    ("make", "words"),
    [(sparse, "sparse"), (meta, "no values (meta)"), (empty, "empty"), (complex_numbers, "+4i")],
)
def test_unusual_tensors(make, words):
    trace = make()
    assert words in trace.picture().words
    check_geometry(drawn(trace))
    for view in ("computation", "derivatives", "backward"):
        check_geometry(drawn(trace.variables(), view=view))


# Large graphs


def test_a_wide_graph_is_cut_off_with_a_note():
    parts = [torch.tensor(float(n), requires_grad=True) for n in range(500)]
    y = torch.stack(parts)
    drawing = av.graph(y).picture(limit=40)
    picture = Drawn(drawing.svg)
    assert len([box for box in picture.boxes if box.ring]) == 8
    assert "… 492 more" in drawing.svg
    assert "492 of 501 nodes are left out; picture(limit=80) draws more." in drawing.words
    assert "left out" in picture.words
    check_geometry(picture)
    more = drawn(av.graph(y), limit=80)
    assert len([box for box in more.boxes if box.ring]) == 16, "as the note says"


def test_a_deep_graph_is_cut_off_with_a_note():
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1
    graph = av.graph(y)
    drawing = graph.picture(limit=40)
    assert "99,961 of 100,001 nodes are left out; picture(limit=80) draws more." in drawing.words
    assert len(drawing.words.splitlines()) == 43
    picture = Drawn(drawing.svg)
    assert len([box for box in picture.boxes if box.ellipse]) == 40
    assert "… 1 more" in drawing.svg
    assert len([box for box in drawn(graph, limit=3).boxes if box.ellipse]) == 3


def unrolled(steps):
    torch.manual_seed(0)
    cell = torch.nn.RNNCell(2, 3)
    state = torch.zeros(1, 3)
    for _ in range(steps):
        state = cell(torch.ones(1, 2), state)
    return av.trace(state.sum(), params=cell)


def test_in_a_larger_graph_a_leaf_is_drawn_once_per_use():
    trace = unrolled(8)
    drawing = trace.picture(limit=200)
    picture = Drawn(drawing.svg)
    uses = sum(len(trace.graph.in_edges[leaf.id]) for leaf in trace.graph.leaves)
    assert uses > len(trace.graph.leaves)
    assert len([box for box in picture.boxes if box.ring]) == uses
    assert ": one of 8 uses" in drawing.svg
    check_geometry(picture)


def test_in_a_small_graph_a_leaf_is_drawn_once():
    trace = unrolled(2)
    leaves = [box for box in drawn(trace, limit=200).boxes if box.ring]
    assert len(leaves) == len(trace.graph.leaves)


def test_nothing_is_cut_off_where_all_is_drawn():
    drawing = main_example().picture()
    assert isinstance(drawing, Picture)
    assert "left out" not in drawing.words
    assert drawing.notes == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CompiledFunctionBackward", "torch.compile made one function of many"),
        ("CopySlices", "wrote into a view of a larger tensor"),
        ("CheckpointFunctionBackward", "the forward pass inside is run again"),
        ("MkldnnRnnLayerBackward0", "all time steps of a layer"),
        ("ScaledDotProductFlashAttentionBackward0", "softmax(q @ k.T) @ v"),
        ("BroadcastBackward", "DataParallel's copies"),
    ],
)
def test_a_function_that_hides_others_has_a_note(name, words):
    output = Output((), "float32", "cpu", "y")
    nodes = (Node(0, "function", name, (output,), 1), Node(1, "accumulate", "AccumulateGrad", ()))
    graph = Graph(nodes, (Edge(0, 0, 1, 0),), (Slot(0, 0),), {})
    drawing = graph.picture()
    assert isinstance(drawing, Picture)
    assert words in drawing.words
    assert "".join(drawing.notes).startswith(name)
    check_geometry(Drawn(drawing.svg))
    assert name in drawing.svg


def test_an_in_place_operation_on_a_view_has_its_note():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y[0].mul_(3)
    assert "CopySlices: an in-place operation" in av.graph(y).picture().words


def test_nodes_that_pytorch_tells_nothing_about_are_drawn():
    nodes = (Node(0, "function", "Error", ()), Node(1, "accumulate", "AccumulateGrad", ()))
    graph = Graph(nodes, (Edge(0, 0, 1, 0),), (Slot(0, 0),), {})
    assert graph.nodes[0].shape is None
    words = {box.words for box in drawn(graph).boxes}
    assert words == {"Error", "", "AccumulateGradleaf"}


@pytest.mark.parametrize("limit", [0, -1, 2.5, "many", math.inf])
def test_a_wrong_limit_is_an_error_that_says_what_is_wanted(limit):
    with pytest.raises(ValueError, match=r"limit=.*at least 1"):
        main_example().picture(limit=limit)


def test_titles():
    x = torch.tensor(3.0, requires_grad=True)
    assert av.graph(x * 2).picture().title == ("Autograd graph: 1 gradient function, 1 leaf")
    y = x * 2
    assert av.graph(y).picture().title == "Autograd graph of y: 1 gradient function, 1 leaf"
    assert av.trace(y).picture().title == "Backward pass from y: 1 gradient function, 1 leaf"
    first, _second = Pair.apply(y, x)
    assert av.graph(first).picture().title.startswith("Autograd graph of first: 2 gradient")
