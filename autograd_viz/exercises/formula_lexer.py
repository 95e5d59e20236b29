"""The words and signs of a formula: the text of an answer, cut into tokens."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, NoReturn

from autograd_viz.exercises.formula import (
    CONSTANTS,
    FUNCTIONS,
    WORDS,
    UnreadableError,
    known_function,
)

_SIGNS = {
    **dict.fromkeys("·×∗⋅∙•", "*"),
    **dict.fromkeys("÷\u2044\u2215", "/"),
    **dict.fromkeys("−\u2010\u2011\u2013", "-"),
    **dict.fromkeys("′\u2019", "'"),
    "√": "√",
}
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁱⁿˣʸᵃᵇᶜᵈᵏᵐᵗᵘᵛʷᶻ"
_MARKS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "bar", "\u0307": "dot"}
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    | (?P<raised>[{_RAISED}]+)
    | (?P<number>(?:[0-9]+(?:_[0-9]+)*(?:[.,][0-9]+|\.)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<fraction>[¼-¾⅐-⅞])
    | (?P<word>(?:(?:math|cmath|torch|nn|functional|F|np|numpy|sympy)\.)*
        (?![{_RAISED}])[^\W\d_](?:(?![{_RAISED}])[\w'{"".join(_MARKS)}])*)
    | (?P<root>√)
    | (?P<sign>\*\*|[-+*/^()|,])""",
    re.VERBOSE,
)  # fmt: skip


class Token(NamedTuple):
    """A piece of the text, and where it begins."""

    kind: Literal["number", "name", "function", "constant", "sign", "end"]
    text: str  # of a name or function: what it is called here
    place: int
    value: float = 0.0  # of a number


class Words:
    """What the words of a formula stand for."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = {_spelled(name): name for name in names}
        self.longest_first = sorted({*self.names, *WORDS}, key=lambda word: (-len(word), word))

    def tokens(self, word: str, place: int) -> list[Token]:
        """The word as one token, or as several side by side."""
        *module, bare = word.split(".")  # np.exp
        spelled = _spelled(bare)
        token = self.known(spelled, place)
        if token and (token.kind != "name" or not module):
            return [token]
        if (
            not module
            and "_" not in word
            and (pieces := self._pieces(spelled, place, spelled == word))
        ):
            return pieces
        return [Token("name", word, place)]

    def known(self, word: str, place: int) -> Token | None:
        """What a word stands for, names of the exercise first."""
        if word in self.names:
            return Token("name", self.names[word], place)
        function = known_function(word)
        if function is None:
            return None
        return Token("constant" if function in CONSTANTS else "function", function, place)

    def _pieces(self, word: str, place: int, as_written: bool) -> list[Token]:
        """A word as known ones, the longest first; digits may follow a function: ln2."""
        begins: list[str | None] = [None] * len(word)  # the piece that begins there
        for start in range(len(word) - 1, -1, -1):
            digits = re.match("[0-9]{1,300}", word[start:])
            for known in [digits[0]] if digits else self.longest_first:
                end = start + len(known)
                if word.startswith(known, start) and (end == len(word) or begins[end]):
                    begins[start] = known
                    break
        found: list[Token] = []
        start = 0
        while start < len(word):
            piece = begins[start]
            here = place + start * as_written
            token = piece and self.known(piece, here)
            if piece and piece.isdigit() and found and found[-1].kind == "function":
                token = Token("number", piece, here, float(piece))
            if not piece or not token:
                return []
            found.append(token)
            start += len(piece)
        return found


def _spelled(word: str) -> str:
    """A word in plain letters: `ŷ` is yhat, `w_1` is w1, `α` is alpha."""
    letters = []
    for sign in unicodedata.normalize("NFD", word):
        name = unicodedata.name(sign, "")
        if name.startswith("GREEK") and " LETTER " in name:
            spelled = name.split()[-1].replace("LAMDA", "LAMBDA")
            sign = spelled.capitalize() if "CAPITAL" in name else spelled.lower()
        letters.append(_MARKS.get(sign, sign))
    return "".join(letters).replace("_", "")


def _plain(sign: str) -> str:
    """One character for each, so that places stay: ½ stays, × is *, what is not seen a space."""
    if sign in _SIGNS:
        return _SIGNS[sign]
    if unicodedata.category(sign) == "Cf":
        return " "
    same = unicodedata.normalize("NFKC", sign)
    return same if len(same) == 1 and sign not in _RAISED else sign


class Lexer:
    """From text to tokens."""

    def __init__(self, text: str, words: Words) -> None:
        self.text = text
        self.words = words
        self.calls: list[bool] = []  # of each open bracket: whether arguments may stand in it

    def tokens(self) -> list[Token]:
        """All tokens, and one more that is the end."""
        found: list[Token] = []
        plain, place = "".join(map(_plain, self.text)), 0
        while place < len(plain):
            match = _TOKEN.match(plain, place)
            if match is None:
                self.refuse(place)
            found += self._token(match, found[-1] if found else None)
            place = match.end()
        return [*found, Token("end", "", len(plain))]

    def _token(self, match: re.Match[str], before: Token | None) -> Sequence[Token]:
        kind, text, place = match.lastgroup, match[0], match.start()
        if kind == "raised":
            return self._raised(text, place)
        if kind == "number":
            return [self._number(text, place)]
        if kind == "fraction":
            return [Token("number", text, place, unicodedata.numeric(text))]
        if kind == "word":
            return self.words.tokens(text, place)
        if kind == "root":
            return [Token("function", "sqrt", place)]
        if text == "(":
            several = before and before.kind == "function" and FUNCTIONS[before.text].most > 1
            self.calls.append(bool(several))
        if text == ")" and self.calls:
            self.calls.pop()
        return [] if kind == "space" else [Token("sign", "^" if text == "**" else text, place)]

    def _raised(self, text: str, place: int) -> list[Token]:
        inner = Lexer("".join(unicodedata.normalize("NFKC", sign) for sign in text), self.words)
        within = [token._replace(place=place) for token in inner.tokens()[:-1]]
        signs = [Token("sign", sign, place) for sign in "^()"]
        return [*signs[:2], *within, signs[2]]

    def _number(self, text: str, place: int) -> Token:
        if "," in text and self.calls and self.calls[-1]:
            self.say(f"{text!r} can be one number or two; write {text.replace(',', '.')!r}, or "
                     f"{text.replace(',', ', ')!r}")  # fmt: skip
        value = float(text.replace(",", ".").replace("_", ""))
        if math.isinf(value):
            self.say("a number in it is too large: above 1.8e308 there are no floats")
        return Token("number", text, place, value)

    def refuse(self, place: int) -> NoReturn:
        """Say that it is no formula from there on."""
        here = self.text[place : place + 12]
        if here.startswith("="):
            self.say("write only what stands right of '='")
        if here.startswith(("[", "{")):
            self.say("the brackets of a formula are round, as in '2 * (a + b)'")
        self.say(
            f"nothing is known of {here!r}; a formula has numbers, names, signs and brackets, "
            "as in '2 * (a + b)'"
        )

    def say(self, why: str) -> NoReturn:
        """Raise the error of a text that is no formula."""
        text = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
        raise UnreadableError(f"{text!r} cannot be read as a formula: {why}")
