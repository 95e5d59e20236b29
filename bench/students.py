"""A student of a JupyterHub: a program that logs in, runs cells and drags sliders.

As a browser does, it speaks to the hub, to its own server and, by the messages of a widget, to its
own kernel.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import websocket

Json = dict[str, Any]
PATIENCE = 900  # s; twenty students on two cores take theirs
PACE = 0.1  # s from one move of a dragged slider to the next


class Student:
    """One who logs in, has a server with one kernel, and runs cells."""

    def __init__(self, address: str, name: str, password: str) -> None:
        self.name = name
        self.address = address
        self.password = password
        self.server = f"{address}/user/{name}"
        self.client = httpx.Client(follow_redirects=True, timeout=PATIENCE)
        self.kernel = ""
        self.socket: websocket.WebSocket | None = None
        self.session = uuid.uuid4().hex
        self.widgets: dict[str, Json] = {}  # what they told about themselves, by model
        self.known: dict[str, set[str]] = {}  # ticks that came unasked, by model

    def log_in(self) -> None:
        """Log in by the hub's form, and wait for the server."""
        self.client.get(f"{self.address}/hub/login").raise_for_status()
        form = {
            "username": self.name,
            "password": self.password,
            "_xsrf": self.client.cookies.get("_xsrf", path="/hub/") or "",
        }
        self.client.post(f"{self.address}/hub/login?next=", data=form).raise_for_status()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            # A page, since only pages lead through the hub's login to the server's own.
            page = self.client.get(f"{self.server}/lab")
            if page.is_success and page.url.path.startswith(f"/user/{self.name}/lab"):
                return
            time.sleep(0.2)
        raise RuntimeError(f"{self.name}'s server does not start: {page.url}")

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Ask the server's API, and return its JSON."""
        xsrf = self.client.cookies.get("_xsrf", path=f"/user/{self.name}/")
        answer = self.client.request(
            method, f"{self.server}/api/{path}", headers={"X-XSRFToken": xsrf or ""}, **options
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def cells(self, path: str) -> list[str]:
        """The code cells of a notebook."""
        content = self.ask("GET", f"contents/{path}")["content"]
        return [cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"]

    def start_kernel(self) -> None:
        """Start a kernel, and wait until it answers."""
        self.kernel = self.ask("POST", "kernels", json={"name": "python3"})["id"]
        self.connect()

    def connect(self) -> None:
        """Connect to the kernel, and wait until it answers."""
        if self.socket is not None:
            self.socket.close()
        cookies = {one.name: one.value for one in self.client.cookies.jar if self.reaches(one.path)}
        self.socket = websocket.create_connection(
            f"{self.server.replace('http', 'ws', 1)}/api/kernels/{self.kernel}/channels"
            f"?session_id={self.session}",
            cookie="; ".join(f"{name}={value}" for name, value in cookies.items()),
            timeout=PATIENCE,
        )
        asked = self.send("kernel_info_request", {})
        for message in self.heard():
            if message["parent_header"].get("msg_id") == asked and message["channel"] == "shell":
                return

    def reaches(self, path: str) -> bool:
        """Whether a cookie of this path goes to the student's server."""
        return f"/user/{self.name}/".startswith(path)

    def send(self, kind: str, content: Json) -> str:
        """Send a message to the kernel, and return its id."""
        assert self.socket is not None
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "session": self.session,
            "username": self.name,
            "version": "5.3",
            "date": "",
        }
        message = {
            "channel": "shell",
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        self.socket.send(json.dumps(message))
        return header["msg_id"]

    def heard(self, until: float | None = None) -> Iterator[Json]:
        """The kernel's messages, as they come; what widgets say is remembered.

        Args:
            until: the time (of `time.monotonic`) to stop at; without one, silence is an error.
        """
        assert self.socket is not None
        while until is None or until > time.monotonic():
            self.socket.settimeout(PATIENCE if until is None else until - time.monotonic())
            try:
                text = self.socket.recv()
            except websocket.WebSocketTimeoutException:
                if until is None:
                    raise
                return
            if not text:
                raise ConnectionError(f"{self.name}'s connection was closed")
            message: Json = json.loads(text)
            content = message["content"]
            if message["msg_type"] == "comm_open":
                self.widgets[content["comm_id"]] = content["data"].get("state", {})
            elif message["msg_type"] == "comm_msg":
                said = content["data"].get("content", {})
                if content["data"].get("method") == "update":
                    self.widgets[content["comm_id"]].update(content["data"]["state"])
                elif said.get("type") == "states" and not said["opened"]:
                    self.known.setdefault(content["comm_id"], set()).update(said["states"])
            yield message

    def run(self, code: str) -> list[Json]:
        """Run a cell to its end, and return its outputs.

        Raises:
            RuntimeError: it raised an error.
        """
        asked = self.send("execute_request", {"code": code, "silent": False, "store_history": True})
        outputs: list[Json] = []
        idle = replied = False
        for message in self.heard():
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in ("display_data", "execute_result"):
                outputs.append(content["data"])
            elif kind == "stream":
                outputs.append({"text/plain": content["text"]})
            elif kind == "error":
                raise RuntimeError(f"{self.name}: {content['ename']}: {content['evalue']}")
            elif kind == "execute_reply":
                replied = True
            elif kind == "status" and content["execution_state"] == "idle":
                idle = True
            if idle and replied:
                break
        return outputs

    def answer(self, model: str, inputs: Json, tick: str) -> Json:
        """Move a widget's sliders as the front end does, and return the kernel's answer."""
        update = {"method": "update", "state": {"inputs": inputs}, "buffer_paths": []}
        self.send("comm_msg", {"comm_id": model, "data": update})
        number = random.getrandbits(40)
        ask = {"type": "tick", "seq": number, "tick": tick, "opened": [], "inputs": inputs}
        self.send("comm_msg", {"comm_id": model, "data": {"method": "custom", "content": ask}})
        for message in self.heard():
            if message["msg_type"] == "comm_msg":
                said: Json = message["content"]["data"].get("content", {})
                if said.get("type") == "answer" and said["seq"] == number:
                    return said
        raise AssertionError("never")

    def drag(self, model: str, moves: int) -> tuple[list[float], int]:
        """Drag two sliders to and fro: the seconds of each answer, and the moves that asked nobody.

        Args:
            model: the widget's, with sliders a and b.
            moves: how many positions to pass through.
        """
        state = self.widgets[model]
        controls = {control["name"]: control for control in state["controls"]}
        inputs = dict(state["inputs"])
        way = random.Random(self.name)
        times: list[float] = []
        cached = 0
        for move in range(moves):
            name = "ab"[move // 10 % 2]
            one = controls[name]
            last = round((one["max"] - one["min"]) / one["step"])
            now = round((inputs[name] - one["min"]) / one["step"])
            # Mostly a little further, now and then to another place.
            place = way.randint(0, last) if move % 10 == 0 else now + way.choice((1, 1, 2, 3))
            inputs[name] = one["min"] + place % (last + 1) * one["step"]
            tick = "|".join(
                str(
                    control["options"].index(inputs[control["name"]])
                    if control["kind"] == "choice"
                    else round((inputs[control["name"]] - control["min"]) / control["step"])
                )
                for control in state["controls"]
            )
            begin = time.monotonic()
            if tick in self.known.get(model, ()):
                cached += 1
            else:
                self.answer(model, inputs, tick)
                times.append(time.monotonic() - begin)
            for _ in self.heard(begin + PACE):
                pass
        return times, cached

    def readable(self, paths: Sequence[str]) -> list[str]:
        """Those of some files that the student's kernel can read."""
        code = (
            "found = []\n"
            f"for path in {list(paths)!r}:\n"
            "    try:\n"
            "        found.append(path) if open(path, 'rb').read(1) else None\n"
            "    except OSError:\n"
            "        pass\n"
            "import json\n"
            "print(json.dumps(found))"
        )
        found: list[str] = json.loads(self.run(code)[0]["text/plain"])
        return found

    def close(self) -> None:
        """Leave; the server and the kernel stay."""
        if self.socket is not None:
            self.socket.close()
        self.client.close()
