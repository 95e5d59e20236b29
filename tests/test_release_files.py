"""What a release is made of agrees: the version, CITATION.cff, the workflows, pre-commit."""

from __future__ import annotations

import inspect
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

import autograd_viz
from tests.test_project import PROJECT, REQUIREMENTS, pins

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> Any:
    # BaseLoader: YAML would take the key `on` for true
    return yaml.load((ROOT / name).read_text(encoding="utf-8"), yaml.BaseLoader)


def validated(schema: str, *paths: Path) -> str:
    """What is wrong with files, by a schema that check-jsonschema brings; nothing if valid."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        schema,
        *map(str, paths),
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    return "" if done.returncode == 0 else done.stdout + done.stderr


# the version, and how to cite it


def test_the_citation_is_valid():
    assert validated("vendor.citation-file-format", ROOT / "CITATION.cff") == ""


def test_the_citation_is_of_this_version():
    citation = read("CITATION.cff")
    assert citation["version"] == autograd_viz.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


def test_the_version_has_one_source():
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]


# the reference


@pytest.mark.parametrize("name", autograd_viz.__all__)
def test_each_public_function_is_documented_with_an_example(name):
    function = getattr(autograd_viz, name)
    said = inspect.getdoc(function) or ""
    assert ">>> " in said, f"{name} shows no example"
    if inspect.signature(function).parameters:
        assert "Args:" in said, f"{name} does not say what it takes"


# continuous integration


def test_each_workflow_is_valid_and_ends():
    assert WORKFLOWS
    assert validated("vendor.github-workflows", *WORKFLOWS) == ""
    assert validated("custom.github-workflows-require-timeout", *WORKFLOWS) == ""


def test_a_wrong_workflow_is_not(tmp_path):
    right = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    (tmp_path / "wrong.yml").write_text(right.replace("runs-on:", "run-on:"), encoding="utf-8")
    assert "run-on" in validated("vendor.github-workflows", tmp_path / "wrong.yml")


def test_the_tests_run_on_all_that_the_package_says_it_supports():
    matrix = read(".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    prefix = "Programming Language :: Python :: "
    named = [each.removeprefix(prefix) for each in PROJECT["classifiers"] if prefix in each]
    assert matrix["python"] == [version for version in named if "." in version]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]


# pre-commit


def hooks() -> dict[str, Any]:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    return {hook["id"]: hook for hook in local["hooks"]}


def test_pre_commit_has_the_versions_of_the_requirements():
    for hook in hooks().values():
        used = pins(hook["additional_dependencies"])
        assert used
        assert used.items() <= REQUIREMENTS.items()


def stripped(folder: Path) -> None:
    """Run nbstripout on a folder's notebooks as pre-commit does."""
    hook = hooks()["nbstripout"]
    command = [sys.executable, "-m", *shlex.split(hook["entry"]), *hook["args"]]
    subprocess.run([*command, *map(str, folder.glob("*.ipynb"))], check=True)


def test_nbstripout_keeps_what_readers_and_tests_need(tmp_path):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    stripped(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(before) == 12


def test_nbstripout_takes_away_what_each_run_writes_anew(tmp_path):
    source = ROOT / "notebooks" / "00-start-here.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {}}
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.metadata.update(ExecuteTime={"end": 1}, execution={}, collapsed=True, scrolled=False)
    nbformat.write(notebook, tmp_path / source.name)
    stripped(tmp_path)
    assert (tmp_path / source.name).read_bytes() == source.read_bytes()
