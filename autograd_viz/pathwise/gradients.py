"""The gradient that arrives along one path alone, as a tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograd_viz.model import Edge, Slot, Variables
from autograd_viz.nodes import walk_of
from autograd_viz.pathwise.search import Route
from autograd_viz.saved import HOOKED, saved_by
from autograd_viz.walk import Walk, is_custom

MOST_STEPS = 5_000  # calls by hand along one path; 2 us each


def carried(variables: Variables, route: Route, alone: frozenset[int]) -> list[Tensor]:
    """The gradient after each edge of a route, if nothing came but what comes along this route.

    At nodes that only one path reaches it is what the engine recorded; at others, and behind a hook
    that changed it, PyTorch's own function is called by hand. The list ends early where that cannot
    be done: at the backward of a custom Function, which may do anything when it is called again, at
    checkpoints, and where the graph was freed since.
    """
    trace, walk = variables.trace, walk_of(variables)
    assert trace is not None
    gradients: list[Tensor] = []
    gradient: Tensor | None = trace.starts[0]
    output_nr = variables.graph.outputs[0].output_nr
    changed = False  # by a hook on the way
    if sum(edge.source not in alone for edge in route) > MOST_STEPS:
        return gradients
    with torch.inference_mode(False), torch.no_grad():
        for edge in route:
            changed = changed or trace.before_hooks(Slot(edge.source, output_nr)) is not None
            if edge.source in alone and not changed:
                gradient = trace.computed(edge)
            else:
                gradient = _by_hand(walk, edge, output_nr, gradient)
            like = trace.arrived(Slot(edge.target, edge.output_nr))
            if gradient is None or like is None:
                return gradients
            if gradient.shape != like.shape:  # the engine sums over dimensions that broadcast
                gradient = gradient.sum_to_size(like.shape)
            gradient = gradient.to(like.dtype)
            gradients.append(gradient)
            output_nr = edge.output_nr
            changed = changed or trace.before_hooks(edge) is not None
    return gradients


def _by_hand(
    walk: Walk | None, edge: Edge, output_nr: int, gradient: Tensor | None
) -> Tensor | None:
    if walk is None:
        return None
    function: Any = walk.functions[edge.source]
    if is_custom(function) or any(value is HOOKED for value in saved_by(function).values()):
        return None
    arguments: list[Tensor | None] = [None] * len(function._input_metadata)
    arguments[output_nr] = gradient
    try:
        result = function(*arguments)
    except RuntimeError:
        return None
    sent: Tensor | None = (result if isinstance(result, tuple) else (result,))[edge.input_index]
    return sent
