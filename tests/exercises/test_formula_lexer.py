"""Words and signs are the same in many spellings."""

import pytest

from autograd_viz.exercises.formula import UnreadableError
from autograd_viz.exercises.formula_lexer import Lexer, Words

NAMES = ("x", "y", "w", "w1", "w2", "yhat", "alpha", "width")


def texts(text, names=NAMES):
    return [token.text for token in Lexer(text, Words(names)).tokens()]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("2*x", "2 * x"), ("2·x×y∗w⋅x", "2 * x * y * w * x"), ("x÷y\u2215w", "x / y / w"),
        ("x−y\u2013w", "x - y - w"), ("x**y", "x ^ y"), ("x²", "x ^ ( 2 )"), ("e⁻ˣ", "e ^ ( - x )"),
        ("ŷ", "yhat"), ("y\u0302", "yhat"), ("w₁ w_2", "w1 w2"), ("α", "alpha"), ("π", "pi"),
        ("\U0001d465", "x"), ("\uff58", "x"),
        ("√x", "sqrt x"), ("σ(x)", "sigmoid ( x )"), ("ln x", "log x"),
        ("log₂x", "log2 x"), ("log_2(x)", "log2 ( x )"), ("np.exp(x)", "exp ( x )"),
        ("torch.nn.functional.relu(x)", "relu ( x )"), ("math.pi", "pi"),
        ("Max(x,y)", "max ( x , y )"),
        ("wx", "w x"), ("w1x", "w1 x"), ("xlny", "x log y"), ("xe^x", "x e ^ x"), ("ln2", "log 2"),
        ("2widthx", "2 width x"), ("1e-3x", "1e-3 x"), ("2e", "2 e"), ("0,5", "0,5"),
        ("x\u2062y\u200b", "x y"),
    ],
)  # fmt: skip
def test_spellings(text, tokens):
    assert texts(text) == [*tokens.split(), ""]


def test_names_of_the_exercise_come_before_functions_and_constants():
    assert texts("e ln", ("e", "ln")) == ["e", "ln", ""]
    assert Lexer("e", Words(["e"])).tokens()[0].kind == "name"


@pytest.mark.parametrize("word", ["w12", "x2", "q", "wq", "x_y", "np.x", "os.x", "x'", "dx"])
def test_what_is_not_made_of_known_words_stays_one_word_or_is_refused(word):
    try:
        assert texts(word) == [word, ""]
    except UnreadableError as error:
        assert "nothing is known of" in str(error)  # noqa: PT017 - either is right


def test_places_are_those_of_the_text():
    tokens = Lexer("½ x² + ŷ", Words(NAMES)).tokens()
    assert [token.place for token in tokens] == [0, 2, 3, 3, 3, 3, 5, 7, 8]
    assert tokens[0].value == 0.5
