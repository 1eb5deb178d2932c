"""The baselines' statistics by the closed form, and what they do with them."""

import numpy as np
import pytest
from scipy.stats import kstest

from bench.regret.linear import ALPHA, RIDGE, Linear, Ridge, V, lin_ts, lin_ucb, uniform, with_intercept
from bench.regret.loop import play
from bench.regret.problem import Problem


def easy(rounds=400, seed=0):
    """Two arms: the first is right where the first column is positive, the second elsewhere."""
    x = np.random.default_rng(seed).normal(size=(rounds, 3)).astype(np.float32)
    return Problem(x, np.stack([x[:, 0] > 0, x[:, 0] <= 0], axis=1).astype(np.float64))


def taught(policy, rows=60):
    """`policy` after answers to random arms, with the rows, arms and rewards."""
    rng = np.random.default_rng(5)
    x, arms, rewards = rng.normal(size=(rows, 3)).astype(np.float32), rng.integers(2, size=rows), rng.random(rows).astype(np.float32)
    policy.learn(x, arms, rewards)
    return with_intercept(x), arms, rewards


def test_an_arms_ridge_regression_is_the_closed_form():
    """(RIDGE I + X'X)^-1 and that times X'r over the arm's own rows, one answer at a time or solved at once."""
    policy = lin_ucb(3, 2, 60, seed=0)
    x, arms, rewards = taught(policy)
    for arm in (0, 1):
        own = x[arms == arm]
        inverse = np.linalg.inv(RIDGE * np.eye(4) + own.T @ own)
        np.testing.assert_allclose(policy.ridge.inverse[arm], inverse, atol=1e-12)
        np.testing.assert_allclose(policy.ridge.mean[arm], inverse @ own.T @ rewards[arms == arm], atol=1e-12)


def test_an_answer_by_hand():
    """One column of value 2 and the intercept: A = [[5, 2], [2, 2]], its inverse [[1/3, -1/3], [-1/3, 5/6]], the mean of reward 1 is [1/3, 1/6]."""
    ridge = Ridge(1, 1)
    ridge.learn(np.array([2.0, 1.0]), 0, 1.0)
    np.testing.assert_allclose(ridge.inverse[0], [[1 / 3, -1 / 3], [-1 / 3, 5 / 6]])
    np.testing.assert_allclose(ridge.mean[0], [1 / 3, 1 / 6])
    mean, deviation = ridge.predict(np.array([2.0, 1.0]))
    assert mean[0] == pytest.approx(5 / 6)
    assert deviation[0] == pytest.approx(np.sqrt(5 / 6))


def test_linucb_takes_the_highest_upper_bound():
    """mean . x + ALPHA sqrt(x' inverse x), computed from the closed form, is highest for the arm that is chosen."""
    policy = lin_ucb(3, 2, 60, seed=0)
    x, arms, rewards = taught(policy)
    bounds = []
    for arm in (0, 1):
        own = x[arms == arm]
        inverse = np.linalg.inv(RIDGE * np.eye(4) + own.T @ own)
        bounds.append(x @ inverse @ own.T @ rewards[arms == arm] + ALPHA * np.sqrt(np.einsum("nd,de,ne->n", x, inverse, x)))
    assert policy.choose(x[:, :3].astype(np.float32)).tolist() == np.argmax(bounds, axis=0).tolist()


def test_lints_draws_scores_as_if_it_drew_weights():
    """w . x of weights from N(mean, V^2 inverse) has the distribution that the scores are drawn from."""
    policy = lin_ts(3, 2, 60, seed=0)
    taught(policy)
    row = np.array([0.5, -1.0, 2.0, 1.0])
    scores = np.array([policy.scores(*policy.ridge.predict(row)) for _ in range(2000)])
    weights = np.random.default_rng(1).multivariate_normal(policy.ridge.mean[1], V**2 * policy.ridge.inverse[1], size=2000)
    assert kstest(scores[:, 1], weights @ row).pvalue > 0.01
    assert abs(np.corrcoef(scores.T)[0, 1]) < 0.08


def test_ties_are_broken_at_random():
    """Before any answer all arms are equal, and each is chosen."""
    policy = Linear(Ridge(2, 3), lambda mean, deviation: mean + deviation, np.random.default_rng(0))
    assert set(policy.choose(np.ones((60, 2), dtype=np.float32)).tolist()) == {0, 1, 2}


@pytest.mark.parametrize("maker", [lin_ucb, lin_ts])
def test_the_baselines_beat_uniform(maker):
    """Half of uniform's regret at most, on a problem that a line solves."""
    assert play(easy(), maker, seed=0).regret[-1] < 0.5 * play(easy(), uniform, seed=0).regret[-1]


def test_the_same_seed_gives_the_same_run():
    """Bit for bit."""
    assert np.array_equal(play(easy(), lin_ts, seed=3).regret, play(easy(), lin_ts, seed=3).regret)
