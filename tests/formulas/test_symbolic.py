"""Derivatives by a recipe: kept from run to run, one for each branch."""

from dataclasses import replace

import torch

import autograd_viz as av
from autograd_viz.formulas import slopes, symbolic
from autograd_viz.formulas.failures import failures
from autograd_viz.formulas.recipes import read
from autograd_viz.operators.table import TABLE, operation


def derived(number):
    x = torch.tensor(number, requires_grad=True)
    y = torch.relu(torch.sin(x) * x)
    variables = av.trace(y, names={"x": x, "y": y}).variables()
    found = read(variables, variables.root)
    assert found is not None
    return found, symbolic.derivative(found.recipe, 0, found.numbers)


def test_each_branch_is_derived_once():
    (one, rising), (_, again), (_, flat) = derived(1.0), derived(1.5), derived(4.0)
    assert rising is again
    assert rising is not None
    assert flat is not None
    assert flat.expression == 0
    assert [condition.sign for condition in rising.conditions] == [1]
    assert [condition.sign for condition in flat.conditions] == [-1]
    x = torch.tensor(1.0, requires_grad=True)
    (expected,) = torch.autograd.grad(torch.sin(x) * x, x)
    value = symbolic.value(rising, one.numbers)
    assert value is not None
    torch.testing.assert_close(torch.tensor(value), expected)


def test_a_missing_number_leaves_the_branch_open():
    found, _ = derived(1.0)
    assert symbolic.derivative(found.recipe, 0, [None]) is None


def test_expressions_that_grow_too_large_have_no_formula():
    x = torch.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(12):
        y = torch.sin(y) * y
    variables = av.trace(y, names={"x": x, "y": y}).variables()
    found = read(variables, variables.root)
    assert found is not None
    assert symbolic.derivative(found.recipe, 0, found.numbers) is None


def test_a_derivation_that_fails_costs_the_formula_alone(monkeypatch):
    def broken(options, x):
        raise ZeroDivisionError

    monkeypatch.setitem(TABLE, "Sinh", replace(TABLE["Sinh"], scalar=broken))
    operation.cache_clear()
    only_here = torch.tensor(0.5, requires_grad=True)
    y = torch.sinh(only_here)
    variables = av.trace(y).variables()
    assert str(slopes.local_derivative(variables, variables.links[0])) == "∂y/∂only_here = 1.1276"
    assert variables.derivatives().svg
    operation.cache_clear()
    assert [type(failures.pop()) for _ in range(len(failures))] == [ZeroDivisionError]
