"""The promote step on a real ledger: what each verdict of the screen does to the champion, and when it opens an experiment."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.fakes import learning
from tests.fakes.features import write_mart
from tests.fakes.marts import decision
from tests.fakes.platforms import half_done, home, screened, settings_of
from training.adapters.decision_log import DecisionLog
from training.config.serving import Clock
from training.domain.errors import NotReadyError
from training.domain.experiment import Cause, Change, State
from training.domain.nouns import LOGGING_POLICY, VerdictKind
from training.domain.schema import MARTS
from training.evaluation.spending import Spending
from training.steps import promote
from training.steps.opening import lower_bound

MONDAY, TUESDAY, WEDNESDAY = (date(2026, 3, day) for day in (2, 3, 4))


@pytest.fixture
def platform(tmp_path):
    """A platform with versions 1 to 6 and no champion."""
    return home(settings_of(tmp_path))


def judged(platform, day, kind, baseline=LOGGING_POLICY, **evidence):
    """Record the verdict on the challenger of `day`: 1 on Monday, 2 on Tuesday, ..."""
    screened(platform, day, kind, (str(day.day - 1), baseline), **evidence)


@pytest.fixture
def at_once(platform, tmp_path):
    """The step for one day where live judging is off."""
    return lambda day: promote.run(day, settings_of(tmp_path, live=False), platform)


@pytest.fixture
def live(platform, tmp_path):
    """The step for one day, with version 1 put in charge by Monday's screen."""
    settings = settings_of(tmp_path)
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    promote.run(MONDAY, settings, platform)
    return lambda day: promote.run(day, settings, platform)


def told(platform):
    """Who came into charge, why, the oldest first."""
    return [(c.before, c.after, c.cause) for c in reversed(platform.experiments.changes())]


@pytest.mark.parametrize("on", [True, False])
def test_the_first_champion_comes_at_once_and_once(platform, tmp_path, capsys, on):
    """Without a champion there is nothing to experiment against; a rerun finds the alias and the row there."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    settings = settings_of(tmp_path, live=on)
    assert (promote.run(MONDAY, settings, platform).before, platform.registry.version("champion")) == (None, "1")
    assert "Champion was the logging policy, is version 1." in capsys.readouterr().out
    again = promote.run(MONDAY, settings, platform)
    assert (again.kind, again.before, again.after) == ("PROMOTE", "1", "1")
    assert told(platform) == [(None, "1", Cause.SCREEN)]
    assert platform.experiments.all() == []


def test_a_killed_first_promotion_is_recorded_by_its_rerun(platform, tmp_path):
    """The alias was moved, the row was not written."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    half_done(platform, Change(None, "1", Cause.SCREEN, "run", datetime(2026, 3, 3, tzinfo=UTC), "because"))
    promote.run(MONDAY, settings_of(tmp_path), platform)
    assert told(platform) == [(None, "1", Cause.SCREEN)]


@pytest.mark.parametrize("kind", [VerdictKind.REJECT, VerdictKind.HOLD])
def test_refusals_leave_the_champion(platform, at_once, capsys, kind):
    """A refusal is a report with its reason, not an error."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    at_once(MONDAY)
    judged(platform, TUESDAY, kind)
    report = at_once(TUESDAY)
    assert (report.kind, report.before, report.after, report.why) == (kind.value, "1", "1", "because")
    assert f"{kind.value}: because Champion stays version 1." in capsys.readouterr().out


def test_an_old_day_does_not_undo_a_newer_promotion(platform, at_once, capsys):
    """A backfill of Monday after Tuesday's promotion, even though it was judged last."""
    judged(platform, TUESDAY, VerdictKind.PROMOTE)
    at_once(TUESDAY)
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    report = at_once(MONDAY)
    assert (report.before, report.after, platform.registry.version("champion")) == ("2", "2", "2")
    assert "2026-03-03 was promoted later" in capsys.readouterr().out


def test_a_newer_refusal_does_not_block_an_old_day(platform, at_once):
    """Only promotions are evidence that would be undone."""
    judged(platform, WEDNESDAY, VerdictKind.REJECT)
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    assert at_once(MONDAY).after == "1"


def test_a_day_without_a_verdict_cannot_promote(platform, at_once):
    """The step before it did not run."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    with pytest.raises(NotReadyError, match="no verdict for 2026-03-03"):
        at_once(TUESDAY)
    assert platform.registry.version("champion") is None


def test_only_the_champion_that_was_judged_can_be_replaced(platform, at_once, capsys):
    """Tuesday was judged against the logging policy while Monday took charge: it may be worse than Monday; judged against Monday it may follow."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    at_once(MONDAY)
    judged(platform, TUESDAY, VerdictKind.PROMOTE)
    assert at_once(TUESDAY).after == "1"
    assert "judged against logging policy, but version 1 is in charge" in capsys.readouterr().out
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    assert at_once(TUESDAY).after == "2"
    assert told(platform) == [(None, "1", Cause.SCREEN), ("1", "2", Cause.SCREEN)]
    assert platform.registry.version("previous") == "1"


def test_a_champion_is_challenged_live_and_stays(platform, live):
    """A PROMOTE of the screen opens an experiment from the first midnight ahead, at the level that is left; a rerun opens no other."""
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    for _ in range(2):
        report = live(TUESDAY)
        assert (report.after, platform.registry.version("champion"), report.experiment) == ("1", "1", "2026-03-03-v2")
    (experiment,) = platform.experiments.all()
    assert (experiment.challenger, experiment.champion, experiment.state) == ("2", "1", State.RUNNING)
    assert experiment.stages == ((date(2026, 3, 5), 0.1),)
    assert experiment.alpha == Spending(0.05).level()
    assert [(e.key, e.stage) for e in platform.experiments.events("2026-03-03-v2")] == [("2026-03-03", 1)]


@pytest.mark.parametrize(("group", "opened"), [("uniform", False), ("champion", True)])
def test_no_experiment_is_opened_where_nobody_decides_by_groups(platform, live, tmp_path, group, opened):
    """It would find every member in another group than the hash says, and spend alpha."""
    rows = [decision("d1", MONDAY, TUESDAY, assignment_group=group), decision("d2", date(2026, 2, 3), TUESDAY, assignment_group="champion")]
    write_mart(settings_of(tmp_path).marts, MARTS["decision_outcomes"], rows)
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    report = live(TUESDAY)
    assert bool(platform.experiments.all()) == bool(report.experiment) == opened
    assert report.why.startswith("No experiment is opened: nobody has decided by its groups") != opened


def test_a_stage_begins_after_the_services_own_today(platform, live, tmp_path):
    """The log's clock is at March 20th when March 3rd is worked on late: the 5th is over."""
    log = DecisionLog(f"sqlite:///{tmp_path / 'decisions.db'}")
    learning.fill(log, [learning.served(1, datetime(2026, 3, 20, 13, tzinfo=UTC))])
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    settings = settings_of(tmp_path)
    promote.run(TUESDAY, settings.model_copy(update={"serving": settings.serving.model_copy(update={"clock": Clock.DATA})}), platform)
    assert platform.experiments.all()[0].stages[0][0] == date(2026, 3, 21)


def test_challengers_wait_and_the_best_is_next(platform, live):
    """Of those that passed while one ran, the highest lower bound at alpha / K is tried next; the one that lost is not tried again."""
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    live(TUESDAY)
    running = platform.experiments.running()
    for day, gain in ((4, 0.011), (5, 0.012), (6, 0.0115)):
        judged(platform, date(2026, 3, day), VerdictKind.PROMOTE, "1", gain=gain)
        assert "waits: experiment 2026-03-03-v2 runs" in live(date(2026, 3, day)).why
    platform.experiments.move(running.ended(State.REJECTED, running.opened_at + timedelta(days=3), "worse"), "run", "2026-03-06")
    judged(platform, date(2026, 3, 7), VerdictKind.HOLD, "1")
    assert live(date(2026, 3, 7)).experiment == "2026-03-07-v4"
    chosen = platform.experiments.running()
    assert (chosen.champion, chosen.alpha) == ("1", Spending(0.05, (False,)).level())
    assert "of the 3 that did (3, 4, 5)" in chosen.reason
    assert "at alpha 0.05/3" in chosen.reason
    assert live(date(2026, 3, 6)).experiment == ""


def test_the_newest_among_equals_and_a_wide_interval_loses(platform, live):
    """By hand: alpha / 2 widens 0.004 to 0.004 x 1.960 / 1.645 = 0.004766; a better mean with a wider interval has the lower bound below."""
    for day, gain, half in ((3, 0.010, 0.004), (4, 0.0105, 0.009)):
        judged(platform, date(2026, 3, day), VerdictKind.PROMOTE, "1", gain=gain, half=half)
    first = next(v for v in platform.ledger.verdicts() if v.challenger == "2")
    assert lower_bound(first, 0.05, 2) == pytest.approx(0.010 - 0.004766, abs=1e-6)
    judged(platform, date(2026, 3, 5), VerdictKind.PROMOTE, "1", gain=0.010, half=0.004)
    assert live(date(2026, 3, 5)).experiment == "2026-03-05-v4"


def test_what_passed_long_ago_or_against_another_champion_is_not_tried(platform, live):
    """Fourteen days, and the champion that it was judged against."""
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    judged(platform, WEDNESDAY, VerdictKind.PROMOTE, "6")
    screened(platform, date(2026, 3, 18), VerdictKind.HOLD, ("5", "1"))
    assert live(date(2026, 3, 18)).experiment == ""
    screened(platform, date(2026, 3, 17), VerdictKind.HOLD, ("5", "1"))
    assert live(date(2026, 3, 17)).experiment == "2026-03-17-v2"


def test_alpha_is_whole_where_nothing_is_spent(platform, live, tmp_path):
    """`experiment.spend = false`."""
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    promote.run(TUESDAY, settings_of(tmp_path, spend=False), platform)
    assert platform.experiments.running().alpha == 0.05
