"""What a function gets for its inputs, and the errors that show the line to type."""

import functools

import pytest
import torch

import autograd_viz as av
from autograd_viz.programs.arguments import Function


def got(value, annotation=None):
    def f(x):
        pass

    if annotation is not None:
        f.__annotations__["x"] = annotation
    return Function(f).argument("x", value)


def test_numbers_become_leaves_of_the_default_dtype():
    for value in (2.0, 2):
        leaf = got(value)
        assert leaf.requires_grad
        assert leaf.is_leaf
        assert leaf.shape == ()
        assert leaf.dtype == torch.float32
        assert leaf.item() == 2
    torch.set_default_dtype(torch.float64)
    try:
        assert got(0.1).item() == 0.1
    finally:
        torch.set_default_dtype(torch.float32)


def test_lists_of_numbers_become_vectors_and_matrices():
    assert got([1, 2.5]).tolist() == [1, 2.5]
    assert got((1.0, 2.0)).requires_grad
    assert got([[1.0, 2.0], [3.0, 4.0]]).shape == (2, 2)
    for value in ([], ["a"], [1.0, None], [[1.0], [1.0, 2.0]], [True], [torch.ones(2)]):
        assert got(value) is value


@pytest.mark.parametrize("value", [True, "text", None, torch.nn.Linear(1, 1), len, {"a": 1.0}])
def test_all_else_is_passed_on(value):
    assert got(value) is value


@pytest.mark.parametrize("annotation", [int, bool, str, "int"])
def test_annotated_numbers_stay_what_they_are(annotation):
    assert got(3, annotation) == 3
    assert type(got(3, annotation)) is int


def test_annotations_of_lists():
    assert got([1, 2], list[int]) == [1, 2]
    assert got([1, 2], "list[float]").tolist() == [1, 2]
    assert got(2.0, float).requires_grad


def test_tensors_are_copies_with_their_requires_grad():
    for needs in (True, False):
        given = torch.tensor([1.0], requires_grad=needs)
        copy = got(given)
        assert copy.requires_grad is needs
        assert copy is not given
        assert copy.data_ptr() != given.data_ptr()
    assert got(torch.tensor([1])).dtype == torch.int64


def test_positional_only_parameters_keywords_and_partials():
    def f(a, /, b, *, c=1.0, **rest):
        return a + b * c + rest.get("d", 0)

    assert av.program(f, a=1.0, b=2.0, d=4.0).outputs[0].item() == 7
    bound = functools.partial(f, b=torch.tensor(2.0))
    assert av.program(bound, a=1.0).outputs[0].item() == 3


def test_missing_and_unknown_inputs_show_the_signature_and_the_line():
    def loss(w, n: int, x=1.0):
        return w * n

    with pytest.raises(TypeError) as missing:
        av.program(loss, w=1.5)
    assert str(missing.value) == (
        "loss(w, n: int, x=1.0): no value is given for 'n'; "
        "give each input by name: av.program(loss, w=1.5, n=2)"
    )
    with pytest.raises(TypeError) as unknown:
        av.program(loss, w=1.5, n=3, v=2.0)
    assert str(unknown.value) == (
        "loss(w, n: int, x=1.0): there is no input 'v'; "
        "give each input by name: av.program(loss, w=1.5, n=3)"
    )
    with pytest.raises(TypeError, match="no input 'v'"):
        av.program(loss, w=1.5, n=3).at(v=1.0)
    with pytest.raises(TypeError, match=r"av\.program\(f, x=2\.0\)"):
        av.program(lambda x: x)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (3, "an int"),
        (None, "a NoneType"),
        ([], "a list of nothing"),
        ((torch.ones(1), 3.0), "a tuple of Tensor, float"),
        ({"a": "b"}, "a dict of str"),
    ],
)
def test_a_function_that_returns_no_tensors(result, said):
    def f(x):
        return result

    with pytest.raises(TypeError) as caught:
        av.program(f, x=1.0)
    assert str(caught.value) == (
        f"f() returned {said}; let it return a tensor, or a tuple, list or dictionary of tensors: "
        "end it with a line such as `return loss`"
    )


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: av.program(3, a=2.0), "av.program(f, a=2.0)"),  # type: ignore[arg-type]
        (lambda: av.explore(3, a=2.0), "av.explore(f, a=2.0)"),  # type: ignore[arg-type]
        (lambda: av.nudge(3, "a", a=2.0), "av.nudge(f, 'a', 0.001, a=2.0)"),  # type: ignore[arg-type]
        (
            lambda: av.descend(3, learning_rate=0.1, w=1.0),  # type: ignore[arg-type]
            "av.descend(f, learning_rate=0.1, steps=20, w=1.0)",
        ),
    ],
)
def test_what_is_no_function(call, line):
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == (
        f"{line.partition('(')[0]}() wants a function, but was given an object of type int; "
        f"give the function itself and its inputs by name: {line}"
    )


def test_the_function_under_everything():
    class Net(torch.nn.Module):
        def forward(self, x):
            return x

    def f(x):
        return x

    assert Function(functools.partial(functools.partial(f))).inner is f
    assert Function(torch.no_grad()(f)).inner is f
    assert Function(Net()).inner is Net.forward
    assert Function(Net().forward).inner is Net.forward
    assert Function(torch.sigmoid).code is None
