"""The scale of strengths: it covers all norms, in whole powers of ten."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd_viz.networks.strengths import LEAST, STEPS, mark_of, scale_of

positive = st.floats(5e-324, 1.7e308)


@given(st.lists(positive, min_size=1, max_size=20))
def test_all_norms_are_on_the_scale_in_their_order(norms):
    scale = scale_of([*norms, None, 0.0, math.nan, math.inf])
    assert scale is not None
    strengths: list[Any] = [scale.strength(norm) for norm in sorted(norms)]
    assert strengths == sorted(strengths)
    assert strengths[0] >= 0
    assert strengths[-1] <= 1
    # no strength was cut off: the ends of the scale are beyond the norms
    assert scale.low <= math.floor(math.log10(min(norms)))
    assert scale.high >= math.log10(max(norms)) - 1e-9


@given(st.lists(st.floats(1e-150, 1e300), min_size=1, max_size=20))
def test_three_to_five_samples_say_what_they_are(norms):
    scale: Any = scale_of(norms)
    samples = scale.samples
    assert LEAST + 1 <= len(samples) <= STEPS + 1
    assert samples[0][1] == 0
    assert samples[-1][1] == 1
    for said, strength in samples:
        along = (math.log10(float(said)) - scale.low) / (scale.high - scale.low)
        assert strength == pytest.approx(along)


def test_nearly_equal_norms_look_nearly_equal():
    scale: Any = scale_of([0.3, 0.4])
    assert scale.strength(0.4) - scale.strength(0.3) < 0.1


def test_without_a_positive_number_there_is_no_scale():
    assert scale_of([]) is None
    assert scale_of([None, 0.0, math.inf, math.nan]) is None


def test_what_has_no_place_has_a_mark():
    marks = [mark_of(norm) for norm in (None, 0.0, math.inf, math.nan, 1e-300)]
    assert marks == ["absent", "zero", "inf", "nan", None]
