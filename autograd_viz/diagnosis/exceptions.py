"""PyTorch's errors about gradients, recognised and explained."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from autograd_viz.diagnosis import call_errors, causes, tensor_errors
from autograd_viz.diagnosis.facts import Facts
from autograd_viz.diagnosis.failed_pass import CHANGED, FREED, explained_pass, explanation
from autograd_viz.diagnosis.failures import PACKAGE, Failure, failure_of
from autograd_viz.diagnosis.reason import Reason
from autograd_viz.diagnosis.said import Said
from autograd_viz.errors import AutogradVizError, NothingToExplainError
from autograd_viz.recorded.flow import History

_KNOWN: tuple[tuple[str, Callable[[Failure], Said | None]], ...] = (
    (re.escape(CHANGED), explained_pass),
    (re.escape(FREED), explained_pass),
    ("grad can be implicitly created only for", call_errors.not_scalar),
    (r"Mismatch in shape: grad_output\[", call_errors.wrong_start),
    ("appears to not have been used in the graph", call_errors.not_used),
    ("One of the differentiated Tensors does not require grad", call_errors.input_needs_nothing),
    ("returned nan values in its", call_errors.nan_in_anomaly_mode),
    ("returned an incorrect number of gradients", call_errors.wrong_count),
    ("returned an invalid gradient at index", call_errors.wrong_shape),
    ("leaf Variable that requires grad is being used in an in-place", tensor_errors.leaf_changed),
    ("A view was created in no_grad mode", tensor_errors.view_without_grad),
    ("output of a function that returns multiple views", tensor_errors.view_of_several),
    (r"Can't call numpy\(\) on Tensor that requires grad", tensor_errors.to_numpy),
    ("support the deepcopy protocol", tensor_errors.deep_copied),
    ("can't optimize a non-leaf Tensor", tensor_errors.not_a_leaf),
    ("only Tensors of floating point (and complex )?dtype can", tensor_errors.whole_numbers),
    ("Inference tensors cannot be saved for backward", tensor_errors.inference_saved),
)
_NO_GRADIENT = "does not require grad and does not have a grad_fn"


def explained(error: BaseException) -> Reason | None:
    """The explanation of an error; None if it is no error of autograd's that we know."""
    error = _of_pytorch(error)
    if (known := getattr(error, "reason", None)) is not None:
        return known if isinstance(known, Reason) else None
    if not isinstance(error, RuntimeError | ValueError):
        return None
    message = str(error)
    if _NO_GRADIENT in message:
        failure = failure_of(error)
        return _no_gradient(failure) if failure is not None else None
    for pattern, says in _KNOWN:
        if re.search(pattern, message, re.IGNORECASE):
            failure = failure_of(error)
            said = says(failure) if failure is not None else None
            return explanation(failure, said) if failure is not None and said else None
    return None


def _of_pytorch(error: BaseException) -> BaseException:
    """The first of an error and its causes that can be explained: a reader's own may wrap it."""
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if getattr(each, "reason", None) is not None or is_known(each):
            return each
        each = each.__cause__ or each.__context__
    return error


def is_known(error: BaseException) -> bool:
    """Whether an error is one that is explained here, by its message alone."""
    if isinstance(error, AutogradVizError) or not isinstance(error, RuntimeError | ValueError):
        return False
    message = str(error)
    return _NO_GRADIENT in message or any(
        re.search(pattern, message, re.IGNORECASE) for pattern, _ in _KNOWN
    )


def _no_gradient(failure: Failure) -> Reason | None:
    """The output does not require grad: the same answer as to `av.why(loss)`."""
    without = [each for each in failure.outputs if not each.requires_grad]
    if not without:
        return None
    reason = causes.answer(Facts(without[0], None, failure.frames[0], is_result=True))
    known = _because(reason)
    if failure.name(without[0]) is None:
        known = re.sub(r"^the tensor ", "the output ", known)
    return replace(reason, text=f"{failure.attempt} because {known}")


def without_gradient(output: Tensor) -> Reason | None:
    """Why an output that the reader gave does not require grad, if that was recorded."""
    if History().maker(output) is None:
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    reason = causes.answer(Facts(output, None, frame, is_result=True))
    return replace(reason, text=_because(reason))


def _because(reason: Reason) -> str:
    """What a reason says after "z.grad is None because"."""
    return re.sub(r"^.{1,80}?\.grad is (None|not written by this output) because ", "", reason.text)


def last_error() -> BaseException | None:
    """The exception that is handled now, or else the last one that ended a cell or a program."""
    handled = sys.exc_info()[1]
    if handled is not None:
        return handled
    last: Any = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return last if isinstance(last, BaseException) else None


def last_explained() -> Reason:
    """The explanation of the last error.

    Raises:
        NothingToExplainError: there was none, or it is none of autograd's.
    """
    error = last_error()
    if error is None:
        raise NothingToExplainError(
            "there was no error that av.why() could explain; to ask about a gradient, give the "
            "tensor and the output: av.why(x, loss)"
        )
    with torch.inference_mode(False):
        reason = explained(error)
    if reason is None:
        raise NothingToExplainError(
            f"the last error, {type(error).__name__}: {str(error).partition(chr(10))[0][:200]!r}, "
            "is none of autograd's that av.why() knows; to ask about a gradient, give the tensor "
            "and the output: av.why(x, loss)"
        )
    return reason
