"""Why an arm won: how often each policy shows it, and what the model expects of it where the challenger shows it, against showing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.domain.nouns import NONE
from training.evaluation.intervals import Floats
from training.evaluation.policy_difference import Log, finite


def arm_shares(log: Log, names: Sequence[str], means: Mapping[str, Floats], observed: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """One entry an arm, the challenger's favourite first.

    `names` are the arms by code; `means` holds P(label) at each entry; `observed` each label [n], NaN where immature. `predicted` is
    the mean over decisions weighted by the challenger's probability of the arm, `without` the same of `none` at those decisions,
    `observed` the logged rate where the log chose the arm.
    """
    count, n = len(names), len(log)
    total = np.bincount(log.actions, weights=log.challenger, minlength=count)
    base = np.bincount(log.actions, weights=log.baseline, minlength=count)
    bare = {label: _at_none(log, names, values) for label, values in means.items()}
    logged = np.bincount(log.taken, minlength=count)
    found = []
    for code in np.argsort(-total, kind="stable"):
        mine = log.actions == code
        p = log.challenger[mine]
        found.append(
            {
                "arm": names[code],
                "challenger": float(total[code]) / n,
                "baseline": float(base[code]) / n,
                "logged": int(logged[code]),
                "predicted": {label: _mean(values[mine], p) for label, values in means.items()},
                "without": {label: _mean(values[mine], p) for label, values in bare.items()},
                "observed": {label: _rate(values[log.taken == code]) for label, values in observed.items()},
            }
        )
    return found


def _at_none(log: Log, names: Sequence[str], values: Floats) -> Floats:
    """For each entry the prediction under `none` of its decision; NaN where `none` was not feasible."""
    rows = log.policy(log.challenger).rows()
    none = log.actions == (list(names).index(NONE) if NONE in names else -1)
    at = np.full(len(log), np.nan)
    at[rows[none]] = values[none]
    return at[rows]


def _mean(values: Floats, weight: Floats) -> float | int | None:
    total = float(weight.sum())
    return finite(float((values * weight).sum()) / total) if total > 0.0 else None


def _rate(values: Floats) -> float | int | None:
    known = values[~np.isnan(values)]
    return finite(float(known.mean())) if len(known) else None
