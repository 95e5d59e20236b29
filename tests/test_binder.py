"""What Binder makes of the repository, as far as that shows without Docker and conda."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.building import ROOT, built, environment, outside
from tests.notebooks.refresh import badges, find_notebooks
from tests.test_project import conda

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def links(text: str) -> list[str]:
    return re.findall(r"\((https://mybinder\.org/v2/[^)]+)\)", text)


def opened(link: str) -> str:
    """The file that a link to Binder opens, from the repository's root."""
    (path,) = parse_qs(urlsplit(link).query)["urlpath"]
    assert path.startswith("lab/tree/")
    return path.removeprefix("lab/tree/")


def test_each_notebook_opens_itself():
    for path in find_notebooks([]):
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        (link,) = links("".join(first["source"]))
        assert ROOT / opened(link) == path


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/where-it-runs.md"])
def test_links_beside_the_notebooks_open_the_first(name):
    for link in links((ROOT / name).read_text(encoding="utf-8")):
        assert link in badges("00-start-here.ipynb")


def test_the_packages_come_from_pip_and_pytorch_from_its_own_index():
    from_conda, pip = conda()
    assert from_conda.keys() == {"python"}
    assert pip[0] == f"--extra-index-url {CPU_INDEX}"


def wheel(folder: Path, version: str) -> None:
    """Write a wheel with nothing in it."""
    folder.mkdir()
    info = f"torch-{version}.dist-info"
    name = f"torch-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as made:
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}")
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        made.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize("first", ["registry", "pytorch"])
def test_pip_prefers_the_cpu_build(first, tmp_path):
    """The registry has 2.13.0, the build for GPUs, PyTorch's index 2.13.0+cpu; order is nothing."""
    _, pip = conda()
    (wanted,) = (line for line in pip if line.startswith("torch=="))
    version = wanted.removeprefix("torch==")
    wheel(tmp_path / "registry", version)
    wheel(tmp_path / "pytorch", f"{version}+cpu")
    folders = sorted(("registry", "pytorch"), key=lambda name: name != first)
    found = [part for name in folders for part in ("--find-links", str(tmp_path / name))]
    options = ("--no-index", "--no-deps", "--dry-run", "--ignore-installed", "--quiet")
    command = [sys.executable, "-m", "pip", "install", *options, "--report", "-", *found, wanted]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=outside())
    assert done.returncode == 0, done.stderr
    (install,) = json.loads(done.stdout)["install"]
    assert install["metadata"]["version"] == f"{version}+cpu"


def test_repo2docker_runs_post_build():
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("environment.yml") < done.stdout.index("RUN ./postBuild")


@pytest.mark.skipif(sys.platform == "win32", reason="Binder's machines run Linux")
def test_post_build_keeps_lab_from_asking_for_news(tmp_path):
    python = environment(tmp_path / "environment", built("wheel", tmp_path / "wheel"))
    variables = outside(
        PATH=f"{python.parent}:/usr/bin:/bin", XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    done = subprocess.run(
        [str(ROOT / "postBuild")], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    config = tmp_path / "environment" / "etc" / "jupyter" / "labconfig" / "page_config.json"
    disabled = json.loads(config.read_text(encoding="utf-8"))["disabledExtensions"]
    assert disabled == {"@jupyterlab/apputils-extension:announcements": True}
    assert list((tmp_path / "cache").rglob("*")), "Graphviz is compiled"
