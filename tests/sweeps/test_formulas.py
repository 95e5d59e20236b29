"""No formula that is shown is wrong, of all operators; and the page says which have one."""

import pytest
import torch

from tests.sweeps import formulas

pytestmark = pytest.mark.filterwarnings("ignore", "error:::autograd_viz")


@pytest.mark.large
def test_each_formula_that_is_shown_is_right_and_the_page_is_current():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        rows, wrong = formulas.sweep()
    torch.set_num_threads(threads)
    assert wrong == []
    assert formulas.PAGE.read_text(encoding="utf-8") == formulas.page(rows), (
        "write it anew: python -m tests.sweeps.formulas"
    )


@pytest.mark.parametrize("name", ["mul", "log2", "nn.functional.softplus", "mm", "hypot", "rsub"])
def test_some_operators_have_formulas_that_are_right(name):
    found = list(formulas.samples(name))
    assert [fault for one in found for fault in one.wrong] == []
    assert sum(one.shown for one in found)
