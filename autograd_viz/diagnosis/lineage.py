"""From which names a name was made, and what on the way cuts a gradient off."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from autograd_viz.diagnosis.caller_source import RETURN, Function, Source, Statement

Kind = Literal["detached", "copied", "no_grad", "not_differentiable", "unused"]
DEPTH = 5  # calls inside calls that are followed
MOST_WAYS = 20_000

_DETACHED = {"detach", "detach_", "data", "grad"}
_COPIED = {"item", "tolist", "numpy", "new_tensor"}
_STEPS = {"argmax", "argmin", "argsort", "searchsorted", "bucketize", "nonzero", "count_nonzero"}
_STEPS |= {"eq", "ne", "lt", "le", "gt", "ge", "equal", "isclose", "allclose", "logical_not"}
_STEPS |= {"logical_and", "logical_or", "long", "int", "short", "byte", "bool", "isnan", "any"}
_STEPS |= {"all", "multinomial", "bernoulli", "one_hot"}
_ROUNDS = {"round", "floor", "ceil", "trunc", "sign", "heaviside", "round_", "floor_", "ceil_"}
_SHAPES = {"shape", "dtype", "device", "ndim", "requires_grad", "grad_fn", "is_leaf", "size"}
_SHAPES |= {"dim", "numel", "zeros_like", "ones_like", "rand_like", "randn_like", "empty_like"}
_SHAPES |= {"full_like", "new_zeros", "new_ones", "new_full", "new_empty", "stride", "element_size"}
_BUILTIN_COPIES = {"float", "int", "bool", "complex", "round"}
_WHOLE = {"int8", "int16", "int32", "int64", "uint8", "long", "int", "short", "bool"}
_TORCH = {"torch", "F", "functional", "nn"}


class Cut(NamedTuple):
    """What stops a gradient, as it is written, and the statement that it stands in."""

    kind: Kind
    what: str  # ".detach()"
    at: Statement | None = None


class Use(NamedTuple):
    """A name in an expression, and what stands around it there."""

    name: str
    cut: Cut | None
    calls: tuple[tuple[str, int | str], ...] = ()  # functions it is an argument of, outermost first


@dataclass(frozen=True, eq=False)
class Way:
    """How a name is reached, going from a result to what it is made from."""

    name: str
    version: Statement | None  # the statement that bound it; None: not in the source
    cut: Cut | None  # the first that a gradient meets
    before: Way | None  # the way to the name that this one is used for
    sure: bool  # no branch and no loop on it

    @property
    def names(self) -> tuple[str, ...]:
        """The names on the way, the result first."""
        return (*(self.before.names if self.before else ()), self.name)


def ways(source: Source, name: str, depth: int = DEPTH) -> list[Way]:
    """All names that a name is made from, those first that no cut lies before."""
    return _ways(source.statements, source.functions, name, depth)


def version(source: Source, name: str) -> Statement | None:
    """The statement that bound what the name holds now."""
    return next(
        (each for each in reversed(source.statements) if name in each.binds and not each.keeps),
        None,
    )


def earlier(source: Source, name: str) -> Statement | None:
    """The statement that bound what the name held before."""
    bound = [each for each in source.statements if name in each.binds and not each.keeps]
    return bound[-2] if len(bound) > 1 else None


def position(source: Source, statement: Statement | None) -> int:
    """Where a statement stands in the order of execution; -1 for none."""
    return next((n for n, each in enumerate(source.statements) if each is statement), -1)


def calls_of(source: Source, method: str) -> list[Statement]:
    """The statements that call a method, as `loss.backward()`."""
    return [
        each
        for each in source.statements
        if any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == method
            for value in each.value
            for node in ast.walk(value)
        )
    ]


def calls(statement: Statement, name: str) -> bool:
    """Whether a statement calls what a name holds, as `h = first(x)`, a module for example."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        for value in statement.value
        for node in ast.walk(value)
    )


def uses_itself(statement: Statement, name: str) -> bool:
    """Whether a statement makes a name from what the name held before, as `w = w - 0.1`."""
    return any(use.name == name for value in statement.value for use in _uses(value, None, ()))


def _ways(
    statements: Sequence[Statement], functions: Mapping[str, Function], start: str, depth: int
) -> list[Way]:
    found: list[Way] = []
    seen: set[tuple[str, int, bool]] = set()
    # Uncut ways first, so that a cut is only reported where no way goes round it.
    free: deque[_Entry] = deque([_Entry(start, len(statements), None, None, True)])
    held: deque[_Entry] = deque()
    while (free or held) and len(found) < MOST_WAYS:
        name, before, cut, came, sure = (free or held).popleft()
        definitions = list(_definitions(statements, name, before))
        key = (name, definitions[0] if definitions else -1)
        if (*key, cut is None) in seen:
            continue
        seen.add((*key, cut is None))
        bound = next((statements[n] for n in definitions if not statements[n].keeps), None)
        way = Way(name, bound, cut, came, sure)
        found.append(way)
        if cut is not None and (*key, True) in seen:  # a way goes round the cut
            continue
        for number in definitions:
            statement = statements[number]
            for use in _resolved(statement, functions, depth):
                if statement.keeps and use.name == name:
                    continue
                new = cut or _located(use.cut, statement)
                entry = _Entry(use.name, number, new, way, sure and statement.sure)
                (held if new else free).append(entry)
    return found


class _Entry(NamedTuple):
    name: str
    before: int  # the place in the statements where it is used
    cut: Cut | None
    came: Way | None
    sure: bool


def _located(cut: Cut | None, statement: Statement) -> Cut | None:
    if cut is not None:
        return cut if cut.at is not None else cut._replace(at=statement)
    return Cut("no_grad", statement.no_grad, statement) if statement.no_grad else None


def _definitions(statements: Sequence[Statement], name: str, before: int) -> Iterator[int]:
    """Statements that may have made what the name holds at a place, the last one first."""
    for number in range(before - 1, -1, -1):
        if name in statements[number].binds:
            yield number
            if statements[number].sure and not statements[number].keeps and name != RETURN:
                return


def _resolved(statement: Statement, functions: Mapping[str, Function], depth: int) -> Iterator[Use]:
    """The names that a statement uses, and through them what functions of the source do to them."""
    for value in statement.value:
        for use in _uses(value, None, ()):
            yield from _through(use, functions, depth)
        for node in ast.walk(value):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from _free_names(node.func.id, functions, depth)


def _through(use: Use, functions: Mapping[str, Function], depth: int) -> Iterator[Use]:
    """The use with the cut that a called function makes; nothing if the function drops it."""
    cut = use.cut
    for name, place in use.calls:
        if cut or depth == 0:
            break
        if name not in functions:
            continue
        function = functions[name]
        if function.no_grad is not None:
            cut = Cut("no_grad", function.no_grad.text, function.no_grad)
            break
        parameters = function.parameters
        if isinstance(place, int):
            if place >= len(parameters):
                continue
            place = parameters[place]
        inner = [each for each in _inside(name, functions, depth) if each.name == place]
        if not inner:
            return
        cut = inner[0].cut
    yield Use(use.name, cut)


def _free_names(name: str, functions: Mapping[str, Function], depth: int) -> Iterator[Use]:
    if name not in functions or depth == 0:
        return
    function = functions[name]
    off = function.no_grad
    for way in _inside(name, functions, depth):
        if way.name not in (*function.parameters, RETURN) and way.version is None:
            yield Use(way.name, Cut("no_grad", off.text, off) if off else way.cut)


def _inside(name: str, functions: Mapping[str, Function], depth: int) -> list[Way]:
    """The ways from a function's result to its parameters and to names outside of it."""
    found = _ways(functions[name].statements, functions, RETURN, depth - 1)
    return [way for way in found if way.version is None]


def _uses(
    node: ast.AST, cut: Cut | None, calls: tuple[tuple[str, int | str], ...]
) -> Iterator[Use]:
    """The names in an expression, each with the outermost cut around it."""
    match node:
        case ast.Name(id=name):
            yield Use(name, cut, calls)
        case ast.Attribute(value=value, attr=name):
            yield from _uses(value, _and(cut, _of_attribute(name)), calls)
        case ast.Call(func=func, args=args, keywords=keywords):
            yield from _of_call(func, [*args], keywords, cut, calls)
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            cut = cut or Cut("not_differentiable", "a comparison")
            yield from _of_children(node, cut, calls)
        case ast.Subscript(value=value, slice=index):
            yield from _uses(value, cut, calls)
            yield from _uses(index, cut or Cut("not_differentiable", "an index"), calls)
        case ast.IfExp(test=test, body=body, orelse=other):
            yield from _uses(test, cut or Cut("not_differentiable", "a condition"), calls)
            yield from _uses(body, cut, calls)
            yield from _uses(other, cut, calls)
        case ast.ListComp() | ast.GeneratorExp() | ast.SetComp() | ast.DictComp():
            own = {
                each.id
                for part in node.generators
                for each in ast.walk(part.target)
                if isinstance(each, ast.Name)
            }
            yield from (use for use in _of_children(node, cut, calls) if use.name not in own)
        case ast.Lambda() | ast.JoinedStr():
            return
        case _:
            yield from _of_children(node, cut, calls)


def _and(outer: Cut | None, inner: Cut | None) -> Cut | None:
    """Both in words, if they are two; the kind is that of the one the gradient meets first."""
    if outer is None or inner is None:
        return outer or inner
    if inner.kind not in ("detached", "copied") or inner.what in outer.what:
        return outer
    return outer._replace(what=f"{outer.what} and {inner.what}")


def _of_children(
    node: ast.AST, cut: Cut | None, calls: tuple[tuple[str, int | str], ...]
) -> Iterator[Use]:
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, cut, calls)


def _of_attribute(name: str) -> Cut | None:
    if name in _DETACHED:
        return Cut("detached", f".{name}")
    if name in _SHAPES:
        return Cut("unused", f"its .{name} alone")
    return None


def _of_call(
    func: ast.expr,
    args: list[ast.expr],
    keywords: Collection[ast.keyword],
    cut: Cut | None,
    calls: tuple[tuple[str, int | str], ...],
) -> Iterator[Use]:
    given: list[tuple[int | str, ast.expr]] = [*enumerate(args)]
    given += [(keyword.arg or "", keyword.value) for keyword in keywords]
    inner, name = calls, ""
    if isinstance(func, ast.Attribute):
        name = func.attr
        base = func.value.id if isinstance(func.value, ast.Name) else ""
        if base in ("np", "numpy"):
            cut = cut or Cut("copied", "NumPy")
        elif base == "math":
            cut = cut or Cut("copied", f"math.{name}()")
        elif base in _TORCH:
            cut = _and(cut, _of_function(name, f"{base}.{name}()", given))
        else:
            cut = _and(cut, _of_function(name, f".{name}()", given))
            yield from _uses(func.value, cut, calls)
    elif isinstance(func, ast.Name):
        name = func.id
        if name in _BUILTIN_COPIES:
            cut = cut or Cut("copied", f"{name}()")
        elif name == "len":
            cut = cut or Cut("unused", "its length alone")
    for place, value in given:
        cut_here = cut
        if name == "where" and place == 0 and isinstance(func, ast.Attribute):
            cut_here = cut or Cut("not_differentiable", "a condition")
        if isinstance(func, ast.Name):
            inner = (*calls, (name, place))
        yield from _uses(value, cut_here, inner)


def _of_function(
    name: str, written: str, given: Sequence[tuple[int | str, ast.expr]]
) -> Cut | None:
    if name in ("detach", "detach_"):
        return Cut("detached", written)
    if name in _COPIED or (name == "tensor" and written.startswith("torch")):
        return Cut("copied", written)
    if name in _STEPS or name in _ROUNDS:
        return Cut("not_differentiable", written)
    if name in _SHAPES:
        return Cut("unused", "its shape alone")
    if name in ("to", "type"):
        kinds = {ast.unparse(value).rpartition(".")[2] for _, value in given}
        if kinds & _WHOLE:
            return Cut("not_differentiable", f"{written[:-1]}{ast.unparse(given[0][1])})")
    return None
