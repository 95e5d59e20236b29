"""What a widget shows of a folded graph, by what is open and what is hidden."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from autograd_viz import show
from autograd_viz.model import Graph, Trace
from autograd_viz.networks import view
from autograd_viz.networks.folding import HIDEABLE, Folded
from autograd_viz.picture import Picture, Style
from autograd_viz.widgets import folded_stage
from autograd_viz.widgets.controls import Control, Value, beginning, tick_of
from autograd_viz.widgets.folded_names import Names, found
from autograd_viz.widgets.states import Entry, problem

Json = dict[str, Any]
Opened = tuple[str, ...]
MOST_SCENES = 200  # that are kept


class FoldedStates:
    """The states of a Folded, as `States` has those of a function.

    The inputs are two checkboxes: whether leaves are seen, and functions that only change a shape.

    >>> import torch, autograd_viz as av
    >>> model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(6)))
    >>> with av.record(model):
    ...     loss = model(torch.ones(1, 4)).sum()
    >>> states = FoldedStates(av.trace(loss, params=model).fold())
    >>> states.opened
    ('Sequential',)
    >>> states.checked(["3"])
    ('Sequential', '3')
    """

    called = ""
    views = (folded_stage.VIEW,)
    published = 1  # a scene is large, and a page that opens later needs the current one alone

    def __init__(self, folded: Folded) -> None:
        self.base = folded
        self.names = Names(folded.known)
        self.opened: Opened = self.names.opened(folded)
        self.controls = tuple(
            Control(name, "checkbox", name not in folded.hidden, parameter=name)
            for name in HIDEABLE
        )
        self.scenes: dict[int, Json] = {}
        self._known: dict[tuple[Opened, str], Entry] = {}
        self._last = 0
        self._lock = threading.RLock()  # as in States
        entry = self.at(beginning(self.controls), self.opened)
        if entry.state is None:
            folded.picture()  # raises what is wrong
        self.title: str = folded_stage.title(folded)

    @cached_property
    def _when(self) -> dict[int, int]:
        trace = self.base.trace
        return {step.node: place for place, step in enumerate(trace.steps)} if trace else {}

    def shown(self, inputs: Mapping[str, Value]) -> Graph | Trace:
        """What is folded."""
        return self.base.trace or self.base.graph

    def knows(self, tick: str, opened: Sequence[str]) -> bool:
        """Nothing is computed before it is asked for: a layout takes too long."""
        return True

    def at(self, inputs: Mapping[str, Value], opened: Sequence[str] = ()) -> Entry:
        """The state with these groups open, or the problem that there is with them."""
        tick = tick_of(self.controls, inputs)
        key = tuple(sorted(opened)), tick
        with self._lock:
            if key in self._known:
                self._known[key] = self._known.pop(key)  # those used last are kept
            else:
                self._known[key] = self._computed(inputs, opened)
                self._forget()
            return self._known[key]

    def _computed(self, inputs: Mapping[str, Value], opened: Sequence[str]) -> Entry:
        try:
            folded = view.bounded(self.folded(inputs, opened), Style())
            scene, state = folded_stage.scene(folded, self.names, self._last + 1, self._when)
        except Exception as error:
            return Entry(None, problem(error, None))
        self._last += 1
        self.scenes[self._last] = scene
        return Entry(state, None)

    def _forget(self) -> None:
        while len(self._known) > MOST_SCENES:
            gone = self._known.pop(next(iter(self._known)))
            if gone.state is not None:
                del self.scenes[gone.state["scene"]]

    # What is open

    def folded(self, inputs: Mapping[str, Value], opened: Sequence[str]) -> Folded:
        """The graph as it is seen with these groups open.

        Raises:
            ValueError, IndexError: a name is none, as `Folded.open` says it.
        """
        values = {**beginning(self.controls), **inputs}
        hidden = self.base.hidden.difference(HIDEABLE)
        hidden |= {name for name in HIDEABLE if not values[name]}
        return replace(self.names.folded(self.base, opened), hidden=hidden)

    def checked(self, opened: Sequence[str]) -> Opened:
        """The names of all that is open when these are: with the groups around them."""
        return self.names.opened(self.names.folded(self.base, opened))

    def sought(self, words: str, inputs: Mapping[str, Value], opened: Sequence[str]) -> Json | None:
        """Where something is seen: its name, what is open then, and the box.

        Args:
            words: its name, or a part of it.
            inputs: what is hidden now.
            opened: what is open now; it stays so.
        """
        known, folded = self.base.known, self.folded(inputs, opened)
        meant = found(folded, words)
        if meant is None:
            return None
        name, codes = meant
        code = codes[0]
        shown = set(folded.opened)
        shown.update(around := known.around(code))
        if code != ~0 and known.groups[~around[0]].times > 1:
            shown.add(code)  # one repetition stands by itself
        values: Json = dict(inputs)
        if code in known.leaves:
            values["leaves"] = True
        elif known.views[known.members(known.item(code))].all():
            values["views"] = True
        seen = self.names.opened(replace(folded, opened=frozenset(shown)))
        folded = view.bounded(self.folded(values, seen), Style())
        box = folded_stage.box_of(folded, [code])
        return {"name": name, "opened": list(seen), "inputs": values, "box": box}

    def listed(self) -> list[str]:
        """The names that a search field offers."""
        return self.names.listed()

    # Pictures

    def picture(
        self,
        inputs: Mapping[str, Value],
        opened: Sequence[str],
        name: str,
        step: int,
        frames: int,
        note: str,
    ) -> Picture:
        """The static picture at a step; at the last one of all that was computed."""
        folded = self.folded(inputs, opened)
        picture = show.picture(folded, frame=step) if step < frames else show.picture(folded)
        assert isinstance(picture, Picture)
        return replace(picture, words="\n".join(filter(None, (picture.words, note))))

    def openings(self, scene: Json) -> Iterator[Opened]:
        """What is open after one click in a scene."""
        opened = scene["opened"]
        for detail in scene["details"].values():
            name = detail["opens"]
            if name is not None and "choice" in detail:
                choice = detail["choice"]
                name = f"{choice['before']}{choice['first']}{choice['after']}"
            if name is not None and name not in opened:
                yield self.checked([*opened, name])
        for group in scene["groups"]:
            yield tuple(one for one in opened if one not in group["closes"])
