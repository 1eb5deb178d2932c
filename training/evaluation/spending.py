"""Alpha over repeated experiments: each challenger is a test, and a loop that retrains for years would promote a bad one sooner or later.

LORD++ (Ramdas, Yang, Wainwright and Jordan 2017, "Online control of the false discovery rate with decaying memory", equation 8; generalised alpha investing):
the level of each test depends on the past alone, falls while nothing is promoted and is refilled by each promotion, so that of all promotions ever
made at most a share `alpha` is false (in expectation). Levels are fixed before an experiment starts, and its sequences run at that level.

What false promotions may do together is bounded besides, whatever their number: the long-term holdback is one test over all of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from training.domain.experiment import Experiment, State
from training.evaluation.intervals import Floats

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
        shares = gamma(now)
        wins = [i + 1 for i, won in enumerate(self.promoted) if won]
        start = START * self.alpha
        spent = start * shares[now - 1]
        for k, win in enumerate(wins):
            spent += (self.alpha - start if k == 0 else self.alpha) * shares[now - win - 1]
        return float(spent)


def next_level(alpha: float, experiments: Iterable[Experiment]) -> float:
    """The level of the experiment after `experiments`, in any order; whichever still runs has no outcome yet.

    A promotion that was rolled back refills nothing: levels may be lower than LORD++ gives them, never higher. One that was stopped was a test.
    """
    past = sorted((e for e in experiments if not e.running), key=lambda e: (e.opened_at, e.experiment_id))
    return Spending(alpha, tuple(e.state is State.PROMOTED for e in past)).level()


def gamma(count: int) -> Floats:
    """The first `count` shares, of which all together sum to 1."""
    return np.asarray(np.arange(1, count + 1, dtype=np.float64) ** -SHAPE / special.zeta(SHAPE))
