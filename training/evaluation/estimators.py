"""Off-policy estimators: what a target policy would have earned on logged decisions.

Each gives one influence value a row, whose mean is the estimate, so that intervals and differences come from one place.
IPS and SNIPS: Horvitz and Thompson 1952; Swaminathan and Joachims 2015. DR: Dudik, Langford and Li 2011, eq. 3, cross-fitted
(Chernozhukov et al. 2018). All are conditional on right propensities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import Floats, Interval, Ints, Scale, Worst, bounded, clustered, scale
from training.evaluation.support import Support, support

NAMES = ("ips", "snips", "dr")


@dataclass(frozen=True)
class Logged:
    """n logged decisions: code of the action taken, its probability, the reward and the code of the cluster (0..G-1)."""

    action: Ints
    propensity: Floats
    reward: Floats
    cluster: Ints

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class Policy:
    """Probabilities of n decisions in ragged form: those of decision i are `p[offsets[i]:offsets[i + 1]]`, of the actions `action[...]`."""

    offsets: Ints
    action: Ints
    p: Floats

    def rows(self) -> Ints:
        """Decision index of each entry."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class Predictions:
    """Reward predicted without the row itself: `entries` for each entry of the policy, `taken` for the logged action."""

    entries: Floats
    taken: Floats


@dataclass(frozen=True)
class Estimate:
    """A value with its two-sided interval and the influence values behind it."""

    value: float
    interval: Interval
    influence: Floats


def sum_by_row(values: Floats, policy: Policy) -> Floats:
    """Sum of entry values per decision [n]."""
    n = len(policy.offsets) - 1
    return np.bincount(policy.rows(), weights=values, minlength=n).astype(np.float64)


def chosen(policy: Policy, action: Ints) -> Floats:
    """Probability that `policy` gives to the logged `action` of each decision; 0 where it has no entry for it."""
    return sum_by_row(np.where(policy.action == action[policy.rows()], policy.p, 0.0), policy)


def weights(log: Logged, policy: Policy) -> Floats:
    """Importance weights [n]: target probability over propensity of the logged action."""
    return chosen(policy, log.action) / log.propensity


def influences(log: Logged, policy: Policy, predicted: Predictions, weight: Floats) -> dict[str, Floats]:
    """Influence values [n] of the three estimators, by name."""
    reward = log.reward
    mean = float(weight.mean())
    snips = float((weight * reward).mean()) / mean if mean > 0.0 else float("nan")
    base = sum_by_row(policy.p * predicted.entries, policy)
    return {
        "ips": weight * reward,
        "snips": snips + weight * (reward - snips) / mean if mean > 0.0 else np.full(len(log), np.nan),
        "dr": base + weight * (reward - predicted.taken),
    }


def evaluate(log: Logged, policy: Policy, predicted: Predictions, alpha: float) -> tuple[dict[str, Estimate], Support]:
    """All estimators of `policy`'s value with two-sided 1 - alpha intervals, and the support that they stand on."""
    weight = weights(log, policy)
    found = support(weight, log.cluster)
    ends = scale(log.reward)
    values = influences(log, policy, predicted, weight)
    return {name: _absolute(values[name], log, ends, found, alpha) for name in NAMES}, found


def _absolute(influence: Floats, log: Logged, ends: Scale, found: Support, alpha: float) -> Estimate:
    value = float(influence.mean())
    if not np.isfinite(value):
        interval = (ends.low, ends.high) if ends.binary else (-np.inf, np.inf)
        return Estimate(float("nan"), interval, influence)
    inside = float(np.clip(value, ends.low, ends.high))
    worst = Worst(found.typical_weight * (ends.low - inside), found.typical_weight * (ends.high - inside), found.cluster_factor)
    return Estimate(value, bounded(clustered(influence, log.cluster, alpha, worst), value, ends, found.unseen * ends.width), influence)


def difference(first: Floats, second: Floats, log: Logged, weight_gap: Floats, alpha: float) -> Estimate:
    """`first` - `second` (influence values of two policies on the same rows), with the interval of the paired difference.

    `weight_gap` [n] is the difference of their weights; the pseudo-observation has its typical size.
    """
    influence = first - second
    value = float(influence.mean())
    ends = scale(log.reward)
    total = float(np.abs(weight_gap).sum())
    typical = float(np.square(weight_gap).sum()) / total if total > 0.0 else 0.0
    rate = float(log.reward.mean())
    far = typical * max(ends.high - rate, rate - ends.low)
    crowd = float(np.bincount(log.cluster).mean())
    low, high = clustered(influence, log.cluster, alpha, Worst(-far, far, max(1.0, crowd)))
    return Estimate(value, (low, high), influence)
