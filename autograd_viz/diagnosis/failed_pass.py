"""Why a backward pass cannot run: what it needs was changed in place, or freed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from torch import Tensor

from autograd_viz import text
from autograd_viz.diagnosis import call_errors
from autograd_viz.diagnosis.changed import changed_since_saved
from autograd_viz.diagnosis.explanation import Explanation
from autograd_viz.diagnosis.failures import Failure
from autograd_viz.diagnosis.reason import Cause
from autograd_viz.diagnosis.said import Said
from autograd_viz.diagnosis.second_pass import freed_before
from autograd_viz.errors import AutogradVizError
from autograd_viz.recorded.places import spot_of
from autograd_viz.saved import SMALL

CHANGED = "modified by an inplace operation"
FREED = "backward through the graph a second time"


def failed_pass(
    output: Tensor | Sequence[Tensor],
    frame: FrameType | None,
    error: BaseException,
    tensor: Tensor | None = None,
    names: Mapping[str, Tensor] | None = None,
) -> Explanation | None:
    """Say why no backward pass from an output can run, from the state that an error left.

    Args:
        output: what the pass was to begin from.
        frame: the reader's frame, for names and lines.
        error: what PyTorch raised in a pass that was tried.
        tensor: the tensor whose `.grad` the reader asks about.
        names: which win over those of the frame.

    Returns:
        None: it is another error.
    """
    outputs = [output] if isinstance(output, Tensor) else list(output)
    frames = [frame] if frame is not None else []
    spot = spot_of(frame) if frame is not None else None
    error = error.__cause__ if isinstance(error, AutogradVizError) and error.__cause__ else error
    failure = Failure(error, frames, spot, asked=outputs, names=dict(names or {}))
    said = _of_a_function(failure) or explained_pass(failure)
    if said is None:
        return None
    if tensor is None:
        return explanation(failure, said, f"The backward pass from {failure.result} fails: ")
    name = failure.name(tensor)
    grad = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
    begin = f"{name}.grad" if name else "The tensor's .grad"
    begin += " is None" if grad is None else f" is {', '.join(text.summary(grad))}"
    joint = ", because" if grad is None else ", and"
    begin += f"{joint} the backward pass from {failure.result} fails: "
    return explanation(failure, said, begin.replace("None, because", "None because"), tensor)


def _of_a_function(failure: Failure) -> Said | None:
    """A recorded pass from here failed in a custom Function: what it freed on its way is no cause.

    It has not succeeded; so what is said of that error comes before what is said of its traces.
    """
    if FREED not in failure.message:
        return None
    asked = {failure.history.log.find(each) for each in failure.outputs}
    for _, done in failure.history.passes():
        if done.error is None or not asked.intersection(done.outputs):
            continue
        first = Failure(
            RuntimeError(done.error), failure.frames, failure.spot, asked=failure.outputs
        )
        said = call_errors.wrong_count(first) or call_errors.wrong_shape(first)
        if said is not None:
            return said
    return None


def explained_pass(failure: Failure) -> Said | None:
    """What is to be said about a pass that failed; None if it is another error."""
    if failure.captured is None:
        return None
    if CHANGED not in failure.message and FREED not in failure.message:
        return None
    # A pass that failed at a changed value has freed what it went through; asked again, PyTorch
    # tells of that alone.
    changed = (
        changed_since_saved(failure) if failure.call is None or CHANGED in failure.message else None
    )
    return changed or freed_before(failure)


def explanation(
    failure: Failure, said: Said, begin: str | None = None, tensor: Tensor | None = None
) -> Explanation:
    """The answer, with all that its picture needs."""
    begin = f"{failure.attempt} because " if begin is None else begin
    about = tensor if tensor is not None else said.tensor
    small = about is not None and about.numel() <= SMALL and not about.is_meta
    grad = about.grad if about is not None and (about.is_leaf or about.retains_grad) else None
    captured = failure.captured
    variables: Any = captured[0].variables() if captured is not None else None
    cause: Cause = said.cause
    return Explanation(
        cause,
        f"{begin}{said.text}",
        said.line.text if said.line else None,
        said.evidence,
        (failure.name(about) if about is not None else None) or "the tensor",
        failure.result if failure.outputs else None,
        about.detach().clone() if about is not None and small else None,
        None if grad is None else grad.detach().clone(),
        variables,
        leaf=about is not None and about.is_leaf and about.requires_grad,
        instead_of=said.line.instead_of if said.line else None,
        before=said.line.before if said.line else None,
        met=said.met,
        title=said.title,
        marks=said.marks,
        legend=said.legend,
        beside=tuple(said.beside),
    )
