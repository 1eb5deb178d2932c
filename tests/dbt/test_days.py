"""However its days are built (all at once, one by one, again), a mart says the same; late rows count from the day they land."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

import duckdb
import pytest

from tests.fakes.raw import Row, decision, event, land, member, outcome
from training.adapters.dbt_warehouse import DbtWarehouse
from training.config.settings import Settings
from training.domain.schema import MARTS

FIRST, LAST = date(2026, 1, 1), date(2026, 2, 12)
ONE = timedelta(days=1)
ARMS = ("none", "career.who_viewed.feed", "career.who_viewed.email")
LATE = (0, 0, 0, 1, 3, 9)


def moment(rng: Random) -> datetime:
    """Some second of the world's days."""
    return datetime.combine(FIRST, time(), UTC) + timedelta(seconds=rng.randrange((LAST - FIRST).days * 86_400))


def world(seed: int) -> dict[str, list[dict[str, Any]]]:
    """Raw rows of twelve members, of which many land 1 to 9 days late, in any order."""
    rng = Random(seed)
    ids = [f"m{i}" for i in range(12)]

    def placed(row: Row, key: str, when: datetime) -> dict[str, Any]:
        return {**dict(row), key: when, "landed": when.date() + rng.choice(LATE) * ONE}

    def answer(decision: int, number: int, kind: str) -> Row:
        return outcome(f"o{decision}.{number}", f"d{decision}", kind, "2026-01-01 00:00", value=5.0 if kind == "conversion" else None)

    versions = [dict(member(i, "2026-01-01 06:00")) for i in ids[:9]]
    versions += [dict(member(i, "2026-01-20 06:00")) for i in ids[9:]]
    versions += [placed(member(rng.choice(ids[:9]), "2026-01-01 06:00", country=f"C{n}"), "updated_at", moment(rng)) for n in range(25)]
    activity = [
        placed(event(f"e{n}", rng.choice(ids), rng.choice(("visit", "jobs", "purchase")), "2026-01-01 00:00"), "occurred_at", moment(rng)) for n in range(250)
    ]
    held = [
        placed(
            event(f"s{n}", rng.choice(ids), rng.choice(("started", "renewed", "cancelled")), "2026-01-01 00:00", product_id="career"),
            "occurred_at",
            moment(rng),
        )
        for n in range(60)
    ]
    decisions = [placed(decision(f"d{n}", rng.choice(ids), "2026-01-01 00:00", rng.choice(ARMS)), "decided_at", moment(rng)) for n in range(120)]
    outcomes = [
        {**row, "landed": max(row["landed"], decided["landed"])}  # an outcome is refused at landing until its decision is there
        for n, decided in enumerate(decisions)
        for k, kind in enumerate(("impression", "click", "dismiss", "conversion", "opt_out"))
        if rng.random() < 0.4
        for row in [placed(answer(n, k, kind), "occurred_at", decided["decided_at"] + timedelta(hours=rng.randrange(400)))]
    ]
    return {"members": versions, "activity": activity, "subscriptions": held, "decisions": decisions, "outcomes": outcomes}


@pytest.fixture(scope="module")
def raw():
    """The rows that both warehouses are built from."""
    return world(seed=5)


@pytest.fixture(scope="module")
def backlog(tmp_path_factory, raw):
    """Marts of all days built at once."""
    settings = settled(tmp_path_factory.mktemp("backlog"), raw)
    DbtWarehouse(settings).build(LAST)
    return frames(settings)


@pytest.fixture(scope="module")
def stepwise(tmp_path_factory, raw):
    """Marts after each build of: a backlog, two days caught up at once, the day between again, the last day again."""
    settings = settled(tmp_path_factory.mktemp("stepwise"), raw)
    built = []
    for day in (LAST - 3 * ONE, LAST - 1 * ONE, LAST - 2 * ONE, LAST):
        DbtWarehouse(settings).build(day)
        built.append(frames(settings))
    return built


def settled(home, raw):
    """Settings whose raw folder holds the rows."""
    settings = Settings(home=home)
    for table, rows in raw.items():
        land(settings.raw, table, rows)
    return settings


def frames(settings):
    """Each mart as rows by key. `as_of` is left out: it says when a row was last judged, which depends on the way there."""
    found = {}
    for name, table in MARTS.items():
        columns = [c for c in table.names if c != "as_of"]
        rows = duckdb.sql(f"select {', '.join(columns)} from '{settings.marts / name}.parquet'").fetchall()
        full = [dict(zip(columns, row, strict=True)) for row in rows]
        found[name] = {tuple(row[k] for k in table.key): row for row in full}
        assert len(found[name]) == len(rows)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mart", sorted(MARTS))
def test_day_by_day_is_the_backlog(backlog, stepwise, mart):
    """Same rows, same values, although many rows landed between the builds."""
    assert stepwise[-1][mart] == backlog[mart]
    assert backlog[mart]


@pytest.mark.slow
@pytest.mark.parametrize("mart", ["member_features", "arm_features"])
def test_a_day_built_again_has_the_same_rows_and_leaves_other_days_alone(stepwise, mart):
    """Two days before the last is built again after a later one: nothing changes."""
    _, before, after, _ = stepwise
    assert after[mart] == before[mart]


@pytest.mark.slow
def test_outcomes_of_a_day_built_again_know_nothing_later(stepwise):
    """Rebuilding an older day forgets what was judged with later knowledge: no decision that landed after it remains."""
    _, later, again, _ = stepwise
    assert 0 < len(again["decision_outcomes"]) <= len(later["decision_outcomes"])
    end = datetime.combine(LAST - ONE, time(), UTC)
    for row in again["decision_outcomes"].values():
        assert (row["clicked"] is not None) == (row["clicked_matured_at"] <= end)


def known(rows, key, day):
    """Rows that had happened and landed by the end of `day`."""
    return [r for r in rows if max(r[key].date(), r.get("landed") or r[key].date()) <= day]


def test_features_equal_a_plain_count_over_the_raw_rows(backlog, raw):
    """Each member and day: windows, ages, holdings and the newest version, by loops over what was known then."""
    arms = {d["decision_id"]: d for d in raw["decisions"]}
    for (member_id, day), row in backlog["member_features"].items():
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
