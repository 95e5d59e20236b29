"""The chain rule path by path: products along the paths from an output to a leaf, and their sum."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autograd_viz import names as naming

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from autograd_viz.engines.protocol import Value
    from autograd_viz.model import Variables
    from autograd_viz.pathwise.data import Paths

MOST = 6  # paths that are listed


def paths(
    output: Tensor | Variables | Value,
    leaf: Tensor | str | Value,
    *,
    most: int = MOST,
    names: Mapping[str, Any] | None = None,
    params: torch.nn.Module | Mapping[str, Tensor] | None = None,
) -> Paths:
    """Return the paths from an output to a leaf, with the product of derivatives along each.

    The chain rule says that the leaf's gradient is the sum of these products. All paths are
    counted and summed, however many there are; listed are `most` of them: where there are more,
    those with the largest products. Where one variable enters another in several ways, as in
    `y = x * x`, each is a path of its own. One backward pass is recorded as by `trace`; nothing of
    yours is changed.

    Products and total are numbers where all derivatives on the way are. Where tensors are on the
    way, a path's product is the gradient that arrives along this path alone, with the leaf's
    shape, and the first paths are listed in the program's order.

    Args:
        output: a real tensor of one element, or a value of another engine; or the variables
            of a trace, for another start: `av.trace(y, grad).variables()`.
        leaf: a tensor that the output was computed from, also an intermediate one; or its name.
        most: how many paths are listed.
        names: as for `graph`.
        params: as for `graph`.

    Raises:
        NotATensorError, NoGraphError, GraphFreedError: as for `trace`.
        GradError: the output has several elements or is complex.
        ValueError: no variable has this name, or the tensor is inside of a larger expression.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(2.0, requires_grad=True)
    >>> b = torch.tensor(4.0, requires_grad=True)
    >>> c = a + b
    >>> d = torch.log2(a) * torch.log2(b)
    >>> e = c * d
    >>> print(av.paths(e, a))
    Paths from e to a: 2
    #  path       product
    1  e → c → a  1 * 2 * 1 = 2
    2  e → d → a  1 * 6 * 1.4427 = 8.6562
    ∂e/∂a = 2 + 8.6562 = 10.6562, and autograd's gradient is the same.
    """
    from autograd_viz.pathwise import ends as path_ends
    from autograd_viz.pathwise import sums as path_sums

    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise ValueError(f"most={most!r}: give the number of paths to list: av.paths(e, a, most=6)")
    frame = sys._getframe(1)
    variables = path_ends.traced(output, frame, names, params)
    goal = path_ends.goal_of(variables, path_ends.name_of(leaf, frame, names) or leaf)
    if goal is not None:
        return path_sums.all_paths(variables, goal, most)
    named = naming.collect(frame, names, params)
    return path_sums.no_paths(variables, next((n for n, t in named if t is leaf), "the leaf"))
