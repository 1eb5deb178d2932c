from __future__ import annotations

import numpy as np
import pytest
from estimators.bandits import ips as vw_ips
from estimators.bandits import snips as vw_snips
from scipy import stats

from tests.fakes.worlds import World
from training.evaluation.estimators import NAMES, difference, evaluate, influences
from training.evaluation.logged import Logged, Policy, Predictions, chosen, weights
from training.evaluation.reward_model import cross_fitted

LOG = Logged(np.array([0, 0, 0, 1]), np.full(4, 0.5), np.array([1.0, 0.0, 1.0, 1.0]), np.arange(4))
TARGET = Policy(np.arange(5) * 2, np.tile([0, 1], 4), np.tile([0.8, 0.2], 4))
PREDICTED = Predictions(np.tile([0.5, 0.25], 4), np.array([0.5, 0.5, 0.5, 0.25]))


def test_estimates_by_hand():
    """Weights 1.6, 1.6, 1.6, 0.4. IPS (1.6 + 1.6 + 0.4) / 4, SNIPS 3.6 / 5.2, DR 0.45 + (0.8 - 0.8 + 0.8 + 0.3) / 4."""
    estimates, found = evaluate(LOG, TARGET, PREDICTED, 0.05)
    assert {n: e.value for n, e in estimates.items()} == pytest.approx({"ips": 0.9, "snips": 3.6 / 5.2, "dr": 0.725})
    assert found.effective_sample_size == pytest.approx(5.2**2 / 7.84)
    assert all(e.interval[0] <= e.value <= e.interval[1] for e in estimates.values())
    assert all(e.influence.mean() == pytest.approx(e.value) for e in estimates.values())


def test_snips_does_not_feel_the_size_of_the_weights():
    """Only their proportions count, for the estimate and for each row's influence, so its interval keeps its width whatever the mean weight is."""
    weight = weights(LOG, TARGET)
    one, three = (influences(LOG, TARGET, PREDICTED, factor * weight)["snips"] for factor in (1.0, 3.0))
    assert three == pytest.approx(one)
    assert one == pytest.approx(3.6 / 5.2 + weight * (LOG.reward - 3.6 / 5.2) / 1.3)


def test_an_action_that_the_target_does_not_list_has_weight_zero():
    """Ragged policies: decision 0 offers only action 1, decision 1 only action 0."""
    policy = Policy(np.array([0, 1, 2]), np.array([1, 0]), np.ones(2))
    assert chosen(policy, np.array([0, 0])).tolist() == [0.0, 1.0]


def test_ips_and_snips_equal_vw_estimators():
    """The reference implementation gives the same numbers on a random log."""
    log, policy, _, _ = World(np.array([[0.5], [-0.5], [0.0]]), np.zeros(3)).sample(500, 3)
    ips, snips = vw_ips.Estimator(), vw_snips.Estimator()
    for p_log, reward, p_target in zip(log.propensity, log.reward, chosen(policy, log.action), strict=True):
        ips.add_example(p_log, reward, p_target)
        snips.add_example(p_log, reward, p_target)
    estimates, _ = evaluate(log, policy, Predictions(np.zeros(len(policy.p)), np.zeros(500)), 0.05)
    assert estimates["ips"].value == pytest.approx(ips.get())
    assert estimates["snips"].value == pytest.approx(snips.get())
    assert estimates["dr"].value == pytest.approx(ips.get())


def test_the_logging_policy_itself_has_the_mean_reward():
    """All weights are 1, so each estimator gives the mean of the log."""
    estimates, found = evaluate(LOG, Policy(np.arange(5) * 2, np.tile([0, 1], 4), np.full(8, 0.5)), PREDICTED, 0.05)
    assert estimates["ips"].value == estimates["snips"].value == 0.75
    assert (found.effective_sample_size, found.mean_weight, found.unseen.mass) == (4.0, 1.0, 0.0)


def test_no_overlap_gives_no_number_and_the_whole_range():
    """A target that never does what the log did: SNIPS is unknown, every interval of a 0/1 reward is [0, 1]."""
    log = Logged(np.zeros(50, dtype=np.int64), np.full(50, 0.5), np.tile([0.0, 1.0], 25), np.arange(50))
    policy = Policy(np.arange(51), np.ones(50, dtype=np.int64), np.ones(50))
    estimates, found = evaluate(log, policy, cross_fitted(log, policy, np.zeros((50, 0)), 2, 5), 0.05)
    assert np.isnan(estimates["snips"].value)
    assert all(high - low > 0.9 for low, high in (e.interval for e in estimates.values()))
    assert found.effective_sample_size == 0.0


def test_no_overlap_says_nothing_of_a_reward_without_bounds():
    """Points that may be anything, seen under other actions only: SNIPS has no value, and no end of its interval is known."""
    log = Logged(np.zeros(50, dtype=np.int64), np.full(50, 0.5), np.linspace(-3.0, 9.0, 50), np.arange(50))
    policy = Policy(np.arange(51), np.ones(50, dtype=np.int64), np.ones(50))
    estimates, _ = evaluate(log, policy, Predictions(np.zeros(50), np.zeros(50)), 0.05)
    assert np.isnan(estimates["snips"].value)
    assert estimates["snips"].interval == (-np.inf, np.inf)


def test_intervals_have_the_unit_of_the_reward():
    """In cents all is a hundred times what it is in euros: values, both ends, and what is not seen."""
    log, policy, _, _ = World(np.array([[0.3], [-0.3]]), np.zeros(2)).sample(60, 5)
    euros = log.reward * np.linspace(0.5, 9.0, 60)
    (once, _), (cents, _) = (
        evaluate(Logged(log.action, log.propensity, unit * euros, log.cluster), policy, Predictions(np.zeros(len(policy.p)), np.zeros(60)), 0.05)
        for unit in (1.0, 100.0)
    )
    for name in NAMES:
        assert (cents[name].value, *cents[name].interval) == pytest.approx([100.0 * x for x in (once[name].value, *once[name].interval)])


def test_no_success_at_all_is_not_certainty_of_none():
    """0 of 100 rewards: the upper end is at least the 3 / n of the exact binomial interval."""
    log = Logged(np.zeros(100, dtype=np.int64), np.ones(100), np.zeros(100), np.arange(100))
    policy = Policy(np.arange(101), np.zeros(100, dtype=np.int64), np.ones(100))
    estimates, _ = evaluate(log, policy, Predictions(np.zeros(100), np.zeros(100)), 0.05)
    for name in NAMES:
        low, high = estimates[name].interval
        assert low == 0.0
        assert 0.029 < high < 0.1


def test_wrong_propensities_widen_the_interval():
    """Propensities that are twice too large show as a mean weight of 1/2, and the interval then holds what was not seen."""
    log = Logged(np.tile(np.arange(4), 250), np.full(1000, 0.5), np.tile([0.0, 0.0, 1.0, 1.0], 250), np.arange(1000))
    policy = Policy(np.arange(1001) * 4, np.tile(np.arange(4), 1000), np.full(4000, 0.25))
    estimates, found = evaluate(log, policy, Predictions(np.zeros(4000), np.zeros(1000)), 0.05)
    assert found.unseen.off == pytest.approx(0.5)
    assert estimates["ips"].interval[1] > 0.74


@pytest.mark.parametrize("level", [0.0, 1000.0])
def test_an_action_never_taken_widens_by_what_it_may_hold(level):
    """A tenth of the target on it: SNIPS and DR miss at most a tenth of the range, from its lowest to its highest value, IPS a tenth of the rewards' level."""
    rng = np.random.default_rng(12)
    reward = level + rng.normal(size=2000)
    log = Logged(np.tile([0, 1], 1000), np.full(2000, 0.5), reward, np.arange(2000))
    policy = Policy(np.arange(2001) * 3, np.tile([0, 1, 2], 2000), np.tile([0.45, 0.45, 0.1], 2000))
    estimates, found = evaluate(log, policy, cross_fitted(log, policy, np.zeros((2000, 0)), 3, 5), 0.05)
    seen = {name: 0.1 * (max(reward.max(), 0.0) - min(reward.min(), 0.0) if name == "ips" else np.ptp(reward)) for name in NAMES}
    assert found.unseen.never == pytest.approx(0.1)
    for name in NAMES:
        low, high = estimates[name].interval
        assert low < level < high
        assert seen[name] < high - low < seen[name] + 0.2


def test_rare_clustered_rewards_are_covered():
    """Conversion of about 2% with members of five decisions each: 95% intervals hold the truth in at least 92% of 150 logs."""
    world = World(np.array([[0.6, 0.0], [0.0, 0.6], [-0.6, 0.0], [0.0, 0.0]]), np.array([-4.4, -4.0, -4.2, -4.6]), per=5)
    truth = world.sample(300_000, 10**6)[3]
    hits = dict.fromkeys(NAMES, 0)
    for seed in range(150):
        log, policy, x, _ = world.sample(3000, seed)
        estimates, _ = evaluate(log, policy, cross_fitted(log, policy, x, 4, 3), 0.05)
        for name in NAMES:
            low, high = estimates[name].interval
            hits[name] += low <= truth <= high
    assert min(hits.values()) >= 138, hits


def test_dr_is_narrower_than_ips_where_features_predict():
    """Features that decide the reward take noise out; in nearly all logs."""
    world = World(np.array([[1.5, 0.0], [0.0, 1.5], [-1.5, 0.0]]), np.zeros(3))
    narrower = 0
    for seed in range(20):
        log, policy, x, _ = world.sample(2000, seed)
        estimates, _ = evaluate(log, policy, cross_fitted(log, policy, x, 3, 3), 0.05)
        narrower += np.diff(estimates["dr"].interval)[0] < 0.9 * np.diff(estimates["ips"].interval)[0]
    assert narrower >= 19


def test_difference_of_a_policy_with_itself_is_nothing():
    """Same rows, same weights: exactly 0."""
    own = influences(LOG, TARGET, PREDICTED, weights(LOG, TARGET))["dr"]
    assert difference(own, own, LOG, np.zeros(4), 0.05).interval == (0.0, 0.0)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("decisions", [1, 2])
def test_a_difference_that_nothing_shows_may_be_one_reward_at_the_far_end(turned, decisions):
    """Ten rewards of mean 1 between 0 and 10, or turned about, and weights 0.5 apart: one member more with 0.5 x 9 for each decision of his, both ways.

    Its square s is the whole variance: t has 2 / (1 - 1 / G) degrees of freedom for G members.
    """
    reward = np.array([0.0] * 9 + [10.0])
    log = Logged(LOG.action.repeat(3)[:10], np.full(10, 0.5), 10.0 - reward if turned else reward, np.arange(10) // decisions)
    groups, pseudo = 10 / decisions, 4.5 * decisions
    half = (pseudo + stats.t.ppf(0.975, 2.0 / (1.0 - 1.0 / groups)) * pseudo * np.sqrt(groups / (groups - 1.0))) / 10
    found = difference(np.full(10, 0.3), np.full(10, 0.3), log, np.tile([0.5, -0.5], 5), 0.05)
    assert found.value == 0.0
    assert found.interval == pytest.approx((-half, half))


def test_the_difference_is_widened_by_what_is_missing():
    """By exactly the slack, each end by its own."""
    values = influences(LOG, TARGET, PREDICTED, weights(LOG, TARGET))["dr"]
    bare, wide = (difference(values, LOG.reward, LOG, np.zeros(4), 0.05, slack).interval for slack in ((0.0, 0.0), (0.25, 0.5)))
    assert wide == pytest.approx((bare[0] - 0.25, bare[1] + 0.5))


def test_the_paired_difference_is_narrower_than_two_intervals():
    """What both policies share on the same rows cancels."""
    log, policy, x, _ = World(np.array([[0.3], [-0.3]]), np.zeros(2)).sample(2000, 5)
    weight = weights(log, policy)
    values = influences(log, policy, cross_fitted(log, policy, x, 2, 3), weight)["dr"]
    estimates, _ = evaluate(log, policy, cross_fitted(log, policy, x, 2, 3), 0.05)
    gap = difference(values, log.reward, log, weight - 1.0, 0.05)
    assert gap.value == pytest.approx(estimates["dr"].value - log.reward.mean())
    assert np.diff(gap.interval)[0] < np.diff(estimates["dr"].interval)[0] + 2 * 1.96 * log.reward.std() / 2000**0.5
