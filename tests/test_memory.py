"""That nothing is kept: neither of graphs and pictures, nor of widgets that were closed.

Counted in objects, which are the same on every machine; memory is not.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import pkgutil
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import ipywidgets
import pytest
import torch
from ipywidgets import Widget
from matplotlib import pyplot

import autograd_viz as av
from autograd_viz.recorded.events import LOG

MODEL = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(12)))


def f(a, b):
    c = a * b
    return (a - 1) ** 2 + c


def loss():
    with av.record(MODEL):
        return MODEL(torch.ones(1, 3)).sum()


def explorer() -> list[Any]:
    w = av.explore(f, a=2.0, b=3.0)
    w.inputs = {"a": 1.0, "b": 2.0}
    w.step = 1
    w.snapshot()
    return [w, w.program]


def explorer_of_a_closure() -> list[Any]:
    held = torch.ones(4)

    def g(a):
        return (a * held).sum()

    return [av.explore(g, a=2.0), held, g]


def linked_explorer() -> list[Any]:
    slider = ipywidgets.FloatSlider(2.0, min=0, max=4)
    w = av.explore(f, a=slider, b=3.0)
    slider.value = 1.0
    for part in (slider.style, slider.layout):  # which the slider's owner would close
        part.close()
    return [w, slider]


def step() -> list[Any]:
    a = torch.tensor(3.0, requires_grad=True)
    w = av.step(a * a)
    w.step = 1
    return [w, a]


def folded_step() -> list[Any]:
    output = loss()
    w = av.step(output, params=MODEL)
    w.opened = ["7"]
    return [w, output]


def plots_beside() -> list[Any]:
    w = av.explore(f, a=2.0, b=3.0)
    tangent, contour = w.tangent_plot("a"), w.contour_plot("a", "b")
    w.inputs = {"a": 1.0}
    return [w, tangent, contour, tangent.figure, contour.figure]


def descent() -> list[Any]:
    w = av.descend(f, learning_rate=(0.05, 0.5), steps=3, a=2.0, b=(0.0, 3.0))
    w.step = 1
    w.start = {"b": 1.0}
    return [w, w._view, w._picture]


WIDGETS = {
    made.__name__: made
    for made in (
        explorer, explorer_of_a_closure, linked_explorer, step, folded_step, plots_beside, descent
    )
}  # fmt: skip


def opened_and_closed(make: Callable[[], list[Any]]) -> list[weakref.ref[Any]]:
    made = make()
    made[0].close()
    for one in made[1:]:
        if isinstance(one, ipywidgets.FloatSlider):  # the user's own
            one.close()
    return [weakref.ref(one) for one in made]


def pictured() -> list[weakref.ref[Any]]:
    """A graph, a trace and their pictures, with names and numbers that were not seen before."""
    value = float(torch.rand(()))
    a = torch.tensor(value, requires_grad=True)
    e = (a * 3.0).tanh() * a
    graph, trace = av.graph(e), av.trace(e)
    variables = trace.variables()
    for shown in (graph, trace, variables, variables.computation(), trace.fold()):
        shown.picture().svg.encode()
        str(shown)
    return [weakref.ref(one) for one in (a, e, graph, trace, variables)]


def asked() -> list[weakref.ref[Any]]:
    a = torch.tensor(3.0, requires_grad=True)
    e = a * a
    found = [av.paths(e, a), av.nudge(f, "a", 0.1, a=1.0, b=2.0), av.program(f, a=1.0, b=2.0)]
    found += [av.why(a, e), av.trace(loss(), params=MODEL).gradient_flow()]
    for shown in found:
        str(shown)
    return [weakref.ref(one) for one in (a, e, *found)]


def of_a_class_of_their_own() -> list[weakref.ref[Any]]:
    """A custom Function and a module, as a cell makes them anew each time that it runs."""

    class Twice(torch.autograd.Function):
        held = torch.ones(1000)

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x):
            return Twice.apply(self.layer(x))

    net = Net()
    with av.record(net):
        output = net(torch.ones(2)).sum()
    trace = av.trace(output, params=net)
    trace.picture().svg.encode()
    trace.variables().picture().svg.encode()
    trace.fold().picture().svg.encode()
    return [weakref.ref(one) for one in (Twice, Twice.held, Net, net, trace)]


WORK = {work.__name__: work for work in (pictured, asked, of_a_class_of_their_own)} | {
    name: lambda make=make: opened_and_closed(make) for name, make in WIDGETS.items()
}


def registry() -> dict[str, Any]:
    """All widgets that are not closed; ipywidgets 7 keeps them elsewhere."""
    found = getattr(ipywidgets.widgets.widget, "_instances", None)
    return found if found is not None else Widget.widgets


@cache
def caches() -> dict[str, Any]:
    """All functions of the package that keep what they returned."""
    for module in pkgutil.walk_packages(av.__path__, f"{av.__name__}."):
        importlib.import_module(module.name)
    return {
        f"{module.__name__.removeprefix('autograd_viz.')}.{name}": value
        for module in list(sys.modules.values())
        if module.__name__.startswith("autograd_viz.")
        for name, value in vars(module).items()
        if hasattr(value, "cache_info") and value.__module__ == module.__name__
    }


def census() -> Counter[str]:
    """The objects there are, without what caches of a bounded size keep."""
    for one in caches().values():
        if one.cache_parameters()["maxsize"] is not None:
            one.cache_clear()
    gc.collect()
    kinds = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return Counter(kinds)


def grown(work: Callable[[], object], times: int) -> dict[str, int]:
    """Of which types there are more objects after many times, by at least one for two of these."""
    for _ in range(2):  # what is loaded and kept once
        work()
    gc.collect()
    LOG.clear()  # which holds the last calls that were recorded, whatever their number
    before = census()
    for _ in range(times):
        work()
    gc.collect()
    LOG.clear()
    return {
        kind: count for kind, count in (census() - before).items() if count >= max(times // 2, 2)
    }


def test_caches_are_bounded_but_where_there_are_few_questions():
    for_ever = {name for name, one in caches().items() if one.cache_parameters()["maxsize"] is None}
    assert for_ever == {
        "exercises.chapter_06.undecided_rate",
        "exercises.series.exercises",
        "layout._compiled",
        "layout._warn_once",
        "plots._dark_rules",
        "typeset._char_width",
    }


@pytest.mark.parametrize("name", WORK)
def test_what_was_made_dies(name):
    open_before, threads = set(registry()), threading.active_count()
    made = WORK[name]()
    gc.collect()
    assert [one() for one in made if one() is not None] == []
    assert set(registry()) == open_before
    assert pyplot.get_fignums() == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("name", WORK)
def test_a_few_times_leave_no_more_than_once(name):
    assert grown(WORK[name], 4) == {}


@pytest.mark.parametrize("name", WIDGETS)
def test_nothing_waits_in_the_loop_of_a_kernel(name):
    """With a running loop, widgets work ahead and plots follow: timers and tasks end as well."""

    async def run() -> list[weakref.ref[Any]]:
        made = opened_and_closed(WIDGETS[name])
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return made

    made = asyncio.run(run())
    gc.collect()
    assert [one() for one in made if one() is not None] == []


@pytest.mark.parametrize("name", WIDGETS)
def test_closing_twice_does_no_harm(name):
    (widget, *_) = WIDGETS[name]()
    widget.close()
    widget.close()
    str(widget)
    Widget.close_all()


def test_a_layout_that_several_widgets_share_stays():
    shared = ipywidgets.Layout(width="50%")
    w = av.explore(f, a=2.0, b=3.0)
    w.layout = shared
    w.close()
    assert shared.comm is not None
    shared.close()


@pytest.mark.large
@pytest.mark.parametrize(("name", "times"), [("pictured", 2000), ("explorer", 300),
                                             ("plots_beside", 300), ("descent", 300),
                                             ("folded_step", 300)])  # fmt: skip
def test_thousands_leave_no_more_than_a_few(name, times):
    assert grown(WORK[name], times) == {}
