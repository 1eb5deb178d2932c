"""The watch on real marts and a real ledger: a champion of known truth against the holdback."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fakes.live import FIRST, RATES, World, experiment, harmless, midnight, platform, shifted
from training.config.experiment import ExperimentSettings
from training.config.settings import RuleSettings, Settings
from training.domain.assignment import Group
from training.domain.experiment import Cause, Change, State
from training.domain.nouns import RuleKind
from training.steps import watch

RULES = [
    RuleSettings(metric="converted", kind=RuleKind.SUPERIOR),
    RuleSettings(metric="retained", kind=RuleKind.NON_INFERIOR, margin=0.06),
    RuleSettings(metric="opted_out", kind=RuleKind.NON_INFERIOR, margin=0.04, lower_is_better=True),
]
LONG = World(members=12_000, days=84, until=115, visits=4.0)
DAY = LONG.day


@pytest.fixture
def settings(tmp_path):
    """An empty home, a third of the members held back."""
    return Settings(home=tmp_path, rules=RULES, experiment=ExperimentSettings(holdback=0.3, early={"visited": 0.1, "dismissed": 0.1}))


def stage(settings, champion="2", anchor="1", at=FIRST - timedelta(days=1)):
    """`champion` in charge since `at` after `anchor`."""
    ready = platform(settings)
    (settings.home / "empty").mkdir(exist_ok=True)
    for run in ("a", "b", "c"):
        ready.registry.register(settings.home / "empty", {"run_id": run})
    for alias, version in (("champion", champion), ("anchor", anchor)):
        if version:
            ready.registry.point(alias, version)
    if champion and not ready.experiments.changes():
        ready.experiments.changed(Change(None, "1", Cause.SCREEN, "run", midnight(at) - timedelta(days=9), "first"), lambda: None)
        ready.experiments.changed(Change("1", champion, Cause.EXPERIMENT, "run", midnight(at), "better", "e0"), lambda: None)
    return ready


def watched(settings, world, ready=None, running=None):
    """One watch over `world`: the report and the evidence by name."""
    ready = ready or stage(settings)
    world.write(settings.marts, settings.experiment.split(running))
    report = watch.run(world.day, settings, ready)
    looks = ready.ledger.looks("watch-2")
    return report, {e.name: e for e in looks[-1].evidence} if looks else {}


@pytest.mark.parametrize(
    ("champion", "anchor", "why"),
    [(None, None, "No champion"), ("2", None, "No version is the anchor"), ("2", "2", "gets version 2 as well"), ("3", "1", "does not say since when")],
)
def test_nothing_to_watch_is_no_error(settings, champion, anchor, why):
    """Green, says why, records nothing."""
    ready = stage(settings, "2", "1")
    ready.registry.aliases = {alias: v for alias, v in (("champion", champion), ("anchor", anchor)) if v}
    report = watch.run(FIRST, settings, ready)
    assert why in report.reason
    assert report.kind == ""
    assert not ready.ledger.looks("watch-2")


def test_the_day_of_the_change_is_not_watched(settings):
    """Until a whole day is over there is nothing."""
    assert "first whole day is the next" in watch.run(FIRST, settings, stage(settings, at=FIRST)).reason


def test_a_harmless_champion_is_kept(settings):
    """PROMOTE: every guardrail and early proxy holds, and no success is asked for."""
    report, found = watched(settings, LONG)
    assert report.kind == "PROMOTE"
    assert "kept" in report.reason
    assert set(found) >= {"retained non_inferior", "opted_out non_inferior", "visited non_inferior", "assignment_agreement"}
    assert found["dismissed non_inferior"].passed
    assert 0.95 * 12_000 < report.units < 12_000
    assert found["retained non_inferior (after 56 days)"].note.startswith("later")


def test_harm_is_found(settings):
    """20 points fewer stay with the champion: REJECT against the anchor, in the ledger under the watch's own name."""
    ready = stage(settings)
    report, found = watched(settings, replace(LONG, chance=shifted("retained", -0.2, Group.CHAMPION)), ready)
    assert report.kind == "REJECT"
    assert found["retained non_inferior"].value == pytest.approx(-0.2, abs=0.03)
    (verdict,) = ready.ledger.looks("watch-2")
    assert (verdict.run_id, verdict.challenger, verdict.baseline) == (f"watch-2@{DAY}", "2", "1")
    assert verdict.lineage["alpha"] == f"{0.05 / 2.6123753486854883:g}"
    later = Change("2", "3", Cause.EXPERIMENT, "run", midnight(DAY), "better", "e1")
    changes = ready.experiments.changes()
    assert watch.charge([later, *changes], "3") == (2, later)
    screened = replace(later, cause=Cause.SCREEN)  # where no experiments are made every champion but the first replaces one that was watched
    assert watch.charge([screened, *changes], "3") == (2, screened)


def test_harm_that_begins_later_is_found(settings):
    """Nothing in the first 28 days, 40 points after: members are followed, so it shows; by first entries alone hardly anything would."""

    def late(label, group, day, country):
        return np.where((label == "retained") & (group == "champion") & (day >= 28), RATES["retained"] - 0.4, harmless(label, group, day, country))

    report, found = watched(settings, replace(LONG, chance=late))
    assert report.kind == "REJECT"
    assert found["retained non_inferior (after 84 days)"].value < found["retained non_inferior"].value - 0.1
    ready = stage(settings)
    watch.run(FIRST + timedelta(days=55), settings, ready)
    early, _ = (next(e for e in v.evidence if e.name == "retained non_inferior") for v in ready.ledger.looks("watch-2"))
    assert abs(early.value) < 0.05


def test_an_early_proxy_rolls_back_before_retention_is_known(settings):
    """40 points fewer come back within two weeks, seen on day 22."""
    report, found = watched(settings, replace(LONG, until=22, chance=shifted("visited", -0.4, Group.CHAMPION)))
    assert report.kind == "REJECT"
    assert found["retained non_inferior"].sample == 0


def test_members_of_a_challenger_are_left_out(settings):
    """A bad challenger runs from day 20 on half of the members, and is rejected on day 60: the champion is not blamed for it."""
    running = experiment((20, 0.5))
    ready = stage(settings)
    ready.experiments.open(running, "test")
    bad = replace(LONG, chance=shifted("retained", -0.5))
    report, found = watched(settings, bad, ready, running)
    assert report.kind == "PROMOTE"
    assert found["assignment_agreement"].passed
    before = found["retained non_inferior"]
    ready.experiments.move(running.ended(State.REJECTED, midnight(FIRST + timedelta(days=60)), "harm"), "test")
    assert watch.run(DAY, settings, ready).kind == "HOLD"  # the marts still say challenger after day 60
    assert before.value == pytest.approx(0.0, abs=0.03)


def test_a_renewed_anchor_is_compared_by_what_it_decided_itself(settings):
    """The anchor before was 20 points better than the champion, the one since day 40 is as good: mixing both would put the new one in charge for the old."""

    def two_anchors(label, group, day, country):
        better = (label == "retained") & (group == "holdback") & (day < 40)
        return np.where(better, 0.95, np.where(label == "retained", 0.75, harmless(label, group, day, country)))

    world = replace(LONG, chance=two_anchors)
    assert watched(settings, world)[0].kind == "REJECT"
    ready = stage(settings)
    at = midnight(FIRST + timedelta(days=40))
    ready.experiments.changed(Change("2", "2", Cause.ANCHOR, "me", at, "spoilt"), lambda: ready.registry.point("anchor", "3"))
    report, found = watched(settings, world, ready)
    assert (report.kind == "REJECT", report.anchor) == (False, "3")
    assert found["retained non_inferior"].value == pytest.approx(0.0, abs=0.05)
    assert ready.ledger.looks("watch-2")[-1].lineage["data_window"].startswith(f"{FIRST + timedelta(days=41)} to")


def test_a_holdback_that_got_the_champion_holds(settings):
    """Logged under another group than the hash says: there is nothing to compare with."""
    report, _ = watched(settings, replace(LONG, logged={"holdback": "champion"}))
    assert report.kind == "HOLD"
    assert "logged under another group" in report.reason
    assert report.reason.startswith("If `experiment.salt`, `holdback` or `control` was changed: nobody watches the champion until `rightmatch anchor 1`")


def test_a_changed_split_is_named_with_the_command(settings):
    """Another salt, or a smaller holdback: what was decided before was for other members, so the watch holds, and says since when and what to do."""
    ready = stage(settings)
    LONG.write(settings.marts, settings.experiment.split(None))
    assert "salt" not in watch.run(DAY - timedelta(days=1), settings, ready).reason
    for change in ({"salt": "another"}, {"holdback": 0.2}):
        other = settings.model_copy(update={"experiment": settings.experiment.model_copy(update=change)})
        report = watch.run(DAY, other, ready)
        assert report.kind == "HOLD"
        assert report.reason.startswith(
            f"The settings split members otherwise than at the look of {DAY} (salt rightmatch, holdback 0.3, control 0.01; now salt "
        )
        assert "nobody watches the champion until `rightmatch anchor 1` begins the watch anew. Members are not split as planned" in report.reason
        assert ready.ledger.looks("watch-2")[-1].reason == report.reason


def test_a_rerun_gives_the_same_row(settings):
    """To the last bit, whatever the order of the mart's rows."""
    ready = stage(settings)
    watched(settings, LONG, ready)
    first = ready.ledger.looks("watch-2")
    file = settings.marts / "decision_outcomes.parquet"
    table = pq.read_table(file)
    pq.write_table(table.take(np.random.default_rng(0).permutation(table.num_rows)), file)
    watch.run(DAY, settings, ready)
    assert ready.ledger.looks("watch-2") == first


def test_a_champion_that_nobody_met_holds(settings):
    """No decision since it came into charge: HOLD, not kept."""
    report, _ = watched(settings, World(members=50, visits=0.0))
    assert (report.kind, report.units) == ("HOLD", 0)
