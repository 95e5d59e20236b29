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
    "errors": 0,
    "files": 1,
    "interrupts": 0,
    "model": 0,
    "programs.statements": 0,
    "programs.templates": 0,
    "formulas.rules": 0,
    "formulas.arrays": 0,
    "formulas.failures": 0,
    "formulas.products": 0,
    "formulas.rounding": 0,
    "text": 0,
    "typeset": 0,
    "engines.protocol": 0,
    "engines.operations": 0,
    "engines.values_graph": 1,
    "engines.backward_pass": 2,
    "expressions": 1,
    "frames": 2,
    "formulas.product_rules": 1,
    "formulas.recipes": 1,
    "formulas.proving": 1,
    "formulas.symbolic": 1,
    "formulas.writing": 1,
    "diagnosis.gradient_stops": 2,
    "layout": 1,
    "names": 1,
    "networks.calls": 1,
    "recorded.blocks": 4,
    "recorded.events": 0,
    "recorded.recorder": 3,
    "recorded.places": 3,
    "recorded.flow": 4,
    "networks.clusters": 2,
    "networks.coarser": 3,
    "networks.flow": 2,
    "networks.flow_figure": 8,
    "networks.groups": 2,
    "networks.folding": 6,
    "networks.strengths": 2,
    "networks.view": 7,
    "pathwise.search": 1,
    "picture": 1,
    "diagnosis.reason": 1,
    "release": 0,
    "kept_state": 2,
    "side_effects": 3,
    "programs.sources": 1,
    "progress": 0,
    "walk": 1,
    "summaries": 1,
    "saved": 2,
    "nodes": 3,
    "steps": 3,
    "recording": 4,
    "networks.known": 4,
    "networks.scene": 5,
    "capture": 4,
    "dot": 2,
    "programs.moments": 1,
    "programs.runs": 2,
    "pathwise.data": 2,
    "finite_differences.data": 2,
    "custom_functions.data": 1,
    "custom_functions.view": 2,
    "custom_functions.watched": 3,
    "custom_functions.runs": 4,
    "custom_functions.slopes": 5,
    "custom_functions.comparing": 6,
    "custom_functions.habits": 6,
    "custom_functions.returned": 7,
    "custom_functions.disputes": 7,
    "custom_functions.second": 7,
    "custom_functions.checks": 8,
    "formulas.notation": 2,
    "formulas.slopes": 2,
    "transforms": 2,
    "formulas.calculus": 3,
    "functions_view": 3,
    "pathwise.gradients": 3,
    "backward": 5,
    "svg": 3,
    "variables_view": 4,
    "programs.run_facts": 3,
    "programs.versions": 4,
    "programs.operands": 2,
    "programs.surroundings": 3,
    "programs.arguments": 2,
    "programs.outline": 5,
    "programs.forward": 6,
    "pathwise.ends": 6,
    "pathwise.sums": 7,
    "pathwise.products": 8,
    "pathwise.view": 5,
    "finite_differences.view": 5,
    "diagnosis.view": 5,
    "diagnosis.by_hand": 3,
    "diagnosis.hooks_seen": 2,
    "diagnosis.origins": 4,
    "diagnosis.zero_facts": 5,
    "diagnosis.trouble_facts": 5,
    "diagnosis.remedies": 6,
    "diagnosis.origin_words": 6,
    "diagnosis.trouble_words": 7,
    "diagnosis.observed": 8,
    "diagnosis.facts": 6,
    "diagnosis.cases": 7,
    "decks": 5,
    "show": 6,
    "plots": 7,
    "finite_differences.error_figure": 8,
    "finite_differences.shifted_runs": 7,
    "finite_differences.differencing": 8,
    "finite_differences.differences": 9,
    "diagnosis.disconnected": 9,
    "diagnosis.cut_words": 8,
    "diagnosis.freed": 8,
    "diagnosis.explanation": 2,
    "diagnosis.edits": 2,
    "diagnosis.said": 3,
    "diagnosis.spoiled": 3,
    "diagnosis.failures": 5,
    "diagnosis.meeting": 6,
    "diagnosis.changed": 8,
    "diagnosis.second_pass": 8,
    "diagnosis.failed_pass": 9,
    "diagnosis.call_errors": 8,
    "diagnosis.tensor_errors": 8,
    "diagnosis.exceptions": 12,
    "diagnosis.explanation_view": 6,
    "extension": 13,
    "diagnosis.gradient_history": 9,
    "diagnosis.reached": 10,
    "diagnosis.causes": 11,
    "diagnosis.diagnose": 13,
    "diagnosis.model_table": 1,
    "diagnosis.model_reason": 2,
    "diagnosis.trouble_places": 5,
    "diagnosis.cut_sentences": 5,
    "diagnosis.model_facts": 6,
    "diagnosis.model_causes": 7,
    "diagnosis.model_view": 8,
    "exercises.formula": 0,
    "exercises.formula_lexer": 1,
    "exercises.formula_parser": 2,
    "exercises.answers": 3,
    "exercises.numpy_engine": 0,
    "exercises.questions": 4,
    "exercises.series": 5,
    "exercises.verdicts": 5,
    **dict.fromkeys(CHAPTERS, 9),
    "exercises.checking": 6,
    "widgets.closing": 0,
    "widgets.ranges": 0,
    "widgets.controls": 1,
    "widgets.linking": 2,
    "widgets.inputs": 3,
    "widgets.page": 4,
    "widgets.keeper": 5,
    "widgets.live_numbers": 1,
    "widgets.trouble": 3,
    "widgets.live_lines": 5,
    "widgets.timelines": 5,
    "widgets.live_pictures": 6,
    "widgets.panels": 7,
    "widgets.stage": 8,
    "widgets.grids": 7,
    "widgets.companion_words": 8,
    "widgets.companion_figures": 9,
    "widgets.companions": 10,
    "descents.walks": 8,
    "descents.walk_words": 9,
    "descents.walk_figures": 10,
    "descents.watched": 11,
    "widgets.notes": 7,
    "widgets.snapshots": 7,
    "widgets.states": 9,
    "widgets.packing": 10,
    "widgets.prefill": 10,
    "widgets.folded_names": 7,
    "widgets.folded_stage": 8,
    "widgets.folded_states": 10,
    "widgets.folded_page": 11,
    "widgets.embedding": 12,
    "widgets.explorer": 13,
    "__init__": 10,
}
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
    "sympy": {"formulas.arrays", "formulas.rules", "formulas.symbolic", "formulas.writing"},
    "matplotlib": {
        "descents.walk_figures",
        "finite_differences.error_figure",
        "networks.flow_figure",
        "plots",
        "widgets.companion_figures",
    },
}
INSIDE = {  # by which modules, inside functions
    "torch": {"text"},
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
    assert not set(autograd_viz.__all__) & {name.rpartition(".")[2] for name in FLOORS}
