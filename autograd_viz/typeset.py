"""Lines of mathematics, and how much room they take.

A picture must look the same with whatever fonts its reader has, so widths come from a table (the
published Adobe metrics of Times, which Times New Roman, Liberation Serif and Nimbus Roman share)
and `svg` makes each piece of text fit its width.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Literal, NamedTuple

Style = Literal["math", "text", "code"]  # italic names, upright rest, PyTorch's names
SMALLER = 0.78  # size of a fraction's parts beside the line's
FRACTION_PAD = 0.12  # em on both sides of a fraction
AXIS = 0.28  # em from the baseline up to a fraction's bar
RAISE = 0.38  # em that an exponent's baseline stands above the line's

_TIMES = {
    200: "|", 250: " ,.", 278: "/:;\\ijlt·", 333: "!'()-[]`frI", 389: "Js", 408: '"', 444: "?acez",
    469: "^", 480: "{}", 500: "#$*0123456789_bdghknopquvxy∂", 541: "~", 556: "FPS", 564: "+<=>×−≈",
    611: "ELTZ", 667: "BCR", 722: "ADGHKNOQUVXYw", 778: "&m", 833: "%", 889: "M", 921: "@",
    944: "W", 1000: "…", 300: "₀₁₂₃₄₅₆₇₈₉",
}  # fmt: skip
_TIMES_ITALIC = {
    250: " ,.", 275: "|", 278: "/\\fijlt", 333: "!'()-:;I`", 389: "[]rsz", 400: "{}", 420: '"',
    422: "^", 444: "Jcekvxy", 500: "#$*0123456789?S_abdghnopqu∂", 541: "~", 556: "LTYZ",
    611: "ABEFPRVX", 667: "CKNw", 675: "+<=>", 722: "DGHOQUm", 778: "&", 833: "%MW", 920: "@",
    1000: "…", 300: "₀₁₂₃₄₅₆₇₈₉",
}  # fmt: skip
# How far italic letters lean out of their width, by the same metrics, in thousandths of an em; f
# and some capitals as in Libertinus, in which files are written, made as wide as Times.
_LEANING = {
    22: "CES", 27: "d", 39: "M", 44: "JUX", 50: "Z", 60: "HKN", 77: "Y", 85: "I", 115: "PT",
    150: "FVW", 220: "f",
}  # fmt: skip
_LEANS = {char: over for over, chars in _LEANING.items() for char in chars}
_WIDTHS = {
    "text": {char: width for width, chars in _TIMES.items() for char in chars},
    "math": {char: width for width, chars in _TIMES_ITALIC.items() for char in chars},
    "code": {},
}
_DEFAULT = {"text": 600, "math": 600, "code": 602}


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text in one style."""

    text: str
    style: Style = "text"
    # Of a number that changes in the reader's page; it stands last in its line.
    key: str | None = field(default=None, repr=False)
    room: str = field(default="", repr=False)  # the text whose width is kept free for it


@dataclass(frozen=True, slots=True)
class Frac:
    """A stacked fraction."""

    above: Line
    below: Line


@dataclass(frozen=True, slots=True)
class Sup:
    """A raised part: an exponent, or the T of a transposed matrix."""

    raised: Line


Line = tuple[Run | Frac | Sup, ...]
TRANSPOSED = Sup((Run("T"),))


class Size(NamedTuple):
    """Room that a line takes, in pixels: `ascent` above its baseline, `descent` below."""

    width: float
    ascent: float
    descent: float


def width(run: Run, size: float) -> float:
    """Width in pixels at a font size in pixels."""
    kept = glyphs(run) if run.key is None else run.room
    return sum(_char_width(char, run.style) for char in kept) * size / 1000


def lean(before: Run | Frac | Sup | None, part: Run | Frac | Sup, size: float) -> float:
    """Pixels between an italic letter that leans over and an exponent, or a bracket's upper end.

    >>> lean(Run("f", "math"), Sup((Run("-1"),)), 10), lean(Run("a", "math"), Run(")"), 10)
    (2.2, 0.0)
    """
    if not isinstance(before, Run) or before.style != "math":
        return 0.0
    tall = isinstance(part, Sup) or (isinstance(part, Run) and part.text[:1] in (*")]|",))
    return _LEANS.get(before.text[-1:], 0) * size / 1000 if tall else 0.0


def glyphs(run: Run) -> str:
    """The text as it is drawn: the star of programs stands too high between letters."""
    return re.sub(r"(?<!\*)\*(?!\*)", "·", run.text) if run.style == "text" else run.text


@cache
def _char_width(char: str, style: Style) -> int:
    if unicodedata.combining(char):
        return 0
    if unicodedata.east_asian_width(char) in "WF":
        return 1000
    return _WIDTHS[style].get(char, _DEFAULT[style])


@lru_cache(4096)
def measure(line: Line, size: float) -> Size:
    """Size of a line at a font size in pixels.

    >>> measure((Run("d = 2"),), 10)
    Size(width=20.64, ascent=7.0, descent=2.2)
    """
    total, ascent, descent = 0.0, 0.7 * size, 0.22 * size
    for before, part in zip((None, *line), line, strict=False):
        total += lean(before, part, size)
        if isinstance(part, Run):
            total += width(part, size)
        elif isinstance(part, Sup):
            raised = measure(part.raised, size * SMALLER)
            total += raised.width
            ascent = max(ascent, RAISE * size + raised.ascent)
        else:
            above, below = (measure(half, size * SMALLER) for half in (part.above, part.below))
            total += max(above.width, below.width) + 2 * FRACTION_PAD * size
            ascent = max(ascent, AXIS * size + above.ascent + above.descent + 0.1 * size)
            descent = max(descent, below.ascent + below.descent + 0.1 * size - AXIS * size)
    return Size(round(total, 2), round(ascent, 2), round(descent, 2))


@lru_cache(4096)
def math(text: str) -> Line:
    """Split text so that names stand in italics, functions (a bracket follows) and numbers not.

    A simple exponent is raised.

    >>> math("d = log2(a)")
    (Run(text='d', style='math'), Run(text=' = log2(', style='text'),
     Run(text='a', style='math'), Run(text=')', style='text'))
    >>> math("x ** 2")
    (Run(text='x', style='math'), Sup(raised=(Run(text='2', style='text'),)))
    """
    parts = re.split(r" ?\*\* ?(-?[\d.]+|[^\W\d]\w*)(?![\w.(\[])", text)
    line: list[Run | Frac | Sup] = [*_math(parts[0])]
    for exponent, rest in zip(parts[1::2], parts[2::2], strict=True):
        line += [Sup(_math(exponent)), *_math(rest)]
    return tuple(line)


def _math(text: str) -> tuple[Run, ...]:
    runs: list[Run] = []
    for match in re.finditer(
        r"([^\W\d][\w.]*(?![\w.(])|[^\W\d]\w*(?=\.\w+\())|[^\W\d][\w.]*|[\d.]\w*(?:\.\d\w*)?|\W",
        text,
    ):
        style: Style = "math" if match[1] else "text"
        before = runs[-1] if runs else Run("")
        # An accent or vowel sign belongs to its letter, and a name goes on after it.
        if _is_mark(match[0]) or (_is_mark(before.text[-1:]) and style == before.style):
            runs[-1:] = [Run(before.text + match[0], before.style)]
        elif style == before.style == "text":
            runs[-1:] = [Run(before.text + match[0])]
        else:
            runs.append(Run(match[0], style))
    return tuple(runs)


def _is_mark(text: str) -> bool:
    return text != "" and unicodedata.category(text[0])[0] == "M"


def plain(line: Line) -> str:
    """The line as ordinary text: a fraction becomes `above/below`, an exponent `^2`.

    >>> plain((Frac((Run("1"),), (Run("a ln 2"),)), Run(" = 0.7213")))
    '1/(a ln 2) = 0.7213'
    """
    return "".join(map(_plain, line))


def _plain(part: Run | Frac | Sup) -> str:
    if isinstance(part, Run):
        return part.text
    if part == TRANSPOSED:
        return "ᵀ"
    if isinstance(part, Sup):
        return f"^{_bracketed(plain(part.raised))}"
    return f"{_bracketed(plain(part.above))}/{_bracketed(plain(part.below))}"


def _bracketed(text: str) -> str:
    """In brackets, unless it is one thing: a name, a number, a call, a part of a derivative."""
    whole = re.fullmatch(r"∂.*|-?[\w.]+(\^[\w.]+)?|[\w.]*\([^()]*\)", text)
    return text if whole else f"({text})"


_LATEX = {
    "∂": r"\partial ", "*": r" \cdot ", "·": r" \cdot ", "×": r" \times ", "…": r"\dots ",
    "−": "-", "@": r" \mathbin{@} ", "≈": r" \approx ", "√": r"\sqrt ", "ᵀ": r"^{\mathsf T}",
    "≤": r" \le ", "≥": r" \ge ", "²": "^2", "³": "^3", "∞": r"\infty ",
    "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "_": r"\_", "{": r"\{", "}": r"\}",
    "\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim ",
}  # fmt: skip
_FUNCTIONS = {name: f"\\{name} " for name in ("exp", "ln", "log", "sin", "cos", "tan", "tanh")}
_FUNCTIONS |= {"sinh": r"\sinh ", "cosh": r"\cosh ", "max": r"\max ", "min": r"\min "}
_FUNCTIONS |= {"log2": r"\log_2 ", "log10": r"\log_{10} "}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def latex(line: Line) -> str:
    r"""The line in LaTeX, without dollar signs.

    >>> print(latex((derivative("e", "c"), Run(" = "), *math("log2(z₁)"), Sup((Run("2"),)))))
    \frac{\partial e}{\partial c} = \log_2 (z_{1})^{2}
    """
    return re.sub(" +", " ", "".join(map(_latex, line))).strip()


def _latex(part: Run | Frac | Sup) -> str:
    if part == TRANSPOSED:
        return r"^{\mathsf T}"
    if isinstance(part, Sup):
        return f"^{{{latex(part.raised)}}}"
    if isinstance(part, Frac):
        return f"\\frac{{{latex(part.above)}}}{{{latex(part.below)}}}"
    words = re.split(r"([^\W\d][\w.]*)", part.text)
    return "".join(
        _latex_word(word, part.style) if position % 2 else _latex_signs(word)
        for position, word in enumerate(words)
    )


def _latex_word(word: str, style: Style) -> str:
    whole, word = word, word.rstrip("₀₁₂₃₄₅₆₇₈₉")
    index = whole[len(word) :]
    below = f"_{{{index.translate(_SUBSCRIPTS)}}}" if index else ""
    if style != "math" and word in _FUNCTIONS:
        return _FUNCTIONS[word] + below
    escaped = word.replace("_", r"\_")
    if len(word) > 1:
        escaped = f"\\{'mathit' if style == 'math' else 'mathrm'}{{{escaped}}}"
    return escaped + below


def _latex_signs(signs: str) -> str:
    return re.sub(" +", " ", "".join(_LATEX.get(sign, sign) for sign in signs))


@lru_cache(4096)
def derivative(of: str, by: str) -> Frac:
    """The stacked fraction d of / d by."""
    return Frac((Run("∂"), *math(_grouped(of))), (Run("∂"), *math(_grouped(by))))


def _grouped(name: str) -> str:
    """In brackets where ∂ would seem to belong to the first part alone, as in ∂(a + b)."""
    return name if re.fullmatch(r"\S+|[\w.]+\([^()]*\)", name) else f"({name})"
