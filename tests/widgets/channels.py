"""Channels to a page that keep what a widget sends, and what a page says to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from ipywidgets.widgets import widget as widgets
from traitlets import Any as AnyTrait

from autograd_viz.widgets.controls import tick_of


class Kept:
    """What goes out stays here."""

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        self.__dict__.setdefault("sent", []).append((msg_type, data or {}))


@contextmanager
def recorded_comms() -> Iterator[None]:
    """Every widget that is made meanwhile has such a channel."""
    place, name, recording = _of_ipywidgets_7() if hasattr(widgets, "Comm") else _of_comm()
    before = getattr(place, name)
    setattr(place, name, lambda **given: recording(**given))
    try:
        yield
    finally:
        setattr(place, name, before)


def _of_comm() -> tuple[Any, str, Any]:
    import comm
    from comm.base_comm import BaseComm

    return comm, "create_comm", type("Recording", (Kept, BaseComm), {})


def _of_ipywidgets_7() -> tuple[Any, str, Any]:
    """It takes its channels from ipykernel, which sends only while there is a kernel."""
    from ipykernel.comm import Comm

    manager = SimpleNamespace(register_comm=id, unregister_comm=id)
    kernel = SimpleNamespace(comm_manager=manager, shell=None)
    own = {"kernel": AnyTrait(kernel), "_publish_msg": Kept.publish_msg}
    return widgets, "Comm", type("Recording", (Kept, Comm), own)


def sent(w, method="custom"):
    messages = [data for _, data in w.comm.sent if data.get("method") == method]
    return [message["content" if method == "custom" else "state"] for message in messages]


def ask(w, seq=1, opened=(), tick=None, **inputs):
    inputs = {**w.inputs, **inputs}
    tick = tick or tick_of(w._states.controls, inputs)
    content = {"type": "tick", "seq": seq, "tick": tick, "opened": list(opened), "inputs": inputs}
    tell(w, {"method": "custom", "content": content})
    return next(one for one in reversed(sent(w)) if one["type"] == "answer")


def save(w, **state):
    """As the page does."""
    tell(w, {"method": "update", "state": state, "buffer_paths": []})


def tell(w, data):
    w.comm.handle_msg({"content": {"data": data}, "buffers": []})
