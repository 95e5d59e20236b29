"""Values shown are those of their statement, whatever changes the memory afterwards.

The oracle is plain PyTorch: the same statements, one at a time, with a copy of every variable after
each of them.
"""

import linecache
import re
import weakref
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.programs.moments import Moments, may_write

NAMES = ("x", "y", "z", "u", "v", "n")
INDEX = "₀₁₂₃₄₅₆₇₈₉"


def defined(lines):
    """The function of an x that some statements make, with its lines where Python finds them."""
    text = "\n".join(["def f(x):", *(f"    {line}" for line in lines), ""])
    filename = f"<moments {abs(hash(text))}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"torch": torch, "F": F, "np": np}
    exec(compile(text, filename, "exec"), scope)
    return scope["f"]


def held_after_each(lines, x):
    """What each variable holds after each statement, run one by one; without the return."""
    scope: dict[str, Any] = {"torch": torch, "F": F, "np": np}
    scope["x"] = torch.tensor(x, requires_grad=True)
    found = []
    for line in lines[:-1]:
        exec(line, scope)
        tensors = {name: scope[name] for name in NAMES if torch.is_tensor(scope.get(name))}
        found.append({name: tensor.detach().clone() for name, tensor in tensors.items()})
    return found


def value(shown, variable):
    """What a variable with one output holds."""
    (held,) = shown.values(variable)
    assert held is not None
    return held


def check(program, lines, x):
    """Compare the rows of a program, and the variables of its graph, with the oracle."""
    held = held_after_each(lines, x)
    rows = program.statements
    assert len(rows) == len(lines)
    last, shown = {"x": torch.tensor(x)}, {}
    for row, now in zip(rows[:-1], held, strict=True):
        written = {}
        for name, value in zip(row.names, row.values, strict=True):
            if torch.is_tensor(value):
                shown[name] = value
                written[name.rstrip(INDEX)] = value
        for name, value in written.items():
            torch.testing.assert_close(value, now[name], equal_nan=True, rtol=0, atol=0)
        for name, value in now.items():  # what this statement changed is in its row
            before = last.get(name)
            if before is None or not torch.equal(before, value):
                seen = any(torch.equal(now[other], value) for other in written)  # z = y: one is y
                assert name in written or seen, (row, name)
        last = now
    for node in program._variables((), None).nodes:
        (value, *_) = program._variables((), None).values(node) or (None,)
        if node.name in shown and value is not None:
            torch.testing.assert_close(value, shown[node.name], equal_nan=True, rtol=0, atol=0)


WAYS = [
    ["y[0] += 10"],
    ["v = y[0:2]", "v += 10"],
    ["v = y[1:]", "y.mul_(3)"],
    ["v = y.view(3, 1)", "v[2, 0] = 7.0", "u = v * 2"],
    ["v = y.detach()", "v[1] = 5.0"],
    ["y.data.mul_(2)"],
    ["y.data = torch.zeros(3)"],
    ["torch.mul(x.detach(), 5, out=y.data)"],
    ["y.data.copy_(torch.ones(3))"],
    ["y.index_put_((torch.tensor([0, 2]),), torch.tensor([8.0, 9.0]))"],
    ["v = y.detach().clone()", "v.resize_(2)", "v.zero_()"],
    ["n = y.detach().numpy()", "n[0] = 9", "z = y * 3"],
    ["n = np.ones(3, dtype=np.float32)", "v = torch.from_numpy(n)", "n[0] = 9", "z = y * v"],
    ["z = F.relu(y, inplace=True)"],
    ["u = [t.mul_(2) for t in y.detach().unbind(0)]"],
    ["(lambda t: t.add_(1))(y[0:2])"],
    ["v = y[0:2]", "u = y[2:]", "v *= 2", "z = u * 2"],
    ["z = torch.stack([y, y])", "v = z[0]", "z[0, 1] -= 4"],
    ["x.data.mul_(2)", "z = x + y"],
    ["y[0], y[1] = y[1].clone(), y[0].clone()"],
    ["v = y.t()", "v.sub_(1)", "y += x"],
    ["torch._foreach_mul_([y.data], 2.0)"],
    ["v = y.expand(2, 3)", "y.add_(1)", "z = v * 2"],
]


@pytest.mark.parametrize("way", WAYS, ids=[way[-1] for way in WAYS])
@pytest.mark.parametrize("first", ["y = x * 2", "y = x.detach() * 2"])
def test_a_row_shows_what_its_statement_made(way, first):
    lines = [first, *way, "return (x + y).sum()"]
    program = av.program(defined(lines), x=[1.0, 2.0, 3.0])
    check(program, lines, [1.0, 2.0, 3.0])
    check(program.at(x=[3.0, 0.5, -1.0]), lines, [3.0, 0.5, -1.0])
    check(program.at(x=[-3.0, 2.5, 0.0]), lines, [-3.0, 2.5, 0.0])


def test_the_example_of_a_change_through_a_view():
    def f(x):
        y = x * 2
        row = y[0:2]
        row += 10
        return y.sum()

    program = av.program(f, x=[1.0, 2.0, 3.0])
    assert str(program).splitlines()[1].endswith("y₁ = [2, 4, 6]")
    shown = program.variables()
    values = {node.name: value(shown, node).tolist() for node in shown.nodes}
    assert values["y₁"] == [2, 4, 6]
    assert values["y₂"] == [12, 14, 6]


def test_a_statement_that_changes_through_a_helper():
    def helper(t):
        made = t * 2
        made[0:1].add_(5)
        return made

    def f(x):
        y = helper(x)
        helper(y[0:2].mul_(1))
        return y.sum()

    program = av.program(f, x=[1.0, 2.0])
    assert program.statements[0].values[0].tolist() == [7, 4]


def test_running_means_change_though_no_count_says_so():
    norm = torch.nn.BatchNorm1d(2)

    def f(x):
        mean = norm.running_mean
        h = norm(x)
        return (h * mean).sum()

    assert norm.running_mean is not None
    before = norm.running_mean.clone()
    program = av.program(f, x=[[1.0, 2.0], [3.0, 5.0]])
    first, second = program.statements[:2]
    assert torch.equal(first.values[0], before)
    assert second.values[0].tolist() == norm.running_mean.tolist()
    assert second.names[0] == "mean₂"


def test_of_a_large_value_that_changed_no_number_is_shown():
    def f(x):
        y = x * torch.ones(2_000)
        y[0] += 1
        return y.sum()

    program = av.program(f, x=2.0)
    assert program.statements[0].values == (None,)
    assert "y₁ = not known: changed since" in str(program)
    assert program.statements[1].values[0][:2].tolist() == [3, 2]


def test_a_change_that_no_one_announced_leaves_no_number():
    def f(x):
        y = x * 2
        y.detach().set_(torch.ones(2))  # which PyTorch counts, but tells no mode
        return y.sum()

    program = av.program(f, x=[1.0, 2.0, 3.0])
    assert "y = not known: changed since" in str(program)
    assert program.at(x=[1.0, 1.0, 1.0]).statements[0].values == (None,)


def test_a_change_through_an_alias_is_of_the_name_that_still_means_it():
    def f(x):
        y = x.detach() * 2
        z = y
        y = y * x
        z[0] = 2.0
        return (y + z).sum()

    row = av.program(f, x=[3.0, 1.0]).statements[3]
    assert row.names == ("z",)
    assert row.values[0].tolist() == [2, 2]


def test_what_no_name_means_any_more_is_no_version_of_its_name():
    def f(x):
        y = x.detach() * 2
        z = y.view(2)
        y = y * x
        z[0] = 2.0
        return (y + z).sum()

    assert av.program(f, x=[3.0, 1.0]).statements[3].names == ("z₂",)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("call", [F.relu, F.hardtanh, F.elu])
def test_a_keyword_says_whether_a_call_changes_its_input(call, inplace):
    def f(x):
        y = x * 2
        z = call(y.detach(), inplace=inplace)
        return (y + z).sum()

    assert av.program(f, x=[-3.0, 1.0]).statements[0].values[0].tolist() == [-6, 2]


def test_no_other_tensor_can_be_taken_for_one_that_was_noted():
    moments, noted = Moments(), torch.ones(1)
    alive = weakref.ref(noted)
    moments.note(noted)
    del noted
    assert alive() is not None


WRITERS = [
    *(torch.Tensor.add_, torch.Tensor.__setitem__, torch.Tensor.__iadd__, torch.Tensor.numpy),
    *(torch._foreach_mul_, torch.Tensor.backward, F.batch_norm, torch.batch_norm, F.instance_norm),
    *(
        torch.as_tensor,
        torch.utils.dlpack.from_dlpack,
        torch.ops.aten.mul_.Tensor,
        vars(torch._C.TensorBase)["data"].__set__,
    ),
    *(torch.Tensor.untyped_storage, torch.nn.init.normal_, torch.rrelu_, lambda t: t),
]
READERS = [
    *(torch.add, torch.Tensor.mul, torch.log2, torch.sin, torch.stack, F.relu, F.mse_loss),
    *(
        F.cross_entropy,
        F.linear,
        torch.Tensor.__getitem__,
        vars(torch._C.TensorBase)["data"].__get__,
    ),
    *(torch.Tensor.__rsub__, torch.Tensor.pow, torch.Tensor.detach, torch.layer_norm, torch.rand),
]


def without_address(function) -> str:
    return re.sub(r" at 0x\w+", "", str(function))


@pytest.mark.parametrize("function", WRITERS, ids=without_address)
def test_of_what_may_write_it_is_known(function):
    assert may_write(function)


@pytest.mark.parametrize("function", READERS, ids=without_address)
def test_of_what_only_computes_it_is_known(function):
    assert not may_write(function)


def test_a_constant_is_the_number_that_took_part():
    def f(x):
        c = torch.tensor(2.0)
        y = x + c
        c += 1
        return y + c

    program = av.program(f, x=1.0)
    assert program.outputs[0].item() == 6
    values = {node.name: node.value for node in program.variables().nodes}
    assert values["c₁"] == 2
    assert values["c₂"] == 3


def test_a_leaf_shows_what_took_part_in_the_graph():
    def once(x):
        w = torch.tensor(3.0, requires_grad=True)
        y = w * x
        w.data.sub_(1)
        return y + 1

    def twice(x):
        w = torch.tensor(3.0, requires_grad=True)
        y = w + x
        with torch.no_grad():
            w -= 1
        return y + w

    shown = av.program(once, x=2.0)._variables((), None)
    (leaf,) = [node for node in shown.nodes if node.name == "w₁"]
    assert value(shown, leaf) == 3
    shown = av.program(twice, x=2.0)._variables((), None)
    (leaf,) = [node for node in shown.nodes if (node.name or "").startswith("w") and node.is_leaf]
    assert shown.values(leaf) in ((), (None,))  # one node, two values: neither is its own


def test_nudge_begins_with_the_input_as_it_was_given():
    def f(x):
        x.data.mul_(2)
        return (x * x).sum()

    nudge = av.nudge(f, "x[0]", 0.5, x=[1.0, 2.0])
    assert nudge.difference == 3**2 - 2**2


def test_later_runs_begin_with_the_inputs_as_they_were_given():
    x, b = torch.tensor([1.0, 2.0], requires_grad=True), 1.0
    program = av.program(lambda x, b: (x * b).sum(), x=x, b=b)
    with torch.no_grad():
        x.add_(100)
    assert program.at(b=2.0).outputs[0].item() == 6


# Random programs


@st.composite
def programs(draw):
    """Statements that compute, look at the same memory, and change it in place."""
    names, lines = ["y"], ["y = x * 2" if draw(st.booleans()) else "y = x.detach() * 2"]
    for _ in range(draw(st.integers(1, 7))):
        one = draw(st.sampled_from(names))
        new = draw(st.sampled_from(["y", "z", "u", "v"]))
        number = draw(st.sampled_from(["2.0", "-1.0", "0.5"]))
        place = draw(st.integers(0, 2))
        line = draw(
            st.sampled_from(
                [
                    f"{new} = {one} * x",
                    f"{new} = {one} + {number}",
                    f"{new} = {one}",
                    f"{new} = {one}.view(3)",
                    f"{new} = {one}.detach()",
                    f"{new} = {one}.flip(0)",
                    f"{one}[{place}] = {number}",
                    f"{one}[{place}] += {number}",
                    f"{one}[{place}:] *= {number}",
                    f"{one}[{place}:].add_({number})",
                    f"{one}.mul_({number})",
                    f"{one} += x.detach()",
                    f"{one}.data.sub_({number})",
                    f"{one}.detach().copy_(x.detach())",
                    f"{one}.detach().numpy()[{place}] = {number}",
                    f"x.data[{place}] += {number}",
                ]
            )
        )
        lines.append(line)
        if re.match(rf"{new} = ", lines[-1]) and new not in names:
            names.append(new)
    return [*lines, f"return ({' + '.join(names)} + x).sum()"]


NUMBERS = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 1.0, 3.0]), min_size=3, max_size=3)


@settings(max_examples=120, deadline=None)
@given(programs(), NUMBERS, NUMBERS)
def test_any_program_shows_what_plain_pytorch_held(lines, x, other):
    try:
        held_after_each(lines, x)
        held_after_each(lines, other)
    except RuntimeError:  # PyTorch forbids it
        return
    program = av.program(defined(lines), x=x)
    check(program, lines, x)
    check(program.at(x=other), lines, other)
    check(program.at(x=x), lines, x)
