"""The second derivative: autograd through the rule itself, beside nudges of the rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from autograd_viz.custom_functions.comparing import Nudges, one_hot
from autograd_viz.custom_functions.data import Finding, nudged_number
from autograd_viz.custom_functions.habits import said
from autograd_viz.custom_functions.runs import Place, Run, reals
from autograd_viz.custom_functions.slopes import nudged, sides, tolerance
from autograd_viz.text import number
from autograd_viz.walk import walk_from

MOST = 12  # elements that are moved
_REMEDY = (
    " Let backward compute with saved inputs and torch alone, without .data, .detach(), .item() or "
    "NumPy; or let PyTorch refuse second derivatives, by a line between @staticmethod and def "
    "backward (once_differentiable comes from torch.autograd.function)."
)


def of_second(run: Run, known: Nudges, starts: Sequence[Tensor | None]) -> Iterator[Finding]:
    """Whether the rule can be differentiated again, and rightly.

    All of the rule's gradients are weighted and summed, and that number is differentiated.
    """
    alone = sum(reals(each.detach()).numel() for each in (*run.leaves, *run.outputs)) == 2
    weights = [_weights(leaf, alone) for leaf in run.leaves]
    if alone:  # one number by one: what is differentiated is f' itself
        starts = [torch.ones_like(output) for output in run.outputs]
    variable = [start.clone().requires_grad_() for start in starts if start is not None]
    try:
        with torch.enable_grad():
            whole, leaves = _summed(run, run.given, variable, weights, create_graph=True)
        if _refuses(whole):
            text = "backward is marked as @once_differentiable: second derivatives are refused."
            yield Finding("not twice", text, wrong=False)
            return
        by_rule = _differentiated(whole, [*leaves, *variable])
        found = _of_inputs(run, known, starts, weights, by_rule) or _of_arriving(
            run, known, weights, by_rule[len(leaves) :]
        )
    except Exception as error:
        text = f"A second derivative cannot be computed: {said(error)}"
        yield Finding("not twice", text, wrong=False)
        return
    if found is None:
        return
    name, rule, nudge = found
    of = "" if alone else " (of all first ones, weighted and summed)"
    text = (
        f"The second derivative is wrong: by {name}, autograd through backward gives "
        f"{number(rule)}, and a nudge {nudged_number(nudge)}{of}."
    )
    if run.watched.cls is None:
        yield Finding("second derivative", text)
        return
    yield Finding("second derivative", text + _why(run) + _REMEDY, "@once_differentiable")


def _why(run: Run) -> str:
    if "" not in run.context.saved:
        return ""
    return (
        " What forward saved is neither an input nor an output, so autograd does not know how it "
        "was made."
    )


def _summed(
    run: Run,
    values: Sequence[Any],
    starts: Sequence[Tensor | None],
    weights: Sequence[Tensor],
    create_graph: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """The rule's gradients at these values, weighted and summed, and the leaves."""
    leaves, outputs = run.again(values)
    gradients = torch.autograd.grad(
        outputs, leaves, list(starts), create_graph=create_graph, allow_unused=True
    )
    terms = [
        (weight * reals(gradient)).sum()
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is not None
    ]
    whole = torch.stack(terms).sum() if terms else torch.zeros(())
    return whole, leaves


def _refuses(whole: Tensor) -> bool:
    """Whether a function in the graph only raises, as @once_differentiable puts it there.

    It cuts the graph off, so that nothing would come to it, and nothing would be raised.
    """
    if whole.grad_fn is None:
        return False
    return any(
        type(function).__name__ == "Error" for function in walk_from([whole.grad_fn]).functions
    )


def _differentiated(whole: Tensor, by: Sequence[Tensor]) -> tuple[Tensor, ...]:
    if not whole.requires_grad:
        return tuple(torch.zeros_like(each) for each in by)
    found = torch.autograd.grad(whole, list(by), allow_unused=True)
    return tuple(
        torch.zeros_like(tensor) if each is None else each
        for tensor, each in zip(by, found, strict=True)
    )


def _of_inputs(
    run: Run,
    known: Nudges,
    starts: Sequence[Tensor | None],
    weights: Sequence[Tensor],
    by_rule: Sequence[Tensor],
) -> tuple[str, float, float] | None:
    """The first element of an input whose second derivative differs: by the rule, by the nudge."""

    def rule(values: Sequence[Any]) -> Tensor:
        return _summed(run, values, starts, weights)[0].detach().cpu().double().reshape(1)

    noise = run.eps**0.7 * max(each.abs().max().item() for each in by_rule)
    for place in _some(known.moved):
        column = nudged(run, place, rule)
        given, nudge = _at(by_rule[place.part], place), column.slope.item()
        close = tolerance(run.eps) * max(abs(given), abs(nudge)) + column.error.item() + noise
        differ = bool(column.settled) and abs(given - nudge) > close
        if differ and sides(run, place, 0, rule).kind == "smooth":
            return run.input_name(place), given, nudge
    return None


def _of_arriving(
    run: Run, known: Nudges, weights: Sequence[Tensor], by_rule: Sequence[Tensor]
) -> tuple[str, float, float] | None:
    """The same by the gradients that arrive. The rule is linear in them: no step is needed."""
    for output, _ in known.compared[:MOST]:
        found = run.back(one_hot(run, output, 1.0))
        terms = [
            (weight * reals(gradient.detach())).sum().item()
            for weight, gradient in zip(weights, found.gradients, strict=False)
            if gradient is not None
        ]
        given, nudge = _at(by_rule[output.part], output), sum(terms)
        size = sum(map(abs, terms)) + abs(given)
        if abs(given - nudge) > 16 * tolerance(run.eps) * size:
            return f"the gradient that arrives at {run.output_name(output)}", given, nudge
    return None


def _some(moved: Sequence[Place]) -> Sequence[Place]:
    return moved[:: max(1, -(-len(moved) // MOST))]


def _at(tensor: Tensor, place: Place) -> float:
    value = reals(tensor.detach())[place.index].item()
    assert isinstance(value, float)
    return value


def _weights(leaf: Tensor, alone: bool) -> Tensor:
    """A weight for each number; no two alike, since equal ones may cancel."""
    numbers = reals(leaf.detach())
    if alone:
        return torch.ones_like(numbers)
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(numbers.shape, generator=generator) + 0.5).to(numbers)
