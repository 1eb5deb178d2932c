"""The decision log as day files: they land like any other source's, and nothing is lost, repeated or known before its day."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from tests.fakes.landing import good_day, write_rows, write_tables
from tests.fakes.logs import EMAIL, served
from training.adapters.decision_log import DecisionLog
from training.adapters.landing import FileLanding
from training.adapters.log_export import FILE, LoggedLanding, export, last_day
from training.config.serving import ServingSettings
from training.config.settings import ROOT, Settings
from training.domain.errors import LandingError
from training.domain.nouns import NONE, Outcome, OutcomeKind

FIRST, SECOND, THIRD = (date(2026, 3, d) for d in (2, 3, 4))
ONE, HOUR = timedelta(days=1), timedelta(hours=1)


def at(day, hour=12):
    """An instant of that day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + hour * HOUR


@pytest.fixture
def settings(tmp_path):
    """A home whose inbox knows member m1 since the first day."""
    made = Settings(home=tmp_path, catalog=ROOT / "dbt" / "seeds" / "simulated")
    member(made, "m1", FIRST)
    return made


@pytest.fixture
def log(settings):
    """Its log, an SQLite file."""
    return DecisionLog(settings.log_url)


def member(settings, name, day):
    """A file of members that names one, of its own beside others of the day."""
    row = {"member_id": name, "signup_at": at(day, 0), "updated_at": at(day, 1)}
    write_rows(settings.inbox, "members", day, [row], f"{name}.parquet")


def decide(log, name, when, who="m1", **changes):
    """One decision in the log."""
    with log.writing([who]) as writer:
        writer.append([served(name, who, when, **changes)])


def happen(log, name, decision, kind, occurred, *, received=None, value=None):
    """One outcome in the log."""
    outcome = Outcome(name, f"d-{decision}", OutcomeKind(kind), occurred, value)
    (receipt,) = log.append_outcomes([outcome], received or occurred)
    assert receipt.answer.value == "accepted", receipt.why


def zone(settings):
    """What `bootstrap` wires."""
    return LoggedLanding(FileLanding(settings), settings)


def landed(settings, table):
    """Ids of all landed rows by day."""
    key = {"decisions": "decision_id", "outcomes": "outcome_id"}[table]
    files = sorted((settings.raw / table).glob("day=*/part.parquet"))
    return {file.parent.name[4:]: ids for file in files if (ids := pq.ParquetFile(file).read()[key].to_pylist())}


def bytes_of(settings):
    """Contents of every exported file."""
    return {str(f.relative_to(settings.inbox)): f.read_bytes() for f in settings.inbox.rglob(FILE)}


def test_without_a_log_nothing_changes(settings):
    """No log is made by asking, and the inbox stays as it was."""
    before = sorted(settings.inbox.rglob("*"))
    assert zone(settings).land(SECOND).rows == {"members": 1}
    assert last_day(settings, THIRD) is None
    assert sorted(settings.inbox.rglob("*")) == before
    assert not (settings.home / "decisions.db").exists()


def test_the_log_lands_whole_and_value_by_value(log_url, settings):
    """From both databases; NaN is unknown, and the lists are those of the decision."""
    settings = settings.model_copy(update={"serving": ServingSettings(log_url=log_url)})
    log = DecisionLog(log_url)
    decide(log, "1", at(FIRST), features={"a": math.nan, "b": 1 / 3, "c": "x", "d": None})
    decide(log, "2", at(SECOND), arm=NONE, model_version="", feature_service="")
    happen(log, "o1", "1", "conversion", at(FIRST, 13), value=29.99)
    report = zone(settings).land(SECOND)
    assert report.rows == {"members": 1, "decisions": 2, "outcomes": 1}
    assert report.newest == SECOND
    (row,) = pq.ParquetFile(settings.raw / "decisions" / "day=2026-03-02" / "part.parquet").read().to_pylist()
    assert json.loads(row.pop("values_served")) == {"a": None, "b": 1 / 3, "c": "x", "d": None}
    assert json.loads(row.pop("exclusions")) == {"sales.warm_leads.email": "paused"}
    wanted = {"decision_id": "d-1", "member_id": "m1", "decided_at": at(FIRST), "surface": "outbound", "chosen_arm": EMAIL, "propensity": 0.5}
    wanted |= {"feasible_arms": ["none", "career.who_viewed.feed", EMAIL], "propensities": [0.2, 0.3, 0.5]}
    assert row == wanted | {"assignment_group": "champion", "model_version": "3", "feature_service": "matching_v1"}
    (bare,) = pq.ParquetFile(settings.raw / "decisions" / "day=2026-03-03" / "part.parquet").read().to_pylist()
    assert (bare["model_version"], bare["feature_service"], bare["chosen_arm"]) == (None, None, "none")
    (outcome,) = pq.ParquetFile(settings.raw / "outcomes" / "day=2026-03-02" / "part.parquet").read().to_pylist()
    assert outcome == {"outcome_id": "o1", "decision_id": "d-1", "kind": "conversion", "value": 29.99, "occurred_at": at(FIRST, 13)}


def test_days_come_one_after_another_and_a_rerun_writes_the_same_bytes(settings, log):
    """Nothing after `until`; nothing is touched twice; a file that was lost or cut comes back as it was."""
    for day in (FIRST, SECOND, THIRD):
        decide(log, str(day), at(day))
        happen(log, f"o{day}", str(day), "click", at(day, 13))
    assert export(settings, SECOND).days == (FIRST, SECOND)
    files = bytes_of(settings)
    assert len(files) == 4
    assert export(settings, SECOND).days == ()
    (settings.inbox / "decisions" / "day=2026-03-02" / FILE).unlink()
    (settings.inbox / "outcomes" / "day=2026-03-03" / FILE).write_bytes(b"PAR1")
    assert export(settings, SECOND).rows == {"decisions": 1, "outcomes": 1}
    assert bytes_of(settings) == files
    zone(settings).land(SECOND)
    assert zone(settings).land(THIRD).days == (THIRD,)
    assert last_day(settings, THIRD) == SECOND


def test_a_late_outcome_is_in_the_file_of_the_day_it_came(settings, log):
    """The day that is over keeps its bytes; a clock that is minutes ahead over midnight does not claim to be known before it happened."""
    decide(log, "1", at(FIRST))
    happen(log, "seen", "1", "impression", at(SECOND, 0) + timedelta(minutes=2), received=at(SECOND, 0) - timedelta(minutes=1))
    zone(settings).land(FIRST)
    files = bytes_of(settings)
    happen(log, "late", "1", "click", at(FIRST, 13), received=at(THIRD, 9))
    zone(settings).land(THIRD)
    assert landed(settings, "outcomes") == {"2026-03-03": ["seen"], "2026-03-04": ["late"]}
    assert files.items() <= bytes_of(settings).items()


def test_a_decision_that_was_in_flight_at_midnight_lands_too(settings, log):
    """Also one of a clock that jumped back: its day changes, and lands again."""
    decide(log, "1", at(FIRST))
    zone(settings).land(FIRST)
    decide(log, "2", at(SECOND))
    decide(log, "late", at(FIRST, 23))
    assert zone(settings).land(SECOND).days == (FIRST, SECOND)
    assert landed(settings, "decisions") == {"2026-03-02": ["d-1", "d-late"], "2026-03-03": ["d-2"]}


def test_members_that_nobody_knows_are_left_out_until_somebody_does(settings, log, capsys):
    """With a count, and with their outcomes; they land in the file of the day on which the member does."""
    decide(log, "1", at(FIRST))
    decide(log, "2", at(FIRST), "m2")
    happen(log, "o2", "2", "click", at(FIRST, 13))
    decide(log, "3", at(SECOND), "m3")
    zone(settings).land(FIRST)
    assert "Left out: 1 logged decision(s)" in capsys.readouterr().out  # what comes tomorrow is none of today's
    zone(settings).land(SECOND)
    assert "Left out: 2 logged decision(s)" in capsys.readouterr().out
    assert (landed(settings, "decisions"), landed(settings, "outcomes")) == ({"2026-03-02": ["d-1"]}, {})
    member(settings, "m2", THIRD)
    happen(log, "o4", "2", "dismiss", at(THIRD, 13))
    zone(settings).land(THIRD)
    assert landed(settings, "decisions") == {"2026-03-02": ["d-1"], "2026-03-04": ["d-2"]}
    assert landed(settings, "outcomes") == {"2026-03-04": ["o2", "o4"]}


def test_a_member_that_landed_from_a_file_that_is_gone_is_known(settings, log):
    """Raw remembers what the inbox does not; a correction that names the member later moves the decision with it."""
    zone(settings).land(FIRST)
    file = settings.inbox / "members" / "day=2026-03-02" / "m1.parquet"
    kept = file.read_bytes()
    file.unlink()
    file.parent.rmdir()
    decide(log, "1", at(FIRST))
    zone(settings).land(FIRST)
    assert landed(settings, "decisions") == {"2026-03-02": ["d-1"]}
    file.parent.mkdir()
    file.write_bytes(kept)
    member(settings, "m1", SECOND)
    write_rows(settings.inbox, "members", FIRST, [], "m1.parquet")
    zone(settings).land(SECOND)
    assert landed(settings, "decisions") == {"2026-03-03": ["d-1"]}


def test_the_files_of_a_source_stay_beside_it(settings, log):
    """Both land."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    decide(log, "1", at(FIRST))
    zone(settings).land(FIRST)
    assert landed(settings, "decisions") == {"2026-03-02": ["d-m2026-03-02-0", "d-m2026-03-02-1", "d-1"]}


def test_files_that_landing_refuses_are_refused_in_its_words(settings, log):
    """An export that cannot read the members leaves the error to landing, which names the file."""
    decide(log, "1", at(FIRST))
    (settings.inbox / "members" / "day=2026-03-02" / "m1.parquet").write_bytes(b"no")
    with pytest.raises(LandingError, match=r"members: is not a readable Parquet file \(members/day=2026-03-02/m1.parquet\)"):
        zone(settings).land(FIRST)
    assert bytes_of(settings) == {}


def test_more_rows_than_a_group(settings, log, monkeypatch):
    """Groups of rows follow each other without a gap or a repeat."""
    monkeypatch.setattr("training.adapters.log_export._GROUP", 4)
    monkeypatch.setattr("training.adapters.log_days._CHUNK", 3)
    for i in range(11):
        decide(log, str(i), at(FIRST) + timedelta(minutes=i))
        happen(log, f"o{i}", str(i), "click", at(FIRST, 14))
    zone(settings).land(FIRST)
    assert landed(settings, "decisions") == {"2026-03-02": [f"d-{i}" for i in range(11)]}
    assert landed(settings, "outcomes") == {"2026-03-02": [f"o{i}" for i in range(11)]}
