"""From which names a name is made, and the cuts on the way: on sources written as text."""

import ast
import textwrap
from typing import Any

import pytest

from autograd_viz.diagnosis import lineage
from autograd_viz.diagnosis.caller_source import Source, _functions, _Reader


def source(text) -> Any:
    lines = textwrap.dedent(text).strip().splitlines()
    tree = ast.parse("\n".join(lines))
    return Source(tuple(_Reader("", lines).statements(tree.body)), _functions(tree, "", lines))


def cut_between(text, output="u", tensor="x"):
    """`(kind, what, line)` of the first cut from output to tensor; None where there is none."""
    found = [way for way in lineage.ways(source(text), output) if way.name == tensor]
    assert found, "no way at all"
    cut: Any = found[0].cut
    return cut and (cut.kind, cut.what, int(cut.at.where.removeprefix("line ")))


CUTS = {
    "u = x.detach() * 2": ("detached", ".detach()"),
    "u = x.data + 1": ("detached", ".data"),
    "u = w - 0.1 * x.grad": ("detached", ".grad"),
    "u = x.item()": ("copied", ".item()"),
    "u = float(x) * w": ("copied", "float()"),
    "u = np.exp(x)": ("copied", "NumPy"),
    "u = math.sqrt(x)": ("copied", "math.sqrt()"),
    "u = torch.tensor(x)": ("copied", "torch.tensor()"),
    "u = x.detach().numpy()": ("copied", ".numpy() and .detach()"),
    "u = torch.argmax(x)": ("not_differentiable", "torch.argmax()"),
    "u = x.to(torch.int64)": ("not_differentiable", ".to(torch.int64)"),
    "u = x.type(torch.long)": ("not_differentiable", ".type(torch.long)"),
    "u = (x > 0).float()": ("not_differentiable", "a comparison"),
    "u = torch.where(x, w, w)": ("not_differentiable", "a condition"),
    "u = w[x]": ("not_differentiable", "an index"),
    "u = torch.zeros_like(x) + w": ("unused", "its shape alone"),
    "u = w.reshape(x.shape)": ("unused", "its .shape alone"),
    "with torch.no_grad(): u = x * 2": ("no_grad", "torch.no_grad()"),
    "with torch.set_grad_enabled(False): u = x * 2": ("no_grad", "torch.set_grad_enabled(False)"),
}


@pytest.mark.parametrize("text", CUTS)
def test_cuts(text):
    assert cut_between(text) == (*CUTS[text], 1)


@pytest.mark.parametrize(
    "text",
    [
        "u = x * 2",
        "u = x.to(torch.float64)",
        "u = torch.where(c, x, w)",
        "u = F.relu(x)[0]",
        "u = sum(v * x for v in vs)",
        "u = x.detach() * x",
        "u = x if c else w",
        "u = w\nu += x",
        "u = torch.zeros(3)\nu[0] = x",
        "u = w\nu.add_(x)",
        "a, u = w, x",
        "a, u = f(x)",
        "with torch.enable_grad(): u = x * 2",
    ],
)
def test_no_cuts(text):
    assert cut_between(text) is None


def test_the_cut_that_a_gradient_meets_first_is_named():
    text = """
        a = x.item()
        b = a * 2
        u = torch.tensor(b)
    """
    assert cut_between(text) == ("copied", "torch.tensor()", 3)


def test_names_keep_their_versions_apart():
    text = """
        z = 2 * t
        z = -t
        u = z.sum()
        z = 3 * t
    """
    found = source(text)
    way: Any
    (way,) = [way for way in lineage.ways(found, "u") if way.name == "z"]
    assert way.version.text == "z = -t"
    versions: Any = (lineage.earlier(found, "z"), lineage.version(found, "z"))
    assert [each.text for each in versions] == ["z = -t", "z = 3 * t"]
    assert way.before.name == "u"
    assert way.names == ("u", "z")


def test_a_branch_may_have_run_or_not():
    text = """
        u = x * 2
        if c:
            u = w
    """
    names = {way.name: way.sure for way in lineage.ways(source(text), "u")}
    assert names.keys() == {"u", "x", "w"}
    assert names["w"] is False


def test_functions_are_followed_through_their_parameters_and_globals():
    text = """
        def f(a, b):
            if b:
                return a.detach()
            return a.detach() + g
        def deeper(v):
            return f(v, 1)
        u = deeper(x)
    """
    assert cut_between(text) == ("detached", ".detach()", 4)
    assert cut_between(text, tensor="g") is None
    dropped = "def f(a, b):\n    return b\nu = f(x, w)"
    assert {way.name for way in lineage.ways(source(dropped), "u")} == {"u", "w", "f"} - {"f"}


def test_a_function_that_calls_itself_ends():
    text = """
        def f(n, v):
            return v if n == 0 else f(n - 1, v * 2)
        u = f(3, x)
    """
    assert cut_between(text) is None


def test_long_programs_are_read_in_time():
    lines = ["h = x"] + ["h = h * w"] * 2000 + ["u = h.detach()"]
    assert cut_between("\n".join(lines)) == ("detached", ".detach()", 2002)
