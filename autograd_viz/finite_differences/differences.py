"""The derivative as a finite difference: nudge one value and see what moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autograd_viz.finite_differences.data import Nudge


def nudge(f: Callable[..., Any], name: str, step: float = 0.001, /, **inputs: Any) -> Nudge:
    """Move one value of a function by a small step, and compare with autograd's gradient.

    The function is run twice, before and after the step, with the same random numbers. All values
    are computed in the data type of the inputs, float32 where they are plain numbers: so the
    quotients show the rounding too. Of what is moved itself, the change reads as the step.

    Args:
        f: a function that computes one real number with torch, as for `program`.
        name: what is moved: an input, an element of one (`"x[1]"`), or a variable that the
            function computes.
        step: by how much; any number but 0.
        inputs: the function's arguments by name, as for `program`.

    Raises:
        ValueError: the step is 0, infinite or NaN; there is no such variable or element.
        TypeError: what is named is no floating-point number; the arguments do not fit.
        GradError: the function returns several numbers.
        NoGraphError: no input requires a gradient.

    >>> import autograd_viz as av
    >>> def f(a, b, c):
    ...     u = b * c
    ...     v = a + u
    ...     J = 3 * v
    ...     return J
    >>> print(av.nudge(f, "b", 0.001, a=5.0, b=3.0, c=2.0))
    J as b moves by 0.001
    variable  before  after   change     change / step
    a         5       5       0          0
    b         3       3.001   +0.001     1
    c         2       2       0          0
    u         6       6.002   +0.002000  1.9999
    v         11      11.002  +0.002000  1.9999
    J         33      33.006  +0.006001  6.0005
    ΔJ/Δb = 0.0060005/0.001 = 6.0005, and the gradient is ∂J/∂b = 6
    """
    from autograd_viz.finite_differences import differencing

    return differencing.nudged(f, name, step, inputs)
