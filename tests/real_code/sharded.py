"""What one process does with DTensor and fully_shard (FSDP); `test_models` starts it."""

from __future__ import annotations

import copy
import sys
from xml.etree import ElementTree

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

import autograd_viz as av
from autograd_viz.model import Shown


def local(tensor: Tensor | None) -> Tensor:
    """This process's part of a distributed tensor."""
    assert isinstance(tensor, DTensor)
    part: Tensor = tensor.to_local()
    return part


def drawn(*shown: Shown) -> None:
    for each in shown:
        ElementTree.fromstring(each.picture().svg)
        assert str(each)


def distributed_tensors(mesh: DeviceMesh) -> None:
    values = torch.arange(6.0).reshape(2, 3)
    x = distribute_tensor(values, mesh, [Shard(0)]).requires_grad_()
    other = distribute_tensor(values + 1, mesh, [Shard(0)])
    loss = (x * 2).sin().sum()
    trace = av.trace(loss)
    ((_, grad),) = trace.leaf_grads
    assert torch.equal(local(grad), 2 * (2 * values).cos())
    assert x.grad is None
    assert "no values (DTensor)" in str(trace)
    drawn(trace, trace.fold(), trace.variables(), av.graph(loss).fold())
    assert av.why(x, loss).cause == "backward_not_run"
    assert "both hold the same" not in str(av.why(other, loss)), (
        "they have no memory that could be compared"
    )


def sharded_parameters(mesh: DeviceMesh) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    plain = copy.deepcopy(model)
    plain(torch.ones(2, 3)).sum().backward()
    fully_shard(model, mesh=mesh)
    loss = model(torch.ones(2, 3)).sum()
    wanted = {p.grad.shape: p.grad for p in plain.parameters() if p.grad is not None}
    for _ in range(2):  # a pass frees the whole parameters, which are the leaves of the graph
        trace = av.trace(loss, params=model)
        for _, grad in trace.leaf_grads:
            assert grad is not None
            assert torch.equal(grad, wanted[grad.shape])
        assert [parameter.grad for parameter in model.parameters()] == [None] * 4
        drawn(trace, trace.fold(), trace.variables(), trace.graph.fold())
    loss.backward()
    for ours, one in zip(model.parameters(), plain.parameters(), strict=True):
        assert one.grad is not None
        assert torch.equal(local(ours.grad), one.grad)


if __name__ == "__main__":
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1
    )
    devices = init_device_mesh("cpu", (1,))
    distributed_tensors(devices)
    sharded_parameters(devices)
    torch.distributed.destroy_process_group()
    print("done")
