"""`roll_back`: put the anchor back in charge where the watch of the day found that the champion does harm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.experiment import Cause, Change
from training.domain.nouns import Verdict, VerdictKind, look_id
from training.steps.in_charge import last_change, moment, name, stop_orphan, take_back, who_runs
from training.steps.unfinished import finish


@dataclass(frozen=True)
class RollBackReport:
    """Whether the watch of the day led to a roll-back, now or at an earlier run of the day; the champion's version before and after; and why or why not.

    `untold` counts the roll-backs by the watch that no other run raised an alarm for: also one whose run was stopped before, or that a person completed.
    """

    rolled_back: bool
    before: str | None
    after: str | None
    why: str
    untold: int = 0


def run(day: date, settings: Settings, platform: Platform) -> RollBackReport:
    """Act on the watch's verdict of `day` over the champion in charge. A verdict older than the last change of the champion does nothing.

    What a killed run left half done is completed, whatever the day; a rerun reports the same and changes nothing. Raises ConflictError if another run
    came first.
    """
    report = _acted(day, settings, platform)
    went = f"Champion was {name(report.before)}, is {name(report.after)}." if report.rolled_back else f"Champion stays {name(report.after)}."
    print(f"{went} {report.why}", flush=True)
    return replace(report, untold=len(platform.experiments.untold(who_runs())))


def _acted(day: date, settings: Settings, platform: Platform) -> RollBackReport:
    done = finish(settings, platform, day)
    if done is not None and done.cause is Cause.WATCH:
        return RollBackReport(rolled_back=True, before=done.before, after=done.after, why=done.reason)
    last, champion, anchor = last_change(platform), platform.registry.version(CHAMPION), platform.registry.version(ANCHOR)
    if last is not None and last.cause is Cause.WATCH and last.after == champion and _verdict(platform, last.before, day, harm=True):
        stop_orphan(platform, moment(settings, day), who_runs())
        return RollBackReport(rolled_back=True, before=last.before, after=champion, why=last.reason)
    if champion is None or anchor is None:
        return RollBackReport(rolled_back=False, before=champion, after=champion, why="Nothing was promoted by an experiment yet, so nothing is watched.")
    if champion == anchor:
        return RollBackReport(rolled_back=False, before=champion, after=champion, why="What the holdback gets is in charge, so nothing is watched.")
    verdict = _verdict(platform, champion, day)
    why = _spared(verdict, last, champion, day)
    if verdict is None or why:
        return RollBackReport(rolled_back=False, before=champion, after=champion, why=why)
    take_back(platform, Change(champion, anchor, Cause.WATCH, who_runs(), moment(settings, day), verdict.reason), verdict.run_id)
    return RollBackReport(rolled_back=True, before=champion, after=anchor, why=verdict.reason)


def _spared(verdict: Verdict | None, last: Change | None, champion: str, day: date) -> str:
    """Why the champion stays, or an empty text."""
    if verdict is None:
        return f"{name(champion).capitalize()} was not watched with the data up to {day}."
    if verdict.kind is not VerdictKind.REJECT:
        return verdict.reason
    if last is not None and last.at.astimezone(UTC).date() >= day:
        return f"The last change was at {last.at:%Y-%m-%d %H:%M} UTC, and {day} is no whole day after it: a later day has to show the harm."
    return ""


def _verdict(platform: Platform, version: str | None, day: date, *, harm: bool = False) -> Verdict | None:
    wanted = look_id(_subject(version), day)
    return next((v for v in platform.ledger.looks(_subject(version)) if v.run_id == wanted and (not harm or v.kind is VerdictKind.REJECT)), None)


def _subject(version: str | None) -> str:
    return f"watch-{version}"
