"""A plugin of pytest: nbval compares what outputs say, as `outputs` does, and not their bytes."""

from collections.abc import Sequence

import pytest
from nbformat import NotebookNode
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from tests.notebooks.outputs import differences
from tests.notebooks.refresh import normalise_output


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(IPyNbCell, "compare_outputs", compare_outputs)
    patch.setattr(RunningKernel, "execute_cell_input", execute_cell_input)
    config.add_cleanup(patch.undo)


def execute_cell_input(
    kernel: RunningKernel, cell_input: str, allow_stdin: bool | None = None
) -> str:
    """As a reader's kernel does it, with a history: an explanation says which cell it is about."""
    sent = kernel.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)
    return str(sent)


def compare_outputs(
    cell: IPyNbCell, fresh: Sequence[NotebookNode], stored: Sequence[NotebookNode]
) -> bool:
    """Stands in the place of nbval's method: whether the outputs agree; if not, nbval says why."""
    kept = [NotebookNode(kept) for output in fresh if (kept := normalise_output(output))]
    cell.comparison_traceback = differences(stored, kept)
    return not cell.comparison_traceback
