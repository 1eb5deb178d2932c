"""However its days are built (all at once, one by one, again), a mart says the same; late rows count from the day they land."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from tests.fakes.scattered import LAST, ONE, exported, settled
from training.adapters.dbt_warehouse import DbtWarehouse
from training.domain.schema import MARTS


@pytest.fixture(scope="module")
def stepwise(tmp_path_factory, raw):
    """Marts after each build of: a backlog, two days caught up at once, the day between again, the last day again."""
    settings = settled(tmp_path_factory.mktemp("stepwise"), raw)
    built = []
    for day in (LAST - 3 * ONE, LAST - 1 * ONE, LAST - 2 * ONE, LAST):
        DbtWarehouse(settings).build(day)
        built.append(exported(settings))
    return built


@pytest.mark.slow
@pytest.mark.parametrize("mart", sorted(MARTS))
def test_day_by_day_is_the_backlog(backlog, stepwise, mart):
    """Same rows, same values, although many rows landed between the builds."""
    assert stepwise[-1][mart].equals(backlog[mart])
    assert backlog[mart].num_rows


@pytest.mark.slow
@pytest.mark.parametrize("mart", sorted(MARTS))
def test_an_older_day_built_again_takes_nothing_away(stepwise, mart):
    """Two days before the last is built again after a later one: the mart keeps every row of every day, with its labels."""
    _, before, after, _ = stepwise
    assert after[mart].equals(before[mart])


def known(rows, key, day):
    """Rows that had happened and landed by the end of `day`."""
    return [r for r in rows if max(r[key].date(), r.get("landed") or r[key].date()) <= day]


def test_features_equal_a_plain_count_over_the_raw_rows(backlog, raw):
    """Each member and day: windows, ages, holdings and the newest version, by loops over what was known then."""
    arms = {d["decision_id"]: d for d in raw["decisions"]}
    for row in backlog["member_features"].to_pylist():
        member_id, day = row["member_id"], row["day"]
        end = datetime.combine(day + ONE, time(), UTC)
        mine = {t: [r for r in known(raw[t], k, day) if r["member_id"] == member_id] for t, k in KEYS.items()}
        visits = [r for r in mine["activity"] if r["kind"] == "visit"]
        assert row["visits_7d"] == sum(r["occurred_at"] >= end - 7 * ONE for r in visits)
        assert row["visits_28d"] == sum(r["occurred_at"] >= end - 28 * ONE for r in visits)
        last = max((r["occurred_at"] for r in mine["activity"]), default=None)
        assert row["days_since_active"] == (None if last is None else pytest.approx((end - last) / ONE))
        assert row["messages_28d"] == sum(r["chosen_arm"] != "none" and r["decided_at"] >= end - 28 * ONE for r in mine["decisions"])
        newest = max(mine["subscriptions"], key=lambda r: (r["occurred_at"], r["event_id"]), default=None)
        assert row["active_products"] == (newest is not None and newest["kind"] != "cancelled")
        assert row["country"] == max(mine["members"], key=lambda r: r["updated_at"])["country"]
        clicks = [o for o in known(raw["outcomes"], "occurred_at", day) if o["kind"] == "click" and arms[o["decision_id"]]["member_id"] == member_id]
        seen = [o for o in clicks if arms[o["decision_id"]]["landed"] <= day and o["occurred_at"] >= end - 28 * ONE]
        assert row["clicks_28d"] == len(seen)


KEYS = {"members": "updated_at", "activity": "occurred_at", "subscriptions": "occurred_at", "decisions": "decided_at"}
