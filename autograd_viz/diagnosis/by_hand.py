"""One gradient function called by hand, with other upstream gradients and other inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from autograd_viz.diagnosis.gradient_stops import operation
from autograd_viz.model import Edge, Graph, Slot, Trace
from autograd_viz.names import is_tensor
from autograd_viz.saved import HOOKED, Saved, saved_by
from autograd_viz.text import has_numbers
from autograd_viz.walk import Walk

MOST_NODES = 2_000  # of larger graphs what the operations saved is not read
MOST_NUMBERS = 2**22  # elements; operations on more are not computed again
MOST_AGAIN = 60  # values that are computed again; of a deeper way back they count as not known
NOISE = 64  # units in the last place, of the largest term, that a sum of terms may be wrong by
Index = tuple[int, ...]
Grads = tuple[Tensor | None, ...]
Rebuilt = Callable[[Sequence[Tensor | None]], Tensor]


@dataclass(frozen=True, eq=False)
class Pass:
    """A recorded pass with the functions that ran in it; each can be called once more."""

    trace: Trace
    walk: Walk

    @property
    def graph(self) -> Graph:
        """The graph that the pass went through."""
        return self.trace.graph

    def saved(self, node: int) -> Saved:
        """What an operation saved, as far as it can be read without running code."""
        return saved_by(self.walk.functions[node])

    def is_users(self, node: int) -> bool:
        """Whether it is the backward of a Function of the reader's own, not of PyTorch's."""
        kind = getattr(self.walk.functions[node], "_forward_cls", None)
        return kind is not None and kind.__module__.partition(".")[0] != "torch"

    def shape(self, slot: Slot) -> torch.Size:
        """The shape of a forward value, and so of its gradient."""
        return torch.Size(self.walk.functions[slot.node]._input_metadata[slot.output_nr].shape)

    def arrived(self, node: int) -> list[Tensor]:
        """What arrived at a step; zeros where PyTorch has no gradient."""
        grads = self.trace.steps[self.trace.step_of[node]].grad_outputs
        metas = self.walk.functions[node]._input_metadata
        return [
            torch.zeros(tuple(meta.shape), dtype=meta.dtype, device=meta.device)
            if grad is None
            else grad
            for grad, meta in zip(grads, metas, strict=True)
        ]

    def random(self, node: int, seed: int = 0) -> list[Tensor]:
        """An upstream gradient without a pattern; of the user's random numbers none is taken."""
        return [noise(grad, seed) for grad in self.arrived(node)]

    def sends(self, node: int, upstream: Sequence[Tensor], keep: bool = False) -> Grads | None:
        """What a node sends along each edge for an upstream gradient; None if it cannot be called.

        A custom Function may do anything when called, and so may hooks on what was saved.
        """
        if self.graph.nodes[node].name == "BackwardHookFunctionBackward":
            return tuple(upstream)  # which a module's hooks hang on; it does nothing itself
        if node in self.walk.customs or any(value is HOOKED for value in self.saved(node).values()):
            return None
        try:
            with torch.set_grad_enabled(keep):
                found = self.walk.functions[node](*upstream)  # type: ignore[operator]
        except Exception:  # freed, changed in place, or no derivative of a derivative
            return None
        sent = found if isinstance(found, tuple) else (found,)
        # Called by hand, what was broadcast is not summed up.
        return tuple(
            value
            if value is None or target is None or value.layout is not torch.strided
            else value.sum_to_size(self.shape(Slot(self.walk.index[target], nr)))
            for value, (target, nr) in zip(sent, self.walk.nexts[node], strict=False)
        )

    def reads(self, edge: Edge, part: Tensor) -> list[Tensor] | None:
        """Of which elements of a step's upstream gradient some elements of what it sends are made.

        `part` marks the latter. A step is linear in its upstream gradient, so its derivative by it
        tells; None where that cannot be computed.
        """
        upstream = [grad.clone().requires_grad_() for grad in self.random(edge.source)]
        sent = self.sends(edge.source, upstream, keep=True)
        value = None if sent is None else sent[edge.input_index]
        if value is None:
            return None
        if not value.requires_grad:
            return [torch.zeros_like(grad, dtype=torch.bool) for grad in upstream]
        weights = torch.where(part, noise(value, 1).abs() + 0.5, torch.zeros_like(value))
        try:
            found = torch.autograd.grad(value, upstream, weights, allow_unused=True)
        except Exception:  # as in `sends`
            return None
        return [
            torch.zeros_like(grad, dtype=torch.bool) if one is None else one != 0
            for grad, one in zip(upstream, found, strict=True)
        ]

    @cached_property
    def values(self) -> Mapping[Slot, Tensor]:
        """The forward values that are known: named, leaves, and whatever an operation saved."""
        known = {slot: leaf.detach() for slot, leaf in self._leaves()}
        known |= self.graph.values
        if len(self.walk.functions) <= MOST_NODES:
            for node in range(len(self.walk.functions)):
                for value in self.saved(node).values():
                    slot = self.slot_of(value)
                    if slot is not None:
                        known.setdefault(slot, cast("Tensor", value).detach())
        return known

    def value(self, slot: Slot) -> Tensor | None:
        """A forward value: as it is known, or else computed again from those that are."""
        if slot in self.values:
            return self.values[slot]
        if slot in self._again:
            return self._again[slot]
        self._again[slot] = None  # while it is looked for
        if len(self._again) <= MOST_AGAIN and slot.output_nr == 0:
            found = self.rebuilt(slot.node) if slot.node in self.trace.step_of else None
            made = None if found is None else vjp(*found, None)
            if made is not None and made[0].shape == self.shape(slot):
                self._again[slot] = made[0]
        return self._again[slot]

    @cached_property
    def _again(self) -> dict[Slot, Tensor | None]:
        return {}

    def _leaves(self) -> Iterator[tuple[Slot, Tensor]]:
        for place, leaf in self.walk.leaves.items():
            if Slot(place, 0) not in self.graph.changed and is_plain(leaf):
                yield Slot(place, 0), leaf

    def _ones(self, slot: Slot) -> Tensor:
        meta = self.walk.functions[slot.node]._input_metadata[slot.output_nr]
        return torch.ones(tuple(meta.shape), dtype=meta.dtype, device=meta.device)

    def slot_of(self, value: Any) -> Slot | None:
        """Which value of the graph a saved tensor is; a saved result knows its function."""
        if not is_tensor(value) or not value.requires_grad or not is_plain(value):
            return None
        if value.grad_fn is None:
            place = self.walk.leaf_ids.get(id(value))
            return None if place is None else Slot(place, 0)
        place = self.walk.index.get(value.grad_fn)
        return None if place is None else Slot(place, value.output_nr)

    def inputs(self, node: int) -> list[Slot | None]:
        """The values that an operation was given, of those that need a gradient."""
        return [
            None if target is None else Slot(self.walk.index[target], nr)
            for target, nr in self.walk.nexts[node]
        ]

    def rebuilt(
        self, node: int, filled: bool = False
    ) -> tuple[Rebuilt, list[Tensor | None]] | None:
        """The operation itself, found by its name and by what it saved, and the inputs it had.

        It is taken only where its own derivative is what the node sends, for any upstream gradient.
        With `filled`, any numbers stand for an input that is not known; they have no share in this.
        """
        slots, saved = self.inputs(node), self.saved(node)
        given = [None if slot is None else self.value(slot) for slot in slots]
        if filled:
            given = [
                self._ones(slot) if one is None and slot is not None else one
                for one, slot in zip(given, slots, strict=True)
            ]
        upstream = self.random(node)
        sent = self.sends(node, upstream)
        if sent is None or len(upstream) != 1:
            return None
        if any(value is not None and value.numel() > MOST_NUMBERS for value in given):
            return None
        for call, inputs in _candidates(operation(self.graph.nodes[node].name), saved, given):
            if all(
                (value is not None) or (slot is None)
                for value, slot in zip(inputs, slots, strict=True)
            ) and _same(call, inputs, upstream[0], sent):
                return call, inputs
        return None


def _same(call: Rebuilt, inputs: Sequence[Tensor | None], upstream: Tensor, sent: Grads) -> bool:
    found = vjp(call, inputs, upstream)
    if found is None:
        return False
    return all(
        other is None
        or (
            one is not None
            and (one.shape, one.dtype) == (other.shape, other.dtype)
            and is_plain(one)
            and is_plain(other)
            and torch.allclose(one, other, rtol=1e-4, atol=1e-30, equal_nan=True)
        )
        for one, other in zip(found[1], sent, strict=False)
    )


def vjp(
    call: Rebuilt, inputs: Sequence[Tensor | None], upstream: Tensor | None
) -> tuple[Tensor, Grads] | None:
    """What an operation gives at some inputs, and what it sends back; ones arrive if nothing else.

    None where it does not go.
    """
    try:
        with torch.enable_grad():
            given = [
                value
                if value is None or not value.is_floating_point()
                else value.detach().clone().requires_grad_()
                for value in inputs
            ]
            result = call(given)
            if not result.requires_grad:
                return result.detach(), (None,) * len(inputs)
            wanted = [value for value in given if value is not None and value.requires_grad]
            start = torch.ones_like(result) if upstream is None else upstream
            grads = iter(torch.autograd.grad(result, wanted, start, allow_unused=True))
    except Exception:  # what is tried need not fit: a shape, a dtype, an option
        return None
    sent = tuple(
        next(grads) if value is not None and value.requires_grad else None for value in given
    )
    return result.detach(), sent


def _candidates(
    name: str, saved: Saved, given: list[Tensor | None]
) -> Iterator[tuple[Rebuilt, list[Tensor | None]]]:
    """The functions of PyTorch that a gradient function may belong to, and the inputs to them."""
    names = dict.fromkeys((name, f"_{name}", name.replace("_", ""), f"special_{name}"))
    for each in names:
        packet = getattr(torch.ops.aten, each, None)
        for overload in packet.overloads() if packet is not None else ():
            found = _bound(getattr(packet, overload), saved, given)
            if found is not None:
                yield found


def _bound(
    function: Any, saved: Saved, given: list[Tensor | None]
) -> tuple[Rebuilt, list[Tensor | None]] | None:
    """A function with its options as they were saved, and the tensors that it is to be given."""
    arguments = function._schema.arguments
    if function._schema.is_mutable or torch.Tag.nondeterministic_seeded in function.tags:
        return None
    values: dict[str, Any] = {}
    tensors = [each.name for each in arguments if str(each.type) in ("Tensor", "Optional[Tensor]")]
    whole = [name for name in tensors if is_tensor(saved.get(name)) and not _is_real(saved[name])]
    # A condition, a mask, indices; but the 0 of `x * 0` is a whole number too.
    fixed = whole if len(tensors) != len(given) else []
    places = [name for name in tensors if name not in fixed]
    listed = [each.name for each in arguments if str(each.type) == "List[Tensor]"]
    for each in arguments:
        held = saved.get(each.name)
        if each.name in listed:
            continue
        if each.name in fixed:
            values[each.name] = held
        elif each.name in places:
            continue
        elif held is not None:
            values[each.name] = _whole(held)
        elif each.has_default_value():
            values[each.name] = each.default_value
        elif each.name == "half_to_float":  # of a softmax
            values[each.name] = False
        else:
            return None
    if len(listed) == 1 and not places:

        def of_list(inputs: Sequence[Tensor | None]) -> Tensor:
            return cast("Tensor", function(**values, **{listed[0]: list(inputs)}))

        return of_list, given
    if listed or len(places) != len(given):
        return None
    inputs = [
        value if value is not None or not is_tensor(saved.get(name)) else saved[name].detach()
        for name, value in zip(places, given, strict=True)
    ]

    def call(inputs: Sequence[Tensor | None]) -> Tensor:
        found = function(**values, **dict(zip(places, inputs, strict=True)))
        return cast("Tensor", found[0] if isinstance(found, tuple) else found)

    return call, inputs


def _is_real(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _whole(value: Any) -> Any:
    """A saved option; PyTorch gives a dimension of -1 as the largest number there is."""
    if isinstance(value, tuple):
        return [_whole(one) for one in value]
    return value - 2**64 if isinstance(value, int) and value >= 2**63 else value


def noise(like: Tensor, seed: int) -> Tensor:
    """Numbers without a pattern, in the shape and type of a tensor; never 0."""
    generator = torch.Generator().manual_seed(seed)
    few = torch.randn(min(like.numel(), 9_973), generator=generator, dtype=torch.float64)
    few += few.sign() * 0.1
    if like.numel() == len(few):
        return few.to(like.device, like.dtype).reshape(like.shape)
    many = few.to(like.device, like.dtype).repeat(like.numel() // len(few) + 1)  # that is prime
    return many[: like.numel()].reshape(like.shape)


def is_plain(tensor: Tensor) -> bool:
    """Whether its numbers can be read and compared one by one."""
    return (
        not tensor.is_nested
        and tensor.layout is torch.strided
        and tensor.is_floating_point()
        and has_numbers(tensor)
    )


def first(part: Tensor) -> Index:
    """The first element that a mask marks; () where there is none, or one without an index."""
    if not part.numel():
        return ()
    place = part.flatten().to(torch.uint8).argmax()
    return tuple(int(one) for one in torch.unravel_index(place, part.shape))


def at(tensor: Tensor, index: Index) -> float:
    """One element as a number."""
    return float(tensor[index].item())
