"""What may import what, and what importing the package must not bring with it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import autograd_viz

PACKAGE = Path(autograd_viz.__file__).parent
FLOORS = {  # a module imports only from floors below its own
    "errors": 0,
    "model": 0,
    "text": 0,
    "typeset": 0,
    "expressions": 1,
    "layout": 1,
    "names": 1,
    "picture": 1,
    "release": 1,
    "capture": 2,
    "dot": 2,
    "transforms": 2,
    "functions_view": 3,
    "record": 3,
    "svg": 3,
    "variables_view": 3,
    "page": 4,
    "scene": 4,
    "show": 4,
    "__init__": 5,
}
# Data that shows itself reaches up, and only when it is shown.
REACHES_UP = {("model", "show"), ("model", "transforms"), ("model", "dot"), ("picture", "svg")}
AT_ONCE = {  # by which modules, at the top: what costs time is loaded where it is needed
    "torch": {"capture", "names", "record", "release"},
    "wasmtime": set(),
    "graphviz": set(),
    "typst": set(),
    "IPython": set(),
    "matplotlib": set(),
}
INSIDE = {  # by which modules, inside functions
    "torch": {"text"},
    "wasmtime": {"layout"},
    "graphviz": {"dot"},
    "typst": {"show"},
    "IPython": set(),
    "matplotlib": set(),
}


class Import(NamedTuple):
    module: str
    target: str  # a module of ours, or the top name of a stranger's
    ours: bool
    inside: bool  # a function


def imports_of(path: Path) -> list[Import]:
    """All imports of a module, but for those that only a type checker sees."""

    def found(body: ast.AST, inside: bool) -> Iterator[Import]:
        for node in ast.iter_child_nodes(body):
            match node:
                case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                    for other in node.orelse:
                        yield from found(other, inside)
                case ast.Import():
                    for alias in node.names:
                        yield from imported(alias.name, (), inside)
                case ast.ImportFrom():
                    assert node.level == 0, f"{path.name}: imports are absolute"
                    names = tuple(alias.name for alias in node.names)
                    yield from imported(node.module or "", names, inside)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    yield from found(node, True)
                case _:
                    yield from found(node, inside)

    def imported(name: str, names: tuple[str, ...], inside: bool) -> Iterator[Import]:
        top, _, rest = name.partition(".")
        if top != "autograd_viz":
            yield Import(path.stem, top, ours=False, inside=inside)
        elif rest:
            yield Import(path.stem, rest, ours=True, inside=inside)
        else:
            for target in names:
                yield Import(path.stem, target, ours=True, inside=inside)

    return list(found(ast.parse(path.read_text()), False))


IMPORTS = [found for path in sorted(PACKAGE.glob("*.py")) for found in imports_of(path)]


def test_each_module_has_its_floor():
    assert {path.stem for path in PACKAGE.glob("*.py")} == FLOORS.keys()
    assert not list(PACKAGE.glob("*/*.py"))


def test_imports_go_down():
    upward = [
        found for found in IMPORTS if found.ours and not FLOORS[found.target] < FLOORS[found.module]
    ]
    assert {(found.module, found.target) for found in upward} == REACHES_UP
    assert [found for found in upward if not found.inside] == []


@pytest.mark.parametrize("stranger", AT_ONCE)
def test_strangers_are_imported_only_where_they_belong(stranger):
    found = [found for found in IMPORTS if found.target == stranger and not found.ours]
    assert {each.module for each in found if not each.inside} == AT_ONCE[stranger]
    assert {each.module for each in found if each.inside} == INSIDE[stranger]


def test_the_reader_of_imports_sees_all_kinds(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "import torch.nn\n"
        "from autograd_viz import text, names as naming\n"
        "from autograd_viz.model import Node\n"
        "if TYPE_CHECKING:\n"
        "    import graphviz\n"
        "try:\n"
        "    import typst\n"
        "except ImportError:\n"
        "    pass\n"
        "class C:\n"
        "    def f(self):\n"
        "        import wasmtime\n"
    )
    assert [(found.target, found.ours, found.inside) for found in imports_of(path)] == [
        ("typing", False, False),
        ("torch", False, False),
        ("text", True, False),
        ("names", True, False),
        ("model", True, False),
        ("typst", False, False),
        ("wasmtime", False, True),
    ]


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "import autograd_viz\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('autograd_viz.')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=PACKAGE.parent, text=True
    )
    assert result.stderr == ""
    strangers, ours = result.stdout.splitlines()
    assert strangers == "autograd_viz"
    assert ours.split() == [
        f"autograd_viz.{name}"
        for name in ("capture", "errors", "model", "names", "record", "release")
    ]


def test_public_names():
    assert autograd_viz.__all__ == ["graph", "trace"]
    assert all(callable(getattr(autograd_viz, name)) for name in autograd_viz.__all__)
    assert not {"graph", "trace"} & FLOORS.keys()  # no module has the name of a function
