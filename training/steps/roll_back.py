"""`roll_back`: put the anchor back in charge where the watch of the day found that the champion does harm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.experiment import Cause, Change
from training.domain.nouns import Verdict, VerdictKind, look_id
from training.steps.in_charge import last_change, moment, name, stop_orphan, take_back, who_runs


@dataclass(frozen=True)
class RollBackReport:
    """Whether the watch of the day led to a roll-back, now or at an earlier run of the day; the champion's version before and after; and why or why not."""

    rolled_back: bool
    before: str | None
    after: str | None
    why: str


def run(day: date, settings: Settings, platform: Platform) -> RollBackReport:
    """Act on the watch's verdict of `day` over the champion in charge. A verdict older than the last change of the champion does nothing.

    What a killed run left half done is completed, whatever the day; a rerun reports the same and changes nothing. Raises ConflictError if another run
    came first.
    """
    last, champion, anchor = last_change(platform), platform.registry.version(CHAMPION), platform.registry.version(ANCHOR)
    if last is not None and last.cause is Cause.WATCH and last.after == champion and _verdict(platform, last.before, day, harm=True):
        stop_orphan(platform, moment(settings, day), who_runs())
        return _told(RollBackReport(rolled_back=True, before=last.before, after=champion, why=last.reason))
    if champion is None or anchor is None:
        return _told(
            RollBackReport(rolled_back=False, before=champion, after=champion, why="Nothing was promoted by an experiment yet, so nothing is watched.")
        )
    harm = _interrupted(platform, last, champion, anchor)
    if harm is None and champion == anchor:
        return _told(RollBackReport(rolled_back=False, before=champion, after=champion, why="What the holdback gets is in charge, so nothing is watched."))
    if harm is None:
        verdict = _verdict(platform, champion, day)
        why = _spared(verdict, last, champion, day)
        if verdict is None or why:
            return _told(RollBackReport(rolled_back=False, before=champion, after=champion, why=why))
        harm = champion, verdict
    change = Change(harm[0], anchor, Cause.WATCH, who_runs(), moment(settings, day), harm[1].reason)
    take_back(platform, change, harm[1].run_id)
    return _told(RollBackReport(rolled_back=True, before=harm[0], after=anchor, why=harm[1].reason))


def _spared(verdict: Verdict | None, last: Change | None, champion: str, day: date) -> str:
    """Why the champion stays, or an empty text."""
    if verdict is None:
        return f"{name(champion).capitalize()} was not watched with the data up to {day}."
    if verdict.kind is not VerdictKind.REJECT:
        return verdict.reason
    if last is not None and last.at.astimezone(UTC).date() >= day:
        return f"The last change was at {last.at:%Y-%m-%d %H:%M} UTC, and {day} is no whole day after it: a later day has to show the harm."
    return ""


def _interrupted(platform: Platform, last: Change | None, champion: str, anchor: str) -> tuple[str, Verdict] | None:
    """The champion whose roll-back moved the alias and was not recorded, and the verdict that led to it."""
    if champion != anchor or last is None or last.after in {None, anchor}:
        return None
    found = [v for v in platform.ledger.looks(_subject(last.after)) if v.kind is VerdictKind.REJECT]
    return (str(last.after), found[-1]) if found else None


def _verdict(platform: Platform, version: str | None, day: date, *, harm: bool = False) -> Verdict | None:
    wanted = look_id(_subject(version), day)
    return next((v for v in platform.ledger.looks(_subject(version)) if v.run_id == wanted and (not harm or v.kind is VerdictKind.REJECT)), None)


def _subject(version: str | None) -> str:
    return f"watch-{version}"


def _told(report: RollBackReport) -> RollBackReport:
    went = f"Champion was {name(report.before)}, is {name(report.after)}." if report.rolled_back else f"Champion stays {name(report.after)}."
    print(f"{went} {report.why}", flush=True)
    return report
