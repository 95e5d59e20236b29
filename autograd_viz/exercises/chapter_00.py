"""The exercises of notebook 00: start here."""

import torch
from torch import Tensor

from autograd_viz.exercises.questions import Derivative, Number, Slip
from autograd_viz.exercises.series import Exercise


def area(width: Tensor, height: Tensor, rate: Tensor) -> Tensor:
    """The area of a wall."""
    return width * height


def price(width: Tensor, height: Tensor, rate: Tensor) -> Tensor:
    """What it takes to have the wall painted."""
    return area(width, height, rate) * rate


def _slope(by: str, width: float, height: float, rate: float) -> Tensor:
    values = {"width": width, "height": height, "rate": rate}
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    return torch.autograd.grad(price(**leaves), leaves[by])[0]


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="0a",
        notebook="00",
        questions=(
            Number(
                name="total",
                true=lambda: 4.0 * 2.5 * 5.0,
                slips=(
                    Slip(10, "That is in the oval of the area. The result is at the top."),
                    Slip(30, "That was the price at width 3 and height 2. Move both sliders."),
                ),
            ),
            Number(
                name="by_height",
                true=lambda: _slope("height", 4.0, 2.5, 5.0),
                slips=(
                    Slip(12.5, "That is in the other green oval."),
                    Slip(4, "That is in the rectangle: a local derivative, not yet a gradient."),
                    Slip(2.5, "That is the value of the height. Choose the backward pass."),
                    Slip(15, "That was so at width 3 and height 2. Move both sliders."),
                ),
            ),
        ),
        hints=(
            "Run the cell of the Explorer, so that it is live. You can type 4 and 2.5 into the "
            "fields beside the sliders.",
            "`1` and `3` switch between the two pictures. In the first, read the lower half of the "
            "oval on top; in the other, go to the last step and read the green oval of the height.",
        ),
        solution="""
            total = paint(width=4.0, height=2.5)  # or the number that you read
            by_height = 1 * 5.0 * 4.0
            """,
        why="The price is $4 \\cdot 2.5 \\cdot 5 = 50$. The way down to the height multiplies 1 by "
        "the rate, 5, and then by the width, 4.",
    ),
    Exercise(
        id="0b",
        notebook="00",
        questions=(
            Number(
                name="local",
                true=lambda: 2.0,
                slips=(
                    Slip(3, "That is the other one, ∂area/∂height."),
                    Slip(12, "That is more than local: does the area know of the rate?"),
                    Slip(6, "Only the statement that computes the area counts here."),
                ),
            ),
            Number(
                name="by_width",
                true=lambda: _slope("width", 3.0, 2.0, 6.0),
                slips=(
                    Slip(10, "It was that with the first painter."),
                    Slip(18, "That is the gradient of the height."),
                    Slip(6, "So much arrives at the area. One more arrow is to be passed."),
                    Slip(2, "That is the local derivative alone. What arrives from above?"),
                ),
            ),
        ),
        hints=(
            "Look at picture 2: which of its three rectangles have the rate in their formula?",
            "Picture 3: begin with 1 at the price, and multiply by each rectangle on the way down "
            "to the width. One of the two factors is new.",
        ),
        solution="""
            local = 2.0
            by_width = 1 * 6 * 2.0
            """,
        why="A local derivative belongs to one statement: the area is width times height, whatever "
        "the painter takes. The gradient is the product along the way, and there the rate counts.",
    ),
    Exercise(
        id="0c",
        notebook="00",
        questions=(
            Derivative(
                name="by_rate",
                of=price,
                by="rate",
                inputs=("width", "height", "rate"),
                also={"area": area},
                slips=(
                    Slip(6, "So it is for one wall. A formula holds for all of them."),
                    Slip("rate", "That is the gradient of the area."),
                    Slip("width * height * rate", "That is the price itself."),
                ),
            ),
        ),
        hints=(
            "Only one statement has the rate in it: `price = area * rate`.",
            "In a product of two factors, the derivative by one of them is the other one. Write it "
            "in quotes.",
        ),
        solution="""
            by_rate = "area"  # or "width * height"
            """,
        why="The rate is multiplied by the area, and there is only this one arrow between it and "
        "the price.",
    ),
)
