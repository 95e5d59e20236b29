"""What is certain about a tensor and an output: names, graph, one real pass, the source."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from autograd_viz import names as naming
from autograd_viz.backward import trace
from autograd_viz.capture import capture
from autograd_viz.errors import GraphFreedError, NotATensorError
from autograd_viz.model import Graph, Slot, Trace
from autograd_viz.nodes import SMALL_GRAPH
from autograd_viz.recorded.events import Event
from autograd_viz.recorded.flow import History
from autograd_viz.recorded.places import Place, arguments_at
from autograd_viz.saved import saved_by
from autograd_viz.text import has_numbers
from autograd_viz.walk import Walk

# `model.layers[-1].weight`, `P["b"]`: a place, which is no call and not computed.
_PLACE = re.compile(r"""[^\W\d]\w*(\.[^\W\d]\w*|\[(-?\w+|'[^'\\]*'|"[^"\\]*")\])*""")


@dataclass(frozen=True, eq=False)
class Facts:
    """A tensor, the output it is asked about, and the frame that asks."""

    tensor: Tensor
    output: Tensor | None
    frame: FrameType | None
    is_result: bool = False  # whether the tensor is what a pass was to begin from

    @cached_property
    def named(self) -> dict[str, Tensor]:
        """The caller's tensors by name."""
        return dict(reversed([*naming.collect(self.frame, None, None)]))

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """What stands in the brackets of the call."""
        return arguments_at(self.frame) if self.frame else ()

    def names_of(self, tensor: Tensor | None) -> list[str]:
        """All names that hold this very tensor, the one in the call first."""
        if tensor is None:
            return []
        names = [name for name, held in self.named.items() if held is tensor]
        place = 0 if tensor is self.tensor else 1
        written = self.written(place)
        return sorted(names, key=lambda name: name != written)

    def written(self, place: int) -> str | None:
        """An argument of the call as it is written."""
        return self.arguments[place] if place < len(self.arguments) else None

    def name(self, tensor: Tensor | None) -> str | None:
        """What the reader calls it: `z`, or `model.weight` as it stands in the call."""
        if tensor is None:
            return None
        names = self.names_of(tensor)
        if names:
            return names[0]
        written = self.written(0 if tensor is self.tensor else 1)
        short = written is not None and len(written) <= 40
        return written if short and _PLACE.fullmatch(written or "") else None

    def holds(self, tensor: Tensor) -> bool:
        """Whether a variable of the caller's leads to a tensor."""
        return any(each is tensor for each in naming.reachable_tensors(self.frame))

    @cached_property
    def grad(self) -> Tensor | None:
        """Its .grad; reading that of a non-leaf would warn."""
        if not (self.tensor.is_leaf or self.tensor.retains_grad):
            return None
        return self.tensor.grad

    # The graph of the output.

    @cached_property
    def captured(self) -> tuple[Graph, Walk, Sequence[Mapping[str, Any]]] | None:
        """Graph, walk and what was saved; None where autograd recorded nothing."""
        if self.output is None or not self.output.requires_grad:
            return None
        return capture([self.output], None, names=self.labels)

    @cached_property
    def labels(self) -> dict[str, Tensor]:
        """The caller's names, and what stands in the call, as `model.weight`."""
        own = self.name(self.tensor)
        return {**self.named, **({own: self.tensor} if own else {})}

    @cached_property
    def slot(self) -> Slot | None:
        """Where the tensor is in the output's graph."""
        if self.captured is None or not self.tensor.requires_grad:
            return None
        _, walk, _ = self.captured
        if self.tensor.is_leaf:
            for place, leaf in walk.leaves.items():
                if leaf is self.tensor:
                    return Slot(place, 0)
            return None
        function = self.tensor.grad_fn
        assert function is not None  # or it would be a leaf
        found = walk.index.get(function)
        return None if found is None else Slot(found, self.tensor.output_nr)

    def saved(self, node: int) -> Mapping[str, Any]:
        """What one operation of the graph saved."""
        if self.captured is None:
            return {}
        _, walk, saved = self.captured
        return saved[node] if saved else saved_by(walk.functions[node])

    @cached_property
    def attempt(self) -> Trace | Exception | None:
        """One real pass from the output, or the error that it ended in."""
        if self.captured is None or self.output is None:
            return None
        held = [each for each in naming.reachable_tensors(self.frame) if each.retains_grad]
        try:
            return _traced(self.output, self.labels, held)
        except Exception as error:  # a backward or a hook of the reader's may raise anything
            return error

    @property
    def trace(self) -> Trace | None:
        """The pass, if it could run."""
        return self.attempt if isinstance(self.attempt, Trace) else None

    @property
    def is_freed(self) -> bool:
        """Whether a backward pass has freed what the output's graph saved."""
        return isinstance(self.attempt, GraphFreedError)

    # The recording.

    @cached_property
    def history(self) -> History:
        """What was recorded until now."""
        return History()

    @cached_property
    def is_recorded(self) -> bool:
        """Whether the recording saw how the output was made."""
        return self.output is not None and self.history.maker(self.output) is not None

    def place(self, event: Event) -> Place:
        """Where a recorded call was made."""
        return self.history.place(event, self.frame)

    @cached_property
    def alias(self) -> str | None:
        """A constant that shares the tensor's memory, by name: .detach(), .data and NumPy do."""
        place = _storage(self.tensor)
        for name, other in self.named.items():
            taken = other is not self.tensor and not other.requires_grad and place is not None
            if taken and _storage(other) == place:
                return name
        return None

    @cached_property
    def saved_alias(self) -> int | None:
        """The node of the output's graph that saved the tensor's memory as a constant."""
        if self.captured is None:
            return None
        graph, walk, _ = self.captured
        place = _storage(self.tensor)
        if place is None or len(walk.functions) > SMALL_GRAPH:
            return None
        for node in range(len(graph.nodes)):
            for value in self.saved(node).values():
                if naming.is_tensor(value) and not value.requires_grad and _storage(value) == place:
                    return node
        return None


def checked(tensor: object, output: object) -> tuple[Tensor, Tensor | None]:
    """The two arguments, or an error that names the remedy."""
    for value, place in ((tensor, "first"), (output, "second")):
        if place == "second" and value is None:
            continue
        if not naming.is_tensor(value):
            kind = type(value).__name__
            remedy = "av.why(x, loss)"
            hint = (
                "a number knows nothing of where it came from; give the tensor, not its .item()"
                if isinstance(value, int | float)
                else "give the tensor whose .grad you ask about, and the output of the computation"
            )
            raise NotATensorError(
                f"the {place} argument of av.why() is of type {kind}, not a tensor; "
                f"{hint}: {remedy}"
            )
    return tensor, output  # type: ignore[return-value]


def _traced(_output: Tensor, _names: Mapping[str, Tensor], _held: Sequence[Tensor]) -> Trace:
    """One pass; `_held` keeps tensors with retain_grad() where `backward` looks for them.

    The names begin with an underscore, or they would be taken for the reader's.
    """
    _start = torch.ones_like(_output, requires_grad=False)
    return trace(_output, _start, names=_names)


def _storage(tensor: Tensor) -> tuple[int, int, str] | None:
    if tensor.is_nested or tensor.layout != torch.strided or not tensor.numel():
        return None
    if not has_numbers(tensor):  # all of them would stand at address 0
        return None
    return tensor.data_ptr(), tensor.numel(), str(tensor.device)


def same_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers in the same place."""
    place = _storage(one)
    return place is not None and place == _storage(other)
