"""The reward model of the doubly robust estimator: ridge per action around a ridge for all, predicted for rows that it has not seen."""

from __future__ import annotations

import numpy as np

from training.evaluation.intervals import Floats, Ints
from training.evaluation.logged import Logged, Policy, Predictions

SHARED_PENALTY = 1.0
ACTION_PENALTY = 20.0
"""Pseudo-rows: an action seen 20 times stands halfway between the mean of all actions and its own (ours)."""
_CELLS = 4_000_000


def cross_fitted(log: Logged, policy: Policy, features: Floats, actions: int, folds: int) -> Predictions:
    """Predict each decision's reward with a model fitted on the other folds; a cluster is never split between folds.

    `features` [n, d] are standardised (d may be 0: shrunken means per action). With a single cluster nothing can be held out
    and the prediction is 0, which makes DR equal to IPS.
    """
    fold = _folds(log.cluster, folds)
    design = np.column_stack([np.ones(len(log)), features])
    entries, taken = np.zeros(len(policy.p)), np.zeros(len(log))
    if fold.max() == 0:
        return Predictions(entries, taken)
    owner = policy.rows()
    for k in range(int(fold.max()) + 1):
        seen = fold != k
        coefficients = fit(design[seen], log.action[seen], log.reward[seen], actions)
        ends = float(log.reward[seen].min()), float(log.reward[seen].max())
        rows = np.flatnonzero(~seen)
        mine = np.flatnonzero(~seen[owner])
        taken[rows] = np.clip(predict(design, rows, log.action[rows], coefficients), *ends)
        entries[mine] = np.clip(predict(design, owner[mine], policy.action[mine], coefficients), *ends)
    return Predictions(entries, taken)


def _folds(cluster: Ints, folds: int) -> Ints:
    """Fold of each row by a mixing hash of its cluster's code, so that neighbours in the file do not share one; 0 for all where there is one cluster."""
    groups = int(cluster.max()) + 1
    count = min(folds, groups)
    mixed = (np.arange(groups, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
    rank = np.empty(groups, dtype=np.int64)
    rank[np.argsort(mixed, kind="stable")] = np.arange(groups)
    return (rank % count)[cluster]


def fit(design: Floats, action: Ints, reward: Floats, actions: int) -> Floats:
    """Coefficients [actions, d + 1]: shared ridge plus each action's own ridge on what the shared one leaves over."""
    width = design.shape[1]
    penalty = np.full(width, SHARED_PENALTY)
    penalty[0] = 1e-9
    shared = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ reward)
    left = reward - design @ shared
    coefficients = np.tile(shared, (actions, 1))
    order = np.argsort(action.astype(np.int16) if actions < 2**15 else action, kind="stable")  # 16 bits are sorted by radix
    edges = np.searchsorted(action[order], np.arange(actions + 1))
    ridge = np.diag(np.full(width, ACTION_PENALTY))
    for a in np.flatnonzero(np.diff(edges)):
        rows = order[edges[a] : edges[a + 1]]
        own = design[rows]
        coefficients[a] += np.linalg.solve(own.T @ own + ridge, own.T @ left[rows])
    return coefficients


def predict(design: Floats, rows: Ints, action: Ints, coefficients: Floats) -> Floats:
    """Predicted reward of each (row, action) pair, in chunks of bounded memory."""
    out = np.empty(len(rows))
    step = max(1, _CELLS // design.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        out[part] = np.einsum("ij,ij->i", design[rows[part]], coefficients[action[part]])
    return out
