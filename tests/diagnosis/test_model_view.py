"""The picture of what trains in a model: colours, cuts, and what the graph does not lead to."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import autograd_viz as av
from autograd_viz.picture import Box, Picture
from autograd_viz.typeset import plain


class Adapter(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.rand(2, 4))
        self.B = nn.Parameter(torch.zeros(4, 2))

    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix, self.up = Adapter(nn.Linear(4, 4)), nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x):
        return x + self.up(self.mix(x).tanh())


def drawn(model, x, **options) -> Picture:
    with av.record():
        loss = model(x).square().sum()
    picture = av.why(model, loss).picture(**options)
    assert isinstance(picture, Picture)
    assert picture.svg.startswith("<svg")
    return picture


def texts(box: Box) -> list[str]:
    return [plain(line) for line in (*box.upper, *(box.lower or ()))]


def named(picture: Picture, name: str) -> Box:
    return next(box for box in picture.boxes if texts(box)[0] == name)


@pytest.fixture
def adapted():
    torch.manual_seed(0)
    embed = nn.Linear(3, 4).requires_grad_(False)
    head = nn.Linear(4, 2).requires_grad_(False)
    return nn.Sequential(embed, *(Block() for _ in range(6)), head)


def test_of_an_adapter_what_trains_is_green_and_what_is_frozen_grey(adapted):
    picture = drawn(adapted, torch.rand(2, 3))
    blocks = next(box for box in picture.boxes if "Block × 6" in texts(box))
    assert set(blocks.marks) == {"stack", "leaf"}
    assert texts(blocks)[-3:] == ["6 wait for backward()", "24 are frozen", "6 get 0"]
    assert named(picture, "7").marks == ("constant",)  # the head, on the way
    beside = next(box for box in picture.boxes if box.id.startswith("beside"))
    assert texts(beside) == ["0", "2 are frozen"]  # not on the way
    ways = {arrow.target: arrow.marks for arrow in picture.arrows if "hidden" not in arrow.marks}
    assert ways[blocks.id] == ("lit",)


def test_a_module_that_is_opened_shows_the_path_that_trains(adapted):
    picture = drawn(adapted, torch.rand(2, 3), open="1")
    assert named(picture, "mix").marks == ("leaf",)
    assert named(picture, "up").marks == ("constant",)
    into = [arrow for arrow in picture.arrows if arrow.target == named(picture, "mix").id]
    assert {arrow.marks for arrow in into} == {("lit",)}


def test_a_cut_stands_beside_its_statement_and_what_is_unused_by_itself():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 1)
            self.spare = nn.Linear(2, 2)

        def forward(self, x):
            h = self.first(x).detach()
            return self.second(h)

    picture = drawn(Cut(), torch.rand(2, 2))
    by_id = {box.id: box for box in picture.boxes}
    (cut,) = [arrow for arrow in picture.arrows if "cut" in arrow.marks]
    assert texts(by_id[cut.source])[0] == "h = self.first(x).detach()"
    assert texts(by_id[cut.target]) == ["first.weight", "first.bias", "2 are cut off"]
    assert texts(named(picture, "spare.weight"))[-1] == "2 are not used"
    assert named(picture, "second").marks == ("leaf",)
    assert picture.legend["cut"] == "the gradient stops here"


def test_nan_is_red_and_0_is_empty():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.dead, self.bad = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return torch.relu(self.dead(x) - 1_000) + self.bad(x) * torch.nan

    picture = drawn(Odd(), torch.rand(2, 2))
    assert "alarm" in named(picture, "bad").marks
    assert "empty" in named(picture, "dead").marks or "alarm" in named(picture, "dead").marks


def test_a_large_model_is_few_boxes():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, num_layers=12, enable_nested_tensor=False)
    picture = drawn(model, torch.randn(2, 3, 8))
    assert len(picture.boxes) < 12
    assert "144 wait for backward()" in {line for box in picture.boxes for line in texts(box)}


def test_a_model_alone_and_one_without_a_graph_are_drawn_too():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    alone = av.why(model)
    picture = alone.picture()
    assert isinstance(picture, Picture)
    assert [texts(box)[-1] for box in picture.boxes] == ["4 wait for backward()"]
    with pytest.raises(ValueError, match=r"open='0': a model alone has no graph"):
        alone.picture(open="0")
