"""What may import what, and what importing the package must not bring with it."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import autograd_viz

PACKAGE = Path(autograd_viz.__file__).parent
CHAPTERS = {f"exercises.chapter_{number:02}" for number in range(12)}  # use what a reader would
# Data that shows itself reaches up, and only when it is shown.
REACHES_UP = {
    ("custom_functions.data", "custom_functions.view"),
    ("finite_differences.data", "finite_differences.view"),
    ("finite_differences.data", "finite_differences.error_figure"),
    ("pathwise.data", "pathwise.view"),
    ("diagnosis.reason", "diagnosis.view"),
    ("diagnosis.explanation", "diagnosis.explanation_view"),
    ("backward", "diagnosis.failed_pass"),  # errors that say what av.why would
    ("capture", "diagnosis.exceptions"),
    ("diagnosis.model_reason", "diagnosis.model_view"),
    ("model", "show"),
    ("model", "networks.flow"),
    ("model", "networks.folding"),
    ("networks.flow", "networks.flow_figure"),
    ("networks.folding", "networks.view"),
    ("model", "transforms"),
    ("model", "dot"),
    ("model", "formulas.calculus"),
    ("picture", "svg"),
}
AT_ONCE = {  # by which modules, at the top: what costs time is loaded where it is needed
    "torch": {
        "custom_functions.comparing",
        "custom_functions.disputes",
        "custom_functions.habits",
        "custom_functions.returned",
        "custom_functions.runs",
        "custom_functions.second",
        "custom_functions.slopes",
        "custom_functions.watched",
        "descents.walks",
        "exercises.answers",
        "exercises.questions",
        "programs.arguments",
        "capture",
        "diagnosis.by_hand",
        "diagnosis.cases",
        "diagnosis.call_errors",
        "diagnosis.edits",
        "diagnosis.spoiled",
        "diagnosis.failures",
        "diagnosis.failed_pass",
        "diagnosis.changed",
        "diagnosis.tensor_errors",
        "diagnosis.exceptions",
        "extension",
        "diagnosis.diagnose",
        "diagnosis.meeting",
        "diagnosis.hooks_seen",
        "diagnosis.origin_words",
        "diagnosis.origins",
        "diagnosis.remedies",
        "diagnosis.trouble_facts",
        "diagnosis.zero_facts",
        "engines.backward_pass",
        "engines.values_graph",
        "finite_differences.differencing",
        "diagnosis.facts",
        "diagnosis.model_facts",
        "programs.forward",
        "names",
        "networks.calls",
        "recorded.events",
        "recorded.flow",
        "recorded.blocks",
        "recorded.recorder",
        "programs.outline",
        "pathwise.ends",
        "pathwise.gradients",
        "pathwise.sums",
        "backward",
        "nodes",
        "recording",
        "release",
        "saved",
        "steps",
        "summaries",
        "walk",
        "side_effects",
        "programs.moments",
        "kept_state",
        "programs.run_facts",
        "programs.runs",
        "finite_differences.held_fixed",
        "finite_differences.shifted_runs",
        "formulas.proving",
        "programs.versions",
        "widgets.controls",
        "widgets.grids",
        "widgets.inputs",
    },
    "anywidget": {"widgets.explorer", "widgets.keeper"},
    "ipywidgets": {"descents.watched", "widgets.closing", "widgets.companions"},
    "wasmtime": set(),
    "graphviz": set(),
    "typst": set(),
    "IPython": set(),
    "PIL": set(),
    "sympy": {
        "formulas.derived",
        "formulas.symbolic",
        "formulas.writing",
        "operators.arrays",
        "operators.scalars",
    },
    "matplotlib": {
        "descents.walk_figures",
        "finite_differences.error_figure",
        "networks.flow_figure",
        "plots",
        "widgets.companion_figures",
    },
}
INSIDE = {  # by which modules, inside functions
    "torch": {"operators.terms", "text"},
    "anywidget": set(),
    "ipywidgets": set(),
    "wasmtime": {"layout"},
    "graphviz": {"dot"},
    "typst": {"decks"},
    "IPython": {"extension"},
    "PIL": {"decks"},
    "sympy": {"exercises.formula"},
    "matplotlib": set(),
}


class Import(NamedTuple):
    module: str
    target: str  # a module of ours, or the top name of a stranger's
    ours: bool
    inside: bool  # a function


def name_of(path: Path) -> str:
    """A module's name within the package, "formulas.rules"; of an __init__ its folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports_of(path: Path, module: str) -> list[Import]:
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
            yield Import(module, top, ours=False, inside=inside)
        elif rest and rest not in FOLDERS:
            yield Import(module, rest, ours=True, inside=inside)
        else:
            for target in names:
                yield Import(module, f"{rest}.{target}".strip("."), ours=True, inside=inside)

    return list(found(ast.parse(path.read_text(encoding="utf-8")), False))


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
IMPORTS = [
    found
    for name, path in MODULES.items()
    if name not in FOLDERS
    for found in imports_of(path, name)
]


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_a_folder_holds_no_code_of_its_own(folder):
    (docstring,) = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)


def circle(*more: tuple[str, str]) -> list[str] | None:
    """Modules that import each other in a circle, but for those that reach up; None: there is none.

    `more` are imports that count besides.
    """
    down = {(each.module, each.target) for each in IMPORTS if each.ours} - REACHES_UP
    targets: dict[str, set[str]] = {}
    for module, target in (*down, *more):
        targets.setdefault(module, set()).add(target)
    try:
        graphlib.TopologicalSorter(targets).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return None


def test_imports_make_no_circle():
    assert circle() is None


@pytest.mark.parametrize(("module", "target"), sorted(REACHES_UP))
def test_what_reaches_up_would_make_a_circle_and_does_so_within_functions(module, target):
    assert circle((module, target))
    found = [each for each in IMPORTS if (each.module, each.target) == (module, target)]
    assert found
    assert all(each.inside for each in found)


@pytest.mark.parametrize("stranger", AT_ONCE)
def test_strangers_are_imported_only_where_they_belong(stranger):
    found = [
        found
        for found in IMPORTS
        if found.target == stranger and not found.ours and found.module not in CHAPTERS
    ]
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
        "        import wasmtime\n",
        encoding="utf-8",
    )
    assert [(found.target, found.ours, found.inside) for found in imports_of(path, "sample")] == [
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
    loaded = {name.removeprefix("autograd_viz.") for name in ours.split()}
    assert loaded <= MODULES.keys()
    drawing = {"functions_view", "layout", "show", "svg", "variables_view"}
    assert not loaded & drawing
    assert not [name for name in loaded if name.startswith("formulas")]


def test_public_names():
    assert autograd_viz.__all__ == [
        "check",
        "check_function",
        "descend",
        "explore",
        "figure",
        "graph",
        "hint",
        "nudge",
        "paths",
        "program",
        "record",
        "solution",
        "step",
        "trace",
        "why",
    ]
    assert all(callable(getattr(autograd_viz, name)) for name in autograd_viz.__all__)
    # no module has the name of a function
    assert not set(autograd_viz.__all__) & {name.rpartition(".")[2] for name in MODULES}
