"""What code of PyTorch's and of the user's does in a backward pass beside its gradients."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.modules.module import register_module_forward_pre_hook

from autograd_viz.kept_state import KeptState, random_numbers_kept
from autograd_viz.model import summed
from autograd_viz.saved import has_hooks
from autograd_viz.walk import Walk

current_task: Callable[[], int] = torch._C._current_graph_task_id  # of the running pass; -1: none


class Own:
    """A pass of ours. It tells itself from passes that run beside it or within it.

    The hooks of a pass sit on nodes and leaves that other passes may go through at the same time:
    those of other threads, those of a checkpoint. The engine numbers all passes, and says in a hook
    which one it is in; which number is ours, the hook on a leaf tells that only we know of: a leaf
    runs as soon as it is ready, and this one is ready before anything else runs.

    Attributes:
        task: the engine's number of this pass, from its very beginning.
        notes: what struck, in sentences.
    """

    def __init__(self, starts: Sequence[Tensor]) -> None:
        self.task: int | None = None
        # Each device has a thread of its own.
        self.marks = [
            torch.zeros((), device=device, requires_grad=True)
            for device in dict.fromkeys(start.device for start in starts)
        ]
        self.ones = [torch.ones_like(mark) for mark in self.marks]
        for mark in self.marks:
            mark.register_hook(self._begins)
        self.grads: dict[int, tuple[Tensor, Tensor | None]] = {}  # leaves and their .grad before
        self.states: list[KeptState] = []
        self.ends: set[Any] = set()  # the leaves' nodes that it arrives at, or a pass within it
        self.notes: list[str] = []

    def _begins(self, grad: Tensor) -> None:
        self.task = current_task()

    def note(self, sentence: str) -> None:
        """Add a sentence, unless it was said."""
        if sentence not in self.notes:
            self.notes.append(sentence)


_running: list[Own] = []  # the passes of ours, in whatever threads
_lock = threading.Lock()
_usual: Any = None
_autograd: Any = torch.autograd


class _Thread(threading.local):
    """The pass of ours within which this thread runs passes of the user's."""

    own: Own | None = None


_thread = _Thread()


def own_pass() -> Own | None:
    """The pass of ours in which this code runs, if in any."""
    task = current_task()
    return next((one for one in _running if one.task == task), _thread.own)


@contextmanager
def contained(walk: Walk, own: Own) -> Iterator[None]:
    """A backward pass within leaves nothing in any `.grad`, and nothing for a later pass.

    Whatever code of the user's runs within it shows, but for what it draws, and what it writes
    where a later pass or call would find it: see `_inner_pass`, `_state_kept` and `_enters`.
    """
    kinds = {type(function).__name__: function for function in walk.functions}
    sink = kinds.get("_DDPSinkBackward")
    hooks: list[Any] = []
    with random_numbers_kept(), _first_pass_left(sink), _uncompiled():
        try:
            own.ends = {walk.functions[position] for position in walk.accumulators}
            for position in walk.customs:
                hooks += _state_kept(walk.functions[position], own)
            hooks.append(register_module_forward_pre_hook(_enters))
            _watch(own)
            yield
        finally:
            for hook in hooks:
                hook.remove()
            _unwatch(own)
            for leaf, grad in own.grads.values():
                leaf.grad = grad
            for state in reversed(own.states):
                state.put_back()


def _state_kept(function: Any, own: Own) -> list[Any]:
    """Keep what a custom Function saved, and its ctx, as its backward may change either.

    Kernels write into what they saved without a word, as that of a cross-entropy that puts its
    gradient in the place of the logits. PyTorch's own do not.
    """
    if function._forward_cls.__module__.partition(".")[0] == "torch":
        return []
    state = KeptState()

    def enters(grad_outputs: Any) -> None:
        if current_task() == own.task:
            saved = () if has_hooks(function._raw_saved_tensors) else function.saved_tensors
            state.take(saved, vars(function))

    def ran(grad_inputs: Any, grad_outputs: Any) -> None:
        if current_task() == own.task and state.changed():
            own.states.append(state)
            if state.rewritten():
                own.note(
                    f"{function.name()} changes what it saved: that was put back after the trace, "
                    "but a second backward pass of your own will find it changed."
                )

    return [function.register_prehook(enters), function.register_hook(ran)]


def _enters(module: torch.nn.Module, arguments: Any) -> None:
    """Keep the buffers and attributes of a module that runs in a pass, as in a checkpoint.

    Its forward runs once more than without a trace: running means and counters would go on.
    """
    if (own := own_pass()) is not None:
        state = KeptState()
        own_parts = {"_parameters", "_modules"}
        state.take(*(part for name, part in vars(module).items() if name not in own_parts))
        state.hold(vars(module))
        own.states.append(state)


def _watch(own: Own) -> None:
    """Let passes that run within ours come to `_engine`."""
    global _usual
    with _lock:
        if not _running:
            _usual = [getattr(module, name) for module, name, _ in _STAND_INS]
            for module, name, ours in _STAND_INS:
                setattr(module, name, ours)
        _running.append(own)


def _unwatch(own: Own) -> None:
    with _lock:
        if own in _running:
            _running.remove(own)
            if not _running:
                for (module, name, _), usual in zip(_STAND_INS, _usual, strict=True):
                    setattr(module, name, usual)


def _is_checkpoint_valid() -> bool:
    """PyTorch refuses checkpoints with use_reentrant=True under `torch.autograd.grad`."""
    return own_pass() is not None or _usual[1]()


def _will_run(node: Any) -> bool:
    """PyTorch does not say of leaves under `torch.autograd.grad`; hooks on several tensors ask."""
    own = own_pass()
    if own is None or not hasattr(node, "variable"):
        found: bool = _usual[2](node)
        return found
    return node in own.ends


def _engine(outputs: Any, *arguments: Any, accumulate_grad: bool, **options: Any) -> Any:
    """Stands for the engine: any pass that begins within ours does not accumulate."""
    own, usual = own_pass(), _usual[0]
    if own is None:
        return usual(outputs, *arguments, accumulate_grad=accumulate_grad, **options)
    before, _thread.own = _thread.own, own
    try:
        if accumulate_grad:
            return _inner_pass(own, outputs, *arguments)
        return usual(outputs, *arguments, accumulate_grad=False, **options)
    finally:
        _thread.own = before


def _inner_pass(
    own: Own, outputs: Any, starts: Any, retain_graph: bool, create_graph: bool, inputs: Any
) -> None:
    """Run a `backward()` within a pass of ours, as a checkpoint or a reversible layer does.

    It adds into the `.grad` of every leaf that it reaches. Here it does not accumulate, so that no
    hook for it runs either; the sums stand in `.grad` as long as our pass lasts, since the code
    that began it reads some of them there.
    """
    leaves = tuple(inputs) or _leaves(outputs)
    before, own.ends = own.ends, {get_gradient_edge(leaf).node for leaf in leaves}
    try:
        found = _usual[0](
            outputs, starts, retain_graph, create_graph, leaves,
            allow_unreachable=True, accumulate_grad=False,
        )  # fmt: skip
    finally:
        own.ends = before
    for leaf, grad in zip(leaves, found, strict=True):
        own.grads.setdefault(id(leaf), (leaf, leaf.grad))
        if grad is not None:
            with torch.set_grad_enabled(create_graph):
                leaf.grad = grad if leaf.grad is None else summed([leaf.grad, grad])
    function: Any = torch._C._current_autograd_node()
    by = "A hook" if function is None else function.name()
    own.note(
        f"{by} runs a backward pass of its own: what that adds into .grad is not part of this "
        "trace, and was put back."
    )


_STAND_INS: tuple[tuple[Any, str, Any], ...] = (
    (_autograd, "_engine_run_backward", _engine),
    (_autograd, "_is_checkpoint_valid", _is_checkpoint_valid),
    (torch._C, "_will_engine_execute_node", _will_run),
)


def _leaves(outputs: Sequence[Tensor | GradientEdge]) -> tuple[Tensor, ...]:
    """The leaves that some tensors were computed from."""
    edges = (one if isinstance(one, GradientEdge) else get_gradient_edge(one) for one in outputs)
    found = dict.fromkeys(edge.node for edge in edges)
    for node in (nodes := list(found)):  # the list grows while it is iterated
        for following, _ in node.next_functions:
            if following is not None and following not in found:
                found[following] = None
                nodes.append(following)
    return tuple(node.variable for node in nodes if hasattr(node, "variable"))


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
