"""Takes Graphviz's `dot` off PATH for the whole run, but for the tests that are marked with it."""

import os
import shutil
import tempfile
from pathlib import Path

import graphviz
import pytest

# In the environment, because the processes of pytest-xdist inherit a PATH that is bare already.
FULL_PATH = os.environ.setdefault("AUTOGRAD_VIZ_TESTS_FULL_PATH", os.environ["PATH"])


def pytest_configure(config: pytest.Config) -> None:
    bare = Path(tempfile.mkdtemp(prefix="path-without-dot-"))
    os.environ["PATH"] = path_without_dot(FULL_PATH, bare)
    config.add_cleanup(lambda: os.environ.update(PATH=FULL_PATH))
    config.add_cleanup(lambda: shutil.rmtree(bare))


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
