"""What each of two processes with DistributedDataParallel does; `test_models` starts them."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import autograd_viz as av
from tests.real_code.checking import names

OPTIONS: list[dict[str, Any]] = [{}, {"find_unused_parameters": True}, {"static_graph": True}]


def process(rank: int, meeting: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2
    )
    for options in OPTIONS:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        parallel = DistributedDataParallel(model, **options)
        for time in range(2):
            parallel.zero_grad()
            x = torch.full((2, 3), 1.0 + rank + time)
            loss = parallel(x).sum()
            trace = av.trace(loss, params=model)
            assert all(parameter.grad is None for parameter in model.parameters())
            sink = "_DDPSinkBackward" in names(trace)
            assert sink == (
                "find_unused_parameters" in options or ("static_graph" in options and not time)
            )
            recorded = {id(leaf): grad for leaf, grad in trace.leaf_grads}
            alone = torch.autograd.grad(model(x).sum(), list(model.parameters()))
            loss.backward()
            for parameter, own in zip(model.parameters(), alone, strict=True):
                grad = recorded[id(parameter)]
                assert grad is not None
                assert torch.equal(grad, own), "this process's own gradient"
                assert parameter.grad is not None
                torch.testing.assert_close(parameter.grad, mean(grad))
    torch.distributed.destroy_process_group()


def mean(grad: Tensor) -> Tensor:
    """The mean of the processes' gradients, which is what DistributedDataParallel makes of them."""
    total = grad.clone()
    torch.distributed.all_reduce(total)
    return total / 2


if __name__ == "__main__":
    process(int(sys.argv[1]), sys.argv[2])
    print("done")
