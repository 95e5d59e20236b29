"""What the stored outputs of a notebook say."""

import nbformat

from tests.notebooks.refresh import find_notebooks


def said(notebook: str, fragment: str) -> str:
    """Returns what the one code cell says whose source contains `fragment`, in plain text.

    `notebook` is the beginning of a notebook's name, "03".
    """
    (path,) = (path for path in find_notebooks([]) if path.name.startswith(notebook))
    cells = nbformat.read(path, as_version=4).cells
    found = [cell for cell in cells if cell.cell_type == "code" and fragment in cell.source]
    assert len(found) == 1, f"{len(found)} cells of {path.name} contain {fragment!r}"
    texts = (output.get("text") or output.data["text/plain"] for output in found[0].outputs)
    return "\n".join(texts)
