"""Finds a Chrome or Chromium for the tests, or gets one.

Run as ``python -m tests.browser.chromium`` before the tests, so that it is got only once. Tried in
this order: the program that the environment variable CHROME names, an installed one, Playwright's
own, `playwright install chromium`, and apt, on Debian as root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
MACOS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
WINDOWS = (
    r"Google\Chrome\Application\chrome.exe",
    r"Chromium\Application\chrome.exe",
)
# It asks nobody for anything: not for updates, nor for what is new.
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REMEDY = (
    "no Chrome or Chromium was found, nor could one be installed: install one, "
    "or name one: CHROME=/path/to/chrome make test"
)


PATIENCE = 180_000  # ms until it has started, on a busy machine


class NoBrowser(Exception):  # noqa: N818  # said in one line, as it is
    """There is no browser, and none could be installed."""


def places(environment: Mapping[str, str], platform: str) -> Iterator[str]:
    """The paths where a browser may be, likely ones first."""
    for name in NAMES:
        if path := shutil.which(name, path=environment.get("PATH", "")):
            yield path
    if platform == "darwin":
        for path in MACOS:
            yield path
            yield f"{environment.get('HOME', '')}{path}"
    if platform == "win32":
        for folder in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
            if folder in environment:
                yield from (f"{environment[folder]}\\{path}" for path in WINDOWS)


def runs(path: str) -> bool:
    """Whether a program can be started: Ubuntu's chromium-browser may only name a snap."""
    if not Path(path).is_file():
        return False
    if sys.platform == "win32":  # where it has no --version, but opens a window
        return True
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, timeout=180, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "chrom" in answer.stdout.lower()


def playwrights_own() -> str:
    """Where Playwright puts the browser that it installs."""
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def installed(environment: Mapping[str, str] = os.environ) -> str | None:
    """The path of a browser that is there already.

    Raises:
        NoBrowser: CHROME names a program that is none.
    """
    if given := environment.get("CHROME"):
        path = shutil.which(given) or given
        if not runs(path):
            raise NoBrowser(f"CHROME={given} is no browser that starts: name one, or unset it")
        return path
    found = next(filter(runs, places(environment, sys.platform)), None)
    if found is None and runs(own := playwrights_own()):
        return own
    return found


def install() -> None:
    """Install a browser with Playwright, or else, on Debian as root, with apt."""
    print("Installing Chromium for the tests.", file=sys.stderr, flush=True)
    by_playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    with contextlib.suppress(subprocess.TimeoutExpired):  # apt may do better
        subprocess.run(by_playwright, capture_output=True, timeout=600)
    if runs(playwrights_own()):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(command, capture_output=True, env=quiet)


def path() -> str:
    """The path of a browser, which is installed where there is none.

    Raises:
        NoBrowser: there is none, and none can be installed.
    """
    if found := installed():
        return found
    install()
    if found := installed():
        return found
    raise NoBrowser(REMEDY)


def launched(playwright: Playwright, executable: str) -> Browser:
    """A new browser, without its sandbox only where that cannot be: as root, in some containers."""
    chrome = playwright.chromium
    options: dict[str, Any] = {"executable_path": executable, "args": QUIET, "timeout": PATIENCE}
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    try:
        return chrome.launch(**options, chromium_sandbox=not root)
    except Error as error:
        if root or "sandbox" not in str(error).lower():
            raise
        return chrome.launch(**options, chromium_sandbox=False)


def main() -> None:
    """Print the path of the browser, or in one line why there is none."""
    try:
        print(path())
    except NoBrowser as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
