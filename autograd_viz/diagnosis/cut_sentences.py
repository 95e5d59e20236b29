"""What cuts the way to a model's parameters off, in sentences: one for each kind of call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autograd_viz.recorded.flow import Cut

if TYPE_CHECKING:
    from autograd_viz.diagnosis.model_facts import ModelFacts

_SAID: Mapping[str, str] = {  # "{where}": the statement, "{call}": what it calls
    "detach": "detach() in {where} cuts the way off.",
    "data": ".data in {where} cuts the way off. Use the tensor itself.",
    "no_grad": "{call} in {where} is run under torch.no_grad(){switch}, and autograd records "
    "nothing.",
    "inference": "{call} in {where} is run under torch.inference_mode(), and autograd records "
    "nothing.",
    "sample": "sample() in {where} draws without a graph. rsample() draws with one.",
    "create_graph": "autograd.grad() in {where} returns a gradient without a graph. Write "
    "create_graph=True in that call.",
    "copied": "{call} in {where} copies the numbers into a new tensor. Use the tensor "
    "itself; torch.stack() and torch.cat() join several and keep the graph.",
    "checkpoint": "{where} runs inside checkpoint(..., use_reentrant=True), which records nothing "
    "if no input requires grad. Write use_reentrant=False.",
    "not_differentiable": "{call} in {where} has no derivative: its result jumps.",
    "new_leaf": "the result of {call} in {where} became a leaf of its own, as by "
    "nn.Parameter(...) or Variable(...), and a leaf leads to nothing before it.",
    "left": "{call} in {where} takes the numbers out of PyTorch.",
}


def said(facts: ModelFacts, cuts: Sequence[Cut]) -> str:
    """What cuts a parameter off from the output; of several cuts the last one, and how many."""
    cut = cuts[0]
    switch = f" ({facts.where(cut.switch)})" if cut.switch is not None else ""
    told = _SAID[cut.how].format(
        where=facts.where(cut.event), call=f"{cut.function}()", switch=switch
    )
    rest = len({facts.where(each.event) for each in cuts}) - 1
    return told + (f" {rest:,} more cut{'s' * (rest > 1)} lie on other ways." if rest else "")
