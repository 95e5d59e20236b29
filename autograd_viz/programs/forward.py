"""A function run forward and recorded: its statements, its values, its graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor

from autograd_viz import text
from autograd_viz.backward import starting_grads, traced
from autograd_viz.capture import checked_outputs
from autograd_viz.kept_state import random_numbers_kept
from autograd_viz.model import Graph, Shown, Trace, Variables
from autograd_viz.names import is_tensor
from autograd_viz.picture import Drawing, Picture, Strip
from autograd_viz.programs.arguments import Function, checked_function
from autograd_viz.programs.outline import Outline, edges_of, outline, values_of, walk_of
from autograd_viz.programs.run_facts import Facts, facts
from autograd_viz.programs.runs import Run, record
from autograd_viz.programs.versions import outside_of
from autograd_viz.transforms import numbered
from autograd_viz.walk import Walk, garbage_collection_paused

CHANGED = "not known: changed since"  # a large value, of which there is no copy
MOST_PATHS = 16  # ways through one function that are remembered


class Statement(NamedTuple):
    """A statement of the program that ran."""

    line: int  # in its file
    source: str
    names: tuple[str, ...]  # that it bound; versions of one name are z₁, z₂
    values: tuple[Any, ...]  # of these, as they were then; of a return statement the outputs
    operations: tuple[str, ...]  # PyTorch's names of what it computed: "log2"


@dataclass(frozen=True, eq=False, repr=False)
class Program(Shown):
    """A function as it ran, statement by statement.

    >>> import torch, autograd_viz as av
    >>> def f(a, b):
    ...     c = a + b
    ...     d = torch.log2(a) * torch.log2(b)
    ...     return c * d
    >>> program = av.program(f, a=2.0, b=4.0)
    >>> program.outputs
    (tensor(12., grad_fn=<MulBackward0>),)
    >>> [round(v.item(), 4) for _, v in program.trace().leaf_grads]
    [10.6562, 4.164]
    """

    inputs: Mapping[str, Any]  # the arguments, the tensors made of numbers among them
    result: Any  # what the function returned
    outputs: tuple[Tensor, ...]  # the tensors in it
    graph: Graph  # of all outputs that need a gradient; empty if none does
    _function: Function
    _given: Mapping[str, Any]  # as the inputs were given
    _paths: _Paths  # that the function has taken before
    _outline: Outline
    _walk: Walk | None
    _copies: Mapping[int, Tensor]

    def __repr__(self) -> str:
        return f"<Program {self._function.name} of {len(self.statements):,} statements>"

    @property
    def source(self) -> tuple[str, ...]:
        """The function's lines as they are in its file; () where they cannot be read."""
        return self._function.source.lines if self._function.source else ()

    @property
    def first_line(self) -> int | None:
        """The number of the first of these lines."""
        return self._function.source.first_line if self._function.source else None

    @property
    def lines(self) -> Mapping[int, int]:
        """A node of the graph -> the source line that made it."""
        return self._outline.lines

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """The statements as they ran, in order; one of a loop stands once for each pass."""
        return tuple(
            Statement(
                written.statement.line,
                written.statement.text,
                written.names,
                tuple(
                    value if place is None else self._copies.get(place)
                    for place, value in written.values
                ),
                written.operations,
            )
            for written in self._outline.statements
        )

    def given(self, name: str) -> Any:
        """An input as the function got it, before the run could change it in place."""
        return self._function.argument(name, self._given[name])

    def trace(self, grad: Tensor | Sequence[Tensor | None] | None = None) -> Trace:
        """Run one backward pass from the output, as `autograd_viz.trace` does.

        Args:
            grad: the gradient to start from; of several outputs a sequence, one an output that
                needs a gradient. Without it the pass starts from the first output, with 1.

        Raises:
            NoGraphError: no output needs a gradient.
            GradError: `grad` is missing or does not fit.
        """
        outputs = [tensor for tensor in self.outputs if tensor.requires_grad]
        if not outputs or self._walk is None:
            checked_outputs(list(self.outputs), call="trace")
            raise AssertionError("an output without requires_grad is an error")
        graph = self.graph
        if grad is None and len(outputs) > 1:
            outputs = outputs[:1]
            graph = replace(graph, outputs=graph.outputs[:1])
        starts = starting_grads(outputs, grad)
        return replace(traced(graph, self._walk, (), outputs, starts, None), program=self)

    def variables(self, open: str | Iterable[str] = ()) -> Variables:
        """The program by variable, with its constants; traced if the first output is one number.

        `open` names the variables whose inner operations are shown one by one.
        """
        first = self.outputs[0]
        whole = first.requires_grad and first.numel() == 1 and not first.is_complex()
        return self._variables(open, self.trace() if whole else None)

    def _variables(self, open: str | Iterable[str], trace: Trace | None) -> Variables:
        opened = (open,) if isinstance(open, str) else tuple(open)
        graph = self.graph if trace is None else trace.graph
        fold, places = self._outline.fold(self.graph, opened)
        shown = numbered(fold, graph, trace)
        nodes = list(shown.nodes)
        for position, place in places.items():
            nodes[position] = replace(nodes[position], value=self._copies.get(place))
        return Variables(graph, trace, tuple(nodes), shown.links, opened, program=self)

    def at(self, /, **inputs: Any) -> Program:
        """The same function run at other inputs; those that are not named keep theirs.

        What was read of the source is used again where the same happens as in an earlier run.
        Where something else does (another branch, another number that follows from a tensor) the
        function runs a second time, with the same random numbers, and is recorded anew.

        >>> import autograd_viz as av
        >>> square = av.program(lambda x: x * x, x=3.0)
        >>> square.at(x=4.0).outputs[0].item()
        16.0
        """
        given = {**self._given, **{name: _kept(value) for name, value in inputs.items()}}
        self._function.check(given)
        return _program(self._function, given, self._paths)

    def picture(self, **options: Any) -> Drawing:
        """The computation as a picture, or another `view` of it."""
        options = {"view": "computation", **options}
        forward = options["view"] == "computation"  # no backward pass is needed, so none can fail
        shown = self._variables((), None) if forward else self.variables()
        drawing = shown.picture(**options)
        if isinstance(drawing, Strip):
            return replace(drawing, frames=tuple(map(self._told, drawing.frames)))
        return self._told(drawing) if isinstance(drawing, Picture) else drawing

    def _told(self, picture: Picture) -> Picture:
        """The picture with the source's own statements beside it."""
        nodes = self._variables((), None).nodes
        made = {node.name.partition(", ")[0] for node in nodes if node.name and node.line}
        bound: dict[str, int] = {}
        for number, statement in enumerate(self.statements):
            for name in made.intersection(statement.names):
                bound.setdefault(name, number)  # a later one gave the name to another value
        returns = bool(self.statements) and nodes[-1].name not in bound
        lines: list[tuple[str, bool]] = []
        last = None
        for position, (line, shown) in enumerate(picture.statements, start=1):
            place = bound.get(line.partition(" = ")[0].partition(", ")[0])
            if place is None and returns and position == len(picture.statements):
                place = len(self.statements) - 1
            if place is None:
                lines.append((line, shown))
            elif place != last:  # one of `a, b = ...` stands there already
                lines.append((self.statements[place].source, shown))
            last = place
        return replace(picture, statements=tuple(lines))

    def __str__(self) -> str:
        rows = [["line", "statement", "value"]]
        for statement, written in zip(self.statements, self._outline.statements, strict=True):
            values = [
                CHANGED if value is None and place is not None else _value_text(value)
                for value, (place, _) in zip(statement.values, written.values, strict=True)
            ]
            if written.told:
                pairs = zip(written.told, values, strict=True)
                values = [f"{name} = {value}" for name, value in pairs if value]
            rows.append([str(statement.line), text.clean(statement.source, 60), ", ".join(values)])
        if not self.statements:
            rows = [["name", "value"]]
            rows += [[name, _value_text(self.given(name))] for name in self.inputs]
            rows += [["result", _value_text(value)] for value in self.outputs]
        return "\n".join(text.table(rows))


def program(f: Callable[..., Any], /, **inputs: Any) -> Program:
    """Run a function forward once and record it.

    What it draws of random numbers is what your own next call would draw, and will.

    Args:
        f: a function of your own that computes with torch; it returns a tensor, or a tuple, list
            or dictionary of tensors. Its statements are read from its source if there is one.
        inputs: its arguments by name. A number becomes a leaf, a scalar tensor that requires
            grad; a list of numbers a vector that does. A tensor keeps its `requires_grad`, and
            the function gets a copy of it. All else is passed on as it is, and so is a number
            whose parameter is annotated `int`, `bool` or `str`. What is left at its default is
            passed by Python, so that a number there is a constant.

    Raises:
        TypeError: an argument is missing or unknown, or something else than tensors came back.
        Exception: whatever the function raises.

    >>> import autograd_viz as av
    >>> def loss(w, x=1.0, y=2.0):
    ...     yhat = w * x
    ...     return (yhat - y) ** 2
    >>> [leaf_grad for _, leaf_grad in av.program(loss, w=1.0).trace().leaf_grads]
    [tensor(-2.)]
    """
    function = Function(checked_function(f, "av.program(f, a=2.0)"))
    function.check(inputs)
    return _program(function, {name: _kept(value) for name, value in inputs.items()}, _Paths())


def _kept(given: Any) -> Any:
    """An input as it is now: later runs begin with it, whatever the reader does to a tensor."""
    return given.detach().clone().requires_grad_(given.requires_grad) if is_tensor(given) else given


@dataclass(eq=False)
class _Paths:
    """The ways that a function has gone so far, each read once."""

    known: dict[tuple[object, ...], tuple[Outline, tuple[object, ...]]] = field(
        default_factory=dict
    )

    def add(self, found: Facts, read: Outline) -> None:
        self.known[found.signature] = read, found.numbers
        if len(self.known) > MOST_PATHS:
            self.known.pop(next(iter(self.known)))

    def same(self, found: Facts) -> Outline | None:
        """The outline of a run that was the same but for its tensors' values."""
        read, numbers = self.known.get(found.signature, (None, ()))
        return read if numbers == found.numbers else None


def _program(function: Function, given: Mapping[str, Any], paths: _Paths) -> Program:
    with garbage_collection_paused(), random_numbers_kept():
        return (_run_again(function, given, paths) if paths.known else None) or _run_anew(
            function, given, paths
        )


def _run_anew(function: Function, given: Mapping[str, Any], paths: _Paths) -> Program:
    """Run and look at each statement."""
    inputs, outputs, run, found = _run(function, given, lines=True)
    run.outside = outside_of(function.inner)
    read, walk = outline(run, found, function.source, function.result)
    paths.add(found, read)
    copies = values_of(found, read.copied)
    graph = read.graph(walk, copies)
    return Program(inputs, run.result, outputs, graph, function, given, paths, read, walk, copies)


def _run_again(function: Function, given: Mapping[str, Any], paths: _Paths) -> Program | None:
    """Run without looking at statements; None if something else happened than before.

    The function has to run once more then, with the same random numbers.
    """
    with random_numbers_kept():
        inputs, outputs, run, found = _run(function, given, lines=False)
    read = paths.same(found)
    if read is not None:
        walk, slots = walk_of(outputs)
        if slots == read.slots and edges_of(walk) == read.edges:
            copies = values_of(found, read.copied)
            graph = read.graph(walk, copies)
            return Program(
                inputs, run.result, outputs, graph, function, given, paths, read, walk, copies
            )
    return None


def _run(
    function: Function, given: Mapping[str, Any], lines: bool
) -> tuple[Mapping[str, Any], tuple[Tensor, ...], Run, Facts]:
    inputs = {name: function.argument(name, value) for name, value in given.items()}
    call = function.bound(inputs)
    run = record(call, inputs, function.code, function.source if lines else None)
    return inputs, function.outputs(run.result), run, facts(run)


def _value_text(value: Any) -> str:
    if is_tensor(value):
        return text.summary(value)[0]
    if isinstance(value, int | float | complex) and not isinstance(value, bool):
        return text.number(value)
    return "" if value is None else text.clean(repr(value))
