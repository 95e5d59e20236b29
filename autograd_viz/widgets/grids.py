"""The value of a program's output along one of its inputs or over two, from real runs."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.kept_state import random_numbers_kept
from autograd_viz.names import is_tensor
from autograd_viz.programs.forward import Program

CELLS = {1: 80, 2: 32}  # of the finest grid, along each axis, by the number of axes
STRIDES = (4, 2, 1)  # every fourth point is computed first, then every second, then all
MOST_GRIDS = 32  # that are kept, one for each combination of the other inputs
SMALL = 64  # elements of a tensor that is compared by its numbers

Position = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """An input, or an element of one, with the interval in which it moves."""

    name: str
    element: tuple[int, ...]
    low: float
    high: float

    @property
    def text(self) -> str:
        """As it is written: `a` or `x[0]`."""
        return _written(self.name, self.element)

    def of(self, program: Program) -> float:
        """The program's own value of it."""
        return float(program.inputs[self.name][self.element].item())

    def around(self, program: Program) -> Axis:
        """The axis, made longer where the program's value lies outside of it."""
        at = self.of(program)
        if not math.isfinite(at) or self.low <= at <= self.high:
            return self
        return Axis(self.name, self.element, min(self.low, at), max(self.high, at))


def axis_of(program: Program, given: object, low: float | None, high: float | None) -> Axis:
    """The axis that a name stands for: `a`, or an element, `x[0]`.

    Args:
        program: the program that the input belongs to.
        given: the name.
        low: where it begins; without it, as far below the present value as this is from 0, at
            least by 2.
        high: where it ends; without it, as far above.

    Raises:
        TypeError: the name is no string, or the input no floating-point number.
        ValueError: there is no such input or element, or the interval is empty.
    """
    if not isinstance(given, str):
        raise TypeError(
            f"an input is named by a string, not by a {type(given).__name__}: w.tangent_plot('a')"
        )
    known = tuple(_elements(program))
    found = re.fullmatch(r"\s*([^\[\]\s]+)\s*(?:\[\s*(\d+(?:\s*,\s*\d+)*)\s*\])?\s*", given)
    name = found[1] if found else given
    element = tuple(map(int, (found[2] or "").split(","))) if found and found[2] else ()
    if (name, element) not in known:
        names = text.joined([_written(*each) for each in known]) or "none"
        example = _written(*known[0]) if known else "a"
        what = f"there is no input {given!r}"
        if name in program.inputs:
            value = program.inputs[name]
            what = f"{name} is {text.clean(repr(value))}, which is no floating-point number"
            if is_tensor(value):
                what = f"{given!r} is not one number: {name} has shape {list(value.shape)}"
        error = TypeError if name in program.inputs else ValueError
        raise error(
            f"{what}; inputs to plot along: {names}; for example w.tangent_plot('{example}')"
        )
    if low is None or high is None:
        at = Axis(name, element, 0.0, 0.0).of(program)
        at = at if math.isfinite(at) else 0.0
        low, high = at - max(2.0, abs(at)), at + max(2.0, abs(at))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"the interval of {given} is from {text.as_written(low)} to {text.as_written(high)}; "
            f"give two numbers, the smaller one first: interval=(0.5, 8.0)"
        )
    return Axis(name, element, float(low), float(high))


def _written(name: str, element: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, element))}]" if element else name


def _elements(program: Program) -> Iterator[tuple[str, tuple[int, ...]]]:
    """All single floating-point numbers among the inputs."""
    for name, value in program.inputs.items():
        if is_tensor(value) and value.is_floating_point():
            for element in itertools.product(*map(range, value.shape)):
                yield name, element


def others(program: Program, axes: tuple[Axis, ...]) -> str:
    """The inputs that stay as they are: `b = 4, x[1] = 2`."""
    said = []
    plotted = {(axis.name, axis.element) for axis in axes}
    for name, value in program.inputs.items():
        if not any(name == axis.name for axis in axes):
            said.append(f"{text.clean(name)} = {_told(value)}")
        elif value.ndim and value.numel() <= text.FEW:
            said += [
                f"{_written(name, element)} = {text.number(value[element].item())}"
                for element in itertools.product(*map(range, value.shape))
                if (name, element) not in plotted
            ]
    return text.joined(said)


def _told(value: Any) -> str:
    if is_tensor(value):
        return text.summary(value)[0]
    name = getattr(value, "__name__", None)
    return text.clean(name if isinstance(name, str) else repr(value))


class Grid:
    """Values of a program's first output at evenly spaced points, all other inputs as they are.

    Attributes:
        axes: one or two.
        cells: how many there are along each axis.
        values: position -> value; nothing where no run was yet, NaN where a run failed.
        failed: what was raised -> how often.
    """

    def __init__(self, program: Program, axes: tuple[Axis, ...]) -> None:
        self.program, self.axes, self.cells = program, axes, CELLS[len(axes)]
        self.values: dict[Position, float] = {}
        self.failed: Counter[str] = Counter()
        self._todo = _by_stride(self.cells, len(axes))
        self._next = next(self._todo)
        self.stride = 0  # of the finest grid that is complete; 0: none is
        self._random = torch.get_rng_state()

    @property
    def complete(self) -> bool:
        """Whether each value is there."""
        return self.stride == 1

    def place(self, number: int, axis: int) -> float:
        """Where a point lies along an axis."""
        low, high = self.axes[axis].low, self.axes[axis].high
        return low + (high - low) * number / self.cells

    def numbers(self) -> range:
        """The points along each axis of the finest grid that is complete."""
        return range(0, self.cells + 1, self.stride)

    def work(self, seconds: float | None) -> bool:
        """Run the program at more points for so long (None: until all is done).

        Whether a finer grid has become complete. Each run draws the same random numbers, and the
        generator's state is put back; what the function prints or warns of is not repeated.
        """
        before, end = self.stride, None if seconds is None else time.perf_counter() + seconds
        with random_numbers_kept(), _quiet():
            while not self.complete:
                self._run()
                if end is not None and time.perf_counter() > end:
                    break
        return self.stride != before

    def _run(self) -> None:
        stride, position = self._next
        places = {axis: self.place(position[k], k) for k, axis in enumerate(self.axes)}
        torch.set_rng_state(self._random)
        try:
            self.values[position] = value_at(self.program, places)
        except Exception as error:  # the function's own, in its domain of definition
            self.values[position] = math.nan
            self.failed[text.clean(f"{type(error).__name__}: {error}", 80)] += 1
        self._next = next(self._todo, (0, ()))
        if self._next[0] != stride:
            self.stride = stride


class _OfOthers(io.TextIOBase):
    """Lets through what other threads print."""

    def __init__(self, through: Any) -> None:
        self._through, self._mine = through, threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._mine:
            self._through.write(text)
        return len(text)

    def flush(self) -> None:
        self._through.flush()


_alone = threading.Lock()  # what is printed and warned of is the whole process's


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Shows neither warnings nor what this thread prints."""
    with _alone, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(_OfOthers(sys.stdout)):
            yield


def _by_stride(cells: int, axes: int) -> Iterator[tuple[int, Position]]:
    """All points, those of the coarsest grid first."""
    for stride in STRIDES:
        for position in itertools.product(range(0, cells + 1, stride), repeat=axes):
            if stride == STRIDES[0] or any(number % (2 * stride) for number in position):
                yield stride, position


def value_at(program: Program, places: Mapping[Axis, float]) -> float:
    """The first output with some inputs moved: one run of the function, which is not recorded."""
    function = program._function
    arguments = dict(program._given)
    for axis, place in places.items():
        moved = arguments[axis.name]
        if moved is program._given[axis.name]:
            tensor = program.inputs[axis.name]
            moved = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        moved.data[axis.element] = place
        arguments[axis.name] = moved
    inputs = {name: function.argument(name, value) for name, value in arguments.items()}
    return one_number(function.outputs(function.bound(inputs)())[0])


def one_number(output: Tensor) -> float:
    """The output's value, if it is one real number."""
    if output.numel() != 1 or output.is_complex():
        what = "complex" if output.is_complex() else f"of shape {list(output.shape)}"
        raise ValueError(
            f"the function's output is {what}, and a plot needs one real number; let it return a "
            "sum: return y.sum()"
        )
    return float(output.item())


class Grids:
    """The grids of one plot, kept for each combination of the inputs that it does not move."""

    def __init__(self, axes: tuple[Axis, ...]) -> None:
        self.axes = axes
        self._kept: dict[object, Grid] = {}

    def of(self, program: Program) -> Grid:
        """The grid for the program's other inputs, with its present values inside."""
        axes = tuple(axis.around(program) for axis in self.axes)
        key = axes, tuple((name, self._key(program, name)) for name in program._given)
        grid = self._kept.pop(key, None) or Grid(program, axes)
        self._kept[key] = grid  # the last one used stands last
        if len(self._kept) > MOST_GRIDS:
            self._kept.pop(next(iter(self._kept)))
        return grid

    def _key(self, program: Program, name: str) -> object:
        moved = [axis.element for axis in self.axes if axis.name == name]
        if not moved:
            return _key(program._given[name])
        rest = program.inputs[name].detach().clone()
        for element in moved:
            rest[element] = 0
        return _key(rest)


def _key(value: Any) -> object:
    """What tells two inputs apart; the grid keeps the program, so that an id stays its own."""
    if is_tensor(value):
        if value.numel() > SMALL or value.is_meta:
            return id(value), value._version
        return str(value.dtype), tuple(value.shape), repr(value.detach().tolist())
    if isinstance(value, bool | int | float | str | None):
        return type(value).__name__, repr(value)
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(_key, value))
    return id(value)
