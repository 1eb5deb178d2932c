from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.intervals import freedom
from training.evaluation.reward_shape import reward_warnings


def said(reward):
    """Warnings on rewards whose mean is asked for, each row alone."""
    return reward_warnings(reward, reward, np.arange(len(reward)))


def rare(rows, amount):
    """`rows` of 1,000 have the amount."""
    return np.where(np.arange(1000) < rows, amount, 0.0)


@pytest.mark.parametrize("rows", [2, 5, 9])
def test_a_few_amounts_that_decide_are_counted(rows):
    """k equal amounts among 1,000 rows have about 2 k degrees of freedom, and k is what is said."""
    (sentence,) = said(rare(rows, 50.0))
    assert f"rests on about {rows} row(s) with large rewards; the upper end" in sentence


def test_losses_make_the_lower_end_rough():
    """The other side."""
    assert "the lower end" in said(rare(5, -50.0))[0]


@pytest.mark.parametrize("reward", [rare(100, 50.0), np.random.default_rng(1).normal(size=200), rare(3, 1.0)])
def test_what_needs_no_warning(reward):
    """Many amounts, a normal reward, and a rare 0/1 reward, whose range is known."""
    assert said(reward) == []


@pytest.mark.parametrize("value", [0.0, 1.0, 7.0])
def test_equal_rewards_do_not_tell_their_range(value):
    """Whatever the value."""
    assert "the reward's range is unknown" in said(np.full(10, value))[0]


def test_without_an_estimate_nothing_is_added():
    """A target that the log never follows has no SNIPS; thin support is said elsewhere."""
    assert reward_warnings(np.array([1.0, 5.0]), np.full(2, np.nan), np.arange(2)) == []


def test_freedom_by_hand():
    """1 and -1 among many zeros: fourth powers 2, squares 2, so 2 x 4 / (2 - 4 / n); equal sizes have n - 1; a cluster more at most."""
    sums = np.zeros(1000)
    sums[:2] = 1.0, -1.0
    assert freedom(sums) == pytest.approx(8 / (2 - 0.004))
    assert freedom(np.tile([1.0, -1.0], 50)) == 99.0
    assert freedom(np.array([1.0, 0.0, 0.0])) == 2.0
