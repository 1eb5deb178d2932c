"""One run: a policy meets the rounds of a problem in order, and sees the reward of the arm that it chose, no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bench.regret.problem import Problem

Rows = npt.NDArray[np.float32]
Arms = npt.NDArray[np.int64]
Rewards = npt.NDArray[np.float32]


class Policy(Protocol):
    """Who chooses. Everything random in it comes from the seed that it was made with."""

    def unscaled(self) -> bool:
        """Asked before the first row where rows are standardised: whether it wants them unscaled, since it remembers them and scales all of them by those
        that it has seen, as a platform does when it trains again. Who folds each row in and forgets it gets the row as the rows before it scale it.
        """

    def patience(self, rounds: int) -> int:
        """After `rounds` answers: how many rounds it decides before it wants to see their answers, at least 1."""

    def choose(self, x: Rows) -> Arms:
        """One arm for each row of `x` [n, d]."""

    def learn(self, x: Rows, arms: Arms, rewards: Rewards) -> None:
        """The answers to the rows of the last `choose`, all [n]."""


WARM_ROUNDS = 30
"""Enough for our own policies to be blind, to train and to decide by what they learned."""

Maker = Callable[[int, int, int, int], Policy]
"""From columns d, arms K, rounds n and seed to a policy."""


@dataclass(frozen=True)
class Run:
    """`regret` [n] is cumulative; `cpu_seconds` is the processor time of the whole process from the policy's making to its last answer."""

    regret: npt.NDArray[np.float64]
    cpu_seconds: float


def play(problem: Problem, make: Maker, seed: int) -> Run:
    """Let a policy made with `seed` play all rounds. Rewards are drawn from the seed too, the same for every policy that makes the same choice."""
    n, luck = len(problem.x), np.random.default_rng([seed, 1]).random(len(problem.x))
    chosen, started = np.zeros(n, dtype=np.int64), process_time()
    policy, t = make(problem.x.shape[1], problem.arms, n, seed), 0
    x = problem.x if problem.unscaled is None or not policy.unscaled() else problem.unscaled
    while t < n:
        rows = slice(t, min(n, t + policy.patience(t)))
        chosen[rows] = policy.choose(x[rows])
        rewards = luck[rows] < problem.rates[np.arange(rows.start, rows.stop), chosen[rows]]
        policy.learn(x[rows], chosen[rows], rewards.astype(np.float32))
        t = rows.stop
    spent = process_time() - started
    lost = problem.rates.max(axis=1) - problem.rates[np.arange(n), chosen]
    return Run(np.cumsum(lost), spent)


def warm(make: Maker) -> None:
    """Let a policy that nobody looks at play a few rounds of chance, so that what it imports late, when it is made or learns, is on no run's clock."""
    x = np.random.default_rng(0).normal(size=(WARM_ROUNDS, 3)).astype(np.float32)
    play(Problem(x, np.full((WARM_ROUNDS, 2), 0.5)), make, seed=0)
