"""Challenger minus baseline: numbers by hand, against known truth, and with the right width."""

from __future__ import annotations

import json

import numpy as np
import pytest

from training.domain.errors import DataError
from training.evaluation.arm_shares import arm_shares
from training.evaluation.estimators import difference
from training.evaluation.logged import Logged, weights
from training.evaluation.policy_difference import EDGES, Log, compare, histogram

ARMS = 4


def log_of(taken, members, challenger, baseline, logging):
    """A log where each decision has all arms; the policies are [n, ARMS]."""
    n = len(taken)
    offsets, actions = np.arange(n + 1) * ARMS, np.tile(np.arange(ARMS), n)
    return Log(taken, logging[np.arange(n), taken], members, offsets, actions, challenger.ravel(), baseline.ravel())


def world(seed, rows=4000, members=400, base=0.9, effect=0.03):
    """Decisions under a uniform policy; the challenger prefers arm 0, which adds `effect`. Returns log, reward and the members' true rates per entry."""
    rng = np.random.default_rng(seed)
    member = np.arange(rows) % members
    rate = np.clip(base + rng.normal(0, 0.02, members), 0.0, 1.0 - effect)[member, None] + effect * (np.arange(ARMS) == 0)
    taken = rng.integers(0, ARMS, rows)
    reward = (rng.random(rows) < rate[np.arange(rows), taken]).astype(float)
    uniform = np.full((rows, ARMS), 1.0 / ARMS)
    challenger = np.tile([0.7, 0.1, 0.1, 0.1], (rows, 1))
    return log_of(taken, member, challenger, uniform, uniform), reward, rate.ravel()


def test_two_decisions_by_hand():
    """Weights 2.8 and 0.4, rewards 1 and 0: IPS is 1.4, against a logged mean of 0.5; a perfect model leaves DR the expectations."""
    uniform, wish = np.full((2, ARMS), 0.25), np.tile([0.7, 0.1, 0.1, 0.1], (2, 1))
    log = log_of(np.array([0, 1]), np.array([0, 1]), wish, uniform, uniform)
    perfect = np.tile([1.0, 0.0, 0.0, 0.0], 2)
    found = compare(log, np.array([1.0, 0.0]), perfect, 0.05, 2)
    assert found.challenger["ips"].value == pytest.approx(1.4)
    assert found.baseline["ips"].value == pytest.approx(0.5)
    assert found.difference["ips"].value == pytest.approx(0.9)
    assert found.challenger["dr"].value == pytest.approx(0.7)
    assert found.difference["dr"].value == pytest.approx(0.7 - 0.25)
    assert found.support["challenger"].effective_sample_size == pytest.approx(3.2**2 / (2.8**2 + 0.4**2))
    assert found.support["baseline"].mean_weight == pytest.approx(1.0)


def test_the_same_policy_twice_differs_by_nothing():
    """A challenger that is the baseline has the difference 0 by every estimator, and 0 lies inside each interval."""
    log, reward, mean = world(1)
    same = Log(log.taken, log.propensity, log.cluster, log.offsets, log.actions, log.baseline, log.baseline)
    for estimate in compare(same, reward, mean, 0.05, 3).difference.values():
        assert estimate.value == pytest.approx(0.0, abs=1e-12)
        assert estimate.interval[0] <= 0.0 <= estimate.interval[1]


def test_intervals_cover_the_truth():
    """The 90% interval of the true difference 0.6 x 0.03 - 0.15 x 0.03 covers it in about 90% of 200 worlds, with and without a model."""
    truth, hits = 0.03 * (0.7 - 0.25), {"model": 0, "means": 0, "ips": 0}
    for seed in range(200):
        log, reward, mean = world(seed, rows=1500, members=300)
        for name, guess in (("model", mean), ("means", None)):
            low, high = compare(log, reward, guess, 0.05, 3).difference["dr"].interval
            hits[name] += low <= truth <= high
        low, high = compare(log, reward, mean, 0.05, 3).difference["ips"].interval
        hits["ips"] += low <= truth <= high
    assert all(168 <= count <= 198 for count in hits.values()), hits


def test_the_models_predictions_narrow_the_interval():
    """Where the reward is common (retention), the reward model as control variate makes DR's interval under a third of IPS's."""
    log, reward, mean = world(3)
    found = compare(log, reward, mean, 0.05, 3).difference
    width = {name: e.interval[1] - e.interval[0] for name, e in found.items()}
    assert width["dr"] < width["ips"] / 3
    assert width["dr"] <= width["snips"] * 1.05


def test_members_whose_decisions_depend_widen_the_interval():
    """Ten copies of each decision by the same member carry no more information than one: the interval does not shrink as for strangers."""
    log, reward, mean = world(4, rows=400, members=400)
    pick = np.repeat(np.arange(400), 10)
    spread = (pick[:, None] * ARMS + np.arange(ARMS)).ravel()
    copies = log_of(log.taken[pick], log.cluster[pick], log.challenger[spread].reshape(-1, ARMS), *[np.full((4000, ARMS), 0.25)] * 2)
    strangers = Log(copies.taken, copies.propensity, np.arange(4000), copies.offsets, copies.actions, copies.challenger, copies.baseline)
    ours, naive = (compare(lg, reward[pick], mean[spread], 0.05, 3).difference["dr"].interval for lg in (copies, strangers))
    assert ours[1] - ours[0] > 2.5 * (naive[1] - naive[0])


def test_keeping_rows_is_the_same_as_never_having_had_the_others():
    """`keep` cuts entries, clusters and probabilities together."""
    log, reward, mean = world(5, rows=200, members=50)
    rows = np.arange(200) % 3 > 0
    part = log.keep(rows)
    part.check()
    again = log_of(log.taken[rows], part.cluster, *[p.reshape(-1, ARMS)[rows] for p in (log.challenger, log.baseline)], np.full((rows.sum(), ARMS), 0.25))
    left, right = (compare(lg, reward[rows], mean[log.entries(rows)], 0.05, 3).plain() for lg in (part, again))
    assert left == right


def hidden(seed):
    """A log that cannot choose arm 3 in a tenth of the contexts; the challenger plays it just there, and what it would earn there (1) is not seen."""
    rng = np.random.default_rng(seed)
    blind = rng.random(3000) < 0.1
    logging = np.where(blind[:, None], [1 / 3, 1 / 3, 1 / 3, 0.0], 0.25)
    challenger = np.where(blind[:, None], [0.0, 0.0, 0.0, 1.0], 0.25)
    taken = (logging.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
    return log_of(taken, np.arange(3000), challenger, logging, logging), (rng.random(3000) < 0.2).astype(float)


def test_what_either_policy_hides_widens_the_difference():
    """The true difference is 0.1 x (1 - 0.2); without the missing mass no interval reaches it. It does not matter which of the two hides it."""
    log, reward = hidden(1)
    turned = Log(log.taken, log.propensity, log.cluster, log.offsets, log.actions, log.baseline, log.challenger)
    for found, truth in ((compare(log, reward, None, 0.05, 3), 0.08), (compare(turned, reward, None, 0.05, 3), -0.08)):
        assert [bool(s.unseen.short) for s in found.support.values()].count(True) == 1
        for estimate in found.difference.values():
            assert estimate.interval[0] < truth < estimate.interval[1]
        assert any("action(s) less often" in said for said in found.plain()["warnings"])


def test_a_weight_that_is_low_by_chance_cannot_hide_conversions_that_nobody_makes():
    """A rare reward: of a log whose mean weight is 3.2 errors too low, the hidden rest has little to lose (its prediction, 2%) and much to gain."""
    rng = np.random.default_rng(9)
    uniform, wish = np.full((20_000, ARMS), 0.25), np.tile([0.97, 0.01, 0.01, 0.01], (20_000, 1))
    rate = np.array([0.02, 0.005, 0.005, 0.005])
    taken = rng.permutation(np.repeat(np.arange(ARMS), [4_802, 5_066, 5_066, 5_066]))
    log = log_of(taken, np.arange(20_000), wish, uniform, uniform)
    reward = (rng.random(20_000) < rate[taken]).astype(float)
    found = compare(log, reward, np.tile(rate, 20_000), 0.05, 3)
    mass = found.support["challenger"].unseen.mass
    down, up = found.difference["dr"].slack
    low, high = found.difference["dr"].interval
    assert mass > 0.05
    assert (down, up) == pytest.approx((0.02 * mass, 0.995 * 0.03 + 0.98 * (mass - 0.03)), rel=1e-6)
    assert 0.0 < low < 0.97 * 0.02 + 0.03 * 0.005 - 0.00875 < high


def test_two_policies_that_agree_hide_nothing_from_their_difference():
    """Both play arm 3 where the log could not: whatever it earns there, they earn it alike."""
    log, reward = hidden(2)
    same = Log(log.taken, log.propensity, log.cluster, log.offsets, log.actions, log.challenger, log.challenger)
    found = compare(same, reward, None, 0.05, 3)
    assert all(s.unseen.mass > 0.1 for s in found.support.values())
    assert all(estimate.interval == (0.0, 0.0) for estimate in found.difference.values())


def test_full_support_leaves_the_difference_as_it_was():
    """Nothing is missing: the interval is that of the influence values alone."""
    log, reward, mean = world(8)
    found = compare(log, reward, mean, 0.05, 3)
    assert [s.unseen.mass for s in found.support.values()] == [0.0, 0.0]
    first, second = (weights(Logged(log.taken, log.propensity, reward, log.cluster), log.policy(p)) for p in (log.challenger, log.baseline))
    gap = difference(
        found.challenger["dr"].influence, found.baseline["dr"].influence, Logged(log.taken, log.propensity, reward, log.cluster), first - second, 0.1
    )
    assert found.difference["dr"].interval == gap.interval


def test_plain_is_json_even_where_nothing_can_be_estimated():
    """A challenger that never chooses what was logged has no SNIPS value: null, not NaN; and the warnings say why."""
    uniform, never = np.full((3, ARMS), 0.25), np.tile([0.0, 0.0, 0.0, 1.0], (3, 1))
    log = log_of(np.array([0, 1, 2]), np.array([0, 1, 2]), never, uniform, uniform)
    found = compare(log, np.array([1.0, 0.0, 1.0]), None, 0.05, 2).plain()
    assert json.loads(json.dumps(found, allow_nan=False))["challenger"]["snips"]["value"] is None
    assert any("Thin support" in said for said in found["warnings"])


@pytest.mark.parametrize(("field", "value"), [("challenger", 0.5), ("baseline", np.nan), ("propensity", 0.0), ("taken", 9)])
def test_a_log_that_cannot_be_weighted_is_refused(field, value):
    """Probabilities that do not sum to 1, a missing propensity, a choice that was not feasible: DataError with the count."""
    log, _, _ = world(6, rows=20, members=5)
    getattr(log, field)[0] = value
    with pytest.raises(DataError, match="1 of 20 decisions"):
        log.check()


def test_histogram_counts_each_decision_once():
    """Weights 2.8 and 0.4 lie in their own bins."""
    log, _, _ = world(7, rows=100, members=10)
    counts = dict(zip(EDGES, histogram(log)["counts"], strict=True))
    chose = int((log.taken == 0).sum())
    assert counts[2.0] == chose
    assert counts[0.25] == 100 - chose


def test_arm_shares_by_hand():
    """Shares, the expectation where the arm is shown, the expectation without it, and the logged rate."""
    uniform, wish = np.full((2, ARMS), 0.25), np.array([[0.6, 0.4, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0]])
    log = log_of(np.array([1, 0]), np.array([0, 1]), wish, uniform, uniform)
    mean = np.array([0.1, 0.3, 0.0, 0.0, 0.2, 0.6, 0.0, 0.0])
    found = arm_shares(log, ["none", "a", "b", "c"], {"converted": mean}, {"converted": np.array([1.0, np.nan])})
    first = found[0]
    assert (first["arm"], first["logged"], first["observed"]) == ("a", 1, {"converted": 1.0})
    assert first["challenger"] == pytest.approx(0.6)
    assert first["baseline"] == pytest.approx(0.25)
    assert first["predicted"]["converted"] == pytest.approx((0.4 * 0.3 + 0.8 * 0.6) / 1.2)
    assert first["without"]["converted"] == pytest.approx((0.4 * 0.1 + 0.8 * 0.2) / 1.2)
    assert found[1]["observed"]["converted"] is None
    assert found[2]["predicted"]["converted"] is None
