"""What weights show to be missing: by hand, found where it is missing, and rarely found where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.logged import Logged, Policy, weights
from training.evaluation.unseen import Unseen, unseen


def problem(logging, target, rng, cluster=None):
    """A log drawn from `logging` [n, k] and the policy `target` [n, k]."""
    n, k = logging.shape
    action = (logging.cumsum(axis=1) > rng.random((n, 1)) * logging.sum(axis=1, keepdims=True)).argmax(axis=1)
    log = Logged(action, logging[np.arange(n), action], np.zeros(n), np.arange(n) if cluster is None else cluster)
    return log, Policy(np.arange(n + 1) * k, np.tile(np.arange(k), n), target.ravel())


def found(logging, target, rng, cluster=None):
    """What is unseen in it."""
    log, policy = problem(logging, target, rng, cluster)
    return unseen(log, policy, weights(log, policy))


def blind(n, share, rng):
    """Action 1 has no chance in a `share` of contexts, and it is only there that the target plays it."""
    hidden = rng.random((n, 1)) < share
    return np.where(hidden, [0.5, 0.0, 0.5], [0.4, 0.2, 0.4]), np.where(hidden, [0.0, 1.0, 0.0], [0.5, 0.0, 0.5])


def test_mass_by_hand():
    """What is certain comes first; the actions that fall short and the mean weight are two views of the rest, of which the larger counts."""
    assert Unseen().mass == 0.0
    assert Unseen(0.1, ((2, 0.05), (3, 0.02)), 0.04).mass == pytest.approx(0.17)
    assert Unseen(0.1, ((2, 0.05),), 0.4).mass == pytest.approx(0.5)
    assert (Unseen(0.1, over=0.2).missing, Unseen(0.1, over=0.2).mass) == pytest.approx((0.1, 0.3))


def test_an_action_never_taken_counts_exactly():
    """A tenth of 100 rows and nothing of the others: 5%, whatever the sample."""
    target = np.tile([0.6, 0.4, 0.0], (100, 1))
    target[:50] = [0.5, 0.4, 0.1]
    assert found(np.tile([0.5, 0.5, 0.0], (100, 1)), target, np.random.default_rng(1)) == Unseen(pytest.approx(0.05))


def test_a_propensity_of_one_closes_every_other_action():
    """The log had no choice in 30 of 1,000 rows, of which the target gives half to the other action: 1.5%, however noisy the weights elsewhere."""
    logging, target = np.tile([0.95, 0.05], (1000, 1)), np.tile([0.5, 0.5], (1000, 1))
    logging[:30] = [1.0, 0.0]
    for seed in range(10):
        lack = found(logging, target, np.random.default_rng(seed))
        assert (lack.never, lack.short) == (pytest.approx(0.015), ())


def test_support_missing_in_some_contexts_is_found():
    """5% of contexts, 60 logs of 3,000 rows: each time the action is named, with a mass at least as large, and nothing else is accused."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        logging, target = blind(3000, 0.05, rng)
        lack = found(logging, target, rng)
        assert [action for action, _ in lack.short] == [1]
        assert target[:, 1].mean() <= lack.mass < 0.1
        assert lack.never == 0.0


@pytest.mark.parametrize("actions", [3, 50])
def test_full_support_is_rarely_accused(actions):
    """At most 2% of 300 logs of 1,000 rows, with policies that differ by context."""
    accused = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        logging, target = rng.dirichlet(np.full(actions, 5.0), 1000), rng.dirichlet(np.full(actions, 2.0), 1000)
        lack = found(logging, target, rng)
        accused += bool(lack.short) or lack.off + lack.over > 0.0
    assert accused <= 6


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_few_clusters_do_not_accuse_the_propensities(clusters):
    """Of right propensities, in 400 logs each: a normal quantile accuses 19% of logs of two clusters; one cluster accuses nobody."""
    accused = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        lack = found(np.full((200, 2), 0.5), np.tile([0.75, 0.25], (200, 1)), rng, np.arange(200) % clusters)
        accused += lack.mass > 0.0
    assert accused <= (0 if clusters == 1 else 4)


def test_wrong_propensities_are_found():
    """Twice too large: the mean weight is 1/2, and the mass is what it misses plus two standard errors; twice too small: 2, and what it has too much."""
    rng = np.random.default_rng(2)
    log, policy = problem(np.full((1000, 2), 0.5), np.tile([0.6, 0.4], (1000, 1)), rng)
    weight = weights(log, policy) / 2
    error = weight.std() / 1000**0.5
    assert unseen(log, policy, weight).off == pytest.approx(1 - weight.mean() + 2 * error, rel=1e-3)
    assert unseen(log, policy, weight).over == 0.0
    much = unseen(log, policy, 4 * weight)
    assert (much.off, much.over) == (0.0, pytest.approx(4 * weight.mean() - 1 + 8 * error, rel=1e-3))


def test_rows_of_one_cluster_are_not_independent():
    """Ten copies of a log of which nothing is missing: as strangers they accuse an action, as clusters they do not."""
    together = strangers = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        logging, target = (np.repeat(rng.dirichlet(np.full(3, a), 200), 10, axis=0) for a in (5.0, 2.0))
        log, _ = problem(logging[::10], target[::10], rng)
        copies = Logged(log.action.repeat(10), log.propensity.repeat(10), np.zeros(2000), np.arange(200).repeat(10))
        apart = Logged(copies.action, copies.propensity, copies.reward, np.arange(2000))
        wide = Policy(np.arange(2001) * 3, np.tile(np.arange(3), 2000), target.ravel())
        weight = weights(copies, wide)
        together += bool(unseen(copies, wide, weight).short)
        strangers += bool(unseen(apart, wide, weight).short)
    assert (together, strangers > 5) == (0, True)


def test_many_actions_of_which_each_decision_lists_two():
    """A ragged policy over 5,000 actions takes the sparse way and finds what the dense one would: the one action that falls short."""
    rng = np.random.default_rng(3)
    n = 600
    pair = np.column_stack([np.zeros(n, dtype=np.int64), rng.integers(1, 5000, n)])
    target = np.where(rng.random((n, 1)) < 0.5, [1.0, 0.0], [0.0, 1.0])
    log = Logged(np.where(target[:, 0] == 1.0, pair[:, 1], 0), np.full(n, 0.5), np.zeros(n), np.arange(n))
    lack = unseen(log, Policy(np.arange(n + 1) * 2, pair.ravel(), target.ravel()), np.zeros(n))
    assert [action for action, _ in lack.short] == [0]
    assert lack.short[0][1] == pytest.approx(target[:, 0].mean(), abs=0.06)
