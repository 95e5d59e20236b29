"""Where the cells of a notebook stand among its slides: one idea a slide, and nothing cut off.

A section begins a slide, and so does each text inside of it. A cell of code appears on the slide of
the text before it, when the lecturer goes on, if both find room; an Explorer has a slide for
itself, since it fills the screen. `tests/browser/slides.py` shows what comes of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

LIVE = re.compile(r"\bav\.(explore|step|descend)\(")
FENCE = re.compile(r"^\s*(```|~~~)")
HEADING = re.compile(r"^#{1,3} ")
DETAILS = re.compile(r"<details>(<summary>.*?</summary>).*?</details>", re.DOTALL)
# In lines of text; a slide has 20 of them.
ROOM = 18
PIXELS = 45  # of a picture a line; with more, nobody in the last row could read it
WIDE = 88  # letters a line
HEAD = 2  # of a heading


def arranged(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Return the cells with their slide types; a text with several headings becomes several."""
    first, *rest = cells
    first.metadata.setdefault("slideshow", {})["slide_type"] = "slide"
    made = [first, *(part for cell in rest for part in _sections(cell))]
    used = ROOM  # lines that stand on the slide already
    for cell in made[1:]:
        own = slide_type(cell, used)
        cell.metadata.setdefault("slideshow", {})["slide_type"] = own
        if own in ("slide", "subslide"):
            used = lines(cell)
        elif own == "fragment":
            used += lines(cell)
    return made


def slide_type(cell: NotebookNode, used: int) -> str:
    """Return where a cell stands, if `used` lines stand on the slide before it."""
    if cell.metadata.get("slideshow", {}).get("slide_type") == "notes":
        return "notes"  # the author's own
    fits = used + lines(cell) <= ROOM
    if cell.cell_type == "markdown":
        if cell.source.startswith("<details>") and fits:  # the answer to what was asked there
            return "fragment"
        return "slide" if cell.source.startswith(("# ", "## ")) else "subslide"
    if _only_imports(cell.source):
        return "skip"
    return "fragment" if fits and not LIVE.search(cell.source) else "subslide"


def lines(cell: NotebookNode) -> int:
    """Return about how many lines of text a cell takes on a slide."""
    if cell.cell_type == "markdown":
        return sum(_height(line) for line in _paragraphs(cell.source))
    code = len(cell.source.splitlines())
    if LIVE.search(cell.source):
        return ROOM
    if high := sum(map(_picture, cell.outputs)):
        return max(code, min(round(high / PIXELS), ROOM))  # side by side
    said = "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )
    return code + len(said.splitlines()) + 1


def _picture(output: NotebookNode) -> float:
    """The height of a picture in pixels, 0 without one."""
    found = re.search(
        r'<svg[^>]*? height="([\d.]+)', output.get("data", {}).get("image/svg+xml", "")
    )
    return float(found[1]) if found else 0.0


def _paragraphs(source: str) -> Iterator[str]:
    """The lines as a reader sees them: text is filled, and an answer is folded away."""
    paragraph = ""
    fenced = False
    for line in DETAILS.sub(r"\n\n\1\n\n", source).splitlines():
        fenced ^= bool(FENCE.match(line))
        begins = fenced or re.match(r"\s*([-*|>]|\d+\.|\$\$|#)|    ", line)
        if (begins or not line.strip()) and paragraph:
            yield paragraph
            paragraph = ""
        paragraph = f"{paragraph} {line.strip()}".strip()
    if paragraph:
        yield paragraph


def _height(line: str) -> int:
    if HEADING.match(line):
        return HEAD
    if "![" in line:  # the badges are not shown
        return 0
    return -(-len(re.sub(r"\]\([^)]*\)|[*`$]", "", line)) // WIDE)


def _sections(cell: NotebookNode) -> Iterator[NotebookNode]:
    """The cell, or one for each heading of its text."""
    if cell.cell_type != "markdown":
        yield cell
        return
    parts: list[list[str]] = [[]]
    fenced = False
    for line in cell.source.splitlines():
        fenced ^= bool(FENCE.match(line))
        if HEADING.match(line) and not fenced and any(part.strip() for part in parts[-1]):
            parts.append([])
        parts[-1].append(line)
    if len(parts) == 1:
        yield cell
        return
    for part in parts:
        made = new_markdown_cell("\n".join(part).strip())
        made.metadata.update({k: v for k, v in cell.metadata.items() if k != "slideshow"})
        yield made


def _only_imports(source: str) -> bool:
    if "%pip" in source:
        return True
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(one, ast.Import | ast.ImportFrom) for one in body)
