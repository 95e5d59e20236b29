"""The tree of groups: calls, repetitions, and parts of what is too long."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from autograd_viz.networks.calls import Call
from autograd_viz.networks.groups import WIDEST, groups_of


def nodes_in(groups, number=0):
    found: list[int] = []
    for item in groups[number].items:
        found += [item] if item >= 0 else nodes_in(groups, ~item)
    return found


def test_a_pattern_of_functions_is_one_group_of_steps():
    groups = groups_of(range(300), ["Mul", "Add", "Sin"] * 100, {}, [])
    (item,) = groups[0].items
    assert (groups[~item].name, groups[~item].times, groups[~item].size) == ("steps", 100, 300)
    assert groups[~groups[~item].items[7]].name == "steps.7"
    assert groups[~groups[~item].items[7]].items == (21, 22, 23)


def test_blocks_are_equal_that_use_equal_leaves():
    calls = [Call((str(n),), "Block", 10 * n, 10 * n + 9) for n in range(8)]
    ages = [10 * n + k for n in range(8) for k in range(3)]
    names = ["Mul", "Add", "Sin"] * 8
    wide = {3 * n: (n < 4,) for n in range(8)}
    groups = groups_of(ages, names, wide, calls)
    assert [(groups[~item].name, groups[~item].times) for item in groups[0].items] == [
        ("0 … 3", 4),
        ("4 … 7", 4),
    ]


def test_what_is_irregular_is_cut_into_parts():
    chance = random.Random(0)
    names = [chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(5_000)]
    groups = groups_of(range(5_000), names, {}, [])
    assert max(len(group.items) for group in groups if group.times == 1) <= WIDEST
    assert nodes_in(groups) == list(range(5_000))
    assert len({group.name for group in groups}) == len(groups)


@given(st.lists(st.sampled_from("ab"), max_size=200), st.integers(0, 60), st.integers(0, 60))
def test_each_node_is_in_one_group_and_in_order(names, begin, length):
    calls = [Call(("a",), "A", begin, begin + length), Call(("a", "b"), "B", begin, begin + 5)]
    groups = groups_of(range(len(names)), names, {}, calls)
    assert nodes_in(groups) == list(range(len(names)))
    assert groups[0].size == len(names)
    for group in groups:
        assert all(groups[~item].parent == group.id for item in group.items if item < 0)
        assert group.times in (1, len(group.items))
