"""Challenger minus baseline on the same logged decisions: one metric, three estimators, their paired intervals and both supports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.domain.errors import DataError
from training.evaluation.estimators import NAMES, Estimate, difference, evaluate
from training.evaluation.intervals import Floats, Interval, Ints, scale
from training.evaluation.logged import Logged, Policy, Predictions, chosen, sum_by_row, weights
from training.evaluation.reward_model import cross_fitted
from training.evaluation.support import Support, warnings
from training.evaluation.widening import reach

EDGES = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Lower edges of the weight histogram; the last bin is open."""

TOLERANCE = 1e-6
"""By how much probabilities may miss 1."""


@dataclass(frozen=True)
class Log:
    """n logged decisions and two policies on the same entries: those of decision i are [offsets[i], offsets[i + 1]) of `actions` and both probabilities."""

    taken: Ints
    propensity: Floats
    cluster: Ints
    offsets: Ints
    actions: Ints
    challenger: Floats
    baseline: Floats

    def __len__(self) -> int:
        return len(self.taken)

    def policy(self, p: Floats) -> Policy:
        """One of the two as the estimators read it."""
        return Policy(self.offsets, self.actions, p)

    def entries(self, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Mask of the entries that belong to the decisions of `rows` [n]."""
        return np.repeat(rows, np.diff(self.offsets))

    def keep(self, rows: npt.NDArray[np.bool_]) -> Log:
        """Only the decisions of `rows` [n], with clusters numbered anew."""
        part = self.entries(rows)
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[rows])]).astype(np.int64)
        cluster = np.unique(self.cluster[rows], return_inverse=True)[1].astype(np.int64)
        return Log(self.taken[rows], self.propensity[rows], cluster, offsets, self.actions[part], self.challenger[part], self.baseline[part])

    def check(self) -> None:
        """Raises DataError where a decision could not be weighted: no probability of its choice, or probabilities that do not sum to 1."""
        policy = self.policy(self.challenger)
        found = sum_by_row((self.actions == self.taken[policy.rows()]).astype(np.float64), policy)
        _refuse(~(self.propensity > 0.0) | (found != 1.0), "have no propensity, or chose an arm that is not exactly once among the feasible ones")
        for p in (self.challenger, self.baseline):
            _refuse(~(np.abs(sum_by_row(p, policy) - 1.0) <= TOLERANCE), "have arm probabilities that do not sum to 1")


def _refuse(bad: npt.NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {len(bad)} decisions {what}, the first at row {int(np.flatnonzero(bad)[0])}: every estimate would be biased. "
            "Correct the decision log and land it again."
        )


@dataclass(frozen=True)
class Comparison:
    """One metric: `challenger` and `baseline` values and their `difference`, each by estimator, with two-sided 1 - 2 alpha intervals."""

    rows: int
    members: int
    observed: float
    binary: bool
    challenger: Mapping[str, Estimate]
    baseline: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    support: Mapping[str, Support]

    def plain(self) -> dict[str, Any]:
        """As JSON: a number that is not finite becomes None."""
        sides = {"challenger": self.challenger, "baseline": self.baseline, "difference": self.difference}
        return {
            "rows": self.rows,
            "members": self.members,
            "observed": self.observed,
            "binary": self.binary,
            **{
                side: {name: {"value": finite(e.value), "interval": [finite(end) for end in e.interval]} for name, e in by.items()}
                for side, by in sides.items()
            },
            "support": {side: {k: finite(v) for k, v in s.numbers().items()} for side, s in self.support.items()},
            "warnings": [f"{side}: {said}" for side, s in self.support.items() for said in warnings(s)],
        }


def finite(number: float) -> float | int | None:
    """`number`, or None where JSON has no word for it."""
    return number if np.isfinite(number) else None


def compare(log: Log, reward: Floats, predicted: Floats | None, alpha: float, folds: int) -> Comparison:
    """Judge one metric: `reward` [n] and `predicted`, its mean at each entry by a model that has not seen these clusters (None: shrunken means per action).

    `alpha` is one-sided: the intervals shown are two-sided 1 - 2 alpha. The baseline may be the logging policy itself, whose weights are then all 1.
    """
    first, second = log.policy(log.challenger), log.policy(log.baseline)
    logged = Logged(log.taken, log.propensity, reward, log.cluster)
    guess = cross_fitted(logged, first, np.zeros((len(log), 0)), int(log.actions.max()) + 1, folds) if predicted is None else _taken(log, predicted)
    mine, found = evaluate(logged, first, guess, 2 * alpha)
    theirs, base = evaluate(logged, second, guess, 2 * alpha)
    gap = weights(logged, first) - weights(logged, second)
    ends, apart = scale(reward), float(np.abs(log.challenger - log.baseline).sum()) / len(log)
    return Comparison(
        rows=len(log),
        members=int(log.cluster.max()) + 1,
        observed=float(reward.mean()),
        binary=ends.binary,
        challenger=mine,
        baseline=theirs,
        difference={
            name: difference(mine[name].influence, theirs[name].influence, logged, gap, 2 * alpha, _slack(mine[name], theirs[name], apart * reach(name, ends)))
            for name in NAMES
        },
        support={"challenger": found, "baseline": base},
    )


def _slack(mine: Estimate, theirs: Estimate, most: float) -> Interval:
    """Down and up for the difference; two policies that agree cannot differ by what was not seen, so at most `most`."""
    return min(mine.slack[0] + theirs.slack[1], most), min(mine.slack[1] + theirs.slack[0], most)


def _taken(log: Log, predicted: Floats) -> Predictions:
    return Predictions(predicted, chosen(Policy(log.offsets, log.actions, predicted), log.taken))


def histogram(log: Log) -> dict[str, list[float]]:
    """How many decisions have a challenger weight in each bin of EDGES."""
    weight = chosen(log.policy(log.challenger), log.taken) / log.propensity
    counts = np.histogram(weight, bins=[*EDGES, np.inf])[0]
    return {"edges": list(EDGES), "counts": [int(c) for c in counts]}
