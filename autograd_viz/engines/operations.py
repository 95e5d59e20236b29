"""Which of PyTorch's gradient functions has the text and the formula of an engine's operation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autograd_viz.operators.table import TABLE, functions

_BY_DIMENSIONS = {(2, 2): "Mm", (2, 1): "Mv", (1, 1): "Dot"}
_PRODUCTS = {"@", *functions(lambda known: known.sign == "@")}
_WORDS = [
    {
        word: known.name
        for known in TABLE.values()
        if len(known.roles) == count and known.sign != "@" and not known.loss
        for word in (known.name.lower(), *known.calls, *known.words)
    }
    for count in (1, 2)
]
_POWER = re.compile(r"(?:\*\*|\^|pow|power)\s*\(?\s*(-?\d+\.?\d*(?:e-?\d+)?)\s*\)?")

SYMMETRIC = {known.name for known in TABLE.values() if known.symmetric}


class Rule(NamedTuple):
    """How an operation reads and what its derivative is."""

    name: str  # "Mul"; "": no rule is known
    roles: tuple[str, ...]  # what PyTorch calls the inputs
    numbers: Mapping[str, float]  # that the operation's text has in it


def rule(operation: str, dimensions: Sequence[int]) -> Rule:
    """The rule of an operation by what the engine calls it, as "+" or "add", "ReLU" or "relu".

    Args:
        operation: the engine's text.
        dimensions: of each input, in order.

    >>> rule("*", [0, 0])
    Rule(name='Mul', roles=('self', 'other'), numbers={})
    >>> rule("**3", [0])
    Rule(name='Pow', roles=('self', 'exponent'), numbers={'exponent': 3.0})
    >>> rule("-", [0]).name, rule("@", [2, 1]).name, rule("gate", [0]).name
    ('Neg', 'Mv', '')
    """
    word = operation.strip().lower().removesuffix("()")
    power = _POWER.fullmatch(word) if len(dimensions) == 1 else None
    if power:
        return Rule("Pow", TABLE["Pow"].roles, {"exponent": float(power[1])})
    if len(dimensions) == 2 and word in _PRODUCTS:
        name = _BY_DIMENSIONS.get((dimensions[0], dimensions[1]), "Matmul")
    else:
        name = _WORDS[len(dimensions) - 1].get(word, "") if len(dimensions) in (1, 2) else ""
    return Rule(name, TABLE[name].roles if name in TABLE else ("self", "other") if name else (), {})
