"""What the first cell of each notebook does on Google Colab, as far as that shows without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import autograd_viz
from tests.building import built, environment, run
from tests.notebooks.refresh import INSTALL, REPOSITORY, find_notebooks

# What of google.colab anywidget knows; a kernel of Colab's has imported it before the first cell.
COLAB = """
import sys, types

calls = []
output = types.ModuleType("google.colab.output")
output.enable_custom_widget_manager = lambda: calls.append("enabled")
output._widgets = types.SimpleNamespace(_installed_url="https://colab.example/manager.min.js")
sys.modules["google.colab.output"] = output
"""
RUN = """
from IPython.core.interactiveshell import InteractiveShell

def run(cell):
    InteractiveShell.instance().run_cell(cell).raise_error()
"""
INSTALLED = """
import json
from importlib.metadata import distributions

def installed():
    return {each.name: each.version for each in distributions()}
"""
WIDGETS = """
import torch, autograd_viz as av

w = av.explore(lambda a: a * a, a=(1.0, 3.0, 0.5))
w.inputs = {"a": 3.0}
w.step = 1
tangent = w.tangent_plot("a")
walk = av.descend(lambda w: (w - 2) ** 2, learning_rate=(0.05, 1.0), w=1.0, steps=4)
play = walk._controls["play"]
setattr(play, "playing" if play.has_trait("playing") else "_playing", True)
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("wheels")
    built("wheel", folder)
    return folder


def cells(path: Path) -> list[str]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def test_it_is_the_first_cell_of_each_notebook():
    notebooks = find_notebooks([])
    assert len(notebooks) == 12
    assert {cells(path)[0] for path in notebooks} == {INSTALL}


def test_it_installs_the_package_and_replaces_nothing(wheels, tmp_path):
    """Pip gets the wheel of these sources, and no index: whatever it wanted else would fail."""
    address = f"git+https://github.com/{REPOSITORY}"
    assert address in INSTALL
    program = INSTALLED + RUN + COLAB + (
        "before = installed()\n"
        f"run({INSTALL.replace(address, 'autograd_viz')!r})\n"
        "after = installed()\n"
        "run('import autograd_viz')\n"
        "print(json.dumps([before, after]))\n"
    )  # fmt: skip
    python = environment(tmp_path / "colab")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "IPYTHONDIR": str(tmp_path)}
    *_, said = run(python, program, tmp_path, **offline).splitlines()
    before, after = json.loads(said)
    assert "torch" in before
    new = {name: version for name, version in after.items() if before.get(name) != version}
    assert new == {"autograd-viz": autograd_viz.__version__}
    assert before.items() <= after.items()


def test_where_the_package_is_it_does_nothing(wheels, tmp_path):
    (wheel,) = wheels.iterdir()
    python = environment(tmp_path / "elsewhere", wheel)
    said = run(python, RUN + f"run({INSTALL!r})", tmp_path, IPYTHONDIR=str(tmp_path))
    assert said == ""


def test_a_widget_asks_colab_for_widgets_by_others(wheels, tmp_path):
    (wheel,) = wheels.iterdir()
    program = COLAB + WIDGETS + (
        "print(calls, w._repr_mimebundle_()[1])\n"
        "print(w.snapshot().words.splitlines()[0])\n"
        "print(play.value)\n"
    )  # fmt: skip
    said = run(environment(tmp_path / "colab", wheel), program).splitlines()
    assert said[0].startswith("['enabled'] {'application/vnd.jupyter.widget-view+json': {'colab'")
    assert "a = 3" in said[1]
    assert said[2] == "0"


@pytest.mark.large  # pip gets another ipywidgets from its index
def test_widgets_work_with_the_ipywidgets_that_colab_has(wheels, tmp_path):
    (wheel,) = wheels.iterdir()
    python = environment(tmp_path / "colab", wheel)
    older = ("ipywidgets==7.7.1", "ipython_genutils==0.2.0")
    run(
        python,
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps']\n"
        f"subprocess.run([*command, *{older}], check=True)",
    )
    program = "import ipywidgets\n" + COLAB + WIDGETS + (
        "print(ipywidgets.__version__, calls, w.inputs, play.value)\n"
        "print(w.snapshot().words.splitlines()[0])\n"
        "print(tangent.words.splitlines()[1])\n"
    )  # fmt: skip
    said = run(python, program).splitlines()
    assert said[0] == "7.7.1 ['enabled'] {'a': 3.0} 0"
    assert "a = 3" in said[1]
    assert "slope" in said[2]
