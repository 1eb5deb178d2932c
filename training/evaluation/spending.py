"""Alpha over repeated retrains: each challenger is a test, and a loop that retrains for years would promote a bad one sooner or later.

LORD++ (Ramdas, Yang, Wainwright and Jordan 2017, "Online control of the false discovery rate with decaying memory", equation 8; generalised alpha investing):
the level of each test depends on the past alone, falls while nothing is promoted and is refilled by each promotion, so that of all promotions ever
made at most a share `alpha` is false (in expectation). Levels are fixed before an experiment starts, and its sequences run at that level.

What false promotions may do together is bounded besides, whatever their number: the long-term holdback is one test over all of time (`watch`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from training.domain.nouns import Evidence
from training.domain.rules import Rule
from training.evaluation.intervals import Floats
from training.evaluation.looks import Measured, interval

SHAPE = 1.5
"""Levels fall like test^-1.5 after a promotion: most of it is spent while it can still promote, and some is left for ever."""
START = 0.5
"""Share of alpha that is spent before the first promotion."""


@dataclass(frozen=True)
class Spending:
    """What came of the tests so far, the oldest first: True for a promotion."""

    alpha: float
    promoted: tuple[bool, ...] = ()

    def level(self) -> float:
        """The level of the next test."""
        now = len(self.promoted) + 1
        gamma = _gamma(now)
        wins = [i + 1 for i, won in enumerate(self.promoted) if won]
        start = START * self.alpha
        spent = start * gamma[now - 1]
        for k, win in enumerate(wins):
            spent += (self.alpha - start if k == 0 else self.alpha) * gamma[now - win - 1]
        return float(spent)

    def after(self, *, promoted: bool) -> Spending:
        """The same, one test later."""
        return Spending(self.alpha, (*self.promoted, promoted))


def _gamma(count: int) -> Floats:
    """The first `count` shares, of which all together sum to 1."""
    return np.asarray(np.arange(1, count + 1, dtype=np.float64) ** -SHAPE / special.zeta(SHAPE))


def watch(rule: Rule, gap: tuple[float, float], members: tuple[int, int], alpha: float, distance: float) -> Evidence:
    """Everyone against the fixed holdback, over all promotions: `gap` = (difference, standard error). Refuted: roll back.

    One sequence for ever: harmless promotions are ever rolled back by it with probability `alpha` in all, and harm beyond the margin is found in time.
    `distance` beyond the margin is the harm that it is to find soonest.
    """
    return interval(Measured(rule, *gap, members, distance), alpha, alpha)
