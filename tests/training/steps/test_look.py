"""The look step on real marts and a real ledger: what it makes of experiments of known truth."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fakes.learning import model
from tests.fakes.live import FIRST, World, experiment, harmless, midnight, platform, shifted
from training.adapters.log_engine import log_engine
from training.adapters.service_times import Key, Tally, add
from training.config.experiment import ExperimentSettings, SegmentSettings
from training.config.settings import RuleSettings, Settings
from training.domain.errors import DataError, NotReadyError
from training.domain.nouns import RuleKind, VerdictKind
from training.steps import look
from training.steps.task import asdict

RULES = [
    RuleSettings(metric="converted", kind=RuleKind.SUPERIOR),
    RuleSettings(metric="retained", kind=RuleKind.NON_INFERIOR, margin=0.06),
    RuleSettings(metric="opted_out", kind=RuleKind.NON_INFERIOR, margin=0.04, lower_is_better=True),
]
LIVE = {"effect": 0.05, "early": {"visited": 0.1, "dismissed": 0.1}, "segments": [SegmentSettings(column="country")]}
SELLS = shifted("converted", 0.08)


@pytest.fixture
def settings(tmp_path):
    """An empty home with margins that 8,000 members can show."""
    return Settings(home=tmp_path, rules=RULES, experiment=ExperimentSettings(**LIVE))


def judged(settings, world, running=None):
    """One look at `world`: the report, the verdict and its evidence by name."""
    running = running or experiment()
    stage = platform(settings, running)
    world.write(settings.marts, settings.experiment.split(running))
    report = look.run(world.day, settings, stage)
    verdict = stage.ledger.looks(running.experiment_id)[-1]
    return report, verdict, {e.name: e for e in verdict.evidence}


def test_without_an_experiment_there_is_nothing_to_do(settings):
    """Green, nothing is recorded; the same where it begins after the day."""
    stage = platform(settings)
    report = look.run(FIRST, settings, stage)
    assert (report.kind, report.reason) == ("", "No experiment is running.")
    stage.experiments.open(experiment((5, 0.5)), "test")
    assert "begins on 2026-03-07" in look.run(FIRST, settings, stage).reason
    assert not stage.ledger.looks("2026-03-01.2")


def test_a_good_challenger_passes(settings):
    """It sells 8 points more and harms nobody: PROMOTE with every rule, segment, proxy and check beside it, and where it comes from."""
    report, verdict, found = judged(settings, World(chance=SELLS))
    assert report.kind == verdict.kind.value == "PROMOTE"
    assert (verdict.run_id, verdict.challenger, verdict.baseline) == (f"2026-03-01.2@{World().day}", "2", "1")
    assert verdict.judged_at == midnight(World().day) + timedelta(days=1)
    assert 0.08 < found["converted superior"].value < 0.14  # any of the decisions of seven days, of which there may be two or more
    assert {f"retained non_inferior (country {c})" for c in ("DE", "FR", "NL", "PT")} < set(found)
    assert found["sample_ratio"].passed
    assert found["assignment_agreement"].passed
    assert found["dismissed non_inferior"].passed
    assert verdict.lineage.items() >= {"experiment": "2026-03-01.2", "stage": "1 of 1", "alpha": "0.05", "model_version": "2", "source": "simulated"}.items()
    assert verdict.lineage["data_window"] == f"2026-03-02 to {World().day}"
    json.dumps(asdict(report), allow_nan=False)


def test_revenue_and_dismissals_can_be_guardrails(settings):
    """By two more rules: money a member and the share who dismiss, for all and by segment; harm to one of them rejects whoever sells more."""
    more = [("conversion_value", 0.5, False), ("dismissed", 0.06, True)]
    rules = [RuleSettings(metric=name, kind=RuleKind.NON_INFERIOR, margin=margin, lower_is_better=lower) for name, margin, lower in more]
    live = ExperimentSettings(**LIVE | {"early": {"visited": 0.1}})
    wider = settings.model_copy(update={"rules": [*RULES, *rules], "experiment": live})
    report, _, found = judged(wider, World(chance=SELLS))
    assert report.kind == "PROMOTE"
    assert found["conversion_value non_inferior"].value > 0.5
    assert found["dismissed non_inferior (country DE)"].passed
    annoys = wider.model_copy(update={"home": settings.home / "annoys"})
    report, _, found = judged(annoys, World(chance=shifted("dismissed", 0.2, base=SELLS)))
    assert (report.kind, found["dismissed non_inferior"].refuted, found["conversion_value non_inferior"].passed) == ("REJECT", True, True)


def test_a_rerun_replaces_the_same_row(settings):
    """Same verdict to the last bit, one row, also where the mart's rows come in another order and the ramp has gone on since."""
    running = experiment((0, 0.1), ramp=(0.1, 0.5))
    _, verdict, _ = judged(settings, World(chance=SELLS), running)
    file = settings.marts / "decision_outcomes.parquet"
    table = pq.read_table(file)
    pq.write_table(table.take(np.random.default_rng(0).permutation(table.num_rows)), file)
    stage = platform(settings)
    stage.experiments.move(running.advanced(World().day + timedelta(days=2), verdict.judged_at, "go on"), "test")
    look.run(World().day, settings, stage)
    assert stage.ledger.looks(running.experiment_id) == [verdict]


def test_what_is_immature_at_the_end_of_the_day_is_unknown(settings):
    """Marts of day 60, looked at as of day 20: what day 20 would have known, by marts that end there."""
    world = World(chance=SELLS)
    judged(settings, world)
    stage = platform(settings)
    look.run(FIRST + timedelta(days=20), settings, stage)
    past, _ = stage.ledger.looks("2026-03-01.2")
    found = {e.name: e for e in past.evidence}
    assert past.kind is VerdictKind.HOLD
    assert found["retained non_inferior"].sample == 0
    assert 0 < found["visited non_inferior"].sample < 8_000
    World(chance=SELLS, until=20).write(settings.marts, settings.experiment.split(experiment()))
    look.run(FIRST + timedelta(days=20), settings, stage)
    again, _ = stage.ledger.looks("2026-03-01.2")
    assert again.evidence == past.evidence


def test_marts_that_end_before_the_day_are_refused(settings):
    """Not yet published is not what did not happen."""
    judged(settings, World(members=500))
    with pytest.raises(NotReadyError, match=r"end with 2026-05-01, so a look of 2026-05-02"):
        look.run(World().day + timedelta(days=1), settings, platform(settings))


def test_harm_rejects(settings):
    """20 points fewer stay, whatever it sells."""
    report, _, found = judged(settings, World(chance=shifted("retained", -0.2, base=SELLS)))
    assert report.kind == "REJECT"
    assert found["retained non_inferior"].refuted
    assert found["retained non_inferior"].value == pytest.approx(-0.2, abs=0.05)


def test_harm_in_one_segment_rejects(settings):
    """A fourth of the members loses 30 points, the others gain 6: the mean is within its margin, that segment is not."""
    chance = shifted("retained", -0.36, base=shifted("retained", 0.06, base=SELLS), where="DE")
    report, verdict, found = judged(settings, World(chance=chance))
    assert report.kind == "REJECT"
    assert "country DE" in verdict.reason
    assert not found["retained non_inferior"].refuted


def test_an_early_proxy_stops(settings):
    """30 points fewer come back within two weeks: rejected on a day when no retention label is mature."""
    report, verdict, found = judged(settings, World(until=22, chance=shifted("visited", -0.3, base=SELLS)))
    assert report.kind == "REJECT"
    assert "visited" in verdict.reason
    assert found["retained non_inferior"].sample == 0


def test_a_ramp_while_everything_rises_is_no_effect(settings):
    """Retention 60% in the first week at 10%, 95% in the third at 50%: pooled members differ by many points, cohorts by none."""

    def rising(label, group, day, country):
        return np.where(day < 10, 0.6, 0.95) if label == "retained" else harmless(label, group, day, country)

    running = experiment((0, 0.1), (10, 0.5), ramp=(0.1, 0.5))
    _, _, found = judged(settings, World(members=12_000, days=20, chance=rising), running)
    assert abs(found["retained non_inferior"].value) < 0.03
    before, after = (float(part.split()[-1]) for part in found["retained non_inferior"].note.split(", ")[1:3])
    assert abs(after - before) < 0.2


def test_an_early_stage_asks_for_no_gain(settings):
    """Stage 1 of 2 with a fifth of the information: guardrails by wider margins, nothing sold more: go on."""
    report, _, found = judged(settings, World(members=30_000), experiment((0, 0.1), ramp=(0.1, 0.5)))
    assert (report.kind, report.stage) == ("PROMOTE", 1)
    assert found["retained non_inferior"].threshold == pytest.approx(-0.06 / np.sqrt(0.2))
    assert not found["converted superior"].passed


def test_a_challenger_whose_members_are_lost_is_held_for_good(settings):
    """Every fourth challenger member's decisions are missing: HOLD, and HOLD still after the log was mended, for what is lost does not come back."""
    world, running = World(members=20_000, chance=SELLS), experiment()
    split = settings.experiment.split(running)
    world.write(settings.marts, split)
    file = settings.marts / "decision_outcomes.parquet"
    table = pq.read_table(file)
    lost = [g == "challenger" and int(m[1:]) % 4 == 0 for g, m in zip(table["assignment_group"].to_pylist(), table["member_id"].to_pylist(), strict=True)]
    pq.write_table(table.filter(~np.array(lost)), file)
    stage = platform(settings, running)
    assert look.run(world.day - timedelta(days=1), settings, stage).kind == "HOLD"
    assert not next(e for e in stage.ledger.looks(running.experiment_id)[0].evidence if e.name == "sample_ratio").passed
    pq.write_table(table, file)
    report = look.run(world.day, settings, stage)
    assert report.kind == "HOLD"
    assert "does not heal" in report.reason


def test_decisions_of_another_group_than_the_hash_says_hold(settings):
    """A service that never learned of the experiment gave everyone the champion."""
    report, _, found = judged(settings, World(chance=SELLS, logged={"challenger": "champion"}))
    assert report.kind == "HOLD"
    assert "were logged under another group" in report.reason
    assert found["assignment_agreement"].value == pytest.approx(-0.5, abs=0.05)


def test_fallbacks_of_the_challenger_are_its_own(settings):
    """Half of what it decided fell back: no disagreement, and its members still count as its members."""
    running, world = experiment(), World(chance=SELLS)
    world.write(settings.marts, settings.experiment.split(running))
    stage = platform(settings, running)
    look.run(world.day, settings, stage)
    before = stage.ledger.looks(running.experiment_id)[0]
    file = settings.marts / "decision_outcomes.parquet"
    table = pq.read_table(file)
    groups = [("fallback" if g == "challenger" and i % 2 else g) for i, g in enumerate(table["assignment_group"].to_pylist())]
    at = table.column_names.index("assignment_group")
    pq.write_table(table.set_column(at, table.schema.field(at), [groups]), file)
    look.run(world.day, settings, stage)
    after = stage.ledger.looks(running.experiment_id)[0]
    assert [e for e in after.evidence if e.name != "assignment_agreement"] == [e for e in before.evidence if e.name != "assignment_agreement"]
    assert next(e for e in after.evidence if e.name == "assignment_agreement").passed


@pytest.mark.parametrize(("tally", "kind"), [(Tally(1_000, 20_000), "REJECT"), (Tally(210, 20_000), "PROMOTE")])
def test_slow_decisions_are_a_guardrail(settings, tally, kind):
    """5% slow decisions against 1% break a margin of 1 point; without the counts nothing is said."""
    engine = log_engine(settings.log_url)
    add(engine, {Key(FIRST, "champion", "1"): Tally(200, 20_000), Key(FIRST, "challenger", "2"): tally})
    engine.dispose()
    report, _, found = judged(settings, World(chance=SELLS))
    assert report.kind == kind
    assert found["slow_decisions non_inferior"].refuted == (kind == "REJECT")


def test_a_service_that_gets_slower_for_all_while_the_ramp_grows_is_nobodys_fault(settings):
    """1% slow while a tenth is the challenger's, 11% while half is: in each day both are alike, pooled over the days the challenger has 4 points more."""
    engine = log_engine(settings.log_url)
    for day, share, late in ((FIRST, 0.1, 0.01), (FIRST + timedelta(days=1), 0.5, 0.11)):
        whole = {("champion", "1"): round(100_000 * (1.0 - share)), ("challenger", "2"): round(100_000 * share)}
        add(engine, {Key(day, *who): Tally(round(late * n), n) for who, n in whole.items()})
    engine.dispose()
    report, _, found = judged(settings, World(chance=SELLS))
    assert report.kind == "PROMOTE"
    assert found["slow_decisions non_inferior"].value == pytest.approx(0.0, abs=1e-9)


def test_predictions_of_the_champion_are_taken_at_entry(settings):
    """With a model in the registry the differences say so, and its predictions are what it expects of `none`."""
    running, world = experiment(), World(members=3_000, chance=SELLS)
    world.write(settings.marts, settings.experiment.split(running))
    stage = platform(settings, running)
    model().save(settings.home / "model")
    stage.registry.register(settings.home / "model", {"run_id": "x"})
    look.run(world.day, settings, stage)
    (verdict,) = stage.ledger.looks(running.experiment_id)
    assert verdict.lineage["predictions"] == "version 1, nothing shown"
    assert "with predictions" in next(e for e in verdict.evidence if e.name == "retained non_inferior").note


def test_a_missing_model_costs_no_validity(settings):
    """The registry knows no version 1: judged without predictions, and the lineage says why."""
    _, verdict, found = judged(settings, World(members=3_000))
    assert "no model version '1'" in verdict.lineage["predictions"]
    assert "with predictions" not in found["retained non_inferior"].note


def test_a_segment_by_an_unknown_column_is_refused(settings):
    """By name, with the columns there are."""
    live = ExperimentSettings(**LIVE | {"segments": [SegmentSettings(column="shoe_size")]})
    with pytest.raises(DataError, match="no shoe_size"):
        judged(settings.model_copy(update={"experiment": live}), World(members=500))


def test_a_day_without_a_decision_holds(settings):
    """The experiment has begun and nobody came: HOLD, with every rule unshown."""
    report, verdict, _ = judged(settings, World(members=50, days=14, visits=0.0))
    assert (report.kind, report.units) == ("HOLD", 0)
    assert verdict.lineage["predictions"] == "none: nobody has entered"
