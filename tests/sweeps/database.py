"""Samples of PyTorch's operators and modules, from the data that PyTorch tests itself with.

The same samples in every run: they are drawn with a fixed seed, and of many are taken the first,
the middle and the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import hypothesis
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only


@contextmanager
def _settings_kept() -> Iterator[None]:
    """Importing PyTorch's test tools sets Hypothesis's profile and freezes `torch.backends`."""
    profile = hypothesis.settings.get_current_profile_name()
    flag = "__allow_nonbracketed_mutation_flag"
    allowed = getattr(torch.backends, flag)
    try:
        yield
    finally:
        hypothesis.settings.load_profile(profile)
        setattr(torch.backends, flag, allowed)


with _settings_kept():
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db

OPERATORS: dict[str, Any] = {  # those with gradients on a CPU
    op.full_name: op
    for op in sorted(op_db, key=lambda op: op.full_name)
    if op.supports_autograd and op.supported_backward_dtypes("cpu")
}
MODULES: dict[str, Any] = {
    info.name: info for info in sorted(module_db, key=lambda info: info.name)
}
DTYPES = (torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)  # of the operators that take no others

# What PyTorch itself does not do, so that there is no graph to compare.
NOT_IN_PLACE = {
    ("float_power", torch.float32): "PyTorch refuses: the result is float64, the operand is not",
    ("as_strided.partial_views", torch.float32): "a clone has not the storage around the view",
    ("as_strided.partial_views", torch.float64): "a clone has not the storage around the view",
}


@dataclass(frozen=True)
class Sample:
    """One call: `run()` returns the outputs; `inputs` holds all tensors that it starts from."""

    title: str
    run: Callable[[], Any]
    inputs: Any


def operator_samples(name: str) -> Iterator[Sample]:
    """Yield the samples of an operator: each dtype, its in-place variant too."""
    op = OPERATORS[name]
    known = op.supported_backward_dtypes("cpu")
    for dtype in [d for d in DTYPES if d in known] or [d for d in COMPLEX if d in known]:
        inplace = op.inplace_variant if op.supports_inplace_autograd else None
        if (name, dtype) in NOT_IN_PLACE:
            inplace = None
        torch.manual_seed(0)
        given = list(op.sample_inputs("cpu", dtype, requires_grad=True))
        for place in _spread(given):
            one = given[place]
            inputs = _as_leaves((one.input, one.args, one.kwargs))
            first, args, kwargs = inputs
            title = f"{dtype}, sample {place} of {len(given)}"
            yield Sample(title, _call(op.op, first, *args, **kwargs), inputs)
            if inplace is not None and not one.broadcasts_input:
                changing = _call_in_place(inplace, first, *args, **kwargs)
                yield Sample(f"in place, {title}", changing, inputs)


def module_samples(name: str) -> Iterator[Sample]:
    """Yield the samples of a module: each dtype, in training and in evaluation."""
    info = MODULES[name]
    for dtype in DTYPES:
        if dtype not in info.supported_dtypes("cpu"):
            continue
        for training in (True, False):
            torch.manual_seed(0)
            given = info.module_inputs_func(
                info, device="cpu", dtype=dtype, requires_grad=True, training=training
            )
            for place in _spread(given):
                made = given[place].constructor_input
                module = info.module_cls(*made.args, **made.kwargs).to(dtype).train(training)
                called = given[place].forward_input
                args, kwargs = _as_leaves((called.args, called.kwargs))
                title = f"{dtype}, training={training}, sample {place} of {len(given)}"
                inputs = (args, kwargs, list(module.parameters()))
                yield Sample(title, _call(module, *args, **kwargs), inputs)


def _spread(given: list[Any]) -> list[int]:
    """The places of the first, the middle and the last."""
    return sorted({0, len(given) // 2, len(given) - 1}) if given else []


def _as_leaves(tree: Any) -> Any:
    """The same with a leaf in place of each tensor that was computed from another one."""

    def leaf(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_leaf else tensor.detach().requires_grad_()

    return tree_map_only(Tensor, leaf, tree)


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[[], Any]:
    return lambda: function(*args, **kwargs)


def _call_in_place(
    function: Callable[..., Any], first: Any, *args: Any, **kwargs: Any
) -> Callable[[], Any]:
    """The call on a clone: a leaf that requires grad cannot be changed in place."""

    def run() -> Any:
        changed = tree_map_only(Tensor, torch.clone, first)
        returned = function(changed, *args, **kwargs)
        return changed if returned is None else returned

    return run
