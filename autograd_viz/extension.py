"""`%load_ext autograd_viz`: records each cell, and explains autograd's errors below it."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from autograd_viz.diagnosis.exceptions import explained
from autograd_viz.recorded.recorder import recording


class _Cells:
    """What runs now in one shell: a cell may run another one, and each thread has its own."""

    def __init__(self, shell: Any) -> None:
        self.shell = weakref.ref(shell)
        self.open: dict[int, list[tuple[Any, AbstractContextManager[None]]]] = defaultdict(list)

    def begins(self, info: Any) -> None:
        """Record a cell from here on."""
        number = getattr(self.shell(), "execution_count", None)
        block = recording(cell=number)
        block.__enter__()
        self.open[threading.get_ident()].append((info, block))

    def ended(self, result: Any) -> None:
        """End the recording, and show what there is to say about an error."""
        self.leave(getattr(result, "info", None))
        error = getattr(result, "error_in_exec", None)
        if error is None or getattr(error, "explained_by_autograd_viz", False):
            return
        with torch.inference_mode(False):
            reason = explained(error)
        if reason is None:
            return
        error.reason = reason  # for av.why()
        error.explained_by_autograd_viz = True  # a cell that ran this one ends in the same error
        from IPython.display import display

        display(reason)  # type: ignore[no-untyped-call]

    def leave(self, info: Any) -> None:
        """Leave the blocks of a cell and of what ran in it."""
        here = self.open[threading.get_ident()]
        if not any(own is info for own, _ in here):  # the cell that loads the extension
            return
        while here:
            own, block = here.pop()
            block.__exit__(None, None, None)
            if own is info:
                return

    def leave_all(self) -> None:
        """Leave all blocks of this thread, the inner ones first."""
        here = self.open[threading.get_ident()]
        while here:
            here.pop()[1].__exit__(None, None, None)


_shells: WeakKeyDictionary[Any, _Cells] = WeakKeyDictionary()


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext autograd_viz` does."""
    if shell in _shells:
        return
    cells = _shells[shell] = _Cells(shell)
    shell.events.register("pre_run_cell", cells.begins)
    shell.events.register("post_run_cell", cells.ended)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext autograd_viz` does."""
    cells = _shells.pop(shell, None)
    if cells is None:
        return
    shell.events.unregister("pre_run_cell", cells.begins)
    shell.events.unregister("post_run_cell", cells.ended)
    cells.leave_all()
