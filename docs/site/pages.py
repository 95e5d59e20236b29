"""From a notebook that was executed for the site to one that Sphinx makes a page of."""

from __future__ import annotations

import html
import inspect
import re
from pathlib import Path
from typing import Any

from live_cells import MIME
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

from autograd_viz.exercises.series import exercises

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
BADGE = re.compile(r"\[!\[(?P<text>[^\]]*)\]\([^)]*\)\]\((?P<url>[^)]*)\)")
CHECK = re.compile(r'av\.check\("(?P<exercise>[^"]+)"')
HERE = "Nothing to install: the pictures are live, and PyTorch computed every number in them."


def page_of(notebook: NotebookNode, name: str, static: Path, up: str) -> NotebookNode:
    """Return the notebook with static links, folded solutions, and files for its pictures.

    Args:
        notebook: executed after `live_cells.install`.
        name: of the page, "03-backward-pass".
        static: where its pictures and the data of its widgets are written.
        up: from the page to the folder above `_static`, "../" or "".
    """
    cells = []
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = _titled(_plain_badges(cell.source), name)
            cells.append(cell)
            continue
        if cell.source.startswith("# On Colab only"):
            continue
        cell.outputs = [_shown(output, f"{name}-{place:02}", static, up) for output in cell.outputs]
        cells.append(cell)
        asked = CHECK.match(cell.source.rpartition("\n")[2])
        if asked:
            cell.outputs = []  # "still to do", which it will always be here
            cells.append(new_markdown_cell(_folded(asked["exercise"])))
    notebook.cells = cells
    return notebook


def _plain_badges(source: str) -> str:
    """Badges are pictures from other hosts: their links do without."""
    lines = source.split("\n")
    for place, line in enumerate(lines):
        if links := [f"[{badge['text']}]({badge['url']})" for badge in BADGE.finditer(line)]:
            lines[place] = f"{HERE} To run and change it: {', '.join(links)}."
    return "\n".join(lines)


def _titled(source: str, name: str) -> str:
    """The notebook's number before its title, for the lists of pages."""
    number = name.partition("-")[0]
    return f"# {number} {source[2:]}" if source.startswith("# ") and number.isdigit() else source


def _folded(exercise: str) -> str:
    """The hints and the solution of an exercise, each to be opened."""
    found = exercises()[exercise]
    parts = [
        _details(f"Hint {number} of {len(found.hints)}", hint)
        for number, hint in enumerate(found.hints, start=1)
    ]
    code = f"```python\n{inspect.cleandoc(found.solution).strip()}\n```"
    parts.append(_details("Solution", f"{code}\n\n{found.why}"))
    return "\n\n".join(parts)


def _details(summary: str, text: str) -> str:
    return (
        f'<details class="av-folded"><summary>{summary}</summary>\n\n{text.strip()}\n\n</details>'
    )


def _shown(output: NotebookNode, name: str, static: Path, up: str) -> NotebookNode:
    """A picture becomes an image in a file of its own, a widget an image that comes alive."""
    data = output.get("data", {})
    data.pop(WIDGET_VIEW, None)
    if "image/svg+xml" not in data:
        return output
    drawing = data["image/svg+xml"]
    (static / "pictures" / f"{name}.svg").write_text(drawing, encoding="utf-8", newline="\n")
    image = _image(drawing, data, f"{up}_static/pictures/{name}.svg")
    live: Any = data.get(MIME)
    if live is not None:
        note = f'<p class="av-note">{html.escape(live["note"])}</p>' if live["note"] else ""
        image = (
            f'<div class="av-live" data-live="{live["name"]}" data-kind="{live["kind"]}" '
            f'data-source="{up}_static/live/{live["name"]}.js">{image}</div>{note}'
        )
    made: NotebookNode = new_output("display_data", data={"text/html": image})
    return made


def _image(drawing: str, data: Any, source: str) -> str:
    words = re.search(r'alt="([^"]*)"', data.get("text/html", ""))
    alt = words[1] if words else html.escape(data["text/plain"], quote=True)
    width, height = _size(drawing)
    return (
        f'<div class="av-frame"><img class="av-picture" src="{source}" alt="{alt}" '
        f'width="{width}" height="{height}" style="--av-width: {width}px"></div>'
    )


def _size(drawing: str) -> tuple[int, int]:
    """Width and height of an SVG in pixels; Matplotlib says them in points."""
    head = drawing[: drawing.index(">", drawing.index("<svg"))]
    found = []
    for side in ("width", "height"):
        number = re.search(rf'\b{side}="([\d.]+)(pt)?', head)
        assert number is not None
        found.append(round(float(number[1]) * (4 / 3 if number[2] else 1)))
    return found[0], found[1]
