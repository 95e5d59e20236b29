"""A function's own source: which statement and expression a running instruction belongs to."""

from __future__ import annotations

import ast
import linecache
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType

from autograd_viz.programs.statements import (
    SCOPES,
    SourceStatement,
    Span,
    bindings_of,
    holds,
    is_silent,
    span_of,
    walruses_of,
)
from autograd_viz.programs.templates import Template, dotted, template

MOST_KEPT = 256  # functions whose source is remembered
# Statements without statements in them; an AugAssign binds a name anew, a walrus may do.
_STRAIGHT = (ast.Assign, ast.AnnAssign, ast.Expr, ast.Return, ast.Pass)
# By these other libraries get at a tensor's memory, which is looked at after each statement.
_SHARED = re.compile(r"numpy|frombuffer|as_?array|as_tensor|dlpack|data_ptr|storage")
_COMPUTING = ast.BinOp | ast.Call | ast.UnaryOp | ast.Subscript | ast.Attribute | ast.Compare
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(eq=False)
class Source:
    """The source of one code object, read when it is asked for."""

    code: CodeType
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module
    file: Sequence[str]  # the lines of the whole file
    _statements: dict[int, SourceStatement] = field(default_factory=dict)
    _templates: dict[int, Template] = field(default_factory=dict)
    _words: dict[int, frozenset[str]] = field(default_factory=dict)
    _kept: list[ast.expr] = field(default_factory=list)

    @property
    def first_line(self) -> int:
        """The line of the function's `def`, or of its first decorator."""
        return 1 if isinstance(self.node, ast.Module) else _first_line(self.node)

    @property
    def lines(self) -> tuple[str, ...]:
        """The function's lines, as they are in the file."""
        last = len(self.file) if isinstance(self.node, ast.Module) else self.node.end_lineno
        return tuple(self.file[self.first_line - 1 : last])

    def statement_at(self, offset: int) -> SourceStatement | None:
        """The innermost statement that the instruction at an offset belongs to."""
        span = self._spans[offset // 2] if 0 <= offset // 2 < len(self._spans) else None
        if span is None:
            return None
        if isinstance(self.node, ast.Lambda):
            return self._statement(self.node)
        found = [node for node in self._by_line.get(span[0], ()) if holds(span_of(node), span)]
        return self._statement(found[-1]) if found else None

    def start_of(self, offset: int) -> tuple[int, int]:
        """Line and column where what the instruction at an offset belongs to begins."""
        span = self._spans[offset // 2] if 0 <= offset // 2 < len(self._spans) else None
        return span[:2] if span else (0, 0)

    def expression_at(self, offset: int) -> ast.expr | None:
        """The expression that the instruction at an offset computes."""
        span = self._spans[offset // 2] if 0 <= offset // 2 < len(self._spans) else None
        return self._expressions.get(span) if span else None

    def template(self, node: ast.expr) -> Template:
        """The text of an expression without `torch.`, and where its names stand."""
        found = self._templates.get(id(node))
        if found is None:
            self._kept.append(node)  # an id is its own as long as the node lives
            found = self._templates[id(node)] = template(node, self._own)
        return found

    def words(self, node: ast.expr) -> frozenset[str]:
        """All words in the text of an expression; its names are among them."""
        found = self._words.get(id(node))
        if found is None:
            self._kept.append(node)
            found = frozenset(_WORD.findall(self._written(node) or ast.unparse(node)))
            self._words[id(node)] = found
        return found

    def _written(self, node: ast.expr) -> str | None:
        """The text of an expression that stands in one line."""
        line = getattr(node, "lineno", 0)
        if not line or line != node.end_lineno:
            return None
        return self.file[line - 1].encode()[node.col_offset : node.end_col_offset].decode()

    def holds(self, outer: SourceStatement, inner: SourceStatement | None) -> bool:
        """Whether a statement stands in the body of another."""
        if inner is None or inner is outer:
            return False
        body = getattr(outer.node, "body", None)
        if not isinstance(body, list):
            return False
        return any(holds(span_of(node), span_of(inner.node)) for node in body)

    @cached_property
    def every(self) -> tuple[SourceStatement, ...]:
        """All statements in the order in which they stand, none of inner functions."""
        if isinstance(self.node, ast.Lambda):
            return ()
        return tuple(map(self._statement, _inner_statements(self.node)))

    @cached_property
    def crowded(self) -> bool:
        """Whether a line holds several statements, so that lines alone do not tell them apart."""
        if isinstance(self.node, ast.Lambda):
            return False
        lines = [node.lineno for node in _inner_statements(self.node)]
        return len(lines) != len(set(lines))

    @cached_property
    def straight(self) -> tuple[SourceStatement, ...]:
        """The statements, if all of them run once and each name is bound by one; else ()."""
        if not isinstance(self.node, ast.FunctionDef) or isinstance(self.node, ast.Lambda):
            return ()
        body = self.node.body
        if not all(isinstance(node, _STRAIGHT) for node in body):
            return ()
        if any(isinstance(node, ast.Return) for node in body[:-1]):
            return ()
        if _SHARED.search("\n".join(self.lines)):
            return ()
        found = tuple(self._statement(node) for node in body if not is_silent(node))
        names = [binding.name for statement in found for binding in statement.bindings]
        arguments = [each.arg for each in ast.walk(self.node.args) if isinstance(each, ast.arg)]
        return found if len({*names, *arguments}) == len(names) + len(arguments) else ()

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """All names in the function, dotted as they are written: `model.weight`."""
        found = (dotted(n) for n in ast.walk(self.node) if isinstance(n, ast.Name | ast.Attribute))
        return tuple(dict.fromkeys(text for text in found if text))

    @cached_property
    def _own(self) -> frozenset[str]:
        return frozenset((*self.code.co_varnames, *self.code.co_cellvars))

    @cached_property
    def _spans(self) -> list[Span | None]:
        return [
            None
            if line is None or last is None or start is None or end is None
            else (line, start, last, end)
            for line, last, start, end in self.code.co_positions()
        ]

    @cached_property
    def _by_line(self) -> dict[int, list[ast.stmt]]:
        """The statements on each line, outer ones first."""
        found: dict[int, list[ast.stmt]] = {}
        for node in _inner_statements(self.node):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                found.setdefault(line, []).append(node)
        return found

    @cached_property
    def _expressions(self) -> dict[Span, ast.expr]:
        found: dict[Span, ast.expr] = {}
        for node in ast.walk(self.node):
            if isinstance(node, _COMPUTING):
                found[span_of(node)] = node
            elif isinstance(node, ast.AugAssign):
                found[span_of(node)] = ast.BinOp(node.target, node.op, node.value)
        return found

    def _statement(self, node: ast.stmt | ast.Lambda) -> SourceStatement:
        found = self._statements.get(id(node))
        if found is None:
            bindings = list(bindings_of(node))
            if self._has_walrus:
                bindings += list(walruses_of(node))[::-1]
            found = SourceStatement(node, tuple(bindings), self.file)
            self._statements[id(node)] = found
        return found

    @cached_property
    def _has_walrus(self) -> bool:
        return any(":=" in line for line in self.lines)


_known: OrderedDict[int, tuple[CodeType, Source | None]] = OrderedDict()


def source_of(code: CodeType, module_globals: Mapping[str, object] | None = None) -> Source | None:
    """The source of a code object; None if it cannot be read or is no longer the same."""
    found = _known.get(id(code))
    if found is None:
        found = _known[id(code)] = (code, _read(code, dict(module_globals or {})))
        if len(_known) > MOST_KEPT:
            _known.popitem(last=False)
    return found[1]


def _read(code: CodeType, module_globals: dict[str, object]) -> Source | None:
    lines = linecache.getlines(code.co_filename, module_globals)
    try:
        tree = ast.parse("".join(lines))
        same = _is_part_of(tree, code)
    except (SyntaxError, ValueError, RecursionError):
        return None
    if not (same or any(name.startswith("@py_") for name in code.co_varnames)):
        return None  # the file was edited since; pytest rewrites a function with `assert`
    if is_module(code):
        return Source(code, tree, [line.rstrip("\n") for line in lines])
    for node in ast.walk(tree):
        if _starts(node, code):
            source = Source(code, node, [line.rstrip("\n") for line in lines])  # type: ignore[arg-type]
            if source.code.co_name != "<lambda>" or _is_lambda_of(source):
                return source
    return None


def _is_part_of(tree: ast.Module, code: CodeType) -> bool:
    """Whether the text compiles to the code, whole as a file, or by statement as IPython does.

    The two differ: beside `import torch` Python 3.11 compiles `torch.log2(b)` in another way.
    """
    flags = code.co_flags & _future() | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as in a cell
    if is_module(code):
        code = code.replace(co_name="<module>", co_qualname="<module>")
    alone = (ast.Module([statement], []) for statement in tree.body)
    parts = ((part, "exec") for part in (tree, *alone))
    shown = ((ast.Interactive([part]), "single") for part in tree.body)  # a cell's last line
    return any(
        _has(compile(part, code.co_filename, mode, flags, True), code)
        for part, mode in (*parts, *(shown if is_module(code) else ()))
    )


def _future() -> int:
    import __future__

    features = [getattr(__future__, name) for name in __future__.all_feature_names]
    return sum({each.compiler_flag for each in features})


def _has(whole: CodeType, code: CodeType) -> bool:
    waiting = [whole]
    while waiting:
        each = waiting.pop()
        if each == code:
            return True
        waiting += (inner for inner in each.co_consts if isinstance(inner, CodeType))
    return False


def is_module(code: CodeType) -> bool:
    """Whether it is a module's or a cell's own code, which IPython 7 calls `<cell line: 3>`."""
    return code.co_name == "<module>" or code.co_name.startswith("<cell line: ")


def _starts(node: ast.AST, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != code.co_name:
        return False
    return _first_line(node) == code.co_firstlineno


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _is_lambda_of(source: Source) -> bool:
    """Of several lambdas in one line, whether it is the one that the code is of."""
    return span_of(source.node.body) in source._spans  # type: ignore[arg-type]


def _inner_statements(function: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a function in the order in which they stand, none of inner functions."""
    waiting = list(reversed(list(ast.iter_child_nodes(function))))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, SCOPES) and not isinstance(node, ast.expr):
            waiting += reversed(list(ast.iter_child_nodes(node)))
