"""Answers to the exercises of notebook 04, right ones in other forms and wrong ones."""

from typing import Any

import pytest
import torch

import autograd_viz as av
from tests.exercises.judging import is_solved, is_wrong


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def tuples(function, grad):
    outputs = as_tuple(function(grad))
    for (following, _), output in zip(function.next_functions, outputs, strict=False):
        tuples(following, output)


def by_number_of_edges(function, grad):
    outputs = function(grad)
    outputs = outputs if len(function.next_functions) > 1 else [outputs]
    for place, (following, _) in enumerate(function.next_functions):
        by_number_of_edges(following, outputs[place])


def bare(function, grad):
    outputs = function(grad)
    for place, (following, _) in enumerate(function.next_functions):
        bare(following, outputs[place])


def always_wrapped(function, grad):
    outputs = (function(grad),)
    for place, (following, _) in enumerate(function.next_functions):
        always_wrapped(following, outputs[place])


def by_dimensions(function, grad):
    outputs = function(grad)
    if torch.is_tensor(outputs) and outputs.ndim == 0:
        outputs = (outputs,)
    for place, (following, _) in enumerate(function.next_functions):
        by_dimensions(following, outputs[place])


def first_only(function, grad):
    output = as_tuple(function(grad))[0]
    for following, _ in function.next_functions[:1]:
        first_only(following, output)


def unfinished_walk(function, grad):
    outputs = function(grad)
    outputs = ...
    for place, (following, _) in enumerate(function.next_functions):
        unfinished_walk(following, outputs[place])  # type: ignore[index]  # as in the stub


def sorted_nodes(function):
    """All nodes, each before those that it sends to."""
    order, seen = [], set()

    def visit(node):
        if node is None or node in seen:
            return
        seen.add(node)
        for following, _ in node.next_functions:
            visit(following)
        order.append(node)

    visit(function)
    return reversed(order)


@torch.no_grad()
def in_sorted_order(function, grad):
    arrived, found = {function: grad}, dict[Any, Any]()
    for node in sorted_nodes(function):
        if node.name().endswith("AccumulateGrad"):
            found[node.variable] = arrived[node]
            continue
        outputs = as_tuple(node(arrived[node]))
        for (following, _), output in zip(node.next_functions, outputs, strict=True):
            if following is not None:
                arrived[following] = arrived.get(following, 0) + output
    return found


@torch.no_grad()
def with_accumulate_grad(function, grad):
    """Calls the leaves' functions too, and collects what they wrote."""
    arrived, found = {function: grad}, dict[Any, Any]()
    for node in sorted_nodes(function):
        outputs = as_tuple(node(arrived[node]))
        if hasattr(node, "variable"):
            found[node.variable] = node.variable.grad
        for (following, _), output in zip(node.next_functions, outputs, strict=False):
            if following is not None:
                arrived[following] = arrived[following] + output if following in arrived else output
    return found


@torch.no_grad()
def path_by_path(function, grad):
    found = dict[Any, Any]()
    todo = [(function, grad)]
    while todo:
        node, arrived = todo.pop()
        if hasattr(node, "variable"):
            found[node.variable] = found.get(node.variable, 0) + arrived
            continue
        for (following, _), output in zip(
            node.next_functions, as_tuple(node(arrived)), strict=True
        ):
            if following is not None:
                todo.append((following, output))
    return found


@torch.no_grad()
def too_early(function, grad):
    """Calls each function once, with the first contribution that arrives."""
    found, seen, todo = dict[Any, Any](), set[Any](), [(function, grad)]
    while todo:
        node, arrived = todo.pop()
        if hasattr(node, "variable"):
            found[node.variable] = found.get(node.variable, 0) + arrived
        elif node not in seen:
            seen.add(node)
            pairs = zip(node.next_functions, as_tuple(node(arrived)), strict=True)
            todo += [(following, output) for (following, _), output in pairs if following]
    return found


def overwriting(function, grad):
    arrived, found = {function: grad}, dict[Any, Any]()
    for node in sorted_nodes(function):
        if hasattr(node, "variable"):
            found[node.variable] = arrived[node]
            continue
        for (following, _), output in zip(
            node.next_functions, as_tuple(node(arrived[node])), strict=True
        ):
            arrived[following] = output
    return found


def without_constants(function, grad):
    """Forgets that there may be nothing where a gradient would go."""
    arrived, found = {function: grad}, dict[Any, Any]()
    for node in sorted_nodes(function):
        if hasattr(node, "variable"):
            found[node.variable] = arrived[node]
            continue
        for (following, _), output in zip(
            node.next_functions, as_tuple(node(arrived[node])), strict=True
        ):
            arrived[following] = arrived.get(following, 0) + output
    return found


def unfinished_gradients(function, grad):
    found: dict[Any, Any] = {}
    ...
    return found


RIGHT = [
    ("4a", {"from_c_5": (5, 5), "from_d_5": (10, 5)}),
    ("4a", {"from_c_5": [torch.tensor(5.0)] * 2, "from_d_5": (torch.tensor(10.0), "5")}),
    ("4b", {"walk": tuples}),
    ("4b", {"walk": by_number_of_edges}),
    ("4c", {"gradients": in_sorted_order}),
    ("4c", {"gradients": with_accumulate_grad}),
    ("4d", {"first": 2.0, "second": "0"}),
]
WRONG = [
    ("4a", {"from_c_5": (2, 2), "from_d_5": (12, 6)}),
    ("4a", {"from_c_5": (10, 10), "from_d_5": (5, 10)}),
    ("4a", {"from_c_5": 5, "from_d_5": (10, 5, 0)}),
    ("4b", {"walk": bare}),
    ("4b", {"walk": always_wrapped}),
    ("4b", {"walk": by_dimensions}),
    ("4b", {"walk": first_only}),
    ("4c", {"gradients": path_by_path}),
    ("4c", {"gradients": too_early}),
    ("4c", {"gradients": overwriting}),
    ("4c", {"gradients": without_constants}),
    ("4c", {"gradients": lambda function, grad: [grad]}),
    ("4d", {"first": 0, "second": 1}),
    ("4d", {"first": 3, "second": 2}),
    ("4d", {"first": 5, "second": 3}),
]
UNFINISHED = [
    ("4a", {"from_c_5": (5, ...), "from_d_5": ...}),
    ("4b", {"walk": unfinished_walk}),
    ("4c", {"gradients": unfinished_gradients}),
    ("4c", {"gradients": lambda function, grad: None}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), UNFINISHED)
def test_unfinished(exercise, answers):
    assert av.check(exercise, **answers).state == "unfinished"


def test_calls_are_counted():
    remark = str(av.check("4c", gradients=path_by_path))
    assert "1023 calls of 11 functions" in remark
