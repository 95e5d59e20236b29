"""The plot of the gradients' norms: its legend and its names are whole, and no two names alike."""

import pytest
import torch
from matplotlib.text import Text

import autograd_viz as av
from autograd_viz.networks import flow_figure


def flow_of(model, *inputs):
    return av.trace(model(*inputs).sum(), params=model).gradient_flow()


def chain(parameters):
    """A network with so many parameters, each with the elements for a bar behind its norm."""
    layers = [torch.nn.Linear(8, 8, bias=bias) for bias in [True] * (parameters // 2)]
    if parameters % 2:
        layers.append(torch.nn.Linear(8, 8, bias=False))
    return torch.nn.Sequential(*layers)


def cut_off(figure):
    """The texts that reach over the figure's edge, and those of the legend that overlap."""
    figure.draw_without_rendering()
    whole = figure.bbox
    found = []
    for text in figure.findobj(Text):
        box = text.get_window_extent()
        if text.get_text() and text.get_visible() and box.width:
            inside = whole.x0 <= box.x0 and box.x1 <= whole.x1
            if not (inside and whole.y0 <= box.y0 and box.y1 <= whole.y1):
                found.append(text.get_text())
    return found


@pytest.mark.parametrize("first", range(2, 61, 10))
def test_nothing_is_cut_off_for_any_number_of_parameters(first):
    for parameters in range(first, first + 10, 3):
        flow = flow_of(chain(parameters), torch.ones(4, 8))
        assert len(flow.entries) == parameters
        figure = flow_figure.drawn(flow, "light")
        assert cut_off(figure) == [], parameters
        assert len(figure.legends[0].get_texts()) == 3


def test_all_states_in_the_legend_are_whole():
    flow = flow_of(chain(30), torch.ones(4, 8))
    model = chain(30)
    model[3].weight.requires_grad_(False)
    loose = torch.nn.Linear(20, 20)
    with torch.no_grad():
        model[5].bias.fill_(float("inf"))
    model.loose = loose
    loss = model[:10](torch.ones(4, 8)).sum()
    flow = av.trace(loss, params=model).gradient_flow()
    assert len({entry.state for entry in flow.entries}) > 2
    assert cut_off(flow_figure.drawn(flow, "dark")) == []


class Block(torch.nn.Module):
    """Names as those of LLaMA and of BART: long, and alike at both ends."""

    def __init__(self):
        super().__init__()
        self.self_attn = torch.nn.ModuleDict(
            {f"{name}_proj": torch.nn.Linear(2, 2, bias=False) for name in "qkvo"}
        )
        self.post_attention_layernorm = torch.nn.LayerNorm(2)
        self.input_layernorm = torch.nn.LayerNorm(2)

    def forward(self, x):
        for layer in self.self_attn.values():
            x = x + layer(x)
        return self.post_attention_layernorm(self.input_layernorm(x))


@pytest.mark.parametrize("towers", [["layers"], ["encoder_layers", "decoder_layers"]])
def test_no_two_names_are_alike(towers):
    model = torch.nn.ModuleDict(
        {"model": torch.nn.ModuleDict({t: torch.nn.Sequential(Block(), Block()) for t in towers})}
    )
    x = torch.ones(3, 2)
    loss = sum(model["model"][tower](x).square().sum() for tower in towers)
    flow = av.trace(loss, params=model).gradient_flow()
    figure = flow_figure.drawn(flow, "light")
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(names) == len({*names}) == 16 * len(towers)
    assert cut_off(figure) == []
