"""A model's parameters as few lines: nothing is lost, and what is unlike stays apart."""

from __future__ import annotations

from autograd_viz.diagnosis.model_reason import Row
from autograd_viz.diagnosis.model_table import parts_of


def rows(states: dict[str, str]) -> list[Row]:
    return [Row(name, state, state * (state != "trains"), (2,)) for name, state in states.items()]  # type: ignore[arg-type]


def told(given: list[Row]) -> list[tuple[str, str, str]]:
    parts = parts_of(given)
    assert sorted(row.name for part in parts for row in part.rows) == sorted(
        row.name for row in given
    )
    for part in parts:
        assert len({(row.state, row.why) for row in part.rows}) == 1
    return [(part.name, part.count, part.rows[0].state) for part in parts]


def blocks(count: int, **states: str) -> dict[str, str]:
    return {
        f"h.{number}.{name.replace('_', '.')}": state
        for number in range(count)
        for name, state in states.items()
    }


def test_few_parameters_stand_one_by_one():
    given = rows({f"{name}.weight": "trains" for name in "abc"})
    assert told(given) == [(f"{name}.weight", "1", "trains") for name in "abc"]


def test_equal_blocks_are_one_line():
    given = rows({"wte.weight": "trains", **blocks(12, a_weight="trains", a_bias="trains")})
    assert told(given) == [("wte.weight", "1", "trains"), ("h.0 … 11", "12 × 2", "trains")]


def test_what_is_unlike_in_equal_blocks_is_told_once():
    given = rows(blocks(12, q_A="zero", q_B="trains", q_base="frozen", k="frozen"))
    assert told(given) == [
        ("h.0 … 11: q.A", "12 × 1", "zero"),
        ("h.0 … 11: q.B", "12 × 1", "trains"),
        ("h.0 … 11: q.base", "12 × 1", "frozen"),
        ("h.0 … 11: k", "12 × 1", "frozen"),
    ]


def test_one_block_that_is_unlike_stands_by_itself():
    states = blocks(12, a_weight="trains", a_bias="trains")
    states["h.5.a.bias"] = "frozen"
    assert told(rows(states)) == [
        ("h.0 … 4", "5 × 2", "trains"),
        ("h.5.a.weight", "1", "trains"),
        ("h.5.a.bias", "1", "frozen"),
        ("h.6 … 11", "6 × 2", "trains"),
    ]


def test_blocks_in_blocks():
    states = {
        f"h.{outer}.m.{inner}.{name}": state
        for outer in range(3)
        for inner in range(4)
        for name, state in (("weight", "trains"), ("bias", "frozen"))
    }
    assert told(rows(states)) == [
        ("h.0 … 2: m.0 … 3: weight", "12 × 1", "trains"),
        ("h.0 … 2: m.0 … 3: bias", "12 × 1", "frozen"),
    ]


def test_a_module_with_one_parameter_has_its_name():
    states = {f"{name}.weight": "trains" for name in "abcdefghijklmn"}
    assert told(rows(states))[0] == ("a.weight", "1", "trains")


def test_blocks_of_another_reason_are_not_equal():
    given = rows(blocks(13, weight="cut"))
    given = [
        Row(row.name, "cut", "here" if place < 6 else "there", (2,))
        for place, row in enumerate(given)
    ]
    assert told(given) == [("h.0 … 5", "6 × 1", "cut"), ("h.6 … 12", "7 × 1", "cut")]
