"""What people write as a formula is read as they mean it, or refused in words; nothing runs."""

import math
import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Symbol, log

from autograd_viz.exercises.formula import (
    FUNCTIONS,
    Call,
    Formula,
    Name,
    Number,
    UnreadableError,
    as_sympy,
    names_in,
    value,
)
from autograd_viz.exercises.formula_lexer import Lexer, Words
from autograd_viz.exercises.formula_parser import LONGEST, parsed
from autograd_viz.formulas import writing
from autograd_viz.typeset import plain

POINT = {"a": 2.0, "b": 5.0, "x": 1.5, "y": 0.5, "w": 3.0, "w1": 0.25, "yhat": 0.75, "z": -0.5}
A, B, X, Y, W, W1, YHAT, Z = POINT.values()


def number(text):
    formula = parsed(text, POINT)
    assert names_in(formula) <= POINT.keys()
    return value(formula, POINT)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("log2(b)/(a ln 2)", math.log2(B) / (A * math.log(2))),
        ("7/(2 ln 2)", 7 / (2 * math.log(2))), ("7/(2ln2)", 7 / (2 * math.log(2))),
        ("ln a / b", math.log(A) / B), ("math.log(a)/b", math.log(A) / B),
        ("torch.log(a) / b", math.log(A) / B), ("np.exp(x)", math.exp(X)),
        ("3x²y", 3 * X**2 * Y), ("2ln y", 2 * math.log(Y)), ("wx", W * X), ("2×x÷y", 2 * X / Y),
        ("2·x−y∗w", 2 * X - Y * W), ("√x", math.sqrt(X)), ("x⁻¹", 1 / X), ("y³", Y**3),
        ("w₁ w", W1 * W), ("|z|", 0.5), ("|z|w", 1.5), ("||z| - 2|", 1.5), ("2|z||w|", 3.0),
        ("σ(z)", 1 / (1 + math.exp(0.5))), ("x^2", X**2), ("x**2", X**2), ("2(x+1)", 5.0),
        ("a b", 10.0), ("e^x", math.exp(X)), ("e⁻ˣ", math.exp(-X)), ("π", math.pi), ("0,5", 0.5),
        ("10.656", 10.656), ("10,656", 10.656), ("1e-3", 1e-3), ("ŷ - y", 0.25), ("½x", 0.75),
        ("-x^2", -(X**2)), ("2^-x", 2**-X), ("2^3^2", 512.0), ("-2x y", -1.5), ("a - -b", 7.0),
        ("a/b*w", 1.2), ("a/b/w", 2 / 15), ("x(1-y)", 0.75), ("(a)(b)", 10.0), ("+a", 2.0),
        ("sin² x", math.sin(X) ** 2), ("sin^2(x)", math.sin(X) ** 2), ("ln x²", math.log(X**2)),
        ("ln(x)²", math.log(X) ** 2), ("exp -x", math.exp(-X)), ("ln ln b", math.log(math.log(B))),
        ("ln a (a + b)", math.log(A) * 7), ("ln a ln b", math.log(A) * math.log(B)),
        ("ln a e^b", math.log(A) * math.exp(B)), ("log(8, 2)", 3.0), ("exp(0,5)", math.exp(0.5)),
        ("max(0, x)", X), ("Max(0, z)", 0.0), ("min(a, b, x)", 1.5), ("relu(w1 x)", W1 * X),
        ("e^2x", math.e**2 * X), ("max((0,5), z)", 0.5),
    ],
)  # fmt: skip
def test_what_people_write(text, wanted):
    assert number(text) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1/2x", "'/' can divide by '2' alone or by more"),
        ("a/b c", "'/' can divide by 'b' alone or by more"),
        ("1/2(x + 1)", "'/' can divide by '2' alone"),
        ("ln 2 b", "'ln 2' can end there or go on"), ("sin 2x", "'sin 2' can end there or go on"),
        ("ln wx", "'ln w' can end there"), ("x 2", "'2' stands right behind 'x'"),
        ("2 3", "'3' stands right behind '2'"), ("sin⁻¹ x", "as in 'asin x'"),
        ("max(0,5)", "'0,5' can be one number or two; write '0.5', or '0, 5'"),
        ("2 * (x", "')' is missing at the end"), ("|x", "'|' is missing at the end"),
        ("x)", "a ')' has no '(' before it"), ("(x|", "is missing after '(x|'"),
        ("x +", "a number, a name or a bracket is missing after 'x +'"),
        ("* x", "is missing at the beginning"), ("", "is missing at the beginning"),
        ("1,000,000", "a comma stands between"), ("exp()", "is missing after 'exp('"),
        ("max(x)", "wants two or more"), ("dw = 2x", "only what stands right of '='"),
        ("[x]", "brackets of a formula are round"), ("x.__class__", "known of '.__class__'"),
        ("__import__('os')", "nothing is known of"), ("5 %", "nothing is known of '%'"),
        ("relu.__globals__['linecache'].os.system('id')", "nothing is known of '.__globals__'"),
        ("(lambda: 0)()", "nothing is known of ':"), ("\ud800", r"nothing is known of '\ud800'"),
        ("1e999999999", "above 1.8e308"), ("9" * 400, "above 1.8e308"),
        ("(" * 200 + "x" + ")" * 200, "more than 50"), ("-" * 200 + "x", "more than 50"),
        ("2^" * 200 + "2", "more than 50"), ("|" * 200, "more than 50"),
        ("sin " * 200 + "x", "more than 50"), ("(" * 100_000, "too long"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_and_what_to_write(text, told):
    with pytest.raises(UnreadableError) as error:
        parsed(text, POINT)
    assert told in str(error.value)
    assert len(str(error.value)) < 300
    str(error.value).encode()  # can be printed


@pytest.mark.parametrize("text", ["x" * 900, "1+" * 490 + "1", "1/" * 490 + "2", "2*" * 490 + "x"])
def test_a_long_row_is_no_deep_one(text):
    assert math.isfinite(number(text))


def test_a_formula_goes_to_sympy_as_it_was_written_and_nothing_is_computed():
    assert str(as_sympy(parsed("9^9^9"))) == "9**(9**9)"
    assert as_sympy(parsed("2 ln x", POINT)) == 2 * log(Symbol("x"))


# --- random formulas, written in several notations ---------------------------------------------

LEAVES = st.sampled_from(["a", "b", "x", "y", "yhat"]).map(Name) | st.sampled_from(
    [0.5, 1.0, 2.0, 3.0, 10.0]
).map(Number)
ONE = [name for name, each in FUNCTIONS.items() if each.most == 1 and name.isalpha()]


def larger(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return (
        st.builds(Call, st.sampled_from(["+", "*"]), several)
        | st.builds(lambda x, y: Call("*", (x, Call("/", (y,)))), inner, inner)
        | st.builds(lambda name, x: Call(name, (x,)), st.sampled_from([*ONE, "-"]), inner)
        | st.builds(lambda x, n: Call("^", (x, Number(n))), inner, st.sampled_from([2.0, 3.0]))
        | st.builds(Call, st.sampled_from(["max", "min"]), several)
    )


FORMULAS = st.recursive(LEAVES, larger, max_leaves=12)
RAISED = {2.0: "²", 3.0: "³"}


def in_python(formula: Formula) -> str:
    match formula:
        case Number(number):
            return repr(number)
        case Name(name):
            return name
        case Call("+", terms):
            return f"({' + '.join(map(in_python, terms))})"
        case Call("*", (one, Call("/", (other,)))):
            return f"({in_python(one)} / {in_python(other)})"
        case Call("*", factors):
            return f"({' * '.join(map(in_python, factors))})"
        case Call("-", (inner,)):
            return f"(-{in_python(inner)})"
        case Call("^", (base, exponent)):
            return f"({in_python(base)})**{in_python(exponent)}"
        case Call("log", (inner,)):
            return f"math.log({in_python(inner)})"
        case Call(function, arguments):
            return f"{function}({', '.join(map(in_python, arguments))})"
    raise AssertionError(formula)


def on_paper(formula: Formula) -> str:
    """Side by side, with raised exponents, commas, bars, and accents."""
    match formula:
        case Number(number):
            return f"{number:g}".replace(".", ",")
        case Name(name):
            return {"yhat": "ŷ"}.get(name, name)
        case Call("+", terms):
            return f"({'+'.join(map(on_paper, terms))})"
        case Call("*", (one, Call("/", (other,)))):
            return f"(({on_paper(one)})÷({on_paper(other)}))"
        case Call("*", factors):
            return "".join(f"({on_paper(factor)})" for factor in factors)
        case Call("-", (inner,)):
            return f"(−({on_paper(inner)}))"
        case Call("^", (base, Number(exponent))):
            return f"({on_paper(base)}){RAISED[exponent]}"
        case Call("abs", (inner,)):
            return f"|{on_paper(inner)}|"
        case Call("log", (Name() as inner,)):
            return f"(ln {on_paper(inner)})"
        case Call("sqrt", (inner,)):
            return f"√({on_paper(inner)})"
        case Call("sigmoid", (inner,)):
            return f"σ({on_paper(inner)})"
        case Call("max" | "min" as function, arguments):
            return f"{function}({', '.join(f'({on_paper(each)})' for each in arguments)})"
        case Call(function, (inner,)):
            return f"{function}({on_paper(inner)})"
    raise AssertionError(formula)


def reads_back(formula: Formula, written: Callable[[Formula], str]) -> bool:
    text = written(formula)
    try:
        again = parsed(text, POINT)
    except UnreadableError as error:
        return "too long" in str(error) or "more than 50" in str(error)
    return value(again, POINT) == pytest.approx(value(formula, POINT), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(FORMULAS, st.sampled_from([in_python, on_paper]))
def test_a_formula_that_is_written_down_is_read_back(formula, written):
    assert reads_back(formula, written), written(formula)


@pytest.mark.large
@settings(max_examples=20_000, deadline=None)
@given(FORMULAS, st.sampled_from([in_python, on_paper]))
def test_many_formulas_are_read_back(formula, written):
    assert reads_back(formula, written), written(formula)


KNOWN_TO_PICTURES = st.recursive(
    st.sampled_from(["a", "b", "x"]).map(Name) | st.sampled_from([1.0, 2.0, 3.0]).map(Number),
    lambda inner: (
        st.builds(lambda f, x: Call(f, (x,)), st.sampled_from(["log", "exp", "sin", "-"]), inner)
        | st.builds(lambda f, x, y: Call(f, (x, y)), st.sampled_from(["+", "*"]), inner, inner)
        | st.builds(lambda x, y: Call("*", (x, Call("/", (y,)))), inner, inner)
    ),
    max_leaves=6,
)


def is_read_from_a_picture(formula: Formula) -> bool:
    expression = as_sympy(formula).doit()
    finite = value(formula, POINT)
    if not math.isfinite(finite) or not expression.is_finite:
        return True
    names = {Symbol(name): name for name in POINT}
    text = plain(writing.line(expression, names))
    return number(text) == pytest.approx(finite, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(KNOWN_TO_PICTURES)
def test_what_a_picture_writes_can_be_copied(formula):
    assert is_read_from_a_picture(formula)


# --- anything at all -----------------------------------------------------------------------------

PIECES = [
    *("(", ")", "|", "+", "-", "*", "/", "^", "**", ",", ".", " ", "²", "⁻¹", "√", "½", "=", "'"),
    *("a", "x", "ŷ", "w1", "wx", "e", "pi", "ln", "sin", "max", "σ", "log₂", "np.exp", "__class__"),
    *(
        "1",
        "2.5",
        "0,5",
        "1e9",
        "1e400",
        "{",
        "[",
        "lambda",
        "\x00",
        "\ud800",
        "\u2062",
        "\U0001d465",
    ),
]
SOUP = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
ANYTHING = SOUP | st.text(alphabet=st.characters(exclude_categories=()), max_size=80)
DEEP = st.builds(
    lambda opening, times, rest: opening * times + rest,
    st.sampled_from(["(", "|", "-", "2^", "sin(", "√", "max(1, ", "x/("]),
    st.integers(0, 400),
    SOUP,
)


def steps_to_read(text: str) -> int:
    """How many calls of Python functions it takes to read a text, and to compute the formula."""
    steps = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        formula = parsed(text, POINT)
        value(formula, dict.fromkeys(names_in(formula), 1.5))
    except UnreadableError as error:
        str(error).encode()
    finally:
        sys.setprofile(before)
    return steps


def is_bounded(text: str) -> bool:
    return steps_to_read(text) <= 3_000 + 400 * min(len(text), LONGEST)


@settings(max_examples=150, deadline=None)
@given(ANYTHING | DEEP)
def test_any_text_is_a_formula_or_an_error_in_words_and_takes_few_steps(text):
    assert is_bounded(text)


@pytest.mark.large
@settings(max_examples=50_000, deadline=None)
@given(ANYTHING | DEEP)
def test_many_texts_are_formulas_or_errors_in_words(text):
    assert is_bounded(text)


def test_each_character_of_unicode_is_one_character_for_the_reader_of_signs():
    for code in range(0, 0x11_0000, 97):
        text = chr(code)
        try:
            tokens = Lexer(f"x{text}", Words(POINT)).tokens()
        except UnreadableError:
            continue
        assert tokens[-1].place == 1 + len(text), unicodedata.name(text, hex(code))
