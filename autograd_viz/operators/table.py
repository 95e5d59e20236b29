"""PyTorch's operations, one record each: how one reads, what it computes, what its gradients are.

A new formula is a new record here. `scalar` says in SymPy what the operation computes of numbers,
from which the local derivative follows, and between tensors the vector-Jacobian product as well;
`tensor` says that product itself where it reads better, or where the operation is not one of each
element. Both are computed at the recorded numbers before they are shown.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from autograd_viz.operators import products as p
from autograd_viz.operators.terms import call, number


class _Later:
    """A module that is loaded when something of it is asked for: SymPy takes half a second."""

    def __init__(self, name: str) -> None:
        self._name = f"autograd_viz.operators.{name}"

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


m, arrays = _Later("scalars"), _Later("arrays")
Scalar = Callable[..., Any]
Flat = Literal["", "somewhere", "everywhere"]


@dataclass(frozen=True)
class Operation:
    """One operation of PyTorch; the name is that of its gradient function without `Backward0`."""

    name: str
    roles: tuple[str, ...] = ("self",)  # PyTorch's words for its inputs
    sign: str = ""  # between its two inputs
    call: str = ""  # the function as a program calls it, "log1p"
    calls: frozenset[str] = frozenset()  # all functions whose arguments are the roles, in order
    reverse: Mapping[str, str] | None = None  # functions that have a number first, and its role
    words: tuple[str, ...] = ()  # what other engines call it
    options: frozenset[str] = frozenset()  # that its rules know; with another there is no formula
    scalar: Scalar | None = None  # (options, *numbers) -> SymPy's expression
    small: Scalar | None = None  # (what is known, *arrays) -> arrays of SymPy's expressions
    tensor: tuple[p.Rule, ...] = ()  # of each input the vector-Jacobian product
    whole: bool = False  # its text has all that it takes to compute it
    loss: bool = False  # `scalar` is what one element adds to it
    arithmetic: bool = False  # whole numbers among its arguments are operands, no options
    symmetric: bool = False  # of `a * a` each a contributes the same
    looks: Literal["", "view", "copy"] = ""  # the same numbers in another shape, order or tensor
    flat: Flat = ""  # where its derivative is 0 though its input moves

    @property
    def kept(self) -> str:
        """PyTorch's word for its second input, where that may be a plain number."""
        return self.roles[1] if self.sign and self.sign != "@" else ""


def kind(name: str) -> str:
    """The operation of a gradient function by its name alone.

    >>> kind("MulBackward0"), kind("aten::MulBackward0"), kind("MyFunctionBackward")
    ('Mul', 'Mul', 'MyFunction')
    """
    return re.sub(r"Backward\d*$", "", name.rpartition("::")[2])


_VARIANTS = re.compile(r"(Div|Round|Fmod|Remainder|Norm)Backward[1-9]")  # other functions


@lru_cache(4096)
def operation(name: str) -> Operation:
    """The record of a gradient function; of an unknown one a record without rules.

    >>> operation("MulBackward0").sign, operation("Rad2DegBackward0").call
    ('*', 'rad2deg')
    >>> operation("DivBackward2").name, operation("MyFunctionBackward").name
    ('DivBackward2', 'MyFunctionBackward')
    """
    plain = re.sub(r"Backward\d+$", "", name.rpartition("::")[2])
    if _VARIANTS.fullmatch(name) and name != "DivBackward1":
        plain = name
    return TABLE.get(plain) or Operation(plain, call=_call(kind(name)))


def _call(name: str) -> str:
    """PyTorch's function of the name: log_softmax for LogSoftmax, rad2deg for Rad2Deg."""
    name = re.sub(r"(?<=\d)[A-Z](?=[A-Z]|$)", lambda letter: letter[0].lower(), name)
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    name = re.sub(r"(?<=[a-z])2_(?=[a-z])", "2", name)
    return re.sub(r"^(linalg|special|fft)_", r"\1.", name)


def functions(known: Callable[[Operation], object]) -> Iterator[str]:
    """The functions of all operations of which something is so."""
    return (name for one in TABLE.values() if known(one) for name in one.calls)


TABLE: dict[str, Operation] = {}


def _define(names: str, roles: str = "self", calls: str = "", **fields: Any) -> None:
    """Put one record in the table for each name."""
    for name in names.split():
        plain = fields.get("call") or _call(kind(name))
        TABLE[name] = Operation(
            name,
            tuple(roles.split()),
            **{
                **fields,
                "call": plain,
                "calls": frozenset((plain, *calls.split())),
                "words": tuple(fields.get("words", "").split()),
                "options": frozenset(fields.get("options", "").split()),
            },
        )


# Sums and products of each two elements

_define(
    "Add", "self other", "radd", sign="+", words="+ plus", options="alpha", arithmetic=True,
    symmetric=True, scalar=lambda o, x, y: x + o("alpha", 1) * y, tensor=(p.same, p.scaled),
)  # fmt: skip
_define(
    "Sub", "self other", "subtract", sign="-", words="- minus subtract", options="alpha",
    arithmetic=True, scalar=lambda o, x, y: x - o("alpha", 1) * y,
    tensor=(p.same, lambda g, s: -p.scaled(g, s)),
)  # fmt: skip
_define(
    "Rsub", "self other", "rsub", options="alpha", arithmetic=True,
    reverse={"__rsub__": "other", "rsub": "other"},
    scalar=lambda o, x, y: y - o("alpha", 1) * x,
    tensor=(lambda g, s: -p.scaled(g, s), p.same),
)  # fmt: skip
_define(
    "Mul", "self other", "multiply rmul", sign="*", words="* multiply times", arithmetic=True,
    symmetric=True, reverse={"__rdiv__": "other", "__rtruediv__": "other"},
    scalar=lambda o, x, y: x * y, tensor=(lambda g, s: g * s.y, lambda g, s: g * s.x),
)  # fmt: skip
_define(
    "Div", "self other", "true_divide divide rdiv rtruediv floor_divide", sign="/",
    words="/ divide truediv", arithmetic=True, scalar=lambda o, x, y: x / y,
    tensor=(lambda g, s: g / s.y, lambda g, s: -(g * s.x / s.y**2)),
)  # fmt: skip
_define(
    "Pow", "self exponent", "rpow float_power", sign="**", words="** ^ power", arithmetic=True,
    reverse={"__rpow__": "self"}, scalar=lambda o, x, y: x**y,
    tensor=(p.power, lambda g, s: g * s.out * call("log", s.x)),
)  # fmt: skip
_define(
    "Maximum", "self other", "max", words="max", arithmetic=True, symmetric=True, flat="somewhere",
    scalar=lambda o, x, y: m.larger(o, x, y),
)  # fmt: skip
_define(
    "Minimum", "self other", "min", words="min", arithmetic=True, symmetric=True, flat="somewhere",
    scalar=lambda o, x, y: m.smaller(o, x, y),
)  # fmt: skip
_define("Atan2", "self other", "arctan2", scalar=lambda o, x, y: m.atan2(x, y))
_define("Hypot", "self other", scalar=lambda o, x, y: m.sqrt(x**2 + y**2))
_define("Xlogy", "self other", scalar=lambda o, x, y: x * m.log(y))
_define("Logaddexp", "self other", scalar=lambda o, x, y: m.log(m.exp(x) + m.exp(y)))
_define("Copysign", "self other")
_define("Fmod Remainder", "self other", arithmetic=True)
_define(
    "Where", "self other", options="condition", flat="somewhere",
    scalar=lambda o, x, y: (x if o("condition") else y) if "condition" in o.given else None,
)  # fmt: skip
_define(
    "Lerp", "self end", options="weight",  # a tensor of weights is not kept
    scalar=lambda o, x, y: x + o("weight") * (y - x) if "weight" in o.given else None,
)  # fmt: skip
_define(
    "Addcmul", "self tensor1 tensor2", options="value",
    scalar=lambda o, x, y, z: x + o("value", 1) * y * z,
)  # fmt: skip
_define(
    "Addcdiv", "self tensor1 tensor2", options="value",
    scalar=lambda o, x, y, z: x + o("value", 1) * y / z,
)  # fmt: skip

# Functions of each element

_define(
    "Neg", words="-", whole=True, scalar=lambda o, x: -x, tensor=(lambda g, s: -g,)
)  # fmt: skip
_define(
    "Reciprocal", words="1/ 1/x", whole=True, scalar=lambda o, x: 1 / x,
    tensor=(lambda g, s: -(g / s.x**2),),
)  # fmt: skip
_define("Sqrt", whole=True, scalar=lambda o, x: m.sqrt(x), tensor=(lambda g, s: g / 2 / s.out,))
_define("Rsqrt", scalar=lambda o, x: 1 / m.sqrt(x))
_define("Square", words="sqr", whole=True, scalar=lambda o, x: x**2)
_define("Exp", whole=True, scalar=lambda o, x: m.exp(x), tensor=(lambda g, s: g * s.out,))
_define("Exp2", scalar=lambda o, x: 2**x)
_define("Expm1", scalar=lambda o, x: m.exp(x) - 1)
_define("Log", words="ln", whole=True, scalar=lambda o, x: m.log(x), tensor=(lambda g, s: g / s.x,))
_define(
    "Log2", whole=True, scalar=lambda o, x: m.log2(x),
    tensor=(lambda g, s: g.over(s.x, call("log", 2)),),
)  # fmt: skip
_define("Log10", scalar=lambda o, x: m.log10(x))
_define("Log1P", scalar=lambda o, x: m.log(1 + x))
_define(
    "Sin", whole=True, scalar=lambda o, x: m.sin(x), tensor=(lambda g, s: g * call("cos", s.x),)
)
_define(
    "Cos", whole=True, scalar=lambda o, x: m.cos(x), tensor=(lambda g, s: -(g * call("sin", s.x)),)
)
_define("Tan", scalar=lambda o, x: m.tan(x))
_define("Sinh", scalar=lambda o, x: m.sinh(x))
_define("Cosh", scalar=lambda o, x: m.cosh(x))
_define(
    "Tanh", whole=True, flat="somewhere", scalar=lambda o, x: m.tanh(x),
    tensor=(lambda g, s: g * (number(1) - s.out**2),),
)  # fmt: skip
_define("Asin", words="arcsin", scalar=lambda o, x: m.asin(x))
_define("Acos", words="arccos", scalar=lambda o, x: m.acos(x))
_define("Atan", words="arctan", scalar=lambda o, x: m.atan(x))
_define("Asinh", scalar=lambda o, x: m.asinh(x))
_define("Acosh", scalar=lambda o, x: m.acosh(x))
_define("Atanh", scalar=lambda o, x: m.atanh(x))
_define("Rad2Deg", scalar=lambda o, x: 180 * x / m.pi)
_define("Deg2Rad", scalar=lambda o, x: m.pi * x / 180)
_define("Sinc", scalar=lambda o, x: m.sinc(x))
_define("Erf", scalar=lambda o, x: m.erf(x))
_define("Erfc", scalar=lambda o, x: 1 - m.erf(x))
_define("Logit", scalar=lambda o, x: m.log(x / (1 - x)))
_define(
    "Sigmoid", words="logistic", whole=True, flat="somewhere", scalar=lambda o, x: m.sigmoid(x),
    tensor=(lambda g, s: g * s.out * (number(1) - s.out),),
)  # fmt: skip
_define("LogSigmoid", call="logsigmoid", scalar=lambda o, x: -m.softplus(-x))
_define(
    "Softplus", options="beta threshold", scalar=lambda o, x: m.softplus_of(o, x),
    tensor=(p.softplus,),
)  # fmt: skip
_define("Silu", scalar=lambda o, x: x * m.sigmoid(x))
_define("Mish", scalar=lambda o, x: x * m.tanh(m.softplus(x)))
_define("Gelu", options="approximate", scalar=lambda o, x: m.gelu(o, x))
_define("Elu", options="alpha scale input_scale", scalar=lambda o, x: m.elu(o, x))
_define(
    "Celu", options="alpha",
    scalar=lambda o, x: x if o.above(x, 0) else o("alpha", 1) * (m.exp(x / o("alpha", 1)) - 1),
)  # fmt: skip
_define(
    "Relu", whole=True, flat="somewhere", scalar=lambda o, x: x if o.above(x, 0) else 0 * x,
    tensor=(lambda g, s: g * (s.out > number(0)),),
)  # fmt: skip
_define(
    "LeakyRelu", options="negative_slope",
    scalar=lambda o, x: x if o.above(x, 0) else o("negative_slope", 0.01) * x,
)  # fmt: skip
_define(
    "Hardtanh", options="min_val max_val", flat="somewhere",
    scalar=lambda o, x: m.clamp(o, x, o("min_val"), o("max_val"), open=True),
)  # fmt: skip
_define(
    "Clamp ClampMin ClampMax", options="min max", flat="somewhere", arithmetic=True, call="clamp",
    scalar=lambda o, x: m.clamp(o, x, o("min"), o("max")),
)  # fmt: skip
_define(
    "Threshold", options="threshold", flat="somewhere",
    scalar=lambda o, x: x if o.above(x, o("threshold", 0)) else 0 * x,
)  # fmt: skip
_define("Hardsigmoid", flat="somewhere", scalar=lambda o, x: m.hardsigmoid(o, x))
_define("Hardswish", scalar=lambda o, x: x * m.hardsigmoid(o, x))
_define("Softshrink", options="lambd", scalar=lambda o, x: m.shrunk(o, x, by=1))
_define("Hardshrink", options="lambd", scalar=lambda o, x: m.shrunk(o, x, by=0))
_define(
    "Abs", whole=True, scalar=lambda o, x: o.sign(x, m.number(0)) * x,
    tensor=(lambda g, s: g * call("sign", s.x),),
)  # fmt: skip
_define("Sign Sgn", flat="everywhere", scalar=lambda o, x: m.number(o.sign(x, m.number(0))))
_define("Round Floor Ceil Trunc Heaviside", flat="everywhere")
_define("Clone ToCopy", looks="copy", scalar=lambda o, x: x, tensor=(p.same,))

# Losses: `scalar` is what one element adds

_define(
    "MseLoss", "self target", options="reduction", loss=True, scalar=lambda o, x, y: (x - y) ** 2,
    tensor=(p.squared_error, p.squared_error),
)  # fmt: skip
_define("L1Loss", "self target")
_define(
    "HuberLoss", "self target", options="delta reduction", loss=True,
    scalar=lambda o, x, y: m.huber(o, x, y, o("delta", 1)),
)  # fmt: skip
_define(
    "SmoothL1Loss", "self target", options="beta reduction", loss=True,
    scalar=lambda o, x, y: m.huber(o, x, y, o("beta", 1)) / o("beta", 1),
)  # fmt: skip
_define(
    "BinaryCrossEntropy", "self target", options="reduction", loss=True,
    scalar=lambda o, x, y: -y * m.log(x) - (1 - y) * m.log(1 - x),
)  # fmt: skip
_define(
    "BinaryCrossEntropyWithLogits", "self target", options="reduction", loss=True,
    scalar=lambda o, x, y: m.softplus(x) - x * y,
)  # fmt: skip
_define(
    "NllLoss", "self target", "cross_entropy", options="reduction ignore_index total_weight",
    tensor=(p.likelihood,),
)  # fmt: skip

# Of whole tensors

_define(
    "Sum", options="dim keepdim", small=lambda k, x: arrays.reduced(k, x, lambda all: m.Add(*all)),
    tensor=(p.spread,),
)  # fmt: skip
_define(
    "Mean", options="dim keepdim", tensor=(p.spread,),
    small=lambda k, x: arrays.reduced(k, x, lambda all: m.Add(*all) / len(all)),
)  # fmt: skip
_define(
    "Prod", options="dim keepdim", small=lambda k, x: arrays.reduced(k, x, lambda all: m.Mul(*all))
)  # fmt: skip
_define(
    "Amax Max", options="dim keepdim", flat="somewhere",
    small=lambda k, x: arrays.reduced(k, x, lambda all: arrays.extreme(k, all, 1)),
)  # fmt: skip
_define(
    "Amin Min", options="dim keepdim", flat="somewhere",
    small=lambda k, x: arrays.reduced(k, x, lambda all: arrays.extreme(k, all, -1)),
)  # fmt: skip
_define(
    "Logsumexp", options="dim keepdim",
    small=lambda k, x: arrays.reduced(k, x, lambda all: m.log(m.Add(*map(m.exp, all)))),
)  # fmt: skip
_define(
    "LinalgVectorNorm", options="ord dim keepdim",
    small=lambda k, x: arrays.reduced(k, x, lambda all: m.sqrt(m.Add(*(one**2 for one in all))))
    if k.options.get("ord") == 2 else None,
)  # fmt: skip
_define(
    "Softmax", options="dim", flat="somewhere", small=lambda k, x: arrays.softmax(k, x),
    tensor=(p.softmax,),
)  # fmt: skip
_define(
    "LogSoftmax", options="dim", flat="somewhere", small=lambda k, x: arrays.log_softmax(k, x),
    tensor=(p.log_softmax,),
)  # fmt: skip
_define("Stack", options="dim", small=lambda k, *x: arrays.np.stack(x, axis=k.joined(x[0])))
_define("Cat", options="dim", small=lambda k, *x: arrays.np.concatenate(x, axis=k.joined(x[0])))
_define(
    "Dot", "self tensor", "matmul", sign="@", symmetric=True, small=lambda k, x, y: x @ y,
    tensor=(p.dot, p.dot),
)  # fmt: skip
_MATRICES = (p.matrices, p.matrices)
_define("Mv", "self vec", "matmul", sign="@", small=lambda k, x, y: x @ y, tensor=_MATRICES)
_define("Mm", "self mat2", "matmul", sign="@", small=lambda k, x, y: x @ y, tensor=_MATRICES)
_define("Bmm", "self mat2", "matmul", sign="@", tensor=_MATRICES)
_define(
    "Addmm", "self mat1 mat2", options="alpha beta", tensor=(*_MATRICES, p.matrices),
    small=lambda k, x, y, z: (
        x + y @ z if {k.options.get("alpha", 1), k.options.get("beta", 1)} == {1} else None
    ),
)  # fmt: skip
_define(
    "T Transpose Permute", looks="view", options="dim0 dim1 dims", words="transpose",
    small=lambda k, x: arrays.ordered(k, x), tensor=(p.transposed,),
)  # fmt: skip
_define(
    "View ReshapeAlias UnsafeView Unflatten Unsqueeze Squeeze", looks="view", options="dim",
    small=lambda k, x: x.reshape(k.shape), tensor=(p.reshaped,),
)  # fmt: skip
_define(
    "Expand", looks="view", small=lambda k, x: arrays.np.broadcast_to(x, k.shape), tensor=(p.same,)
)  # fmt: skip
_define(
    "Select", looks="view", options="dim index",
    small=lambda k, x: x.take(k.options["index"], axis=k.dim(x)),
)  # fmt: skip
_define(
    "Unbind", looks="view", options="dim",
    small=lambda k, x: list(arrays.np.moveaxis(x, k.dim(x), 0)),
)  # fmt: skip
_define(
    "Slice", looks="view", options="dim start end step", small=lambda k, x: arrays.sliced(k, x)
)  # fmt: skip
_define("Alias", looks="view", scalar=lambda o, x: x, tensor=(p.same,))
_define("Detach Split", looks="view")
