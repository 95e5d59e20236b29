"""The controls of a widget's inputs: their values, the grid that these lie on, and its ticks.

A tick names a point of the grid, one part a control; explorer.js computes the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import torch
from torch import Tensor

Value = float | bool | str  # what goes to the page; of a choice the option as it is shown
Json = dict[str, Any]
EXACT = 2**53  # up to which JavaScript has all whole numbers
MOST_SHOWN = 60  # characters of a value that cannot be


@dataclass(frozen=True, eq=False)
class Control:
    """A slider, a list of choices or a checkbox; a vector has one for each element."""

    name: str  # "a", or "x[0]"
    kind: Literal["slider", "choice", "checkbox"]
    value: Value  # where it begins
    min: float = 0.0
    max: float = 1.0
    step: float = 1.0
    options: tuple[Value, ...] = ()
    means: tuple[Any, ...] = ()  # what each option stands for
    parameter: str = ""  # of the function; "x" of "x[0]"
    whole: bool = False  # the function gets an int
    like: Tensor | None = field(default=None, repr=False)  # a tensor is made as this one is
    linked: Any = field(default=None, repr=False)  # the ipywidgets widget with the same value

    @property
    def json(self) -> Json:
        """What explorer.js calls a Control."""
        made: Json = {"name": self.name, "kind": self.kind, "value": self.value}
        if self.kind == "slider":
            made |= {"min": self.min, "max": self.max, "step": self.step, "most": self.most}
            made["whole"] = self.whole
        elif self.kind == "choice":
            made["options"] = list(self.options)
        return made

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor, or of the number, that a slider is."""
        if self.like is not None:
            return self.like.dtype
        return torch.int64 if self.whole else torch.get_default_dtype()

    @property
    def most(self) -> float:
        """The largest number that a slider may be set to; in float32 a larger one is infinite."""
        if self.dtype.is_floating_point:
            return torch.finfo(self.dtype).max
        return min(torch.iinfo(self.dtype).max, EXACT) if self.dtype != torch.bool else 1


# Ticks


def count_of(control: Control) -> int:
    """How many positions a slider has, or options a choice."""
    if control.kind == "checkbox":
        return 2
    if control.kind == "choice":
        return len(control.options)
    return math.floor((control.max - control.min) / control.step + 1e-9) + 1


def value_at(control: Control, position: int) -> Value:
    """The value at a position."""
    if control.kind == "checkbox":
        return position == 1
    if control.kind == "choice":
        return control.options[position]
    value = float(f"{control.min + position * control.step:.12g}")
    return int(value) if control.whole else value


def position_of(control: Control, value: Value) -> int:
    """The position nearest to a value; of one halfway between two the upper."""
    if control.kind == "checkbox":
        return int(bool(value))
    if control.kind == "choice":
        return next((i for i, one in enumerate(control.options) if _same(one, value)), 0)
    position = (float(value) - control.min) / control.step + 0.5  # it may be infinite
    return math.floor(min(max(position, 0), count_of(control) - 1))


def tick_of(controls: Sequence[Control], inputs: Mapping[str, Value]) -> str:
    """The tick of some inputs, as in explorer.js.

    >>> a = Control("a", "slider", 2.0, 0.5, 8.0, 0.5)
    >>> tick_of([a, Control("on", "checkbox", True)], {"a": 2.0, "on": True})
    '3|1'
    >>> tick_of([a], {"a": 0.333})
    '=0.333'
    """
    return "|".join(_part(control, inputs.get(control.name, control.value)) for control in controls)


def _part(control: Control, value: Value) -> str:
    position = position_of(control, value)
    if control.kind != "slider":
        return str(position)
    off = abs(float(value) - float(value_at(control, position)))
    return str(position) if off <= 1e-6 * control.step else f"={_as_javascript(float(value))}"


def _as_javascript(value: float) -> str:
    """The number as JavaScript writes it: 3 for 3.0, 1e-7 for 1e-07."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    point = len(digits) + exponent  # digits before the decimal point
    if not any(digits):
        return "0"
    if not -6 < point <= 21:
        power = f"{point - 1:+d}"
        rest = "".join(map(str, digits[1:]))
        return f"{'-' * sign}{digits[0]}{'.' + rest if rest else ''}e{power}"
    return "-" * sign + f"{Decimal((0, digits, exponent)):f}"


def inputs_of(controls: Sequence[Control], tick: str) -> dict[str, Value]:
    """The inputs of a tick on the grid.

    >>> inputs_of([Control("a", "slider", 2.0, 0.5, 8.0, 0.5)], "3")
    {'a': 2.0}
    """
    positions = map(int, tick.split("|")) if tick else ()
    return {
        control.name: value_at(control, position)
        for control, position in zip(controls, positions, strict=True)
    }


def on_grid(tick: str) -> bool:
    """Whether a tick names a point of the grid."""
    return "=" not in tick


def neighbours(controls: Sequence[Control], inputs: Mapping[str, Value]) -> Iterator[str]:
    """Yield the ticks around the inputs: one control moved, the nearest first, then two.

    >>> a, b = (Control(name, "slider", 1.0, 0.0, 2.0, 1.0) for name in "ab")
    >>> list(neighbours([a, b], {"a": 1.0, "b": 1.0}))
    ['2|1', '0|1', '1|2', '1|0', '2|2', '2|0', '0|2', '0|0']
    """
    here = [position_of(one, inputs.get(one.name, one.value)) for one in controls]
    counts = list(map(count_of, controls))
    far = max(counts, default=1)

    def moved(*changes: tuple[int, int]) -> str | None:
        positions = list(here)
        for place, change in changes:
            positions[place] += change
            if not 0 <= positions[place] < counts[place]:
                return None
        return "|".join(map(str, positions))

    for distance in range(1, far):
        steps = (distance, -distance)
        for place in range(len(here)):
            yield from filter(None, (moved((place, change)) for change in steps))
        if distance > 2:
            continue
        for first in range(len(here)):
            for second in range(first + 1, len(here)):
                for change in steps:
                    ways = (moved((first, change), (second, other)) for other in steps)
                    yield from filter(None, ways)


# Inputs


def beginning(controls: Sequence[Control]) -> dict[str, Value]:
    """The inputs that the controls begin with."""
    return {control.name: control.value for control in controls}


def checked(controls: Sequence[Control], given: object) -> dict[str, Value]:
    """Return what was given for some of the controls, in the form that the page knows.

    A vector may be given as a whole, and an option by its text or by what it stands for.

    Raises:
        ValueError: there is no such input, or it cannot have this value.
    """
    if not isinstance(given, Mapping):
        raise ValueError(
            f"inputs is of type {type(given).__name__}; give a dictionary from name to value: "
            f"w.inputs = {_example(controls)}"
        )
    by_name = {control.name: control for control in controls}
    vectors: dict[str, list[Control]] = {}
    for control in controls:
        if control.name != control.parameter:
            vectors.setdefault(control.parameter, []).append(control)
    found: dict[str, Value] = {}
    for name, value in given.items():
        if name in by_name:
            found[name] = _checked(by_name[name], value)
        elif name in vectors:
            parts = vectors[name]
            values = value.tolist() if hasattr(value, "tolist") else value
            if not isinstance(values, list | tuple) or len(values) != len(parts):
                raise ValueError(
                    f"{name} has {len(parts)} elements, but {_shown(value)} was given; "
                    f"give a list of {len(parts)} numbers"
                )
            found |= {
                part.name: _checked(part, one) for part, one in zip(parts, values, strict=True)
            }
        else:
            known = ", ".join(map(repr, [*by_name, *vectors])) or "none"
            raise ValueError(
                f"there is no input {_shown(name)}; the inputs are {known}: "
                f"w.inputs = {_example(controls)}"
            )
    return found


def names_checked(given: object) -> list[str]:
    """Return the names of what is opened, each once.

    Raises:
        ValueError: it is no list of texts.

    >>> names_checked(["d", "d"])
    ['d']
    """
    if isinstance(given, list | tuple) and all(isinstance(name, str) for name in given):
        return list(dict.fromkeys(given))
    raise ValueError(f"opened={_shown(given)}: give a list of names")


def _checked(control: Control, value: Any) -> Value:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if control.kind == "checkbox":
        if isinstance(value, bool):
            return value
        raise ValueError(f"{control.name} is a checkbox, not {_shown(value)}; give True or False")
    if control.kind == "choice":
        for option, meant in zip(control.options, control.means, strict=True):
            if _same(option, value) or meant is value or _same(meant, value):
                return option
        options = ", ".join(map(repr, control.options))
        raise ValueError(f"{control.name} cannot be {_shown(value)}; give one of {options}")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError(
            f"{control.name} is a slider, but was given {_shown(value)}; give a number"
        )
    if abs(value) > control.most:
        most, dtype = f"{control.most:.7g}", str(control.dtype).removeprefix("torch.")
        raise ValueError(
            f"{control.name} was given {_shown(value)}, which is too large for {dtype}; "
            f"give a number from -{most} to {most}"
        )
    if control.whole and value != int(value):
        raise ValueError(f"{control.name} is a whole number, but was given {value!r}")
    return int(value) if control.whole else value


def _shown(value: object) -> str:
    """The value in an error; it may be anything."""
    try:
        said = repr(value)
    except Exception:  # as of lists that are nested too deep, or of a number of 5,000 digits
        said = f"a value of type {type(value).__name__}"
    return said if len(said) <= MOST_SHOWN else f"{said[: MOST_SHOWN - 1]}…"


def _same(one: object, other: object) -> bool:
    """Whether they are equal, where True is not 1, as in JavaScript."""
    plain = (bool, int, float, str)
    if not isinstance(one, plain) or not isinstance(other, plain):
        return False
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _example(controls: Sequence[Control]) -> str:
    first = controls[0] if controls else Control("a", "slider", 2.0)
    return f"{{{first.name!r}: {first.value!r}}}"


def meaning(control: Control, value: Value) -> Any:
    """What a value stands for: of a choice the object, of another control the value itself."""
    return control.means[position_of(control, value)] if control.kind == "choice" else value


def arguments(controls: Sequence[Control], inputs: Mapping[str, Value]) -> dict[str, Any]:
    """What the function is given: vectors put together, choices as what they stand for.

    >>> like = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> x = [Control(f"x[{i}]", "slider", 1.0, parameter="x", like=like) for i in range(2)]
    >>> arguments(x, {"x[0]": 3.0, "x[1]": 4.0})
    {'x': tensor([3., 4.], requires_grad=True)}
    """
    made: dict[str, Any] = {}
    parts: dict[str, tuple[Tensor, list[Any]]] = {}
    for control in controls:
        value = meaning(control, inputs.get(control.name, control.value))
        if control.whole and control.like is None:
            value = int(value)
        if control.like is None:
            made[control.parameter or control.name] = value
        else:
            made[control.parameter] = None  # its place
            parts.setdefault(control.parameter, (control.like, []))[1].append(value)
    for name, (like, values) in parts.items():
        given = values if like.ndim else values[0]
        tensor = torch.tensor(given, dtype=like.dtype, device=like.device)
        made[name] = tensor.requires_grad_(like.requires_grad)
    return made
