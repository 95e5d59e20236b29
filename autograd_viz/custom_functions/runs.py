"""Runs of a Function on copies of its inputs: forward at any point, backward from any gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from autograd_viz.custom_functions.watched import Watched
from autograd_viz.kept_state import KeptState, random_numbers_kept
from autograd_viz.names import is_tensor
from autograd_viz.text import has_numbers

_WIDE = {torch.complex32: torch.complex128, torch.complex64: torch.complex128}
_LINE = "av.check_function(MyFunction, torch.tensor([0.5, -2.0]))"


@dataclass(frozen=True)
class Place:
    """An element of an input or an output; of complex numbers the real and the imaginary part."""

    part: int  # position of the tensor
    index: tuple[int, ...]  # in the tensor as real numbers


@dataclass(frozen=True, eq=False)
class Pass:
    """A backward pass: the gradients of the inputs, or the error in which it ended."""

    gradients: tuple[Tensor | None, ...] = ()
    error: Exception | None = None


class Run:
    """One forward at the given inputs, with a graph, and what is known of it.

    Attributes:
        given: the arguments, each tensor a copy in the data type in which all is computed.
        moved: the positions of the arguments that get a gradient.
        precise: False where the data type of the inputs was taken, since float64 did not go.
        context: what forward left in its ctx.
        outputs: the tensors of real or complex numbers that came out, by their names.
        eps: how finely the coarsest of these numbers are rounded.
    """

    def __init__(self, watched: Watched, inputs: Sequence[Any]) -> None:
        self.watched = watched
        self.names = watched.input_names(len(inputs))
        self.moved = _moved(self.names, inputs)
        self.kinds = tuple(dict.fromkeys(_kind(inputs[place]) for place in self.moved))
        self.given, self.precise = _widened(inputs), True
        try:
            self._record()
            self.precise = self.eps < 1e-12
        except (
            Exception
        ):  # a kernel for float32 alone, weights in float32: whatever it does not take
            self.precise = False
        if not self.precise:
            self.given = tuple(_copy(value) for value in inputs)
            self._record()

    def _record(self) -> None:
        self.leaves, self.arguments, returned = self.forward(self.given)
        self.context = self.watched.context
        every, numbers = _several(returned), _numbers(returned)
        self.outputs = [each for each in numbers if each.requires_grad]
        self.constant = [each for each in numbers if not each.requires_grad]
        if not numbers:
            kind = type(returned).__name__
            raise TypeError(
                f"{self.watched.name} returned no tensor of real or complex numbers, but an object "
                f"of type {kind}; check a function that returns the tensor itself: "
                "av.check_function(lambda x: f(x)[0], x)"
            )
        taken = {"out", *self.names}
        name = "out" if "out" not in self.names else "output"
        while any(f"{name}{end}" in taken for end in range(len(self.outputs))):
            name += "_"
        self.output_names = tuple(
            name if len(numbers) == 1 else f"{name}{_position(every, each)}"
            for each in self.outputs
        )
        dtypes = [self.given[place].dtype for place in self.moved]
        dtypes += [each.dtype for each in self.outputs]
        self.eps = max(torch.finfo(dtype).eps for dtype in dtypes)

    def forward(self, values: Sequence[Any]) -> tuple[list[Tensor], list[Any], Any]:
        """The leaves, the arguments made from them, and what the function returned for them.

        No argument is a leaf, so that a Function may change it in place.
        """
        leaves = [values[place].detach().clone().requires_grad_() for place in self.moved]
        arguments = [_copy(value) for value in values]
        with random_numbers_kept(), torch.enable_grad():
            for place, leaf in zip(self.moved, leaves, strict=True):
                arguments[place] = leaf.clone()
            return leaves, arguments, self.watched.call(*arguments)

    def again(self, values: Sequence[Any]) -> tuple[list[Tensor], list[Tensor]]:
        """The leaves, and the outputs at other values of the inputs, in the order of `outputs`."""
        leaves, _, returned = self.forward(values)
        return leaves, [each for each in _numbers(returned) if each.requires_grad]

    def at(self, values: Sequence[Any]) -> Tensor:
        """All numbers of all outputs in a row, in float64; NaN where the function raises."""
        here = _row(self.outputs)
        try:
            found = _row(self.again(values)[1])
        except Exception:  # as a forward that refuses numbers below 0
            return torch.full_like(here, torch.nan)
        return found if found.shape == here.shape else torch.full_like(here, torch.nan)

    def back(self, starts: Sequence[Tensor | None]) -> Pass:
        """The backward pass from gradients of the outputs; None for one that is not used."""
        used = [place for place, start in enumerate(starts) if start is not None]
        try:
            with random_numbers_kept():
                found = torch.autograd.grad(
                    [self.outputs[place] for place in used],
                    self.leaves,
                    [starts[place] for place in used],
                    retain_graph=True,
                    allow_unused=True,
                )
        except Exception as error:
            return Pass(error=error)
        return Pass(tuple(found))

    def moved_value(self, place: Place) -> float:
        """The number that stands at a place of an input."""
        value = reals(self.given[self.moved[place.part]])[place.index].item()
        assert isinstance(value, float)
        return value

    def shifted(self, place: Place, step: float) -> tuple[list[Any], float]:
        """The values with one number moved, and where it is then."""
        values = list(self.given)
        values[self.moved[place.part]] = moved = values[self.moved[place.part]].clone()
        reals(moved)[place.index] += step
        return values, reals(moved)[place.index].item()

    def input_name(self, place: Place) -> str:
        """As in `x[2]`, or `Re x[2]`."""
        position = self.moved[place.part]
        return element_name(self.names[position], place.index, self.given[position])

    def output_name(self, place: Place) -> str:
        """As in `out[0]`."""
        return element_name(self.output_names[place.part], place.index, self.outputs[place.part])


def reals(tensor: Tensor) -> Tensor:
    """A tensor as real numbers, on the same memory."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def places(tensors: Sequence[Tensor], part: int, positions: Sequence[int]) -> list[Place]:
    """Elements of a tensor by their position in a row of all its real numbers."""
    found = []
    for position in positions:
        index: list[int] = []
        for length in reversed(reals(tensors[part]).shape):
            position, at = divmod(position, length)
            index.insert(0, at)
        found.append(Place(part, tuple(index)))
    return found


def element_name(name: str, index: tuple[int, ...], tensor: Tensor) -> str:
    """The name of an element, as in `x[0, 1]`; a single number has the tensor's own.

    >>> element_name("x", (0, 1), torch.zeros(2, 2)), element_name("x", (), torch.tensor(1.0))
    ('x[0, 1]', 'x')
    >>> element_name("z", (3, 1), torch.zeros(4, dtype=torch.complex64))
    'Im z[3]'
    """
    begin = ""
    if tensor.is_complex():
        *rest, part = index
        begin, index = ("Re ", "Im ")[part], tuple(rest)
    return begin + (f"{name}[{', '.join(map(str, index))}]" if index else name)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Random numbers, and what modules keep for themselves, are afterwards as they were."""
    states: list[KeptState] = []

    def enters(module: torch.nn.Module, arguments: Any) -> None:
        state = KeptState()
        state.take(vars(module)["_buffers"])
        states.append(state)

    hook = register_module_forward_pre_hook(enters)
    try:
        with random_numbers_kept():
            yield
    finally:
        hook.remove()
        for state in reversed(states):
            state.put_back()


def _row(outputs: Sequence[Tensor]) -> Tensor:
    return torch.cat([reals(each.detach()).cpu().double().reshape(-1) for each in outputs])


def _several(returned: Any) -> Sequence[Any]:
    return returned if isinstance(returned, tuple | list) else (returned,)


def _numbers(returned: Any) -> list[Tensor]:
    """The tensors of real or complex numbers that came out, but for empty ones."""
    return [
        each for each in _several(returned) if is_tensor(each) and _is_number(each) and each.numel()
    ]


def _position(every: Sequence[Any], wanted: Tensor) -> int:
    return next(place for place, each in enumerate(every) if each is wanted)


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_number(value: Any) -> bool:
    return bool(value.is_floating_point() or value.is_complex())


def _copy(value: Any) -> Any:
    return value.detach().clone().resolve_conj().resolve_neg() if is_tensor(value) else value


def _widened(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Copies, of real numbers in float64."""
    return tuple(
        _copy(value).to(
            _WIDE.get(value.dtype, value.dtype) if value.is_complex() else torch.float64
        )
        if is_tensor(value) and _is_number(value) and value.device.type != "mps"
        else _copy(value)
        for value in inputs
    )


def _moved(names: Sequence[str], inputs: Sequence[Any]) -> tuple[int, ...]:
    """The inputs that are moved: those that require a gradient, or else all of real numbers."""
    numbers = []
    for place, (name, value) in enumerate(zip(names, inputs, strict=True)):
        if not is_tensor(value) or not _is_number(value) or not value.numel():
            continue
        if value.layout is not torch.strided or value.is_nested or not has_numbers(value):
            raise TypeError(
                f"{name} is no ordinary tensor whose numbers can move one by one (layout "
                f"{value.layout}, device {value.device}); give a dense one with numbers: {_LINE}"
            )
        numbers.append(place)
    if not numbers:
        raise TypeError(
            "none of the inputs is a tensor of real or complex numbers, so there is nothing to "
            f"move; give at least one: {_LINE}"
        )
    return tuple(place for place in numbers if inputs[place].requires_grad) or tuple(numbers)
