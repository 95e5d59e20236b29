"""How the answer for a whole model shows itself."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
import torch
from torch import nn

import autograd_viz as av


def asked():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 1))
    model[3].bias.requires_grad_(False)
    loss = model(torch.rand(4, 2)).square().sum()
    loss.backward(retain_graph=True)
    return av.why(model, loss)


def test_it_prints_as_a_table_under_a_line_that_sums_up():
    lines = str(asked()).splitlines()
    assert lines[0] == "The 6 parameters of model for loss: 5 train, 1 is frozen."
    assert lines[1].split() == ["parameters", "number", "state", "norm", "of", "the", "gradient"]
    assert [line.split()[:3] for line in lines[2:8]] == [
        ["0.weight", "1", "trains"],
        ["0.bias", "1", "trains"],
        ["1.weight", "1", "trains"],
        ["1.bias", "1", "trains"],
        ["3.weight", "1", "trains"],
        ["3.bias", "1", "frozen"],
    ]
    assert lines[8:] == [
        "3.bias is frozen: its requires_grad is False. Write: model[3].bias.requires_grad_(True)",
        "1.running_mean, 1.running_var, 1.num_batches_tracked: 3 buffers, numbers that the model "
        "keeps and that no gradient reaches by design.",
    ]


def test_a_page_has_the_table_the_sentences_and_the_picture():
    found = asked()
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"] == str(found)
    assert bundle["image/svg+xml"].startswith("<svg")
    assert found.title in bundle["image/svg+xml"].replace("∗", "*")

    class Parsed(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.data = [], []

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)

        def handle_data(self, data):
            self.data.append(data)

    page = Parsed()
    page.feed(bundle["text/html"])
    assert (page.tags.count("tr"), page.tags.count("li"), page.tags.count("img")) == (7, 2, 1)
    assert found.title in page.data
    assert all(sentence in page.data for sentence in found.sentences)


def test_a_row_is_found_by_its_name():
    found = asked()
    assert found["3.bias"].state == "frozen"
    assert found["3.bias"].shape == (1,)
    with pytest.raises(KeyError, match=r"model has no parameter 'bias'; did you mean 0\.bias, "):
        found["bias"]


def test_states_and_the_line_to_type():
    found = asked()
    assert dict(found.states) == {"trains": 5, "frozen": 1}
    assert found.line is None
    assert repr(found) == (
        "<ModelReason: The 6 parameters of model for loss: 5 train, 1 is frozen.>"
    )


def test_names_of_a_strangers_making_do_not_write_into_the_page():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_parameter("<b>x</b>", nn.Parameter(torch.ones(1)))

    model = Odd()
    found = av.why(model)
    assert "<b>x" not in found._repr_mimebundle_()["text/html"].replace("<b>The", "")
    assert found["<b>x</b>"].state == "waits"


def test_a_model_without_parameters():
    model = nn.Tanh()
    found = av.why(model)
    assert found.title == "The 0 parameters of model."
    assert found.picture().svg.startswith("<svg")
