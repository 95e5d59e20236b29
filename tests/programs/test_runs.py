"""Watching a run: only the function's own frame, and nothing stays behind."""

import subprocess
import sys

import pytest
import torch
import torch.utils.checkpoint

import autograd_viz as av


def helper(x):
    secret = x * 12345.0
    hidden_name = torch.sin(secret)
    return hidden_name


def texts(program):
    """All that a program says."""
    variables = program.variables()
    return "\n".join(
        [
            str(program),
            repr(program.statements),
            "\n".join(program.source),
            repr(variables.nodes),
            repr(tuple(program.graph.nodes)),
            program.picture().svg,
            variables.picture().svg,
        ]
    )


def test_the_variables_of_other_frames_are_not_read():
    def asks(x):
        y = helper(x)
        z = y + sum([helper(x) for _ in range(2)])
        return z

    program = av.program(asks, x=0.3)
    said = texts(program)
    assert "helper" in said
    for word in ("secret", "hidden_name"):
        assert word not in said
    assert program.statements[0].operations == ("mul", "sin")
    assert "secret" not in texts(program.at(x=0.4))


def test_a_compiled_function_is_one_step():
    @torch.compile(backend="aot_eager")
    def inner(x):
        return torch.sin(x) * x

    def outer(x):
        y = inner(x)  # compiled while it is watched; a warning of the compiler would be an error
        z = y + x
        return z

    program = av.program(outer, x=0.5)
    variables = program.variables()
    assert [variable.title for variable in variables.nodes] == ["x", "y", "z"]
    slope = torch.sin(torch.tensor(0.5)) + 0.5 * torch.cos(torch.tensor(0.5)) + 1
    assert av.paths(variables, "x").total == pytest.approx(slope.item())
    assert program.at(x=1.0).outputs[0].item() == pytest.approx(1.841471)
    nudge = av.nudge(inner, "x", 0.001, x=0.5)
    assert nudge.gradient == pytest.approx(slope.item() - 1)


def test_the_callers_variables_are_not_read():
    secret = torch.tensor(2.0, requires_grad=True)

    def inner(x):
        return x * 3

    def f(x):
        return inner(x) + 1

    program = av.program(f, x=secret)
    assert "secret" not in texts(program)


def test_the_trace_function_is_put_back():
    seen = []

    def coverage(frame, event, arg):
        seen.append(frame.f_code.co_name)
        return coverage

    def fine(x):
        for _ in range(2):
            x = x * 2
        return x

    def broken(x):
        for _ in range(2):
            x = x * 2
        raise ValueError("mine")

    before = sys.gettrace()
    sys.settrace(coverage)
    try:
        av.program(fine, x=1.0).at(x=2.0)
        assert sys.gettrace() is coverage
        with pytest.raises(ValueError, match="mine"):
            av.program(broken, x=1.0)
        assert sys.gettrace() is coverage
        av.program(lambda x: x * 2, x=1.0)
        assert sys.gettrace() is coverage
        with pytest.raises(TypeError, match="generator"):
            av.program(lambda x: (x for _ in range(3)), x=1.0)
        assert sys.gettrace() is coverage
    finally:
        sys.settrace(before)
    assert "program" in seen


def test_nothing_of_the_users_changes():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    kept = torch.nn.Parameter(torch.tensor(2.0))
    kept.grad = torch.tensor(7.0)

    def f(x, w):
        y = x * kept
        y += w
        w.add_(1)
        return y.sum()

    w = torch.tensor([1.0, 1.0])
    versions = (x._version, kept._version, w._version)
    state = torch.get_rng_state()
    program = av.program(f, x=x, w=w)
    program.at(x=[3.0, 4.0]).variables()
    program.variables().backward()
    assert x.grad is None
    assert kept.grad == 7
    assert w.tolist() == [1, 1]
    assert (x._version, kept._version, w._version) == versions
    assert x._backward_hooks is None
    assert torch.equal(torch.get_rng_state(), state)
    assert program.inputs["x"] is not x


def test_the_mode_is_left_when_the_function_raises():
    from torch.overrides import _get_current_function_mode_stack  # what PyTorch itself knows

    def broken(x):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        av.program(broken, x=1.0)
    assert _get_current_function_mode_stack() == []


def test_of_a_recursive_function_the_first_call_is_read():
    def power(x, n: int):
        if n == 0:
            return torch.ones(())
        rest = power(x, n - 1)
        return rest * x

    program = av.program(power, x=2.0, n=3)
    assert [s.source for s in program.statements] == [
        "if n == 0:",
        "rest = power(x, n - 1)",
        "return rest * x",
    ]
    again = program.at(x=3.0)
    assert again._outline is program._outline
    assert again.outputs[0].item() == 27


def test_lines_of_several_statements_and_loops():
    def f(x):
        i = 0
        y = x
        while i < 2:
            i += 1
            y = y * x
        for k in range(2):
            y = y + k
        for _ in []:
            y = y * 100
        return y

    program = av.program(f, x=2.0)
    assert [s.source for s in program.statements] == [
        "i = 0",
        "y = x",
        "while i < 2:",
        "i += 1",
        "y = y * x",
        "while i < 2:",
        "i += 1",
        "y = y * x",
        "while i < 2:",
        "for k in range(2):",
        "y = y + k",
        "for k in range(2):",
        "y = y + k",
        "return y",
    ]
    assert program.outputs[0].item() == 9


def test_blocks_are_entered_once():
    def f(x):
        with torch.no_grad():
            k = x * 2
            with torch.enable_grad():
                y = x * k
        try:
            z = y * 1
        finally:
            u = z + 1
        return u

    program = av.program(f, x=2.0)
    assert [s.source for s in program.statements] == [
        "with torch.no_grad():",
        "k = x * 2",
        "with torch.enable_grad():",
        "y = x * k",
        "z = y * 1",
        "u = z + 1",
        "return u",
    ]
    assert [v.kind for v in program.variables().nodes] == [
        "leaf",
        "constant",
        "result",
        "result",
        "result",
    ]


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


def custom(x):
    y = Square.apply(x)
    return y + 1


def checkpointed(x):
    y = torch.utils.checkpoint.checkpoint(torch.sin, x, use_reentrant=False)
    return y * 2


def mapped(x):
    y = torch.vmap(torch.sin)(x.expand(2))
    return y.sum()


def sparse(x):
    y = x.expand(2).to_sparse()
    return y.to_dense().sum()


def differentiated(x):
    y = x**3
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return g


def complex_numbers(x):
    z = torch.complex(x, x)
    return z.abs()


@pytest.mark.parametrize(
    "function", [custom, checkpointed, mapped, sparse, differentiated, complex_numbers]
)
def test_uncommon_functions_run_as_without_us(function):
    for x in (0.5, 2.0):
        program = av.program(function, x=0.5).at(x=x)
        leaf = torch.tensor(x, requires_grad=True)
        expected = function(leaf)
        assert torch.equal(program.outputs[0], expected)
        (wanted,) = torch.autograd.grad(expected, leaf)
        variables = program.variables()
        assert variables.trace is not None
        ((_, found),) = variables.trace.leaf_grads
        torch.testing.assert_close(found, wanted)
        assert program.picture().svg
        assert variables.picture().svg


def test_modules_of_many_outputs():
    lstm = torch.nn.LSTM(2, 3)

    def f(x):
        out, (h, c) = lstm(x)  # noqa: RUF059
        return out.sum()

    program = av.program(f, x=[[1.0, 2.0]])
    kinds = {v.title: v.kind for v in program.variables().nodes}
    assert kinds["out"] == "result"
    assert kinds["h"] == kinds["c"] == "unused"
    assert kinds["lstm.weight_ih_l0"] == "leaf"


def test_under_no_grad_there_is_nothing_to_trace():
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            program = av.program(custom, x=3.0)
            assert {v.kind for v in program.variables().nodes} == {"constant"}


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in (
    "import torch, autograd_viz as av",
    "def f(a, k=2.0):\\n    b = a * k\\n    b = b + 1\\n    return b",
    "print(av.program(f, a=3.0))",
    "def f(a):\\n    c = a * a\\n    return c",
    "print(av.program(f, a=3.0))",
    "g = lambda x: torch.sin(x) * 2; print(av.program(g, x=1.0))",
    # Beside an import the same text compiles to other code, as a whole and alone.
    "import torch\\ndef h(a):\\n    return torch.log2(a)\\nprint(av.program(h, a=4.0))",
):
    shell.run_cell(cell)
"""


def test_functions_of_notebook_cells_are_read():
    result = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, timeout=600
    )
    assert [line.split() for line in result.stdout.splitlines() if line[:1].isdigit()] == [
        ["2", "b", "=", "a", "*", "k", "b₁", "=", "6"],
        ["3", "b", "=", "b", "+", "1", "b₂", "=", "7"],
        ["4", "return", "b", "7"],
        ["2", "c", "=", "a", "*", "a", "c", "=", "9"],
        ["3", "return", "c", "9"],
        ["1", "lambda", "x:", "torch.sin(x)", "*", "2", "1.6829"],
        ["3", "return", "torch.log2(a)", "2"],
    ]
