"""Drawings as values, and their text twins, compared with the files in `golden/`.

`AUTOGRAD_VIZ_REFRESH=1 python -m pytest tests/test_picture.py` writes the files anew.
"""

import os
from pathlib import Path

import pytest
import torch

import autograd_viz as av
from autograd_viz.picture import Arrow, Box, Picture, Strip, strip
from autograd_viz.typeset import Run
from tests.test_transforms import main_example

GOLDEN = Path(__file__).with_name("golden")


class Clipped(torch.autograd.Function):
    """Passes a gradient on, but at most 1 of it."""

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        return grad.clamp(-1, 1)


def one_op():
    x = torch.tensor(2.0, requires_grad=True)
    y = torch.exp(x)
    return av.trace(y)


def fan_out():
    x = torch.tensor(3.0, requires_grad=True)
    y = x * x
    return av.trace(y)


def diamond():
    x = torch.tensor(2.0, requires_grad=True)
    left = x * 3
    right = x**2
    y = left * right
    return av.trace(y)


def unbind():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    p, q, r = torch.unbind(x)
    y = p * q + 2 * q
    return r, av.trace(y)


def custom_function():
    x = torch.tensor(2.0, requires_grad=True)
    h = Clipped.apply(x)
    y = 5 * h
    return av.trace(y)


def detached_branch():
    w = torch.tensor(2.0, requires_grad=True)
    kept = w * w
    cut = (w * 3).detach()
    y = kept + cut
    return av.trace(y)


def several_outputs():
    w = torch.tensor(2.0, requires_grad=True)
    h = torch.sin(w)
    y1 = h * 2
    y2 = h * h
    return av.trace([y1, y2])


def tensors():
    w = torch.arange(6.0).reshape(2, 3).requires_grad_()
    x = torch.ones(3)
    h = w @ x
    loss = (h**2).mean()
    return av.trace(loss)


CASES = {
    "one_op": one_op,
    "fan_out": fan_out,
    "diamond": diamond,
    "unbind": lambda: unbind()[1],
    "custom_function": custom_function,
    "detached_branch": detached_branch,
    "several_outputs": several_outputs,
    "tensors": tensors,
    "main_example": main_example,
}


def twins(trace):
    variables = trace.variables()
    yield "graph", trace.graph
    yield "trace", trace
    for view in ("computation", "derivatives", "backward"):
        yield view, variables.picture(view=view)
    if any(variable.name == "d" for variable in variables.nodes):
        yield "details of d", variables.details("d")
        yield "backward, frame by frame", variables.backward(frame="all")


@pytest.mark.parametrize("name", CASES)
def test_the_text_twin_is_the_stored_one(name):
    text = "\n\n".join(f"[{view}]\n{shown}" for view, shown in twins(CASES[name]())) + "\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("AUTOGRAD_VIZ_REFRESH") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_there_is_no_stored_text_without_a_case():
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_two_captures_give_equal_pictures(name):
    first, second = CASES[name](), CASES[name]()
    assert first.picture() == second.picture()
    assert first.variables().picture() == second.variables().picture()


def test_a_drawing_is_its_own_picture():
    drawing = main_example().picture()
    assert drawing.picture() is drawing
    assert str(drawing) == drawing.words
    with pytest.raises(TypeError, match=r"finished drawing takes no options.*theme"):
        drawing.picture(theme="dark")


def test_a_strip_says_each_frame_in_words():
    frames = [
        Picture(f"title {n}", f"words {n}", (Box("a", "oval", ((Run("a"),),)),), ())
        for n in (1, 2, 3)
    ]
    drawing = strip("all", frames, columns=2)
    assert isinstance(drawing, Strip)
    assert drawing.words == (
        "Frame 1 of 3\nwords 1\n\nFrame 2 of 3\nwords 2\n\nFrame 3 of 3\nwords 3"
    )


def test_a_picture_made_by_hand_is_drawn():
    boxes = (
        Box("a b", "oval", ((Run("upper"),),), ((Run("lower"),),)),
        Box('"', "rect", ((Run("2"),), (Run("3"),))),
        Box("…", "more", ((Run("… 3 more"),),)),
    )
    arrows = (Arrow("a b", '"'), Arrow('"', "…"), Arrow("a b", '"'))
    svg = Picture("by hand", "words", boxes, arrows, notes=("a note " * 30,)).svg
    assert svg.count('class="av-arrow"') == 3
    assert all(f">{word}</text>" in svg for word in ("upper", "lower", "2", "3", "… 3 more"))
    assert svg.count("a note") > 20
