"""`%load_ext autograd_viz`: in a shell, in IPython's terminal, and in a real kernel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch.overrides import _get_current_function_mode_stack

import autograd_viz
from autograd_viz.recorded.events import LOG
from autograd_viz.recorded.recorder import Recorder

ROOT = Path(autograd_viz.__file__).parents[1]
SIGMOID = "x = torch.tensor([1.0, 2.0], requires_grad=True)\nh = torch.sigmoid(x)"
SAID = (
    "h.sum().backward() failed because h, the result of sigmoid (In[{0}], line 2: `h = "
    "torch.sigmoid(x)`), was changed in place after sigmoid had saved it for its gradient. "
    "In[{1}], line 1: `h.mul_(2)` made version 1 of it, and the gradient of sigmoid needs version "
    "0. In[{1}], line 1, write instead: h = h.mul(2)"
)


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    from traitlets.config import Config

    LOG.clear()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    shell.run_cell("import torch, autograd_viz as av\n%load_ext autograd_viz", store_history=True)
    yield shell
    shell.run_cell("%unload_ext autograd_viz")
    InteractiveShell.clear_instance()
    assert not recorders()


def cell(shell: InteractiveShell, text: str) -> object:
    return shell.run_cell(text, store_history=True)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without colours, whose names differ between versions of IPython."""
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def recorders() -> list[Recorder]:
    return [each for each in _get_current_function_mode_stack() if isinstance(each, Recorder)]


def test_an_error_is_explained_below_the_cell(shell, capsys):
    cell(shell, SIGMOID)
    cell(shell, "h.mul_(2);")
    capsys.readouterr()
    cell(shell, "h.sum().backward()")
    shown = printed(capsys)
    assert "modified by an inplace operation" in shown
    assert SAID.format(2, 3) in shown.partition("modified by an inplace operation")[2]
    assert "recorder.py" not in shown
    cell(shell, "reason = av.why()")
    assert shell.user_ns["reason"].text == SAID.format(2, 3)
    bundle = shell.user_ns["reason"]._repr_mimebundle_()
    assert sorted(bundle) == ["image/svg+xml", "text/html", "text/plain"]
    assert bundle["text/plain"] == SAID.format(2, 3)


def test_a_cell_that_was_run_again_is_called_by_its_last_number(shell):
    for _ in range(2):
        cell(shell, SIGMOID)
    cell(shell, "h.mul_(2);")
    cell(shell, "h.sum().backward()")
    cell(shell, "reason = av.why()")
    assert shell.user_ns["reason"].text == SAID.format(3, 4)


def test_our_own_error_is_explained_too(shell, capsys):
    cell(shell, SIGMOID)
    cell(shell, "h.mul_(2);\nloss = h.sum()")
    capsys.readouterr()
    cell(shell, "av.trace(loss)")
    shown = printed(capsys)
    assert "SavedValueChangedError" in shown
    assert shown.rstrip().endswith("In[3], line 1, write instead: h = h.mul(2)")


def test_other_errors_are_left_alone(shell, capsys):
    cell(shell, "1 / 0")
    assert printed(capsys).rstrip().endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0",
        "raise KeyboardInterrupt",
        "raise SystemExit",
        "this is no Python",
        "get_ipython().run_cell('a = torch.ones(1)\\n1 / 0')",
        "with av.record():\n    b = torch.ones(2) * 2\n    1 / 0",
        "await __import__('asyncio').sleep(0)",
        "torch.set_default_device('cpu')",
        "%time torch.ones(1)",
        "%%time\ntorch.ones(1)",
        "%reload_ext autograd_viz",
    ],
)
@pytest.mark.filterwarnings("ignore:To exit")
def test_after_any_cell_nothing_is_recorded_until_the_next(shell, text):
    try:
        cell(shell, text)
        assert not recorders()
        cell(shell, "on = len(torch.overrides._get_current_function_mode_stack())")
        assert not recorders()
        assert shell.user_ns["on"] >= 1
    finally:
        torch.set_default_device(None)


def test_a_mode_that_a_cell_leaves_on_stays_on_and_ours_does_not(shell):
    class Mode(torch.overrides.TorchFunctionMode):
        pass

    shell.user_ns["mode"] = mode = Mode()
    try:
        cell(shell, "mode.__enter__()")
        assert [*_get_current_function_mode_stack()] == [mode]
        cell(shell, "mode.__exit__(None, None, None)")
        assert not _get_current_function_mode_stack()
    finally:
        while _get_current_function_mode_stack():
            torch.overrides._pop_mode()


def test_what_runs_within_two_recordings_is_told_once(shell):
    cell(shell, "LOG = __import__('autograd_viz.recorded.events').recorded.events.LOG\nLOG.clear()")
    cell(
        shell,
        "with av.record():\n    torch.zeros(1)\n    get_ipython().run_cell('b = torch.ones(2)')",
    )
    assert [event.name for event in LOG.events] == ["zeros", "ones"]


def test_an_error_of_a_cell_within_a_cell_is_explained_once(shell, capsys):
    inner = "torch.ones(2, requires_grad=True).backward()"
    capsys.readouterr()
    cell(shell, f"get_ipython().run_cell('{inner}').raise_error()")
    assert printed(capsys).count("a pass begins from one number") == 1


def test_loading_twice_and_unloading_leave_nothing_behind(shell):
    cell(shell, "%load_ext autograd_viz")
    cell(shell, "%unload_ext autograd_viz")
    assert not recorders()
    LOG.clear()
    cell(shell, "torch.ones(2);")
    assert not LOG.events


def test_importing_the_package_imports_no_ipython():
    strangers = "{'IPython', 'autograd_viz.extension'}"
    code = f"import sys, autograd_viz; assert not {strangers} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_in_ipythons_terminal(tmp_path):
    typed = f"import torch, autograd_viz as av\n%load_ext autograd_viz\n{SIGMOID}\nh.mul_(2);\n"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--colors=NoColor"],
        input=f"{typed}h.sum().backward()\nav.why()\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "IPYTHONDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    said = SAID.replace("line 2", "line 1").format(4, 5)
    assert done.stdout.count(said) == 2


def test_in_a_kernel():
    cells = [
        "import torch, autograd_viz as av\n%load_ext autograd_viz",
        SIGMOID,
        "import asyncio\nawait asyncio.sleep(0)\nh.mul_(2);",
        "import signal\nsignal.raise_signal(signal.SIGINT)",
        "h.sum().backward()",
        "av.why()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
    client = nbclient.NotebookClient(
        notebook, allow_errors=True, timeout=300, resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    interrupted, failed, asked = (each.outputs for each in notebook.cells[-3:])
    assert [each.ename for each in interrupted] == ["KeyboardInterrupt"]
    assert [each.output_type for each in failed] == ["error", "display_data"]
    said = SAID.format(2, 3).replace("In[3], line 1", "In[3], line 3")
    for shown in (failed[1], asked[0]):
        assert shown.data["text/plain"] == said
        assert {"text/html", "image/svg+xml"} < {*shown.data}
