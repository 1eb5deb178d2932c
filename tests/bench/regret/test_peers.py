"""Each peer learns through its own interface, and one that is not installed is named."""

import numpy as np
import pytest

from bench.regret import peers
from bench.regret.linear import lin_ucb, uniform
from bench.regret.loop import play
from bench.regret.peers import NARROW, PAIRED, PEERS, Learned, bayesian_bandits_pairs, installed, mabwiser_linucb, missing
from bench.regret.problem import Problem


def easy(rounds=400, columns=3):
    """Two arms: the first is right where the first column is positive, the second elsewhere."""
    x = np.random.default_rng(0).normal(size=(rounds, columns)).astype(np.float32)
    return Problem(x, np.stack([x[:, 0] > 0, x[:, 0] <= 0], axis=1).astype(np.float64))


@pytest.mark.parametrize("name", sorted(PEERS))
def test_a_peer_beats_uniform(name):
    """Half of uniform's regret at most, on a problem that a line solves."""
    pytest.importorskip(PEERS[name][0])
    assert play(easy(), PEERS[name][1], seed=0).regret[-1] < 0.5 * play(easy(), uniform, seed=0).regret[-1]


@pytest.mark.parametrize("name", sorted(PEERS))
def test_the_same_seed_gives_the_same_run(name):
    """Everything random in a peer comes from the seed."""
    pytest.importorskip(PEERS[name][0])
    first, again = (play(easy(100), PEERS[name][1], seed=3).regret for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("name", sorted(PEERS))
def test_a_peer_copes_with_more_columns_than_are_narrow(name):
    """Several rounds are then decided before their answers are learned."""
    pytest.importorskip(PEERS[name][0])
    assert len(play(easy(150, NARROW + 1), PEERS[name][1], seed=0).regret) == 150


def test_linucb_is_mabwisers():
    """Taught the same answers, the baseline and mabwiser's LinUCB choose the same arms for other rows."""
    pytest.importorskip("mabwiser")
    rng = np.random.default_rng(4)
    x, arms, rewards = rng.normal(size=(90, 3)).astype(np.float32), rng.integers(2, size=40), rng.random(40).astype(np.float32)
    policies = [maker(3, 2, 90, 0) for maker in (lin_ucb, mabwiser_linucb)]
    for policy in policies:
        policy.learn(x[:40], arms, rewards)
    ours, theirs = (policy.choose(x[40:]) for policy in policies)
    assert ours.tolist() == theirs.tolist()
    assert set(ours.tolist()) == {0, 1}


def test_how_long_a_wide_peer_waits():
    """Not at all with NARROW columns; else 2% of the rounds so far, and at least one."""
    assert [Learned(NARROW).patience(rounds) for rounds in (0, 5000)] == [1, 1]
    assert [Learned(NARROW + 1).patience(rounds) for rounds in (0, 100, 5000)] == [1, 3, 101]


def test_pairs_are_left_out_where_they_are_too_many():
    """3 columns have 10 features of degree up to two, 23 have 300, 24 have 325."""
    pytest.importorskip("bayesianbandits")
    assert bayesian_bandits_pairs(3, 2, 10, 0).features(np.ones((1, 3), dtype=np.float32)).shape == (1, 10)
    assert bayesian_bandits_pairs(23, 2, 10, 0).features(np.ones((1, 23), dtype=np.float32)).shape == (1, PAIRED)
    assert bayesian_bandits_pairs(24, 2, 10, 0).features(np.ones((1, 24), dtype=np.float32)).shape == (1, 25)


def test_missing_peers_are_named(monkeypatch):
    """Without mabwiser its two policies are not offered, and a sentence says what to install; the others stay."""
    monkeypatch.setattr(peers, "find_spec", lambda package: None if package == "mabwiser" else object())
    assert set(missing()) == {"mabwiser-linucb", "mabwiser-lints"}
    assert "mabwiser is not installed" in missing()["mabwiser-lints"]
    assert "rightmatch[bench]" in missing()["mabwiser-lints"]
    assert set(installed()) == set(PEERS) - set(missing())
