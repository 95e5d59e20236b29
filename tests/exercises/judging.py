"""How the tests of the exercises judge a set of answers."""

from collections.abc import Mapping
from typing import Any

import autograd_viz as av


def is_solved(exercise: str, answers: Mapping[str, Any]) -> bool:
    """Returns whether all answers are right; says what was found where they are not."""
    verdict = av.check(exercise, **answers)
    assert verdict.state != "wrong", verdict
    return verdict.state == "solved"


def is_wrong(exercise: str, answers: Mapping[str, Any]) -> bool:
    """Returns whether each single answer of a wrong set is found wrong."""
    states = [
        finding.state for name, finding in av.check(exercise, **answers).findings if name in answers
    ]
    return set(states) == {"wrong"}
