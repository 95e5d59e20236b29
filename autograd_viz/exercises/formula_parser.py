"""From the text of an answer to a formula, in the notation of paper, of Python, of our pictures.

No part of a text is ever run: what is not in this grammar is an error that names the place. ::

    sum      = product { ("+" | "-") product }
    product  = row { ("*" | "/") row }
    row      = signed { power }                side by side is a product: 2 x (a + b)
    signed   = ("-" | "+") signed | power
    power    = atom [ "^" signed ]             from right to left; -x^2 is -(x^2)
    atom     = number | name | constant | "(" sum ")" | "|" sum "|" | function
    function = word [ "^" whole ] ( "(" sum { "," sum } ")" | signed )

The signs of a sort are one: `* · × ∗`, `/ ÷`, `- −`, `^ **`, and raised characters are an exponent:
x², e⁻ˣ. Of names only the letters count: ŷ is yhat, w₁ and w_1 are w1, α is alpha. A word that is
not known is read as known ones side by side, the longest first: wx, xlny.

What people read in two ways is an error that says both: `1/2x`, `ln 2 b`, `sin 2x`, `x 2`,
`sin⁻¹ x`, `max(0,5)`. `ln a (a + b)` and `ln a ln b` are written by our pictures, and are products.
"""

from __future__ import annotations

from collections.abc import Iterable

from autograd_viz.exercises.formula import FUNCTIONS, Call, Formula, Name, Number, UnreadableError
from autograd_viz.exercises.formula_lexer import Lexer, Token, Words

LONGEST = 1_000  # characters
DEEPEST = 50  # brackets, signs and exponents within each other


def parsed(text: str, names: Iterable[str] = ()) -> Formula:
    """Read a formula; a name that is not among `names` is left to the caller as it is written.

    Raises:
        UnreadableError: it is no formula, or can be read in two ways; the message says where.

    >>> parsed("2x", ["x"])
    Call(function='*', arguments=(Number(value=2.0), Name(name='x')))
    >>> parsed("2 * (x", ["x"])
    Traceback (most recent call last):
    autograd_viz.exercises.formula.UnreadableError: '2 * (x' cannot be read as a formula: ...
    """
    if len(text) > LONGEST:
        raise UnreadableError(
            f"a text of {len(text)} characters is too long for a formula; write it shorter, "
            "such as '2 * (a + b)'"
        )
    return _Parser(text, Words(names)).whole()


class _Parser:
    """From tokens to a formula, by the grammar above; each method reads one line of it."""

    def __init__(self, text: str, words: Words) -> None:
        self.lexer = Lexer(text, words)
        self.tokens = self.lexer.tokens()
        self.at = 0
        self.open: list[str] = []  # brackets and bars
        self.depth = 0
        self.bare: tuple[int, str] = (-1, "")  # where a function without brackets ended; its text

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, *signs: str) -> bool:
        """Whether one of these signs is next."""
        return self.next.kind == "sign" and self.next.text in signs

    def take(self) -> Token:
        """The next token, which is done with then."""
        self.at += 1
        return self.tokens[self.at - 1]

    def text_from(self, token: int) -> str:
        """The text from a token to here."""
        return self.lexer.text[self.tokens[token].place : self.next.place].strip()

    def whole(self) -> Formula:
        """The formula that all of the text is."""
        found = self.sum()
        if self.next.kind != "end":
            if self.ahead(")"):
                self.lexer.say("a ')' has no '(' before it")
            if self.ahead(","):
                self.lexer.say("a comma stands between the digits of a number or between the "
                               "arguments of a function, as in '0,5' or 'max(a, b)'")  # fmt: skip
            self.lexer.refuse(self.next.place)
        return found

    def sum(self) -> Formula:
        terms = [self.product()]
        while self.ahead("+", "-"):
            negative = self.take().text == "-"
            term = self.product()
            terms.append(Call("-", (term,)) if negative else term)
        return terms[0] if len(terms) == 1 else Call("+", tuple(terms))

    def product(self) -> Formula:
        factors = self.row(divided=False)
        while self.ahead("*", "/"):
            divided = self.take().text == "/"
            row = self.row(divided)
            factors += [Call("/", (row[0],))] if divided else row
        return factors[0] if len(factors) == 1 else Call("*", tuple(factors))

    def row(self, divided: bool) -> list[Formula]:
        start = self.at
        factors = [self.signed()]
        while self.begins_a_factor():
            before, token = self.text_from(start), self.next
            if token.kind == "number":
                self.lexer.say(f"{token.text!r} stands right behind {before!r}; write what is "
                               "between them, such as '*' or '^'")  # fmt: skip
            if self.bare[0] == self.at and token.kind == "name":
                self.lexer.say(f"{self.bare[1]!r} can end there or go on; write brackets, as in "
                               "'ln(2) x' or 'ln(2 x)'")  # fmt: skip
            if divided:
                self.lexer.say(f"'/' can divide by {before!r} alone or by more; write brackets, "
                               "as in '(1/2) x' or '1/(2 x)'")  # fmt: skip
            factors.append(self.power())
        return factors

    def begins_a_factor(self) -> bool:
        if self.ahead("|"):
            return not self.open or self.open[-1] != "|"
        return self.ahead("(") or self.next.kind not in ("sign", "end")

    def signed(self) -> Formula:
        self.depth += 1
        if self.depth > DEEPEST:
            self.lexer.say(f"more than {DEEPEST} brackets or signs stand within each other")
        if self.ahead("-", "+"):
            negative = self.take().text == "-"
            found = self.signed()
            found = Call("-", (found,)) if negative else found
        else:
            found = self.power()
        self.depth -= 1
        return found

    def power(self) -> Formula:
        base = self.atom()
        if not self.ahead("^"):
            return base
        self.take()
        return Call("^", (base, self.signed()))

    def atom(self) -> Formula:
        token = self.next
        if token.kind == "function":
            return self.function()
        if self.ahead("("):
            return self.within("(", ")")[0]
        if self.ahead("|"):
            return Call("abs", tuple(self.within("|", "|")))
        if token.kind in ("sign", "end"):
            self.lexer.say(self.missing())
        self.take()
        if token.kind == "number":
            return Number(token.value)
        return Name(token.text) if token.kind == "name" else Call(token.text, ())

    def missing(self) -> str:
        """What is to be said where a number or name has to stand, and none does."""
        behind = self.lexer.text[: self.next.place].strip()[-12:]
        where = f"after {behind!r}" if behind else "at the beginning"
        return f"a number, a name or a bracket is missing {where}"

    def within(self, opening: str, closing: str, arguments: bool = False) -> list[Formula]:
        """What stands in brackets or bars."""
        self.take()
        self.open.append(opening)
        found = [self.sum()]
        while arguments and self.ahead(","):
            self.take()
            found.append(self.sum())
        if not self.ahead(closing):
            if self.next.kind == "end":
                self.lexer.say(f"a bracket is not closed: {closing!r} is missing at the end")
            self.lexer.refuse(self.next.place)
        self.take()
        self.open.pop()
        return found

    def function(self) -> Formula:
        start = self.at
        name = self.take().text
        raised = self.exponent_of(start) if self.ahead("^") else None
        function = FUNCTIONS[name]
        if self.ahead("("):
            arguments = self.within("(", ")", arguments=True)
        else:
            arguments = [self.signed()]
            self.bare = (self.at, self.text_from(start))
        if not function.least <= len(arguments) <= function.most:
            wanted = "one" if function.least == 1 else "two or more"
            self.lexer.say(f"{self.text_from(start)!r} has {len(arguments)} in its brackets, and "
                           f"wants {wanted}, as in 'exp(x)' or 'max(a, b)'")  # fmt: skip
        found = Call(name, tuple(arguments))
        return Call("^", (found, raised)) if raised else found

    def exponent_of(self, function: int) -> Formula:
        """The exponent in sin² x."""
        self.take()
        exponent = self.signed()
        if not isinstance(exponent, Number):
            self.lexer.say(f"{self.text_from(function)!r} can be read in two ways; write brackets, "
                           "as in '(sin x)^-1', or the name, as in 'asin x'")  # fmt: skip
        return exponent
