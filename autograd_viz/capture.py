"""From a tensor to its Graph: what autograd recorded, and the names of the reader."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from autograd_viz import names as naming
from autograd_viz.engines.protocol import engine_values
from autograd_viz.errors import NoGraphError, NotATensorError
from autograd_viz.model import Graph, Slot
from autograd_viz.networks import calls
from autograd_viz.nodes import SMALL_GRAPH, Edges, Nodes
from autograd_viz.saved import Saved, changed_since, is_small, not_as_computed, recovered, saved_by
from autograd_viz.walk import Walk, garbage_collection_paused, walk_from

if TYPE_CHECKING:
    from autograd_viz.engines.protocol import Value
    from autograd_viz.engines.values_graph import Captured


def graph(
    output: Tensor | Value | Sequence[Tensor | Value],
    *,
    names: Mapping[str, Any] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> Graph:
    """Return the autograd graph of a tensor, or the one that several tensors share.

    Args:
        output: a tensor that autograd made or a leaf that requires grad, of any shape, dtype and
            device; or a sequence of such tensors. Or a value of another engine, as micrograd's or
            one of your own (`autograd_viz.engines.protocol` says what it must have).
        names: labels of your own; they win over all others.
        params: a module (or its named parameters), whose parameters get their dotted names.

    Variables of the caller that hold a tensor of the graph label its node.

    Raises:
        NotATensorError: something else was given.
        NoGraphError: autograd recorded nothing that leads to the output.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> b = torch.tensor(4.0, requires_grad=True)
    >>> c = a + b
    >>> [(node.label, node.name) for node in av.graph(c).nodes]
    [('c', 'AddBackward0'), ('a', 'AccumulateGrad'), ('b', 'AccumulateGrad')]
    """
    frame = sys._getframe(1)
    values = None if naming.is_tensor(output) else engine_values(output)
    if values is not None:
        return captured_values(values, frame, names).graph
    outputs = checked_outputs(output, call="graph")
    return capture(outputs, frame, names, params)[0]


def captured_values(
    values: Sequence[Any], frame: FrameType | None, names: Mapping[str, Any] | None
) -> Captured:
    """Return the graph of another engine's values, with the values; names come from `frame`."""
    from autograd_viz.engines import values_graph  # tensors do not need it

    held = partial(naming.held, frame)
    with garbage_collection_paused() as interrupts:
        return interrupts.through(
            lambda: values_graph.captured(values, names, naming.variables(frame), held)
        )


def capture(
    outputs: Sequence[Tensor],
    frame: FrameType | None,
    names: Mapping[str, Tensor] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> tuple[Graph, Walk, Sequence[Saved]]:
    """Return the graph of checked outputs; names come from `frame`.

    With it the walk behind it and, of a small graph, what each operation saved.
    """
    with torch.inference_mode(False):  # which has no edge to a leaf, and other copies
        edges = [get_gradient_edge(tensor) for tensor in outputs]
        walk = walk_from([edge.node for edge in edges])
        slots = tuple(Slot(walk.index[edge.node], edge.output_nr) for edge in edges)
        small = len(walk.functions) <= SMALL_GRAPH
        saved = [saved_by(function) for function in walk.functions] if small else []
        tensors: dict[Slot, Tensor] = {}
        given = _named(naming.given(names), walk, tensors)
        # A module keeps its parameters' names, and to read them takes longer than the walk.
        module = params if isinstance(params, torch.nn.Module) else None
        mapped = {} if module is not None else _named(naming.parameters(params), walk, tensors)
        held = _named(naming.of_caller(frame), walk, tensors)
        changed = _changed(walk, tensors) if small else frozenset()
        values = _values(walk, saved, tensors, changed)
        if small:
            changed |= _contradicted(walk, values, tensors)
            values = {slot: value for slot, value in values.items() if slot not in changed}

    def labels() -> dict[Slot, str]:
        return {**held, **mapped, **_named(naming.parameters(module), walk, {}), **given}

    nodes, modules = Nodes(walk, edges, saved, labels), calls.modules_of(params)
    return Graph(nodes, Edges(walk), slots, values, modules, changed), walk, saved


def checked_outputs(output: object, call: str) -> list[Tensor]:
    """The outputs as a list, or an error that names the remedy."""
    if naming.is_tensor(output):
        outputs: list[Any] = [output]
    elif isinstance(output, Sequence) and not isinstance(output, str):
        outputs = list(output)
        if not outputs:
            raise NoGraphError(
                f"the list of outputs is empty; give at least one tensor: av.{call}([y1, y2])"
            )
    else:
        raise NotATensorError(
            f"av.{call}() wants a tensor or a list of tensors, but was given "
            f"{_article(type(output).__name__)}; give the tensor that the computation returns: "
            f"av.{call}(loss). A value of an engine of your own needs .value, .grad and .inputs"
        )
    for position, tensor in enumerate(outputs):
        which = "the output" if len(outputs) == 1 else f"output {position}"
        if not naming.is_tensor(tensor):
            raise NotATensorError(
                f"{which} is {_article(type(tensor).__name__)}, not a tensor; give the tensors "
                f"that the computation returns: av.{call}([y1, y2])"
            )
        if not tensor.requires_grad:
            raise _no_graph(which, tensor)
    return outputs


def _no_graph(which: str, tensor: Tensor) -> NoGraphError:
    """The error, which says what `av.why` would if it was recorded how the tensor was computed."""
    from autograd_viz.diagnosis.exceptions import without_gradient

    reason = without_gradient(tensor)
    if reason is None:
        return NoGraphError(f"{which} has no autograd graph: {_why_no_graph(tensor)}")
    error = NoGraphError(f"{which} has no autograd graph: {reason.text}")
    error.reason = reason
    return error


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _why_no_graph(tensor: Tensor) -> str:
    if tensor.is_inference():
        return (
            "it was made in inference mode, which records nothing; compute it again outside of "
            "`with torch.inference_mode():`"
        )
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return (
            f"its dtype is {tensor.dtype}, and only floating-point and complex tensors have "
            "gradients; compute with floats, as in x.float()"
        )
    return (
        "it does not require grad and has no grad_fn. Either no input requires grad (write "
        "x = torch.tensor(2.0, requires_grad=True)), or it was made under torch.no_grad(), or it "
        "was cut off by .detach() or .data (compute it again without)"
    )


def _named(
    named: Iterable[tuple[str, Tensor]], walk: Walk, tensors: dict[Slot, Tensor]
) -> dict[Slot, str]:
    """The names of what is in the graph; where there are two, the first. Adds to `tensors`."""
    names: dict[Slot, str] = {}
    for name, tensor in named:
        if not tensor.requires_grad:
            continue
        try:
            function = tensor.grad_fn
        except RuntimeError:  # a view made under no_grad, whose base was changed in place since
            continue
        position = walk.leaf_ids.get(id(tensor)) if function is None else walk.index.get(function)
        if position is not None:
            slot = Slot(position, tensor.output_nr)
            names.setdefault(slot, name)
            tensors.setdefault(slot, tensor)
    return names


def _changed(walk: Walk, named: Mapping[Slot, Tensor]) -> frozenset[Slot]:
    """Of which named tensors and leaves the value that took part is not known."""
    leaves = {Slot(position, 0): leaf for position, leaf in walk.leaves.items()}
    suspects = [
        slot
        for slot, tensor in {**named, **leaves}.items()
        if not tensor.is_inference() and tensor._version
    ]
    return changed_since(walk, suspects) if suspects else frozenset()


def _contradicted(
    walk: Walk, values: Mapping[Slot, Tensor], named: Mapping[Slot, Tensor]
) -> frozenset[Slot]:
    """Which values cannot be those that took part, since others do not follow from them.

    Those that PyTorch knows as changed; through `.data` it does not see it, so that then none of
    the values is certain.
    """
    leaves = {Slot(position, 0): leaf for position, leaf in walk.leaves.items()}
    held = {**named, **leaves}
    found: set[Slot] = set()
    with torch.no_grad():
        for result, *terms in not_as_computed(walk, values):
            counted = [slot for slot in terms if slot in held and held[slot]._version]
            found.update(counted or (slot for slot in (result, *terms) if slot in held))
    return frozenset(found)


def _values(
    walk: Walk, saved: Sequence[Saved], named: Mapping[Slot, Tensor], changed: Collection[Slot]
) -> dict[Slot, Tensor]:
    """Copies of the small tensors among the named ones, the leaves and what was saved."""
    leaves = ((Slot(position, 0), leaf) for position, leaf in walk.leaves.items())
    values: dict[Slot, Tensor] = {}
    with torch.no_grad():
        for slot, tensor in chain(named.items(), leaves, recovered(walk, saved)):
            if slot not in values and slot not in changed and is_small(tensor):
                values[slot] = tensor.clone()
    return values
