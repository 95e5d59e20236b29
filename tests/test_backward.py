"""Backward passes as recorded, against what PyTorch's engine itself says and does."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.graph import allow_mutation_on_saved_tensors, get_gradient_edge
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import autograd_viz as av
from autograd_viz.model import Edge, Slot, Trace
from autograd_viz.steps import SCALAR_NODES
from tests.examples import examples

traced: Any = av.trace  # of any type, so that recorded tensors compare with plain numbers


def leaf(value: object = 2.0, **options) -> Any:
    return torch.tensor(value, requires_grad=True, **options)


def named(trace: Trace, name: str) -> Any:
    """The step of the node with this label or, if only one has it, this name."""
    nodes = [node for node in trace.graph.nodes if name in (node.label, node.name)]
    (node,) = nodes
    return trace.steps[trace.step_of[node.id]]


def local(trace: Trace, source: str) -> list[float | None]:
    node = named(trace, source).node
    return [trace.local.get(edge) for edge in trace.graph.out_edges[node]]


def equal(first: Tensor | None, second: Tensor | None) -> bool:
    """Bit for bit, NaN equal to NaN, None only to None."""
    if first is None or second is None:
        return first is second
    if first.layout != torch.strided:
        first, second = first.to_dense(), second.to_dense()
    return first.dtype == second.dtype and torch.equal(
        first.resolve_conj().resolve_neg().nan_to_num(),
        second.resolve_conj().resolve_neg().nan_to_num(),
    )


def values(trace: Trace) -> list[object]:
    """Everything recorded, in lists of numbers that compare."""

    def numbers(tensors: Sequence[Tensor | None]) -> list[object]:
        return [None if tensor is None else tensor.tolist() for tensor in tensors]

    return [
        (
            step.node,
            numbers(step.grad_outputs),
            numbers(step.grad_inputs),
            numbers(step.contributions),
        )
        for step in trace.steps
    ] + [numbers([grad for _, grad in trace.leaf_grads]), numbers(trace.starts), trace.local]


def walked(output: Tensor) -> list[torch.autograd.graph.Node]:
    nodes = [get_gradient_edge(output).node]
    for node in nodes:
        nodes += dict.fromkeys(
            n for n, _ in node.next_functions if n is not None and n not in nodes
        )
    return nodes


def observed_order(output: Tensor, grad: Tensor | None = None) -> list[int]:
    """The order in which a real backward() runs the nodes of one output, by position in a walk."""
    order: list[int] = []
    handles = []
    for position, node in enumerate(walked(output)):
        handles.append(
            node.register_prehook(lambda grads, position=position: order.append(position))
        )
    leaves = [node.variable for node in walked(output) if hasattr(node, "variable")]
    kept = [leaf.grad for leaf in leaves]
    output.backward(grad, retain_graph=True)
    for handle in handles:
        handle.remove()
    for tensor, grad_before in zip(leaves, kept, strict=True):
        tensor.grad = grad_before
    return order


def check_chain_rule(trace: Trace) -> None:
    """What a trace must fulfil, whatever the computation."""
    graph, position = trace.graph, trace.step_of
    assert len(position) == len(trace.steps)  # each node at most once
    for edge in graph.edges:
        if trace.sent(edge) is not None:
            assert position[edge.source] < position[edge.target]
    for step in trace.steps:
        for output_nr, arrived in enumerate(step.grad_outputs):
            slot = Slot(step.node, output_nr)
            sent = [
                start
                for start, output in zip(trace.starts, graph.outputs, strict=True)
                if output == slot
            ]
            producers = [edge for edge in graph.in_edges[step.node] if edge.output_nr == output_nr]
            producers.sort(key=lambda edge: position.get(edge.source, math.inf))
            sent += [value for value in map(trace.sent, producers) if value is not None]
            if not sent:
                assert arrived is None
                continue
            assert arrived is not None
            assert equal(arrived, sum(sent[1:], start=sent[0]))  # in the engine's order
            assert trace.before_hooks(slot) is None
    for node in graph.leaves:
        if node.id in position:
            step = trace.steps[position[node.id]]
            (arrived,) = step.grad_outputs
            assert equal(arrived, sum(step.contributions[1:], start=step.contributions[0]))
            assert step.grad_inputs == ()


def check_against_torch(
    outputs: Sequence[Tensor], leaves: Sequence[Tensor], starts: Sequence[Tensor]
) -> Trace:
    wanted = torch.autograd.grad(outputs, leaves, starts, retain_graph=True, allow_unused=True)
    trace = traced(outputs, starts)
    found = {id(tensor): grad for tensor, grad in trace.leaf_grads}
    for tensor, grad in zip(leaves, wanted, strict=True):
        assert equal(found.get(id(tensor)), grad)
        assert tensor.grad is None
    check_chain_rule(trace)
    return trace


class Doubled(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        Doubled.calls += 1
        return grad * 2


class ChangesInPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 10

    @staticmethod
    def backward(ctx, grad):
        return grad.mul_(10)


class ReturnsSaved(torch.autograd.Function):
    """x * w for a w that needs no gradient; with 1 arriving, w itself is the gradient."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(w)
        return x * w

    @staticmethod
    def backward(ctx, grad):
        (w,) = ctx.saved_tensors
        return w, None


class Raises(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise ZeroDivisionError("in the user's backward")


class SendsNone(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return x + y

    @staticmethod
    def backward(ctx, grad):
        return None, grad


# the lecture


def main_example() -> tuple[Any, Any, Any]:
    a, b = leaf(2.0), leaf(4.0)
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    return a, b, c * d


def test_the_lectures_main_example():
    a, b, e = main_example()
    trace = traced(e)
    first = trace.steps[0]
    assert (first.node, first.grad_outputs, first.grad_inputs) == (0, (1,), (2, 6))
    grads = {tensor: grad for tensor, grad in trace.leaf_grads if grad is not None}
    assert grads[a].item() == pytest.approx(10.6562, abs=5e-5)
    assert grads[b].item() == pytest.approx(4.1640, abs=5e-5)
    steps = {id(step.leaf): step for step in trace.steps if step.leaf is not None}
    assert [round(value.item(), 4) for value in steps[id(a)].contributions] == [8.6562, 2.0]
    assert [round(value.item(), 4) for value in steps[id(b)].contributions] == [2.1640, 2.0]
    assert trace.local[Edge(0, 0, 1, 0)] == 2  # d e / d c = d
    check_chain_rule(trace)


def test_a_trace_of_a_leaf():
    a = leaf()
    trace = traced(a)
    (step,) = trace.steps
    assert (step.grad_outputs, step.grad_inputs, step.contributions) == ((1,), (), (1,))
    assert step.leaf is a
    assert trace.leaf_grads == ((a, torch.tensor(1.0)),)
    assert a.grad is None


# the engine's order


def orders() -> dict[str, Callable[[], Tensor]]:
    def recurrent() -> Tensor:
        w, h = leaf(0.5), leaf(1.0)
        for _ in range(5):
            h = torch.tanh(w * h) + w
        return h

    def late_branch() -> Tensor:
        a, b = leaf(), leaf(3.0)
        early = a * b
        late = a.exp() + b
        return late * early.sin() + early

    def network() -> Tensor:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        return model(torch.randn(5, 3)).logsumexp(1).mean()

    def several_outputs() -> Tensor:
        p, q, r = torch.eye(3).requires_grad_().unbind()
        return (p * q).sum() + Doubled.apply(r).sum()

    return {
        "main example": lambda: main_example()[2],
        "recurrent": recurrent,
        "late branch": late_branch,
        "network": network,
        "several outputs": several_outputs,
    }


@pytest.mark.parametrize("name", orders())
def test_steps_are_in_the_engines_real_order(name):
    y = orders()[name]()
    order = observed_order(y)
    trace = traced(y)
    assert [step.node for step in trace.steps] == order
    assert {step.node for step in trace.steps if step.leaf is not None} == {
        node.id for node in trace.graph.leaves
    }


# programs made by Hypothesis

UNARY: list[Callable[[Tensor], Tensor]] = [
    torch.sin,
    torch.tanh,
    torch.exp,
    torch.sigmoid,
    torch.square,
    torch.relu,
    torch.neg,
    lambda x: x * 3,
    lambda x: 2 / (x + 3),
    lambda x: x**2,
    lambda x: x.log(),  # NaN where negative
    lambda x: x.sqrt(),
    Doubled.apply,
    lambda x: x.clone().mul_(2),
]
BINARY: list[Callable[[Tensor, Tensor], Tensor]] = [
    torch.add,
    torch.sub,
    torch.mul,
    torch.maximum,
    torch.atan2,
    lambda x, y: torch.where(x > y, x, y * 2),
    lambda x, y: torch.stack(torch.broadcast_tensors(x, y))[1] * x,
]
SHAPED: list[Callable[[Tensor], Tensor]] = [  # to the same shape, or to a scalar
    torch.sum,
    torch.mean,
    lambda x: x.reshape(-1).reshape(x.shape),
    lambda x: x.flatten().flip(0).reshape(x.shape),
    lambda x: x.flatten().softmax(0).reshape(x.shape),
    lambda x: x.flatten()[0],
    lambda x: x.flatten().cumsum(0).reshape(x.shape),
    lambda x: x.expand(2, *x.shape).sum(0),
    lambda x: torch.stack([x, x]).unbind()[1],
    lambda x: torch.cat([part * 2 for part in x.flatten().split(2)]).reshape(x.shape),
    lambda x: x.flatten().sort()[0].reshape(x.shape),
]


@st.composite
def programs(draw) -> tuple[list[Tensor], list[Tensor]]:
    """Some outputs, and the leaves that they may be made from."""
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    shape = draw(st.sampled_from([(), (3,), (2, 2)]))
    torch.manual_seed(draw(st.integers(0, 1000)))
    leaves = [
        torch.randn(size, dtype=dtype).requires_grad_()
        for size in draw(st.lists(st.sampled_from([shape, ()]), min_size=1, max_size=4))
    ]
    tensors = [*leaves]
    for _ in range(draw(st.integers(1, 10))):
        kind = draw(st.sampled_from(["unary", "binary", "shaped"]))
        x = tensors[draw(st.integers(0, len(tensors) - 1))]
        if kind == "binary":
            y = tensors[draw(st.integers(0, len(tensors) - 1))]
            tensors.append(draw(st.sampled_from(BINARY))(x, y))
        else:
            tensors.append(draw(st.sampled_from(UNARY if kind == "unary" else SHAPED))(x))
    outputs = draw(st.lists(st.sampled_from(tensors[len(leaves) :]), min_size=1, max_size=3))
    return outputs, leaves


@examples(150)
@given(programs())
def test_programs_have_the_gradients_of_torch_bit_for_bit(program):
    outputs, leaves = program
    starts = [torch.randn_like(output).detach() for output in outputs]
    trace = check_against_torch(outputs, leaves, starts)
    assert values(traced(outputs, starts)).__repr__() == values(trace).__repr__()
    assert trace.graph == av.graph(outputs)


@examples(50)
@given(programs())
def test_programs_run_in_the_engines_order(program):
    (output, *_), _ = program
    start = torch.randn_like(output).detach()
    order = observed_order(output, start)
    assert [step.node for step in traced(output, start).steps] == order


@examples(50)
@given(programs())
def test_local_derivatives_agree_with_the_recorded_pass(program):
    (output, *_), _ = program
    trace = traced(output, torch.ones_like(output).detach())
    for edge, derivative in trace.local.items():
        sent, arrived = trace.sent(edge), trace.arrived(Slot(edge.source, 0))
        assert sent is not None
        assert arrived is not None
        expected = derivative * arrived.item()
        if 1e-6 < abs(arrived.item()) < 1e6 and abs(expected) < 1e30:  # else digits are lost
            assert sent.item() == pytest.approx(expected, rel=1e-4, abs=1e-30)


# PyTorch's operators

Operator = Callable[..., Tensor | Sequence[Tensor]]


def operators(module: ModuleType, spaced: str) -> dict[str, Operator]:
    return {name: getattr(module, name) for name in spaced.split()}


OF_ONE: dict[str, Operator] = operators(
    torch,
    """abs acos acosh angle asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp
    exp2 expm1 floor frac i0 lgamma log log10 log1p log2 logit neg reciprocal round rsqrt sigmoid
    sign sin sinc sinh sqrt square tan tanh trunc""",
) | operators(
    F,
    """celu elu gelu hardshrink hardsigmoid hardswish leaky_relu logsigmoid mish normalize relu6
    selu silu softplus softshrink softsign tanhshrink""",
)
OF_TWO: dict[str, Operator] = operators(
    torch,
    """add atan2 copysign div dist fmax fmin fmod hypot logaddexp logaddexp2 maximum minimum mul
    remainder sub xlogy""",
) | {
    "matmul": torch.matmul,
    "bmm": lambda x, y: torch.bmm(x[None], y[None]),
    "addmm": lambda x, y: torch.addmm(x, x, y, alpha=2),
    "einsum": lambda x, y: torch.einsum("ij,jk->ik", x, y),
    "kron": torch.kron,
    "lerp": lambda x, y: torch.lerp(x, y, 0.3),
    "mse_loss": F.mse_loss,
    "huber_loss": F.huber_loss,
    "linear": F.linear,
    "cosine_similarity": F.cosine_similarity,
    "cdist": torch.cdist,
    "where": lambda x, y: torch.where(x > 0.5, x, y),
    "attention": lambda x, y: F.scaled_dot_product_attention(x[None], y[None], x[None]),
    "conv1d": lambda x, y: F.conv1d(x[None], y[None]),
    "index_put": lambda x, y: x.index_put((torch.tensor([0]),), y[1]),
    "scatter_add": lambda x, y: x.scatter_add(0, torch.tensor([[0, 1, 1]]), y[:1]),
    "cat": lambda x, y: torch.cat([x, y, x]),
    "solve": lambda x, y: torch.linalg.solve(x + 3 * torch.eye(3), y),
}
OF_ONE |= {
    "amax": lambda x: x.amax(0),
    "as_strided": lambda x: x.as_strided((2, 2), (1, 2)),
    "avg_pool": lambda x: F.avg_pool1d(x, 2),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "cholesky": lambda x: torch.linalg.cholesky(x @ x.T + torch.eye(3)),
    "chunk": lambda x: x.chunk(2),
    "complex": lambda x: torch.fft.rfft(x).abs(),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.tensor([0, 2, 1])),
    "cumprod": lambda x: x.cumprod(0),
    "det": lambda x: torch.det(x),
    "diagonal": lambda x: x.diagonal(),
    "dropout": lambda x: F.dropout(x, 0.5),
    "eigh": lambda x: torch.linalg.eigh(x + x.T)[0],
    "embedding": lambda x: F.embedding(torch.tensor([1, 1, 0]), x),
    "gather": lambda x: x.gather(0, torch.tensor([[0, 1, 1]])),
    "in place": lambda x: x.clone().fill_diagonal_(0).mul_(2),
    "index": lambda x: x[torch.tensor([0, 0, 1])],
    "inverse": lambda x: torch.linalg.inv(x + 3 * torch.eye(3)),
    "kthvalue": lambda x: x.kthvalue(2, 0)[0],
    "layer_norm": lambda x: F.layer_norm(x, (3,)),
    "log_softmax": lambda x: x.log_softmax(1),
    "logcumsumexp": lambda x: x.logcumsumexp(0),
    "masked_fill": lambda x: x.masked_fill(x > 0.5, 0.0),
    "max": lambda x: x.max(0)[0],
    "max_pool": lambda x: F.max_pool1d(x, 2),
    "median": lambda x: x.median(),
    "norm": lambda x: x.norm(),
    "pad": lambda x: F.pad(x, (1, 1), mode="replicate"),
    "permute": lambda x: x.permute(1, 0),
    "prod": lambda x: x.prod(),
    "qr": lambda x: tuple(torch.linalg.qr(x)),
    "repeat": lambda x: x.repeat(2, 2),
    "roll": lambda x: x.roll(1),
    "slice": lambda x: x[::2, 1:],
    "std": lambda x: x.std(0),
    "svd": lambda x: torch.linalg.svdvals(x),
    "topk": lambda x: x.topk(2)[0],
    "tril": lambda x: x.tril(),
    "unbind": lambda x: x.unbind(),
    "unfold": lambda x: x.unfold(0, 2, 1),
    "view in place": lambda x: _row_changed(x.clone()),
}


def _row_changed(x: Tensor) -> Tensor:
    x[0].mul_(5)
    return x


@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO])
def test_operators_have_the_gradients_of_torch_bit_for_bit(name):
    torch.manual_seed(1)
    x = torch.rand(3, 3).mul(0.8).add(0.1).requires_grad_()
    y = torch.rand(3, 3).mul(0.8).add(0.1).requires_grad_()
    result = OF_TWO[name](x, y) if name in OF_TWO else OF_ONE[name](x)
    outputs = [result] if isinstance(result, Tensor) else list(result)
    check_against_torch(outputs, [x, y], [torch.randn_like(output) for output in outputs])


# the user's state


def test_grad_stays_as_it_was():
    a, b, e = main_example()
    b.grad = kept = torch.tensor(7.0)
    traced(e)
    assert a.grad is None
    assert b.grad is kept
    assert kept.item() == 7


def test_the_graph_stays_usable():
    a, b, e = main_example()
    assert values(traced(e)) == values(traced(e))
    e.backward()
    assert [round(x.grad.item(), 4) for x in (a, b)] == [10.6562, 4.1640]


def no_hook_left(output: Tensor) -> bool:
    """Whether no hook is registered on any node or leaf."""
    empty = True
    for node in walked(output):
        if hasattr(node, "variable"):
            empty &= not node.variable._backward_hooks
            continue
        # The dictionary of a new hook is the node's, with all its hooks.
        for register in (node.register_hook, node.register_prehook):
            handle: Any = register(lambda *grads: None)
            empty &= len(handle.hooks_dict_ref()) == 1
            handle.remove()
    return empty


def test_no_hook_is_left():
    a = leaf()
    y = Doubled.apply(a.exp()) * a
    assert no_hook_left(y)
    trace = traced(y)
    before = values(trace)
    assert no_hook_left(y)
    y.backward()
    assert values(trace) == before
    assert copy.deepcopy(a).item() == 2


def test_a_left_hook_would_be_found():
    y = leaf().exp()
    handle = y.grad_fn.register_hook(lambda *grads: None)
    assert not no_hook_left(y)
    handle.remove()
    assert no_hook_left(y)


def test_state_is_as_before_when_a_custom_backward_raises():
    a = leaf()
    inner = a.exp()
    inner.retain_grad()
    y = Raises.apply(inner) * inner
    with pytest.raises(ZeroDivisionError, match="in the user's backward"):
        traced(y)
    assert no_hook_left(y)
    assert a.grad is None
    assert inner.grad is None


def test_state_is_as_before_when_a_hook_raises():
    a = leaf()
    late = a.exp()
    late.retain_grad()
    y = late * 2

    def hook(grad: Tensor) -> None:
        raise LookupError("in the user's hook")

    handle = a.register_hook(hook)
    with pytest.raises(LookupError, match="in the user's hook"):
        traced(y)
    assert late.grad is None  # it was written before the hook ran
    handle.remove()
    assert no_hook_left(y)
    assert traced(y).leaf_grads[0][1] is not None


Pair = namedtuple("Pair", "tensor other")


class Holder:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(
    "hold",
    [
        lambda tensor: tensor,
        lambda tensor: [tensor],
        lambda tensor: {"key": (tensor,)},
        lambda tensor: {tensor},
        Holder,
        lambda tensor: [Holder(tensor)],
        lambda tensor: Pair(tensor, 1),
        lambda tensor: OrderedDict(key=tensor),
        lambda tensor: deque([tensor]),
    ],
)
def test_tensors_with_retain_grad_keep_their_grad(hold):
    def made() -> tuple[object, Tensor, list[Tensor | None]]:
        inner = leaf() * 3
        inner.retain_grad()
        (inner * 2).backward(retain_graph=True)
        return hold(inner), inner * 5, [inner.grad]

    holder, y, kept = made()

    def grad_now() -> Any:
        value: Any = holder
        while not isinstance(value, Tensor):
            if isinstance(value, Holder):
                value = value.tensor
            else:
                value = next(iter(value.values() if isinstance(value, dict) else value))
        return value.grad

    assert grad_now() is kept[0]
    del kept[:]
    grad = grad_now()
    traced(y)
    assert grad_now() is grad
    assert grad.item() == 2


def test_retain_grad_of_a_caller_further_up():
    def helper(y: Tensor) -> Trace:
        return traced(y)

    inner = leaf() * 3
    inner.retain_grad()
    helper(inner * 2)
    assert inner.grad is None


def test_retain_grad_deep_in_a_module_and_in_slots():
    class Hidden:
        __slots__ = ("tensor",)
        tensor: Tensor

    class Layer(torch.nn.Module):
        hidden: Hidden

        def forward(self, x: Tensor) -> Tensor:
            self.hidden = Hidden()
            self.hidden.tensor = x * 3
            self.hidden.tensor.retain_grad()
            return self.hidden.tensor + 1

    layer = Layer()
    model = torch.nn.Sequential(torch.nn.Sequential(layer))
    traced(model(leaf()))
    assert layer.hidden.tensor.grad is None


def test_objects_that_fight_back_are_left_alone():
    class Hostile:
        __slots__ = ()

        def __getattr__(self, name: str) -> None:
            raise RuntimeError(name)

    class HostileList(list[Tensor]):
        def __iter__(self) -> Iterator[Tensor]:
            raise RuntimeError("iterated")

    hostile, inner = Hostile(), leaf() * 3
    inner.retain_grad()
    hostile_list = HostileList([inner])
    assert traced(inner * 2).leaf_grads[0][1] == 6
    assert inner.grad is None
    del hostile, hostile_list


def test_accumulation_hooks_do_not_run():
    a = leaf()
    ran: list[Tensor] = []
    a.register_post_accumulate_grad_hook(ran.append)
    traced(a * 2)
    assert ran == []
    assert a.grad is None


def test_the_gradient_given_is_not_changed():
    start = torch.ones(2)
    trace = traced(ChangesInPlace.apply(leaf([1.0, 2.0])), start)
    assert start.tolist() == [1, 1]
    assert trace.starts[0].tolist() == [1, 1]
    trace.starts[0].fill_(9)
    assert start.tolist() == [1, 1]


# hooks of the user


def test_a_tensor_hook_shows_before_and_after():
    a = leaf()
    c = a * 3
    c.register_hook(lambda grad: grad * 10)
    trace = traced(c * 2)
    step = named(trace, "c")
    assert trace.before_hooks(Slot(step.node, 0)) == 2
    assert (step.grad_outputs, step.grad_inputs[0]) == ((20,), 60)
    assert trace.leaf_grads == ((a, torch.tensor(60.0)),)


def test_a_leaf_hook_shows_before_and_after():
    a = leaf()
    a.register_hook(lambda grad: grad * 10)
    trace = traced(a * 2)
    step = trace.steps[-1]
    assert (step.contributions, step.grad_outputs) == ((2,), (20,))
    assert trace.before_hooks(Slot(step.node, 0)) == 2
    assert trace.leaf_grads == ((a, torch.tensor(20.0)),)


def test_a_hook_on_the_output_shows_before_and_after():
    y = leaf() * 2
    y.register_hook(lambda grad: grad * 10)
    trace = traced(y)
    assert (trace.before_hooks(Slot(0, 0)), trace.steps[0].grad_outputs) == (1, (10,))


@pytest.mark.parametrize("function", [torch.exp, Doubled.apply])
def test_node_hooks_show(function):
    a = leaf()
    y = function(a)
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 10,))
    y.grad_fn.register_hook(lambda grad_inputs, grad_outputs: (grad_inputs[0] + 1,))
    (wanted,) = torch.autograd.grad(y, a, retain_graph=True)
    trace = traced(y)
    assert trace.steps[0].grad_outputs == (10,)
    assert trace.steps[0].grad_inputs == (wanted,)
    assert trace.before_hooks(Slot(0, 0)) == 1
    assert trace.leaf_grads == ((a, wanted),)


def test_hooks_run_once():
    ran = []
    y = leaf() * 3
    y.register_hook(lambda grad: ran.append(grad.item()))
    traced(y * 2)
    assert ran == [2]


# None, not reached, and 0


def test_none_and_zero_are_two_things():
    a, b, c = leaf(), leaf(3.0), leaf(4.0)
    cut = a.exp()
    y = SendsNone.apply(cut, b) + c * 0
    trace = traced(y)
    grads = dict(trace.leaf_grads)
    assert (grads[a], grads[b], grads[c]) == (None, 1, 0)
    # The engine runs the nodes that None is sent to.
    step = named(trace, "cut")
    assert (step.grad_outputs, step.grad_inputs) == ((None,), (None,))
    assert trace.before_hooks(Slot(step.node, 0)) is None
    step = named(trace, "a")
    assert (step.grad_outputs, step.contributions) == ((None,), ())
    assert [step.node for step in trace.steps] == observed_order(y)
    y.backward()
    assert (a.grad, b.grad, c.grad) == (None, 1, 0)


def test_slots_without_a_gradient_are_none():
    x = leaf([1.0, 2.0, 3.0])
    _, q, _ = x.unbind()
    trace = traced(q * 5)
    assert trace.steps[1].grad_outputs == (None, 5, None)
    assert trace.steps[1].grad_inputs[0].tolist() == [0, 5, 0]


# values are copies


def test_nothing_recorded_changes_with_the_users_tensors():
    w = torch.tensor([2.0, 3.0])
    x = leaf([1.0, 1.0])
    y = ReturnsSaved.apply(x, w)
    start = torch.ones(2)
    trace = traced(y, start)
    before = values(trace)
    with torch.no_grad():
        for tensor in (w, x, y, start):
            tensor.fill_(99)
    assert values(trace) == before
    assert trace.leaf_grads[0][1].tolist() == [2, 3]


def test_the_user_may_change_what_is_recorded():
    w = torch.tensor([2.0, 3.0])
    x = leaf([1.0, 1.0])
    y = ReturnsSaved.apply(x, w)
    first = traced(y, torch.ones(2))
    before = values(first)
    for step in first.steps:
        for tensor in (*step.grad_outputs, *step.grad_inputs, *step.contributions):
            if tensor is not None:
                tensor.fill_(99)
    assert w.tolist() == [2, 3]
    assert values(traced(y, torch.ones(2))) == before


def test_recorded_tensors_need_no_gradient():
    *_, e = main_example()
    trace = traced(e, leaf(2.0))
    for step in trace.steps:
        for tensor in (*step.grad_outputs, *step.grad_inputs, *step.contributions):
            assert tensor is None or not tensor.requires_grad
    assert not any(grad.requires_grad for _, grad in trace.leaf_grads)


def test_a_backward_that_changes_its_gradient_in_place():
    a = leaf()
    inner = a * 1
    y = ChangesInPlace.apply(inner) * 3
    trace = traced(y)
    step = named(trace, "ChangesInPlaceBackward")
    assert (step.grad_outputs, step.grad_inputs) == ((3,), (30,))
    assert trace.steps[0].grad_inputs[0] == 3
    assert trace.leaf_grads == ((a, torch.tensor(30.0)),)
    check_chain_rule(trace)


# several outputs, and the gradients to start from


def test_several_outputs_with_their_gradients():
    a, b = leaf(), leaf(3.0)
    shared = a * b
    outputs = [shared.exp(), shared.sin(), a]
    starts = [torch.tensor(0.5), torch.tensor(-2.0), torch.tensor(7.0)]
    trace = check_against_torch(outputs, [a, b], starts)
    assert [start.item() for start in trace.starts] == [0.5, -2, 7]
    step = next(step for step in trace.steps if step.leaf is a)
    assert step.contributions[0] == 7  # it was there before the engine ran a node
    assert len(step.contributions) == 2


def test_gradients_left_out_among_several_are_one():
    a = leaf()
    trace = traced([a * 2, a * 3], [None, torch.tensor(10.0)])
    assert trace.leaf_grads == ((a, torch.tensor(32.0)),)


def test_the_same_output_twice_counts_twice():
    a = leaf()
    y = a * 2
    trace = traced([y, y])
    assert (trace.steps[0].grad_outputs, trace.leaf_grads) == ((2,), ((a, torch.tensor(4.0)),))
    assert trace.before_hooks(Slot(0, 0)) is None


def test_an_output_inside_the_graph_of_another():
    a = leaf()
    inner = a * 2
    trace = check_against_torch([inner * 5, inner], [a], [torch.tensor(1.0), torch.tensor(100.0)])
    assert trace.leaf_grads == ((a, torch.tensor(210.0)),)


def test_an_output_of_one_element_needs_no_gradient():
    x = leaf([[3.0]])
    assert traced(x * 2).leaf_grads[0][1].tolist() == [[2]]


@pytest.mark.parametrize("start", [torch.tensor(2), torch.tensor(2.0, dtype=torch.float64)])
def test_a_gradient_of_another_dtype_is_taken_as_the_engine_takes_it(start):
    a = leaf()
    y = a * 3
    trace = traced(y, start)
    assert trace.leaf_grads == ((a, torch.tensor(6.0)),)
    assert trace.starts[0].dtype == torch.float32
    assert trace.before_hooks(Slot(0, 0)) is None


def test_complex_outputs():
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    y = (z * z).sum() * z[0].conj()
    check_against_torch([y], [z], [torch.tensor(1 - 1j)])
    size = (z * z.conj()).sum().abs()
    check_against_torch([size], [z], [torch.tensor(1.0)])


def test_sparse_gradients():
    embedding = torch.nn.Embedding(5, 3, sparse=True)
    y = (embedding(torch.tensor([1, 2, 1])) * torch.arange(3.0)).sum()
    (wanted,) = torch.autograd.grad(y, embedding.weight, retain_graph=True)
    trace = traced(y)
    grad = trace.leaf_grads[0][1]
    assert grad.layout == torch.sparse_coo
    assert equal(grad, wanted)
    assert equal(trace.steps[-1].contributions[0], wanted)


def test_a_sparse_gradient_of_one_number_has_no_local_derivative():
    x = torch.ones(1).to_sparse().requires_grad_()
    trace = av.trace(x * 2, torch.ones(1).to_sparse())
    (grad,) = (grad for _, grad in trace.leaf_grads)
    assert grad is not None
    assert equal(grad.to_dense(), torch.tensor([2.0]))
    assert trace.local == {}


def test_a_leaf_whose_requires_grad_was_switched_off_since():
    a, b = leaf(), leaf(3.0)
    y = a * b
    a.requires_grad_(False)
    trace = traced(y)
    grads = dict(trace.leaf_grads)
    assert (grads[a], grads[b]) == (3, 2)
    assert (trace.steps[-1].leaf is a, trace.steps[-1].contributions) == (True, (3,))
    assert a.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_trace_within_a_mode(mode):
    *_, e = main_example()
    with mode():
        trace = traced(e)
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
    assert values(trace) == values(traced(e))
    grad = trace.leaf_grads[0][1]
    assert not grad.is_inference()
    assert (leaf() * grad).requires_grad


class PassesOn(TorchDispatchMode):
    """A mode of the user's that sees each operation, as one that counts FLOPs."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("mode", [PassesOn, allow_mutation_on_saved_tensors])
def test_saved_numbers_are_read_under_a_mode_that_sees_each_operation(mode):
    def function(x):
        return (x * 3) ** 2 + 5 / x

    x = leaf(2.0)
    plain = traced(function(x))
    with mode():
        x = leaf(2.0)
        under = traced(function(x))
        picture = under.variables().derivatives()
    assert picture.svg == plain.variables().derivatives().svg
    assert values(under) == values(plain)


def test_trace_on_the_meta_device():
    x = torch.ones((), device="meta", requires_grad=True)
    trace = traced((x * x).exp())
    assert [step.grad_outputs[0].is_meta for step in trace.steps] == [True] * 3
    assert not trace.local


def test_long_chains():
    y = x = torch.zeros(1, requires_grad=True)
    for _ in range(5_000):
        y = y + 1
    trace = traced(y)
    assert len(trace.steps) == 5_001
    assert trace.leaf_grads[0][1].tolist() == [1]
    assert x.grad is None


# local derivatives


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (lambda x: x.exp(), math.exp),
        (lambda x: x.log2(), lambda x: 1 / (x * math.log(2))),
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: x * 5, lambda x: 5.0),
        (lambda x: x.tanh(), lambda x: 1 - math.tanh(x) ** 2),
        (lambda x: -x, lambda x: -1.0),
        (Doubled.apply, lambda x: 2.0),
    ],
)
def test_local_derivatives_are_the_analytic_ones(function, derivative):
    x = leaf(1.5, dtype=torch.float64)
    trace = traced(function(x) * 7)
    assert trace.local[trace.graph.out_edges[1][0]] == pytest.approx(derivative(1.5), rel=1e-12)


def test_local_derivatives_of_two_operands():
    a, b = leaf(2.0), leaf(5.0)
    y = a / b
    assert local(traced(y), "y") == [pytest.approx(1 / 5), pytest.approx(-2 / 25)]
    y = a * a
    assert local(traced(y), "y") == [2, 2]


def test_local_derivatives_are_known_where_0_arrives():
    a = leaf(3.0)
    c = a**2
    trace = traced(c * 0)
    assert trace.leaf_grads[0][1] == 0
    assert local(trace, "c") == [6]


def test_a_custom_functions_local_derivative_is_unknown_where_0_arrives():
    c = Doubled.apply(leaf())
    assert local(traced(c * 0), "c") == [None]


def test_no_custom_backward_is_called_twice():
    y = Doubled.apply(leaf()) * 2
    Doubled.calls = 0
    traced(y)
    assert Doubled.calls == 1


def test_a_checkpointed_forward_runs_as_often_as_in_a_backward_pass():
    calls = []

    def forward(x: Tensor) -> Tensor:
        calls.append(x)
        return (x * x).exp() * x

    a = leaf(0.5)
    y = checkpoint(forward, a, use_reentrant=False)
    del calls[:]
    trace = traced(y)
    assert len(calls) == 1
    (wanted,) = torch.autograd.grad(forward(a), a)
    assert trace.leaf_grads == ((a, wanted),)
    assert local(trace, "ExpBackward0") == [pytest.approx(math.exp(0.25))]


def test_tensors_of_several_elements_have_no_local_derivative():
    assert not traced((leaf([1.0, 2.0]) * 2).sum()).local


@contextmanager
def default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def test_the_default_dtype_does_not_matter():
    *_, e = main_example()
    with default_dtype(torch.float64):
        assert values(traced(e)) == values(traced(e))
        assert traced(e).starts[0].dtype == torch.float32


def test_a_hook_that_changes_a_large_gradient_in_place_spoils_nothing():
    calls: list[int] = []

    def double(grad: Tensor) -> None:
        calls.append(grad.numel())
        grad.mul_(2)

    x = torch.ones(2_000, requires_grad=True)
    inner = x * 3
    y = (inner * 5).sum()
    inner.register_hook(double)
    trace = traced(y)
    sender, receiver = trace.steps[1], trace.steps[2]
    assert sender.grad_inputs[0] is not None
    assert receiver.grad_outputs[0] is not None
    assert torch.equal(sender.grad_inputs[0], torch.full((2_000,), 5.0))
    assert torch.equal(receiver.grad_outputs[0], torch.full((2_000,), 10.0))
    assert calls == [2_000, 2_000]  # found out in the first pass, so it ran again


def test_large_gradients_outlive_changes_of_the_weights():
    weight = torch.ones(50, 50, requires_grad=True)
    x = torch.arange(2_500.0).reshape(50, 50).requires_grad_()
    y = (x @ weight).sum()
    trace = traced(y)
    wanted = torch.autograd.grad(y, [x, weight], retain_graph=True)
    with torch.no_grad():
        weight.zero_()
        x.zero_()
    grads = {id(leaf): grad for leaf, grad in trace.leaf_grads}
    for leaf, grad in zip((x, weight), wanted, strict=True):
        assert torch.equal(grads[id(leaf)], grad)


def test_a_hook_that_changes_a_small_gradient_of_a_large_graph_in_place_spoils_nothing():
    x = torch.tensor(0.5, requires_grad=True)
    y = x
    for place in range(SCALAR_NODES + 1):
        y = y + 1  # sends on the very tensor that arrived
        if place == 100:
            y.register_hook(lambda grad: grad.mul_(3) and None)
    trace = av.trace(y)
    arrived = [grad for step in trace.steps for grad in step.grad_outputs]
    assert arrived == [1.0] * (SCALAR_NODES - 100) + [3.0] * 102
    assert trace.steps[-1].contributions == (torch.tensor(3.0),)
    assert trace.steps[-1].leaf is x
    assert trace.steps[-1] is trace.steps[-1:][0] is list(trace.steps)[-1]
