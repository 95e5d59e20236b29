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
CHAPTERS = {f"exercises.chapter_{number:02}" for number in range(12)}  # use what a reader would
FLOORS = {  # a module imports only from floors below its own
    "diagnosis.caller_source": 0,
    "errors": 0,
    "files": 1,
    "interrupts": 0,
    "model": 0,
    "programs.statements": 0,
    "programs.templates": 0,
    "formulas.failures": 0,
    "formulas.rounding": 0,
    "text": 0,
    "typeset": 0,
    "engines.protocol": 0,
    "engines.operations": 4,
    "engines.values_graph": 5,
    "engines.backward_pass": 6,
    "expressions": 4,
    "frames": 2,
    "formulas.recipes": 5,
    "formulas.proving": 7,
    "formulas.symbolic": 6,
    "formulas.writing": 1,
    "diagnosis.gradient_stops": 2,
    "finite_differences.held_fixed": 3,
    "formulas.derived": 4,
    "formulas.hooks": 6,
    "operators.arrays": 0,
    "operators.products": 2,
    "operators.scalars": 0,
    "operators.table": 3,
    "operators.terms": 1,
    "layout": 1,
    "diagnosis.lineage": 1,
    "names": 1,
    "networks.calls": 1,
    "networks.clusters": 2,
    "networks.coarser": 3,
    "networks.flow": 2,
    "networks.flow_figure": 8,
    "networks.groups": 2,
    "networks.folding": 8,
    "networks.strengths": 2,
    "networks.view": 9,
    "pathwise.search": 1,
    "picture": 1,
    "diagnosis.reason": 1,
    "release": 0,
    "kept_state": 2,
    "side_effects": 5,
    "programs.sources": 1,
    "progress": 0,
    "walk": 1,
    "summaries": 1,
    "saved": 4,
    "nodes": 5,
    "steps": 5,
    "recording": 6,
    "networks.known": 6,
    "networks.scene": 7,
    "capture": 6,
    "dot": 2,
    "programs.moments": 1,
    "programs.runs": 2,
    "pathwise.data": 2,
    "finite_differences.data": 2,
    "formulas.notation": 8,
    "formulas.slopes": 7,
    "transforms": 5,
    "formulas.calculus": 9,
    "functions_view": 6,
    "pathwise.gradients": 6,
    "backward": 7,
    "svg": 3,
    "variables_view": 10,
    "programs.run_facts": 3,
    "programs.versions": 4,
    "programs.operands": 4,
    "programs.surroundings": 6,
    "programs.arguments": 2,
    "programs.outline": 7,
    "programs.forward": 8,
    "pathwise.ends": 8,
    "pathwise.sums": 9,
    "pathwise.products": 10,
    "pathwise.view": 11,
    "finite_differences.view": 11,
    "diagnosis.view": 11,
    "diagnosis.facts": 8,
    "diagnosis.cases": 9,
    "decks": 5,
    "show": 11,
    "plots": 7,
    "finite_differences.error_figure": 12,
    "finite_differences.shifted_runs": 9,
    "finite_differences.differencing": 10,
    "finite_differences.differences": 11,
    "diagnosis.disconnected": 10,
    "diagnosis.freed": 10,
    "diagnosis.reached": 11,
    "diagnosis.causes": 12,
    "diagnosis.diagnose": 13,
    "exercises.formula": 0,
    "exercises.formula_lexer": 1,
    "exercises.formula_parser": 2,
    "exercises.answers": 3,
    "exercises.numpy_engine": 0,
    "exercises.questions": 4,
    "exercises.series": 5,
    "exercises.verdicts": 5,
    **dict.fromkeys(CHAPTERS, 12),
    "exercises.checking": 6,
    "widgets.closing": 0,
    "widgets.ranges": 0,
    "widgets.controls": 1,
    "widgets.linking": 2,
    "widgets.inputs": 3,
    "widgets.page": 4,
    "widgets.keeper": 5,
    "widgets.live_numbers": 7,
    "widgets.trouble": 6,
    "widgets.live_lines": 11,
    "widgets.timelines": 11,
    "widgets.live_pictures": 12,
    "widgets.panels": 12,
    "widgets.stage": 13,
    "widgets.grids": 9,
    "widgets.companion_words": 10,
    "widgets.companion_figures": 11,
    "widgets.companions": 12,
    "descents.walks": 10,
    "descents.walk_words": 11,
    "descents.walk_figures": 12,
    "descents.watched": 13,
    "widgets.notes": 9,
    "widgets.snapshots": 12,
    "widgets.states": 14,
    "widgets.packing": 15,
    "widgets.prefill": 15,
    "widgets.folded_names": 9,
    "widgets.folded_stage": 10,
    "widgets.folded_states": 15,
    "widgets.folded_page": 16,
    "widgets.embedding": 17,
    "widgets.explorer": 17,
    "__init__": 10,
}
# Data that shows itself reaches up, and only when it is shown.
REACHES_UP = {
    ("finite_differences.data", "finite_differences.view"),
    ("finite_differences.data", "finite_differences.error_figure"),
    ("pathwise.data", "pathwise.view"),
    ("diagnosis.reason", "diagnosis.view"),
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
        "descents.walks",
        "exercises.answers",
        "exercises.questions",
        "programs.arguments",
        "capture",
        "diagnosis.cases",
        "diagnosis.diagnose",
        "engines.backward_pass",
        "engines.values_graph",
        "finite_differences.differencing",
        "diagnosis.facts",
        "programs.forward",
        "names",
        "networks.calls",
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
    "IPython": set(),
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


def test_each_module_has_its_floor():
    assert MODULES.keys() - FOLDERS == FLOORS.keys()


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_a_folder_holds_no_code_of_its_own(folder):
    (docstring,) = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)


def test_imports_go_down():
    upward = [
        found for found in IMPORTS if found.ours and not FLOORS[found.target] < FLOORS[found.module]
    ]
    assert {(found.module, found.target) for found in upward} == REACHES_UP
    assert [found for found in upward if not found.inside] == []


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
    assert loaded <= FLOORS.keys() | FOLDERS
    drawing = {"functions_view", "layout", "show", "svg", "variables_view"}
    assert not loaded & drawing
    assert not [name for name in loaded if name.startswith("formulas")]


def test_public_names():
    assert autograd_viz.__all__ == [
        "check",
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
    assert not set(autograd_viz.__all__) & {name.rpartition(".")[2] for name in FLOORS}
