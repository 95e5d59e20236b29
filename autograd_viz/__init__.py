"""Draws the autograd graph of any PyTorch tensor, and the backward pass through it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autograd_viz.backward import trace
from autograd_viz.capture import graph

if TYPE_CHECKING:
    from autograd_viz.custom_functions.checks import check_function
    from autograd_viz.descents.watched import descend
    from autograd_viz.diagnosis.diagnose import why
    from autograd_viz.exercises.checking import check, hint, solution
    from autograd_viz.finite_differences.differences import nudge
    from autograd_viz.pathwise.products import paths
    from autograd_viz.plots import figure
    from autograd_viz.programs.forward import program
    from autograd_viz.recorded.blocks import record
    from autograd_viz.widgets.explorer import explore, step

__all__ = [
    "check",
    "check_function",
    "descend",
    "explore",
    "figure",
    "graph",
    "hint",
    "nudge",
    "paths",
    "program",
    "record",
    "solution",
    "step",
    "trace",
    "why",
]
__version__ = "0.1.0"

_LATER = {  # loaded when they are first asked for, so that importing the package stays quick
    "check": "exercises.checking",
    "check_function": "custom_functions.checks",
    "descend": "descents.watched",
    "explore": "widgets.explorer",
    "figure": "plots",
    "load_ipython_extension": "extension",
    "unload_ipython_extension": "extension",
    "hint": "exercises.checking",
    "nudge": "finite_differences.differences",
    "paths": "pathwise.products",
    "program": "programs.forward",
    "record": "recorded.blocks",
    "solution": "exercises.checking",
    "step": "widgets.explorer",
    "why": "diagnosis.diagnose",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
