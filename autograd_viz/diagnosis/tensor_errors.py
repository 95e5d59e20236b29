"""Errors of operations on a tensor that requires grad, in words."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import Tensor

from autograd_viz import text
from autograd_viz.diagnosis.edits import Edit, Line, out_of_place, short, silenced
from autograd_viz.diagnosis.explanation import Note
from autograd_viz.diagnosis.failures import Failure, tensors_in
from autograd_viz.diagnosis.said import Said
from autograd_viz.names import is_tensor


def leaf_changed(failure: Failure) -> Said:
    """A leaf, or a view of one, was to be changed in place while gradients are recorded."""
    is_view = failure.message.startswith("a view of")
    name, tensor = _first(failure, _is_view_of_leaf if is_view else _is_leaf)
    what = name or "a tensor"
    if is_view and tensor is not None and tensor._is_view():
        base = failure.name(tensor._base)
        kind = f"{what} is a view of {base or 'a leaf'}, a leaf that requires grad"
    else:
        kind = f"{what} is a leaf that requires grad"
    said = (
        f"{kind}, and a change in place would leave it neither a leaf nor what its gradient is of."
    )
    line = silenced(failure.edit)
    if line is None:
        return _about(failure, "leaf_changed", said, None, tensor, name)
    said += f" To give it other numbers, as a step of training does, write: {line.text}"
    return _about(failure, "leaf_changed", said, line, tensor, name)


def view_of_several(failure: Failure) -> Said:
    """A view was to be changed that is one of several results of a call, as of unbind."""
    name, tensor = _first(failure, lambda held: held._is_view())
    line = out_of_place(failure.edit, name)
    said = f"{name or 'it'} is one of several views that one call returned, as unbind and split do"
    said += ", and autograd cannot follow a change of one of them in place."
    if line is not None:
        where = "Before it, add" if line.before else "Write instead"
        said += f" {where}: {line.text}"
    return _about(failure, "view_changed", said, line, tensor, name)


def view_without_grad(failure: Failure) -> Said:
    """A view that was made under no_grad was to be changed while gradients are recorded."""
    name, tensor = _first(failure, lambda held: held._is_view())
    base = failure.name(tensor._base) if tensor is not None else None
    line = silenced(failure.edit)
    said = (
        f"{name or 'it'} is a view{f' of {base}' if base else ''} that was made under "
        "torch.no_grad(), and is changed where gradients are recorded: whether that is to count "
        "is not clear."
    )
    if line is not None:
        said += f" To leave it unrecorded, write: {line.text}"
    return _about(failure, "view_changed", said, line, tensor, name)


def to_numpy(failure: Failure) -> Said:
    """NumPy was to read a tensor that requires grad."""
    own = failure.argument("self")
    name, tensor = _first(failure, lambda held: held.requires_grad)
    edit = failure.edit
    part = _owner(edit, "numpy", "__array__") if edit is not None else None
    if is_tensor(own):
        tensor, name = own, failure.name(own)
        part = part or _argument(failure, edit, own)
    name = short(part) or name
    line = edit.wrapped(part, "detach").line if edit is not None and part is not None else None
    said = (
        f"{name or 'it'} requires grad, and NumPy knows nothing of gradients: what it computes is "
        "cut off."
    )
    if line is not None:
        said += f" If no gradient is to come through there, write: {line.text}"
    return _about(failure, "to_numpy", said, line, tensor, name)


def deep_copied(failure: Failure) -> Said:
    """`copy.deepcopy` of a tensor that was computed."""
    own = failure.argument("self")
    tensor = own if is_tensor(own) else None
    name = failure.name(tensor)
    edit = failure.edit
    part = _argument(failure, edit, tensor) if tensor is not None else None
    line = edit.wrapped(part, "detach").line if edit is not None and part is not None else None
    made = f" (by {tensor.grad_fn.name()})" if tensor is not None and tensor.grad_fn else ""
    said = (
        f"{name or 'a tensor'} was computed{made}, and a deep copy would have to copy its graph; "
        "only leaves can be copied so."
    )
    if line is not None:
        said += f" To copy its numbers, write: {line.text}"
    elif name is not None:
        line = Line(f"{name} = {name}.detach()", before=edit.text if edit is not None else None)
        said += f" To copy its numbers alone, add before: {line.text}"
    return _about(failure, "deep_copied", said, line, tensor, name)


def not_a_leaf(failure: Failure) -> Said:
    """An optimizer was given a tensor that was computed."""
    given = [each for frame in failure.inner for each in tensors_in(frame.f_locals.get("param"))]
    computed = [each for each in given if not each.is_leaf]
    tensor = computed[0] if computed else _first(failure, _is_computed)[1]
    name = failure.name(tensor)
    made = f" (by {tensor.grad_fn.name()})" if tensor is not None and tensor.grad_fn else ""
    said = f"{name or 'a tensor'} was computed{made}, and an optimizer changes leaves only."
    if name is None:
        return _about(failure, "not_leaf", said, None, tensor, name)
    edit = failure.edit
    line = Line(f"{name} = {name}.detach().requires_grad_()", before=edit.text if edit else None)
    said += f" To let {name} be a leaf with these numbers, add before: {line.text}"
    return _about(failure, "not_leaf", said, line, tensor, name)


def whole_numbers(failure: Failure) -> Said:
    """A tensor of whole numbers was to require grad."""
    edit = failure.edit
    said = (
        "only floating-point and complex tensors have gradients: between two whole numbers there "
        "is no slope."
    )
    name, tensor = _first(failure, lambda held: not held.is_floating_point())
    line = None
    if edit is not None and isinstance(edit.node, ast.Assign | ast.Expr):
        call = edit.call
        if call is not None and any(each.arg == "requires_grad" for each in call.keywords):
            new = ast.parse("f(dtype=torch.float32)", mode="eval").body
            assert isinstance(new, ast.Call)
            call.keywords = [*[k for k in call.keywords if k.arg != "dtype"], *new.keywords]
            line, tensor, name = edit.line, None, None
        elif name is not None and name.isidentifier():
            line = Line(f"{name} = {name}.float().requires_grad_()", instead_of=edit.text)
    kind = f"{name} is of {tensor.dtype}, and " if tensor is not None and name else ""
    if line is not None:
        said += f" Write instead: {line.text}"
    return _about(failure, "not_floating", f"{kind}{said}", line, tensor, name)


def inference_saved(failure: Failure) -> Said:
    """A tensor of inference mode takes part where gradients are recorded."""
    name, tensor = _first(failure, lambda held: held.is_inference())
    edit = failure.edit
    line = None
    if name is not None and name.isidentifier():
        line = Line(f"{name} = {name}.clone()", before=edit.text if edit is not None else None)
    said = (
        f"{name or 'a tensor'} was made in inference mode, and autograd cannot save it for a "
        "gradient."
    )
    if line is not None:
        said += f" Before that statement, add: {line.text}"
    return _about(failure, "inference", said, line, tensor, name)


# Which tensor it was.


def _is_leaf(held: Tensor) -> bool:
    return held.is_leaf and held.requires_grad


def _is_computed(held: Tensor) -> bool:
    return held.grad_fn is not None


def _is_view_of_leaf(held: Tensor) -> bool:
    base = held._base if held._is_view() else held
    return base is not None and _is_leaf(base)


def _first(failure: Failure, fits: object) -> tuple[str | None, Tensor | None]:
    """The first tensor of the failed statement for which something holds."""
    for name in _names_in(failure.edit):
        held = failure.named.get(name)
        if held is not None and fits(held):  # type: ignore[operator]
            return name, held
    return None, None


def _names_in(edit: Edit | None) -> Iterator[str]:
    """What the statement changes or is about, first; then all that it reads."""
    if edit is None:
        return
    targets: list[ast.AST] = []
    match edit.node:
        case ast.AugAssign(target=target):
            targets = [target]
        case ast.Assign(targets=found):
            targets = [each for each in found if isinstance(each, ast.Subscript | ast.Attribute)]
    if edit.call is not None:
        targets.append(edit.call.func)
    for part in (*targets, edit.node):
        for each in ast.walk(part):
            if isinstance(each, ast.Name | ast.Attribute | ast.Subscript):
                yield ast.unparse(each)


def _owner(edit: Edit, *methods: str) -> ast.expr | None:
    """X of `x.numpy()`, where such a call is in the statement once."""
    found = [
        each.func.value
        for each in ast.walk(edit.node)
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in methods
    ]
    return found[0] if len(found) == 1 else None


def _argument(failure: Failure, edit: Edit | None, tensor: Tensor) -> ast.expr | None:
    """The argument of the failed call that is a tensor, or that alone can have made it."""
    if edit is None or edit.call is None:
        return None
    given = [*edit.call.args, *(each.value for each in edit.call.keywords)]
    for each in given:
        if failure.named.get(ast.unparse(each)) is tensor:
            return each
    return given[0] if len(given) == 1 and failure.name(tensor) is None else None


def _about(
    failure: Failure,
    cause: object,
    said: str,
    line: Line | None,
    tensor: Tensor | None,
    name: str | None,
) -> Said:
    beside = []
    if (tensor is not None and not tensor.requires_grad) or tensor is None or tensor.is_leaf:
        state = "a leaf that requires grad" if tensor is not None and _is_leaf(tensor) else ""
        if tensor is not None and tensor.is_inference():
            state = "made in inference mode"
        elif tensor is not None and not tensor.is_floating_point():
            state = str(tensor.dtype)
        beside.append(Note(tuple(filter(None, (name or "a tensor", state))), None, "tensor"))
    place = failure.statement
    if place is not None:
        beside.append(
            Note(
                (place.statement or "the call", place.where),
                cut=True,
                code=True,
                below=bool(beside),
            )
        )
    return Said(
        cause,  # type: ignore[arg-type]
        said,
        line,
        evidence=(failure.message.partition(". ")[0],),
        tensor=tensor,
        title=f"Why {text.clean(name) if name else 'a tensor'} cannot be used so",
        beside=beside,
    )
