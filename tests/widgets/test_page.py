import json
import re

import pytest
import torch

import autograd_viz as av
from autograd_viz import text
from autograd_viz.widgets import page
from autograd_viz.widgets.controls import inputs_of


def f(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    return c * d


@pytest.fixture(scope="module")
def w():
    return av.explore(f, a=(0.5, 4.0, 0.5), b=(1.0, 8.0, 1.0))


def data_of(html):
    return json.loads(
        html.partition('<script type="application/json">')[2].partition("</script>")[0]
    )


def unpacked(data, row):
    scene, _, _, *places = row
    keys = next(one["keys"] for one in data["scenes"] if one["id"] == scene)
    columns = data["columns"][str(scene)]
    return {key: data["strings"][places[at]] for key, at in zip(keys, columns, strict=True)}


def test_the_page_holds_torchs_numbers_at_every_point(w, tmp_path):
    path = w.save_html(tmp_path / "lecture.html")
    html = path.read_text(encoding="utf-8")
    data = data_of(html)
    closed, opened = data["grids"]
    assert (closed["opened"], opened["opened"]) == ([], ["d"])
    assert len(closed["ticks"]) == len(opened["ticks"]) == 64
    for grid in data["grids"]:
        for tick, row in zip(grid["ticks"], grid["rows"], strict=True):
            leaves = {
                name: torch.tensor(value, requires_grad=True)
                for name, value in inputs_of(w._states.controls, tick).items()
            }
            f(**leaves).backward()
            texts = " ".join(unpacked(data, row).values())
            for leaf in leaves.values():
                assert leaf.grad is not None
                assert text.number(leaf.grad.item()) in texts


def test_the_page_needs_nothing_else(w, tmp_path):
    html = w.save_html(tmp_path / "lecture.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert "<title>f: " in html


def test_errors_of_the_function_are_in_the_page():
    def picky(x):
        if x > 2:
            raise ValueError("too large")
        return x * x

    w = av.explore(picky, x=(0.0, 4.0, 1.0))
    (grid,) = data_of(w_html(w))["grids"]
    assert grid["ticks"] == ["0", "1", "2"]
    assert {tick: one["text"] for tick, one in grid["errors"].items()} == {
        "3": "ValueError: too large",
        "4": "ValueError: too large",
    }
    assert {one["line"] for one in grid["errors"].values()} == {picky.__code__.co_firstlineno + 2}


def w_html(w, **options):
    from autograd_viz.widgets.packing import packed

    given = {"inputs": w.inputs, "step": w.step, "view": w.view, "opened": w.opened}
    return packed(w._states, **given, **{"limit": 1_000_000, **options})


def test_too_large_a_page_says_what_to_make_coarser(tmp_path):
    fine = av.explore(f, a=(0.5, 4.0, 0.5), b=(0.5, 8.0, 0.01))
    with pytest.raises(
        ValueError, match=r"make b coarser: av\.explore\(f, b=\(0\.5, 8, "
    ) as raised:
        fine.save_html(tmp_path / "large.html", limit=400_000)
    assert "6,008 points" in str(raised.value)
    assert "limit=400,000 bytes" in str(raised.value)
    (line,) = re.findall(r"b=\(([^)]*)\)", str(raised.value))
    low, high, step = map(float, line.split(","))
    coarse = av.explore(f, a=(0.5, 4.0, 0.5), b=(low, high, step))
    assert coarse.save_html(tmp_path / "small.html", limit=400_000).stat().st_size <= 400_000
    assert [path.name for path in tmp_path.iterdir()] == ["small.html"]


def test_a_huge_grid_is_refused_at_once(tmp_path):
    vector = av.explore(lambda x: (x * x).sum(), x=torch.ones(8, requires_grad=True))
    with pytest.raises(ValueError, match=r"coarser|allow more"):
        vector.save_html(tmp_path / "vector.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_of_a_tensor_has_one_state(tmp_path):
    a = torch.tensor(2.0, requires_grad=True)
    e = a * a
    data = data_of(av.step(e).save_html(tmp_path / "step.html").read_text(encoding="utf-8"))
    assert data["controls"] == []
    assert data["grids"][0]["ticks"] == [""]


def test_rows_keep_each_text_and_each_column_once():
    strings: dict[str, int] = {}
    states = [
        (str(n), {"scene": 1, "texts": [str(n), "2", str(n)], "alarms": [], "words": ""})
        for n in range(2)
    ]
    columns = page.columns([state for _, state in states])
    assert columns == {1: [0, 1, 0]}
    packed = page.grid([], states, strings, columns=columns)
    assert packed["rows"] == [[1, 0, 0, 1, 2], [1, 0, 0, 3, 2]]
    assert list(strings) == ["", "0", "2", "1"]


def test_where_a_page_cannot_be_written_it_is_not_computed(tmp_path):
    runs: list[float] = []

    def square(a):
        runs.append(a.item())
        return a * a

    w = av.explore(square, a=(0.0, 4.0, 1.0))
    before = len(runs)
    with pytest.raises(
        FileNotFoundError, match=r"missing'; make it first: pathlib\.Path\('.*missing'"
    ):
        w.save_html(tmp_path / "missing" / "page.html")
    with pytest.raises(ValueError, match=r"page\.txt' does not end in \.html"):
        w.save_html(tmp_path / "page.txt")
    assert len(runs) == before
    assert list(tmp_path.iterdir()) == []
