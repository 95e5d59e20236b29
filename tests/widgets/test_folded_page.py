import re

import pytest
from torch import nn

import autograd_viz as av
from autograd_viz.widgets.controls import tick_of
from autograd_viz.widgets.folded_states import FoldedStates
from tests.browser.scene_fixture import data
from tests.widgets.test_folded_states import passed


@pytest.fixture
def w():
    model, loss = passed()
    return av.step(loss, params=model)


def held(made):
    """What the page can show: (what is open, what is hidden)."""
    return [(tuple(grid["opened"]), tick) for grid in made["grids"] for tick in grid["ticks"]]


def test_the_page_holds_what_one_click_leads_to(w, tmp_path):
    w.opened = [*w.opened, "blocks.3"]
    made = data(w.save_html(tmp_path / "page.html"))
    known = held(made)
    now = tick_of(w._states.controls, w.inputs)
    assert known[0] == (tuple(w.opened), now)
    assert {(tuple(w.opened), f"{leaves}|{views}") for leaves in (0, 1) for views in (0, 1)} <= set(
        known
    )
    for further in w._states.openings(w.scene):
        assert (further, now) in known
    scenes = {scene["id"]: scene for scene in made["scenes"]}
    for grid in made["grids"]:
        for row in grid["rows"]:
            assert scenes[row[0]]["opened"] == grid["opened"]
    assert "blocks.3.norm" in made["names"]


def test_the_page_keeps_its_limit(w, tmp_path):
    sizes = []
    for limit in (200_000, 400_000, 800_000):
        path = w.save_html(tmp_path / f"{limit}.html", limit=limit)
        assert path.stat().st_size <= limit
        sizes.append(len(held(data(path))))
    assert 1 <= sizes[0] < sizes[1] < sizes[2]
    with pytest.raises(ValueError, match=r"with one picture alone.*close some groups") as raised:
        w.save_html(tmp_path / "page.html", limit=90_000)
    more = re.search(r"limit=([\d_]+)\)$", str(raised.value))
    assert more is not None
    w.save_html(tmp_path / "page.html", limit=int(more[1]))


def test_a_page_of_a_small_net_holds_every_state(tmp_path):
    model, loss = passed(nn.Sequential(*(nn.Linear(4, 4) for _ in range(4))))
    w = av.step(av.trace(loss, params=model).fold())
    states = w._states
    assert isinstance(states, FoldedStates)
    known = {
        opened for opened, _ in held(data(w.save_html(tmp_path / "page.html", limit=3_000_000)))
    }
    assert () in known
    for opened in known:  # whatever can be clicked there is in the page too
        state = states.at(w.inputs, opened).state
        assert state is not None
        for further in states.openings(states.scenes[state["scene"]]):
            assert further in known


def test_saving_by_the_ending(w, tmp_path):
    assert "<main>" in w.save(tmp_path / "a.html").read_text(encoding="utf-8")
    assert w.save(tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<svg")
