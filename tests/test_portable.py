"""The package reads and writes UTF-8 wherever it runs: on Windows, too, and without a locale."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_project import tracked_files

ROOT = Path(__file__).parents[1]
# A Python on Windows that writes into a pipe or a file has cp1252 for both.
PLACES = {
    "a pipe on Windows": {"PYTHONIOENCODING": "cp1252", "LC_ALL": "C"},
    "no locale": {"LC_ALL": "POSIX"},
}
FUNCTION = """
import torch

def größe(α, β):
    γ = α + β  # ∂γ/∂α = 1
    δ = torch.log2(α) * torch.log2(β)
    return γ * δ
"""
PROGRAM = """
import sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="autograd_viz")
import locale, pathlib
assert locale.getencoding().lower() not in ("utf-8", "utf8"), locale.getencoding()
import autograd_viz as av
from function import größe

w = av.explore(größe, α=(1.0, 2.0, 0.5), β=4.0)
page = w.save_html("page.html")
w.snapshot().save("snapshot.svg")
program = av.program(größe, α=2.0, β=4.0)
for name in ("picture.svg", "picture.png", "picture.pdf"):
    program.variables().save(name)
α = program.at(α=3.0)
print(ascii(str(α)))
print(str(α), file=sys.stderr)
"""


def ran(program: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    (folder / "program.py").write_text(program, encoding="utf-8")
    fixed = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "warn_default_encoding", "program.py"]
    environment = {**os.environ, **fixed, **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="UTF-8 is the only encoding there")
@pytest.mark.parametrize("place", PLACES)
def test_files_are_written_and_read_as_utf8(place, tmp_path):
    (tmp_path / "function.py").write_text(FUNCTION, encoding="utf-8")
    done = ran(PROGRAM, tmp_path, **PLACES[place])
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert rb"\u03b3 = \u03b1 + \u03b2" in done.stdout
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "größe" in html
    assert "δ = torch.log2(α) * torch.log2(β)" in html
    for name in ("snapshot.svg", "picture.svg"):
        assert "∂" in (tmp_path / name).read_text(encoding="utf-8")


def test_every_file_is_opened_with_its_encoding():
    """In the tests, too, and where none of them comes by; EncodingWarning only sees what runs."""
    rule = ("--isolated", "--preview", "--select", "PLW1514", "--output-format", "concise")
    command = [sys.executable, "-m", "ruff", "check", *rule, str(ROOT)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout


def test_every_text_is_read_and_written_with_its_encoding():
    """Also where ruff cannot tell that the object is a path."""
    for path in tracked_files():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    given = len(node.args) + any(each.arg == "encoding" for each in node.keywords)
                    wanted = {"read_text": 1, "write_text": 2}.get(node.func.attr, 0)
                    assert given >= wanted, f"{path}, line {node.lineno}: {ast.unparse(node)}"
