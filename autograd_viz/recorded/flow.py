"""What follows from a recording: who made a tensor, who changed it, where a way is cut."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Parameter, init
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import Optimizer

from autograd_viz.recorded.events import LOG, Event, Log, Pass, Seen
from autograd_viz.recorded.places import Place, place
from autograd_viz.recorded.recorder import SWITCH

How = Literal[
    "detach",
    "data",
    "no_grad",
    "inference",
    "sample",
    "create_graph",
    "copied",
    "checkpoint",
    "not_differentiable",
    "new_leaf",
    "left",
]
# Functions by which numbers leave PyTorch.
LEAVES = frozenset({"item", "numpy", "tolist", "__array__", "__float__", "__int__", "__complex__"})
_COPIES = frozenset({"tensor", "as_tensor", "new_tensor", "asarray", "__init__"})
_NEW = frozenset({"tensor", "new_tensor"})  # what these give is a leaf, whatever they are given
# The functions of PyTorch that give a parameter its first numbers.
_INITIALISES = frozenset(
    name for name, held in vars(init).items() if getattr(held, "__module__", "") == init.__name__
) | {"reset_parameters", "_reset_parameters"}
# Calls that look at a tensor, or change what it is told, and compute nothing from it.
_ASKS = frozenset(
    {"is_contiguous", "is_shared", "stride", "data_ptr", "storage_offset", "untyped_storage"}
    | {"element_size", "nelement", "__len__", "__repr__", "__format__", "__hash__"}
    | {"requires_grad_", "retain_grad", "register_hook", "register_post_accumulate_grad_hook"}
)


@dataclass(frozen=True)
class Cut:
    """A call whose input leads to a tensor and whose result does not."""

    how: How
    event: Event
    switch: Event | None = None  # which switched gradients off for it

    @property
    def function(self) -> str:
        """What was called: `detach`, `argmax`; of PyTorch's own Python code the outermost."""
        return self.event.name.removeprefix("get ").strip("_")


class History:
    """A log as it is now, for some questions about it."""

    def __init__(self, log: Log = LOG) -> None:
        self.log = log
        self.events: tuple[Event, ...] = tuple(log.events)

    @cached_property
    def _makers(self) -> dict[int, int]:
        """A tensor -> the event that made it."""
        found: dict[int, int] = {}
        for number, event in enumerate(self.events):
            taken = {seen.serial for seen in event.inputs}
            for seen in event.outputs:
                if seen.serial not in taken:
                    found.setdefault(seen.serial, number)
        return found

    def maker(self, tensor: Tensor | int) -> Event | None:
        """The call that made a tensor."""
        number = self._maker(tensor)
        return None if number is None else self.events[number]

    def _maker(self, tensor: Tensor | int) -> int | None:
        serial = tensor if isinstance(tensor, int) else self.log.find(tensor)
        return None if serial is None else self._makers.get(serial)

    def is_from_here(self, tensor: Tensor) -> bool:
        """Whether a tensor was made while it was recorded; a parameter on memory that was."""
        if self._maker(tensor) is not None:
            return True
        return isinstance(tensor, Parameter) and self.log.made_at(tensor.data_ptr()) is not None

    def node_maker(self, age: int, thread: int | None = None) -> Event | None:
        """The call that made the node of an age, PyTorch's sequence number."""
        firsts, events = self._by_age
        for number in range(bisect_right(firsts, age) - 1, -1, -1):
            event = events[number]
            if age < event.end and thread in (None, event.thread):
                return event
            if thread is None or event.thread == thread:  # calls of a thread follow each other
                return None
        return None

    @cached_property
    def _by_age(self) -> tuple[list[int], list[Event]]:
        """The calls that made nodes, in the order of their ages."""
        events = sorted((each for each in self.events if each.first < each.end), key=_first)
        return [event.first for event in events], events

    def root(self, serial: int) -> int:
        """The tensor whose changes are counted together with this one's."""
        seen = {serial}
        while (base := self.log.bases.get(serial)) is not None and base not in seen:
            seen.add(base)
            serial = base
        return serial

    def memory(self, serial: int) -> int:
        """The tensor on whose memory it is, also where changes are not counted together."""
        while (held := self.log.shares.get(serial := self.root(serial))) is not None:
            serial = held
        return serial

    def changes(self, tensor: Tensor) -> list[tuple[Event, Seen]]:
        """The calls that changed a tensor in place, also through a view, and what it was then."""
        serial = self.log.find(tensor)
        if serial is None:
            return []
        root = self.root(serial)
        return [
            (event, seen)
            for event in self.events
            for seen in event.changed
            if self.root(seen.serial) == root
        ]

    def passes(self) -> Iterator[tuple[Event, Pass]]:
        """The backward passes, in their order."""
        for event in self.events:
            if isinstance(event.what, Pass):
                yield event, event.what

    def gradient_events(self, leaf: Tensor) -> list[Event]:
        """What wrote or cleared the `.grad` of a leaf, in its order."""
        serial = self.log.find(leaf)
        found: list[Event] = []
        for event in self.events if serial is not None else ():
            if isinstance(event.what, Pass):
                touched = any(each.serial == serial for each in event.what.leaves)
            elif event.name == "set grad":
                touched = bool(event.inputs) and event.inputs[0].serial == serial
            else:
                touched = any(self.log.owners.get(seen.serial) == serial for seen in event.changed)
            if touched:
                found.append(event)
        return found

    def steps(self, tensor: Tensor) -> list[Event]:
        """The steps of the optimizers that have a tensor."""
        serial = self.log.find(tensor)
        return [
            event
            for event in self.events
            if event.function is Optimizer.step
            and any(seen.serial == serial for seen in event.inputs)
        ]

    def step_after(self, event: Event, tensor: Tensor) -> Event | None:
        """The first step after a call of an optimizer that has a tensor."""
        steps = self.steps(tensor)
        if not steps:
            return None
        numbers = {id(each): number for number, each in enumerate(self.events)}
        return next((each for each in steps if numbers[id(each)] > numbers[id(event)]), None)

    def required_late(self, tensor: Tensor, output: Tensor) -> Event | None:
        """What told a tensor to require grad after the output had been computed from it."""
        serial, made = self.log.find(tensor), self._maker(output)
        if serial is None or made is None or not tensor.is_leaf:
            return None
        late = None
        for event in self.events[made + 1 :]:
            before = [seen for seen in event.inputs if seen.serial == serial]
            after = [seen for seen in event.outputs if seen.serial == serial]
            if before and after and after[-1].needs and not before[0].needs:
                late = event
        follows = _Flow(self, serial).follows
        return late if late is not None and self.log.find(output) in follows else None

    def sources(self, tensor: Tensor) -> list[int]:
        """The tensors that one was computed from in the end, the first used first."""
        serial = self.log.find(tensor)
        waiting, seen, found = [serial], {serial}, []
        while waiting:
            each = waiting.pop()
            maker = self.maker(each) if each is not None else None
            if maker is None or not maker.inputs:
                if each is not None and each != serial:
                    found.append(each)
                continue
            new = [one.serial for one in maker.inputs if one.serial not in seen]
            seen.update(new)
            waiting += reversed(new)
        return found

    def cuts_into(self, tensor: Tensor) -> list[Cut]:
        """The calls that cut a tensor off from those that it was computed from."""
        found: list[Cut] = []
        for source in self._required(tensor):
            found += _Flow(self, source).cuts(self.log.serial(tensor))
        return list({id(cut.event): cut for cut in found}.values())

    def _required(self, tensor: Tensor) -> list[int]:
        """The tensors before one that required grad, from which no gradient came back."""
        serial = self.log.find(tensor)
        waiting, seen, found = [serial], {serial}, []
        while waiting:
            each = waiting.pop()
            maker = self.maker(each) if each is not None else None
            for one in maker.inputs if maker is not None else ():
                if one.serial in seen:
                    continue
                seen.add(one.serial)
                if one.needs:
                    found.append(one.serial)
                else:
                    waiting.append(one.serial)
        return found

    def user(self, event: Event, output: Tensor) -> int | None:
        """The first tensor with a graph that was computed from the result of a call."""
        follows = {seen.serial for seen in event.outputs}
        begun = False
        for each in self.events:
            begun = begun or each is event
            if not begun or each is event or not follows & {seen.serial for seen in each.inputs}:
                continue
            for seen in each.outputs:
                if seen.needs:
                    return seen.serial
                follows.add(seen.serial)
        return None

    def made_after(self, tensor: Tensor, other: Tensor) -> bool:
        """Whether a tensor was made after another one was."""
        one, two = self._maker(tensor), self._maker(other)
        return one is not None and two is not None and one > two

    def uses(self, tensor: Tensor) -> list[Event]:
        """The calls that computed something from a tensor; what gave it its numbers did not."""
        serial = self.log.find(tensor)
        if serial is None:
            return []
        taken = self._takers.get(serial, [])
        return [self.events[number] for number in taken if self._is_use(number, serial)]

    @cached_property
    def _takers(self) -> dict[int, list[int]]:
        """A tensor -> the calls that took it, in their order."""
        found: dict[int, list[int]] = defaultdict(list)
        for number, event in enumerate(self.events):
            if event.function is Optimizer.step or isinstance(event.what, Pass):
                continue
            if event.name.startswith(("set ", "get grad")) or event.name in _ASKS:
                continue
            for serial in {seen.serial for seen in event.inputs}:
                found[serial].append(number)
        return found

    def _is_use(self, number: int, serial: int) -> bool:
        event = self.events[number]
        if any(seen.serial == serial for seen in event.changed):
            return False
        if any(each.rpartition(".")[2] in _INITIALISES for each in event.through):
            return False
        return not self._is_written_through(number, serial)

    def _is_written_through(self, number: int, serial: int) -> bool:
        """Whether a call gave a tensor's memory alone, as .data does, to be written to."""
        made = {seen.serial for seen in self.events[number].outputs} - {serial}
        if not made or any(self.memory(each) != self.memory(serial) for each in made):
            return False
        later = [(each, one) for one in made for each in self._takers.get(one, ()) if each > number]
        return bool(later) and not any(self._is_use(*each) for each in later)

    def place(self, event: Event, asking: FrameType | None = None) -> Place:
        """Where a call was made."""
        if event.spot is None:
            return Place("code of PyTorch's own", None)
        return place(event.spot, asking, event.cell)

    # Where a way is cut.

    def cuts(self, tensor: Tensor, output: Tensor) -> list[Cut]:
        """The calls at which all recorded ways from an output to a tensor end."""
        source, target = self.log.find(tensor), self.log.find(output)
        if source is None:
            return []
        flow = _Flow(self, source)
        return [*flow.new_leaf(output), *(flow.cuts(target) if target is not None else ())]

    def left(self, tensor: Tensor) -> Event | None:
        """The last call by which a number that follows from a tensor left PyTorch."""
        source = self.log.find(tensor)
        if source is None:
            return None
        return _Flow(self, source).left


class _Flow:
    """Which tensors follow from one, and which of them lead back to it."""

    def __init__(self, history: History, source: int) -> None:
        self.history = history
        self.follows = {source}  # its numbers went into these
        self.memory = {history.memory(source)}
        self.leads = {source}  # and a gradient comes back from these
        self.ends: list[int] = []  # events at which it does not
        self.left: Event | None = None
        later = self._required_later()
        for number, event in enumerate(history.events):
            self._follow(number, event, later)

    def _required_later(self) -> set[int]:
        """Tensors that required grad when they were used, though not when they were made.

        Those that a custom Function returns, since gradients are off inside of it.
        """
        made: dict[int, bool] = {}
        told: set[int] = set()
        found: set[int] = set()
        for event in self.history.events:
            for seen in event.inputs:
                if seen.needs and made.get(seen.serial) is False and seen.serial not in told:
                    found.add(seen.serial)
            for seen in event.outputs:
                if seen.serial in made and seen.needs:
                    told.add(seen.serial)  # requires_grad_(), or a change in place
                made.setdefault(seen.serial, seen.needs)
        for serial, tensor in self.history.log.alive().items():
            if made.get(serial) is False and tensor.requires_grad and serial not in told:
                found.add(serial)
        return found

    def _follow(self, number: int, event: Event, later: set[int]) -> None:
        if event.function is Optimizer.step or event.name in ("set grad", "backward"):
            return
        taken = [seen for seen in event.inputs if self._holds(seen.serial)]
        if not taken:
            return
        leading = any(seen.serial in self.leads for seen in taken)
        copies = event.name in _NEW
        for seen in event.outputs:
            self.follows.add(seen.serial)
            if seen in [*event.changed]:
                self.memory.add(self.history.memory(seen.serial))
            needs = seen.needs and leading and not copies
            if needs or seen.serial in later:
                self.leads.add(seen.serial)
        if leading and not any(seen.serial in self.leads for seen in event.outputs):
            self.ends.append(number)
        if event.name in LEAVES:
            self.left = event

    def _holds(self, serial: int) -> bool:
        return serial in self.follows or self.history.memory(serial) in self.memory

    def cuts(self, target: int) -> Iterator[Cut]:
        """The ends on the way to an output, the last first."""
        wanted = {target, self._memory(target)}
        ends = set(self.ends)
        alive = self.history.log.alive()
        for number in range(len(self.history.events) - 1, -1, -1):
            event = self.history.events[number]
            made = {seen.serial for seen in event.outputs}
            if not made & wanted:
                changed = [seen.serial for seen in event.changed]
                if written := [each for each in changed if self.history.memory(each) in wanted]:
                    yield from self._through_data(written)
                continue
            if isinstance(event.what, Pass) and event.name == "backward":
                continue
            if number in ends:
                yield self._cut(number, event)
                continue
            for seen in event.inputs:
                if seen.serial not in self.leads:
                    wanted |= {seen.serial, self._memory(seen.serial)}
            for seen in event.inputs:
                yield from self.new_leaf(alive.get(seen.serial))

    def _memory(self, serial: int) -> int:
        """The tensor on whose memory it is, if no gradient comes back from that."""
        memory = self.history.memory(serial)
        return serial if memory in self.leads else memory

    def _through_data(self, written: Sequence[int]) -> Iterator[Cut]:
        """A change of a memory by one tensor, of which another one on it knows nothing."""
        for serial in written:
            makers = self.history._makers
            if serial in self.leads and (number := makers.get(serial)) is not None:
                yield Cut("data", self.history.events[number])

    def new_leaf(self, tensor: Tensor | None) -> Iterator[Cut]:
        """The call that made the memory of a leaf, if that call leads to the tensor.

        Parameter() and Variable() make a leaf, which no call that is recorded made.
        """
        history = self.history
        if tensor is None or not (tensor.is_leaf and tensor.requires_grad) or is_lazy(tensor):
            return
        serial = history.log.find(tensor)
        made = history.log.made_at(tensor.data_ptr())
        if serial in history._makers or made in (None, serial) or made not in self.leads:
            return
        if (number := history._makers.get(made)) is not None:
            yield Cut("new_leaf", history.events[number])

    def _cut(self, number: int, event: Event) -> Cut:
        name = event.name
        if name in ("detach", "detach_"):
            return Cut("detach", event)
        if name == "get data":
            return Cut("data", event)
        if isinstance(event.what, Pass):
            return Cut("create_graph", event)
        if any(each.endswith(".sample") for each in event.through):
            return Cut("sample", event, self._switch(number))
        if name in _COPIES:
            return Cut("copied", event)
        if not event.grad_on:
            return self._off(number, event)
        return Cut("not_differentiable", event)

    def _off(self, number: int, event: Event) -> Cut:
        switch = self._switch(number)
        if switch is None:
            is_inference = any(seen.version == -1 for seen in event.outputs)
            return Cut("inference" if is_inference else "no_grad", event)
        reentrant = any("CheckpointFunction" in each for each in switch.through)
        return Cut("checkpoint" if reentrant else "no_grad", event, switch)

    def _switch(self, number: int) -> Event | None:
        """What had switched gradients off when a call was made."""
        thread = self.history.events[number].thread
        found = None
        event: Event
        for event in reversed(self.history.events[:number]):
            if event.function is SWITCH and event.thread == thread:
                if event.what is True:
                    break
                found = event
                if event.grad_on:
                    break
        return found


def _first(event: Event) -> int:
    return event.first


def ages(function: torch.autograd.graph.Node) -> int:
    """The age of a node, PyTorch's sequence number."""
    return int(function._sequence_nr())
