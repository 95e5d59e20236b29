"""Whether two texts say the same: the same words, and numbers that agree but for rounding."""

import math
import re
from itertools import zip_longest

from tests.notebooks.tolerances import DIGITS, NOISE

# Not what belongs to a name, such as the 0 of layers.0, or to a colour.
NUMBER = r"(?<![\w.#])\d+(?:\.\d*)?(?:e[+-]?\d+)?(?!\w)"
# A line's beginning is its indentation; how many blanks keep columns apart says nothing.
TOKEN = re.compile(rf"({NUMBER})|\n[ ]*|[ \t]+|\w+|[^\w\s]+|\s")
BEFORE, AFTER = 12, 6  # tokens around a difference that its message shows


def difference(stored: str, fresh: str) -> str | None:
    """Returns in words where the texts first say different things, or None.

    >>> difference("loss = 0.1234, w = 3", "loss  = 0.1235, w = 3")
    >>> difference("loss = 0.1234, w = 3", "loss = 0.1234, w = 4")
    '“4” instead of “3” in “loss = 0.1234, w = 3”'
    """
    if stored == fresh:
        return None
    old, new = _tokens(stored), _tokens(fresh)
    for place, (was, now) in enumerate(zip_longest(old, new, fillvalue=("", False))):
        if was != now and not (was[1] and now[1] and numbers_agree(was[0], now[0])):
            near = "".join(token for token, _ in old[max(0, place - BEFORE) : place + AFTER])
            return f"“{now[0]}” instead of “{was[0]}” in “{near.strip()}”"
    return None


def _tokens(text: str) -> list[tuple[str, bool]]:
    """Returns the numbers, words and signs of a text, and whether each is a number."""
    lines = "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
    return [
        (" " if token[0].isspace() and "\n" not in token[0] else token[0], token[1] is not None)
        for token in TOKEN.finditer(lines)
    ]


def numbers_agree(stored: str, fresh: str) -> bool:
    """Returns whether two numbers without a sign are the same but for rounding.

    >>> numbers_agree("2.5", "2.501"), numbers_agree("2.5", "2.6"), numbers_agree("15", "16")
    (True, False, False)
    """
    old, new = float(stored), float(fresh)
    larger = max(old, new)
    if old == new or math.isinf(larger) or (_is_whole(stored) and _is_whole(fresh)):
        return old == new
    fourth = math.floor(math.log10(larger)) - DIGITS + 1
    last = min(fourth, _last_place(stored), _last_place(fresh))
    return abs(old - new) <= max(1.001 * 10.0**last, NOISE * larger)


def _is_whole(number: str) -> bool:
    return number.removesuffix(".").isdigit()


def _last_place(number: str) -> int:
    """Returns the power of ten of the last digit: -2 for 0.25, -8 for 1.234e-05."""
    digits, _, exponent = number.partition("e")
    return int(exponent or 0) - len(digits.partition(".")[2])
