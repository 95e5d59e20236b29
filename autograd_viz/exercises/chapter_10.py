"""The exercises of notebook 10: real networks."""

from typing import Any

import torch
from torch import Tensor, nn

from autograd_viz.exercises.questions import Choice, Function, Number, Slip
from autograd_viz.exercises.series import Exercise

Shape = tuple[int, ...]
SHAPES: tuple[Shape, ...] = ((3, 5), (5, 3), (8, 3), (8, 5), (3, 8), (5, 8), (3,), (5,), (8,), ())


def shapes() -> dict[str, Shape]:
    """The shapes of the gradients of 10a."""
    layer, x = nn.Linear(5, 3), torch.ones(8, 5, requires_grad=True)
    leaves = {"weight_grad": layer.weight, "bias_grad": layer.bias, "x_grad": x}
    found = torch.autograd.grad(layer(x).sum(), tuple(leaves.values()))
    return {name: tuple(grad.shape) for name, grad in zip(leaves, found, strict=True)}


def unrolled(steps: int) -> tuple[Tensor, Tensor]:
    """The sum of all states of a recurrence, and its weight."""
    w = torch.tensor(0.5, requires_grad=True)
    state, total = torch.tensor(1.0), torch.tensor(0.0)
    for _ in range(steps):
        state = torch.tanh(w * state)
        total = total + state
    return total, w


def stacked(blocks: int) -> tuple[Tensor, Tensor]:
    """The result of a stack of residual blocks, and its input."""
    x = torch.tensor(0.5, requires_grad=True)
    y = x + torch.tanh(x)
    for _ in range(blocks - 1):
        y = y + torch.tanh(y)
    return y, x


def arrows(result: Tensor, leaf: Tensor) -> int:
    """How many arrows end in a leaf."""
    from autograd_viz.capture import graph

    found = graph(result, names={"leaf": leaf})
    (node,) = (node for node in found.leaves if node.label == "leaf")
    return len(found.in_edges[node.id])


def paths(result: Tensor, leaf: Tensor) -> int:
    """How many paths lead from a result to a leaf."""
    from autograd_viz.pathwise.products import paths

    return paths(result, leaf).count


def gradients(first: nn.Linear, second: nn.Linear, x: Tensor, y: Tensor) -> tuple[Any, Any]:
    """The gradients of 10d, as they should be."""
    h = torch.relu(first(x))
    h = h / h.norm()
    loss = ((second(h) - y) ** 2).mean()
    loss.backward()
    return first.weight.grad, second.weight.grad


def cut_gradients(first: nn.Linear, second: nn.Linear, x: Tensor, y: Tensor) -> tuple[Any, Any]:
    """The same with the bug that is to be found."""
    h = torch.relu(first(x))
    with torch.no_grad():
        h = h / h.norm()
    loss = ((second(h) - y) ** 2).mean()
    loss.backward()
    return first.weight.grad, second.weight.grad


def _without_norm(first: nn.Linear, second: nn.Linear, x: Tensor, y: Tensor) -> tuple[Any, Any]:
    loss = ((second(torch.relu(first(x))) - y) ** 2).mean()
    loss.backward()
    return first.weight.grad, second.weight.grad


def _with_a_constant_norm(
    first: nn.Linear, second: nn.Linear, x: Tensor, y: Tensor
) -> tuple[Any, Any]:
    h = torch.relu(first(x))
    h = h / h.norm().detach()
    loss = ((second(h) - y) ** 2).mean()
    loss.backward()
    return first.weight.grad, second.weight.grad


def layers_and_batch() -> list[tuple[Any, ...]]:
    """Arguments of such a function, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    x = torch.tensor([[1.0, 2.0], [2.0, -1.0]])
    return [(first, second, x, torch.tensor([[3.0], [1.0]]))]


def _shape(name: str, slips: tuple[Slip, ...]) -> Choice:
    return Choice(name=name, true=lambda: shapes()[name], options=SHAPES, slips=slips)


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="10a",
        notebook="10",
        questions=(
            _shape(
                "weight_grad",
                (
                    Slip((5, 3), "What does `nn.Linear(5, 3).weight.shape` say?"),
                    Slip((8, 3), "That is the shape of the layer's result."),
                    Slip((8, 5), "That is the shape of x."),
                ),
            ),
            _shape(
                "bias_grad",
                (
                    Slip((8, 3), "What arrives has a row for each sample; one bias serves all."),
                    Slip((5,), "A bias is added to the results. How many has each sample?"),
                    Slip((8,), "Has each sample a bias of its own?"),
                ),
            ),
            _shape(
                "x_grad",
                (
                    Slip((8, 3), "That is the shape of the layer's result."),
                    Slip((5,), "Each of the samples has a gradient of its own."),
                ),
            ),
        ),
        hints=(
            "One rule answers all three: the gradient of a tensor has the shape of the tensor.",
            "PyTorch keeps the weight of `nn.Linear(5, 3)` with one row for each *output*; the "
            "bias has one number for each output; $x$ is a batch of 8.",
        ),
        solution="""
            weight_grad = (3, 5)
            bias_grad = (3,)
            x_grad = (8, 5)
            """,
        why="The gradients have the shapes of weight, bias and x. The 8 samples are summed over "
        "for the first two, which all samples share.",
    ),
    Exercise(
        id="10b",
        notebook="10",
        questions=(
            Number(
                name="contributions",
                true=lambda: arrows(*unrolled(5)),
                rounding=1e-9,
                slips=(
                    Slip(1, "One leaf, but how many statements use it?"),
                    Slip(15, "These are more than the arrows that end in w: you count paths."),
                    Slip(4, "Does the first step use w too?"),
                ),
            ),
            Number(
                name="paths",
                true=lambda: paths(*unrolled(5)),
                rounding=1e-9,
                slips=(
                    Slip(5, "That would be so if the loss were made from the last state alone."),
                    Slip(25, "From h_1, can a path go on to a later step?"),
                    Slip(10, "Count the ways from each state again, the nearest one too."),
                    Slip(32, "Once a path has gone to w it ends: it does not choose at each step."),
                ),
            ),
        ),
        hints=(
            "Draw it: a row of five states, the loss above with an arrow from each, $w$ below with "
            "an arrow to each.",
            "A path begins at the loss, goes down to some state $h_n$, then back through earlier "
            "states as far as it likes, then to $w$. How many are there for $h_1$? For $h_2$?",
        ),
        solution="""
            contributions = 5
            paths = 1 + 2 + 3 + 4 + 5
            """,
        why="Each step uses $w$ once, so 5 arrows end there. From $h_n$ a path can end at any of "
        "the $n$ steps so far, so there are $1 + 2 + 3 + 4 + 5 = 15$ paths.",
    ),
    Exercise(
        id="10c",
        notebook="10",
        questions=(
            Number(
                name="three_blocks",
                true=lambda: paths(*stacked(3)),
                rounding=1e-9,
                slips=(
                    Slip(
                        6, "At each block the path chooses again: do the choices add or multiply?"
                    ),
                    Slip(4, "A path may take the shortcut in one block and the layer in the next."),
                    Slip(9, "How many ways are there through one block?"),
                ),
            ),
            Number(
                name="ten_blocks",
                true=lambda: paths(*stacked(10)),
                rounding=1e-9,
                slips=(
                    Slip(
                        20, "At each block the path chooses again: do the choices add or multiply?"
                    ),
                    Slip(100, "How many ways are there through one block?"),
                    Slip(
                        11, "A path may take the shortcut in one block and the layer in the next."
                    ),
                ),
            ),
        ),
        hints=(
            "One block has two paths: the shortcut, and the way through the layer.",
            "Two blocks: each of the two paths through the upper one can go on in two ways through "
            "the lower one. And three?",
        ),
        solution="""
            three_blocks = 2**3
            ten_blocks = 2**10
            """,
        why="Two ways through each block, chosen anew at each: $2^3 = 8$ and $2^{10} = 1024$. One "
        "of them takes all the shortcuts, and along it the product is 1.",
    ),
    Exercise(
        id="10d",
        notebook="10",
        questions=(
            Function(
                name="gradients",
                like=gradients,
                given=cut_gradients,
                arguments=layers_and_batch,
                slips=(
                    Slip(_without_norm, "The first layer learns again, but where is the norm?"),
                    Slip(
                        _with_a_constant_norm,
                        "Almost: the norm depends on the first layer too, and is cut off here.",
                    ),
                ),
            ),
        ),
        hints=(
            "The first gradient is None, so no path leads from the loss to `first.weight`. Which "
            "line of the function computes something that is not recorded?",
            "What is computed under `torch.no_grad()` has no `grad_fn`. The division has to be "
            "recorded like everything else.",
        ),
        solution="""
            def gradients(first, second, x, y):
                h = torch.relu(first(x))
                h = h / h.norm()
                loss = ((second(h) - y) ** 2).mean()
                loss.backward()
                return first.weight.grad, second.weight.grad
            """,
        why="`no_grad` is for updates. Around a part of the forward pass it cuts the graph there, "
        "and every layer below gets no gradient.",
    ),
)
