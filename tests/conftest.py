"""What all tests share: no `dot` on PATH but where it is marked, and which examples are tried."""

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import graphviz
import pytest

from tests import examples

# In the environment, because the processes of pytest-xdist inherit a PATH that is bare already.
FULL_PATH = os.environ.setdefault("AUTOGRAD_VIZ_TESTS_FULL_PATH", os.environ["PATH"])


# Modules that run notebooks, servers, browsers or many programs.
LONG = (
    "notebooks/",
    "tests/browser/",
    "tests/deploy/",
    "tests/notebooks/",
    "tests/site/",
    "tests/widgets/",
    "tests/test_interrupts.py",
    "tests/test_memory.py",
    "tests/test_release.py",
)

examples.register()


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its options
def pytest_configure(config: pytest.Config) -> None:
    choose_examples(config.option)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what runs behind it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["TQDM_DISABLE"] = "1"  # on a slow machine, a bar would stand in what a program says
    bare = Path(tempfile.mkdtemp(prefix="path-without-dot-"))
    os.environ["PATH"] = path_without_dot(FULL_PATH, bare)
    config.add_cleanup(lambda: os.environ.update(PATH=FULL_PATH))
    config.add_cleanup(lambda: shutil.rmtree(bare))


def choose_examples(option: argparse.Namespace) -> None:
    """The same ones as ever; or a search, with a seed that pytest's processes share."""
    seed = option.hypothesis_seed
    chosen = option.hypothesis_profile or os.environ.get("HYPOTHESIS_PROFILE")
    option.hypothesis_profile = chosen or (examples.SAME if seed is None else examples.SEARCH)
    if option.hypothesis_profile == examples.SEARCH and seed is None:
        option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> list[str]:
    if config.option.hypothesis_profile != examples.SEARCH:
        return []
    return [f"Hypothesis searches; to repeat it: --hypothesis-seed={config.option.hypothesis_seed}"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in pytest_report_header(config):
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process waits for another one in the end.

    Tests are called the same in each process, or pytest-xdist runs none of them.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    for item in items:
        if re.search(r" at 0x[0-9a-f]{6,}", item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} has a memory address in its name; give it ids=")


def path_without_dot(path: str, bare: Path) -> str:
    """Returns `path` with each folder that holds `dot` replaced by links to its other programs.

    An empty PATH would be simpler, but git, the shell and Python must still be found.
    """
    folders = []
    for position, folder in enumerate(path.split(os.pathsep)):
        if shutil.which("dot", path=folder) is None:
            folders.append(folder)
            continue
        links = bare / str(position)
        links.mkdir()
        for program in Path(folder).iterdir():
            if program.name not in graphviz.ENGINES:
                (links / program.name).symlink_to(program.absolute())
        folders.append(str(links))
    return os.pathsep.join(folders)


@pytest.fixture(autouse=True)
def _dot_where_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("dot"):
        if shutil.which("dot", path=FULL_PATH) is None:
            pytest.skip("Graphviz's `dot` program is not installed")
        monkeypatch.setenv("PATH", FULL_PATH)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Whatever ran before in the same process."""
    random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _no_formula_failed() -> Iterator[None]:
    """A derivation that fails costs a reader no picture; here it is a mistake."""
    yield
    known = sys.modules.get("autograd_viz.formulas.failures")
    if known is not None and known.failures:
        failed = known.failures.pop()
        known.failures.clear()
        raise failed
