"""A Function that is watched while it runs: what it saves, changes, and gives back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.autograd import Function

from autograd_viz.kept_state import KeptState
from autograd_viz.names import is_tensor
from autograd_viz.programs import arguments
from autograd_viz.text import clean


@dataclass(frozen=True, eq=False)
class Context:
    """What a forward left in its ctx."""

    saved: tuple[str, ...] = ()  # what each one is: an input or output by name, or "" for else
    dirty: tuple[Any, ...] = ()
    kept: tuple[str, ...] = ()  # attributes of ctx that are tensors


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a backward."""

    returned: tuple[Any, ...]
    saved_changed: tuple[str, ...]  # what it wrote into of what it had saved, by name
    arriving_changed: bool


class Watched:
    """A Function, or any function of tensors, with what was seen of it.

    A Function runs as a subclass of itself, so that what its backward returns is seen before
    PyTorch's engine refuses it. What it writes into saved tensors is put back after each call.
    """

    def __init__(self, function: object) -> None:
        self.cls = _function_class(function)
        self.context = Context()  # of the last forward
        self.last_call: Call | None = None  # the last of backward
        if self.cls is not None:
            self.name = clean(self.cls.__name__)
            self.call: Callable[..., Any] = _watched(self.cls, self).apply
            self._signature: inspect.Signature | None = _signature(self.cls)
        else:
            line = "av.check_function(f, torch.tensor(2.0))"
            if not callable(function):
                raise TypeError(
                    "check_function() wants a torch.autograd.Function or a function of tensors, "
                    f"but was given an object of type {type(function).__name__}: {line}"
                )
            known = arguments.Function(function)
            self.name = "the function" if known.name == "<lambda>" else known.name
            self.call, self._signature = function, known.signature

    def input_names(self, count: int) -> tuple[str, ...]:
        """The names of so many arguments, in their order."""
        names: list[str] = []
        for parameter in self._signature.parameters.values() if self._signature else ():
            if parameter.kind is parameter.VAR_POSITIONAL:
                more = range(count - len(names))
                alone = count == 1
                names += [parameter.name if alone else f"{parameter.name}{at}" for at in more]
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                names.append(parameter.name)
        names += ["x"] if count == 1 and not names else []
        names += [f"x{place}" for place in range(len(names), count)]
        return tuple(clean(name) for name in names[:count])

    def left(self, ctx: Any, inputs: Sequence[Any], output: Any) -> None:
        """Note what forward left in its ctx."""
        outputs = output if isinstance(output, tuple) else (output,)
        names = dict(zip(map(id, inputs), self.input_names(len(inputs)), strict=True))
        for place, each in enumerate(outputs):
            names.setdefault(id(each), "the output" if len(outputs) == 1 else f"output {place}")
        saved = ctx.to_save or ()
        attributes = vars(ctx).items()
        self.context = Context(
            tuple(names.get(id(tensor), "") for tensor in saved),
            tuple(ctx.dirty_tensors or ()),
            tuple(name for name, value in attributes if is_tensor(value)),
        )

    def backward(self, rule: Callable[..., Any], ctx: Any, arriving: tuple[Any, ...]) -> Any:
        """Run a backward and note what it does; all that it changes is put back."""
        names = self.context.saved
        kept = [
            (name or f"ctx.saved_tensors[{place}]", _kept(tensor))
            for place, (name, tensor) in enumerate(zip(names, ctx.saved_tensors, strict=False))
        ]
        kept += [
            (f"ctx.{name}", _kept(each)) for name, each in vars(ctx).items() if is_tensor(each)
        ]
        given = [_kept(tensor) for tensor in arriving]
        returned = rule(ctx, *arriving)
        gradients = returned if isinstance(returned, tuple) else (returned,)
        changed = tuple(name for name, state in kept if state.changed())
        call = Call(gradients, changed, any(state.changed() for state in given))
        self.last_call = call
        if not call.saved_changed and not call.arriving_changed:
            return returned
        # What comes back may lie in the memory that is put back.
        gradients = tuple(each.clone() if is_tensor(each) else each for each in gradients)
        for state in (*(state for _, state in kept), *given):
            state.put_back()
        return gradients


def _function_class(function: Any) -> type[Function] | None:
    """The Function that was given, itself or by its `apply`."""
    if inspect.ismethod(function) and function.__name__ == "apply":
        function = function.__self__
    return function if isinstance(function, type) and issubclass(function, Function) else None


def splits(cls: Any) -> bool:
    """Whether it has a setup_context, so that its forward takes no ctx."""
    return cls.setup_context is not Function.setup_context


def _watched(cls: Any, seen: Watched) -> Any:
    """A subclass that tells what it does."""

    def forward(ctx: Any, *inputs: Any) -> Any:
        output = cls.forward(ctx, *inputs)
        seen.left(ctx, inputs, output)
        return output

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        cls.setup_context(ctx, inputs, output)
        seen.left(ctx, inputs, output)

    methods: dict[str, Any] = (
        {"setup_context": setup_context} if splits(cls) else {"forward": forward}
    )
    for name in ("backward", "vjp"):
        rule: Any = getattr(cls, name)
        if rule is not getattr(Function, name):

            def backward(ctx: Any, *arriving: Any, rule: Any = rule) -> Any:
                return seen.backward(rule, ctx, arriving)

            methods[name] = backward
    methods = {name: staticmethod(method) for name, method in methods.items()}
    return type(cls)(cls.__name__, (cls,), {**methods, "__module__": cls.__module__})


def _signature(cls: Any) -> inspect.Signature:
    """Of forward, without ctx."""
    signature = inspect.signature(cls.forward)
    parameters = list(signature.parameters.values())
    if (
        not splits(cls)
        and parameters
        and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL
    ):
        parameters = parameters[1:]
    return signature.replace(parameters=parameters)


def _kept(value: Any) -> KeptState:
    state = KeptState()
    state.take(value)
    return state
