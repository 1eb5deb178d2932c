"""Target probability that the log cannot speak for, found from weights alone.

Where propensities are right and the log could choose all that the target chooses, the mean weight is 1, and so is the sum of its parts:
for each action the mean of `weight x 1{taken}` is the mean of the target's probability. Three ways to see that it is not:

1. An action that the log never took, or could not because another had propensity 1: its mass is known exactly, and left out of the two tests.
2. An action whose part falls short of its target probability: it could not be chosen in some contexts, though it was in others.
3. The mean weight itself misses what is left, or exceeds it, as with propensities that are wrong throughout.

The tests, since weights are noisy: clustered standard errors, but not below those of independent rows (two clusters are often equal by chance), and
Student's t with G - 1 degrees of freedom for G clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from training.evaluation.intervals import Floats, Ints, cluster_sums
from training.evaluation.logged import Logged, Policy

TAIL = float(stats.norm.sf(3.0))
"""One-sided error rate of the test of the mean weight: three standard errors where there are many clusters."""
ALARMS = 0.001
"""Error rate of the test of all actions together."""
ENOUGH = 30
"""Rows of an action from which its standard error is believed (ours); a rarer one would seem to fall short by chance."""
SLIP = 1e-3
"""Tolerance for probabilities printed with few digits."""
CARE = 2.0
"""Standard errors added to what is found, so that the upper end of the mass and not its middle widens an interval."""
_CERTAIN = 1.0 - 1e-9
_DENSE = 4


@dataclass(frozen=True)
class Unseen:
    """Mass: `never` seen for certain; `short` of support in some contexts by (action code, mass); `off` by the mean weight, or `over` by it."""

    never: float = 0.0
    short: tuple[tuple[int, float], ...] = ()
    off: float = 0.0
    over: float = 0.0

    @property
    def missing(self) -> float:
        """Target probability that the log had less chance to take than it says."""
        return self.never + max(sum(mass for _, mass in self.short), self.off)

    @property
    def mass(self) -> float:
        """By how much reward times probability an estimate may be wrong, as a share."""
        return self.missing + self.over


def unseen(log: Logged, policy: Policy, weight: Floats) -> Unseen:
    """Diagnose `weight` [n] of `policy` on `log`. A single cluster has no standard error, so that only what is certain counts."""
    size = int(max(policy.action.max(), log.action.max())) + 1
    taken = np.bincount(log.action, minlength=size)
    rest = replace(policy, p=np.where(certain(log, policy), 0.0, policy.p))
    never = float((policy.p - rest.p).sum()) / len(log)
    groups = int(log.cluster.max()) + 1
    if groups == 1:
        return Unseen(never)
    lack, error = _shortfalls(log, rest, weight, size)
    asked = int((np.bincount(policy.action, weights=policy.p, minlength=size) > 0.0).sum())
    limit = stats.t.isf(ALARMS / max(1, asked), groups - 1)
    short = np.flatnonzero((taken >= ENOUGH) & (lack > limit * error + SLIP))
    gap = _gap(weight, 1.0 - never, log.cluster)
    return Unseen(never, tuple((int(a), float(lack[a] + CARE * error[a])) for a in short), max(-gap, 0.0), max(gap, 0.0))


def certain(log: Logged, policy: Policy) -> npt.NDArray[np.bool_]:
    """Entries that the log never took, or for certain could not."""
    taken = np.bincount(log.action, minlength=int(policy.action.max()) + 1)
    closed = np.where(log.propensity >= _CERTAIN, log.action, -1)[policy.rows()]
    return np.asarray((taken[policy.action] == 0) | ((closed >= 0) & (policy.action != closed)), dtype=bool)


def _gap(weight: Floats, expected: float, cluster: Ints) -> float:
    """How far the mean weight lies above (+) or below (-) what is `expected`, its error added; 0 where that may be chance."""
    mean = float(weight.mean())
    sums = cluster_sums(weight - mean, cluster)
    groups = len(sums)
    square = max(float(np.square(sums).sum()) * groups / (groups - 1), float(np.square(weight - mean).sum()))
    error = float(np.sqrt(square)) / len(weight)
    gap = mean - expected
    return float(gap + np.sign(gap) * CARE * error) if abs(gap) > float(stats.t.isf(TAIL, groups - 1)) * error + SLIP else 0.0


def _shortfalls(log: Logged, policy: Policy, weight: Floats, size: int) -> tuple[Floats, Floats]:
    """Per action [size]: mean target probability less mean weight of its rows, and its clustered standard error."""
    crowd = np.bincount(log.cluster)
    groups, n = len(crowd), len(log)
    cells = np.concatenate([log.cluster[policy.rows()] * size + policy.action, log.cluster * size + log.action])
    used = np.arange(groups * size) if groups * size <= _DENSE * len(cells) else np.unique(cells)
    place = cells if len(used) == groups * size else np.searchsorted(used, cells)
    sums = np.bincount(place, weights=np.concatenate([policy.p, -weight]), minlength=len(used))
    owner, action = used // size, used % size
    lack = np.bincount(action, weights=sums, minlength=size) / n
    cross = np.bincount(action, weights=sums * crowd[owner], minlength=size)
    square = np.bincount(action, weights=np.square(sums), minlength=size) - 2.0 * lack * cross + np.square(lack) * float(np.square(crowd).sum())
    taken = np.square(weight) * (1.0 - 2.0 * log.propensity)  # (w - p)^2 - p^2 at the action taken, where p = w x propensity
    apart = np.bincount(policy.action, weights=np.square(policy.p), minlength=size) + np.bincount(log.action, weights=taken, minlength=size)
    return lack, np.sqrt(np.maximum(np.maximum(square * groups / (groups - 1), apart - n * np.square(lack)), 0.0)) / n
