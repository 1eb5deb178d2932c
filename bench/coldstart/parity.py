"""Impressions to parity: how often an arm is shown until its estimated rate is within a tenth of the true one, read in two ways.

*Reached*: the first count at which it is within a tenth. By luck alone an estimate that knows nothing passes through the truth too, on its way from one
side to the other; how often shows in the learners without texts. *Stays*: the first count from which it is within a tenth for the next STAYS impressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isinf

import numpy as np

from bench.coldstart.learners import Belief
from sources.simulated.world import Floats, Ints

NEAR = 0.10
COUNTS = (0, 1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000)
"""Impressions after which the estimate is read."""
STAYS = 1000
"""Impressions for which the estimate must stay within NEAR, so that passing through the truth by chance does not count."""
GOAL, LATE = 50, 1000
"""Impressions that are few; impressions after which the interval is checked again."""


def errors(belief: Belief, truth: Floats, shown: Ints, clicked: Floats) -> tuple[list[float], list[bool]]:
    """|estimate / truth - 1| at each of COUNTS, and whether the 95% interval held the truth at 0 and at LATE.

    `truth` [n] are the true rates of the audience, `shown` the positions in it of those who met the arm one after another, `clicked` their answers.
    """
    mean, found, held = float(truth.mean()), [], []
    for before, count in zip((0, *COUNTS), COUNTS, strict=False):
        if count > before:
            belief = belief.after(shown[before:count], clicked[before:count])
        found.append(abs(belief.rate() / mean - 1))
        if count in {0, LATE}:
            low, high = belief.interval()
            held.append(low <= mean <= high)
    return found, held


def parity(found: Sequence[float]) -> float:
    """The first of COUNTS at which the error is within NEAR and stays so for the next STAYS impressions (or to the last of COUNTS); infinity if none."""
    for count in COUNTS:
        if all(error <= NEAR for at, error in zip(COUNTS, found, strict=True) if count <= at <= count + STAYS):
            return float(count)
    return inf


def reached(found: Sequence[float]) -> float:
    """The first of COUNTS at which the error is within NEAR, whether or not it stays so; infinity if none."""
    return float(next((count for count, error in zip(COUNTS, found, strict=True) if error <= NEAR), inf))


def summary(found: Sequence[Sequence[float]], held: Sequence[Sequence[bool]]) -> dict[str, float | None]:
    """Over arms: median and 90% quantile of impressions until parity stays, and until it is reached (null: not within COUNTS), shares within GOAL, coverage."""
    stays, first = np.array([parity(f) for f in found]), np.array([reached(f) for f in found])
    quantiles = [float(q) for needed in (stays, first) for q in np.quantile(needed, [0.5, 0.9], method="inverted_cdf")]
    middle, late, first_middle, first_late = (None if isinf(q) else q for q in quantiles)
    return {
        "median": middle,
        "p90": late,
        "share_within_50": round(float(np.mean(stays <= GOAL)), 4),
        "reached_median": first_middle,
        "reached_p90": first_late,
        "reached_within_50": round(float(np.mean(first <= GOAL)), 4),
        "coverage": round(float(np.mean([h[0] for h in held])), 4),
        "coverage_after_1000": round(float(np.mean([h[1] for h in held])), 4),
        "median_error_before": round(float(np.median([f[0] for f in found])), 4),
    }
