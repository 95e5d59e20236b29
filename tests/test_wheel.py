"""What users install: the built wheel, away from the sources, and the sdist."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import autograd_viz
from autograd_viz.widgets import page
from tests.building import ROOT, built, environment, outside, run

PACKAGE = ROOT / "autograd_viz"
LARGEST = 1_000_000  # bytes of a wheel; Graphviz and the fonts are in others' wheels
EXAMPLE = """
import sys, torch, autograd_viz as av

a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(4.0, requires_grad=True)
c = a + b
d = torch.log2(a) * torch.log2(b)
e = c * d
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return built("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return built("sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    return environment(tmp_path_factory.mktemp("environment"), wheel)


def sources() -> set[str]:
    """The files of the package, but for what Python leaves beside them."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def metadata(wheel: Path) -> Message:
    (found,) = (data for name, data in files(wheel).items() if name.endswith("/METADATA"))
    return message_from_bytes(found)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    held = {name: data for name, data in files(wheel).items() if ".dist-info/" not in name}
    assert held.keys() == sources()
    assert held["autograd_viz/py.typed"] == b""
    static = {name for name in held if name.startswith("autograd_viz/widgets/static/")}
    assert {Path(name).suffix for name in static} == {".css", ".js"}
    assert wheel.name == f"autograd_viz-{autograd_viz.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < LARGEST


def test_its_metadata_say_what_it_needs(wheel):
    said = metadata(wheel)
    assert said["Version"] == autograd_viz.__version__
    assert said["License-Expression"] == "BSD-3-Clause"
    assert said["Requires-Python"] == ">=3.11"
    needs = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    given = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(map(Requirement, needs), key=str) == sorted(
        map(Requirement, given["dependencies"]), key=str
    )
    assert not [line for line in needs if line.startswith(("jupyterlab", "pytest", "voila"))]
    assert [name for name in files(wheel) if name.endswith("/licenses/LICENSE")]


def test_it_draws_in_an_empty_environment(python, tmp_path):
    program = EXAMPLE + (
        "print(av.__file__)\n"
        "print(av.__version__)\n"
        "print(any('autograd_viz' in name for name in map(str, sys.path)))\n"
        "print(av.trace(e).variables().save('e.png').stat().st_size > 1000)\n"
        "print(av.trace(e)._repr_mimebundle_()['image/svg+xml'][:4])\n"
    )
    where, *said = run(python, program, tmp_path).splitlines()
    assert Path(where).is_relative_to(python.parents[1])
    assert said == [autograd_viz.__version__, "False", "True", "<svg"]


def test_its_widget_brings_script_and_style(python, tmp_path):
    program = EXAMPLE + (
        "w = av.explore(lambda a: a * a, a=(1.0, 2.0, 0.5))\n"
        "from pathlib import Path\n"
        "Path('explorer.js').write_text(w._esm, encoding='utf-8')\n"
        "Path('explorer.css').write_text(w._css, encoding='utf-8')\n"
        "print(av.step(e).save_html('lecture.html').stat().st_size > 20_000)\n"
    )
    assert run(python, program, tmp_path) == "True\n"
    for name, source in {"explorer.js": page.live_script(), "explorer.css": page.style()}.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == source


def checked(python: Path, program: str, folder: Path) -> str:
    """What mypy says of a user's program, when it sees the package as it is installed.

    Of all other packages it reads nothing: PyTorch would take it a minute.
    """
    (folder / "program.py").write_text(program, encoding="utf-8")
    ours = "[mypy-autograd_viz.*]\nfollow_imports = normal\n"
    (folder / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\nfollow_imports = skip\n{ours}", encoding="utf-8"
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), "program.py"]
    done = subprocess.run(command, cwd=folder, env=outside(), capture_output=True, encoding="utf-8")
    return done.stdout + done.stderr


def test_type_checkers_see_its_types(python, tmp_path):
    program = EXAMPLE.replace("sys, ", "") + "reveal_type(av.trace(e))\nav.nudge(av, 1)\n"
    revealed, wrong, *_ = checked(python, program, tmp_path).splitlines()
    assert 'Revealed type is "autograd_viz.model.Trace"' in revealed
    assert "error: " in wrong


def test_without_its_marker_they_would_not(wheel, tmp_path_factory):
    python = environment(tmp_path_factory.mktemp("untyped"), wheel)
    where = run(python, "import autograd_viz as av; print(av.__path__[0])").strip()
    Path(where, "py.typed").unlink()
    said = checked(python, "import autograd_viz\n", tmp_path_factory.mktemp("program"))
    assert "py.typed" in said


def test_the_sdist_holds_what_builds_the_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    beside = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert held - {".gitignore"} == sources() | beside
    again = built("wheel", tmp_path / "again", sources=unpacked)
    assert files(again).keys() == files(wheel).keys()


def test_the_environment_knows_nothing_of_the_sources(tmp_path):
    python = environment(tmp_path / "environment")
    found = (
        "from importlib.util import find_spec as f; print(f('torch') is None, f('autograd_viz'))"
    )
    assert run(python, found) == "False None\n"
