"""Keeps ipywidgets that were given as inputs at the same values as the Explorer's controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autograd_viz.widgets.controls import Control, Value, checked, meaning


class Links:
    """Both ways: what a linked widget is set to becomes the input, and the input its value.

    Args:
        controls: some of which may be linked.
        enter: takes the inputs that changed.
    """

    def __init__(
        self, controls: Sequence[Control], enter: Callable[[Mapping[str, Value]], None]
    ) -> None:
        self._enter = enter
        self._linked: list[tuple[Control, Callable[[Any], None]]] = []
        for control in controls:
            if control.linked is not None:
                self._link(control)

    def _link(self, control: Control) -> None:
        def heard(change: Any) -> None:
            self._take(control, change.new)

        control.linked.observe(heard, "value")
        self._linked.append((control, heard))

    def _take(self, control: Control, value: Any) -> None:
        self._enter(checked([control], {control.name: value}))

    def show(self, inputs: Mapping[str, Value]) -> None:
        """Set the linked widgets; one with limits may take another value, which then counts."""
        for control, _ in self._linked:
            wanted = inputs[control.name]
            if checked([control], {control.name: control.linked.value})[control.name] != wanted:
                control.linked.value = meaning(control, wanted)
            taken = checked([control], {control.name: control.linked.value})[control.name]
            if taken != wanted:
                self._enter({control.name: taken})

    def close(self) -> None:
        """Leave the linked widgets alone from now on."""
        for control, heard in self._linked:
            control.linked.unobserve(heard, "value")
        self._linked.clear()
