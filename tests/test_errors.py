"""What goes wrong, and whether the message says how to put it right."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import autograd_viz as av
from autograd_viz import errors
from autograd_viz.errors import (
    AutogradVizError,
    GradError,
    GraphFreedError,
    NoGraphError,
    NotATensorError,
    SavedValueChangedError,
)

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and value.__module__ == errors.__name__
}


def leaf(value: object = 2.0) -> Tensor:
    return torch.tensor(value, requires_grad=True)


def pair() -> Tensor:
    return leaf([1.0, 2.0]) * 2


# the tree


def drawn_tree() -> dict[str, tuple[str, str | None]]:
    """Of each error in the docstring's tree its parent and, if one is named, its builtin."""
    assert errors.__doc__
    tree: dict[str, tuple[str, str | None]] = {}
    parents: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ([ │├└─]*)(\w+Error\w*)(?: \((\w+)\))?", line)
        if found:
            depth = len(found[1]) // 4
            del parents[depth:]
            tree[found[2]] = (parents[-1] if parents else "Exception", found[3])
            parents.append(found[2])
    return tree


def test_the_drawn_tree_is_complete():
    assert drawn_tree().keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_classes_derive_from_what_the_tree_says(name):
    parent, builtin = drawn_tree()[name]
    bases = [base.__name__ for base in CLASSES[name].__bases__]
    assert bases == [parent, builtin] if builtin else bases == [parent]
    assert issubclass(CLASSES[name], AutogradVizError)
    assert CLASSES[name].__doc__


# bad input, for graph and for trace


def made_in(mode: torch.no_grad | torch.inference_mode) -> Tensor:
    a = leaf()
    with mode:
        return a * 2


NO_GRAPH = "does not require grad and has no grad_fn"
BAD_OUTPUTS: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "number": (lambda: 3.5, NotATensorError, ["a tensor", "a float", "(loss)"]),
    "nothing": (lambda: None, NotATensorError, ["a tensor", "a NoneType", "(loss)"]),
    "text": (lambda: "y", NotATensorError, ["a tensor", "a str", "(loss)"]),
    "array": (lambda: torch.ones(2).numpy(), NotATensorError, ["a tensor", "ndarray", "(loss)"]),
    "dictionary": (lambda: {"y": leaf()}, NotATensorError, ["a dict", "(loss)"]),
    "function": (lambda: torch.exp, NotATensorError, ["a builtin_function_or_method", "(loss)"]),
    "a number in a list": (
        lambda: [leaf(), 3],
        NotATensorError,
        ["output 1 is an int", "not a tensor", "([y1, y2])"],
    ),
    "a list in a list": (lambda: [[leaf()]], NotATensorError, ["the output is a list"]),
    "empty list": (lambda: [], NoGraphError, ["empty", "at least one tensor", "([y1, y2])"]),
    "empty tuple": (lambda: (), NoGraphError, ["empty"]),
    "plain tensor": (
        lambda: torch.tensor(2.0),
        NoGraphError,
        ["the output", NO_GRAPH, "requires_grad=True)"],
    ),
    "plain tensor in a list": (
        lambda: [leaf(), torch.tensor(2.0)],
        NoGraphError,
        ["output 1", NO_GRAPH],
    ),
    "no_grad": (lambda: made_in(torch.no_grad()), NoGraphError, [NO_GRAPH, "torch.no_grad()"]),
    "detached": (lambda: pair().detach(), NoGraphError, [NO_GRAPH, ".detach()", "without"]),
    "inference mode": (
        lambda: made_in(torch.inference_mode()),
        NoGraphError,
        ["made in inference mode", "outside of `with torch.inference_mode():`"],
    ),
    "integers": (lambda: torch.tensor([1, 2]), NoGraphError, ["torch.int64", "x.float()"]),
    "an index": (lambda: leaf([1.0, 2.0]).argmax(), NoGraphError, ["torch.int64", "x.float()"]),
    "max of a dimension": (lambda: leaf([[1.0]]).max(0), NoGraphError, ["output 1", "int64"]),
}


@pytest.mark.parametrize("call", ["graph", "trace"])
@pytest.mark.parametrize("case", BAD_OUTPUTS)
def test_bad_outputs(call, case):
    given, error, said = BAD_OUTPUTS[case]
    with pytest.raises(error) as caught:
        getattr(av, call)(given())
    message = str(caught.value)
    assert [part for part in said if part not in message] == []
    if "av." in message:
        assert f"av.{call}(" in message


def test_made_under_no_grad_is_not_an_error_for_a_leaf():
    with torch.no_grad():
        a = leaf()
        assert len(av.graph(a).nodes) == 1


# the gradient to start from

ONES_LIKE = "av.trace(y, torch.ones_like(y))"
BAD_GRADS: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "left out": (lambda: (pair(),), GradError, ["[2]", "av.trace(y.sum())", ONES_LIKE]),
    "left out for one of several": (
        lambda: ([leaf(), pair()], [None, None]),
        GradError,
        ["output 1", "[2]", ONES_LIKE],
    ),
    "left out for a complex output": (
        lambda: (leaf(1 + 2j) * 2,),
        GradError,
        ["complex", ONES_LIKE],
    ),
    "of the wrong shape": (
        lambda: (pair(), torch.ones(3)),
        GradError,
        ["the output has shape [2]", "has shape [3]", ONES_LIKE],
    ),
    "that would broadcast": (lambda: (pair(), torch.tensor(1.0)), GradError, ["[2]", "[]"]),
    "of the wrong shape among several": (
        lambda: ([leaf(), pair()], [None, torch.ones(2, 1)]),
        GradError,
        ["output 1 has shape [2]", "[2, 1]"],
    ),
    "too few": (
        lambda: ([pair(), pair()], [torch.ones(2)]),
        GradError,
        ["2 outputs need 2 gradients", "1 were given", "av.trace([y1, y2], [grad1, grad2])"],
    ),
    "too many": (lambda: (leaf(), [None, None]), GradError, ["1 outputs need 1", "2 were given"]),
    "one for several": (lambda: ([pair(), pair()], torch.ones(2)), GradError, ["2 outputs"]),
    "complex for real": (
        lambda: (leaf(), torch.tensor(1j)),
        GradError,
        ["torch.float32", "torch.complex64", "av.trace(y, grad.to(y.dtype))"],
    ),
    "real for complex": (
        lambda: (leaf(1 + 2j), torch.tensor(1.0)),
        GradError,
        ["torch.complex64", "torch.float32", "grad.to(y.dtype)"],
    ),
    "a number": (
        lambda: (pair(), 1.5),
        NotATensorError,
        ["of type float, not a tensor", "av.trace(y, torch.full([2], 1.5))"],
    ),
    "a number in a list": (
        lambda: ([leaf(), pair()], [None, 1.5]),
        NotATensorError,
        ["the gradient for output 1 is of type float", ONES_LIKE],
    ),
}


@pytest.mark.parametrize("case", BAD_GRADS)
def test_bad_grads(case):
    given, error, said = BAD_GRADS[case]
    with pytest.raises(error) as caught:
        av.trace(*given())
    message = str(caught.value)
    assert [part for part in said if part not in message] == []


def test_the_line_for_a_number_as_gradient_works():
    y = pair()
    with pytest.raises(NotATensorError) as caught:
        av.trace(y, 1.5)
    (line,) = re.findall(r"av\.trace\(.*\)", str(caught.value))
    trace = eval(line, {"av": av, "torch": torch, "y": y})
    assert trace.leaf_grads[0][1].tolist() == [3, 3]


# a graph that was freed


def test_a_freed_graph():
    y = leaf().exp() ** 2
    y.backward()
    with pytest.raises(GraphFreedError) as caught:
        av.trace(y)
    message = str(caught.value)
    assert message == (
        "The backward pass from y fails: the graph of y was freed: an earlier pass went through "
        "it, and PyTorch frees what it has saved as it goes. Compute y again before each pass; or, "
        "to go through the same graph twice, keep it in the first one. For that, in the first pass "
        "write: y.backward(retain_graph=True)"
    )
    assert [node.name for node in av.graph(y).nodes][:2] == ["PowBackward0", "ExpBackward0"]


def test_a_freed_custom_function():
    class Squared(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    y = Squared.apply(leaf())
    y.backward()
    with pytest.raises(GraphFreedError):
        av.trace(y)


def test_a_saved_value_that_was_changed():
    a = leaf()
    inner = a.exp()
    y = inner * inner
    with torch.no_grad():
        inner.add_(1)
    with pytest.raises(SavedValueChangedError, match=r"inner was changed in place") as caught:
        av.trace(y)
    assert "modified by an inplace operation" in str(caught.value.__cause__)
    assert [node.name for node in av.graph(y).nodes][:2] == ["MulBackward0", "ExpBackward0"]
