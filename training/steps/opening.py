"""The next experiment: which challenger, at which alpha, from which day on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from math import inf
from statistics import NormalDist

from training.adapters.ports import Experiments, Platform
from training.config.settings import Settings
from training.domain.experiment import Experiment, State
from training.domain.nouns import RuleKind, Verdict, VerdictKind
from training.evaluation.spending import next_level
from training.steps.in_charge import midnight_ahead, moment, name, who_runs

FRESH = timedelta(days=14)
"""A challenger that passed the screen longer ago has learned too little of what members want now."""


def opened(day: date, champion: str, settings: Settings, platform: Platform) -> Experiment | None:
    """Open an experiment of the best challenger that waits, or None where none does, or where `day` or a later one has opened one before."""
    past = platform.experiments.all()
    if any(platform.experiments.events(e.experiment_id)[0].key >= day.isoformat() for e in past):
        return None
    found = waiting(platform.ledger.verdicts(), champion, day, past)
    if not found:
        return None
    verdict, reason = best(found, settings.judging.alpha)
    at, ramp = moment(settings, day), settings.experiment.ramp
    experiment = Experiment(
        experiment_id=f"{day}-v{verdict.challenger}",
        challenger=verdict.challenger,
        champion=champion,
        state=State.RUNNING,
        ramp=ramp,
        stages=((midnight_ahead(at), ramp[0]),),
        alpha=next_alpha(settings, platform.experiments),
        opened_at=at,
        changed_at=at,
        reason=reason,
    )
    platform.experiments.open(experiment, who_runs(), day.isoformat())
    return experiment


def next_alpha(settings: Settings, experiments: Experiments) -> float:
    """The level of the next experiment: what all ended ones leave of `judging.alpha`, or all of it where nothing is to be spent."""
    return next_level(settings.judging.alpha, experiments.all()) if settings.experiment.spend else settings.judging.alpha


def waiting(verdicts: Sequence[Verdict], champion: str, day: date, past: Sequence[Experiment]) -> list[Verdict]:
    """The screen's promotions against `champion` up to `day`, none older than FRESH, of challengers that were not tried against it yet."""
    tried = {(e.challenger, e.champion) for e in past}
    return [
        v
        for v in verdicts
        if v.kind is VerdictKind.PROMOTE
        and v.baseline == champion != v.challenger
        and (v.challenger, champion) not in tried
        and day - FRESH <= date.fromisoformat(v.run_id) <= day
    ]


def best(found: Sequence[Verdict], alpha: float) -> tuple[Verdict, str]:
    """The one with the highest lower bound of the success metric at alpha / K, as it was chosen among K; the newest among equals. And why."""
    chosen = max(found, key=lambda v: (lower_bound(v, alpha, len(found)), v.run_id))
    passed = f"It passed the screen of {chosen.run_id} against {name(chosen.baseline)}"
    if len(found) == 1:
        return chosen, f"{passed}."
    others = ", ".join(v.challenger for v in sorted(found, key=lambda v: v.run_id))
    bound = f"{lower_bound(chosen, alpha, len(found)):+.4g} at alpha {alpha:g}/{len(found)}"
    return chosen, f"{passed}, and of the {len(found)} that did ({others}) its success metric has the highest lower bound, {bound}."


def lower_bound(verdict: Verdict, alpha: float, chosen_among: int) -> float:
    """Of the first success metric: its interval's lower half, widened from level `alpha` to alpha / `chosen_among` (Bonferroni, normal)."""
    evidence = next((e for e in verdict.evidence if e.kind is RuleKind.SUPERIOR), None)
    if evidence is None:
        return -inf
    wider = NormalDist().inv_cdf(1.0 - alpha / chosen_among) / NormalDist().inv_cdf(1.0 - alpha)
    return evidence.value - (evidence.value - evidence.interval[0]) * wider
