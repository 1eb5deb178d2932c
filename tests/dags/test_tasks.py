"""Which day a run works on, and how errors reach Airflow."""

from __future__ import annotations

import importlib.util
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from tests.fakes.landing import good_day, write_tables
from training.config.settings import ROOT
from training.domain.errors import DataError, LandingError, NotReadyError, QualityError, StepError
from training.steps import task


@pytest.fixture(scope="module")
def tasks():
    """The helper module, loaded as Airflow does: by its path."""
    spec = importlib.util.spec_from_file_location("rightmatch_dag_tasks", ROOT / "dags" / "_tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(day):
    """An asset event as a task sees it."""
    return SimpleNamespace(extra={"day": day})


def test_the_parameter_wins(tasks):
    """A day that somebody asked for is never replaced by the schedule's."""
    context = {"params": {"day": "2026-01-05"}, "data_interval_start": datetime(2026, 3, 1, tzinfo=UTC)}
    assert tasks.day_of(context) == "2026-01-05"


def test_of_several_asset_events_the_newest_day_is_learned_for(tasks):
    """A backfill of many days may start one retrain: it learns for the newest."""
    context = {"params": {"day": None}, "triggering_asset_events": {tasks.FEATURES: [event("2026-01-07"), event("2026-01-09"), event("2026-01-08")]}}
    assert tasks.day_of(context) == "2026-01-09"


def test_a_scheduled_run_stands_for_the_day_that_ended(tasks):
    """At midnight of the 6th the data interval starts on the 5th, which is complete."""
    context = {"params": {}, "triggering_asset_events": {}, "data_interval_start": datetime(2026, 1, 5, tzinfo=UTC)}
    assert tasks.day_of(context) == "2026-01-05"


def test_a_run_without_a_day_fails_at_once_and_says_what_to_do(tasks):
    """Guessing a day would train on the wrong one."""
    with pytest.raises(tasks.AirflowFailException, match="Trigger it with"):
        tasks.day_of({"params": {}, "triggering_asset_events": None, "data_interval_start": None})


def test_data_errors_are_not_retried(tasks, tmp_path, monkeypatch):
    """A configuration that does not exist fails the task for good, under its own name."""
    monkeypatch.setenv("RIGHTMATCH_PROFILE", "nowhere")
    with pytest.raises(tasks.AirflowFailException, match="ConfigError: .*nowhere"):
        tasks.run("land", "2026-01-05", {})


@pytest.mark.parametrize("error", [DataError, LandingError, QualityError, NotReadyError])
def test_what_no_retry_can_help_fails_for_good(tasks, monkeypatch, error):
    """Wrong rows, a failed dbt test and a rejected day are told under their own name, once."""

    def fails(*_):
        raise error("rows are wrong")

    monkeypatch.setattr(task, "execute", fails)
    with pytest.raises(tasks.AirflowFailException, match=f"^{error.__name__}: rows are wrong$"):
        tasks.run("transform", "2026-01-05", {})


def test_a_tool_that_failed_is_tried_again(tasks, monkeypatch):
    """Airflow retries whatever is not its own fail exception: a lock or a lost connection may be gone in five seconds."""

    def fails(*_):
        raise StepError("the warehouse is locked")

    monkeypatch.setattr(task, "execute", fails)
    with pytest.raises(StepError):
        tasks.run("transform", "2026-01-05", {})


@pytest.fixture
def land(tasks, tmp_path, monkeypatch):
    """The task `land` in a home whose inbox ends on 5 January; called with the kind of run and its day."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    day = date(2026, 1, 5)
    write_tables(tmp_path / "inbox", day, good_day(day))

    def run(kind, day):
        return tasks.run("land", day, {"dag_run": SimpleNamespace(run_type=kind), "task": SimpleNamespace(outlets=[])})

    return run


def test_a_scheduled_day_whose_files_are_not_there_is_skipped(tasks, land):
    """What came before it lands all the same; a run that somebody asked for goes on, and `transform` says what is missing."""
    with pytest.raises(tasks.AirflowSkipException, match=r"No file of 2026-01-06 has landed yet, the newest is of 2026-01-05"):
        land("scheduled", "2026-01-06")
    assert land("scheduled", "2026-01-05")["newest"] == "2026-01-05"
    assert land("manual", "2026-01-06")["days"] == []


def test_land_may_be_cleared_or_retried(land):
    """The second attempt finds nothing new and still lets the day go on, also where a later day has landed meanwhile."""
    assert land("scheduled", "2026-01-05")["days"] == ["2026-01-05"]
    assert land("scheduled", "2026-01-05")["days"] == []
    assert land("scheduled", "2026-01-04")["days"] == []


def test_the_schedule_can_be_switched_off(tasks, monkeypatch):
    """`rightmatch run` starts runs itself; an empty schedule keeps Airflow from adding its own."""
    monkeypatch.setenv("RIGHTMATCH_SCHEDULE", "")
    assert tasks.daily() is None
    monkeypatch.delenv("RIGHTMATCH_SCHEDULE")
    assert tasks.daily() is not None
