"""Errors of autograd: each is explained in whole sentences, and its line is run and mends it."""

from __future__ import annotations

import linecache
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import torch

import autograd_viz as av
from autograd_viz.diagnosis.explanation import Explanation
from autograd_viz.errors import AutogradVizError, NothingToExplainError
from autograd_viz.recorded.events import LOG

START = "import copy\nimport numpy as np\nimport torch\nimport autograd_viz as av\n"


class Program(NamedTuple):
    """A program that fails, what is said about it, and the line."""

    text: str
    says: str
    line: str


@pytest.fixture(autouse=True)
def _nothing_recorded_before():
    LOG.clear()
    torch.manual_seed(0)


def run(text: str, name: str = "program.py", recorded: bool = False) -> tuple[dict[str, Any], Any]:
    """Run a program as a file of its own; return its variables and the error that it ends in."""
    text = START + textwrap.dedent(text).strip() + "\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    code = compile(text, name, "exec", dont_inherit=True)
    held: dict[str, Any] = {"__name__": "program"}
    try:
        if recorded:
            with av.record():
                exec(code, held)
        else:
            exec(code, held)
    except Exception as error:
        return held, error
    return held, None


def explained(text: str, recorded: bool = False) -> Any:
    """What av.why() says about the error that a program ends in."""
    _, error = run(text, recorded=recorded)
    assert error is not None
    try:
        raise error
    except type(error):
        return av.why()


def mended(text: str, reason: Explanation) -> str:
    """The program with the line where the reason says that it belongs."""
    text = textwrap.dedent(text).strip()
    assert reason.line is not None
    place = reason.before or reason.instead_of
    if place is None:
        return text.replace(reason.line.replace("retain_graph=True", ""), reason.line, 1)
    assert place in text
    lines = []
    for each in text.splitlines():
        indent = each[: len(each) - len(each.lstrip())]
        if each.strip() in (place, reason.instead_of):
            lines.append(indent + reason.line if each.strip() == place else "")
        if each.strip() != reason.instead_of:
            lines.append(each)
    return "\n".join(lines)


# Each is recorded; line 5 is the first of the program's own.
RECORDED = {
    "a_result_that_was_changed": Program(
        """
        x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        h = torch.sigmoid(x)
        h[0] = 0
        loss = h.sum()
        loss.backward()
        """,
        "loss.backward() failed because h, the result of sigmoid (line 6: `h = torch.sigmoid(x)`), "
        "was changed in place after sigmoid had saved it for its gradient. Line 7: `h[0] = 0` made "
        "version 1 of it, and the gradient of sigmoid needs version 0. Change a copy. Before line "
        "7, add: h = h.clone()",
        "h = h.clone()",
    ),
    "an_input_that_was_changed": Program(
        """
        w = torch.tensor([1.0, 2.0], requires_grad=True)
        v = torch.ones(2)
        loss = (w * v).sum()
        v += 1
        loss.backward()
        """,
        "loss.backward() failed because v was changed in place after mul (line 7: `loss = (w * "
        "v).sum()`) had saved it for its gradient. Line 8: `v += 1` made version 1 of it, and the "
        "gradient of mul needs version 0. In line 8, write instead: v = v + 1",
        "v = v + 1",
    ),
    "a_loop_that_changes_elements": Program(
        """
        x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        h = torch.exp(x)
        for i in range(3):
            h[i] = i
        loss = h.sum()
        loss.backward()
        """,
        "loss.backward() failed because h, the result of exp (line 6: `h = torch.exp(x)`), was "
        "changed in place after exp had saved it for its gradient. Line 8: `h[i] = i` made version "
        "1 of it (2 more changes follow), and the gradient of exp needs version 0. Change a copy. "
        "Before line 8, add: h = h.clone()",
        "h = h.clone()",
    ),
    "a_function_with_inplace": Program(
        """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        h = torch.sigmoid(x)
        y = torch.nn.functional.relu(h, inplace=True)
        y.sum().backward()
        """,
        "y.sum().backward() failed because h, the result of sigmoid (line 6: `h = torch.sigmoid(x)`"
        "), was changed in place after sigmoid had saved it for its gradient. Line 7: `y = "
        "torch.nn.functional.relu(h, inplace=True)` made version 1 of it, and the gradient of "
        "sigmoid needs version 0. In line 7, write instead: y = torch.nn.functional.relu(h)",
        "y = torch.nn.functional.relu(h)",
    ),
    "a_module_with_inplace": Program(
        """
        relu = torch.nn.ReLU(inplace=True)
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        h = torch.sigmoid(x)
        y = relu(h)
        y.sum().backward()
        """,
        "y.sum().backward() failed because h, the result of sigmoid (line 7: `h = torch.sigmoid(x)`"
        "), was changed in place after sigmoid had saved it for its gradient. Line 8: `y = relu(h)`"
        " made version 1 of it, and the gradient of sigmoid needs version 0. In line 8, write "
        "instead: y = relu(h.clone())",
        "y = relu(h.clone())",
    ),
    "weights_changed_by_a_step": Program(
        """
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
        sgd = torch.optim.SGD(net.parameters(), 0.1)
        one = net(torch.ones(2)).sum()
        two = net(torch.zeros(2)).sum()
        one.backward()
        sgd.step()
        two.backward()
        """,
        "two.backward() failed because net.1.weight was changed in place after linear (line 8: "
        "`two = net(torch.zeros(2)).sum()`) had saved it for its gradient. Line 10: `sgd.step()` "
        "made version 2 of it, and the gradient of linear needs version 1. Compute two again "
        "after that change: before `two.backward()`, add: two = net(torch.zeros(2)).sum()",
        "two = net(torch.zeros(2)).sum()",
    ),
    "the_same_graph_twice": Program(
        """
        x = torch.tensor(2.0, requires_grad=True)
        y = x * x
        y.backward()
        x.grad = None
        y.backward()
        """,
        "y.backward() failed because the graph of y was freed: the pass in line 7: `y.backward()` "
        "went through it, and PyTorch frees what it has saved as it goes. Compute y again before "
        "each pass; or, to go through the same graph twice, keep it in the first one. For that, in "
        "line 7 write: y.backward(retain_graph=True)",
        "y.backward(retain_graph=True)",
    ),
    "a_state_from_step_to_step": Program(
        """
        cell = torch.nn.RNNCell(2, 3)
        h = torch.zeros(1, 3)
        for step in range(3):
            h = cell(torch.ones(1, 2), h)
            loss = h.pow(2).sum()
            loss.backward()
        """,
        "loss.backward() failed because h is from before the first pass: loss was computed from an "
        "earlier h, and the pass in line 10: `loss.backward()` has freed how that was computed. "
        "Either call backward() once, for the sum of all losses; or let each pass end at h. For "
        "that, before the step (line 8: `h = cell(torch.ones(1, 2), h)`), add: h = h.detach()",
        "h = h.detach()",
    ),
    "two_states_from_step_to_step": Program(
        """
        cell = torch.nn.LSTMCell(2, 3)
        h, c = torch.zeros(1, 3), torch.zeros(1, 3)
        for step in range(3):
            h, c = cell(torch.ones(1, 2), (h, c))
            loss = h.pow(2).sum()
            loss.backward()
        """,
        "loss.backward() failed because h and c are from before the first pass: loss was computed "
        "from earlier h and c, and the pass in line 10: `loss.backward()` has freed how they were "
        "computed. Either call backward() once, for the sum of all losses; or let each pass end at "
        "h and c. For that, before the step (line 8: `h, c = cell(torch.ones(1, 2), (h, c))`), "
        "add: h, c = h.detach(), c.detach()",
        "h, c = h.detach(), c.detach()",
    ),
    "a_state_that_is_a_tuple": Program(
        """
        lstm = torch.nn.LSTM(3, 5)
        hidden = (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5))
        for step in range(3):
            out, hidden = lstm(torch.ones(4, 2, 3), hidden)
            loss = out.pow(2).mean()
            loss.backward()
        """,
        "loss.backward() failed because hidden is from before the first pass: loss was computed "
        "from an earlier hidden, and the pass in line 10: `loss.backward()` has freed how that was "
        "computed. Either call backward() once, for the sum of all losses; or let each pass end at "
        "hidden. For that, before the step (line 8: `out, hidden = lstm(torch.ones(4, 2, 3), "
        "hidden)`), add: hidden = tuple(t.detach() for t in hidden)",
        "hidden = tuple(t.detach() for t in hidden)",
    ),
    "a_state_that_is_none_at_first": Program(
        """
        rnn = torch.nn.RNN(3, 5)
        h = None
        for step in range(3):
            out, h = rnn(torch.ones(4, 2, 3), h)
            loss = out.pow(2).mean()
            loss.backward()
        """,
        "loss.backward() failed because h is from before the first pass: loss was computed from an "
        "earlier h, and the pass in line 10: `loss.backward()` has freed how that was computed. "
        "Either call backward() once, for the sum of all losses; or let each pass end at h. For "
        "that, before the step (line 8: `out, h = rnn(torch.ones(4, 2, 3), h)`), add: h = h if h "
        "is None else h.detach()",
        "h = h if h is None else h.detach()",
    ),
    "a_running_total": Program(
        """
        w = torch.tensor(2.0, requires_grad=True)
        total = 0
        for step in range(3):
            loss = (w * step).exp()
            total = total + loss
            total.backward()
        """,
        "total.backward() failed because total is a running total: it was computed from an earlier "
        "total, and the pass in line 10: `total.backward()` has freed how that was computed. Call "
        "backward() on what each step adds, not on the total. Write instead: loss.backward()",
        "loss.backward()",
    ),
    "a_state_whose_weights_take_steps": Program(
        """
        cell = torch.nn.RNNCell(2, 3)
        sgd = torch.optim.SGD(cell.parameters(), 0.1)
        h = torch.zeros(1, 3)
        for step in range(3):
            h = cell(torch.ones(1, 2), h)
            loss = h.pow(2).sum()
            loss.backward(retain_graph=True)
            sgd.step()
        """,
        "loss.backward() failed because cell.weight_hh was changed in place after rnn_tanh_cell "
        "(line 9: `h = cell(torch.ones(1, 2), h)`) had saved it for its gradient. Line 12: "
        "`sgd.step()` made version 3 of it, and the gradient of rnn_tanh_cell needs version 2. "
        "loss was computed from an earlier h too, which is from before that change; let each pass "
        "end there. Before `h = cell(torch.ones(1, 2), h)`, add: h = h.detach()",
        "h = h.detach()",
    ),
    "two_losses_of_one_variable": Program(
        """
        x = torch.tensor([2.0, 3.0], requires_grad=True)
        h = x * x
        a = (h * 2).exp().sum()
        b = (h * 3).exp().sum()
        a.backward()
        b.backward()
        """,
        "b.backward() failed because h (line 6: `h = x * x`), from which b was computed, is from "
        "before the pass in line 9: `a.backward()`, which freed how it was computed. Add the "
        "losses and call backward() once; or keep the graph for a second pass. For that, in line 9 "
        "write: a.backward(retain_graph=True)",
        "a.backward(retain_graph=True)",
    ),
    "computed_once_before_a_loop": Program(
        """
        w = torch.tensor([2.0, 3.0], requires_grad=True)
        square = w * w
        for step in range(2):
            loss = (square * step).exp().sum()
            loss.backward()
        """,
        "loss.backward() failed because square (line 6: `square = w * w`), from which loss was "
        "computed, is from before the pass in line 9: `loss.backward()`, which freed how it was "
        "computed. Compute it anew for each pass: before `loss = (square * step).exp().sum()`, "
        "add: square = w * w",
        "square = w * w",
    ),
    "nan_in_anomaly_mode": Program(
        """
        a = torch.zeros(2, requires_grad=True)
        with torch.autograd.detect_anomaly():
            s = torch.sqrt(a)
            loss = (s * a).sum()
            loss.backward()
        """,
        "loss.backward() failed because the backward of sqrt (line 7: `s = torch.sqrt(a)`) "
        "returned NaN for a, which is [0, 0]. The slope of sqrt is infinite at 0, and 0 times "
        "infinity is NaN. Keep its input away from 0: in line 7 write: s = "
        "torch.sqrt(a.clamp(min=1e-12))",
        "s = torch.sqrt(a.clamp(min=1e-12))",
    ),
}
# The same is said whether it was recorded or not.
ANYHOW = {
    "several_elements": Program(
        """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.backward()
        """,
        "y.backward() failed because y has 2 elements (its shape is [2]), and a pass begins from "
        "one number. Reduce it to one, by .mean() or .sum(), or give the weight of each element: "
        "backward(torch.ones_like(y)). For the gradient of their sum, write instead: "
        "y.sum().backward()",
        "y.sum().backward()",
    ),
    "several_elements_for_grad": Program(
        """
        x = torch.ones(2, requires_grad=True)
        (g,) = torch.autograd.grad(x * 2, x)
        """,
        "torch.autograd.grad() failed because x * 2 has 2 elements (its shape is [2]), and a pass "
        "begins from one number. Reduce it to one, by .mean() or .sum(), or give the weight of "
        "each element: backward(torch.ones_like(x * 2)). For the gradient of their sum, write "
        "instead: g, = torch.autograd.grad((x * 2).sum(), x)",
        "g, = torch.autograd.grad((x * 2).sum(), x)",
    ),
    "a_gradient_of_another_shape": Program(
        """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.backward(torch.ones(3))
        """,
        "y.backward() failed because the gradient given to begin from has the shape [3], and y has "
        "the shape [2]; there has to be one number for each element of y. For the gradient of the "
        "sum, write instead: y.backward(torch.ones_like(y))",
        "y.backward(torch.ones_like(y))",
    ),
    "a_leaf_in_an_update": Program(
        """
        w = torch.ones(2, requires_grad=True)
        (w * w).sum().backward()
        w -= 0.1 * w.grad
        """,
        "Line 7: `w -= 0.1 * w.grad` failed because w is a leaf that requires grad, and a change "
        "in place would leave it neither a leaf nor what its gradient is of. To give it other "
        "numbers, as a step of training does, write: with torch.no_grad(): w -= 0.1 * w.grad",
        "with torch.no_grad(): w -= 0.1 * w.grad",
    ),
    "a_view_of_a_leaf": Program(
        """
        w = torch.ones(2, requires_grad=True)
        v = w[0]
        v.add_(1)
        """,
        "Line 7: `v.add_(1)` failed because v is a view of w, a leaf that requires grad, and a "
        "change in place would leave it neither a leaf nor what its gradient is of. To give it "
        "other numbers, as a step of training does, write: with torch.no_grad(): v.add_(1)",
        "with torch.no_grad(): v.add_(1)",
    ),
    "a_view_made_without_grad": Program(
        """
        w = torch.ones(2, requires_grad=True)
        with torch.no_grad():
            v = w[:1]
        v.add_(1)
        """,
        "Line 8: `v.add_(1)` failed because v is a view of w that was made under torch.no_grad(), "
        "and is changed where gradients are recorded: whether that is to count is not clear. To "
        "leave it unrecorded, write: with torch.no_grad(): v.add_(1)",
        "with torch.no_grad(): v.add_(1)",
    ),
    "one_of_several_views": Program(
        """
        w = torch.ones(2, requires_grad=True) * 2
        v, u = w.unbind()
        v.add_(1)
        """,
        "Line 7: `v.add_(1)` failed because v is one of several views that one call returned, as "
        "unbind and split do, and autograd cannot follow a change of one of them in place. Write "
        "instead: v = v.add(1)",
        "v = v.add(1)",
    ),
    "to_numpy": Program(
        """
        x = torch.ones(2, requires_grad=True)
        y = (x * 2).numpy()
        """,
        "Line 6: `y = (x * 2).numpy()` failed because x * 2 requires grad, and NumPy knows nothing "
        "of gradients: what it computes is cut off. If no gradient is to come through there, "
        "write: y = (x * 2).detach().numpy()",
        "y = (x * 2).detach().numpy()",
    ),
    "a_function_of_numpy": Program(
        """
        x = torch.ones(2, requires_grad=True)
        y = np.asarray(x)
        """,
        "Line 6: `y = np.asarray(x)` failed because x requires grad, and NumPy knows nothing of "
        "gradients: what it computes is cut off. If no gradient is to come through there, write: "
        "y = np.asarray(x.detach())",
        "y = np.asarray(x.detach())",
    ),
    "an_input_that_is_not_used": Program(
        """
        a = torch.ones(2, requires_grad=True)
        b = torch.ones(2, requires_grad=True)
        y = (a * 2).sum()
        grads = torch.autograd.grad(y, [a, b])
        """,
        "torch.autograd.grad() failed because b is not in the graph of y: no way leads from y to "
        "it. To get None for it, write instead: grads = torch.autograd.grad(y, [a, b], "
        "allow_unused=True)",
        "grads = torch.autograd.grad(y, [a, b], allow_unused=True)",
    ),
    "too_few_gradients": Program(
        """
        class Product(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x * y
            @staticmethod
            def backward(ctx, grad):
                return grad
        a = torch.ones(2, requires_grad=True)
        loss = Product.apply(a, a).sum()
        loss.backward()
        """,
        "loss.backward() failed because Product.backward returned 1 gradient, and Product.forward "
        "takes 2 inputs (x, y): one is due for each, or None where there is nothing to send; for y "
        "there is none. In line 11, in Product.backward, write (with the gradient in the place of "
        "None where one is due): return grad, None",
        "return grad, None",
    ),
    "too_many_gradients": Program(
        """
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2
            @staticmethod
            def backward(ctx, grad):
                return grad * 2, grad
        a = torch.ones(2, requires_grad=True)
        loss = Double.apply(a).sum()
        loss.backward()
        """,
        "loss.backward() failed because Double.backward returned 2 gradients, and Double.forward "
        "takes 1 input (x): one is due for each, or None where there is nothing to send. In line "
        "11, in Double.backward, write: return grad * 2",
        "return grad * 2",
    ),
    "a_gradient_of_a_sum": Program(
        """
        class Total(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.sum()
            @staticmethod
            def backward(ctx, grad):
                return grad
        a = torch.ones(2, requires_grad=True)
        loss = Total.apply(a)
        loss.backward()
        """,
        "loss.backward() failed because Total.backward returned a gradient of the shape [] for x, "
        "and x has the shape [2]: a gradient has one number for each element. If each element of x "
        "counts alike, write in line 11, in Total.backward: return grad.expand(2)",
        "return grad.expand(2)",
    ),
    "a_deep_copy": Program(
        """
        a = torch.ones(2, requires_grad=True) * 2
        b = copy.deepcopy(a)
        """,
        "Line 6: `b = copy.deepcopy(a)` failed because a was computed (by MulBackward0), and a "
        "deep copy would have to copy its graph; only leaves can be copied so. To copy its "
        "numbers, write: b = copy.deepcopy(a.detach())",
        "b = copy.deepcopy(a.detach())",
    ),
    "an_optimizer_of_a_result": Program(
        """
        w = torch.ones(3, requires_grad=True) * 0.01
        sgd = torch.optim.SGD([w], 0.1)
        """,
        "Line 6: `sgd = torch.optim.SGD([w], 0.1)` failed because w was computed (by "
        "MulBackward0), and an optimizer changes leaves only. To let w be a leaf with these "
        "numbers, add before: w = w.detach().requires_grad_()",
        "w = w.detach().requires_grad_()",
    ),
    "whole_numbers": Program(
        """
        a = torch.tensor([1, 2], requires_grad=True)
        """,
        "Line 5: `a = torch.tensor([1, 2], requires_grad=True)` failed because only floating-point "
        "and complex tensors have gradients: between two whole numbers there is no slope. Write "
        "instead: a = torch.tensor([1, 2], requires_grad=True, dtype=torch.float32)",
        "a = torch.tensor([1, 2], requires_grad=True, dtype=torch.float32)",
    ),
    "a_tensor_of_inference_mode": Program(
        """
        with torch.inference_mode():
            a = torch.ones(2)
        w = torch.ones(2, requires_grad=True)
        loss = (w * a).sum()
        """,
        "Line 8: `loss = (w * a).sum()` failed because a was made in inference mode, and autograd "
        "cannot save it for a gradient. Before that statement, add: a = a.clone()",
        "a = a.clone()",
    ),
}


def check(program: Program, reason: Any) -> None:
    assert reason.text == program.says
    assert reason.line == program.line
    assert reason.text.endswith(program.line)
    _, error = run(mended(program.text, reason))
    assert error is None
    assert reason.picture().svg.startswith("<svg")
    assert program.says in str(reason.picture().words)


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.filterwarnings("ignore: Error detected in SqrtBackward0")
@pytest.mark.filterwarnings("ignore:Error detected in SqrtBackward0")
def test_a_recorded_error_names_variable_and_statement_and_its_line_mends_it(name):
    check(RECORDED[name], explained(RECORDED[name].text, recorded=True))


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", ANYHOW)
def test_an_error_of_one_call_is_explained_and_its_line_mends_it(name, recorded):
    check(ANYHOW[name], explained(ANYHOW[name].text, recorded))


# Without a recording.


def test_the_one_statement_that_can_have_changed_a_value_is_named():
    program = RECORDED["a_result_that_was_changed"]
    reason = explained(program.text)
    assert reason.text == (
        "loss.backward() failed because h, the result of sigmoid, was changed in place after "
        "sigmoid had saved it for its gradient. Line 7: `h[0] = 0`, the only statement here that "
        "changes it, made version 1 of it, and the gradient of sigmoid needs version 0. Change a "
        "copy. Before line 7, add: h = h.clone()"
    )
    assert run(mended(program.text, reason))[1] is None


@pytest.mark.parametrize(
    "change",
    [
        "torch.nn.functional.relu(h, inplace=True)",  # no statement is seen to change h
        "if x.sum() > 9:\n    h[0] = 1\nh.view(-1).zero_()",  # the one seen has not run
        "h.grad = None\nh.view(-1).zero_()",  # this changes something else
        "h = h\nh[0] = 1\nh[1] = 1",  # two changes, two statements
    ],
)
def test_a_statement_is_not_named_on_its_text_alone(change):
    start = "x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)\nh = torch.exp(x)\n"
    reason = explained(f"{start}{change}\nloss = h.sum()\nloss.backward()")
    version = 2 if "h[1]" in change else 1
    assert reason.text == (
        "loss.backward() failed because h, the result of exp, was changed in place after exp had "
        f"saved it for its gradient: it is at version {version}, and version 0 is needed. Which "
        "statement changed it is not known. Run it inside `with av.record():`, and ask again."
    )
    assert reason.line == "with av.record():"


def test_a_second_pass_without_a_recording_says_what_is_not_known():
    reason = explained(RECORDED["the_same_graph_twice"].text)
    assert reason.text == (
        "y.backward() failed because an earlier pass went through the graph of y, or a part of it, "
        "and PyTorch frees what it has saved as it goes. If y was computed once, keep its graph in "
        "the first pass: y.backward(retain_graph=True). If it was computed anew, something in it "
        "is from before that pass. Run it inside `with av.record():`, and ask again."
    )


def test_a_state_is_named_without_a_recording_where_an_earlier_one_is_in_the_graph():
    program = RECORDED["a_state_from_step_to_step"]
    reason = explained(program.text)
    assert reason.text == (
        "loss.backward() failed because an earlier pass went through the graph of loss, or a part "
        "of it, and PyTorch frees what it has saved as it goes. loss was computed from an earlier "
        "h too. If the pass before began from there, let each pass end at h: before `h = "
        "cell(torch.ones(1, 2), h)`, add: h = h.detach()"
    )
    assert run(mended(program.text, reason))[1] is None


# From the state that an error left.

ASKED = """
cell = torch.nn.RNNCell(2, 3)
h = torch.zeros(1, 3)
for step in range(2):
    h = cell(torch.ones(1, 2), h)
    loss = h.pow(2).sum()
    if step == 0:
        loss.backward()
reason = av.why(cell.weight_ih, loss)
"""


@pytest.mark.parametrize("recorded", [False, True])
def test_a_tensor_of_a_half_freed_graph_is_told_where_old_and_new_meet(recorded):
    held, error = run(ASKED, recorded=recorded)
    assert error is None
    reason = held["reason"]
    begin, _, rest = reason.text.partition(", and the backward pass from loss fails: ")
    assert begin.startswith("cell.weight_ih.grad is 3 × 2, norm ")
    by = "the pass in line 11: `loss.backward()`" if recorded else "an earlier pass"
    step = (
        "line 8: `h = cell(torch.ones(1, 2), h)`" if recorded else "`h = cell(torch.ones(1, 2), h)`"
    )
    assert rest == (
        f"h is from before the first pass: loss was computed from an earlier h, and {by} has freed "
        "how that was computed. Either call backward() once, for the sum of all losses; or let "
        f"each pass end at h. For that, before the step ({step}), add: h = h.detach()"
    )
    assert (reason.cause, reason.line) == ("graph_freed", "h = h.detach()")
    again = mended(ASKED, reason).replace(
        "reason = av.why(cell.weight_ih, loss)", "loss.backward()"
    )
    assert run(again)[1] is None
    marks = [box.marks for box in reason.picture().boxes if box.shape == "oval"]
    assert any("dim" in each for each in marks)
    assert any("dim" not in each for each in marks)


def test_a_tensor_is_told_of_a_changed_value_before_and_after_the_pass_that_failed():
    text = """
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = torch.sigmoid(x)
    h[0] = 0
    loss = h.sum()
    before = av.why(x, loss)
    try:
        loss.backward()
    except RuntimeError:
        pass
    after = av.why(x, loss)
    """
    held, error = run(text)
    assert error is None
    for reason in (held["before"], held["after"]):
        assert reason.text == (
            "x.grad is None because the backward pass from loss fails: h, the result of sigmoid, "
            "was changed in place after sigmoid had saved it for its gradient. Line 7: `h[0] = 0`, "
            "the only statement here that changes it, made version 1 of it, and the gradient of "
            "sigmoid needs version 0. Change a copy. Before line 7, add: h = h.clone()"
        )


@pytest.mark.parametrize("call", ["av.trace(loss)", "av.step(loss)", "av.paths(loss, x)"])
@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (
            "h += 1",
            "SavedValueChangedError",
            "The backward pass from loss fails: h, the result of exp, was changed in place after "
            "exp had saved it for its gradient. Line 7: `h += 1`, the only statement here that "
            "changes it, made version 1 of it, and the gradient of exp needs version 0. In line 7, "
            "write instead: h = h + 1",
        ),
        (
            "h.backward()",
            "GraphFreedError",
            "The backward pass from loss fails: the graph of loss was freed: an earlier pass went "
            "through it, and PyTorch frees what it has saved as it goes. Compute loss again before "
            "each pass; or, to go through the same graph twice, keep it in the first one. For "
            "that, in the first pass write: loss.backward(retain_graph=True)",
        ),
    ],
)
def test_our_functions_raise_our_error_with_the_explanation(call, change, kind, says):
    text = f"""
    x = torch.tensor(2.0, requires_grad=True)
    h = torch.exp(x)
    {change}
    loss = h + 1
    {call}
    """
    _, error = run(text)
    assert type(error).__name__ == kind
    assert isinstance(error, AutogradVizError)
    assert isinstance(error, RuntimeError)
    assert str(error) == says == error.reason.text
    assert isinstance(error.__cause__, RuntimeError)
    assert not hasattr(error.__cause__, "reason")
    try:
        raise error
    except RuntimeError:
        assert av.why() is error.reason


def test_an_error_of_a_hook_is_passed_on_as_it_is():
    def fails(grad):
        raise RuntimeError("mine")

    h = torch.tensor(2.0, requires_grad=True) * 3
    h.register_hook(fails)
    with pytest.raises(RuntimeError, match=r"^mine$") as raised:
        av.trace(h * 2)
    assert raised.value.__cause__ is None


# Where no gradient began.


def test_an_output_without_a_graph_leads_to_the_tensor_that_it_was_computed_from():
    reason = explained("a = torch.tensor([1.0, 2.0])\nb = (a * 2).sum()\nb.backward()", True)
    assert reason.text.startswith("b.backward() failed because b does not require grad")
    assert reason.line == "a = torch.tensor([1.0, 2.0], requires_grad=True)"
    assert run(f"{reason.line}\nb = (a * 2).sum()\nb.backward()")[1] is None


@pytest.mark.parametrize("call", ["av.trace(b)", "av.graph(b)", "av.step(b)"])
def test_without_a_graph_our_functions_say_the_same(call):
    _, error = run(f"a = torch.tensor([1.0, 2.0])\nb = (a * 2).sum()\n{call}", recorded=True)
    assert type(error).__name__ == "NoGraphError"
    assert str(error).startswith("the output has no autograd graph: b does not require grad")
    assert error.reason.line == "a = torch.tensor([1.0, 2.0], requires_grad=True)"


# Which error is meant.


def test_the_cause_of_an_error_of_the_readers_own_is_explained():
    text = """
    x = torch.ones(2, requires_grad=True)
    try:
        (x * 2).backward()
    except RuntimeError as error:
        raise ValueError("training failed") from error
    """
    assert explained(text).cause == "not_scalar"


def test_an_error_that_is_none_of_autograds_is_not_explained():
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        with pytest.raises(NothingToExplainError, match=r"ZeroDivisionError.*av\.why\(x, loss\)"):
            av.why()


def test_without_any_error_it_says_how_to_ask(monkeypatch):
    monkeypatch.delattr("sys.last_exc", raising=False)
    monkeypatch.delattr("sys.last_value", raising=False)
    # In a thread of its own, since what runs the tests may be handling an exception.
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(av.why)
    with pytest.raises(NothingToExplainError, match="there was no error"):
        asked.result()


def test_the_error_is_found_in_a_function_that_others_call():
    text = """
    def inner(x):
        h = torch.tanh(x)
        h.mul_(2)
        return h.sum()
    def train():
        x = torch.ones(2, requires_grad=True)
        inner(x).backward()
    train()
    """
    reason = explained(text, recorded=True)
    assert reason.text == (
        "inner(x).backward() failed because a tensor of shape [2], the result of tanh (line 6, in "
        "inner: `h = torch.tanh(x)`), was changed in place after tanh had saved it for its "
        "gradient. Line 7, in inner: `h.mul_(2)` made version 1 of it, and the gradient of tanh "
        "needs version 0. In line 7, in inner, write instead: h = h.mul(2)"
    )
    assert run(mended(text, reason))[1] is None


CUT = {
    "in_a_loop": (
        """
        model = torch.nn.Linear(2, 3)
        for step in range(2):
            best = model(torch.ones(4, 2)).argmax(dim=1).float()
            loss = best.pow(2).mean()
            loss.backward()
        """,
        "loss.backward() failed because loss does not require grad, so autograd does not follow "
        "it. Yet model.weight requires grad: loss was cut off from it, or was not computed from "
        "it. Which call did that is not known. Run it inside `with av.record():`, and ask again.",
    ),
    "by_detach": (
        """
        a = torch.tensor(0.5, requires_grad=True)
        y = torch.stack([a.detach(), a.detach()])
        out = y * 3
        loss = out.sum()
        loss.backward()
        """,
        "loss.backward() failed because loss does not require grad (line 8: `loss = out.sum()`), "
        "so autograd does not follow it. Yet a requires grad: loss was cut off from it, or was not "
        "computed from it. Which call did that is not known. Run it inside `with av.record():`, "
        "and ask again.",
    ),
    "of_a_gradient": (
        """
        x = torch.tensor(2.0, requires_grad=True)
        (g,) = torch.autograd.grad(x**3, x)
        penalty = (g - 1) ** 2
        penalty.backward()
        """,
        "penalty.backward() failed because penalty does not require grad (line 7: `penalty = (g - "
        "1) ** 2`), so autograd does not follow it. Yet x requires grad: penalty was cut off from "
        "it, or was not computed from it. Which call did that is not known. Run it inside `with "
        "av.record():`, and ask again.",
    ),
}


@pytest.mark.parametrize("name", CUT)
def test_what_may_have_been_cut_off_is_not_told_to_require_grad_itself(name):
    text, says = CUT[name]
    reason = explained(text)
    assert reason.text == says
    assert reason.line == "with av.record():"
    recorded = explained(text, recorded=True)
    assert "the way is cut off by" in recorded.text
    asked = textwrap.dedent(text).replace("loss.backward()", "found = av.why(loss)")
    held, _ = run(asked.replace("penalty.backward()", "found = av.why(penalty)"))
    assert held["found"].line == "with av.record():"


def test_without_a_recording_the_input_at_the_start_is_named():
    text = "a = torch.tensor([1.0, 2.0])\nh = a * 2\nb = h.sum()\nb.backward()"
    reason = explained(text)
    assert reason.text == (
        "b.backward() failed because b does not require grad (line 7: `b = h.sum()`), so autograd "
        "does not follow it. It was computed from a, which does not either. What b is computed "
        "from has to require grad, not b: a = torch.tensor([1.0, 2.0], requires_grad=True)"
    )
    assert run(text.replace("a = torch.tensor([1.0, 2.0])", reason.line))[1] is None


def test_a_result_of_which_nothing_is_known_is_not_told_to_require_grad():
    text = "for step in range(2):\n    b = torch.ones(2).sum()\n    b.backward()"
    reason = explained(text)
    assert reason.line is None
    assert reason.text == (
        "b.backward() failed because b does not require grad, so autograd does not follow it. What "
        "b is computed from has to require grad, not b."
    )


@pytest.mark.parametrize("recorded", [False, True])
def test_a_running_total_of_what_has_no_name_gets_no_line_that_fails(recorded):
    text = """
    w = torch.tensor(2.0, requires_grad=True)
    total = 0
    for step in range(3):
        total += (w * step).exp()
        total.backward()
    """
    reason = explained(text, recorded)
    by = "the pass in line 9: `total.backward()`" if recorded else "an earlier pass"
    assert reason.text == (
        "total.backward() failed because total is a running total: it was computed from an earlier "
        f"total, and {by} has freed how that was computed. Call backward() on what each step adds, "
        "not on the total: give it a name, and begin from that."
    )
    assert reason.line is None


def test_a_tuple_of_states_is_named_without_a_recording():
    program = RECORDED["a_state_that_is_a_tuple"]
    reason = explained(program.text)
    assert reason.line == program.line
    assert run(mended(program.text, reason))[1] is None


def test_a_pass_is_not_moved_before_the_step_of_another_loss():
    text = """
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    out = net(torch.ones(2))
    one, two = out.sum(), out.pow(2).sum()
    one.backward(retain_graph=True)
    sgd.step()
    sgd.zero_grad()
    two.backward()
    """
    reason = explained(text, recorded=True)
    assert reason.text == (
        "two.backward() failed because net.1.weight was changed in place after linear (line 7: "
        "`out = net(torch.ones(2))`) had saved it for its gradient. Line 10: `sgd.step()` made "
        "version 2 of it, and the gradient of linear needs version 1. Compute two again after that "
        "change, with all that it was computed from."
    )
    assert (reason.line, reason.instead_of, reason.before) == (None, None, None)


def test_where_a_step_lies_between_two_passes_the_losses_are_added():
    text = """
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    h = net(torch.ones(2))
    a = (h * 2).exp().sum()
    b = (h * 3).exp().sum()
    a.backward()
    sgd.step()
    b.backward()
    """
    reason = explained(text, recorded=True)
    assert reason.text == (
        "b.backward() failed because h (line 7: `h = net(torch.ones(2))`), from which b was "
        "computed, is from before the pass in line 10: `a.backward()`, which freed how it was "
        "computed. Keeping the graph would not help: line 11: `sgd.step()` has changed "
        "net.0.bias since. Add the losses and call backward() once: leave out line 12: "
        "`b.backward()`, and in line 10 write: (a + b).backward()"
    )
    assert (reason.line, reason.instead_of) == ("(a + b).backward()", "a.backward()")
    mended_text = textwrap.dedent(text).replace("b.backward()", "")
    assert run(mended_text.replace("a.backward()", reason.line))[1] is None
    assert "retain_graph" not in explained(text).text
    assert explained(text).line == "with av.record():"


@pytest.mark.parametrize("set_it", ["k.requires_grad_()", "k.requires_grad = True"])
def test_whole_numbers_that_are_to_require_grad_afterwards(set_it):
    text = f"k = torch.tensor([1, 2])\n{set_it}"
    reason = explained(text)
    assert reason.text == (
        f"Line 6: `{set_it}` failed because k is of torch.int64, and only floating-point and "
        "complex tensors have gradients: between two whole numbers there is no slope. Write "
        "instead: k = k.float().requires_grad_()"
    )
    assert run(mended(text, reason))[1] is None


def test_every_reason_says_where_its_line_belongs():
    reason = explained("a = torch.ones(2)\nb = a.sum()\nb.backward()")
    assert (reason.instead_of, reason.before) == (None, None)


@pytest.mark.parametrize("name", ["too_few_gradients", "too_many_gradients"])
def test_after_a_pass_that_failed_in_a_custom_function_the_same_is_said(name):
    program = ANYHOW[name]
    # pow saves its input, which the pass that failed has freed.
    text = (
        textwrap.dedent(program.text)
        .replace("a).sum()", "a).pow(2).sum()")
        .replace(
            "loss.backward()",
            "try:\n    loss.backward()\nexcept RuntimeError:\n    pass\nav.trace(loss)",
        )
    )
    _, error = run(text, recorded=True)
    assert str(error) == program.says.replace(
        "loss.backward() failed because ", "The backward pass from loss fails: "
    )
