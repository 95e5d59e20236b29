"""Two texts say the same if their words are equal and their numbers agree but for rounding."""

import pytest

from tests.notebooks.texts import difference


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("loss = 0.1234", "loss = 0.1235"),
        ("w = 2.5", "w = 2.501"),
        ("w = 2", "w = 2.001"),
        ("1.999", "2"),
        ("1.234e-05", "1.235e-05"),
        ("tensor([0.30000000000000004])", "tensor([0.3])"),
        ("152.3712345", "152.3712399"),
        ("a   0.5  1\nb   0.25  2", "a   0.5001   1  \nb   0.25     2"),
    ],
)
def test_rounding_passes(stored, fresh):
    assert difference(stored, fresh) is None
    assert difference(fresh, stored) is None


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("loss = 0.1234", "loss = 0.1236"),
        ("w = 2.5", "w = 2.6"),
        ("152.37", "152.57"),
        ("15 parameters", "16 parameters"),
        ("12345 paths", "12346 paths"),
        ("6.", "7."),
        ("1.234e-05", "1.234e-06"),
        ("w = 1.5", "w = -1.5"),
        ("0", "1e-20"),
        ("layers.0.weight", "layers.1.weight"),
        ("w1 = 0.5", "w2 = 0.5"),
        ("#123456", "#123457"),
        ("#1e5000", "#1e5001"),
        ("▁▂█", "▁▃█"),
        ("a\n  b", "a\nb"),
        ("a\nb", "a b"),
        ("all reached", "all reached, but one"),
        ("None", "0"),
        ("NaN", "inf"),
    ],
)
def test_another_meaning_is_found(stored, fresh):
    assert difference(stored, fresh)
    assert difference(fresh, stored)


def test_the_message_says_which_word_and_where():
    stored = "Gradients of loss by 3 parameters\nweight 0.25\nbias None"
    assert difference(stored, stored.replace("None", "zero")) == (
        "“zero” instead of “None” in “by 3 parameters\nweight 0.25\nbias None”"
    )
