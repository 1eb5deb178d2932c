from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.evaluation.assigned import assignment, log_bayes_factor


def test_the_bayes_factor_is_the_product_of_predictions():
    """By hand: member by member, the Dirichlet's predicted share over the planned one."""
    shares, k = np.array([0.5, 0.3, 0.2]), 10.0
    groups = [0, 2, 0, 1, 0]
    counts, product = np.zeros(3), 1.0
    for g in groups:
        product *= (k * shares[g] + counts[g]) / (k + counts.sum()) / shares[g]
        counts[g] += 1
    assert log_bayes_factor(counts, shares, k) == pytest.approx(np.log(product))


def test_two_groups_as_scipys_beta_binomial():
    """The ratio of the beta-binomial's and the binomial's probability of the count."""
    expected = stats.betabinom.logpmf(60, 100, 50.0, 50.0) - stats.binom.logpmf(60, 100, 0.5)
    assert log_bayes_factor(np.array([60, 40]), np.array([0.5, 0.5]), 100.0) == pytest.approx(expected)


def test_a_fair_split_is_rarely_stopped():
    """2,000 experiments of 100 daily looks: at most alpha = 1% cross (plus 3 standard errors)."""
    rng = np.random.default_rng(2)
    counts = rng.multinomial(500, [0.45, 0.45, 0.1], (2000, 100)).cumsum(axis=1)
    crossed = (log_bayes_factor(counts, np.array([0.45, 0.45, 0.1])) >= np.log(100.0)).any(axis=1).mean()
    assert crossed <= 0.01 + 3 * np.sqrt(0.01 / 2000)


def test_a_lost_tenth_is_found_in_any_stage():
    """A stage as planned does not hide one that loses a tenth of the treated; the shares of a ramp are each stage's own."""
    fair = ([9_000, 1_000], [0.9, 0.1])
    assert assignment([fair, ([5_000, 5_000], [0.5, 0.5])]).passed
    broken = assignment([fair, ([5_000, 4_500], [0.5, 0.5])])
    assert not broken.passed
    assert "broken" in broken.note
    assert broken.sample == 19_500


def test_a_plan_that_is_none_is_refused():
    """Shares must sum to 1."""
    with pytest.raises(ValueError, match="do not sum to 1"):
        log_bayes_factor(np.array([1, 1]), np.array([0.5, 0.6]))
