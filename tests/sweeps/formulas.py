"""Which operators of PyTorch's database have formulas, and whether each is right.

`python -m tests.sweeps.formulas` writes docs/formulas.md anew.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import sympy
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

import autograd_viz as av
from autograd_viz.formulas import notation, slopes, symbolic
from autograd_viz.formulas.failures import failures
from autograd_viz.formulas.recipes import read
from autograd_viz.model import Link, Variables
from autograd_viz.operators import scalars
from tests.sweeps import database
from tests.sweeps.checking import start_of

PAGE = Path(__file__).parents[2] / "docs" / "formulas.md"
MOST = 300  # elements of a result, for the sake of time
FUNCTIONS: dict[str, Any] = {  # what the words in a product mean, said once more
    **{name: getattr(torch, name) for name in ("reshape", "outer", "unsqueeze", "conj", "sum")},
    "expand": lambda x, shape: torch.as_tensor(x).expand(shape),
    "ones": lambda *shape: torch.ones(*shape, dtype=torch.float64),
    "softmax": lambda x: torch.softmax(x, -1),
    "softplus": torch.nn.functional.softplus,
    "pi": torch.tensor(math.pi, dtype=torch.float64),
    "log": lambda x: torch.log(torch.as_tensor(x, dtype=getattr(x, "dtype", torch.float64))),
}


MEANINGS: dict[Any, Callable[[Any], Any]] = {  # of functions that SymPy does not have
    scalars.log2: lambda x: sympy.log(x) / sympy.log(2),
    scalars.log10: lambda x: sympy.log(x) / sympy.log(10),
    scalars.sigmoid: lambda x: 1 / (1 + sympy.exp(-x)),
    scalars.softplus: lambda x: sympy.log(1 + sympy.exp(x)),
    scalars.sinc: lambda x: sympy.sinc(sympy.pi * x),
}


class Found(NamedTuple):
    """What was seen of one sample."""

    kind: str  # "numbers" or "tensors"
    shown: int  # formulas
    links: int
    wrong: tuple[str, ...]


def samples(name: str) -> Iterator[Found]:
    """Look at the formulas of an operator: of its samples, and of single elements of them."""
    for sample in database.operator_samples(name):
        if "in place" in sample.title or "float32" in sample.title:
            continue
        leaves = [leaf for leaf in tree_leaves(sample.inputs) if isinstance(leaf, Tensor)]
        try:
            output = next(one for one in _tensors(sample.run()) if one.requires_grad)
        except (RuntimeError, StopIteration):
            continue
        if 0 < output.numel() <= MOST and output.layout is torch.strided:
            yield from _look(output, leaves)
    yield from _of_numbers(name)


def _of_numbers(name: str) -> Iterator[Found]:
    """An element of each tensor in its place."""
    op = database.OPERATORS[name]
    if torch.float64 not in op.supported_backward_dtypes("cpu"):
        return
    torch.manual_seed(0)
    for given in list(op.sample_inputs("cpu", torch.float64, requires_grad=True))[:3]:
        first, args, kwargs = tree_map_only(
            Tensor, _element, (given.input, given.args, given.kwargs)
        )
        try:
            output = op.op(first, *args, **kwargs)
        except Exception:
            continue  # it takes no numbers
        if isinstance(output, Tensor) and output.requires_grad and output.numel() == 1:
            yield from _look(
                output, [x for x in tree_leaves((first, args, kwargs)) if isinstance(x, Tensor)]
            )


def _element(tensor: Tensor) -> Tensor:
    if not tensor.numel() or tensor.layout is not torch.strided or tensor.is_nested:
        return tensor
    one = tensor.detach().reshape(-1)[0].clone()
    return one.requires_grad_(tensor.requires_grad)


def _tensors(tree: Any) -> Iterable[Tensor]:
    return (one for one in tree_leaves(tree) if isinstance(one, Tensor))


def _look(output: Tensor, leaves: list[Tensor]) -> Iterator[Found]:
    names: dict[str, Tensor] = {f"x{at}": leaf for at, leaf in enumerate(leaves)}
    names = {
        name: leaf for name, leaf in names.items() if leaf.is_floating_point() or leaf.is_complex()
    }
    start = start_of(output)
    variables = av.trace(output, start, names={**names, "y": output}).variables()
    root = variables.root
    kinds: dict[str, list[str | None]] = {"numbers": [], "tensors": []}
    for link in variables.links:
        if link.source != root.id or link.contribution is None:
            continue
        sizes = [
            math.prod(one.shape)
            for end in link[:2]
            for one in variables.outputs(variables.nodes[end])
        ]
        if sizes == [1, 1] and slopes.local_derivative(variables, link):
            kinds["numbers"].append(_of_number(variables, link))
        else:
            kinds["tensors"].append(_of_tensor(variables, link, {**names, "y": output}, start))
    for kind, found in kinds.items():
        if found:
            shown = [one for one in found if one is not None]
            yield Found(kind, len(shown), len(found), tuple(one for one in shown if one))


def _of_number(variables: Variables, link: Link) -> str | None:
    """What is wrong with a formula, "" if it is right; None where there is none."""
    if not slopes.has_formula(variables, link):
        return None
    found = read(variables, variables.nodes[link.source])
    assert found is not None
    known = symbolic.derivative(found.recipe, found.places[link.target, 0], found.numbers)
    assert known is not None
    values = {
        symbolic.symbol(place, at): number
        for place, numbers in enumerate(found.numbers)
        for at, number in enumerate(numbers or ())
    }
    plain = known.expression
    for own, meaning in MEANINGS.items():
        plain = plain.replace(own, meaning)
    mine = complex(plain.subs(values).evalf(30, chop=True))
    if link.local is None:
        return ""  # only with 0 was it compared
    if abs(mine.imag) > 1e-12:
        mine = complex(math.nan)
    if math.isnan(mine.real) and math.isnan(link.local):
        return ""
    right = math.isclose(mine.real, link.local, rel_tol=1e-6, abs_tol=1e-12)
    return "" if right else f"{known.expression} is {mine}, not {link.local}"


def _of_tensor(
    variables: Variables, link: Link, names: dict[str, Tensor], start: Tensor
) -> str | None:
    product = notation.vector_jacobian(variables, link)
    if product is None:
        return None
    if "?" in product.text or "target" in product.text:
        return ""  # words for what has no name here
    scope = {name: getattr(torch, name, None) for name in dir(torch)} | FUNCTIONS
    given = {name: tensor.detach() for name, tensor in names.items()}
    text = product.text.replace("∂", "GRADIENT")
    try:
        result = torch.as_tensor(eval(text, scope, {**given, "GRADIENT": start}))
    except Exception as error:
        return f"{product.text}: {error!r}"
    (expected,) = torch.autograd.grad(
        names["y"], names[variables.nodes[link.target].title], start, retain_graph=True
    )
    right = torch.allclose(
        result.to(expected.dtype).expand(expected.shape), expected, rtol=1e-6, equal_nan=True
    )
    return "" if right else f"{product.text} is {result}, not {expected}"


def page(rows: dict[str, dict[str, str]]) -> str:
    """The page with the operators that have formulas, and the names of those that have none."""
    lines = [
        "# Formulas",
        "",
        "Which operators of PyTorch's own test database have a formula for their gradients: "
        "between\nnumbers the local derivative, between tensors the vector-Jacobian product. A "
        "formula is shown\nwhere it gives the gradient at the recorded values; elsewhere the "
        "number stands alone. *some*:\nof some samples, since an option, a dimension or a branch "
        "has no rule. This page is written by\n`python -m tests.sweeps.formulas`, and a test holds "
        "it against what is shown.",
        "",
        "| operator | between numbers | between tensors |",
        "|---|---|---|",
    ]
    known = {name: row for name, row in rows.items() if set(row.values()) - {"", "no"}}
    lines += [f"| `{name}` | {row['numbers']} | {row['tensors']} |" for name, row in known.items()]
    bare = [f"`{name}`" for name in rows if name not in known]
    lines += ["", f"Without a formula are {len(bare)} more: {', '.join(bare)}.", ""]
    return "\n".join(lines)


def row_of(found: Iterable[Found]) -> dict[str, str]:
    """What the page says of an operator."""
    row = {}
    every = list(found)
    for kind in ("numbers", "tensors"):
        mine = [one for one in every if one.kind == kind]
        shown, links = sum(one.shown for one in mine), sum(one.links for one in mine)
        row[kind] = "" if not links else "no" if not shown else "yes" if shown == links else "some"
    return row


def sweep() -> tuple[dict[str, dict[str, str]], list[str]]:
    """The rows of the page, and what is wrong."""
    rows: dict[str, dict[str, str]] = {}
    wrong: list[str] = []
    for operator in database.OPERATORS:
        seen = list(samples(operator))
        rows[operator] = row_of(seen)
        wrong += [f"{operator}: {fault}" for one in seen for fault in one.wrong]
        wrong += [f"{operator}: {failures.pop()!r}" for _ in range(len(failures))]
    return rows, wrong


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    table, faults = sweep()
    print(*faults, sep="\n")
    PAGE.write_text(page(table), encoding="utf-8")
