"""`look`: judge the running experiment by what is mature at the end of a day. Its verdict goes to the ledger; what follows from it is another step's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from training.adapters.entries import Seen, features_before, seen
from training.adapters.ports import ModelRegistry, Platform
from training.adapters.service_times import slow
from training.config.settings import Settings
from training.domain.assignment import Group
from training.domain.errors import RightmatchError
from training.domain.experiment import Experiment
from training.domain.labels import VALUE
from training.domain.nouns import Evidence, RuleKind, Verdict, look_id
from training.domain.schema import FEATURE_SERVICE, MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.evaluation.assigned import assignment
from training.evaluation.intervals import Floats
from training.evaluation.looks import Look, Measured, Role, look, stage_of
from training.evaluation.measured import Compared, agreement, early, slow_share, split_by
from training.evaluation.units import Assigned, Units, arrivals, compared, disagreement, enter, moved, outcomes
from training.steps.judge import provenance, told
from training.steps.split_kept import SPLIT, split_words, why_broken


@dataclass(frozen=True)
class LookReport:
    """The verdict on `experiment` at its `stage` (from 1) by `units` compared members; empty where no experiment runs."""

    experiment: str
    stage: int
    kind: str
    reason: str
    units: int = 0


def run(day: date, settings: Settings, platform: Platform) -> LookReport:
    """Record the verdict on the running experiment as of the end of `day`; a rerun replaces the row with the same.

    No experiment, or one that begins later, is no error. Stages that begin after `day` are unknown to it.
    Raises NotReadyError where the marts do not reach `day`.
    """
    running = platform.experiments.running()
    if running is None or running.stages[0][0] > day:
        reason = "No experiment is running." if running is None else f"Experiment {running.experiment_id} begins on {running.stages[0][0]}."
        print(f"{reason} Nothing was looked at.", flush=True)
        return LookReport(running.experiment_id if running else "", 0, "", reason)
    experiment = replace(running, stages=tuple(stage for stage in running.stages if stage[0] <= day))
    rows = seen(settings.marts, experiment.stages[0][0], day, metrics(settings))
    assigned = Assigned.of(settings.experiment.split(experiment), rows.decisions.ids)
    units = enter(rows.decisions, assigned)
    known, foreseen = groups(rows, units, assigned, settings, platform.registry, experiment.champion)
    asked = checks(rows, units, assigned, earlier(platform, experiment, rows.end))
    found = judged(known, settings, experiment, asked, slowness(settings, experiment, day))
    before = [v for v in platform.ledger.looks(experiment.experiment_id) if v.judged_at < rows.end]
    reason = why_broken(found, settings, before, "that ends this experiment, and the next challenger is tried by the new groups.") + found.reason
    stage = len(experiment.stages)
    about = {
        "experiment": experiment.experiment_id,
        "stage": f"{stage} of {len(experiment.ramp)}",
        "share": f"{experiment.stages[-1][1]:g}",
        "alpha": f"{experiment.alpha:g}",
        "data_window": f"{experiment.stages[0][0]} to {day}",
        "units": f"{int((~units.treated).sum())} champion, {int(units.treated.sum())} challenger",
        "predictions": foreseen,
        "model_version": experiment.challenger,
        "feature_service": FEATURE_SERVICE,
        "seed": str(settings.seed),
        SPLIT: split_words(settings),
    }
    run_id = look_id(experiment.experiment_id, day)
    platform.ledger.record(
        Verdict(run_id, found.kind, experiment.challenger, experiment.champion, found.evidence, reason, rows.end, about | provenance(day, settings))
    )
    told(found.evidence)
    print(f"{experiment.experiment_id}, stage {about['stage']}, {about['units']}: {found.kind.value}: {reason}", flush=True)
    return LookReport(experiment.experiment_id, stage, found.kind.value, reason, len(units.row))


def metrics(settings: Settings) -> tuple[str, ...]:
    """Everything that a look measures."""
    return tuple(dict.fromkeys([*(rule.metric for rule in settings.guardrails()), *(proxy.value for proxy in settings.experiment.early)]))


def earlier(platform: Platform, experiment: Experiment, end: datetime) -> bool:
    """Whether an earlier look found the split broken: it stays so, for what was lost does not come back."""
    looks = (v for v in platform.ledger.looks(experiment.experiment_id) if v.judged_at < end)
    return any(e.name == RuleKind.SAMPLE_RATIO.value and not e.passed for v in looks for e in v.evidence)


def checks(rows: Seen, units: Units, assigned: Assigned, broken: bool) -> list[Evidence]:
    """Whether members came as planned, and were decided for by whom the hash says."""
    counted, stage = compared(rows.decisions, assigned)
    treated = assigned.own[rows.decisions.member] < assigned.shares()[stage]
    ratio = assignment(arrivals(rows.decisions, assigned, units))
    if broken and ratio.passed:
        ratio = replace(ratio, passed=False, note=f"{ratio.note}; an earlier look found it broken, which does not heal")
    return [ratio, agreement(*disagreement(rows.decisions, counted, treated, (Group.CHAMPION, Group.CHALLENGER)))]


def groups(rows: Seen, units: Units, assigned: Assigned, settings: Settings, registry: ModelRegistry, champion: str) -> tuple[Compared, str]:
    """The units with outcomes, predictions and segments, and where the predictions come from."""
    until = np.minimum(moved(units, assigned.split), rows.instant)
    ids = [rows.decisions.ids[member] for member in units.member]
    columns = dict.fromkeys([*MEMBER_CATEGORICAL, *MEMBER_NUMERIC, *(segment.column for segment in settings.experiment.segments)])
    features = features_before(settings.marts, ids, units.at, tuple(columns))
    parts = {name: part for s in settings.experiment.segments for name, part in split_by(features[s.column], s.edges).items()}
    features["member_id"], features["surface"] = ids, rows.surface[units.row]
    features["decided_at"] = pd.to_datetime(units.at, unit="us", utc=True)
    predicted, foreseen = predictions(features, settings, registry, champion)
    return Compared(units.treated, units.cohort, outcomes(rows.decisions, units.row, until), predicted, parts), foreseen


def predictions(features: pd.DataFrame, settings: Settings, registry: ModelRegistry, champion: str) -> tuple[dict[str, Floats], str]:
    """What the champion's model expected of each unit without anything shown, when it entered; nothing, and why, where it cannot say."""
    from training.domain.catalog import load_catalog
    from training.model.matching import MatchingModel
    from training.model.nothing import shown_nothing
    from training.model.threads import steady

    if not len(features):
        return {}, "none: nobody has entered"
    try:
        steady()
        found = shown_nothing(MatchingModel.load(registry.fetch(champion)), features, load_catalog(settings.catalog))
    except RightmatchError as error:
        print(f"Without predictions, which costs members but no validity: {error}", flush=True)
        return {}, f"none: {error}"
    return found | ({VALUE: found["converted"]} if "converted" in found else {}), f"version {champion}, nothing shown"


def slowness(settings: Settings, experiment: Experiment, day: date) -> list[Measured]:
    """The share of slow decisions as the service counted them for the days of the experiment; nothing where no service decided in it."""
    counts = slow(settings, experiment.stages[0][0], day)
    if not {Group.CHAMPION, Group.CHALLENGER} & counts.keys():
        return []
    return [slow_share(counts.get(Group.CHAMPION, {}), counts.get(Group.CHALLENGER, {}), settings.experiment.slow_margin)]


def judged(known: Compared, settings: Settings, experiment: Experiment, split: list[Evidence], timed: list[Measured]) -> Look:
    """The rules, their segments and the early proxies, by what the experiment's stage asks for."""
    measured: list[Measured] = []
    for rule in settings.guardrails():
        success = rule.kind is RuleKind.SUPERIOR
        measured += [known.rule(rule, settings.experiment.effect if success else 0.0), *([] if success else known.segments(rule))]
    proxies = [early(proxy.value, margin) for proxy, margin in settings.experiment.early.items()]
    measured += [known.rule(rule, role=Role.EARLY) for rule in proxies]
    return look([*measured, *timed], split, experiment.alpha, stage_of(experiment.ramp, len(experiment.stages)))
