"""A program run again with one of its values shifted by a step."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from autograd_viz.finite_differences.held_fixed import Held, held
from autograd_viz.kept_state import random_numbers_kept
from autograd_viz.model import Slot, Variable, Variables
from autograd_viz.programs import forward
from autograd_viz.programs.arguments import Function, checked_function
from autograd_viz.programs.forward import Program
from autograd_viz.programs.moments import COPIED
from autograd_viz.programs.runs import tell_shift
from autograd_viz.text import clean, has_numbers


class Shifted:
    """A function with its inputs, of which one value can be shifted.

    An input is shifted before the run. A variable that the function computes is shifted as soon as
    the call that computes it returns: its number is changed in place, unseen by autograd.
    """

    def __init__(self, f: Callable[..., Any], name: str, inputs: Mapping[str, Any]) -> None:
        self.name, self.element = _parsed(name)
        function = Function(checked_function(f, "av.nudge(f, 'a', 0.001, a=2.0)"))
        function.check(inputs, call="nudge", first=f"{name!r}, 0.001, ")
        self.watched = _Watched(f)
        self.program = self._run(lambda: forward.program(self.watched.function, **inputs))
        self.variables = self.program.variables()
        self.is_input = self.name in self.program.inputs
        self.place = self._place(f)
        self.call = None if self.is_input else self._call()
        self.held = self.watched.held
        _checked_element(self.name, self.element, self.value)
        if not has_numbers(self.value):
            raise ValueError(
                f"{self.name} has no numbers that could move (device {self.value.device}); give "
                f"it with numbers: {self.name}=torch.ones({list(self.value.shape)})"
            )

    @property
    def value(self) -> Tensor:
        """The tensor of which an element is shifted."""
        if self.is_input:
            value = self.program.given(self.name)
            assert isinstance(value, Tensor)  # _place has seen to it
            return value
        return self.watched.results[self.call or 0]

    def shifted(self, step: float) -> Program:
        """The program run with the value shifted."""
        if self.is_input:
            value = self.value.detach().clone()
            value[self.element] += step
            value.requires_grad_(self.value.requires_grad)
            return self._run(lambda: self.program.at(**{self.name: value}))
        assert self.call is not None
        self.watched.shift = (self.call, self.element, step)
        try:
            return self._run(self.program.at)
        finally:
            self.watched.shift = None

    def _run(self, call: Callable[[], Program]) -> Program:
        """Run, and put the random generator's state back: each run draws the same numbers."""
        with random_numbers_kept():
            return call()

    def _place(self, f: Callable[..., Any]) -> Slot | None:
        """Where the value is in the graph; None for an input that the output does not need."""
        if self.is_input:
            value = self.program.inputs[self.name]
            if not isinstance(value, Tensor) or not value.is_floating_point():
                kind = f"of dtype {value.dtype}" if isinstance(value, Tensor) else repr(value)
                raise TypeError(
                    f"{self.name} is {kind}, and only a floating-point number can move by a small "
                    f"step; give a float: {self.name}=2.0"
                )
        slots = _slots(self.variables)
        if self.name in slots:
            return slots[self.name]
        if self.is_input:
            return None
        raise self._unknown(f, slots)

    def _unknown(self, f: Callable[..., Any], slots: Mapping[str, Slot]) -> ValueError:
        if any(variable.name == self.name for variable in self.variables.nodes):
            why = f"{self.name!r} takes part as a constant, or the output does not need it"
            if self.name in _parameters(f):
                why += f"; give it as an input: {self.name}=..."
        else:
            why = f"there is no variable {self.name!r}"
        known = [name for name in self.program.inputs if name not in slots]
        names = ", ".join(map(clean, [*known, *slots])) or "none"
        return ValueError(f"{why}; what can be nudged: {names}")

    def _call(self) -> int:
        """The number of the call that computes the variable."""
        walk = self.program._walk
        assert self.place is not None
        assert walk is not None  # there is a place in it
        function = walk.functions[self.place.node]
        for number, (made, output_nr, is_view) in enumerate(self.watched.origins):
            if made is function and output_nr == self.place.output_nr:
                if is_view:
                    raise ValueError(
                        f"{self.name} shares its memory with another variable, so it cannot be "
                        "moved alone; nudge what it is made from"
                    )
                return number
        raise ValueError(
            f"{self.name} comes from several operations inside one call, so it cannot be moved "
            "alone; nudge an input"
        )


class _Watched:
    """Runs a function and sees the results of its calls of torch functions."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.shift: tuple[int, tuple[int, ...], float] | None = None
        self.held: tuple[Held, ...] = ()  # of the last run
        self.results: list[Tensor] = []
        self.origins: list[tuple[object, int, bool]] = []  # grad_fn, output_nr, whether a view

        def watched(*args: Any, **kwargs: Any) -> Any:
            mode = _Results()
            mode.shift = self.shift
            with mode:
                returned = f(*args, **kwargs)
            self.held = tuple(mode.held)
            if self.shift is None:
                self.results, self.origins = mode.results, mode.origins
            return returned

        # The program reads the source of what is wrapped.
        updated = () if isinstance(f, torch.nn.Module) else functools.WRAPPER_UPDATES
        self.function = functools.wraps(f, updated=updated)(watched)


class _Results(TorchFunctionMode):
    """Keeps the tensors that calls return, and shifts one of them."""

    shift: tuple[int, tuple[int, ...], float] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Tensor] = []
        self.origins: list[tuple[object, int, bool]] = []
        self.held: list[Held] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        if torch.compiler.is_compiling():  # it would compile what follows too, and cannot
            return returned
        with torch._C.DisableTorchFunction():  # what is asked here is no step of the program
            for result in returned if isinstance(returned, tuple | list) else (returned,):
                if isinstance(result, Tensor):
                    self._see(result)
            found = held(func, args, kwargs or {}, returned, sys._getframe(1))
            if found is not None:
                self.held.append(found)
        return returned

    def _see(self, result: Tensor) -> None:
        if self.shift is not None and self.shift[0] == len(self.results):
            _, element, step = self.shift
            result.data[element] += step
            tell_shift(result)
        few = result.numel() <= COPIED and not result.is_nested
        self.results.append(result.detach().clone() if few else result)
        self.origins.append((result.grad_fn, result.output_nr, result._is_view()))


def _slots(variables: Variables) -> dict[str, Slot]:
    """Where in the graph the named variables are."""
    slots: dict[str, Slot] = {}
    for variable in variables.nodes:
        if variable.node is not None:
            for output_nr, output in enumerate(variables.outputs(variable)):
                name = output.label or _only_name(variables, variable)
                if name:
                    slots[name] = Slot(variable.node, output_nr)
    return slots


def _only_name(variables: Variables, variable: Variable) -> str | None:
    return variable.name if len(variables.outputs(variable)) == 1 else None


def _parameters(f: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(f).parameters)
    except (TypeError, ValueError):  # of a C function
        return ()


def _parsed(name: object) -> tuple[str, tuple[int, ...]]:
    """A name and the element that is meant: `x[1]` is ("x", (1,))."""
    if not isinstance(name, str):
        raise TypeError(
            f"what is nudged is named by a string, not by a {type(name).__name__}: "
            "av.nudge(f, 'b', 0.001, b=3.0)"
        )
    found = re.fullmatch(r"\s*([^\[\]]+?)\s*(?:\[([-\d\s,]+)\])?\s*", name)
    if found is None:
        raise ValueError(f"{name!r} is no name; give one as in 'b', or an element: 'x[1]'")
    try:
        element = tuple(int(index) for index in (found[2] or "").split(",") if index.strip())
    except ValueError:
        raise ValueError(f"{name!r}: an element is named by whole numbers: 'x[1]'") from None
    return found[1], element


def _checked_element(name: str, element: tuple[int, ...], value: Tensor) -> None:
    size = tuple(value.shape)
    inside = len(element) == len(size) and all(
        -length <= index < length for index, length in zip(element, size, strict=True)
    )
    if not inside:
        given = f"there is no {name}[{', '.join(map(str, element))}]: " if element else ""
        example = f"{name}[{', '.join('0' * len(size))}]" if size else name
        what = f"has shape {list(size)}" if size else "is a single number"
        wanted = "give one of its elements" if size else "give it without an index"
        raise ValueError(f"{given}{name} {what}; {wanted}: av.nudge(f, {example!r}, 0.001)")
