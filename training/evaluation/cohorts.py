"""The difference of two groups, cohort by cohort: what a randomised experiment shows while its shares, its members and the season change.

A cohort is the members who entered on one day, split by one share. Only members of one cohort are compared, so that a ramp from 10% to 50% on a day
when everything sells better is no effect (Simpson's paradox); cohorts are then weighted by n1 n0 / (n1 + n0), which is best where variances are alike.

Predictions fixed before the outcome take away what they explain (CUPED: Deng, Xu, Kohavi and Walker 2013; AIPW with one slope): y - theta x with
theta the slope within cohorts and groups. As assignment is random, x has the same mean in both groups and the estimate stays the same on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import Floats, Ints


@dataclass(frozen=True)
class Sums:
    """Sums over the members of one group, one entry a cohort along the last axis: y the outcome, x its prediction (0 where there is none)."""

    n: Floats
    y: Floats
    yy: Floats
    x: Floats | None = None
    xx: Floats | None = None
    xy: Floats | None = None


@dataclass(frozen=True)
class Difference:
    """Treatment minus control after each cohort (last axis): value, standard error (infinite where unknown), and members of each group so far."""

    value: Floats
    error: Floats
    control: Floats
    treatment: Floats


def sums(y: Floats, cohort: Ints, cohorts: int, predicted: Floats | None = None) -> Sums:
    """Sums of `y` [n] (one row a member) by `cohort` [n], codes 0 to `cohorts` - 1; NaN (immature) rows count nowhere."""
    mature = ~np.isnan(y)
    y, cohort = y[mature], cohort[mature]

    def total(values: Floats) -> Floats:
        return np.bincount(cohort, weights=values, minlength=cohorts).astype(np.float64)

    whole = Sums(total(np.ones(len(y))), total(y), total(y * y))
    if predicted is None:
        return whole
    x = predicted[mature]
    return Sums(whole.n, whole.y, whole.yy, total(x), total(x * x), total(x * y))


def difference(control: Sums, treatment: Sums) -> Difference:
    """After each cohort, from all cohorts up to it. A cohort with fewer than two members in a group has no variance and is left out.

    The error is at least that by the groups' pooled variance: a small holdback with few losses by chance would else believe itself certain just then.
    """
    usable = (control.n > 1) & (treatment.n > 1)
    n0, n1 = np.where(usable, control.n, 2.0), np.where(usable, treatment.n, 2.0)
    weight = np.where(usable, n0 * n1 / (n0 + n1), 0.0)
    total, theta = _so_far(weight), _slope(control, treatment)
    value = _so_far(weight * (treatment.y / n1 - control.y / n0))
    spread = _spread((control, treatment), (n0, n1), weight, 0)
    if control.x is not None and treatment.x is not None:
        value = value - theta * _so_far(weight * (treatment.x / n1 - control.x / n0))
        cross, square = (_spread((control, treatment), (n0, n1), weight, order) for order in (1, 2))
        spread = spread - 2.0 * theta * cross + theta**2 * square
    largest = np.maximum(spread[0], spread[1])
    safe = np.where(total > 0.0, total, 1.0)
    error = np.where((total > 0.0) & (largest > 0.0), np.sqrt(np.maximum(largest, 0.0)) / safe, np.inf)
    counted = (_so_far(np.where(usable, group.n, 0.0)) for group in (control, treatment))
    return Difference(value / safe, error, *counted)


def _so_far(values: Floats) -> Floats:
    return np.cumsum(values, axis=-1)


def _spread(groups: tuple[Sums, Sums], n: tuple[Floats, Floats], weight: Floats, order: int) -> Floats:
    """[2, ...] so far: squared weights times the variance of the gap, by each group's own variance and by the pooled one."""
    first, second = (_within(group, size, order) for group, size in zip(groups, n, strict=True))
    own = first / (n[0] * (n[0] - 1.0)) + second / (n[1] * (n[1] - 1.0))
    pooled = (first + second) / (n[0] + n[1] - 2.0) * (1.0 / n[0] + 1.0 / n[1])
    return _so_far(np.square(weight) * np.stack([own, pooled]))


def _within(group: Sums, n: Floats, order: int) -> Floats:
    """Sum of squared deviations within each cohort: of y (0), of x and y together (1), of x (2)."""
    if order == 0 or group.x is None or group.xx is None or group.xy is None:
        return np.asarray(np.maximum(group.yy - group.y**2 / n, 0.0))
    return np.asarray(group.xy - group.x * group.y / n if order == 1 else group.xx - group.x**2 / n)


def _slope(control: Sums, treatment: Sums) -> Floats | float:
    """theta after each cohort; 0 without predictions or where they do not vary."""
    if control.x is None or treatment.x is None:
        return 0.0
    n0, n1 = np.maximum(control.n, 1.0), np.maximum(treatment.n, 1.0)
    cross, square = (_so_far(_within(control, n0, k) + _within(treatment, n1, k)) for k in (1, 2))
    varies = square > 1e-12 * np.maximum(_so_far(n0 + n1), 1.0)
    return np.asarray(np.where(varies, cross / np.where(varies, square, 1.0), 0.0))
