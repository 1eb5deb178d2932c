from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.logged import Logged, Policy
from training.evaluation.reward_model import cross_fitted, fit


def uniform(n, k):
    """A uniform policy over k actions."""
    return Policy(np.arange(n + 1) * k, np.tile(np.arange(k), n), np.full(n * k, 1 / k))


def test_a_prediction_does_not_know_its_own_cluster():
    """Changing the rewards of one cluster leaves that cluster's predictions as they were."""
    rng = np.random.default_rng(4)
    action, x, reward = rng.integers(0, 2, 60), rng.normal(size=(60, 1)), rng.random(60)
    cluster = np.repeat(np.arange(20), 3)
    changed = np.where(cluster == 7, 0.5, reward)
    before, after = (cross_fitted(Logged(action, np.full(60, 0.5), r, cluster), uniform(60, 2), x, 2, 4) for r in (reward, changed))
    assert after.taken[cluster == 7] == pytest.approx(before.taken[cluster == 7])
    assert after.taken[cluster != 7] != pytest.approx(before.taken[cluster != 7])


def test_without_features_it_is_a_shrunken_mean_per_action():
    """Action 0 earns 1 in 20 rows, action 1 earns 0 in 20: 20 pseudo-rows pull both halfway to the mean of 1/2."""
    coefficients = fit(np.ones((40, 1)), np.repeat([0, 1], 20), np.repeat([1.0, 0.0], 20), 3)
    assert coefficients[:, 0] == pytest.approx([0.75, 0.25, 0.5])


def test_a_linear_reward_is_learned_per_action():
    """Reward x for action 0 and -x for action 1, out of fold."""
    rng = np.random.default_rng(5)
    x, action = rng.normal(size=(4000, 1)), rng.integers(0, 2, 4000)
    reward = np.where(action == 0, x[:, 0], -x[:, 0])
    predicted = cross_fitted(Logged(action, np.full(4000, 0.5), reward, np.arange(4000)), uniform(4000, 2), x, 2, 3)
    assert np.abs(predicted.taken - reward).mean() < 0.03
    assert predicted.entries.reshape(4000, 2)[:, 0] == pytest.approx(x[:, 0], abs=0.3)


def test_a_single_cluster_predicts_nothing():
    """With nothing to hold out the prediction is 0, which makes DR equal to IPS."""
    log = Logged(np.zeros(5, dtype=np.int64), np.ones(5), np.ones(5), np.zeros(5, dtype=np.int64))
    assert not cross_fitted(log, uniform(5, 1), np.zeros((5, 0)), 1, 3).taken.any()
