"""Which day a run works on, and how errors reach Airflow."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from training.config.settings import ROOT


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
        tasks._run("land", "2026-01-05", {})


def test_the_schedule_can_be_switched_off(tasks, monkeypatch):
    """`rightmatch run` starts runs itself; an empty schedule keeps Airflow from adding its own."""
    monkeypatch.setenv("RIGHTMATCH_SCHEDULE", "")
    assert tasks.daily() is None
    monkeypatch.delenv("RIGHTMATCH_SCHEDULE")
    assert tasks.daily() is not None
