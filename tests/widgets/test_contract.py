"""What a widget shows depends on the point alone, and each question of a page has one answer."""

import linecache
import math
import re
from dataclasses import replace
from itertools import count

import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from sympy.parsing import sympy_parser
from traitlets import TraitError

import autograd_viz as av
from autograd_viz.formulas import slopes
from autograd_viz.typeset import plain
from autograd_viz.widgets.explorer import Explorer
from autograd_viz.widgets.inputs import controls
from autograd_viz.widgets.states import States
from tests.examples import examples

# Programs and walks

EXPRESSIONS = [
    *("{x} + {y}", "{x} - {y}", "{x} * {y}", "{x} / {y}", "{x} ** 2", "{x} ** 3", "{x} * 3 + 1"),
    *("torch.log({x})", "torch.exp({x})", "torch.relu({x})", "torch.abs({x})", "torch.tanh({x})"),
    *("torch.where({x} > {y}, {x} * {x}, {y})", "torch.maximum({x}, {y})", "torch.sigmoid({x})"),
    *("torch.stack([{x}, {y}]).sum()", "torch.exp2(torch.stack([{x}, {x}]).sum())"),
    *("torch.stack([{x}, {y}]).max()", "torch.stack([{x}, {y}, {x}]).prod()"),
    "torch.dot(torch.stack([{x}, {y}]), torch.stack([{y}, {y}]))",
    "torch.dot(torch.stack([{x}, {y}]), torch.tensor([1.0, 2.0], dtype={x}.dtype))",
    "torch.addcmul({x}, {y}, {y}, value=0.5)",
    "torch.nn.functional.huber_loss({x}, {y}, delta=0.25)",
    "torch.nn.functional.smooth_l1_loss({x}, {y}, beta=2.0)",
    "torch.nn.functional.softplus({x}, beta=3.0)",
    "torch.nn.functional.gelu({x}, approximate='tanh')",
    "torch.clamp({x}, -1.0, 0.5) * {y}",
    "torch.rsub({x}, {y})",
]
NAMES = "pqrstu"
WHERE = st.sampled_from([-4.0, -1.5, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0])
POINTS = st.fixed_dictionaries({"a": WHERE, "b": WHERE})
numbered = count()


@st.composite
def sources(draw):
    """Yields the lines of a program, of which each names one value."""
    known, lines = ["a", "b"], []
    for name in NAMES[: draw(st.integers(1, 4))]:
        x, y = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        made = [draw(st.sampled_from(EXPRESSIONS)).format(x=x, y=y) for _ in range(2)]
        if draw(st.integers(0, 4)) == 0:
            lines += [f"if {x} > {y}:", f"    {name} = {made[0]}"]
            lines += ["else:", f"    {name} = {made[1]}"]
        else:
            lines.append(f"{name} = {made[0]}")
        known.append(name)
    return (*lines, f"return {known[-1]} + 0 * (a + b)")


def function(lines):
    """Returns the function; its source can be read, as that of a cell."""
    written = ["def f(a, b):", *(f"    {line}" for line in lines)]
    file = f"<walk {next(numbered)}>"
    linecache.cache[file] = (0, None, [f"{line}\n" for line in written], file)
    scope = {"torch": torch}
    exec(compile("\n".join(written), file, "exec"), scope)
    return scope["f"]


def explorer(f, point):
    """Returns an Explorer that begins at the point."""
    sliders = controls(f, {"a": (-4.0, 4.0, 0.25), "b": (-4.0, 4.0, 0.25)})
    return Explorer(States(f, [replace(one, value=point[one.name]) for one in sliders]))


def seen(w):
    """Returns all that it shows but for what it says of other points that it has been at."""
    scene = {**w.scene, "id": 0, "note": ""}
    return scene, {**w.state, "scene": 0}


@examples(30)
@given(sources(), st.lists(POINTS, min_size=2, max_size=4))
def test_what_is_shown_at_a_point_does_not_depend_on_the_way_there(lines, points):
    f = function(lines)
    walked = explorer(f, points[0])
    for point in points[1:]:
        walked.inputs = point
        fresh = explorer(f, point)
        assert walked.error is None
        assert seen(walked) == seen(fresh), (lines, points, point)


# Formulas

_READ = (
    *sympy_parser.standard_transformations,
    sympy_parser.convert_xor,
    sympy_parser.implicit_multiplication,
    sympy_parser.implicit_application,
)


def value_of(formula, values):
    """Returns the number of a formula as it is written; an evaluator that shares no code."""
    functions = {
        "ln": sympy.log,
        "σ": lambda x: 1 / (1 + sympy.exp(-x)),
        "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
        "log2": lambda x: sympy.log(x, 2),
        "e": sympy.E,
        "π": sympy.pi,
    }
    names = {name: sympy.Symbol(name) for name in values}
    read = sympy_parser.parse_expr(
        formula, local_dict={**functions, **names}, transformations=_READ
    )
    return complex(read.evalf(30, subs={names[name]: value for name, value in values.items()}))


def torchs(expression, name, values):
    """Returns the slope of a statement's right side by one variable, in float64."""
    leaves = {
        one: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for one, value in values.items()
    }
    result = eval(expression, {"torch": torch, **leaves})
    (slope,) = torch.autograd.grad(result, leaves[name], allow_unused=True)
    return 0.0 if slope is None else slope.item()


@examples(60)
@given(st.sampled_from(EXPRESSIONS), POINTS)
def test_each_formula_gives_torchs_own_slope(form, point):
    expression = form.format(x="a", y="b")
    f = function((f"p = {expression}", "return p"))
    w = explorer(f, {"a": 0.0, "b": 0.0})
    w.inputs = point
    variables = w.program.variables()
    for link in variables.links:
        slope = slopes._slope(variables, link)
        if slope is None or not slope.formula or link.local is None:
            continue
        name = variables.nodes[link.target].title
        written = plain(slope.formula)
        expected = torchs(expression, name, point)
        if not (math.isfinite(expected) and math.isfinite(link.local)):
            continue
        found = value_of(written, point)
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-7), (written, point)
        for condition in filter(None, slope.condition.split(" and ")):
            left, sign, right = re.split(r" ([<>=]) ", condition)
            gap = (value_of(left, point) - value_of(right, point)).real
            assert (gap > 0) - (gap < 0) == {"<": -1, "=": 0, ">": 1}[sign], condition


def addcmul(s, n):
    return torch.addcmul(s, n, n, value=0.5)


def huber(x, y):
    return torch.nn.functional.huber_loss(x, y, delta=0.25)


def shown_slopes(w):
    texts = dict(zip(w.scene["keys"], w.state["texts"], strict=True))
    return {key: text for key, text in texts.items() if key.startswith("link-")}


def test_options_are_read_where_both_sides_want_a_gradient():
    w = av.explore(addcmul, s=(-4.0, 4.0), n=(-4.0, 4.0))
    w.inputs = {"n": 3.0}
    assert shown_slopes(w)["link-1 ∂addcmul/∂n = n ="] == "3"
    w = av.explore(huber, x=(-1.0, 1.0), y=(-1.0, 1.0))
    for x, formula in (
        (0.125, "x - y = 0.125 if x - y < 0.25 and x - y > -0.25"),
        (0.5, "0.25 if x - y > 0.25"),
        (-0.5, "-0.25 if x - y < -0.25"),
    ):
        w.inputs = {"x": x}
        assert w.program is not None
        variables = w.program.variables()
        assert str(slopes.local_derivative(variables, variables.links[0])) == (
            f"∂huber/∂x = {formula}"
        )


def test_what_a_hook_changes_at_some_points_alone_comes_and_goes():
    def f(x):
        y = x * 3
        y.register_hook(lambda grad: grad * 2 if x > 1 else grad)
        return torch.stack([y, y]).sum()

    w = av.explore(f, x=(0.0, 4.0))
    begun = {x: seen(av.explore(f, x=(x - 1, x + 1, 0.5))) for x in (0.5, 2.0)}
    for x in (0.5, 2.0, 0.5, 2.0):
        w.inputs = {"x": x}
        assert seen(w)[1]["texts"] == begun[x][1]["texts"]
        assert w.scene["keys"] == begun[x][0]["keys"]


# Messages

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e39, 1e-320, 10**400, 2**63]),
    st.floats(width=32),
    st.text(max_size=4),
    st.sampled_from(["d", "\ud800", "2", "1e5", "nan"]),
)
ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
INPUTS = st.dictionaries(
    st.sampled_from(["a", "n", "on", "log", "x", "x[0]", "zz"]), ANYTHING, max_size=3
)
ASKS = st.fixed_dictionaries(
    {"type": st.just("tick")},
    optional={
        "seq": ANYTHING,
        "tick": ANYTHING,
        "inputs": ANYTHING | INPUTS,
        "opened": ANYTHING | st.lists(st.sampled_from(["d", "zz"])),
    },
)
TRAITS = ["inputs", "step", "view", "opened", "scenes", "state", "controls", "names", "error"]
STATES = st.dictionaries(st.sampled_from([*TRAITS, "busy", "zz"]), ANYTHING | INPUTS, max_size=3)


def kinds(a, x, n: int = 2, on=True, log="x"):
    d = torch.exp(a) * x.sum()
    return d * n if on else d


def widget():
    """Returns an Explorer and what it sends."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = av.explore(kinds, a=2.0, x=x, n=2, on=True, log=["x", "y"])
    sent = []
    w.send = lambda content, buffers=None: sent.append(content)
    return w, sent


def is_sound(w):
    """Whether each trait holds what it may, and the widget goes on."""
    assert set(w.inputs) == {"a", "x[0]", "x[1]", "n", "on", "log"}
    assert isinstance(w.inputs["on"], bool)
    assert w.inputs["log"] in ("x", "y")
    assert all(math.isfinite(w.inputs[name]) for name in ("a", "x[0]", "x[1]", "n"))
    assert set(w.opened) <= {"d"}
    assert w.view in w._states.views
    assert 1 <= w.step <= 1000
    assert w.scene["views"]
    before = dict(w.inputs)
    w.inputs = {"a": 0.5}
    assert w.inputs == {**before, "a": 0.5}
    return w.error is None or "int" in w.error["text"] or "overflow" in w.error["text"].lower()


def check_answers(asks):
    w, sent = widget()
    for ask in asks:
        sent.clear()
        w._hear(w, ask, [])
        assert [one["type"] for one in sent] == ["answer"], ask
        assert ("error" in sent[0]) != ("state" in sent[0])
        assert [sent[0][key] for key in ("tick", "opened")] == [ask.get("tick"), ask.get("opened")]
    assert is_sound(w)


def check_states(states):
    w, _ = widget()
    for state in states:
        w.set_state(state)
    assert is_sound(w)


@examples(12)
@given(st.lists(ASKS, min_size=4, max_size=12))
def test_each_question_has_exactly_one_answer_whatever_it_holds(asks):
    check_answers(asks)


@examples(12)
@given(st.lists(STATES, min_size=4, max_size=12))
def test_nothing_wrong_stays_in_a_trait(states):
    check_states(states)


@pytest.mark.large
@examples(60)  # ten times as many in a search
@given(st.lists(ASKS, min_size=4, max_size=12), st.lists(STATES, min_size=4, max_size=12))
def test_a_long_search_finds_no_message_that_does_harm(asks, states):
    check_answers(asks)
    check_states(states)


@pytest.mark.parametrize("message", [None, 5, [], "tick", {}, {"type": []}, {"type": "seek"}])
def test_what_is_no_question_has_no_answer(message):
    w, sent = widget()
    w._hear(w, message, [])
    assert [one for one in sent if one["type"] == "answer"] == []


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError(), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_function_raises_is_one_answer(error):
    def f(x):
        if x > 3:
            raise error
        return x * x

    w = av.explore(f, x=1.0)
    sent = []
    w.send = lambda content, buffers=None: sent.append(content)
    w._hear(w, {"type": "tick", "seq": 1, "tick": "?", "inputs": {"x": 3.5}, "opened": []}, [])
    assert [one["error"]["text"].partition(":")[0] for one in sent] == [type(error).__name__]
    w.set_state({"inputs": {"x": 3.5}})
    assert w.error["text"].startswith(type(error).__name__)
    w.inputs = {"x": 2.0}
    assert w.error is None
    assert "4" in w.state["texts"]


def test_an_interrupt_reaches_the_cell_that_waits():
    def f(x):
        if x > 3:
            raise KeyboardInterrupt
        return x * x

    w = av.explore(f, x=1.0)
    with pytest.raises(KeyboardInterrupt):
        w.inputs = {"x": 3.5}
    w.inputs = {"x": 2.0}
    assert "4" in w.state["texts"]


def test_a_message_that_is_refused_leaves_nothing_for_the_next():
    w, _ = widget()
    w.set_state({"inputs": {"a": 1.5}, "opened": [5]})
    w.inputs = {"n": 3}
    assert (w.inputs["a"], w.inputs["n"]) == (2.0, 3)


def test_a_number_that_is_infinite_in_its_type_is_refused_in_words():
    w, _ = widget()
    with pytest.raises(TraitError, match=r"too large for float32; give a num"):
        w.inputs = {"a": 1e308}
    assert w.inputs["a"] == 2.0
