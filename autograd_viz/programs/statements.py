"""The statements of a function: their text, and the names that they bind."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPOUND = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Match)

Span = tuple[int, int, int, int]  # first line, first column, last line, last column


class Binding(NamedTuple):
    """A name that a statement binds, and to what."""

    name: str
    value: ast.expr | None  # None: an iterator's item, what a `with` block opens
    item: int | None = None  # of a value that is unpacked


@dataclass(frozen=True, eq=False)
class SourceStatement:
    """A statement of a function; of a compound one its head."""

    node: ast.stmt | ast.Lambda
    bindings: tuple[Binding, ...]
    file: Sequence[str]  # the lines of the whole file

    @property
    def line(self) -> int:
        """The line that it begins in."""
        return self.node.lineno

    @property
    def text(self) -> str:
        """The statement as it is written, several lines put into one."""
        node, file = self.node, self.file
        if isinstance(node, ast.Lambda):
            return ast.unparse(node)
        first, start, last, end = span_of(node)
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        if isinstance(node, (*_COMPOUND, *_DEFINITIONS)) and body:
            last, end = _head_end(body[0])
        elif first != last:
            return ast.unparse(node)
        lines = [line.encode() for line in file[first - 1 : last]]
        lines[-1] = lines[-1][:end]
        lines[0] = lines[0][start:]
        if len(lines) == 1:
            return lines[0].decode().strip()
        whole = " ".join(re.sub(r"#.*", "", line.decode()).strip() for line in lines)
        return re.sub(r":\s*(@|case)\s*$", ":", whole).strip()  # of what its body begins with

    @property
    def result(self) -> ast.expr | None:
        """What a return statement or a lambda returns."""
        if isinstance(self.node, ast.Lambda):
            return self.node.body
        return self.node.value if isinstance(self.node, ast.Return) else None

    @property
    def is_loop(self) -> bool:
        """Whether it binds its names only when it goes into its body."""
        return isinstance(self.node, ast.For | ast.AsyncFor)

    @property
    def is_silent(self) -> bool:
        """Whether nothing is computed in it."""
        return is_silent(self.node)

    @property
    def is_block(self) -> bool:
        """Whether Python comes back to it when its body is done."""
        return isinstance(self.node, ast.With | ast.AsyncWith | ast.Try)


def bindings_of(node: ast.stmt | ast.Lambda) -> Iterator[Binding]:
    """What a statement binds, but for walruses."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _unpacked(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from _unpacked(target, value)
        case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
            yield Binding(name, ast.BinOp(ast.Name(name, ast.Load()), op, value))
        case ast.For(target=target) | ast.AsyncFor(target=target):
            yield from _unpacked(target, None)
        case ast.With(items=items) | ast.AsyncWith(items=items):
            for item in items:
                if item.optional_vars is not None:
                    yield from _unpacked(item.optional_vars, None)


def walruses_of(node: ast.stmt | ast.Lambda) -> Iterator[Binding]:
    """What a statement binds by walruses."""
    for own in _head(node):
        for inner in _own_expressions(own):
            if isinstance(inner, ast.NamedExpr):
                yield Binding(inner.target.id, inner.value)


def captures_of(node: ast.AST, following: ast.AST) -> Iterator[Binding]:
    """What a `match` binds if it goes on with a statement, which is in one of its cases."""
    for case in node.cases if isinstance(node, ast.Match) else ():
        if any(holds(span_of(each), span_of(following)) for each in case.body):
            for part in ast.walk(case.pattern):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if isinstance(name, str):
                    yield Binding(name, None)


def _unpacked(target: ast.expr, value: ast.expr | None) -> Iterator[Binding]:
    match target:
        case ast.Name(id=name):
            yield Binding(name, value)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            starred = any(isinstance(part, ast.Starred) for part in parts)
            match value:
                case ast.Tuple(elts=values) | ast.List(elts=values) if (
                    len(values) == len(parts)
                    and not starred
                    and not any(isinstance(each, ast.Starred) for each in values)
                ):
                    for part, each in zip(parts, values, strict=True):
                        yield from _unpacked(part, each)
                case _:
                    for number, part in enumerate(parts):
                        if isinstance(part, ast.Name) and not starred:
                            yield Binding(part.id, value, number)
                        else:
                            yield from _unpacked(part, None)
        case ast.Starred(value=inner):
            yield from _unpacked(inner, None)


def _head(node: ast.stmt | ast.Lambda) -> list[ast.AST]:
    """The parts of a statement that are its own, without the statements of its body."""
    if isinstance(node, ast.Lambda):
        return [node.body]
    return [
        child
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
        and not isinstance(node, SCOPES)
    ]


def _own_expressions(node: ast.AST) -> Iterator[ast.AST]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, SCOPES):
            yield each
            waiting += ast.iter_child_nodes(each)


def _head_end(first: ast.AST) -> tuple[int, int]:
    decorators: list[ast.AST] = getattr(first, "decorator_list", [])
    pattern: ast.AST = getattr(first, "pattern", first)  # of a `match`, its first case
    line, column, *_ = span_of(decorators[0] if decorators else pattern)
    return line, column


def is_silent(node: ast.AST) -> bool:
    """Whether nothing is computed in a statement: `pass`, a docstring, the word `try`."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Try | ast.Pass | ast.Break | ast.Continue)


def span_of(node: ast.AST) -> Span:
    """Where a node stands in its file."""
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def holds(outer: Span, inner: Span) -> bool:
    """Whether one span lies in another."""
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]
