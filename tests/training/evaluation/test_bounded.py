from __future__ import annotations

import numpy as np
import pytest
from estimators.bandits.cs import Interval

from training.evaluation.bounded import largest_sum, log_wealth, sequences, tuned


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-2.0, 3.0)])
def test_row_by_row_as_vw_estimators(bounds):
    """The same interval as Vowpal Wabbit's confidence sequence, which has rho 1 and half of alpha at each end."""
    rng = np.random.default_rng(1)
    low, high = bounds
    rewards = low + (high - low) * rng.beta(2.0, 5.0, 400)
    reference = Interval(rmin=low, rmax=high)
    for reward in rewards:
        reference.add_example(p_log=1.0, r=float(reward), p_pred=1.0)
    below, above = sequences((np.ones(400), rewards, rewards**2), bounds, 1.0, 0.025)
    assert (below[-1], above[-1]) == pytest.approx(reference.get(0.05), abs=1e-6)


def test_wealth_is_what_the_boundary_says():
    """At the largest sum the bettor owns exactly 1 / alpha, whatever v is."""
    v = np.array([0.5, 10.0, 1e3, 1e5])
    assert log_wealth(largest_sum(v, 2.0, 0.05), v, 2.0) == pytest.approx(np.full(4, np.log(20.0)), rel=1e-6)


def test_batches_cover_at_every_look():
    """400 experiments of 60 batches: the ends exclude the true mean at some look in no more than alpha of them (5% + 3 standard errors), each side."""
    rng = np.random.default_rng(2)
    hits = rng.binomial(50, 0.95, (400, 60)).astype(float)
    below, above = sequences((np.full(60, 50.0), hits, hits), (0.0, 1.0), tuned(3000 * 0.0475, 0.05), 0.05)
    assert (below > 0.95).any(axis=1).mean() <= 0.083
    assert (above < 0.95).any(axis=1).mean() <= 0.083
    assert (above - below)[:, -1].mean() < 0.03
