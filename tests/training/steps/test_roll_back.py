"""The roll_back step on a real ledger: harm puts the anchor back in charge, once, and nothing else does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.fakes.platforms import ID, Killed, aliases, half_done, home, looked, promoted, settings_of
from training.domain.experiment import Cause, Change, State
from training.domain.nouns import VerdictKind
from training.steps import alarm, ramp, roll_back
from training.steps.in_charge import hand_over
from training.steps.unfinished import finish

PROMOTED = date(2026, 4, 20)
HARM = PROMOTED + timedelta(days=40)


@pytest.fixture
def platform(tmp_path):
    """Version 2 in charge since April 20th, version 1 the anchor."""
    found = home(settings_of(tmp_path))
    promoted(found, PROMOTED)
    return found


@pytest.fixture
def run(platform, tmp_path):
    """The step for one day, after the watch's verdict of that kind if one is given."""

    def act(day, kind=None, version="2"):
        if kind is not None:
            looked(platform, day, kind, f"watch-{version}")
        return roll_back.run(day, settings_of(tmp_path), platform)

    return act


def test_harm_puts_the_anchor_in_charge_once(platform, run, capsys):
    """Alias, state and change together; a rerun says the same and changes nothing."""
    for _ in range(2):
        report = run(HARM, VerdictKind.REJECT)
        assert (report.rolled_back, report.before, report.after, report.why) == (True, "2", "1", f"REJECT of {HARM}.")
    assert "Champion was version 2, is version 1." in capsys.readouterr().out
    assert aliases(platform.registry) == {"champion": "1", "previous": None, "anchor": "1"}
    assert platform.experiments.all()[0].state is State.ROLLED_BACK
    assert [(c.before, c.after, c.cause, c.experiment_id) for c in platform.experiments.changes()][:2] == [
        ("2", "1", Cause.WATCH, ID),
        ("1", "2", Cause.EXPERIMENT, ID),
    ]
    assert run(HARM + timedelta(days=1)).rolled_back is False


def test_everybody_is_told_once(platform, run, tmp_path, monkeypatch):
    """A run that rolled back and was stopped before its alarm has told nobody: the next one does, of its own roll-back too, also when it is run again; the one
    after it has nothing to tell.
    """

    def told(number):
        monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", f"run {number}")
        return alarm.run(HARM, settings_of(tmp_path), platform)

    assert run(HARM, VerdictKind.REJECT).untold == 1
    again = Change("1", "2", Cause.HAND, "a person", datetime(2026, 6, 1, tzinfo=UTC), "try it again")
    platform.experiments.changed(again, hand_over(platform.registry, "1", "2"))
    later = HARM + timedelta(days=7)
    assert run(later, VerdictKind.REJECT).untold == 2
    for _ in range(2):
        report = told(1)
        assert (report.told, report.before, report.after) == (2, "2", "1")
        assert report.why.startswith(f"REJECT of {later}. Before that, at ")
        assert report.why.endswith(f"version 1 instead of version 2: REJECT of {HARM}.")
    assert told(2).told == 0
    assert run(later, VerdictKind.REJECT).untold == 0


@pytest.mark.parametrize("finds", [finish, lambda settings, platform: ramp.run(HARM, settings, platform)])
def test_what_somebody_else_completes_is_told_by_the_next_run(platform, run, tmp_path, finds):
    """The watch's roll-back was killed halfway, and `rightmatch rollback` or a ramp finds it: no alarm was raised, so the next run of `guard` raises it."""
    half_done(platform, BY_WATCH, platform.experiments.all()[0].ended(State.ROLLED_BACK, BY_WATCH.at, BY_WATCH.reason))
    finds(settings_of(tmp_path), platform)
    report = run(HARM)
    assert (report.rolled_back, report.untold) == (False, 1)
    assert alarm.run(HARM, settings_of(tmp_path), platform).why == "harm"


@pytest.mark.parametrize("kind", [VerdictKind.PROMOTE, VerdictKind.HOLD, None])
def test_nothing_else_does(platform, run, kind):
    """Harmless, not known yet, or not watched that day."""
    assert run(HARM, kind).rolled_back is False
    assert platform.registry.version("champion") == "2"


def test_without_an_anchor_or_with_the_anchor_in_charge_nothing_is_watched(platform, run, tmp_path):
    """Green, and says so."""
    fresh = home(settings_of(tmp_path / "fresh"))
    assert "Nothing was promoted" in roll_back.run(HARM, settings_of(tmp_path / "fresh"), fresh).why
    platform.registry.point("anchor", "2")
    assert "What the holdback gets is in charge" in run(HARM, VerdictKind.REJECT).why


def test_a_verdict_from_before_the_last_change_does_nothing(platform, run):
    """A person put version 2 back: no day that was not over by then overrules them, the watch of the first whole day may."""
    run(HARM, VerdictKind.REJECT)
    at = platform.experiments.changes()[0].at + timedelta(hours=9)
    platform.experiments.changed(Change("1", "2", Cause.HAND, "me", at, "it was the logging"), lambda: platform.registry.point("champion", "2"))
    assert "a later day has to show the harm" in run(HARM).why
    assert "a later day has to show the harm" in run(HARM + timedelta(days=1), VerdictKind.REJECT).why
    assert run(HARM + timedelta(days=2), VerdictKind.REJECT).rolled_back
    assert platform.registry.version("champion") == "1"


def test_a_person_is_not_overruled_where_the_data_has_a_clock_of_its_own(platform, run):
    """They put version 2 back when the newest decision is still of the harmful day: the verdict of that day is about what was before."""
    run(HARM, VerdictKind.REJECT)
    at = platform.experiments.changes()[0].at - timedelta(minutes=1)
    platform.experiments.changed(Change("1", "2", Cause.HAND, "me", at, "it was the logging"), lambda: platform.registry.point("champion", "2"))
    assert not run(HARM).rolled_back
    assert platform.registry.version("champion") == "2"


BY_WATCH = Change("2", "1", Cause.WATCH, "the killed run", datetime(2026, 5, 31, tzinfo=UTC), "harm", ID)
BY_HAND = Change("2", "1", Cause.HAND, "eve", datetime(2026, 5, 31, tzinfo=UTC), "complaints", ID)


@pytest.mark.parametrize(("change", "told"), [(BY_WATCH, True), (BY_HAND, False)])
def test_a_half_done_roll_back_is_completed_as_what_it_was(platform, run, change, told):
    """Any later day records who began it and why; a person's is no harm that the watch found, even where the watch found some."""
    looked(platform, HARM, VerdictKind.REJECT, "watch-2")
    half_done(platform, change, platform.experiments.all()[0].ended(State.ROLLED_BACK, change.at, change.reason))
    assert (platform.experiments.changes()[0].after, platform.registry.version("champion")) == ("2", "1")
    assert run(HARM + timedelta(days=3)).rolled_back is told
    assert platform.experiments.changes()[0] == change
    assert (platform.experiments.all()[0].state, platform.experiments.begun()) == (State.ROLLED_BACK, None)


def test_a_roll_back_that_moved_nothing_is_given_up(platform, run):
    """Killed before the alias moved: the next day begins it anew, by its own verdict."""
    with suppress(Killed):
        platform.experiments.changed(BY_HAND, lambda: (_ for _ in ()).throw(Killed))
    assert platform.experiments.begun() == (BY_HAND, "")
    assert not run(HARM, VerdictKind.HOLD).rolled_back
    assert platform.experiments.begun() is None
    assert run(HARM + timedelta(days=1), VerdictKind.REJECT).rolled_back


def test_an_alias_that_was_moved_past_the_ledger_is_recorded(platform, run):
    """As somebody's, not as the watch's, and the experiment that had promoted is rolled back. Put back by hand the same change is made again."""
    platform.registry.point("champion", "1")
    assert not run(HARM, VerdictKind.REJECT).rolled_back
    change = platform.experiments.changes()[0]
    assert (change.before, change.after, change.cause, change.by, change.experiment_id) == ("2", "1", Cause.HAND, "somebody in the registry", ID)
    assert platform.experiments.all()[0].state is State.ROLLED_BACK
    again = Change("1", "2", Cause.HAND, "me", change.at, "it was an accident")
    platform.experiments.changed(again, lambda: platform.registry.point("champion", "2"))
    assert (platform.experiments.changes()[0], platform.registry.version("champion")) == (again, "2")


def test_an_experiment_against_the_harmful_champion_stops(platform, run):
    """Its challenger was only shown to be better than what did harm."""
    first = platform.experiments.all()[0]
    later = replace(first, experiment_id="2026-05-01-v3", challenger="3", champion="2", state=State.RUNNING, opened_at=first.changed_at + timedelta(days=9))
    platform.experiments.open(later, "run", "2026-05-01")
    run(HARM, VerdictKind.REJECT)
    assert {e.experiment_id: e.state for e in platform.experiments.all()} == {ID: State.ROLLED_BACK, "2026-05-01-v3": State.STOPPED}
