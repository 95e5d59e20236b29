"""What an exercise asks, and how an answer to it is judged."""

from __future__ import annotations

import math
import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autograd_viz.exercises.answers import (
    FEW,
    Point,
    UnfinishedError,
    UnreadableError,
    as_function,
    is_constant,
    is_open,
    is_sympy,
    number_of,
    returned,
    shown,
    what_it_tells,
)
from autograd_viz.text import as_written, number

ROUNDING = 0.005  # relative; "0.36" is right where 0.3607 is
EXACT = 1e-6  # relative; of formulas and functions
POINTS = 6  # random ones, at which formulas are compared


class Finding(NamedTuple):
    """What is to be said of one answer."""

    state: Literal["right", "wrong", "unfinished"]
    remark: str = ""


class Slip(NamedTuple):
    """A plausible wrong answer, and what to say to it without giving the right one away."""

    answer: Any
    remark: str


@dataclass(frozen=True, kw_only=True)
class Question(ABC):
    """One thing that is asked: a name in the call of `check`, and how its answer is judged."""

    name: str  # the keyword: "dw1"
    slips: tuple[Slip, ...] = ()

    def finding(self, answer: Any) -> Finding:
        """Judge an answer; errors of the reader's code are part of what is found."""
        try:
            with torch.enable_grad():
                return self.judged(answer)
        except KeyboardInterrupt:  # of what may never end; only the caller knows what is next
            raise
        except BaseException as error:  # whatever an answer raises: SystemExit, too
            told = what_it_tells(error, answer)
            unfinished = isinstance(told, UnfinishedError)
            return Finding("unfinished") if unfinished else Finding("wrong", str(told))

    @abstractmethod
    def judged(self, answer: Any) -> Finding:
        """Judge an answer that may raise UnfinishedError or UnreadableError."""


@dataclass(frozen=True, kw_only=True)
class Number(Question):
    """A number, at the one point that the exercise is about.

    The true value is computed, and never said: it would be the answer.
    """

    true: Callable[[], float | Tensor]  # computes it
    rounding: float = ROUNDING

    def judged(self, answer: Any) -> Finding:
        """Whether the number is the true one, up to the rounding of a few decimals."""
        given, wanted = number_of(answer), float(self.true())
        if _close(given, wanted, self.rounding):
            return Finding("right")
        for slip in self.slips:
            if _close(given, number_of(slip.answer), self.rounding):
                return Finding("wrong", f"{number(given)} is not it. {slip.remark}")
        return Finding("wrong", f"{number(given)} is not it.")


@dataclass(frozen=True, kw_only=True)
class Choice(Question):
    """One of a few answers: a word, True or False, None, a name."""

    true: Callable[[], object]  # computes it
    options: tuple[object, ...]

    def judged(self, answer: Any) -> Finding:
        """Whether the right one was chosen."""
        if is_open(answer):
            raise UnfinishedError
        chosen = self._chosen(answer)
        if _same_choice(chosen, self.true()):
            return Finding("right")
        for slip in self.slips:
            if _same_choice(chosen, slip.answer):
                return Finding("wrong", f"{shown(answer)} is not it. {slip.remark}")
        return Finding("wrong", f"{shown(answer)} is not it.")

    def _chosen(self, answer: object) -> object:
        simple = _simple(answer)
        for option in self.options:
            if _same_choice(simple, option):
                return option
        raise UnreadableError(f"{shown(answer)}: give one of {', '.join(map(repr, self.options))}")


@dataclass(frozen=True, kw_only=True)
class Derivative(Question):
    """The derivative of a function of numbers by one of its inputs, held against autograd's.

    A number is judged at the exercise's own point, if it has one; a formula or a function at
    random points too.
    """

    of: Callable[..., Tensor]  # of float64 tensors of shape (), by name
    by: str
    inputs: tuple[str, ...]
    at: Mapping[str, float] = field(default_factory=dict)  # the exercise's own point
    also: Mapping[str, Callable[..., Tensor]] = field(
        default_factory=dict
    )  # names of intermediate results that a formula may use, as functions of all inputs
    low: float = 0.5  # random points lie between; positive, for the sake of logarithms
    high: float = 3.0

    def judged(self, answer: Any) -> Finding:
        """Compare at each point; the first that differs is told, with both values."""
        names = (*self.inputs, *self.also)
        given = as_function(answer, self.inputs, names)
        constant = is_constant(answer)
        points = list(self._points())
        if self.at:  # of a formula, its value there is not told either: it would be the answer
            points = points[:1] if constant else points[1:]
        for at in points:
            point = self._values(at)
            found, wanted = given(point), self.true_at(at)
            tolerance = ROUNDING if constant and self.at else EXACT
            if _close(found, wanted, tolerance):
                continue
            where = ", ".join(f"{name} = {as_written(at[name])}" for name in self.inputs)
            if constant and self.at:  # the true value would be the answer
                text = f"{number(found)} is not it (at {where})."
            else:
                beyond = "" if math.isfinite(found) else " (no finite number)"
                yours = f"yours is {number(found)}{beyond}"
                text = f"at {where}: {yours}, autograd's is {number(wanted)}."
            return Finding("wrong", " ".join((text, *self._remarks(answer, points))))
        return Finding("right")

    def true_at(self, at: Mapping[str, float]) -> float:
        """Autograd's derivative at a point."""
        leaves = {name: _leaf(at[name]) for name in self.inputs}
        (gradient,) = torch.autograd.grad(self.of(**leaves), leaves[self.by], allow_unused=True)
        return 0.0 if gradient is None else gradient.item()

    def _points(self) -> Iterable[Mapping[str, float]]:
        if self.at:
            yield {name: self.at[name] for name in self.inputs}
        draw = random.Random(self.name)  # the same points each time
        for _ in range(POINTS):
            yield {name: round(draw.uniform(self.low, self.high), 2) for name in self.inputs}

    def _values(self, at: Mapping[str, float]) -> Point:
        values = {name: torch.tensor(at[name], dtype=torch.float64) for name in self.inputs}
        return values | {name: function(**values).detach() for name, function in self.also.items()}

    def _remarks(self, answer: Any, points: Sequence[Mapping[str, float]]) -> Iterable[str]:
        """What is said of the first slip that gives the same as the answer."""
        names = (*self.inputs, *self.also)
        given = as_function(answer, self.inputs, names)
        values = [self._values(at) for at in points]
        tolerance = ROUNDING if is_constant(answer) else EXACT
        for slip in self.slips:
            other = as_function(slip.answer, self.inputs, names)
            if all(_close(given(point), other(point), tolerance) for point in values):
                yield slip.remark
                return


@dataclass(frozen=True, kw_only=True)
class Function(Question):
    """A function that has to return what another one does, for each of some arguments.

    `given` is the function as the stub has it, bug and all: while the reader's does the same, the
    exercise is unfinished. Arguments are made anew for each call, since it may change them.
    """

    like: Callable[..., Any]
    arguments: Callable[[], Sequence[tuple[Any, ...]]]
    given: Callable[..., Any] | None = None
    tolerance: float = 1e-4  # relative; readers compute in float32

    def judged(self, answer: Any) -> Finding:
        """Compare what the two return; the first difference is told."""
        if is_open(answer):
            raise UnfinishedError
        if not callable(answer):
            raise UnreadableError(
                f"a function is wanted, and this is {type(answer).__name__}; give its name, "
                "without parentheses"
            )
        if self.given is not None and self._same(answer, self.given):
            raise UnfinishedError
        for place, arguments in enumerate(self.arguments()):
            given = ", ".join(map(shown, arguments))
            found = returned(answer, *arguments)
            wanted = self.like(*self.arguments()[place])
            if not same(found, wanted, self.tolerance):
                text = f"for ({given}) yours returns {shown(found)}, wanted is {shown(wanted)}."
                remarks = [slip.remark for slip in self.slips if self._same(answer, slip.answer)]
                return Finding("wrong", " ".join((text, *remarks[:1])))
        return Finding("right")

    def _same(self, answer: Callable[..., Any], other: Callable[..., Any]) -> bool:
        pairs = zip(self.arguments(), self.arguments(), strict=True)
        return all(
            same(_outcome(answer, mine), _outcome(other, its), self.tolerance)
            for mine, its in pairs
        )


@dataclass(frozen=True, kw_only=True)
class Built(Question):
    """Something that the reader built, judged by a function of its own.

    `judge` returns what is wrong, or an empty text; it may raise UnfinishedError.
    """

    judge: Callable[[Any], str]

    def judged(self, answer: Any) -> Finding:
        """Whether the judge finds nothing wrong."""
        if is_open(answer):
            raise UnfinishedError
        remark = self.judge(answer)
        return Finding("wrong", remark) if remark else Finding("right")


_RAISED = object()


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What a function returns, or which error it raises; a stub with a bug warns of nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments)
    except Exception as error:
        return _RAISED, type(error).__name__, str(error)


def same(found: Any, wanted: Any, tolerance: float) -> bool:
    """Whether two results are equal: numbers, tensors, arrays, or containers of them.

    >>> same([1, 2.00001], (torch.tensor(1.0), np.float64(2.0)), 1e-4)
    True
    """
    if found is wanted:
        return True
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping) or found.keys() != wanted.keys():
            return False
        return all(same(found[key], wanted[key], tolerance) for key in wanted)
    if isinstance(wanted, (list, tuple)):
        if not isinstance(found, (list, tuple)) or len(found) != len(wanted):
            return False
        return all(same(*pair, tolerance) for pair in zip(found, wanted, strict=True))
    if isinstance(wanted, (str, bool)) or wanted is None:
        return type(found) is type(wanted) and bool(found == wanted)
    right = _array(wanted)
    try:
        left = _array(found) if _may_have(found, right.shape) else None
    except (TypeError, ValueError, OverflowError, RuntimeError, UnreadableError):
        return False
    return (
        left is not None
        and left.shape == right.shape
        and bool(np.allclose(left, right, rtol=tolerance, atol=tolerance / 100, equal_nan=True))
    )


def _may_have(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether a value may have a shape, before it is made an array: range(10**9) is a value.

    So is a list that holds another twice, which holds another twice, which ...
    """
    if isinstance(value, Tensor | np.ndarray):
        return tuple(value.shape) == shape
    if isinstance(value, list | tuple):
        fits = len(shape) > 0 and len(value) == shape[0]
        return fits and all(_may_have(part, shape[1:]) for part in value)
    return not isinstance(value, Sized) or (len(shape) > 0 and len(value) == shape[0])


def _array(value: Any) -> Any:
    value = value.detach().cpu() if isinstance(value, Tensor) else _plain(value)
    if np.iscomplexobj(value):
        raise TypeError("real numbers are compared")
    return np.asarray(value, dtype=np.float64)


def _plain(value: Any) -> Any:
    """With numbers in the place of SymPy's, whose own way to a float may take for ever."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return number_of(value) if is_sympy(value) else value


def _simple(answer: object) -> object:
    """A choice as Python's own values, whatever holds it: a tensor, a torch.Size, a text."""
    if isinstance(answer, Tensor | np.ndarray) and math.prod(answer.shape) <= FEW:
        answer = answer.tolist()
    if isinstance(answer, np.generic):
        answer = answer.item()
    if isinstance(answer, list | tuple):
        return tuple(answer)
    return answer.strip() if isinstance(answer, str) else answer


def _same_choice(answer: object, option: object) -> bool:
    if isinstance(answer, str) and isinstance(option, str):
        return answer.casefold() == option.casefold()
    kinds = {type(answer), type(option)}
    return (len(kinds) == 1 or kinds == {int, float}) and answer == option


def _leaf(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def _close(found: float, wanted: float, tolerance: float) -> bool:
    if math.isnan(found) or math.isnan(wanted):
        return math.isnan(found) and math.isnan(wanted)
    return found == wanted or math.isclose(
        found, wanted, rel_tol=tolerance, abs_tol=tolerance / 100
    )
