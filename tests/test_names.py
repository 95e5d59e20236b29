"""Which of the caller's names reach the nodes."""

from __future__ import annotations

import sys
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autograd_viz as av
from autograd_viz import names
from autograd_viz.errors import NotATensorError

shared_with_the_module = torch.tensor(1.0, requires_grad=True)


def leaf(value: object = 2.0) -> Tensor:
    return torch.tensor(value, requires_grad=True)


def labels(graph: Any) -> list[str | None]:
    return [node.label for node in graph.nodes]


def in_a_notebook(*cells: str) -> dict[str, Any]:
    """The variables that the cells leave behind, run as a notebook runs them."""
    namespace: dict[str, Any] = {"av": av, "torch": torch}
    for cell in cells:
        exec(cell, namespace)
    return namespace


def test_locals_of_a_function():
    a = leaf()
    inner = a.exp()
    assert labels(av.graph(inner.sin())) == [None, "inner", "a"]


def test_globals_of_the_module():
    assert labels(av.graph(shared_with_the_module.exp())) == [None, "shared_with_the_module"]


def test_locals_win_over_globals():
    mine = shared_with_the_module
    assert labels(av.graph(mine.exp())) == [None, "mine"]


def test_variables_of_a_notebook():
    after = in_a_notebook(
        "a = torch.tensor(2.0, requires_grad=True)", "y = a.exp()", "graph = av.graph(y)"
    )
    assert labels(after["graph"]) == ["y", "a"]


def test_a_function_in_a_notebook_sees_its_own_variables_first():
    after = in_a_notebook(
        "a = torch.tensor(2.0, requires_grad=True)",
        "def f(x):\n    inner = x.exp()\n    return av.graph(inner.sin())",
        "graph = f(a)",
    )
    assert labels(after["graph"]) == [None, "inner", "x"]


def test_variables_of_other_functions_are_not_looked_at():
    def made() -> Tensor:
        hidden = leaf().exp()
        return hidden.sin()

    assert labels(av.graph(made())) == [None, None, None]


def test_trace_takes_the_names_of_its_caller():
    a = leaf()
    c = a.exp()
    assert labels(av.trace(c.sin()).graph) == [None, "c", "a"]


def test_names_with_an_underscore_are_left_out():
    after = in_a_notebook(
        "_ = torch.tensor(2.0, requires_grad=True)", "_3 = _.exp()", "graph = av.graph(_3)"
    )
    assert labels(after["graph"]) == [None, None]


def test_what_is_no_name_is_left_out():
    namespace = {"@py_assert1": leaf(), "not a name": leaf(), "av": av, "graph": None}
    exec("graph = av.graph([globals()['@py_assert1'], globals()['not a name']])", namespace)
    assert labels(namespace["graph"]) == [None, None]


def test_the_first_of_two_names_for_one_tensor_is_taken():
    first = leaf()
    second = first
    assert labels(av.graph(second.exp())) == [None, "first"]


def test_parameters_have_dotted_names():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1, bias=False)))
    graph = av.graph(model(torch.ones(1, 2)).sum(), params=model)
    assert {node.label for node in graph.leaves} == {"0.weight", "0.bias", "1.1.weight"}
    graph = av.graph(model(torch.ones(1, 2)).sum(), params=dict(model[0].named_parameters()))
    assert {node.label for node in graph.leaves} == {"weight", "bias", None}


def test_a_parameter_of_two_modules_has_its_first_name():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    graph = av.graph(model(torch.ones(2)).sum(), params=model)
    assert [node.label for node in graph.leaves] == ["0.weight"]


def test_parameters_names_win_over_variables():
    model = nn.Linear(1, 1, bias=False)
    w = model.weight
    assert av.graph(w.exp(), params=model).nodes[1].label == "weight"
    assert av.graph(w.exp()).nodes[1].label == "w"


def test_explicit_names_win_over_all():
    model = nn.Linear(1, 1, bias=False)
    w = model.weight
    loss = w.sum()
    names = {"weights": w, "error": loss}
    assert labels(av.graph(loss, params=model, names=names)) == ["error", "weights"]
    assert labels(av.trace(loss, params=model, names=names).graph) == ["error", "weights"]


def test_explicit_names_may_be_any_text():
    y = leaf().exp()
    assert av.graph(y, names={"<b>& \n": y}).root.label == "<b>& \n"


def test_names_of_tensors_elsewhere_do_no_harm():
    a, elsewhere, constant = leaf(), leaf(), torch.tensor(1.0)
    y = a.exp() + constant
    given = {"elsewhere": elsewhere, "constant": constant}
    assert labels(av.graph(y, names=given)) == ["y", None, "a"]


def test_a_variable_that_has_lost_its_node_does_no_harm():
    # Asking such a view for its grad_fn raises.
    x = leaf([1.0, 2.0]).exp()
    with torch.no_grad():
        view = x.view(-1)
    x.mul_(2)
    assert labels(av.graph(x.sum())) == [None, "x", None, None]
    with pytest.raises(RuntimeError, match="no_grad"):
        _ = view.grad_fn


def test_objects_are_told_by_type_alone():
    class Pretender:
        @property  # type: ignore[misc]
        def __class__(self):
            raise AssertionError("a stranger's code ran")

    assert not names.is_tensor(Pretender())
    assert names.is_tensor(nn.Parameter(torch.ones(1)))


@pytest.mark.parametrize("given", [{"x": 3}, {"x": None}, {"x": [torch.ones(1)]}])
def test_a_name_for_no_tensor(given):
    y = leaf().exp()
    wanted = r"names\['x'\] is of type .*, not a tensor"
    with pytest.raises(NotATensorError, match=wanted) as caught:
        av.graph(y, names=given)
    assert 'names={"x": tensor}' in str(caught.value)
    with pytest.raises(NotATensorError, match=r"params\['x'\] .* give params=model"):
        av.graph(y, params=given)


def test_names_of_the_wrong_type():
    y = leaf().exp()
    with pytest.raises(TypeError, match=r"names is of type list; .* names=\{\"loss\": loss\}"):
        av.graph(y, names=["y"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"params is of type generator; .* params=model"):
        av.graph(y, params=nn.Linear(1, 1).parameters())  # type: ignore[arg-type]


# tensors that the caller can reach


def reached(**variables: object) -> list[Tensor]:
    frame: Any = SimpleNamespace(f_locals=variables, f_globals={}, f_back=None)
    return list(names.reachable_tensors(frame))


def test_reachable_tensors_are_found_in_containers_and_objects():
    tensors = [torch.ones(1) for _ in range(8)]
    found = reached(
        plain=tensors[0],
        row=[tensors[1], (tensors[2], {"key": tensors[3]})],
        either={tensors[4]},
        thing=SimpleNamespace(deep=SimpleNamespace(er=tensors[5])),
        model=nn.ParameterList([nn.Parameter(tensors[6])]),
        counted=7,
        text="text",
    )
    assert {id(tensor) for tensor in tensors[:6]} <= {id(tensor) for tensor in found}
    assert any(type(tensor) is nn.Parameter for tensor in found)
    assert not any(tensor is tensors[7] for tensor in found)


def test_reachable_tensors_end_in_circles_too():
    row: list[object] = [torch.ones(1)]
    row.append(row)
    assert len(reached(row=row)) == 1


def test_reachable_tensors_of_callers_further_up():
    outer = torch.ones(1)

    def inner() -> list[Tensor]:
        frame: FrameType = sys._getframe(0)
        return list(names.reachable_tensors(frame))

    assert any(tensor is outer for tensor in inner())
    assert list(names.reachable_tensors(None)) == []
