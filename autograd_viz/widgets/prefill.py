"""Fills the page's cache around the current inputs while nothing else is to be done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autograd_viz.widgets.controls import Value, inputs_of, neighbours
from autograd_viz.widgets.states import States, unnoticed

if TYPE_CHECKING:
    from autograd_viz.widgets.folded_states import FoldedStates

MOST = 64  # states around one point
DELAY = 0.06  # s without a question before it begins
SLICE = 0.008  # s of work at a time: questions are answered in between
PAUSE = 0.002  # s
BUDGET = 0.5  # s of work for one point
TOO_SLOW = 0.05  # s a run: then nothing is computed that was not asked for
LOOKED_AT = 400  # neighbours, most of which may be known


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Prefill:
    """Computes the states of neighbouring ticks in the running event loop, if there is one.

    Args:
        states: where they come from.
        send: takes the states by tick, with the opened variables that they are for.
    """

    def __init__(
        self,
        states: States | FoldedStates,
        send: Callable[[Mapping[str, Any], Sequence[str]], None],
    ) -> None:
        self._states, self._send = states, send
        self._timer: asyncio.TimerHandle | None = None
        self._loop = _running()

    def around(self, inputs: Mapping[str, Value], opened: Sequence[str]) -> None:
        """Begin anew around other inputs."""
        self.stop()
        if not self._states.controls:
            return
        if self._loop is None or self._loop.is_closed():
            return
        ticks = self._unknown(dict(inputs), tuple(opened))
        begin = (self._loop, DELAY, ticks, tuple(opened), MOST, BUDGET)
        if self._loop is _running():
            self._later(*begin)
        else:
            # JupyterLab lets a thread of its own hear the page, beside a cell that runs; what
            # `unnoticed` hides there would be that cell's.
            self._loop.call_soon_threadsafe(self._later, *begin)

    def stop(self) -> None:
        """Compute nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unknown(self, inputs: Mapping[str, Value], opened: Sequence[str]) -> Iterator[str]:
        ticks = neighbours(self._states.controls, inputs)
        for tick, _ in zip(ticks, range(LOOKED_AT), strict=False):
            if not self._states.knows(tick, opened):
                yield tick

    def _later(
        self,
        loop: asyncio.AbstractEventLoop,
        wait: float,
        ticks: Iterator[str],
        opened: Sequence[str],
        most: int,
        budget: float,
    ) -> None:
        self._timer = loop.call_later(wait, self._fill, loop, ticks, opened, most, budget)

    def _fill(
        self,
        loop: asyncio.AbstractEventLoop,
        ticks: Iterator[str],
        opened: Sequence[str],
        most: int,
        budget: float,
    ) -> None:
        self._timer = None
        found: dict[str, Any] = {}
        begin = now = time.perf_counter()
        over = False
        with unnoticed():
            while not over and most > 0 and now - begin < SLICE:
                tick = next(ticks, None)
                if tick is None:
                    over = True
                    break
                before = now
                try:
                    state = self._states.at(inputs_of(self._states.controls, tick), opened).state
                except KeyboardInterrupt:  # which would end the kernel's loop
                    return
                now = time.perf_counter()
                over = now - before > TOO_SLOW
                if state is not None:
                    found[tick] = state
                most -= 1
        if found:
            self._send(found, opened)
        budget -= now - begin
        if not over and most > 0 and budget > 0:
            self._later(loop, PAUSE, ticks, opened, most, budget)
