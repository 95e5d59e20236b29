"""How a function is called: what it is given, and what it may give back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from autograd_viz import text
from autograd_viz.names import is_tensor
from autograd_viz.programs.sources import Source, source_of

_EXAMPLES = {int: "2", bool: "True", str: '"mean"'}
_AS_GIVEN = {kind.__name__: example for kind, example in _EXAMPLES.items()}


def checked_function(f: object, line: str) -> Callable[..., Any]:
    """The function that was given, or an error that shows the line to type."""
    if not callable(f):
        raise TypeError(
            f"{line.partition('(')[0]}() wants a function, but was given an object of type "
            f"{type(f).__name__}; give the function itself and its inputs by name: {line}"
        )
    return f


@dataclass(frozen=True, eq=False)
class Function:
    """A function with all that is known of it before it runs."""

    call: Callable[..., Any]

    @cached_property
    def name(self) -> str:
        """Its name, for messages."""
        return text.clean(str(getattr(self.call, "__name__", None) or type(self.call).__name__))

    @cached_property
    def signature(self) -> inspect.Signature | None:
        """Its parameters; None if it does not tell, as many C functions do not."""
        try:
            return inspect.signature(self.call)
        except (ValueError, TypeError):
            return None

    @cached_property
    def inner(self) -> Any:
        """The Python function that runs in the end: under decorators, of a method or a module."""
        function: Any = self.call
        while True:
            if isinstance(function, partial):
                function = function.func
            elif inspect.ismethod(function):
                function = function.__func__
            elif hasattr(function, "__wrapped__"):
                function = function.__wrapped__
            elif isinstance(function, torch.nn.Module):
                function = type(function).forward
            elif inspect.isroutine(function) or isinstance(function, type):
                return function
            else:
                function = type(function).__call__

    @cached_property
    def result(self) -> str:
        """What a result without a name is called: as the function, or as the object."""
        name = getattr(self.inner, "__name__", "")
        if name not in ("__call__", "forward"):
            return text.clean(name)
        call: Any = self.call
        while isinstance(call, partial):
            call = call.func
        return text.clean(type(getattr(call, "__self__", call)).__name__)

    @cached_property
    def code(self) -> CodeType | None:
        """Its code; None of a C function."""
        code = getattr(self.inner, "__code__", None)
        return code if isinstance(code, CodeType) else None

    @cached_property
    def source(self) -> Source | None:
        """Its source; None if it cannot be read."""
        module_globals = getattr(self.inner, "__globals__", None)
        return source_of(self.code, module_globals) if self.code else None

    def argument(self, name: str, value: Any) -> Any:
        """What the function gets for an input: a number becomes a leaf, a tensor a copy."""
        if is_tensor(value):
            return value.detach().clone().requires_grad_(value.requires_grad)
        annotation = self._annotation(name)
        if annotation in _AS_GIVEN:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return torch.tensor(float(value), requires_grad=True)
        if type(value) in (list, tuple) and value and _are_numbers(value):
            if "[int" in annotation:  # list[int]
                return value
            return torch.tensor(value, dtype=torch.get_default_dtype(), requires_grad=True)
        return value

    def bound(self, arguments: Mapping[str, Any]) -> Callable[[], Any]:
        """The call with its arguments."""
        if self.signature is None:
            return partial(self.call, *arguments.values())
        parameters = self.signature.parameters.items()
        first = [name for name, each in parameters if each.kind is each.POSITIONAL_ONLY]
        named = {name: value for name, value in arguments.items() if name not in first}
        return partial(self.call, *(arguments[n] for n in first if n in arguments), **named)

    def check(self, given: Mapping[str, Any], call: str = "program", first: str = "") -> None:
        """Raise an error that shows the line to type if an input is missing or unknown.

        The line calls `av.{call}` with the function, with what `first` says, and with the inputs.
        """
        if self.signature is None:
            return
        parameters = self.signature.parameters
        several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        wanted = [name for name, each in parameters.items() if each.kind not in several]
        needed = [name for name in wanted if parameters[name].default is inspect.Parameter.empty]
        free = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        wrong = [] if free else [name for name in given if name not in wanted]
        missing = [name for name in needed if name not in given]
        if not wrong and not missing:
            return
        said = [f"there is no input {', '.join(map(repr, wrong))}"] if wrong else []
        said += [f"no value is given for {', '.join(map(repr, missing))}"] if missing else []
        inputs = ", ".join(
            f"{name}={self._example(name, given.get(name))}"
            for name in wanted
            if name in needed or name in given
        )
        called = self.name if self.name.isidentifier() else "f"
        raise TypeError(
            f"{called}{self.signature}: {' and '.join(said)}; "
            f"give each input by name: av.{call}({called}, {first}{inputs})"
        )

    def outputs(self, result: Any) -> tuple[Tensor, ...]:
        """The tensors that the function returned, or an error that says what it may return."""
        parts = [result]
        if isinstance(result, tuple | list):
            parts = list(result)
        elif isinstance(result, dict):
            parts = list(result.values())
        if parts and all(map(is_tensor, parts)):
            return tuple(parts)
        kind = type(result).__name__
        if isinstance(result, tuple | list | dict):
            kinds = dict.fromkeys(type(part).__name__ for part in parts)
            kind += f" of {', '.join(kinds) or 'nothing'}"
        raise TypeError(
            f"{self.name}() returned {'an' if kind[0] in 'aeiou' else 'a'} {kind}; let it return "
            "a tensor, or a tuple, list or dictionary of tensors: end it with a line such as "
            "`return loss`"
        )

    def _annotation(self, name: str) -> str:
        parameter = self.signature.parameters.get(name) if self.signature else None
        annotation = parameter.annotation if parameter else inspect.Parameter.empty
        if annotation is inspect.Parameter.empty:
            return ""
        return annotation.__name__ if annotation in _EXAMPLES else str(annotation)

    def _example(self, name: str, given: Any) -> str:
        if type(given) in (int, float, bool, str):
            return repr(given)
        return _AS_GIVEN.get(self._annotation(name), "2.0")


def _are_numbers(values: Sequence[Any]) -> bool:
    if all(type(value) in (list, tuple) and value for value in values):
        return all(map(_are_numbers, values)) and len(set(map(len, values))) == 1
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
