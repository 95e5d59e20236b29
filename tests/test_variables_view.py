"""The lecture's pictures at variable level, frame by frame."""

from typing import Any

import pytest
import torch

import autograd_viz as av
from autograd_viz.picture import Picture, Strip
from autograd_viz.typeset import plain
from tests.test_svg import TRACES, Drawn, check_geometry, with_nan, with_none, with_outputs
from tests.test_transforms import main_example

A, B, C, D, E = range(5)  # ids of the main example's variables


@pytest.fixture(scope="module")
def variables():
    return main_example().variables()


def drawn(shown, **options):
    return Drawn(shown.picture(**options).svg)


def halves(box):
    """Returns what stands above the rule of an oval and what stands below it."""
    above = [text for text in box.texts if text.baseline < box.y]
    below = [text for text in box.texts if text.baseline > box.y]
    return tuple("".join(t.text for t in part).replace(" ", "") for part in (above, below))


def positions(box):
    return {(text.text, text.left, text.baseline) for text in box.texts}


def frames(shown, view):
    """Returns each frame of a view as it is drawn alone."""
    count = len(shown.picture(view=view, frame="all").frames)
    return [drawn(shown, view=view, frame=number) for number in range(1, count + 1)]


def named_ends(picture):
    """Returns the arrows as pairs like (4, ("e", "c")): ids, and what a rectangle derives."""

    def name(box):
        if "variable" in box.data:
            return box.data["variable"]
        return tuple(box.words.replace("∂", "")[:2])

    return {(name(source), name(target)) for source, target in picture.ends()}


COMPUTATION = {
    A: ("a", "a=2"),
    B: ("b", "b=4"),
    C: ("c=a+b", "c=6"),
    D: ("d=log2(a)·log2(b)", "d=2"),
    E: ("e=c·d", "e=12"),
}


def test_the_computation_appears_one_statement_a_frame(variables):
    pictures = frames(variables, "computation")
    assert len(pictures) == 4
    shown = [(A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E)]
    arrows = [set(), {(A, C), (B, C)}, {(A, D), (B, D)}, {(C, E), (D, E)}]
    statements = ["a = 2", "b = 4", "c = a + b", "d = log2(a) * log2(b)", "e = c * d"]
    for number, picture in enumerate(pictures):
        ovals = {box.data["variable"]: halves(box) for box in picture.boxes}
        assert ovals == {id: COMPUTATION[id] for id in shown[number]}
        assert named_ends(picture) == set().union(*arrows[: number + 1])
        texts = [element.text for element in picture.root.iter() if element.tag.endswith("text")]
        assert [text for text in texts if text in statements] == statements[: number + 2]


def test_inputs_stand_at_the_bottom_and_arrows_point_up(variables):
    picture = drawn(variables, view="computation")
    heights = [picture.box(variable=id).y for id in (E, D, A)]
    assert heights == sorted(heights)
    assert picture.box(variable=A).y == pytest.approx(picture.box(variable=B).y, abs=1)
    for source, target in picture.ends():
        assert source.y > target.y
    for source, target in drawn(variables, view="backward").ends():
        assert source.y < target.y


def test_the_local_derivatives(variables):
    picture = drawn(variables, view="derivatives")
    assert {box.words for box in picture.boxes if not box.ellipse} == {
        "∂e∂c=d=2",
        "∂e∂d=c=6",
        "∂c∂a=1",
        "∂c∂b=1",
        "∂d∂a=log2(b)aln2=1.4427",
        "∂d∂b=log2(a)bln2=0.3607",
    }
    assert {b.data["variable"]: halves(b) for b in picture.boxes if b.ellipse} == COMPUTATION
    assert named_ends(picture) == {
        *{(A, ("c", "a")), (("c", "a"), C), (B, ("c", "b")), (("c", "b"), C)},
        *{(A, ("d", "a")), (("d", "a"), D), (B, ("d", "b")), (("d", "b"), D)},
        *{(C, ("e", "c")), (("e", "c"), E), (D, ("e", "d")), (("e", "d"), E)},
    }


BACKWARD: list[
    tuple[dict[int, str], set[Any]]
] = [  # what each frame adds: gradients under the rule, and arrows
    ({E: "∂e∂e=1"}, set()),
    ({}, {(E, ("e", "c")), (E, ("e", "d"))}),
    ({C: "∂e∂c=2", D: "∂e∂d=6"}, {(("e", "c"), C), (("e", "d"), D)}),
    ({}, {(C, ("c", "b")), (D, ("d", "b"))}),
    ({B: "∂e∂b=2+2.1640=4.1640"}, {(("c", "b"), B), (("d", "b"), B)}),
    ({}, {(C, ("c", "a")), (D, ("d", "a"))}),
    ({A: "∂e∂a=2+8.6562=10.6562"}, {(("c", "a"), A), (("d", "a"), A)}),
]


def test_the_backward_pass_fills_in_as_in_the_lecture(variables):
    pictures = frames(variables, "backward")
    assert len(pictures) == 7
    gradients: dict[int, str] = {}
    arrows: set[Any] = set()
    for picture, (more_gradients, more_arrows) in zip(pictures, BACKWARD, strict=True):
        gradients |= more_gradients
        arrows |= more_arrows
        for id, (expression, _) in COMPUTATION.items():
            expected = (expression, gradients.get(id, ""))
            assert halves(picture.box(variable=id)) == expected
        assert named_ends(picture) == arrows


def test_the_text_twin_of_a_frame_tells_no_more_than_the_frame(variables):
    words = [variables.backward(frame=number).words for number in range(1, 8)]
    assert ["10.6562" in text for text in words] == [False] * 6 + [True]
    assert ["4.1640" in text for text in words] == [False] * 4 + [True] * 3
    assert ["∂e/∂d = 6" in text for text in words] == [False] * 2 + [True] * 5
    words = [variables.computation(frame=number).words for number in range(1, 5)]
    assert ["12" in text for text in words] == [False] * 3 + [True]


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("view", ["computation", "derivatives", "backward"])
def test_nothing_moves_from_frame_to_frame(name, view):
    pictures = frames(TRACES[name]().variables(), view)
    last = {tuple(box.data.items()): box for box in pictures[-1].boxes}
    for picture in pictures:
        for box in picture.boxes:
            end = last[tuple(box.data.items())]
            assert box.place == end.place
            assert positions(box) <= positions(end)
        assert set(picture.arrows) <= set(pictures[-1].arrows)
        for size in ("width", "height"):
            assert picture.root.get(size) == pictures[-1].root.get(size)


@pytest.mark.parametrize("name", TRACES)
def test_derivatives_and_backward_pass_have_the_same_layout(name):
    shown = TRACES[name]().variables()
    forward, backward = (drawn(shown, view=view) for view in ("derivatives", "backward"))

    def places(picture):
        return {tuple(box.data.items()): box.place for box in picture.boxes}

    assert places(forward) == places(backward)
    ends = [tuple(box.place for box in pair) for pair in forward.ends()]
    assert sorted(pair[::-1] for pair in ends) == sorted(
        tuple(box.place for box in pair) for pair in backward.ends()
    )


def test_the_last_frame_is_the_default(variables):
    whole, last = Drawn(variables.backward().svg), Drawn(variables.backward(frame=7).svg)
    assert [box.words for box in whole.boxes] == [box.words for box in last.boxes]
    assert [box.place for box in whole.boxes] == [box.place for box in last.boxes]
    assert variables.backward().formulas == ()  # they say what happens in a single frame
    assert variables.computation() == variables.computation(frame=4)
    assert isinstance(variables.backward(frame="all"), Strip)


def test_the_default_view_is_the_backward_pass_if_there_was_one(variables):
    assert variables.picture() == variables.backward()
    forward = main_example(trace=False).variables()
    assert forward.picture() == forward.computation()


def test_details_of_d_as_in_the_lecture(variables):
    picture = Drawn(variables.details("d").picture().svg)
    assert {halves(box) for box in picture.boxes if box.ellipse} == {
        ("d=log2(a)·log2(b)=2", "∂e∂d=6"),
        ("log2(a)=1", "∂e∂log2(a)=12"),
        ("log2(b)=2", "∂e∂log2(b)=6"),
        ("a=2", "∂e∂a+=122ln2=8.6562"),
        ("b=4", "∂e∂b+=64ln2=2.1640"),
    }
    assert {box.words for box in picture.boxes if not box.ellipse} == {
        "∂d∂log2(a)=log2(b)=2",
        "∂d∂log2(b)=log2(a)=1",
        "∂log2(a)∂a=1aln2=0.7213",
        "∂log2(b)∂b=1bln2=0.3607",
    }
    assert variables.details("d").picture().title == "Details for d"


def test_what_is_complete_in_the_details_is_no_part_of_a_sum():
    def traced():
        x = torch.tensor(2.0, requires_grad=True)
        d = torch.sin(x) * 2
        y = d * 3
        return av.trace(y)

    words = traced().variables().details("d").picture().words
    assert "+=" not in words
    assert "∂y/∂x = -2.4969" in words


def test_many_contributions_are_not_written_out():
    x = torch.tensor(1.0, requires_grad=True)
    parts = {f"p{n}": x * n for n in range(1, 6)}
    y = torch.stack(list(parts.values())).sum()
    shown = av.trace(y, names=parts).variables()
    (box,) = [box for box in drawn(shown).boxes if box.ring]
    assert halves(box) == ("x", "∂y∂x=15")
    few = {name: parts[name] for name in ("p1", "p2")}
    y = few["p1"] + few["p2"]
    (box,) = [box for box in drawn(av.trace(y, names=few).variables()).boxes if box.ring]
    assert halves(box) == ("x", "∂y∂x=1+2=3")


def test_zero_and_none_look_different():
    picture = drawn(with_none().variables())
    by_title = {halves(box)[0]: box for box in picture.boxes if box.ellipse}
    assert halves(by_title["x"])[1] == "∂out∂x=0"
    assert by_title["x"].marks == {"av-oval", "av-leaf"}
    assert halves(by_title["y"])[1] == "∂out∂y:None"
    assert by_title["y"].marks == {"av-oval", "av-leaf", "av-empty"}
    assert by_title["w=y·2"].marks == {"av-oval", "av-empty"}
    assert "no gradient reaches it" in picture.words
    assert "no gradient reaches it" not in drawn(main_example().variables()).words


def test_nan_and_inf_are_marked_and_named():
    shown = with_nan().variables()
    picture = drawn(shown)
    alarmed = {box.words for box in picture.boxes if "av-alarm" in box.marks}
    assert alarmed == {
        "∂y∂x=inf",
        "x∂out∂x=NaN",
        "w∂out∂w=[-1,-inf]",
        "∂out∂w=-1/w2(2)fromscalar[-1,-inf]",
    }
    assert "NaN or inf" in picture.words
    assert "∂out/∂x = NaN" in shown.picture().words
    first = drawn(shown, frame=1)
    assert {box.words for box in first.boxes if "av-alarm" in box.marks} == {"∂y∂x=inf"}


def test_an_operation_with_several_outputs():
    shown = with_outputs().variables()
    picture = drawn(shown)
    assert "p,q,r=unbind(x)∂out∂(p,q,r):2,4,None" in {box.words for box in picture.boxes}
    assert "∂(p,q,r)∂x:3×3Jacobian[2,4,0]" in {box.words for box in picture.boxes}
    assert "∂out∂(p,q,r):1×3Jacobian" in {box.words for box in picture.boxes}
    assert "p = 1; q = 2; r = 3" in shown.computation().words


def test_one_of_several_outputs_as_the_output():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    p, _q = torch.unbind(x)
    drawing = av.trace(p).variables().picture()
    assert drawing.title == "Backward pass from p"
    assert "∂p/∂x = [1, 0]" in drawing.words


def test_several_outputs_have_gradients_but_no_fractions():
    x = torch.tensor(2.0, requires_grad=True)
    y1 = x * 2
    y2 = x * 3
    drawing = av.trace([y1, y2]).variables().picture()
    assert drawing.title == "Backward pass from y1, y2"
    assert "grad of x = 2 + 3 = 5" in drawing.words
    assert "∂y1/∂x" in drawing.words, "local derivatives"
    many = [x * n for n in range(30)]
    assert "… 26 more" in av.trace(many).variables().picture().title


def test_tensors_have_jacobians_and_short_summaries():
    w = torch.arange(6.0).reshape(2, 3).requires_grad_()
    h = w @ torch.ones(3)
    loss = (h**2).mean()
    picture = drawn(av.trace(loss).variables())
    words = {box.words for box in picture.boxes}
    assert "∂loss∂h=2·h/2(2)fromscalar[3,12]" in words
    assert "∂loss∂w=outer(∂loss∂h,?)(2×3)from(2)2×3,norm21.4243min3,max12" in words
    check_geometry(picture)


def test_a_way_without_a_rule_is_a_jacobian():
    x = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    y = torch.cumsum(x, 0) * x
    drawing = av.trace(y, torch.ones(3)).variables().picture()
    assert isinstance(drawing, Picture)
    assert "∂y/∂x: 3 × 3 Jacobian" in drawing.words
    assert "local derivative" in drawing.legend["rect"]


def test_the_chain_rule_stands_below_the_frame_in_which_it_happens(variables):
    lines = [list(map(plain, variables.backward(frame=n).formulas)) for n in range(1, 8)]
    assert lines == [
        [],
        [],
        ["∂e/∂c = ∂e/∂e * ∂e/∂c = 1 * 2 = 2", "∂e/∂d = ∂e/∂e * ∂e/∂d = 1 * 6 = 6"],
        [],
        ["∂e/∂b += ∂e/∂c * ∂c/∂b = 2 * 1 = 2", "∂e/∂b += ∂e/∂d * ∂d/∂b = 6 * 0.3607 = 2.1640"],
        [],
        ["∂e/∂a += ∂e/∂c * ∂c/∂a = 2 * 1 = 2", "∂e/∂a += ∂e/∂d * ∂d/∂a = 6 * 1.4427 = 8.6562"],
    ]
    for number, formulas in enumerate(lines, start=1):
        for line in formulas:
            assert line in variables.backward(frame=number).words
    assert "+=" not in variables.derivatives(frame=2).words


def test_of_many_steps_in_one_frame_the_first_are_written():
    x = torch.tensor(1.0, requires_grad=True)
    parts = {f"p{n}": x * n for n in range(1, 13)}
    y = torch.stack(list(parts.values())).sum()
    drawing = av.trace(y, names=parts).variables().backward(frame="all")
    assert isinstance(drawing, Strip)
    frames = drawing.frames
    assert max(len(frame.formulas) for frame in frames) == 9
    assert plain(frames[-1].formulas[-1]) == "… 4 more"


def test_a_formula_that_is_too_long_gives_way_to_its_number():
    x = torch.tensor(0.5, requires_grad=True)
    y = torch.nn.functional.gelu(x)
    words = av.trace(y, names={"x": x}).variables().derivatives().words
    assert "∂y/∂x = 0.8675" in words
    assert "Without a formula" not in words


def test_what_has_no_formula_is_named():
    x = torch.tensor(0.5, requires_grad=True)
    y = torch.special.i0(x)
    drawing = av.trace(y).variables().derivatives()
    assert "Without a formula, as a number only: ∂y/∂x." in drawing.words
    assert "Without a formula" not in av.trace(y).variables().backward().words


def test_unnamed_leaves_and_values_that_are_not_kept():
    y = torch.ones(3, 100, requires_grad=True) * 2
    words = av.graph(y).variables().picture().words
    assert "leaf: 3 × 100" in words
    assert "y: 3 × 100" in words


def chain(length):
    x = torch.tensor(1.0, requires_grad=True)
    values = {}
    for number in range(length):
        x = values[f"x{number}"] = x * 1
    return av.trace(x, names=values)


def test_a_long_computation_is_cut_off_with_a_note():
    shown = chain(200).variables()
    for view in ("computation", "derivatives", "backward"):
        drawing = shown.picture(view=view)
        assert "141 of 201 variables are left out." in drawing.words
        picture = Drawn(drawing.svg)
        assert len([box for box in picture.boxes if box.ellipse]) == 60
        assert "141 of 201 variables are left out." in picture.words
        assert "x199" in picture.words
        assert "x100" not in picture.words


@pytest.mark.parametrize("name", TRACES)
def test_every_frame_is_well_laid_out(name):
    for frame in TRACES[name]().variables().backward(frame="all").frames:
        check_geometry(Drawn(frame.svg))


# Wrong options


def test_a_wrong_view(variables):
    with pytest.raises(ValueError, match=r"no view 'forward'; give one of 'computation', 'deriv"):
        variables.picture(view="forward")


@pytest.mark.parametrize("view", ["derivatives", "backward"])
def test_a_view_that_needs_a_backward_pass(view):
    with pytest.raises(ValueError, match=rf"av\.trace\(e\)\.variables\(\)\.{view}\(\)"):
        main_example(trace=False).variables().picture(view=view)


@pytest.mark.parametrize("frame", [0, 8, -1, 1.0, "first"])
def test_a_wrong_frame(variables, frame):
    with pytest.raises(ValueError, match=r'frames 1 to 7; frame="all" shows them side by side'):
        variables.backward(frame=frame)


def test_a_constant_has_a_value_and_no_derivative():
    """The lecture's D2: x and y are given, so only w receives a gradient."""

    def loss(w, x=1.0, y=2.0):
        yhat = w * x
        l = yhat - y  # noqa: E741 (the lecture's name)
        return l**2

    variables = av.program(loss, w=1.0).variables()
    words = variables.derivatives().words
    assert "∂yhat/∂w = x = 1" in words
    assert "∂yhat/∂x" not in words
    assert "∂l/∂y =" not in words
    backward = variables.backward()
    assert isinstance(backward, Picture)
    boxes = {box.id: box for box in backward.boxes}
    given = [variable.id for variable in variables.nodes if variable.kind == "constant"]
    assert [variables.nodes[place].name for place in given] == ["x", "y"]
    for place in given:
        box = boxes[f"variable-{place}"]
        assert "constant" in box.marks
        assert [plain(line) for line in box.lower or ()] == ["no gradient"]
        arrows = [arrow for arrow in backward.arrows if arrow.target == box.id]
        assert [arrow.marks for arrow in arrows] == [("constant",)]


def test_the_chain_rule_shows_itself_in_a_cell():
    x = torch.tensor(2.0, requires_grad=True)
    rules = av.trace(x**2).variables().chain_rule()
    assert repr(rules) == "(<Formula ∂(x^2)/∂x = ∂(x^2)/∂(x^2) * ∂(x^2)/∂x = 1 * 4 = 4>,)"
    assert rules[0]._repr_mimebundle_()["text/html"].startswith("<img src=")
