"""What a reader answers, read as a number at a point: a number, a formula, a function."""

from __future__ import annotations

import inspect
import linecache
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Point = Mapping[str, Tensor]  # the values of all names that a formula may use, float64 of shape ()


class UnfinishedError(Exception):
    """The answer still has the `...` of the stub, or a function that returns nothing."""


class UnreadableError(Exception):
    """The answer cannot be understood; the message says why, and what to write."""


def is_constant(answer: object) -> bool:
    """Whether it is a number, or text or a formula without a name in it.

    >>> [is_constant(answer) for answer in (2, "2e-3 * ln(2)", "2x", abs)]
    [True, True, False, False]
    """
    if isinstance(answer, str):
        try:
            answer = _parsed(answer, ())
        except UnreadableError:
            return False
    if hasattr(answer, "free_symbols"):
        return not answer.free_symbols
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
    if isinstance(answer, str) or hasattr(answer, "free_symbols"):
        return _value(_expression(answer, ()), {})
    if isinstance(answer, Tensor) and answer.numel() != 1:
        raise UnreadableError(f"a tensor of shape {tuple(answer.shape)} is not one number")
    try:
        return float(answer)  # type: ignore[arg-type]  # what has no __float__ is caught
    except (TypeError, ValueError):
        kind = type(answer).__name__
        raise UnreadableError(f"{kind} is not a number; write one, such as 2.5 or 2 / 3") from None


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
    if isinstance(answer, str) or hasattr(answer, "free_symbols"):
        expression = _expression(answer, names)
        return lambda point: _value(expression, point)
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
    """
    try:
        with warnings.catch_warnings():
            # NumPy's functions take a tensor of one number, and complain of how torch gives it.
            warnings.simplefilter("ignore", DeprecationWarning)
            result = function(*arguments)
    except NotImplementedError:
        raise UnfinishedError from None
    except Exception as error:
        if isinstance(error, TypeError) and "ellipsis" in str(error).lower():
            raise UnfinishedError from None
        raise UnreadableError(_told(error, function)) from error
    parts = result if isinstance(result, tuple | list) else (result,)
    if result is None or any(part is ... for part in parts):
        raise UnfinishedError
    return result


def _told(error: Exception, function: Callable[..., Any]) -> str:
    text = f"it raised {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    code = getattr(function, "__code__", None)
    trace, line = error.__traceback__, None
    while trace is not None:
        if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    source = linecache.getline(code.co_filename, line).strip() if code and line else ""
    return f"{text} (in the line `{source}`)" if source else text


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


def _expression(answer: Any, names: tuple[str, ...]) -> Any:
    """A formula of SymPy whose symbols are all known."""
    expression = _parsed(answer, names) if isinstance(answer, str) else answer
    symbols = {str(symbol) for symbol in getattr(expression, "free_symbols", ())}
    if unknown := sorted(symbols - set(names)):
        known = f"it can use {', '.join(names)}" if names else "a plain number is wanted"
        raise UnreadableError(
            f"the formula has {', '.join(unknown)}, which is not known here; {known}"
        )
    return expression


def _parsed(text: str, names: tuple[str, ...]) -> Any:
    """The formula in a text; `^` is a power and `2x` a product, as on paper."""
    import sympy
    from sympy.parsing import sympy_parser

    functions: dict[str, Any] = {
        name: getattr(sympy, name)
        for name in ("Integer", "Float", "Rational", "Symbol", "Function", "sqrt", "exp", "sin",
                     "cos", "tan", "sinh", "cosh", "tanh", "log", "ln", "pi", "Max", "Min")
    }  # fmt: skip
    functions |= {
        "e": sympy.E,
        "abs": sympy.Abs,
        "log2": lambda x: sympy.log(x, 2),
        "log10": lambda x: sympy.log(x, 10),
        "relu": lambda x: sympy.Max(x, 0),
        "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    }
    transformations = (
        *sympy_parser.standard_transformations,
        sympy_parser.convert_xor,
        sympy_parser.implicit_multiplication,
    )
    try:
        expression = sympy_parser.parse_expr(
            text.replace("·", "*").replace("−", "-"),
            local_dict={name: sympy.Symbol(name) for name in names},
            global_dict={**functions, "__builtins__": {}},
            transformations=transformations,
        )
    except Exception:
        expression = None
    if not isinstance(expression, sympy.Expr):
        raise UnreadableError(
            f"{text!r} cannot be read as a formula; write it as in Python, such as '2 * (a + b)'"
        )
    return expression


def _value(expression: Any, point: Point) -> float:
    values = {name: float(value) for name, value in point.items()}
    try:
        number = expression.subs(values).evalf() if hasattr(expression, "subs") else expression
        return float(number)
    except (TypeError, ValueError, AttributeError):
        return math.nan
