"""A statement of the reader's, written otherwise: the line to type in its place, or before it."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass

import torch

from autograd_viz.programs.sources import source_of
from autograd_viz.programs.statements import SourceStatement
from autograd_viz.recorded.events import Spot

LONGEST = 40  # characters of an expression that stands for a name


@dataclass(frozen=True)
class Line:
    """A line to type, and where it belongs."""

    text: str
    instead_of: str | None = None
    before: str | None = None


class Edit:
    """A copy of the statement that an instruction belongs to, which may be changed."""

    def __init__(self, text: str, node: ast.stmt, expression: ast.expr | None) -> None:
        self.text = text  # as it stands in the source
        self.node = node
        self.call = expression if isinstance(expression, ast.Call) else None

    @property
    def line(self) -> Line:
        """The statement as it is now, in place of the one in the source."""
        return Line(ast.unparse(self.node), instead_of=self.text)

    @property
    def begins(self) -> ast.expr | None:
        """What a failed pass begins from: y of `y.backward()` or `torch.autograd.grad(y, x)`."""
        match self.call:
            case ast.Call(func=ast.Attribute(value=owner, attr="backward"), args=args):
                if _written(owner) not in ("torch.autograd", "autograd"):
                    return owner
                return args[0] if args else None
            case ast.Call(func=ast.Attribute(attr="grad"), args=[first, *_]):
                return first
        return None

    def wrapped(self, part: ast.expr, *methods: str) -> Edit:
        """The same with a part of the call replaced by `part.method()`."""
        new = part
        for method in methods:
            new = ast.Call(ast.Attribute(new, method, ast.Load()), [], [])
        return self.replaced(part, new)

    def replaced(self, part: ast.expr, new: ast.expr) -> Edit:
        """The same with another expression in the place of a part."""
        node = _Swap(part, new).visit(self.node)
        assert isinstance(node, ast.stmt)
        self.node = node
        return self

    def with_keyword(self, name: str, value: bool) -> Edit:
        """The same with one more argument."""
        assert self.call is not None
        kept = [each for each in self.call.keywords if each.arg != name]
        self.call.keywords = [*kept, ast.keyword(name, ast.Constant(value))]
        return self


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def edit_of(spot: Spot | None) -> Edit | None:
    """The statement at an instruction; None if it cannot be read, or holds others."""
    source = source_of(spot.code) if spot is not None else None
    found = source.statement_at(spot.offset) if source is not None and spot is not None else None
    if source is None or spot is None or found is None:
        return None
    if not isinstance(found.node, ast.stmt) or hasattr(found.node, "body"):
        return None
    copies: dict[int, object] = {}
    node = copy.deepcopy(found.node, copies)
    expression = copies.get(id(source.expression_at(spot.offset)))
    return Edit(found.text, node, expression if isinstance(expression, ast.expr) else None)


def edit_of_statement(found: SourceStatement) -> Edit | None:
    """A statement that is known without the instruction that ran."""
    if not isinstance(found.node, ast.stmt) or hasattr(found.node, "body"):
        return None
    node = copy.deepcopy(found.node)
    return Edit(found.text, node, getattr(node, "value", None))


def short(expression: ast.expr | None) -> str | None:
    """The text of an expression that is short enough to stand in a sentence as a name."""
    text = _written(expression) if expression is not None else ""
    return text if 0 < len(text) <= LONGEST else None


def _written(expression: ast.expr) -> str:
    return ast.unparse(expression)


# A change in place, made out of place.


def out_of_place(edit: Edit | None, name: str | None) -> Line | None:
    """What to write so that a statement changes nothing in place that was there before."""
    if edit is None:
        return None
    match edit.node:
        case ast.AugAssign(target=ast.Name() as target, op=op, value=value):
            edit.node = _assigned(target, ast.BinOp(ast.Name(target.id), op, value))
            return edit.line
        case ast.AugAssign(target=ast.Subscript(value=held) | ast.Attribute(value=held)):
            return _cloned(_root(held), edit)
        case ast.Assign(targets=[ast.Subscript(value=held)]):
            return _cloned(_root(held), edit)
    return _other_call(edit, name)


def _other_call(edit: Edit, name: str | None) -> Line | None:
    """A call that changes what it is given: `h.mul_(2)`, `relu(h, inplace=True)`, `out=h`."""
    call = edit.call
    if call is None:
        return None
    for keyword in call.keywords:
        if keyword.arg == "inplace" or keyword.arg == "out":
            call.keywords.remove(keyword)
            target = keyword.value if keyword.arg == "out" else (call.args or [None])[0]  # type: ignore[list-item]
            return _result_kept(edit, target)
    match call.func:
        case ast.Attribute(value=held, attr=method) if method.endswith("_"):
            plain = method.rstrip("_")
            if (
                plain
                and hasattr(torch.Tensor, plain)
                and isinstance(held, ast.Name | ast.Attribute)
            ):
                call.func = ast.Attribute(held, plain, ast.Load())
                is_function = _written(held) in ("torch", "F", "torch.nn.functional")
                return _result_kept(edit, call.args[0] if is_function and call.args else held)
            if isinstance(root := _root(held), ast.Name | ast.Attribute):
                return _cloned(root, edit)
    given = [each for each in call.args if name is not None and _written(each) == name]
    return edit.wrapped(given[0], "clone").line if given else None


def _result_kept(edit: Edit, target: ast.expr | None) -> Line | None:
    """The call's result under the name of what it would have changed."""
    if isinstance(edit.node, ast.Expr) and edit.node.value is edit.call:
        if not isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
            return None
        assert edit.call is not None
        edit.node = _assigned(target, edit.call)
    return edit.line


def _assigned(target: ast.expr, value: ast.expr) -> ast.stmt:
    made = ast.Assign([target], value)
    return ast.fix_missing_locations(ast.copy_location(made, target))


def _cloned(held: ast.expr, edit: Edit) -> Line | None:
    text = _written(held)
    return Line(f"{text} = {text}.clone()", before=edit.text)


def _root(held: ast.expr) -> ast.expr:
    """`self.h` of `self.h[0][1]`; `h` of `h[0].data`."""
    while isinstance(held, ast.Subscript):
        held = held.value
    if isinstance(held, ast.Attribute) and held.attr in ("data", "T", "mT"):
        return _root(held.value)
    return held


def silenced(edit: Edit | None) -> Line | None:
    """The statement within `torch.no_grad()`, in one line."""
    if edit is None:
        return None
    return Line(f"with torch.no_grad(): {ast.unparse(edit.node)}", instead_of=edit.text)
