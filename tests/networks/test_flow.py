"""The gradients' norms by depth, against PyTorch's own numbers."""

import copy
import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

import autograd_viz as av
from autograd_viz.networks import flow as flow_module


class Odd(nn.Module):
    """Has a gradient of each kind; parameters are registered in another order than used."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 1)
        self.unused = nn.Parameter(torch.ones(3))
        self.first = nn.Linear(4, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.dead = nn.Linear(4, 4)
        self.roots = nn.Parameter(torch.tensor([0.0, 4.0]))
        self.undefined = nn.Parameter(torch.tensor([0.0, 4.0]))

    def forward(self, x):
        h = self.frozen(self.first(x).tanh())
        h = h + torch.relu(self.dead(h) - 1_000)  # never above zero: all of its gradient is 0
        h = h * self.roots.sqrt().sum()  # whose derivative at 0 is infinite
        return self.last(h).sum() + (self.undefined.sqrt() * 0).sum()  # 0 * inf


@pytest.fixture
def odd():
    torch.manual_seed(0)
    model = Odd()
    return model, model(torch.randn(5, 4))


def test_numbers_are_those_of_torch(odd):
    model, loss = odd
    flow = av.trace(loss, params=model).gradient_flow()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    known = dict(zip(named, grads, strict=True))
    assert {entry.name for entry in flow.entries} == {name for name, _ in model.named_parameters()}
    entry: Any
    for entry in flow.entries:
        grad = known.get(entry.name)
        if grad is None:
            assert entry.summary is None
            continue
        wanted = (grad.double().norm(), grad.min(), grad.max(), (grad == 0).double().mean())
        assert entry.summary[:4] == pytest.approx(tuple(map(float, wanted)), nan_ok=True)
        assert entry.shape == tuple(grad.shape)


def test_what_stands_out_is_told_apart(odd):
    model, loss = odd
    entries = av.trace(loss, params=model).gradient_flow().entries
    states = {entry.name: entry.state for entry in entries}
    assert states == {
        "first.weight": "flows", "first.bias": "flows",
        "last.weight": "flows", "last.bias": "flows",
        "dead.weight": "zero", "dead.bias": "zero",
        "frozen.weight": "frozen", "frozen.bias": "frozen",
        "unused": "None", "roots": "inf", "undefined": "NaN",
    }  # fmt: skip


def test_the_order_is_the_forward_passes(odd):
    model, loss = odd
    names = [entry.name for entry in av.trace(loss, params=model).gradient_flow().entries]
    used = [name for name in names if not name.startswith(("unused", "frozen", "undefined"))]
    assert used == [
        "first.weight", "first.bias", "dead.weight", "dead.bias", "roots",
        "last.weight", "last.bias",
    ]  # fmt: skip
    # what the pass does not reach follows what the module lists before it
    assert names[0] == "unused"
    assert names[names.index("first.bias") + 1 :][:2] == ["frozen.weight", "frozen.bias"]


def test_a_shared_parameter_stands_where_it_is_used_first():
    one, two = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    model = nn.ModuleDict({"two": two, "one": one})
    y = one(two(one(torch.ones(1, 2)))).sum()
    flow = av.trace(y, params=model).gradient_flow()
    assert [entry.name for entry in flow.entries] == ["one.weight", "two.weight"]


def test_without_params_all_leaves_count():
    a = torch.tensor([3.0, 4.0], requires_grad=True)
    b = torch.ones(2, requires_grad=True)
    loss = (a * a / 2 + b.detach() * b).sum()
    flow = av.trace(loss).gradient_flow()
    entries: Any = flow.entries
    assert {entry.name: entry.summary.norm for entry in entries} == pytest.approx(
        {"a": 5.0, "b": math.sqrt(2)}
    )
    assert flow.output == "loss"


def test_a_norm_whose_square_is_beyond_float32():
    x = torch.tensor([3e30, 4e30], requires_grad=True)
    loss = (x.detach() * x).sum()
    entry: Any
    (entry,) = av.trace(loss).gradient_flow().entries
    assert entry.state == "flows"
    assert entry.summary.norm == pytest.approx(5e30)
    assert torch.tensor([3e30, 4e30]).square().sum().isinf()


def test_bars_stand_for_the_powers_of_ten():
    torch.manual_seed(0)
    x = torch.ones(20_000, requires_grad=True)
    entry: Any
    (entry,) = av.trace((x * torch.randn(20_000) * 1e-3).sum()).gradient_flow().entries
    decades = entry.summary.decades
    first, bars, last = flow_module._bars(decades).split()
    assert (float(first), float(last)) == (10.0 ** min(decades), 10.0 ** max(decades))
    assert bars.index("█") == max(decades, key=decades.get) - min(decades)


def test_what_is_zero_but_for_rounding_counts_as_zero():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(16, 2, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    flow = av.trace(attention(x, x, x)[0].square().sum(), params=attention).gradient_flow()
    entry: Any
    (entry,) = (entry for entry in flow.entries if entry.name == "in_proj_bias")
    # A softmax stays as it is when each key moves by the same: the keys' bias gets no gradient.
    assert entry.summary.zeros == 16 / 48
    assert min(entry.summary.decades) > -10
    assert flow.words.endswith("smaller than the last bit of their gradient's largest one.")


def test_only_the_last_bit_of_the_largest_is_rounding():
    numbers = {
        torch.float64: ([1.0, 3e-16, 2e-16, -2e-16, 0.0], 3 / 5),
        torch.float32: ([1.0, 3e-7, -1e-7, 0.0], 2 / 4),
        torch.bfloat16: ([1.0, 1e-3, -1e-5, 0.0], 1 / 4),
    }
    for dtype, (grad, zeros) in numbers.items():
        x = torch.ones(len(grad), dtype=dtype, requires_grad=True)
        entry: Any
        (entry,) = av.trace((x * torch.tensor(grad, dtype=dtype)).sum()).gradient_flow().entries
        assert entry.summary.zeros == zeros
        assert entry.summary.norm == pytest.approx(1.0, rel=1e-2)
    x = torch.tensor([0.0, 1e20], dtype=torch.float64, requires_grad=True)
    (entry,) = av.trace(x.sqrt().sum()).gradient_flow().entries  # the first is infinite
    assert entry.summary.zeros == 0


def test_sparse_complex_half_and_meta():
    table = nn.Embedding(10, 2, sparse=True)
    loss = (table(torch.tensor([1, 1, 3])) * 2).sum()
    entry: Any
    (entry,) = av.trace(loss, params=table).gradient_flow().entries
    assert entry.summary[:4] == pytest.approx((math.sqrt(2 * 16 + 2 * 4), 0.0, 4.0, 16 / 20))

    z = torch.tensor([3 + 4j, 0j], requires_grad=True)
    loss = (z * z.conj()).real.sum()
    (entry,) = av.trace(loss).gradient_flow().entries
    assert entry.summary[:4] == pytest.approx((10.0, 0.0, 10.0, 0.5))

    half = torch.tensor([300.0, 400.0], dtype=torch.float16, requires_grad=True)
    loss = (half.detach() * half).float().sum()
    (entry,) = av.trace(loss).gradient_flow().entries
    assert entry.summary.norm == pytest.approx(500.0)

    meta = nn.Linear(3, 2, device="meta")
    loss = meta(torch.ones(1, 3, device="meta")).sum()
    flow = av.trace(loss, params=meta).gradient_flow()
    assert {entry.state for entry in flow.entries} == {"no values"}
    ElementTree.fromstring(flow.picture().svg)


def test_nothing_of_the_users_changes(odd):
    model, loss = odd
    before = copy.deepcopy(model.state_dict())
    av.trace(loss, params=model).gradient_flow().picture()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_words_name_what_stands_out(odd):
    model, loss = odd
    lines = str(av.trace(loss, params=model).gradient_flow()).splitlines()
    assert lines[:6] == [
        "Gradients of loss by 11 parameters",
        "1 of 11 with NaN: undefined.",
        "1 of 11 with an infinite number: roots.",
        "2 of 11 all zero: dead.weight, dead.bias.",
        "1 of 11 None, not reached by the backward pass: unused.",
        "2 of 11 None, frozen (requires_grad is False): frozen.weight, frozen.bias.",
    ]
    assert re.fullmatch(r"unused +3 values +None", next(x for x in lines if x.startswith("unused")))
    assert re.search(r"frozen.bias +4 values +None \(frozen\)$", "\n".join(lines), re.MULTILINE)


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_the_plot_is_the_same_twice_and_follows_the_theme(odd, theme):
    model, loss = odd
    flow = av.trace(loss, params=model).gradient_flow()
    drawing = flow.picture(theme=theme).svg
    assert drawing == flow.picture(theme=theme).svg
    ElementTree.fromstring(drawing)
    assert ("prefers-color-scheme" in drawing) == (theme == "auto")
    assert ("#14171c" in drawing.partition("<g")[2]) == (theme == "dark")


def test_the_plot_has_a_row_for_each_state(odd):
    model, loss = odd
    plain = av.trace(nn.Linear(2, 1)(torch.ones(1, 2)).sum()).gradient_flow().picture().svg
    drawing = av.trace(loss, params=model).gradient_flow().picture().svg
    for text in ("all zero", "None (frozen)", "inf", "NaN"):  # Matplotlib writes texts as comments
        assert f"<!-- {text} -->" in drawing
        assert f"<!-- {text} -->" not in plain


def test_a_notebook_shows_the_plot_and_the_words(odd):
    model, loss = odd
    flow = av.trace(loss, params=model).gradient_flow()
    bundle = flow._repr_mimebundle_()
    assert bundle["text/plain"] == str(flow) == flow.words
    assert bundle["image/svg+xml"] == flow.picture().svg
    assert repr(flow) == "<GradientFlow of 11 parameters>"
