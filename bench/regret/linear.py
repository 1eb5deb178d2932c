"""What every bandit is compared with: uniform choice, LinUCB and linear Thompson Sampling, one ridge regression an arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dger

from bench.regret.loop import Arms, Rewards, Rows

Floats = npt.NDArray[np.float64]

RIDGE = 1.0
"""lambda: what the diagonal of an arm's matrix begins with (Li et al. 2010, algorithm 1, line 5)."""
ALPHA = 1.0
"""Deviations that LinUCB adds: what mabwiser and TF-Agents begin with. Li et al. prove 1 + sqrt(ln(2 / delta) / 2), which is 2.4 at 5%, and tune it."""
V = 0.5
"""Deviations that LinTS draws with: R of Agrawal and Goyal 2013, the sub-Gaussian scale of a reward in [0, 1], without the proof's sqrt(9 d ln(t / delta))."""


@dataclass
class Uniform:
    """Every arm is as likely, whatever was answered."""

    arms: int
    rng: np.random.Generator

    def unscaled(self) -> bool:
        """No: it forgets rows."""
        return False

    def patience(self, rounds: int) -> int:
        """Answers change nothing."""
        return 1 + rounds

    def choose(self, x: Rows) -> Arms:
        """One arm a row."""
        return self.rng.integers(self.arms, size=len(x))

    def learn(self, x: Rows, arms: Arms, rewards: Rewards) -> None:
        """Nothing."""


class Ridge:
    """Ridge regressions of rewards on [x, 1], one an arm, exact after every answer.

    `inverse` [K, d + 1, d + 1] is (RIDGE I + X'X)^-1 of the rows that the arm was chosen for, kept by Sherman and Morrison's formula; `mean` [K, d + 1]
    is that times X'r. The cost of an answer is one rank-one update, (d + 1)^2.
    """

    def __init__(self, columns: int, arms: int) -> None:
        self.inverse = np.tile(np.eye(columns + 1) / RIDGE, (arms, 1, 1))
        self.mean = np.zeros((arms, columns + 1))

    def predict(self, row: Floats) -> tuple[Floats, Floats]:
        """Each arm's estimate and its deviation in units of the noise's, both [K], for one row of `with_intercept`."""
        return self.mean @ row, np.sqrt(np.maximum((self.inverse @ row) @ row, 0.0))

    def learn(self, row: Floats, arm: int, reward: float) -> None:
        """One answer."""
        gain = self.inverse[arm] @ row
        scale = 1.0 / (1.0 + gain @ row)
        self.mean[arm] += gain * (scale * (reward - self.mean[arm] @ row))
        dger(-scale, gain, gain, a=self.inverse[arm].T, overwrite_a=1)  # in place: the transpose of C order is Fortran's


Scores = Callable[[Floats, Floats], Floats]
"""From estimates and deviations [K] to what the best arm has most of."""


@dataclass
class Linear:
    """Chooses by a score of each arm's ridge regression; ties go to an arm drawn at random."""

    ridge: Ridge
    scores: Scores
    rng: np.random.Generator

    def unscaled(self) -> bool:
        """No: it forgets rows."""
        return False

    def patience(self, rounds: int) -> int:  # noqa: ARG002 - learns from every answer at any time
        """One."""
        return 1

    def choose(self, x: Rows) -> Arms:
        """One arm a row."""
        return np.array([self._best(self.scores(*self.ridge.predict(row))) for row in with_intercept(x)], dtype=np.int64)

    def learn(self, x: Rows, arms: Arms, rewards: Rewards) -> None:
        """Each answer on its own."""
        for row, arm, reward in zip(with_intercept(x), arms, rewards, strict=True):
            self.ridge.learn(row, int(arm), float(reward))

    def _best(self, scores: Floats) -> int:
        return int(self.rng.choice(np.flatnonzero(scores == scores.max())))


def with_intercept(x: Rows) -> Floats:
    """Rows [n, d] and a last column of ones."""
    return np.hstack([x.astype(np.float64), np.ones((len(x), 1))])


def uniform(columns: int, arms: int, rounds: int, seed: int) -> Uniform:  # noqa: ARG001 - a Maker
    """The policy that does not look."""
    return Uniform(arms, np.random.default_rng([seed, 2]))


def lin_ucb(columns: int, arms: int, rounds: int, seed: int) -> Linear:  # noqa: ARG001 - a Maker
    """LinUCB with disjoint models (Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation", algorithm 1)."""
    return Linear(Ridge(columns, arms), lambda mean, deviation: mean + ALPHA * deviation, np.random.default_rng([seed, 2]))


def lin_ts(columns: int, arms: int, rounds: int, seed: int) -> Linear:  # noqa: ARG001 - a Maker
    """Linear Thompson Sampling (Agrawal and Goyal 2013, "Thompson Sampling for contextual bandits with linear payoffs", algorithm 1), a model an arm.

    Weights w ~ N(mean, V^2 inverse) drawn anew for a row enter its choice only through w . x, and the arms' are independent: drawing
    w . x ~ N(mean . x, V^2 x' inverse x) instead is the same policy, and needs no Cholesky factor.
    """
    rng = np.random.default_rng([seed, 2])
    return Linear(Ridge(columns, arms), lambda mean, deviation: mean + V * deviation * rng.standard_normal(len(mean)), rng)
