"""Pictures of folded graphs: how large gradients are at a glance, against PyTorch's own numbers."""

import math
import re
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import torch
from torch import nn

import autograd_viz as av
from autograd_viz.picture import Picture


def drawn(shown, **options):
    drawing = shown.picture(**options)
    assert isinstance(drawing, Picture)
    return drawing


def texts(drawing):
    root = ET.fromstring(drawing.svg)
    return [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def vanishing():
    """A trace of ten sigmoid layers, and the gradients of all that lies between them."""
    torch.manual_seed(0)
    layers = [layer for _ in range(10) for layer in (nn.Linear(8, 8), nn.Sigmoid())]
    model = nn.Sequential(*layers)
    values = [torch.ones(2, 8)]
    with av.record(model):
        for layer in model:
            values.append(layer(values[-1]))
        loss = values[-1].sum()
    between = torch.autograd.grad(loss, values[1:], retain_graph=True)
    # each layer closed in a group of its own
    folded = av.trace(loss, params=model).fold()
    folded = folded.open(*(f"steps.{n}" for n in range(10)))
    return folded, {id(value): grad for value, grad in zip(values[1:], between, strict=True)}


def test_strengths_are_the_logarithms_of_torchs_norms(vanishing):
    folded, between = vanishing
    drawing = drawn(folded)
    norms = sorted(float(grad.norm()) for grad in between.values())
    low, high = math.floor(math.log10(norms[0])), math.ceil(math.log10(norms[-1]))
    step = math.ceil((high - low) / 4)
    low = high - step * math.ceil((high - low) / step)
    wanted = [(math.log10(norm) - low) / (high - low) for norm in norms]
    rectangles = [box for box in drawing.boxes if box.shape == "rect"]
    assert sorted(box.strength for box in rectangles) == pytest.approx(wanted, abs=1e-3)
    by_id = {box.id: box.strength for box in rectangles}
    for arrow in drawing.arrows:
        ends = {arrow.source, arrow.target} & by_id.keys()
        assert arrow.strength == by_id[ends.pop()]
    assert list(drawing.scale.values()) == pytest.approx(
        [number * step / (high - low) for number in range((high - low) // step + 1)]
    )


def test_the_svg_has_the_width_of_each_strength_and_a_legend(vanishing):
    drawing = drawn(vanishing[0])
    styles = re.findall(r'class="av-arrow av-flow" style="stroke-width:([\d.]+)"', drawing.svg)
    wanted = [1.5 + 5.5 * arrow.strength for arrow in drawing.arrows if arrow.strength is not None]
    wanted += [1.5 + 5.5 * strength for strength in drawing.scale.values()]
    assert [*map(float, styles)] == pytest.approx(wanted, abs=0.01)
    assert len(set(styles)) > 8
    assert 3 <= len(drawing.scale) <= 5
    assert {*drawing.scale} <= {*texts(drawing)}
    first, last = next(iter(drawing.scale)).removeprefix("norm "), [*drawing.scale][-1]
    assert f"the larger the norm: from {first} to {last}, on a logarithmic scale" in drawing.words


def test_what_has_not_run_has_no_width_and_nothing_moves(vanishing):
    folded = vanishing[0]
    count = len(folded.scene.ranks)
    whole = drawn(folded)
    for frame in (1, count // 2, count):
        drawing = drawn(folded, frame=frame)
        ran = [arrow for arrow in drawing.arrows if arrow.strength is not None]
        assert len(ran) == 2 * min(frame, count - 1)
        assert {arrow.strength for arrow in ran} <= {arrow.strength for arrow in whole.arrows}
        assert drawing.scale == whole.scale
        head = re.search('viewBox="[^"]*"', drawing.svg)
        assert head is not None
        assert head[0] in drawn(folded, frame=count).svg
    assert texts(drawn(folded, frame=1))[-len(whole.scale) :] == [*whole.scale]


def test_a_graph_has_no_widths(vanishing):
    drawing = drawn(vanishing[0].graph.fold())
    assert not drawing.scale
    assert {part.strength for part in (*drawing.boxes, *drawing.arrows)} == {None}
    assert "norm" not in drawing.words


class NoGradient(torch.autograd.Function):
    """Passes a gradient on to the first of its inputs, and None to the second."""

    @staticmethod
    def forward(ctx, first, second):
        return first + second

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def odd():
    """Gradients of each kind between functions."""
    x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    zero = NoGradient.apply((x.cos() * 0.0).exp(), x.sin())
    infinite = (x * 2.0).tanh().sqrt()  # whose derivative at 0 is infinite
    nan = (x.sin() * 0.0).sqrt()  # inf * 0
    return av.trace((zero + infinite + nan).sum()).fold()


def test_none_zero_inf_and_nan_are_told_apart():
    folded = odd()
    folded = folded.open(*{group.name for group in folded.known.groups[1:]})
    drawing, names = drawn(folded), folded.known.outline.names
    boxes = {box.id: box for box in drawing.boxes}
    found = set()
    for number, flow in enumerate(folded.scene.flows):
        (edge,) = flow.edges
        sent = folded.trace.sent(edge)
        if sent is None:
            mark = "absent"
        elif sent.isnan().any():
            mark = "nan"
        elif sent.isinf().any():
            mark = "inf"
        else:
            mark = "" if sent.any() else "zero"
        found.add((names[edge.source], mark))
        own = f"flow-{number}"
        for arrow in drawing.arrows:
            if own in (arrow.source, arrow.target):
                assert arrow.marks == ((mark,) if mark else ())
                assert (arrow.strength is None) == bool(mark)
        assert ("alarm" in boxes[own].marks) == (mark in ("inf", "nan"))
        assert (mark in boxes[own].marks) == bool(mark)
    assert found >= {
        ("NoGradientBackward", "absent"), ("MulBackward0", "zero"), ("SqrtBackward0", "inf"),
        ("MulBackward0", "nan"),
    }  # fmt: skip
    for mark in ("absent", "zero", "inf", "nan"):
        assert drawing.legend[mark] in texts(drawing)
        assert f"\n{drawing.legend[mark]}: " in drawing.words
    rules = dict(re.findall(r"\.av-arrow\.av-(absent|zero|inf|nan){([^}]*)}", drawing.svg))
    assert len({re.sub("stroke:[^;]*", "", each) for each in rules.values()}) == 4, "not by colour"


def test_a_group_says_which_of_its_parameters_get_nothing():
    model: Any = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([float("inf"), 0.0]))
    layer = nn.Linear(2, 2)
    with av.record(layer):
        # the weight's gradient is 0, since the input is
        loss = layer(torch.zeros(1, 2)).sum()
    drawing = drawn(av.trace(loss, params=layer).fold())
    (lines,) = [box.lower for box in drawing.boxes if box.shape == "group"]
    assert "1 of 2: only 0" in [line[0].text for line in lines]


def test_nan_in_a_parameter_stands_out():
    layer = nn.Linear(2, 1)
    with av.record(layer):
        loss = layer(torch.tensor([[float("inf"), 1.0]])).sum()
    drawing = drawn(av.trace(loss, params=layer).fold())
    (box,) = [box for box in drawing.boxes if box.shape == "group"]
    assert {"alarm", "inf"} <= {*box.marks}
    assert drawing.legend["inf"] == "inf"


def test_parameters_that_the_graph_lacks_are_named():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "other": nn.Linear(2, 2, bias=False)})
    model["used"].bias.requires_grad_(False)
    with av.record(model):
        loss = model["used"](torch.ones(1, 2)).sum()
    notes = drawn(av.trace(loss, params=model).fold()).notes
    assert "Not in this graph (not used): other.weight." in notes
    assert "Not in this graph (frozen, requires_grad is False): used.bias." in notes


def test_numbers_of_a_meta_tensor_are_not_known():
    layer = nn.Sequential(nn.Linear(3, 2), nn.Tanh()).to("meta")
    with av.record(layer):
        loss = layer(torch.ones(1, 3, device="meta")).sum()
    drawing = drawn(av.trace(loss, params=layer).fold())
    assert not drawing.scale
    assert not {"absent", "zero"} & {*drawing.legend}
    assert "no values" in drawing.words


def test_a_module_that_is_called_twice_says_which_call():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.out = nn.Linear(2, 2), nn.Linear(2, 1)

        def forward(self, x):
            return self.out(self.fc(self.fc(x).tanh()).sin())

    model = Net()
    with av.record(model):
        loss = model(torch.ones(1, 2)).sum()
    folded = av.trace(loss, params=model).fold()
    assert [name for name in folded.names if "fc" in name] == ["fc, call 1 of 2", "fc, call 2 of 2"]
    assert "out" in folded.names
    assert folded.open("fc", index=1).names[:2] == ("fc, call 1 of 2", "TanhBackward0")


def calls(work):
    """How many functions of Python a piece of work calls: the same on every machine."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_a_picture_of_a_long_chain_costs_no_more_than_one_of_a_short_one():
    def count(length):
        y = torch.ones(1, requires_grad=True)
        for _ in range(length):
            y = y + 1
        folded = av.graph(y).fold()
        folded.picture()  # reads what all pictures of this graph share
        opened = folded.open("y.steps", index=5)
        return calls(lambda: (folded.hide("leaves").picture().svg, opened.picture().svg))

    count(600)  # the first one loads what draws
    assert count(20_000) == pytest.approx(count(500), rel=0.1)
