"""`ramp`: do what the look of the day says: the next stage, the promotion, the end, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, PREVIOUS
from training.domain.errors import NotReadyError
from training.domain.experiment import Cause, Change, Experiment, State
from training.domain.nouns import RuleKind, Verdict, VerdictKind, look_id
from training.steps.in_charge import hand_over, midnight_ahead, moment, stop_orphan, who_runs
from training.steps.unfinished import finish


@dataclass(frozen=True)
class RampReport:
    """Where the experiment stands after the step (all empty where none runs), whether the step changed it, and why or why not."""

    experiment: str
    state: str
    stage: int
    changed: bool
    why: str


def run(day: date, settings: Settings, platform: Platform) -> RampReport:
    """Act on the look of `day` at the running experiment. A day changes an experiment once, and no day changes it after a later one did.

    A promotion that a killed run left half done is completed first, whatever the day. Raises NotReadyError if a day of the experiment was not looked
    at, ConflictError if another run came first: then nothing was changed, and a rerun finds what the other one did.
    """
    running = platform.experiments.running()
    finish(settings, platform, day)
    if running is None:
        return _told(RampReport("", "", 0, changed=False, why="No experiment runs."))
    now = next(e for e in platform.experiments.all() if e.experiment_id == running.experiment_id)
    if not now.running:
        return _told(RampReport(now.experiment_id, now.state.value, len(now.stages), changed=True, why=now.reason))
    looks = platform.ledger.looks(running.experiment_id)
    after, why = _next(running, looks, day, settings, platform)
    return _told(RampReport(after.experiment_id, after.state.value, len(after.stages), after.revision != running.revision, why))


def _next(running: Experiment, looks: list[Verdict], day: date, settings: Settings, platform: Platform) -> tuple[Experiment, str]:
    stopped = stop_orphan(platform, moment(settings, day), who_runs())
    if stopped is not None:
        return stopped, stopped.reason
    changed = max(e.key for e in platform.experiments.events(running.experiment_id))
    if changed >= day.isoformat():
        return running, f"The look of {changed} changed it last, and {day} is not later."
    verdict = next((v for v in looks if v.run_id == look_id(running.experiment_id, day)), None)
    if verdict is None:
        if running.stages[0][0] > day:
            return running, f"It begins on {running.stages[0][0]}."
        raise NotReadyError(f"Experiment {running.experiment_id} was not looked at for {day}, so nothing may change it. Run `look` for that day first.")
    return _acted(running, verdict, day, settings, platform)


def _acted(running: Experiment, verdict: Verdict, day: date, settings: Settings, platform: Platform) -> tuple[Experiment, str]:
    at, begun = moment(settings, day), running.stages[-1][0] <= day
    match verdict.kind:
        case VerdictKind.PROMOTE if not begun:
            return running, f"Stage {len(running.stages)} begins on {running.stages[-1][0]}; the look of {day} is of the one before."
        case VerdictKind.PROMOTE if running.last:
            return _promoted(running, verdict, day, settings, platform)
        case VerdictKind.PROMOTE:
            after = running.advanced(midnight_ahead(at), at, verdict.reason)
        case VerdictKind.REJECT:
            after = running.ended(State.REJECTED, at, verdict.reason)
        case VerdictKind.HOLD if _broken(verdict):
            after = running.ended(State.STOPPED, at, verdict.reason)
        case VerdictKind.HOLD if (day - running.stages[-1][0]).days >= settings.experiment.longest_stage_days:
            undecided = f"Undecided after {settings.experiment.longest_stage_days} days at stage {len(running.stages)}"
            why = f"{undecided}: whoever could show more has entered. {verdict.reason}"
            after = running.ended(State.STOPPED, at, why)
        case VerdictKind.HOLD:
            return running, verdict.reason
    platform.experiments.move(after, who_runs(), day.isoformat())
    return after, after.reason


def _promoted(running: Experiment, verdict: Verdict, day: date, settings: Settings, platform: Platform) -> tuple[Experiment, str]:
    """Ledger and aliases in one transaction; `champion` moves last, so a run that is killed before it has changed nothing that anybody decides by."""
    at, who, registry = moment(settings, day), who_runs(), platform.registry
    after = running.ended(State.PROMOTED, at, verdict.reason)
    change = Change(running.champion, running.challenger, Cause.EXPERIMENT, who, at, verdict.reason, running.experiment_id)
    others = {PREVIOUS: running.champion} | ({} if registry.version(ANCHOR) else {ANCHOR: running.champion})
    platform.experiments.move(after, who, day.isoformat(), change, hand_over(registry, running.champion, running.challenger, others))
    return after, verdict.reason


def _broken(verdict: Verdict) -> bool:
    return any(e.kind is RuleKind.SAMPLE_RATIO and not e.passed for e in verdict.evidence)


def _told(report: RampReport) -> RampReport:
    where = f"Experiment {report.experiment}, stage {report.stage}, {report.state}{' now' if report.changed else ''}: " if report.experiment else ""
    print(f"{where}{report.why}", flush=True)
    return report
