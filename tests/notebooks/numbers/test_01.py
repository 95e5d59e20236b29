"""The figures of lectures A1, A2, C1 and D1, in notebook 01."""

import nbformat

from tests.notebooks.numbers.stored import said
from tests.notebooks.refresh import find_notebooks


def text() -> str:
    (path,) = find_notebooks(["01-chain-rule"])
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_a1_the_three_ingredients():
    three = text().partition("## Three ingredients")[2].partition("\n## ")[0]
    for words in ("**computational graph**", "**table**", "**chain rule**"):
        assert words in three
    recorded = said("01", "av.graph(one_line)")
    assert all(name in recorded for name in ("AddBackward0", "LogBackward0", "PowBackward0"))
    assert "3 gradient functions, 1 leaf" in recorded


def test_a2_the_chain():
    backward = said("01", "av.explore(chain")
    assert backward.startswith("Backward pass, step 7 of 7 at x = 3\n")
    assert "∂h/∂f = 0.1111" in backward
    assert "∂h/∂x = ∂h/∂f * ∂f/∂x = 0.1111 * 6 = 0.6667" in backward
    derivatives = said("01", "variables().derivatives()")
    assert "∂f/∂x = 2 x = 6" in derivatives
    assert "∂g/∂f = 1/f = 0.1111" in derivatives
    assert "h = g + 1   h = 3.1972  ∂h/∂g = 1" in derivatives
    assert said("01", "print(dh_dg * dg_df * df_dx)") == "2/3\n"


def test_a2_checked_in_three_other_ways():
    assert "the gradient is ∂h/∂x = 0.6667" in said("01", "av.nudge(chain")
    assert said("01", "h.backward()") == (
        "(tensor(3.1972, grad_fn=<AddBackward0>), tensor(0.6667))"
    )
    walk = said("01", "trace())")
    assert "AccumulateGrad  x   0.6667" in walk


def test_c1_the_recursion():
    assert "g'(x) \\cdot f'(g(x))" in text()
    assert said("01", "slope([square, logarithm, plus_one]") == "tensor(0.6667)"


def test_d1_two_steps():
    product = said("01", "av.explore(two_steps")
    assert product.startswith("Backward pass, step 5 of 5 at x = 3, f = square, g = log\n")
    assert "∂w/∂x = ∂w/∂y * ∂y/∂x = 0.1111 * 6 = 0.6667" in product
    assert "*local gradient*" in text()
    assert "independently of one another" in text()
