"""Stages: what stands still, and the numbers of a run."""

import json
import math
import re
from functools import lru_cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz import functions_view, text
from autograd_viz.picture import Formula
from autograd_viz.svg import live, stylesheet
from autograd_viz.typeset import Run, measure, plain
from autograd_viz.widgets import timelines
from autograd_viz.widgets.live_numbers import Pattern, Texts, one
from autograd_viz.widgets.stage import Stage
from tests.examples import examples


def main_example(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


def least_squares(w, b, x=1.5, y=2.0):
    yhat = w * x + b
    s = yhat - y
    return s**2


def corners(a, b):
    h = torch.relu(a * b)
    m = torch.maximum(a, b)
    p = a * torch.abs(a)
    return h * m + p


def branching(a, b):
    if a > b:  # noqa: SIM108
        c = a * b
    else:
        c = torch.sin(a) + b
    return c * 2


def chosen(a, b):
    c = torch.where(a > b, a * a, b)
    return c * a


def vectors(a, b):
    x = torch.stack([a, b, a * b])
    y = x / x.norm()
    return (y * torch.tensor([1.0, 2.0, 3.0])).sum()


def matrices(a, b):
    W = torch.arange(6.0).reshape(2, 3) * a
    h = torch.tanh(W @ torch.tensor([1.0, -1.0, 0.5]))
    return (h * b).mean()


def several_outputs(a, b):
    p, q = torch.stack([a, b]).unbind()
    unused = p * 3  # noqa: F841
    return p * q + p


def shared(a, b):
    y = a
    for _ in range(4):
        y = y * y + b
    return y


def hooked(a, b):
    c = a * b
    c.register_hook(lambda grad: grad * 2)
    return c * c


def divided(a, b):
    c = 1 / a
    return c + torch.sqrt(b)


PROGRAMS = [
    main_example,
    least_squares,
    corners,
    branching,
    chosen,
    vectors,
    matrices,
    several_outputs,
    shared,
    hooked,
    divided,
]
INPUTS = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 2.0, 3.7, 100.0]) | st.floats(-4, 4, width=16)


def program_of(f, a, b):
    if f is least_squares:
        return av.program(f, w=a, b=b)
    return av.program(f, a=a, b=b)


def moved(program, f, a, b):
    return program.at(w=a, b=b) if f is least_squares else program.at(a=a, b=b)


def numbers(stage, shown):
    return dict(zip(stage.scene["keys"], stage.state(shown)["texts"], strict=True))


@lru_cache
def begun(f):
    """Returns the program at the inputs that its first stage is made for, and that stage."""
    program = program_of(f, 1.5, 0.75)
    return program, Stage(program)


def view(stage, name):
    return next(view for view in stage.scene["views"] if view["name"] == name)


def still(scene):
    return {**scene, "id": 0, "note": ""}


@pytest.fixture(scope="module")
def main():
    program = av.program(main_example, a=2.0, b=4.0)
    return program, Stage(program)


# The fast way and the slow way


def slow_boxes(program, opened):
    """Returns for each view what the static pictures say in each box."""
    variables = program.variables(open=opened)
    said = {}
    for name in ("computation", "derivatives", "backward"):
        picture = variables.picture(view=name)
        said[name] = {box.id: (box.upper, box.lower or ()) for box in picture.boxes}
    picture = functions_view.functions(variables.graph, variables.trace)
    said["functions"] = {box.id: (box.upper, box.lower or ()) for box in picture.boxes}
    return said


def fast_boxes(stage, shown):
    """Returns what the live pictures say once the numbers are in."""
    from autograd_viz.widgets.live_lines import LiveLines
    from autograd_viz.widgets.live_pictures import live as drawn_live
    from autograd_viz.widgets.stage import _views

    texts = numbers(stage, shown)
    lines = LiveLines(stage.variables, Texts(stage.variables))
    said = {}
    for name, timeline in _views(stage.variables):
        picture = drawn_live(name, timeline, lines).picture
        said[name] = {box.id: (box.upper, box.lower or ()) for box in picture.boxes}
    return said, texts


def filled(lines, texts):
    parts = []
    for line in lines:
        whole = "".join(
            texts[part.key] if isinstance(part, Run) and part.key else plain((part,))
            for part in line
        )
        parts.append(re.sub(r"^(.*)( if .*), here (.*)$", r"\1 = \3\2", whole))
    return ordinary(" ".join(parts))


def ordinary(said):
    return re.sub(r"\s+", " ", said.replace("·", "*").replace(",", " ")).strip()


@pytest.mark.parametrize("f", PROGRAMS)
@examples(8)
@given(a=INPUTS, b=INPUTS)
def test_the_fast_texts_are_those_of_the_static_views(f, a, b):
    begin, stage = begun(f)
    program = moved(begin, f, a, b)
    if not stage.fits(program):
        stage = Stage(program)
    assert stage.fits(program)
    slow = slow_boxes(program, ())
    fast, texts = fast_boxes(stage, program)
    for name, boxes in slow.items():
        for box, halves in boxes.items():
            expected = [ordinary(" ".join(map(plain, half))) for half in halves]
            assert [filled(half, texts) for half in fast[name][box]] == expected, (name, box)


@pytest.mark.parametrize("f", [f for f in PROGRAMS if f is not hooked])  # a hook may change nothing
@examples(6)
@given(a=INPUTS, b=INPUTS)
def test_what_fits_has_the_same_scene(f, a, b):
    begin, stage = begun(f)
    program = moved(begin, f, a, b)
    if stage.fits(program) and not stage.state(program)["alarms"]:
        fresh = Stage(program)
        assert still(fresh.scene) == still(stage.scene)
        assert fresh.state(program) == stage.state(program)


@pytest.mark.parametrize("f", PROGRAMS)
def test_parts_appear_in_the_frames_of_the_static_views(f):
    variables = begun(f)[1].variables
    for name in ("computation", "derivatives", "backward"):
        strip = variables.picture(view=name, frame="all")
        timeline = timelines.by_variable(variables, name)
        assert timeline.count == len(strip.frames)
        last = [[*box.upper, *(box.lower or ())] for box in strip.frames[-1].boxes]
        for number, frame in enumerate(strip.frames, start=1):
            for box, finish in zip(frame.boxes, last, strict=True):
                since = timeline.boxes[box.id]
                assert ("hidden" in box.marks) == (since.there > number)
                lines = [*box.upper, *(box.lower or ())] + [None] * len(finish)
                shown = {place for place, line in enumerate(finish) if lines[place] == line}
                later = {place for place, begin in since.lines.items() if begin > number}
                assert shown == set(range(len(finish))) - later
            for arrow, there in zip(frame.arrows, timeline.arrows, strict=True):
                assert ("hidden" in arrow.marks) == (there > number)


@pytest.mark.parametrize("f", PROGRAMS)
def test_alarms_are_those_of_the_static_views_and_more(f):
    for a, b in ((0.0, 0.0), (-1.0, 2.0), (1e30, 1e30), (1.5, 0.75)):
        program = program_of(f, a, b)
        stage = Stage(program)
        variables = program.variables()
        pictures = [variables.picture(view=name) for name in ("derivatives", "backward")]
        pictures.append(functions_view.functions(variables.graph, variables.trace))
        marked = {box.id for one in pictures for box in one.boxes if "alarm" in box.marks}
        state = stage.state(program)
        assert marked <= set(state["alarms"])
        assert bool(state["alarms"]) == bool(state["words"])


# The scene


def test_other_inputs_have_the_same_scene(main):
    program, stage = main
    other = program.at(a=0.7, b=0.3)
    assert stage.fits(other)
    assert still(Stage(other, number=2, note="new").scene) == still(stage.scene)
    assert numbers(stage, other)["variable-2 c ="] == "1"


def test_it_is_plain_json(main):
    program, stage = main
    assert json.loads(json.dumps(stage.scene)) == stage.scene
    state = stage.state(program)
    assert json.loads(json.dumps(state)) == state


@pytest.mark.parametrize("f", PROGRAMS)
def test_each_number_of_a_picture_has_its_text_and_no_other_has_one(f):
    scene = begun(f)[1].scene
    drawn = [one["svg"] for one in scene["views"]]
    drawn += [rule for one in scene["views"] for frame in one["frames"] for rule in frame["rules"]]
    keys = {key for said in drawn for key in re.findall(r'data-key="([^"]*)"', said)}
    rows = [row for group in scene["paths"] for row in (*group["rows"], group["sum"])]
    rows += [line for detail in scene["details"].values() for line in detail["lines"]]
    keys |= {key for row in rows for key in re.findall("{([^}]*)}", row)}
    assert {key.replace("&gt;", ">").replace("&lt;", "<") for key in keys} == set(scene["keys"])
    words = [frame["words"] for one in scene["views"] for frame in one["frames"]]
    said = {key for each in words for key in re.findall("{([^}]*)}", each)}
    assert said <= set(scene["keys"])


def test_the_lectures_frames_are_lit_in_order(main):
    _, stage = main
    frames = view(stage, "backward")["frames"]
    a, c, d, e = (main_example.__code__.co_firstlineno + n for n in range(4))
    assert len(frames) == 7
    assert frames[0]["lit"] == ["variable-4"]
    assert [frame["lines"] for frame in frames] == [[e], [e], [c, d], [c, d], [a], [c, d], [a]]
    assert {"variable-2", "variable-3", "link-4", "link-5"} <= set(frames[2]["lit"])
    assert [frame["lines"] for frame in view(stage, "computation")["frames"]] == [
        [a],
        [c],
        [d],
        [e],
    ]


def test_each_frame_has_its_rules(main):
    program, stage = main
    texts = numbers(stage, program)
    frames = view(stage, "backward")["frames"]
    assert [len(frame["rules"]) for frame in frames] == [1, 2, 2, 2, 2, 2, 2]
    keys = [re.findall(r'data-key="([^"]*)"', " ".join(frame["rules"])) for frame in frames]
    assert [[texts[key] for key in each] for each in keys] == [
        ["1"],
        ["2", "6"],
        ["1 · 2 = 2", "1 · 6 = 6"],
        ["1", "0.3607"],
        ["2 · 1 = 2", "6 · 0.3607 = 2.1640"],
        ["1", "1.4427"],
        ["2 · 1 = 2", "6 · 1.4427 = 8.6562"],
    ]


@pytest.mark.parametrize("f", PROGRAMS)
def test_every_name_that_a_frame_lights_is_in_its_picture(f):
    for one_view in begun(f)[1].scene["views"]:
        there = set(re.findall(r'data-box="([^"]*)"', one_view["svg"]))
        assert {box for frame in one_view["frames"] for box in frame["lit"]} <= there
        assert all(frame["lit"] for frame in one_view["frames"])


def test_the_engines_steps_are_the_frames_of_the_functions(main):
    _, stage = main
    frames = view(stage, "functions")["frames"]
    assert [frame["words"].split()[0] for frame in frames] == [
        "MulBackward0",
        "MulBackward0",
        "Log2Backward0",
        "Log2Backward0",
        "AddBackward0",
        "AccumulateGrad:",
        "AccumulateGrad:",
    ]
    first = main_example.__code__.co_firstlineno
    assert [frame["lines"][0] - first for frame in frames] == [3, 2, 2, 2, 1, 0, 0]


def test_the_source_stands_beside(main):
    _, stage = main
    first = main_example.__code__.co_firstlineno
    assert stage.scene["source"][2] == {
        "number": first + 2,
        "text": "    d = torch.log2(a) * torch.log2(b)",
    }


def test_the_paths_and_their_sum_are_torchs_gradient(main):
    program, stage = main
    other = program.at(a=3.0, b=5.0)
    texts = numbers(stage, other)
    group = stage.scene["paths"][0]
    assert [row.partition(":")[0] for row in group["rows"]] == ["e → c → a", "e → d → a"]
    a = torch.tensor(3.0, requires_grad=True)
    b = torch.tensor(5.0, requires_grad=True)
    main_example(a, b).backward()
    assert a.grad is not None
    assert b.grad is not None
    assert texts["paths to 0"].endswith(f" = {text.number(a.grad.item())}")
    assert texts["paths to 1"].endswith(f" = {text.number(b.grad.item())}")


def test_paths_say_when_a_hook_makes_their_sum_another():
    program = av.program(hooked, a=2.0, b=3.0)
    texts = numbers(Stage(program), program)
    assert texts["paths to 0"] == "18 + 18 = 36, but autograd's gradient is 72"


def test_details_tell_what_an_operation_saves(main):
    program, stage = main
    texts = numbers(stage, program)
    detail = stage.scene["details"]["variable-4"]
    lines = [re.sub("{([^}]*)}", lambda found: texts[found[1]], line) for line in detail["lines"]]
    assert detail["title"] == "e = c * d"
    assert {"value: 12", "saves self: 6", "saves other: 2"} <= set(lines)
    assert "gradient function: MulBackward0" in lines


def test_an_opened_variable_can_be_closed():
    stage = Stage(av.program(main_example, a=2.0, b=4.0), opened=("d",))
    assert stage.scene["opened"] == ["d"]
    details = stage.scene["details"]
    assert [one["opens"] for one in details.values() if one["opens"]] == ["d"]


def test_a_branch_does_not_fit():
    program = av.program(branching, a=2.0, b=1.0)
    stage = Stage(program)
    assert stage.fits(program.at(a=5.0))
    assert not stage.fits(program.at(a=-5.0))


@pytest.mark.parametrize("f", [corners, chosen])
def test_a_corner_has_another_formula_on_its_other_side(f):
    program = av.program(f, a=2.0, b=1.0)
    stage = Stage(program)
    assert stage.fits(program.at(a=3.0))
    other = program.at(a=0.5 if f is chosen else -2.0)
    assert not stage.fits(other)
    assert still(Stage(other).scene) != still(stage.scene)


def test_a_formula_with_a_condition_keeps_its_number_last():
    program = av.program(corners, a=2.0, b=1.0)
    stage = Stage(program)
    key = "link-4 ∂p/∂a = 2 a if a > 0, here"
    assert numbers(stage, program.at(a=3.0))[key] == "6"


def test_a_trace_has_a_stage_too():
    a = torch.tensor(2.0, requires_grad=True)
    d = a * a
    trace = av.trace(d)
    stage = Stage(trace)
    assert stage.fits(trace)
    assert stage.scene["source"] == []
    assert numbers(stage, trace)["variable-0 ∂d/∂a ="] == "4"


def test_without_a_gradient_there_is_the_computation_alone():
    program = av.program(lambda a: a * torch.ones(3), a=2.0)
    stage = Stage(program)
    assert [one["name"] for one in stage.scene["views"]] == ["computation"]
    assert "return its sum" in stage.scene["note"]
    assert numbers(stage, program.at(a=3.0))["variable-1"] == "[3, 3, 3]"


def test_a_large_computation_is_drawn_in_part():
    def long(x):
        for _ in range(100):
            x = torch.sin(x) * x
        return x

    program = av.program(long, x=0.5)
    stage = Stage(program)
    assert len(view(stage, "functions")["frames"]) <= functions_view.LIMIT
    assert stage.fits(program.at(x=0.7))
    state = stage.state(program.at(x=0.7))
    assert len(state["texts"]) == len(stage.scene["keys"])


# NaN and inf in words


@pytest.mark.parametrize(
    ("f", "inputs", "words"),
    [
        (main_example, {"a": -1.0, "b": 4.0}, "log2(a) is NaN at a = -1"),
        (main_example, {"a": 2.0, "b": 0.0}, "log2(b) is -inf at b = 0"),
        (divided, {"a": 0.0, "b": 1.0}, "1 / a is inf at a = 0"),
        (divided, {"a": 1.0, "b": 0.0}, "the derivative of sqrt(b) by b is inf at b = 0"),
        (main_example, {"a": math.nan, "b": 1.0}, "the input a is NaN"),
    ],
)
def test_trouble_is_said_where_it_arises(f, inputs, words):
    begin = av.program(f, a=2.0, b=4.0)
    stage = Stage(begin)
    program = begin.at(**inputs)
    assert stage.fits(program)
    state = stage.state(program)
    assert state["words"] == words
    assert state["alarms"]
    assert stage.state(begin)["alarms"] == []
    assert stage.state(begin)["words"] == ""


# Places for numbers


def test_a_number_keeps_its_room_and_is_not_drawn():
    run = Run("", key="e", room="-00.0000")
    assert measure((run,), 18).width == 64.49
    assert '<text data-key="e" data-room="64.49"' in live(Formula((Run("e = "), run)))


def test_shapes_keep_their_digits():
    x = torch.arange(12.0, requires_grad=True)
    W = x.reshape(3, 4) * 1
    variables = av.trace(W.sum()).variables()
    node = next(one for one in variables.nodes if one.name == "W").node
    texts = Texts(variables)
    assert node is not None
    numeral = texts.numeral("k", one("value", av.model.Slot(node, 0)))
    assert numeral.room == "3 × 4, norm -00.0000"
    assert texts.read(variables).texts == ["3 × 4, norm 22.4944"]


def test_two_patterns_never_share_a_key(main):
    texts = Texts(main[1].variables)
    first, second = one("value", av.model.Slot(0, 0)), one("value", av.model.Slot(1, 0))
    assert texts.key("k", first) == texts.key("k", first) == "k"
    assert texts.key("k", second) == "k'"
    assert isinstance(texts.patterns["k"], Pattern)


def test_the_stylesheet_has_both_themes():
    sheet = stylesheet()
    assert ".av-light{--av-paper:#ffffff" in sheet
    assert ".av-dark .av-lit{" in sheet
