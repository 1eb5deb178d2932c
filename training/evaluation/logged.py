"""What an off-policy question is made of: the logged decisions, a policy on them, and a model's predictions of their rewards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import Floats, Ints


@dataclass(frozen=True)
class Logged:
    """n logged decisions: code of the action taken, its probability, the reward and the code of the cluster (0..G-1)."""

    action: Ints
    propensity: Floats
    reward: Floats
    cluster: Ints

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class Policy:
    """Probabilities of n decisions in ragged form: those of decision i are `p[offsets[i]:offsets[i + 1]]`, of the actions `action[...]`."""

    offsets: Ints
    action: Ints
    p: Floats

    def rows(self) -> Ints:
        """Decision index of each entry."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class Predictions:
    """Reward predicted without the row itself: `entries` for each entry of the policy, `taken` for the logged action."""

    entries: Floats
    taken: Floats


def sum_by_row(values: Floats, policy: Policy) -> Floats:
    """Sum of entry values per decision [n]."""
    n = len(policy.offsets) - 1
    return np.bincount(policy.rows(), weights=values, minlength=n).astype(np.float64)


def chosen(policy: Policy, action: Ints) -> Floats:
    """Probability that `policy` gives to the logged `action` of each decision; 0 where it has no entry for it."""
    return sum_by_row(np.where(policy.action == action[policy.rows()], policy.p, 0.0), policy)


def weights(log: Logged, policy: Policy) -> Floats:
    """Importance weights [n]: target probability over propensity of the logged action."""
    return chosen(policy, log.action) / log.propensity
