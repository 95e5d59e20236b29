"""Example B6: the training loop and its printed figures."""

import re

from tests.notebooks.numbers.stored import said

FIGURES = [
    (0, "-2.0 -7.84 -16.2288", "7.3159"),
    (5, "-0.4417 -1.7316 -3.5845", "0.3569"),
    (10, "-0.0976 -0.3825 -0.7917", "0.0174"),
    (15, "-0.0215 -0.0845 -0.1749", "0.0008"),
    (20, "-0.0048 -0.0187 -0.0386", "4.1433e-05"),
    (25, "-0.0011 -0.0041 -0.0085", "2.0219e-06"),
    (30, "-0.0002 -0.0009 -0.0019", "9.8744e-08"),
    (35, "-0.0001 -0.0002 -0.0004", "4.8467e-09"),
]


def test_b6_the_table_to_the_digit():
    head, *lines = said("06", "for epoch in range(40)").splitlines()
    assert re.split(r" {2,}", head) == ["epoch", "gradient at x = 1, 2, 3", "loss at x = 3"]
    assert [line.split() for line in lines] == [
        [str(epoch), *gradients.split(), loss] for epoch, gradients, loss in FIGURES
    ]


def test_b6_the_prediction_for_4():
    assert (
        said("06", "prediction = w * 4") == "(tensor(8.0000), tensor(2.0000, requires_grad=True))"
    )


def test_b6_the_first_line_by_hand():
    assert said("06", "by_hand = 1.0").splitlines() == [
        "x = 1: gradient = -2.0000, next w = 1.020000",
        "x = 2: gradient = -7.8400, next w = 1.098400",
        "x = 3: gradient = -16.2288, next w = 1.260688",
    ]


def test_b6_the_loss_of_a_sample_is_alive():
    live = said("06", "live = av.explore(squared_error")
    assert "at w = 1, x = 1, y = 2" in live
    assert "∂loss/∂w = ∂loss/∂s * ∂s/∂w = -2 * 1 = -2" in live


def test_b6_the_loss_curve():
    assert said("06", "ax.semilogy(losses)").startswith(
        "The loss falls from 7.3159 in epoch 0 to 4.1433e-05 in epoch 20 and 4.4020e-10 in epoch 39"
    )


def test_b6_three_learning_rates():
    behaviour = {
        "learning_rate=0.03, steps=12": "The loss falls at every step, from 4.6667 to",
        "learning_rate=0.18, steps=12": "w jumps from side to side and closes in.",
        "learning_rate=0.23, steps=8": "the learning rate is too large; w jumps from side to side "
        "and moves away.",
    }
    for source, sentence in behaviour.items():
        assert sentence in said("06", source)


def test_b6_the_loop_with_an_optimizer_ends_at_the_same_weight():
    assert said("06", "torch.optim.SGD([w], lr=0.01)") == "tensor(2.0000, requires_grad=True)"
