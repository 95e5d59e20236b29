"""What a widget shows for its inputs: the states of a function's runs, and the scenes of these."""

from __future__ import annotations

import contextlib
import copy
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any, NamedTuple

from autograd_viz import text
from autograd_viz.kept_state import random_numbers_kept
from autograd_viz.model import Trace
from autograd_viz.picture import Picture
from autograd_viz.programs.arguments import Function
from autograd_viz.programs.forward import Program, program
from autograd_viz.widgets.controls import Control, Value, arguments, on_grid, tick_of
from autograd_viz.widgets.notes import Course, course, note
from autograd_viz.widgets.snapshots import View, snapshot
from autograd_viz.widgets.stage import Stage

Json = dict[str, Any]
Opened = tuple[str, ...]
MOST_FORMS = 16  # of a computation, each with its own scenes, that are kept
MOST_STAGES = 4  # of a form for the same opened variables, where some formulas do not hold
MOST_STATES = 4_000  # that are kept


class Entry(NamedTuple):
    """What some inputs lead to: a state, or a problem."""

    state: Json | None
    problem: Json | None


@dataclass(eq=False)
class _Form:
    """A form of the computation, with a stage for each set of opened variables."""

    course: Course | None
    closed: Stage
    remark: str  # of the stage itself, if it has one
    stages: dict[Opened, list[Stage]] = field(default_factory=dict)  # those used last come first

    @property
    def openable(self) -> tuple[str, ...]:
        """The variables that may be opened."""
        return openable(self.closed.scene)

    @property
    def scenes(self) -> list[Json]:
        """The scenes of all of its stages."""
        some = (stage for stages in self.stages.values() for stage in stages)
        return [stage.scene for stage in (self.closed, *some)]


def openable(scene: Json) -> tuple[str, ...]:
    """The variables of a scene that may be opened or closed."""
    found = (detail["opens"] for detail in scene["details"].values())
    return tuple(dict.fromkeys(name for name in found if name is not None))


class States:
    """The states of a function by its inputs, or the one state of a Trace.

    Raises:
        Exception: whatever the function raises at the inputs that the controls begin with.
    """

    opened: Opened = ()  # at the beginning
    views: tuple[str, ...] = ("computation", "derivatives", "backward", "functions")
    published = 8  # scenes that a page which opens later finds

    def __init__(
        self,
        shown: Callable[..., Any] | Trace,
        controls: Sequence[Control] = (),
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self.controls = tuple(controls)
        self.scenes: dict[int, Json] = {}
        self._forms: list[_Form] = []
        self._known: dict[tuple[Opened, str], Entry] = {}
        self._last = 0
        # JupyterLab lets a thread of its own hear the page, beside the cells.
        self._lock = threading.RLock()
        self._code: CodeType | None = None
        self._latest: tuple[str, Program | Trace]
        if isinstance(shown, Trace):
            self.called = ""
            self._first: Program | Trace = shown
        else:
            function = Function(shown)
            self.called, self._code = function.name, function.code
            begin = {one.name: one.value for one in self.controls}
            given = {**(fixed or {}), **arguments(self.controls, begin)}
            self._first = program(shown, **given)
        self._latest = (tick_of(self.controls, {}), self._first)
        self._stage(self._first, ())

    def copied(self) -> States:
        """The same function and what is known of it; what the copy forgets, this one does not."""
        made = copy.copy(self)
        made.scenes, made._known = dict(self.scenes), {}
        made._forms = [
            replace(form, stages={opened: list(some) for opened, some in form.stages.items()})
            for form in self._forms
        ]
        return made

    # What is shown

    @property
    def title(self) -> str:
        """What a page about it is called."""
        begin = f"{self.called}: " if self.called.isidentifier() else ""
        return f"{begin}{self._forms[0].closed.scene['title']}"

    def shown(self, inputs: Mapping[str, Value]) -> Program | Trace:
        """The function's run at some inputs."""
        tick = tick_of(self.controls, inputs)
        with self._lock:
            if self._latest[0] != tick:
                self._latest = tick, self._run(inputs)
            return self._latest[1]

    def at(self, inputs: Mapping[str, Value], opened: Sequence[str] = ()) -> Entry:
        """The state at some inputs, or the problem that the function has there."""
        tick = tick_of(self.controls, inputs)
        key = tuple(sorted(opened)), tick
        with self._lock:
            entry = self._known.get(key) or self._computed(inputs, key[0])
            if on_grid(tick) and entry.state is not None:
                self._known[key] = entry
                if len(self._known) > MOST_STATES:
                    del self._known[next(iter(self._known))]
        return entry

    def _computed(self, inputs: Mapping[str, Value], opened: Opened) -> Entry:
        try:
            shown = self.shown(inputs)
            return Entry(self._stage(shown, opened).state(shown), None)
        except KeyboardInterrupt:  # by whoever waits for this
            raise
        except BaseException as error:  # of the function's own: sys.exit() ends no widget
            return Entry(None, problem(error, self._code))

    def picture(
        self,
        inputs: Mapping[str, Value],
        opened: Sequence[str],
        view: View,
        step: int,
        frames: int,
        note: str,
    ) -> Picture:
        """The static picture of a view at a step; `frames` is how many it has."""
        return snapshot(self.shown(inputs), view, step, frames, opened, inputs, note)

    def listed(self) -> list[str]:
        """The names to search for: none, since all is seen."""
        return []

    def knows(self, tick: str, opened: Sequence[str]) -> bool:
        """Whether the state at a tick needs no run."""
        return (tuple(sorted(opened)), tick) in self._known

    def scene_at(self, inputs: Mapping[str, Value], opened: Sequence[str] = ()) -> Json | None:
        """The scene at some inputs; None if the function has a problem there."""
        state = self.at(inputs, opened).state
        return None if state is None else self.scenes[state["scene"]]

    def _run(self, inputs: Mapping[str, Value]) -> Program | Trace:
        if isinstance(self._first, Trace):
            return self._first
        return self._first.at(**arguments(self.controls, inputs))

    # Stages

    def _stage(self, shown: Program | Trace, opened: Opened) -> Stage:
        form = self._form(shown)
        wanted = tuple(name for name in opened if name in form.openable)
        if not wanted:
            return form.closed
        stages = form.stages.setdefault(wanted, [])
        stage = next((one for one in stages if one.fits(shown)), None)
        if stage is None:
            stage = self._new_stage(shown, wanted)
            stage.scene["note"] = form.closed.scene["note"]
        else:
            stages.remove(stage)
        stages.insert(0, stage)
        self._forget([one.scene for one in stages[MOST_STAGES:]])
        del stages[MOST_STAGES:]
        return stage

    def _form(self, shown: Program | Trace) -> _Form:
        for form in self._forms:
            if form.closed.fits(shown):
                if form is not self._forms[0]:
                    self._forms.remove(form)
                    self._forms.insert(0, form)
                return form
        stage = self._new_stage(shown, ())
        taken = course(shown, stage.formulas) if isinstance(shown, Program) else None
        form = _Form(taken, stage, stage.scene["note"])
        self._forms.insert(0, form)
        self._forget([scene for old in self._forms[MOST_FORMS:] for scene in old.scenes])
        del self._forms[MOST_FORMS:]
        self._say_what_differs()
        return form

    def _new_stage(self, shown: Program | Trace, opened: Opened) -> Stage:
        self._last += 1
        stage = Stage(shown, number=self._last, opened=opened)
        self.scenes[self._last] = stage.scene
        return stage

    def _say_what_differs(self) -> None:
        """The note of each scene, since another form changes what is special about it."""
        for form in self._forms:
            if form.course is None:
                continue
            others = [one.course for one in self._forms if one is not form and one.course]
            said = " ".join(filter(None, (note(form.course, others), form.remark)))
            for scene in form.scenes:
                scene["note"] = said

    def _forget(self, scenes: Sequence[Json]) -> None:
        gone = {scene["id"] for scene in scenes}
        for number in gone:
            del self.scenes[number]
        for key, entry in list(self._known.items()):
            if entry.state is not None and entry.state["scene"] in gone:
                del self._known[key]


def problem(error: BaseException, code: CodeType | None) -> Json:
    """What went wrong, with the line of the function's own code in which it did.

    >>> problem(ValueError("no"), None)
    {'line': None, 'text': 'ValueError: no'}
    """
    line = None
    place = error.__traceback__
    while place is not None:
        if place.tb_frame.f_code is code:
            line = place.tb_lineno
        place = place.tb_next
    try:
        said = text.clean(str(error), 400)
    except Exception:  # of an exception of the user's, whose text may be anything
        said = ""
    return {
        "line": line,
        "text": f"{type(error).__name__}: {said}" if said else type(error).__name__,
    }


@contextlib.contextmanager
def unnoticed() -> Iterator[None]:
    """Let a function run ahead of time: it prints nothing, and draws no random numbers."""
    with (
        random_numbers_kept(),
        contextlib.redirect_stdout(_Silent(sys.stdout)),
        contextlib.redirect_stderr(_Silent(sys.stderr)),
    ):
        yield


class _Silent:
    """A stream that takes nothing from the thread that made it, and passes on what others write."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, written: str) -> int:
        if threading.get_ident() == self._thread:
            return len(written)
        return int(self._stream.write(written))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
