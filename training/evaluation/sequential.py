"""Confidence sequences: intervals that hold at every look at once, so that looking each day, and stopping when one likes, costs no error.

Asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic
confidence sequences", theorem 2.2 and its one-sided form): Robbins' normal mixture around any estimate that is nearly a mean of independent
terms. Written by the estimate's standard error s and the progress = (planned s / s)^2, the share of the planned information that is there,

    radius = s sqrt(2 (1 + 1/v) ln(1/2 + sqrt(1 + v) / (2 level))),    v = rho2(level) progress

With s = sd / sqrt(t) and v = t rho^2 this is the paper's sd sqrt(2 (t rho^2 + 1) / (t^2 rho^2) ln(1 + sqrt(t rho^2 + 1) / (2 alpha))), but for 1/2
instead of 1, which the half-normal mixture allows because 1 - Phi(x) <= exp(-x^2 / 2) / 2. Information is the clock, not rows: estimates over
growing data have independent increments in it (Jennison and Turnbull 1997), also where a member's rows depend on each other.

The mixture spends alpha over all of time, half of it where nobody looks. Looks count from `FIRST` of the planned information on; from there to `LAST`
times it the level is the one that is crossed with probability (1 - TAIL) alpha exactly, by `crossing`, and beyond it is TAIL alpha. So it holds for ever.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special, stats

from training.evaluation.crossing import level_of
from training.evaluation.intervals import Floats

POWER = 0.9
"""Power of the single look at which a sequence is planned to be tightest."""
FIRST, LAST, TAIL = 0.1, 2.0, 0.05
"""Chosen at margin 0.005, base 0.95 and 60 daily looks; `bench gate` says what they give elsewhere."""
SEVERE, SPARED = 5.0, 0.1
"""How many times the planned distance severe harm is, which has to be found with few members, and the part of alpha that is kept for it."""


def rho2(level: Floats) -> Floats:
    """v at which the radius of `level` is smallest at progress 1 (the paper's equation for the best rho, exact by Lambert's W)."""
    return np.asarray(-special.lambertw(-np.square(2.0 * level) / np.e, -1).real - 1.0)


def mixture(progress: Floats, level: Floats) -> Floats:
    """Height of the one-sided normal mixture boundary in standard errors; both of any shapes that go together."""
    v = rho2(level) * progress
    return np.asarray(np.sqrt(2.0 * (1.0 + 1.0 / v) * np.log(0.5 + np.sqrt(1.0 + v) / (2.0 * level))))


@cache
def level(alpha: float) -> float:
    """The mixture's level whose crossing probability between FIRST and LAST is (1 - TAIL) alpha."""
    return level_of(mixture, (1.0 - TAIL) * alpha, FIRST, LAST)


def multiplier(progress: Floats | float, alpha: float) -> Floats:
    """Radius in standard errors, one-sided `alpha` at each end over all looks; infinite before FIRST. `progress` of any shape."""
    progress = np.asarray(progress, dtype=np.float64)
    started = np.maximum(progress, FIRST)
    inside = mixture(started, np.asarray(level(alpha)))
    beyond = mixture(started, np.asarray(TAIL * alpha))
    return np.asarray(np.where(progress < FIRST, np.inf, np.where(progress <= LAST, inside, beyond)))


def radius(error: Floats | float, planned: float, alpha: float) -> Floats:
    """Half width of the sequence at standard errors `error` [any shape], tightest near the error `planned`; infinite where the error is 0 or unknown."""
    error = np.asarray(error, dtype=np.float64)
    known = np.isfinite(error) & (error > 0.0)
    safe = np.where(known, error, planned)
    return np.asarray(np.where(known, safe * multiplier(np.square(planned / safe), alpha), np.inf))


def refuting(error: Floats | float, planned: float, alpha: float) -> Floats:
    """Half width of what refutes: the narrower of two sequences, tightest near `planned` and near SEVERE times it, which split alpha by SPARED.

    The second is there from a 250th of the planned information on, so harm of many margins need not wait for a tenth of it, which an early stage never has.
    """
    return np.asarray(np.minimum(radius(error, planned, (1.0 - SPARED) * alpha), radius(error, SEVERE * planned, SPARED * alpha)))


@cache
def planned_error(distance: float, alpha: float, power: float = POWER) -> float:
    """The standard error at which one look at level `alpha` finds an effect that lies `distance` from its threshold with that `power`.

    Derived from margin or effect alone: no base rate is needed, and a rule's sequence is tuned for the sample that its own promise needs.
    """
    if not distance > 0.0:
        raise ValueError(f"The distance from the threshold is {distance}, not above 0: no sample is large enough to show nothing. Give a margin or an effect.")
    return distance / float(stats.norm.isf(alpha) + stats.norm.ppf(power))
