"""The exercises of notebook 04: gradient functions, called by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from autograd_viz.exercises.answers import UnfinishedError, UnreadableError, number_of, returned
from autograd_viz.exercises.questions import ROUNDING, Built, Number, Slip, same
from autograd_viz.exercises.series import Exercise
from autograd_viz.text import number

Pair = tuple[float, float]
LEVELS = 10  # of squares: a walk along each path makes 2047 calls for 11 functions
FAR_TOO_MANY = 5000  # calls, after which a walk is stopped
LOGARITHMS = "e = (a + b) * log2(a) * log2(b)"
VECTOR = "sin(v).sum() with v = [0.5, 1, 2]"
SQUARES = f"{LEVELS} squares, each of the one before"
CONSTANTS = "3 * a + a"


class Watched:
    """A gradient function that counts its calls, and hands out the next ones watched too."""

    def __init__(self, node: Any, calls: dict[Watched, int], known: dict[Any, Watched]) -> None:
        self._node, self._calls, self._known = node, calls, known
        known[node], calls[self] = self, 0

    @property
    def next_functions(self) -> tuple[tuple[Watched | None, int], ...]:
        """As of the gradient function, each next one watched and always the same object."""
        return tuple(
            (node and (self._known.get(node) or Watched(node, self._calls, self._known)), index)
            for node, index in self._node.next_functions
        )

    def __call__(self, *grads: Tensor) -> Any:
        """As of the gradient function, and counted."""
        self._calls[self] += 1
        if sum(self._calls.values()) > FAR_TOO_MANY:
            raise RuntimeError(f"stopped after {FAR_TOO_MANY} calls")
        return self._node(*grads)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)


def _logarithms() -> tuple[Tensor, ...]:
    """An output and the leaves below it, made anew: walks write into `.grad`."""
    a, b = _leaf(2.0), _leaf(4.0)
    return (a + b) * (torch.log2(a) * torch.log2(b)), a, b


def _vector() -> tuple[Tensor, ...]:
    v = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
    return torch.sin(v).sum(), v


def _squares() -> tuple[Tensor, ...]:
    a = y = _leaf(1.0)
    for _ in range(LEVELS):
        y = y * y
    return y, a


def _constants() -> tuple[Tensor, ...]:
    a = _leaf(2.0)
    return 3 * a + a, a


def _leaf(value: float) -> Tensor:
    return torch.tensor(value, requires_grad=True)


def _walked(walk: Any) -> str:
    """What is wrong with a recursion that leaves gradients in `.grad`."""
    for text, (output, *leaves) in ((LOGARITHMS, _logarithms()), (VECTOR, _vector())):
        wanted = torch.autograd.grad(output, leaves, retain_graph=True)
        walk(output.grad_fn, torch.tensor(1.0))
        found = [leaf.grad for leaf in leaves]
        if remark := _difference(text, found, wanted):
            return f"{remark} Does every function hand on each of its outputs, whole?"
    return ""


def _built(gradients: Any) -> str:
    """What is wrong with a walk that returns gradients and calls each function once."""
    for text, (output, *leaves) in (
        (LOGARITHMS, _logarithms()),
        (VECTOR, _vector()),
        (CONSTANTS, _constants()),
        (SQUARES, _squares()),
    ):
        wanted = torch.autograd.grad(output, leaves, retain_graph=True)
        calls: dict[Watched, int] = {}
        watched = Watched(output.grad_fn, calls, {})
        try:
            result = returned(gradients, watched, torch.tensor(1.0))
        except UnreadableError as error:
            raise UnreadableError(f"for {text} {error}") from error
        if not isinstance(result, Mapping):
            raise UnreadableError(
                f"a dictionary is wanted, and this returns {type(result).__name__}"
            )
        if not result:
            raise UnfinishedError
        by_leaf = {id(leaf): gradient for leaf, gradient in result.items()}
        found = [by_leaf.get(id(leaf)) for leaf in leaves]
        if remark := _difference(text, found, wanted):
            return (
                f"{remark} Was each output added to what had arrived, and each function called "
                "only after its last arrow?"
            )
        if max(calls.values()) > 1:
            return (
                f"for {text}: {sum(calls.values())} calls of {len(calls)} functions; the "
                "gradients are right, but each function is to be called once."
            )
    return ""


def _difference(text: str, found: list[Any], wanted: tuple[Tensor, ...]) -> str:
    for name, mine, autograd in zip("ab", found, wanted, strict=False):
        if not same(mine, autograd, 1e-4):
            return (
                f"for {text}, gradient of {'v' if autograd.ndim else name}: yours is "
                f"{_shown(mine)}, autograd's is {_shown(autograd)}."
            )
    return ""


def _shown(gradient: Any) -> str:
    if not isinstance(gradient, Tensor):
        return str(gradient)
    if gradient.ndim == 0:
        return number(gradient.item())
    return f"[{', '.join(number(value) for value in gradient.flatten().tolist())}]"


def _called(places: tuple[int, ...]) -> Callable[[], Pair]:
    """What a gradient function of the example returns for 5; `places` lead there from e's."""

    def call() -> Pair:
        function = _logarithms()[0].grad_fn
        for place in places:
            assert function is not None
            function = function.next_functions[place][0]
        assert function is not None
        left, right = function(torch.tensor(5.0))  # type: ignore[operator]  # it can be called
        return left.item(), right.item()

    return call


def _pair(name: str, call: Callable[[], Pair], *slips: tuple[Pair, str]) -> Built:
    def judge(answer: Any) -> str:
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise UnreadableError("the function has two outputs; write a pair such as (1, 2)")
        found = tuple(number_of(item) for item in answer)
        if same(found, call(), ROUNDING):
            return ""
        remarks = (remark for wrong, remark in slips if same(found, wrong, ROUNDING))
        return f"({', '.join(map(number, found))}) is not it. {next(remarks, '')}".strip()

    return Built(name=name, judge=judge)


def _index(place: int) -> int:
    """The index in a pair of the product of the third and the first result of unbind."""
    p, _, r = torch.unbind(torch.tensor([1.0, 2.0, 5.0], requires_grad=True))
    function = (r * p).grad_fn
    assert function is not None
    return function.next_functions[place][1]


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="4a",
        notebook="04",
        questions=(
            _pair(
                "from_c_5",
                _called((0,)),
                ((2, 2), "That belongs to the gradient 2; now 5 comes in."),
                ((10, 10), "Only the gradient that comes in is handed on; the 2 was another one."),
                ((10, 20), "The local derivatives of a sum do not depend on its inputs."),
                ((1, 1), "These are the local derivatives. The function multiplies with them."),
            ),
            _pair(
                "from_d_5",
                _called((1,)),
                ((12, 6), "That belongs to the gradient 6; now 5 comes in."),
                ((5, 10), "Which factor is the local derivative by the first input?"),
                ((2, 1), "These are the local derivatives. The function multiplies with them."),
                ((5, 5), "This is a product, not a sum."),
                ((60, 30), "The 6 was another gradient; only 5 comes in now."),
                ((20, 10), "The factors of d are the two logarithms, not a and b."),
            ),
        ),
        hints=(
            "A gradient function multiplies the gradient that comes in by each local derivative.",
            "Above, 2 went into the one and 6 into the other. What was each of them multiplied by?",
            "In $d = \\log_2 a \\cdot \\log_2 b$ the local derivative by one factor is the other "
            "factor; the factors are 1 and 2.",
        ),
        solution="""
            from_c_5 = (5, 5)
            from_d_5 = (5 * 2, 5 * 1)
            """,
        why="The local derivatives are $(1, 1)$ and $(2, 1)$. They stay the same, whatever "
        "gradient comes in.",
    ),
    Exercise(
        id="4b",
        notebook="04",
        questions=(Built(name="walk", judge=_walked),),
        hints=(
            "Leave `outputs` as it is if it is a tuple already. `isinstance(outputs, tuple)` "
            "tells.",
            "A tuple with one item needs a comma: `(outputs,)`.",
            "Python can choose in one line: `x if condition else y`.",
        ),
        solution="""
            @torch.no_grad()
            def walk(function, grad):
                outputs = function(grad)
                outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                for place, (following, _) in enumerate(function.next_functions):
                    walk(following, outputs[place])
            """,
        why="Now `outputs[place]` is a whole gradient at every function. With "
        "`walk(e.grad_fn, torch.tensor(1.0))` it computes 10.6562 and 4.1640.",
    ),
    Exercise(
        id="4c",
        notebook="04",
        questions=(Built(name="gradients", judge=_built),),
        hints=(
            "As long as a node is ready, take it: `node = ready.pop()`. A leaf has "
            '`hasattr(node, "variable")`.',
            "For a leaf: `found[node.variable] = arrived[node]`. For the others, call "
            "`node(arrived[node])` and make the outputs a tuple, as in exercise 4b.",
            "For each next function that is not `None`: add the output to "
            "`arrived.get(following, 0)`, and take 1 off `waiting[following]`.",
            "Append the next function to `ready` only when `waiting[following]` has become 0.",
        ),
        solution="""
            @torch.no_grad()
            def gradients(function, grad):
                found = {}  # from leaf to gradient
                waiting, arrived, ready = arrows(function), {function: grad}, [function]
                while ready:
                    node = ready.pop()
                    if hasattr(node, "variable"):
                        found[node.variable] = arrived[node]
                        continue
                    outputs = node(arrived[node])
                    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                    for (following, _), output in zip(node.next_functions, outputs):
                        if following is not None:
                            arrived[following] = arrived.get(following, 0) + output
                            waiting[following] -= 1
                            if waiting[following] == 0:
                                ready.append(following)
                return found
            """,
        why="A node becomes ready when its last arrow has arrived, so it is called once, with "
        "the whole sum. With a place for each result in `arrived` it would serve `unbind` too.",
    ),
    Exercise(
        id="4d",
        notebook="04",
        questions=(
            Number(
                name="first",
                true=lambda: _index(0),
                slips=(
                    Slip(
                        0,
                        "Does the index count the inputs of the product, or the results of unbind?",
                    ),
                    Slip(1, "Which result of unbind is the first factor?"),
                    Slip(3, "Python counts from 0."),
                    Slip(5, "This is a value of v, not an index."),
                ),
            ),
            Number(
                name="second",
                true=lambda: _index(1),
                slips=(
                    Slip(
                        1,
                        "Does the index count the inputs of the product, or the results of "
                        "unbind? And from where does Python count?",
                    ),
                    Slip(2, "Which result of unbind is the second factor?"),
                ),
            ),
        ),
        hints=(
            "The pair in place 0 is for the first factor. Which one is that in `r * p`?",
            "The index is the place of that factor among the results of `unbind`: p, q, r.",
        ),
        solution="""
            first = 2
            second = 0
            """,
        why="$r$ is result 2 of `unbind`, and $p$ is result 0. The place of the pair says which "
        "input of the product it belongs to; the index says which result of the next function.",
    ),
)
