"""Executes the notebooks and stores them complete, so that running it twice gives the same bytes.

Where a cell's fresh outputs say the same as the stored ones, these stay: another machine's last
digits change no byte. Where a number is written longer or shorter, as 2.5 in place of 2.5000, they
are stored anew. To store an output anew in any case, clear it first.

Run as ``python -m tests.notebooks.refresh [names...]``; a name is a part of a notebook's path.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from autograd_viz import files
from tests.notebooks.outputs import differences
from tests.notebooks.slide_types import arranged

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

# Without the versions, which differ between readers' machines and would show up in every diff.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
REPOSITORY = "autograd-viz/autograd_viz"  # on GitHub
INSTALL = f"""\
# On Colab only, where the package is not there yet.
from importlib.util import find_spec

if not find_spec("autograd_viz"):
    %pip install --quiet torchviz git+https://github.com/{REPOSITORY}"""
VOLATILE_CELL_METADATA = ("ExecuteTime", "collapsed", "execution", "scrolled")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def find_notebooks(names: list[str]) -> list[Path]:
    """Returns the notebooks whose path contains one of `names`, or all where there are none."""
    paths = sorted(
        path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    if not names:
        return paths
    found = [
        path for path in paths if any(name in str(path.relative_to(NOTEBOOKS)) for name in names)
    ]
    if not found:
        raise SystemExit(f"no notebook in {NOTEBOOKS} is named like {' or '.join(names)}")
    return found


def badges(name: str) -> str:
    """Returns the line that opens the notebook of that file name on Binder and on Colab."""
    binder = f"https://mybinder.org/v2/gh/{REPOSITORY}/main?urlpath=lab/tree/notebooks/{name}"
    colab = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}"
    return (
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder}) "
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"
    )


def complete(notebook: NotebookNode, name: str) -> None:
    """Adds what each notebook has: badges below the title, the cell for Colab, its slides."""
    first, *rest = notebook.cells
    title, _, text = first.source.partition("\n")
    if badges(name) not in text:
        text = "\n".join(line for line in text.split("\n") if "[![Open in" not in line)
        first.source = f"{title}\n\n{badges(name)}\n\n{text.strip()}".strip()
    if not any(cell.source == INSTALL for cell in rest):
        rest = [cell for cell in rest if "find_spec" not in cell.source]
        notebook.cells = [first, new_code_cell(INSTALL), *rest]
    notebook.cells = arranged(notebook.cells)


def refresh(path: Path) -> None:
    """Executes the notebook at `path` from top to bottom and stores it there with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    stored = [cell.get("outputs", []) for cell in notebook.cells]
    execute(notebook, path.parent)
    notebook = normalise(notebook)
    for cell, outputs in zip(notebook.cells, stored, strict=True):
        if cell.cell_type == "code" and _say_the_same(outputs, cell.outputs):
            cell.outputs = outputs
    write(notebook, path)


def _say_the_same(stored: list[NotebookNode], fresh: list[NotebookNode]) -> bool:
    return not differences(stored, fresh) and _forms(stored) == _forms(fresh)


def _forms(outputs: list[NotebookNode]) -> list[str]:
    """The results in words, with each digit as 0: how long their numbers are, not which."""
    words = [output.get("data", {}).get("text/plain", "") for output in outputs]
    return [re.sub(r"\d", "0", text) for text in words]


def write(notebook: NotebookNode, path: Path) -> None:
    """Stores the notebook without what differs from run to run."""
    files.write({path: (nbformat.writes(normalise(notebook)) + "\n").encode()})


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Executes `notebook` in a fresh kernel that knows nothing of the user's IPython profile."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    notebook.metadata.kernelspec = METADATA["kernelspec"]
    client = NotebookClient(
        notebook,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,  # how the kernel cuts a stream up is a matter of timing
        record_timing=False,
        store_widget_state=False,
    )
    with tempfile.TemporaryDirectory() as profile:
        client.execute(env={**os.environ, "IPYTHONDIR": profile})


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Returns `notebook` without what differs from run to run and from machine to machine."""
    cells = []
    for position, cell in enumerate(notebook.cells, start=1):
        cell = cell | {"id": f"cell-{position:02}"}
        cell["metadata"] = {
            key: value
            for key, value in cell["metadata"].items()
            if key not in VOLATILE_CELL_METADATA
        }
        if cell["cell_type"] == "code":
            cell["outputs"] = [
                normal for output in cell["outputs"] if (normal := normalise_output(output))
            ]
        cells.append(cell)
    return nbformat.from_dict(
        {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    )


def normalise_output(output: NotebookNode) -> dict[str, object] | None:
    """Returns the output as it is to be stored, or None where nothing of it remains."""
    if output.output_type == "error":
        # The frames of a traceback name files of this machine; its last entry is the message.
        return output | {"traceback": output.traceback[-1:]}
    if "data" in output:
        # A stored view without its widget shows "model not found" on opening, so that only the
        # picture beside it is stored, which is there everywhere.
        data = {mime: value for mime, value in output.data.items() if mime != WIDGET_VIEW}
        return output | {"data": data} if data else None
    return output


def main(names: list[str]) -> None:
    for path in find_notebooks(names):
        print(path.relative_to(NOTEBOOKS), flush=True)
        notebook = nbformat.read(path, as_version=4)
        complete(notebook, path.name)
        nbformat.write(notebook, path)
        refresh(path)
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = arranged(notebook.cells)  # what fits depends on the outputs
        write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
