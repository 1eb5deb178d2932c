"""The roll_back step on a real ledger: harm puts the anchor back in charge, once, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tests.fakes.platforms import ID, aliases, home, looked, promoted, settings_of
from training.domain.experiment import Cause, Change, State
from training.domain.nouns import VerdictKind
from training.steps import roll_back

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


def test_a_half_done_roll_back_is_completed_by_any_later_day(platform, run):
    """The alias was moved, the row was not written."""
    looked(platform, HARM, VerdictKind.REJECT, "watch-2")
    platform.registry.point("champion", "1")
    assert run(HARM + timedelta(days=3)).rolled_back
    assert platform.experiments.all()[0].state is State.ROLLED_BACK
    assert platform.experiments.changes()[0].cause is Cause.WATCH


def test_an_experiment_against_the_harmful_champion_stops(platform, run):
    """Its challenger was only shown to be better than what did harm."""
    first = platform.experiments.all()[0]
    later = replace(first, experiment_id="2026-05-01-v3", challenger="3", champion="2", state=State.RUNNING, opened_at=first.changed_at + timedelta(days=9))
    platform.experiments.open(later, "run", "2026-05-01")
    run(HARM, VerdictKind.REJECT)
    assert {e.experiment_id: e.state for e in platform.experiments.all()} == {ID: State.ROLLED_BACK, "2026-05-01-v3": State.STOPPED}
