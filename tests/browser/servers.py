"""JupyterLab and Voila, each as a server of its own that knows nothing of the user's settings."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Route

FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
LAB = (
    "jupyterlab",
    "--no-browser",
    "--allow-root",
    "--IdentityProvider.token=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.expose_app_in_browser=True",
    "--ServerApp.terminals_enabled=False",
)
VOILA = ("voila", "--no-browser", "--VoilaConfiguration.show_tracebacks=True")
PATIENCE = 180  # s; a busy machine is slow, and what hangs fails all the same


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def serving(
    arguments: tuple[str, ...], folder: Path, settings: Path | None = None
) -> Iterator[str]:
    """A server's address, while it serves a folder's notebooks.

    Args:
        arguments: `LAB`, or `VOILA` and a notebook.
        folder: with the notebooks, and where kernels begin.
        settings: an empty folder; without it, one that is removed in the end.
    """
    if settings is None:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made,
            serving(arguments, folder, Path(made)) as address,
        ):
            yield address
        return
    port = free_port()
    fresh = {name: str(settings / name.lower()) for name in FOLDERS}
    told = [f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"]
    if arguments[0] == "voila":
        told = ["--Voila.ip=127.0.0.1"]
    command = [sys.executable, "-m", *arguments, *told, f"--port={port}"]
    # Lab would ask the reader whether it may ask for news.
    asked = settings / "jupyter_config_dir/lab/user-settings/@jupyterlab/apputils-extension"
    asked.mkdir(parents=True)
    (asked / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false"}', encoding="utf-8"
    )
    log = settings / "log.txt"
    with log.open("w", encoding="utf-8") as written:
        server = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **fresh}, stdout=written, stderr=written
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, server, log)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers.

    Raises:
        AssertionError: it does not, and that is what it said.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/static/favicon.ico", timeout=PATIENCE).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no server at {address}:\n{log.read_text(encoding='utf-8')}")


def only_from(address: str, context: BrowserContext) -> list[str]:
    """Refuse a browser everything but one address; the list grows by what else it asked for."""
    outside: list[str] = []

    def look(route: Route) -> None:
        url = route.request.url
        if url == address or url.startswith((f"{address}/", "data:", "blob:")):
            route.continue_()
        else:
            outside.append(url)
            route.abort()

    context.route("**/*", look)
    return outside
