"""What stands on the disk after `save`: the whole new file, or the older one as it was."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

import autograd_viz as av
from autograd_viz import files
from autograd_viz.errors import AutogradVizError, NoFolderError, NotSavedError, SaveError

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and limits of POSIX")
NOT_ROOT = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for root"
)


def trace():
    a = torch.tensor(3.0, requires_grad=True)
    return av.trace(a * a)


@pytest.fixture(scope="module")
def widget():
    return av.explore(lambda a: a * a, a=(1.0, 3.0, 1.0))


@pytest.fixture(scope="module")
def plot():
    figure = Figure()
    figure.add_subplot().plot([2.0, 1.0])
    return av.figure(figure, "The loss falls from 2 to 1.")


@pytest.fixture(scope="module")
def savers(widget, plot) -> dict[str, Callable[[Any], Path]]:
    """Every way to write one file, by the ending of its name; the part before tells them apart."""
    strip = trace().variables().picture(frame="all")
    return {
        "picture.svg": trace().save,
        "picture.pdf": trace().save,
        "picture.PNG": trace().save,
        "formula.svg": av.paths(*output_and_leaf()).save,
        "deck.pdf": strip.save,
        "deck.gif": strip.save,
        "film.svg": widget.save,
        "steps.gif": widget.save,
        "page.html": widget.save_html,
        "plot.svg": plot.save,
        "plot.png": plot.save,
    }


def output_and_leaf():
    a = torch.tensor(3.0, requires_grad=True)
    return a * a, a


WAYS = ("picture.svg", "picture.pdf", "picture.PNG", "formula.svg", "deck.pdf", "deck.gif",
        "film.svg", "steps.gif", "page.html", "plot.svg", "plot.png")  # fmt: skip


def holds(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


# what was there


@pytest.mark.parametrize("way", WAYS)
def test_a_file_replaces_another_and_keeps_link_and_mode(savers, tmp_path, way):
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    real = far / f"real{way[-4:]}"
    real.write_bytes(b"before")
    (near / way).symlink_to(real)
    if os.name == "posix":
        real.chmod(0o640)
    assert savers[way](near / way) == near / way
    assert (near / way).is_symlink()
    assert len(real.read_bytes()) > 1000
    assert list(holds(far)) == [real.name]
    if os.name == "posix":
        assert stat.S_IMODE(real.stat().st_mode) == 0o640


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666, 0o640])
def test_who_may_read_a_file_stays(tmp_path, mode):
    path = tmp_path / "x.svg"
    path.touch()
    path.chmod(mode)
    assert stat.S_IMODE(trace().save(path).stat().st_mode) == mode


@POSIX
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_a_new_file_is_as_any_other(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        path = trace().save(tmp_path / "x.svg")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_an_administrator_leaves_a_file_to_its_owner(tmp_path):
    path = tmp_path / "x.svg"
    path.touch()
    os.chown(path, 1234, 1235)
    found = trace().save(path).stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


def test_a_link_to_nothing_yet_leads_to_the_new_file(tmp_path):
    (tmp_path / "link.svg").symlink_to(tmp_path / "new.svg")
    trace().save(tmp_path / "link.svg")
    assert (tmp_path / "link.svg").is_symlink()
    assert (tmp_path / "new.svg").read_text("utf-8").startswith("<svg")


def test_a_link_into_a_folder_that_is_not_there_says_which(tmp_path):
    (tmp_path / "link.svg").symlink_to("nowhere/graph.svg")
    with pytest.raises(NoFolderError, match=re.escape(repr(str(tmp_path / "nowhere")))):
        files.write({tmp_path / "link.svg": b"new"})


def test_a_name_may_be_as_long_as_the_file_system_lets_it(tmp_path):
    path = tmp_path / f"{'x' * 251}.svg"
    trace().save(path)
    assert list(holds(tmp_path)) == [path.name]


# a full disk

FULL = """
import sys
from pathlib import Path
import torch, autograd_viz as av
from autograd_viz import files
from autograd_viz.errors import NotSavedError

folder = Path(sys.argv[1])
a = torch.tensor(3.0, requires_grad=True)
e = (a * a).tanh()
trace = av.trace(e)
frames = trace.variables().picture(frame="all")
w = av.explore(lambda a: a * a, a=(1.0, 3.0, 1.0))
ways = [(trace.save, "x.svg"), (trace.save, "x.pdf"), (trace.save, "x.png"),
        (frames.save, "deck.pdf"), (frames.save, "deck.gif"), (w.save, "film.svg"),
        (w.save_html, "page.html"), (w.save, "page.htm")]
for save, name in ways:
    (folder / name).write_bytes(b"before")
for save, name in ways:
    save(Path(sys.argv[2], name))  # loads what is loaded at first use
LIMIT
for save, name in ways:
    try:
        save(folder / name)
    except NotSavedError as error:
        assert str(folder / name) in str(error) and "disk is full" in str(error), error
        assert error.errno, error
    else:
        raise SystemExit(f"{name} was reported as saved")
for folder_of_frames in ("frames", "a/b/frames"):
    try:
        frames.save(f"{folder}/{folder_of_frames}/")
    except NotSavedError as error:
        assert "disk is full" in str(error), error
    else:
        raise SystemExit("the frames were reported as saved")
found = {one.name: one.read_bytes() for one in folder.iterdir()}
assert found == {name: b"before" for _, name in ways}, found
print("as it was")
"""
LIMITED = """
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
"""
# The rest of the small disk is taken, so that every write meets its end.
FILLED = """
with open(folder / "filling", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
"""


def ran(command: list[str], program: str, *folders: Path) -> str:
    run = subprocess.run(
        [*command, sys.executable, "-c", program, *map(str, folders)],
        capture_output=True,
        text=True,
        cwd=Path(av.__file__).parents[1],
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@POSIX
def test_where_a_file_may_not_grow_the_older_one_stays(tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    assert ran([], FULL.replace("LIMIT", LIMITED), folder, other) == "as it was\n"


def test_on_a_full_disk_the_older_file_stays(tmp_path):
    own = ["unshare", "--mount", "--map-root-user"]
    mounts = ["sh", "-c", 'mount -t tmpfs -o size=160k none "$0" && exec "$@"', str(tmp_path / "d")]
    (tmp_path / "d").mkdir()
    (tmp_path / "other").mkdir()
    if not shutil.which("unshare") or subprocess.run([*own, *mounts, "true"], check=False,
                                                     capture_output=True).returncode:  # fmt: skip
        pytest.skip("no small disk can be made here: unshare --mount --map-root-user fails")
    program = FULL.replace("LIMIT", FILLED).replace(
        "assert found ==", "del found['filling']; assert found =="
    )
    assert ran([*own, *mounts], program, tmp_path / "d", tmp_path / "other") == "as it was\n"


# Ctrl-C


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_leaves_a_whole_file(savers, tmp_path, monkeypatch, way, call):
    path = tmp_path / way
    path.write_bytes(b"before")
    usual = getattr(os, call)

    def pressed(*given: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        usual(*given)

    monkeypatch.setattr(os, call, pressed)
    with pytest.raises(KeyboardInterrupt):
        savers[way](path)
    monkeypatch.undo()
    found = holds(tmp_path)
    assert list(found) == [way]
    if call == "fsync":
        assert found[way] == b"before"
    else:
        savers[way](tmp_path / f"again-{way}")
        assert found[way] == (tmp_path / f"again-{way}").read_bytes()


@pytest.mark.parametrize("numbered", ["png", "svg"])
@pytest.mark.parametrize("moment", [1, 2, 3])
def test_ctrl_c_leaves_no_part_of_a_folder(widget, tmp_path, monkeypatch, numbered, moment):
    usual, calls = os.fsync, []

    def pressed(handle: int) -> None:
        calls.append(handle)
        if len(calls) == moment:
            signal.raise_signal(signal.SIGINT)
        usual(handle)

    monkeypatch.setattr(os, "fsync", pressed)
    with pytest.raises(KeyboardInterrupt):
        widget.save(f"{tmp_path}/a/frames/", numbered=numbered)
    assert len(calls) == moment
    assert list(tmp_path.iterdir()) == []


def test_frames_that_were_there_stay_when_one_cannot_be_written(widget, tmp_path):
    widget.save(tmp_path, numbered="svg")
    last = sorted(holds(tmp_path))[-1]
    (tmp_path / last).unlink()
    before = dict.fromkeys(holds(tmp_path), b"before")
    for name in before:
        (tmp_path / name).write_bytes(b"before")
    (tmp_path / last).mkdir()
    with pytest.raises(NotSavedError, match=f"{last}.*is a folder"):
        widget.save(tmp_path, numbered="svg")
    (tmp_path / last).rmdir()
    assert holds(tmp_path) == before


def test_frames_of_a_folder_keep_links(widget, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    widget.save(tmp_path / "link", numbered="svg")
    assert (tmp_path / "link").is_symlink()
    assert "frame-1.svg" in holds(tmp_path / "real")


# names that no file can have


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("", SaveError, r'the path is empty.*save\("graph.svg"\)'),
        ("a\0b{}", SaveError, r"has a character that no file's name can have"),
        ("~/x{}", SaveError, r"pathlib\.Path\('~/.*'\)\.expanduser\(\)"),
        ("~nobody/x{}", SaveError, r"expanduser\(\)"),
        ("missing/x{}", NoFolderError, r"there is no folder '.*missing'.*\.mkdir\(parents=True\)"),
        ("x" * 300 + "{}", NotSavedError, "(?i)too long; give a shorter one"),
        ("file/x{}", NotSavedError, r"a part of the path is a file|no folder"),
        ("loop{}", NotSavedError, "(?i)symbolic links|not be resolved"),
        pytest.param("pipe{}", NotSavedError, "a device or a pipe", marks=POSIX),
        pytest.param(
            "half\ud800{}", SaveError, r"'half\\ud800.*no file's name can have", marks=POSIX
        ),
        pytest.param("shut/x{}", NotSavedError, r"read-only.*Path\.home\(\)", marks=NOT_ROOT),
        pytest.param("shut{}", NotSavedError, r"the file is read-only", marks=NOT_ROOT),
    ],
)
@pytest.mark.parametrize("way", ["x.svg", "x.png", "deck.pdf", "page.html"])
def test_a_path_that_cannot_be_gets_words(widget, tmp_path, monkeypatch, way, name, error, said):
    monkeypatch.chdir(tmp_path)
    ending = Path(way).suffix
    Path("file").touch()
    Path(f"loop{ending}").symlink_to(f"loop{ending}")
    Path("shut").mkdir()
    Path(f"shut{ending}").touch()
    if os.name == "posix":
        os.mkfifo(f"pipe{ending}")
        Path("shut").chmod(0o500)
        Path(f"shut{ending}").chmod(0o400)
    before = sorted(Path().rglob("*"))
    save = widget.save_html if way == "page.html" else widget.save
    if way == "x.svg":
        save = trace().save
    with pytest.raises(error, match=said) as caught:
        save(name.format(ending))
    assert isinstance(caught.value, AutogradVizError)
    str(caught.value).encode()
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("given", [None, 3, b"x.svg", [], Path])
def test_what_is_no_path_gets_words(widget, given):
    for save in (trace().save, widget.save, widget.save_html, trace().variables().save):
        with pytest.raises(TypeError, match=r"the path is of type \w+; give a text"):
            save(given)


def test_a_page_is_no_folder(widget, tmp_path):
    (tmp_path / "there.html").mkdir()
    with pytest.raises(NotSavedError, match=r"is a folder; name a file in it: save\('.*\.html'\)"):
        widget.save(tmp_path / "there.html")
    (tmp_path / "there.html").rmdir()
    for save in (widget.save, widget.save_html):
        with pytest.raises(SaveError, match=r"ends in a slash"):
            save(f"{tmp_path}/page.html/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["SVG", "Pdf", "PNG", "GIF", "HTML"])
def test_an_ending_in_capitals_is_the_same_format(widget, tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    widget.save(path)
    small = tmp_path / f"y.{ending.lower()}"
    assert path.read_bytes() == widget.save(small).read_bytes()


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0, -1, 1e9, 10**400, True, "1"])
@pytest.mark.parametrize("name", ["x.gif", "x.svg", "frames/"])
def test_a_time_that_cannot_be_gets_words(widget, tmp_path, seconds, name):
    with pytest.raises(SaveError, match=r"a number from 0\.02 to 200: save\(\.\.\., seconds=1\.6"):
        widget.save(f"{tmp_path}/{name}", seconds=seconds)
    assert list(tmp_path.iterdir()) == []


def test_the_longest_time_can_be_written(widget, tmp_path):
    assert widget.save(tmp_path / "x.gif", seconds=200).stat().st_size > 1000


def test_files_that_are_no_utf8_can_be_named(tmp_path):
    if sys.platform != "linux":
        pytest.skip("only Linux has such names")
    path = tmp_path / "\udcff.svg"
    trace().save(path)
    assert list(holds(tmp_path)) == [path.name]


# half of a character in a text


def test_half_of_a_character_in_a_name_or_a_text_is_left_out(tmp_path):
    half = "\ud800"
    a = torch.tensor(3.0, requires_grad=True)

    def f(x, how):
        if x > 2:
            raise ValueError(f"too large{half}")
        return x * x

    f.__name__ = f.__qualname__ = f"f{half}"
    figure = Figure()
    figure.add_subplot().plot([2.0, 1.0])
    named = av.trace(a * a, names={f"x{half}": a})
    live = av.explore(f, x=(0.0, 4.0, 1.0), how=[(f"one{half}", 1), ("two", 2)])
    plot = av.figure(figure, f"The loss{half} falls.")
    for shown in (named, named.variables(), live, plot):
        for ending in ("svg", "pdf", "png"):
            shown.save(tmp_path / f"x.{ending}").read_bytes()
    html = live.save_html(tmp_path / "x.html").read_text("utf-8")
    assert "too large" in html
    live.inputs = {"x": 3.0}
    str(live.get_state(["controls", "inputs", "error"])).encode()
    for drawing in (named.picture(), live.snapshot(), plot):
        for part in drawing._repr_mimebundle_().values():
            part.encode()


def test_a_figure_with_half_a_character_says_which_text():
    figure = Figure()
    figure.add_subplot().set_title("loss\ud800")
    with pytest.raises(ValueError, match=r"'loss\\ud800' has a character that no font has"):
        av.figure(figure, "The loss.")


def test_texts_are_never_read_as_typst(tmp_path):
    from pypdf import PdfReader

    title = 'a" + panic("read") + "\\ #panic()'
    picture = trace().picture()
    from dataclasses import replace

    facts = PdfReader(replace(picture, title=title).save(tmp_path / "x.pdf")).metadata
    assert facts is not None
    assert facts.title == title


def test_all_is_written_or_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(NotSavedError) as caught:
        files.write({tmp_path / "a": b"after", tmp_path / "no" / "b": b"after"})
    assert caught.value.errno == errno.ENOENT
    assert holds(tmp_path) == {"a": b"before"}
