"""What live judging reads of the marts: decisions in an order of their own, and features that no decision could have changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from tests.fakes.features import write_mart
from tests.fakes.marts import decision, end_of, members
from training.adapters.entries import features_before, seen
from training.domain.errors import DataError
from training.domain.schema import DECISION_OUTCOMES, MEMBER_FEATURES

DAY = date(2026, 3, 10)
ONE = timedelta(days=1)
NOON = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp() * 1e6)


def test_features_are_those_of_the_day_before_or_the_last_before_that(tmp_path):
    """Entered on 10 March: the 9th, not the 10th, which knows what followed the decision; else the 5th; nothing for who is new. Order is kept."""
    rows = [
        {"member_id": member, "day": day, "event_timestamp": end_of(day), "created_timestamp": end_of(day), "country": country}
        for member, day, country in [
            ("a", DAY, "after"),
            ("a", DAY - ONE, "a"),
            ("a", DAY - 3 * ONE, "old"),
            ("b", DAY, "after"),
            ("b", DAY - 5 * ONE, "b"),
            ("b", DAY - 6 * ONE, "old"),
            ("c", DAY, "after"),
        ]
    ]
    write_mart(tmp_path, MEMBER_FEATURES, rows)
    found = features_before(tmp_path, ["c", "b", "a", "d"], np.full(4, NOON), ("country", "tenure_days"))
    assert found["country"].fillna("-").tolist() == ["-", "b", "a", "-"]
    assert found["tenure_days"].isna().all()


def test_a_column_that_is_none_is_refused(tmp_path):
    """Before anything is read."""
    with pytest.raises(DataError, match="no shoe_size"):
        features_before(tmp_path, [], np.zeros(0, dtype=np.int64), ("shoe_size",))


def test_decisions_are_ordered_and_those_of_other_days_left_out(tmp_path):
    """By member and time, with codes of sorted ids; NULL is NaN."""
    rows = [decision(f"d{i}", DAY - back * ONE, DAY, member_id=member) for i, (member, back) in enumerate([("z", 0), ("a", 1), ("z", 1), ("a", 9), ("b", 2)])]
    rows[1] |= {"opted_out": True, "assignment_group": "champion"}
    write_mart(tmp_path, MEMBER_FEATURES, members(DAY, 1))
    write_mart(tmp_path, DECISION_OUTCOMES, rows)
    found = seen(tmp_path, DAY - 2 * ONE, DAY, ("opted_out",))
    log = found.decisions
    assert [log.ids[m] for m in log.member] == ["a", "b", "z", "z"]
    assert (np.diff(log.at)[2:] > 0).all()
    assert list(log.labels) == ["opted_out"]
    assert log.labels["opted_out"][0] == 1.0
    assert np.isnan(log.labels["opted_out"][1:]).all()
    assert [log.groups[g] for g in log.logged] == ["champion", "log", "log", "log"]
    assert found.surface.tolist() == ["web"] * 4
    assert found.instant == int(end_of(DAY).timestamp() * 1e6)


def test_no_decision_at_all_is_no_error(tmp_path):
    """The first day of an experiment may have none."""
    write_mart(tmp_path, MEMBER_FEATURES, members(DAY, 1))
    write_mart(tmp_path, DECISION_OUTCOMES, [])
    assert not len(seen(tmp_path, DAY, DAY, ("retained",)).decisions.at)
