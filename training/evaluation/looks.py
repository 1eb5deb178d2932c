"""One look at a live experiment: PROMOTE (to the next stage), HOLD or REJECT from confidence sequences. Pure; whoever looks daily calls it daily.

Decision rule 2 of Schultzberg, Ankargren and Frånberg 2024 ("Risk-aware product decisions in A/B tests with multiple metrics"): a success metric superior
and every guardrail non-inferior. A harmful challenger must pass *every* guardrail, so alpha is not split over guardrails; what is split is
beta, in the plan. Alpha is split over success metrics, of which one is enough.

A segment must pass each guardrail as well, at alpha and with the margin divided by the root of its share: what its members can show by the time the
whole is decided; only the last stage waits for one that has fewer than FEWEST members a group. And it rejects when it is surely below the guardrail's
own margin. Early proxies (dismissals, opt-outs, activity of days 1 to 7) and the later periods of a watch can only reject. Alpha of these
rejections is split over a guardrail's segments or periods, and over the early proxies, so harmless challengers are rejected by chance with probability
alpha a family at most, however often one looks.

A stage of the ramp asks for what its members can show (`Stage`). Only the last one asks for the whole rule, so only there alpha can be spent on a wrong
promotion: a challenger at the margin has to pass it, whatever it was let through before. Refuting is the same in all stages, one sequence for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from training.domain.nouns import Evidence, RuleKind, VerdictKind
from training.domain.rules import Rule
from training.evaluation.cohorts import Difference
from training.evaluation.intervals import Floats
from training.evaluation.sequential import planned_error, radius, refuting

Flags = npt.NDArray[np.bool_]

LEAST_SHARE = 0.1
"""Share of members from which a segment is watched by itself."""
FEWEST = 500
"""Members that each group needs before an interval says anything: with fewer, means of rare outcomes are not yet normal."""


class Role(StrEnum):
    """What a measurement is of: all members at the end, all members early on or in later periods (these can only reject), or a part of the members."""

    FINAL = "final"
    EARLY = "early"
    LATER = "later"
    SEGMENT = "segment"


ONLY_REJECTING = frozenset({Role.EARLY, Role.LATER})


@dataclass(frozen=True)
class Measured:
    """One metric at one look: treatment minus control of mature labels, its standard error, and members of (control, treatment) behind it.

    `distance` is how far from its threshold the truth lies that the plan wants found soonest: the planned effect of a success metric; 0 is a guardrail's
    margin. `share` is the segment's share of members, `where` its name or its time. `level` is the part of alpha that it may spend on being refuted.
    """

    rule: Rule
    value: float
    error: float
    members: tuple[int, int]
    distance: float = 0.0
    role: Role = Role.FINAL
    share: float = 1.0
    where: str = ""
    note: str = ""
    level: float = 1.0

    @property
    def success(self) -> bool:
        """Whether it is to be shown better, not only harmless."""
        return self.rule.kind is RuleKind.SUPERIOR


@dataclass(frozen=True)
class Stage:
    """What is asked for. Margins of guardrails and segments are divided by the root of `shown`, the stage's share of the information of the largest
    comparison; without `gain` a success metric may not have fallen but need not be shown to have risen.
    """

    shown: float = 1.0
    gain: bool = True


WHOLE = Stage()
"""The whole rule."""
HARMLESS = Stage(gain=False)
"""All guardrails at their own margins, whatever is sold."""


def stage_of(ramp: Sequence[float], stage: int) -> Stage:
    """What stage 1, 2, ... of `ramp` asks for. While the challenger has the share s, m = min(s, 1 - s) of the members are compared with it, which
    shows s m / (s + m): 0.1 of five times as many members as at 0.5.
    """
    if stage >= len(ramp):
        return WHOLE
    sizes = [s * min(s, 1.0 - s) / (s + min(s, 1.0 - s)) for s in ramp]
    return Stage(sizes[stage - 1] / max(sizes), gain=False)


@dataclass(frozen=True)
class Look:
    """The verdict of one look with its evidence: in the order given, the assignment last."""

    kind: VerdictKind
    reason: str
    evidence: tuple[Evidence, ...]


def look(measured: Sequence[Measured], checks: Sequence[Evidence], alpha: float, stage: Stage = WHOLE) -> Look:
    """Judge all metrics. `checks` are of the experiment itself (the split): where one has not passed, nothing else can be believed.

    Segments below LEAST_SHARE are left out. Raises ValueError where a success rule has no planned distance.
    """
    kept = [m for m in measured if m.role is not Role.SEGMENT or m.share >= LEAST_SHARE]
    families = [_family(m) for m in kept]
    evidence = [interval(m, *levels(m, alpha, families.count(_family(m))), stage.shown) for m in kept]
    kind, reason = _conclude(kept, evidence, stage)
    broken = [e for e in checks if not e.passed]
    if broken:
        kind, reason = VerdictKind.HOLD, f"Members are not split as planned ({'; '.join(e.note for e in broken)})."
    return Look(kind, reason, (*evidence, *checks))


@dataclass(frozen=True)
class Bounds:
    """A sequence at looks of any shape, larger being better: its ends, what the lower one must exceed, whether it passes or is refuted, and whether there
    are enough members to say so.
    """

    value: Floats
    low: Floats
    high: Floats
    threshold: float
    passed: Flags
    refuted: Flags
    enough: Flags


def bounds(measured: Measured, looks: Difference, levels: tuple[float, float], shown: float = 1.0) -> Bounds:
    """The rule of `measured` at `looks`, whose numbers take the place of its own: many experiments or days at once.

    `levels` are one-sided (to pass, to be refuted). A segment's sequence is tuned for what it will have when the whole is complete, and what is to be
    shown with a part of the information (`shown`) for that part; only what is to be refuted is not, so that its sequence stays the same from stage to
    stage. With fewer than FEWEST members in a group it says neither.
    """
    rule, part = measured.rule, float(np.sqrt(measured.share))
    wider = 1.0 if measured.success or measured.role is Role.EARLY else float(np.sqrt(shown))
    distance = measured.distance or rule.margin
    half = radius(looks.error, planned_error(distance, levels[0]) / (part * wider), levels[0])
    other = refuting(looks.error, planned_error(distance, levels[1]) / part, levels[1])
    value = -looks.value if rule.lower_is_better else looks.value
    threshold, enough = -rule.margin / (part * wider), np.minimum(looks.control, looks.treatment) >= FEWEST
    return Bounds(value, value - half, value + other, threshold, (value - half > threshold) & enough, (value + other < -rule.margin) & enough, enough)


def interval(measured: Measured, passing: float, stopping: float, shown: float = 1.0) -> Evidence:
    """One metric's sequence at this look as evidence: one-sided `passing` where it is to be shown harmless or better, `stopping` where it is to be refuted."""
    rule, (control, treatment) = measured.rule, measured.members
    found = bounds(
        measured, Difference(*(np.asarray(x, dtype=np.float64) for x in (measured.value, measured.error, control, treatment))), (passing, stopping), shown
    )
    note = ", ".join(text for text in (measured.role.value, measured.note) if text)
    return Evidence(
        name=f"{rule.metric} {rule.kind.value}" + (f" ({measured.where})" if measured.where else ""),
        kind=rule.kind,
        value=float(found.value),
        interval=(float(found.low), float(found.high)),
        threshold=found.threshold,
        sample=control + treatment,
        passed=bool(found.passed),
        refuted=bool(found.refuted),
        note=note if min(control, treatment) >= FEWEST else f"{note}; a group has fewer than {FEWEST} members",
    )


def _family(measured: Measured) -> str:
    """Who shares alpha with whom: success metrics; the parts of one guardrail; the early proxies. A final guardrail has alpha for itself, and so has a
    later period what its `level` says.
    """
    if measured.role is Role.SEGMENT:
        return f"segments of {measured.rule.metric}"
    if measured.role is Role.EARLY:
        return "early"
    return "success" if measured.success else f"guardrail {measured.rule.metric} {measured.where}"


def levels(measured: Measured, alpha: float, family: int) -> tuple[float, float]:
    """(to pass, to be refuted) where `family` measurements share alpha: all guardrails and segments must pass, so none of these splits alpha to pass; of
    success metrics one is enough.
    """
    return (alpha / family if measured.success else alpha), alpha * measured.level / family


def _conclude(measured: Sequence[Measured], evidence: Sequence[Evidence], stage: Stage) -> tuple[VerdictKind, str]:
    harmful = [e.name for m, e in zip(measured, evidence, strict=True) if e.refuted and not m.success]
    if harmful:
        return VerdictKind.REJECT, f"Worse than the margin allows, beyond doubt: {', '.join(harmful)}."
    final = [(m, e) for m, e in zip(measured, evidence, strict=True) if m.role not in ONLY_REJECTING]
    successes = [e for m, e in final if m.success]
    if successes and all(e.refuted for e in successes):
        return VerdictKind.REJECT, f"Beyond doubt the success metric fell: {', '.join(e.name for e in successes)}."
    missing = [e.name for m, e in final if not (m.success or e.passed or (_too_small(m) and not stage.gain))]
    if stage.gain and not any(e.passed for e in successes):
        missing = [*(e.name for e in successes), *missing] or ["a success metric"]
    if missing or not final:
        names = ", ".join(missing) or "a guardrail"
        return VerdictKind.HOLD, f"Not shown yet: {names}. This is not the same as harmless; more mature data may decide it."
    if not stage.gain:
        return (
            VerdictKind.PROMOTE,
            f"Every guardrail is non-inferior by this stage's margins ({stage.shown:.0%} of the information); no gain was asked for.",
        )
    return VerdictKind.PROMOTE, "A success metric is superior and every guardrail is non-inferior, which holds however often it was looked at."


def _too_small(measured: Measured) -> bool:
    """Whether a segment has too few members to be judged by itself: before the last stage the whole speaks for it, as it does below LEAST_SHARE.

    Were it waited for, a stage of fewer members than FEWEST / LEAST_SHARE a group could not be left once everybody has entered.
    """
    return measured.role is Role.SEGMENT and min(measured.members) < FEWEST
