"""What a reader answers, read as a number at a point: a number, a formula, a function."""

from __future__ import annotations

import inspect
import linecache
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor

from autograd_viz.exercises.formula import (
    Formula,
    finite,
    from_sympy,
    names_in,
    value,
)
from autograd_viz.exercises.formula import UnreadableError as UnreadableError
from autograd_viz.exercises.formula_parser import parsed
from autograd_viz.text import number

LONGEST = 120  # characters of what is shown of an answer
FEW = 20  # elements of a list or tensor that are shown

Point = Mapping[str, Tensor]  # the values of all names that a formula may use, float64 of shape ()


class UnfinishedError(Exception):
    """The answer still has the `...` of the stub, or a function that returns nothing."""


def is_constant(answer: object) -> bool:
    """Whether it is a number, or text or a formula without a name in it.

    >>> [is_constant(answer) for answer in (2, "2e-3 * ln(2)", "2x", abs)]
    [True, True, False, False]
    """
    if _is_formula(answer):
        try:
            return not names_in(_formula(answer, None))
        except UnreadableError:
            return False
    return not callable(answer)


def is_open(answer: object) -> bool:
    """Whether nothing has been answered yet."""
    return answer is ... or (isinstance(answer, str) and answer.strip() in ("", "...", "…"))


def number_of(answer: object) -> float:
    """The answer as a plain number.

    Accepted are Python's, NumPy's and SymPy's numbers, tensors of one element, and text: `"2/3"`.

    Raises:
        UnfinishedError, UnreadableError: it is not there yet, or is no number.

    >>> import torch
    >>> number_of(torch.tensor(2.5)), number_of("1/ln(2)")
    (2.5, 1.4426950408889634)
    """
    if is_open(answer):
        raise UnfinishedError
    if _is_formula(answer):
        found = value(_formula(answer, ()), {})
        if not math.isfinite(found):
            raise UnreadableError(
                f"{shown(answer)} has no value: it divides by 0, takes a root or a logarithm of "
                "what has none, or is beyond 1.8e308, the largest float"
            )
        return found
    if isinstance(answer, Tensor | np.ndarray) and math.prod(answer.shape) != 1:
        raise UnreadableError(f"a tensor of shape {tuple(answer.shape)} is not one number")
    try:
        return finite(answer.item() if isinstance(answer, np.ndarray) else answer)
    except UnreadableError:
        raise
    except Exception:  # of a __float__ that is not ours, any
        kind = type(answer).__name__
        raise UnreadableError(f"{kind} is not a number; write one, such as 2.5 or 2 / 3") from None


def shown(answer: object, depth: int = 3) -> str:
    """Any value as short text, whatever its own `repr` does.

    >>> shown([2.0, "x", 10**400, [[[[1]]]]])
    "[2, 'x', an int of 1329 bits, [[…]]]"
    """
    if isinstance(answer, Tensor | np.ndarray):
        if math.prod(answer.shape) > FEW:
            return f"{type(answer).__name__} of shape {tuple(answer.shape)}"
        return shown(answer.tolist(), depth)
    if isinstance(answer, tuple | list):
        if not depth:
            return "…"
        parts = [shown(part, depth - 1) for part in answer[:FEW]]
        return f"[{', '.join(parts)}{', …' if len(answer) > FEW else ''}]"
    if isinstance(answer, float | np.floating):
        return number(float(answer))
    if isinstance(answer, int) and answer.bit_length() > LONGEST:
        return f"an int of {answer.bit_length()} bits"
    if is_sympy(answer):
        return "a formula of SymPy"  # to print a large one takes minutes
    if inspect.isroutine(answer) or isinstance(answer, type):
        return str(answer.__name__)
    try:
        text = repr(answer[:LONGEST] if isinstance(answer, str) else answer)
    except Exception:  # of a __repr__ that is not ours, any
        return type(answer).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def as_function(
    answer: object, inputs: tuple[str, ...], names: tuple[str, ...]
) -> Callable[[Point], float]:
    """The answer as a function of a point.

    Args:
        answer: a number, a formula, or a function of (some of) the inputs.
        inputs: the names of the inputs, in the order of a function's arguments.
        names: all names that a formula may use: the inputs, and intermediate results.

    Raises:
        UnfinishedError, UnreadableError: it is not there yet, or cannot be understood.

    >>> import torch
    >>> x = torch.tensor(3.0, dtype=torch.float64)
    >>> [as_function(answer, ("x",), ("x",))({"x": x}) for answer in (6, "2x", lambda x: x + x)]
    [6.0, 6.0, 6.0]
    """
    if is_open(answer):
        raise UnfinishedError
    if _is_formula(answer):
        formula = _formula(answer, names)
        return lambda point: value(formula, {name: float(point[name]) for name in names})
    if callable(answer):
        arguments = _arguments(answer, inputs, names)
        return lambda point: number_of(returned(answer, *(point[name] for name in arguments)))
    number = number_of(answer)
    return lambda point: number


def returned(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the reader's function returns.

    Raises:
        UnfinishedError: it returns nothing, or still has a `...` in it.
        UnreadableError: it raised an error; the message names it and its line.
        KeyboardInterrupt: Ctrl-C ended it.
    """
    try:
        with warnings.catch_warnings():
            # NumPy's functions take a tensor of one number, and complain of how torch gives it.
            warnings.simplefilter("ignore", DeprecationWarning)
            result = function(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too
        raise what_it_tells(error, function) from error
    parts = result if isinstance(result, tuple | list) else (result,)
    if result is None or any(part is ... for part in parts):
        raise UnfinishedError
    return result


def what_it_tells(error: BaseException, answer: object) -> UnfinishedError | UnreadableError:
    """What an error that an answer raised tells of it.

    >>> what_it_tells(ZeroDivisionError("division by zero"), lambda x: 1 / 0)
    UnreadableError('it raised ZeroDivisionError: division by zero')
    """
    if isinstance(error, UnfinishedError | UnreadableError):
        return error
    try:
        text = str(error).partition("\n")[0]
    except Exception:
        text = ""
    if isinstance(error, NotImplementedError):
        return UnfinishedError()
    if isinstance(error, TypeError) and "ellipsis" in text.lower():
        return UnfinishedError()
    said = f"it raised {type(error).__name__}{': ' if text else ''}{text[:LONGEST]}"
    code = answer.__code__ if type(answer) is FunctionType else None
    line = None
    for frame, at in traceback.walk_tb(error.__traceback__):
        if code and frame.f_code.co_filename == code.co_filename:
            line = at
    source = linecache.getline(code.co_filename, line).strip() if code and line else ""
    return UnreadableError(f"{said} (in the line `{source}`)" if source else said)


def _arguments(
    function: Callable[..., Any], inputs: tuple[str, ...], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Which of the names a function is called with: by their names, or all inputs in order."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # of functions that are not written in Python: torch.sigmoid, np.exp
        return inputs
    parameters = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty
    ]
    wanted = tuple(parameter.name for parameter in parameters)
    if set(wanted) <= set(names):
        return wanted
    if len(wanted) == len(inputs):
        return inputs
    raise UnreadableError(
        f"the function takes ({', '.join(wanted)}); let it take ({', '.join(inputs)})"
    )


def is_sympy(answer: object) -> TypeGuard[Any]:
    """Whether it is an expression of SymPy; where SymPy was not loaded, nothing is."""
    sympy = sys.modules.get("sympy")
    return sympy is not None and isinstance(answer, sympy.Basic)


def _is_formula(answer: object) -> TypeGuard[Any]:
    return isinstance(answer, str) or is_sympy(answer)


def _formula(answer: Any, names: tuple[str, ...] | None) -> Formula:
    """The formula of an answer, with no names but these in it, or with any."""
    formula = parsed(answer, names or ()) if isinstance(answer, str) else from_sympy(answer)
    unknown = sorted(names_in(formula) - set(names or ()))
    if names is not None and unknown:
        known = f"a formula can use {', '.join(names)}" if names else "a plain number is wanted"
        are = "is" if len(unknown) == 1 else "are"
        raise UnreadableError(
            f"{' and '.join(map(shown, unknown[:5]))} {are} not known here; {known}"
        )
    return formula
