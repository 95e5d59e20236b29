"""From what was given for each input of a function to its controls."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.names import is_tensor
from autograd_viz.programs.arguments import Function, checked_function
from autograd_viz.widgets.controls import Control, Value, position_of, value_at
from autograd_viz.widgets.ranges import around, step_between

MOST_ELEMENTS = 8  # of a vector, which gets one slider for each
_SPECS = "a number, (min, max), (min, max, step), True or False, a list of choices, a short vector"


def controls(f: Callable[..., Any], given: Mapping[str, object]) -> tuple[Control, ...]:
    """Return the controls for the inputs of a function, in the order in which they were given.

    Args:
        f: the function.
        given: for each input a number, (min, max), (min, max, step), a bool, a list of choices
            (numbers, texts, functions, or pairs of a text and anything), a vector of at most 8
            elements, or an ipywidgets widget with one value; what is `ipywidgets.fixed` has no
            control.

    Raises:
        TypeError: an input is unknown or missing, or what was given for it is none of these.
        ValueError: it cannot be like this: an empty range or list, too many elements.

    >>> def f(a, b=2.0):
    ...     return a * b
    >>> [(one.name, one.min, one.max, one.step) for one in controls(f, {"a": (0, 4), "b": 1.0})]
    [('a', 0.0, 4.0, 0.1), ('b', 0.1, 4.0, 0.1)]
    """
    function = Function(checked_function(f, "av.explore(f, a=2.0)"))
    function.check(given, call="explore")
    made: list[Control] = []
    for name, spec in given.items():
        if not _is_fixed(spec):
            made += _Parameter(function, name).controls(spec)
    return tuple(made)


def fixed(given: Mapping[str, object]) -> dict[str, Any]:
    """The inputs that stay as they are, since they were given as `ipywidgets.fixed`."""
    return {name: spec.value for name, spec in given.items() if _is_fixed(spec)}  # type: ignore[attr-defined]


def as_made(f: Callable[..., Any], given: Mapping[str, object], made: Sequence[Control]) -> str:
    """What became of the inputs, and what to type where something else was meant.

    >>> def f(x):
    ...     return x[0] * x[1]
    >>> print(as_made(f, {"x": [1.0, 2.0]}, controls(f, {"x": [1.0, 2.0]})))
    av.explore() made a menu of x=[1.0, 2.0], and f gets one of the choices (for a vector type
    av.explore(f, x=torch.tensor([1.0, 2.0]))).
    """
    first = {control.parameter: control for control in reversed(made)}
    function = Function(f)
    parameters = {name: _Parameter(function, name) for name in given if name in first}
    told = [_as_made(one, given[name], first[name]) for name, one in parameters.items()]
    return f"av.explore() made {'; '.join(told)}."


def _as_made(parameter: _Parameter, spec: object, control: Control) -> str:
    name, called = parameter.name, parameter.called
    shown = f"{name}={text.clean(repr(spec))}"
    if control.kind == "choice":
        said = f"a menu of {shown}, and {called} gets one of the choices"
        if isinstance(spec, list) and all(isinstance(one, numbers.Real) for one in spec):
            line = parameter.line(f"torch.tensor({[float(one) for one in spec]})")
            said += f" (for a vector type {line})"
    elif control.kind == "checkbox":
        said = f"a checkbox of {shown}, and {called} gets True or False"
    elif control.like is not None and control.like.ndim:
        said = f"a slider for each element of {name}, and {called} gets a tensor with all of them"
    elif control.whole:
        said = f"a slider of {shown}, and {called} gets a whole number"
    else:
        said = f"a slider of {shown}, and {called} gets a tensor with one number"
        if isinstance(spec, int):
            said += f" (for a whole number write {name}: int where {called} begins)"
    return said


def _is_fixed(spec: object) -> bool:
    return type(spec).__name__ == "fixed" and type(spec).__module__.startswith("ipywidgets")


class _Parameter:
    """A parameter of a function, and how its control is made."""

    def __init__(self, function: Function, name: str) -> None:
        self.function, self.name = function, name
        found = function.signature.parameters.get(name) if function.signature else None
        default = inspect.Parameter.empty if found is None else found.default
        self.default: Any = None if default is inspect.Parameter.empty else default
        annotation = None if found is None else found.annotation
        self.whole = annotation is int or annotation == "int"

    def controls(self, spec: Any) -> list[Control]:
        if isinstance(spec, bool):
            return [self._made("checkbox", spec)]
        if is_tensor(spec):
            return self._of_tensor(spec)
        if isinstance(spec, numbers.Real):
            return [self._around(spec)]
        if isinstance(spec, tuple):
            return [self._range(spec)]
        if isinstance(spec, list):
            return [self._choice(spec)]
        if isinstance(spec, dict):
            return [self._choice(list(spec.items()))]
        if hasattr(spec, "observe") and hasattr(spec, "value"):
            return [self._of_widget(spec)]
        if hasattr(spec, "__array__") and hasattr(spec, "dtype"):
            return self._of_array(spec)
        raise self._unknown(spec)

    def _made(self, kind: Any, value: Value, **fields: Any) -> Control:
        return Control(self.name, kind, value, parameter=self.name, **fields)

    def _unknown(self, spec: object) -> TypeError:
        kind = type(spec).__name__
        article = "an" if kind[0] in "aeiou" else "a"
        return TypeError(
            f"{self.name} was given as {article} {kind}; give {_SPECS}, "
            f"or an ipywidgets slider: {self.line('(0.5, 8.0)')}; "
            f"what is to stay as it is: {self.line('ipywidgets.fixed(...)')}"
        )

    @property
    def called(self) -> str:
        """The function's name, where it has one."""
        return self.function.name if self.function.name.isidentifier() else "f"

    def line(self, spec: str) -> str:
        """The line to type, to give this parameter something else."""
        return f"av.explore({self.called}, {self.name}={spec})"

    # Sliders

    def _number(self, value: object, what: str) -> float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(
                f"{what} of {self.name} is {value!r}, which is no number; give (min, max) or "
                f"(min, max, step): {self.line('(0.5, 8.0)')}, and choices in a list: "
                f"{self.line('[1.0, 2.0]')}"
            )
        if not math.isfinite(value):
            raise ValueError(
                f"{what} of {self.name} is {value!r}; give a finite number: {self.line('2.0')}"
            )
        number = float(value)
        if not self.whole:
            return number
        if number != int(number):
            raise ValueError(
                f"{self.name} is annotated int, but {what} of it is {value!r}; "
                f"give a whole number: {self.line(str(round(number)))}"
            )
        return int(number)

    def _around(self, spec: object) -> Control:
        value = self._number(spec, "the value")
        low, high, step = around(value, self.whole)
        return self._made("slider", value, min=low, max=high, step=step, whole=self.whole)

    def _range(self, spec: tuple[Any, ...]) -> Control:
        if len(spec) not in (2, 3):
            raise ValueError(
                f"{self.name} was given as a tuple of {len(spec)}; give (min, max) or "
                f"(min, max, step): {self.line('(0.5, 8.0)')}, and choices in a list: "
                f"{self.line('[1.0, 2.0]')}"
            )
        low, high = self._number(spec[0], "min"), self._number(spec[1], "max")
        if low >= high:
            ends = (min(low, high), max(low, high) + (low == high))
            raise ValueError(
                f"{self.name}={spec!r}: min is not below max; "
                f"give the smaller one first: {self.line(repr(ends))}"
            )
        start = self._default_within(low, high)
        step = step_between(low, high, self.whole, start)
        if len(spec) == 3:
            step = self._number(spec[2], "the step")
            if step <= 0 or step > high - low:
                wrong = "not above 0" if step <= 0 else "larger than the whole range"
                better = step_between(low, high, self.whole)
                raise ValueError(
                    f"{self.name}={spec!r}: the step is {wrong}; "
                    f"give one such as {better}: {self.line(f'({low}, {high}, {better})')}"
                )
        made = self._made("slider", low, min=low, max=high, step=step, whole=self.whole)
        if start is None:
            start = float(value_at(made, position_of(made, (low + high) / 2)))
        return replace(made, value=int(start) if self.whole else start)

    def _default_within(self, low: float, high: float) -> float | None:
        value = self.default
        if is_tensor(value) and value.ndim == 0:
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return None
        return float(value) if low <= float(value) <= high else None

    # Choices

    def _choice(self, spec: Sequence[Any], value: object = None) -> Control:
        if not spec:
            raise ValueError(
                f"{self.name} was given an empty list; give choices: {self.line('[1.0, 2.0]')}"
            )
        pairs = all(
            isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) for one in spec
        )
        options: list[Value] = [_label(*one) if pairs else _label(None, one) for one in spec]
        means = tuple(one[1] if pairs else one for one in spec)
        shown = [(isinstance(one, bool), one) for one in options]
        twice = next((one for place, one in enumerate(shown) if one in shown[:place]), None)
        if twice is not None:
            better = "[('one', ...), ('two', ...)]"
            raise ValueError(
                f"two of the choices for {self.name} are shown as {twice[1]!r}; "
                f"name them apart: {self.line(better)}"
            )
        wanted = self.default if value is None else value
        begins = next(
            (option for option, meant in zip(options, means, strict=True) if _is(meant, wanted)),
            options[0],
        )
        return self._made("choice", begins, options=tuple(options), means=means)

    # Vectors

    def _of_array(self, spec: Any) -> list[Control]:
        tensor = torch.as_tensor(spec)
        if tensor.dtype == torch.bool or tensor.is_complex():
            return self._of_tensor(tensor)
        default = torch.get_default_dtype()
        return self._of_tensor(tensor.detach().to(default, copy=True).requires_grad_(True))

    def _of_tensor(self, spec: Tensor) -> list[Control]:
        shape = list(spec.shape)
        if spec.ndim > 1 or spec.is_complex():
            kind = "complex" if spec.is_complex() else f"of shape {shape}"
            raise ValueError(
                f"{self.name} is a tensor {kind}; sliders are for real numbers and short "
                f"vectors: {self.line('torch.tensor([1.0, 2.0])')}; what is to stay as it is: "
                f"{self.line('ipywidgets.fixed(...)')}"
            )
        if not 0 < spec.numel() <= MOST_ELEMENTS:
            raise ValueError(
                f"{self.name} has {spec.numel():,} elements; a slider an element is for 1 to "
                f"{MOST_ELEMENTS}: {self.line('torch.tensor([1.0, 2.0])')}; what is to stay as "
                f"it is: {self.line('ipywidgets.fixed(...)')}"
            )
        if not text.has_numbers(spec):
            raise ValueError(
                f"{self.name} has no values that a slider could begin at (device {spec.device}); "
                f"give it with values: {self.line('torch.tensor([1.0, 2.0])')}"
            )
        like = torch.empty([0] * spec.ndim, dtype=spec.dtype, device=spec.device)
        if spec.is_floating_point():
            like.requires_grad_(spec.requires_grad)
        whole = not spec.is_floating_point() and spec.dtype != torch.bool
        values = spec.tolist() if spec.ndim else [spec.item()]
        made = []
        for place, value in enumerate(values):
            part = _Parameter(self.function, self.name)
            part.whole, part.default = whole, None
            (control,) = part.controls(_short(value))
            name = f"{self.name}[{place}]" if spec.ndim else self.name
            made.append(replace(control, name=name, like=like))
        return made

    # Widgets

    def _of_widget(self, spec: Any) -> Control:
        value = spec.value
        if hasattr(spec, "options") and not isinstance(value, tuple):
            options = spec.options
            pairs = list(options.items()) if isinstance(options, Mapping) else list(options)
            control = self._choice(pairs, value)
        elif isinstance(value, bool):
            control = self._made("checkbox", value)
        elif isinstance(value, numbers.Real):
            control = self._slider_of(spec)
        else:
            raise self._unknown(spec)
        return replace(control, linked=spec)

    def _slider_of(self, spec: Any) -> Control:
        value = self._number(spec.value, "the value")
        if not hasattr(spec, "min") or not hasattr(spec, "max"):
            return self._around(spec.value)
        low, high = float(spec.min), float(spec.max)
        if hasattr(spec, "base"):  # of a slider of exponents
            low, high = spec.base**low, spec.base**high
            step = step_between(low, high)
        else:
            step = getattr(spec, "step", None) or step_between(low, high, self.whole)
        low, high, step = (self._number(one, "a limit") for one in (low, high, step))
        return self._made("slider", value, min=low, max=high, step=step, whole=self.whole)


def _label(label: str | None, meant: Any) -> Value:
    """How an option is shown."""
    if label is not None:
        return text.legal(label)
    if isinstance(meant, str):
        return text.legal(meant)
    if isinstance(meant, bool):
        return meant
    if isinstance(meant, numbers.Real):
        return meant if isinstance(meant, int) else _finite(float(meant))
    name = getattr(meant, "__name__", None)
    return text.legal(name) if isinstance(name, str) else text.clean(repr(meant), 40)


def _finite(value: float) -> Value:
    return value if math.isfinite(value) else text.number(value)


def _is(meant: object, wanted: object) -> bool:
    plain = (bool, int, float, str)
    if isinstance(meant, plain) and isinstance(wanted, plain):
        return isinstance(meant, bool) == isinstance(wanted, bool) and meant == wanted
    return meant is wanted and wanted is not None


def _short(value: Any) -> Any:
    """A float32 as its shortest decimal: 0.1 instead of 0.10000000149."""
    return float(text.as_written(value)) if isinstance(value, float) else value
