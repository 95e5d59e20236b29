"""Programs: what ran, in the source's words, the lectures' numbers, and other inputs."""

import importlib.util
import linecache
import math
from functools import partial
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import autograd_viz as av
from autograd_viz.errors import GradError, NoGraphError
from autograd_viz.picture import Picture, Strip
from tests.examples import examples


def lecture(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


def rounded(program):
    """Name -> gradient of each leaf, to four digits."""
    variables = program.variables()
    names = {v.node: v.title for v in variables.nodes if v.is_leaf}
    leaves = [step for step in variables.trace.steps if step.leaf is not None]
    return {names[step.node]: round(step.grad_outputs[0].item(), 4) for step in leaves}


def gradients_of(trace):
    """The leaves' gradients as numbers."""
    return [None if grad is None else grad.tolist() for _, grad in trace.leaf_grads]


def slopes(program):
    """(source, target) -> local derivative, to four digits."""
    variables = program.variables()
    return {
        (variables.nodes[link.source].title, variables.nodes[link.target].title): round(
            link.local, 4
        )
        for link in variables.links
        if link.local is not None
    }


def told(program):
    """What the statements bound: (name, value)."""
    return [
        (name, value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value)
        for statement in program.statements
        for name, value in zip(statement.names, statement.values, strict=False)
    ]


# The lectures' examples.


def test_a2_the_chain_rule_worked():
    def chain(x):
        f = x**2
        g = torch.log(f)
        h = g + 1
        return h

    program = av.program(chain, x=3.0)
    assert program.outputs[0].item() == pytest.approx(3.1972246)
    assert slopes(program) == {("f", "x"): 6, ("g", "f"): 0.1111, ("h", "g"): 1}
    assert rounded(program) == {"x": 0.6667}


def test_a3_the_main_example():
    program = av.program(lecture, a=2.0, b=4.0)
    assert [
        (statement.source, statement.names, statement.operations)
        for statement in program.statements
    ] == [
        ("c = a + b", ("c",), ("add",)),
        ("d = torch.log2(a) * torch.log2(b)", ("d",), ("log2", "log2", "mul")),
        ("e = c * d", ("e",), ("mul",)),
        ("return e", (), ()),
    ]
    assert told(program) == [("c", 6), ("d", 2), ("e", 12)]
    first = lecture.__code__.co_firstlineno
    assert [statement.line - first for statement in program.statements] == [1, 2, 3, 4]
    assert program.first_line == first
    assert program.source[0] == "def lecture(a, b):"
    assert len(program.source) == 5
    variables = program.variables()
    assert [(v.id, v.title, v.expression, v.kind, v.line) for v in variables.nodes] == [
        (0, "a", "a", "leaf", None),
        (1, "b", "b", "leaf", None),
        (2, "c", "a + b", "result", first + 1),
        (3, "d", "log2(a) * log2(b)", "result", first + 2),
        (4, "e", "c * d", "result", first + 3),
    ]
    assert slopes(program) == {
        ("c", "a"): 1,
        ("c", "b"): 1,
        ("d", "a"): 1.4427,
        ("d", "b"): 0.3607,
        ("e", "c"): 2,
        ("e", "d"): 6,
    }
    assert rounded(program) == {"a": 10.6562, "b": 4.1640}
    operations = {"AddBackward0": 1, "Log2Backward0": 2}
    for node in program.graph.nodes:
        if node.name in operations:
            assert program.lines[node.id] == first + operations[node.name]


def test_a4_the_details_of_d_are_those_of_the_slide():
    details = av.program(lecture, a=2.0, b=4.0).variables().details("d")
    assert [v.title for v in details.nodes] == ["a", "b", "log2(a)", "log2(b)", "d"]
    assert [[float(x or 0) for x in details.values(v)] for v in details.nodes] == [
        [2],
        [4],
        [1],
        [2],
        [2],
    ]


def test_b2_a_product_and_a_sum():
    def three(a, b, c):
        u = b * c
        v = a + u
        J = 3 * v
        return J

    program = av.program(three, a=5.0, b=3.0, c=2.0)
    assert told(program) == [("u", 6), ("v", 11), ("J", 33)]
    assert rounded(program) == {"a": 3, "b": 6, "c": 9}
    assert slopes(program)["J", "v"] == 3
    assert slopes(program)["u", "b"] == 2
    assert [v.expression for v in program.variables().nodes][-1] == "3 * v"


def test_b4_and_b5_the_linear_model_with_squared_loss():
    def b4(w, x=1.0, y=2.0):
        yhat = w * x
        s = yhat - y
        loss = s**2
        return loss

    def b5(w, b, x=1.0, y=2.0):
        yhat = w * x + b
        loss = (yhat - y) ** 2
        return loss

    program = av.program(b4, w=1.0)
    assert told(program) == [("yhat", 1), ("s", -1), ("loss", 1)]
    assert slopes(program) == {("yhat", "w"): 1, ("s", "yhat"): 1, ("loss", "s"): -2}
    assert rounded(program) == {"w": -2}
    assert rounded(av.program(b5, w=1.0, b=2.0)) == {"w": 2, "b": 2}


@pytest.mark.parametrize("x", [1.0, 3.0])
def test_b8_a_quadratic_model(x):
    def model(w1, w2, b, x=1.0, y=2.0):
        yhat = x**2 * w2 + x * w1 + b
        loss = (yhat - y) ** 2
        return loss

    def at(w1, w2, b):
        return model(w1, w2, b, x=x)

    residual = x**2 * 0.5 + x * 1.5 + 0.25 - 2
    expected = {"w1": 2 * residual * x, "w2": 2 * residual * x**2, "b": 2 * residual}
    found = rounded(av.program(at, w1=1.5, w2=0.5, b=0.25))
    assert found == {name: pytest.approx(value, abs=1e-4) for name, value in expected.items()}


def test_c2_a_composition():
    def composed(x, y):
        u = x**2
        v = y**2
        z = u + v
        t = 2 * z
        return t

    program = av.program(composed, x=3.0, y=2.0)
    assert told(program) == [("u", 9), ("v", 4), ("z", 13), ("t", 26)]
    assert rounded(program) == {"x": 12, "y": 8}


def test_c3_a_rebound_name_keeps_its_versions_apart():
    def rebound(t):
        z = 2 * t
        z = -t
        u = z.sum()
        return u

    program = av.program(rebound, t=torch.ones(2, 2, requires_grad=True))
    variables = program.variables()
    assert [(v.title, v.expression, v.kind) for v in variables.nodes] == [
        ("t", "t", "leaf"),
        ("z₁", "2 * t", "unused"),
        ("z₂", "-t", "result"),
        ("u", "z₂.sum()", "result"),
    ]
    assert [statement.names for statement in program.statements] == [("z₁",), ("z₂",), ("u",), ()]
    assert [statement.source for statement in program.statements][:2] == ["z = 2 * t", "z = -t"]
    titles = [v.title for v in variables.nodes]
    assert [(titles[link.source], titles[link.target]) for link in variables.links] == [
        ("z₁", "t"),
        ("z₂", "t"),
        ("u", "z₂"),
    ]
    assert variables.links[0].arrivals == ()
    (value,) = variables.values(variables.nodes[1])
    assert value is not None
    assert value.tolist() == [[2, 2], [2, 2]]
    assert gradients_of(program.trace()) == [[[-1, -1], [-1, -1]]]


def test_d2_constants_take_part_and_receive_nothing():
    def loss(w, x=1.0, y=2.0):
        yhat = w * x
        l = yhat - y  # noqa: E741
        Loss = l**2
        return Loss

    program = av.program(loss, w=1.0)
    variables = program.variables()
    assert [(v.title, v.kind, v.node is None) for v in variables.nodes] == [
        ("w", "leaf", False),
        ("x", "constant", True),
        ("y", "constant", True),
        ("yhat", "result", False),
        ("l", "result", False),
        ("Loss", "result", False),
    ]
    constants = [link for link in variables.links if variables.nodes[link.target].node is None]
    assert [(link.arrivals, link.local, link.contribution) for link in constants] == [
        ((), None, None)
    ] * 2
    assert [float(v.value) for v in variables.nodes if v.value is not None] == [1, 2]
    assert slopes(program) == {("yhat", "w"): 1, ("l", "yhat"): 1, ("Loss", "l"): -2}
    assert rounded(program) == {"w": -2}
    same = av.program(loss, w=1.0, x=torch.tensor(1.0), y=torch.tensor(2.0))
    assert [(v.title, v.kind) for v in same.variables().nodes] == [
        (v.title, v.kind) for v in variables.nodes
    ]


# The same again at other inputs.


def test_at_other_inputs_everything_is_as_if_recorded_anew():
    program = av.program(lecture, a=2.0, b=4.0)
    moved = program.at(a=2.5)
    fresh = av.program(lecture, a=2.5, b=4.0)
    assert moved._outline is program._outline
    assert str(moved) == str(fresh)
    assert moved.variables().backward().words == fresh.variables().backward().words
    assert moved.picture().svg == fresh.picture().svg
    assert rounded(moved) == rounded(fresh)
    assert moved.inputs["b"].item() == 4
    assert moved.at(b=1.0).inputs["a"].item() == 2.5
    assert rounded(program) == {"a": 10.6562, "b": 4.1640}  # the first is as it was


def test_another_branch_is_recorded_and_remembered():
    def kinked(x):
        if x > 0:
            return x * 3
        y = -x
        return y

    program = av.program(kinked, x=1.0)
    other = program.at(x=-1.0)
    assert [s.source for s in other.statements] == ["if x > 0:", "y = -x", "return y"]
    assert [s.source for s in program.statements] == ["if x > 0:", "return x * 3"]
    assert other._outline is not program._outline
    assert rounded(other) == {"x": -1}
    assert other.at(x=2.0)._outline is program._outline
    assert program.at(x=-3.0)._outline is other._outline


def test_a_number_that_follows_from_a_tensor_is_never_an_old_one():
    def scaled(x):
        k = x.item() * 2
        y = x * k
        return y

    program = av.program(scaled, x=3.0)
    assert told(program) == [("k", 6), ("y", 18)]
    assert told(program.at(x=4.0)) == [("k", 8), ("y", 32)]


def test_options_that_change_what_is_computed_are_noticed():
    def loss(x, reduction: str = "sum"):
        y = F.l1_loss(x, torch.zeros(2), reduction=reduction)
        return y

    program = av.program(loss, x=[1.0, 2.0], reduction="sum")
    assert told(program.at(reduction="mean")) == [("y", 1.5)]


def test_random_numbers_are_those_of_one_run():
    def noisy(x):
        y = x * torch.rand(())
        if x > 1:
            y = y + 1
        return y

    program = av.program(noisy, x=0.5)
    for value in (0.25, 2.0):  # the second takes another branch, and has to run twice
        torch.manual_seed(3)
        found = program.at(x=value).outputs[0].item()
        torch.manual_seed(3)
        assert found == noisy(torch.tensor(value)).item()


def test_a_repeated_run_keeps_no_more_paths_than_it_should():
    def loop(x, n: int):
        for _ in range(n):
            x = x * 2
        return x

    program = av.program(loop, x=1.0, n=1)
    for n in range(2, 40):
        assert program.at(n=n).outputs[0].item() == 2**n
    assert len(program._paths.known) <= 16


# Random programs.

OPERATIONS = ["{} + {}", "{} * {}", "torch.sin({}) - {}", "torch.tanh({} * {})", "-{} + 2 * {}"]


@st.composite
def sources(draw):
    """Statements over a few names, which are bound again and again."""
    names = ["x", "y"]
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        operation = draw(st.sampled_from(OPERATIONS))
        used = [draw(st.sampled_from(names)) for _ in range(2)]
        target = draw(st.sampled_from(["x", "y", "z", "u"]))
        style = draw(st.sampled_from(["plain", "plain", "augmented", "in place"]))
        if style == "augmented" and target in names:
            lines.append(f"    {target} += {operation.format(*used)}")
        elif style == "in place" and target in set(names) - {"x", "y"}:
            lines.append(f"    {target} = {target} * 1")
            lines.append(f"    {target}.mul_(torch.cos({used[0]}))")
        else:
            lines.append(f"    {target} = {operation.format(*used)}")
            if target not in names:
                names.append(target)
    # The input itself must not change in place.
    head = ["def f(x, y):", "    x, y = x * 1, y * 1"]
    return "\n".join([*head, *lines, f"    return {target}", ""])


def defined(text, name="f"):
    """The function that a source defines, with its lines where Python looks for them."""
    filename = f"<program {abs(hash(text))}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope: dict[str, object] = {"torch": torch, "F": F, "math": math}
    exec(compile(text, filename, "exec"), scope)
    return scope[name]


@examples(80)
@given(sources(), st.floats(-2, 2, width=32), st.floats(-2, 2, width=32))
def test_any_program_has_the_values_and_gradients_of_the_plain_function(text, x, y):
    f = defined(text)
    program = av.program(f, x=x, y=y).at(x=0.5).at(x=x)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, y)]
    expected = f(*leaves)
    assert program.outputs[0].item() == expected.item() or math.isnan(expected.item())
    try:
        wanted = torch.autograd.grad(expected, leaves, allow_unused=True)
    except RuntimeError:  # what the backward pass needs was changed in place
        with pytest.raises(RuntimeError, match=r"was changed in place after .* had saved it"):
            program.variables()
        assert program.picture().words
        return
    found = {id(leaf): grad for leaf, grad in program.trace().leaf_grads}
    for leaf, grad in zip(program.inputs.values(), wanted, strict=True):
        if grad is None:
            assert found.get(id(leaf)) is None
        else:
            torch.testing.assert_close(found[id(leaf)], grad, equal_nan=True)
    # Each value is that of a run of the program's beginning, and each name appears once.
    names = [name for statement in program.statements for name in statement.names]
    assert len(names) == len(set(names))
    lines = text.splitlines()
    for number, statement in enumerate(program.statements[:-1], start=2):
        head = [line for line in lines[:number] if "return" not in line]
        if statement.names:
            plain = statement.names[0].rstrip("₀₁₂₃₄₅₆₇₈₉")
            begun = defined("\n".join([*head, f"    return {plain}", ""]))
            inputs = [torch.tensor(value, requires_grad=True) for value in (x, y)]
            torch.testing.assert_close(statement.values[0], begun(*inputs).detach(), equal_nan=True)
    variables = program.variables()
    assert [v.id for v in variables.nodes] == list(range(len(variables.nodes)))
    assert all(link.target < link.source for link in variables.links)


# What comes back, and what goes wrong.


def test_several_outputs_are_traced_from_the_first():
    def two(x):
        yhat = x * 3
        loss = (yhat - 1) ** 2
        return {"loss": loss, "yhat": yhat}

    program = av.program(two, x=1.0)
    assert list(program.result) == ["loss", "yhat"]
    assert [tensor.item() for tensor in program.outputs] == [4, 3]
    assert len(program.graph.outputs) == 2
    assert rounded(program) == {"x": 12}
    both = program.trace([torch.tensor(1.0), torch.tensor(10.0)])
    assert gradients_of(both) == [42]


def test_an_output_that_the_first_does_not_need_is_drawn_too():
    def two(x):
        y = x * 3
        z = x + 1
        return y, z

    variables = av.program(two, x=1.0).variables()
    assert [v.title for v in variables.nodes] == ["x", "y", "z"]
    assert variables.picture(view="backward").words


def test_without_a_gradient_there_is_a_program_and_no_trace():
    def f(x):
        y = x * 2
        return y

    program = av.program(f, x=torch.tensor(3.0))
    assert len(program.graph.nodes) == 0
    assert [(v.title, v.kind) for v in program.variables().nodes] == [
        ("x", "constant"),
        ("y", "constant"),
    ]
    assert "y = 6" in str(program)
    assert program.picture().svg
    with pytest.raises(NoGraphError, match="does not require grad"):
        program.trace()


def test_an_output_of_several_elements_has_a_trace_from_a_gradient_only():
    def f(x):
        y = x * 2
        return y

    program = av.program(f, x=[1.0, 2.0])
    assert program.variables().trace is None
    with pytest.raises(GradError, match="needs a gradient to start from"):
        program.trace()
    trace = program.trace(torch.tensor([1.0, 10.0]))
    assert gradients_of(trace) == [[2, 20]]


def test_an_input_that_is_returned_as_it_is():
    program = av.program(lambda x: x, x=2.0)
    assert [(v.title, v.is_leaf) for v in program.variables().nodes] == [("x", True)]
    assert rounded(program) == {"x": 1}


def test_what_the_function_raises_comes_through_with_its_traceback():
    def broken(x):
        y = x * 2
        raise KeyError("mine")
        return y

    with pytest.raises(KeyError, match="mine") as caught:
        av.program(broken, x=1.0)
    assert caught.traceback[-1].name == "broken"


def test_no_function_at_all():
    with pytest.raises(TypeError, match=r"of type Tensor.*av\.program\(f, a=2\.0\)"):
        av.program(torch.ones(2))  # type: ignore[arg-type]


def test_opening_and_details_keep_the_constants():
    def loss(w, x=3.0):
        y = torch.sin(w * x) + w
        return y

    opened = av.program(loss, w=1.0).variables().open("y")
    titles = [v.title for v in opened.nodes]
    assert "x" in titles
    links = {(opened.nodes[k.source].title, opened.nodes[k.target].title) for k in opened.links}
    assert ("w * x", "x") in links
    assert ("y", "x") not in links
    assert "x" in [v.title for v in opened.details("y").nodes]


# How it shows itself.


def test_the_table_and_the_repr():
    program = av.program(lecture, a=2.0, b=4.0)
    first = lecture.__code__.co_firstlineno
    assert str(program).splitlines() == [
        "line  statement                          value",
        f"{first + 1:<4}  c = a + b                          c = 6",
        f"{first + 2:<4}  d = torch.log2(a) * torch.log2(b)  d = 2",
        f"{first + 3:<4}  e = c * d                          e = 12",
        f"{first + 4:<4}  return e                           12",
    ]
    assert repr(program) == "<Program lecture of 4 statements>"


def test_the_picture_has_the_sources_own_statements():
    def f(x, k=3.0):
        a, b = torch.sin(x) * k, x * 2
        return a * b

    program = av.program(f, x=1.0)
    picture = cast(Picture, program.picture())
    assert [line for line, _ in picture.statements] == [
        "x = 1",
        "k = 3",
        "a, b = torch.sin(x) * k, x * 2",
        "return a * b",
    ]
    assert "k" in [v.title for v in program.variables().nodes]
    frames = cast(Strip, program.picture(frame="all")).frames
    assert [shown for _, shown in frames[0].statements] == [True, True, False, False]
    assert cast(Picture, program.picture(view="backward")).statements == ()
    assert "image/svg+xml" in program._repr_mimebundle_()
    with pytest.raises(TypeError, match="no option 'size'"):
        program.picture(size=3)


def test_statements_in_the_picture_are_those_that_made_the_variable():
    def f(x, y):
        x, y = y, x
        w = torch.ones(2, requires_grad=True)
        u = x**2 + y
        v = u * w.sum()
        u = v
        return u

    picture = cast(Picture, av.program(f, x=1.0, y=2.0).picture())
    assert [line for line, _ in picture.statements] == [
        "x = 1",
        "y = 2",
        "w = torch.ones(2, requires_grad=True)",
        "u = x**2 + y",
        "v = u * w.sum()",
    ]


# Without a source.


def test_a_function_without_a_source_has_names_and_numbers():
    scope: dict[str, Any] = {}
    exec("def g(a, b):\n    c = a * b\n    return c + 1\n", scope)
    program = av.program(scope["g"], a=2.0, b=3.0)
    assert program.source == ()
    assert program.first_line is None
    assert program.statements == ()
    assert [(v.title, v.kind) for v in program.variables().nodes] == [
        ("a", "leaf"),
        ("b", "leaf"),
        ("a * b + 1", "result"),
    ]
    assert rounded(program) == {"a": 3, "b": 2}
    assert "result" in str(program)
    assert program.at(a=5.0).outputs[0].item() == 16


def test_a_function_of_pytorchs_own():
    program = av.program(torch.sigmoid, input=0.0)
    assert rounded(program) == {"input": 0.25}
    assert program.picture().svg


def test_a_module_and_what_it_holds():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 1)

        def forward(self, x):
            h = self.linear(x)
            return h.sum()

    net = Net()
    before = [p.clone() for p in net.parameters()]

    def loss(x):
        y = net(x)
        return y * 2

    for function, prefix in ((net, "self"), (loss, "net")):
        program = av.program(function, x=[1.0, 2.0])
        leaves = {v.title for v in program.variables().nodes if v.is_leaf}
        assert leaves == {"x", f"{prefix}.linear.weight", f"{prefix}.linear.bias"}
    assert all(p.grad is None for p in net.parameters())
    assert all(map(torch.equal, before, net.parameters()))


def test_a_changed_file_does_not_lie(tmp_path):
    path = tmp_path / "edited_later.py"
    path.write_text("def f(x):\n    y = x * 2\n    return y\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("edited_later", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.write_text("def f(x):\n    y = x * 3\n    return y\n", encoding="utf-8")
    linecache.checkcache(str(path))
    program = av.program(module.f, x=1.0)
    assert program.statements == ()
    assert program.outputs[0].item() == 2
    path.unlink()
    assert av.program(module.f, x=1.0).outputs[0].item() == 2


# Cost.


@pytest.fixture
def long_module(tmp_path):
    lines = [f"    y{n} = torch.sin(y{n - 1}) + y{max(0, n - 2)} * x" for n in range(1, 1000)]
    head = ["import torch", "def long(x):", "    y0 = x * 1.5"]
    text = "\n".join([*head, *lines, "    return y999\n"])
    path = tmp_path / "long_program.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("long_program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_thousand_statements(long_module):
    program = av.program(long_module.long, x=0.5)
    assert len(program.statements) == 1001
    assert program.statements[500].names == ("y500",)
    assert program.outputs[0].item() == pytest.approx(long_module.long(torch.tensor(0.5)).item())


def test_the_result_of_an_object_is_called_by_the_object():
    class Twice(torch.nn.Module):
        def forward(self, a):
            return a * 2

    class Thrice:
        def __call__(self, a):
            return a * 3

        def scaled(self, a):
            return a * 4

    def root(f):
        return av.program(f, a=2.0).variables().root.title

    assert root(Twice()) == root(Twice().forward) == root(partial(Twice())) == "Twice"
    assert root(Thrice()) == "Thrice"
    assert root(Thrice().scaled) == "scaled"
