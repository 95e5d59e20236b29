"""Pictures for notebooks, terminals and files."""

import base64
import html
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

import autograd_viz as av
from autograd_viz.errors import LayoutTooLargeError
from tests.test_svg import NAMESPACE, TRACES, labelled, parse
from tests.test_transforms import main_example


def shown_objects():
    trace = main_example()
    return [trace.graph, trace, trace.variables(), trace.picture()]


@pytest.mark.parametrize("number", range(4), ids=["Graph", "Trace", "Variables", "Drawing"])
def test_a_notebook_gets_the_picture_three_times(number):
    shown = shown_objects()[number]
    bundle = shown._repr_mimebundle_()
    assert list(bundle) == ["image/svg+xml", "text/html", "text/plain"]
    drawing = shown.picture()
    assert bundle["image/svg+xml"] == drawing.svg
    assert bundle["text/plain"] == drawing.words == str(shown)
    pattern = r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)">'
    (image, alt), *others = re.findall(pattern, bundle["text/html"])
    assert not others
    assert base64.b64decode(image).decode() == drawing.svg
    assert html.unescape(alt) == drawing.words


def test_the_text_for_a_reader_of_the_image_is_never_long_or_markup():
    evil = labelled("\"><script>alert('x')</script>")
    found = evil._repr_mimebundle_()["text/html"]
    assert re.fullmatch(r'<img src="[^"<>]+" alt="[^"<>]+">', found)
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100):
        y = y * 1
    drawing = av.trace(y).picture(limit=40)
    long = drawing._repr_mimebundle_()["text/html"]
    (alt,) = re.findall('alt="([^"]*)"', long)
    assert html.unescape(alt) == drawing.title


def test_ipython_shows_the_bundle():
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(main_example())
    assert {"image/svg+xml", "text/html", "text/plain"} <= set(data)


def test_print_shows_the_pass_in_words(capsys):
    trace = main_example()
    print(trace)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Backward pass from e: 5 gradient functions, 2 leaves"
    assert len(lines) == 2 + len(trace.steps)
    assert any("8.6562 + 2 = 10.6562" in line for line in lines)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my pictures größer 図"
    path.mkdir()
    return path


def size_of(svg):
    root = parse(svg)
    return tuple(float(root.get(name)) for name in ("width", "height"))


def png_size(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize(
    ("name", "theme"), [*((name, "auto") for name in TRACES), ("main", "light"), ("main", "dark")]
)
def test_save(folder, name, theme):
    trace = TRACES[name]()
    drawing = trace.picture(theme=theme)
    assert trace.save(folder / "a b.svg", theme=theme) == folder / "a b.svg"
    assert (folder / "a b.svg").read_text(encoding="utf-8") == drawing.svg
    drawing.save(str(folder / "a b.pdf"))
    assert (folder / "a b.pdf").read_bytes().startswith(b"%PDF-")
    drawing.save(folder / "a b.PNG")
    wanted = [2 * length for length in size_of(drawing.svg)]
    assert png_size((folder / "a b.PNG").read_bytes()) == pytest.approx(wanted, abs=2)
    assert len(list(folder.iterdir())) == 3


def test_save_options_are_those_of_the_picture(folder):
    variables = main_example().variables()
    variables.save(folder / "all.svg", view="computation", frame="all", columns=4, theme="dark")
    text = (folder / "all.svg").read_text(encoding="utf-8")
    assert text.count("av-frame") - 1 == 4
    assert 'class="av av-dark"' in text


def test_saved_pictures_do_not_depend_on_path(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    trace = main_example()
    for ending in ("svg", "pdf", "png"):
        assert trace.save(folder / f"picture.{ending}").stat().st_size > 1000


def test_the_same_png_each_time(folder):
    first, second = (main_example().save(folder / f"{n}.png").read_bytes() for n in "12")
    assert first == second


@pytest.mark.parametrize("name", ["picture", "picture.jpg", "picture.svg.gz", ".png"])
def test_an_unknown_ending_is_an_error_and_leaves_no_file(folder, name):
    with pytest.raises(ValueError, match=r"\.svg, \.pdf, \.png"):
        main_example().save(folder / name)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_a_missing_folder_is_not_made(tmp_path, ending):
    with pytest.raises(FileNotFoundError, match="missing"):
        main_example().save(tmp_path / "missing" / f"picture.{ending}")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_drawn_leaves_the_old_file(folder):
    path = main_example().save(folder / "picture.svg")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="limit"):
        main_example().save(path, limit=0)
    assert path.read_bytes() == before


def first_line(png):
    """Returns the pixels of a PNG's first line, as tuples of red, green, blue and alpha."""
    assert png[24:26] == b"\x08\x06", "8 bits, RGBA"
    data, position = b"", 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += length + 12
    filter, *line = zlib.decompress(data)[: 1 + 4 * png_size(png)[0]]
    for i in range(4, len(line)):  # there is no line above, so only the pixel at the left counts
        left = {0: 0, 1: line[i - 4], 2: 0, 3: line[i - 4] // 2, 4: line[i - 4]}[filter]
        line[i] = (line[i] + left) % 256
    return list(zip(*[iter(line)] * 4, strict=True))


@pytest.mark.parametrize(
    ("theme", "paper"), [("light", 0xFFFFFF), ("auto", 0xFFFFFF), ("dark", 0x14171C)]
)
def test_a_dark_picture_has_a_dark_paper(folder, theme, paper):
    line = first_line(main_example().save(folder / "picture.png", theme=theme).read_bytes())
    red, green, blue, alpha = line[len(line) // 2]
    assert (red << 16 | green << 8 | blue, alpha) == (paper, 255)


# Wrong options


@pytest.mark.parametrize(
    ("option", "given", "message"),
    [
        ("theme", "sepia", r"theme='sepia': give one of 'auto', 'light', 'dark'"),
        ("engine", "neato", r"engine='neato': give one of 'auto', 'wasm', 'dot'"),
        ("theme", None, "give one of"),
        ("theme", ["light"], "give one of"),
    ],
)
def test_a_wrong_value_of_an_option(option, given, message):
    for shown in shown_objects()[:3]:
        with pytest.raises(ValueError, match=message):
            shown.picture(**{option: given})


def test_an_unknown_option_names_the_known_ones():
    graph, trace, variables, drawing = shown_objects()
    with pytest.raises(
        TypeError, match=r"Graph has no option 'color'.* theme, engine, effort, limit$"
    ):
        graph.picture(color="red")
    with pytest.raises(TypeError, match=r"Variables has no option 'limit'.*view, frame, columns"):
        variables.picture(limit=3)
    with pytest.raises(TypeError, match=r"\.variables\(\)\.picture\(view=\.\.\.\)"):
        trace.picture(view="computation")
    with pytest.raises(TypeError, match="takes no options"):
        drawing.picture(limit=3)


def test_there_is_no_picture_of_anything_else():
    from autograd_viz import show

    with pytest.raises(TypeError, match="no picture of a Tensor"):
        show.picture(torch.ones(2))


def test_nothing_is_written_beside_the_file(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main_example().save(folder / "picture.png")
    assert [path.name for path in Path(tmp_path).iterdir()] == [folder.name]
    assert [path.name for path in folder.iterdir()] == ["picture.png"]


def test_a_picture_without_anything_that_torch_computed_here():
    svg = av.graph(torch.ones(2, 2, requires_grad=True)).picture().svg
    assert parse(svg).find(f"{NAMESPACE}title").text.endswith("1 leaf")


def test_a_large_limit_is_bounded_and_a_note_says_so():
    x = torch.ones(3, requires_grad=True)
    y = x
    for _ in range(300):
        y = y.sin() + x
    effort = 300_000_000
    drawing: Any = av.graph(y).picture(limit=600, effort=effort)
    (note,) = [note for note in drawing.notes if "too long" in note]
    assert note.startswith("limit=600 would take too long to lay out, so ")
    assert f"picture(limit=600, effort={10 * effort:_}) tries longer" in note
    assert note in drawing.words
    assert len(drawing.boxes) < 600
    drawing.svg  # noqa: B018
    whole: Any = av.graph(y).picture(limit=100)
    assert not any("too long" in note for note in whole.notes)


@pytest.mark.parametrize("effort", [1, 1_000_000])
def test_an_effort_that_holds_nothing_draws_one_function(effort):
    y = torch.ones(3, requires_grad=True)
    for _ in range(10):
        y = y.sin()
    drawing: Any = av.graph(y).picture(limit=10, effort=effort)
    (note,) = [note for note in drawing.notes if "too long" in note]
    assert note.startswith("limit=10 would take too long to lay out, so 1 are drawn")
    assert "effort=2_000_000_000) tries longer" in note
    assert "SinBackward0" in drawing.svg


@pytest.mark.parametrize("effort", [0, -1, 1.5, "much"])
def test_an_effort_is_a_number_of_instructions(effort):
    with pytest.raises(ValueError, match="give a number of instructions, as 2_000_000_000"):
        main_example().picture(effort=effort)


def test_the_effort_of_a_picture_bounds_its_layout():
    variables = main_example().variables()
    with pytest.raises(LayoutTooLargeError, match="allow more: effort=2_000_000_000"):
        variables.picture(effort=1_000).svg  # noqa: B018
    assert variables.picture(effort=10**9).svg == variables.picture().svg
