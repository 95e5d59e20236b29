"""A page without a kernel: the Explorer and all of its states in one HTML file."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autograd_viz import svg

STATIC = Path(__file__).parent / "widgets" / "static"
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


def style() -> str:
    """The Explorer's CSS, with the colours of the pictures."""
    return f"{svg.stylesheet()}\n{(STATIC / 'explorer.css').read_text(encoding='utf-8')}"


def page(data: Mapping[str, Any], title: str) -> str:
    """Return one self-contained HTML file that shows `data` without a kernel.

    Args:
        data: what `Data` in explorer.js describes; `grid` packs the states for it.
        title: the page's.
    """
    # "<" in JSON stands only inside of strings, where \\u003c says the same.
    inside = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
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
<title>{html.escape(title)}</title>
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


def grid(
    opened: Sequence[str],
    states: Iterable[tuple[str, Mapping[str, Any]]],
    strings: dict[str, int],
    errors: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Pack the states of a grid's ticks: each text is kept once, in `strings`, which grows.

    >>> strings = {}
    >>> state = {"scene": 1, "texts": ["2", "2"], "alarms": [], "words": ""}
    >>> grid([], [("0|0", state)], strings)
    {'opened': [], 'ticks': ['0|0'], 'rows': [[1, 1, 1, 0, 0]], 'errors': {}}
    >>> list(strings)
    ['2', '']
    """

    def place(text: str) -> int:
        return strings.setdefault(text, len(strings))

    ticks, rows = [], []
    for tick, state in states:
        ticks.append(tick)
        texts = [place(text) for text in state["texts"]]
        rows.append(
            [state["scene"], place(state["words"]), place(" ".join(state["alarms"])), *texts]
        )
    return {"opened": list(opened), "ticks": ticks, "rows": rows, "errors": dict(errors or {})}
