"""The gate's rule on many experiments at once: the same formulas as `training.evaluation.looks`, on arrays (a test compares them look by look)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.gate.worlds import Pair
from training.domain.nouns import RuleKind
from training.domain.rules import Rule
from training.evaluation.cohorts import Difference, difference
from training.evaluation.intervals import Floats, Interval
from training.evaluation.looks import FEWEST
from training.evaluation.sequential import mixture, planned_error, radius, refuting

Flags = npt.NDArray[np.bool_]
Days = npt.NDArray[np.int64]
ALPHA = 0.05
CONVERTED = Rule("converted", RuleKind.SUPERIOR)
RETAINED = Rule("retained", RuleKind.NON_INFERIOR, 0.005)
OPTED_OUT = Rule("opted_out", RuleKind.NON_INFERIOR, 0.002, lower_is_better=True)
EFFECT = 0.01
"""What the success metric's sequence is planned for."""
RULES = ((CONVERTED, EFFECT), (RETAINED, 0.0), (OPTED_OUT, 0.0))
"""Each with the distance that its sequence is planned for (0: its margin)."""
DELAY = {"converted": 14, "retained": 28, "opted_out": 7}
"""Days until a label is mature (`domain.labels`)."""
NEVER = 10**6


Verdicts = tuple[Days, Days]
"""Day [experiments] of the promotion and of the rejection; NEVER where the other came first, or none."""


@dataclass(frozen=True)
class Shown:
    """At each look [experiments, looks]: whether the rule passes, and whether it is refuted."""

    passed: Flags
    refuted: Flags


def shown(rule: Rule, found: Difference, alpha: float = ALPHA, distance: float = 0.0) -> Shown:
    """The sequence of one rule against its threshold."""
    sign = -1.0 if rule.lower_is_better else 1.0
    planned = planned_error(distance or rule.margin, alpha)
    half, other = half_width(found, planned, alpha), half_width(found, planned, alpha, refuting)
    return Shown(sign * found.value - half > -rule.margin, sign * found.value + other < -rule.margin)


def half_width(found: Difference, planned: float, alpha: float = ALPHA, of: Callable[[Floats, float, float], Floats] = radius) -> Floats:
    """Of the sequence; infinite while a group has few members."""
    return np.where(np.minimum(found.control, found.treatment) < FEWEST, np.inf, of(found.error, planned, alpha))


def z_test(rule: Rule, found: Difference, alpha: float = ALPHA) -> Flags:
    """What a test for one look says at every look."""
    return np.asarray(found.value - stats.norm.isf(alpha) * found.error > -rule.margin)


def as_printed(rule: Rule, found: Difference, alpha: float = ALPHA) -> Flags:
    """The sequence at level alpha, as the paper prints it, which spends alpha over all of time."""
    planned = planned_error(rule.margin, alpha)
    half = found.error * mixture(np.square(planned / found.error), np.asarray(alpha))
    few = np.minimum(found.control, found.treatment) < FEWEST
    return np.asarray((found.value - half > -rule.margin) & ~few)


def late(flags: Flags, days: int, looks: int) -> Flags:
    """Per entering cohort -> per calendar day: what a cohort shows is known `days` later; `looks` days in all."""
    out = np.zeros((len(flags), looks), dtype=bool)
    out[:, days : days + flags.shape[1]] = flags[:, : looks - days]
    out[:, days + flags.shape[1] :] = flags[:, -1:]
    return out


def verdicts(pairs: Mapping[str, Pair], looks: int, alpha: float = ALPHA) -> Verdicts:
    """By the three default rules."""
    success, *guards = (_by_day(pairs, looks, rule, alpha, distance) for rule, distance in RULES)
    promote = first_day(np.logical_and.reduce([success.passed, *(g.passed for g in guards)]))
    reject = first_day(np.logical_or.reduce([success.refuted, *(g.refuted for g in guards)]))
    return np.where(promote < reject, promote, NEVER), np.where(reject <= promote, reject, NEVER)


def _by_day(pairs: Mapping[str, Pair], looks: int, rule: Rule, alpha: float, distance: float) -> Shown:
    found = shown(rule, difference(*pairs[rule.metric]), alpha, distance)
    return Shown(late(found.passed, DELAY[rule.metric], looks), late(found.refuted, DELAY[rule.metric], looks))


def first_day(flags: Flags) -> Days:
    """Days (the first is 1) until the first True; NEVER."""
    return np.where(flags.any(axis=1), flags.argmax(axis=1) + 1, NEVER)


def rate(flags: Flags) -> dict[str, float | list[float]]:
    """Share of experiments with its exact 95% interval (Clopper and Pearson 1934)."""
    return {"rate": float(flags.mean()), "interval": list(exact(int(flags.sum()), len(flags)))}


def exact(hits: int, n: int) -> Interval:
    """Clopper and Pearson's two-sided 95% interval."""
    found = stats.binomtest(hits, n).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def median(days: Days) -> float | None:
    """Over all experiments, those that never come included; None where it is never."""
    found = float(np.median(days))
    return found if found < NEVER / 2 else None
