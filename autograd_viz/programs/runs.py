"""One run of a function: the calls of torch it made and the names it bound, in their order."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from autograd_viz.interrupts import interrupts_held
from autograd_viz.programs.moments import (
    PLAIN,
    Moment,
    Moments,
    asked_to_write,
    may_write,
    tensors_in,
)
from autograd_viz.programs.sources import Source
from autograd_viz.programs.statements import Binding, SourceStatement, captures_of

PLAIN_OR_TENSOR = PLAIN | {Tensor}
_TORCH = os.path.dirname(torch.__file__)


class Call(NamedTuple):
    """A call of a torch function that the function made, or one that it called."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Any
    offset: int  # of the running instruction in the function's own code; -1: not known
    direct: bool  # made by that code itself, not by a function that it called
    met: list[Moment]  # of arguments that no call has had before
    made: list[Moment]  # of what it changed, and of its results

    @property
    def name(self) -> str:
        """PyTorch's name of the operation: `log2`; of an attribute its own, `T`."""
        return name_of(self.function)

    @property
    def changes(self) -> bool:
        """Whether it was asked to change something in place."""
        return any(moment.is_target for moment in self.made)


class Visit(NamedTuple):
    """A statement that ran."""

    statement: SourceStatement
    calls: int  # that were made before it


class Bound(NamedTuple):
    """A name that was bound."""

    visit: int  # -1: an argument
    calls: int  # that had been made by then
    binding: Binding
    value: Any


@dataclass
class Run:
    """What happened."""

    given: Mapping[str, Any]  # the arguments, by name
    begun: Sequence[Moment] = ()  # of the arguments
    ended: Sequence[Moment] = ()  # of results that no call has had
    outside: Mapping[str, Any] = field(default_factory=dict)  # the function's globals and closure
    calls: list[Call] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    bound: list[Bound] = field(default_factory=list)
    result: Any = None


class _Calls(TorchFunctionMode):
    """Sees each call of a torch function, and where in the function's own code it was made."""

    def __init__(self, code: CodeType | None, run: Run) -> None:
        super().__init__()
        self.code, self.run, self.calls, self.moments = code, run, run.calls, Moments()
        self.frame: FrameType | None = None
        self.moments.note(run.given)
        if not self.moments.is_calm:
            self._wake()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():  # it would compile what follows too, and cannot
            return func(*args, **kwargs)
        frame: FrameType | None = sys._getframe(1)
        own = self.frame or self._own_frame(frame)
        direct = True
        while frame is not None and frame is not own:
            direct = direct and frame.f_code.co_filename.startswith(_TORCH)
            frame = frame.f_back
        offset = -1 if frame is None else frame.f_lasti
        moments = self.moments
        if moments.is_calm:
            seen = moments.seen
            for value in args:
                if id(value) not in seen and type(value) not in PLAIN:
                    moments.note(value)
            if kwargs:
                moments.note(kwargs)
            if not moments.is_calm or may_write(func) or (kwargs and asked_to_write(kwargs)):
                self._wake()
        if moments.is_calm:
            result = func(*args, **kwargs)
            if type(result) is Tensor:
                seen.setdefault(id(result), -1 if result.is_inference() else result._version)
            elif type(result) not in PLAIN:
                moments.note(result)
            self.calls.append(Call(func, args, kwargs, result, offset, direct, [], []))
            return result
        taken = tensors_in((args, kwargs))
        met = moments.met(taken)
        self._note(offset, [], moments.written(taken))
        result = func(*args, **kwargs)
        made = moments.made(name_of(func, " ="), args, kwargs, taken, result)
        self.calls.append(Call(func, args, kwargs, result, offset, direct, met, made))
        return result

    def is_over(self) -> None:
        """Find the moments that are not known yet."""
        self.frame = None
        if self.moments.is_calm:
            self._settle()
        self.run.ended = self.moments.met(self.run.result)

    def _settle(self) -> None:
        """Find the moments of the calls that were made while nothing could change."""
        moments = self.moments
        self.run.begun = moments.met(self.run.given)
        new = moments.seen
        for call in self.calls:
            for value in call.args:
                if id(value) in new or type(value) not in PLAIN_OR_TENSOR:
                    call.met.extend(moments.met(value))
            if call.kwargs:
                call.met.extend(moments.met(call.kwargs))
            if id(call.result) in new or type(call.result) not in PLAIN_OR_TENSOR:
                call.made.extend(moments.met(call.result))

    def _wake(self) -> None:
        self._settle()
        self.moments.wake()

    def note_writes(self, offset: int, bound: Sequence[Any] = ()) -> None:
        """Note what others than PyTorch have written into a tensor's memory, as a call."""
        moments = self.moments
        if moments.is_calm:
            for value in bound:
                if id(value) not in moments.seen and type(value) not in PLAIN:
                    moments.note(value)
            if moments.is_calm:
                return
            self._wake()
        with torch._C.DisableTorchFunction():
            self._note(offset, moments.brought(bound), moments.written())

    def _note(self, offset: int, met: list[Moment], made: list[Moment]) -> None:
        if met or made:
            self.calls.append(Call(_writes, (), {}, None, offset, False, met, made))

    def _own_frame(self, frame: FrameType | None) -> FrameType | None:
        """The frame of the function itself; of a recursive one the outermost."""
        while frame is not None and frame.f_code is not _RECORD:
            if frame.f_code is self.code:
                self.frame = frame
            frame = frame.f_back
        return self.frame


def name_of(function: Any, assigned: str = "") -> str:
    """The name of a function or, of one that gets or sets an attribute, of the attribute."""
    name = getattr(function, "__name__", "") or type(function).__name__
    if name in ("__get__", "__set__"):
        mark = assigned if name == "__set__" else ""
        name = getattr(getattr(function, "__self__", None), "__name__", name) + mark
    return str(name)


def _writes() -> None:
    """Stands for what another library does with a tensor's memory."""


def record(
    call: Callable[[], Any], given: Mapping[str, Any], code: CodeType | None, source: Source | None
) -> Run:
    """Run `call`, which runs the code; with its source also see which statements ran.

    Only the frame of the code itself is traced, and only its local variables are read. The trace
    function that was there before is put back, whatever happens.
    """
    run = Run(given)
    mode = _Calls(code, run)
    tracer = None if source is None else _Statements(run, mode, source)
    previous = sys.gettrace()
    with interrupts_held() as held:
        try:
            with mode:
                if tracer is not None:
                    sys.settrace(tracer.enters)
                run.result = held.through(call)
        finally:
            if tracer is not None:
                sys.settrace(previous)
            mode.frame = None
    if tracer is not None:
        tracer.is_over()
    mode.is_over()
    return run


_RECORD = record.__code__


def tell_shift(tensor: Tensor) -> None:
    """Tell the runs that are watched that a tensor just made was given another number."""
    for mode in _get_current_function_mode_stack():
        if isinstance(mode, _Calls):
            mode.moments.shifted(tensor)


class _Statements:
    """The trace function: which statements of one frame ran, and what they bound."""

    def __init__(self, run: Run, mode: _Calls, source: Source) -> None:
        self.run, self.mode, self.source = run, mode, source
        self.started = False
        self.frame: FrameType | None = None  # of a function that is looked at when it is over
        self.current: SourceStatement | None = None
        self.first = -1  # offset at which the current statement began

    def enters(self, frame: FrameType, event: str, arg: object) -> Any:
        if self.started or frame.f_code is not self.source.code:
            return None
        self.started = True
        self.mode.frame = frame
        code = frame.f_code
        count = code.co_argcount + code.co_kwonlyargcount
        count += bool(code.co_flags & 4) + bool(code.co_flags & 8)  # *args, **kwargs
        values = frame.f_locals
        for name in code.co_varnames[:count]:
            self.run.bound.append(Bound(-1, 0, Binding(name, None), values.get(name)))
        if self.source.straight:
            # To stop at each line costs more the more variables there are. Where each is bound
            # once, and all statements run, it is enough to look at them when it is over.
            self.frame = frame
            sys.settrace(None)
            return None
        frame.f_trace_opcodes = self.source.crowded
        return self.steps

    def steps(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == ("opcode" if self.source.crowded else "line"):
            self._goes_to(frame, self.source.statement_at(frame.f_lasti), frame.f_lasti)
        elif event == "return":
            self._finish(frame, None)
            self.mode.frame = None
        return self.steps

    def is_over(self) -> None:
        """Look at a function whose statements all ran, one after the other."""
        if self.frame is None:
            return
        values, calls, done = self.frame.f_locals, self.run.calls, 0
        self.frame = None
        starts = [self.source.start_of(call.offset) for call in calls]
        for number, statement in enumerate(self.source.straight):
            self.run.visits.append(Visit(statement, done))
            end = (statement.node.end_lineno or 0, statement.node.end_col_offset or 0)
            while done < len(calls) and starts[done] < end:
                done += 1
            for binding in statement.bindings:
                if binding.name in values and binding.name != "_":
                    value = values[binding.name]
                    self.run.bound.append(Bound(number, done, binding, value))

    def _goes_to(self, frame: FrameType, statement: SourceStatement | None, offset: int) -> None:
        if statement is None or (statement is self.current and offset != self.first):
            return
        self._finish(frame, statement)
        before = self.run.visits[-1].statement if self.run.visits else None
        leaves = statement.is_block and self.source.holds(statement, before)
        if leaves or statement.is_silent:  # the head of a `with` block does not run again
            return
        self.current, self.first = statement, offset
        self.run.visits.append(Visit(statement, len(self.run.calls)))

    def _finish(self, frame: FrameType, following: SourceStatement | None) -> None:
        statement = self.current
        self.current = None
        if statement is None:
            return
        if statement.is_loop and not self.source.holds(statement, following):
            if len(self.run.calls) == self.run.visits[-1].calls:
                self.run.visits.pop()  # the loop is over
            return
        bindings = statement.bindings
        if following is not None and isinstance(statement.node, ast.Match):
            bindings += tuple(captures_of(statement.node, following.node))
        values = frame.f_locals if bindings else {}
        self.mode.note_writes(self.first, [values.get(each.name) for each in bindings])
        for binding in bindings:
            if binding.name in values and binding.name != "_":  # which names nothing
                self.run.bound.append(
                    Bound(
                        len(self.run.visits) - 1,
                        len(self.run.calls),
                        binding,
                        values[binding.name],
                    )
                )
