"""Why a gradient is missing: each cause triggered, named, explained, and drawn."""

import re
import runpy
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from IPython.core.interactiveshell import InteractiveShell

import autograd_viz as av
from autograd_viz.diagnosis.reason import Reason
from autograd_viz.errors import NotATensorError
from autograd_viz.picture import Picture


def number(value, grad=True):
    return torch.tensor(value, requires_grad=grad)


def cuts(reason: Reason) -> int:
    """How many places the picture marks as the end of a gradient; also draws it."""
    picture = reason.picture()
    assert isinstance(picture, Picture)
    assert reason.text in picture.words
    assert picture.svg.startswith("<svg")
    parts = [box.marks for box in picture.boxes] + [arrow.marks for arrow in picture.arrows]
    return sum("cut" in marks for marks in parts)


# The lecture's example of leaves and names.


def test_leaves_and_names_of_the_lecture():
    t = torch.ones(2, 2, requires_grad=True)
    z = 2 * t
    z = -t
    u = z.sum()
    before, inner = av.why(t, u), av.why(z, u)
    assert (before.cause, before.line) == ("backward_not_run", "u.backward()")
    assert (inner.cause, inner.line) == ("not_leaf", "z.retain_grad()")
    assert "NegBackward0" in inner.text
    assert "`z = -t`" in inner.text
    assert (cuts(before), cuts(inner)) == (1, 1)
    u.backward()
    after = av.why(t, u)
    assert after.cause == "well"
    assert after.grad is not None
    assert torch.equal(after.grad, -torch.ones(2, 2))
    assert av.why(z, u).cause == "not_leaf"
    assert cuts(after) == 0


def test_nothing_of_the_readers_changes():
    x = number(2.0)
    h = x * 3
    h.retain_grad()
    y = h**2
    y.backward(retain_graph=True)
    kept = (x.grad.clone(), h.grad.clone(), x._version, torch.get_rng_state())
    assert av.why(x, y).cause == av.why(h, y).cause == "well"
    assert (x.grad, h.grad, x._version) == kept[:3]
    assert torch.equal(torch.get_rng_state(), kept[3])
    y.backward(retain_graph=True)
    assert av.why(h, y).cause == "accumulated"


# It needs no gradient.


def test_a_tensor_that_does_not_require_grad():
    x = torch.tensor(2.0)
    y = x * 3
    reason = av.why(x, y)
    assert reason.cause == "not_required"
    assert reason.line == "x = torch.tensor(2.0, requires_grad=True)"
    assert str(reason).endswith(reason.line)
    assert cuts(reason) == 1
    assert av.why(x).cause == "not_required"


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_whole_numbers_have_no_gradient(dtype):
    i = torch.tensor([1, 0], dtype=dtype)
    reason = av.why(i)
    assert reason.cause == "not_floating"
    assert str(dtype) in reason.text
    assert reason.line == "i = torch.tensor([1, 0], dtype=torch.float32, requires_grad=True)"
    assert cuts(reason) == 1


def test_requires_grad_that_came_too_late():
    with av.record():
        x, w = torch.tensor(2.0), number(3.0)
        y = x * w
        x.requires_grad_()
        y.backward()
    reason = av.why(x, y)
    assert reason.cause == "required_too_late"
    assert "`x.requires_grad_()`" in reason.text
    assert cuts(reason) == 1


# The output does not lead to it.


def test_a_name_bound_anew():
    t = torch.ones(2, requires_grad=True)
    z = 2 * t
    u = z.sum()
    z = -t
    reason = av.why(z, u)
    assert reason.cause == "rebound"
    assert "`z = -t`" in reason.text
    assert cuts(reason) == 1


def test_a_leaf_bound_anew():
    with av.record():
        x = number(1.0)
        y = x * 2
        x = number(3.0)
    reason = av.why(x, y)
    assert reason.cause == "rebound"
    assert "in number: `return torch.tensor(value, requires_grad=grad)`" in reason.text
    assert cuts(reason) == 1


def test_a_tensor_that_is_not_used():
    with av.record():
        x, w = number(2.0), number(3.0)
        loss = (x * 2) ** 2
        w * 5
    reason = av.why(w, loss)
    assert reason.cause == "unused"
    assert reason.text.endswith(
        ": `w * 5`), but nothing that loss was computed from follows from that. Use its result in "
        "the computation of loss."
    )
    assert cuts(reason) == 1


@pytest.mark.parametrize("with_graph", [True, False])
def test_detached(with_graph):
    x = number(2.0)
    w = number(3.0, grad=with_graph)
    with av.record():
        y = x.detach() * 2
        loss = y * w
    reason = av.why(x, loss)
    assert reason.cause == "detached"
    assert "cut off by .detach()" in reason.text
    assert reason.line == "y = x * 2"
    assert cuts(reason) == 1
    assert av.why(y, loss).cause == "detached"
    with av.record():
        y = x.data * 2
        loss = y * w
    reason = av.why(x, loss)
    assert "cut off by .data" in reason.text
    assert cuts(reason) == 1


def test_a_way_around_the_cut_is_no_cut():
    x = number(2.0)
    y = x.detach() * x
    assert av.why(x, y).cause == "backward_not_run"


def test_computed_without_recording():
    x, w = number(2.0), number(3.0)
    with av.record():
        with torch.no_grad():
            h = x * 2
        loss = h * w
        with torch.inference_mode():
            k = x * 2
    reason = av.why(x, loss)
    assert reason.cause == "no_grad"
    assert "`h = x * 2` is run under torch.no_grad() (line " in reason.text
    assert cuts(reason) == 1
    assert av.why(h, loss).cause == "no_grad"
    reason = av.why(x, k)
    assert reason.cause == "no_grad"
    assert "torch.inference_mode()" in reason.text
    assert cuts(reason) == 1
    assert av.why(k).cause == "no_grad"


@torch.no_grad()
def without_graph(v):
    return v * 2


def cut_inside(v):
    s = v.detach()
    return s * 2


def dropped(v, w):
    return w * 2


def test_a_cut_in_a_branch_is_told_where_the_branch_was_run():
    x, w = number(2.0), number(3.0)
    with av.record():
        for step in range(2):
            h = x * 2
            if step:
                h = h.detach()
        u = h * w
    reason = av.why(x, u)
    assert reason.cause == "detached"
    assert ": `h = h.detach()`. Leave .detach() out" in reason.text
    assert cuts(reason) == 1


def test_a_training_loop_that_clears_gradients_is_not_suspected():
    x = number(2.0)
    optimizer = torch.optim.SGD([x], lr=0.1)
    for _ in range(3):
        loss = x**2
        optimizer.zero_grad()
        loss.backward()
    reason = av.why(x, loss)
    assert reason.cause == "graph_freed"
    assert "sum" not in reason.text


def test_functions_that_the_caller_calls_are_followed():
    x, w = number(2.0), number(3.0)
    with av.record():
        y = without_graph(x) * w
    reason = av.why(x, y)
    assert reason.cause == "no_grad"
    assert "torch.no_grad(), by a decorator of the function that line" in reason.text
    with av.record():
        y = cut_inside(x) * w
    reason = av.why(x, y)
    assert reason.cause == "detached"
    assert "in cut_inside: `s = v.detach()`" in reason.text
    with av.record():
        y = dropped(x, w)
    assert av.why(x, y).cause == "unused"


@pytest.mark.parametrize(
    ("out", "called"),
    [
        (lambda x: torch.tensor(x.item() * 2), ".item()"),
        (lambda x: torch.from_numpy(np.asarray(np.sin(x.detach().numpy()))), ".numpy()"),
        (lambda x: torch.tensor(float(x.detach())), "float()"),
        (lambda x: torch.tensor(x.tolist()), ".tolist()"),
    ],
)
def test_numbers_that_left_pytorch(out, called):
    with av.record():
        x, w = number(2.0), number(3.0)
        y = out(x) * w
    reason = av.why(x, y)
    assert (reason.cause, cuts(reason)) == ("copied", 1)
    assert f"by {called} in line" in reason.text
    assert "nothing else that follows from x is on the way to y" in reason.text


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_a_tensor_made_of_tensors_is_a_copy():
    with av.record():
        x, w = torch.tensor([1.0, 2.0], requires_grad=True), number(3.0)
        y = torch.tensor([x[0], 4.0]).sum() * w
    reason = av.why(x, y)
    assert reason.cause == "copied"
    assert "cut off by torch.tensor() in line" in reason.text
    assert "torch.stack()" in reason.text


def test_an_output_without_a_name_is_told_as_well():
    with av.record():
        x, w = number(2.0), number(3.0)
        q = x.detach()
        reason = av.why(x, q * w)
    assert reason.cause == "detached"
    assert "`q = x.detach()`" in reason.text


@pytest.mark.parametrize("use", ["argmax", "comparison", "cast"])
def test_jumps_have_no_gradient(use):
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    w = number(2.0)
    with av.record():
        if use == "argmax":
            y = x.argmax() * w
        elif use == "comparison":
            y = (x > 1).float().sum() * w
        else:
            y = x.to(torch.int64).sum() * w
    reason = av.why(x, y)
    assert reason.cause == "not_differentiable"
    called = {"argmax": "argmax()", "comparison": "gt()", "cast": "to()"}[use]
    assert f"is cut off by {called} in line" in reason.text
    assert cuts(reason) == 1


def test_an_output_of_whole_numbers():
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    with av.record():
        k = x.argmax()
        n = x.long()
    reason = av.why(x, k)
    assert reason.cause == "not_differentiable"
    assert "argmax()" in reason.text
    assert cuts(reason) == 1
    assert av.why(n).cause == "not_differentiable"
    assert av.why(x, x.argmin()).cause == "not_differentiable"  # by its dtype alone


def test_parameters_are_called_as_in_the_call():
    used, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    with av.record():
        loss = used(torch.ones(3, 2)).sum()
    reason = av.why(used.weight, loss)
    assert reason.cause == "backward_not_run"
    assert reason.text.startswith("used.weight.grad is None")
    both = [used.weight]
    del used
    assert av.why(both[0], loss).tensor == "both[0]"
    reason = av.why(other.weight, loss)
    assert reason.cause == "unused"
    assert cuts(reason) == 1


# It is reached.


def test_backward_that_was_not_run():
    x = number(2.0)
    y = x**2
    reason = av.why(x, y)
    assert (reason.cause, reason.line) == ("backward_not_run", "y.backward()")
    assert "one pass gives 4" in reason.text
    assert cuts(reason) == 1
    assert av.why(x).cause == "backward_not_run"
    assert cuts(av.why(x)) == 1


def test_a_freed_graph():
    x = number(2.0)
    y = x**2
    y.backward()
    reason = av.why(x, y)
    assert reason.cause == "graph_freed"
    assert "x.grad is 4" in reason.text
    assert "what else wrote to .grad is not known" in reason.text
    cuts(reason)
    with av.record():
        x.grad = None
    reason = av.why(x, y)
    assert reason.cause == "graph_freed"
    assert "`x.grad = None`" in reason.text
    assert cuts(reason) == 1


def test_what_named_values_tell_of_a_freed_graph():
    x = number(-2.0)
    h = torch.relu(x)
    y = h * 2
    y.backward()
    reason = av.why(x, y)
    assert reason.cause == "zero"
    assert "ReluBackward0" in reason.text
    assert cuts(reason) == 1


@pytest.mark.parametrize("passes", [2, 3, 17])
def test_gradients_that_accumulated(passes):
    x = torch.tensor([2.0, 0.1], requires_grad=True)
    y = (x**3).sum()
    for _ in range(passes):
        y.backward(retain_graph=True)
    reason = av.why(x, y)
    assert (reason.cause, reason.line) == ("accumulated", "x.grad = None")
    assert f"{passes} times" in reason.text
    assert cuts(reason) == 0


def test_a_gradient_that_other_passes_have_a_share_in():
    x = number(2.0)
    y, z = x**2, x**4
    y.backward(retain_graph=True)
    z.backward()
    x.grad.sub_(0.5)
    reason = av.why(x, y)
    assert reason.cause == "other_passes"
    assert "31.5" in reason.text


ZEROS = {
    "relu": (lambda x: torch.relu(x) * 2, -2.0, "ReluBackward0"),
    "clamp": (lambda x: x.clamp(0, 1) * 2, 9.0, "ClampBackward1"),
    "sigmoid": (lambda x: torch.sigmoid(x) + 1, 200.0, "SigmoidBackward0"),
    "tanh": (lambda x: torch.tanh(x) + 1, 50.0, "TanhBackward0"),
    "where": (lambda x: torch.where(x > 0, torch.ones(()), x) * 3, 2.0, "WhereBackward0"),
    "maximum": (lambda x: torch.maximum(x, number(5.0)) * 3, 2.0, "MaximumBackward0"),
    "times 0": (lambda x: (x * 0).sin(), 2.0, "MulBackward0"),
}


@pytest.mark.parametrize("name", ZEROS)
def test_gradients_that_become_zero(name):
    function, value, step = ZEROS[name]
    x = number(value)
    y = function(x)
    y.backward(retain_graph=True)
    assert x.grad == 0
    reason = av.why(x, y)
    assert reason.cause == "zero"
    assert f"becomes 0 at {step}" in reason.text
    assert reason.stop is not None
    assert reason.variables is not None
    assert reason.variables.graph.nodes[reason.stop.source].name == step
    assert cuts(reason) == 1


@pytest.mark.parametrize("function", [torch.round, torch.floor, torch.ceil, torch.sign])
def test_step_functions_have_the_gradient_zero(function):
    x = number(3.4)
    r = function(x)
    y = r * 2
    y.backward(retain_graph=True)
    reason = av.why(x, y)
    assert reason.cause == "not_differentiable"
    assert "step function" in reason.text
    assert cuts(reason) == 1


def test_contributions_that_cancel():
    x = number(3.0)
    y = x * 2 - x * 2
    y.backward(retain_graph=True)
    reason = av.why(x, y)
    assert reason.cause == "zero"
    assert "cancel" in reason.text


def test_a_gradient_that_vanishes():
    x = number(-20.0)
    h = torch.sigmoid(x)
    y = h * 2
    y.backward(retain_graph=True)
    reason = av.why(x, y)
    assert reason.cause == "vanishing"
    assert "SigmoidBackward0" in reason.text
    assert cuts(reason) == 1


def test_the_first_step_that_makes_a_gradient_infinite():
    x = number(0.0)
    r = torch.sqrt(x)
    y = r * 3
    y.backward(retain_graph=True)
    assert x.grad == torch.inf
    reason = av.why(x, y)
    assert reason.cause == "nan"
    assert "SqrtBackward0 (in `r = sqrt(x)`) makes inf" in reason.text
    assert "x is 0 here" in reason.text
    assert cuts(reason) == 1
    x.grad = None
    y = torch.sqrt(x * x)
    y.backward(retain_graph=True)
    assert x.grad.isnan()
    reason = av.why(x, y)
    assert "SqrtBackward0" in reason.text
    assert "0 * inf" in reason.text


def test_numbers_that_are_not_finite_in_the_forward_pass_already():
    x = number(0.0)
    l = torch.log(x)  # noqa: E741
    y = l * 2
    y.backward(retain_graph=True)
    reason = av.why(x, y)
    assert reason.cause == "nan"
    assert "`l = log(x)` gives -inf from x = 0" in reason.text
    assert cuts(reason) == 1
    x.grad = None
    q = x / x
    y = q * 2
    y.backward(retain_graph=True)
    reason = av.why(x, y)
    assert reason.cause == "nan"
    assert "`q = x / x` gives NaN from x = 0" in reason.text
    cuts(reason)


class ForgetfulFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return None


def test_a_function_that_returns_no_gradient():
    x = number(2.0)
    h = ForgetfulFunction.apply(x * 3)
    y = h * 2
    y.backward(retain_graph=True)
    reason = av.why(x, y)
    assert reason.cause == "none_returned"
    assert "ForgetfulFunctionBackward" in reason.text
    assert cuts(reason) == 1


def test_a_pass_that_fails():
    x = number(2.0)
    h = x.exp()
    y = h * 2
    h.add_(1)
    y = h * h
    h.mul_(2)
    reason = av.why(x, y)
    assert reason.cause == "changed_in_place"
    assert "h was changed in place after mul had saved it for its gradient" in reason.text
    assert "which statement changed it is not known" in reason.text.lower()


def test_retain_grad_after_the_pass():
    x = number(2.0)
    h = x + 3
    y = h + 1
    y.backward()
    h.retain_grad()
    reason = av.why(h, y)
    assert reason.cause == "backward_not_run"
    assert "since h.retain_grad()" in reason.text


def test_a_parameter_that_an_update_made_a_result():
    x, lr = torch.tensor(2.0), 0.1
    w = torch.tensor(1.0, requires_grad=True)
    w = w - lr * x
    reason = av.why(w)
    assert (reason.cause, reason.line) == ("not_leaf", "w = w.detach().requires_grad_()")
    assert "Nothing holds the leaf that it was computed from any more" in reason.text


def test_large_graphs_are_drawn_too():
    x = number(2.0)
    values = [x]
    for _ in range(60):
        values.append(values[-1] * 1.01 + x)
    y = values[-1]
    v0, v1, v2 = values[1:4]
    reason = av.why(x, y)
    assert reason.cause == "backward_not_run"
    assert "grad" in {box.id for box in reason.picture().boxes}
    del v0, v1, v2


def test_what_is_no_tensor():
    x = number(2.0)
    with pytest.raises(NotATensorError, match=r"first argument .* float.*av\.why\(x, loss\)"):
        av.why(2.0)  # type: ignore[call-overload]
    with pytest.raises(NotATensorError, match=r"second argument .* float.*\.item\(\)"):
        av.why(x, x.item())


# Where the source is: cells, scripts, and nowhere.


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    shell.run_cell("import torch, autograd_viz as av", store_history=True)
    yield shell
    InteractiveShell.clear_instance()


def cells(shell, *texts):
    """Run cells, the last of which asks; return the reason and the last cell's number."""
    for text in texts:
        shell.run_cell(text, store_history=True)
    reason = shell.user_ns["reason"]
    assert cuts(reason) >= 0
    return reason


CELLS = {
    "detached": (
        ("x = torch.tensor(2., requires_grad=True)", "y = x.detach() * 2\nu = y * 1"),
        "In[3], line 2: `y = x.detach() * 2`",
    ),
    "no_grad": (
        ("x = torch.tensor(2., requires_grad=True)", "with torch.no_grad():\n    u = x * 2"),
        "In[3], line 3: `u = x * 2`",
    ),
    "copied": (
        ("x = torch.tensor(2., requires_grad=True)", "a = x.item()", "u = torch.tensor(a)"),
        "In[3], line 2: `a = x.item()`",
    ),
    "rebound": (
        (
            "x = torch.tensor(2., requires_grad=True)",
            "u = x * 3",
            "x = torch.tensor(2., requires_grad=True)",
        ),
        "In[4], line 2: `x = torch.tensor(2., requires_grad=True)`",
    ),
    "not_differentiable": (
        ("x = torch.tensor([2., 3.], requires_grad=True)", "k = x.argmax()", "u = k * 2"),
        "In[3], line 2: `k = x.argmax()`",
    ),
    "not_required": (("x = torch.tensor(2.)", "u = x * 3"), "In[2], line 2"),
    "required_too_late": (
        ("x = torch.tensor(2.)", "u = x * 3", "x.requires_grad_()"),
        "In[4], line 2: `x.requires_grad_()`",
    ),
    "unused": (
        ("x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)",
         "u = w.sum()"),
        "no call that was recorded on the way to u takes x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cause", CELLS)
def test_in_a_notebook_the_cell_is_named(shell, cause):
    written, expected = CELLS[cause]
    texts = [
        "with av.record():\n" + "".join(f"    {line}\n" for line in text.splitlines())
        for text in written
    ]
    reason = cells(shell, *texts, "reason = av.why(x, u)")
    assert reason.cause == cause
    assert expected in reason.text


def test_cells_that_were_run_again_or_did_not_run(shell, capsys):
    reason = cells(
        shell,
        "x = torch.tensor(2., requires_grad=True)",
        "with av.record():\n    y = x.detach() * 2\n    u = y * 1",
        "with av.record():\n    y = x * 2\n    u = y * 1",
        "with av.record():\n    u = (x.detach()",  # a syntax error
        "%whos",
        "with av.record():\n    y = x.detach() * 2",
        "with av.record():\n    u = y * 1\nreason = av.why(x, u)\nx = 5",
    )
    assert reason.cause == "detached"
    assert "In[7], line 2" in reason.text
    reason = cells(
        shell,
        "x = torch.tensor(2., requires_grad=True)",
        "with av.record():\n    y = x * 2\n    u = y * 1",
        "reason = av.why(x, u)",
    )
    assert reason.cause == "backward_not_run"


def test_a_timed_cell_is_read_as_its_code(shell, capsys):
    reason = cells(
        shell,
        "x = torch.tensor(2., requires_grad=True)",
        "%%time\nwith av.record():\n    y = x.detach() * 2",
        "reason = av.why(x, y)",
    )
    assert reason.cause == "detached"
    assert ".detach()" in reason.text


def test_a_function_defined_in_another_cell(shell):
    reason = cells(
        shell,
        "def net(v):\n    h = v.detach()\n    return h * 2",
        "x = torch.tensor(2., requires_grad=True)\nwith av.record():\n    u = net(x)",
        "reason = av.why(x, u)",
    )
    assert reason.cause == "detached"
    assert "In[2], line 2, in net: `h = v.detach()`" in reason.text


def test_backward_calls_in_cells_are_counted(shell):
    step = "with av.record():\n    u = x ** 2\n    u.backward()"
    reason = cells(shell, "with av.record():\n    x = torch.tensor(2., requires_grad=True)", step,
                   step, step, "reason = av.why(x, u)")  # fmt: skip
    assert (reason.cause, reason.line) == ("accumulated", "x.grad = None")
    assert reason.text == (
        "x.grad is 12, written 3 times by backward() in In[3], line 3: `u.backward()`, from "
        "another tensor; In[4], line 3: `u.backward()`, from another tensor; In[5], line 3: "
        "`u.backward()`. Each call adds to .grad. Before each backward(), add: x.grad = None"
    )


SCRIPT = """\
import torch
import autograd_viz as av
x = torch.tensor(2.0, requires_grad=True)
with av.record():
    y = x.detach() * 2
    z = torch.tensor(1.0, requires_grad=True) * y
reason = av.why(x, z)
y = x * 2
"""


def test_a_script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    reason = runpy.run_path(str(path))["reason"]
    assert reason.cause == "detached"
    assert "line 5: `y = x.detach() * 2`" in reason.text


def test_a_script_that_has_changed_since_is_not_read(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import torch\n" + SCRIPT, encoding="utf-8")
    code = compile(SCRIPT, str(path), "exec")
    scope: dict[str, Reason] = {}
    exec(code, scope)
    assert "cut off by .detach() in line 5. Leave .detach() out" in scope["reason"].text


def test_without_a_recording_it_says_what_is_not_known():
    scope: dict[str, Reason] = {}
    exec(SCRIPT.replace("with av.record()", "if True"), scope)
    reason = scope["reason"]
    assert reason.cause == "not_reached"
    assert "x is not in its graph. Either x was not used, or the way was cut off" in reason.text
    for suspect in ("create_graph=True", "sample() in place of rsample()", "nn.Parameter()"):
        assert suspect in reason.text
    assert reason.text.endswith(
        "Which it was is not known. Run it inside `with av.record():`, and ask again."
    )
    assert cuts(reason) == 1


def test_shared_memory_tells_of_a_detached_tensor():
    scope: dict[str, Reason] = {}
    script = SCRIPT.replace("with av.record()", "if True").replace("x.detach() * 2", "x.detach()")
    exec(script, scope)
    reason = scope["reason"]
    assert reason.cause == "detached"
    assert "MulBackward0, which computes z, was given x's values as a constant" in reason.text
    assert cuts(reason) == 1


def test_in_a_lambda():
    ask = lambda x, y: av.why(x, y)  # noqa: E731
    x = number(2.0)
    assert ask(x, x.detach() * number(3.0)).cause in ("not_reached", "detached", "unused")


def test_values_of_other_frames_are_not_read():
    secret = number(7.0)  # shares a graph with nothing that is asked about

    def ask(x, y):
        return av.why(x, y)

    x = number(2.0)
    assert "secret" not in ask(x, secret * 2).picture().words
    assert sys.getrefcount(secret) < 10


def test_a_cut_after_a_module_is_told_of_its_parameters():
    first, second = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)
    with av.record():
        x = torch.ones(4, 2)
        h = torch.relu(first(x)).detach()
        loss = second(h).sum()
    reason = av.why(first.weight, loss)
    assert reason.cause == "detached"
    assert "`h = torch.relu(first(x)).detach()`" in reason.text
    assert reason.line == "h = torch.relu(first(x))"


# An output that is no number, and sums of nothing.


def test_a_loss_that_is_nan_is_not_well():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = x.sum() + x[x > 5].mean()
    made = "mean (in `loss = sum(x) + mean(index(x))`) gives NaN"
    said = f"loss is NaN: {made}, the mean of nothing. x.grad is"
    before = av.why(x, loss)
    assert (before.cause, before.line) == ("backward_not_run", "loss.backward()")
    assert before.text.startswith(f"{said} None")
    assert before.text.endswith("Add: loss.backward()")
    loss.backward(retain_graph=True)
    reason = av.why(x, loss)
    assert reason.cause == "nan"
    assert reason.text == f"{said} [1, 1], which is what one backward pass from loss gives."
    assert "loss is NaN" in reason.evidence
    assert cuts(reason) == 0
    loss.backward()  # which frees the graph
    known = "`loss = sum(x) + mean(index(x))` gives NaN; not all that it was computed from is known"
    assert av.why(x, loss).text.startswith(f"loss is NaN: {known}. ")


@pytest.mark.parametrize(
    ("part", "value", "made"),
    [
        (lambda none, x: none.mean(), "NaN", "mean of nothing"),
        (lambda none, x: none.sum(), None, "sum of nothing"),
        (lambda none, x: none.var(), "NaN", "var of nothing"),
        (lambda none, x: F.mse_loss(none, none.detach()), "NaN", "mse_loss of nothing"),
        (lambda none, x: F.l1_loss(none, none.detach()), "NaN", "mean of nothing"),
        (lambda none, x: none.logsumexp(0), "inf", "logsumexp of nothing"),
        (
            lambda none, x: F.nll_loss(x.log_softmax(0)[None], torch.tensor([-100])),
            "NaN",
            "nll_loss of no target: all are ignored, or weigh nothing",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:var")  # of degrees of freedom
def test_a_zero_that_comes_from_nothing_is_called_so(part, value, made):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = part(x[x > 5], x)
    loss.backward(retain_graph=True)
    reason = av.why(x, loss)
    assert reason.cause == "zero"
    assert f": it is the {made}." in reason.text
    if value is None:
        assert reason.text.startswith("x.grad is 0")
    else:
        assert reason.text.startswith(f"loss is {value}: ")
        assert "of nothing. x.grad is 0" in reason.text or "weigh nothing. x" in reason.text
    assert cuts(reason) == 1


def test_what_is_nan_for_another_reason_is_not_laid_to_nothing():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor([-1.0]).log()
    loss = x.sum() + y.sum() + x[x > 5].sum()
    loss.backward(retain_graph=True)
    reason = av.why(x, loss)
    assert reason.text.startswith("loss is NaN: ")
    assert "nothing" not in reason.text


# What stands in the call is a name.


def test_an_element_of_a_dictionary_or_list_is_called_as_it_is_written():
    P = {"w": torch.ones(2, requires_grad=True), "b": torch.zeros(1, requires_grad=True)}
    layers = [P["w"], P["b"]]
    loss = (P["w"] * 2).sum()
    assert av.why(P["b"], loss).text.startswith("P['b'].grad is None because loss does not lead")
    assert av.why(layers[-1], loss).text.startswith("layers[-1].grad is None")
    assert av.why(P["w"], loss).text.startswith("P['w'].grad is None because backward() has not")
    assert av.why((P["w"] + 0).detach(), loss).text.startswith("The tensor's .grad is None")


def test_a_detached_twin_is_replaced_by_the_tensor_itself():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (lambda t: t.detach())(x)
    assert av.why(y).text.endswith("Use x itself.")


@pytest.mark.parametrize("is_stepped", [False, True])
def test_zero_grad_is_advised_only_of_an_optimizer_that_has_the_tensor(is_stepped):
    x = torch.tensor(2.0, requires_grad=True)
    other = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([x if is_stepped else other], 0.0)
    with av.record():
        x.grad = None
        u = x * 3
        u.backward(retain_graph=True)
        u.backward(retain_graph=True)
        optimizer.step()
    reason = av.why(x, u)
    assert reason.cause == "accumulated"
    assert reason.text.partition("add: ")[2] == (
        "x.grad = None" + " (or optimizer.zero_grad())" * is_stepped
    )


def test_passes_of_a_loop_are_told_by_their_line_once():
    x = torch.tensor(2.0, requires_grad=True)
    with av.record():
        x.grad = None
        for _ in range(2):
            u = x * 3
            u.backward(retain_graph=True)
    text = re.sub(r"line \d+: ", "", av.why(x, u).text)
    assert text == (
        "x.grad is 6; one backward pass from u gives 3. It was written 2 times by backward() in "
        "`u.backward(retain_graph=True)`, not each time from the same tensor. To begin anew: "
        "x.grad = None"
    )
