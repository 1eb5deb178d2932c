"""Confidence intervals for means of influence values: clustered, small-sample, and wide where support is thin.

Three ingredients, each of which fades as data grow:

1. Cluster-robust variance: deviations are summed within a cluster (a member) before they are squared (Liang and Zeger 1986).
2. Student's t with Satterthwaite's degrees of freedom, estimated from the fourth moment of the cluster sums: a few rows that carry
   the estimate (large weights, rare rewards) mean few degrees of freedom.
3. One pseudo-observation at the worst reward with a typical weight, added on each side (the idea of Agresti and Coull 1998 carried to
   weighted data). It moves the end by about range / effective sample size, so that a log without a single success does not give [0, 0].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """What is known of the reward: its range, and whether it is 0/1 so that a mean cannot lie outside of it."""

    low: float
    high: float
    binary: bool

    @property
    def width(self) -> float:
        """Distance between the ends."""
        return self.high - self.low


@dataclass(frozen=True)
class Worst:
    """Deviation of one pseudo-observation at either end (low <= 0 <= high), and how much a whole cluster of them would be."""

    low: float
    high: float
    cluster_factor: float = 1.0


def scale(reward: Floats) -> Scale:
    """Range of `reward`: [0, 1] where all values are 0 or 1; where the values are all equal it is stretched to include 0, so that it is not empty."""
    low, high = float(reward.min()), float(reward.max())
    if np.isin(reward, (0.0, 1.0)).all():
        return Scale(0.0, 1.0, binary=True)
    if low == high:
        return Scale(min(low, 0.0), max(high, 0.0), binary=False)
    return Scale(low, high, binary=False)


def cluster_sums(values: Floats, cluster: Ints) -> Floats:
    """Sum of `values` per cluster; `cluster` holds codes 0..G-1, each in use."""
    return np.bincount(cluster, weights=values).astype(np.float64)


def clustered(influence: Floats, cluster: Ints, alpha: float, worst: Worst) -> Interval:
    """Two-sided 1 - alpha interval for the mean of `influence` [n], of which rows of one `cluster` [n] may depend on each other.

    A single cluster has no measurable variance and gives (-inf, inf).
    """
    n = len(influence)
    value = float(influence.mean())
    deviation = influence - value
    sums = cluster_sums(deviation, cluster)
    if len(sums) == 1:
        return -np.inf, np.inf
    own = float(np.square(deviation).sum())
    factor = worst.cluster_factor
    if own > 1e-12 * n:
        factor = float(np.clip(np.square(sums).sum() / own, 1.0, max(worst.cluster_factor, 1.0)))
    low = _end(sums, worst.low * factor, alpha)
    high = _end(sums, worst.high * factor, alpha)
    return value - low / n, value + high / n


def freedom(sums: Floats, pseudo: float = 0.0) -> float:
    """Satterthwaite's degrees of freedom of the variance of cluster `sums` and one `pseudo` sum, 1 to G - 1: twice the number of equal sums that carry it."""
    groups = len(sums)
    second = float(np.square(sums).sum()) + pseudo**2
    fourth = float(np.power(sums, 4).sum()) + pseudo**4
    spread = fourth - second**2 / groups
    most = max(groups - 1.0, 1.0)
    return most if spread <= 0.0 else min(most, max(2.0 * second**2 / spread, 1.0))


def _end(sums: Floats, pseudo: float, alpha: float) -> float:
    """Distance from the sum to one end of its interval: the pseudo-observation's shift plus t standard errors."""
    groups = len(sums)
    second = float(np.square(sums).sum()) + pseudo**2
    if second == 0.0:
        return abs(pseudo)
    quantile = float(stats.t.ppf(1.0 - alpha / 2.0, freedom(sums, pseudo)))
    return abs(pseudo) + quantile * float(np.sqrt(second * groups / (groups - 1.0)))


def bounded(interval: Interval, value: float, ends: Scale, slack: Interval = (0.0, 0.0)) -> Interval:
    """Widen by `slack` (down and up: reward that support cannot see), then cut at the ends of a 0/1 reward; `value` always stays inside."""
    low, high = interval[0] - slack[0], interval[1] + slack[1]
    if ends.binary:
        low, high = max(low, ends.low), min(high, ends.high)
    return min(low, value), max(high, value)
