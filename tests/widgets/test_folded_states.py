import json
import math
import re
from xml.etree import ElementTree

import pytest
import torch
from torch import nn
from traitlets import TraitError

import autograd_viz as av
from autograd_viz import text
from autograd_viz.widgets.explorer import Explorer
from autograd_viz.widgets.folded_states import FoldedStates
from tests.widgets.channels import ask, recorded_comms, save, sent, tell

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.inner = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        return x + self.inner(self.norm(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.begin = nn.Linear(4, 8)
        self.blocks = nn.Sequential(*(Block() for _ in range(12)))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.blocks(self.begin(x)))


def passed(module=None):
    torch.manual_seed(0)
    model = module or Net()
    with av.record(model):
        loss = model(torch.randn(3, 4)).square().mean()
    return model, loss


@pytest.fixture
def w():
    model, loss = passed()
    return av.step(loss, params=model)


def box(w, title):
    """The one box with this title in its details."""
    (name,) = (box for box, one in w.scene["details"].items() if one["title"] == title)
    return name


def said(w, name):
    """The texts of a box by the frame from which they are there."""
    (view,) = w.scene["views"]
    root = ElementTree.fromstring(view["svg"])
    (element,) = root.findall(f".//{SVG}g[@data-box='{name}']")
    later = {
        one: int(group.get("data-from", "1"))
        for group in element.iter(f"{SVG}g")
        for one in group.iter(f"{SVG}text")
    }
    return {one.text: later.get(one, 1) for one in element.iter(f"{SVG}text")}


def boxes(root):
    return [one for one in root.iter(f"{SVG}g") if (one.get("class") or "").startswith("av-box")]


def place(element):
    """Where the shape of a box stands."""
    return tuple(element[0].get(name) for name in ("x", "y", "cx", "cy", "width", "rx"))


# What is shown


def test_a_large_graph_is_shown_in_groups_and_a_small_one_as_before(w):
    assert (w.view, w.step) == ("network", len(w.scene["views"][0]["frames"]))
    assert repr(w) == f"<Explorer at leaves = True, views = True: network, step {w.step}>"
    x = torch.tensor(2.0, requires_grad=True)
    assert av.step(x * x).view == "backward"
    y = x
    for _ in range(60):
        y = y.sin()
    assert av.step(y).view == "network"


def test_what_folded_was_given_is_where_it_begins():
    model, loss = passed()
    folded = av.trace(loss, params=model).fold().open("blocks.3").hide("views").focus("blocks.3", 1)
    w = av.step(folded)
    assert "blocks.3" in w.opened
    assert w.inputs == {"leaves": True, "views": False}
    assert w.snapshot().svg == folded.picture().svg
    for option in ({"grad": torch.tensor(1.0)}, {"params": model}):
        with pytest.raises(TypeError, match=r"av\.step\(av\.trace\(loss, grad, params=model\)"):
            av.step(folded, **option)


def test_a_graph_without_a_pass_has_one_frame():
    model, loss = passed()
    w = av.step(av.graph(loss, params=model).fold())
    assert len(w.scene["views"][0]["frames"]) == w.step == 1
    w.opened = ["blocks.2"]
    assert w.step == 1
    assert w.snapshot().title.startswith("Autograd graph")


def test_numbers_are_torchs_and_appear_when_their_group_has_run(w):
    model, loss = passed()
    loss.backward()
    w.opened = [*w.opened, "blocks.5"]
    frames = w.scene["views"][0]["frames"]
    for name in ("blocks.5.norm", "blocks.5.inner", "head"):
        grads = [one.grad.norm().item() for one in model.get_submodule(name).parameters()]
        number = f"‖grad‖ = {text.number(math.hypot(*grads))}"
        place = box(w, name)
        (frame,) = (n for n, one in enumerate(frames, start=1) if one["lit"][0] == place)
        assert said(w, place)[number] == frame
        assert number in w.scene["details"][place]["lines"]


def test_each_frame_is_the_static_picture_of_that_step(w):
    """What is there in the live picture at a frame is what the static one says."""
    w.opened = [*w.opened, "blocks.0"]
    (view,) = w.scene["views"]
    root = ElementTree.fromstring(view["svg"])
    for step in (1, 2, len(view["frames"]) // 2, len(view["frames"])):
        w.step = step
        static = ElementTree.fromstring(w.snapshot().svg)
        expected = [one.text for box in boxes(static) for one in box.iter(f"{SVG}text")]
        there = []
        for one in boxes(root):
            hidden = {
                line
                for inner in one.iter(f"{SVG}g")
                if int(inner.get("data-from", "1")) > step
                for line in inner.iter(f"{SVG}text")
            }
            there += [line.text for line in one.iter(f"{SVG}text") if line not in hidden]
            empty = int(one.get("data-fills", "1")) > step
            drawn = next(box for box in boxes(static) if place(box) == place(one))
            assert ("av-empty" in (drawn[0].get("class") or "")) >= empty
        assert there == expected


def test_nan_is_marked_and_said_where_it_begins():
    model = Net()
    with torch.no_grad():
        dict(model.named_parameters())["blocks.4.norm.weight"].fill_(math.nan)
    w = av.step(passed(model)[1], params=model)
    assert w.state["alarms"]
    assert re.fullmatch("NaN or inf begins at .+[.]", w.state["words"])
    assert w.state["words"] in w.snapshot().words


# Opening and closing


def test_opening_a_block_opens_what_is_around_it_and_closing_takes_what_is_inside(w):
    begin = w.opened
    w.opened = ["blocks.7.inner"]
    assert w.opened == ["Net", "blocks", "blocks.7", "blocks.7.inner"]
    closes = {one["name"]: one["closes"] for one in w.scene["groups"]}
    assert closes["blocks.7"] == ["blocks.7", "blocks.7.inner"]
    w.opened = [name for name in w.opened if name not in closes["blocks.7"]]
    assert w.opened == begin
    w.opened = []
    assert "Net" in {one["opens"] for one in w.scene["details"].values()}


def test_of_repeated_blocks_one_is_chosen(w):
    (detail,) = (one for one in w.scene["details"].values() if "choice" in one)
    choice = detail["choice"]
    assert (choice["before"], choice["after"], choice["last"]) == ("blocks.", "", 11)
    w.opened = [*w.opened, "blocks.11"]
    assert "blocks.11" in w.opened
    w.opened = [f"{detail['opens']}[-1]"]
    assert w.opened[-1] == "blocks.11"


def test_bad_names_are_errors_that_name_the_remedy(w):
    before = w.opened
    with pytest.raises(TraitError, match=r"there is no group.*'blocks.77'; did you mean 'blocks.7"):
        w.opened = ["blocks.77"]
    with pytest.raises(TraitError, match="give one of 'network'"):
        w.view = "backward"
    assert w.opened == before


def test_the_step_stays_where_the_engine_is(w):
    frames = w.scene["views"][0]["frames"]
    step = next(n for n, one in enumerate(frames, start=1) if one["words"].startswith("blocks"))
    w.step = step
    now = frames[step - 1]["time"]
    w.opened = [*w.opened, "blocks.11"]
    opened = w.scene["views"][0]["frames"]
    assert opened[w.step - 1]["time"] == now
    w.step = w.step + 2
    w.opened = [name for name in w.opened if name != "blocks.11"]
    assert w.step == step
    w.step = len(frames)
    w.opened = [*w.opened, "blocks.11"]
    assert w.step == len(w.scene["views"][0]["frames"])


def test_frames_are_in_the_engines_order(w):
    w.opened = [*w.opened, "blocks.3"]
    times = [frame["time"] for frame in w.scene["views"][0]["frames"]]
    assert times == sorted(set(times))


def test_the_checkboxes_hide_leaves_and_views(w):
    w.opened = [*w.opened, "blocks.3", "blocks.3.norm", "blocks.3.inner.0"]
    kinds = lambda: [one["lines"][:1] for one in w.scene["details"].values()]  # noqa: E731
    assert ["leaf"] in kinds()
    titles = [one["title"] for one in w.scene["details"].values()]
    assert "TBackward0" in titles
    w.inputs = {"leaves": False}
    assert ["leaf"] not in kinds()
    w.inputs = {"views": False}
    assert "TBackward0" not in [one["title"] for one in w.scene["details"].values()]
    assert w.inputs == {"leaves": False, "views": False}


def test_nothing_of_the_readers_is_changed():
    model, loss = passed()
    state = torch.get_rng_state()
    w = av.step(loss, params=model)
    w.opened = [*w.opened, "blocks.3"]
    w.snapshot()
    assert all(one.grad is None for one in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    loss.backward()


# What a page asks


def test_a_page_opens_and_looks_for_things():
    with recorded_comms():
        model, loss = passed()
        w = av.step(loss, params=model)
        opened = [*w.opened, "blocks.6"]
        save(w, opened=opened)
        assert w.opened == opened
        answer = ask(w, opened=opened)
        assert answer["state"]["scene"] == w.scene["id"]
        content = {"type": "seek", "seq": 5, "words": "blocks.2.norm.w"}
        tell(w, {"method": "custom", "content": content})
        found = next(one for one in sent(w) if one["type"] == "found")
        assert (found["seq"], found["name"]) == (5, "blocks.2.norm.weight")
        save(w, opened=found["opened"], inputs=found["inputs"])
        assert w.scene["details"][found["box"]]["title"] == "blocks.2.norm.weight"
        assert set(opened) < set(w.opened)
        w.close()


def test_a_search_shows_what_was_hidden(w):
    w.inputs = {"leaves": False, "views": False}
    states = w._states
    found = states.sought("blocks.1.inner.0.bias", w.inputs, w.opened)
    assert found["inputs"] == {"leaves": True, "views": False}
    found = states.sought("tbackward", w.inputs, w.opened)
    assert found["inputs"] == {"leaves": False, "views": True}
    w.inputs, w.opened = found["inputs"], found["opened"]
    assert w.scene["details"][found["box"]]["title"] == "TBackward0"
    assert states.sought("nothing of the kind", w.inputs, w.opened) is None


def test_a_small_graph_with_many_parameters_is_shown_in_groups():
    lstm = nn.LSTM(4, 8, 2, bidirectional=True)
    loss = lstm(torch.randn(5, 1, 4))[0].sum()
    assert len(av.graph(loss).nodes) < 40
    assert av.step(loss, params=lstm).view == "network"
    assert av.step(loss).view == "backward", "where no model is named"
    linear = nn.Linear(2, 1)
    assert av.step(linear(torch.ones(2)).sum(), params=linear).view == "backward"


def test_a_group_that_is_hidden_with_the_views_is_found():
    model, loss = passed(nn.Sequential(nn.Flatten(0), nn.Linear(12, 12), nn.Unflatten(0, (3, 4))))
    states = FoldedStates(av.trace(loss, params=model).fold())
    hidden = {"views": False}
    state = states.at(hidden, states.opened).state
    assert state is not None
    details = states.scenes[state["scene"]]["details"]
    assert "2" not in {one["title"] for one in details.values()}
    found = states.sought("2", hidden, states.opened)
    assert found is not None
    assert found["inputs"]["views"] is True
    state = states.at(found["inputs"], found["opened"]).state
    assert state is not None
    assert states.scenes[state["scene"]]["details"][found["box"]]["title"] == "2"


def test_wrong_questions_are_answered_and_change_nothing():
    with recorded_comms():
        model, loss = passed()
        w = av.step(loss, params=model)
        before = w.opened
        assert "there is no group" in ask(w, opened=["nope"])["error"]["text"]
        save(w, opened=["nope"])
        assert w.opened == before
        w.close()


def test_scenes_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("autograd_viz.widgets.folded_states.MOST_SCENES", 4)
    model, loss = passed()
    w = av.step(loss, params=model)
    for number in range(12):
        w.opened = [f"blocks.{number}"]
        assert w.scene["opened"] == w.opened
    assert len(w._states.scenes) == 4
    assert len(w.scenes) == 1


def test_an_unrolled_network_opens_at_a_step():
    cell = nn.RNNCell(4, 4)
    x, h = torch.ones(1, 4), torch.zeros(1, 4)
    for _ in range(300):
        h = cell(x, h)
    loss = h.sum()
    w = av.step(loss, params=nn.ModuleDict({"cell": cell}))
    (choice,) = (one["choice"] for one in w.scene["details"].values() if "choice" in one)
    name = f"{choice['before']}{choice['first'] + 150}{choice['after']}"
    w.opened = [*w.opened, name]
    assert name in w.opened


def test_the_states_are_json(w):
    assert json.loads(json.dumps(w.scene)) == w.scene
    assert isinstance(w, Explorer)
    assert isinstance(w._states, FoldedStates)
