import asyncio
import gc
import json
import math
import threading
import weakref
from typing import Any

import ipywidgets
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from jupyter_client.manager import start_new_kernel
from traitlets import TraitError

import autograd_viz as av
from autograd_viz import text
from autograd_viz.widgets import prefill
from autograd_viz.widgets.controls import tick_of
from autograd_viz.widgets.explorer import Explorer
from autograd_viz.widgets.states import unnoticed
from tests.widgets.channels import ask, recorded_comms, save, sent

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def f(a, b):
    c = a + b
    d = torch.log2(a) * torch.log2(b)
    e = c * d
    return e


def gradients(a0, b0):
    """Torch's own numbers."""
    a, b = (torch.tensor(value, requires_grad=True) for value in (a0, b0))
    f(a, b).backward()
    assert a.grad is not None
    assert b.grad is not None
    return text.number(a.grad.item()), text.number(b.grad.item())


def output(w):
    """The function's own value at the widget's inputs."""
    return w.program.outputs[0].item()


def texts(w, state=None):
    scene = w.scene if state is None else next(s for s in w.scenes if s["id"] == state["scene"])
    return dict(zip(scene["keys"], (state or w.state)["texts"], strict=True))


@pytest.fixture
def channel():
    with recorded_comms():
        yield


# From Python


def test_it_greets_with_the_finished_backward_pass():
    w = av.explore(f, a=2.0, b=(0.5, 8.0))
    assert (w.view, w.step, w.inputs) == ("backward", 7, {"a": 2.0, "b": 4.25})
    assert [control["name"] for control in w.controls] == ["a", "b"]
    assert w.error is None
    assert repr(w) == "<Explorer at a = 2, b = 4.25: backward, step 7>"
    assert str(w) == w.snapshot().words
    assert "∂e/∂a = " in str(w)


def test_setting_inputs_shows_torchs_numbers_at_once():
    w = av.explore(f, a=2.0, b=4.0)
    for a, b in [(3.0, 4.0), (0.333, 7.1), (2.0, 4.0)]:
        w.inputs = {"a": a, "b": b}
        for grad in gradients(a, b):
            assert any(value.endswith(grad) for value in texts(w).values())
    w.inputs = {"b": 8.0}
    assert w.inputs == {"a": 2.0, "b": 8.0}
    assert w.state["tick"] == tick_of(w._states.controls, w.inputs)


def test_what_is_set_is_checked():
    w = av.explore(f, a=2.0, b=4.0)
    for name, value, words in [
        ("inputs", {"c": 1.0}, "there is no input 'c'; the inputs are 'a', 'b'"),
        ("inputs", {"a": "x"}, "a is a slider, but was given 'x'; give a number"),
        ("step", 0, "the view 'backward' has 7 steps; give a number from 1 to 7: w.step = 1"),
        ("step", 99, "w.step = 7"),
        ("step", "x", "int"),
        ("view", "back", "give one of 'computation', 'derivatives', 'backward', 'functions'"),
        ("opened", ["c"], "'c' has no inner operations to show; what can be opened: 'd'"),
    ]:
        with pytest.raises(TraitError) as raised:
            setattr(w, name, value)
        assert words in str(raised.value)
    assert (w.inputs, w.step, w.view, w.opened) == ({"a": 2.0, "b": 4.0}, 7, "backward", [])


def test_opening_and_closing():
    w = av.explore(f, a=2.0, b=4.0)
    closed = w.state
    w.opened = ["d"]
    assert w.scene["opened"] == ["d"]
    assert len(w.state["texts"]) > len(closed["texts"])
    w.opened = []
    assert w.state["scene"] == closed["scene"]
    assert len(w.scenes) == 2


def relu_like(x):
    if x > 1:  # noqa: SIM108
        y = x * x
    else:
        y = -x
    return y


def test_another_branch_has_its_own_scene_and_says_so():
    w = av.explore(relu_like, x=2.0)
    first = w.state["scene"]
    w.inputs = {"x": 0.5}
    assert w.state["scene"] != first
    line = relu_like.__code__.co_firstlineno
    assert w.scene["note"] == (
        f"Another branch: line {line + 4} (y = -x) ran, line {line + 2} did not."
    )
    w.inputs = {"x": 3.0}
    assert w.state["scene"] == first
    assert "(y = x * x) ran" in w.scene["note"]


def picky(x):
    if x > 3:
        raise ValueError("too much")
    return x * x


def test_an_exception_in_f_leaves_the_last_good_picture():
    w = av.explore(picky, x=1.0)
    good = w.state
    w.inputs = {"x": 3.5}
    line = picky.__code__.co_firstlineno + 2
    assert w.error == {"line": line, "text": "ValueError: too much"}
    assert w.state == good
    assert f"At x = 3.5: line {line}: ValueError: too much" in w.snapshot().words
    assert output(w) == 1.0
    w.inputs = {"x": 2.0}
    assert w.error is None
    assert output(w) == 4.0
    with pytest.raises(ValueError, match="too much"):
        av.explore(picky, x=4.0)


def test_nan_is_no_exception():
    w = av.explore(f, a=2.0, b=4.0)
    w.inputs = {"a": -1.0}
    assert w.error is None
    assert "NaN" in w.state["words"]
    assert w.state["words"] in w.snapshot().words
    w.inputs = {"a": 2.0}
    assert w.state["words"] == ""


def test_choices_vectors_and_checkboxes():
    def loss(x, log, square: bool, n: int):
        y = log(x).sum() * n
        return y * y if square else y

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w: Any = av.explore(loss, x=x, log=[torch.log2, torch.log], square=False, n=2)
    w.inputs = {"x": [4.0, 8.0], "log": torch.log, "square": True, "n": 3}
    assert w.inputs == {"x[0]": 4.0, "x[1]": 8.0, "log": "log", "square": True, "n": 3}
    leaf = torch.tensor([4.0, 8.0], requires_grad=True)
    out = loss(leaf, torch.log, True, 3)
    out.backward()
    assert output(w) == out.item()
    ((_, gradient),) = w.program.trace().leaf_grads
    assert leaf.grad is not None
    assert torch.equal(gradient, leaf.grad)
    json.dumps([w.controls, w.state, w.inputs])


def test_no_gradient_at_all_still_shows_the_computation():
    w = av.explore(lambda x: x.detach() * 2, x=1.0)
    assert w.view == "computation"
    assert "2" in w.snapshot().words


# Pictures


def test_snapshots_follow_view_step_and_inputs():
    w = av.explore(f, a=2.0, b=4.0)
    assert w.snapshot().words.startswith("Backward pass, step 7 of 7 at a = 2, b = 4\n")
    assert "∂e/∂a = 2 + 8.6562 = 10.6562" in w.snapshot().words
    w.step = 3
    assert "∂e/∂a" not in w.snapshot().words
    for view in ("computation", "derivatives", "functions"):
        w.view = view
        assert w.snapshot().title
        w.inputs = {"a": 3.0}
        assert "at a = 3, b = 4" in w.snapshot().words
    w.view, w.opened = "computation", ["d"]
    assert "log2(a)" in w.snapshot().words


def test_functions_at_an_early_step_hides_later_gradients():
    w = av.explore(f, a=2.0, b=4.0)
    w.view = "functions"
    w.step = 1
    early = w.snapshot()
    assert "10.6562" not in early.svg
    w.step = len(w.scene["views"][3]["frames"])
    assert "10.6562" in w.snapshot().svg


def test_a_stored_output_is_a_picture_beside_the_live_widget(channel):
    w = av.explore(f, a=2.0, b=4.0)
    data, _ = DisplayFormatter().format(w)
    assert data[WIDGET_VIEW]["model_id"] == w.model_id
    assert data["text/html"].startswith('<img src="data:image/svg+xml;base64,')
    assert data["text/plain"] == w.snapshot().words
    assert data["image/svg+xml"].startswith("<svg")


def test_saving(tmp_path):
    w = av.explore(f, a=(1.0, 3.0, 1.0), b=4.0)
    assert w.save(tmp_path / "w.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "<main>" in w.save(tmp_path / "w.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="ends in none of"):
        w.save(tmp_path / "w.txt")


# A tensor


def test_steps_of_a_tensor():
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    e = f(a, b)
    w = av.step(e)
    assert (w.controls, w.inputs, w.program) == ([], {}, None)
    assert any(value.endswith("10.6562") for value in texts(w).values())
    assert {view["name"] for view in w.scene["views"]} >= {"backward", "functions"}
    w.step = 1
    assert "∂e/∂e = 1" in w.snapshot().words
    assert a.grad is None
    y = a * torch.ones(2)
    assert av.step(y, torch.tensor([1.0, 2.0])).step >= 1
    with pytest.raises(av.errors.NotATensorError):
        av.step(3.0)  # type: ignore[arg-type]


def changing(a, b):
    c = a + b
    y = torch.stack([a, c])
    row = y[0:1]
    row *= 3
    s = y.sum()
    with torch.no_grad():
        a.mul_(10)
    return s + c


def test_a_value_is_the_one_of_its_statement_at_each_tick():
    w = av.explore(changing, a=2.0, b=4.0)
    for a, b in [(2.0, 4.0), (3.0, 4.0), (0.5, 1.0), (2.0, 4.0)]:
        w.inputs = {"a": a, "b": b}
        held = {"a₁": a, "b": b, "c": a + b, "s": 4 * a + b, "a₂": 10 * a}
        y = {"y₁": (a, a + b), "y₂": (3 * a, a + b), "row₁": (a,), "row₂": (3 * a,)}
        wanted = {name: text.number(number) for name, number in held.items()}
        wanted |= {n: f"[{', '.join(map(text.number, each))}]" for n, each in y.items()}
        shown = {
            key.split()[1]: value
            for key, value in texts(w).items()
            if key.startswith("variable-") and key.count(" ") == 2 and "∂" not in key
        }
        assert {name: shown[name] for name in wanted} == wanted


def test_the_steps_of_a_tensor_show_no_value_that_changed_since():
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(4.0, requires_grad=True)
    c = a + b
    e = c * b
    with torch.no_grad():
        a.mul_(10)
    w = av.step(e)
    assert "20" not in texts(w).values()
    assert "24" in texts(w).values()
    assert "changed in place after it took part: a." in w.snapshot().words


# Linked widgets


def test_a_linked_slider_and_the_input_follow_each_other():
    slider = ipywidgets.FloatSlider(value=2.0, min=0.5, max=8.0, step=0.5)
    menu = ipywidgets.Dropdown(options=[("binary", torch.log2), ("natural", torch.log)])
    w = av.explore(lambda a, log: log(a) * a, a=slider, log=menu)
    slider.value = 3.0
    assert w.inputs["a"] == 3.0
    w.inputs = {"a": 5.0, "log": "natural"}
    assert (slider.value, menu.value) == (5.0, torch.log)
    menu.value = torch.log2
    assert w.inputs["log"] == "binary"
    w.inputs = {"a": 100.0}  # the slider ends at 8
    assert (slider.value, w.inputs["a"]) == (8.0, 8.0)
    w.inputs = {"a": 50.0}
    assert (slider.value, w.inputs["a"]) == (8.0, 8.0)
    other = av.explore(lambda a: a * a, a=slider)
    slider.value = 1.5
    assert (w.inputs["a"], other.inputs["a"]) == (1.5, 1.5)
    w.close()
    slider.value = 2.5
    assert (w.inputs["a"], other.inputs["a"]) == (1.5, 2.5)


def test_closing_leaves_nothing_behind(channel):
    slider = ipywidgets.FloatSlider(value=2.0, min=0.5, max=8.0)
    before = slider._trait_notifiers.get("value", {}).get("change", [])
    count = len(before)
    w = av.explore(f, a=slider, b=4.0)
    alive = weakref.ref(w)
    w.close()
    w.close()
    assert len(slider._trait_notifiers["value"]["change"]) == count
    del w
    gc.collect()
    assert alive() is None


def test_ten_widgets_are_independent():
    widgets = [av.explore(f, a=2.0, b=4.0) for _ in range(10)]
    for place, w in enumerate(widgets):
        w.inputs = {"a": 1.0 + place}
        w.step = 1 + place % 7
    for place, w in enumerate(widgets):
        assert (w.inputs["a"], w.step) == (1.0 + place, 1 + place % 7)
        assert gradients(1.0 + place, 4.0)[0] in " ".join(w.state["texts"])


# The page


def test_each_question_has_one_answer(channel):
    w = av.explore(f, a=2.0, b=4.0)
    answer = ask(w, 5, a=3.0)
    assert (answer["seq"], answer["tick"], answer["opened"]) == (5, "11|7", [])
    assert gradients(3.0, 4.0)[0] in " ".join(answer["state"]["texts"])
    assert "scene" not in answer
    answer = ask(w, 6, opened=["d"], a=0.3331)
    assert answer["tick"] == "=0.3331|7"
    assert answer["scene"]["opened"] == ["d"]
    assert answer["scene"]["id"] == answer["state"]["scene"]
    assert answer["scene"] in w.scenes  # for a page that opens later
    assert "scene" not in ask(w, 7, opened=["d"], a=1.0)
    answer = ask(w, 8, tick="?", a="much")
    assert answer["error"]["text"].startswith("a is a slider")
    assert len([one for one in sent(w) if one["type"] == "answer"]) == 4


def test_a_problem_is_an_answer(channel):
    w = av.explore(picky, x=1.0)
    answer = ask(w, 1, x=4.0)
    assert answer["error"]["text"] == "ValueError: too much"
    assert "state" not in answer


def test_what_the_page_saves_becomes_the_traits(channel):
    w = av.explore(f, a=2.0, b=4.0)
    seen = []
    w.observe(lambda change: seen.append(change.new), "inputs")
    save(w, inputs={"a": 3, "b": 4}, step=2)
    assert (w.inputs, w.step, seen) == ({"a": 3, "b": 4}, 2, [{"a": 3, "b": 4}])
    assert gradients(3.0, 4.0)[0] in " ".join(w.state["texts"])
    save(w, view="functions", opened=["d"])
    assert (w.view, w.opened, w.scene["opened"]) == ("functions", ["d"], ["d"])
    save(w, inputs={"nonsense": 1})  # by no page of ours
    save(w, view="nonsense")
    save(w, step=0)
    assert (w.inputs, w.step, w.view) == ({"a": 3, "b": 4}, 1, "functions")


def test_some_inputs_alone_even_while_notifications_wait():
    w = av.explore(f, a=2.0, b=4.0)
    with w.hold_trait_notifications():
        w.inputs = {"b": 2.0}
    assert w.inputs == {"a": 2.0, "b": 2.0}


def test_python_tells_the_page_what_it_set(channel):
    w = av.explore(f, a=2.0, b=4.0)
    w.comm.sent.clear()
    w.inputs = {"a": 3.0}
    keys = [set(state) for state in sent(w, "update")]
    assert keys == [{"inputs"}, {"state"}]
    w.comm.sent.clear()
    w.inputs = {"a": 3.0}
    assert w.comm.sent == []


def test_neighbours_are_computed_while_idle(channel, monkeypatch):
    monkeypatch.setattr(prefill, "TOO_SLOW", math.inf)  # as it were on a busy machine
    monkeypatch.setattr(prefill, "BUDGET", math.inf)
    runs = []

    def counted(a, b):
        runs.append(1)
        print("f ran")
        return a * b

    async def scenario():
        w = av.explore(counted, a=2.0, b=4.0)
        ask(w, 1, a=3.0)
        before = len(runs)
        await asyncio.sleep(0)
        assert len(runs) == before  # not before there is time
        while w._prefill._timer:
            await asyncio.sleep(0.01)
        return w, len(runs) - before

    state = torch.get_rng_state()
    w, count = asyncio.run(scenario())
    assert torch.equal(torch.get_rng_state(), state)
    messages = [one for one in sent(w) if one["type"] == "states"]
    found = {tick for message in messages for tick in message["states"]}
    assert {"12|7", "10|7", "11|8", "11|6"} <= found
    assert 4 <= len(found) <= 64
    assert count <= 66
    before = len(runs)
    ask(w, 2, a=3.25)
    assert len(runs) == before


def test_what_runs_ahead_of_time_is_silent_alone(capsys):
    with unnoticed():
        print("ahead")
        other = threading.Thread(target=print, args=("from elsewhere",))
        other.start()
        other.join()
    assert capsys.readouterr().out == "from elsewhere\n"


def test_a_new_question_ends_the_filling(channel):
    async def scenario():
        w = av.explore(f, a=2.0, b=4.0)
        ask(w, 1, a=3.0)
        await asyncio.sleep(0.02)
        ask(w, 2, a=5.0)
        w.close()
        await asyncio.sleep(0.3)
        return w

    asyncio.run(scenario())  # nothing is sent on a closed channel


def test_many_forms_do_not_pile_up():
    def looped(x, n: int):
        y = x
        for _ in range(n):
            y = y * x
        return y

    w: Any = av.explore(looped, x=1.0, n=(1, 20))
    for n in range(1, 19):
        w.inputs = {"n": n}
        assert output(w) == 1.0
    assert len(w.scenes) <= 8
    assert len(w._states.scenes) <= 16
    w.inputs = {"n": 1}
    assert w.state["scene"] in w._states.scenes


# In a process of its own


def test_in_a_real_kernel():
    """Asked over the kernel's own channels, it answers, and then fills in the neighbours."""
    manager, client = start_new_kernel(startup_timeout=300)
    try:
        code = """
import torch, autograd_viz as av
def f(a, b):
    return (a + b) * torch.log2(a) * torch.log2(b)
w = av.explore(f, a=2.0, b=4.0)
w
"""
        opened = {}
        shown = []

        def hear(message):
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "comm_open":
                opened[content["comm_id"]] = content
            elif kind == "execute_result":
                shown.append(content["data"])

        reply = client.execute_interactive(code, output_hook=hear, timeout=300)
        assert reply["content"]["status"] == "ok", reply["content"]
        (data,) = shown
        model = data[WIDGET_VIEW]["model_id"]
        assert "10.6562" in data["text/plain"]
        inputs = {"a": 3.0, "b": 4.0}
        content = {"type": "tick", "seq": 1, "tick": "11|7", "opened": [], "inputs": inputs}
        message = client.session.msg(
            "comm_msg",
            {"comm_id": model, "data": {"method": "custom", "content": content}},
        )
        client.shell_channel.send(message)
        answers: list[dict[str, Any]] = []
        while not answers or answers[-1]["type"] != "states":
            message = client.get_iopub_msg(timeout=300)
            if message["header"]["msg_type"] == "comm_msg":
                data = message["content"]["data"]
                if data["method"] == "custom":
                    answers.append(data["content"])
        assert answers[0]["seq"] == 1
        assert gradients(3.0, 4.0)[0] in " ".join(answers[0]["state"]["texts"])
        assert "12|7" in answers[1]["states"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_it_is_an_anywidget():
    assert issubclass(Explorer, ipywidgets.DOMWidget)
    assert Explorer._esm.rstrip().endswith("export default { initialize, render };")
    assert Explorer._esm.count("\nexport ") == 1  # beside another one, `initialize` is not called


# What the function raises at the beginning.


def test_an_error_says_what_became_of_the_inputs_and_what_to_type():
    def f(x):
        return x[0] * x[1]

    with pytest.raises(IndexError) as menu:
        av.explore(f, x=[1.0, 2.0])
    assert str(menu.value).endswith(
        "\nav.explore() made a menu of x=[1.0, 2.0], and f gets one of the choices (for a vector "
        "type av.explore(f, x=torch.tensor([1.0, 2.0])))."
    )
    assert av.explore(f, x=torch.tensor([1.0, 2.0])).inputs == {"x[0]": 1.0, "x[1]": 2.0}

    def powers(a, n):
        return sum(a**k for k in range(n))

    with pytest.raises(TypeError) as slider:
        av.explore(powers, a=2.0, n=3)
    assert str(slider.value).endswith(
        "\nav.explore() made a slider of a=2.0, and powers gets a tensor with one number; "
        "a slider of n=3, and powers gets a tensor with one number (for a whole number write "
        "n: int where powers begins)."
    )
    powers.__annotations__["n"] = int
    assert av.explore(powers, a=2.0, n=3).inputs == {"a": 2.0, "n": 3}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": True}, "a checkbox of x=True, and f gets True or False."),
        ({"x": ["a", "b"]}, "a menu of x=['a', 'b'], and f gets one of the choices."),
        ({"x": torch.ones(2)}, "a slider for each element of x, and f gets a tensor with all"),
        ({"x": (0.0, 2.0)}, "a slider of x=(0.0, 2.0), and f gets a tensor with one number."),
    ],
)
def test_each_kind_of_control_is_told(given, said):
    def f(x):
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one") as raised:
        av.explore(f, **given)
    assert f"\nav.explore() made {said}" in str(raised.value)


def test_an_error_without_a_message_of_its_own_keeps_its_form():
    def f(x):
        raise KeyError(3)

    with pytest.raises(KeyError) as raised:
        av.explore(f, x=1.0)
    assert raised.value.args == (3,)
    assert raised.value.__notes__ == [
        "av.explore() made a slider of x=1.0, and f gets a tensor with one number."
    ]


def test_a_result_without_a_name_has_a_title():
    w = av.explore(lambda a: a.detach() * 2, a=2.0)
    assert w.snapshot().title.startswith("Computation of the result: ")
    two = av.explore(lambda a: (a.detach() * 2, a.detach()), a=2.0)
    assert two.snapshot().words.splitlines()[1] == "Computation of the result"
