"""Which days a build is planned for, from what has landed and what was built before. No dbt: the plan alone."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.fakes.raw import close, event, land
from training.adapters import dbt_state
from training.adapters.dbt_state import BuildState
from training.config.settings import Settings
from training.domain.errors import NotReadyError

ONE = timedelta(days=1)
LAST = date(2026, 1, 10)


@pytest.fixture
def settings(tmp_path):
    """Ten landed days without a row."""
    settings = Settings(home=tmp_path)
    for k in range(10):
        close(settings.raw, LAST - k * ONE)
    return settings


def built(settings, day):
    """Plan `day` and let its build succeed."""
    state = BuildState(settings)
    plan = state.plan(day)
    state.begin(plan)
    state.finish(plan)
    return plan


def correct(settings, day):
    """Replace the activity of one landed day."""
    land(settings.raw, "activity", [event("e1", "m1", "visit", f"{day} 10:00")])


def planned(settings, day):
    """`until`, `since` and `rejudge` of the plan for `day`."""
    plan = BuildState(settings).plan(day)
    return plan.until, plan.since, plan.rejudge


def test_the_first_build_takes_every_day(settings):
    """Nothing is known of the warehouse, so that all of it is built."""
    assert planned(settings, LAST) == (LAST, None, True)


def test_new_days_are_added(settings):
    """From the day after the last built one; their own files are no correction."""
    built(settings, LAST - 3 * ONE)
    assert planned(settings, LAST) == (LAST, LAST - 2 * ONE, False)


def test_an_old_day_is_built_as_of_the_newest(settings):
    """It and what follows it are built again, and no later day is forgotten."""
    built(settings, LAST)
    assert planned(settings, LAST - 4 * ONE) == (LAST, LAST - 4 * ONE, False)
    assert planned(settings, LAST) == (LAST, LAST, False)


def test_a_changed_new_or_missing_partition_of_a_built_day_is_a_correction(settings):
    """The earliest of them is where building begins, and decisions of any age are judged again."""
    built(settings, LAST - ONE)
    correct(settings, LAST - 3 * ONE)
    assert planned(settings, LAST) == (LAST, LAST - 3 * ONE, True)
    land(settings.raw, "subscriptions", [event("s1", "m1", "started", f"{LAST - 5 * ONE} 10:00")])
    assert planned(settings, LAST) == (LAST, LAST - 5 * ONE, True)
    (settings.raw / "activity" / f"day={LAST - 7 * ONE}" / "part.parquet").unlink()
    assert planned(settings, LAST) == (LAST, LAST - 7 * ONE, True)
    built(settings, LAST)
    assert planned(settings, LAST) == (LAST, LAST, False)


def test_a_build_that_failed_leaves_its_days_in_doubt(settings):
    """Also where the files are since back to what they were: the tables may hold what the failed build wrote."""
    before = (settings.raw / "activity" / f"day={LAST - 6 * ONE}" / "part.parquet").read_bytes()
    built(settings, LAST)
    correct(settings, LAST - 6 * ONE)
    state = BuildState(settings)
    state.begin(state.plan(LAST))
    (settings.raw / "activity" / f"day={LAST - 6 * ONE}" / "part.parquet").write_bytes(before)
    assert planned(settings, LAST) == (LAST, LAST - 6 * ONE, True)
    built(settings, LAST)
    assert planned(settings, LAST) == (LAST, LAST, False)


def test_a_first_build_that_failed_is_a_first_build_again(settings):
    """Nothing of it can be trusted, whichever day comes next."""
    state = BuildState(settings)
    state.begin(state.plan(LAST))
    assert planned(settings, LAST - ONE) == (LAST - ONE, None, True)


def test_other_sql_builds_everything_again(settings, tmp_path, monkeypatch):
    """Days of an older version of the models would stand beside new ones."""
    built(settings, LAST)
    (tmp_path / "dbt_project.yml").write_text("vars: {}")
    monkeypatch.setattr(dbt_state, "PROJECT", tmp_path)
    assert planned(settings, LAST) == (LAST, None, True)


def test_a_day_of_which_nothing_has_landed_is_not_ready(settings, tmp_path):
    """The error says how far the landed days reach."""
    with pytest.raises(NotReadyError, match=r"the newest landed day is 2026-01-10"):
        BuildState(settings).plan(LAST + ONE)
    with pytest.raises(NotReadyError, match="nothing has landed at all"):
        BuildState(Settings(home=tmp_path / "empty")).plan(LAST)
