"""What a reader sees who calls check, hint and solution, rightly and wrongly."""

import subprocess
import sys

import pytest

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
