"""A Decision cannot be built without its propensity."""

from datetime import UTC, datetime

import pytest

from training.domain.nouns import Context, Decision, Surface

CONTEXT = Context(Surface.WEB, hour=9, weekday=0)
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)


def test_propensity_is_that_of_the_choice():
    """The decision reports the probability with which its arm was drawn."""
    assert Decision("d", "m", AT, CONTEXT, "a", {"none": 0.25, "a": 0.75}).propensity == 0.75


def test_propensities_must_sum_to_one():
    """0.875 in total would bias every estimate."""
    with pytest.raises(ValueError, match="sum to 0.875"):
        Decision("d", "m", AT, CONTEXT, "a", {"none": 0.25, "a": 0.625})


@pytest.mark.parametrize("chosen", ["b", "zero"])
def test_the_choice_must_have_had_a_chance(chosen):
    """Neither an arm outside the feasible set nor one with probability 0 can have been drawn."""
    with pytest.raises(ValueError, match="no probability"):
        Decision("d", "m", AT, CONTEXT, chosen, {"none": 0.3, "a": 0.7, "zero": 0.0})
