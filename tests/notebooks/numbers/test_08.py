"""The numbers of notebook 08: B7, the main example A3 and the training loop B6 in NumPy."""

from tests.notebooks.numbers.stored import said


def test_a3_in_our_engine_and_in_pytorch():
    for fragment in ('av.step(ours["e"]', 'av.trace(theirs["e"], names=theirs)'):
        words = said("08", fragment)
        assert "∂e/∂a = 2 + 8.6562 = 10.6562" in words
        assert "∂e/∂b = 2 + 2.1640 = 4.1640" in words
        assert "∂e/∂c = 2 " in words
        assert "∂e/∂d = 6 " in words
        assert "∂d/∂a = 1.4427" in words
        assert "∂d/∂b = 0.3607" in words


def test_b7_node_by_node():
    table = said("08", "tensor.retain_grad()")
    assert "a =   2.0000   2.0000  ∂e/∂a =  10.6562  10.6562" in table
    assert "b =   4.0000   4.0000  ∂e/∂b =   4.1640   4.1640" in table
    assert "c =   6.0000   6.0000  ∂e/∂c =   2.0000   2.0000" in table
    assert "d =   2.0000   2.0000  ∂e/∂d =   6.0000   6.0000" in table
    assert "e =  12.0000  12.0000  ∂e/∂e =   1.0000   1.0000" in table
    assert said("08", "our_words == their_words") == "True"
    assert said("08", "def e_at").strip() == "10.6562 4.1640"
    assert int(said("08", "inspect.getsource(finished)")) < 100


def test_b4_in_our_engine():
    words = said("08", "av.step(loss)")
    assert "∂loss/∂s = -2" in words
    assert "∂loss/∂yhat = -2" in words
    assert "∂loss/∂w = -2" in words


def test_b6_in_our_engine():
    table = said("08", "for epoch in range(40)")
    for line in (
        "epoch  0: gradients  -2.0000  -7.8400 -16.2288   loss 7.3",
        "epoch  5: gradients  -0.4417  -1.7316  -3.5845   loss 0.36",
        "epoch 10: gradients  -0.0976  -0.3825  -0.7917   loss 0.017",
        "epoch 15: gradients  -0.0215  -0.0845  -0.1749   loss 0.00085",
        "epoch 20: gradients  -0.0048  -0.0187  -0.0386   loss 4.1e-05",
        "epoch 25: gradients  -0.0011  -0.0041  -0.0085   loss 2e-06",
        "epoch 30: gradients  -0.0002  -0.0009  -0.0019   loss 9.9e-08",
        "epoch 35: gradients  -0.0001  -0.0002  -0.0004   loss 4.8e-09",
        "prediction for x = 4: 8.0000",
    ):
        assert line in table
