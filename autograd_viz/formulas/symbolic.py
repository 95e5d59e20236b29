"""From a recipe to the derivative of a variable by one of its inputs, in SymPy.

All that is found is kept by the recipe, which holds names and operations but no numbers, and by
the branch that functions with corners are on; a picture of other numbers finds it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import sympy
from sympy import Expr, Symbol

from autograd_viz.formulas import rounding
from autograd_viz.formulas.failures import noted
from autograd_viz.formulas.recipes import MOST_ELEMENTS, Operand, Operation, Recipe, elements
from autograd_viz.operators import arrays, scalars
from autograd_viz.operators.arrays import Array, array
from autograd_viz.operators.table import operation as known_as

LARGEST = 300  # operations that an expression may be made from, counted as often as it repeats them

FACTOR = sympy.Symbol("v")  # stands before all inputs where symbols are put in order
Signs = tuple[int, ...]  # the answers to a recipe's questions, in order


class Condition(NamedTuple):
    """`left` is below (-1), at (0) or above (1) `right`: the branch that a formula belongs to."""

    left: Expr
    right: Expr
    sign: int


class Derivative(NamedTuple):
    """The derivative by one input, and the conditions under which it is this one."""

    expression: Expr
    conditions: tuple[Condition, ...]
    chain: Expr  # the same as the chain rule gives it, nearer to what PyTorch computes


class _NoFormulaError(Exception):
    """Something that the derivative depends on has no rule, or was not kept."""


class _QuestionError(Exception):
    """The branch depends on numbers: is left below, at or above right?"""


def symbol(place: int, element: int) -> Symbol:
    """The symbol of one element of a recipe's input."""
    return sympy.Symbol(f"v{place:03}_{element:02}")


def derivative(
    recipe: Recipe, place: int, numbers: Sequence[tuple[float, ...] | None]
) -> Derivative | None:
    """The derivative of a recipe's number by its input at `place`; None where there is none."""
    signs: Signs = ()
    while True:
        found = _derived(recipe, place, signs)
        if not isinstance(found, _Question):
            return found
        gap = found.evaluated(numbers)
        if gap is None or gap != gap:
            return None
        signs += ((gap > 0) - (gap < 0),)


def value(derivative: Derivative, numbers: Sequence[tuple[float, ...] | None]) -> float | None:
    """The formula's number at the current point; None where one is missing or none results."""
    return _compiled(derivative.expression).number(numbers)


def holds(
    derivative: Derivative,
    numbers: Sequence[tuple[float, ...] | None],
    local: float,
    dtype: str,
) -> bool:
    """Whether the formula gives PyTorch's number, to within what rounding makes of it.

    Where a number was not kept, it cannot be said.
    """
    found = _compiled(derivative.expression)
    if not found.complete(numbers):
        return False
    value = found.number(numbers)
    if value is not None and rounding.close(local, value, dtype):
        return True
    with np.errstate(all="ignore"):
        shown = found.rounded(numbers)
        chain = _compiled(derivative.chain)
        if chain.complete(numbers):
            shown.error = max(shown.error, chain.rounded(numbers).error)
        return rounding.same(local, shown, dtype)


class _Question(NamedTuple):
    gap: Expr

    def evaluated(self, numbers: Sequence[tuple[float, ...] | None]) -> float | None:
        return _compiled(self.gap).number(numbers)


@lru_cache(1024)
@noted
def _derived(recipe: Recipe, place: int, signs: Signs) -> Derivative | _Question | None:
    asked: list[Condition] = []

    def sign(left: Expr, right: Expr) -> int:
        gap = left - right
        if gap.is_number:
            return int(sympy.sign(gap))
        if len(asked) == len(signs):
            raise _QuestionError(gap)
        asked.append(Condition(left, right, signs[len(asked)]))
        return asked[-1].sign

    try:
        chain = _slope(recipe, place, sign)
        expression = _shortest(chain)
        return Derivative(expression, tuple(_deciding(recipe, place, asked, chain)), chain)
    except _QuestionError as question:
        return _Question(question.args[0])
    except _NoFormulaError:
        return None


def _deciding(
    recipe: Recipe, place: int, asked: Sequence[Condition], chain: Expr
) -> list[Condition]:
    """The conditions without which the derivative would be another one."""
    deciding: dict[int, Condition] = {}
    for number in reversed(range(len(asked))):
        met: list[tuple[Expr, Expr]] = []

        def otherwise(left: Expr, right: Expr, number: int = number, met: Any = met) -> int:
            gap = left - right
            if gap.is_number:
                return int(sympy.sign(gap))
            at = len(met)
            met.append((left, right))
            if at >= len(asked):
                return 1
            return -asked[at].sign or 1 if at == number else asked[at].sign

        try:
            same = _slope(recipe, place, otherwise) == chain
        except _NoFormulaError:
            same = False
        # abs(x) < 1 is written as x < 1 where x is above 0: then that belongs to it.
        if not same or any((one.left, one.right) not in met for one in deciding.values()):
            deciding[number] = asked[number]
    return [deciding[number] for number in sorted(deciding)]


def _slope(recipe: Recipe, place: int, sign: scalars.Sign) -> Expr:
    unknown: dict[Symbol, frozenset[Symbol]] = {}  # what has no rule -> what it is made from
    whole = _expression(recipe, sign, unknown)
    by = symbol(place, 0)
    if any(by in unknown[free] for free in whole.free_symbols if free in unknown):
        raise _NoFormulaError
    found = sympy.diff(whole, by)
    if (
        found.has(sympy.Derivative, sympy.Subs, sympy.zoo, sympy.nan)
        or unknown.keys() & found.free_symbols
    ):
        raise _NoFormulaError
    return found


def _shortest(expression: Expr) -> Expr:
    """As derived, with powers joined, or over one denominator: what is shortest."""
    forms = [sympy.powsimp(expression), expression, sympy.together(expression)]
    return min(forms, key=lambda form: form.count_ops())


def _expression(
    recipe: Recipe, sign: scalars.Sign, unknown: dict[Symbol, frozenset[Symbol]]
) -> Expr:
    """What the recipe computes, which is one number."""
    done: list[Sequence[Array]] = []
    sizes: list[int] = []
    for operation in recipe.operations:
        inner = [int(one.place) for one in operation.operands if one.kind == "inner"]
        sizes.append(1 + sum(sizes[place] for place in inner))
        if sizes[-1] > LARGEST or any(
            elements(shape) > MOST_ELEMENTS for shape in operation.shapes
        ):
            raise _NoFormulaError
        operands = [_operand(recipe, one, done, unknown) for one in operation.operands]
        known_ones = [one for one in operands if one is not None]
        # A constant that was not kept has as many elements as it may.
        open_ended = any(one.kind == "unknown" for one in operation.operands) and any(
            elements(shape) > 1 for shape in (*operation.shapes, *(one.shape for one in known_ones))
        )
        complete = len(known_ones) == len(operands) and not open_ended
        known = _outputs(operation, known_ones, sign) if complete else None
        done.append(known or _made_up(operation, operands, unknown))
    last = done[-1][0]
    if last.size != 1:
        raise _NoFormulaError
    return last.item()


def _operand(
    recipe: Recipe, operand: Operand, done: Sequence[Sequence[Array]], unknown: dict[Any, Any]
) -> Array | None:
    place = int(operand.place) if operand.kind in ("inner", "input") else 0
    match operand.kind:
        case "inner":
            return done[place][operand.output_nr]
        case "input":
            shape = recipe.inputs[place].shape
            if shape is None or elements(shape) > MOST_ELEMENTS:
                return None
            return array([symbol(place, at) for at in range(elements(shape))], shape)
        case "number":
            return array([scalars.number(operand.place)], ())
    return array([_unknown(unknown, frozenset())], ())  # a constant that was not kept


def _unknown(unknown: dict[Any, Any], made_from: frozenset[Symbol]) -> Symbol:
    new = sympy.Symbol(f"unknown{len(unknown)}")
    unknown[new] = made_from
    return new


def _made_up(
    operation: Operation, operands: Sequence[Array | None], unknown: dict[Any, Any]
) -> list[Array]:
    """Symbols for the results of an operation without a rule, which remember what they are of."""
    free: set[Symbol] = set()
    for operand in operands:
        if operand is None:
            raise _NoFormulaError
        for item in operand.reshape(-1):
            for one in item.free_symbols:
                free |= {one, *unknown.get(one, ())}
    made_from = frozenset(free)
    return [
        array([_unknown(unknown, made_from) for _ in range(elements(shape))], shape)
        for shape in operation.shapes
    ]


def _outputs(
    operation: Operation, operands: Sequence[Array], sign: scalars.Sign
) -> Sequence[Array] | None:
    known, options = known_as(operation.name), dict(operation.options)
    if not operation.shapes:
        return None
    shape = operation.shapes[0]
    of_tensors = arrays.Known(operation.shapes, options, sign)
    try:
        if known.scalar is None or len(operands) != len(known.roles):
            found = known.small and known.small(of_tensors, *operands)
            return found if found is None or isinstance(found, list) else [np.asarray(found)]
        inner = max((each.shape for each in operands), key=elements) if known.loss else shape
        rule = partial(known.scalar, scalars.Options(options, sign))
        found = arrays.elementwise(rule, operands, inner)
    except (KeyError, ValueError, TypeError):  # too little is kept, or another number of operands
        return None
    if not known.loss or (inner == shape and options.get("reduction", 0) == 0):
        return [found]
    total = found.sum()
    return [np.asarray(total if options.get("reduction", 1) == 2 else total / found.size)]


class _Compiled:
    """From the inputs' numbers to an expression's number."""

    def __init__(self, expression: Expr) -> None:
        self._expression = expression
        self._known = all(one.name[0] == "v" for one in expression.free_symbols)
        self._free = sorted(expression.free_symbols, key=lambda one: one.name)
        if self._known:  # nothing that was not kept
            self._places = [(int(one.name[1:4]), int(one.name[5:7])) for one in self._free]
            self._plain = sympy.lambdify(self._free, expression, modules=[_NUMERIC, "math"])

    @cached_property
    def _with_errors(self) -> Callable[..., object]:
        found: Callable[..., object] = sympy.lambdify(
            self._free, self._expression, modules=[rounding.FUNCTIONS]
        )
        return found

    def complete(self, numbers: Sequence[tuple[float, ...] | None]) -> bool:
        """Whether the numbers that it takes were kept."""
        return self._known and all(numbers[place] is not None for place, _ in self._places)

    def _given(self, numbers: Sequence[tuple[float, ...] | None]) -> list[float]:
        return [numbers[place][at] for place, at in self._places]  # type: ignore[index]

    def number(self, numbers: Sequence[tuple[float, ...] | None]) -> float | None:
        """Its number; None where one is missing or none results."""
        if not self.complete(numbers):
            return None
        try:
            return float(self._plain(*self._given(numbers)))
        except (ArithmeticError, ValueError, TypeError):
            return None

    def rounded(self, numbers: Sequence[tuple[float, ...] | None]) -> rounding.Rounded:
        """Its number with a bound on its error."""
        given = map(rounding.Rounded, self._given(numbers))
        return rounding.rounded(self._with_errors(*given))


@lru_cache(2048)
def _compiled(expression: Expr) -> _Compiled:
    return _Compiled(expression)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


_NUMERIC = {
    "log2": math.log2,
    "log10": math.log10,
    "sigmoid": _sigmoid,
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "sinc": lambda x: math.sin(math.pi * x) / (math.pi * x) if x else 1.0,
}
