"""Holds a graph, a trace and their pictures against what PyTorch's own engine computes."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

import torch
from torch import Tensor

import autograd_viz as av
from autograd_viz.model import Trace


def checked(output: Tensor, leaves: Sequence[Tensor]) -> Trace:
    """The trace of an output, after its gradients and pictures were compared with PyTorch's.

    Nothing may have changed by it: neither `.grad`, nor a value, nor the random numbers, and a
    real backward pass must still be possible.
    """
    before = [(leaf.grad, leaf._version) for leaf in leaves]
    random = torch.get_rng_state()
    graph = av.graph(output)
    trace = av.trace(output)
    shown = (graph, trace, graph.variables(), trace.variables())
    for each in shown:
        ElementTree.fromstring(each.picture().svg)
        assert str(each)
    for view in ("computation", "derivatives"):
        ElementTree.fromstring(trace.variables().picture(view=view).svg)
    trace.variables().chain_rule()
    assert [(leaf.grad, leaf._version) for leaf in leaves] == before
    assert torch.equal(torch.get_rng_state(), random)

    wanted = torch.autograd.grad(output, leaves, retain_graph=True, allow_unused=True)
    found = {id(leaf): grad for leaf, grad in trace.leaf_grads}
    for leaf, grad in zip(leaves, wanted, strict=True):
        assert equal(found.get(id(leaf)), grad)
    output.backward()
    return trace


def equal(first: Tensor | None, second: Tensor | None) -> bool:
    """Bit for bit where there are values, and None only to None."""
    if first is None or second is None:
        return first is second
    if first.is_nested:
        return all(map(torch.equal, first.unbind(), second.unbind()))
    if first.is_meta:
        return second.is_meta and (first.shape, first.dtype) == (second.shape, second.dtype)
    if hasattr(first, "__tensor_flatten__"):
        parts, _ = first.__tensor_flatten__()
        return all(torch.equal(getattr(first, part), getattr(second, part)) for part in parts)
    return first.dtype == second.dtype and torch.equal(first.to_dense(), second.to_dense())


def names(trace: Trace) -> set[str]:
    """PyTorch's names of the functions in the graph."""
    return {node.name for node in trace.graph.nodes if node.kind == "function"}
