"""What a reader sees who calls check, hint and solution, rightly and wrongly."""

import collections
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import sympy
import torch

import autograd_viz as av
from autograd_viz.exercises.series import exercises


def fresh(code: str) -> list[str]:
    """What a process that knows no answers yet prints."""
    command = [sys.executable, "-c", f"import autograd_viz as av\n{code}"]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_an_unfinished_stub_is_one_calm_line():
    (line,) = fresh('print(av.check("4.4", dw1=..., dw2=...))')
    assert line.startswith("Exercise 4.4: still to do: dw1, dw2. Notebook 09: □")
    (line,) = fresh('print(av.check("4.4", dw1="2 * (yhat - y) * x"))')
    assert line.startswith("Exercise 4.4: dw1 right so far; still to do: dw2. ")


def test_progress_counts_each_exercise_once():
    solve = 'print(av.check("4.4", dw1="2 * (yhat - y) * x", dw2="2 * (yhat - y) * x**2"))'
    lines = fresh(f'{solve}\n{solve}\nprint(av.check("4.2", dw=1, db=1))')
    count = sum(each.notebook == "09" for each in exercises().values())
    assert lines[0] == "Exercise 4.4: solved."
    assert lines[3] == lines[-1] == f"Notebook 09: ■{'□' * (count - 1)} 1 of {count} solved"
    assert lines[8] == "Exercise 4.2: not yet."
    assert lines[9].startswith("  ✗ dw: 1 is not it (at x = 1, y = 2, w = 1, b = 2).")
    assert lines[10].startswith("  ✗ db: 1 is not it (at x = 1, y = 2, w = 1, b = 2).")


def test_hints_come_one_by_one_and_the_last_stays():
    lines = fresh('for _ in range(3): print(av.hint("4.4"))')
    assert [line.partition(" to ")[0] for line in lines] == [
        "Hint 1 of 2", "Hint 2 of 2", "Hint 2 of 2",
    ]  # fmt: skip


def test_a_verdict_shows_itself_in_a_notebook():
    verdict = av.check("4.4", dw1="x < 1 & b", dw2=...)
    bundle = verdict._repr_mimebundle_()
    assert bundle["text/plain"] == str(verdict)
    assert "<b>Exercise 4.4: not yet.</b>" in bundle["text/html"]
    assert "&#x27;x &lt; 1 &amp; b&#x27; cannot be read" in bundle["text/html"]


@pytest.mark.parametrize("call", ["check", "hint", "solution"])
def test_an_unknown_exercise_names_the_ones_like_it(call):
    with pytest.raises(ValueError, match=rf"no exercise '44'; did you mean .*'4.4'.*av.{call}\("):
        getattr(av, call)("44")
    with pytest.raises(ValueError, match=r"no exercise 4\.4; "):
        getattr(av, call)(4.4)


def test_an_answer_to_what_is_not_asked_is_an_error():
    with pytest.raises(TypeError) as error:
        av.check("4.4", dw=2)
    assert str(error.value) == (
        'exercise 4.4 does not ask for dw; write av.check("4.4", dw1=..., dw2=...)'
    )


def test_a_verdict_is_a_condition():
    solved = {"dw1": "2 * (yhat - y) * x", "dw2": "2 * (yhat - y) * x**2"}
    assert av.check("4.4", **solved)
    assert not av.check("4.4", **{**solved, "dw1": 1})
    assert not av.check("4.4", **{**solved, "dw1": ...})
    assert not av.check("4.4")


class Hostile:
    """Each way to look at it raises, but for its type."""

    def __init__(self, error):
        self.error = error

    def raises(self, *arguments):
        raise self.error

    __float__ = __repr__ = __str__ = __eq__ = __len__ = __iter__ = raises
    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name):
        raise self.error


class Disguised:
    """Not even its class can be asked for."""

    @property  # type: ignore[misc]
    def __class__(self):
        raise OSError


class WordlessError(Exception):
    """An error that cannot be printed."""

    def __str__(self):
        raise RuntimeError


class EndlessError(BaseException):
    """An error whose text is an error like it."""

    def __str__(self):
        raise EndlessError


def laughs(kind):
    """A few objects that would be a text of 2**99 lines."""
    value: object = 1.0
    for _ in range(99):
        value = {0: value, 1: value} if kind is dict else kind([value, value])
    return value


def nested(depth):
    value: list[object] = [1.0]
    for _ in range(depth):
        value = [value]
    return value


def raising(error):
    def answer(*arguments):
        raise error

    return answer


def for_ever(*arguments):
    return for_ever(*arguments)


ERRORS = [
    ValueError("no"),
    RecursionError(),
    SystemExit(3),
    MemoryError(),
    WordlessError(),
    EndlessError(),
]
STRANGE = [
    *("9^9^9", "2**2**2**2**2**2", "1e999999999", "(" * 200 + "w1" + ")" * 200, "x" * 10**6),
    *(
        "10**400",
        "exp(exp(exp(exp(9))))",
        "relu.__globals__['linecache'].os.system('id')",
        "\ud800",
    ),
    *(10**400, math.nan, math.inf, 1j, b"2", range(10**12), object, print, sys),
    *(nested(10_000), torch.zeros(10**7), np.zeros(10**6), torch.tensor(1.0, device="meta")),
    sympy.Pow(9, sympy.Pow(9, sympy.Pow(9, 9, evaluate=False), evaluate=False), evaluate=False),
    sympy.Add(*(sympy.Symbol(f"s{number}") for number in range(12_000))),
    *map(laughs, (list, tuple, dict, collections.deque)),
    *(dict.fromkeys(range(10000), "x" * 999), bytes(10**7), [["x" * 99] * 20] * 20),
    Disguised(),
    *map(Hostile, ERRORS),
]


@pytest.mark.parametrize(
    "exercise", ["4.4", "0a", "2a", "2d", "4a"]
)  # one of each kind of question
def test_whatever_the_answer_is_the_verdict_is_in_words(exercise):
    names = [question.name for question in exercises()[exercise].questions]
    for answer in [*STRANGE, *map(raising, ERRORS), for_ever]:
        for given in (answer, lambda *arguments, answer=answer: answer, (answer, answer)):
            verdict = av.check(exercise, **dict.fromkeys(names, given))
            assert not verdict
            assert len(str(verdict)) < 5_000
            str(verdict).encode()


def test_what_a_students_function_draws_comes_again():
    torch.manual_seed(1)

    def difference_quotient(f, x, step):
        torch.manual_seed(0)
        return torch.rand(()) + random.random() + np.random.rand()

    def next_numbers():
        return torch.rand(()).item(), random.random(), np.random.rand()

    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    wanted = next_numbers()
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])
    av.check("2d", difference_quotient=difference_quotient)
    assert next_numbers() == wanted


def test_no_error_of_a_students_function_steers_the_terminal():
    verdict = av.check("2d", difference_quotient=raising(ValueError("\x1b[2J\u202eno\r good")))
    assert "it raised ValueError: [2Jno good" in str(verdict)
    assert str(verdict).replace("\n", "").isprintable()


@pytest.mark.parametrize("error", [*ERRORS, GeneratorExit(), BaseException("mine")])
def test_any_error_of_a_students_function_is_told_with_its_line(error):
    error.__traceback__ = None  # the other tests raised it, too

    def difference_quotient(f, x, step):
        raise error

    (line,) = av.check("2d", difference_quotient=difference_quotient).lines
    assert f"it raised {type(error).__name__}" in line
    assert line.endswith("(in the line `raise error`)")


def test_a_function_that_never_returns_is_ended_by_ctrl_c_and_nothing_counts():
    code = (
        "import signal, threading\n"
        "def endless(f, x, step):\n"
        "    threading.Thread(target=signal.raise_signal, args=[signal.SIGINT]).start()\n"
        "    while True: pass\n"
        "verdict = av.check('2d', difference_quotient=endless)\n"
        "print(bool(verdict)); print(verdict)\n"
        "import torch\n"
        "print(torch.is_grad_enabled())"
    )
    lines = fresh(code)
    assert lines[:2] == ["False", "Exercise 2d: not yet."]
    assert lines[2].startswith("  ✗ difference_quotient: Ctrl-C ended it before it returned.")
    assert "■" not in lines[3]
    assert lines[4] == "True"


def test_after_ctrl_c_no_further_answer_is_judged():
    def ended(*arguments):
        raise KeyboardInterrupt

    lines = av.check("4.2", dw=lambda x, y, w, b: ended(), db=2).lines
    assert lines[0].startswith("✗ dw: Ctrl-C ended it")
    assert lines[1] == "· db: not judged any more."
