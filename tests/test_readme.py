"""The picture in README is the one that the package draws today."""

from pathlib import Path

import torch

import autograd_viz as av
from tests.notebooks.drawings import difference

PICTURE = Path(__file__).parents[1] / "docs" / "backward.svg"


def test_the_picture_is_what_the_code_beside_it_draws():
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    found = difference(PICTURE.read_text("utf-8"), av.trace(e).variables().picture().svg)
    assert found is None, 'refresh it with av.trace(e).variables().save("docs/backward.svg")'
