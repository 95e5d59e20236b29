"""Backward functions of PyTorch's own that do more than compute gradients, and how to stop it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge


@contextmanager
def contained(functions: Iterable[Node]) -> Iterator[Callable[[], bool]]:
    """A backward pass within leaves no trace in any `.grad`, and nothing for a later pass.

    Args:
        functions: the nodes of the graph.

    Yields a function that says whether the pass is within a checkpoint's inner pass now.
    """
    kinds = {type(function).__name__: function for function in functions}
    with _first_pass_left(kinds.get("_DDPSinkBackward")), _uncompiled():
        if "CheckpointFunctionBackward" in kinds:
            with _reentrant_checkpoints() as inside:
                yield inside
        else:
            yield lambda: False


@contextmanager
def _reentrant_checkpoints() -> Iterator[Callable[[], bool]]:
    """Let checkpoints with use_reentrant=True run under `torch.autograd.grad`.

    PyTorch refuses that: such a checkpoint runs its forward again and then calls
    `torch.autograd.backward`, which adds into the `.grad` of every parameter inside. Here that
    inner pass does not accumulate, so that no hook for it runs either; its gradients stand in
    `.grad` as long as the outer pass lasts, since the checkpoint reads those of its inputs there.
    """
    running: list[None] = []  # one item an inner pass, since checkpoints may be nested
    kept: dict[int, tuple[Tensor, Tensor | None]] = {}
    usual = torch.autograd.backward, torch.autograd._is_checkpoint_valid

    def backward(tensors: Sequence[Tensor], grad_tensors: Any = None, **options: Any) -> None:
        if sys._getframe(1).f_globals["__name__"] != "torch.utils.checkpoint":  # another's pass
            return usual[0](tensors, grad_tensors, **options)
        leaves = _leaves(tensors)
        running.append(None)
        try:
            grads = torch.autograd.grad(tensors, leaves, grad_tensors, allow_unused=True)
        finally:
            running.pop()
        for leaf, grad in zip(leaves, grads, strict=True):
            kept.setdefault(id(leaf), (leaf, leaf.grad))
            leaf.grad = grad

    torch.autograd.backward = backward  # type: ignore[assignment]
    torch.autograd._is_checkpoint_valid = lambda: True
    try:
        yield lambda: bool(running)
    finally:
        torch.autograd.backward, torch.autograd._is_checkpoint_valid = usual
        for leaf, grad in kept.values():
            leaf.grad = grad


def _leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that some tensors were computed from."""
    found = dict.fromkeys(get_gradient_edge(tensor).node for tensor in tensors)
    for node in (nodes := list(found)):  # the list grows while it is iterated
        for following, _ in node.next_functions:
            if following is not None and following not in found:
                found[following] = None
                nodes.append(following)
    return [node.variable for node in nodes if hasattr(node, "variable")]


@contextmanager
def _first_pass_left(sink: Any) -> Iterator[None]:
    """Leave it to a later pass to begin the exchange of DistributedDataParallel.

    With static_graph=True the first pass through its node makes all processes average.
    """
    parallel = None if sink is None else sink.ddp_weakref()
    if (
        parallel is None
        or not parallel.static_graph
        or parallel._static_graph_delay_allreduce_enqueued
    ):
        yield
        return
    parallel._static_graph_delay_allreduce_enqueued = True
    try:
        yield
    finally:
        parallel._static_graph_delay_allreduce_enqueued = False


def _uncompiled() -> AbstractContextManager[None]:
    """Switches compiled autograd off, which would compile our hooks and run them when it likes."""
    compiled = sys.modules.get("torch._dynamo.compiled_autograd")
    return nullcontext() if compiled is None else compiled._disable()
