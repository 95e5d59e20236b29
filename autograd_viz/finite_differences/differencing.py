"""From a function and a step to a Nudge: two runs, and the errors of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autograd_viz.capture import checked_outputs
from autograd_viz.errors import GradError
from autograd_viz.finite_differences import held_fixed
from autograd_viz.finite_differences.data import Errors, Nudge, Value, checked_step
from autograd_viz.finite_differences.shifted_runs import Shifted
from autograd_viz.formulas import hooks
from autograd_viz.model import Variables
from autograd_viz.pathwise import search
from autograd_viz.programs.forward import Program
from autograd_viz.text import as_written, clean

DTYPES = (torch.float32, torch.float64)


def nudged(f: Callable[..., Any], name: str, step: float, inputs: Mapping[str, Any]) -> Nudge:
    """The Nudge of one value of a function by a step."""
    step = checked_step(step)
    runs = Shifted(f, name, inputs)
    output = _number(runs.program)
    after = runs.shifted(step)
    moved = _number(after)
    remarks = []
    if after.statements and _path(after) != _path(runs.program):
        remarks.append("After the step the program ran other statements: the step is too large.")
    if torch.equal(runs.value[runs.element] + step, runs.value[runs.element]):
        remarks.append(
            f"The step is lost in rounding: {str(runs.value.dtype).removeprefix('torch.')} has no "
            f"number so near to {as_written(runs.value[runs.element].item())}."
        )
    difference = (moved.detach() - output.detach()).item()
    gradient = _gradient(runs)
    return Nudge(
        variables=runs.variables,
        output=clean(runs.variables.root.title),
        name=name.strip(),
        step=step,
        rows=tuple(_values(runs, after.variables(), step)),
        difference=difference,
        gradient=gradient,
        remarks=(*remarks, *why(runs, step, difference / step, gradient)),
        measured=lambda steps: _errors(f, name, inputs, steps),
    )


def why(runs: Shifted, step: float, quotient: float, gradient: float | None) -> Iterator[str]:
    """What the gradient does not see of a step, as it was seen in both runs, in sentences."""
    if gradient is None or quotient == gradient:
        return
    said = [*held_fixed.differences(runs.held, runs.watched.held), *_on_the_way(runs)]
    if said and not _is_near(runs, step, gradient):
        yield "The two differ: " + "; ".join(said) + "."


def _is_near(runs: Shifted, step: float, gradient: float) -> bool:
    """Whether they differ by no more than the function's bend and rounding make of it."""
    ends = [_number(runs.shifted(each)).detach() for each in (step, -step)]
    above, below = (end.item() for end in ends)
    rounding = torch.finfo(ends[0].dtype).eps * 8 * max(abs(above), abs(below)) / abs(step)
    quotient = (above - below) / (2 * step)
    return abs(quotient - gradient) <= rounding + 1e-2 * abs(gradient)


def _on_the_way(runs: Shifted) -> Iterator[str]:
    """Hooks and custom Functions between the output and what is nudged."""
    trace = runs.variables.trace
    if trace is None or runs.place is None:
        return
    graph = runs.variables.graph
    found = search.found(graph, search.inputs_first(graph), graph.outputs[0], runs.place)
    yield from hooks.on_the_way(trace, found.nodes, found.edges)
    for node in sorted(found.nodes):
        if graph.nodes[node].custom:
            name = clean(graph.nodes[node].name)
            yield f"{name} is what the author of a custom Function gives for its derivative"


def _number(program: Program) -> Tensor:
    """The output, if it is one real number."""
    output = program.outputs[0]
    if output.numel() != 1 or output.is_complex():
        kind = "complex" if output.is_complex() else f"of shape {list(output.shape)}"
        raise GradError(
            f"the function's output is {kind}, and a quotient needs one real number; let it "
            "return a sum: return y.sum()"
        )
    return checked_outputs([output], call="nudge")[0]


def _path(program: Program) -> list[tuple[int, tuple[str, ...]]]:
    return [(statement.line, statement.operations) for statement in program.statements]


def _gradient(runs: Shifted) -> float | None:
    trace = runs.variables.trace
    if trace is None or runs.place is None:
        return None
    arrived = trace.arrived(runs.place)
    return None if arrived is None else arrived[runs.element].item()


def _values(runs: Shifted, after: Variables, step: float) -> Iterator[Value]:
    found = {name: value for _, name, value in _named(after)}
    # The output's own change is the one that is divided, so it stays as it was measured.
    moved = {clean(runs.name)} - {clean(runs.variables.root.title)}
    for variable, name, value in _named(runs.variables):
        own = runs.element if name in moved else None
        yield Value(variable, name, value, found.get(name), step, own)


def _named(variables: Variables) -> Iterator[tuple[int, str, Tensor]]:
    for variable in variables.nodes:
        outputs = variables.outputs(variable)
        for place, value in enumerate(variables.values(variable)):
            if value is not None:
                label = outputs[place].label if place < len(outputs) else None
                several = len(outputs) > 1 and not label
                title = clean(label or variable.title)
                yield variable.id, f"({title})[{place}]" if several else title, value


def _errors(
    f: Callable[..., Any], name: str, inputs: Mapping[str, Any], steps: Sequence[float]
) -> Errors:
    """The same at many steps, with all inputs in each of the data types.

    A function that cannot do it in one of them, as with a module's parameters in another, leaves
    that one out.
    """
    own = Shifted(f, name, inputs)
    errors: dict[str, tuple[float, ...]] = {}
    measured: dict[str, tuple[float, list[float]]] = {}
    for dtype in DTYPES:
        try:
            runs = Shifted(f, name, {**inputs, **_converted(own.program, dtype)})
            gradient = _gradient(runs)
            output = _number(runs.program).detach()
            quotients = [
                (_number(runs.shifted(step)).detach() - output).item() / step for step in steps
            ]
        except RuntimeError:
            continue
        measured[str(dtype).removeprefix("torch.")] = gradient or 0.0, quotients
    gradient, _ = list(measured.values())[-1] if measured else (_gradient(own) or 0.0, [])
    for kind, (_, quotients) in measured.items():
        errors[kind] = tuple(abs(quotient - gradient) for quotient in quotients)
    return Errors(
        tuple(steps),
        errors,
        gradient,
        _number(own.program).item(),
        own.value[own.element].item(),
    )


def _converted(program: Program, dtype: torch.dtype) -> dict[str, Tensor]:
    """The floating-point inputs in another data type."""
    return {
        name: value.detach().to(dtype).requires_grad_(value.requires_grad)
        for name in program.inputs
        if isinstance(value := program.given(name), Tensor) and value.is_floating_point()
    }
