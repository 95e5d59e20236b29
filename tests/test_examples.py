"""The same examples in each run, whatever ran before; others in a search, which says its seed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
from hypothesis import given, strategies as st
from tests.examples import examples

@examples(20)
@given(st.floats(), st.integers(), st.text())
def test_tried(number, count, text):
    print("tried", repr((number, count, text)))
"""


@pytest.fixture
def tried(tmp_path):
    """What pytest's options give: the examples that were tried, and all that was said."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)

    def run(*options: str, before: str = "") -> tuple[list[str], str]:
        test = tmp_path / "test_it.py"
        test.write_text(before + TESTS, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider"]
        ran = subprocess.run(
            [*command, f"--rootdir={tmp_path}", *options, str(test)],
            cwd=ROOT,
            env={**os.environ, "HYPOTHESIS_PROFILE": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return re.findall("tried.*", ran.stdout), ran.stdout

    return run


def test_examples_are_the_same_in_each_run_and_after_other_tests(tried):
    first, said = tried()
    assert 10 <= len(first) <= 20
    assert tried(before="import autograd_viz.svg")[0] == first
    assert "--hypothesis-seed" not in said


def test_a_search_tries_more_and_its_seed_repeats_it(tried):
    first, said = tried("--hypothesis-profile=search")
    assert 100 <= len(first) <= 200
    seeds = set(re.findall(r"--hypothesis-seed=\d+", said))
    assert len(seeds) == 1
    assert tried(*seeds)[0] == first
    assert tried("--hypothesis-profile=search")[0] != first
