"""What the watch adds: members who enter again, errors by member, and alpha over all watches."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from training.evaluation.measured import gap
from training.evaluation.units import DAY, Decisions, days_since_epoch
from training.evaluation.watched import clustered, returning, spent

BEGIN = date(2026, 3, 2)


def test_members_enter_again_every_28_days():
    """Decisions on days 0, 5, 27, 28 and 60 of one member and day 30 of another: entries on 0, 28, 60 and 30; who takes no part never enters."""
    at = (days_since_epoch(BEGIN) + np.array([-3, 0, 5, 27, 28, 60, 30, 31])) * DAY
    member = np.array([0, 0, 0, 0, 0, 0, 1, 2])
    decisions = Decisions(["a", "b", "c"], member, at, ("champion",), np.zeros(8, dtype=np.int64), {})
    assert returning(decisions, np.array([True, True, False]), BEGIN).tolist() == [1, 4, 5, 6]


def test_one_row_a_member_is_the_plain_difference():
    """The same value and error as without members."""
    rng = np.random.default_rng(0)
    y, treated, cohort = rng.random(4_000), rng.random(4_000) < 0.3, rng.integers(0, 5, 4_000)
    value, error, members = clustered(y, treated, cohort, np.arange(4_000))
    plain = gap(y, treated, cohort)
    assert value == plain[0]
    assert error == pytest.approx(plain[1], rel=0.02)
    assert members == plain[2]


def test_dependent_rows_widen_the_error():
    """Each member four times with the same answer: the error is that of the members, twice that of the rows; and 500 simulated values spread as it says."""
    rng, members = np.random.default_rng(1), 1_000
    values, errors = [], []
    for _ in range(500):
        answer, side = rng.random(members) < 0.5, rng.random(members) < 0.5
        member = np.repeat(np.arange(members), 4)
        y, cohort = answer[member].astype(float), np.tile(np.arange(4), members)
        value, error, counted = clustered(y, side[member], cohort, member)
        values.append(value)
        errors.append(error)
        assert sum(counted) == members
    assert np.mean(errors) == pytest.approx(np.sqrt(0.25 * 4 / members), rel=0.02)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.1)


def test_all_watches_together_spend_alpha():
    """The first a third, each later one less, never more than alpha."""
    each = [spent(0.05, k) for k in range(1, 5_000)]
    assert each[0] == pytest.approx(0.0191, abs=1e-4)
    assert all(a > b for a, b in pairwise(each))
    assert 0.049 < sum(each) < 0.05


def test_nothing_to_compare_is_no_number():
    """An infinite error, no members."""
    nothing = np.zeros(0, dtype=np.int64)
    assert clustered(np.zeros(0), np.zeros(0, dtype=bool), nothing, nothing) == (0.0, np.inf, (0, 0))
