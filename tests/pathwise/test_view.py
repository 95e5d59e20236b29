"""The picture of paths: each lit in turn, its product below, and the sum below the last."""

import pytest
import torch

from autograd_viz.picture import Picture, Strip
from autograd_viz.typeset import plain
from tests.pathwise.test_products import leaf, main_example, of, paths_of
from tests.test_svg import Drawn, check_geometry


def lit(picture):
    return {box.id for box in picture.boxes if "lit" in box.marks}


def titles(paths, picture):
    numbers = [int(id.removeprefix("variable-")) for id in lit(picture) if "variable" in id]
    return {paths.variables.nodes[number].title for number in numbers}


@pytest.fixture
def paths():
    return of(main_example(), "e", "a")


def test_each_path_is_lit_in_turn(paths):
    strip = paths.picture()
    assert isinstance(strip, Strip)
    assert [titles(paths, frame) for frame in strip.frames] == [{"e", "c", "a"}, {"e", "d", "a"}]
    for frame in strip.frames:
        assert all(("lit" in box.marks) != ("dim" in box.marks) for box in frame.boxes)
        arrows = [arrow for arrow in frame.arrows if "lit" in arrow.marks]
        assert len(arrows) == 4  # into and out of each of two rectangles
        assert {end for arrow in arrows for end in (arrow.source, arrow.target)} == lit(frame)
        assert "lit" in frame.legend


def test_the_lit_rectangles_hold_the_factors(paths):
    for path, frame in zip(paths, paths.picture().frames, strict=True):
        boxes = [box for box in frame.boxes if box.shape == "rect" and box.id in lit(frame)]
        numbers = {float(plain(box.upper[0]).split(" = ")[-1]) for box in boxes}
        assert numbers == {round(factor, 4) for factor in path.factors[1:]}


def test_products_stand_below_and_the_sum_below_the_last(paths):
    below = [[plain(line) for line in frame.formulas] for frame in paths.picture().frames]
    assert below == [
        ["∂e/∂e · ∂e/∂c · ∂c/∂a = 1 * 2 * 1 = 2"],
        [
            "∂e/∂e · ∂e/∂d · ∂d/∂a = 1 * 6 * 1.4427 = 8.6562",
            "∂e/∂a = 2 + 8.6562 = 10.6562",
        ],
    ]
    assert "autograd's gradient is the same" in " ".join(paths.picture().frames[-1].notes)


def test_one_path_alone(paths):
    assert paths.picture(path=1) == paths.picture().frames[0]
    assert paths.picture(path=2).title == "Paths from e to a, path 2"
    assert paths.picture(path=2).words.splitlines()[1].startswith("e → d → a: ∂e/∂e")
    assert paths.picture(columns=1).columns == 1
    for path in (0, 3, True, "1"):
        with pytest.raises(ValueError, match="the paths 1 to 2"):
            paths.picture(path=path)
    with pytest.raises(TypeError, match="path, columns"):
        paths.picture(frame=1)


def test_one_path_alone_is_saved(paths, tmp_path):
    saved = paths.save(tmp_path / "one.svg", path=1)
    assert saved.read_text(encoding="utf-8") == paths.picture(path=1).svg


def test_paths_through_the_same_variables_share_a_frame():
    a = leaf(3.0)
    d = a * a + a
    e = d * d
    paths = paths_of(e, a)
    picture = paths.picture()
    assert isinstance(picture, Picture)
    assert [plain(line).split(" = ", 1)[1] for line in picture.formulas] == [
        "1 * 12 * 3 = 36",
        "1 * 12 * 3 = 36",
        "1 * 12 * 1 = 12",
        "1 * 12 * 3 = 36",
        "1 * 12 * 3 = 36",
        "1 * 12 * 1 = 12",
        "36 + 36 + 12 + 36 + 36 + 12 = 168",
    ]
    assert len(paths.picture(path=3).formulas) == 1
    assert picture.words == str(paths)


def test_equal_products_stand_in_one_line():
    x = y = leaf(1.0)
    for _ in range(200):
        y = y * y
    below = [plain(line) for line in paths_of(y, x).picture().formulas]
    assert below[0] == "∂y/∂y · ∂y/∂x = 1 * 1 = 1   (6 paths)"
    assert len(below) == 2
    assert "1.607e+60 other paths" in below[1]


def test_no_path_at_all():
    values = main_example()
    z = leaf(1.0)
    paths = paths_of(values["e"], z)
    picture = paths.picture()
    assert lit(picture) == set()
    assert any("av.why" in note for note in picture.notes)
    assert picture.formulas == ()
    with pytest.raises(ValueError, match="no paths"):
        paths.picture(path=1)
    nothing_listed = of(values, "e", "a", most=0).picture()
    assert [plain(line) for line in nothing_listed.formulas] == ["∂e/∂a = 10.6562"]


def test_of_a_large_computation_the_right_parts_are_lit():
    values = {"y0": torch.tensor(1.0, dtype=torch.float64, requires_grad=True)}
    for step in range(80):
        values[f"y{step + 1}"] = values[f"y{step}"] * 2 + values["y0"]
    paths = of(values, "y80", "y70", most=1)
    picture = paths.picture()
    assert titles(paths, picture) == {f"y{step}" for step in range(70, 81)}
    assert len(lit(picture)) == 21


def with_tensors():
    torch.manual_seed(0)
    W = torch.randn(3, 2, requires_grad=True)
    h = torch.tanh(torch.randn(4, 3) @ W)
    y = h.sum() + (h * W[0]).mean()
    return paths_of(y, W)


def with_nan():
    x = leaf(0.0)
    s = torch.sqrt(x)
    t = s * s + x
    return paths_of(t, x)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "made", [lambda: of(main_example(), "e", "b"), with_tensors, with_nan], ids=["main", "W", "nan"]
)
def test_nothing_overlaps(made, theme):
    paths = made()
    for number in range(1, len(paths) + 1):
        picture = paths.picture(path=number, theme=theme)
        check_geometry(Drawn(picture.svg))
    svg = paths.picture(theme=theme).svg
    assert "av-lit" in svg
    assert svg == paths.picture(theme=theme).svg


def test_a_notebook_gets_the_strip_and_the_table(paths):
    bundle = paths._repr_mimebundle_()
    assert bundle["text/plain"] == str(paths)
    assert bundle["image/svg+xml"].count("frame 1 of 2") == 1
