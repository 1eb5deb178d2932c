"""One look at a live experiment: PROMOTE (to the next stage), HOLD or REJECT from confidence sequences. Pure; whoever looks daily calls it daily.

Decision rule 2 of Schultzberg, Ankargren and Frånberg 2024 ("Risk-aware product decisions in A/B tests with multiple metrics"): a success metric superior
and every guardrail non-inferior. A harmful challenger must pass *every* guardrail, so alpha is not split over guardrails; what is split is
beta, in the plan. Alpha is split over success metrics, of which one is enough.

What can only stop: early proxies (dismissals, opt-outs, activity of days 1 to 7) and segments. Each family of stops has alpha for itself and splits it
by its number, so a challenger that harms nobody is stopped by chance with probability alpha a family at most, however often one looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from training.domain.nouns import Evidence, RuleKind, VerdictKind
from training.domain.rules import Rule
from training.evaluation.sequential import planned_error, sequence

LEAST_SHARE = 0.1
"""Share of members from which a segment is watched by itself."""
FEWEST = 500
"""Members that each group needs before an interval says anything: with fewer, means of rare outcomes are not yet normal."""


class Role(StrEnum):
    """What a measurement can do: decide, only stop early, or only stop for a part of the members."""

    FINAL = "final"
    EARLY = "early"
    SEGMENT = "segment"


@dataclass(frozen=True)
class Measured:
    """One metric at one look: treatment minus control of mature labels, its standard error, and members of (control, treatment) behind it.

    `distance` is how far from its threshold the truth lies that the plan wants found soonest: the planned effect of a success metric; 0 is a guardrail's
    margin. `share` is the segment's share of members, `where` its name.
    """

    rule: Rule
    value: float
    error: float
    members: tuple[int, int]
    distance: float = 0.0
    role: Role = Role.FINAL
    share: float = 1.0
    where: str = ""


@dataclass(frozen=True)
class Look:
    """The verdict of one look with its evidence: in the order given, the assignment last."""

    kind: VerdictKind
    reason: str
    evidence: tuple[Evidence, ...]


def look(measured: Sequence[Measured], assigned: Evidence, alpha: float) -> Look:
    """Judge all metrics. Segments below LEAST_SHARE are left out. Raises ValueError where a success rule has no planned distance."""
    kept = [m for m in measured if m.role is not Role.SEGMENT or m.share >= LEAST_SHARE]
    levels = _levels(kept, alpha)
    evidence = [interval(m, levels[_family(m)]) for m in kept]
    kind, reason = _conclude(kept, evidence)
    if not assigned.passed:
        kind, reason = VerdictKind.HOLD, f"Members are not split as planned ({assigned.note})."
    return Look(kind, reason, (*evidence, assigned))


def interval(measured: Measured, alpha: float) -> Evidence:
    """One metric's sequence at this look as evidence, one-sided `alpha` at each end. A segment's is tuned for what it will have when the whole is complete."""
    rule = measured.rule
    planned = planned_error(measured.distance or rule.margin, alpha) / np.sqrt(measured.share)
    low, high = sequence(measured.value, measured.error, planned, alpha)
    name = f"{measured.where}: {measured.role.value}" if measured.where else measured.role.value
    found = rule.measure(measured.value, (low, high), sum(measured.members), name)
    found = replace(found, name=f"{found.name} ({measured.where})" if measured.where else found.name)
    if min(measured.members) < FEWEST:
        return replace(found, passed=False, refuted=False, note=f"{name}; a group has fewer than {FEWEST} members")
    return found


def _family(measured: Measured) -> str:
    """Who shares alpha with whom: success metrics; the parts of one guardrail; the early proxies. A final guardrail has alpha for itself."""
    if measured.role is Role.SEGMENT:
        return f"segments of {measured.rule.metric}"
    if measured.role is Role.EARLY:
        return "early"
    return "success" if measured.rule.kind is RuleKind.SUPERIOR else f"guardrail {measured.rule.metric}"


def _levels(measured: Sequence[Measured], alpha: float) -> dict[str, float]:
    families = [_family(m) for m in measured]
    return {f: alpha if f.startswith("guardrail") else alpha / families.count(f) for f in families}


def _conclude(measured: Sequence[Measured], evidence: Sequence[Evidence]) -> tuple[VerdictKind, str]:
    harmful = [e.name for m, e in zip(measured, evidence, strict=True) if e.refuted and not _success(m)]
    if harmful:
        return VerdictKind.REJECT, f"Worse than the margin allows, beyond doubt: {', '.join(harmful)}."
    final = [(m, e) for m, e in zip(measured, evidence, strict=True) if m.role is Role.FINAL]
    successes = [e for m, e in final if _success(m)]
    if successes and all(e.refuted for e in successes):
        return VerdictKind.REJECT, f"Beyond doubt the success metric fell: {', '.join(e.name for e in successes)}."
    missing = [e.name for m, e in final if not _success(m) and not e.passed]
    if not any(e.passed for e in successes):
        missing = [*(e.name for e in successes), *missing] or ["a success metric"]
    if missing:
        return VerdictKind.HOLD, f"Not shown yet: {', '.join(missing)}. This is not the same as harmless; more mature data may decide it."
    return VerdictKind.PROMOTE, "A success metric is superior and every guardrail is non-inferior, at every look so far and to come."


def _success(measured: Measured) -> bool:
    return measured.rule.kind is RuleKind.SUPERIOR
