"""The gate's rules on many experiments at once, by its own `bounds`, and other ways to judge beside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from training.domain.nouns import RuleKind
from training.domain.rules import DEFAULT_RULES, Rule
from training.evaluation.cohorts import Difference
from training.evaluation.intervals import Floats, Interval
from training.evaluation.looks import FEWEST, Bounds, Measured, bounds, levels
from training.evaluation.sequential import mixture, planned_error, radius
from training.evaluation.units import DAY, known_after

Flags = npt.NDArray[np.bool_]
Days = npt.NDArray[np.int64]
ALPHA = 0.05
CONVERTED, RETAINED, OPTED_OUT, DISMISSED, REVENUE = DEFAULT_RULES
EFFECT = 0.01
"""What the success metric's sequence is planned for."""
RULES = tuple((rule, EFFECT if rule.kind is RuleKind.SUPERIOR else 0.0) for rule in DEFAULT_RULES)
"""Each with the distance that its sequence is planned for (0: its margin)."""
NEVER = 10**6


def shown(rule: Rule, found: Difference, alpha: float = ALPHA, distance: float = 0.0) -> Bounds:
    """One rule of the whole at each look, by the gate's own `bounds`."""
    measured = Measured(rule, 0.0, 0.0, (0, 0), distance)
    return bounds(measured, found, levels(measured, alpha, 1))


def wait(metric: str) -> int:
    """Days from a unit's entry until its outcome is known, as `units.outcomes` waits."""
    found = known_after(metric)
    if found is None:
        raise ValueError(f"{metric} has no window, so nobody's outcome would ever be known. Measure one of `domain.labels`.")
    return found // DAY


def half_width(found: Difference, planned: float, alpha: float = ALPHA) -> Floats:
    """Of the sequence; infinite while a group has few members."""
    return np.where(np.minimum(found.control, found.treatment) < FEWEST, np.inf, radius(found.error, planned, alpha))


def z_test(rule: Rule, found: Difference, alpha: float = ALPHA) -> Flags:
    """What a test for one look says at every look."""
    return np.asarray(found.value - stats.norm.isf(alpha) * found.error > -rule.margin)


def as_printed(rule: Rule, found: Difference, alpha: float = ALPHA) -> Flags:
    """The sequence at level alpha, as the paper prints it, which spends alpha over all of time."""
    planned = planned_error(rule.margin, alpha)
    half = found.error * mixture(np.square(planned / found.error), np.asarray(alpha))
    few = np.minimum(found.control, found.treatment) < FEWEST
    return np.asarray((found.value - half > -rule.margin) & ~few)


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
