"""Where in the reader's own code something happened: the line, the statement, the names."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from autograd_viz import text
from autograd_viz.programs.sources import Source, is_module, source_of
from autograd_viz.programs.statements import SourceStatement
from autograd_viz.recorded.events import Spot

LONGEST = 60  # characters of a statement that are quoted


@dataclass(frozen=True)
class Place:
    """A statement of the reader's, as in a sentence."""

    where: str  # "line 12", "In[3], line 2", "line 12 of net.py, in Net.forward"
    statement: str | None  # shortened in the middle; None: its text cannot be read
    names: tuple[str, ...] = ()  # that it binds
    made: str | None = None  # the name that the very expression that ran is bound to
    text: str | None = None  # the whole statement
    reads: tuple[str, ...] = ()  # the names in what it binds them to

    @property
    def quoted(self) -> str:
        """As in a sentence: line 12: `y = x.detach() * 2`."""
        return f"{self.where}: `{self.statement}`" if self.statement else self.where


def place(spot: Spot, asking: FrameType | None = None, cell: int | None = None) -> Place:
    """The statement that an instruction belongs to.

    Args:
        spot: the instruction.
        asking: the frame that asks; what stands in its file needs no file's name.
        cell: the number of the notebook's cell that ran; of equal cells it is this one.
    """
    source = source_of(spot.code)
    found = source.statement_at(spot.offset) if source else None
    where = _where(spot, asking, found.line if found else None, cell)
    if source is None or found is None:
        return Place(where, None)
    made = source.expression_at(spot.offset)
    names = [each.name for each in found.bindings]
    bound = [each.name for each in found.bindings if each.value is made and each.item is None]
    made_name = bound[0] if made and bound else None
    return Place(where, quoted(found), tuple(names), made_name, found.text, _reads(found))


def quoted(statement: SourceStatement) -> str:
    """A statement's text, shortened in the middle."""
    return text.clean(statement.text, LONGEST)


def _where(spot: Spot, asking: FrameType | None, line: int | None, cell: int | None = None) -> str:
    code = spot.code
    line = line or _line(spot) or code.co_firstlineno
    said = f"line {line}"
    written = cell_of(code, asking, cell)
    if written is not None:
        said = f"In[{written}], {said}"
    elif asking is not None and code.co_filename != asking.f_code.co_filename:
        said += f" of {os.path.basename(code.co_filename)}"
    if not is_module(code) and (asking is None or code is not asking.f_code):
        outer, _, own = code.co_qualname.replace(".<locals>", "").rpartition(".")
        name = ("a lambda" + (f" of {outer}" if outer else "")) if own == "<lambda>" else None
        said += f", in {name or code.co_qualname.replace('.<locals>', '')}"
    return said


def _line(spot: Spot) -> int | None:
    for number, (line, *_) in enumerate(spot.code.co_positions()):
        if number == spot.offset // 2:
            return line
    return None


def cells(asking: FrameType | None = None) -> list[str]:
    """The texts of a notebook's cells in the order in which they ran; [] outside of one."""
    scope: Mapping[str, Any] = asking.f_globals if asking is not None else {}
    if "get_ipython" not in scope:
        asked = getattr(sys.modules.get("IPython"), "get_ipython", None)
        scope = getattr(asked() if asked is not None else None, "user_ns", {})
    found = scope.get("In")
    return [each if type(each) is str else "" for each in found] if isinstance(found, list) else []


def cell_of(code: CodeType, asking: FrameType | None = None, last: int | None = None) -> int | None:
    """The number of the last cell, up to `last`, with the text that a code was made from."""
    if not (known := cells(asking)):
        return None
    written = "".join(linecache.getlines(code.co_filename)).rstrip()
    if not written:
        return None
    same = [n for n, cell in enumerate(known) if n and cell.rstrip() == written]
    return max((n for n in same if last is None or n <= last), default=None)


def spot_of(frame: FrameType) -> Spot:
    """The instruction that a frame is at."""
    return Spot(frame.f_code, frame.f_lasti)


def arguments_at(frame: FrameType) -> tuple[str, ...]:
    """What stands in the brackets of the call that a frame is at, as it is written."""
    source = source_of(frame.f_code, frame.f_globals)
    call = source.expression_at(frame.f_lasti) if source else None
    if not isinstance(call, ast.Call) or any(isinstance(one, ast.Starred) for one in call.args):
        return ()
    given = [*call.args, *(each.value for each in call.keywords)]
    return tuple(" ".join(ast.unparse(one).split()) for one in given)


def bound_before(frame: FrameType | None, name: str, changed: bool = False) -> Place | None:
    """The statement that bound a name last, where the text leaves no doubt about it.

    With `changed`, also one that changed its object in place.

    There is doubt if one in a block binds it too, or one that does not stand before the line that
    runs. It is for quoting alone: what is said of a tensor is never taken from it.
    """
    found = [
        each
        for each in _before(frame)
        if name in _targets(each.node) or (changed and name in _changed(each.node))
    ]
    return _told(frame, found[-1]) if found and _is_sure(frame, found[-1]) else None


def changed_before(frame: FrameType | None, name: str) -> list[Place]:
    """The statements before the line that runs which can change a name's object in place."""
    return [_told(frame, each) for each in _before(frame) if name in _changed(each.node)]


def _source(frame: FrameType | None) -> Source | None:
    return source_of(frame.f_code, frame.f_globals) if frame is not None else None


def _before(frame: FrameType | None) -> list[SourceStatement]:
    source = _source(frame)
    now = source.statement_at(frame.f_lasti) if source and frame else None
    if source is None or now is None:
        return []
    return [each for each in source.every if each.line < now.line]


def _is_sure(frame: FrameType | None, statement: SourceStatement) -> bool:
    source = _source(frame)
    body = getattr(source.node, "body", []) if source else []
    return isinstance(body, list) and statement.node in body


def _told(frame: FrameType | None, statement: SourceStatement) -> Place:
    assert frame is not None  # or there would be no statement
    where = _where(spot_of(frame), frame, statement.line)
    names = tuple(each.name for each in statement.bindings)
    return Place(where, quoted(statement), names, None, statement.text, _reads(statement))


def _reads(statement: SourceStatement) -> tuple[str, ...]:
    parts = (each.value for each in statement.bindings if each.value is not None)
    names = (each.id for part in parts for each in ast.walk(part) if isinstance(each, ast.Name))
    return tuple(dict.fromkeys(names))


def _targets(node: ast.AST) -> set[str]:
    match node:
        case ast.Assign(targets=targets):
            inner = [ast.walk(target) for target in targets]
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            inner = [ast.walk(target)]
        case ast.For(target=target):
            inner = [ast.walk(target)]
        case _:
            return set()
    return {
        each.id
        for part in inner
        for each in part
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }


def _changed(node: ast.AST) -> set[str]:
    """The names whose objects a statement may change in place."""
    return set(_changed_names(node))


def _changed_names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.AugAssign(target=target):
            yield from _roots(target)
        case ast.Assign(targets=targets):
            for each in targets:
                if isinstance(each, ast.Subscript | ast.Attribute):
                    yield from _roots(each)
    if isinstance(node, ast.stmt) and not hasattr(node, "body"):
        for part in ast.walk(node):
            match part:
                case ast.Call(func=ast.Attribute(value=held, attr=method)) if _writes(method):
                    yield from _roots(held)
                case ast.keyword(arg="out", value=result):
                    yield from _roots(result)


def _writes(method: str) -> bool:
    return method.endswith("_") and not method.startswith(("_", "requires_grad"))


def _roots(node: ast.expr) -> Iterator[str]:
    inner: list[ast.expr] = [node]
    while isinstance(inner[-1], ast.Subscript | ast.Attribute):
        inner.append(inner[-1].value)
    if isinstance(inner[-1], ast.Name):
        yield inner[-1].id


def only_change(frame: FrameType, spot: Spot, name: str) -> tuple[Place, SourceStatement] | None:
    """The one statement before an instruction that can have changed a name's object in place.

    Only if it has surely run, and the name has held the same object since. It is for a change that
    is known to have happened once.
    """
    source = source_of(spot.code)
    now = source.statement_at(spot.offset) if source else None
    if source is None or now is None:
        return None
    before = [each for each in source.every if each.line < now.line]
    changes = [each for each in before if name in _changed(each.node)]
    body = getattr(source.node, "body", [])
    if len(changes) != 1 or not isinstance(body, list) or changes[0].node not in body:
        return None
    (change,) = changes
    if not _changes_itself(change.node, name):
        return None
    if any(each.line > change.line and name in _targets(each.node) for each in before):
        return None
    return _told(frame, change), change


def _changes_itself(node: ast.AST, name: str) -> bool:
    """Whether a statement changes a name's own numbers: `h[0] = 1`, and not `h.grad.zero_()`."""
    match node:
        case ast.AugAssign(target=target):
            return _element_of(target) == name
        case ast.Assign(targets=[ast.Subscript() as target]):
            return _element_of(target) == name
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=held, attr=method))):
            return _element_of(held) == name and method not in ("detach_", "share_memory_")
    return False


def _element_of(node: ast.expr) -> str | None:
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
