"""A custom Function held against nudges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from autograd_viz.custom_functions.comparing import Compared, Nudges
    from autograd_viz.custom_functions.data import Finding, FunctionCheck
    from autograd_viz.custom_functions.runs import Run


def check_function(
    function: type[torch.autograd.Function] | Callable[..., Any],
    *inputs: Any,
    second: bool = True,
) -> FunctionCheck:
    """Hold the backward rule of a custom Function against nudges, which need no rule.

    Each element of the Jacobian is computed twice: by the rule, with a gradient arriving that is
    not 1, and by central differences in float64. Then what else can go wrong is tried: how many
    gradients come back and of which shape, what is changed in place, other gradients arriving
    (larger ones, expanded, not contiguous, for one output alone), a second pass, the second
    derivative. What is found is told in sentences, with what to write instead. All runs on copies:
    your tensors, their `.grad`, and random numbers stay as they are.

    `torch.autograd.gradcheck` and `gradgradcheck` compare the same numbers and raise at the first
    that differ. This returns all of them, tells what they are about, and is true or false.

    Args:
        function: a torch.autograd.Function, or any function of tensors.
        inputs: what it is applied to. Those that require a gradient are checked, or else all
            tensors of real or complex numbers; of a large one a sample of elements. In a kink, as
            that of relu at 0, any slope between the two sides counts as right.
        second: whether second derivatives are checked too, where all else is right.

    Raises:
        TypeError: no input is a tensor that can be nudged; no tensor comes back.

    >>> import torch, autograd_viz as av
    >>> class Log2(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return torch.log2(x)
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad / x
    >>> check = av.check_function(Log2, torch.tensor(2.0))
    >>> print(check)
    Log2: rule and nudge differ
             rule  nudge
    ∂out/∂x  0.5   0.7213  differs
    The rule for x differs from the nudge: ∂out/∂x is 0.5 by the rule, 0.7213 by the nudge.
    The rule ran with the gradient 2 arriving, and what it gave was divided by 2.
    The inputs are float32; all was computed with copies in float64.
    >>> bool(check)
    False
    """
    from autograd_viz.custom_functions.data import FunctionCheck, Part
    from autograd_viz.custom_functions.runs import Run, nothing_left
    from autograd_viz.custom_functions.watched import Watched
    from autograd_viz.names import is_tensor
    from autograd_viz.text import clean, summary

    watched = Watched(function)
    with nothing_left():
        run = Run(watched, inputs)
        rows, findings, notes = _checked(run, second)
    values = [
        Part(name, summary(value)[0] if is_tensor(value) else clean(repr(value)), at in run.moved)
        for at, (name, value) in enumerate(zip(run.names, inputs, strict=True))
    ]
    outputs = [
        Part(name, summary(value.detach())[0])
        for name, value in zip(run.output_names, run.outputs, strict=True)
    ]
    return FunctionCheck(
        watched.name,
        tuple(values),
        tuple(outputs),
        tuple(each.row for each in rows),
        tuple(findings),
        tuple(notes),
    )


def _checked(run: Run, second: bool) -> tuple[list[Compared], list[Finding], list[str]]:
    """All that is compared and found."""
    from autograd_viz.custom_functions import comparing, disputes, habits, returned
    from autograd_viz.custom_functions.data import Finding
    from autograd_viz.custom_functions.second import of_second
    from autograd_viz.text import joined

    if not run.outputs:
        names = joined([run.names[place] for place in run.moved])
        text = (
            f"No output of {run.watched.name} requires a gradient: autograd recorded nothing that "
            f"leads to the inputs. {returned.DETACHED.format(names)}"
        )
        return [], [Finding("needs no gradient", text)], []
    findings = [*habits.of_forward(run)]
    if any(each.kind == "not repeatable" for each in findings):
        return [], findings, []
    known = comparing.nudges(run)
    starts = habits.dense(run)
    whole = run.back(starts)
    findings += returned.of_returned(run, known, whole)
    rows = [*comparing.compared(run, known)]
    if whole.error is None:
        state = [*habits.of_state(run, starts)]
        arriving = [] if state else [*habits.of_arriving(run, starts)]
        findings += [*state, *arriving]
        if not any(each.kind in ("not linear", "not repeatable") for each in findings):
            findings += disputes.of_rows(run, rows)
        # What is wrong so far makes these wrong too.
        if not any(each.wrong for each in findings):
            findings += disputes.of_all_at_once(run, known, starts, whole)
        if second and not any(each.wrong for each in findings):
            findings += of_second(run, known, starts)
    return rows, findings, [*_notes(run, known, rows)]


def _notes(run: Run, known: Nudges, rows: Sequence[Compared]) -> Iterator[str]:
    from autograd_viz.custom_functions.comparing import ARRIVING, sampled
    from autograd_viz.custom_functions.slopes import tolerance
    from autograd_viz.text import number

    if any(each.row.rule is not None for each in rows):
        yield (
            f"The rule ran with the gradient {number(ARRIVING)} arriving, and what it gave was "
            f"divided by {number(ARRIVING)}."
        )
    kinds = " and ".join(run.kinds)
    if run.precise and not {"float64", "complex128"} >= {*run.kinds}:
        yield f"The inputs are {kinds}; all was computed with copies in float64."
    if not run.precise:
        yield (
            f"{run.watched.name} does not compute in float64, so all was computed in {kinds}: "
            f"rule and nudge count as equal to within {100 * tolerance(run.eps):.2g} %."
        )
    if sample := sampled(run, known):
        yield sample
    if run.constant:
        one = len(run.constant) == 1
        yield (
            f"{len(run.constant)} output{' requires' if one else 's require'} no gradient and "
            f"{'was' if one else 'were'} not checked."
        )
