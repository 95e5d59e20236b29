"""What must hold of the graph, the trace and the pictures of any call of PyTorch."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import autograd_viz as av
from autograd_viz.model import Slot, Trace

PACKAGE = str(Path(av.__file__).parent)
DRAWN = 15  # nodes; larger graphs take longer to lay out, and show nothing else

Grads = Sequence[Tensor | None]


def check(run: Callable[[], Any], inputs: Any) -> bool:
    """Compare a trace of `run()` with `torch.autograd.grad`, and draw it.

    Returns whether there was something to compare: False where autograd recorded nothing, or
    where PyTorch's own backward pass raises (then the trace must raise the same).

    Raises:
        AssertionError: they differ, something of the caller's was changed, or there is no picture.
    """
    given = tensors_in(inputs)
    leaves = [tensor for tensor in given if tensor.requires_grad]
    torch.manual_seed(1)
    outputs = [tensor for tensor in tensors_in(run()) if tensor.requires_grad]
    if not outputs:
        return False
    starts = [start_of(output) for output in outputs]
    kept = [(tensor, copied(tensor), tensor._version) for tensor in (*given, *outputs, *starts)]
    state = torch.get_rng_state()

    def gradients() -> Grads:
        torch.set_rng_state(state)
        return torch.autograd.grad(outputs, leaves, starts, retain_graph=True, allow_unused=True)

    try:
        expected, error = gradients(), None
    except RuntimeError as raised:
        expected, error = [], raised

    torch.set_rng_state(state)
    graph = av.graph(outputs)
    assert torch.equal(torch.get_rng_state(), state), "av.graph drew random numbers"
    if error is not None:
        check_raises(error, lambda: av.trace(outputs, starts))
        assert calls_of_package(lambda: check_raises(error, gradients)) == [], "hooks are left"
        check_unchanged(kept)
        return False

    trace = av.trace(outputs, starts)
    after = torch.get_rng_state()
    assert same_all(gradients(), expected), "gradients differ from one pass of PyTorch to the next"
    assert torch.equal(torch.get_rng_state(), after), "av.trace drew other random numbers"
    assert calls_of_package(gradients) == [], "hooks are left"
    check_unchanged(kept)

    assert graph.nodes == trace.graph.nodes
    found = {id(leaf): grad for leaf, grad in trace.leaf_grads}
    assert same_all([found.get(id(leaf)) for leaf in leaves], expected), "gradients of the trace"
    assert sums_that_differ(trace) == []
    if len(graph.nodes) <= DRAWN:
        check_pictures(trace)
    check_folded(trace)

    torch.set_rng_state(state)
    torch.autograd.backward(outputs, starts)
    assert same_all([leaf.grad for leaf in leaves], expected), "gradients of backward() afterwards"
    for leaf in leaves:
        leaf.grad = None
    return True


def check_raises(error: RuntimeError, run: Callable[[], object]) -> None:
    with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"):
        run()


def check_unchanged(kept: Sequence[tuple[Tensor, Tensor, int]]) -> None:
    for tensor, value, version in kept:
        assert tensor._version == version, "a tensor was changed"
        assert same(tensor.detach(), value), "a tensor was changed"
        assert not tensor.is_leaf or tensor.grad is None, "a gradient was left"
        assert not tensor._backward_hooks, "hooks are left"


def check_folded(trace: Trace) -> None:
    """Each node but the leaves is in one box."""
    folded = trace.fold()
    boxes = folded.scene.items.values()
    nodes = sorted(node for item in boxes for node in folded.known.members(item))
    assert nodes == [node.id for node in trace.graph.nodes if node.kind == "function"]


def check_pictures(trace: Trace) -> None:
    variables = trace.variables()
    for drawing in (
        trace.graph.picture(),
        trace.picture(),
        trace.fold().picture(),
        variables.computation(),
        variables.derivatives(),
        variables.backward(),
    ):
        root = ElementTree.fromstring(drawing.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert drawing.words


def start_of(output: Tensor) -> Tensor:
    """A gradient for it to start from."""
    if output.layout is torch.strided:
        return torch.randn_like(output)
    return output.detach().clone()  # a sparse one has its pattern from the output


def tensors_in(tree: Any) -> list[Tensor]:
    """Each tensor once, in order."""
    found = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return list({id(tensor): tensor for tensor in found}.values())


def calls_of_package(run: Callable[[], object]) -> list[str]:
    """The functions of the package that are called meanwhile, as a hook that is left would be."""
    calls: list[str] = []

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls.append(frame.f_code.co_qualname)

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


def sums_that_differ(trace: Trace) -> list[Slot]:
    """The outputs of nodes where not what was sent there arrived, though no hook is there."""
    return [
        slot
        for node in trace.graph.nodes
        for slot in (Slot(node.id, nr) for nr in range(len(node.outputs)))
        if trace.before_hooks(slot) is not None
    ]


def copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def same_all(first: Grads, second: Grads) -> bool:
    return all(same(one, other) for one, other in zip(first, second, strict=True))


def same(first: Tensor | None, second: Tensor | None) -> bool:
    """Bit for bit, but that any NaN equals any other."""
    if first is None or second is None:
        return first is second
    if (first.dtype, first.shape, first.layout) != (second.dtype, second.shape, second.layout):
        return False
    one, other = map(as_numbers, (first, second))
    if not one.is_floating_point():
        return torch.equal(one, other)
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[one.element_size()]
    equal = one.view(integer) == other.view(integer)
    return bool((equal | (one.isnan() & other.isnan())).all())


def as_numbers(tensor: Tensor) -> Tensor:
    """Dense, real and contiguous; the elements as they are."""
    dense = tensor.to_dense().resolve_conj().resolve_neg()
    return (torch.view_as_real(dense) if dense.is_complex() else dense).contiguous()
