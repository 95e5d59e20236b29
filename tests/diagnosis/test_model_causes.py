"""What is said of a model's parameters: each cause triggered, and its whole sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import autograd_viz as av
from autograd_viz.errors import NotATensorError


class Net(nn.Module):
    """Two layers, of which the second is given to a function of the test's."""

    def __init__(self, then: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)
        self.then = then

    def forward(self, x):
        h = self.first(x)
        return self.second(h if self.then is None else self.then(h))


def asked(model, **options):
    """A recorded forward pass, and what is said after it."""
    with av.record():
        loss = model(torch.tensor([[1.0, 2.0]])).sum()
    return av.why(model, loss, **options)


def place(function, line: int, quoted: str) -> str:
    """A statement in a function of this file."""
    number = function.__code__.co_firstlineno + line
    return f"line {number}, in {function.__qualname__}: `{quoted}`"


def detached(h):
    return h.detach() * 2


def data(h):
    return h.data * 2


def no_grad(h):
    with torch.no_grad():
        return h * 2


def copied(h):
    return torch.tensor(h) * 2


def chosen(h):
    return torch.nn.functional.one_hot(h.argmax(1), 3).float()


def new_leaf(h):
    return nn.Parameter(h * 3)


def copied_to_a_leaf(h):
    return h.new_tensor(h, requires_grad=True) * 2


def as_variable(h):
    h = h * 3
    return torch.autograd.Variable(h.data, requires_grad=True)


def sampled(h):
    return torch.distributions.Normal(h, 1.0).sample()


def differentiated(h):
    return torch.autograd.grad((h * h).sum(), h)[0]


def left(h):
    return torch.ones(3) * h.sum().item()


CUTS = {
    detached: (1, "return h.detach() * 2", "detach() in {} cuts the way off."),
    data: (1, "return h.data * 2", ".data in {} cuts the way off. Use the tensor itself."),
    copied: (
        1,
        "return torch.tensor(h) * 2",
        "tensor() in {} copies the numbers into a new tensor. Use the tensor itself; torch.stack() "
        "and torch.cat() join several and keep the graph.",
    ),
    chosen: (
        1,
        "return torch.nn.functional.one_hot(h.argmax(1), 3).float()",
        "argmax() in {} has no derivative: its result jumps.",
    ),
    new_leaf: (
        1,
        "return nn.Parameter(h * 3)",
        "the result of mul() in {} became a leaf of its own, as by nn.Parameter(...) or "
        "Variable(...), and a leaf leads to nothing before it.",
    ),
    copied_to_a_leaf: (
        1,
        "return h.new_tensor(h, requires_grad=True) * 2",
        "new_tensor() in {} copies the numbers into a new tensor. Use the tensor itself; "
        "torch.stack() and torch.cat() join several and keep the graph.",
    ),
    as_variable: (
        1,
        "h = h * 3",
        "the result of mul() in {} became a leaf of its own, as by nn.Parameter(...) or "
        "Variable(...), and a leaf leads to nothing before it.",
    ),
    sampled: (
        1,
        "return torch.distributions.Normal(h, 1.0).sample()",
        "sample() in {} draws without a graph. rsample() draws with one.",
    ),
    differentiated: (
        1,
        "return torch.autograd.grad((h * h).sum(), h)[0]",
        "autograd.grad() in {} returns a gradient without a graph. Write create_graph=True in "
        "that call.",
    ),
}


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
@pytest.mark.parametrize("cuts", CUTS)
def test_a_cut_inside_forward_is_told_with_its_statement(cuts):
    line, quoted, told = CUTS[cuts]
    found = asked(Net(cuts))
    where = place(cuts, line, quoted)
    row = found["first.weight"]
    assert (row.state, row.where) == ("cut", where)
    assert row.text == f"first.weight is cut off: {told.format(where)}"
    assert found["second.weight"].state == "waits"
    assert found["first.bias"].why == row.why


def test_a_cut_under_no_grad_is_told_with_the_line_that_switches_gradients_off():
    row = asked(Net(no_grad))["first.bias"]
    assert row.text == (
        f"first.bias is cut off: mul() in {place(no_grad, 2, 'return h * 2')} is run under "
        f"torch.no_grad() ({place(no_grad, 1, 'with torch.no_grad():')}), and autograd records "
        "nothing."
    )


def test_a_cut_under_inference_mode():
    def inferred(h):
        with torch.inference_mode():
            y = h * 2
        return y.clone()

    row = asked(Net(inferred))["first.bias"]
    where = place(inferred, 2, "y = h * 2").replace(".<locals>", "")
    assert row.text == (
        f"first.bias is cut off: mul() in {where} is run under torch.inference_mode(), and "
        "autograd records nothing."
    )


def test_a_reentrant_checkpoint_whose_input_needs_no_gradient():
    class Checked(Net):
        def forward(self, x):
            return self.second(checkpoint(self.first, x, use_reentrant=True))

    with pytest.warns(UserWarning, match="None of the inputs have requires_grad"):
        row = asked(Checked())["first.weight"]
    assert row.state == "cut"
    assert row.why.endswith(
        "runs inside checkpoint(..., use_reentrant=True), which records nothing if no input "
        "requires grad. Write use_reentrant=False."
    )


def test_what_became_of_numbers_that_left_pytorch_is_not_known():
    row = asked(Net(left))["first.weight"]
    where = place(left, 1, "return torch.ones(3) * h.sum().item()")
    assert row.state == "not reached"
    assert row.text == (
        f"first.weight is not reached: numbers that follow from it leave PyTorch by item() in "
        f"{where}. Whether loss was computed from these is not known."
    )


NOT_SEEN = (
    "a recording does not see torch.from_numpy(), torch.autograd.Variable() and what runs outside "
    "of its block."
)


def test_numbers_that_left_pytorch_are_said_though_the_recording_did_not_see_what_made_the_loss():
    model = Net()
    with av.record():
        out = model(torch.ones(1, 2)).sum()
        loss = torch.from_numpy(out.detach().numpy())
    where = "`loss = torch.from_numpy(out.detach().numpy())`"
    row = av.why(model, loss)["first.bias"]
    assert row.state == "not reached"
    assert re.sub(r"line \d+: ", "", row.text) == (
        f"first.bias is not reached: numbers that follow from it leave PyTorch by numpy() in "
        f"{where}. Whether loss was computed from these is not known: {NOT_SEEN}"
    )
    bias = model.first.bias
    assert re.sub(r"line \d+: ", "", av.why(bias, loss).text) == (
        "bias.grad is None because loss does not lead to it: loss does not require grad. By "
        f".numpy() in {where} numbers that follow from bias leave PyTorch, and plain numbers have "
        f"no graph. Whether loss was computed from these is not known: {NOT_SEEN}"
    )


def test_what_was_recorded_in_part_is_not_told_to_be_recorded():
    model = Net()
    with av.record():
        out = model(torch.ones(1, 2))
    w = torch.ones(1, requires_grad=True)
    loss = (out.detach() * w).sum()
    row = av.why(model, loss)["first.bias"]
    assert re.sub(r"line \d+, in [\w.]+: ", "", row.text) == (
        "first.bias is not reached: no way in loss's graph leads to it. The recording saw it used "
        f"in `h = self.first(x)`, but not all that made loss: {NOT_SEEN}"
    )
    bias = model.first.bias
    assert re.sub(r"line \d+, in [\w.]+: ", "", av.why(bias, loss).text) == (
        "bias.grad is None because loss does not lead to it: bias is not in its graph. The "
        f"recording saw bias used in `h = self.first(x)`, but not what made loss: {NOT_SEEN} "
        "Move the rest into the block."
    )


def test_the_first_numbers_of_a_module_made_in_the_recording_are_no_use_of_it():
    class Spare(Net):
        def __init__(self):
            super().__init__()
            self.spare, self.idle = nn.BatchNorm1d(2), nn.Parameter(torch.empty(2))
            nn.init.orthogonal_(self.first.weight)
            with torch.no_grad():
                self.idle.fill_(1.0)

    with av.record():
        model = Spare()
        loss = model(torch.ones(1, 2)).sum()
    found = av.why(model, loss)
    assert found["spare.bias"].text == (
        "spare.bias is not used: the module was not called in what was recorded."
    )
    assert found["idle"].text == (
        "idle is not used: the module was called, but no call that was recorded uses it."
    )
    assert av.why(model.spare.weight, loss).text == (
        "model.spare.weight.grad is None because loss does not lead to it: no call that was "
        "recorded on the way to loss takes model.spare.weight. Use model.spare.weight in the "
        "computation of loss."
    )


def test_a_module_that_was_not_called_one_whose_result_is_not_used_and_an_unused_parameter():
    class Idle(Net):
        def __init__(self):
            super().__init__()
            self.spare, self.aside = nn.Linear(2, 2), nn.Linear(2, 2)
            self.idle = nn.Parameter(torch.ones(1))

        def forward(self, x):
            self.aside(x)
            return super().forward(x)

    found = asked(Idle())
    where = place(Idle.forward, 1, "self.aside(x)").replace(".<locals>", "")
    assert {found[name].state for name in ("idle", "spare.bias", "aside.bias")} == {"unused"}
    assert found["spare.bias"].text == (
        "spare.bias is not used: the module was not called in what was recorded."
    )
    assert found["idle"].text == (
        "idle is not used: the module was called, but no call that was recorded uses it."
    )
    assert found["aside.bias"].text == (
        f"aside.bias is not used: {where} uses it, but nothing that loss was computed from "
        "follows from that."
    )


def test_without_a_recording_the_two_are_not_told_apart():
    model = Net(detached)
    loss = model(torch.ones(1, 2)).sum()
    assert av.why(model, loss)["first.weight"].text == (
        "first.weight is not reached: no way in loss's graph leads to it: cut off, or not used. "
        "Which of the two is not known: run the forward pass inside `with av.record():` and ask "
        "again."
    )


def test_frozen_layers_and_the_gradient_that_is_left_in_one():
    model = Net()
    model(torch.ones(1, 2)).sum().backward()
    model.first.requires_grad_(False)
    model.second.bias.requires_grad_(False)
    model.first.weight.grad = model.first.bias.grad = None
    found = asked(model)
    assert found["first.weight"].text == "first.weight is frozen: its requires_grad is False."
    assert found["first.weight"].line == "model.first.weight.requires_grad_(True)"
    assert str(found["second.bias"]) == (
        "second.bias is frozen: its requires_grad is False. .grad still holds a gradient, and an "
        "optimizer that has it uses that. Write: model.second.bias.grad = None"
    )
    before = model.second.bias.clone()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert not torch.equal(model.second.bias, before)  # as said
    assert "first.weight, first.bias are frozen: their requires_grad is False." in str(found)


def test_a_parameter_that_was_frozen_while_it_was_used():
    model = Net()
    model.first.requires_grad_(False)
    with av.record():
        loss = model(torch.ones(1, 2)).sum()
    model.first.requires_grad_(True)
    row = av.why(model, loss)["first.weight"]
    where = place(Net.forward, 1, "h = self.first(x)")
    assert (row.state, row.where) == ("cut", where)
    assert row.text == (
        "first.weight is cut off: its requires_grad became True after it had been used in "
        f"{where}. Move that before the forward pass."
    )


def test_an_integer_parameter():
    model = Net()
    model.first.bias = nn.Parameter(torch.tensor([1, 2, 3]), requires_grad=False)
    assert av.why(model)["first.bias"].text == (
        "first.bias is frozen: its dtype is torch.int64, and only floating-point and complex "
        "tensors have gradients."
    )


class Adapter(nn.Module):
    """Low-rank: base(x) + x A B, with B = 0 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(3, 3).requires_grad_(False)
        self.lora_A = nn.Parameter(torch.rand(3, 2) + 0.1)
        self.lora_B = nn.Parameter(torch.zeros(2, 3))

    def forward(self, x):
        return self.base(x) + x @ self.lora_A @ self.lora_B


LORA = (
    "lora_A gets 0: what comes back is multiplied by lora_B, which is 0 everywhere. lora_B gets a "
    "gradient: a step makes it other than 0, and then it will get one too. An adapter (LoRA) "
    "begins so."
)


def test_the_first_gradient_of_an_adapter_and_the_second():
    model = Adapter()
    x = torch.tensor([[1.0, 2.0, 3.0]])
    optimizer = torch.optim.SGD([model.lora_A, model.lora_B], 0.1)
    loss = model(x).sum()
    before = av.why(model, loss)
    loss.backward()
    after = av.why(model, loss)
    for found, state in ((before, "waits"), (after, "trains")):
        assert (found["lora_A"].state, found["lora_B"].state) == ("zero", state)
        assert found["lora_A"].text == LORA
        assert found["base.weight"].state == "frozen"
    optimizer.step()
    optimizer.zero_grad()
    loss = model(x).sum()
    loss.backward()
    assert av.why(model, loss)["lora_A"].state == "trains"  # as said


def test_a_factor_that_is_0_and_frozen():
    model = Adapter()
    model.lora_B.requires_grad_(False)
    model.lora_C = nn.Parameter(torch.ones(3))
    loss = (model(torch.ones(1, 3)) + model.lora_C).sum()
    row = av.why(model, loss)["lora_A"]
    assert row.state == "zero"
    assert row.why == "the gradient becomes 0 at MmBackward0."  # the factor is not in the graph


def test_a_row_of_padding_and_tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(4, 2, padding_idx=1)
            self.head = nn.Linear(2, 4, bias=False)
            self.table = nn.Embedding(3, 2, padding_idx=0)
            self.head.weight = self.embed.weight

        def forward(self, i):
            return self.head(self.embed(i) + self.table(i))

    model = Tied()
    loss = model(torch.tensor([0, 1, 2])).square().sum()
    loss.backward()
    found = av.why(model, loss)
    row = found["head.weight"]
    assert row is found["embed.weight"]
    assert row.names == ("embed.weight", "head.weight")
    assert row.text == (
        "embed.weight trains: head.weight is the same tensor, and the gradients of all uses are "
        "added."
    )
    assert found["table.weight"].text == (
        "table.weight trains: row 0 gets 0: it is padding_idx, and has no gradient."
    )
    grad = model.table.weight.grad
    assert grad is not None
    assert not grad[0].any()
    assert len(found.rows) == 2


def test_a_parameter_that_an_optimizer_does_not_have():
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters())
    model.second = nn.Linear(3, 1)
    found = asked(model, optimizer=optimizer)
    row = found["second.weight"]
    assert row.state == "left out"
    assert str(row) == (
        "second.weight is in no optimizer: AdamW does not have it. It has a tensor of that shape "
        "that is no parameter of the model, as one that was replaced after the optimizer was made. "
        'Write: optimizer.add_param_group({"params": [model.second.weight]})'
    )
    assert found["first.weight"].state == "waits"
    exec(row.line, {"optimizer": optimizer, "model": model})
    assert asked(model, optimizer=optimizer)["second.weight"].state == "waits"


def test_a_parameter_that_no_recorded_step_has_changed():
    model = Net()
    optimizer = torch.optim.SGD(model.first.parameters(), 0.1)
    with av.record():
        loss = model(torch.ones(1, 2)).sum()
        loss.backward()
        optimizer.step()
    found = av.why(model, loss)
    line = test_a_parameter_that_no_recorded_step_has_changed.__code__.co_firstlineno + 6
    assert found["second.bias"].state == "left out"
    assert found["second.bias"].text == (
        "second.bias is in no optimizer: no step that was recorded has changed it (SGD.step() in "
        f"line {line}: `optimizer.step()` changed others)."
    )
    assert found["first.bias"].state == "trains"


def test_tensors_that_are_no_parameters():
    class Loose(nn.Module):
        def __init__(self):
            super().__init__()
            self.raw = nn.Parameter(torch.ones(2))
            self.scale = torch.ones(2, requires_grad=True)
            self.weight = self.raw * 2
            self.layers = [nn.Linear(2, 2)]
            self.register_buffer("kept", torch.ones(2))
            self.register_buffer("moved", torch.ones(2, requires_grad=True))

        def forward(self, x):
            return self.layers[0](x) * self.scale * self.weight * self.kept * self.moved

    found = asked(Loose())
    outside = "model.parameters() leaves it out, and so does an optimizer made of that."
    assert found["scale"].text == (
        f"scale is no parameter: an attribute of the module that is no nn.Parameter. {outside}"
    )
    assert found["scale"].line == "self.scale = nn.Parameter(...)"
    assert found["weight"].text == (
        "weight is no parameter: computed (by MulBackward0) from raw, which can train; it is no "
        "leaf, and its .grad stays None."
    )
    assert found["layers[0].bias"].text == (
        "layers[0].bias is no parameter: held in a list, which nn.Module does not look into. "
        f"{outside} Use nn.ModuleList, nn.ModuleDict or nn.ParameterList in place of the list."
    )
    assert found["moved"].text == (f"moved is no parameter: a buffer that requires grad. {outside}")
    assert found["raw"].state == "waits"
    assert found.buffers == ("kept",)
    assert found.title == (
        "The 1 parameter of model for loss: 1 waits for backward(). Besides, 5 tensors of it are "
        "no parameters."
    )


def test_zero_nan_and_inf_are_told_with_the_step_and_its_module():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.dead, self.relu = nn.Linear(2, 2), nn.ReLU()
            self.root = nn.Parameter(torch.tensor([0.0, 4.0]))
            self.lost = nn.Parameter(torch.tensor([0.0, 4.0]))

        def forward(self, x):
            return self.relu(self.dead(x) - 1_000) + self.root.sqrt() + self.lost.sqrt() * 0

    found = asked(Odd())
    assert found["dead.bias"].state == "zero"
    assert found["dead.bias"].where == "ReluBackward0 in relu"
    assert found["dead.bias"].why == "the gradient becomes 0 at ReluBackward0 in relu."
    assert found["root"].text == ("root gets inf: SqrtBackward0 makes inf of a finite gradient.")
    assert found["lost"].state == "NaN"
    assert found["lost"].where == "SqrtBackward0"
    assert found.line is None or "lost" in found.line


def test_nan_that_is_left_in_grad_from_before():
    model = Net()
    loss = model(torch.ones(1, 2)).sum()
    loss.backward(retain_graph=True)
    with torch.no_grad():
        model.first.bias.grad = torch.full((3,), math.nan)
    row = av.why(model, loss)["first.bias"]
    assert str(row) == (
        "first.bias gets NaN: its .grad holds NaN, and one pass from loss brings none: an earlier "
        "one left it there. Write: model.first.bias.grad = None"
    )


class Nothing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return None


def test_a_function_that_returns_none():
    row = asked(Net(Nothing.apply))["first.bias"]
    assert row.state == "None"
    assert row.text == (
        'first.bias gets no gradient: NothingBackward returns None, PyTorch\'s "no gradient", for '
        "its input 0."
    )


def test_a_hook_that_makes_a_gradient_0_is_not_told_as_a_sum():
    model = Net()
    model.first.bias.register_hook(lambda grad: grad * 0)
    assert asked(model)["first.bias"].text == (
        "first.bias gets 0: what is sent is not 0, and a hook has made it so."
    )


def test_contributions_that_cancel():
    model = Net(lambda h: h - h.clone())
    assert asked(model)["first.bias"].text == (
        "first.bias gets 0: what is sent adds up to 0, or a hook has changed it."
    )


def test_a_gradient_that_was_cleared():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with av.record():
        loss = model(torch.ones(1, 2)).sum()
        loss.backward()
        optimizer.zero_grad()
    line = test_a_gradient_that_was_cleared.__code__.co_firstlineno + 6
    assert av.why(model, loss)["first.bias"].text == (
        f"first.bias waits for backward(): its .grad was cleared in line {line}: "
        "`optimizer.zero_grad()`, and no pass has run since. Compute loss again, then call "
        "backward()."
    )
    assert av.why(model, loss).line is None


def test_a_gradient_that_was_cleared_before_the_step_that_should_use_it():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with av.record():
        loss = model(torch.ones(1, 2)).sum()
        loss.backward(retain_graph=True)
        optimizer.zero_grad()
        optimizer.step()
    found = av.why(model, loss)
    assert re.sub(r"line \d+: ", "", found["first.bias"].text) == (
        "first.bias waits for backward(): its .grad was cleared in `optimizer.zero_grad()`, and no "
        "pass has run since. The step in `optimizer.step()` had no gradient to use."
    )
    assert found.line == "loss.backward()"


def test_no_backward_is_advised_where_it_fails():
    model = Net(lambda h: h.exp())
    with av.record():
        loss = model(torch.ones(1, 2)).sum()
    loss.register_hook(lambda grad: 1 / 0)
    found = av.why(model, loss)
    assert found["first.bias"].state == "waits"
    assert found.line is None


def test_before_backward():
    model = Net()
    loss = model(torch.ones(1, 2)).sum()
    found = av.why(model, loss)
    assert str(found["first.bias"]) == (
        "first.bias waits for backward(): no backward() has written its .grad, or it was cleared "
        "since. Write: loss.backward()"
    )
    assert found.line == "loss.backward()"
    assert found.title == "The 4 parameters of model for loss: all 4 wait for backward()."


def test_a_model_alone():
    model = Net()
    assert av.why(model)["first.bias"].text == (
        "first.bias waits for backward(): its .grad is None, since no backward pass has reached "
        "it, or it was cleared. Which of the two, this says: av.why(model, loss)"
    )
    model(torch.ones(1, 2)).sum().backward()
    model.second.bias.grad = torch.zeros(1)
    model.first.bias.grad = torch.full((3,), math.inf)
    found = av.why(model)
    assert found.title == "The 4 parameters of model: 2 train, 1 gets 0, 1 gets inf."
    assert found["second.bias"].text == (
        "second.bias gets 0: which step made it so is not known. Ask before backward(): "
        "av.why(model, loss)"
    )


def test_a_gradient_of_another_output():
    model = Net()
    model(torch.ones(1, 2)).sum().backward()
    with av.record():
        loss = model.first(torch.ones(1, 2)).sum()
    assert av.why(model, loss)["second.bias"].text == (
        "second.bias is not used: the module was not called in what was recorded. Its .grad is "
        "not from loss's graph."
    )


def test_an_output_without_a_graph():
    model = Net()
    with av.record(), torch.no_grad():
        loss = model(torch.ones(1, 2)).sum()
    found = av.why(model, loss)
    assert found.notes == ("loss does not require grad: autograd has recorded no graph of it.",)
    assert {row.state for row in found.rows} == {"cut"}
    assert found.graph is None


def test_a_pass_that_ends_in_an_error():
    def raises(grad):
        raise ValueError("not today")

    model = Net()
    loss = model(torch.ones(1, 2)).sum()
    model.first.weight.register_hook(raises)
    found = av.why(model, loss)
    assert found.notes == ("The backward pass from loss ends in an error, ValueError: not today.",)
    assert {row.state for row in found.rows} == {"waits"}


def test_a_lazy_layer_has_no_shape_yet():
    model = nn.Sequential(nn.LazyLinear(2))
    assert av.why(model)["0.weight"].text == (
        "0.weight waits for backward(): it has no shape before the first forward pass."
    )


def test_what_is_given_wrongly():
    model = Net()
    x = torch.ones(1, requires_grad=True)
    with pytest.raises(NotATensorError, match=r"second argument .* float"):
        av.why(model, 2.0)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"of type SimpleNamespace; give the optimizer itself"):
        av.why(model, x, optimizer=SimpleNamespace())  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"optimizer= is for a whole model"):
        av.why(x, x, optimizer=None or torch.optim.SGD([x], 0.1))  # type: ignore[call-overload]
