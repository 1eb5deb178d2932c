"""Why an arm won: how often each policy shows it, and what the model expects of it where the challenger shows it, against showing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.domain.nouns import NONE
from training.evaluation.intervals import Floats, Ints
from training.evaluation.policy_difference import Log, finite


def arm_shares(log: Log, names: Sequence[str], means: Mapping[str, Floats], observed: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """One entry an arm, the challenger's favourite first.

    `names` are the arms by code; `means` holds P(label) at each entry; `observed` each label [n], NaN where immature. `predicted` is
    the mean over decisions weighted by the challenger's probability of the arm, `without` the same of `none` at those decisions,
    `observed` the logged rate where the log chose the arm.
    """
    return shares_by(log, names, means, observed, np.zeros(len(log), dtype=np.int64))[0]


def shares_by(log: Log, names: Sequence[str], means: Mapping[str, Floats], observed: Mapping[str, Floats], part: Ints) -> list[list[dict[str, Any]]]:
    """The same for each part of the decisions; `part` [n] counts from 0, and -1 belongs to none."""
    parts, count = int(part.max(initial=-1)) + 1, len(names)
    rows = log.policy(log.challenger).rows()
    entry, taken = _cells(part[rows], log.actions, count), _cells(part, log.taken, count)

    def total(cells: Ints, values: Floats | None = None) -> Floats:
        """[parts, arms]; the last cell holds what belongs to no part."""
        found = np.bincount(np.where(cells < 0, parts * count, cells), weights=values, minlength=parts * count + 1)
        return np.asarray(found[:-1].reshape(parts, count), dtype=np.float64)

    size = np.maximum(np.bincount(part[part >= 0], minlength=parts), 1)[:, None]
    mine, logged = total(entry, log.challenger), total(taken)
    shares = {"challenger": mine / size, "baseline": total(entry, log.baseline) / size}
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted = {label: total(entry, log.challenger * values) / mine for label, values in means.items()}
        without = {label: total(entry, log.challenger * _at_none(log, rows, names, values)) / mine for label, values in means.items()}
        known = {label: total(taken, np.nan_to_num(values)) / total(taken, (~np.isnan(values)).astype(np.float64)) for label, values in observed.items()}
    tables = {"predicted": predicted, "without": without, "observed": known}
    return [
        [
            {
                "arm": names[code],
                **{side: float(values[k, code]) for side, values in shares.items()},
                "logged": int(logged[k, code]),
                **{kind: {label: finite(float(values[k, code])) for label, values in table.items()} for kind, table in tables.items()},
            }
            for code in np.argsort(-mine[k], kind="stable")
        ]
        for k in range(parts)
    ]


def _cells(part: Ints, action: Ints, count: int) -> Ints:
    return np.asarray(np.where(part < 0, -1, part * count + action), dtype=np.int64)


def _at_none(log: Log, rows: Ints, names: Sequence[str], values: Floats) -> Floats:
    """For each entry the prediction under `none` of its decision; NaN where `none` was not feasible."""
    none = log.actions == (list(names).index(NONE) if NONE in names else -1)
    at = np.full(len(log), np.nan)
    at[rows[none]] = values[none]
    return at[rows]
