"""Recording a block of the reader's code."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import partial

from torch.nn import Module

from autograd_viz.networks.calls import remember
from autograd_viz.recorded.places import cells
from autograd_viz.recorded.recorder import recording


def record(model: Module | None = None) -> AbstractContextManager[None]:
    """Record a block of code, so that `av.why` can tell what happened in it.

    Each call of PyTorch in the block is noted, with the statement that made it; so are backward
    passes, changes in place, and steps of optimizers. A graph that was made in it can be folded by
    module: `av.graph(loss, params=model)` knows the modules' calls, which are guessed from the
    parameters otherwise. Tensors are referred to weakly: none is kept alive.

    Args:
        model: the module whose calls are to be remembered, as `av.graph(..., params=model)` wants
            them; without it that of each module that the block calls. Only what this thread does
            counts.

    Raises:
        TypeError: something else than a module was given.

    >>> import torch, autograd_viz as av
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with av.record():
    ...     h = w.detach() * 2
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> with av.record(model):
    ...     loss = model(torch.ones(4, 2)).sum()
    >>> print(av.graph(loss, params=model).fold())
    Autograd graph of loss: 6 gradient functions, 4 leaves
    #  name  what          functions  parameters    sends gradients to
    1  loss  SumBackward0  1                        2
    2  2     Linear        2          4 parameters  1
    3  1     Tanh          1                        0
    4  0     Linear        2          9 parameters
    """
    if not isinstance(model, Module | None):
        raise TypeError(
            f"av.record() wants a module or nothing, but was given a {type(model).__name__}; write "
            "`with av.record():` around the code that you ask about"
        )
    cell = len(cells(sys._getframe(1))) - 1
    return recording(partial(remember, model), cell=cell if cell > 0 else None)
