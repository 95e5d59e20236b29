"""The Explorer: a live widget with sliders for a function's inputs, and its backward pass."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from traitlets import TraitError

from autograd_viz import decks, files, functions_view, show
from autograd_viz.backward import recorded_from
from autograd_viz.errors import told
from autograd_viz.networks.folding import Folded
from autograd_viz.picture import MOST_FRAMES, Picture, strip
from autograd_viz.programs.forward import Program
from autograd_viz.progress import progress
from autograd_viz.widgets import page
from autograd_viz.widgets.closing import made_for
from autograd_viz.widgets.controls import beginning, checked, names_checked, tick_of
from autograd_viz.widgets.folded_page import packed_folded
from autograd_viz.widgets.folded_states import FoldedStates
from autograd_viz.widgets.inputs import as_made, controls, fixed
from autograd_viz.widgets.linking import Links
from autograd_viz.widgets.packing import packed
from autograd_viz.widgets.prefill import Prefill
from autograd_viz.widgets.snapshots import inputs_text
from autograd_viz.widgets.states import Entry, States, openable, problem

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from autograd_viz.engines.protocol import Value
    from autograd_viz.widgets.companions import Companion

Json = dict[str, Any]
OURS = frozenset(("scenes", "state", "controls", "names", "error", "busy", "_esm", "_css"))
MOST_LEAVES = 8  # of a model that is shown by variable; more are too small to be read


def explore(f: Callable[..., Any], /, **inputs: Any) -> Explorer:
    """Show a function of your own with live sliders for its inputs, and its backward pass.

    Args:
        f: computes one number with torch from its inputs, as for `autograd_viz.program`.
        inputs: for each input one of these. A number gets a slider that begins at it: a positive
            one from just above 0 to four times it (so that logarithms stay in their domain), a
            negative one from three times it to its opposite. `(min, max)` or `(min, max, step)`
            begins at f's default, if that lies between, else in the middle. True or False gets a
            checkbox. A list gets a menu: of numbers, texts, functions such as
            `[torch.log2, torch.log]`, or `("label", value)` pairs. A tensor or NumPy array of at
            most 8 elements gets a slider for each; a tensor keeps its `requires_grad`. An
            ipywidgets slider, menu or checkbox stays linked to the input, both ways. What is
            `ipywidgets.fixed(...)`, or left at f's default, has no control.

    Raises:
        TypeError, ValueError: an input is unknown, missing, or cannot be what was given for it.
        Exception: whatever f raises at the inputs that it begins with. Later ones are shown in
            the widget.

    >>> import torch, autograd_viz as av
    >>> def f(a, b):
    ...     c = a + b
    ...     d = torch.log2(a) * torch.log2(b)
    ...     return c * d
    >>> w = av.explore(f, a=2.0, b=(0.5, 8.0))
    >>> w.inputs = {"b": 4.0}
    >>> print(w.snapshot().words.splitlines()[0])
    Backward pass, step 7 of 7 at a = 2, b = 4
    """
    made = controls(f, inputs)
    try:
        states = States(f, made, fixed(inputs))
    except Exception as error:
        if made:
            told(error, as_made(f, inputs, made))
        raise
    return Explorer(states)


def step(
    output: Tensor | Value | Sequence[Tensor | Value] | Folded,
    grad: Tensor | Sequence[Tensor | None] | float | None = None,
    *,
    names: Mapping[str, Any] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> Explorer:
    """Show the backward pass from a tensor step by step, in the Explorer without sliders.

    A graph of more than 40 nodes is shown in groups that open and close.

    Args:
        output: as for `autograd_viz.trace`; or a folded graph or trace, which is shown as it is.
        grad: as for `trace`.
        names: as for `trace`.
        params: as for `trace`; a model with more than 8 parameters is shown in groups.

    Raises:
        Exception: as for `trace`.
        TypeError: a folded graph was given with more than itself.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(3.0, requires_grad=True)
    >>> e = a * a
    >>> w = av.step(e)
    >>> w.view, w.step
    ('backward', 3)
    >>> model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(12)))
    >>> with av.record(model):
    ...     loss = model(torch.ones(1, 4)).sum()
    >>> w = av.step(loss, params=model)  # large, so that it is shown in groups
    >>> w.opened = ["7"]
    >>> w.opened
    ['Sequential', '7']
    """
    if isinstance(output, Folded):
        if not (grad is None and names is None and params is None):
            raise TypeError(
                "a folded graph was given together with grad, names or params; these belong to the "
                "trace: av.step(av.trace(loss, grad, params=model).fold())"
            )
        return Explorer(FoldedStates(output))
    frame = sys._getframe(1)
    trace = recorded_from(output, grad, frame, names, params, call="step")
    graph = trace.graph
    # One oval with all parameters of a model below it, as of an LSTM, tells nothing.
    wide = params is not None and len(graph.leaves) > MOST_LEAVES
    large = len(graph.nodes) > functions_view.LIMIT or wide
    return Explorer(FoldedStates(trace.fold()) if large else States(trace))


class Explorer(anywidget.AnyWidget):
    """A live picture of a function's computation and backward pass, made by `explore` or `step`.

    `inputs`, `step`, `view` and `opened` are traits: set them from Python, or observe what the
    reader does.

    >>> import autograd_viz as av
    >>> w = av.explore(lambda x: x * x, x=3.0)
    >>> w.inputs
    {'x': 3.0}
    >>> w.step = 1
    >>> w
    <Explorer at x = 3: backward, step 1>
    """

    _esm = page.live_script()
    _css = page.style()

    scenes: traitlets.List[Json] = traitlets.List().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    controls: traitlets.List[Json] = traitlets.List(read_only=True).tag(sync=True)
    inputs = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(1).tag(sync=True)
    view = traitlets.Unicode("backward").tag(sync=True)
    opened: traitlets.List[str] = traitlets.List().tag(sync=True)
    names: traitlets.List[str] = traitlets.List(read_only=True).tag(sync=True)  # to search for
    error = traitlets.Any(None, allow_none=True).tag(sync=True)  # {"line", "text"}
    busy = traitlets.Bool(False).tag(sync=True)

    def __init__(self, states: States | FoldedStates) -> None:
        self._states = states
        self._from_page = False
        self._good = self._whole = begin = beginning(states.controls)
        entry = states.at(begin, states.opened)
        assert entry.state is not None
        scene = states.scenes[entry.state["scene"]]
        self._links = Links(states.controls, self._enter)
        self._prefill = Prefill(states, self._send_states)
        self._plots: weakref.WeakSet[Companion] = weakref.WeakSet()
        super().__init__()
        self._parts = made_for(self)
        with self.hold_sync():
            self.set_trait("controls", [control.json for control in states.controls])
            self.set_trait("names", states.listed())
            self.scenes = [scene]
            self.inputs = begin
            self.view = _view(scene, self.view)["name"]  # there may be no backward pass
            self.step = len(_view(scene, self.view)["frames"])
            self.opened = list(states.opened)
            tick = tick_of(states.controls, begin)
            self.state = {**entry.state, "tick": tick, "opened": self.opened}
        self.observe(self._moved, ["inputs", "opened"])
        self.on_msg(self._hear)

    def __repr__(self) -> str:
        where = f" at {inputs_text(self.inputs)}" if self.inputs else ""
        return f"<Explorer{where}: {self.view}, step {self.step}>"

    def __str__(self) -> str:
        return self.snapshot().words

    # What it shows

    @property
    def program(self) -> Program | None:
        """The function's run at the inputs; the last one without a problem. None for a tensor."""
        shown = self._states.shown(self._good)
        return shown if isinstance(shown, Program) else None

    @property
    def scene(self) -> Json:
        """The scene of the current state."""
        return self._states.scenes[self.state["scene"]]

    def snapshot(self, step: int | None = None) -> Picture:
        """Return the static picture of the view and the inputs as they are now, at a step.

        Args:
            step: from 1; without one the present step.
        """
        view = _view(self.scene, self.view)
        frames = len(view["frames"])
        note = ""
        if self.error is not None:
            line = f"line {self.error['line']}: " if self.error["line"] else ""
            note = f"At {inputs_text(self.inputs)}: {line}{self.error['text']}"
        return self._states.picture(
            self._good,
            [name for name in self.opened if name in self.scene["opened"]],
            view["name"],
            min(self.step if step is None else step, frames),
            frames,
            "\n".join(filter(None, (note, self.state["words"]))),
        )

    def save(self, path: str | Path, limit: int = 2_000_000, **options: Any) -> Path:
        """Write a page that needs no Python (.html), the picture (.png), or all steps of the view.

        All steps: `.pdf` (a page each), `.gif`, `.svg` (it moves), or a folder such as "frames/".

        Args:
            path: the file, whose ending names the format, or the folder.
            limit: bytes that a page may take, as for `save_html`.
            options: `seconds` and `numbered`, as for `autograd_viz.decks.save`.

        Raises:
            ValueError: there are more than 120 steps, or as `save_html` says.
            NotSavedError: it could not be written; what was there is unchanged.
        """
        ending = files.named(path).suffix.lower()
        if ending in (".html", ".htm"):
            return self.save_html(path, limit)
        if ending == ".png":
            return show.save(self.snapshot(), path)
        decks.checked(path, **options)
        count = len(_view(self.scene, self.view)["frames"])
        if count > MOST_FRAMES:
            raise ValueError(
                f"there are {count:,} steps, and a deck has at most {MOST_FRAMES}; close groups, "
                f'w.opened = {self.opened[:1]}, or write a page that has them all: w.save("e.html")'
            )
        with progress("drawing the steps", count, "steps") as advance:
            frames = []
            for step in range(1, count + 1):
                frames.append(self.snapshot(step))
                advance(1)
        return decks.save(strip(frames[0].title.partition(":")[0], frames), path, **options)

    def save_html(self, path: str | Path, limit: int = 2_000_000) -> Path:
        """Write one self-contained file with all points of the sliders' grid, and return its path.

        It needs neither Python nor a network; every number in it was computed by PyTorch. Of a
        folded graph it holds what can be opened next, and after that, as far as the limit goes.

        Args:
            path: the file.
            limit: bytes that it may take.

        Raises:
            ValueError: it would be larger; the message says which slider to make coarser. Or the
                path does not end in .html.
            NotSavedError: it could not be written; what was there is unchanged.
        """
        path = page.checked_path(path)
        begin: Json = {"inputs": self._good, "step": self.step, "opened": self.opened}
        if isinstance(self._states, FoldedStates):
            html = packed_folded(self._states, **begin, limit=limit)
        else:
            html = packed(self._states, **begin, view=self.view, limit=limit)
        files.write({path: html.encode()})
        return path

    def tangent_plot(self, name: str, **options: Any) -> Companion:
        """Return a figure of the output along one input, with its tangent; it follows the inputs.

        Args:
            name: the input, or an element of it: `"x[0]"`.
            options: as for `autograd_viz.widgets.companions.tangent_plot`.
        """
        from autograd_viz.widgets import companions

        return self._followed_by(companions.tangent_plot(self, name, **options))

    def contour_plot(self, x: str, y: str, **options: Any) -> Companion:
        """Return contour lines of the output over two inputs, which follow them, and the way down.

        Args:
            x: the input that goes to the right.
            y: the one that goes up.
            options: as for `autograd_viz.widgets.companions.contour_plot`.
        """
        from autograd_viz.widgets import companions

        return self._followed_by(companions.contour_plot(self, x, y, **options))

    def _followed_by(self, plot: Companion) -> Companion:
        self._plots.add(plot)
        return plot

    _ipython_display_ = None  # that of ipywidgets 7 leaves the picture out

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[Json, Json]:
        """The live widget, and the picture for where there is none."""
        data: Json = dict(show.mimebundle(self.snapshot()))
        live = super()._repr_mimebundle_(**kwargs)
        if live is None:
            return data, {}
        view, metadata = live
        return {**view, **data}, metadata

    def close(self) -> None:
        """Take the widget away with the plots beside it, and leave the linked ones alone."""
        if self.comm is not None:
            self._prefill.stop()
            self._links.close()
            self.unobserve(self._moved, ["inputs", "opened"])
            self.on_msg(self._hear, remove=True)
            for part in (*self._plots, *self._parts):
                part.close()
        super().close()

    # What may be set

    @traitlets.validate("inputs")
    def _inputs_checked(self, proposal: Any) -> Json:
        try:
            made = checked(self._states.controls, proposal["value"])
        except ValueError as error:
            raise TraitError(str(error)) from None
        self._whole = {**self._whole, **made}  # some may have been given alone
        return self._whole

    @traitlets.validate("step")
    def _step_checked(self, proposal: Any) -> int:
        wanted: int = proposal["value"]
        if self._from_page or not self.state:  # another branch may have more steps
            views = [view for scene in self._states.scenes.values() for view in scene["views"]]
            return min(max(wanted, 1), max(len(view["frames"]) for view in views))
        count = len(_view(self.scene, self.view)["frames"])
        if not 1 <= wanted <= max(len(view["frames"]) for view in self.scene["views"]):
            raise TraitError(
                f"step={wanted}: the view {self.view!r} has {count} steps; "
                f"give a number from 1 to {count}: w.step = {min(max(wanted, 1), count)}"
            )
        return wanted

    @traitlets.validate("view")
    def _view_checked(self, proposal: Any) -> str:
        wanted: str = proposal["value"]
        views = self._states.views
        if wanted not in views:
            raise TraitError(f"view={wanted!r}: give one of {', '.join(map(repr, views))}")
        return wanted

    @traitlets.validate("opened")
    def _opened_checked(self, proposal: Any) -> list[str]:
        try:
            wanted = names_checked(proposal["value"])
        except ValueError as error:
            raise TraitError(str(error)) from None
        if isinstance(self._states, FoldedStates):
            try:
                return list(self._states.checked(wanted))
            except (ValueError, IndexError) as error:
                raise TraitError(f"opened={wanted!r}: {error}") from None
        if self._from_page:  # which may show another branch
            seen = {name for scene in self._states.scenes.values() for name in openable(scene)}
            return [name for name in wanted if name in seen]
        known = openable(self.scene) if self.state else ()
        unknown = [name for name in wanted if name not in known]
        if unknown:
            names = ", ".join(map(repr, known)) or "none here"
            raise TraitError(
                f"opened={wanted!r}: {unknown[0]!r} has no inner operations to show; "
                f"what can be opened: {names}"
            )
        return wanted

    def set_state(self, sync_data: Json) -> None:
        """Take what the page sends; what cannot be is left out, for there is nobody to tell."""
        self._from_page = True
        try:
            super().set_state({name: sync_data[name] for name in sync_data if name not in OURS})
        except Exception:  # whatever it holds: a page need not be one of ours
            self._whole = self.inputs
            self.send_state([name for name in sync_data if name in self.keys])
        finally:
            self._from_page = False

    def _enter(self, some: Mapping[str, Any]) -> None:
        self.inputs = {**self.inputs, **some}

    def _moved(self, change: Any) -> None:
        """Go where the traits say."""
        self._prefill.stop()
        try:
            entry = self._states.at(self.inputs, self.opened)
        except KeyboardInterrupt as error:
            if not self._from_page:
                raise
            entry = Entry(None, problem(error, None))
        with self.hold_sync():
            self.error = entry.problem
            if entry.state is not None:
                self._good = self.inputs
                scene = self._states.scenes[entry.state["scene"]]
                step = _step_at(self.scene, self.step, scene)
                self._publish(scene)
                tick = tick_of(self._states.controls, self.inputs)
                self.state = {**entry.state, "tick": tick, "opened": self.opened}
                if step != self.step and not self._from_page:  # which moves the step itself
                    self.step = step
        self._links.show(self.inputs)
        self._prefill.around(self.inputs, self.opened)

    # What the page asks

    def _hear(self, widget: object, content: Any, buffers: object) -> None:
        if not isinstance(content, dict):
            return
        if content.get("type") == "seek":
            self._seek(content)
        if content.get("type") != "tick":
            return
        self._prefill.stop()
        answer: Json = {
            "type": "answer",
            **{key: content.get(key) for key in ("seq", "tick", "opened")},
        }
        scene = None
        try:
            inputs = {**self.inputs, **checked(self._states.controls, content.get("inputs"))}
            names = content.get("opened")
            opened = () if names is None else tuple(names_checked(names))
            entry = self._states.at(inputs, opened)
        except ValueError as error:
            self.send({**answer, "error": {"line": None, "text": str(error)}})
            return
        except BaseException as error:  # an interrupt too: the page waits for exactly one answer
            self.send({**answer, "error": problem(error, None)})
            return
        if entry.state is None:
            answer["error"] = entry.problem
        else:
            answer["state"] = entry.state
            scene = self._news(entry.state["scene"])
            if scene is not None:
                answer["scene"] = scene
        self.send(answer)
        if scene is not None:
            self._publish(scene)
        self._prefill.around(inputs, opened)

    def _seek(self, content: Json) -> None:
        """Say where something is seen; the page goes there."""
        words = content.get("words")
        found = None
        if isinstance(self._states, FoldedStates) and isinstance(words, str):
            found = self._states.sought(words, self.inputs, self.opened)
        answer: Json = {"type": "found", "seq": content.get("seq"), "words": words}
        self.send({**answer, **(found or {"name": None})})

    def _send_states(self, states: Mapping[str, Json], opened: Sequence[str]) -> None:
        numbers = dict.fromkeys(state["scene"] for state in states.values())
        scenes = [scene for number in numbers if (scene := self._news(number)) is not None]
        self.send({"type": "states", "opened": opened, "states": states, "scenes": scenes})
        for scene in scenes:
            self._publish(scene)

    def _news(self, number: int) -> Json | None:
        """The scene, if the page does not know it."""
        known = any(scene["id"] == number for scene in self.scenes)
        return None if known else self._states.scenes[number]

    def _publish(self, scene: Json) -> None:
        """Let a page that opens later find the scene."""
        if all(one["id"] != scene["id"] for one in self.scenes):
            self.scenes = [*self.scenes, scene][-self._states.published :]


def _view(scene: Json, name: str) -> Json:
    """The view, or the first one if the scene does not have it."""
    return next((view for view in scene["views"] if view["name"] == name), scene["views"][0])


def _step_at(before: Json, step: int, after: Json) -> int:
    """The step of another scene in which the same has been computed, as in explorer.js."""
    frames = before["views"][0]["frames"]
    later = after["views"][0]["frames"]
    if "time" not in frames[0] or "time" not in later[0]:
        return step
    if step >= len(frames):
        return len(later)
    now = frames[max(step, 1) - 1]["time"]
    return max(1, len([frame for frame in later if frame["time"] <= now]))
