"""`promote`: do what the verdict says. The only step that moves the champion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import NotReadyError
from training.domain.nouns import LOGGING_POLICY, Verdict, VerdictKind

CHAMPION = "champion"


@dataclass(frozen=True)
class PromoteReport:
    """The verdict's `kind`, the champion's version `before` and `after` (None: the logging policy is in charge), and `why`."""

    kind: str
    before: str | None
    after: str | None
    why: str


def run(day: date, settings: Settings, platform: Platform) -> PromoteReport:
    """Point `champion` to the challenger of a PROMOTE verdict. REJECT and HOLD leave it, and so do a day older than the newest promotion, and a
    verdict against another champion than the one in charge.

    A rerun changes nothing. Raises NotReadyError if the day was not judged or the version is gone.
    """
    verdicts = platform.ledger.verdicts()
    verdict = next((v for v in verdicts if v.run_id == day.isoformat()), None)
    if verdict is None:
        raise NotReadyError(f"The ledger {settings.ledger_url} has no verdict for {day}, so nothing may be promoted. Run `judge` for that day first.")
    before = platform.registry.version(CHAMPION)
    refusal = refused(verdict, verdicts, before)
    if refusal:
        print(f"{verdict.kind.value}: {refusal} Champion stays {name(before)}.", flush=True)
        return PromoteReport(verdict.kind.value, before, before, refusal)
    if before != verdict.challenger:
        platform.registry.point(CHAMPION, verdict.challenger)
    print(f"{verdict.kind.value}: champion was {name(before)}, is {name(verdict.challenger)}. {verdict.reason}", flush=True)
    return PromoteReport(verdict.kind.value, before, verdict.challenger, verdict.reason)


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


def name(version: str | None) -> str:
    """How a version is called in the log."""
    return f"version {version}" if version else f"the {LOGGING_POLICY}"
