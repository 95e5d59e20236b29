"""Records a block of code: each call of PyTorch in it, as it happens."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import Module
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.overrides import (
    TorchFunctionMode,
    _pop_mode,
    _push_mode,
)
from torch.overrides import (
    _get_current_function_mode_stack as _modes,
)

from autograd_viz.interrupts import Held, interrupts_held
from autograd_viz.recorded.events import (
    LOG,
    Event,
    LeafPass,
    Log,
    ModuleCall,
    Pass,
    Seen,
    Spot,
    add_tensors,
    age_now,
)
from autograd_viz.walk import walk_quickly

_TORCH = os.path.dirname(torch.__file__) + os.sep
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_STEPS = "Optimizer.profile_hook_step.<locals>.wrapper"
SWITCH = torch._C._set_grad_enabled
_PROPERTIES = vars(torch._C.TensorBase)
# What is not simply a call with inputs and results. "ask": nothing follows from it.
_KINDS: dict[Any, str] = {
    Tensor.backward: "pass",
    torch.autograd.backward: "pass",
    torch.autograd.grad: "pass",
    SWITCH: "switch",
    _PROPERTIES["grad"].__get__: "grad",
    _PROPERTIES["data"].__get__: "data",
    Tensor.detach: "detach",
    torch.detach: "detach",
    Tensor.detach_: "detach",
    **dict.fromkeys(
        (
            *(Tensor.size, Tensor.dim, Tensor.is_complex, Tensor.is_floating_point, Tensor.numel),
            *(
                getattr(Tensor, name).__get__
                for name in (
                    *("shape", "dtype", "device", "requires_grad", "grad_fn", "is_leaf", "layout"),
                    *("is_sparse", "is_cuda", "is_quantized", "is_meta", "is_nested", "output_nr"),
                    *("ndim", "_version"),
                )
            ),
        ),
        "ask",
    ),
}


class Recorder(TorchFunctionMode):
    """While it is on, each call of a function of PyTorch in its thread goes into a log."""

    def __init__(self, log: Log, cell: int | None = None) -> None:
        super().__init__()
        self.log, self.cell = log, cell
        self.thread = threading.get_ident()
        self.stepping: dict[int, tuple[Seen, ...]] = {}  # optimizers that make a step now

    def __enter__(self) -> Recorder:
        """Switch this mode on; for a cell below all others, which the cell may switch off."""
        above = [_pop_mode() for _ in _modes()] if self.cell is not None else []
        _push_mode(self)
        for mode in reversed(above):
            _push_mode(mode)
        return self

    def __exit__(self, *error: object) -> None:
        """Switch this mode off, and no other: the reader's code may have left one on."""
        if self not in _modes():
            return
        above = []
        while (mode := _pop_mode()) is not self:
            above.append(mode)
        for mode in reversed(above):
            _push_mode(mode)

    def steps(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Look at an optimizer's parameters before a step."""
        if threading.get_ident() == self.thread:
            params = [each for group in optimizer.param_groups for each in group["params"]]
            self.stepping[id(optimizer)] = tuple(map(self.log.seen, params))

    def stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Note the step that an optimizer has made."""
        before = self.stepping.pop(id(optimizer), None)
        if before is None:
            return
        spot, through = place_of(sys._getframe(1))
        params = [each for group in optimizer.param_groups for each in group["params"]]
        after = tuple(map(self.log.seen, params))
        event = (Optimizer.step, before, after, spot, through, True, age_now(), age_now())
        self.log.events.append(Event(*event, self.thread, self.cell, type(optimizer).__name__))

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        __tracebackhide__ = True  # the reader's traceback is as it would be without this mode
        kwargs = kwargs or {}
        kind = _KINDS.get(func)
        if kind == "ask" or torch.compiler.is_compiling():
            return func(*args, **kwargs)
        spot, through = place_of(sys._getframe(1))
        if spot is not None and spot.code.co_filename.startswith(_OURS):
            return func(*args, **kwargs)
        if through and through[0] == _STEPS:  # told as one step of the optimizer
            return func(*args, **kwargs)
        if kind == "pass":
            return self._passes(func, args, kwargs, spot, through)
        log = self.log
        taken: list[Tensor] = []
        add_tensors(args, taken)
        if kwargs:
            add_tensors(kwargs.values(), taken)
        inputs = tuple(map(log.seen, taken))
        grad_on, first = torch.is_grad_enabled(), age_now()
        result = func(*args, **kwargs)
        end = age_now()
        results: list[Tensor] = []
        add_tensors((result,), results)
        if kind == "grad":
            if results:
                log.owners[log.serial(results[0])] = inputs[0].serial
            return result
        made = [*map(log.seen, results)]
        for tensor, before in zip(taken, inputs, strict=True):
            counted = before.version >= 0 and tensor._version != before.version
            if counted or tensor.requires_grad is not before.needs:
                now = log.seen(tensor)
                if now not in made:
                    made.append(now)
        for tensor, seen in zip(results, made, strict=False):
            self._note_memory(kind, tensor, seen.serial, inputs[0].serial if inputs else None)
        if inputs or made or kind == "switch":
            what = args[0] if kind == "switch" else None
            event = (func, inputs, tuple(made), spot, through, grad_on, first, end)
            log.events.append(Event(*event, self.thread, self.cell, what))
        return result

    def _note_memory(
        self, kind: str | None, tensor: Tensor, serial: int, source: int | None
    ) -> None:
        """Note where a result is, and whether its changes are counted with another tensor's."""
        log = self.log
        if tensor._is_view():
            base = log.serial(tensor._base)  # type: ignore[arg-type]
            if base != serial:
                log.bases[serial] = base
        elif kind == "detach":
            if source is not None and source != serial:
                log.bases[serial] = source
        elif kind == "data":
            if source is not None:
                log.shares[serial] = source
        elif type(tensor) is Tensor and not tensor.is_meta:
            try:
                memory = StorageWeakRef(tensor.untyped_storage())
                log.memory[tensor.data_ptr()] = memory, serial
            except (RuntimeError, NotImplementedError):  # of torch.func, or without a storage
                return

    def _passes(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        spot: Spot | None,
        through: tuple[str, ...],
    ) -> Any:
        """Run a backward pass, and note which leaves it reached."""
        __tracebackhide__ = True
        log = self.log
        begun = _argument(args, kwargs, 0, "outputs" if func is torch.autograd.grad else "tensors")
        outputs = add_tensors((begun,), [])
        chosen = kwargs.get("inputs")
        if func is torch.autograd.grad:
            chosen = _argument(args, kwargs, 1, "inputs")
        given = _argument(args, kwargs, 2 if func is torch.autograd.grad else 1, "grad_tensors")
        given = kwargs.get("gradient", kwargs.get("grad_outputs", given))
        leaves = leaves_of(outputs)
        before = [(leaf, log.serial(leaf), _grad_now(leaf)) for leaf in leaves]
        taken = add_tensors((chosen,), [*outputs])
        inputs = tuple(map(log.seen, taken))
        grad_on, first = torch.is_grad_enabled(), age_now()
        error: str | None = None
        result: Any = None
        try:
            result = func(*args, **kwargs)
        except Exception as raised:
            error = f"{type(raised).__name__}: {str(raised).partition(chr(10))[0]}"
            raise
        finally:
            reached = []
            for leaf, serial, grad in before:
                now = _grad_now(leaf)
                reached.append(LeafPass(serial, now != grad, leaf.grad is None))
                if leaf.grad is not None:
                    log.owners[log.serial(leaf.grad)] = serial
            what = Pass(
                tuple(log.serial(output) for output in outputs),
                tuple(reached),
                given is not None,
                chosen is not None,
                bool(kwargs.get("create_graph", False)),
                bool(kwargs.get("retain_graph", None) or kwargs.get("create_graph", False)),
                error,
            )
            made = tuple(map(log.seen, add_tensors((result,), [])))
            event = (func, inputs, made, spot, through, grad_on, first, age_now(), self.thread)
            log.events.append(Event(*event, self.cell, what))
        return result


def place_of(frame: FrameType | None) -> tuple[Spot | None, tuple[str, ...]]:
    """The instruction of the reader's code that runs, and PyTorch's functions below it."""
    through: list[str] = []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_TORCH):
            return Spot(code, frame.f_lasti), tuple(reversed(through))
        through.append(code.co_qualname)
        frame = frame.f_back
    return None, tuple(reversed(through))


def leaves_of(outputs: list[Tensor]) -> list[Tensor]:
    """The leaves that a pass from some tensors reaches."""
    roots = [
        output.grad_fn or get_gradient_edge(output).node
        for output in outputs
        if output.requires_grad
    ]
    return [*walk_quickly(roots).leaves.values()]


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


def _grad_now(leaf: Tensor) -> tuple[int, int] | None:
    grad = leaf.grad
    return None if grad is None else (id(grad), grad._version)


class _Modules:
    """Hears of each module that is called in one thread."""

    def __init__(self, log: Log, held: Held) -> None:
        self.log, self.held = log, held
        self.thread = threading.get_ident()
        self.running: list[ModuleCall] = []
        self.ended: list[ModuleCall] = []  # in the order in which they ended

    def enters(self, module: Module, arguments: Any) -> None:
        if threading.get_ident() == self.thread:
            self.held.strike()
            call = ModuleCall(module, age_now(), self.running[-1] if self.running else None)
            self.running.append(call)
            self.log.modules.append(call)

    def leaves(self, module: Module, arguments: Any, output: Any) -> None:
        # A call that another hook stopped before ours ran was never entered.
        if threading.get_ident() != self.thread:
            return
        if not any(call.ref() is module for call in self.running):
            return
        while True:
            call = self.running.pop()
            if call.ref() is module:
                call.end = age_now()
                self.ended.append(call)
                return


@contextmanager
def recording(
    done: Callable[[Sequence[ModuleCall]], object] | None = None,
    log: Log = LOG,
    cell: int | None = None,
) -> Iterator[None]:
    """Record what runs within; whatever happens, nothing of it stays switched on.

    Args:
        done: is told the calls of modules that ended when the block ends.
        log: what it is written to.
        cell: the number of the notebook's cell that runs.
    """
    is_on = any(isinstance(one, Recorder) and one.log is log for one in _modes())
    with interrupts_held() as held, ExitStack() as undone:
        recorder = Recorder(
            Log() if is_on else log, cell
        )  # what is recorded already is not told twice
        modules = _Modules(recorder.log, held)
        if done is not None:
            undone.callback(done, modules.ended)
        hooks: tuple[tuple[Any, Any], ...] = (
            (register_optimizer_step_pre_hook, recorder.steps),
            (register_optimizer_step_post_hook, recorder.stepped),
            (register_module_forward_pre_hook, modules.enters),
            (partial(register_module_forward_hook, always_call=True), modules.leaves),
        )
        for register, hears in hooks:
            undone.callback(register(hears).remove)
        if not is_on:
            undone.enter_context(recorder)
        try:
            held.open = True  # what follows is the user's own
            held.strike()
            yield
        finally:
            held.open = False
