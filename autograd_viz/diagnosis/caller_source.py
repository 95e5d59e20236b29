"""The caller's source as a list of statements in the order in which they ran: read, never run."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import FrameType
from typing import Any

RETURN = "return"  # stands for the name that a function's result is bound to
OUTPUT = "(output)"  # and this for the second argument of the call, which may have no name
LONGEST = 60  # characters of a statement that are quoted
_NO_GRAD = ("no_grad", "inference_mode")
_RUN_AS_CODE = ("time", "capture", "prun")  # cell magics around ordinary code


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One assignment or call, and where it stands."""

    where: str  # "line 12", or in a notebook "In[3], line 2"
    text: str  # `y = x.detach() * 2`, shortened
    binds: frozenset[str]
    value: tuple[ast.expr, ...]
    keeps: bool = False  # it changes what the names hold: `w -= 1`, `w[0] = 1`
    sure: bool = True  # not inside an if, a loop or a try
    no_grad: str | None = None  # "torch.no_grad()" where it stands under one
    repeats: bool = False  # inside a loop

    @property
    def quoted(self) -> str:
        """As in a sentence: line 12: `y = x.detach() * 2`."""
        return f"{self.where}: `{self.text}`"


@dataclass(frozen=True, eq=False)
class Function:
    """A function that the source defines."""

    parameters: tuple[str, ...]
    statements: tuple[Statement, ...]
    no_grad: Statement | None  # its decorator


@dataclass(frozen=True, eq=False)
class Source:
    """What was run until the call, as far as the caller's source tells."""

    statements: tuple[Statement, ...]
    functions: Mapping[str, Function] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()  # what stands in the brackets of the call

    @property
    def output(self) -> Statement | None:
        """The second argument as if the call had bound it to OUTPUT."""
        last = self.statements[-1] if self.statements else None
        return last if last is not None and OUTPUT in last.binds else None


def read(frame: FrameType | None) -> Source | None:
    """The statements before the line that a frame is at; None where no source can be read.

    In a notebook these are all cells up to now, in the order in which they ran; in a script its
    lines so far; in a function the function's own.
    """
    if frame is None:
        return None
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    cells = _cells(frame)
    tree = _parsed("".join(lines))
    if _is_module(frame) and cells:
        return _from_cells(cells, lines, frame, tree)
    if tree is None:
        return None
    call = _call_at(tree, frame)
    if call is None and _positions(frame) is not None:
        return None  # the file has changed since it was loaded
    where = _cell_name(cells, lines)
    reader = _Reader(where, lines, frame.f_lineno, call)
    body: Sequence[ast.stmt] = tree.body
    if not _is_module(frame):
        own = _function_at(tree, frame)
        if own is None:
            return None
        body = own.body
    statements = tuple(reader.statements(body))
    functions = _functions(tree, where, lines)
    for number, text in enumerate(cells):  # what other cells define can be called here too
        if text.rstrip() != "".join(lines).rstrip() and (other := _parsed(text)) is not None:
            functions = _functions(other, f"In[{number}], ", text.splitlines()) | functions
    return Source((*statements, *_given(call, where)), functions, _arguments(call))


def _is_module(frame: FrameType) -> bool:
    """Whether it runs a module or a cell, which IPython 7 calls `<cell line: 3>`."""
    name = frame.f_code.co_name
    return name == "<module>" or name.startswith("<cell line: ")


def _from_cells(
    cells: Sequence[str], lines: Sequence[str], frame: FrameType, tree: ast.Module | None
) -> Source:
    """All cells that ran; of the one that is running, what stands before the call."""
    place = _place(cells, lines)
    statements: list[Statement] = []
    functions: dict[str, Function] = {}
    last = len(cells) if place is None else place
    for number, text in enumerate(cells[:last]):
        if (parsed := _parsed(text)) is not None:  # a cell with a syntax error did not run
            split, where = text.splitlines(), f"In[{number}], "
            statements += _Reader(where, split).statements(parsed.body)
            functions |= _functions(parsed, where, split)
    if tree is None:
        return Source(tuple(statements), functions)
    where = _cell_name(cells, lines)
    call = _call_at(tree, frame)
    statements += _Reader(where, lines, frame.f_lineno, call).statements(tree.body)
    functions |= _functions(tree, where, lines)
    statements += _given(call, where)
    return Source(tuple(statements), functions, _arguments(call))


def _cells(frame: FrameType) -> list[str]:
    """The texts of a notebook's cells in the order in which they ran; [] outside of one."""
    cells = frame.f_globals.get("In")
    if "get_ipython" not in frame.f_globals or not isinstance(cells, list):
        return []
    return [text if type(text) is str else "" for text in cells]


def _place(cells: Sequence[str], lines: Sequence[str]) -> int | None:
    """The number of the last cell with this text."""
    text = "".join(lines).rstrip()
    return max((n for n, cell in enumerate(cells) if n and cell.rstrip() == text), default=None)


def _cell_name(cells: Sequence[str], lines: Sequence[str]) -> str:
    place = _place(cells, lines)
    return "" if place is None else f"In[{place}], "


def _parsed(text: str) -> ast.Module | None:
    if not text.strip():
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _positions(frame: FrameType) -> tuple[int, int, int, int] | None:
    """First and last line, first and last column of the call that the frame is at."""
    found = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    first, last, begin, end = found
    if first is None or last is None or begin is None or end is None:
        return None
    return first, last, begin, end


def _call_at(tree: ast.Module, frame: FrameType) -> ast.Call | None:
    positions = _positions(frame)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            place = (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)
            if place == positions and ast.unparse(node.func).endswith("why"):
                return node
    return None


def _expressions(call: ast.Call | None) -> list[ast.expr]:
    if call is None or any(isinstance(argument, ast.Starred) for argument in call.args):
        return []
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    return [*call.args, *(keywords[n] for n in ("tensor", "output") if n in keywords)]


def _arguments(call: ast.Call | None) -> tuple[str, ...]:
    return tuple(" ".join(ast.unparse(argument).split()) for argument in _expressions(call))


def _given(call: ast.Call | None, where: str) -> list[Statement]:
    given = _expressions(call)
    if call is None or len(given) < 2:
        return []
    line, written = f"{where}line {call.lineno}", _arguments(call)[1]
    return [Statement(line, written[:LONGEST], frozenset({OUTPUT}), (given[1],))]


def _function_at(
    tree: ast.Module, frame: FrameType
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    code = frame.f_code
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


def _functions(tree: ast.Module, where: str, lines: Sequence[str]) -> dict[str, Function]:
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            reader = _Reader(where, lines)
            found[node.name] = Function(
                tuple(each.arg for each in (*node.args.posonlyargs, *node.args.args)),
                tuple(reader.statements(node.body)),
                next(filter(None, map(reader.no_grad_decorator, node.decorator_list)), None),
            )
    return found


@dataclass(frozen=True)
class _Reader:
    """Flattens a body into statements; it only holds where they stand."""

    where: str
    lines: Sequence[str]
    last: int | None = None  # the line behind which nothing has run yet
    call: ast.Call | None = None  # and the call that is running

    def statements(
        self,
        body: Sequence[ast.stmt],
        sure: bool = True,
        no_grad: str | None = None,
        repeats: bool = False,
    ) -> Iterator[Statement]:
        for node in body:
            if self.last is not None and node.lineno > self.last:
                return
            if self._is_running(node):
                return
            inside: dict[str, Any] = {"sure": sure, "no_grad": no_grad, "repeats": repeats}
            for targets, value, keeps in _bindings(node):
                names, changed = _names(targets)
                yield Statement(
                    f"{self.where}line {node.lineno}",
                    self._text(node),
                    frozenset(names | changed),
                    tuple(value),
                    keeps or not names,
                    **inside,
                )
            if isinstance(node, ast.With | ast.AsyncWith):
                off = next(filter(None, (_switch(each.context_expr) for each in node.items)), None)
                inside["no_grad"] = off or no_grad
            elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
                inside |= {"sure": False, "repeats": True}
            else:
                inside["sure"] = False
            if isinstance(node, ast.Expr) and (code := _magic(node.value)) is not None:
                shifted = _Reader(self.where, ["", *code.splitlines()])
                parsed = _parsed("\n" + code)
                yield from shifted.statements(parsed.body if parsed else ())
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from self._inner(node, inside)

    def _is_running(self, node: ast.stmt) -> bool:
        """Whether it is the statement that holds the call, of those without a body."""
        if self.call is None or hasattr(node, "body") or isinstance(node, ast.Match):
            return False
        return any(each is self.call for each in ast.walk(node))

    def _inner(self, node: ast.stmt, inside: dict[str, Any]) -> Iterator[Statement]:
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            for part in getattr(node, name, ()):
                if isinstance(part, ast.ExceptHandler | ast.match_case):
                    yield from self.statements(part.body, **inside)
                elif isinstance(part, ast.stmt):
                    yield from self.statements([part], **inside)

    def no_grad_decorator(self, node: ast.expr) -> Statement | None:
        switch = _switch(node)
        if switch is None:
            return None
        where = f"{self.where}line {node.lineno}"
        return Statement(where, f"@{switch}", frozenset(), ())

    def _text(self, node: ast.stmt) -> str:
        line = self.lines[node.lineno - 1].rstrip("\n") if node.lineno <= len(self.lines) else ""
        if node.end_lineno == node.lineno and node.end_col_offset is not None:
            line = line.encode()[node.col_offset : node.end_col_offset].decode(errors="replace")
        line = line.strip()
        return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _bindings(node: ast.stmt) -> Iterator[tuple[list[ast.expr], list[ast.expr], bool]]:
    """(targets, what they are made from, whether in place) of one statement."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(
            names
        ) == len(values) and not any(isinstance(each, ast.Starred) for each in (*names, *values)):
            for name, value in zip(names, values, strict=True):
                yield [name], [value], False
        case ast.Assign(targets=targets, value=value):
            yield targets, [value], False
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield [target], [value], False
        case ast.AugAssign(target=target, value=value):
            yield [target], [value], True
        case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
            yield [target], [value], False
        case ast.With(items=items) | ast.AsyncWith(items=items):
            for item in items:
                if item.optional_vars is not None:
                    yield [item.optional_vars], [item.context_expr], False
        case ast.Return(value=value) if value is not None:
            yield [ast.Name(RETURN)], [value], False
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=held, attr=method)) as call):
            # x.add_(y) changes x; others, as loss.backward(), bind nothing
            changes = method.endswith("_") and not method.startswith("requires_grad")
            yield [held] if changes else [], [call], True
        case ast.Expr(value=value):
            yield [], [value], True
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield [ast.Name(node.name)], [], False
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            modules = [each.asname or each.name.partition(".")[0] for each in names]
            yield [ast.Name(module) for module in modules], [], False


def _names(targets: Sequence[ast.expr]) -> tuple[set[str], set[str]]:
    """The names that targets bind, and those whose object they only change."""
    bound: set[str] = set()
    changed: set[str] = set()
    for target in targets:
        match target:
            case ast.Name(id=name):
                bound.add(name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                inner = _names(parts)
                bound |= inner[0]
                changed |= inner[1]
            case ast.Starred(value=part):
                bound |= _names([part])[0]
            case ast.Attribute(value=part) | ast.Subscript(value=part):
                changed |= set().union(*_names([part]))
    return bound, changed


def _switch(node: ast.expr) -> str | None:
    """`torch.no_grad()` as it is written, if the expression is that or its like."""
    call = node.func if isinstance(node, ast.Call) else node
    name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
    if name in _NO_GRAD:
        return ast.unparse(node)
    if name == "set_grad_enabled" and "False" in ast.unparse(node):
        return ast.unparse(node)
    return None


def _magic(node: ast.expr) -> str | None:
    """The code under a cell magic as %%time, which a notebook keeps as one string."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="run_cell_magic"),
            args=[ast.Constant(value=str(name)), _, ast.Constant(value=str(code))],
        ) if name in _RUN_AS_CODE:
            return code
    return None
