"""Local derivatives between numbers: a formula in the variables' names, and autograd's number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from autograd_viz import text
from autograd_viz.formulas import hooks
from autograd_viz.formulas.recipes import Read, Recipe, elements, is_to_constant, read
from autograd_viz.model import Link, Slot, Variables
from autograd_viz.picture import Formula
from autograd_viz.text import has_numbers
from autograd_viz.typeset import Line, Run, derivative, math, plain

if TYPE_CHECKING:
    from autograd_viz.formulas.symbolic import Derivative

LONGEST = 45  # characters of a formula that a picture shows; a longer one gives way to its number


class _Slope(NamedTuple):
    """A local derivative between two numbers."""

    symbol: Line
    formula: Line  # (): none is known
    condition: str  # "x > 0"; "": it holds everywhere
    number: float | None
    derivative: Derivative | None
    read: Read | None


def local_derivative(variables: Variables, link: Link) -> Formula | None:
    """The local derivative between two numbers: its formula in the variables' names, its number.

    The formula is derived from the graph's operations; a function with corners (relu, abs,
    maximum) has that of its branch at the current point, and the condition for it. The number is
    autograd's own. Where the formula gives another one (a custom backward, a hook), or where an
    operation has no formula here, the number stands alone.

    Args:
        variables: a traced computation by variable.
        link: one of its links; both of its ends hold one element.

    Returns:
        The formula, or None for a link between tensors, to a constant, or where nothing is known.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> b = torch.tensor(4.0, requires_grad=True)
    >>> d = torch.log2(a) * torch.log2(b)
    >>> variables = av.trace(d).variables()
    >>> print(local_derivative(variables, variables.links[0]))
    ∂d/∂a = log2(b)/(a ln 2) = 1.4427
    """
    slope = _slope(variables, link)
    return None if slope is None else Formula(_line(slope, longest=None))


def local_line(variables: Variables, link: Link) -> Line | None:
    """As `local_derivative`, but with the number alone where the formula is long."""
    slope = _slope(variables, link)
    return None if slope is None else _line(slope, LONGEST)


def has_formula(variables: Variables, link: Link) -> bool:
    """Whether the local derivative of a link between numbers is known as a formula."""
    slope = _slope(variables, link)
    return slope is not None and slope.formula != ()


class Written(NamedTuple):
    """What is written of a link but for its number."""

    formula: str  # "": the number stands alone
    condition: str = ""
    has_number: bool = True
    is_number: bool = False  # a formula that reads like it: the two are written once


def written(variables: Variables, link: Link) -> Written | None:
    """What is written of a link between numbers: runs in which it is the same differ in these."""
    slope = _slope(variables, link)
    if slope is None:
        return None
    formula = plain(slope.formula)
    alone = slope.number is not None and formula == text.number(slope.number)
    return Written(formula, slope.condition, slope.number is not None, alone)


def substituted(variables: Variables, link: Link, factor: float = 1) -> Line | None:
    """The formula of a link with its numbers, not evaluated, and times a number: `12/(2 ln 2)`.

    None where there is no formula, or where it would be a lone number.
    """
    slope = _slope(variables, link)
    if slope is None or slope.derivative is None or slope.read is None:
        return None
    from autograd_viz.formulas import symbolic, writing

    names = {
        symbolic.symbol(place, at): text.number(number)
        for place, numbers in enumerate(slope.read.numbers)
        for at, number in enumerate(numbers or ())
    }
    found = slope.derivative.expression
    if not found.free_symbols <= names.keys():
        return None  # a value was not kept
    if factor != 1:
        found = writing.scaled(symbolic.FACTOR, found)
        names[symbolic.FACTOR] = text.number(factor)
    line = writing.line(found, names)
    return None if re.fullmatch(r"-?[\d.e+-]+", plain(line)) else line


def _slope(variables: Variables, link: Link) -> _Slope | None:
    source, target = variables.nodes[link.source], variables.nodes[link.target]
    if is_to_constant(variables, link):
        return None
    outputs = [variables.outputs(one) for one in (source, target)]
    if any(len(one) != 1 or elements(one[0].shape) != 1 for one in outputs):
        return None
    symbol: Line = (derivative(text.clean(source.title), text.clean(target.title)),)
    alone = _Slope(symbol, (), "", link.local, None, None)
    found = read(variables, source)
    place = found.places.get((target.id, 0)) if found else None
    if found is None or place is None:
        return alone if link.local is not None else None
    from autograd_viz.formulas import symbolic

    known = symbolic.derivative(found.recipe, place, found.numbers)
    if known is None or not _holds(known, found, variables, link):
        return alone if link.local is not None else None
    formula, condition = _written(found.recipe, known)
    return _Slope(symbol, formula, condition, link.local, known, found)


def _holds(known: Derivative, found: Read, variables: Variables, link: Link) -> bool:
    """Whether the formula, computed, is the local derivative, or gives what was sent."""
    from autograd_viz.formulas import rounding, symbolic

    dtype, trace = _dtype(variables, link), variables.trace
    if link.local is not None:
        return symbolic.holds(known, found.numbers, link.local, dtype)
    source, value = variables.nodes[link.source].node, symbolic.value(known, found.numbers)
    arrived = None if trace is None or source is None else trace.arrived(Slot(source, 0))
    sent = hooks.computed(variables, link)
    if value is None or arrived is None or sent is None or arrived.is_complex():
        return False
    if not (has_numbers(arrived) and has_numbers(sent)):
        return False
    return rounding.close(float(sent), value * float(arrived), dtype)


def _dtype(variables: Variables, link: Link) -> str:
    """The coarsest of the data types in which a link's local derivative was computed."""
    from autograd_viz.formulas import rounding

    ends = (variables.nodes[link.source], variables.nodes[link.target])
    outputs = [output for one in ends for output in variables.outputs(one)]
    for node in ends[0].members:
        outputs += variables.graph.nodes[node].outputs
    return rounding.coarsest(output.dtype for output in outputs)


def _line(slope: _Slope, longest: int | None) -> Line:
    number = "?" if slope.number is None else text.number(slope.number)
    formula = plain(slope.formula)
    if not formula or (longest is not None and len(formula + slope.condition) > longest):
        return (*slope.symbol, Run(f" = {number}"))
    line: Line = (*slope.symbol, Run(" = "), *slope.formula)
    if slope.number is not None and formula not in (number, text.as_written(slope.number)):
        line = (*line, Run(f" = {number}"))
    return (*line, Run(" if "), *math(slope.condition)) if slope.condition else line


@lru_cache(1024)
def _written(recipe: Recipe, known: Derivative) -> tuple[Line, str]:
    """The formula in the variables' names, and the condition for it."""
    from autograd_viz.formulas import symbolic, writing

    names = {
        symbolic.symbol(place, at): title
        for place in range(len(recipe.inputs))
        for at, title in enumerate(_titles(recipe, place))
    }
    conditions: dict[tuple[object, ...], str] = {}
    bounds: dict[tuple[object, ...], float] = {}
    for left, right, sign in known.conditions:
        if not (left.free_symbols | right.free_symbols) <= names.keys():
            continue
        if not left.free_symbols:
            left, right, sign = right, left, -sign
        key: tuple[object, ...] = (left, sign) if right.is_number and sign else (left, right, sign)
        bound = -sign * float(right) if right.is_number else 0.0
        if bounds.get(key, bound) < bound:
            continue  # x < 1 says nothing beside x < 0
        bounds[key] = bound
        sides = (plain(writing.line(side, names)) for side in (left, right))
        conditions[key] = f" {'=><'[sign]} ".join(sides)
    return writing.line(known.expression, names), " and ".join(dict.fromkeys(conditions.values()))


def _titles(recipe: Recipe, place: int) -> Iterator[str]:
    """The names of an input's elements: `w`, or `w[0]`, `w[1]`."""
    title, shape = recipe.inputs[place]
    if shape is None:
        return
    count = elements(shape)
    for at in range(count):
        if count == 1:
            yield title
            continue
        index = []
        rest = at
        for size in reversed(shape):
            rest, last = divmod(rest, size)
            index.append(str(last))
        yield f"{title}[{', '.join(reversed(index))}]"
