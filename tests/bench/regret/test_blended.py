"""The default: the network and the disjoint regressions together."""

import numpy as np

from bench.regret.blended import FEWEST, blended
from bench.regret.loop import play
from bench.regret.problem import Norm, labelled


def rings(rounds: int):
    """Two numbers, two arms: whether they lie within a ring, which no line tells."""
    x = np.random.default_rng(1).normal(size=(rounds, 2))
    return labelled(x, (np.linalg.norm(x, axis=1) > 1.18).astype(np.int64), rounds, Norm.STANDARD, 1)


def test_it_learns_soon():
    """Of 300 rounds fewer than 60 are lost (chance: 150), of the last 100 fewer than 15; the same seed plays the same game."""
    first, second = (play(rings(300), blended(), 3).regret for _ in range(2))
    assert first[-1] < 60
    assert first[-1] - first[-101] < 15
    assert np.array_equal(first, second)


def test_the_blend_follows_what_was_predicted():
    """Both models are asked before each answer; weights come once FEWEST answers were predicted by both, and none is negative."""
    problem, player, t = rings(200), blended()(2, 2, 200, 3), 0
    while t < 200:
        rows = slice(t, min(200, t + player.patience(t)))
        arms = player.choose(problem.x[rows])
        player.learn(problem.x[rows], arms, problem.rates[np.arange(rows.start, rows.stop), arms].astype(np.float32))
        t = rows.stop
        assert not player.ready or int((~player.told.isnan().any(dim=1)).sum()) >= FEWEST
    assert player.ready
    assert float(player.blend.weights.min()) >= 0.0
    assert float(player.blend.weights.sum()) > 0.0


def test_codes_are_learned_soon():
    """A rule on the parity of one of six codes, standardised: of 300 rounds fewer than 60 are lost (chance: 150), where an order of the codes says nothing."""
    codes = np.random.default_rng(2).integers(0, 8, size=(300, 6)).astype(np.float64)
    problem = labelled(codes, codes[:, 0].astype(np.int64) % 2, 300, Norm.STANDARD, 1)
    assert play(problem, blended(), 3).regret[-1] < 60
