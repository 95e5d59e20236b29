"""Graphs of real networks, folded: what is seen, and that it agrees with PyTorch."""

from __future__ import annotations

import contextlib
import math
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

import autograd_viz as av
from autograd_viz.networks.folding import GUESSED, MOST
from autograd_viz.picture import MOST_FRAMES, Picture
from autograd_viz.summaries import norm


def encoder(layers=6):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


@pytest.fixture(scope="module")
def traced():
    model = encoder()
    with av.record(model):
        loss = model(torch.randn(2, 5, 16)).sum()
    grads = torch.autograd.grad(loss, [*model.parameters()], retain_graph=True)
    return model, av.trace(loss, params=model), grads


def drawn(shown, **options):
    drawing = shown.picture(**options)
    assert isinstance(drawing, Picture)
    return drawing


def box(folded, name):
    """The lines of the box that begins with a name."""
    for each in drawn(folded).boxes:
        lines = ["".join(run.text for run in line) for line in (*each.upper, *(each.lower or ()))]
        if lines[0] == name:
            return lines
    raise AssertionError(name)


def test_equal_layers_are_one_box_with_their_parameters_and_gradients(traced):
    model, trace, grads = traced
    lines = box(trace.fold(), "layers.0 … 5")
    count = sum(parameter.numel() for parameter in model.parameters())
    norm = math.hypot(*(grad.double().norm().item() for grad in grads))
    assert lines[1] == "TransformerEncoderLayer × 6"
    assert lines[3] == f"{count:,} parameters"
    assert float(lines[4].removeprefix("‖grad‖ = ")) == pytest.approx(norm, rel=1e-5)
    functions = len(trace.graph.nodes) - len(trace.graph.leaves) - 1
    assert lines[2] == f"{functions} functions"


def test_one_layer_opens_beside_the_others(traced):
    _, trace, _ = traced
    folded = trace.fold()
    opened = folded.open("layers.3")
    assert opened.names == folded.open("layers", index=3).names
    assert opened.names == folded.open("layers", index=-3).names
    assert {"layers.0 … 2", "self_attn", "linear1", "norm2", "layers.4 … 5"} < {*opened.names}
    assert opened.close("layers.3").names == folded.names
    assert opened.close("layers").names == folded.names
    inner = opened.open("layers.3.self_attn")
    assert "self_attn" not in inner.names
    assert inner.close("layers.3.self_attn").names == opened.names


def test_every_function_is_in_one_box(traced):
    _, trace, _ = traced
    for folded in (trace.fold(), trace.fold(open="layers.2"), trace.fold(open=["layers.1.norm1"])):
        nodes = [
            node for item in folded.scene.items.values() for node in folded.known.members(item)
        ]
        leaves = {leaf.id for leaf in trace.graph.leaves}
        assert sorted(nodes) == [n.id for n in trace.graph.nodes if n.id not in leaves]
        assert len(drawn(folded).boxes) <= MOST


def test_the_norm_on_an_arrow_is_that_of_the_gradient():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    with av.record(model):
        hidden = model[:2](torch.ones(2, 3))
        loss = model[2](hidden).sum()
    (grad,) = torch.autograd.grad(loss, [hidden], retain_graph=True)
    folded = av.trace(loss, params=model).fold()
    assert f"2 × 4norm {grad.norm():.4f}" in texts(folded)


def texts(folded):
    root = ET.fromstring(folded.picture().svg)
    return "".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))


def test_a_recurrent_network_is_one_cell_that_repeats():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.LSTMCell(4, 8), nn.Linear(8, 1)

        def forward(self, x):
            state = torch.zeros(1, 8), torch.zeros(1, 8)
            for step in x:
                state = self.cell(step[None], state)
            return self.out(state[0])

    model = Net()
    with av.record(model):
        loss = model(torch.randn(50, 4)).sum()
    folded = av.graph(loss, params=model).fold()
    assert folded.names == ("cell", "out", "loss")
    assert box(folded, "cell")[1] == "LSTMCell × 50"
    opened = folded.open("cell", index=3)
    assert opened.names[0] == "cell 0 … 2"
    assert "cell 4 … 49" in opened.names
    assert "cell.weight_hh: one of 3 uses" in texts(opened)
    with pytest.raises(IndexError, match="index=50: there are 50 of 'cell'; give 0 to 49"):
        folded.open("cell", index=50)


def test_without_a_module_repetition_and_names_fold():
    x = torch.tensor(1.0, requires_grad=True)
    middle = x
    for _ in range(100):
        middle = (middle * 1.5).sin()
    loss = middle
    for _ in range(100):
        loss = loss.cos() + 1
    folded = av.graph(loss).fold()
    assert {"middle.steps", "loss.steps"} <= {*folded.find("steps")}
    assert len(folded.names) < 10


def test_without_a_recording_calls_are_guessed_and_that_is_said():
    model = encoder(4)
    loss = model(torch.randn(2, 5, 16)).sum()
    folded = av.graph(loss, params=model).fold()
    assert "layers.2.self_attn" in folded.find("attn")
    assert GUESSED in folded.picture().words
    with av.record(model):
        loss = model(torch.randn(2, 5, 16)).sum()
    assert GUESSED not in str(av.graph(loss, params=model).fold())
    later = model(torch.randn(2, 5, 16)).sum()  # which the recording does not cover
    assert GUESSED in str(av.graph(later, params=model).fold())


def test_a_recording_alone_is_enough():
    model = encoder(4)
    with av.record(model):
        loss = model(torch.randn(2, 5, 16)).sum()
    assert "layers.0 … 3" in av.graph(loss).fold().names


def test_find_focus_hide_toward(traced):
    _, trace, _ = traced
    folded = trace.fold()
    assert folded.find("NORM2")[:2] == ("layers.0.norm2", "layers.1.norm2")
    near = folded.focus("layers.3.linear2", steps=1)
    assert set(near.names) == {"dropout", "linear2", "dropout2"}
    opened = folded.open("layers.3.linear2")
    views = {"ViewBackward0", "TBackward0", "UnsafeViewBackward0"}
    assert views & {*opened.names}
    assert not views & {*opened.hide("views").names}
    assert "layers.3.linear2.weight" not in texts(opened.hide("leaves"))
    assert "layers.3.linear2.weight" in texts(opened)
    toward = folded.toward("layers.3.linear1")
    assert "norm1" not in toward.names
    assert "linear2" in toward.names


def test_hidden_views_lose_no_path():
    layer = nn.Linear(4, 4)
    x = torch.ones(2, 3, 4, requires_grad=True)
    y = layer(x.transpose(0, 1).reshape(-1, 4)).view(2, 6, 2).tanh()
    folded = av.trace(y.sum(), params=layer).fold(open=["y"])
    hidden = folded.hide("views")
    assert {*hidden.names}.isdisjoint({"ViewBackward0", "TransposeBackward0", "TBackward0"})
    sources = {flow.source for flow in hidden.scene.flows}
    uses = {leaf for leaf, users in hidden.scene.uses.items() if users}
    assert len(uses) == 3
    assert len(sources) == len(hidden.scene.items) - 1  # in a row: each sends but the last


def views_in(graph):
    """The nodes that only change a shape, by PyTorch's names."""
    known = "Alias|Expand|Permute|Select|Slice|Split|Squeeze|T|Transpose|UnsafeView|View"
    return [node.id for node in graph.nodes if re.fullmatch(f"({known})Backward[01]", node.name)]


def test_hidden_views_go_from_what_repeats_too():
    x = torch.ones(4, 4, requires_grad=True)
    h = x.sin()
    for _ in range(20):
        h = h.t()
    for _ in range(30):
        h = h.view(2, 8).sin().view(4, 4) * 2
    folded = av.trace(h.cos().sum()).fold()
    assert any("TBackward0 × 20" in words for words in folded.picture().words.splitlines())
    hidden = folded.hide("views")
    assert not any(name in texts(hidden) for name in ("TBackward0", "ViewBackward0"))
    (repeats,) = [words for words in hidden.picture().words.splitlines() if "×" in words]
    assert "SinBackward0, MulBackward0 × 30" in repeats
    counted = sum(len(hidden.functions(item)) for item in hidden.scene.items.values())
    views = views_in(folded.graph)
    assert len(views) == 20 + 2 * 30
    assert counted == len(folded.graph.nodes) - len(folded.graph.leaves) - len(views)
    (name,) = {name for name in folded.known.names if name.endswith("steps2")}
    one = hidden.open(name, index=3)
    assert {"SinBackward0", "MulBackward0"} <= {*one.names}
    assert not any("View" in name for name in one.names)
    sources = {flow.source for flow in one.scene.flows}
    assert len(sources) == len(one.scene.items) - 1  # in a row: each sends but the last


def test_a_module_that_only_changes_the_shape_goes_with_the_views():
    block = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (2, 3)), nn.Linear(3, 3))
    model = nn.Sequential(nn.Linear(3, 3), block, nn.Linear(3, 3))
    with av.record(model):
        loss = model(torch.ones(2, 3)).sum()
    folded = av.trace(loss, params=model).fold(open="1")
    assert {"1.0", "1.1", "1.2"} <= {*folded.names}
    assert folded.hide("views").names == ("0", "1.2", "2", "loss")
    assert "1.1" in folded.hide("views").focus("1.1").names, "what is looked for stays"


def test_what_goes_past_a_hidden_view_is_what_was_sent():
    def loss_of(x):  # the names in here are not the reader's
        view = x.exp().t()
        return (view.sin() * view.cos()).sum()

    x = torch.rand(2, 3, requires_grad=True)
    y = x.detach().exp()
    trace = av.trace(loss_of(x))
    folded = trace.fold().hide("views")
    assert not any("TBackward0" in name for name in folded.names)
    names, sent = folded.known.outline.names, {}
    for flow in folded.scene.flows:
        (edge,) = flow.edges
        sent[names[folded.scene.items[flow.source].node]] = norm(trace.sent(edge))
    # PyTorch's view gets the sum of the two, and this picture has both
    assert sent["SinBackward0"] == pytest.approx(y.cos().square().norm().item())
    assert sent["CosBackward0"] == pytest.approx(y.sin().square().norm().item())


def test_toward_leaves_out_the_leaves_beside_the_path():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    with av.record(model):
        loss = model(torch.ones(2, 3)).sum()
    folded = av.trace(loss, params=model).fold(open="2")
    assert {"2.weight", "2.bias"} <= {*shown_leaves(folded)}
    assert shown_leaves(folded.toward("0.weight")) == ["0.weight"]
    assert set(shown_leaves(folded.open("0").toward("0"))) == {"0.weight", "0.bias"}


def shown_leaves(folded):
    return sorted(folded.known.outline.labels[leaf] for leaf in folded.scene.uses)


def test_a_wrong_name_is_told_the_nearest():
    folded = av.graph(encoder(4)(torch.randn(1, 2, 16)).sum(), params=encoder(1)).fold()
    with pytest.raises(ValueError, match=r"no group, function or leaf 'nothing'"):
        folded.open("nothing")
    with pytest.raises(ValueError, match="cannot be hidden; give 'leaves' or 'views'"):
        folded.hide("everything")
    with pytest.raises(ValueError, match=r"steps=-1: give a number of arrows"):
        folded.focus("nothing", -1)


def test_close_matches_are_named(traced):
    _, trace, _ = traced
    with pytest.raises(ValueError, match=r"'layers.3.selfattn'; did you mean 'layers.3.self_attn'"):
        trace.fold().open("layers.3.selfattn")


def test_frames_go_group_by_group_in_the_engines_order(traced):
    _, trace, _ = traced
    folded = trace.fold(open="layers.5")
    count = len(folded.scene.ranks)
    assert count == len(folded.names)
    first, last = drawn(folded, frame=1), drawn(folded, frame=count)
    assert first.title.endswith(f"step 1 of {count}: loss")
    empty = [each for each in first.boxes if "empty" in each.marks and each.shape != "rect"]
    assert len(empty) == count - 1
    assert not [each for each in last.boxes if "empty" in each.marks]
    sizes = {frame.svg.partition("viewBox")[2][:30] for frame in (first, last)}
    assert len(sizes) == 1, "the drawing never moves"
    assert f"Frame {count} of {count}" in folded.picture(frame="all").words
    with pytest.raises(ValueError, match=f"frame=0: give a number from 1 to {count}"):
        folded.picture(frame=0)
    with pytest.raises(ValueError, match=r"a graph has no frames; write av.trace"):
        trace.graph.fold().picture(frame=1)


def test_all_frames_of_a_long_pass_are_too_many():
    model = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(70)))
    with av.record(model):
        loss = model(torch.ones(1, 2)).sum()
    folded = av.trace(loss, params=model).fold()
    folded = folded.open(*{group.name for group in folded.known.groups[1:]})
    count = len(folded.scene.ranks)
    assert count > MOST_FRAMES
    with pytest.raises(ValueError, match=f'frame="all": there are {count} frames') as error:
        folded.picture(frame="all")
    name = str(error.value).partition(".close('")[2].partition("')")[0]
    assert len(folded.close(name).scene.ranks) < count, "the line to type helps"
    assert drawn(folded, frame=count).title.endswith(f"step {count} of {count}: TBackward0")
    w = av.step(folded)
    with pytest.raises(ValueError, match=rf"{count} steps, and a deck has at most {MOST_FRAMES}"):
        w.save("never.pdf")
    w.opened = w.opened[:1]
    assert len(w.scene["views"][0]["frames"]) <= MOST_FRAMES


def test_a_large_graph_shows_itself_folded(traced):
    _, trace, _ = traced
    for shown in (trace, trace.graph):
        assert "TransformerEncoderLayer × 6" in str(shown)
        assert "picture(limit=40) draws single functions." in str(shown)
        assert "left out" in shown.picture(limit=40).words


def test_a_wide_sum_shows_few_of_its_leaves():
    parts = [torch.tensor(float(n), requires_grad=True) for n in range(500)]
    drawing = drawn(av.graph(torch.stack(parts)))
    assert len([each for each in drawing.boxes if "leaf" in each.marks]) == 8
    assert "… 492 more" in drawing.svg


def test_a_gradient_that_vanishes_is_not_zero_and_nan_stands_out():
    tiny = torch.full((4,), 1e-30)  # its squares are 0 in float32
    assert norm(tiny) == pytest.approx(2e-30)
    assert norm(tiny.to_sparse()) == pytest.approx(2e-30)
    assert norm(torch.full((4,), 1e30)) == pytest.approx(2e30)
    assert norm(torch.tensor([3 + 4j])) == 5
    assert norm(torch.ones(4, device="meta")) is None
    weight = torch.ones(64, requires_grad=True)
    out = weight * float("nan")
    for _ in range(60):
        out = out.sin()
    bad = av.trace(out.sum(), params={"weight": weight}).fold()
    assert any("alarm" in each.marks for each in drawn(bad).boxes)


def test_an_engine_of_another_kind_folds_too():
    from micrograd.engine import Value

    a = Value(1.0)
    x = a
    for _ in range(200):
        x = x * 0.5
    drawing = drawn(av.trace(x))
    assert "left out" not in drawing.words
    assert len(drawing.boxes) < 20


def test_nothing_of_the_users_changes(traced):
    model, trace, _ = traced
    before = torch.random.get_rng_state()
    folded = trace.fold(open="layers.0")
    folded.picture(theme="dark").svg  # noqa: B018
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(each._forward_hooks for each in model.modules())


class InALibrary(nn.Module):
    """Blocks in a ModuleList of a module, as in nn.TransformerEncoder."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)

    def forward(self, x):
        return self.encoder(x).sum()


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", ["encoder", "encoder.layers", "title"])
def test_blocks_open_by_index_through_the_modules_around_them(recorded, name):
    model = InALibrary()
    with av.record(model) if recorded else contextlib.nullcontext():
        loss = model(torch.ones(1, 3, 8))
    folded = av.graph(loss, params=model).fold()
    if name == "title":
        (name,) = (each for each in folded.names if "…" in each)
        if recorded:
            name = "encoder.layers"
    seen = folded.open(name, index=2).names
    assert any("self_attn" in each or each == "linear1" for each in seen)
    assert folded.open("encoder.layers.2").names == seen


def test_a_name_is_text():
    folded = av.graph(InALibrary()(torch.ones(1, 3, 8))).fold()
    with pytest.raises(TypeError, match="3 is of type int; give a name as text"):
        folded.open(3)  # type: ignore[arg-type]
    assert folded.find(3) == folded.find("3")  # type: ignore[arg-type]
