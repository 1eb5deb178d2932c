"""By how much reward that was not seen may move an estimate, downwards and upwards.

With rho the ratio of true to logged probability (0 where the log could not act), DR misses E[sum_a p (1 - rho) (mean reward - prediction)], SNIPS the
unseen share of (mean reward there - estimate), IPS that share of the reward itself. Rewards lie in their range, so each end is a worst case and no guess,
and the two ends differ: where one row in a hundred converts, hidden probability can hide many conversions but has few to lose. Where in the policy
the mass lies is not known; the worst place is taken. A mean weight that is too large (rho > 1) turns the two ends round, and since rho has no upper limit,
all of the excess may lie at the one worst entry.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.evaluation.intervals import Floats, Interval, Scale
from training.evaluation.logged import Logged, Policy
from training.evaluation.unseen import Unseen, certain

NOTHING: Interval = (0.0, 0.0)


def reach(name: str, ends: Scale) -> float:
    """The most that one unit of probability can move an estimator: IPS by the largest reward, the others by the range."""
    return max(abs(ends.low), abs(ends.high)) if name == "ips" else ends.width


def widenings(log: Logged, policy: Policy, predicted: Floats, lack: Unseen, ends: Scale, snips: float) -> dict[str, Interval]:
    """(down, up), both >= 0, of each estimator; `predicted` is the reward model's at each entry of `policy`, `snips` the SNIPS estimate."""
    if lack.mass == 0.0:
        return dict.fromkeys(("ips", "snips", "dr"), NOTHING)
    middle = float(np.clip(snips, ends.low, ends.high)) if np.isfinite(snips) else None
    below, above = (ends.width, ends.width) if middle is None else (middle - ends.low, ends.high - middle)
    lost, gained = max(0.0, -ends.low), max(0.0, ends.high)
    known = certain(log, policy)
    fall, rise = (np.maximum(room, 0.0) for room in (predicted - ends.low, ends.high - predicted))
    most = [lack.over * float(room[policy.p > 0.0].max()) for room in (rise, fall)]
    return {
        "ips": (lack.missing * lost + lack.over * gained, lack.missing * gained + lack.over * lost),
        "snips": (lack.missing * below + lack.over * above, lack.missing * above + lack.over * below),
        "dr": (_worst(policy, known, lack, fall) + most[0], _worst(policy, known, lack, rise) + most[1]),
    }


def _worst(policy: Policy, known: npt.NDArray[np.bool_], lack: Unseen, room: Floats) -> float:
    """The most that DR can miss in one direction, `room` [entries] being how far the reward may lie from its prediction there."""
    share = policy.p / (len(policy.offsets) - 1)
    never = float((share * room)[known].sum())
    short = sum(fill(share[mine], room[mine], mass) for action, mass in lack.short for mine in [~known & (policy.action == action)])
    return never + max(short, fill(share[~known], room[~known], lack.off))


def fill(share: Floats, room: Floats, mass: float) -> float:
    """Largest sum of part x `room` where each part is at most its `share` and all of them at most `mass`: the roomiest first."""
    if mass == 0.0:
        return 0.0
    order = np.argsort(-room, kind="stable")
    before = np.cumsum(share[order]) - share[order]
    return float((np.clip(mass - before, 0.0, share[order]) * room[order]).sum())
