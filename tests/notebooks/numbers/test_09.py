"""The figures of the lectures' exercises B5 and B8, in the outputs that notebook 09 stores."""

from tests.notebooks.numbers.stored import said


def test_b5_exercise_4_2():
    computation = said("09", "line = av.explore")
    assert "at w = 1, b = 2" in computation
    for line in (
        "\nx                 x = 1",
        "\ny                 y = 2",
        "loss = s^2        loss = 1",
    ):
        assert line in computation
    backward = said("09", "av.explore(line_loss, w=1.0, b=2.0)")
    assert "∂loss/∂w = 2 " in backward
    assert "∂loss/∂b = 2 " in backward


def test_b8_exercise_4_4():
    computation = said("09", "parabola = av.explore")
    assert "at w1 = 1, w2 = 0.5, b = -1" in computation
    backward = said("09", "av.explore(parabola_loss, w1=1.0, w2=0.5, b=-1.0)")
    x, y = 2, 1
    yhat = x**2 * 0.5 + x * 1 - 1
    assert f"∂loss/∂w1 = {2 * (yhat - y) * x:g} " in backward
    assert f"∂loss/∂w2 = {2 * (yhat - y) * x**2:g} " in backward
    assert f"∂loss/∂b = {2 * (yhat - y):g} " in backward
    assert "∂yhat/∂w1 = 2" in backward  # x
    assert "∂yhat/∂w2 = 4" in backward  # its square


def test_pictures_before_the_answers_show_no_gradient():
    for name in ("share", "larger", "network_loss", "log_loss", "softmax_loss", "least_squares"):
        assert "∂" not in said("09", f"picture = av.explore({name}")
