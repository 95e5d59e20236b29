"""Rules for the vector-Jacobian products of tensor operations, in the notation of the field.

Each is written as PyTorch would compute it. An operation without a rule, or one of which the graph
does not keep enough, gives None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from autograd_viz.formulas.products import (
    ATOM,
    GRADIENT,
    POWER,
    PRODUCT,
    SUM,
    Product,
    Shape,
    Text,
    listed,
)
from autograd_viz.text import as_written


class Step(NamedTuple):
    """One operation on the way, with what its rule may need."""

    name: str
    place: int  # which of its inputs the way leads to
    operands: tuple[Text | None, ...]  # None: not kept
    shapes: tuple[Shape | None, ...]  # of the operands
    out: Text
    options: dict[str, Any]

    @property
    def shape(self) -> Shape | None:
        """Shape of the input that the way leads to."""
        return self.shapes[self.place]

    def operand(self, number: int) -> Text | None:
        """An operand's text."""
        return self.operands[number] if number < len(self.operands) else None


def vector_jacobian(steps: Sequence[Step], ones: bool) -> Product | None:
    """The gradient at the end of a way, written from the one at its beginning.

    `ones`: the way begins at the output itself, whose gradient is 1.
    """
    start = steps[0].out.shape
    if start is None:
        return None
    gradient = Text(GRADIENT, start)
    found: Product | None = Product(start, () if ones else (gradient,), spread=ones)
    number = 0
    while found is not None and number < len(steps):
        step = steps[number]
        following = steps[number + 1] if number + 1 < len(steps) else None
        if step.shape is None:
            return None
        if step.name == "NllLoss" and following and following.name == "LogSoftmax":
            found = _cross_entropy(found, step, following)
            number += 1
        else:
            found = _through(found, step)
        number += 1
    return found


def _number(value: float) -> Text:
    return Text(as_written(value), (), ATOM if value >= 0 else PRODUCT)


def _through(g: Product, step: Step) -> Product | None:
    """Through one operation; g has the shape of its result."""
    target, out, options = step.shape, step.out, step.options
    assert target is not None
    x, y = step.operand(0), step.operand(1)
    other = y if step.place == 0 else x
    match step.name:
        case "Add" | "Sub":
            alpha = options.get("alpha", 1)
            scaled = g.times(_number(alpha)) if step.place and alpha != 1 else g
            negative = step.name == "Sub" and step.place == 1
            return _unbroadcast(scaled.minus() if scaled and negative else scaled, target)
        case "Rsub":  # other - alpha * self
            alpha = options.get("alpha", 1)
            scaled = g.times(_number(alpha)) if step.place == 0 and alpha != 1 else g
            return _unbroadcast(scaled.minus() if scaled and step.place == 0 else scaled, target)
        case "Neg":
            return g.minus()
        case "Mul":
            return _unbroadcast(g.times(other), target)
        case "Div" if step.place == 0:
            return _unbroadcast(g.over(y), target)
        case "Div":
            divided = g.times(x)
            squared = divided.over(_power(y, 2)) if divided else None
            return _unbroadcast(squared.minus() if squared else None, target)
        case "Pow" if step.place == 0:
            return _unbroadcast(_through_power(g, x, y), target)
        case "Mm" | "Bmm" | "Addmm" | "Mv":
            return _through_matrices(g, step)
        case "Dot":
            return replace(g, shape=target).times(other and other._replace(shape=target))
        case "T" | "Transpose" | "Permute":
            return _single(_transposed(g.whole()), target) if len(target) == 2 else None
        case "View" | "ReshapeAlias" | "UnsafeView" | "Unsqueeze" | "Squeeze":
            if g.spread:
                return replace(g, shape=target)
            return _single(Text(f"reshape({g.text}, ({listed(target)}))"), target)
        case "Expand":
            return _unbroadcast(g, target)
        case "Sum" | "Mean":
            return _spread(g, step)
        case "Softmax":
            return _through_softmax(g, out, options)
        case "LogSoftmax" if "dim" in options:
            total = f"sum({g.text}, dim={options['dim']}, keepdim=True)"
            return _single(Text(f"{g.text} - exp({out.text}) * {total}", None, SUM), target)
        case "NllLoss":
            return _through_nll(g, step)
        case "MseLoss":
            count = _count(step)
            if x is None or y is None or count is None:
                return None
            if y.text == "?":
                y = Text("target", y.shape)
            first, second = (x, y) if step.place == 0 else (y, x)
            gap = Text(f"{first.text} - {second.inside(SUM + 1)}", target, SUM)
            wide = replace(g, shape=target, spread=g.shape != target)
            doubled = wide.times(Text("2", ()), gap)
            return doubled and (doubled.over(_number(count)) if count > 1 else doubled)
        case "Clone" | "ToCopy" | "Alias":
            return g
        case "Softplus":
            return _through_softplus(g, x, options)
    return _elementwise(g, step.name, x, out)


def _through_softplus(g: Product, x: Text | None, options: dict[str, Any]) -> Product | None:
    beta = options.get("beta", 1)
    if x is None or options.get("threshold", 20) != 20:  # above it, the slope is taken as 1
        return None
    inner = x.text if beta == 1 else f"{beta:g} * {x.inside(PRODUCT)}"
    return g.times(Text(f"sigmoid({inner})", g.shape))


def _elementwise(g: Product, name: str, x: Text | None, y: Text) -> Product | None:
    """Through a function of each element; x goes in and y comes out."""
    shape = g.shape

    def text(form: str, strength: int = SUM) -> Text | None:
        if "{x}" in form and x is None:
            return None
        inner = x.text if x is not None else ""
        if x is not None and ("{x} " in form or "{x}*" in form):
            inner = x.inside(SUM + 1)
        return Text(form.format(x=inner, y=y.inside(SUM + 1)), shape, strength)

    match name:
        case "Relu":
            return g.times(text("{y} > 0"))
        case "Sigmoid":
            return g.times(y._replace(shape=shape), text("1 - {y}"))
        case "Tanh":
            return g.times(text("1 - " + _power_text(y, 2)))
        case "Exp":
            return g.times(y._replace(shape=shape))
        case "Log":
            return g.over(x)
        case "Log2":
            return g.over(x, Text("log(2)", ()))
        case "Sqrt":
            return g.over(Text("2", ()), y._replace(shape=shape))
        case "Sin":
            return g.times(text("cos({x})", ATOM))
        case "Cos":
            found = g.times(text("sin({x})", ATOM))
            return found and found.minus()
        case "Abs":
            return g.times(text("sign({x})", ATOM))
        case "Reciprocal":
            divided = g.over(_power(x, 2))
            return divided and divided.minus()
    return None


def _power_text(base: Text, exponent: float) -> str:
    return f"{base.inside(ATOM)}**{as_written(exponent)}"


def _power(base: Text | None, exponent: float) -> Any:
    if base is None:
        return None
    return Text(_power_text(base, exponent), base.shape, POWER)


def _through_power(g: Product, x: Text | None, exponent: Text | None) -> Product | None:
    if x is None or exponent is None or exponent.shape != ():
        return None
    try:
        power = float(exponent.text)
    except ValueError:
        return None
    if power == 2:
        return g.times(Text("2", ()), x)
    return g.times(_number(power), _power(x, power - 1)) if power > 1 else None


def _single(text: Text, shape: Shape) -> Product:
    return Product(shape, (text._replace(shape=shape),))


def _transposed(x: Text) -> Text:
    shape = x.shape[::-1] if x.shape is not None else None
    if x.pair:
        return _matrices(_transposed(x.pair[1]), _transposed(x.pair[0]), shape)
    if x.text.endswith(".T") and x.strength == ATOM:
        return Text(x.text[:-2], shape)
    return Text(f"{x.inside(ATOM)}.T", shape)


def _matrices(left: Text, right: Text, shape: Shape | None) -> Text:
    text = f"{left.inside(PRODUCT + 1)} @ {right.inside(PRODUCT + 1)}"
    return Text(text, shape, PRODUCT, (left, right))


def _through_matrices(g: Product, step: Step) -> Product | None:
    target = step.shape
    assert target is not None
    if {step.options.get("alpha", 1), step.options.get("beta", 1)} != {1}:
        return None
    index, (left, right) = step.place, step.operands[-2:]
    if step.name == "Addmm":
        if index == 0:
            return _unbroadcast(g, target)
        index -= 1
    other = right if index == 0 else left
    if other is None:
        return None
    gradient = g.whole()
    if step.name == "Mv":
        if index == 0:
            return _single(Text(f"outer({gradient.text}, {other.text})"), target)
        return _single(_matrices(_transposed(other), gradient, target), target)
    if step.name == "Bmm":
        turned = other.shape and (other.shape[0], other.shape[2], other.shape[1])
        turned_text = Text(f"{other.inside(ATOM)}.mT", turned or None)
    else:
        known = other.shape or (
            # A constant's shape is not kept, but follows from the other two.
            (target[1], g.shape[1]) if index == 0 else (g.shape[0], target[0])
        )
        turned_text = _transposed(other._replace(shape=known))
    pair = (gradient, turned_text) if index == 0 else (turned_text, gradient)
    return _single(_matrices(*pair, target), target)


def _unbroadcast(g: Product | None, target: Shape) -> Product | None:
    """Summed over the dimensions along which an operand was repeated."""
    if g is None or g.shape == target:
        return g
    new = len(g.shape) - len(target)
    repeated = [new + dim for dim, size in enumerate(target) if size != g.shape[new + dim]]
    if g.spread:  # a sum of equal numbers
        return replace(g, shape=target).times(_number(math.prod(g.shape) // math.prod(target)))
    if not target:
        return _single(Text(f"sum({g.text})"), target)
    if new and repeated:
        return None
    dims = list(range(new)) or repeated
    shown = str(dims[0]) if len(dims) == 1 else f"({', '.join(map(str, dims))})"
    keep = ", keepdim=True" if repeated else ""
    return _single(Text(f"sum({g.text}, dim={shown}{keep})"), target)


def _spread(g: Product, step: Step) -> Product | None:
    """Through a sum or a mean: the gradient goes to each element alike."""
    target, before = step.shape, step.out.shape
    assert target is not None
    if before is None:
        return None
    count = math.prod(target) // max(math.prod(before), 1)
    if g.spread or math.prod(before) == 1:
        wide = replace(g, shape=target, spread=True)
        if before not in ((), target) and not g.spread:  # a gradient of shape (1, 1)
            return None
    else:
        dim = step.options.get("dim")
        dims = (dim,) if isinstance(dim, int) else dim
        if len(before) == len(target):
            inner = g.text
        else:
            fitting = [at for at in range(len(target)) if target[:at] + target[at + 1 :] == before]
            if dims is None and len(fitting) == 1:
                dims = tuple(fitting)
            if dims is None or len(dims) != 1:
                return None
            at = dims[0] % len(target)
            inner = g.text if at == 0 else f"unsqueeze({g.text}, {at})"
        wide = _single(Text(f"expand({inner}, ({listed(target)}))"), target)
    return wide.over(_number(count)) if step.name == "Mean" else wide


def _through_softmax(g: Product, out: Text, options: dict[str, Any]) -> Product | None:
    if "dim" not in options:
        return None
    weighted = g.times(out._replace(shape=g.shape))
    assert weighted is not None
    total = f"sum({weighted.text}, dim={options['dim']}, keepdim=True)"
    gap = Text(f"{g.whole().inside(PRODUCT)} - {total}", g.shape, SUM)
    return _single(out, g.shape).times(gap)


def _count(step: Step) -> float | None:
    """By what a loss divides: 1 for a sum; None where the graph does not keep how it reduces."""
    shape, reduction = step.shape or (), step.options.get("reduction")
    if reduction is None:
        return 1 if math.prod(shape) == 1 else None
    return math.prod(shape) if reduction == 1 else 1


def _rows(step: Step) -> int | None:
    """By what a classification loss divides; None where classes have weights."""
    shape, reduction = step.shape or (), step.options.get("reduction")
    if reduction not in (1, 2) or len(shape) > 2:
        return None
    rows = shape[0] if len(shape) == 2 else 1
    if step.options.get("total_weight", rows) != rows:
        return None
    return rows if reduction == 1 else 1


def _through_nll(g: Product, step: Step) -> Product | None:
    rows, target = _rows(step), step.shape
    if rows is None or target is None:
        return None
    wide = replace(g, shape=target, spread=True)
    hot = wide.times(Text(f"onehot({_target(step)})", target))
    divided = hot.over(_number(rows)) if hot and rows > 1 else hot
    return divided and divided.minus()


def _cross_entropy(g: Product, loss: Step, softmax: Step) -> Product | None:
    """Log-softmax and negative log-likelihood together have one well-known gradient."""
    rows, target, scores = _rows(loss), loss.shape, softmax.operand(0)
    if rows is None or target is None or scores is None:
        return None
    gap = Text(f"softmax({scores.text}) - onehot({_target(loss)})", target, SUM)
    wide = replace(g, shape=target, spread=True).times(gap)
    return wide.over(_number(rows)) if wide and rows > 1 else wide


def _target(step: Step) -> str:
    target = step.operand(1)
    return target.text if target and target.text != "?" else "target"
