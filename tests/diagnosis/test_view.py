"""The picture of a Reason: which arrow is cut, and what stands beside the graph."""

from typing import Any

import torch

import autograd_viz as av
from autograd_viz.picture import Picture


def number(value):
    return torch.tensor(value, requires_grad=True)


def drawn(reason) -> Picture:
    picture = reason.picture()
    assert isinstance(picture, Picture)
    return picture


def cut_arrows(picture):
    return [(arrow.source, arrow.target) for arrow in picture.arrows if "cut" in arrow.marks]


def test_a_tensor_whose_gradient_is_not_kept():
    t = torch.ones(2, requires_grad=True)
    z = -t
    u = z.sum()
    reason: Any = av.why(z, u)
    picture = drawn(reason)
    place = next(v.id for v in reason.variables.nodes if v.name == "z")
    assert cut_arrows(picture) == [(f"variable-{place}", "grad")]
    assert picture.legend["cut"] == "the gradient stops here"


def test_a_statement_that_cuts_stands_between():
    x, w = number(2.0), number(3.0)
    with av.record():
        y = x.detach() * 2
        h = y * w
        loss = h + 1
    reason: Any = av.why(x, loss)
    picture = drawn(reason)
    assert cut_arrows(picture) == [("broken", "tensor")]
    place = next(v.id for v in reason.variables.nodes if v.name == "h")
    assert (f"variable-{place}", "broken") in {(a.source, a.target) for a in picture.arrows}


def test_inside_of_a_variable_the_operation_is_shown():
    x = number(-2.0)
    y = torch.relu(x * 3) * 2 + 1
    y.backward(retain_graph=True)
    reason = av.why(x, y)
    picture = drawn(reason)
    ((source, target),) = cut_arrows(picture)
    assert source.startswith("link-")
    box = next(box for box in picture.boxes if box.id == target)
    assert "x * 3" in str(box.upper).replace("', style='math'), Run(text='", "")
    assert picture.legend["cut"] == "here it becomes 0"


def test_a_freed_graph_is_drawn_as_a_computation():
    x = number(2.0)
    y = x**2
    y.backward()
    picture = drawn(av.why(x, y))
    assert picture.upward
    assert ("grad", "variable-0") in {(arrow.source, arrow.target) for arrow in picture.arrows}


def test_without_any_graph_two_boxes_remain():
    x = torch.tensor(2.0)
    y = x * 3
    picture = drawn(av.why(x, y))
    assert [box.id for box in picture.boxes] == ["output", "tensor"]
    assert len(drawn(av.why(x)).boxes) == 1


def test_the_reason_prints_its_paragraph_everywhere(tmp_path):
    x = torch.tensor(2.0)
    reason = av.why(x)
    assert str(reason) == reason.text
    assert repr(reason) == "<Reason: not_required>"
    bundle = reason._repr_mimebundle_()
    assert bundle["text/plain"] == reason.text
    assert bundle["image/svg+xml"].startswith("<svg")
    assert reason.save(tmp_path / "why.svg", theme="dark").exists()


def test_a_large_graph_is_drawn_near_its_output():
    x = number(1.0)
    names = {}
    y = x
    for step in range(60):
        y = names[f"h{step}"] = y * 1.01
    z = number(1.0)
    scope = {**names, "x": x, "y": y, "z": z, "av": av}
    exec("near, far = av.why(x, y), av.why(z, y)", scope)
    for reason in (scope["near"], scope["far"]):
        assert len(cut_arrows(drawn(reason))) == 1


def test_what_a_statement_made_stands_above_it_and_what_it_cuts_off_below():
    x = number(2.0)
    with av.record():
        n = x.detach() * 2
        loss = n * number(3.0)
    picture = drawn(av.why(n, loss))
    ends = {(arrow.source, arrow.target) for arrow in picture.arrows}
    assert cut_arrows(picture) == [("broken", "source")]
    assert ("tensor", "broken") in ends


def test_only_what_leads_to_a_tensor_far_down_is_joined_to_it():
    m = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(20)])
    loss = m(torch.ones(1, 2)).sum()
    first: Any = m[0]
    picture = drawn(av.why(first.weight, loss))
    assert cut_arrows(picture) == [("tensor", "grad")]
    ends = [arrow.source for arrow in picture.arrows if arrow.target == "tensor"]
    assert len(ends) == 1
    assert ends[0].startswith("more-")
