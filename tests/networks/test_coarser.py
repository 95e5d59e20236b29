"""What is too large to lay out is drawn in part, with a note, and never raises or hangs."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import autograd_viz as av
from autograd_viz import layout
from autograd_viz.networks.coarser import FAR, NEAREST, coarser
from autograd_viz.networks.folding import Folded
from autograd_viz.picture import Picture
from autograd_viz.typeset import Run


class Dense(nn.Module):
    """Each layer gets the outputs of all before it."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2 * n + 2, 2) for n in range(layers))

    def forward(self, x):
        parts = [x]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        return torch.cat(parts, 1)


def all_opened(folded: Folded) -> Folded:
    return folded.open(*{group.name for group in folded.known.groups[1:]})


@pytest.fixture(scope="module")
def traced():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    with av.record(model):
        loss = model(torch.randn(1, 3, 8)).sum()
    return av.trace(loss, params=model)


def test_what_fits_is_drawn_as_it_was_asked_for(traced):
    folded = traced.fold().open("layers.2.self_attn")
    drawing = folded.picture()
    assert len([box for box in drawing.boxes if "node" in box.data or "group" in box.data]) == len(
        folded.scene.items
    ) + sum(map(len, folded.scene.uses.values()))
    assert not any("too long" in note for note in drawing.notes)


def test_the_largest_groups_close_again_and_a_note_says_how_to_get_more(traced):
    folded = traced.fold().open(*(f"layers.{n}.self_attn" for n in range(6)))
    whole = folded.picture()
    few = folded.picture(effort=layout.EFFORT // 40)
    assert 0 < len(few.boxes) < len(whole.boxes)
    (note,) = [note for note in few.notes if "too long" in note]
    assert "closed again: " in note
    assert f"picture(effort={layout.EFFORT:_}) tries longer" in note
    assert note in few.words
    few.svg  # noqa: B018
    assert "layers" in few.words


def test_each_step_leaves_less_until_nothing_is_left_to_leave_out(traced):
    part: Any = all_opened(traced.fold())
    sizes = []
    while part is not None:
        sizes.append(len(part.scene.items))
        last, part = part, coarser(part, 1 / 3)
    assert sizes == sorted(sizes, reverse=True)
    assert last.opened == {~0}
    assert last.hidden == {"leaves", "far"}


@pytest.mark.parametrize("effort", [1, 1_000, 1_000_000])
def test_an_effort_that_holds_nothing_draws_the_coarsest_fold(traced, effort):
    drawing: Any = traced.fold(open="layers.2").picture(effort=effort)
    drawing.svg  # noqa: B018
    (note,) = [note for note in drawing.notes if "too long" in note]
    assert "leaves are hidden" in note
    assert f"picture(effort={layout.EFFORT:_}) tries longer" in note
    assert "1  loss" in drawing.words
    assert "TransformerEncoder " in drawing.words
    frame: Any = traced.fold().picture(effort=effort, frame=1)
    assert "step 1 of" in frame.svg


def test_any_fold_is_drawn_within_any_effort_that_holds_a_few_boxes():
    model = Dense(25)
    loss = model(torch.ones(1, 2)).sum()
    folded = all_opened(av.trace(loss).fold())
    drawing: Any = folded.picture(effort=layout.EFFORT // 10)
    drawing.svg  # noqa: B018
    assert any("too long" in note for note in drawing.notes)


def test_far_gradients_are_counted_where_they_are_left_out():
    leaves = [torch.ones(2, requires_grad=True) for _ in range(12)]
    values: list[torch.Tensor] = []
    for leaf in leaves:
        values.append(torch.stack([leaf, *values]).sum(0))
    folded = all_opened(av.trace(values[-1].sum()).fold())
    sent = Counter(flow.source for flow in folded.scene.flows)
    assert max(sent.values()) > NEAREST
    drawing = replace(folded, hidden=frozenset({"leaves", FAR})).picture()
    assert isinstance(drawing, Picture)
    left = {box.id: box.upper for box in drawing.boxes if box.shape == "more"}
    assert left == {
        f"more-{source}": ((Run(f"… {count - NEAREST} more"),),)
        for source, count in sent.items()
        if count > NEAREST
    }
    rectangles = [box for box in drawing.boxes if box.shape == "rect"]
    assert len(rectangles) == sum(min(count, NEAREST) for count in sent.values())


def test_frames_of_what_is_too_large_are_of_the_coarser_fold(traced):
    folded = all_opened(traced.fold())
    effort = layout.EFFORT // 100
    whole: Any = folded.picture(effort=effort)
    frame: Any = folded.picture(effort=effort, frame=2)
    assert [box.id for box in whole.boxes] == [box.id for box in frame.boxes]
    assert whole.notes == frame.notes
