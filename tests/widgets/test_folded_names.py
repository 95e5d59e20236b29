import pytest
import torch
from torch import nn

import autograd_viz as av
from autograd_viz.networks.folding import Folded
from autograd_viz.widgets.folded_names import Names, found


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(4, 4)

    def forward(self, x):
        h = torch.zeros_like(x)
        for _ in range(20):
            h = self.cell(x, h)
        return h


def folded(model: nn.Module, x: torch.Tensor) -> Folded:
    with av.record(model):
        loss = model(x).sum()
    return av.graph(loss, params=model).fold()


def layers() -> Folded:
    return folded(nn.Sequential(*(nn.Linear(4, 4) for _ in range(8))), torch.ones(2, 4))


def chain() -> Folded:
    y = torch.tensor(1.0, requires_grad=True)
    for _ in range(60):
        y = y.sin()
    return av.graph(y).fold()


@pytest.mark.parametrize(
    ("make", "name", "index", "expected"),
    [
        (layers, "3", None, "3"),
        (layers, "5.bias", None, "5"),
        (lambda: folded(Recurrent(), torch.ones(1, 4)), "cell", 7, "cell[7]"),
        (chain, "y.steps", 9, "y.steps[9]"),
    ],
)
def test_what_open_opens_has_a_name_that_opens_the_same(make, name, index, expected):
    base = make()
    names = Names(base.known)
    opened = base.open(name, index=index)
    said = names.opened(opened)
    assert expected in said
    assert len(set(said)) == len(said)
    again = names.folded(base, said)
    assert again.scene == opened.scene
    assert names.opened(again) == said


def test_each_call_of_a_module_has_a_name_of_its_own():
    base = folded(Recurrent(), torch.ones(1, 4))
    names = Names(base.known)
    calls = [~group.id for group in base.known.groups if group.name == "cell" and group.times == 1]
    assert len(calls) == 20
    assert [names.name(code) for code in calls] == [f"cell[{number}]" for number in range(20)]


def test_a_group_has_its_plain_name_where_a_function_has_it_too():
    base = chain()
    assert base.known.names["y"][0] < 0 <= base.known.names["y"][1]
    assert Names(base.known).opened(base) == ("y",)


def test_of_what_repeats_the_choice_names_each_part():
    for base in (layers(), folded(Recurrent(), torch.ones(1, 4)), chain()):
        names = Names(base.known)
        seen = 0
        for item in base.scene.items.values():
            if (choice := names.choice(item)) is None:
                continue
            parts = base.known.groups[item.group].items[item.first : item.end]
            said = [
                f"{choice.before}{number}{choice.after}"
                for number in range(choice.first, choice.last + 1)
            ]
            assert said == [names.name(code) for code in parts]
            seen += 1
        assert seen


def test_a_wrong_name_says_what_folded_open_says():
    base = layers()
    names = Names(base.known)
    with pytest.raises(ValueError, match="there is no group, function or leaf '33'; did you mean"):
        names.folded(base, ["33"])
    base = folded(Recurrent(), torch.ones(1, 4))
    with pytest.raises(IndexError, match="there are 20 of 'cell'; give 0 to 19"):
        Names(base.known).folded(base, ["cell[20]"])


def test_what_is_found_is_named_or_is_the_nearest_function():
    base = layers()
    assert found(base, "7.WEIGHT") == ("7.weight", base.known.named("7.weight"))
    name, (node,) = found(base, "addmm") or ("", [0])
    assert name == "AddmmBackward0"
    assert node == base.known.outline.names.index("AddmmBackward0")
    assert found(base, "convolution") is None
    assert found(base, "  ") is None


def test_the_list_of_names_is_bounded_and_begins_outside():
    y = torch.ones(3, requires_grad=True)
    for _ in range(3000):
        y = y.sin().cos()
    listed = Names(av.graph(y).fold().known).listed()
    assert listed[:2] == ["y", "y.steps"]
    assert len(listed) <= 500
