"""An unseen part of a widget that keeps it in the saved notebook."""

from __future__ import annotations

import anywidget

from autograd_viz.widgets import page


class Keeper(anywidget.AnyWidget):
    """Stands among a widget's children where none of them is an Explorer, which does the same.

    JupyterLab stores what a live widget needs only by a setting that is off at first; without it
    a notebook opens with "model not found" in the widget's place. `static/keeping.js` stores it.

    >>> Keeper().layout.display
    'none'
    """

    _esm = page.keeping()

    def __init__(self) -> None:
        super().__init__(layout={"display": "none"})
