"""Keeps the project's own files in agreement with each other."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import autograd_viz

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".gitattributes",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "LICENSE-TEXT",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "autograd_viz",
    "bench",
    "conftest.py",
    "deploy",
    "docs",
    "environment.yml",
    "notebooks",
    "postBuild",
    "pyproject.toml",
    "requirements.txt",
    "tests",
}


def pins(lines: list[str]) -> dict[str, str]:
    """Returns the version each line pins: {"torch": "2.13.0"} for ["torch==2.13.0", "# why"]."""
    found: dict[str, str] = {}
    for line in lines:
        if line.strip() and not line.startswith(("#", "-")):
            name, version = line.split("==")
            found[canonicalize_name(name)] = version
    return found


def ranges(*extras: str) -> dict[str, SpecifierSet]:
    """Returns the versions that pyproject.toml allows of its dependencies and of the extras'."""
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(r.name): r.specifier for r in map(Requirement, lines)}


def conda() -> tuple[dict[str, str], list[str]]:
    """Returns what environment.yml takes from conda-forge, and its lines for pip."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))[
        "dependencies"
    ]
    (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    names = [entry for entry in dependencies if isinstance(entry, str) and entry != "pip"]
    return dict(name.split("=") for name in names), pip


REQUIREMENTS = pins((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())


def test_requirements_pin_each_dependency_within_its_range():
    allowed = ranges(*PROJECT["optional-dependencies"])
    assert REQUIREMENTS.keys() == allowed.keys()
    assert [name for name in allowed if REQUIREMENTS[name] not in allowed[name]] == []


def test_the_lowest_versions_are_those_that_the_ranges_begin_with():
    """So that what `make test VERSIONS=lowest` runs is what pyproject.toml allows."""
    lowest = pins((ROOT / "tests/versions/lowest.txt").read_text(encoding="utf-8").splitlines())
    begin = {
        name: next(each.version for each in allowed if each.operator in (">=", "=="))
        for name, allowed in (ranges("notebooks") | {"pillow": ranges("present")["pillow"]}).items()
    }
    assert {name: Version(version) for name, version in lowest.items()} == {
        name: Version(version) for name, version in begin.items()
    }


@pytest.mark.parametrize("name", ["lowest", "colab", "newest"])
def test_other_versions_are_within_the_ranges(name):
    lines = (ROOT / f"tests/versions/{name}.txt").read_text(encoding="utf-8").splitlines()
    allowed = ranges(*PROJECT["optional-dependencies"])
    assert [each for each, version in pins(lines).items() if version not in allowed[each]] == []


def test_environment_has_what_notebooks_need_at_the_same_versions():
    _, pip = conda()
    assert "-e ." in pip
    assert pins(pip).items() <= REQUIREMENTS.items()
    assert pins(pip).keys() == ranges("notebooks").keys()


def test_python_versions_agree():
    from_conda, _ = conda()
    requires = SpecifierSet(PROJECT["requires-python"])
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert from_conda["python"] in classifiers
    assert [version for version in classifiers if version not in requires] == []
    (oldest,) = requires
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tools["mypy"]["python_version"] == oldest.version == classifiers[0]
    assert tools["ruff"]["target-version"] == "py" + oldest.version.replace(".", "")


def test_version_is_in_the_changelog_or_unreleased():
    assert re.fullmatch(r"\d+\.\d+\.\d+", autograd_viz.__version__)
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_repo2docker_picks_environment_yml():
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert f"Building conda environment for python={conda()[0]['python']}" in run.stderr
    assert '--file "environment.yml"' in run.stdout
    # before the environment is made, because `-e .` in it needs the sources
    assert run.stdout.index("COPY --chown=0:0 src/") < run.stdout.index('--file "environment.yml"')


def tracked_files() -> list[Path]:
    # safe.directory: the checkout may belong to another user, in a container for example
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listing.split("\0") if name]


def test_top_level_holds_only_what_is_expected():
    assert {path.parts[0] for path in tracked_files()} == TOP_LEVEL


COMMON = {Path("/", name) for name in ("home", "mnt", "opt", "srv", "usr", "var")}  # no clues


def test_no_file_names_a_path_of_this_machine():
    here = {ROOT, ROOT.parent, Path.home(), Path(tempfile.gettempdir())} - COMMON
    # A folder at the very top, such as /, is no clue.
    names = "|".join(re.escape(str(path)) for path in here if len(path.parts) > 1)
    pattern = re.compile(rf"(?<![\w.])(?:{names}|/home/\w+|/Users/\w+|/root)/")
    for path in tracked_files():
        found = pattern.search((ROOT / path).read_text(encoding="utf-8", errors="ignore"))
        assert found is None, f"{path} holds {found and found[0]}"


def test_dot_is_off_path():
    assert shutil.which("dot") is None
    assert shutil.which("git") is not None


@pytest.mark.dot
def test_dot_is_on_path_where_marked():
    assert shutil.which("dot") is not None
    assert subprocess.run(["dot", "-V"], env=os.environ, check=False).returncode == 0
