"""Two SVGs show the same if they have the same parts in the same places."""

import re
from typing import Any

import matplotlib
import pytest
import torch

import autograd_viz as av
from tests.notebooks import drawings

matplotlib.use("agg")
import matplotlib.pyplot as plt  # after the backend is chosen


def difference(stored, fresh) -> Any:
    return drawings.difference(stored, fresh)


def part(pattern, svg) -> Any:
    """The first place in the SVG that looks so."""
    return re.search(pattern, svg)


@pytest.fixture(scope="module")
def graph():
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    e = (a + b) * a
    return av.trace(e).variables().picture().svg


def plot(ys, colour="#14507f", style="-"):
    fig, ax = plt.subplots()
    ax.plot(range(len(ys)), ys, color=colour, linestyle=style, label="loss")
    ax.set_ylim(0, 10)
    ax.legend()
    return av.figure(fig, "The loss.").svg


def test_a_drawing_shows_the_same_as_itself(graph):
    assert difference(graph, graph) is None


def test_a_place_may_move_by_less_than_is_seen(graph):
    x = part(r'cx="([\d.]+)"', graph)
    near, far = (graph.replace(x[0], f'cx="{float(x[1]) + shift}"', 1) for shift in (0.05, 1.0))
    assert difference(graph, near) is None
    assert re.fullmatch(r"box “.+” \(.*\): cx is [\d.]+ instead of [\d.]+", difference(graph, far))


def test_a_lost_arrow_is_named(graph):
    arrow = part(r'<path class="av-arrow[^>]*/>', graph)[0]
    less = graph.replace(arrow, "", 1)
    assert difference(graph, less) == "picture: no longer there: arrow"
    assert difference(less, graph) == "picture: new: arrow"


def test_an_arrow_that_leads_elsewhere_is_named(graph):
    arrow = part(r'<path class="av-arrow[^>]* d="([^"]*) ([\d.]+),([\d.]+)"/>', graph)
    moved = graph.replace(arrow[1] + f" {arrow[2]}", arrow[1] + f" {float(arrow[2]) + 20}", 1)
    assert re.search(r"^arrow.*: the curve is \d+\.\d px away", difference(graph, moved))


def test_an_arrow_that_joins_others_is_named(graph):
    other = graph.replace('data-link="0"', 'data-link="7"')
    assert re.fullmatch(
        r"picture: no longer there: .+ \(link=0\); new: .+ \(link=7\)", difference(graph, other)
    )


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("av-leaf", "av-alarm"),
        ("stroke-dasharray:5 4", "stroke-dasharray:2 4"),
        ("#1b1b1b", "#1b1b1c"),
        ("local derivative</text>", "global derivative</text>"),
        ("font-style", "font-weight"),
    ],
)
def test_looks_and_words_count(graph, was, now):
    assert was in graph
    assert difference(graph, graph.replace(was, now))


def test_a_swap_of_two_parts_is_found():
    drawn = '<svg><g class="a"><text>1</text></g><g class="b"><text>1</text></g></svg>'
    swapped = '<svg><g class="b"><text>1</text></g><g class="a"><text>1</text></g></svg>'
    assert difference(drawn, swapped) == "picture: g b “1” stands in the place of g a “1”"


def test_a_curve_is_where_it_runs_whatever_its_points():
    ys = [9.0, 5.0, 3.0, 2.0]
    assert difference(plot(ys), plot([y + 0.005 for y in ys])) is None
    assert "line2d" in difference(plot(ys), plot([9.0, 5.0, 3.2, 2.0]))
    one = '<svg><path d="M0,0L10,0L20,0"/></svg>'
    assert difference(one, '<svg><path d="M0,0L3,0.1L20,0"/></svg>') is None
    assert difference(one, '<svg><path d="M0,0L3,1L20,0"/></svg>')
    assert difference(one, '<svg><path d="M0,0L10,0M12,0L20,0"/></svg>')
    assert difference(one, '<svg><path d="M0,0L10,0L20,0Z"/></svg>')
    assert difference(one, '<svg><path d="M0,0L10,0"/></svg>')
    # one Bézier curve, cut at its middle
    whole = '<svg><path d="M0,0C0,40 40,40 40,0"/></svg>'
    assert (
        difference(whole, '<svg><path d="M0,0C0,20 10,30 20,30C30,30 40,20 40,0"/></svg>') is None
    )
    assert difference(whole, '<svg><path d="M0,0C0,44 40,40 40,0"/></svg>')


def test_a_plots_colour_dashes_and_texts_count():
    ys = [9.0, 5.0, 3.0]
    assert difference(plot(ys), plot(ys, colour="#14507e"))
    assert difference(plot(ys), plot(ys, style="--"))
    assert "“gain”" in difference(plot(ys), plot(ys).replace("<!-- loss -->", "<!-- gain -->"))
    outline = part(r'<path id="DejaVuSans[^"]*" d="M (\d+)', plot(ys))
    other = plot(ys).replace(outline[0], outline[0].replace(outline[1], "9999"), 1)
    assert difference(plot(ys), other)


def test_a_number_in_a_plot_may_be_rounded_otherwise():
    drawn = '<svg><g id="text_1"><!-- 0.1234 --><g><path d="M0,0L9,9"/></g></g></svg>'
    other = drawn.replace("0.1234", "0.1235").replace("9,9", "8,0")
    assert difference(drawn, other) is None
    assert difference(drawn, drawn.replace("9,9", "8,0"))
