"""Where NaN or inf arises first, in words: "log2(a) is NaN at a = -1"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from autograd_viz import text, transforms
from autograd_viz.model import Edge, Slot, Variable, Variables

if TYPE_CHECKING:
    from torch import Tensor

MOST_NODES = 2_000  # that are looked through
MOST_INPUTS = 20  # of an operation


def words(shown: Variables) -> str:
    """The first operation whose result is not finite although its inputs are.

    If all values are finite it is the first step of the backward pass that makes NaN or inf of
    finite numbers. "" if there is none.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(-1.0, requires_grad=True)
    >>> d = torch.log2(a)
    >>> words(av.trace(d * 3).variables())
    'log2(a) is NaN at a = -1'
    """
    if len(shown.graph.nodes) > MOST_NODES:
        return ""
    found = [*_outside(shown), *_inputs(shown), *_forward(shown)]
    return found[0] if found else next(_backward(shown), "")


def _outside(shown: Variables) -> Iterator[str]:
    """Constants, and what is computed of them alone."""
    for variable in shown.nodes:
        trouble = _trouble(variable.value) if variable.node is None else None
        if trouble:
            below = [shown.nodes[link.target] for link in shown.links if link.source == variable.id]
            if not any(_trouble(value) for one in below for value in shown.values(one)):
                yield _said(_definition(variable), trouble, variable.value, _at(shown, below))


def _inputs(shown: Variables) -> Iterator[str]:
    for variable in shown.nodes:
        trouble = _trouble(shown.values(variable)[0]) if variable.is_leaf else None
        if trouble:
            yield f"the input {text.clean(variable.title)} is {trouble}"


def _forward(shown: Variables) -> Iterator[str]:
    graph = shown.graph
    written = _written(shown)
    for node, expression in written.items():
        slots = [Slot(node, number) for number in range(len(graph.nodes[node].outputs))]
        values = [graph.values.get(slot) for slot in slots]
        value = next((value for value in values if _trouble(value)), None)
        if value is None:
            continue
        if not any(_trouble(value) for value in _known_inputs(shown, node)):
            at = _named_inputs(shown, node, written)
            yield _said(expression, str(_trouble(value)), value, at)


def _backward(shown: Variables) -> Iterator[str]:
    if shown.trace is None:
        return
    graph = shown.graph
    written = _written(shown)
    for step in shown.trace.steps:
        if any(map(_trouble, step.grad_outputs)):
            parts = [shown.trace.sent(edge) for edge in graph.in_edges[step.node]]
            if parts and not any(map(_trouble, parts)):
                name = graph.nodes[step.node].label or written.get(step.node, "a leaf")
                yield f"the sum of the gradients that arrive at {text.clean(name)} is too large"
            continue
        for edge in graph.out_edges[step.node]:
            trouble = _trouble(step.grad_inputs[edge.input_index])
            if trouble:
                name = graph.nodes[step.node].label or ""
                by = graph.nodes[edge.target].label or written.get(edge.target, "a leaf")
                of = written.get(step.node) or name
                at = _named_inputs(shown, step.node, written)
                begin = f"the derivative of {text.clean(of)} by {text.clean(by)}"
                yield _said(begin, trouble, step.grad_inputs[edge.input_index], at, cleaned=True)


def _written(shown: Variables) -> dict[int, str]:
    """What each operation computes, in the words of the source where it was read."""
    written = dict(transforms.operations(shown.graph))
    for variable in shown.nodes:
        if variable.node is not None and variable.node in written:
            written[variable.node] = variable.expression
    return written


def _trouble(tensor: Tensor | None) -> str | None:
    return None if tensor is None else text.trouble(tensor)


def _into(shown: Variables, edge: Edge) -> Tensor | None:
    return shown.graph.values.get(Slot(edge.target, edge.output_nr))


def _known_inputs(shown: Variables, node: int) -> Iterator[Tensor]:
    """The values that an operation was computed from; where one was not kept, what made it."""
    waiting = list(shown.graph.out_edges[node])
    for edge in waiting:  # the list grows while it is iterated
        value = _into(shown, edge)
        if value is not None:
            yield value
        elif len(waiting) < MOST_INPUTS:
            waiting += shown.graph.out_edges[edge.target]


def _said(what: str, trouble: str, value: Tensor | None, at: str, cleaned: bool = False) -> str:
    single = value is not None and value.numel() == 1
    if single and value is not None and not value.is_complex():
        trouble = text.number(value.item())  # it may be -inf
    shown = what if cleaned else text.clean(what)
    return f"{shown} {'is' if single else 'has'} {trouble}{f' at {at}' if at else ''}"


def _definition(variable: Variable) -> str:
    return variable.expression or variable.title


def _at(shown: Variables, variables: list[Variable]) -> str:
    """`a = -1, b = 2`."""
    pairs = [(one.title, shown.values(one)[0]) for one in variables]
    return text.joined([_value(name, value) for name, value in pairs if value is not None])


def _named_inputs(shown: Variables, node: int, written: Mapping[int, str]) -> str:
    """What an operation was computed of, by name where there is one."""
    graph = shown.graph
    parts: dict[str, None] = {}
    waiting = list(graph.out_edges[node])
    for edge in waiting:  # the list grows while it is iterated
        target = graph.nodes[edge.target]
        label = target.outputs[edge.output_nr].label if target.outputs else target.label
        value = _into(shown, edge)
        name = label or written.get(edge.target)
        if value is not None and name:
            parts[_value(name, value)] = None
        elif len(waiting) < MOST_INPUTS:  # its value was not kept: what it was made from may be
            waiting += graph.out_edges[edge.target]
    for name in graph.nodes[node].symbols.values():  # constants
        constant = next((one for one in shown.nodes if one.name == name), None)
        if constant is not None and constant.value is not None:
            parts[_value(name, constant.value)] = None
    return text.joined(list(parts), most=3)


def _value(name: str, value: Tensor) -> str:
    shown = text.summary(value)[0]
    return f"{text.clean(name)}{': ' if ', norm' in shown else ' = '}{shown}"
