"""`alarm`: take on what nobody was told of, so that whoever calls this tells a person of each roll-back by the watch, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.steps.in_charge import name, who_runs


@dataclass(frozen=True)
class AlarmReport:
    """How many roll-backs this run tells of, and the newest of them; `why` says all. Nothing to tell of is 0."""

    told: int
    before: str | None = None
    after: str | None = None
    why: str = ""


def run(day: date, settings: Settings, platform: Platform) -> AlarmReport:
    """Note in the ledger that this run tells of them; its rerun tells the same. A run that is killed here and never run again has told nobody.

    Raises ConflictError where another run takes them on at this moment.
    """
    del day, settings
    who = who_runs()
    untold = platform.experiments.untold(who)
    if not untold:
        return AlarmReport(0)
    platform.experiments.tell(who)
    newest, *older = untold
    why = "".join(f" Before that, at {c.at:%Y-%m-%d %H:%M} UTC, {name(c.after)} instead of {name(c.before)}: {c.reason}" for c in older)
    return AlarmReport(len(untold), newest.before, newest.after, newest.reason + why)
