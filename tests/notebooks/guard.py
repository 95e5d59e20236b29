"""What a stored notebook must hold, so that nbval really checks it and every reader sees it.

What outputs say is compared by `outputs`, under nbval. It passes silently over cells that were
never executed and over PNG pictures, and of a notebook that is not trusted, JupyterLab shows the
text of an SVG only. Such places are found here.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from nbformat import NotebookNode

from tests.notebooks.refresh import INSTALL, WIDGET_VIEW, badges

MAX_EXCLUDED = 1
MAX_LINES = 8  # of a code cell, blank ones not counted
MAX_LONG = 2  # cells with the tag `long`, which may have more
SLIDE_TYPES = ("slide", "subslide", "fragment", "skip", "notes", "-")
EXCLUDING_TAGS = {"nbval-ignore-output", "nbval-skip", "pytest-validate-ignore-output"}
EXCLUDING_COMMENT = re.compile(
    r"^\s*#+\s*(NBVAL_IGNORE_OUTPUT|NBVAL_SKIP|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE
)
BARE_REPR = re.compile(r"<[^\n]*>")  # <IPython.core.display.SVG object>, <Figure size 640x480>
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")
KERNEL_FILE = re.compile(r"ipykernel_\d+")
# The letters of a picture in base64 may spell anything, an address too.
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]*")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
IMAGE_WITHOUT_ALT = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=)")
LINK_ON = re.compile(r"\]\(\d\d-[\w-]+\.ipynb\)")
MINUTES = re.compile(r"\b\d+ minutes")
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)


def find_problems(notebook: NotebookNode, name: str) -> list[str]:
    """Returns what is wrong with the notebook of that file name, a sentence each."""
    return [
        *_structure_problems(notebook.cells),
        *_opening_problems(notebook.cells, name),
        *_cell_problems(notebook.cells),
        *_execution_problems(notebook),
        *(
            f"cell {position}: {problem}"
            for position, cell in enumerate(notebook.cells, start=1)
            if cell.cell_type == "code"
            for output in cell.outputs
            for problem in _output_problems(output, cell.metadata.get("tags", []))
        ),
    ]


def _structure_problems(cells: list[NotebookNode]) -> Iterator[str]:
    first_code = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    if not cells or not any(level == "#" for level, _ in _headings(cells[:1])):
        yield "the first cell is not a markdown cell with a title (# ...)"
    if "What you will learn" not in (title for _, title in _headings(cells[:first_code])):
        yield 'no heading "What you will learn" before the first code cell'
    if [title for _, title in _headings(cells)][-1:] != ["Key points"]:
        yield 'the last heading is not "Key points"'
    elif not LINK_ON.search(cells[-1].source):
        yield "the key points end without a link to another notebook"


def _opening_problems(cells: list[NotebookNode], name: str) -> Iterator[str]:
    first = cells[0].source if cells else ""
    if badges(name) not in first:
        yield "the first cell has no badges, which `make refresh` adds"
    if "You need" not in first or not MINUTES.search(first):
        yield "the first cell does not say what the reader needs, and how many minutes"
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    if code[:1] != [INSTALL]:
        yield "the first code cell does not install the package on Colab; `make refresh` adds it"


def _cell_problems(cells: list[NotebookNode]) -> Iterator[str]:
    long = 0
    for position, cell in enumerate(cells, start=1):
        if cell.metadata.get("slideshow", {}).get("slide_type") not in SLIDE_TYPES:
            yield f"cell {position} has no slide type, which `make refresh` adds"
        if cell.cell_type == "markdown" and IMAGE_WITHOUT_ALT.search(cell.source):
            yield f"cell {position} has an image without alt text"
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        if cell.cell_type == "code" and lines > MAX_LINES:
            long += 1
            if "long" not in cell.metadata.get("tags", []):
                yield f"cell {position} has {lines} lines of code; {MAX_LINES} at most may be"
    if long > MAX_LONG:
        yield f"{long} cells have more than {MAX_LINES} lines of code; {MAX_LONG} at most may have"


def _headings(cells: list[NotebookNode]) -> list[tuple[str, str]]:
    markdown = (FENCED.sub("", cell.source) for cell in cells if cell.cell_type == "markdown")
    return [heading for source in markdown for heading in HEADING.findall(source)]


def _execution_problems(notebook: NotebookNode) -> Iterator[str]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        yield f"the code cells were not executed once each, in order: {counts}"
    if not any(cell.outputs for cell in code):
        yield "no cell stores an output"
    excluded = sum(map(is_excluded, code))
    if excluded > MAX_EXCLUDED:
        yield f"{excluded} cells are excluded from nbval; {MAX_EXCLUDED} at most may be"
    if "widgets" in notebook.metadata:
        yield "the state of widgets is stored"


def is_excluded(cell: NotebookNode) -> bool:
    """Returns whether nbval leaves the output of the cell unchecked."""
    by_tag = not EXCLUDING_TAGS.isdisjoint(cell.metadata.get("tags", []))
    return by_tag or EXCLUDING_COMMENT.search(cell.source) is not None


def _output_problems(output: NotebookNode, tags: list[str]) -> Iterator[str]:
    data = output.get("data", {})
    alts = _alt_texts(data.get("text/html", ""))
    if output.output_type == "error" and "raises-exception" not in tags:
        yield f"raised {output.ename}, and has no tag raises-exception"
    if WIDGET_VIEW in data:
        yield "stores a widget view, which opens as an error"
    if "image/svg+xml" in data:
        plain = data.get("text/plain", "").strip()
        if not plain or BARE_REPR.fullmatch(plain):
            yield "the text/plain of a figure tells nothing"
        if not alts:
            yield "a figure has no text/html with an <img>"
    elif "image/png" in data or "image/jpeg" in data:
        yield "a figure is PNG or JPEG only, which nbval does not check"
    if not all(alt.strip() for alt in alts):
        yield "an <img> has no alt text"
    text = DATA_URI.sub("", "\n".join(_texts(output)))
    if found := ADDRESS.search(text):
        yield f"an output holds a memory address, {found[0]}"
    if found := KERNEL_FILE.search(text):
        yield f"an output names a temporary file, {found[0]}"


def _texts(output: NotebookNode) -> Iterator[str]:
    yield output.get("text", "")
    yield output.get("evalue", "")
    yield from output.get("traceback", [])
    for mime, value in output.get("data", {}).items():
        if mime.startswith("text/") or mime == "image/svg+xml":
            yield value


def _alt_texts(html: str) -> list[str]:
    """Returns the alt text of each <img>, empty where there is none."""
    parser = _ImageParser()
    parser.feed(html)
    return parser.alts


class _ImageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.alts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alts.append(dict(attrs).get("alt") or "")
