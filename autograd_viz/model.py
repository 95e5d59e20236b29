"""The data: a graph as autograd recorded it, a backward pass as it ran, both by variable.

Plain frozen data with no torch in it; `capture`, `backward` and `transforms` fill it, the views
read it. The words are PyTorch's (`torch.autograd.graph`): node, next_functions, grad_inputs,
grad_outputs, leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import graphviz
    from torch import Tensor

    from autograd_viz.networks.calls import Modules
    from autograd_viz.networks.flow import GradientFlow
    from autograd_viz.networks.folding import Folded
    from autograd_viz.picture import Drawing, Formula, Style
    from autograd_viz.programs.forward import Program


class Shown:
    """Shows itself as a picture: in a notebook, in a terminal, in a file.

    The one place where data reaches up to the drawing, and only when it is displayed.
    """

    drawing_options: ClassVar[tuple[str, ...]] = ()  # that `drawn` knows

    def drawn(self, style: Style, **options: Any) -> Drawing:
        """Draw it in a style; what is not a Graph, a Trace or Variables says here how."""
        raise TypeError(f"there is no picture of a {type(self).__name__}")

    def picture(self, **options: Any) -> Drawing:
        """The picture of this object; `autograd_viz.show.picture` lists the options."""
        from autograd_viz import show

        return show.picture(self, **options)

    def save(self, path: str | Path, /, **options: Any) -> Path:
        """Write the picture to `path`; its ending (.svg, .pdf, .png, .gif) says in which format.

        The frames of `frame="all"` become pages of a PDF, a moving GIF, or files of a folder.
        """
        from autograd_viz import show

        return show.save(self.picture(**options), path)

    def __str__(self) -> str:
        return self.picture().words

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from autograd_viz import show

        return show.mimebundle(self.picture())


class Output(NamedTuple):
    """One output of a node's forward operation; the gradient that arrives for it has its shape."""

    shape: tuple[int, ...]
    dtype: str  # "float32"
    device: str  # "cpu"
    label: str | None = None  # the name under which the reader knows it


@dataclass(frozen=True, slots=True)
class Node:
    """A gradient function, or the place where a leaf's gradient accumulates."""

    id: int  # position in the walk from the output, breadth first; 0 is the root
    kind: Literal["function", "accumulate"]
    name: str  # PyTorch's: "MulBackward0", "AccumulateGrad"; another engine's own: "*", "leaf"
    outputs: tuple[Output, ...]  # of the forward operation, one a slot
    inputs: int = 0  # of the forward operation, those that need no gradient included
    constants: Mapping[str, float] = field(
        default_factory=dict, hash=False
    )  # numbers the operation saved
    symbols: Mapping[str, str] = field(
        default_factory=dict, hash=False
    )  # the reader's names for inputs and numbers that are constants: {"other": "x"}
    custom: bool = False  # the backward of a torch.autograd.Function
    rule: str = ""  # of another engine's operation: PyTorch's name for the same, "MulBackward0"

    @property
    def function(self) -> str:
        """PyTorch's name, by which the text and the formula of the operation are known."""
        return self.rule or self.name

    @property
    def label(self) -> str | None:
        """The reader's name for what the node computes; several outputs are joined by commas."""
        return ", ".join(output.label for output in self.outputs if output.label) or None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the first output, None where PyTorch keeps none."""
        return self.outputs[0].shape if self.outputs else None

    @property
    def dtype(self) -> str | None:
        """Data type of the first output, as in `"float32"`."""
        return self.outputs[0].dtype if self.outputs else None

    @property
    def device(self) -> str | None:
        """Device of the first output, as in `"cpu"`."""
        return self.outputs[0].device if self.outputs else None


class Edge(NamedTuple):
    """Where a gradient goes.

    `grad_inputs[input_index]` of the source's step arrives at `grad_outputs[output_nr]` of the
    target's.
    """

    source: int
    input_index: int
    target: int
    output_nr: int


class Slot(NamedTuple):
    """One output of one node: what a tensor's (grad_fn, output_nr) is in PyTorch."""

    node: int
    output_nr: int


@dataclass(frozen=True, repr=False)
class Graph(Shown):
    """The autograd graph of one or several outputs.

    It keeps the nodes of PyTorch alive, as the output tensor itself does.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> graph = av.graph(a * a)
    >>> [node.name for node in graph.nodes]
    ['MulBackward0', 'AccumulateGrad']
    >>> graph.edges  # both factors are a: two edges
    (Edge(source=0, input_index=0, target=1, output_nr=0),
     Edge(source=0, input_index=1, target=1, output_nr=0))
    """

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    outputs: tuple[Slot, ...]  # where the walk began, one a given tensor
    values: Mapping[Slot, Tensor] = field(
        compare=False
    )  # copies, of the named tensors and of the leaves
    modules: Modules | None = field(default=None, compare=False)  # by which it can be folded
    changed: frozenset[Slot] = frozenset()  # tensors changed in place after they took part
    doubts: tuple[str, ...] = ()  # what is said of values that do not follow from one another
    given: Mapping[tuple[int, int], Tensor] = field(
        default_factory=dict, compare=False
    )  # small constants of another engine's operations: (node, which of its inputs)

    def __repr__(self) -> str:
        return f"<Graph of {len(self.nodes):,} nodes>"

    @property
    def root(self) -> Node:
        """The node of the (first) output."""
        return self.nodes[self.outputs[0].node]

    @property
    def engine(self) -> str:
        """Whose gradients they are, in words: "autograd", or "your engine"."""
        foreign = any(leaf.name != "AccumulateGrad" for leaf in self.leaves[:1])
        return "your engine" if foreign else "autograd"

    @cached_property
    def leaves(self) -> tuple[Node, ...]:
        """The nodes that add into a leaf's `.grad`, in the order of the walk."""
        ends = [self.nodes[place] for place, edges in enumerate(self.out_edges) if not edges]
        return tuple(node for node in ends if node.kind == "accumulate")

    @cached_property
    def out_edges(self) -> tuple[tuple[Edge, ...], ...]:
        """For each node the edges that its grad_inputs leave by."""
        return _grouped(self.edges, len(self.nodes), by=0)

    @cached_property
    def in_edges(self) -> tuple[tuple[Edge, ...], ...]:
        """For each node the edges by which its grad_outputs arrive."""
        return _grouped(self.edges, len(self.nodes), by=2)

    def variables(self, open: str | Iterable[str] = ()) -> Variables:
        """The same computation at variable level: one oval a named variable.

        `open` names the variables whose inner operations are shown one by one.
        """
        from autograd_viz import transforms

        return transforms.by_variable(self, open=open)

    def fold(self, open: str | Iterable[str] = ()) -> Folded:
        """The same graph with its functions in groups: by module, by repetition, by name.

        `open` names groups to open, beside those that fit.
        """
        from autograd_viz.networks import folding

        return folding.folded(self, None, open)

    @property
    def dot(self) -> graphviz.Digraph:
        """The graph as a `graphviz.Digraph`, for a styling of your own."""
        from autograd_viz import dot

        return dot.digraph(self)


@dataclass(frozen=True, eq=False)
class Step:
    """One node's run in a backward pass. Tensors are copies; None is PyTorch's "no gradient".

    Where the pass had no room for a tensor, an `autograd_viz.summaries.Summarised` stands for it.
    """

    node: int
    grad_outputs: tuple[Tensor | None, ...]  # what arrived, after the hooks on its way
    grad_inputs: tuple[Tensor | None, ...]  # the vector-Jacobian products that left; () for a leaf
    leaf: Tensor | None = None  # the tensor itself, for an AccumulateGrad node
    contributions: tuple[
        Tensor, ...
    ] = ()  # for a leaf: what each edge brought, in order of arrival


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Shown):
    """One real backward pass, in the order in which the engine ran it.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> trace = av.trace(a * a)
    >>> [(trace.graph.nodes[step.node].name, step.grad_outputs) for step in trace.steps]
    [('MulBackward0', (tensor(1.),)), ('AccumulateGrad', (tensor(4.),))]
    >>> trace.steps[1].contributions
    (tensor(2.), tensor(2.))
    """

    graph: Graph
    steps: Sequence[Step]
    leaf_grads: tuple[tuple[Tensor, Tensor | None], ...]  # (leaf, its gradient); None: not reached
    starts: tuple[Tensor, ...]  # the gradient that each output began with
    local: Mapping[Edge, float]  # local derivative along an edge, where both ends are scalars
    notes: tuple[str, ...] = ()  # what struck in the pass, in sentences
    # Of nodes that have hooks: the grad_inputs before these could change them.
    computed_by: Mapping[int, tuple[Tensor | None, ...]] = field(default_factory=dict)
    program: Program | None = None  # that was run; None: the graph alone is known

    def __repr__(self) -> str:
        return f"<Trace of {len(self.steps):,} steps>"

    @cached_property
    def step_of(self) -> Mapping[int, int]:
        """Node id -> position of its step; a node that is missing was not reached."""
        return {step.node: position for position, step in enumerate(self.steps)}

    def sent(self, edge: Edge) -> Tensor | None:
        """What went along an edge: None if nothing did, or PyTorch's None."""
        position = self.step_of.get(edge.source)
        return None if position is None else self.steps[position].grad_inputs[edge.input_index]

    def arrived(self, slot: Slot) -> Tensor | None:
        """The gradient at a node's output, after the hooks on its way; None if none arrived."""
        position = self.step_of.get(slot.node)
        return None if position is None else self.steps[position].grad_outputs[slot.output_nr]

    def computed(self, edge: Edge) -> Tensor | None:
        """What its source computed for an edge, before hooks on the source could change it."""
        position = self.step_of.get(edge.source)
        if position is None:
            return None
        return self.computed_by.get(edge.source, self.steps[position].grad_inputs)[edge.input_index]

    def after_hooks(self, place: Slot | Edge) -> Tensor | None:
        """What arrived at a node's output, or what went along an edge, whatever hooks did."""
        return self.sent(place) if isinstance(place, Edge) else self.arrived(place)

    def before_hooks(self, place: Slot | Edge) -> Tensor | None:
        """What `after_hooks` would be, if a hook made something else of it; else None."""
        after = self.after_hooks(place)
        if isinstance(place, Edge):
            if place.source not in self.computed_by:
                return None
            sent = [value for value in (self.computed(place),) if value is not None]
        else:
            sent = self._sent_to(place)
        if after is None or after.is_meta or after.is_nested or not sent:
            return None
        if len(sent) == 1 and sent[0] is after:
            return None
        before = summed(sent)
        try:
            same = before.to_dense().allclose(after.to_dense(), rtol=0, atol=0, equal_nan=True)
        except RuntimeError:  # a fake or a distributed tensor does not say
            return None
        return None if same else before

    def _sent_to(self, slot: Slot) -> list[Tensor]:
        """What was sent to a node's output, in the order of the engine.

        Without a hook its sum is what arrived, to the last bit.
        """
        sent = [
            start
            for start, output in zip(self.starts, self.graph.outputs, strict=True)
            if output == slot
        ]
        for edge in sorted(
            self.graph.in_edges[slot.node], key=lambda edge: self.step_of.get(edge.source, -1)
        ):
            value = self.sent(edge)
            if value is not None and edge.output_nr == slot.output_nr:
                sent.append(value)
        return sent

    def variables(self, open: str | Iterable[str] = ()) -> Variables:
        """The same backward pass at variable level: one oval a named variable.

        `open` names the variables whose inner operations are shown one by one.
        """
        from autograd_viz import transforms

        if self.program is not None:
            return self.program._variables(open, self)
        return transforms.by_variable(self.graph, self, open=open)

    def fold(self, open: str | Iterable[str] = ()) -> Folded:
        """The same backward pass with its functions in groups: by module, by repetition, by name.

        `open` names groups to open, beside those that fit.
        """
        from autograd_viz.networks import folding

        return folding.folded(self.graph, self, open)

    def gradient_flow(self) -> GradientFlow:
        """How large each parameter's gradient is, in the order of the forward pass.

        It shows itself as a plot of the norms by depth, with what is None, zero, NaN or infinite in
        rows of their own. The parameters are those of `params`, frozen ones included; of a trace
        without `params` all leaves. A gradient's numbers are looked at part by part, in 4 MB; below
        the last bit of its largest one they are rounding, and count as zeros.

        >>> import torch, autograd_viz as av
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1, bias=False))
        >>> _ = model[0].bias.requires_grad_(False)
        >>> for weight in model.parameters():
        ...     _ = torch.nn.init.ones_(weight)
        >>> print(av.trace(model(torch.ones(4, 2)).sum(), params=model).gradient_flow())
        Gradients of the output by 3 parameters
        1 of 3 None, frozen (requires_grad is False): 0.bias.
        parameter  shape     norm           min  max  zeros  |g| by powers of ten
        0.weight   3 × 2     9.7980         4    4    0%     1e+00 █ 1e+00
        0.bias     3 values  None (frozen)
        1.weight   1 × 3     20.7846        12   12   0%     1e+01 █ 1e+01
        """
        from autograd_viz.networks import flow

        return flow.gradient_flow(self)


class Link(NamedTuple):
    """How one variable enters another: all paths between the two that meet no third variable."""

    source: int  # the variable computed; where the gradient comes from
    target: int  # the variable it is computed from; where the gradient goes to
    arrivals: tuple[Edge, ...]  # the graph's edges that end in the target; () to a constant
    local: float | None  # the local derivative, d source / d target; None if not a known scalar
    contribution: Tensor | None  # what the source contributes to the target's gradient


@dataclass(frozen=True, slots=True)
class Variable:
    """A value of the computation that has a name, or that several others are made from."""

    id: int  # position in Variables.nodes
    node: int | None  # the graph's node that computes it or accumulates its gradient; None: outside
    name: str | None  # the reader's, None for an unnamed intermediate
    expression: str  # "log2(a) * log2(b)"; equal to the name for a leaf
    kind: Literal["leaf", "result", "constant", "unused"]  # "unused": the output does not need it
    members: tuple[int, ...]  # ids of the graph's nodes that compute it, its own first
    value: Tensor | None = None  # of a variable outside of the graph
    line: int | None = None  # of the program's source, where one was read

    @property
    def title(self) -> str:
        """The name, or else the expression."""
        return self.name or self.expression

    @property
    def is_leaf(self) -> bool:
        """Whether a gradient accumulates in it."""
        return self.kind == "leaf"


@dataclass(frozen=True, eq=False, repr=False)
class Variables(Shown):
    """A computation at variable level; shows as the backward pass if one was recorded.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> d = torch.log2(a) * 3
    >>> [(variable.name, variable.expression) for variable in av.graph(d).variables().nodes]
    [('a', 'a'), ('d', 'log2(a) * 3')]
    """

    graph: Graph
    trace: Trace | None
    nodes: tuple[Variable, ...]  # in an order of computation
    links: tuple[Link, ...]
    opened: tuple[str, ...] = ()  # variables whose inner operations are shown
    focus: str | None = None  # the variable of which alone the details are shown
    program: Program | None = None  # that was run; None: the graph alone is known

    def __repr__(self) -> str:
        return f"<{len(self.nodes):,} Variables>"

    @property
    def root(self) -> Variable:
        """The variable of the (first) output."""
        node = self.graph.outputs[0].node if self.graph.outputs else None
        return next((variable for variable in self.nodes if variable.node == node), self.nodes[-1])

    def outputs(self, variable: Variable) -> tuple[Output, ...]:
        """Shapes and names of what a variable holds: several where its operation has several."""
        if variable.node is not None:
            return self.graph.nodes[variable.node].outputs
        value = variable.value
        if value is None:
            return ()
        dtype = str(value.dtype).removeprefix("torch.")
        return (Output(tuple(value.shape), dtype, str(value.device), variable.name),)

    def values(self, variable: Variable) -> tuple[Tensor | None, ...]:
        """The values of a variable, one an output; None where none was kept."""
        if variable.node is None:
            return (variable.value,)
        slots = range(len(self.graph.nodes[variable.node].outputs))
        return tuple(self.graph.values.get(Slot(variable.node, slot)) for slot in slots) or (None,)

    def open(self, *names: str) -> Variables:
        """Show the operations inside these variables one by one, as variables without a name."""
        return self.whole(open=(*self.opened, *names))

    def whole(self, open: str | Iterable[str] = ()) -> Variables:
        """All variables of the same computation, with only those open that are named here."""
        return (self.program or self.trace or self.graph).variables(open=open)

    def details(self, name: str) -> Variables:
        """Only the operations inside one variable, down to what it is made from."""
        from autograd_viz import transforms

        return transforms.details(self, name)

    def local_derivatives(self) -> tuple[Formula, ...]:
        """The local derivative of each link as a formula (from a trace), where there is one.

        >>> import torch, autograd_viz as av
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> d = torch.log2(a) * 3
        >>> print(*av.trace(d).variables().local_derivatives())
        ∂d/∂a = 3/(a ln 2) = 2.1640
        """
        from autograd_viz.formulas import calculus

        found = (calculus.local_derivative(self, link) for link in self.links)
        return tuple(formula for formula in found if formula is not None)

    def chain_rule(self) -> tuple[Formula, ...]:
        """The chain rule of each link (from a trace), in the order of the backward pass.

        >>> import torch, autograd_viz as av
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> d = a * a
        >>> loss = d * 3
        >>> for line in av.trace(loss).variables().chain_rule():
        ...     print(line)
        ∂loss/∂d = ∂loss/∂loss * ∂loss/∂d = 1 * 3 = 3
        ∂loss/∂a = ∂loss/∂d * ∂d/∂a = 3 * 4 = 12
        """
        from autograd_viz.formulas import calculus

        return tuple(formula for _, formula in calculus.chain_rules(self))

    def computation(self, **options: Any) -> Drawing:
        """Forward: each variable's expression over its value. `frame` counts from 1."""
        return self.picture(view="computation", **options)

    def derivatives(self, **options: Any) -> Drawing:
        """Forward, with the local derivative on each edge (from a trace)."""
        return self.picture(view="derivatives", **options)

    def backward(self, **options: Any) -> Drawing:
        """Backward (from a trace): the arriving gradient under each rule. `frame` counts from 1."""
        return self.picture(view="backward", **options)


def summed(values: Sequence[Tensor]) -> Tensor:
    """The sum from left to right, as the engine adds: what is sparse comes second.

    Where the numbers of one are not known, those of the sum are not.
    """
    if any(value.is_meta for value in values):
        return values[0].to("meta")
    total = values[0]
    for value in values[1:]:
        total = value + total if total.is_sparse and not value.is_sparse else total + value
    return total


def _grouped(edges: Iterable[Edge], count: int, by: int) -> tuple[tuple[Edge, ...], ...]:
    groups: list[list[Edge]] = [[] for _ in range(count)]
    for edge in edges:
        groups[edge[by]].append(edge)
    return tuple(map(tuple, groups))
