"""Errors of a call of `backward()` or `torch.autograd.grad()` itself, in words."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from types import CodeType
from typing import Any

import torch

from autograd_viz import text
from autograd_viz.diagnosis.cases import RECORD
from autograd_viz.diagnosis.edits import Edit, Line, edit_of
from autograd_viz.diagnosis.explanation import Note
from autograd_viz.diagnosis.failures import RECORDED, Failure, tensors_in, within
from autograd_viz.diagnosis.gradient_stops import operation
from autograd_viz.diagnosis.said import Said
from autograd_viz.recorded.events import Spot
from autograd_viz.recorded.places import place

_NUMBERS = re.compile(r"expected (\d+), got (\d+)")
_SHAPES = re.compile(r"index (\d+) - got \[(.*?)\] but expected shape compatible with \[(.*?)\]")
_INDEX = re.compile(r"at index (\d+)")
_NAN = re.compile(r"Function '(\w+)' returned nan values in its (\d+)th output")
_NAMED = re.compile(r"function (\w+) returned", re.IGNORECASE)
_GUARDS = ("sqrt", "rsqrt", "log", "log2", "log10")  # whose slope is infinite at 0


def not_scalar(failure: Failure) -> Said | None:
    """The output has several elements, and no gradient to begin from was given."""
    wrong = [each for each in failure.outputs if each.numel() != 1]
    if not wrong:
        return None
    output = wrong[0]
    name = failure.result if len(failure.outputs) == 1 else failure.name(output) or "an output"
    edit = failure.edit
    line = None
    if edit is not None and edit.begins is not None and len(failure.outputs) == 1:
        line = edit.wrapped(edit.begins, "sum").line
    elif failure.call is not None and failure.call.f_code.co_name == "backward":
        line = Line(f"{name}.sum().backward()")
    instead = f" For the gradient of their sum, write instead: {line.text}" if line else ""
    return Said(
        "not_scalar",
        f"{name} has {output.numel():,} elements (its shape is {list(output.shape)}), and a pass "
        f"begins from one number. Reduce it to one, by .mean() or .sum(), or give the weight of "
        f"each element: backward(torch.ones_like({name})).{instead}",
        line,
        evidence=(f"the shape of {name} is {list(output.shape)}",),
        tensor=output,
        title="Where the backward pass would begin",
        beside=(_failed(failure, cut=True),) if failure.statement else (),
    )


def wrong_start(failure: Failure) -> Said | None:
    """The gradient to begin from has another shape than the output."""
    outputs = failure.outputs
    given = tensors_in(failure.argument("gradient", "grad_tensors", "grad_outputs"))
    pairs = [
        (one, grad) for one, grad in zip(outputs, given, strict=False) if one.shape != grad.shape
    ]
    if not pairs:
        return None
    output, grad = pairs[0]
    name = failure.name(output) or failure.result
    line = None
    edit = failure.edit
    if edit is not None and edit.call is not None and edit.begins is not None and len(given) == 1:
        own = ast.unparse(edit.begins)
        new = ast.parse(f"torch.ones_like({own})", mode="eval").body
        old = _start_argument(edit)
        if old is not None:
            line = edit.replaced(old, new).line
    instead = f" For the gradient of the sum, write instead: {line.text}" if line else ""
    return Said(
        "wrong_start",
        f"the gradient given to begin from has the shape {list(grad.shape)}, and {name} has the "
        f"shape {list(output.shape)}; there has to be one number for each element of {name}."
        f"{instead}",
        line,
        tensor=output,
        title="Where the backward pass would begin",
        beside=(_failed(failure, cut=True),) if failure.statement else (),
    )


def _start_argument(edit: Edit) -> ast.expr | None:
    call = edit.call
    assert call is not None
    for keyword in call.keywords:
        if keyword.arg in ("gradient", "grad_tensors", "grad_outputs"):
            return keyword.value
    is_method = isinstance(call.func, ast.Attribute) and edit.begins is call.func.value
    place = 0 if is_method else 1 if ast.unparse(call.func).endswith("backward") else 2
    return call.args[place] if len(call.args) > place else None


def not_used(failure: Failure) -> Said | None:
    """An input of `torch.autograd.grad` is not in the graph of the outputs."""
    inputs = tensors_in(failure.argument("inputs"))
    found = _INDEX.search(failure.message)
    captured = failure.captured
    if captured is None:
        return None
    walk = captured[1]
    outside = [
        each
        for each in inputs
        if (walk.leaf_ids.get(id(each)) if each.grad_fn is None else walk.index.get(each.grad_fn))
        is None
    ]
    if found is not None and int(found[1]) < len(inputs):
        outside = [inputs[int(found[1])]]
    if not outside:
        return None
    name = failure.name(outside[0]) or "one of the tensors given"
    edit = failure.edit
    line = edit.with_keyword("allow_unused", True).line if edit and edit.call else None
    ways = f" To get None for it, write instead: {line.text}" if line else ""
    cuts = failure.history.cuts(outside[0], failure.outputs[0]) if failure.outputs else []
    cut = failure.place_of(cuts[0].event) if cuts else None
    why = f"no way leads from {failure.result} to it"
    if cut is not None:
        why += f": it is cut off in {cut.quoted}"
    beside = [Note((name, "not in the graph"), None, "tensor", cut=True)]
    return Said(
        "unused",
        f"{name} is not in the graph of {failure.result}: {why}.{ways}",
        line,
        evidence=(failure.message,),
        tensor=outside[0],
        title=f"What {failure.result} was computed from",
        beside=beside,
    )


def input_needs_nothing(failure: Failure) -> Said | None:
    """An input of `torch.autograd.grad` does not require grad."""
    inputs = tensors_in(failure.argument("inputs"))
    plain = [each for each in inputs if not each.requires_grad]
    if not plain:
        return None
    name = failure.name(plain[0])
    line = None
    if name is not None and plain[0].is_floating_point():
        line = Line(f"{name}.requires_grad_()")
    add = f" Before {failure.result} is computed, add: {line.text}" if line else ""
    return Said(
        "not_required",
        f"{name or 'one of the tensors given'} does not require grad, so autograd has not followed "
        f"what was computed from it.{add}",
        line,
        tensor=plain[0],
        title=f"What {failure.result} was computed from",
        beside=(Note((name or "a tensor", "requires_grad is False"), None, "tensor", cut=True),),
    )


def nan_in_anomaly_mode(failure: Failure) -> Said | None:
    """A backward function returned NaN, and anomaly mode looked."""
    found = _NAN.search(failure.message)
    if found is None or failure.captured is None:
        return None
    graph, walk = failure.captured
    nodes = [place for place, one in enumerate(walk.functions) if one.name() == found[1]]
    own = operation(found[1])
    if len(nodes) != 1:
        return Said(
            "nan",
            f"the backward of {own} returned NaN. In which of the {len(nodes)} calls of {own} is "
            f"not told by the error; to know it, ask without anomaly mode for the leaf whose "
            f".grad is NaN: av.why(x, {failure.result})",
            Line(f"av.why(x, {failure.result})"),
            marks=dict.fromkeys(nodes, ("alarm",)),
            legend={"alarm": "one of these returned NaN"},
        )
    (node,) = nodes
    following = walk.nexts[node]
    place_in = int(found[2]) if int(found[2]) < len(following) else 0
    target = following[place_in][0]
    label = graph.nodes[walk.index[target]].label if target is not None else None
    given = failure.named.get(label) if label else None
    value = f", which is {', '.join(text.summary(given))}" if given is not None else ""
    event = failure.made(node)
    said = (
        f"the backward of {failure.function(node)} returned NaN for {label or 'its input'}{value}."
    )
    line: Line | None = None
    if own in _GUARDS and given is not None and bool((given == 0).any()):
        said += f" The slope of {own} is infinite at 0, and 0 times infinity is NaN."
        line = _guarded(event.spot if event is not None else None, own)
    if line is not None:
        where = failure.place_of(event)
        assert where is not None
        said += f" Keep its input away from 0: {within(where.where)} write: {line.text}"
    elif event is None:
        line = Line(RECORDED)
        said += f" Which statement called {own} is not known. {RECORD}"
    return Said(
        "nan",
        said,
        line,
        tensor=given,
        marks={node: ("alarm",)},
        legend={"alarm": "returned NaN"},
    )


def _guarded(spot: Spot | None, own: str) -> Line | None:
    edit = edit_of(spot) if own in _GUARDS else None
    call = edit.call if edit is not None else None
    if edit is None or call is None:
        return None
    match call:
        case ast.Call(func=ast.Attribute(value=held, attr=attr), args=[]) if attr == own:
            part = held
        case ast.Call(args=[part]):
            pass
        case _:
            return None
    new = ast.parse(f"({ast.unparse(part)}).clamp(min=1e-12)", mode="eval").body
    return edit.replaced(part, new).line


# Custom Functions.


def wrong_count(failure: Failure) -> Said | None:
    """A custom Function's backward returned too many gradients, or too few."""
    counts, kind = _NUMBERS.search(failure.message), _function_class(failure)
    if counts is None or kind is None:
        return None
    expected, got = int(counts[1]), int(counts[2])
    inputs = _inputs_of(kind)
    edit = _returned(kind)
    line = None
    if edit is not None:
        line = _of_length(edit, expected)
    more = got > expected
    named = f" ({text.joined(inputs)})" if len(inputs) == expected else ""
    missing = f"; for {text.joined(inputs[got:])} there is none" if named and not more else ""
    said = (
        f"{kind.__name__}.backward returned {got} gradient{'s' * (got != 1)}, and "
        f"{kind.__name__}.forward takes {expected} input{'s' * (expected != 1)}{named}: one is due "
        f"for each, or None where there is nothing to send{missing}."
    )
    if line is not None:
        place_ = _place_of_return(kind)
        gap = "" if more else " (with the gradient in the place of None where one is due)"
        where = within(place_)
        said += f" {where[:1].upper()}{where[1:]}, write{gap}: {line.text}"
    return _custom(failure, kind, said, line)


def wrong_shape(failure: Failure) -> Said | None:
    """A custom Function's backward returned a gradient of another shape than its input has."""
    shapes, kind = _SHAPES.search(failure.message), _function_class(failure)
    if shapes is None or kind is None:
        return None
    index = int(shapes[1])
    got, wanted = (tuple(int(n) for n in shapes[part].split(",") if n.strip()) for part in (2, 3))
    inputs = _inputs_of(kind)
    name = inputs[index] if index < len(inputs) else f"input {index}"
    edit = _returned(kind)
    line = _of_shape(edit, index, got, wanted) if edit is not None else None
    said = (
        f"{kind.__name__}.backward returned a gradient of the shape {list(got)} for {name}, and "
        f"{name} has the shape {list(wanted)}: a gradient has one number for each element."
    )
    if line is not None:
        where = within(_place_of_return(kind))
        said += f" If each element of {name} counts alike, write {where}: {line.text}"
    return _custom(failure, kind, said, line)


def _custom(failure: Failure, kind: Any, said: str, line: Line | None) -> Said:
    nodes: Mapping[int, Any] = {}
    if failure.captured is not None:
        walk = failure.captured[1]
        found = [n for n, one in enumerate(walk.functions) if _class_of(one) is kind]
        nodes = dict.fromkeys(found, ("alarm",))
    return Said(
        "custom_function",
        said,
        line,
        evidence=(failure.message,),
        marks=nodes,
        legend={"alarm": f"the backward of {kind.__name__} failed here"},
    )


def _class_of(function: object) -> Any:
    return getattr(type(function), "_forward_cls", None)


def _function_class(failure: Failure) -> Any:
    found = _NAMED.search(failure.message)
    if found is None or failure.captured is None:
        return None
    kinds = {
        _class_of(one)
        for one in failure.captured[1].functions
        if type(one).__name__ == found[1] and _class_of(one) is not None
    }
    return kinds.pop() if len(kinds) == 1 else None


def _inputs_of(kind: Any) -> list[str]:
    names = [*inspect.signature(kind.forward).parameters]
    has_context = "setup_context" not in vars(kind)
    return names[1:] if has_context else names


def _returned(kind: Any) -> Edit | None:
    """The one return statement of a backward."""
    code: CodeType | None = getattr(kind.backward, "__code__", None)
    found = []
    for number in range(len(code.co_code) // 2) if code is not None else ():
        assert code is not None
        edit = edit_of(Spot(code, number * 2))
        if edit is not None and isinstance(edit.node, ast.Return) and edit.node.value is not None:
            found.append(edit)
    return found[-1] if len({edit.text for edit in found}) == 1 else None


def _place_of_return(kind: Any) -> str:
    code: CodeType = kind.backward.__code__
    edit = _returned(kind)
    for number in range(len(code.co_code) // 2):
        here = edit_of(Spot(code, number * 2))
        if here is not None and edit is not None and here.text == edit.text:
            return place(Spot(code, number * 2)).where
    return f"{kind.__name__}.backward"


def _values(edit: Edit) -> list[ast.expr]:
    assert isinstance(edit.node, ast.Return)
    assert edit.node.value is not None
    is_tuple = isinstance(edit.node.value, ast.Tuple)
    return list(edit.node.value.elts) if is_tuple else [edit.node.value]  # type: ignore[attr-defined]


def _with_values(edit: Edit, values: list[ast.expr]) -> Line:
    assert isinstance(edit.node, ast.Return)
    edit.node.value = values[0] if len(values) == 1 else ast.Tuple(values, ast.Load())
    # In a tuple at the end of a return no brackets are needed.
    inner = text.joined([ast.unparse(each) for each in values], most=len(values))
    return Line(f"return {inner}", instead_of=edit.text)


def _of_length(edit: Edit, wanted: int) -> Line | None:
    values = _values(edit)
    if any(isinstance(each, ast.Starred | ast.Call) and wanted < len(values) for each in values):
        return None
    nones: list[ast.expr] = [ast.Constant(None)] * max(0, wanted - len(values))
    return _with_values(edit, [*values, *nones][:wanted])


def _of_shape(edit: Edit, index: int, got: tuple[int, ...], wanted: tuple[int, ...]) -> Line | None:
    values = _values(edit)
    if index >= len(values):
        return None
    try:
        expands = tuple(torch.broadcast_shapes(got, wanted)) == wanted
    except RuntimeError:
        return None
    if not expands:
        return None
    written = f"({ast.unparse(values[index])}).expand({', '.join(map(str, wanted))})"
    values[index] = ast.parse(written, mode="eval").body
    return _with_values(edit, values)


def _failed(failure: Failure, cut: bool = False) -> Note:
    statement = failure.statement
    assert statement is not None
    return Note((statement.statement or "the call", statement.where), None, cut=cut, code=True)
