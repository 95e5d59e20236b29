"""Where paths begin and end: the variables of an output, and a place in its graph."""

from __future__ import annotations

from collections.abc import Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from autograd_viz import backward
from autograd_viz import names as naming
from autograd_viz.capture import checked_outputs
from autograd_viz.engines.protocol import is_value
from autograd_viz.engines.protocol import name_of as own_name
from autograd_viz.errors import GradError, NoGraphError, NotATensorError
from autograd_viz.model import Slot, Variables
from autograd_viz.nodes import walk_of
from autograd_viz.text import clean


def traced(
    output: object,
    frame: FrameType,
    names: Mapping[str, Any] | None,
    params: torch.nn.Module | Mapping[str, Tensor] | None,
) -> Variables:
    """The variables of an output's backward pass, recorded unless they are given."""
    if isinstance(output, Variables):
        if output.trace is None:
            raise ValueError(
                "the paths' products need a backward pass, and av.graph() runs none; give the "
                "output itself, av.paths(e, a), or av.trace(e).variables()"
            )
        if len(output.graph.outputs) > 1:
            raise ValueError(
                f"paths lead from one output, but this trace has {len(output.graph.outputs)}; give "
                "one of them: av.paths(e, a)"
            )
        return output.trace.variables(open=output.opened) if output.focus else output
    if not naming.is_tensor(output) and is_value(output):
        trace = backward.recorded_from(output, None, frame, names, params, "paths")
        if all(one is None for step in trace.steps for one in step.grad_inputs):
            raise ValueError(
                "the paths' products need the backward step of each value, and these have none; "
                "give their class a method backward_step(self)"
            )
        return trace.variables()
    if not naming.is_tensor(output):
        raise NotATensorError(
            f"av.paths() wants the output and then the leaf, but the output is of type "
            f"{type(output).__name__}, not a tensor; give the tensor that the computation "
            "returns: av.paths(loss, w)"
        )
    outputs = checked_outputs(output, call="paths")
    if outputs[0].numel() != 1 or outputs[0].is_complex():
        kind = "complex" if outputs[0].is_complex() else f"of shape {list(outputs[0].shape)}"
        raise GradError(
            f"the output is {kind}, and paths begin at one real number; reduce it, "
            "av.paths(y.sum(), x), or give the gradient to start from: "
            "av.paths(av.trace(y, torch.ones_like(y)).variables(), x)"
        )
    return backward.recorded(outputs, None, frame, names, params).variables()


def name_of(leaf: object, frame: FrameType, names: Mapping[str, Any] | None) -> str | None:
    """The name of a value of another engine; None for a tensor."""
    if naming.is_tensor(leaf) or not is_value(leaf):
        return None
    known = {**naming.variables(frame), **(names or {})}
    name = own_name(leaf) or next((name for name, value in known.items() if value is leaf), None)
    if name is None:
        raise ValueError("this value has no name; keep it in a variable, a = ..., av.paths(e, a)")
    return name


def goal_of(variables: Variables, leaf: object) -> Slot | None:
    """The place in the graph where the paths end; None if it is not in the graph."""
    graph = variables.graph
    if isinstance(leaf, str):
        return _named(variables, leaf)
    if not naming.is_tensor(leaf):
        raise NotATensorError(
            f"the leaf is of type {type(leaf).__name__}; give a tensor that the output was "
            "computed from, or its name: av.paths(e, a) or av.paths(e, 'a')"
        )
    assert isinstance(leaf, Tensor)
    if not leaf.requires_grad:
        raise NoGraphError(
            "the leaf does not require grad, so no path of the graph leads to it; write "
            "x = torch.tensor(2.0, requires_grad=True) and compute the output again "
            "(av.why(x, output) tells more)"
        )
    if leaf.grad_fn is None:
        trace = variables.trace
        leaves = zip(graph.leaves, trace.leaf_grads if trace else (), strict=True)
        return next((Slot(node.id, 0) for node, (one, _) in leaves if one is leaf), None)
    walk = walk_of(variables)
    if walk is None:
        raise ValueError("give an intermediate variable by its name here: av.paths(variables, 'c')")
    position = walk.index.get(leaf.grad_fn)
    if position is None:
        return None
    if all(variable.node != position for variable in variables.nodes):
        raise ValueError(
            "this tensor has no name, and is a part of a larger expression in the graph; name it: "
            'av.paths(e, t, names={"t": t})'
        )
    return Slot(position, leaf.output_nr)


def _named(variables: Variables, name: str) -> Slot:
    slots: dict[str, Slot] = {}
    for variable in reversed(variables.nodes):
        if variable.node is not None:
            if len(variables.outputs(variable)) == 1:
                slots.setdefault(variable.title, Slot(variable.node, 0))
            for output_nr, output in enumerate(variables.outputs(variable)):
                if output.label:
                    slots[output.label] = Slot(variable.node, output_nr)
    if name in slots:
        return slots[name]
    known = ", ".join(sorted(map(clean, slots))) or "none"
    outside = any(variable.title == name for variable in variables.nodes)
    what = (
        f"{name!r} is a constant: no gradient flows to it"
        if outside
        else f"no variable of the graph is called {name!r}"
    )
    raise ValueError(f"{what}; paths lead to: {known}")


def title(variables: Variables, slot: Slot) -> str:
    """What a variable is called; of an operation with several outputs its own name."""
    variable = next(one for one in variables.nodes if one.node == slot.node)
    outputs = variables.outputs(variable)
    if len(outputs) > 1:
        label = outputs[slot.output_nr].label
        return clean(label or f"({variable.title})[{slot.output_nr}]")
    return clean(variable.title)
