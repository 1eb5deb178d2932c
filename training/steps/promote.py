"""`promote`: do what the screen's verdict says. The first champion is put in charge at once; after that a challenger is first tried on living members."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from training.adapters.entries import by_groups
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import CHAMPION, PREVIOUS
from training.domain.errors import NotReadyError
from training.domain.experiment import Cause, Change
from training.domain.nouns import LOGGING_POLICY, Verdict, VerdictKind
from training.steps.in_charge import hand_over, moment, name, stop_orphan, who_runs
from training.steps.opening import opened
from training.steps.unfinished import finish


@dataclass(frozen=True)
class PromoteReport:
    """The verdict's `kind`, the champion's version `before` and `after` (None: the logging policy is in charge), `why`, and the experiment that was opened."""

    kind: str
    before: str | None
    after: str | None
    why: str
    experiment: str = ""


def run(day: date, settings: Settings, platform: Platform) -> PromoteReport:
    """Without a champion, or where `experiment.live` is off, point `champion` to the challenger of a PROMOTE verdict; else open an experiment.

    REJECT and HOLD leave the champion, and so do a day older than the newest promotion, and a verdict against another champion than the one in
    charge. A rerun changes nothing. Raises NotReadyError if the day was not judged or the version is gone, ConflictError if another run came first.
    """
    verdicts = platform.ledger.verdicts()
    verdict = next((v for v in verdicts if v.run_id == day.isoformat()), None)
    if verdict is None:
        raise NotReadyError(f"The ledger {settings.ledger_url} has no verdict for {day}, so nothing may be promoted. Run `judge` for that day first.")
    finish(settings, platform, day)
    before = platform.registry.version(CHAMPION)
    refusal = refused(verdict, verdicts, before)
    if before is not None and before != verdict.challenger and settings.experiment.live:
        report = _tried(day, settings, platform, PromoteReport(verdict.kind.value, before, before, refusal))
    elif refusal:
        report = PromoteReport(verdict.kind.value, before, before, refusal)
    else:
        _at_once(day, settings, platform, before, verdict)
        report = PromoteReport(verdict.kind.value, before, verdict.challenger, verdict.reason)
    went = f"Champion stays {name(before)}." if report.after == before else f"Champion was {name(before)}, is {name(report.after)}."
    print(f"{report.kind}: {report.why} {went}", flush=True)
    return report


def refused(verdict: Verdict, verdicts: list[Verdict], champion: str | None) -> str:
    """Why `verdict` does not move the champion, or an empty text where it does. `run_id` is a day, so its order is that of time."""
    match verdict.kind:
        case VerdictKind.REJECT | VerdictKind.HOLD:
            return verdict.reason
        case VerdictKind.PROMOTE:
            newer = max((v.run_id for v in verdicts if v.kind is VerdictKind.PROMOTE and v.run_id > verdict.run_id), default="")
            if newer:
                return f"The challenger of {newer} was promoted later than {verdict.run_id}; going back would undo newer evidence."
            if (champion or LOGGING_POLICY) not in {verdict.baseline, verdict.challenger}:
                return f"It was judged against {verdict.baseline}, but {name(champion)} is in charge, which it may not be better than. Evaluate this day again."
            return ""


def _tried(day: date, settings: Settings, platform: Platform, report: PromoteReport) -> PromoteReport:
    """One experiment at a time; whoever passed the screen meanwhile waits, and the best of those is next, whatever today's verdict is."""
    running = platform.experiments.running()
    if running is not None:
        waits = report.why or f"The challenger waits: experiment {running.experiment_id} runs."
        return replace(report, why=waits, experiment=running.experiment_id if running.experiment_id.startswith(day.isoformat()) else "")
    if not by_groups(settings.marts, day):
        why = "No experiment is opened: nobody has decided by its groups of late (`rightmatch serve` does), so it could show nothing and would spend alpha."
        return replace(report, why=f"{why} {report.why}".strip())
    experiment = opened(day, str(report.before), settings, platform)
    if experiment is None:
        return replace(report, why=report.why or "No challenger waits for an experiment: those that passed the screen have had theirs.")
    first, share = experiment.stages[0]
    why = f"Experiment {experiment.experiment_id} was opened: {experiment.reason} From {first} on {share:.0%} of the members, at alpha {experiment.alpha:.3g}."
    return replace(report, why=why, experiment=experiment.experiment_id)


def _at_once(day: date, settings: Settings, platform: Platform, before: str | None, verdict: Verdict) -> None:
    """Move the alias and record it, unless that was done before."""
    after = verdict.challenger
    if before == after:
        return
    at, who = moment(settings, day), who_runs()
    change = Change(before, after, Cause.SCREEN, who, at, verdict.reason)
    platform.experiments.changed(change, hand_over(platform.registry, before, after, {PREVIOUS: before} if before else None))
    stop_orphan(platform, at, who)
