"""Small programs of every kind that real code is made of, each against PyTorch's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils.checkpoint import checkpoint

import autograd_viz as av
from autograd_viz.errors import NoGraphError
from autograd_viz.model import Slot
from autograd_viz.picture import Picture
from tests.real_code.checking import checked, equal, names

Made = tuple[Tensor, list[Tensor]]  # an output, and leaves whose gradients are compared


class Program(NamedTuple):
    make: Callable[[], Made]
    contains: str  # a function of the graph
    note: str  # words of the legend's note


PROGRAMS: dict[str, Program] = {}


def program(contains: str, note: str = "") -> Callable[[Callable[[], Made]], None]:
    def known(make: Callable[[], Made]) -> None:
        PROGRAMS[make.__name__] = Program(make, contains, note)

    return known


def vector(count: int = 3) -> Tensor:
    return torch.linspace(0.5, 1.5, count).requires_grad_()


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))


# custom Functions


class SinCos(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        sine, cosine = x.sin(), x.cos()
        ctx.save_for_backward(sine, cosine)
        return sine, cosine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_sine: Tensor, grad_cosine: Tensor) -> Any:
        sine, cosine = ctx.saved_tensors
        return grad_sine * cosine - grad_cosine * sine


class Sorted(torch.autograd.Function):
    """With a second output that has no gradient, in the style that torch.func wants."""

    @staticmethod
    def forward(x: Tensor) -> Any:
        return x.sort(descending=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Any:
        (order,) = ctx.saved_tensors
        return torch.zeros_like(grad).scatter(0, order, grad)


class Doubled(torch.autograd.Function):
    """In place, and with None for gradients that do not arrive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, factor: float) -> Any:
        ctx.set_materialize_grads(False)
        ctx.mark_dirty(x)
        return x.mul_(factor), y * factor

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (*(None if grad is None else grad * 2 for grad in grads), None)


@program("SinCosBackward")
def custom_function_with_two_outputs():
    x = vector()
    sine, cosine = SinCos.apply(x)
    return (sine * 2 + cosine).sum(), [x]


@program("SortedBackward")
def custom_function_with_an_output_without_gradient():
    x = vector()
    values, _order = Sorted.apply(x)
    return (values * torch.arange(3.0)).sum(), [x]


@program("DoubledBackward")
def custom_function_in_place_with_none():
    x, y = vector(), vector()
    first, _second = Doubled.apply(x * 1, y, 2.0)
    return first.sum(), [x, y]


def test_a_function_that_is_once_differentiable_says_so_in_the_second_graph():
    x = vector()
    sine, cosine = SinCos.apply(x)
    (grad,) = torch.autograd.grad((sine * cosine).sum(), x, create_graph=True)
    assert "Error: a function that cannot be differentiated again" in str(av.graph(grad.sum()))
    with pytest.raises(RuntimeError, match="once_differentiable"):
        av.trace(grad.sum())


# checkpointing


@program("TanhBackward0")
def checkpoint_not_reentrant():
    x, layer = vector(), nn.Linear(3, 3)
    y = checkpoint(lambda x: layer(x).tanh(), x, use_reentrant=False)
    return y.sum(), [x, *layer.parameters()]


def reentrant(x: Tensor, model: nn.Module) -> Tensor:
    def inner(x: Tensor) -> Tensor:
        return checkpoint(model, x, use_reentrant=True).tanh()

    return checkpoint(inner, x * 2, use_reentrant=True).sum() + sum(
        parameter.sum() for parameter in model.parameters()
    )


def test_reentrant_checkpoints_within_one_another():
    torch.manual_seed(0)
    x, model = vector(), nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    y = reentrant(x, model)
    held = [torch.ones_like(parameter) for parameter in model.parameters()]
    accumulated: list[Tensor] = []
    for parameter, grad in zip(model.parameters(), held, strict=True):
        parameter.grad = grad
        parameter.register_post_accumulate_grad_hook(accumulated.append)
    backward, valid = torch.autograd.backward, torch.autograd._is_checkpoint_valid
    trace = av.trace(y)
    assert (torch.autograd.backward, torch.autograd._is_checkpoint_valid) == (backward, valid)
    assert x.grad is None
    assert all(p.grad is grad for p, grad in zip(model.parameters(), held, strict=True))
    assert all(bool((grad == 1).all()) for grad in held)
    assert not accumulated
    assert "CheckpointFunctionBackward: the forward pass inside is run again" in str(trace)
    assert len(trace.steps) == len(trace.step_of), "each node once"
    y.backward()
    grads = {id(leaf): grad for leaf, grad in trace.leaf_grads}
    assert equal(grads[id(x)], x.grad)


def test_a_reentrant_checkpoint_that_fails_leaves_all_as_it_was():
    x, layer = vector(), nn.Linear(3, 3)
    calls: list[Tensor] = []

    def once(x: Tensor) -> Tensor:
        calls.append(x)
        if len(calls) > 1:
            raise ValueError("the second time")
        return layer(x)

    y = checkpoint(once, x, use_reentrant=True).sum()
    backward, valid = torch.autograd.backward, torch.autograd._is_checkpoint_valid
    with pytest.raises(ValueError, match="the second time"):
        av.trace(y)
    assert (torch.autograd.backward, torch.autograd._is_checkpoint_valid) == (backward, valid)
    assert all(parameter.grad is None for parameter in layer.parameters())


# in place, on views


@program("CopySlices", "wrote into a view of a larger tensor")
def in_place_on_views():
    x = vector(4)
    y = x * 1
    y[:2].mul_(3)
    y.view(2, 2)[0].sin_()
    return y.sum(), [x]


@program("CopySlices", "wrote into a view of a larger tensor")
def in_place_on_strides():
    x = vector(4)
    y = x * 1
    y.as_strided((2,), (2,)).mul_(2)
    return (y * y).sum(), [x]


@program("AsStridedBackward0", "a view given by its strides")
def a_view_whose_base_was_changed():
    x = vector(4)
    y = x * 1
    view = y[:2]
    y.mul_(2)
    return view.sum(), [x]


# hooks


@program("MulBackward0")
def hooks_on_tensors_and_nodes():
    x = vector()
    y = x * 2
    y.register_hook(lambda grad: grad * 3)
    node = get_gradient_edge(y).node
    node.register_prehook(lambda grads: (grads[0] + 1,))
    node.register_hook(lambda grad_inputs, _: (grad_inputs[0] * 2, None))
    x.register_hook(lambda grad: grad - 1)
    return y.sum(), [x]


@program("BackwardHookFunctionBackward", "put here for a module's backward hook")
def hooks_on_modules():
    model, x = network(), vector()

    def doubled(_: nn.Module, grads: Any) -> Any:
        return (grads[0] * 2,)

    def halved(_: nn.Module, grads: Any, __: Any) -> Any:
        return (grads[0] / 2,)

    model[0].register_full_backward_pre_hook(doubled)
    model[1].register_full_backward_hook(halved)
    return model(x).sum(), [x, *model.parameters()]


def test_hooks_after_accumulation_do_not_run():
    x = vector()
    ran: list[Tensor] = []
    x.register_post_accumulate_grad_hook(ran.append)
    y = (x * 2).sum()
    trace = av.trace(y)
    assert not ran
    y.backward()
    assert len(ran) == 1
    assert equal(trace.leaf_grads[0][1], x.grad)


# parameters


@program("AddmmBackward0")
def a_layer_used_twice():
    layer = nn.Linear(3, 3)
    return layer(layer(torch.ones(2, 3))).sum(), list(layer.parameters())


@program("EmbeddingBackward0")
def tied_weights():
    embedding, head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    return head(embedding(torch.tensor([1, 2]))).logsumexp(1).sum(), [embedding.weight]


@program("WeightNormInterfaceBackward0")
def weight_norm():
    layer = parametrizations.weight_norm(nn.Linear(3, 2))
    return layer(torch.ones(2, 3)).sum(), list(layer.parameters())


@program("TriuBackward0")
def parametrization():
    class Symmetric(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight.triu() + weight.triu(1).mT

    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer(torch.ones(2, 3)).sum(), list(layer.parameters())


@program("AddmmBackward0")
def frozen_before_the_forward_pass():
    model = network()
    model[0].requires_grad_(False)
    return model(torch.ones(2, 3)).sum(), list(model[2].parameters())


@program("TanhBackward0")
def frozen_after_the_forward_pass():
    model = network()
    y = model(torch.ones(2, 3)).sum()
    model[0].requires_grad_(False)
    return y, list(model[2].parameters())


def test_clipped_gradients_are_not_touched_and_do_not_change_a_trace():
    model = network()
    y = model(torch.ones(2, 3)).sum()
    trace = av.trace(y)
    recorded = [grad.clone() for _, grad in trace.leaf_grads if grad is not None]
    y.backward(retain_graph=True)
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    clipped = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    again = av.trace(y)
    for parameter, grad in zip(model.parameters(), clipped, strict=True):
        assert equal(parameter.grad, grad)
    for later in (trace, again):
        for (_, grad), wanted in zip(later.leaf_grads, recorded, strict=True):
            assert equal(grad, wanted)


# operations with several outputs


@program("UnbindBackward0")
def unbind():
    x = vector()
    first, _, third = x.unbind()
    return first * third, [x]


@program("SplitWithSizesBackward0")
def split():
    x = vector(5)
    _, rest = x.split([2, 3])
    return rest.prod(), [x]


@program("LinalgSvdBackward0")
def svd():
    x = (torch.arange(6.0).reshape(2, 3) + torch.eye(2, 3)).requires_grad_()
    return torch.linalg.svd(x, full_matrices=False).S.sum(), [x]


@program("SigmoidBackward0")
def lstm_cell():
    cell = nn.LSTMCell(2, 3)
    state, memory = cell(torch.ones(1, 2))
    return (state * memory).sum(), list(cell.parameters())


@program("ForeachMulBackward1Scalar")
def foreach():
    x, y = vector(), vector()
    p, q = torch._foreach_mul([x, y], 2.0)
    return (p * q).sum(), [x, y]


# complex and sparse


@program("FftR2CBackward0")
def complex_numbers():
    x, z = vector(4), torch.tensor([1 + 2j, 3], requires_grad=True)
    return torch.fft.fft(x).abs().sum() + (z * z.conj()).real.sum(), [x, z]


@program("EmbeddingBackward0", "sparse: a gradient that holds only the rows that were used")
def a_sparse_gradient():
    table = nn.Embedding(5, 3, sparse=True)
    return (table(torch.tensor([1, 2, 2])) ** 2).sum(), [table.weight]


@program("EmbeddingBackward0", "sparse: a gradient")
def a_sparse_and_a_dense_gradient_of_one_leaf():
    table = nn.Embedding(5, 3, sparse=True)
    return table(torch.tensor([1, 2])).sum() + (table.weight**2).sum(), [table.weight]


@program("SparseAddmmBackward0", "sparse: a gradient")
def a_sparse_matrix():
    matrix, x = torch.eye(3).to_sparse().requires_grad_(), torch.ones(3, 2, requires_grad=True)
    return torch.sparse.mm(matrix, x).sum(), [matrix, x]


@program("MmBackward0")
def a_matrix_of_compressed_rows():
    matrix, x = torch.eye(3).to_sparse_csr().requires_grad_(), torch.ones(3, 2, requires_grad=True)
    return (matrix @ x).sum(), [matrix, x]


# derivatives of derivatives, torch.func


@program("TanhBackwardBackward0", "a backward pass is recorded too")
def double_backward():
    model, x = network(), torch.ones(2, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return grad.norm(), [x, *model.parameters()]


@program("SumBackward1")
def vmap():
    w = vector()
    return torch.func.vmap(lambda x: (x * w).sin().sum())(torch.ones(4, 3)).sum(), [w]


@program("PowBackward0")
def functional_grad():
    w = vector()
    return torch.func.grad(lambda w: (w**3).sum())(w).sum(), [w]


@program("CosBackward0", "the same values as another tensor object")
def functional_jvp():
    w, ones = vector(), torch.ones(3)
    tangent = torch.func.jvp(lambda x: (x * w).sin(), (ones,), (ones,))[1]
    return tangent.sum(), [w]


@program("MulBackward0")
def functional_call():
    layer = nn.Linear(3, 1)
    doubled = {name: parameter * 2 for name, parameter in layer.named_parameters()}
    y = torch.func.functional_call(layer, doubled, torch.ones(2, 3))
    return y.sum(), list(layer.parameters())


def test_within_a_transform_there_is_the_graph_of_its_own_level():
    seen = []

    def cubes(w: Tensor) -> Tensor:
        y = (w**3).sum()
        seen.append(av.graph(y))
        assert str(av.trace(y))
        return y

    assert equal(torch.func.grad(cubes)(torch.ones(2)), torch.full((2,), 3.0))
    assert [node.name for node in seen[0].nodes] == [
        "SumBackward0",
        "PowBackward0",
        "AccumulateGrad",
    ]


# dtypes, modes, kinds of tensors


@program("ToCopyBackward0", "converts to another dtype or device, as autocast does")
def autocast():
    model = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(torch.ones(2, 3))
    return y.float().sum(), list(model.parameters())


@program("MulBackward0")
def a_scaled_loss():
    layer = nn.Linear(3, 1)
    scaler = torch.amp.GradScaler("cpu")
    return scaler.scale(layer(torch.ones(2, 3)).sum()), list(layer.parameters())


@program("AddmmBackward0")
def a_disabled_scaler():
    layer = nn.Linear(3, 1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return scaler.scale(layer(torch.ones(2, 3)).sum()), list(layer.parameters())


@program("MulBackward0", "a shape and a dtype, but no values")
def meta_device():
    with torch.device("meta"):
        x, y = torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)
    return x * y * y, [x, y]


@program("AliasBackward0", "subclasses of Tensor")
def a_plain_subclass():
    class Own(Tensor):
        pass

    x = torch.ones(3).as_subclass(Own).requires_grad_()
    return (x * x).sum(), [x]


@program("MulBackward0")
def a_subclass_with_a_dispatch_of_its_own():
    x = TwoTensor(torch.ones(3), torch.full((3,), 2.0)).requires_grad_()
    return (x * x).sum(), [x]


@program("ToPaddedTensorBackward0")
def nested_of_the_old_layout():
    x = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], requires_grad=True)
    return torch.nested.to_padded_tensor(x * 2, 0.0).sum(), [x]


@program("NestedGetValuesBackward0")
def nested_of_the_jagged_layout():
    parts = [torch.ones(2, 3), torch.ones(4, 3)]
    x = torch.nested.nested_tensor(parts, requires_grad=True, layout=torch.jagged)
    return (x * 2).values().sum(), [x]


@program("FakeQuantizePerTensorAffineCachemaskBackward0", "as if it did not")
def fake_quantized():
    x = vector()
    return torch.fake_quantize_per_tensor_affine(x, 0.01, 0, -128, 127).sum(), [x]


@program("ConvolutionBackward0")
def a_convolution_with_statistics():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2))
    return model(torch.randn(2, 1, 6, 6)).sum(), list(model.parameters())


@program("ExpBackward0")
def saved_tensors_elsewhere():
    x = vector()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
        y = (x.exp() * x).sum()
    return y, [x]


def test_the_jacobian_of_a_nested_tensor_has_no_number_of_columns():
    parts = [torch.ones(2, 3), torch.ones(4, 3)]
    x = torch.nested.nested_tensor(parts, requires_grad=True, layout=torch.jagged)
    drawing = av.trace((x * 2).values().sum()).variables().picture()
    assert "1 × * Jacobian" in drawing.svg


def test_fake_tensors_have_a_graph_without_values():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x, y = torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)
        z = x * y * y
    trace = av.trace(z)
    assert "no values (FakeTensor)" in str(trace)
    assert "no values (FakeTensor)" in str(trace.variables())
    assert [tuple(grad.shape) for _, grad in trace.leaf_grads if grad is not None] == [(), ()]


def test_within_fake_tensor_mode():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x, other = torch.ones(3, requires_grad=True), torch.ones(3)
        z = (x * 2).sum()  # 2 is saved as a tensor that is none of the mode's
        assert "no values (FakeTensor)" in str(av.trace(z))
        for shown in (av.graph(z), av.trace(z), av.trace(z).fold()):
            assert shown.picture().svg.startswith("<svg")
        assert av.why(x, z).cause == "backward_not_run"
        assert av.why(other, z).cause == "not_required"
        assert "both hold the same" not in str(av.why(other, z)), "fake tensors share no memory"


def test_a_tensor_whose_memory_was_freed_has_no_values():
    x = torch.ones(3, requires_grad=True)
    z = (x * x).sum()
    x.untyped_storage().resize_(0)  # as FSDP does with parameters that it has gathered
    graph = av.graph(z)
    assert graph.values[Slot(0, 0)] == 3
    assert [node.label for node in graph.leaves] == ["x"]
    assert "3 values" in str(graph)


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a_quantized_tensor_has_no_graph_and_the_error_says_why():
    x = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(NoGraphError, match=r"qint8.*compute with floats"):
        av.graph(x)


def test_retain_graph_and_retain_grad():
    x = vector()
    y = x * 2
    y.retain_grad()
    z = (y * y).sum()
    z.backward(retain_graph=True)
    kept = y.grad
    trace = av.trace(z)
    assert y.grad is kept
    assert equal(trace.leaf_grads[0][1], x.grad)


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_within_a_hook_of_another_pass(mode):
    x, inner = vector(), []
    z = (x.exp() * x).sum()
    y = x * 2

    def traces(grad: Tensor) -> None:
        with mode():
            inner.append(av.trace(z))

    y.register_hook(traces)
    y.sum().backward()
    assert equal(inner[0].leaf_grads[0][1], torch.autograd.grad(z, x)[0])
    assert equal(x.grad, torch.full((3,), 2.0))


def test_attention():
    q = torch.randn(1, 2, 4, 8, requires_grad=True)
    y = F.scaled_dot_product_attention(q, q, q, is_causal=True).sum()
    trace = checked(y, [q])  # which function computes it differs from processor to processor
    assert "ScaledDotProduct" not in " ".join(names(trace)) or "softmax(q @ k.T)" in str(trace)


# all of them


@pytest.mark.filterwarnings("ignore:.*(beta state|prototype stage|torch.jit|nested)")
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    torch.manual_seed(0)
    output, leaves = PROGRAMS[name].make()
    trace = checked(output, leaves)
    assert PROGRAMS[name].contains in names(trace)
    drawing = trace.picture()
    assert isinstance(drawing, Picture)
    notes = drawing.notes
    if PROGRAMS[name].note:
        assert PROGRAMS[name].note in " ".join(notes)
    else:
        assert not notes
