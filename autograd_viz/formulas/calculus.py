"""The calculus of a backward pass: the chain rule of each of its steps, in formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autograd_viz import frames, text
from autograd_viz.formulas import hooks, notation
from autograd_viz.formulas.recipes import elements, is_to_constant
from autograd_viz.formulas.slopes import local_derivative
from autograd_viz.model import Link, Variables
from autograd_viz.picture import Formula
from autograd_viz.typeset import Line, Run, derivative, math

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["chain_rule", "chain_rules", "local_derivative"]


def chain_rule(variables: Variables, link: Link) -> Formula:
    """What one link brings to a gradient: `∂e/∂a += ∂e/∂c * ∂c/∂a = 2 * 1 = 2`.

    `+=` stands where several contributions meet in the variable, `=` where it is the only one.
    Between tensors it is the vector-Jacobian product, as in `∂L/∂W = xᵀ @ ∂L/∂y`. Where a hook
    changed what arrives at one of its ends, or further up, the line says so.

    Args:
        variables: a traced computation by variable.
        link: one of its links.

    Raises:
        ValueError: no backward pass was recorded.

    >>> import torch, autograd_viz as av
    >>> w = torch.tensor(3.0, requires_grad=True)
    >>> s = 2 * w
    >>> loss = s**2
    >>> variables = av.trace(loss).variables()
    >>> for link in variables.links:
    ...     print(chain_rule(variables, link))
    ∂loss/∂w = ∂loss/∂s * ∂s/∂w = 12 * 2 = 24
    ∂loss/∂s = ∂loss/∂loss * ∂loss/∂s = 1 * 12 = 12
    """
    said = [f"; {hooks.made(variables.trace, place)}" for place in hooks.along(variables, link)]
    return Formula((*line(variables, link), *map(Run, dict.fromkeys(said))))


def chain_rules(variables: Variables) -> tuple[tuple[int, Formula], ...]:
    """The chain-rule line of each link, with the frame of the backward view that it belongs to.

    They stand in the order of the backward view's frames; links to constants have none.
    """
    shown, links = frames.drawn(variables)
    appears = frames.backward(shown, links)
    numbered = [
        (appears[number, 1], number)
        for number, link in enumerate(links)
        if not is_to_constant(variables, link)
    ]
    # Within a frame in the order of the sum that the variable's oval shows.
    return tuple((frame, chain_rule(variables, links[at])) for frame, at in sorted(numbered))


def line(variables: Variables, link: Link) -> Line:
    """The chain rule of a link, as the function has it before a hook changes what it sends."""
    if variables.trace is None:
        raise ValueError(
            "the chain rule of a step needs a backward pass, and av.graph() runs none; trace the "
            "output instead: variables = av.trace(e).variables()"
        )
    source, target = variables.nodes[link.source], variables.nodes[link.target]
    if is_to_constant(variables, link):
        return (*math(text.clean(target.title)), Run(": no gradient"))
    gained = notation.gradient_symbol(variables, target)
    if source.node not in variables.trace.step_of:
        return (*gained, Run(": not reached"))
    sign = notation.gains(variables, link)
    arriving = notation.gradient_symbol(variables, source)
    local = derivative(text.clean(source.title), text.clean(target.title))
    contribution = hooks.computed(variables, link)
    if contribution is None:
        several = len(variables.outputs(target)) > 1
        return (*gained, Run(f"{sign}{'several gradients' if several else 'None'}"))
    arrived = notation.arrived(variables, source)
    if link.local is not None and arrived is not None and arrived.numel() == 1:
        numbers = f"{text.summary(arrived.reshape(()))[0]} * {_signed(link.local)}"
        brought = text.summary(contribution.reshape(()))[0]
        return (*gained, Run(sign), *arriving, Run(" * "), local, Run(f" = {numbers} = {brought}"))
    value = _few(contribution)
    found = notation.vector_jacobian(variables, link)
    if found is not None:
        product = notation.product_line(variables, source, found)
        rows = notation.checked(found)
        return (*gained, Run(sign), *product, *value, *((Run(rows),) if rows else ()))
    sizes = [sum(elements(o.shape) for o in variables.outputs(one)) for one in (source, target)]
    known = min(sizes) >= 0  # of a nested tensor they are not
    shapes = f", (1 × {sizes[0]}) @ ({sizes[0]} × {sizes[1]})" if known else ""
    return (*gained, Run(sign), *arriving, Run(" @ "), local, Run(shapes), *value)


def _few(tensor: Tensor) -> Line:
    """The value, if it is a number or a few."""
    few = not tensor.is_nested and tensor.ndim < 2 and tensor.numel() <= text.FEW
    return (Run(f" = {text.summary(tensor)[0]}"),) if few else ()


def _signed(number: float) -> str:
    shown = text.number(number)
    return f"({shown})" if shown.startswith("-") else shown
