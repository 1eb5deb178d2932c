"""The training set and materialize steps, on synthetic marts and the fake feature store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from tests.fakes.features import FakeFeatureStore, feature_row, write_mart
from training.adapters.feast_store import FeastStore, frame_columns
from training.adapters.ports import FeatureStore, Platform
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError
from training.domain.labels import OUTCOME_WINDOWS
from training.domain.schema import ARM_FEATURES, DECISION_OUTCOMES, MEMBER_FEATURES
from training.steps import materialize, training_set

TODAY = date(2026, 3, 31)
END = datetime(2026, 4, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def decision(decision_id: str, at: datetime, member_id: str = "m1", as_of: datetime = END, **labels: object) -> dict[str, object]:
    """A decision whose mature labels are false unless given, as dbt exports it at `as_of`."""
    row: dict[str, object] = {"decision_id": decision_id, "member_id": member_id, "decided_at": at, "day": at.date(), "surface": "web"}
    row |= {"arm_id": "p.c.web", "propensity": 0.5, "feasible_arms": ["none", "p.c.web"], "propensities": [0.5, 0.5], "assignment_group": "log", "as_of": as_of}
    for name, window in OUTCOME_WINDOWS.items():
        matured = window.matured_at(at)
        row[f"{name}_matured_at"] = matured
        row[name] = labels.get(name, False) if matured <= as_of else None
    row["conversion_value"] = labels.get("conversion_value", 0.0) if row["converted"] is not None else None
    return row


def platform(store: FeatureStore) -> Platform:
    """A platform of which these steps use the feature store only."""
    nothing = cast("Any", None)
    return Platform(nothing, nothing, nothing, store, nothing, nothing, nothing)


@pytest.fixture
def settings(tmp_path):
    """Feature marts with one member over some days more than are learned from, under a temporary home."""
    settings = Settings(home=tmp_path)
    days = [END - i * DAY for i in range(settings.training.window_days + 4)]
    write_mart(settings.marts, MEMBER_FEATURES, [feature_row(at, member_id="m1", visits_7d=float(at.timetuple().tm_yday)) for at in days])
    write_mart(settings.marts, ARM_FEATURES, [feature_row(at, arm_id="p.c.web", product_id="p", clicks_28d=1.0) for at in days])
    return settings


@pytest.fixture
def store(settings):
    """The fake store on these marts."""
    return FakeFeatureStore(settings.marts, timedelta(days=settings.feature_ttl_days))


def run(settings, store, rows):
    """Write the decisions, run the step for TODAY, and read what it wrote."""
    write_mart(settings.marts, DECISION_OUTCOMES, rows)
    report = training_set.run(TODAY, settings, platform(store))
    return report, pq.read_table(report.path).to_pylist()


def test_rows_columns_and_order(settings, store):
    """All outcome columns, the event time, then the features; by time, then id, whatever the order of the mart."""
    report, rows = run(settings, store, [decision("c", END - 30 * HOUR), decision("b", END - 40 * HOUR), decision("a", END - 30 * HOUR)])
    assert [r["decision_id"] for r in rows] == ["b", "a", "c"]
    assert tuple(rows[0]) == (*DECISION_OUTCOMES.names, "event_timestamp", *rows_features())
    assert rows[0]["feasible_arms"] == ["none", "p.c.web"]
    assert rows[0]["event_timestamp"] == END - 40 * HOUR
    assert rows[0]["visits_7d"] == 89.0  # known since 30 March, day 89 of the year
    assert rows[0]["arm_clicks_28d"] == 1.0
    assert report.rows == 3
    assert report.path == settings.runs / "2026-03-31" / "training_set.parquet"


def test_fallbacks_are_kept_apart(settings, store):
    """What the service showed because nobody could decide is in the marts, but is neither learned from nor judged on."""
    report, rows = run(settings, store, [decision("a", END - 30 * HOUR), decision("b", END - 30 * HOUR) | {"assignment_group": "fallback"}])
    assert ([r["decision_id"] for r in rows], report.rows) == (["a"], 1)
    with pytest.raises(NotReadyError, match=f"No decision of the {settings.training.window_days} days"):
        run(settings, store, [decision("b", END - 30 * HOUR) | {"assignment_group": "fallback"}])


def rows_features():
    """Member texts before numbers, then the arm's, as the file holds them."""
    members = [n for n in frame_columns() if not n.startswith("arm_")]
    texts = [n for n in members if n in training_set._MEMBER_TEXTS]
    return (*texts, *(n for n in members if n not in texts), *(n for n in frame_columns() if n.startswith("arm_")))


def test_only_the_window_is_learned_from(settings, store):
    """So many days back from the end of the day: the first instant is in, the one before is out, the next day is out."""
    first = END - settings.training.window_days * DAY
    later = END + 10 * DAY
    rows = [decision(i, at, as_of=later) for i, at in (("in", first), ("old", first - timedelta(microseconds=1)), ("next", END))]
    assert [r["decision_id"] for r in run(settings, store, rows)[1]] == ["in"]


def test_what_matures_after_the_day_is_unknown(settings, store):
    """A mart built ten days later gives the labels of that day back as NULL, with the value of the conversion."""
    later = END + 40 * DAY
    _, (row,) = run(settings, store, [decision("a", END - 10 * DAY, as_of=later, converted=True, conversion_value=9.0, clicked=True)])
    assert (row["clicked"], row["opted_out"], row["converted"], row["conversion_value"], row["retained"]) == (True, False, None, None, None)
    assert row["as_of"] == END


def test_dismissals_are_known_when_their_week_is_over(settings, store):
    """Of a mart built later: true after 7 days, NULL a microsecond before, as no Label but an outcome to judge by."""
    later = END + 40 * DAY
    decided = {"over": END - 7 * DAY, "open": END - 7 * DAY + timedelta(microseconds=1)}
    _, rows = run(settings, store, [decision(i, at, as_of=later, dismissed=True) for i, at in decided.items()])
    assert {row["decision_id"]: row["dismissed"] for row in rows} == {"over": True, "open": None}


def test_a_label_counts_from_the_instant_of_its_maturity(settings, store):
    """A click label matures after one day: decided a day before the end it is known, a microsecond later it is not."""
    _, rows = run(settings, store, [decision("a", END - DAY, clicked=True), decision("b", END - DAY + timedelta(microseconds=1), as_of=END + 2 * DAY)])
    assert [r["decision_id"] for r in rows] == ["a"]


def test_a_backfill_gives_the_same_bytes(settings, store):
    """The same day from a mart of that day and from one of 30 days later, twice each: one file."""
    early = [decision(str(i), END - 20 * DAY + i * DAY) for i in range(20)]
    late = [decision(str(i), END - 20 * DAY + i * DAY, as_of=END + 30 * DAY) for i in reversed(range(40))]
    contents = {run(settings, store, rows)[0].path.read_bytes() for rows in (early, early, late)}
    assert len(contents) == 1
    assert [p.name for p in (settings.runs / "2026-03-31").iterdir()] == ["training_set.parquet"]


def test_the_share_without_features_is_reported(settings, store):
    """One of four decisions is of a member of whom nothing was known; labels are counted where mature."""
    rows = [decision(str(i), END - 2 * DAY) for i in range(3)] + [decision("x", END - 20 * DAY, member_id="new", converted=True)]
    report, _ = run(settings, store, rows)
    assert report.missing == 0.25
    assert report.mature == {"clicked": 4, "converted": 1, "visited": 1, "retained": 0, "opted_out": 1}


def test_the_real_store_gives_the_same_file(settings, store):
    """Feast and the fake agree to the byte."""
    rows = [decision(str(i), END - 20 * DAY + i * 9 * HOUR, member_id="m1" if i % 3 else "new") for i in range(40)]
    fake = run(settings, store, rows)[0].path.read_bytes()
    real = FeastStore(settings)
    real.apply()
    assert run(settings, real, rows)[0].path.read_bytes() == fake


def test_nothing_to_learn_from_is_said(settings, store):
    """No mart, no mature label, no features at all: each is an error with its cause."""
    with pytest.raises(NotReadyError, match="decision_outcomes.parquet does not exist"):
        training_set.run(TODAY, settings, platform(store))
    for immature in ([decision("a", END - HOUR)], []):
        with pytest.raises(NotReadyError, match="mature label"):
            run(settings, store, immature)
    with pytest.raises(DataError, match="None of the 1 decisions has features"):
        run(settings, store, [decision("a", END - 2 * DAY, member_id="new")])


def test_a_day_without_published_features_is_not_learned_for(settings, store):
    """Features end with TODAY: a retrain for the next day is refused, also where its decisions are there."""
    write_mart(settings.marts, DECISION_OUTCOMES, [decision("a", END - 20 * DAY)])
    with pytest.raises(NotReadyError, match="features end with 2026-03-31, so a model of 2026-04-01"):
        training_set.run(TODAY + DAY, settings, platform(store))
    (settings.marts / "member_features.parquet").unlink()
    with pytest.raises(NotReadyError, match="end with no day"):
        training_set.run(TODAY, settings, platform(store))


def test_materialize_goes_to_the_end_of_the_day(settings, store):
    """`until` is the midnight that ends the newest published day; a rerun writes the same rows, and so does an earlier day, whose files may have changed."""
    report = materialize.run(TODAY, settings, platform(store))
    assert store.applied
    assert (report.until, report.rows) == (END, 2)
    assert materialize.run(TODAY, settings, platform(store)).rows == 2
    again = materialize.run(TODAY - DAY, settings, platform(store))
    assert (again.until, again.rows) == (END, 2)
    assert store.online_members(["m1"])[0]["visits_7d"] == 91.0
