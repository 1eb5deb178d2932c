"""Off-policy estimators: what a target policy would have earned on logged decisions.

Each gives one influence value a row, whose mean is the estimate, so that intervals and differences come from one place.
IPS and SNIPS: Horvitz and Thompson 1952; Swaminathan and Joachims 2015. DR: Dudik, Langford and Li 2011, eq. 3, cross-fitted
(Chernozhukov et al. 2018). All are conditional on right propensities; what those and the weights show to be unseen widens the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import Floats, Interval, Worst, bounded, clustered, scale
from training.evaluation.logged import Logged, Policy, Predictions, sum_by_row, weights
from training.evaluation.support import Support, support
from training.evaluation.unseen import unseen
from training.evaluation.widening import NOTHING, widenings

NAMES = ("ips", "snips", "dr")


@dataclass(frozen=True)
class Estimate:
    """A value with its two-sided interval, the influence values behind it, and how far down and up what was not seen widens the interval."""

    value: float
    interval: Interval
    influence: Floats
    slack: Interval = NOTHING


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
    found = support(weight, log.cluster, unseen(log, policy, weight))
    ends = scale(log.reward)
    values = influences(log, policy, predicted, weight)
    slack = widenings(log, policy, predicted.entries, found.unseen, ends, float(values["snips"].mean()))
    return {name: _absolute(values[name], log, found, alpha, slack[name]) for name in NAMES}, found


def _absolute(influence: Floats, log: Logged, found: Support, alpha: float, slack: Interval) -> Estimate:
    ends, value = scale(log.reward), float(influence.mean())
    if not np.isfinite(value):
        interval = (ends.low, ends.high) if ends.binary else (-np.inf, np.inf)
        return Estimate(float("nan"), interval, influence, slack)
    inside = float(np.clip(value, ends.low, ends.high))
    worst = Worst(found.typical_weight * (ends.low - inside), found.typical_weight * (ends.high - inside), found.cluster_factor)
    return Estimate(value, bounded(clustered(influence, log.cluster, alpha, worst), value, ends, slack), influence, slack)


def difference(first: Floats, second: Floats, log: Logged, weight_gap: Floats, alpha: float, slack: Interval = NOTHING) -> Estimate:
    """`first` - `second` (influence values of two policies on the same rows), with the interval of the paired difference.

    `weight_gap` [n] is the difference of their weights; the pseudo-observation has its typical size. `slack`: down and up, reward that neither could show.
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
    return Estimate(value, (low - slack[0], high + slack[1]), influence, slack)
