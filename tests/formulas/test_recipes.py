"""A recipe is the same for two runs of one program, and another for another program."""

import pytest
import torch

import autograd_viz as av
from autograd_viz.formulas.recipes import read
from autograd_viz.operators.table import operation


def recipe_of(output, **names):
    variables = av.graph(output, names=names).variables()
    found = read(variables, variables.root)
    assert found is not None
    return found


def program(first, second):
    a = torch.tensor(first, requires_grad=True)
    b = torch.tensor(second, requires_grad=True)
    return recipe_of(torch.log2(a) * 3 + b**2, a=a, b=b)


def test_other_numbers_have_the_same_recipe():
    one, other = program(2.0, 4.0), program(3.0, 5.0)
    assert one.recipe is other.recipe
    assert (one.numbers, other.numbers) == (((2.0,), (4.0,)), ((3.0,), (5.0,)))
    names = [each.name for each in one.recipe.operations]
    assert sorted(names) == ["Add", "Log2", "Mul", "Pow"]
    assert names.index("Log2") < names.index("Mul") < names.index("Add") == 3


def test_other_names_and_other_numbers_of_the_program_make_another():
    a = torch.tensor(2.0, requires_grad=True)
    assert recipe_of(a * 3, a=a).recipe is recipe_of(a * 3, a=a).recipe
    assert recipe_of(a * 3, a=a).recipe is not recipe_of(a * 3, x=a).recipe
    assert recipe_of(a * 3, a=a).recipe is not recipe_of(a * 4, a=a).recipe


def test_options_that_pytorch_keeps_as_unsigned_numbers():
    x = torch.ones(2, 3, requires_grad=True)
    found = recipe_of(torch.log_softmax(x, -1), x=x)
    assert found.recipe.operations[0].options == (("dim", -1),)
    assert found.numbers == ((1.0,) * 6,)


def test_values_of_large_tensors_are_not_read():
    x = torch.ones(100, requires_grad=True)
    assert recipe_of(x.sum(), x=x).numbers == (None,)


def test_a_program_that_is_too_long_has_none():
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100):
        y = y * 1
    variables = av.trace(y, names={"x": x}).variables()
    assert read(variables, variables.root) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [("MulBackward0", "Mul"), ("AddBackward1", "Add"), ("DivBackward3", "DivBackward3")],
)
def test_operations_are_named_without_their_variant_unless_it_is_another(name, found):
    assert operation(name).name == found
