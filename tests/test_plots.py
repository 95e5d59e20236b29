"""Figures of Matplotlib as SVG that is the same on each run."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure

import autograd_viz as av

matplotlib.use("agg")
import matplotlib.pyplot as plt  # after the backend is chosen

WORDS = "The loss falls from 7.3 to 0.02.\nEpoch 0: 7.3."


def plain() -> Any:
    """A figure as a notebook makes it."""
    fig, ax = plt.subplots()
    ax.plot([7.3, 0.36, 0.02], label="training")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.set_title("Squared error")
    ax.legend()
    return fig


def test_the_same_numbers_give_the_same_bytes():
    first, second = av.figure(plain(), WORDS), av.figure(plain(), WORDS)
    assert first == second
    assert "<text" not in first.svg  # fonts are drawn as paths
    assert "dc:date" not in first.svg
    other, ax = plt.subplots()
    ax.plot([7.3, 0.36, 0.03])
    assert av.figure(other, WORDS).svg != first.svg


def test_another_process_gives_the_same_bytes():
    program = (
        "import autograd_viz as av\n"
        "from matplotlib.figure import Figure\n"
        "fig = Figure()\n"
        "fig.add_subplot().plot([3, 1, 2], clip_on=True)\n"
        "print(av.figure(fig, 'x').svg)"
    )
    made = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert b"</svg>" in made[0]


def test_it_shows_itself_as_svg_as_an_image_and_in_words():
    shown = av.figure(plain(), f"\n{WORDS}\n")
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml", "text/html", "text/plain"}
    assert bundle["image/svg+xml"] == shown.svg
    assert bundle["text/plain"] == str(shown) == WORDS
    assert bundle["text/html"].startswith('<img src="data:image/svg+xml;base64,')
    assert bundle["text/html"].endswith(f'alt="{WORDS}">')


def test_it_is_no_longer_open_in_pyplot():
    before, fig = plt.get_fignums(), plain()
    assert len(plt.get_fignums()) == len(before) + 1
    av.figure(fig, WORDS)
    assert plt.get_fignums() == before


def test_pyplot_is_not_loaded_for_it():
    program = (
        "import sys, autograd_viz as av\n"
        "from matplotlib.figure import Figure\n"
        "av.figure(Figure(), 'nothing')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".png"])
def test_it_is_saved(tmp_path, ending):
    path = av.figure(plain(), WORDS).save(tmp_path / f"loss{ending}")
    begin = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}[ending]
    assert path.read_bytes().startswith(begin)


def test_matplotlibs_own_sizes_are_enlarged():
    fig = plain()
    av.figure(fig, WORDS)
    (ax,) = fig.axes
    assert tuple(fig.get_size_inches()) == (9.0, 6.0)
    assert ax.lines[0].get_linewidth() == 3.0
    assert ax.get_legend().get_lines()[0].get_linewidth() == 3.0
    texts = [ax.xaxis.label, *ax.get_xticklabels(), *ax.get_legend().get_texts()]
    assert {text.get_fontsize() for text in texts} == {15.0}
    assert ax.title.get_fontsize() == 18.0
    assert all(line.get_visible() for line in ax.get_xgridlines())


def test_chosen_sizes_stay():
    fig, ax = plt.subplots(figsize=(5, 3))
    ax.plot([1, 2], linewidth=0.5)
    ax.set_xlabel("epoch", fontsize=8)
    ax.tick_params(labelsize=7)
    av.figure(fig, WORDS)
    assert tuple(fig.get_size_inches()) == (5.0, 3.0)
    assert ax.lines[0].get_linewidth() == 0.5
    assert ax.xaxis.label.get_fontsize() == 8
    assert {text.get_fontsize() for text in ax.get_xticklabels()} == {7.0}


def test_an_image_gets_no_grid():
    fig, ax = plt.subplots()
    ax.imshow([[1.0, 2.0], [3.0, 4.0]])
    av.figure(fig, WORDS)
    assert not any(line.get_visible() for line in ax.get_xgridlines())


def test_all_of_the_larger_text_is_inside():
    fig = plain()
    av.figure(fig, WORDS)
    fig.draw_without_rendering()  # at the resolution at which it is measured
    (ax,) = fig.axes
    for part in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_yticklabels()):
        box = part.get_window_extent()
        assert fig.bbox.x0 <= box.x0 <= box.x1 <= fig.bbox.x1
        assert fig.bbox.y0 <= box.y0 <= box.y1 <= fig.bbox.y1


def test_showing_it_again_changes_nothing():
    fig = plain()
    assert av.figure(fig, WORDS) == av.figure(fig, WORDS)


@pytest.mark.parametrize("words", ["", "  \n", None])
def test_without_words_the_error_says_what_to_give(words):
    with pytest.raises(ValueError, match=r"words=.* tells nothing; .*av\.figure\(fig, 'The loss"):
        av.figure(Figure(), words)


def test_something_else_than_a_figure():
    with pytest.raises(
        TypeError, match=r"was given an object of type Axes; give the figure that `fig, ax ="
    ):
        av.figure(plain().axes[0], WORDS)
    plt.close("all")
