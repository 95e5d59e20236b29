"""Frames around opened groups: what stands in them, in the picture as it is drawn."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest
import torch
from torch import nn

import autograd_viz as av

SVG = "{http://www.w3.org/2000/svg}"


class Net(nn.Module):
    """An encoder, beside a layer that is used in the encoder's first block and after it."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.shared = nn.Linear(8, 8)
        self.encoder.layers[0].linear1 = nn.Sequential(self.shared, nn.Linear(8, 16))

    def forward(self, x):
        return self.shared(self.encoder(x))


@pytest.fixture(scope="module")
def folded():
    torch.manual_seed(0)
    model = Net()
    with av.record(model):
        loss = model(torch.randn(1, 3, 8)).sum()
    return av.trace(loss, params=model).fold()


def frames(drawing):
    """(left, top, right, bottom) of each frame by its group, and its title."""
    found = {}
    group: Any
    for group in ET.fromstring(drawing.svg).iter(f"{SVG}g"):
        if group.get("class") == "av-cluster":
            rect = group.find(f"{SVG}rect")
            x, y, wide, high = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
            title = " ".join(text.text for text in group.iter(f"{SVG}text"))
            found[int(group.get("data-group"))] = (x, y, x + wide, y + high), title
    return found


def places(drawing):
    """(left, top, right, bottom) of the box of each node and each closed group."""
    found: dict[tuple[str, int], Any] = {}
    group: Any
    for group in ET.fromstring(drawing.svg).iter(f"{SVG}g"):
        if not (group.get("class") or "").startswith("av-box"):
            continue
        shape = group.find(f"{SVG}ellipse")
        if shape is not None:
            cx, cy, rx, ry = (float(shape.get(name)) for name in ("cx", "cy", "rx", "ry"))
            corners = cx - rx, cy - ry, cx + rx, cy + ry
        else:
            shape = group.find(f"{SVG}rect")
            x, y, wide, high = (float(shape.get(n)) for n in ("x", "y", "width", "height"))
            corners = x, y, x + wide, y + high
        for kind in ("node", "group"):
            if group.get(f"data-{kind}") is not None:
                found.setdefault((kind, int(group.get(f"data-{kind}"))), []).append(corners)
    return found


def is_inside(inner, outer):
    return all(a >= b for a, b in zip(inner[:2], outer[:2], strict=True)) and all(
        a <= b for a, b in zip(inner[2:], outer[2:], strict=True)
    )


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_frames_hold_what_is_inside_and_nothing_else(folded):
    opened = folded.open("encoder.layers.1.self_attn", "encoder.layers.2")
    drawing = opened.picture()
    groups = opened.known.groups
    found = frames(drawing)
    names = {groups[number].name for number in found}
    assert {"encoder.layers.1", "encoder.layers.1.self_attn", "encoder.layers.2"} <= names
    checked = 0
    for (kind, number), boxes in places(drawing).items():
        around = {~code for code in opened.known.around(number if kind == "node" else ~number)}
        if number in opened.known.leaves:
            continue  # a leaf that is used elsewhere too stands elsewhere
        for box in boxes:
            for frame, (corners, _) in found.items():
                checked += 1
                assert is_inside(box, corners) if frame in around else not overlap(box, corners)
    assert checked > 100


def test_frames_nest_and_say_name_and_class(folded):
    opened = folded.open("encoder.layers.1.self_attn")
    found = frames(opened.picture())
    groups = opened.known.groups
    by_name = {groups[number].name: each for number, each in found.items()}
    layer, attention = by_name["encoder.layers.1"], by_name["encoder.layers.1.self_attn"]
    assert is_inside(attention[0], layer[0])
    assert layer[1] == "encoder.layers.1 TransformerEncoderLayer"
    assert attention[1] == "encoder.layers.1.self_attn MultiheadAttention"
    for corners, title in found.values():
        assert corners[2] - corners[0] > 7 * len(title), "the title fits"


def test_no_arrow_runs_through_a_title(folded):
    drawing = folded.open("encoder.layers.1.self_attn", "encoder.layers.2.linear1").picture()
    root = ET.fromstring(drawing.svg)
    drawn: Any = [*root.iter()]
    curves = [place for place, each in enumerate(drawn) if "C" in each.get("d", "")]
    boxes = [corners for found in places(drawing).values() for corners in found]
    groups = [each for each in drawn if each.get("class") == "av-cluster"]
    assert len(groups) > 4
    for group in groups:
        frame, sign = group.findall(f"{SVG}rect")
        assert max(curves) < drawn.index(sign), "arrows run behind it"
        x, y, wide, high = (float(sign.get(name)) for name in ("x", "y", "width", "height"))
        runs = group.findall(f"{SVG}text")
        assert x <= float(runs[0].get("x"))
        assert float(runs[-1].get("x")) + float(runs[-1].get("textLength")) <= x + wide
        assert all(y + 10 < float(run.get("y")) < y + high for run in runs)
        assert x + wide <= float(frame.get("x")) + float(frame.get("width"))
        # nor does it hide the head of an arrow to what stands right below
        assert not any(overlap((x, y, x + wide, y + high + 8), corners) for corners in boxes)


def test_a_leaf_stands_inside_if_it_is_used_inside_only(folded):
    opened = folded.open("encoder.layers.0.linear1.0", "encoder.layers.0.linear1.1")
    drawing = opened.picture()
    found, boxes = frames(drawing), places(drawing)
    groups = opened.known.groups
    by_name = {groups[number].name: corners for number, (corners, _) in found.items()}
    frame = by_name["encoder.layers.0.linear1.0"], by_name["encoder.layers.0.linear1.1"]
    leaves = {label: node for node, label in opened.known.outline.labels.items()}
    for use in boxes["node", leaves["encoder.layers.0.linear1.0.weight"]]:  # shared
        assert not overlap(use, frame[0])
    (own,) = boxes["node", leaves["encoder.layers.0.linear1.1.weight"]]
    assert is_inside(own, frame[1])


def test_what_is_closed_again_has_no_frame(folded):
    closed = folded.close("encoder.layers.1").picture()
    titles = {title for _, title in frames(folded.picture()).values()}
    assert titles - {title for _, title in frames(closed).values()} == {
        "encoder.layers.1 TransformerEncoderLayer"
    }


def test_repetitions_and_calls_are_told_apart():
    cell, step = nn.RNNCell(2, 2), torch.zeros(1, 2)
    with av.record(outer := nn.ModuleDict({"cell": cell})):
        for _ in range(20):
            step = cell(torch.ones(1, 2), step)
        loss = step.sum()
    folded = av.trace(loss, params=outer).fold().open("cell", index=3).open("cell", index=-1)
    assert [title for _, title in frames(folded.picture()).values()] == [
        "cell 3 RNNCell", "cell 19 RNNCell",
    ]  # fmt: skip


def test_a_picture_without_frames_has_no_word_of_them(folded):
    for drawing in (folded.graph.picture(limit=30), folded.trace.picture(limit=30)):
        assert 'class="av-cluster"' not in drawing.svg
