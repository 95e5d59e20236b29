"""What a reader answers, read as a number at a point: a number, a formula, a function."""

from __future__ import annotations

import inspect
import linecache
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Mapping
from itertools import takewhile
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
from autograd_viz.text import clean, number

LONGEST = 120  # characters of what is shown of one value in an answer
MOST = 1_000  # of all of them
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
        if isinstance(answer, Tensor):
            answer = answer.detach()  # one that requires a gradient warns
        return finite(answer.item() if isinstance(answer, np.ndarray | np.generic) else answer)
    except UnreadableError:
        raise
    except Exception:  # of a __float__ that is not ours, any
        kind = "complex" if isinstance(answer, np.complexfloating) else type(answer).__name__
        raise UnreadableError(f"{kind} is not a number; write one, such as 2.5 or 2 / 3") from None


def shown(answer: object) -> str:
    """Any value as short text, whatever its own `repr` does.

    >>> shown([2.0, "x", 10**400, [[[[1]]]]])
    "[2, 'x', an int of 1329 bits, [[…]]]"
    """
    text = _shown(answer, 3)
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def _shown(answer: object, depth: int) -> str:
    if isinstance(answer, Tensor | np.ndarray):
        if math.prod(answer.shape) > FEW:
            return f"{type(answer).__name__} of shape {tuple(answer.shape)}"
        return _shown(answer.tolist(), depth)
    if isinstance(answer, tuple | list):
        if not depth:
            return "…"
        parts = [_shown(part, depth - 1) for part in answer[:FEW]]
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
        if isinstance(answer, str | bytes | bytearray):
            answer = answer[:LONGEST]
        elif isinstance(answer, Collection):  # of which each may hold another twice
            return f"{type(answer).__name__} of {len(answer)}"
        text = repr(answer)
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
        places, words = _arguments(answer, inputs, names)
        return lambda point: number_of(
            returned(
                answer,
                *(point[name] for name in places),
                **{word: point[name] for word, name in words.items()},
            )
        )
    number = number_of(answer)
    return lambda point: number


def returned(function: Callable[..., Any], /, *arguments: Any, **words: Any) -> Any:
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
            result = function(*arguments, **words)
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
    except KeyboardInterrupt:
        raise
    except BaseException:  # of a __str__ that is not ours, any
        text = ""
    if isinstance(error, NotImplementedError):
        return UnfinishedError()
    if isinstance(error, TypeError) and "ellipsis" in text.lower():
        return UnfinishedError()
    said = f"it raised {type(error).__name__}{': ' if text else ''}{clean(text, LONGEST)}"
    code = answer.__code__ if type(answer) is FunctionType else None
    line = None
    for frame, at in traceback.walk_tb(error.__traceback__):
        if code and frame.f_code.co_filename == code.co_filename:
            line = at
    source = linecache.getline(code.co_filename, line).strip() if code and line else ""
    return UnreadableError(f"{said} (in the line `{source}`)" if source else said)


def _arguments(
    function: Callable[..., Any], inputs: tuple[str, ...], names: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which of the names a function is called with: in order, and by the words of the function.

    Those that its own parameters are called, also with a default; or all inputs in order.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of what is not written in Python: torch.sigmoid, np.exp
        return inputs, {}
    kinds = {parameter.kind for parameter in parameters}
    own = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    wanted = [each for each in own if each.default is each.empty or each.name in names]
    if not own and inspect.Parameter.VAR_POSITIONAL in kinds:
        return inputs, {}
    if not own and inspect.Parameter.VAR_KEYWORD in kinds:
        return (), {name: name for name in inputs}
    if {each.name for each in wanted} <= set(names):
        # In order as far as that goes: what a decorator made may take nothing by name.
        first = takewhile(lambda each: each in wanted and each.kind != each.KEYWORD_ONLY, own)
        places = tuple(each.name for each in first)
        return places, {each.name: each.name for each in wanted if each.name not in places}
    if len(wanted) == len(inputs) and all(each.kind != each.KEYWORD_ONLY for each in wanted):
        return inputs, {}
    given = ", ".join(each.name for each in own)
    raise UnreadableError(f"the function takes ({given}); let it take ({', '.join(inputs)})")


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
