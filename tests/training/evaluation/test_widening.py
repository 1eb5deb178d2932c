"""How far hidden reward may move an estimate: by hand, never less than any reward could, and no more than the worst one does."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.intervals import Scale
from training.evaluation.logged import Logged, Policy
from training.evaluation.unseen import Unseen
from training.evaluation.widening import NOTHING, fill, widenings

UNIT = Scale(0.0, 1.0, binary=True)
LOG = Logged(np.array([0, 0, 1, 2]), np.full(4, 0.4), np.zeros(4), np.arange(4))
NEVER_2 = Logged(np.array([0, 0, 1, 1]), np.full(4, 0.4), np.zeros(4), np.arange(4))
POLICY = Policy(np.arange(5) * 3, np.tile([0, 1, 2], 4), np.tile([0.5, 0.3, 0.2], 4))
PREDICTED = np.tile([0.1, 0.2, 0.3], 4)


def dr(lack, predicted=PREDICTED, log=LOG):
    """Down and up of DR."""
    return widenings(log, POLICY, predicted, lack, UNIT, 0.4)["dr"]


def test_the_roomiest_part_is_filled_first():
    """0.2 of room 0.9, then 0.1 of room 0.5; a part takes no more than its share, and all of them no more than there is."""
    share, room = np.array([0.3, 0.2, 0.5]), np.array([0.5, 0.9, 0.1])
    assert fill(share, room, 0.3) == pytest.approx(0.2 * 0.9 + 0.1 * 0.5)
    assert fill(share, room, 5.0) == pytest.approx(0.3 * 0.5 + 0.2 * 0.9 + 0.5 * 0.1)
    assert fill(share, room, 0.0) == 0.0


def test_nothing_unseen_moves_nothing():
    """Of any estimator."""
    assert set(widenings(LOG, POLICY, PREDICTED, Unseen(), UNIT, 0.4).values()) == {NOTHING}


def test_an_action_never_taken_can_lose_its_prediction_and_gain_the_rest():
    """A fifth of the target on action 2, predicted at 0.3: at worst it earns 0, at best 1."""
    assert dr(Unseen(never=0.2), log=NEVER_2) == pytest.approx((0.2 * 0.3, 0.2 * 0.7))


def test_an_action_that_falls_short_is_its_own_worst_place():
    """0.1 of action 0, predicted at 0.1 in two rows and at 0.6 in two (0.25 of the target): the worst down is at 0.6, the worst up at 0.1."""
    predicted = PREDICTED.copy()
    predicted[[0, 3]] = 0.6
    assert dr(Unseen(short=((0, 0.1),)), predicted) == pytest.approx((0.1 * 0.6, 0.1 * 0.9))


def test_the_mean_weight_does_not_say_where():
    """0.4 that is missing anywhere: down 0.2 at 0.3 and 0.2 at 0.2; up 0.4 at 0.1. What is certain stays out, and the larger of the two views counts."""
    assert dr(Unseen(off=0.4)) == pytest.approx((0.2 * 0.3 + 0.2 * 0.2, 0.4 * 0.9))
    assert dr(Unseen(0.2, off=0.4), log=NEVER_2) == pytest.approx((0.2 * 0.3 + 0.3 * 0.2 + 0.1 * 0.1, 0.2 * 0.7 + 0.4 * 0.9))
    assert dr(Unseen(short=((0, 0.3),), off=0.25)) == pytest.approx((0.2 * 0.3 + 0.05 * 0.2, 0.3 * 0.9))


def test_a_mean_weight_too_large_turns_the_ends_round():
    """Rewards in [1, 3], a fifth too much: DR fell short of 3 where it was predicted lowest, or counted 1 where highest; IPS can only be too high."""
    found = widenings(LOG, POLICY, 1.0 + PREDICTED, Unseen(over=0.2), Scale(1.0, 3.0, binary=False), 1.5)
    assert found["dr"] == pytest.approx((0.2 * 1.9, 0.2 * 0.3))
    assert found["snips"] == pytest.approx((0.2 * 1.5, 0.2 * 0.5))
    assert found["ips"] == pytest.approx((0.6, 0.0))


def test_ips_loses_the_reward_and_snips_moves_from_its_own_value():
    """Rewards in [-1, 3], a tenth unseen: IPS lacks between -0.1 and 0.3; SNIPS at 2 may fall by 0.3 and rise by 0.1, at nothing by the range."""
    ends = Scale(-1.0, 3.0, binary=False)
    found = widenings(LOG, POLICY, PREDICTED, Unseen(off=0.1), ends, 2.0)
    assert found["ips"] == pytest.approx((0.1, 0.3))
    assert found["snips"] == pytest.approx((0.3, 0.1))
    assert widenings(LOG, POLICY, PREDICTED, Unseen(off=0.1), ends, float("nan"))["snips"] == pytest.approx((0.4, 0.4))


def test_no_hidden_reward_lies_beyond_it():
    """DR misses sum p (1 - rho) (reward - prediction): whatever the reward, the model and how much too seldom or too often the log acted, it stays inside."""
    rng = np.random.default_rng(4)
    for _ in range(300):
        n, k = 30, 4
        p, predicted, reward = rng.dirichlet(np.full(k, 0.3), n), rng.random((n, k)) ** 4, (rng.random((n, k)) < 0.1).astype(float)
        gone = np.where(rng.random((n, k)) < 0.2, rng.choice([1.0, 0.5, -0.5, -3.0]), 0.0)
        log = Logged(np.arange(n) % k, np.full(n, 1 / k), np.zeros(n), np.arange(n))
        policy = Policy(np.arange(n + 1) * k, np.tile(np.arange(k), n), p.ravel())
        by_action = (p * gone).sum(axis=0) / n
        total, bias = float(by_action.sum()), float((p * gone * (reward - predicted)).sum()) / n
        for lack in (Unseen(off=total), Unseen(short=tuple(enumerate(by_action.tolist())))) if total >= 0.0 else (Unseen(over=-total),):
            down, up = widenings(log, policy, predicted.ravel(), lack, UNIT, 0.1)["dr"]
            assert -down - 1e-12 <= bias <= up + 1e-12
            assert max(down, up) <= lack.mass + 1e-12
