"""Which name each value of a run has: a name that is bound anew keeps its versions apart."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from autograd_viz.names import is_tensor
from autograd_viz.operators.table import functions
from autograd_viz.programs.run_facts import Facts
from autograd_viz.programs.runs import Bound, Call, Run
from autograd_viz.programs.sources import Source
from autograd_viz.programs.statements import Binding
from autograd_viz.programs.templates import dotted

NUMBERS = (int, float, complex)
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
# Functions of which a whole number is an operand, not an option as `dim` is.
ARITHMETIC = frozenset(functions(lambda known: known.arithmetic))

Order = tuple[int, int, int]  # calls made before, 0: given or 1: computed, position


@dataclass(eq=False)
class Value:
    """A tensor as it was between two changes, or a plain number."""

    order: Order
    place: int | None  # among the run's tensors; None: a plain number
    number: complex | None = None
    name: str | None = None  # as in the source
    title: str | None = None  # with the version's number, if there are several
    visit: int = -1  # of the statement that bound it
    source: Source | None = None
    node: ast.expr | None = None  # the expression that it was bound to
    item: int | None = None  # of what was unpacked
    written: tuple[ast.Subscript, str] | None = None  # of `y[0] += a`: y[0] and the sign
    uses: Mapping[str, Value] = field(default_factory=dict)  # what the names in it meant
    unseen: Value | None = None  # what it was before a change that autograd did not see

    @property
    def expression(self) -> str | None:
        """What it was made from, in the source's words and with the versions' names."""
        if self.node is None or self.source is None:
            return None if self.unseen is None else f"{self.unseen.title}, changed"
        titles = {name: value.title or name for name, value in self.uses.items()}
        text = self.source.template(self.node).filled(titles)
        if self.written is None:
            return text
        whole, place = (
            self.source.template(part).filled(titles)
            for part in (self.written[0].value, self.written[0])
        )
        return f"{whole} with {place.removeprefix(whole)} {self.written[1]} {text}"

    @property
    def made_from(self) -> tuple[Value, ...]:
        """What the names in its expression meant."""
        if self.node is None or self.source is None:
            return ()
        names = self.source.template(self.node).names
        return tuple(value for name, value in self.uses.items() if name in names)


@dataclass(eq=False)
class Versions:
    """The values of a run, and what the names in its source meant at each call."""

    values: list[Value]  # one a tensor of the run
    numbers: list[Value]
    operands: list[dict[str, Value]]  # the plain numbers with a name that each call took
    results: list[tuple[int, str, Value | None, Any]]  # visit, name, value or else the object
    last: dict[str, Value]  # what the names mean at the end


def versions(run: Run, found: Facts, source: Source | None) -> Versions:
    """Follow the names of a run through its bindings."""
    return _Following(run, found, source).everything()


class _Following:
    def __init__(self, run: Run, found: Facts, source: Source | None) -> None:
        self.run, self.facts, self.source = run, found, source
        self.values = [
            Value((call, made, place), place) for place, (call, made) in enumerate(found.born)
        ]
        self.numbers: list[Value] = []
        self.current: dict[str, Value] = {}
        self.before: dict[str, Value] = {}  # what names meant before a statement changed them
        self.changing = -1  # the visit of that statement
        self.named: dict[str, list[Value]] = defaultdict(list)
        self.operands: list[dict[str, Value]] = []
        self.results: list[tuple[int, str, Value | None, Any]] = []

    def everything(self) -> Versions:
        bound = self.run.bound or _arguments(self.run.given)
        starts = {visit.calls: number for number, visit in enumerate(self.run.visits)}
        next_bound, visit = 0, -1
        for call in range(len(self.run.calls) + 1):
            while next_bound < len(bound) and bound[next_bound].calls <= call:
                last = next_bound + 1
                while last < len(bound) and bound[last].visit == bound[next_bound].visit:
                    last += 1
                self._bind(bound[next_bound:last])
                next_bound = last
            visit = starts.get(call, visit)
            if call < len(self.run.calls):
                self._called(call, visit)
        self._name_the_rest()
        for name, several in self.named.items():
            for number, value in enumerate(several, start=1):
                index = str(number).translate(_SUBSCRIPTS) if len(several) > 1 else ""
                value.title = name + index
        return Versions(self.values, self.numbers, self.operands, self.results, self.current)

    def _bind(self, together: Sequence[Bound]) -> None:
        """Bind the names of one statement; what its expressions mean is looked up before."""
        uses = [self._uses(each.binding.value, each.visit) for each in together]
        for each, meant in zip(together, uses, strict=True):
            value = self._bound_value(each, meant)
            name = each.binding.name
            self.results.append((each.visit, name, value, each.value))
            if value is None:
                self.current.pop(name, None)
                self._name_items(each)
                continue
            if value.name is None:
                value.name, value.visit = name, each.visit
                self.named[name].append(value)
            if value.visit == each.visit and value.node is None:
                value.source, value.node = self.source, each.binding.value
                value.uses, value.item = meant, each.binding.item
            self.current[name] = value

    def _uses(self, node: ast.expr | None, visit: int) -> dict[str, Value]:
        """What the names in an expression mean when a statement begins."""
        if node is None or self.source is None:
            return {}
        before = self.before if visit == self.changing else {}
        meanings = {
            name: before.get(name) or self.current.get(name) for name in self.source.words(node)
        }
        return {name: value for name, value in meanings.items() if value}

    def _bound_value(self, bound: Bound, meant: Mapping[str, Value]) -> Value | None:
        thing, name = bound.value, bound.binding.name
        if is_tensor(thing):
            return self._value_of(thing, bound.calls)
        if type(thing) not in NUMBERS:
            return None
        node = bound.binding.value
        if isinstance(node, ast.Name) and node.id in meant and meant[node.id].place is None:
            return meant[node.id]
        known = self.current.get(name)
        if known is not None and known.place is None and known.number is thing and node is None:
            return known
        value = Value((bound.calls, 0, len(self.numbers)), None, thing)
        self.numbers.append(value)
        return value

    def _value_of(self, tensor: Tensor, calls: int) -> Value | None:
        """What a tensor was after so many calls."""
        places = self.facts.history.get(id(tensor), ())
        now = [place for place in places if self.facts.born[place][0] < calls]
        chosen = now[-1:] or places[:1]
        return self.values[chosen[0]] if chosen else None

    def _name_items(self, bound: Bound) -> None:
        """Call the tensors of a given list `ws[0]`, `ws[1]`."""
        if bound.visit != -1 or type(bound.value) not in (list, tuple, dict):
            return
        items = bound.value.items() if type(bound.value) is dict else enumerate(bound.value)
        for key, tensor in items:
            value = self._value_of(tensor, 0) if is_tensor(tensor) else None
            if value is not None and value.name is None:
                value.name = value.title = f"{bound.binding.name}[{key!r}]"

    def _called(self, number: int, visit: int) -> None:
        call = self.run.calls[number]
        self.operands.append(self._numbers_taken(call, visit) if self.numbers else {})
        for place in self.facts.results[number]:
            moment = self.facts.moments[place]
            places = self.facts.history[id(moment.tensor)]
            at = places.index(place)
            if not at:
                continue
            old = self.values[places[at - 1]]
            if moment.is_same:
                self.values[place], old.place = old, place
            elif old.name is not None:
                self._changed(old, self.values[place], call, visit)

    def _changed(self, old: Value, new: Value, call: Call, visit: int) -> None:
        """The same tensor with other numbers is a new version of its name."""
        assert old.name is not None
        moment = self.facts.moments[new.place or 0]
        node = self._expression(call)
        new.uses = self._uses(node, visit)
        statement = self.run.visits[visit].statement if visit >= 0 else None
        alone = statement is not None and isinstance(statement.node, ast.Expr)
        if alone and call.direct and moment.is_target:
            new.source, new.node = self.source, node
        elif statement is not None and (wrote := _written(statement.node, old.name)):
            new.source, new.node, new.written = self.source, wrote[2], wrote[:2]
            new.uses = {
                name: used for part in wrote[::2] for name, used in self._uses(part, visit).items()
            }
        former = self.facts.moments[old.place or 0].function
        if former is moment.function and former is not None:
            new.unseen = old
        names = [name for name, value in self.current.items() if value is old]
        if old.name in self.current and not names:
            return  # its name means another value by now
        name = old.name if old.name in names or not names else names[0]
        new.name, new.visit = name, visit
        self.named[name].append(new)
        if visit != self.changing:
            self.before, self.changing = {}, visit
        for each in names:
            self.current[each] = new
            self.before.setdefault(each, old)
        self.results.append((visit, name, new, moment.tensor))

    def _expression(self, call: Call) -> ast.expr | None:
        found = self.source is not None and call.offset >= 0
        return self.source.expression_at(call.offset) if found and self.source else None

    def _numbers_taken(self, call: Call, visit: int) -> dict[str, Value]:
        """The plain numbers with a name among the operands of a call."""
        node = self._expression(call)
        if node is None or self.source is None or isinstance(node, ast.Subscript | ast.Attribute):
            return {}
        # Of other functions a whole number is an option, as `dim`.
        whole = call.direct and call.name.strip("_") in ARITHMETIC
        found = {}
        for name in self.source.words(node):
            value = self.current.get(name)
            if value is not None and value.place is None and (whole or type(value.number) is float):
                found[name] = value
        names = set(self._operand_names(node)) if found else set()
        return {name: value for name, value in found.items() if name in names}

    def _operand_names(self, node: ast.expr) -> Iterator[str]:
        """The names in an expression, without those in the calls of torch inside it."""
        waiting = list(ast.iter_child_nodes(node))
        while waiting:
            each = waiting.pop()
            if isinstance(each, ast.Name):
                yield each.id
            if id(each) not in self._calls:
                waiting += ast.iter_child_nodes(each)

    @cached_property
    def _calls(self) -> set[int]:
        """Expressions that are calls of torch, by id."""
        return {id(self._expression(call)) for call in self.run.calls if call.direct}

    def _name_the_rest(self) -> None:
        """Name tensors that came from outside as the source calls them: `model.weight`."""
        unnamed = {
            id(self.facts.moments[value.place].tensor)
            for value in self.values
            if value.name is None and value.place is not None and not value.order[1]
        }
        if not unnamed or self.source is None:
            return
        for name, tensor in _outside(self.run, self.source):
            if id(tensor) in unnamed:
                value = self.values[self.facts.history[id(tensor)][0]]
                if value.name is None:
                    value.name = value.title = name


def _written(node: ast.AST, name: str) -> tuple[ast.Subscript, str, ast.expr] | None:
    """Of a statement that writes into items of a name: the items, the sign, what is written."""
    match node:
        case ast.Assign(targets=[ast.Subscript() as target], value=value):
            sign = "="
        case ast.AugAssign(target=ast.Subscript() as target, op=op, value=value):
            sign = ast.unparse(ast.AugAssign(ast.Name("_"), op, ast.Name("_"))).split()[1]
        case _:
            return None
    return (target, sign, value) if dotted(target.value) == name else None


def _arguments(given: Mapping[str, Any]) -> list[Bound]:
    return [Bound(-1, 0, Binding(name, None), value) for name, value in given.items()]


def _outside(run: Run, source: Source) -> Iterator[tuple[str, Tensor]]:
    """Tensors that the source names and that are no results of the run, without running any code.

    The names are looked up among the arguments, the function's closure and its globals.
    """
    scope = {each.binding.name: each.value for each in run.bound if each.visit == -1}
    for text in source.reads:
        root, *attributes = text.split(".")
        value: Any = scope[root] if root in scope else run.outside.get(root)
        for attribute in attributes:
            value = _attribute(value, attribute)
        if is_tensor(value):
            yield text, value
        elif issubclass(type(value), torch.nn.Module):
            for name, tensor in (*value.named_parameters(), *value.named_buffers()):
                yield f"{text}.{name}", tensor
        elif type(value) in (list, tuple):
            for number, each in enumerate(value):
                if is_tensor(each):
                    yield f"{text}[{number}]", each
        elif type(value) is dict:
            for key, each in value.items():
                if is_tensor(each):
                    yield f"{text}[{key!r}]", each


def _attribute(thing: Any, name: str) -> Any:
    """An attribute that an object simply holds; what would run code is not asked."""
    try:
        held = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    if not isinstance(held, dict):
        return None
    for part in (held, *(held.get(kind) for kind in ("_parameters", "_buffers", "_modules"))):
        if isinstance(part, dict) and name in part:
            return part[name]
    return None


def outside_of(function: Any) -> dict[str, Any]:
    """The globals and the closure of a function: what its source may name besides its own."""
    if not isinstance(function, FunctionType):
        return {}
    scope = dict(function.__globals__)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        try:
            scope[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return scope
