"""Parity by hand, and what it is summed up to."""

from math import inf

import numpy as np
import pytest

from bench.coldstart.learners import Counted
from bench.coldstart.parity import COUNTS, NEAR, STAYS, errors, parity, reached, summary


def errors_where(far):
    """Errors that exceed NEAR at the counts of `far` only."""
    return [2 * NEAR if count in far else NEAR / 2 for count in COUNTS]


def test_parity_by_hand():
    """Near from the start: 0. Near by chance and far again within STAYS: not yet. Far once, much later: that does not undo it."""
    assert parity(errors_where(())) == 0
    assert parity(errors_where((0, 1, 2))) == 5
    assert parity(errors_where((0, 1, 100))) == 150
    assert parity(errors_where((0, 5000))) == 1
    assert parity(errors_where(COUNTS)) == inf
    assert parity(errors_where(COUNTS[:-1])) == COUNTS[-1] > STAYS


def test_reached_by_hand():
    """Passing through the truth counts, whatever comes after it."""
    assert reached(errors_where(())) == 0
    assert reached(errors_where((0, 1, 2, 10, 20, 35))) == 5
    assert reached(errors_where(COUNTS)) == inf
    found = errors_where(set(COUNTS) - {20})
    assert (reached(found), parity(found)) == (20, inf)


def test_errors_of_counting_by_hand():
    """Truth 0.5, Beta(1, 3): 0.25 before, off by half; after ten clicks of ten 11 / 14."""
    shown, clicked = np.zeros(COUNTS[-1], dtype=np.int64), np.tile([1.0, 0.0], COUNTS[-1] // 2)
    clicked[:10] = 1.0
    found, held = errors(Counted(1.0, 3.0), np.full(3, 0.5), shown, clicked)
    assert found[0] == pytest.approx(0.5)
    assert found[COUNTS.index(10)] == pytest.approx(11 / 14 / 0.5 - 1)
    assert found[-1] < 0.01
    assert held == [True, True]


def test_a_summary_says_null_where_parity_is_not_reached():
    """Of four arms two are there at once and one never is: median 0, 90% quantile unknown."""
    found = [errors_where(()), errors_where(()), errors_where((0,)), errors_where(COUNTS)]
    said = summary(found, [[True, True], [True, True], [False, True], [False, False]])
    assert (said["median"], said["p90"]) == (0.0, None)
    assert (said["reached_median"], said["reached_p90"], said["reached_within_50"]) == (0.0, None, 0.75)
    assert (said["share_within_50"], said["coverage"], said["coverage_after_1000"]) == (0.75, 0.5, 0.75)
