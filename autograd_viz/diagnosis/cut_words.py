"""What a call is called that cuts a way off, and what to write in its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autograd_viz.diagnosis.reason import Cause

if TYPE_CHECKING:
    from autograd_viz.diagnosis.cases import Case
    from autograd_viz.recorded.events import Event
    from autograd_viz.recorded.flow import Cut

NOT_SEEN = (
    "a recording does not see torch.from_numpy(), torch.autograd.Variable() and what runs outside "
    "of its block"
)
_BUILTINS = {"__float__": "float()", "__int__": "int()", "__complex__": "complex()"}


def called(event: Event) -> str:
    """A call as it is written: `.item()`, `.data`, `torch.tensor()`, `float()`.

    NumPy asks a tensor for its numbers by `__array__`.
    """
    name = event.name
    if name in _BUILTINS:
        return _BUILTINS[name]
    if name == "__array__":
        return "NumPy"
    if name.startswith("get "):
        return f".{name[4:]}"
    if name in ("tensor", "as_tensor", "asarray"):
        return f"torch.{name}()"
    return f".{name}()"


def said(case: Case, cut: Cut, result: str) -> tuple[Cause, str, str]:
    """The cause, what cuts the way off, and the remedy."""
    event = cut.event
    place = case.seen(event)
    source = next((case.called(seen.serial) for seen in event.inputs if seen.needs), None)
    to = f"the way from {result} to {source or case.name}"
    if source is None or result in (source, case.name):
        to = "the way"
    again = f"and compute {result} again."
    name = called(event)
    if cut.how in ("detach", "data"):
        return (
            "detached",
            f"{to} is cut off by {name} in {place}.",
            f"Leave {name} out, {again}",
        )
    if cut.how == "create_graph":
        return (
            "detached",
            f"{to} is cut off by autograd.grad() in {place}: without create_graph=True the "
            "gradient that it returns has no graph of its own.",
            f"Write create_graph=True in that call, {again}",
        )
    if cut.how == "sample":
        return (
            "no_grad",
            f"{to} is cut off by sample() in {place}, which draws without a graph.",
            f"Use rsample(), which draws by a formula that has a slope, {again}",
        )
    if cut.how == "checkpoint":
        return (
            "no_grad",
            f"{place} runs inside checkpoint(..., use_reentrant=True), which follows nothing if no "
            "input of the checkpoint requires grad.",
            f"Give it use_reentrant=False, {again}",
        )
    if cut.how in ("no_grad", "inference"):
        return "no_grad", *_under_no_grad(case, cut, place, result)
    if cut.how == "copied":
        return (
            "copied",
            f"{to} is cut off by {name} in {place}, which copies the numbers into a new tensor.",
            f"Use the tensor itself, or join several by torch.stack() or torch.cat(), {again}",
        )
    if cut.how == "new_leaf":
        new = "its result became the memory of a leaf, as nn.Parameter() and Variable() make one"
        return (
            "detached",
            f"{to} ends in {place}: {new}, and a leaf leads to nothing before it.",
            f"Use the result itself, or make the parameter first and compute with it, {again}",
        )
    return (
        "not_differentiable",
        f"{to} is cut off by {event.name}() in {place}, which has no derivative: its result jumps.",
        f"Use a smooth function in its place, as softmax for argmax, or a product for a choice, "
        f"{again}",
    )


def _under_no_grad(case: Case, cut: Cut, place: str, result: str) -> tuple[str, str]:
    if cut.how == "inference":
        what = "torch.inference_mode()"
    elif cut.switch is None:
        what = "torch.no_grad() or its like, which was on before the recording began"
    else:
        at = case.facts.place(cut.switch)
        decorated = any("decorate_context" in each for each in cut.switch.through)
        case.evidence.append(at.quoted)
        what = f"torch.no_grad() ({at.where})"
        if decorated:
            what = f"torch.no_grad(), by a decorator of the function that {at.where} calls"
        elif at.where == case.facts.place(cut.event).where:
            what = "torch.no_grad(), which that line switches on"
    return (
        f"{place} is run under {what}, and under that autograd records nothing.",
        f"Compute {result} without it.",
    )


def without(statement: str, cut: Cut) -> str | None:
    """The statement with the call mended, where that is a change of a few letters."""
    name = called(cut.event)
    if cut.how in ("detach", "data") and len(re.findall(re.escape(name) + r"\b|\(\)", statement)):
        mended = statement.replace(name, "", 1)
        return mended if mended != statement and statement.count(name) == 1 else None
    if cut.how == "sample" and statement.count(".sample(") == 1:
        return statement.replace(".sample(", ".rsample(")
    if cut.how == "create_graph" and re.fullmatch(
        r"[^()]*\bgrad\((?:[^()]|\([^()]*\))*\).*", statement
    ):
        return re.sub(
            r"(\bgrad\((?:[^()]|\([^()]*\))*)\)", r"\1, create_graph=True)", statement, count=1
        )
    return None
