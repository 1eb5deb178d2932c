"""Do the rewards themselves carry an interval? Weights may be fine and a few large amounts still decide the mean."""

from __future__ import annotations

import numpy as np

from training.evaluation.intervals import Floats, Ints, cluster_sums, freedom, scale

FREE = 20.0
"""Satterthwaite's degrees of freedom below which a skewed mean was covered too rarely in simulations (1% or 5% of rows with an amount)."""


def reward_warnings(reward: Floats, influence: Floats, cluster: Ints) -> list[str]:
    """Sentences on `reward` [n] and the `influence` [n] of an estimate from it. 0/1 rewards that vary need none: their range is known."""
    if reward.min() == reward.max():
        return ["All rewards are equal: the reward's range is unknown, and an interval cannot say what other rewards there are."]
    if scale(reward).binary or not np.isfinite(influence).all():
        return []
    sums = cluster_sums(influence - influence.mean(), cluster)
    free = freedom(sums)
    if len(sums) == 1 or free >= FREE:
        return []
    end = "upper" if float(np.power(sums, 3).sum()) > 0.0 else "lower"
    rows = f"{max(1, round(free / 2)):,}"
    return [f"The estimate rests on about {rows} row(s) with large rewards; the {end} end of each interval is rough. Log more, or cap the rewards knowingly."]
