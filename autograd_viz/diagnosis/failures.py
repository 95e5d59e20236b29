"""A call of autograd that failed: where in the reader's code, with which tensors, their names."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from autograd_viz import names as naming
from autograd_viz.capture import capture
from autograd_viz.diagnosis.edits import Edit, edit_of, short
from autograd_viz.diagnosis.gradient_stops import operation
from autograd_viz.diagnosis.spoiled import same_storage
from autograd_viz.model import Graph
from autograd_viz.recorded.events import Event, Spot
from autograd_viz.recorded.flow import History
from autograd_viz.recorded.places import Place, place
from autograd_viz.walk import Walk

RECORDED = "with av.record():"
PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_TORCH = os.path.dirname(torch.__file__) + os.sep
_LIBRARIES = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PASSES = ("backward", "grad")
_HISTORY = ("In", "Out")  # of IPython


@dataclass(eq=False)
class Failure:
    """What is known of a call that failed, or of a pass that would fail now."""

    error: BaseException
    frames: Sequence[FrameType]  # of the reader's code, the innermost first
    spot: Spot | None  # the instruction that failed
    inner: Sequence[FrameType] = ()  # of PyTorch's code below it, the innermost last
    asked: Sequence[Tensor] = ()  # the outputs of a pass, where no call says them
    names: dict[str, Tensor] = field(default_factory=dict)  # which win over all others

    @property
    def message(self) -> str:
        """PyTorch's message."""
        return str(self.error)

    @cached_property
    def history(self) -> History:
        """What was recorded."""
        return History()

    # The call.

    @cached_property
    def call(self) -> FrameType | None:
        """The frame of PyTorch's `backward` or `grad`, the outer one of several."""
        for frame in self.inner:
            if frame.f_code.co_name in _PASSES and frame.f_code.co_filename.startswith(_TORCH):
                return frame
        return None

    def argument(self, *names: str) -> Any:
        """What the call was given under a name."""
        for frame in self.inner:
            for name in names:
                if frame is self.call or frame.f_code.co_name.startswith("__"):
                    found = frame.f_locals.get(name)
                    if found is not None:
                        return found
        return None

    @cached_property
    def outputs(self) -> list[Tensor]:
        """The tensors that the pass was to begin from."""
        if self.asked:
            return list(self.asked)
        if self.call is None:
            return []
        given = self.argument("outputs", "tensors") if self.call else None
        if given is None:
            given = self.argument("self")
        return tensors_in(given)

    @cached_property
    def statement(self) -> Place | None:
        """The reader's statement that failed."""
        return self.place(self.spot) if self.spot is not None else None

    @property
    def attempt(self) -> str:
        """What failed, as the beginning of a sentence: `loss.backward() failed`."""
        if self.call is None and self.asked:
            return f"the backward pass from {self.result} fails"
        if self.call is None:
            where = self.statement.quoted if self.statement is not None else "the call"
            return f"{where[:1].upper()}{where[1:]} failed"
        if self.call.f_code.co_name == "grad":
            return "torch.autograd.grad() failed"
        edit = self.edit
        if edit is not None and edit.call is not None and edit.begins is not None:
            written = short(edit.call.func)
            if written is not None:
                return f"{written}() failed"
        return (
            f"{self.result}.backward() failed"
            if self.result.isidentifier()
            else "backward() failed"
        )

    def place(self, spot: Spot, cell: int | None = None) -> Place:
        """Where an instruction is, as this reader calls it."""
        return place(spot, self.frames[0] if self.frames else None, cell)

    def place_of(self, event: Event | None) -> Place | None:
        """Where a recorded call was made."""
        if event is None or event.spot is None:
            return None
        return self.place(event.spot, event.cell)

    # Names.

    @cached_property
    def named(self) -> dict[str, Tensor]:
        """The reader's tensors by name: variables, modules' parameters, elements of containers."""
        found = dict(self.names)
        held = [naming.variables(frame) for frame in self.frames]
        for variables in held:
            found |= {n: v for n, v in _tensors(variables) if n not in found}
        for variables in held:
            for name, value in variables.items():
                if name not in _HISTORY:
                    found |= {n: v for n, v in inside(name, value) if n not in found}
        return found

    def name(self, tensor: Tensor | None) -> str | None:
        """What the reader calls a tensor; None if no name leads to it."""
        return next((name for name, held in self.named.items() if held is tensor), None)

    def name_of_memory(self, data: Tensor) -> str | None:
        """What the reader calls a tensor on some memory: the same part of it before others."""
        shared = [(name, held) for name, held in self.named.items() if same_storage(held, data)]
        for same in (
            lambda held: held is data,
            lambda held: held.data_ptr() == data.data_ptr() and held.shape == data.shape,
            lambda held: held.numel() == data.numel(),
            lambda held: True,
        ):
            for name, held in shared:
                if same(held):
                    return name
        return None

    @cached_property
    def result(self) -> str:
        """What the reader calls the output."""
        if len(self.outputs) != 1:
            return "the outputs" if self.outputs else "the output"
        edit = self.edit if self.call is not None else None
        written = short(edit.begins) if edit is not None else None
        return self.name(self.outputs[0]) or written or "the output"

    @property
    def edit(self) -> Edit | None:
        """The statement that failed, to be changed; a new copy each time."""
        return edit_of(self.spot)

    # The graph.

    @cached_property
    def captured(self) -> tuple[Graph, Walk] | None:
        """The graph of the outputs; None where autograd recorded nothing."""
        roots = [each for each in self.outputs if each.requires_grad]
        if not roots:
            return None
        graph, walk, _ = capture(roots, None, names=self.named)
        return graph, walk

    def age(self, node: int) -> int:
        """PyTorch's sequence number of a node of the graph."""
        assert self.captured is not None
        return int(self.captured[1].functions[node]._sequence_nr())

    def made(self, node: int) -> Event | None:
        """The recorded call that made a node of the graph."""
        found = self.history.node_maker(self.age(node))
        return found if found is not None and found.outputs else None

    def function(self, node: int) -> str:
        """What made a node, with its line if that was recorded: `sigmoid (line 4: ...)`."""
        assert self.captured is not None
        own = operation(self.captured[1].functions[node].name())
        event = self.made(node)
        where = self.place_of(event)
        return f"{own} ({where.quoted})" if where is not None else own


def before(failure: Failure, outputs: Iterable[int]) -> set[int]:
    """The recorded calls that led to some tensors, by the position of each."""
    events = failure.history.events
    makers: dict[int, list[int]] = {}
    for number, event in enumerate(events):
        for seen in event.outputs:
            makers.setdefault(seen.serial, []).append(number)
    waiting, known, found = list(outputs), set(outputs), set[int]()
    while waiting:
        for number in makers.get(waiting.pop(), ()):
            found.add(number)
            new = {seen.serial for seen in events[number].inputs} - known
            known |= new
            waiting += new
    return found


def tensors_in(value: object) -> list[Tensor]:
    """A tensor, or those of a sequence."""
    if naming.is_tensor(value):
        return [value]  # type: ignore[list-item]
    if isinstance(value, tuple | list):
        return [each for each in value if naming.is_tensor(each)]
    return []


def _tensors(variables: Mapping[str, object]) -> Iterator[tuple[str, Tensor]]:
    for name, value in variables.items():
        if naming.is_tensor(value):
            yield name, value  # type: ignore[misc]


def within(where: str) -> str:
    """`in line 3`, but `In[2], line 3` as it is."""
    return where if where.startswith("In[") else f"in {where}"


def inside(name: str, value: object) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module or a container, as the reader reaches them: `net.0.weight`."""
    if isinstance(value, Module):
        yield from ((f"{name}.{own}", each) for own, each in value.named_parameters())
        yield from ((f"{name}.{own}", each) for own, each in value.named_buffers())
    elif type(value) in (list, tuple):
        for number, each in enumerate(value):  # type: ignore[arg-type, var-annotated]
            if naming.is_tensor(each):
                yield f"{name}[{number}]", each
    elif type(value) is dict:
        for key, each in value.items():
            if naming.is_tensor(each) and isinstance(key, str | int):
                yield f"{name}[{key!r}]", each


def failure_of(error: BaseException) -> Failure | None:
    """What the traceback of an error tells."""
    steps = []
    following = error.__traceback__
    while following is not None:
        steps.append(following)
        following = following.tb_next
    if not steps:
        return None
    for is_foreign in (_is_library, _is_torch):
        own = [number for number, step in enumerate(steps) if not is_foreign(step.tb_frame)]
        if own:
            break
    if not own:
        return None
    last = steps[own[-1]]
    inner = [step.tb_frame for step in steps[own[-1] + 1 :]]
    frames = [steps[number].tb_frame for number in reversed(own)]
    return Failure(error, frames, Spot(last.tb_frame.f_code, last.tb_lasti), inner)


def _is_torch(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith((_TORCH, PACKAGE))


def _is_library(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return _is_torch(frame) or os.path.realpath(name).startswith(_LIBRARIES) or "<frozen" in name
