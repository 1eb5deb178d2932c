"""The looks at one experiment, metric by metric: a drawing over time, and how long a rule may still take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, isfinite

from training.adapters.report_sequences import sequence
from training.domain.nouns import AT, Evidence, RuleKind, Verdict
from training.evaluation.looks import Role

MEASURED = frozenset({RuleKind.SUPERIOR, RuleKind.NON_INFERIOR})
TOO_FAR = 1000
"""Days beyond which a forecast says nothing."""


@dataclass(frozen=True)
class Metric:
    """One rule at the last look, and its sequence (`drawing`, empty where it has no interval yet)."""

    name: str
    evidence: Evidence
    drawing: str


def grouped(looks: Sequence[Verdict], stages: Sequence[tuple[date, float]]) -> tuple[list[Metric], list[Metric], list[Evidence], list[Evidence]]:
    """(whole members at the end, early proxies, segments, checks) of the last look, the first two with their history."""
    final: list[Metric] = []
    early: list[Metric] = []
    segments, checks = [], []
    for e in looks[-1].evidence if looks else ():
        if e.kind not in MEASURED:
            checks.append(e)
        elif role(e) is Role.SEGMENT:
            segments.append(e)
        else:
            history = [(day_of_look(v), each) for v in looks for each in v.evidence if each.name == e.name and role(each) is role(e)]
            metric = Metric(e.name.replace(f" {e.kind.value}", ""), e, sequence(history, stages, f"{e.name} over {len(history)} looks"))
            (early if role(e) is Role.EARLY else final).append(metric)
    return final, early, segments, checks


def role(evidence: Evidence) -> Role:
    """What a look measured, as its note says first."""
    word = evidence.note.split(",")[0].split(";")[0].strip()
    if word in set(Role):
        return Role(word)
    return Role.SEGMENT if evidence.name.endswith(")") else Role.FINAL


def day_of_look(verdict: Verdict) -> date:
    """The last day of the data that the look saw."""
    return date.fromisoformat(verdict.run_id.rsplit(AT, 1)[1])


def days_left(looks: Sequence[Verdict]) -> int | None:
    """Days until every rule of the last look passes if its value stays and members come as before: the half width shrinks as the root of the members.

    None where that cannot be said: no interval, a value on the wrong side of its threshold, no growth, or more than TOO_FAR days.
    """
    if not looks:
        return None
    left = [_left(e, looks) for e in looks[-1].evidence if e.kind in MEASURED and role(e) is not Role.EARLY and not e.passed]
    known = [n for n in left if n is not None]
    return None if len(known) < len(left) else max(known, default=0)


def _left(e: Evidence, looks: Sequence[Verdict]) -> int | None:
    half, room = e.value - e.interval[0], e.value - e.threshold
    before = [(day_of_look(v), other.sample) for v in looks[-8:] for other in v.evidence if other.name == e.name]
    days = (before[-1][0] - before[0][0]).days
    daily = (before[-1][1] - before[0][1]) / days if days else 0.0
    if not isfinite(half) or room <= 0.0 or daily <= 0.0:
        return None
    found = e.sample * ((half / room) ** 2 - 1.0) / daily
    return ceil(found) if found <= TOO_FAR else None
