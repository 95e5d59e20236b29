"""A page without a kernel: the Explorer and all of its states in one HTML file."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autograd_viz import files, svg
from autograd_viz.errors import SaveError
from autograd_viz.text import legal

STATIC = Path(__file__).parent / "static"
# Nothing is loaded from anywhere: not from the network, and not from beside the file.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
_START = """
const data = JSON.parse(document.querySelector('script[type="application/json"]').textContent);
render({ model: staticModel(data), el: document.querySelector("main") });
"""


def script() -> str:
    """The Explorer's JavaScript: one ES module, `export default { render }`."""
    return (STATIC / "explorer.js").read_text(encoding="utf-8")


def keeping() -> str:
    """The JavaScript that keeps live widgets in a saved notebook: an anywidget module."""
    return (STATIC / "keeping.js").read_text(encoding="utf-8")


def live_script() -> str:
    """The Explorer's JavaScript for a notebook, where it is kept when the notebook is saved.

    Of a module that exports `render` by its name, anywidget takes nothing else.
    """
    return f"{_without_exports(keeping() + script())}\nexport default {{ initialize, render }};\n"


def classic_script(name: str) -> str:
    """The same as a classic script: its `render` and `staticModel` are in `window.<name>`.

    A page opened from a disk may load a script that lies beside it, but no module.
    """
    code = _without_exports(script())
    return f'(() => {{\n"use strict";\n{code}\nwindow.{name} = {{ render, staticModel }};\n}})();\n'


def _without_exports(code: str) -> str:
    code = re.sub(r"^export default .*$", "", code, flags=re.MULTILINE)
    return re.sub(r"^export (?=function )", "", code, flags=re.MULTILINE)


def style() -> str:
    """The Explorer's CSS, with the colours of the pictures."""
    return f"{svg.stylesheet()}\n{(STATIC / 'explorer.css').read_text(encoding='utf-8')}"


def compressed(data: Mapping[str, Any]) -> str:
    """The data as base64 of gzip of JSON, a tenth of its size; `DecompressionStream` reads it.

    >>> gzip.decompress(base64.b64decode(compressed({"step": 1})))
    b'{"step":1}'
    """
    return base64.b64encode(gzip.compress(_json(data).encode(), mtime=0)).decode()


def page(data: Mapping[str, Any], title: str) -> str:
    """Return one self-contained HTML file that shows `data` without a kernel.

    Args:
        data: what `Data` in explorer.js describes; `grid` packs the states for it.
        title: the page's.
    """
    inside = as_json(data)
    code = script() + _START
    if "</script" in code.lower():
        raise ValueError("explorer.js holds </script, which would end it in a page")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{html.escape(legal(title))}</title>
<style>
body {{ margin: 8px; }}
{style()}</style>
</head>
<body>
<main></main>
<script type="application/json">{inside}</script>
<script type="module">{code}</script>
</body>
</html>
"""


def as_json(data: object) -> str:
    """Data as it stands in a page."""
    # "<" in JSON stands only inside of strings, where \\u003c says the same.
    return _json(data).replace("<", "\\u003c")


def _json(data: object) -> str:
    r"""Data as JSON, in which half of a character is written as UTF-8 can: as `\ud800`."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace").decode()


def columns(states: Iterable[Mapping[str, Any]]) -> dict[int, list[int]]:
    """For each scene the place of its keys in a row, where keys of equal texts share one.

    >>> columns([{"scene": 1, "texts": ["2", "5", "2"]}, {"scene": 1, "texts": ["3", "5", "3"]}])
    {1: [0, 1, 0]}
    """
    rows: dict[int, list[Sequence[str]]] = {}
    for state in states:
        rows.setdefault(state["scene"], []).append(state["texts"])
    found = {}
    for scene, texts in rows.items():
        places: dict[tuple[str, ...], int] = {}
        found[scene] = [
            places.setdefault(column, len(places)) for column in zip(*texts, strict=True)
        ]
    return found


def grid(
    opened: Sequence[str],
    states: Iterable[tuple[str, Mapping[str, Any]]],
    strings: dict[str, int],
    errors: Mapping[str, Mapping[str, Any]] | None = None,
    columns: Mapping[int, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Pack the states of a grid's ticks: each text is kept once, in `strings`, which grows.

    >>> strings = {}
    >>> state = {"scene": 1, "texts": ["2", "2"], "alarms": [], "words": ""}
    >>> grid([], [("0|0", state)], strings)
    {'opened': [], 'ticks': ['0|0'], 'rows': [[1, 0, 0, 1, 1]], 'errors': {}}
    >>> list(strings)
    ['', '2']
    """

    def place(text: str) -> int:
        return strings.setdefault(text, len(strings))

    firsts = {scene: _firsts(places) for scene, places in (columns or {}).items()}
    ticks, rows = [], []
    for tick, state in states:
        ticks.append(tick)
        texts = state["texts"]
        if state["scene"] in firsts:
            texts = [texts[position] for position in firsts[state["scene"]]]
        beside = [place(state["words"]), place(" ".join(state["alarms"]))]
        rows.append([state["scene"], *beside, *map(place, texts)])
    return {"opened": list(opened), "ticks": ticks, "rows": rows, "errors": dict(errors or {})}


def _firsts(places: Sequence[int]) -> list[int]:
    """The first key of each column."""
    found: dict[int, int] = {}
    for position, place in enumerate(places):
        found.setdefault(place, position)
    return list(found.values())


def checked_path(path: str | Path) -> Path:
    """The path of a page, or an error, before anything is computed for it."""
    named = files.named(path)
    if named.suffix.lower() not in (".html", ".htm"):
        raise SaveError(f"{str(path)!r} does not end in .html; write save_html('lecture.html')")
    if files.ends_in_slash(path):
        raise SaveError(f"{str(path)!r} ends in a slash; write save_html({str(named)!r})")
    files.place(named)
    return named
