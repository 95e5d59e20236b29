"""How the tests find their browser."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import chromium

ROOT = Path(__file__).parents[2]


def program(folder, name: str, says: str = "Chromium 1.2.3", code: int = 0) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    if sys.platform == "win32":
        pytest.skip("a shell's script is no program there")
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_one_is_found_or_installed(chrome):
    assert chromium.runs(chrome)


def test_a_named_one_comes_first(tmp_path):
    named, on_path = program(tmp_path / "a", "mine"), program(tmp_path / "b", "chromium")
    environment = {"PATH": str(tmp_path / "b")}
    assert chromium.installed(environment) == on_path
    assert chromium.installed({**environment, "CHROME": named}) == named


@pytest.mark.parametrize("name", chromium.NAMES)
def test_path_may_name_it_otherwise(tmp_path, name):
    path = program(tmp_path, name)
    assert chromium.installed({"PATH": str(tmp_path)}) == path


def test_what_only_names_a_snap_is_passed_over(tmp_path):
    program(tmp_path, "chromium-browser", "Command requires the snap to be installed", code=1)
    path = program(tmp_path, "google-chrome", "Google Chrome 1.2.3")
    assert chromium.installed({"PATH": str(tmp_path)}) == path


def test_places_of_other_systems():
    macos = chromium.places({"HOME": "/people/ada"}, "darwin")
    assert "/people/ada/Applications/Chromium.app/Contents/MacOS/Chromium" in list(macos)
    windows = list(chromium.places({"PROGRAMFILES": "C:\\Programs"}, "win32"))
    assert windows[0] == "C:\\Programs\\Google\\Chrome\\Application\\chrome.exe"


def test_a_wrong_name_is_said_in_one_line(tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "CHROME": str(tmp_path / "none")}
    command = [sys.executable, "-m", "tests.browser.chromium"]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    expected = f"CHROME={tmp_path}/none is no browser that starts: name one, or unset it"
    assert run.stderr.splitlines() == [expected]


@pytest.mark.skipif(sys.platform != "linux", reason="browsers are found there without PATH")
def test_without_any_it_is_one_line(tmp_path):
    environment = {
        "PATH": str(tmp_path),  # no apt-get either
        "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path),
        "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "tests.browser.chromium"]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    said, why = run.stderr.splitlines()
    assert said == "Installing Chromium for the tests."
    assert why == chromium.REMEDY
