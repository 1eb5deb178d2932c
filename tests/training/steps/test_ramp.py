"""The ramp step on a real ledger: what each look does to the experiment, the champion and the other aliases."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.fakes.platforms import FIRST, ID, OPENED, aliases, half_done, home, looked, running, settings_of
from training.domain.errors import NotReadyError
from training.domain.experiment import Cause, Change, State
from training.domain.nouns import VerdictKind
from training.steps import ramp

LATER, LAST = FIRST + timedelta(days=30), FIRST + timedelta(days=60)


@pytest.fixture
def platform(tmp_path):
    """Version 1 in charge, version 2 tried at 10%, then at 50%."""
    found = home(settings_of(tmp_path))
    running(found)
    return found


@pytest.fixture
def run(platform, tmp_path):
    """The step for one day, after the look of that kind if one is given."""

    def act(day, kind=None, **of):
        if kind is not None:
            looked(platform, day, kind, **of)
        return ramp.run(day, settings_of(tmp_path), platform)

    return act


def stands(platform):
    """State, stages, and the champion."""
    (found,) = platform.experiments.all()
    return found.state, len(found.stages), platform.registry.version("champion")


def test_without_an_experiment_there_is_nothing_to_do(tmp_path, capsys):
    """A green run that says so."""
    report = ramp.run(FIRST, settings_of(tmp_path), home(settings_of(tmp_path)))
    assert (report.experiment, report.changed) == ("", False)
    assert capsys.readouterr().out == "No experiment runs.\n"


def test_stage_by_stage_to_the_promotion(platform, run):
    """Each stage begins at the first midnight ahead; only the last one hands over, with the old champion as `previous` and, the first time, `anchor`."""
    assert not run(FIRST, VerdictKind.HOLD).changed
    assert run(LATER, VerdictKind.PROMOTE).stage == 2
    assert platform.experiments.running().stages == ((FIRST, 0.1), (LATER + timedelta(days=2), 0.5))
    assert aliases(platform.registry) == {"champion": "1", "previous": None, "anchor": None}
    assert run(LAST, VerdictKind.PROMOTE).state == "promoted"
    assert aliases(platform.registry) == {"champion": "2", "previous": "1", "anchor": "1"}
    change = platform.experiments.changes()[0]
    assert (change.before, change.after, change.cause, change.experiment_id) == ("1", "2", Cause.EXPERIMENT, ID)
    assert [e.key for e in platform.experiments.events(ID)] == [d.isoformat() for d in (OPENED, LATER, LAST)]


def test_the_anchor_stays_where_it_is(platform, run):
    """What all promotions did together is measured against it."""
    platform.registry.point("anchor", "5")
    run(LATER, VerdictKind.PROMOTE)
    run(LAST, VerdictKind.PROMOTE)
    assert aliases(platform.registry) == {"champion": "2", "previous": "1", "anchor": "5"}


@pytest.mark.parametrize(("days", "state"), [(89, State.RUNNING), (90, State.STOPPED)])
def test_a_stage_that_holds_too_long_ends_the_experiment(platform, run, days, state):
    """Everybody who could show more has entered by then, and other challengers wait."""
    report = run(FIRST + timedelta(days), VerdictKind.HOLD)
    assert stands(platform) == (state, 1, "1")
    assert report.why.startswith("Undecided after 90 days at stage 1") == (state is State.STOPPED)


@pytest.mark.parametrize(
    ("kind", "broken", "state"),
    [(VerdictKind.REJECT, False, State.REJECTED), (VerdictKind.HOLD, True, State.STOPPED), (VerdictKind.HOLD, False, State.RUNNING)],
)
def test_harm_and_a_broken_split_end_it(platform, run, kind, broken, state):
    """The champion stays in charge; holding is no end."""
    report = run(LATER, kind, broken=broken)
    assert stands(platform) == (state, 1, "1")
    assert (report.state, report.changed) == (state.value, state is not State.RUNNING)
    assert ("not split as planned" in report.why) is broken


def test_a_rerun_and_an_older_day_change_nothing(platform, run):
    """A day changes an experiment once, and no day after a later one did."""
    run(LATER, VerdictKind.PROMOTE)
    after = platform.experiments.all()
    for day in (LATER, FIRST + timedelta(days=3), OPENED):
        report = run(day, VerdictKind.REJECT)
        assert (report.changed, platform.experiments.all()) == (False, after)
        assert "changed it last" in report.why


def test_a_stage_that_has_not_begun_is_not_passed(platform, run):
    """The look of the day after is still of the first stage."""
    run(LATER, VerdictKind.PROMOTE)
    report = run(LATER + timedelta(days=1), VerdictKind.PROMOTE)
    assert "begins on" in report.why
    assert stands(platform) == (State.RUNNING, 2, "1")


def test_a_day_must_be_looked_at_once_it_has_begun(platform, run):
    """Before its first day there is nothing to look at."""
    assert "It begins on 2026-03-12" in run(FIRST - timedelta(days=1)).why
    with pytest.raises(NotReadyError, match=f"was not looked at for {LATER}"):
        run(LATER)


def test_another_champion_ends_it(platform, run):
    """Whatever the look says: it compared with somebody who decides for nobody."""
    platform.registry.point("champion", "4")
    report = run(LATER, VerdictKind.PROMOTE)
    assert (report.state, report.why) == ("stopped", "Version 4 is in charge instead of version 1, which the challenger is compared with.")


def test_a_half_done_promotion_is_completed_by_any_later_day(platform, run):
    """Its evidence holds whenever one looks; the change is recorded once, for the day that passed."""
    run(LATER, VerdictKind.PROMOTE)
    last = platform.experiments.running()
    change = Change("1", "2", Cause.EXPERIMENT, "the killed run", last.changed_at + timedelta(days=30), "passed", ID)
    half_done(platform, change, last.ended(State.PROMOTED, change.at, change.reason), LAST.isoformat())
    assert stands(platform) == (State.RUNNING, 2, "2")
    report = run(LAST + timedelta(days=2), VerdictKind.HOLD)
    assert (report.state, stands(platform)) == ("promoted", (State.PROMOTED, 2, "2"))
    event = platform.experiments.events(ID)[-1]
    assert (event.key, event.by) == (LAST.isoformat(), "the killed run")
    assert (platform.experiments.changes()[0], len(platform.experiments.changes())) == (change, 2)
    assert not run(LAST).changed


def test_what_a_person_moved_is_no_half_done_promotion(platform, run):
    """Version 2 by hand, recorded or without a look of the last stage that passed: the experiment is over, not won."""
    looked(platform, LATER, VerdictKind.PROMOTE)
    change = Change("1", "2", Cause.HAND, "me", platform.experiments.running().opened_at, "I like it")
    platform.experiments.changed(change, lambda: platform.registry.point("champion", "2"))
    assert run(LATER).state == "stopped"


def test_the_alias_alone_is_no_evidence(platform, run):
    """Moved past the ledger, at the last stage, whatever the look says: the experiment is stopped, and the change recorded as somebody's."""
    run(LATER, VerdictKind.PROMOTE)
    platform.registry.point("champion", "2")
    assert run(LAST, VerdictKind.PROMOTE).state == "stopped"
    change = platform.experiments.changes()[0]
    assert (change.before, change.after, change.cause, change.by) == ("1", "2", Cause.HAND, "somebody in the registry")
    assert date.fromisoformat(platform.experiments.events(ID)[1].key) == LATER
