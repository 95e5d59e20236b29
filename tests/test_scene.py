"""Scenes: what stands still, and the numbers of a run."""

import json
import re

import pytest

from autograd_viz import scene as scenes
from autograd_viz import svg
from autograd_viz.picture import Formula
from autograd_viz.typeset import Run, measure
from tests.browser.scene_fixture import LINES, SOURCE, trace


@pytest.fixture(scope="module")
def main():
    return scenes.scene(trace(2.0, 4.0), source=SOURCE, lines=LINES)


def numbers(made, state):
    return dict(zip(made["keys"], state["texts"], strict=True))


def view(made, name):
    return next(view for view in made["views"] if view["name"] == name)


def test_other_inputs_have_the_same_scene(main):
    other, state = scenes.scene(trace(0.7, 0.3), source=SOURCE, lines=LINES)
    assert other == main[0]
    assert numbers(other, state)["variable-2 c ="] == "1"


def test_it_is_plain_json(main):
    assert json.loads(json.dumps(main[0])) == main[0]
    assert json.loads(json.dumps(main[1])) == main[1]


def test_every_number_in_a_picture_has_its_text(main):
    made, _ = main
    drawn = [one["svg"] for one in made["views"]]
    drawn += [rule for one in made["views"] for frame in one["frames"] for rule in frame["rules"]]
    keys = {key for text in drawn for key in re.findall(r'data-key="([^"]*)"', text)}
    paths = {
        key for group in made["paths"] for row in group["rows"] for key in re.findall("{(.*)}", row)
    }
    sums = {key for group in made["paths"] for key in re.findall("{(.*)}", group["sum"])}
    assert keys | paths | sums == set(made["keys"])


def test_the_lectures_frames_are_lit_in_order(main):
    frames = view(main[0], "backward")["frames"]
    assert len(frames) == 7
    assert frames[0]["lit"] == ["variable-4"]
    assert [frame["lines"] for frame in frames] == [[4], [4], [2, 3], [2, 3], [1], [2, 3], [1]]
    assert len(view(main[0], "computation")["frames"]) == 4


def test_every_name_that_a_frame_lights_is_in_its_picture(main):
    for one in main[0]["views"]:
        there = set(re.findall(r'data-box="([^"]*)"', one["svg"]))
        assert {box for frame in one["frames"] for box in frame["lit"]} <= there


def test_the_engines_steps_are_the_frames_of_the_functions(main):
    frames = view(main[0], "functions")["frames"]
    assert [frame["words"].split()[0] for frame in frames] == [
        "MulBackward0",
        "MulBackward0",
        "Log2Backward0",
        "Log2Backward0",
        "AddBackward0",
        "AccumulateGrad:",
        "AccumulateGrad:",
    ]


def test_infinite_numbers_are_alarms_of_the_state_alone(main):
    made, state = scenes.scene(trace(2.0, 0.0), source=SOURCE, lines=LINES)
    assert made == main[0]
    assert "variable-1" in state["alarms"]
    assert "b" in state["words"]
    assert main[1]["alarms"] == []


def test_an_opened_variable_can_be_closed():
    made, _ = scenes.scene(trace(2.0, 4.0), opened=("d",), source=SOURCE, lines=LINES)
    assert made["opened"] == ["d"]
    opens = {box: detail["opens"] for box, detail in made["details"].items() if detail["opens"]}
    assert list(opens.values()) == ["d"]


def test_a_number_keeps_its_room_and_is_not_drawn():
    run = Run("", key="e", room="-00.0000")
    assert measure((run,), 18).width == 64.49
    assert '<text data-key="e" data-room="64.49"' in svg.live(Formula((Run("e = "), run)))


def test_shapes_keep_their_digits():
    texts: dict[str, str] = {}
    run = scenes.numeral("k", "3 × 4, norm 22.4944", texts)
    assert (run.room, texts) == ("3 × 4, norm -00.0000", {"k": "3 × 4, norm 22.4944"})


def test_the_stylesheet_has_both_themes():
    sheet = svg.stylesheet()
    assert ".av-light{--av-paper:#ffffff" in sheet
    assert ".av-dark .av-lit{" in sheet
