"""In which frame each part appears; the pictures are looked at in test_variables_view."""

from typing import Any

import torch

import autograd_viz as av
from autograd_viz import frames
from tests.test_transforms import main_example


def test_backward_wave_by_wave_and_leaves_one_by_one():
    variables = main_example().variables()
    nodes, links = frames.drawn(variables)
    assert (nodes, links) == (variables.nodes, variables.links)
    appears = frames.backward(nodes, links)
    assert [appears[node.id] for node in nodes] == [7, 5, 3, 3, 1]
    for number, link in enumerate(links):
        assert appears[number, 1] == appears[link.target]
        assert appears[number, 0] == appears[link.target] - 1
        assert appears[link.source] < appears[number, 0]


def test_forward_one_statement_a_frame():
    nodes, links = frames.drawn(main_example(trace=False).variables())
    appears = frames.forward(nodes, links)
    assert [appears[node.id] for node in nodes] == [1, 1, 2, 3, 4]


def test_only_what_is_nearest_to_the_output_is_drawn():
    x = torch.tensor(1.0, requires_grad=True)
    values = {}
    for number in range(100):
        x = values[f"x{number}"] = x * 1
    nodes, links = frames.drawn(av.trace(x, names=values).variables())
    assert [len(nodes), len(links)] == [60, 59]
    assert nodes[-1].name == "x99"


def test_what_cannot_be_laid_out_is_not_drawn():
    x = torch.ones(1, requires_grad=True)
    values = {"x0": x}
    for number in range(1, 40):  # each is made from all before it
        values[f"x{number}"] = x = torch.stack([*values.values()]).sum() * torch.ones(1)
    shown = av.trace(x, names=values).variables()
    nodes, links = frames.drawn(shown)
    assert 10 < len(nodes) < 30
    assert nodes == shown.nodes[-len(nodes) :]
    assert len(links) == len(nodes) * (len(nodes) - 1) / 2
    drawing: Any = shown.picture()
    assert f"{40 - len(nodes)} of 40 variables are left out." in drawing.notes
    drawing.svg  # noqa: B018
