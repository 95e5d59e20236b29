"""Whole models as they are run: compiled, without memory, in several processes, on a GPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch._dynamo.compiled_autograd
from torch import Tensor, nn
from torch.nn import functional as F

import autograd_viz as av
from tests.real_code.checking import checked, equal, names
from tests.real_code.test_programs import network

ROOT = Path(av.__file__).parent.parent


# compiled


@pytest.fixture
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")  # of what torch.compile imports
@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.parametrize(
    ("backend", "function"),
    [
        ("eager", "TanhBackward0"),
        ("aot_eager", "CompiledFunctionBackward"),
        pytest.param("inductor", "CompiledFunctionBackward", marks=pytest.mark.large),
    ],
)
def test_compiled_models(backend, function):
    model, x = network(), torch.ones(2, 3)
    y = torch.compile(model, backend=backend)(x).sum()
    trace = checked(y, list(model.parameters()))
    assert function in names(trace)
    assert ("torch.compile made one function of many" in str(trace)) == (backend != "eager")
    for leaf, grad in trace.leaf_grads:
        (wanted,) = torch.autograd.grad(model(x).sum(), leaf)
        torch.testing.assert_close(grad, wanted)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("_fresh_compiler")
def test_compiled_autograd_does_not_compile_the_recording():
    compiled = []

    def compiler(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
        compiled.append(module)
        return module

    model = network()
    y = model(torch.ones(2, 3)).sum()
    usual = av.trace(y)
    with torch._dynamo.compiled_autograd._enable(compiler):
        trace = av.trace(y)
        assert not compiled
        wanted = torch.autograd.grad(y, [leaf for leaf, _ in trace.leaf_grads], retain_graph=True)
        assert compiled, "it is still switched on"
    assert [step.node for step in trace.steps] == [step.node for step in usual.steps]
    assert all(equal(grad, one) for (_, grad), one in zip(trace.leaf_grads, wanted, strict=True))


# without memory


class Block(nn.Module):
    """A layer of a Llama of 70 billion parameters."""

    def __init__(self, width: int, inner: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads, self.groups, size = heads, groups, width // heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, groups * size, bias=False)
        self.value = nn.Linear(width, groups * size, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)
        self.before, self.between = nn.RMSNorm(width), nn.RMSNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.before(x)
        q = self.query(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (
            layer(h)
            .unflatten(-1, (self.groups, -1))
            .transpose(1, 2)
            .repeat_interleave(self.heads // self.groups, 1)
            for layer in (self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        h = self.between(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def test_70_billion_parameters_without_their_memory():
    resource = pytest.importorskip("resource", reason="Windows tells no peak of memory")
    unit = 1 if sys.platform == "darwin" else 1_024  # bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Embedding(32_000, 8_192),
            *(Block(8_192, 28_672, 64, 8) for _ in range(80)),
            nn.RMSNorm(8_192),
            nn.Linear(8_192, 32_000, bias=False),
        )
        tokens = torch.zeros(1, 4_096, dtype=torch.long)
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
    assert sum(parameter.numel() for parameter in model.parameters()) == 68_976_648_192
    graph = av.graph(loss, params=model)
    trace = av.trace(loss, params=model)
    parameters = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {id(leaf) for leaf, _ in trace.leaf_grads} == parameters.keys()
    for leaf, grad in trace.leaf_grads:
        assert grad is not None
        assert grad.is_meta
        assert grad.shape == leaf.shape
    assert {node.label for node in graph.leaves} == set(parameters.values())
    assert "meta: tensors on this device" in str(graph.picture(limit=5))
    for shown in (graph, trace):
        assert str(shown)
        assert shown.picture().svg
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert more * unit < 2**30, "of 280 GB"


# parallel


def test_data_parallel_without_a_gpu_is_a_plain_call():
    model = network()
    parallel = nn.DataParallel(model)
    trace = checked(parallel(torch.ones(2, 3)).sum(), list(model.parameters()))
    assert names(trace) == {"SumBackward0", "AddmmBackward0", "TanhBackward0", "TBackward0"}


def test_distributed_data_parallel_in_two_processes(tmp_path):
    program = [sys.executable, "-m", "tests.real_code.processes"]
    started = [
        subprocess.Popen(
            [*program, str(rank), str(tmp_path / "meeting")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ended = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
    for output, errors in ended:
        assert output == "done\n", errors


def test_distributed_tensors_and_sharded_parameters(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.real_code.sharded", str(tmp_path / "meeting")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


# on a GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda():
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Tanh()).cuda()
    recurrent = nn.LSTM(6, 4).cuda()
    outputs, _ = recurrent(model(torch.randn(5, 2, 8, device="cuda")))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        y = (outputs @ outputs.transpose(1, 2)).sum()
    parameters = [*model.parameters(), *recurrent.parameters()]
    trace = av.trace(y.float())
    assert {output.device for node in trace.graph.nodes for output in node.outputs} == {"cuda:0"}
    wanted = torch.autograd.grad(y.float(), parameters, retain_graph=True)
    found = {id(leaf): grad for leaf, grad in trace.leaf_grads}
    for parameter, grad in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(found[id(parameter)], grad)
    assert "CudnnRnn" in str(trace.picture(limit=100))
