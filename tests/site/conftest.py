"""A part of the course site, built as `make site` builds it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.browser.conftest import browser, chrome

__all__ = ["browser", "chrome"]

ROOT = Path(__file__).parents[2]
BUILDING = ROOT / "docs" / "site" / "building.py"
# With an Explorer and exercises, and with plots, gradient descent and a slider a tensor's element.
SAMPLE = ("00", "07")


class Site(NamedTuple):
    folder: Path
    address: str  # of a server on this machine
    said: str  # by the build

    @property
    def pages(self) -> list[str]:
        """All pages, "notebooks/00-start-here.html"."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.html"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def built(folder: Path, *arguments: str) -> str:
    """Build into a folder; returns what was said."""
    run = subprocess.run(
        [sys.executable, str(BUILDING), f"--out={folder}", *arguments],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module", params=["sample", pytest.param("whole", marks=pytest.mark.large)])
def site(request, tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("built") / "site"
    said = built(folder, *(("--most=24", *SAMPLE) if request.param == "sample" else ()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Site(folder, f"http://127.0.0.1:{server.server_port}", said)
    server.shutdown()
    server.server_close()
