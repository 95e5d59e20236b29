"""What is certain about all parameters of a model: names, graph, one real pass, the recording."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import Optimizer

from autograd_viz import names as naming
from autograd_viz import text
from autograd_viz.backward import traced
from autograd_viz.capture import capture
from autograd_viz.diagnosis.trouble_places import Places
from autograd_viz.model import Graph, Trace
from autograd_viz.networks.flow import Entry, gradient_flow
from autograd_viz.networks.known import known_of
from autograd_viz.nodes import outline_of
from autograd_viz.recorded.events import Event, Pass
from autograd_viz.recorded.flow import Cut, History
from autograd_viz.recorded.recorder import SWITCH
from autograd_viz.saved import saved_by
from autograd_viz.walk import Walk, walk_from


@dataclass(frozen=True, eq=False)
class ModelFacts:
    """A model, the output it is asked about, and the frame that asks."""

    model: Module
    output: Tensor | None
    optimizer: Optimizer | None
    frame: FrameType | None

    # Names

    @cached_property
    def names(self) -> Mapping[int, tuple[str, ...]]:
        """All names of each parameter, by its `id()`, in the model's order."""
        found: dict[int, list[str]] = defaultdict(list)
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            found[id(parameter)].append(name)
        return {key: tuple(names) for key, names in found.items()}

    @cached_property
    def parameters(self) -> Mapping[str, Tensor]:
        """Each parameter by its first name."""
        return dict(self.model.named_parameters())

    @cached_property
    def modules(self) -> Mapping[str, Module]:
        """The modules by name."""
        return dict(self.model.named_modules())

    def name_of(self, held: object, otherwise: str) -> str:
        """The caller's name for an object."""
        variables = naming.variables(self.frame).items()
        return next((name for name, value in variables if value is held), otherwise)

    @cached_property
    def result(self) -> str:
        """The output's name."""
        return self.name_of(self.output, "the output")

    def written(self, name: str) -> str:
        """How a parameter is written: `model.h[0].weight`."""
        whole = self.name_of(self.model, "model")
        for part in name.split("."):
            whole += f"[{part}]" if part.isdigit() else f".{part}"
        return whole

    # The graph of the output, and one pass.

    @cached_property
    def captured(self) -> tuple[Graph, Walk, Sequence[Mapping[str, Any]]] | None:
        """Graph, walk and what was saved; None where autograd recorded nothing."""
        if self.output is None or not self.output.requires_grad:
            return None
        return capture([self.output], self.frame, params=self.model)

    def place(self, parameter: Tensor) -> int | None:
        """The node of the graph at which its gradient is added."""
        return self.captured[1].leaf_ids.get(id(parameter)) if self.captured else None

    @cached_property
    def attempt(self) -> Trace | Exception | None:
        """One real pass from the output, or the error that it ended in."""
        if self.captured is None or self.output is None:
            return None
        graph, walk, saved = self.captured
        start = torch.ones_like(self.output, requires_grad=False)
        try:
            return traced(graph, walk, saved, [self.output], [start], self.frame)
        except Exception as error:  # a backward or a hook of the reader's may raise anything
            return error

    @property
    def trace(self) -> Trace | None:
        """The pass, if it could run."""
        return self.attempt if isinstance(self.attempt, Trace) else None

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """What the pass brings each parameter, summarised."""
        flow = gradient_flow(self.trace) if self.trace is not None else None
        return {entry.name: entry for entry in flow.entries} if flow is not None else {}

    @cached_property
    def places(self) -> Places | None:
        """Where in the pass a gradient becomes 0 or NaN."""
        return Places(self.trace, self.step) if self.trace is not None else None

    def saved(self, node: int) -> Mapping[str, Any]:
        """What one operation of the graph saved."""
        assert self.captured is not None
        _, walk, saved = self.captured
        return saved[node] if saved else saved_by(walk.functions[node])

    def step(self, node: int) -> str:
        """A step of the pass, with its module where a recording knows it."""
        assert self.captured is not None
        graph = self.captured[0]
        return graph.nodes[node].name + (f" in {name}" if (name := self._owners(node)) else "")

    def _owners(self, node: int) -> str:
        if self._known is None:
            return ""
        group = self._known.groups[self._known.owner.get(node, 0)]
        while group.parent != group.id and group.name not in self.modules:
            group = self._known.groups[group.parent]
        return group.name if group.name in self.modules else ""

    @cached_property
    def _known(self) -> Any:
        assert self.captured is not None
        known, guessed = known_of(self.captured[0])
        return None if guessed else known

    # The recording

    @cached_property
    def history(self) -> History:
        """What was recorded until now."""
        return History()

    @cached_property
    def is_recorded(self) -> bool:
        """Whether the recording saw all calls that made the output."""
        log = self.history.log
        if self.output is None or log.find(self.output) is None or log.forgotten:
            return False
        if self.captured is None:
            return self.history.maker(self.output) is not None
        ages = self._ages
        made = np.array(
            [(event.first, event.end) for event in self.history.events if event.end > event.first]
        ).reshape(-1, 2)
        made = made[made[:, 0].argsort()]
        last = made[:, 0].searchsorted(ages, side="right") - 1
        return bool((last >= 0).all() and (ages < made[last, 1]).all())

    @cached_property
    def _ages(self) -> np.ndarray:
        """The ages of the graph's nodes.

        The call of a custom Function is not seen, and its node is left out; what it calls is seen.
        """
        assert self.captured is not None
        graph, walk, _ = self.captured
        ages = outline_of(graph).ages.copy()
        ages[[*walk.customs]] = -1
        return ages[ages >= 0]

    @cached_property
    def is_whole(self) -> bool:
        """Whether all that the output was computed from is known to be data.

        That is so if the whole model was called for it, or if it was made of nothing older than the
        recording but parameters and buffers.
        """
        calls = [each for each in self.history.log.modules if each.ref() is self.model]
        if self.captured is None and calls:
            return True
        for call in calls:
            if ((call.first <= self._ages) & (self._ages < call.end)).any():
                return True
        own = {*self.parameters.values(), *self.model.buffers()}
        known = {self.history.log.find(tensor) for tensor in own}
        taken = {seen.serial for event in self._before.events for seen in event.inputs}
        return not any(each not in known and self.history.maker(each) is None for each in taken)

    @cached_property
    def _called(self) -> set[int]:
        return {id(call.ref()) for call in self.history.log.modules}

    def was_called(self, name: str) -> bool:
        """Whether the module that owns a parameter was called in the recording."""
        return id(self.modules[name.rpartition(".")[0]]) in self._called

    # A recording may be long, and a model may have many parameters: each is asked about what
    # concerns it alone.

    def cuts(self, parameter: Tensor) -> list[Cut]:
        """Where all recorded ways from the output to a parameter end."""
        return self._before.cuts(parameter, self.output) if self.output is not None else []

    def written_by(self, parameter: Tensor) -> Event | None:
        """What wrote or cleared the `.grad` of a parameter last."""
        serial = self.history.log.find(parameter)
        return None if serial is None else self._writers.get(serial)

    @cached_property
    def _before(self) -> History:
        """What the output was made from, and what switched gradients off and on."""
        history = self.history
        assert self.output is not None
        serial = history.log.find(self.output)
        made_at = self._copied(serial, self.output)
        wanted = {each for each in (serial, made_at) if each is not None}
        wanted |= {*map(history.memory, wanted)}
        found = []
        for event in reversed(history.events):
            made = {seen.serial for seen in event.outputs}
            on_the_way = made & wanted or {*map(history.memory, made)} & wanted
            if on_the_way and event.function is not Optimizer.step:
                taken = {seen.serial for seen in event.inputs}
                copied = {self._copied(each, self._alive.get(each)) for each in taken}
                taken |= {each for each in copied if each is not None}
                wanted |= taken | {*map(history.memory, taken)}
                found.append(event)
            elif event.function is SWITCH:
                found.append(event)
        return _of(found[::-1])

    def _copied(self, serial: int | None, held: Tensor | None) -> int | None:
        """Of a leaf the tensor that was made on its memory, as in nn.Parameter(w * 3)."""
        if held is None or not (held.is_leaf and held.requires_grad) or is_lazy(held):
            return serial
        return self.history.log.made_at(held.data_ptr()) or serial

    @cached_property
    def _alive(self) -> Mapping[int, Tensor]:
        return self.history.log.alive()

    @cached_property
    def _writers(self) -> Mapping[int, Event]:
        log = self.history.log
        found: dict[int, Event] = {}
        for event in self.history.events:
            if isinstance(event.what, Pass):
                found.update((leaf.serial, event) for leaf in event.what.leaves)
            elif event.name == "set grad" and event.inputs:
                found[event.inputs[0].serial] = event
            else:
                owned = (log.owners.get(seen.serial) for seen in event.changed)
                found.update((owner, event) for owner in owned if owner is not None)
        return found

    def where(self, event: Event) -> str:
        """The statement that made a call, with the module whose forward it stands in."""
        if event.spot is None:
            return "code of PyTorch"
        return self.history.place(event, self.frame).quoted

    @cached_property
    def stepped(self) -> Mapping[int, str] | None:
        """The tensors that optimizers step, by `id()`; None where no optimizer is known.

        Those of the optimizer that was given, or of the recorded ones that have some of the model.
        """
        if self.optimizer is not None:
            groups = self.optimizer.param_groups
            return {id(each): "" for group in groups for each in group["params"]}
        alive = self._alive
        own = {id(parameter) for parameter in self.parameters.values()}
        found: dict[int, str] = {}
        for event in self.history.events:
            if event.function is Optimizer.step:
                taken = {id(alive[each.serial]) for each in event.inputs if each.serial in alive}
                if taken & own:
                    told = f"{event.what}.step() in {self.where(event)}"
                    found.update(dict.fromkeys(taken, told))
        return found or None

    @cached_property
    def broken(self) -> list[str]:
        """The parameters and buffers that hold NaN or inf themselves, with what they hold."""
        held = {**self.parameters, **dict(self.model.named_buffers())}
        kinds = {name: text.trouble(each) for name, each in held.items() if not is_lazy(each)}
        return [f"{text.clean(name)} itself holds {kind}" for name, kind in kinds.items() if kind]

    # What is no parameter

    @cached_property
    def buffers(self) -> tuple[str, ...]:
        """The names of the buffers that need no gradient."""
        return tuple(
            name for name, buffer in self.model.named_buffers() if not buffer.requires_grad
        )

    def others(self) -> Iterator[tuple[str, Tensor, str]]:
        """(name, tensor, where it stands) of tensors that need a gradient and are no parameters."""
        seen = {*self.names}
        for module_name, module in self.modules.items():
            prefix = f"{module_name}." if module_name else ""
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.requires_grad:
                    yield f"{prefix}{name}", buffer, "buffer"
            for name, value in vars(module).items():
                if name.startswith("_"):
                    continue
                for own, tensor, kind in _held(name, value):
                    if tensor.requires_grad and id(tensor) not in seen:
                        seen.add(id(tensor))
                        yield f"{prefix}{own}", tensor, kind

    def sources(self, tensor: Tensor) -> list[str]:
        """The parameters that a computed tensor was computed from."""
        if tensor.grad_fn is None:
            return []
        leaves = walk_from([tensor.grad_fn]).leaves.values()
        return [self.names[id(leaf)][0] for leaf in leaves if id(leaf) in self.names]


def _of(events: Iterable[Event]) -> History:
    """Some of what was recorded."""
    history = History()
    history.events = tuple(events)
    return history


def _held(name: str, value: object) -> Iterator[tuple[str, Tensor, str]]:
    """The tensors in an attribute of a module: itself, or in a container that no module sees."""
    if naming.is_tensor(value):
        yield name, value, "attribute"  # type: ignore[misc]
        return
    items: Any = ()
    if type(value) in (list, tuple):
        items = enumerate(value)  # type: ignore[arg-type]
    elif type(value) is dict:
        items = value.items()
    for key, each in items:
        if naming.is_tensor(each):
            yield f"{name}[{key!r}]", each, type(value).__name__
        elif isinstance(each, Module):
            for own, parameter in each.named_parameters():
                yield f"{name}[{key!r}].{own}", parameter, type(value).__name__


def has_shape(parameter: Tensor) -> bool:
    """Whether it has a shape: one of a lazy module has none before the first forward pass."""
    return not is_lazy(parameter)


def size_of(parameter: Tensor) -> tuple[int, ...]:
    """Its shape; () of one that has none yet."""
    return tuple(parameter.shape) if has_shape(parameter) else ()
