"""From a tensor to its Graph: the walk of `next_functions`."""

from __future__ import annotations

import gc
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from graphlib import TopologicalSorter
from types import FrameType
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.autograd.graph import Node as AutogradNode

from autograd_viz import names as naming
from autograd_viz.engines.protocol import engine_values
from autograd_viz.errors import NoGraphError, NotATensorError
from autograd_viz.interrupts import interrupts_held
from autograd_viz.model import Edge, Graph, Node, Output, Slot
from autograd_viz.networks import calls
from autograd_viz.release import NextFunctions, protect
from autograd_viz.text import has_numbers

if TYPE_CHECKING:
    from autograd_viz.engines.protocol import Value
    from autograd_viz.engines.values_graph import Captured

SMALL = 16  # elements; the values of larger named tensors are not copied
SMALL_GRAPH = 60  # nodes; of larger graphs what the operations saved is not read at once
_NEVER = 2**62  # PyTorch's number of a node without age is the largest there is
HOOKED = object()  # stands for a saved tensor that cannot be read without running its hooks
Saved = Mapping[str, Any]  # what an operation saved for its backward, by name
# The reader's names and the numbers of inputs that the graph does not keep, by PyTorch's words.
InputFacts = tuple[Mapping[str, str], Mapping[str, float]]


def graph(
    output: Tensor | Value | Sequence[Tensor | Value],
    *,
    names: Mapping[str, Any] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> Graph:
    """Return the autograd graph of a tensor, or the one that several tensors share.

    Args:
        output: a tensor that autograd made or a leaf that requires grad, of any shape, dtype and
            device; or a sequence of such tensors. Or a value of another engine, as micrograd's or
            one of your own (`autograd_viz.engines.protocol` says what it must have).
        names: labels of your own; they win over all others.
        params: a module (or its named parameters), whose parameters get their dotted names.

    Variables of the caller that hold a tensor of the graph label its node.

    Raises:
        NotATensorError: something else was given.
        NoGraphError: autograd recorded nothing that leads to the output.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> b = torch.tensor(4.0, requires_grad=True)
    >>> c = a + b
    >>> [(node.label, node.name) for node in av.graph(c).nodes]
    [('c', 'AddBackward0'), ('a', 'AccumulateGrad'), ('b', 'AccumulateGrad')]
    """
    frame = sys._getframe(1)
    values = None if naming.is_tensor(output) else engine_values(output)
    if values is not None:
        return captured_values(values, frame, names).graph
    outputs = checked_outputs(output, call="graph")
    return capture(outputs, frame, names, params)[0]


def captured_values(
    values: Sequence[Any], frame: FrameType | None, names: Mapping[str, Any] | None
) -> Captured:
    """Return the graph of another engine's values, with the values; names come from `frame`."""
    from autograd_viz.engines import values_graph  # tensors do not need it

    held = partial(naming.held, frame)
    with garbage_collection_paused():
        return values_graph.captured(values, names, naming.variables(frame), held)


def capture(
    outputs: Sequence[Tensor],
    frame: FrameType | None,
    names: Mapping[str, Tensor] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> tuple[Graph, Walk, Sequence[Saved]]:
    """Return the graph of checked outputs; names come from `frame`.

    With it the walk behind it and, of a small graph, what each operation saved.
    """
    with torch.inference_mode(False):  # which has no edge to a leaf, and other copies
        edges = [get_gradient_edge(tensor) for tensor in outputs]
        walk = walk_from([edge.node for edge in edges])
        slots = tuple(Slot(walk.index[edge.node], edge.output_nr) for edge in edges)
        small = len(walk.functions) <= SMALL_GRAPH
        saved = [saved_by(function) for function in walk.functions] if small else []
        labels, values = _labels(walk, saved, naming.collect(frame, names, params))
    nodes, modules = _Nodes(walk, edges, saved, labels), calls.modules_of(params)
    return Graph(nodes, _Edges(walk), slots, values, modules), walk, saved


def checked_outputs(output: object, call: str) -> list[Tensor]:
    """The outputs as a list, or an error that names the remedy."""
    if naming.is_tensor(output):
        outputs: list[Any] = [output]
    elif isinstance(output, Sequence) and not isinstance(output, str):
        outputs = list(output)
        if not outputs:
            raise NoGraphError(
                f"the list of outputs is empty; give at least one tensor: av.{call}([y1, y2])"
            )
    else:
        raise NotATensorError(
            f"av.{call}() wants a tensor or a list of tensors, but was given "
            f"{_article(type(output).__name__)}; give the tensor that the computation returns: "
            f"av.{call}(loss). A value of an engine of your own needs .value, .grad and .inputs"
        )
    for position, tensor in enumerate(outputs):
        which = "the output" if len(outputs) == 1 else f"output {position}"
        if not naming.is_tensor(tensor):
            raise NotATensorError(
                f"{which} is {_article(type(tensor).__name__)}, not a tensor; give the tensors "
                f"that the computation returns: av.{call}([y1, y2])"
            )
        if not tensor.requires_grad:
            raise NoGraphError(f"{which} has no autograd graph: {_why_no_graph(tensor)}")
    return outputs


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _why_no_graph(tensor: Tensor) -> str:
    if tensor.is_inference():
        return (
            "it was made in inference mode, which records nothing; compute it again outside of "
            "`with torch.inference_mode():`"
        )
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return (
            f"its dtype is {tensor.dtype}, and only floating-point and complex tensors have "
            "gradients; compute with floats, as in x.float()"
        )
    return (
        "it does not require grad and has no grad_fn. Either no input requires grad (write "
        "x = torch.tensor(2.0, requires_grad=True)), or it was made under torch.no_grad(), or it "
        "was cut off by .detach() or .data (compute it again without)"
    )


@dataclass(frozen=True)
class Walk:
    """All nodes that the outputs lead to, each once, and PyTorch's own next_functions of each."""

    functions: list[AutogradNode]
    nexts: list[NextFunctions]
    index: dict[AutogradNode, int]

    @cached_property
    def accumulators(self) -> list[int]:
        """Positions of the AccumulateGrad nodes."""
        return [
            position
            for position, following in enumerate(self.nexts)
            if not following and is_accumulator(self.functions[position])
        ]

    @cached_property
    def leaves(self) -> dict[int, Tensor]:
        """The leaf of each AccumulateGrad node, by its position."""
        return {place: self.functions[place].variable for place in self.accumulators}  # type: ignore[attr-defined]


def walk_from(roots: Sequence[AutogradNode]) -> Walk:
    """Walk `next_functions` breadth first, without recursion.

    Garbage collection is paused: each new wrapper counts as an allocation, and the collector's
    passes over the growing graph cost more than the walk.
    """
    functions: list[AutogradNode] = []
    nexts: list[NextFunctions] = []
    index: dict[AutogradNode, int] = {}
    with garbage_collection_paused(), interrupts_held():  # or a deep walk is left unprotected
        for root in roots:
            if index.setdefault(root, len(functions)) == len(functions):
                functions.append(root)
                _extend(functions, nexts, index)
        protect(functions, nexts, index, {index[root] for root in roots})
    return Walk(functions, nexts, index)


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Many new objects set the collector off again and again, over a graph that only grows."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _extend(
    functions: list[AutogradNode], nexts: list[NextFunctions], index: dict[AutogradNode, int]
) -> None:
    count = len(functions)
    for position in range(len(nexts), sys.maxsize):
        if position == count:
            return
        following = functions[position].next_functions
        nexts.append(following)
        for function, _ in following:
            if function is not None and index.setdefault(function, count) == count:
                functions.append(function)
                count += 1


def _labels(
    walk: Walk, saved: Sequence[Saved], named: Iterable[tuple[str, Tensor]]
) -> tuple[dict[Slot, str], dict[Slot, Tensor]]:
    """Which slot has which name, and copies of the small tensors among them."""
    labels: dict[Slot, str] = {}
    tensors: dict[Slot, Tensor] = {}
    leaves = {id(leaf): position for position, leaf in walk.leaves.items()}
    for name, tensor in named:
        if not tensor.requires_grad:
            continue
        try:
            function = tensor.grad_fn
        except RuntimeError:  # a view made under no_grad, whose base was changed in place since
            continue
        position = leaves.get(id(tensor)) if function is None else walk.index.get(function)
        if position is not None:
            slot = Slot(position, tensor.output_nr)
            if slot not in labels:
                labels[slot], tensors[slot] = name, tensor
    for position, leaf in walk.leaves.items():
        tensors.setdefault(Slot(position, 0), leaf)
    for slot, tensor in _recovered(walk, saved):
        tensors.setdefault(slot, tensor)
    with torch.no_grad():
        return labels, {slot: t.clone() for slot, t in tensors.items() if _is_small(t)}


def _is_small(tensor: Tensor) -> bool:
    if tensor.numel() > SMALL or tensor.layout is not torch.strided:
        return False
    return not tensor.is_nested and has_numbers(tensor)


def _shape(meta: Any) -> tuple[int, ...]:
    """The shape of an output; -1 where the tensors of a nested one differ in length."""
    if not meta.is_nested_tensor:
        return tuple(meta.shape)
    if meta.is_cpp_nested_tensor:  # the old layout, which has no shape
        return (-1,)
    return tuple(length if isinstance(length, int) else -1 for length in meta.shape)


def copied(tensor: Tensor) -> Tensor:
    """A copy that shares neither memory nor graph with the tensor."""
    return tensor.detach().clone()


def nodes_of(
    walk: Walk, labels: Mapping[Slot, str], inputs: Mapping[int, InputFacts]
) -> Sequence[Node]:
    """The nodes of a walk, with what is known of their inputs; who asks keeps the outputs."""
    small = len(walk.functions) <= SMALL_GRAPH
    saved = [saved_by(function) for function in walk.functions] if small else []
    return _Nodes(walk, (), saved, labels, inputs)


@dataclass(frozen=True)
class Outline:
    """What folding a graph needs to know of all of its nodes, read without making them."""

    names: list[str]
    ages: list[int]  # PyTorch's sequence number: a later operation has a larger one; -1: a leaf
    labels: dict[int, str]


def outline_of(graph: Graph) -> Outline:
    """The outline of a graph of PyTorch's or of another engine."""
    nodes = graph.nodes
    if isinstance(nodes, _Nodes):
        functions = nodes._walk.functions
        leaves = set(nodes._walk.accumulators)
        ages = [function._sequence_nr() for function in functions]
        for position, age in enumerate(ages):
            if age > _NEVER:  # what is not made by an operation has no number
                ages[position] = -1 if position in leaves else 0
        labels = {node: ", ".join(named.values()) for node, named in nodes._labels.items() if named}
        names = [function.name().rpartition("::")[2] for function in functions]
        return Outline(names, ages, labels)
    before: dict[int, list[int]] = {node.id: [] for node in nodes}
    for edge in graph.edges:
        before[edge.source].append(edge.target)
    ages = [0] * len(nodes)
    for age, position in enumerate(TopologicalSorter(before).static_order()):
        ages[position] = -1 if nodes[position].kind == "accumulate" else age
    labels = {node.id: node.label for node in nodes if node.label}
    return Outline([node.name for node in nodes], ages, labels)


class _Nodes(Sequence[Node]):
    """The nodes of a walk, each made when it is asked for: that costs ten times its walk."""

    def __init__(
        self,
        walk: Walk,
        edges: Sequence[GradientEdge],
        saved: Sequence[Saved],
        labels: Mapping[Slot, str],
        inputs: Mapping[int, InputFacts] | None = None,
    ) -> None:
        self._walk = walk
        self._inputs = inputs or {}
        self._edges = edges  # they keep a custom Function's node alive; its Python object does not
        self._constants = {
            position: _constants(values)  # now: a backward pass frees what they are read from
            for position, values in enumerate(saved)
            if _has_constants(walk.functions[position], walk.nexts[position])
        }
        self._labels: dict[int, dict[int, str]] = defaultdict(dict)
        for slot, label in labels.items():
            self._labels[slot.node][slot.output_nr] = label
        self._made: dict[int, Node] = {}

    def __len__(self) -> int:
        return len(self._walk.functions)

    @overload
    def __getitem__(self, key: int) -> Node: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Node, ...]: ...
    def __getitem__(self, key: int | slice) -> Node | tuple[Node, ...]:
        positions = range(len(self))[key]
        if isinstance(positions, range):
            return tuple(self._node(position) for position in positions)
        return self._node(positions)

    def _node(self, position: int) -> Node:
        node = self._made.get(position)
        if node is None:
            node = self._made[position] = self._new_node(position)
        return node

    def _new_node(self, position: int) -> Node:
        function = self._walk.functions[position]
        following = self._walk.nexts[position]
        labels = self._labels.get(position, {})
        outputs = tuple(
            Output(
                _shape(meta),
                str(meta.dtype).removeprefix("torch."),
                str(meta.device),
                labels.get(slot),
            )
            for slot, meta in enumerate(function._input_metadata)
        )
        constants = self._constants.get(position)
        if constants is None:
            known = _has_constants(function, following)
            constants = _constants(saved_by(function)) if known else {}
        symbols, numbers = self._inputs.get(position, ({}, {}))
        return Node(
            id=position,
            kind="accumulate" if is_accumulator(function) else "function",
            name=function.name().rpartition("::")[2],
            outputs=outputs,
            inputs=len(following),
            constants={**numbers, **constants} if numbers else constants,
            symbols=symbols,
            custom=is_custom(function),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class _Edges(Sequence[Edge]):
    """The edges of a walk, made all at once when the first is asked for."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    @cached_property
    def _edges(self) -> tuple[Edge, ...]:
        index = self._walk.index
        return tuple(
            Edge(source, input_index, index[target], output_nr)
            for source, following in enumerate(self._walk.nexts)
            for input_index, (target, output_nr) in enumerate(following)
            if target is not None
        )

    def __len__(self) -> int:
        return len(self._edges)

    @overload
    def __getitem__(self, key: int) -> Edge: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Edge, ...]: ...
    def __getitem__(self, key: int | slice) -> Edge | tuple[Edge, ...]:
        return self._edges[key]

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._edges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._edges == tuple(other)

    def __hash__(self) -> int:
        return hash(self._edges)

    def __repr__(self) -> str:
        return repr(self._edges)


def is_accumulator(function: AutogradNode) -> bool:
    """Whether it is an AccumulateGrad node, which adds into the `.grad` of its leaf."""
    return function.name() == "torch::autograd::AccumulateGrad"


def is_custom(function: AutogradNode) -> bool:
    """Whether it is the backward of a torch.autograd.Function, which may do anything."""
    return isinstance(function, torch.autograd.function.BackwardCFunction)


@cache
def _saved_attributes(kind: type[AutogradNode]) -> tuple[tuple[str, str, str], ...]:
    """(name, where its value is, where the saved tensor itself is) of all that is saved."""
    names = [name.removeprefix("_saved_") for name in dir(kind) if name.startswith("_saved_")]
    return tuple((name, f"_saved_{name}", f"_raw_saved_{name}") for name in names)


def _has_constants(function: AutogradNode, following: NextFunctions) -> bool:
    """Whether the operation may have saved a number that its expression needs."""
    return (
        len(following) == 1
        or any(target is None for target, _ in following)
        or any(name == "alpha" for name, *_ in _saved_attributes(type(function)))  # a + alpha * b
    )


def _constants(saved: Saved) -> dict[str, float]:
    """Plain numbers that an operation saved, as in `x * 3` or `x ** 2`: {"other": 3.0}."""
    constants: dict[str, float] = {}
    for name, value in saved.items():
        number = value.item() if _is_constant(value) else value
        if type(number) in (int, float, bool):
            constants[name] = number if number == number else math.nan  # the same one: nan != nan
    return constants


def _is_constant(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and _is_small(value)
        and value.numel() == 1
        and not (value.requires_grad or value.is_complex())
    )


def saved_by(function: AutogradNode) -> Saved:
    """What the operation saved, by name, as far as reading it runs no code.

    HOOKED stands for a saved tensor with hooks (checkpointing would run the forward again). What
    was freed by a backward pass or changed in place since is left out.
    """
    saved: dict[str, Any] = {}
    for name, attribute, raw_attribute in _saved_attributes(type(function)):
        try:
            raw = getattr(function, raw_attribute, None)
            if _has_hooks(raw):
                saved[name] = HOOKED
            else:
                saved[name] = getattr(function, attribute)
        except RuntimeError:
            continue
    return saved


def _has_hooks(raw: Any) -> bool:
    if isinstance(raw, tuple):
        return any(map(_has_hooks, raw))
    return raw is not None and getattr(raw, "unpack_hook", HOOKED) is not None


def _recovered(walk: Walk, saved: Sequence[Saved]) -> Iterator[tuple[Slot, Tensor]]:
    """Forward values that have no name but were saved for the backward pass."""
    for position, values in enumerate(saved):
        following = walk.nexts[position]
        operands = ("self", "other") if len(following) == 2 else ("self",)
        for name, value in values.items():
            if not (naming.is_tensor(value) and _is_small(value)):
                continue
            if name == "result":
                slot = Slot(position, 0)
            elif name in operands and len(following) <= 2:
                target, output_nr = following[operands.index(name)]
                if target is None:
                    continue
                slot = Slot(walk.index[target], output_nr)
            else:
                continue
            metas = walk.functions[slot.node]._input_metadata
            if len(metas) > slot.output_nr and _shape(metas[slot.output_nr]) == value.shape:
                yield slot, value
